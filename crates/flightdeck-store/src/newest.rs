//! The newest stretch of a log, kept in memory by whoever read or wrote it last: it answers a read exactly as the log would, or not at
//! all.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Cursor, Position};
use tokio::time::Instant;

use crate::event::Recorded;
use crate::page::{Filling, Span, page_bytes};
use crate::read::{Direction, LogPage, LogQuery};

/// What an event takes beside its data, about.
const EVENT_BYTES: usize = 400;

/// Everything behind some position up to a head; nothing at all while no head is known.
#[derive(Debug)]
pub struct Newest {
    bytes_max: usize,
    age_max: Duration,
    after: Position,
    head: Option<Cursor>,
    stretches: VecDeque<Arc<Stretch>>,
    bytes: usize,
}

/// What came together.
#[derive(Debug)]
struct Stretch {
    to: Position,
    events: Vec<Recorded>,
    bytes: usize,
    since: Instant,
}

/// What a read is answered from.
#[derive(Debug)]
pub struct Asked {
    head: Cursor,
    stretches: Vec<Arc<Stretch>>,
}

impl Newest {
    /// Nothing, and later as much of the end of the log as is not larger than that, about, nor older.
    #[must_use]
    pub const fn new(bytes_max: usize, age_max: Duration) -> Self {
        let stretches = VecDeque::new();
        Self { bytes_max, age_max, after: Position::START, head: None, stretches, bytes: 0 }
    }

    /// Where it ends.
    #[must_use]
    pub const fn head(&self) -> Option<&Cursor> {
        self.head.as_ref()
    }

    /// Holds nothing, and goes on from that head if there is one.
    pub fn begin(&mut self, head: Option<Cursor>) {
        let after = head.as_ref().map_or(Position::START, Cursor::position);
        *self = Self { after, head, ..Self::new(self.bytes_max, self.age_max) };
    }

    /// Takes in all that the log has behind its head up to that one.
    pub fn take_in(&mut self, events: Vec<Recorded>, head: Cursor) {
        if !events.is_empty() {
            let bytes = events.iter().map(|event| EVENT_BYTES + page_bytes(event)).sum();
            let (to, since) = (head.position(), Instant::now());
            self.stretches.push_back(Arc::new(Stretch { to, events, bytes, since }));
            self.bytes += bytes;
        }
        let goes = |held: &Self, first: &Stretch| {
            held.bytes > held.bytes_max || first.since.elapsed() > held.age_max
        };
        while self.stretches.front().is_some_and(|first| goes(self, first))
            && let Some(first) = self.stretches.pop_front()
        {
            (self.after, self.bytes) = (first.to, self.bytes - first.bytes);
        }
        self.head = Some(head);
    }

    /// Whether everything behind that position is held.
    #[must_use]
    pub fn holds(&self, after: Position) -> bool {
        self.head.as_ref().is_some_and(|head| (self.after..=head.position()).contains(&after))
    }

    /// What a read is answered from, if all is held that it is about. The answer itself needs nothing of this any more.
    #[must_use]
    pub fn ask(&self, query: &LogQuery) -> Option<Asked> {
        let head = self.head.clone()?;
        let after = query.after.position();
        if query.direction != Direction::Forward || !self.holds(after) || !query.after.is_of(head.epoch()) {
            return None;
        }
        let first = self.stretches.partition_point(|stretch| stretch.to <= after);
        // Nothing may have come for long, and nothing has let go of it then.
        let is_old = self.stretches.get(first).is_some_and(|stretch| stretch.since.elapsed() > self.age_max);
        let stretches = || self.stretches.range(first..).cloned().collect();
        (!is_old).then(|| Asked { head, stretches: stretches() })
    }
}

impl Asked {
    /// The page that the log would have answered. Its head is the one that was known when it was asked.
    #[must_use]
    pub fn page(self, query: &LogQuery) -> LogPage {
        let Self { head, stretches } = self;
        let span = Span::of(query, head.position());
        let mut filling = Filling::new(&query.filter, query.limit.get());
        let events = stretches.iter().flat_map(|stretch| &stretch.events);
        let events = events.skip_while(|event| event.position <= span.after);
        for event in events.take_while(|event| event.position <= span.until) {
            if !filling.look_at_one_of(event) {
                break;
            }
        }
        let (scanned_to, end) = span.end(filling.looked_at);
        LogPage { events: filling.events, scanned_to, head, end }
    }
}
