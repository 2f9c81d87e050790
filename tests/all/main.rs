//! End to end: real processes, killed and starved and lied to.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

mod catalogue;
mod corruption;
mod domain;
mod doors;
mod durability;
mod fixtures;
mod full_disk;
mod hashes;
mod http;
mod kill_points;
mod operator;
mod outcomes;
mod postgres;
mod projections;
mod readme;
mod torture;
mod triggers;
mod victim;
