//! Views of an event log, as pure folds, and what runs them.
//!
//! A [`Projection`] says what it reads, which tables it keeps, which rows an event is about, and how the event is folded into
//! them. It does no IO. A [`Runner`] reads the log, loads the rows, folds, and hands what changed to the store together with the
//! [checkpoint](flightdeck_store::view::Checkpoint) in one transaction, so that a view always is the fold of the log up to
//! somewhere: never ahead of it, nothing twice, whoever was killed where.
//!
//! - **Behind the log**: [`Runner::projection`]. Batches of events become few statements; memory stays the same over any log.
//! - **Within the appends**: [`Runner::inline`], on a store that can (SQLite): what was appended is in the view when it is answered.
//! - **When it is asked**: [`Live`](live::Live), in memory.
//! - **As of any moment of the log**: [`AsOf`], in memory, or in tables of its own that go when it was asked.
//!
//! All of them fold by the same code, and by the same rules when an event can't be folded: it is tried a few times more, and then
//! that view comes to a halt before it, with the event and the error in its state, and all others go on. A view that was folded from
//! another log than the one that is there (a restored backup) is told by the hash of its last event, and is built anew.
//!
//! A new number builds a new generation beside the running one, which answers until the new one has caught up. Several nodes may
//! run the same projections: one folds, the others stand by, and who was thought dead and wakes up is refused.
//!
//! What is not a view but does something (sends a mail) is a [`Reactor`]. Who has to see what they have written themselves
//! waits with [`Watcher::wait_for`]. What an administrator does is in [`admin`]; how a projection is tested, in [`kit`].
//!
//! A view with a row for each thing of an aggregate is made in a few lines by [`Things`]; a whole projection is in this crate's
//! `examples/page_views.rs`. Open `projection.rs` first, then `advance.rs`, which is the loop.

mod advance;
mod batch;
mod kept;

pub mod admin;
pub mod as_of;
pub mod kit;
pub mod live;
pub mod projection;
pub mod react;
pub mod runner;
pub mod things;
pub mod watch;

pub use crate::admin::{Admin, AdminError, By};
pub use crate::as_of::{AsOf, AsOfError};
pub use crate::projection::{Defined, InvalidProjection, Projection, Reads};
pub use crate::react::{Begin, Reactor};
pub use crate::runner::{Runner, RunnerOptions, Running, StartError};
pub use crate::things::Things;
pub use crate::watch::{NotThere, Watcher};
