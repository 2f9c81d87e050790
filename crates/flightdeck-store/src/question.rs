//! Questions to the log: what is asked about its events, what comes back, and how much of the log one answer may look at.
//!
//! A question is about a stretch of the log (behind a place, between two moments) and, of that, the events that pass a filter:
//! the same filter as a read has, so that an answer never shows what a read with it would not. What is asked of those events is
//! an [`Ask`]. Whatever it is, its [`Budget`] bounds the stretch that one answer looks at, and the time that it takes.

mod answer;
mod average;
mod finding;
mod number;
mod pointer;
mod scalar;

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use flightdeck_core::limits::{QUESTION_EVENTS_MAX, QUESTION_TIME_MS_MAX, QUESTION_VALUE_BYTES_MAX};
use flightdeck_core::{Cursor, EventType, Position, StreamId, Timestamp, Version, WordError};
use thiserror::Error;

use crate::event::Recorded;
use crate::read::{After, Filter, InvalidRead, Limit};

pub use self::answer::{OneByOne, Reads, answer, last_before};
pub use self::average::{DayAverage, averages};
pub use self::finding::Finding;
pub use self::number::Number;
pub use self::pointer::Pointer;
pub use self::scalar::Scalar;

/// A question to the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogQuestion {
    /// What is asked of the events.
    pub ask: Ask,
    /// Only about events that pass.
    pub filter: Filter,
    /// Only about events recorded at this moment or later.
    pub from: Option<Timestamp>,
    /// Only about events recorded before this moment.
    pub to: Option<Timestamp>,
    /// Behind this, itself excluded.
    pub after: After,
    /// Up to this, itself included; `None` is the head.
    pub until: Option<Position>,
    /// How much of the log one answer may look at, and for how long.
    pub budget: Budget,
}

/// What is asked of the events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Ask {
    /// Those that have a value at a place in their JSON, oldest first.
    Events {
        /// In which JSON.
        part: Part,
        /// At which place.
        path: Pointer,
        /// Which value.
        value: Scalar,
        /// How many at most.
        limit: Limit,
    },
    /// How many of them were recorded on each day in UTC, type by type.
    Days,
    /// The streams whose last event is among them, by its position: the longest silent first. With `to`, those that have been
    /// silent since.
    Silent {
        /// How many at most.
        limit: Limit,
    },
    /// The streams that have the most similar mix of types among them, the most similar first. It is about the whole stretch or
    /// none, so of a log that is longer than the budget a stretch has to be named: behind a place, or between two moments.
    Alike {
        /// Similar to this one.
        stream: StreamId,
        /// How many at most.
        limit: Limit,
    },
}

/// Which JSON of an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    /// Its data. Data that gave way to a tombstone has no values.
    Data,
    /// Its metadata, as one object: the client's further members beside `userId`, `correlationId`, `causationId` and `occurredAt`.
    Metadata,
}

/// How much of the log one answer may look at, and how long that may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Budget {
    events: i64,
    time: Duration,
}

impl Budget {
    /// The most that there is: a stretch of 1,000,000 events, and 10 seconds.
    pub const MAX: Self =
        Self { events: QUESTION_EVENTS_MAX, time: Duration::from_millis(QUESTION_TIME_MS_MAX) };

    /// A budget of so many events of the log, whether they pass or not, and so much time. What is above the most counts as the most.
    ///
    /// # Errors
    /// When there are no events in it: such a question would never come to an end.
    pub fn new(events: i64, time: Duration) -> Result<Self, InvalidRead> {
        match events {
            ..=0 => Err(InvalidRead::NoLimit),
            some => Ok(Self { events: some.min(QUESTION_EVENTS_MAX), time: time.min(Self::MAX.time) }),
        }
    }

    /// How many events of the log.
    #[must_use]
    pub const fn events(self) -> i64 {
        self.events
    }

    /// How long.
    #[must_use]
    pub const fn time(self) -> Duration {
        self.time
    }
}

impl Default for Budget {
    fn default() -> Self {
        Self::MAX
    }
}

impl LogQuestion {
    /// Asks that of the whole log.
    #[must_use]
    pub fn of(ask: Ask) -> Self {
        Self {
            ask,
            filter: Filter::ALL,
            from: None,
            to: None,
            after: After::Position(Position::START),
            until: None,
            budget: Budget::MAX,
        }
    }

    /// For the events that have `value` at `path` in their data.
    #[must_use]
    pub fn with_data(path: Pointer, value: impl Into<Scalar>) -> Self {
        Self::of(Ask::Events { part: Part::Data, path, value: value.into(), limit: Limit::MAX })
    }

    /// For the events that have `value` at `path` in their metadata.
    #[must_use]
    pub fn with_metadata(path: Pointer, value: impl Into<Scalar>) -> Self {
        Self::of(Ask::Events { part: Part::Metadata, path, value: value.into(), limit: Limit::MAX })
    }

    /// For how many events there were from one day to another, both included.
    #[must_use]
    pub fn by_day(first: Day, last: Day) -> Self {
        Self { from: Some(first.begins()), to: last.next().map(Day::begins), ..Self::of(Ask::Days) }
    }

    /// For the streams that have had no event since a moment.
    #[must_use]
    pub fn silent_since(moment: Timestamp) -> Self {
        Self { to: Some(moment), ..Self::of(Ask::Silent { limit: Limit::MAX }) }
    }

    /// For the streams of the same category that are most similar to one.
    #[must_use]
    pub fn alike(stream: StreamId) -> Self {
        let filter = Filter::category(stream.category());
        Self { filter, ..Self::of(Ask::Alike { stream, limit: Limit::MAX }) }
    }

