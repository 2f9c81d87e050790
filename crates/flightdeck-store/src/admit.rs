//! The door of the log: what every store asks of an append, in one order.
//!
//! Stores that check in this program (in memory, SQLite) share this; they only say how to look things up.

use flightdeck_core::limits::CONDITION_AGE_EVENTS_MAX;
use flightdeck_core::{Cursor, EventId, Position, StreamId, Version};

use crate::append::{Append, AppendError, ConditionItem, Conflict, RequestKey};
use crate::chain::Sealed;
use crate::event::{Data, Recorded};

/// How a store looks up what an append is measured by, within one consistent state of the log.
pub trait Ground {
    /// Epoch and position of the last event.
    fn head(&self) -> Cursor;
    /// What is remembered of a request key.
    ///
    /// # Errors
    /// When it can't be looked up.
    fn request(&mut self, request: &RequestKey) -> Result<Option<Remembered>, AppendError>;
    /// The event with that id.
    ///
    /// # Errors
    /// When it can't be looked up.
    fn event(&mut self, id: EventId) -> Result<Option<Recorded>, AppendError>;
    /// The last version of a stream.
    ///
    /// # Errors
    /// When it can't be looked up.
    fn version(&mut self, stream: &StreamId) -> Result<Option<Version>, AppendError>;
    /// The first event beyond `after` that matches any of the items.
    ///
    /// # Errors
    /// When it can't be looked up.
    fn first_match(
        &mut self,
        after: Position,
        any: &[ConditionItem],
    ) -> Result<Option<Position>, AppendError>;
}

/// What a store remembers of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Remembered {
    /// The fingerprint that it came with.
    pub fingerprint: [u8; 32],
    /// What was done.
    pub done: Done,
}

/// What an append did, in the fewest words: the rest is read from the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    /// It appended the events from the first of these positions to the second.
    Events(Position, Position),
    /// It had no events; the head was here.
    Nothing(Position),
}

impl Done {
    /// The position that the log had come to when it was done.
    #[must_use]
    pub const fn last(self) -> Position {
        match self {
            Self::Events(_, last) | Self::Nothing(last) => last,
        }
    }
}

/// What is to be done with an append.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Admission {
    /// Write it.
    Fresh,
    /// It was done before, under the same request key.
    Remembered(Done),
    /// Its events are known; if it has a request key, that one is not remembered yet.
    Known(Done),
}

/// Decides what is to be done with an append whose events are `sealed`.
///
/// # Errors
/// When the append is refused, or something could not be looked up.
pub fn admit(ground: &mut impl Ground, append: &Append, sealed: &[Sealed]) -> Result<Admission, AppendError> {
    if let Some(request) = &append.request
        && let Some(remembered) = ground.request(request)?
    {
        return recall(request, &remembered).map(Admission::Remembered);
    }
    if let Some(done) = known(ground, sealed)? {
        return Ok(Admission::Known(done));
    }
    for (stream, expected) in &append.expected {
        let actual = ground.version(stream)?;
        if !expected.holds(actual) {
            return Err(Conflict { stream: stream.clone(), expected: *expected, actual }.into());
        }
    }
    if let Some(condition) = &append.condition {
        let head = ground.head();
        if !condition.after.is_of(head.epoch()) {
            return Err(AppendError::EpochChanged { head });
        }
        let (after, head) = (condition.after.position(), head.position());
        if after > head {
            return Err(AppendError::AheadOfLog { after, head });
        }
        if head.get() - after.get() > CONDITION_AGE_EVENTS_MAX {
            return Err(AppendError::StaleDecision { after, head });
        }
        if let Some(position) = ground.first_match(after, &condition.any)? {
            return Err(AppendError::ConditionFailed { position });
        }
    }
    Ok(Admission::Fresh)
}

/// What was done under a request key, unless it was used for something else.
///
/// # Errors
/// When the fingerprint is another.
pub fn recall(request: &RequestKey, remembered: &Remembered) -> Result<Done, AppendError> {
    match remembered.fingerprint == *request.fingerprint() {
        true => Ok(remembered.done),
        false => Err(AppendError::KeyReused),
    }
}

/// Where the events are, if all of them were appended before; `None` when none was.
fn known(ground: &mut impl Ground, sealed: &[Sealed]) -> Result<Option<Done>, AppendError> {
    let mut places: Option<(Position, Position)> = None;
    let mut unknown = false;
    for event in sealed {
        let before = match event.event().id {
            Some(id) => ground.event(id)?,
            None => None,
        };
        let Some(before) = before else {
            // Some ids known and some not: the known ones come first here, so the first event is one of them.
            if places.is_some() {
                return Err(AppendError::IdReused { id: sealed[0].id() });
            }
            unknown = true;
            continue;
        };
        let follows = places.is_none_or(|(_, last)| before.position == last.next());
        if unknown || !follows || !is_same(event, &before) {
            return Err(AppendError::IdReused { id: event.id() });
        }
        places = Some((places.map_or(before.position, |(first, _)| first), before.position));
    }
    Ok(places.map(|(first, last)| Done::Events(first, last)))
}

/// Whether an event is the one that was recorded under its id. What the server adds to the metadata does not count.
#[must_use]
pub fn is_same(event: &Sealed, before: &Recorded) -> bool {
    let new = event.event();
    let same_data = match &before.data {
        Data::Json(json) => json == &new.data,
        Data::Tombstone(hash) => hash == event.data_hash(),
    };
    same_data
        && new.stream == before.stream
        && new.event_type == before.event_type
        && new.schema == before.schema
        && new.tags == before.tags
        && new.metadata.further == before.metadata.further
}
