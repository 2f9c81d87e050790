//! The rules of FlightDeck's [`EventStore`] and [`ViewStore`] as tests, for everyone who writes a store.
//!
//! The port says in sentences what an event log is. This crate has a test for each of them, named like a
//! sentence: `append::refuses_a_stale_version`. A store that passes all of them can be put under everything
//! that is built on the port; the store in memory, the one on SQLite and every later one pass the same suite.
//!
//! # How to use it
//!
//! Say how your store is opened, and call the macro once in a test file of your adapter:
//!
//! ```
//! use std::sync::Arc;
//!
//! use async_trait::async_trait;
//! use flightdeck_core::Clock;
//! use flightdeck_store::{EventStore, MemoryStore};
//! use flightdeck_store_contract::{Subject, event_store_contract};
//!
//! /// A subject is what stays when a store is closed: a file, a schema in a database.
//! struct Memory(MemoryStore);
//!
//! #[async_trait]
//! impl Subject for Memory {
//!     async fn open(&self) -> Arc<dyn EventStore> {
//!         Arc::new(self.0.clone())
//!     }
//!     async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
//!         Arc::new(self.0.at(clock))
//!     }
//! }
//!
//! event_store_contract!(|| Memory(MemoryStore::new()));
//! # fn main() { flightdeck_store_contract::check("append::refuses_a_stale_version", Memory(MemoryStore::new())) }
//! ```
//!
//! Every rule is then a test of its own, with an empty store of its own, and a limit of 60 seconds: a store
//! that hangs fails. `cargo test append::` runs one group.
//!
//! Views have a contract of their own, [`view_store_contract`], for a [`ViewSubject`] that opens a log and the
//! views beside it. Both macros may stand in one file.
//!
//! # What it asks
//!
//! `RULES.md` in this crate lists all rules; [`rules`] and [`view_rules`] are the same lists for programs. They
//! speak of the ports only: a clock, an epoch, ids that nobody gave are the store's own, and no rule expects certain ones. What
//! can't be seen through the port is not here either: a power cut, a damaged disk, a full one. An adapter
//! tests those by itself.
//!
//! # Who tests the tests
//!
//! A suite that never goes red proves nothing. [`saboteur`] has stores that each break one promise, and the
//! tests of this crate see to it that every rule is broken by at least one of them and catches it.
//!
//! Where to look first: `rules.rs` (the list), then `append.rs` (the first group); for views `view/rules.rs`, then
//! `view/generation.rs`.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a rule that does not hold panics: that is how a test says so"
)]

mod given;
mod rules;
mod subject;

mod append;
mod chain;
mod condition;
mod follow;
mod idempotency;
mod log;
mod question;
mod secret;
mod snapshot;
mod stream;
mod tag;

mod view;

pub mod saboteur;

pub use crate::rules::{Broken, Rule, check, rules};
pub use crate::subject::Subject;
#[doc(hidden)]
pub use crate::subject::made;
pub use crate::view::{ViewSubject, check_view, view_rules};

#[cfg(doc)]
use flightdeck_store::{EventStore, view::ViewStore};
