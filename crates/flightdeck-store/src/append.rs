//! What an append asks for, and every answer it can get.

use std::collections::HashSet;
use std::error::Error as StdError;
use std::fmt;

use flightdeck_core::limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, APPEND_EXPECTED_MAX, CONDITION_ITEMS_MAX, EVENT_DATA_BYTES_MAX,
    REQUEST_KEY_BYTES_MAX, TAGS_MAX, TYPES_MAX,
};
use flightdeck_core::{Cursor, EventId, EventType, Position, StreamId, Tag, Tags, Version};
use thiserror::Error;

use crate::event::NewEvent;
use crate::read::{After, Corruption};

/// What is to be appended, and under which terms.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Append {
    /// The events in their order, over one or more streams. None at all is allowed: then only the terms are looked at.
    pub events: Vec<NewEvent>,
    /// What is expected of streams, also of such that receive nothing. A stream that is not named may be in any state.
    pub expected: Vec<(StreamId, Expected)>,
    /// What must not have happened since the caller decided.
    pub condition: Option<Condition>,
    /// By what a repetition of this request is known.
    pub request: Option<RequestKey>,
}

impl Append {
    /// An append of `events` to whatever is there.
    #[must_use]
    pub fn of(events: impl IntoIterator<Item = NewEvent>) -> Self {
        Self { events: events.into_iter().collect(), ..Self::default() }
    }

    /// The same append, if `stream` is as `expected` says.
    #[must_use]
    pub fn expecting(mut self, stream: StreamId, expected: Expected) -> Self {
        self.expected.push((stream, expected));
        self
    }

    /// The same append, if `condition` holds.
    #[must_use]
    pub fn on_condition(self, condition: Condition) -> Self {
        Self { condition: Some(condition), ..self }
    }

    /// The same append, at most once under this key.
    #[must_use]
    pub fn with_request(self, request: RequestKey) -> Self {
        Self { request: Some(request), ..self }
    }

    /// How many bytes it brings: data, further metadata and tags.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.events.iter().map(NewEvent::bytes).sum()
    }

    /// Checks what the words alone can't: sizes and counts, and that nothing is said twice.
    ///
    /// # Errors
    /// With the first thing that is wrong.
    pub fn check(&self) -> Result<(), InvalidAppend> {
        let too_many = |what, found: usize, most: usize| match found > most {
            true => Err(InvalidAppend::TooMany { what, found, most }),
            false => Ok(()),
        };
        too_many("events", self.events.len(), APPEND_EVENTS_MAX)?;
        too_many("bytes", self.bytes(), APPEND_BYTES_MAX)?;
        too_many("expected streams", self.expected.len(), APPEND_EXPECTED_MAX)?;
        for event in &self.events {
            too_many("bytes of one event's data", event.data.len(), EVENT_DATA_BYTES_MAX)?;
        }
        if let Some(condition) = &self.condition {
            too_many("items of the condition", condition.any.len(), CONDITION_ITEMS_MAX)?;
            for item in &condition.any {
                too_many("tags of an item", item.tags.len(), TAGS_MAX)?;
                too_many("types of an item", item.types.len(), TYPES_MAX)?;
            }
        }
        let mut ids = HashSet::new();
        if let Some(id) = self.events.iter().filter_map(|event| event.id).find(|id| !ids.insert(*id)) {
            return Err(InvalidAppend::IdTwice { id });
        }
        let mut streams = HashSet::new();
        match self.expected.iter().find(|(stream, _)| !streams.insert(stream)) {
            Some((stream, _)) => Err(InvalidAppend::ExpectedTwice { stream: stream.clone() }),
            None => Ok(()),
        }
    }
}

/// The state that a stream is expected to be in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Expected {
    /// Any state.
    #[default]
    Any,
    /// There is no such stream.
    NoStream,
    /// There is one, at whatever version.
    Exists,
    /// Its last event has exactly this version.
    Exactly(Version),
}

impl Expected {
    /// Whether a stream whose last version is `actual` is as expected.
    #[must_use]
    pub fn holds(self, actual: Option<Version>) -> bool {
        match self {
            Self::Any => true,
            Self::NoStream => actual.is_none(),
            Self::Exists => actual.is_some(),
            Self::Exactly(version) => actual == Some(version),
        }
    }
}

/// `NoStream` for no version, `Exactly` for one: what a caller expects who has read the stream.
impl From<Option<Version>> for Expected {
    fn from(version: Option<Version>) -> Self {
        version.map_or(Self::NoStream, Self::Exactly)
    }
}

impl fmt::Display for Expected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any state"),
            Self::NoStream => f.write_str("no stream"),
            Self::Exists => f.write_str("an existing stream"),
            Self::Exactly(version) => write!(f, "version {version}"),
        }
    }
}

