//! What visitors do on a site over a year, as a seed gives it: visits of some six facts, by visitors of whom many come again, to pages
//! of which they know some.
//!
//! - Three visits of ten end with the page that they began with; the others have 2 to 14 facts, 10 seconds to a minute and a half
//!   after each other, and as many visits go on at once as that makes.
//! - Four visits of ten are somebody's first. The others are by somebody who was there before, and more likely by somebody who came
//!   lately.
//! - Seven facts of ten are looks at a page, two are clicks and one is a form. A fifth of all looks is at the first page of a thousand, a half at
//!   the first sixty. One of four is at one of the visitor's own four favourites, and one of four goes back to the page before.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use flightdeck_core::{EventType, Json, StreamId, Timestamp};
use flightdeck_store::NewEvent;

use crate::contents::Dice;

/// Pages that the site has.
pub const PAGES: u64 = 1_000;
/// When the year begins: 2025, in UTC.
pub const YEAR_MICROS: i64 = 1_735_689_600_000_000;
/// How long it lasts.
pub const YEAR: i64 = 365 * 86_400_000_000;
/// How many facts a visit has, in the mean of what [`length`] gives.
const MEAN: f64 = 0.3 + 0.7 * 8.0;

/// A visitor's id.
#[must_use]
pub fn visitor(number: u64) -> String {
    format!("0192f3a4-7b1c-7def-8123-{number:012x}")
}

/// A year of a site, fact after fact in the order of time.
pub struct Visits {
    dice: Dice,
    /// Visits that go on, by when something happens next in them.
    going_on: BinaryHeap<Reverse<Visit>>,
    /// When the next one begins, and after how long the one behind it.
    next: i64,
    pace: u64,
    visitors: u64,
    visits: u64,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Visit {
    at: i64,
    visitor: u64,
    page: u64,
    before: u64,
    /// Facts so far, and those that are still to come.
    done: u64,
    left: u64,
}

/// Something that a visitor did, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Done {
    /// When, in microseconds since 1970.
    pub at: i64,
    /// Who.
    pub visitor: u64,
    /// Where.
    pub page: u64,
    /// Whether it is the first of its visit.
    pub is_first: bool,
    /// 0 is a look at a page, 1 a click, 2 a form.
    pub kind: usize,
}

impl Visits {
    /// A year with about so many facts.
    #[must_use]
    pub fn of(facts: u64) -> Self {
        let pace = (YEAR as f64 * MEAN / facts.max(1) as f64) as u64;
        Self {
            dice: Dice::new(7),
            going_on: BinaryHeap::new(),
            next: YEAR_MICROS,
            pace: pace.max(1),
            visitors: 0,
            visits: 0,
        }
    }

    /// Visits that have begun so far.
    #[must_use]
    pub const fn visits(&self) -> u64 {
        self.visits
    }

    /// Visitors who were there so far.
    #[must_use]
    pub const fn visitors(&self) -> u64 {
        self.visitors
    }

    /// The year goes on by so many facts.
    pub fn pass(&mut self, facts: u64) {
        for _ in 0..facts {
            self.happens();
        }
    }

    /// What happens next.
    pub fn happens(&mut self) -> Done {
        let visit = match self.going_on.peek() {
            Some(Reverse(visit)) if visit.at <= self.next => self.going_on.pop().map(|Reverse(visit)| visit),
            _ => None,
        };
        let mut visit = visit.unwrap_or_else(|| self.begin());
        let kind = match self.dice.roll(10) {
            _ if visit.done == 0 => 0,
            0..7 => 0,
            7..9 => 1,
            _ => 2,
        };
        if kind == 0 {
            let page = match self.dice.roll(4) {
                0 => popular(&mut Dice::new(visit.visitor * 4 + self.dice.roll(4))),
                1 if visit.done > 0 => visit.before,
                _ => popular(&mut self.dice),
            };
            (visit.before, visit.page) = (visit.page, page);
        }
        let Visit { at, visitor, page, done, .. } = visit;
        (visit.done, visit.left) = (done + 1, visit.left - 1);
        if visit.left > 0 {
            visit.at += i64::try_from(10_000_000 + self.dice.roll(80_000_000)).unwrap();
            self.going_on.push(Reverse(visit));
        }
        Done { at, visitor, page, is_first: done == 0, kind }
    }

