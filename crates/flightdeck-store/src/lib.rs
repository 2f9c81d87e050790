//! The event log of FlightDeck, as a port.
//!
//! [`EventStore`] is the boundary for people who take single crates into their own programs: an append-only
//! log of events, cut into streams, with exact conflicts, idempotent appends, conditions on tags, a hash
//! chain, and one total order that readers can follow without gaps. Its rules are the sentences on the trait;
//! the crate `flightdeck-store-contract` has a test for each, and every adapter runs all of them.
//!
//! What is here:
//!
//! - the port: [`EventStore`], what goes in ([`Append`], [`NewEvent`]) and what comes out ([`Recorded`], the pages);
//! - the [`MemoryStore`]: the smallest honest store, for tests and for reading how a store works;
//! - [`Handler`]: load a stream, fold it, decide, append, and try again when someone was faster; [`Secret`] hides what tags must not say;
//! - [`follow`](fn@follow): the log as an endless stream, from any cursor through history to live;
//! - [`tail`](mod@tail): the newest stretch of the log, held in memory for all on a node who follow it;
//! - [`question`](mod@question): what can be asked of the log (values in its JSON, counts by day, streams that are silent or alike), and
//!   how it is answered by reads;
//! - [`chain`]: the byte layout of hashes and checksums; [`admit`](mod@admit): the one order in which an append is checked;
//! - [`page`], [`stored`] and [`settle`]: filling a page, making an event of a row, and what a refused repetition is told,
//!   for whoever writes a store;
//! - [`view`](mod@view): the port of views, which are tables folded from the log, and what they are made of;
//! - [`verify`]: what checking a whole log comes to;
//! - [`migrate`]: what bringing a store's tables up comes to;
//! - [`system`]: the real clock and the real source of ids.
//!
//! What is not here: no SQL, no HTTP, no aggregate. Payloads are bytes that happen to be JSON. The store that
//! keeps them on disk is `flightdeck-store-sqlite`; whatever is written against the trait runs on either.
//!
//! A log that is carried to another store as it is goes by way of [`Whole`] and [`Fill`]; [`archive`] has it as lines of text.
//!
//! Open [`port`](EventStore) first.
//!
//! ```
//! use flightdeck_core::{EventType, Json, StreamId, Version};
//! use flightdeck_store::{Append, EventStore, Expected, MemoryStore, NewEvent, StreamQuery};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = MemoryStore::new();
//! let account = StreamId::new("account-1")?;
//! let opened = NewEvent::new(account.clone(), EventType::new("Opened")?, Json::new("{\"owner\":\"Ada\"}", 1024)?);
//!
//! let done = store.append(Append::of([opened.clone()]).expecting(account.clone(), Expected::NoStream)).await?;
//! assert_eq!(done.version_of(&account), Some(Version::FIRST));
//!
//! let again = store.append(Append::of([opened]).expecting(account.clone(), Expected::NoStream)).await;
//! assert_eq!(
//!     again.unwrap_err().to_string(),
//!     "stream account-1: expected no stream, but current version is 1",
//! );
//! let page = store.read_stream(&StreamQuery::of(account)).await?;
//! assert_eq!(page.events[0].data_bytes(), b"{\"owner\":\"Ada\"}");
//! # Ok(())
//! # }
//! ```

pub mod admit;
pub mod append;
pub mod archive;
pub mod chain;
pub mod event;
#[cfg(feature = "faults")]
pub mod fault;
pub mod follow;
pub mod groups;
pub mod handle;
pub mod memory;
pub mod migrate;
pub mod newest;
pub mod pace;
pub mod page;
pub mod part;
pub mod port;
pub mod question;
pub mod read;
pub mod secret;
pub mod settle;
pub mod stored;
pub mod system;
pub mod tail;
pub mod transfer;
pub mod verify;
pub mod view;
pub mod whole;

pub use crate::append::{
    Append, AppendError, Appended, AppendedStream, Condition, ConditionItem, Conflict, Expected,
    InvalidAppend, Outcome, Reason, RequestKey, Source,
};
pub use crate::event::{Data, NewEvent, Recorded};
pub use crate::follow::{FollowOptions, Followed, ResetReason, follow};
pub use crate::groups::Groups;
pub use crate::handle::{Context, HandleError, Handled, Handler, Loaded};
pub use crate::memory::MemoryStore;
pub use crate::migrate::{MigrateError, Step};
pub use crate::newest::Newest;
pub use crate::pace::Pace;
pub use crate::port::EventStore;
pub use crate::question::{Ask, Budget, Found, LogAnswer, LogQuestion, TooMuch};
pub use crate::read::{
    After, Corruption, Direction, Filter, Head, InvalidRead, Limit, LogPage, LogQuery, Snapshot, StoreError,
    StreamInfo, StreamPage, StreamPattern, StreamQuery, StreamsPage, StreamsQuery, TypePattern,
};
pub use crate::secret::Secret;
pub use crate::tail::{Tail, TailOptions};
pub use crate::verify::{Verified, Watcher};
pub use crate::whole::{Fill, FillError, KeptRequest, KeptSnapshot, NotFilled, Standing, Whole};