/// No event beyond `after` matches any item: what a decision over tags rests on.
///
/// Only the events between `after` and the head are looked at, so a fresh decision costs little.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Condition {
    /// How far the caller had read when it decided.
    pub after: After,
    /// What must not have come since. An empty list matches nothing.
    pub any: Vec<ConditionItem>,
}

/// One kind of event that would spoil a decision: it has all of the tags and is one of the types.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ConditionItem {
    /// All of these; none named means whatever tags.
    pub tags: Vec<Tag>,
    /// One of these; none named means whatever type.
    pub types: Vec<EventType>,
}

impl ConditionItem {
    /// Whether an event of that type with those tags matches.
    #[must_use]
    pub fn matches(&self, event_type: &EventType, tags: &Tags) -> bool {
        (self.types.is_empty() || self.types.contains(event_type))
            && self.tags.iter().all(|tag| tags.contains(tag))
    }
}

/// By what a repeated request is known: the caller's key, and a fingerprint of what was asked.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RequestKey {
    caller: Box<str>,
    key: Box<str>,
    fingerprint: [u8; 32],
}

impl RequestKey {
    /// A key of `caller`. The fingerprint is a digest of the whole request: the same key with another one is refused.
    ///
    /// # Errors
    /// When caller or key is empty, longer than 200 bytes, or other than visible ASCII.
    pub fn new(caller: &str, key: &str, fingerprint: [u8; 32]) -> Result<Self, InvalidAppend> {
        for text in [caller, key] {
            let fits = (1..=REQUEST_KEY_BYTES_MAX).contains(&text.len());
            if !fits || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(InvalidAppend::RequestKey);
            }
        }
        Ok(Self { caller: caller.into(), key: key.into(), fingerprint })
    }

    /// Whose key it is: keys of different callers never meet.
    #[must_use]
    pub fn caller(&self) -> &str {
        &self.caller
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.key
    }

    /// The digest of what was asked.
    #[must_use]
    pub const fn fingerprint(&self) -> &[u8; 32] {
        &self.fingerprint
    }
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Appended {
    /// The streams that received events, in the order of their first one, with the versions these got.
    pub streams: Vec<AppendedStream>,
    /// The first and the last position of the events; `None` for an append of none.
    pub range: Option<(Position, Position)>,
    /// Whoever has read up to here sees what was appended. For an append of none: the head as it was.
    pub cursor: Cursor,
    /// Whether this was done before, and nothing was done now.
    pub duplicate: bool,
}

/// What one stream received.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AppendedStream {
    /// The stream.
    pub stream: StreamId,
    /// The version of the first event that it received.
    pub from: Version,
    /// Its version after the append.
    pub version: Version,
}

impl Appended {
    /// The version that `stream` has after the append, if it received anything.
    #[must_use]
    pub fn version_of(&self, stream: &StreamId) -> Option<Version> {
        self.streams.iter().find(|appended| appended.stream == *stream).map(|appended| appended.version)
    }

    /// Sums up events that stand next to each other as what their append did.
    #[must_use]
    pub fn sum_up<'a>(
        events: impl IntoIterator<Item = (&'a StreamId, Version, Position)>,
        cursor_if_none: Cursor,
        duplicate: bool,
    ) -> Self {
        let mut streams: Vec<AppendedStream> = Vec::new();
        let mut places = std::collections::HashMap::new();
        let mut range: Option<(Position, Position)> = None;
        for (stream, version, position) in events {
            let place = *places.entry(stream).or_insert_with(|| {
                streams.push(AppendedStream { stream: stream.clone(), from: version, version });
                streams.len() - 1
            });
            streams[place].version = version;
            range = Some((range.map_or(position, |(first, _)| first), position));
        }
        let cursor = match range {
            Some((_, last)) => Cursor::new(cursor_if_none.epoch().clone(), last),
            None => cursor_if_none,
        };
        Self { streams, range, cursor, duplicate }
    }
}

/// What is wrong with an append before any store has looked at it.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidAppend {
    /// More of something than is allowed.
    #[error("{found} {what}, and {most} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// Two events of the append have the same id.
    #[error("event id {id} is there twice")]
    IdTwice {
        /// The id.
        id: EventId,
    },
    /// Two expectations are about the same stream.
    #[error("two expectations are about stream {stream}")]
    ExpectedTwice {
        /// The stream.
        stream: StreamId,
    },
    /// A caller or a key is empty, too long, or not visible ASCII.
    #[error("a request key and its caller are 1 to 200 bytes of visible ASCII")]
    RequestKey,
}

