//! FlightDeck's event log in one SQLite file.
//!
//! [`SqliteStore`] keeps every rule of [`EventStore`](flightdeck_store::EventStore), on disk, for one process
//! that writes and any number that read. What it is made for: an acknowledged append survives a power cut; a
//! damaged event is never handed out; one file is the whole log.
//!
//! # In five minutes
//!
//! ```
//! use flightdeck_core::{EventType, Json, StreamId};
//! use flightdeck_store::{Append, EventStore as _, Expected, NewEvent, StreamQuery};
//! use flightdeck_store_sqlite::{Options, SqliteStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("bank.db");
//! let store = SqliteStore::open(&path, Options::default())?;
//!
//! let account = StreamId::new("account-1")?;
//! let deposit = NewEvent::new(account.clone(), EventType::new("Deposited")?, Json::new("{\"cents\":500}", 1024)?);
//! let done = store.append(Append::of([deposit]).expecting(account.clone(), Expected::NoStream)).await?;
//! println!("stored at {}", done.cursor); // on the disk, and flushed
//!
//! let page = store.read_stream(&StreamQuery::of(account)).await?;
//! assert_eq!(page.events[0].data_bytes(), b"{\"cents\":500}");
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! A decider with `Handler`, and following the log, are in this crate's `examples/`.
//!
//! # How it works
//!
//! One thread owns the only connection that writes. Whatever is waiting when it comes back from its last commit is
//! its next group: each append is checked against the log and against the group, all that pass are written in
//! one transaction with `synchronous=FULL`, one flush makes them durable, and only then is anyone answered. Waiting
//! costs no thread. Reads run on a pool of connections that can't write, each answer from one short transaction.
//!
//! Every event carries a checksum over all that it says, names spelled out, and a link of a SHA-256 chain
//! (see [`chain`](flightdeck_store::chain)). The checksum is compared at every read, by whatever path;
//! [`verify`](SqliteStore::verify) walks the chain and everything beside it. Triggers in the file refuse what the
//! writer would never do, also from other programs.
//!
//! # When things go wrong
//!
//! - A full disk, or one below its [reserve](Options::reserve): the group is told *not committed, full*; reads go on;
//!   appends work again as soon as there is room.
//! - A write or a flush that fails otherwise: nobody can know what is on the disk. The group is told *unknown*, and the
//!   store [stops](SqliteStore::stopped): end the program and open the store again, then repeat what is unknown
//!   with the same ids or request keys.
//! - A second process: [refused](OpenError::Locked), with the number of the first.
//! - A damaged event: the read that meets it says so, with its position, and hands nothing out, and so does a stream or a
//!   log that lacks one. A damaged index of tags, ids, requests or stream names can hide what it leads to: from who asks
//!   by tag, id or name, and from the writer, which then takes a repetition, or a stream that there is, for new.
//!   [`verify`](SqliteStore::verify) notices all of it.
//!
//! # Views
//!
//! A store keeps views too (see [`view`](flightdeck_store::view)), each as tables that anyone can read: of the generation that serves they have
//! the names that the view declares. What changes a view is a job of the writer's between two groups of appends, and takes some
//! milliseconds at the most; a larger piece of work is staged and taken over bit by bit. A view may also be
//! [folded within the appends](flightdeck_store::view::ViewStore::fold_inline). The index of words is brought up to date a little after the rows.
//!
//! # Saved, and moved
//!
//! [`backup`](SqliteStore::backup) writes a store into a file, beside its writer, and checks it; whoever opens such a file for writing begins a
//! new epoch. [`fill`](SqliteStore::fill) opens a store that a log is carried into as it is, with
//! [`transfer`](flightdeck_store::transfer) from another store or with [`archive`](flightdeck_store::archive) from a file; until it is
//! through, nobody can open it for anything else.
//!
//! # What is not here
//!
//! No network, no command line: those are other crates'. Nothing here is for several machines: that is
//! what the store on PostgreSQL is for, with the same rules.
//!
//! Open `writer.rs` first, then `ledger.rs`; `reader.rs` is the other half.

mod asking;
mod backup;
mod check;
mod connection;
mod disk;
mod examine;
mod fill;
mod generations;
mod inline;
mod ledger;
mod lock;
mod migrate;
mod names;
mod open;
mod question;
mod reader;
mod row;
mod snapshots;
mod store;
mod streams;
mod tables;
mod thread;
mod views;
mod wal;
mod whole;
mod writer;

pub mod fault;
pub mod options;

pub use crate::backup::{BackupError, NotABackup};
pub use crate::examine::Examined;
pub use crate::fill::SqliteFill;
pub use crate::open::OpenError;
pub use crate::options::{Options, Reserve};
pub use crate::store::SqliteStore;

/// Makes a file that grows beyond the process's limit an error, and not the end of the process. Whoever opens a store for writing has it so.
pub fn survive_file_size_limit() {
    disk::survive_file_size_limit();
}

/// The version of the SQLite that is linked.
#[must_use]
pub fn sqlite_version() -> &'static str {
    rusqlite::version()
}