    fn begin(&mut self) -> Visit {
        let at = self.next;
        self.next += i64::try_from(self.dice.roll(2 * self.pace)).unwrap();
        self.visits += 1;
        let visitor = match self.dice.roll(10) {
            _ if self.visitors == 0 => 0,
            0..4 => self.visitors,
            _ => {
                let ago = share(&mut self.dice) * share(&mut self.dice) * share(&mut self.dice);
                self.visitors - 1 - ((self.visitors as f64 * ago) as u64).min(self.visitors - 1)
            }
        };
        self.visitors = self.visitors.max(visitor + 1);
        let page = popular(&mut self.dice);
        Visit { at, visitor, page, before: page, done: 0, left: length(&mut self.dice) }
    }
}

/// A number from 0 to 1.
fn share(dice: &mut Dice) -> f64 {
    dice.roll(1 << 20) as f64 / f64::from(1 << 20)
}

/// How many facts a visit has.
fn length(dice: &mut Dice) -> u64 {
    if dice.roll(10) < 3 { 1 } else { 2 + dice.roll(13) }
}

/// A page, the first ones far more often than the last.
fn popular(dice: &mut Dice) -> u64 {
    (share(dice).powi(4) * PAGES as f64) as u64
}

impl Done {
    /// It, as it is recorded.
    #[must_use]
    pub fn event(&self) -> NewEvent {
        let Self { at, page, is_first, kind, .. } = *self;
        let (visitor, at) = (visitor(self.visitor), Timestamp::from_micros(at).unwrap());
        let (name, own) = match kind {
            0 => {
                let referrer = if is_first { r#","referrer":"https://example.org/""# } else { "" };
                ("PageViewed", format!(r#","title":"Page {page} of the site"{referrer}"#))
            }
            1 => ("ButtonClicked", r#","buttonId":"buy""#.to_owned()),
            _ => ("FormSubmitted", r#","formId":"contact""#.to_owned()),
        };
        let data =
            format!(r#"{{"visitorId":"{visitor}","timestamp":"{at}"{own},"pageId":"/pages/page-{page}"}}"#);
        let stream = StreamId::new(format!("visitor-{visitor}")).unwrap();
        NewEvent::new(stream, EventType::new(name).unwrap(), Json::new(data, 1 << 16).unwrap())
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    const FACTS: u64 = 200_000;

    #[test]
    fn a_year_is_of_visits_of_six_facts_by_visitors_who_return_to_pages_that_they_know() {
        let mut visits = Visits::of(FACTS);
        let all: Vec<Done> = (0..FACTS).map(|_| visits.happens()).collect();
        assert!(all.is_sorted_by_key(|done| done.at), "they come in the order of time");
        let (begin, end) = (all[0].at - YEAR_MICROS, all.last().unwrap().at - YEAR_MICROS);
        assert!(begin == 0 && (YEAR * 95 / 100..YEAR * 105 / 100).contains(&end), "they fill the year");
        let mean = FACTS as f64 / visits.visits() as f64;
        assert!((5.5..6.5).contains(&mean), "{mean} facts a visit");
        let come = visits.visits() as f64 / visits.visitors() as f64;
        assert!((2.2..2.8).contains(&come), "{come} visits a visitor");
        let looks = all.iter().filter(|done| done.kind == 0);
        let (mut looked, mut known) = (0, BTreeSet::new());
        for done in looks {
            looked += 1;
            known.insert((done.visitor, done.page));
        }
        let again = 1.0 - known.len() as f64 / f64::from(looked);
        assert!((0.25..0.6).contains(&again), "{again} of all looks are at a page that the visitor knows");
    }
}
