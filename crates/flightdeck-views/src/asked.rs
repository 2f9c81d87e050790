//! Which part of a list is asked for, and by whom.

use flightdeck_store::view::{ViewCursor, ViewQuery};
use flightdeck_store::{Limit, StreamPattern};

/// A page of a list: behind what, how much of it, and what the caller may see.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Asked {
    /// Behind the row that the page before ended with.
    pub after: Option<ViewCursor>,
    /// How many rows at most.
    pub limit: Limit,
    /// The streams that the caller may read; `None` is all. Of a list that is of no streams, who may not read all gets nothing.
    pub streams: Option<Vec<StreamPattern>>,
}

impl Asked {
    /// That part of what a query asks for.
    pub(crate) fn of(self, query: ViewQuery) -> ViewQuery {
        ViewQuery { after: self.after, limit: self.limit, streams: self.streams, ..query }
    }
}
