//! What a read asks for, and what it gets: pages of the log, of a stream, of the list of streams.

use bytes::Bytes;
use flightdeck_core::limits::{FILTER_STREAMS_MAX, PAGE_EVENTS_MAX, TAGS_MAX, TYPES_MAX};
use flightdeck_core::{
    Category, Cursor, Epoch, EventType, Position, SchemaNumber, StreamId, Tag, Timestamp, Version, WordError,
};
use thiserror::Error;

use crate::append::{Reason, Source};
use crate::chain::Hash;
use crate::event::Recorded;
use crate::question::TooMuch;

/// From where a read goes on: behind a bare position, or behind a cursor, which is only good in its own epoch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// Behind that position, whatever the epoch.
    Position(Position),
    /// Behind that cursor.
    Cursor(Cursor),
}

impl After {
    /// The position.
    #[must_use]
    pub const fn position(&self) -> Position {
        match self {
            Self::Position(position) => *position,
            Self::Cursor(cursor) => cursor.position(),
        }
    }

    /// Whether it is good in `epoch`.
    #[must_use]
    pub fn is_of(&self, epoch: &Epoch) -> bool {
        match self {
            Self::Position(_) => true,
            Self::Cursor(cursor) => cursor.epoch() == epoch,
        }
    }
}

impl Default for After {
    fn default() -> Self {
        Self::Position(Position::START)
    }
}

impl From<Position> for After {
    fn from(position: Position) -> Self {
        Self::Position(position)
    }
}

impl From<Cursor> for After {
    fn from(cursor: Cursor) -> Self {
        Self::Cursor(cursor)
    }
}

/// The order of a read. It changes the order of what comes, and nothing else.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Direction {
    /// Oldest first.
    #[default]
    Forward,
    /// Newest first.
    Backward,
}

/// The most events (or streams) that a page may have: 1 to 1,000.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Limit(usize);

impl Limit {
    /// The largest page.
    pub const MAX: Self = Self(PAGE_EVENTS_MAX);

    /// A limit of `events`. What is above 1,000 counts as 1,000.
    ///
    /// # Errors
    /// When it is 0: such a read would never come to an end.
    pub fn new(events: usize) -> Result<Self, InvalidRead> {
        match events {
            0 => Err(InvalidRead::NoLimit),
            some => Ok(Self(some.min(PAGE_EVENTS_MAX))),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self::MAX
    }
}

/// A query that no store can answer.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum InvalidRead {
    /// A page of nothing.
    #[error("a limit is at least 1")]
    NoLimit,
    /// More patterns or tags than a filter may have.
    #[error("{found} {what} in a filter, and {most} is the most")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        found: usize,
        /// How many there may be.
        most: usize,
    },
    /// A value that is looked for is longer than any that may be.
    #[error("a value of {bytes} bytes, and {bytes_max} is the most")]
    TooLong {
        /// How many bytes it has.
        bytes: usize,
        /// How many it may have.
        bytes_max: usize,
    },
}

/// Which streams: one by name, all of a category, or all whose names begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum StreamPattern {
    /// This stream.
    Exact(StreamId),
    /// Every stream of the category.
    Category(Category),
    /// Every stream whose name begins so. The system's streams only when the beginning names its `$`.
    Prefix(Box<str>),
}

