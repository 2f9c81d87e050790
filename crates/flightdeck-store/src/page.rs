//! Filling a page: how much fits on it, how far was looked, and where the end is. All stores share it.

use std::borrow::Cow;

use flightdeck_core::limits::PAGE_BYTES_MAX;
use flightdeck_core::{Json, Position};

use crate::event::Recorded;
use crate::read::{Direction, Filter, LogQuery};

/// The part of the log that a page is about: behind `after`, up to `until`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Behind this, itself excluded.
    pub after: Position,
    /// Up to this, itself included; never beyond the head.
    pub until: Position,
    /// In which order.
    pub direction: Direction,
}

impl Span {
    /// The part that `query` asks for of a log whose newest event is at `newest`.
    #[must_use]
    pub fn of(query: &LogQuery, newest: Position) -> Self {
        let until = query.until.map_or(newest, |until| until.min(newest));
        Self { after: query.after.position(), until, direction: query.direction }
    }

    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.after >= self.until
    }

    /// How far a page came that looked at `looked_at` last, and whether that is the end.
    #[must_use]
    pub fn end(&self, looked_at: Option<Position>) -> (Position, bool) {
        match (self.direction, looked_at) {
            (_, None) => (self.after, true),
            (Direction::Forward, Some(at)) => (at, at >= self.until),
            (Direction::Backward, Some(at)) => (at.previous(), at.previous() <= self.after),
        }
    }

    /// The last position in the direction of the read: having looked there is having looked at all.
    #[must_use]
    pub const fn last(&self) -> Position {
        match self.direction {
            Direction::Forward => self.until,
            Direction::Backward => self.after.next(),
        }
    }
}

/// What an event counts for on a page: its data and its further metadata.
#[must_use]
pub fn page_bytes(event: &Recorded) -> usize {
    let further = event.metadata.further.as_ref().map_or(0, |further| further.as_json().len());
    event.data.json().map_or(0, Json::len) + further
}

/// A page being filled: full when it has as many events as its limit, or as many bytes as a page may have.
#[derive(Debug)]
pub struct Filling<'q> {
    /// What passes.
    pub filter: &'q Filter,
    /// How many events fit.
    pub limit: usize,
    /// The events so far.
    pub events: Vec<Recorded>,
    /// The event that was looked at last.
    pub looked_at: Option<Position>,
    bytes: usize,
}

impl<'q> Filling<'q> {
    /// An empty page.
    #[must_use]
    pub const fn new(filter: &'q Filter, limit: usize) -> Self {
        Self { filter, limit, events: Vec::new(), bytes: 0, looked_at: None }
    }

    /// Looks at an event, and keeps it when it passes. `false`: the page was full, and the event is not looked at.
    pub fn look_at(&mut self, event: Recorded) -> bool {
        self.look(Cow::Owned(event))
    }

    /// The same, for an event that stays where it is.
    pub fn look_at_one_of(&mut self, event: &Recorded) -> bool {
        self.look(Cow::Borrowed(event))
    }

    fn look(&mut self, event: Cow<'_, Recorded>) -> bool {
        let position = event.position;
        if self.filter.matches(&event) {
            self.bytes += page_bytes(&event);
            if self.events.len() == self.limit || (self.bytes > PAGE_BYTES_MAX && !self.events.is_empty()) {
                return false;
            }
            self.events.push(event.into_owned());
        }
        self.looked_at = Some(position);
        true
    }
}
