//! Verifying a whole log: what every store checks event by event, and what it reports.

use std::collections::BTreeMap;

use flightdeck_core::Position;

use crate::chain::{Hash, Walk};
use crate::event::Recorded;
use crate::read::{Corruption, Head};
use crate::view::{Generation, GenerationState};

/// Is told how far a long work is. (A check, a copy, an import.)
pub trait Watcher: Send + Sync {
    /// So many of so many are done; `what` says of what.
    fn at(&self, what: &str, done: u64, of: u64);
}

/// Nobody is told.
#[derive(Debug, Clone, Copy, Default)]
pub struct Unwatched;

impl Watcher for Unwatched {
    fn at(&self, _: &str, _: u64, _: u64) {}
}

/// How many problems are listed; what is behind them is as bad.
const PROBLEMS_MAX: usize = 1_000;

/// What a check of the whole store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many events were looked at.
    pub events: u64,
    /// How far the check went: the newest position when it began.
    pub until: Position,
    /// What is wrong. Empty: nothing is.
    pub problems: Vec<Corruption>,
    /// What is wrong with views, which can be thrown away and built again.
    pub views: Vec<Corruption>,
}

/// A walk over a log that goes on behind whatever it finds wrong.
#[derive(Debug, Clone, Default)]
pub struct LogCheck {
    walk: Walk,
    position: Position,
    events: u64,
    tags: u64,
    /// The events that views were folded up to last, and the hashes that they had then.
    folded: BTreeMap<Position, Vec<(Generation, Hash)>>,
    /// How far views are.
    reached: Vec<(Generation, Position)>,
    views: Vec<Corruption>,
    problems: Vec<Corruption>,
}

impl LogCheck {
    /// A walk that also looks whether these views are of this log. They are looked up before its head is.
    #[must_use]
    pub fn with_views(views: &[GenerationState]) -> Self {
        let mut check = Self::default();
        for state in views {
            check.reached.push((state.of.clone(), state.checkpoint.position));
            if let Some((position, hash)) = state.checkpoint.folded {
                check.folded.entry(position).or_default().push((state.of.clone(), hash));
            }
        }
        check
    }

    /// The last position that was looked at.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The hash of the last event that was looked at and good.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.walk.hash()
    }

    /// How many tags the events had that were looked at.
    #[must_use]
    pub const fn tags(&self) -> u64 {
        self.tags
    }

    /// Whether nothing was found so far.
    #[must_use]
    pub fn is_clean(&self) -> bool {
        self.problems.is_empty()
    }

    /// Takes in something that is wrong.
    pub fn problem(&mut self, position: Option<Position>, what: impl Into<String>) {
        self.found(Corruption { position, what: what.into() });
    }

    /// Takes in damage of what is kept of views.
    pub fn found_in_views(&mut self, damage: Corruption) {
        self.views.push(damage);
    }

    /// Takes in damage that was found.
    pub fn found(&mut self, damage: Corruption) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(damage);
        }
    }

    /// Looks at the next row of the log, which says that it is at `position`: an event, or why it is none.
    pub fn row(&mut self, position: Position, event: Result<&Recorded, Corruption>) {
        self.missing_before(position);
        self.position = position;
        self.events += 1;
        match event {
            Ok(event) => self.event(event),
            Err(damage) => self.found(damage),
        }
    }

    /// The log goes on at `position`: whatever should stand before it and was not looked at is missing.
    pub fn missing_before(&mut self, position: Position) {
        if self.position.next() < position {
            self.problem(Some(self.position.next()), "the event is missing");
            self.position = position.previous();
        }
    }

    fn event(&mut self, event: &Recorded) {
        let reported = |position| self.problems.last().is_some_and(|last| last.position == Some(position));
        // Behind an event that was reported already, the link can't be checked, and is no finding of its own.
        let unlinked = reported(event.position.previous());
        if let Err(broken) = self.walk.step(event) {
            if !unlinked {
                self.problem(Some(event.position), broken.to_string());
            }
            self.walk = Walk::behind(event);
        }
        self.tags += u64::try_from(event.tags.len()).unwrap_or(u64::MAX);
        for (view, hash) in self.folded.remove(&event.position).unwrap_or_default() {
            if hash != event.hash {
                let what = format!("the view {view} was folded from another event");
                self.views.push(Corruption { position: Some(event.position), what });
            }
        }
    }

    /// The walk is over: holds where it ended against the head.
    pub fn end(&mut self, head: &Head) {
        if !self.is_clean() || self.position == Position::START {
            return;
        }
        if self.walk.hash() != head.hash {
            self.problem(Some(self.position), "the chain does not end at the head");
        } else if !self.walk.is_between_appends() {
            self.problem(Some(self.position), "the last append is not whole");
        }
    }

    /// What was found.
    #[must_use]
    pub fn done(mut self, until: Position) -> Verified {
        for (view, position) in std::mem::take(&mut self.reached) {
            if position > until {
                let what = format!("the view {view} is folded further than the log goes");
                self.views.push(Corruption { position: Some(position), what });
            }
        }
        Verified { events: self.events, until, problems: self.problems, views: self.views }
    }
}