impl StreamPattern {
    /// Reads `content-7`, `content-*` (a category), `content-7*` (a beginning), `*` (all but the system's).
    ///
    /// # Errors
    /// When the text before the `*` can't begin a stream's name.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let Some(prefix) = text.strip_suffix('*') else {
            return StreamId::new(text).map(Self::Exact);
        };
        if let Some(category) = prefix.strip_suffix('-').filter(|category| !category.contains('-')) {
            return Category::new(category).map(Self::Category);
        }
        if !prefix.is_empty() && prefix != "$" {
            StreamId::new(prefix)?;
        }
        Ok(Self::Prefix(prefix.into()))
    }

    /// Whether every stream that this means is meant by `other` as well.
    #[must_use]
    pub fn is_within(&self, other: &Self) -> bool {
        // All that a beginning matches is of one kind: the system's own, or none of them.
        let begins = |name: &str, prefix: &str| {
            name.starts_with(prefix) && name.starts_with('$') == prefix.starts_with('$')
        };
        match (self, other) {
            (Self::Exact(stream), other) => other.matches(stream),
            (Self::Category(one), Self::Category(other)) => one == other,
            (Self::Category(category), Self::Prefix(prefix)) => begins(category.as_str(), prefix),
            (Self::Prefix(prefix), Self::Category(category)) => {
                prefix.strip_prefix(category.as_str()).is_some_and(|rest| rest.starts_with('-'))
            }
            (Self::Prefix(one), Self::Prefix(other)) => begins(one, other),
            (Self::Category(_) | Self::Prefix(_), Self::Exact(_)) => false,
        }
    }

    /// Those of these streams that are among `others`; one of two patterns always has the other in it, or they have nothing in common.
    #[must_use]
    pub fn among(asked: &[Self], others: &[Self]) -> Vec<Self> {
        let mut both: Vec<Self> = Vec::new();
        for one in asked {
            for other in others {
                let narrow = match (one.is_within(other), other.is_within(one)) {
                    (true, _) => one,
                    (_, true) => other,
                    _ => continue,
                };
                if !both.iter().any(|known| narrow.is_within(known)) {
                    both.retain(|known| !known.is_within(narrow));
                    both.push(narrow.clone());
                }
            }
        }
        both
    }

    /// Whether `stream` is meant.
    #[must_use]
    pub fn matches(&self, stream: &StreamId) -> bool {
        match self {
            Self::Exact(name) => name == stream,
            Self::Category(category) => category.contains(stream),
            Self::Prefix(prefix) => {
                stream.as_str().starts_with(&**prefix) && (!stream.is_system() || prefix.starts_with('$'))
            }
        }
    }
}

/// Which types: one by name, or all that begin alike.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum TypePattern {
    /// This type.
    Exact(EventType),
    /// Every type whose name begins so.
    Prefix(Box<str>),
}

impl TypePattern {
    /// Reads `ContentCreated`, `Content*`, or `*`.
    ///
    /// # Errors
    /// When the text before the `*` can't begin a type's name.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        match text.strip_suffix('*') {
            None => EventType::new(text).map(Self::Exact),
            Some("") => Ok(Self::Prefix("".into())),
            Some(prefix) => EventType::new(prefix).map(|prefix| Self::Prefix(prefix.as_str().into())),
        }
    }

    /// Whether `event_type` is meant.
    #[must_use]
    pub fn matches(&self, event_type: &EventType) -> bool {
        match self {
            Self::Exact(name) => name == event_type,
            Self::Prefix(prefix) => event_type.as_str().starts_with(&**prefix),
        }
    }
}

/// Which events: of any of the streams, of any of the types, with all of the tags. What is empty leaves all through.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Filter {
    /// Any of these streams. Empty: every stream, the system's own included.
    pub streams: Vec<StreamPattern>,
    /// Any of these types.
    pub types: Vec<TypePattern>,
    /// All of these tags.
    pub tags: Vec<Tag>,
}

impl Filter {
    /// Everything.
    pub const ALL: Self = Self { streams: Vec::new(), types: Vec::new(), tags: Vec::new() };

    /// The events with that tag.
    #[must_use]
    pub fn tagged(tag: Tag) -> Self {
        Self { tags: vec![tag], ..Self::ALL }
    }

    /// The events of that category.
    #[must_use]
    pub fn category(category: Category) -> Self {
        Self { streams: vec![StreamPattern::Category(category)], ..Self::ALL }
    }

    /// Whether everything passes.
    #[must_use]
    pub const fn is_all(&self) -> bool {
        self.streams.is_empty() && self.types.is_empty() && self.tags.is_empty()
    }

    /// Whether `event` passes.
    #[must_use]
    pub fn matches(&self, event: &Recorded) -> bool {
        (self.streams.is_empty() || self.streams.iter().any(|pattern| pattern.matches(&event.stream)))
            && (self.types.is_empty() || self.types.iter().any(|pattern| pattern.matches(&event.event_type)))
            && self.tags.iter().all(|tag| event.tags.contains(tag))
    }

    /// Checks that it is not too long.
    ///
    /// # Errors
    /// When it has more patterns or tags than a filter may have.
    pub fn check(&self) -> Result<(), InvalidRead> {
        for (what, found, most) in [
            ("streams", self.streams.len(), FILTER_STREAMS_MAX),
            ("types", self.types.len(), TYPES_MAX),
            ("tags", self.tags.len(), TAGS_MAX),
        ] {
            if found > most {
                return Err(InvalidRead::TooMany { what, found, most });
            }
        }
        Ok(())
    }
}

