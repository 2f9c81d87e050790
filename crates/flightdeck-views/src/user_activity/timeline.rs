//! What a visitor did, one by one: its stream, read backwards.

use flightdeck_analytics::VisitorId;
use flightdeck_analytics::visitor::{Event, Visitor};
use flightdeck_core::{Decider, StoredEvents, Version, WordError};
use flightdeck_store::{Direction, EventStore, Limit, Recorded, StoreError, StreamQuery};
use thiserror::Error;

/// Which part of a visitor's time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Timeline {
    /// Only what stands before this version, itself excluded; `None` is up to now.
    pub before: Option<Version>,
    /// Only what stands behind this version, itself excluded; `None` is from the beginning.
    pub after: Option<Version>,
    /// How much at most.
    pub limit: Limit,
}

/// A part of a visitor's time, the newest first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TimelinePage {
    /// What it did.
    pub done: Vec<Done>,
    /// What the page behind this one is asked with; `None` when there is none.
    pub next: Option<Timeline>,
}

/// Something that a visitor did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Done {
    /// As the log has it.
    pub recorded: Recorded,
    /// What it was; `None` when its data is gone, or this program does not know such events.
    pub event: Option<Event>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum TimelineError {
    /// No visitor's stream can be called that.
    #[error(transparent)]
    Word(#[from] WordError),
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a visitor did, the newest first, and what it answered when it was asked whether it may be recorded. One page of its stream is
/// read, so it never is behind the log, and takes as long for a visitor of years as for a new one.
///
/// # Errors
/// When the log can't be read.
pub async fn timeline(
    store: &dyn EventStore,
    visitor: &VisitorId,
    asked: Timeline,
) -> Result<TimelinePage, TimelineError> {
    let to = match asked.before {
        Some(before) => match Version::new(before.get() - 1) {
            Ok(to) => Some(to),
            Err(_) => return Ok(TimelinePage { done: Vec::new(), next: None }),
        },
        None => None,
    };
    let stream = visitor.stream(Visitor::CATEGORY)?;
    let query =
        StreamQuery { stream, after: asked.after, to, direction: Direction::Backward, limit: asked.limit };
    let page = store.read_stream(&query).await?;
    let last = page.events.last().filter(|_| !page.end);
    let next = last.map(|last| Timeline { before: Some(last.version), ..asked });
    let done = |recorded: Recorded| {
        let (name, schema) = (recorded.event_type.as_str(), recorded.schema);
        let event = Event::from_stored(name, schema, recorded.data_bytes()).ok().flatten();
        Done { recorded, event }
    };
    Ok(TimelinePage { done: page.events.into_iter().map(done).collect(), next })
}
