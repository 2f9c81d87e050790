//! FlightDeck's event log on PostgreSQL.
//!
//! [`PostgresStore`] keeps every rule of [`EventStore`](flightdeck_store::EventStore), for any number of nodes on one
//! database: any node takes any append, all of them see one order, and whoever follows the log on any of them misses
//! nothing and gets nothing twice. The same history has the same hashes as on SQLite.
//!
//! # In five minutes
//!
//! ```no_run
//! use flightdeck_core::{EventType, Json, StreamId};
//! use flightdeck_store::{Append, EventStore as _, Expected, NewEvent, StreamQuery};
//! use flightdeck_store_postgres::{Options, PostgresStore};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = PostgresStore::open("postgres://app@db.internal/bank", Options::default()).await?;
//!
//! let account = StreamId::new("account-1")?;
//! let deposit = NewEvent::new(account.clone(), EventType::new("Deposited")?, Json::new("{\"cents\":500}", 1024)?);
//! let done = store.append(Append::of([deposit]).expecting(account.clone(), Expected::NoStream)).await?;
//! println!("stored at {}", done.cursor); // committed, and flushed
//!
//! let page = store.read_stream(&StreamQuery::of(account)).await?;
//! assert_eq!(page.events[0].data_bytes(), b"{\"cents\":500}");
//! store.close().await;
//! # Ok(())
//! # }
//! ```
//!
//! `cargo xtask db` starts a database to try it with.
//!
//! # How it works
//!
//! Everything lies in one schema, `flightdeck` by default. One row of it is the sequencer: whoever appends locks it
//! first, and nobody changes it. So positions are given in the order of commits, with no holes, on however many nodes, and no
//! reader has to wait for a transaction that may yet appear before what it has seen.
//!
//! Each node has one task that writes. Whatever is waiting when its last call comes back is its next group: one call
//! of one function (`fd_append` in `migrations/postgres/0001_log.sql`), which looks up what was done before, checks every
//! append against the log and against the group, numbers, chains and inserts what passes, and notifies once. The call
//! commits by itself, and only then is anyone answered.
//!
//! Notifications are hints. A node listens on a connection of its own, and looks at the head once a second besides;
//! whoever is woken reads the log from where it was.
//!
//! Every event carries a checksum over all that it says, and a link of a SHA-256 chain (see
//! [`chain`](flightdeck_store::chain)). The checksum is compared at every read, by whatever path; [`verify`](PostgresStore::verify)
//! walks the chain. Triggers refuse what the function would never do, also to the tables' owner.
//!
//! # When things go wrong
//!
//! - The database goes away: appends wait for it as long as they may wait for an answer at all, then they are told
//!   *not committed, unreachable*. Everything goes on by itself when it is back.
//! - The connection is lost in the middle of a call: the group is sent again with all ids looked up, so that it is done
//!   once whatever became of it. Only who can't wait that long is told *unknown*; repeating the append settles it.
//! - Another node holds things up: appends are told *not committed, busy* when their turn does not come in time. Reads
//!   wait for nobody.
//! - A failover that lost commits: a node that finds other hashes than it remembers begins a new epoch, and so does
//!   the first node on a restored backup. Cursors of the old one are refused, and followers are told to reset.
//! - Durability that was turned off (`fsync`, `full_page_writes`, `synchronous_commit`) is refused at every connect.
//!
//! # Moved
//!
//! [`fill`](PostgresStore::fill) opens a store that a log is carried into as it is, with [`transfer`](flightdeck_store::transfer) or
//! [`archive`](flightdeck_store::archive); until it is through, no node appends. A log that has moved elsewhere is
//! [sealed](PostgresStore::seal_off), on every node at once.
//!
//! # Views
//!
//! [`PostgresStore`] is a [`ViewStore`](flightdeck_store::view::ViewStore) as well. The tables of the generation that serves have the
//! names that the view declares, so that any SQL reads them; those of all others, being built or of another number, are called
//! `fd_view_{id}_{place}`, after their row in `fd_projection`. A piece of work is one transaction that ends with its checkpoint, moved
//! only if nobody moved it or took the lease; taking over renames tables in one transaction; and an answer is one statement that
//! brings rows and checkpoint, and proves whose they are. Views are never restored or carried anywhere: they are built from the log.
//!
//! What somebody builds on the tables with SQL of their own (a view, a foreign key) goes when their generation is thrown away.
//!
//! # Roles
//!
//! Whoever opens a store first needs the right to create its schema. After that
//! `SELECT flightdeck.fd_grant('app', 'write')` gives a role what a node needs and no more: it can append and
//! read, and neither alter nor delete. `'read'` gives less; `'fold'` gives the making of views' tables as well, which then belong to
//! that role, so one role builds a view always. Whoever may read `fd_projection` when a table is made may read it; later grants
//! reach the tables of views whose owner the grantor is. A store that is up to date is opened without writing anything.
//!
//! # What is not here
//!
//! No network of our own, and nothing that folds: those are other crates'. A pool that hands out connections by the transaction
//! (PgBouncer) will do for nothing here but reads elsewhere: name a direct connection, at least for [`Listen`].
//!
//! Open `writer.rs` first, then `ledger.rs` beside the SQL; `reader.rs` is the other half. Of views, `views.rs`, `generations.rs` and
//! `asking.rs`.

mod asking;
mod check;
mod connection;
mod examine;
mod fill;
mod generations;
mod history;
mod ledger;
mod listener;
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
mod whole;
mod writer;

pub mod fault;
pub mod options;

pub use crate::examine::Examined;
pub use crate::fill::PostgresFill;
pub use crate::open::OpenError;
pub use crate::options::{Listen, Options, Schema};
pub use crate::store::PostgresStore;