/// A part of the log: what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LogQuery {
    /// Behind this, itself excluded.
    pub after: After,
    /// Up to this, itself included; `None` is the head.
    pub until: Option<Position>,
    /// Only what passes.
    pub filter: Filter,
    /// In which order.
    pub direction: Direction,
    /// How many at most.
    pub limit: Limit,
}

impl LogQuery {
    /// Everything behind `after`, oldest first.
    #[must_use]
    pub fn after(after: impl Into<After>) -> Self {
        Self { after: after.into(), ..Self::default() }
    }

    /// The same query, for what passes `filter`.
    #[must_use]
    pub fn matching(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// The query for the page behind `page`; `None` when that was the last one there is now.
    #[must_use]
    pub fn next(&self, page: &LogPage) -> Option<Self> {
        if page.end {
            return None;
        }
        Some(match self.direction {
            Direction::Forward => Self { after: page.scanned_to().into(), ..self.clone() },
            Direction::Backward => Self { until: Some(page.scanned_to), ..self.clone() },
        })
    }
}

/// A part of the log: what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogPage {
    /// The events, in the order that was asked for.
    pub events: Vec<Recorded>,
    /// How far was looked. Forward: everything behind `after` up to here, itself included. Backward: everything
    /// from the upper end down to here, itself excluded.
    pub scanned_to: Position,
    /// The head at the moment of the read.
    pub head: Cursor,
    /// Whether everything that was asked for has been looked at, as far as the log goes now.
    pub end: bool,
}

impl LogPage {
    /// How far was looked, as a cursor to go on from.
    #[must_use]
    pub fn scanned_to(&self) -> Cursor {
        Cursor::new(self.head.epoch().clone(), self.scanned_to)
    }
}

/// A part of a stream: what is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamQuery {
    /// The stream.
    pub stream: StreamId,
    /// Behind this version, itself excluded; `None` is the beginning.
    pub after: Option<Version>,
    /// Up to this version, itself included; `None` is the end.
    pub to: Option<Version>,
    /// In which order.
    pub direction: Direction,
    /// How many at most.
    pub limit: Limit,
}

impl StreamQuery {
    /// The whole stream, oldest first.
    #[must_use]
    pub const fn of(stream: StreamId) -> Self {
        Self { stream, after: None, to: None, direction: Direction::Forward, limit: Limit::MAX }
    }

    /// The query for the page behind `page`; `None` when that was the last one there is now.
    #[must_use]
    pub fn next(&self, page: &StreamPage) -> Option<Self> {
        let last = page.events.last().filter(|_| !page.end)?.version;
        match self.direction {
            Direction::Forward => Some(Self { after: Some(last), ..self.clone() }),
            Direction::Backward => {
                let to = Version::new(last.get() - 1).ok()?;
                Some(Self { to: Some(to), ..self.clone() })
            }
        }
    }
}

/// A part of a stream: what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamPage {
    /// The stream's last version at the moment of the read; `None` when there is no such stream.
    pub version: Option<Version>,
    /// The events, in the order that was asked for.
    pub events: Vec<Recorded>,
    /// Whether everything that was asked for has come, as far as the stream goes now.
    pub end: bool,
}

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamInfo {
    /// Its name.
    pub stream: StreamId,
    /// The version of its last event.
    pub version: Version,
    /// When its first event was recorded.
    pub created: Timestamp,
    /// When its last event was recorded.
    pub updated: Timestamp,
}

/// A part of the list of streams, by name in the order of bytes: what is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct StreamsQuery {
    /// Only streams of this category; `None` is every stream, the system's own included.
    pub category: Option<Category>,
    /// Behind this name, itself excluded.
    pub after: Option<StreamId>,
    /// How many at most.
    pub limit: Limit,
}

/// A part of the list of streams: what came.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamsPage {
    /// The streams, by name in the order of bytes.
    pub streams: Vec<StreamInfo>,
    /// Whether there are no more.
    pub end: bool,
}

/// The newest place of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Epoch and position of the last event; position 0 when there is none.
    pub cursor: Cursor,
    /// The hash of the last event.
    pub hash: Hash,
}

/// The folded state of a stream up to a version: a head start, never the truth.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The version of the last event that is folded in.
    pub version: Version,
    /// The number of the state's shape.
    pub schema: SchemaNumber,
    /// The state, as bytes of whatever kind.
    pub state: Bytes,
}

