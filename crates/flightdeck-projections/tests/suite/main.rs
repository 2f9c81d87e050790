//! The runner, on the stores that need no server: what it promises, case by case.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod acts;
mod corners;
mod counts;
mod ground;
mod halts;
mod life;
mod pasts;
mod pieces;
mod places;
mod reacts;
mod shelves;
mod small;
mod waits;