    /// The same question, about events that pass `filter`.
    #[must_use]
    pub fn matching(self, filter: Filter) -> Self {
        Self { filter, ..self }
    }

    /// The same question, with at most so much in an answer. Counts by day come whole.
    #[must_use]
    pub fn limited(mut self, to: Limit) -> Self {
        match &mut self.ask {
            Ask::Events { limit, .. } | Ask::Silent { limit } | Ask::Alike { limit, .. } => *limit = to,
            Ask::Days => {}
        }
        self
    }

    /// Whether its answer is about the whole stretch or none: part of a count is a wrong count.
    #[must_use]
    pub const fn is_whole(&self) -> bool {
        match self.ask {
            Ask::Days | Ask::Alike { .. } => true,
            Ask::Events { .. } | Ask::Silent { .. } => false,
        }
    }

    /// The question for what comes behind an answer; `None` when that was all.
    #[must_use]
    pub fn next(&self, answer: &LogAnswer) -> Option<Self> {
        (!answer.end).then(|| Self { after: answer.scanned_to().into(), ..self.clone() })
    }

    /// Checks that it is not too long.
    ///
    /// # Errors
    /// When its filter has too much in it, or the value that it looks for is too long.
    pub fn check(&self) -> Result<(), InvalidRead> {
        self.filter.check()?;
        match &self.ask {
            Ask::Events { value: Scalar::Text(text), .. } if text.len() > QUESTION_VALUE_BYTES_MAX => {
                Err(InvalidRead::TooLong { bytes: text.len(), bytes_max: QUESTION_VALUE_BYTES_MAX })
            }
            _ => Ok(()),
        }
    }
}

/// What a question to the log came to.
#[derive(Debug, Clone, PartialEq)]
pub struct LogAnswer {
    /// What was found.
    pub found: Found,
    /// How far was looked: everything that was asked about up to here, itself included.
    pub scanned_to: Position,
    /// The head that it goes by: nothing behind it was looked at.
    pub head: Cursor,
    /// Whether everything that was asked about has been looked at, as far as the log goes now.
    pub end: bool,
}

impl LogAnswer {
    /// How far was looked, as a cursor to go on from.
    #[must_use]
    pub fn scanned_to(&self) -> Cursor {
        Cursor::new(self.head.epoch().clone(), self.scanned_to)
    }
}

/// What was found, by what was asked.
#[derive(Debug, Clone, PartialEq)]
pub enum Found {
    /// For [`Ask::Events`].
    Events(Vec<Recorded>),
    /// For [`Ask::Days`], by day and then by the bytes of the type. What there was none of is left out.
    Days(Vec<DayCount>),
    /// For [`Ask::Silent`].
    Silent(Vec<SilentStream>),
    /// For [`Ask::Alike`].
    Alike(Vec<AlikeStream>),
}

/// How many events of a type a day has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DayCount {
    /// The day.
    pub day: Day,
    /// The type.
    pub event_type: EventType,
    /// How many.
    pub events: i64,
}

/// A stream that has come to rest, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SilentStream {
    /// Its name.
    pub stream: StreamId,
    /// The position of its last event.
    pub position: Position,
    /// The version of its last event: how many it has.
    pub version: Version,
    /// When its last event was recorded.
    pub updated: Timestamp,
}

/// A stream, and how similar it is to another.
#[derive(Debug, Clone, PartialEq)]
pub struct AlikeStream {
    /// Its name.
    pub stream: StreamId,
    /// The cosine of the angle between both mixes: above 0, and 1 when each type has the same share in both.
    pub similarity: f64,
    /// How many of its events were looked at for that.
    pub events: i64,
}

/// Why a count was not taken: it would have been too much for one answer. Asking about less of the log helps.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum TooMuch {
    /// The stretch is longer than the budget.
    #[error("the question is about {events} events, and {events_max} is the most")]
    Events {
        /// How many events of the log it is about, whether they pass or not.
        events: i64,
        /// How many its budget has.
        events_max: i64,
    },
    /// There would be more rows than an answer may have, or be compared for one.
    #[error("the answer has, or compares, more than {rows_max} rows")]
    Rows {
        /// How many it may have.
        rows_max: usize,
    },
    /// It was not done when its time was up.
    #[error("the question takes more than {time_ms_max} ms")]
    Time {
        /// How long its budget is.
        time_ms_max: u128,
    },
}

const DAY_MICROS: i64 = 86_400_000_000;

/// A day in UTC. Its text is `2026-11-21`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Day(Timestamp);

impl Day {
    /// The day of a moment.
    #[must_use]
    pub fn of(moment: Timestamp) -> Self {
        let micros = Self(moment).number() * DAY_MICROS;
        // The first moment there is begins a day, so that none of them goes below it.
        Self(Timestamp::from_micros(micros).unwrap_or(moment))
    }

    /// Its first moment.
    #[must_use]
    pub const fn begins(self) -> Timestamp {
        self.0
    }

    /// Its number, counted from the first of 1970.
    const fn number(self) -> i64 {
        self.0.micros().div_euclid(DAY_MICROS)
    }

    /// The day behind it; `None` behind the last of the year 9999.
    #[must_use]
    pub fn next(self) -> Option<Self> {
        Timestamp::from_micros(self.0.micros() + DAY_MICROS).ok().map(Self)
    }
}

impl fmt::Display for Day {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        f.write_str(text.split_once('T').map_or(&text, |(day, _)| day))
    }
}

impl FromStr for Day {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = format!("{text}T00:00:00Z").parse();
        moment.map(Self).map_err(|_| WordError::new("day", "is not of the form 2026-11-21"))
    }
}

#[cfg(test)]
mod tests;