/// What a store found damaged.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("the store is damaged{}: {what}", At(*position))]
pub struct Corruption {
    /// The event that is damaged, when it is one and its position is known.
    pub position: Option<Position>,
    /// What is wrong.
    pub what: String,
}

struct At(Option<Position>);
impl std::fmt::Display for At {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.map_or(Ok(()), |position| write!(f, " at position {position}"))
    }
}

/// Why something could not be read.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The cursor is of another life of the log.
    #[error("the log began a new epoch since: its head is {head}")]
    EpochChanged {
        /// The head in its present epoch.
        head: Cursor,
    },
    /// No store can answer that.
    #[error(transparent)]
    Invalid(#[from] InvalidRead),
    /// A question would have been too much for one answer.
    #[error(transparent)]
    TooMuch(#[from] TooMuch),
    /// What was to be read is damaged, and was not handed out.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// The store could not do it.
    #[error("{reason}")]
    Failed {
        /// Why.
        reason: Reason,
        /// What lies beneath.
        #[source]
        source: Option<Source>,
    },
}

impl StoreError {
    /// Whether the same read may succeed a little later.
    #[must_use]
    pub const fn retry_helps(&self) -> bool {
        match self {
            Self::Failed { reason, .. } => reason.retry_helps(),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_core::StreamId;

    use super::{Limit, StreamPattern, TypePattern};

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], other: &[&str]) {
        let pattern = StreamPattern::parse(pattern).unwrap();
        for name in matching {
            assert!(pattern.matches(&StreamId::new(name).unwrap()), "{pattern:?} does not match {name}");
        }
        for name in other {
            assert!(!pattern.matches(&StreamId::new(name).unwrap()), "{pattern:?} matches {name}");
        }
    }

    /// Of one pattern within another, and of what two lists have in common, each stream is a witness.
    #[test]
    fn patterns_have_in_common_what_both_match() {
        let patterns = [
            "*", "$*", "o*", "order*", "order-*", "order-1", "order-1*", "order", "orders-*", "$token-*",
            "$t*", "x-1",
        ];
        let patterns = patterns.map(|text| StreamPattern::parse(text).unwrap());
        let streams = [
            "order", "order-1", "order-10", "order-2", "orders-1", "o", "x-1", "$token-7", "$token",
            "$audit", "order.1",
        ];
        let streams = streams.map(|name| StreamId::new(name).unwrap());
        let mut within = 0;
        for one in &patterns {
            for other in &patterns {
                let is_subset = streams.iter().all(|stream| !one.matches(stream) || other.matches(stream));
                if one.is_within(other) {
                    assert!(is_subset, "{one:?} in {other:?}");
                    within += usize::from(one != other);
                }
                let both = StreamPattern::among(std::slice::from_ref(one), std::slice::from_ref(other));
                for stream in &streams {
                    let is_among = both.iter().any(|pattern| pattern.matches(stream));
                    assert_eq!(
                        is_among,
                        one.matches(stream) && other.matches(stream),
                        "{one:?} and {other:?}: {stream}"
                    );
                }
            }
        }
        assert!(within >= 15, "{within}");
        let both = StreamPattern::among(&patterns[2..6], &patterns[3..8]);
        for stream in &streams {
            let is_in = |all: &[StreamPattern]| all.iter().any(|pattern| pattern.matches(stream));
            assert_eq!(is_in(&both), is_in(&patterns[2..6]) && is_in(&patterns[3..8]), "{stream}");
        }
    }

    #[test]
    fn patterns_match_what_they_say() {
        check("content-1", &["content-1"], &["content-10", "content"]);
        check("content-*", &["content-1", "content-", "content"], &["contents-1"]);
        check("content-1*", &["content-1", "content-12"], &["content-2"]);
        check("*", &["content-1", "x"], &["$token-1", "$audit"]);
        check("$token-*", &["$token-1"], &["token-1", "$tokens-1"]);
        check("$*", &["$token-1", "$audit"], &["token-1"]);
    }

    #[test]
    fn patterns_that_match_no_name_are_refused() {
        for bad in ["", "a b", "a,b", "*-1", "-*", "a**"] {
            assert!(StreamPattern::parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(TypePattern::parse("1*").is_err());
        assert!(TypePattern::parse("Content*").is_ok());
    }

    #[test]
    fn a_limit_is_at_least_one_and_at_most_a_page() {
        assert!(Limit::new(0).is_err());
        assert_eq!(Limit::new(usize::MAX).unwrap(), Limit::MAX);
    }
}
