//! Views: tables of rows that are folded from the log, and the port that keeps them.
//!
//! A view is made of tables that are declared once ([`Table`]), in a [`Plan`] with a name and a number. [`ViewStore`] is the port that
//! keeps their rows; what folds events into them, and when, is in `flightdeck-projections`. Rows and the [`Checkpoint`] that says how far
//! they are folded move together or not at all, so a view is always the fold of the log up to somewhere.
//!
//! Open [`ViewStore`] first, then [`table`](mod@table) and [`rows`](mod@rows); [`query`](mod@query) is how a view is asked.

pub mod answers;
pub mod generation;
pub mod memory;
pub mod port;
pub mod query;
pub mod rows;
pub mod search;
pub mod table;
pub mod value;

pub use self::answers::Answers;
pub use self::generation::{
    Checkpoint, Generation, GenerationState, Halt, HaltKind, Holder, Lease, Succession, answering, succession,
};
pub use self::memory::MemoryViews;
pub use self::port::{Inline, Mark, Reading, TakenOver, ViewError, ViewStore, Work, WorkLimits};
pub use self::query::{Compare, InvalidQuery, Sort, Term, ViewCursor, ViewPage, ViewQuery, Visible, Where};
pub use self::rows::{Cache, Changes, Fold, FoldError, Key, Rows, TableChanges, Wanted, keys_of};
pub use self::table::{Column, InvalidPlan, Kind, Plan, Table, ViewName};
pub use self::value::{Cell, Row, Value};
