//! What this crate is tested by from outside: the contract on the store in memory, command handling, following.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a test that fails panics")]

mod account;
mod between;
mod follow;
mod handle;
mod marks;
mod question;
mod snapshots;
mod tail;