/// A stream is not where it was expected to be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("stream {stream}: expected {expected}, but {}", Actual(*actual))]
pub struct Conflict {
    /// The stream.
    pub stream: StreamId,
    /// What was expected of it.
    pub expected: Expected,
    /// Its last version; `None` when there is no such stream.
    pub actual: Option<Version>,
}

struct Actual(Option<Version>);
impl fmt::Display for Actual {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(version) => write!(f, "current version is {version}"),
            None => f.write_str("there is no such stream"),
        }
    }
}

/// What lies beneath an error, for the log; never for a client's eyes.
pub type Source = Box<dyn StdError + Send + Sync>;

/// Why an append was not done, or why nobody can say whether it was.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AppendError {
    /// The append itself is wrong.
    #[error(transparent)]
    Invalid(#[from] InvalidAppend),
    /// A stream is not where it was expected to be.
    #[error(transparent)]
    Conflict(#[from] Conflict),
    /// An event that came after the decision matches its condition.
    #[error("the condition failed: the event at position {position} matches it")]
    ConditionFailed {
        /// The first event that matches.
        position: Position,
    },
    /// The decision is older than a condition may be.
    #[error("the decision is stale: it was made at position {after}, and the log is at {head}")]
    StaleDecision {
        /// What the condition is after.
        after: Position,
        /// The head.
        head: Position,
    },
    /// The condition was made in another life of the log.
    #[error("the log began a new epoch since: its head is {head}")]
    EpochChanged {
        /// The head in its present epoch.
        head: Cursor,
    },
    /// The condition is after a position that the log has not reached.
    #[error("position {after} is ahead of the log, which is at {head}")]
    AheadOfLog {
        /// What the condition is after.
        after: Position,
        /// The head.
        head: Position,
    },
    /// The request key was used for something else before.
    #[error("the request key was used for another request before")]
    KeyReused,
    /// An event id was used for something else, or only some of the ids are known.
    #[error("event id {id} was used for something else before")]
    IdReused {
        /// The first id for which that is so.
        id: EventId,
    },
    /// Nothing was appended, for a reason that lies with the store.
    #[error("not committed: {reason}")]
    NotCommitted {
        /// Why.
        reason: Reason,
        /// What lies beneath.
        #[source]
        source: Option<Source>,
    },
    /// The commit's fate can't be known. Repeating the append with the same ids or the same key settles it.
    #[error("the outcome is unknown: {reason}")]
    Unknown {
        /// Why.
        reason: Reason,
        /// What lies beneath.
        #[source]
        source: Option<Source>,
    },
}

/// Why a store could not do what it was asked.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[non_exhaustive]
pub enum Reason {
    /// There is no room left where the store lies.
    #[error("the disk is full, or below its reserve")]
    Full,
    /// Someone else holds the store, or there is too much to do. Trying again helps.
    #[error("the store is busy")]
    Busy,
    /// The database can't be reached just now. Trying again helps.
    #[error("the store can't be reached")]
    Unreachable,
    /// The store was opened for reading only.
    #[error("the store is open for reading only")]
    ReadOnly,
    /// The store stopped after a failure that it could not see the end of. Only opening it again helps.
    #[error("the store has stopped; it must be opened again")]
    Stopped,
    /// The store is being closed.
    #[error("the store is closed")]
    Closed,
    /// What the store holds is damaged where the append needed it.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The store does not give that out.
    #[error("the store does not give that out")]
    Withheld,
    /// The storage beneath failed.
    #[error("the storage failed")]
    Storage,
}

impl Reason {
    /// Whether the same thing may succeed a little later.
    #[must_use]
    pub const fn retry_helps(&self) -> bool {
        matches!(self, Self::Full | Self::Busy | Self::Unreachable)
    }
}

/// What is certain after an append that gave an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Nothing of it is in the log, and nothing of it will be.
    NotCommitted,
    /// It may be in the log.
    Unknown,
}

impl AppendError {
    /// Whether the append is certainly not in the log.
    #[must_use]
    pub const fn outcome(&self) -> Outcome {
        match self {
            Self::Unknown { .. } => Outcome::Unknown,
            _ => Outcome::NotCommitted,
        }
    }

    /// Whether the same append may succeed a little later, with nothing changed about it: the ids and the key least of all.
    #[must_use]
    pub const fn retry_helps(&self) -> bool {
        match self {
            Self::NotCommitted { reason, .. } | Self::Unknown { reason, .. } => reason.retry_helps(),
            _ => false,
        }
    }

    /// Nothing was appended, because of `reason`.
    #[must_use]
    pub const fn not_committed(reason: Reason) -> Self {
        Self::NotCommitted { reason, source: None }
    }
}

#[cfg(test)]
mod tests;
