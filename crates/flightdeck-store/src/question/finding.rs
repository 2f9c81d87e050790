//! An answer that is being found: what one event after the other adds to it, and when it has to stop. All stores share it.

use std::cmp::Ordering;
use std::collections::{BTreeMap, HashMap};
use std::time::Instant;

use flightdeck_core::limits::{QUESTION_ROWS_MAX, QUESTION_STREAMS_MAX};
use flightdeck_core::{Cursor, EventType, Position, StreamId};

use super::scalar::has;
use super::{AlikeStream, Ask, Day, DayCount, Found, LogAnswer, LogQuestion, SilentStream, TooMuch};
use crate::event::Recorded;
use crate::page::{Filling, Span};
use crate::read::{Direction, Filter};

static EVERYTHING: Filter = Filter::ALL;

/// An answer that is being found.
///
/// A store asks [`next`](Self::next) which stretch is to be looked at, shows every event of it that passes the filter, in the order
/// of the log, and says how far that was, until there is no next one.
#[derive(Debug)]
pub struct Finding<'q> {
    question: &'q LogQuestion,
    gathered: Gathered,
    span: Span,
    /// Where the budget ends.
    until: Position,
    scanned_to: Position,
    begun: Instant,
    full: bool,
}

#[derive(Debug)]
enum Gathered {
    Events(Filling<'static>),
    Days(BTreeMap<(Day, EventType), i64>),
    Silent(Vec<SilentStream>),
    Alike(Mixes),
}

impl<'q> Finding<'q> {
    /// Begins to answer a question that is about the events behind `after`, up to `until`, which is not beyond the head.
    ///
    /// # Errors
    /// When it is to come whole, and is about more than its budget.
    pub fn begin(question: &'q LogQuestion, after: Position, until: Position) -> Result<Self, TooMuch> {
        let span = Span { after, until, direction: Direction::Forward };
        let (events, events_max) = (until.get().saturating_sub(after.get()), question.budget.events());
        if question.is_whole() && events > events_max {
            return Err(TooMuch::Events { events, events_max });
        }
        let gathered = match &question.ask {
            Ask::Events { limit, .. } => Gathered::Events(Filling::new(&EVERYTHING, limit.get())),
            Ask::Days => Gathered::Days(BTreeMap::new()),
            Ask::Silent { .. } => Gathered::Silent(Vec::new()),
            Ask::Alike { .. } => Gathered::Alike(Mixes::default()),
        };
        let budget_ends = Position::new(after.get().saturating_add(events_max)).unwrap_or(until);
        Ok(Self {
            question,
            gathered,
            span,
            until: until.min(budget_ends),
            scanned_to: after,
            begun: Instant::now(),
            full: false,
        })
    }

    /// The stretch that is to be looked at next: behind the first, up to the second. `None`: the answer is ready.
    ///
    /// # Errors
    /// When it is to come whole, and its time is up.
    pub fn next(&self) -> Result<Option<(Position, Position)>, TooMuch> {
        if self.scanned_to >= self.until || self.full {
            return Ok(None);
        }
        let time = self.question.budget.time();
        let is_late = self.begun.elapsed() >= time;
        if is_late && self.question.is_whole() {
            return Err(TooMuch::Time { time_ms_max: time.as_millis() });
        }
        // What may be cut looks at something, however little time it has: or its caller would never come to the end.
        let has_looked = self.scanned_to > self.span.after;
        Ok((!is_late || !has_looked).then_some((self.scanned_to, self.until)))
    }

    /// Whether it has to be known of an event whether it is its stream's last.
    #[must_use]
    pub const fn asks_for_the_last(&self) -> bool {
        matches!(self.gathered, Gathered::Silent(_))
    }

    /// Looks at an event that passes the filter. `false`: the answer is full, and the event is not looked at.
    ///
    /// # Errors
    /// When the answer would have too many rows.
    pub fn look_at(&mut self, event: &Recorded, is_last: bool) -> Result<bool, TooMuch> {
        let fits = match (&mut self.gathered, &self.question.ask) {
            (Gathered::Events(page), Ask::Events { part, path, value, .. }) => {
                !has(event, *part, path, value) || page.look_at(event.clone())
            }
            (Gathered::Silent(streams), Ask::Silent { limit }) if is_last => {
                let fits = streams.len() < limit.get();
                if fits {
                    streams.push(silent(event));
                }
                fits
            }
            (Gathered::Days(days), _) => {
                *days.entry((Day::of(event.recorded_at), event.event_type.clone())).or_default() += 1;
                if days.len() > QUESTION_ROWS_MAX {
                    return Err(TooMuch::Rows { rows_max: QUESTION_ROWS_MAX });
                }
                true
            }
            (Gathered::Alike(mixes), _) => {
                mixes.add(event);
                let (streams, types) = (mixes.streams.len(), mixes.types.len());
                // What is held is the names of both, and a number for each pair that there is.
                if streams > QUESTION_STREAMS_MAX || types > QUESTION_STREAMS_MAX / 10 {
                    return Err(TooMuch::Rows { rows_max: QUESTION_STREAMS_MAX });
                }
                true
            }
            _ => true,
        };
        if !fits {
            self.scanned_to = event.position.previous();
            self.full = true;
        }
        Ok(fits)
    }

    /// Says that everything up to there was looked at.
    pub fn looked_to(&mut self, position: Position) {
        self.scanned_to = position;
        // Full to the brim: whether there is more, the next answer says.
        self.full = match (&self.gathered, &self.question.ask) {
            (Gathered::Events(page), _) => page.events.len() == page.limit,
            (Gathered::Silent(streams), Ask::Silent { limit }) => streams.len() == limit.get(),
            _ => false,
        };
    }

    /// The answer, by the head that it goes by.
    #[must_use]
    pub fn answer(self, head: Cursor) -> LogAnswer {
        let found = match (self.gathered, &self.question.ask) {
            (Gathered::Events(page), _) => Found::Events(page.events),
            (Gathered::Days(days), _) => {
                let row = |((day, event_type), events)| DayCount { day, event_type, events };
                Found::Days(days.into_iter().map(row).collect())
            }
            (Gathered::Silent(streams), _) => Found::Silent(streams),
            (Gathered::Alike(mixes), Ask::Alike { stream, limit }) => {
                Found::Alike(mixes.most_like(stream, limit.get()))
            }
            (Gathered::Alike(_), _) => Found::Alike(Vec::new()),
        };
        LogAnswer { found, scanned_to: self.scanned_to, head, end: self.scanned_to >= self.span.until }
    }
}

fn silent(event: &Recorded) -> SilentStream {
    SilentStream {
        stream: event.stream.clone(),
        position: event.position,
        version: event.version,
        updated: event.recorded_at,
    }
}

/// How many events of each type each stream has. Types go by numbers, for many streams have the same few.
#[derive(Debug, Default)]
struct Mixes {
    types: HashMap<EventType, usize>,
    streams: HashMap<StreamId, Mix>,
}

/// Types and how many there are of each, in the order in which they came.
type Mix = Vec<(usize, u64)>;

impl Mixes {
    fn add(&mut self, event: &Recorded) {
        let next = self.types.len();
        let event_type = match self.types.get(&event.event_type) {
            Some(number) => *number,
            None => *self.types.entry(event.event_type.clone()).or_insert(next),
        };
        if !self.streams.contains_key(&event.stream) {
            self.streams.insert(event.stream.clone(), Mix::new());
        }
        let Some(mix) = self.streams.get_mut(&event.stream) else { return };
        match mix.iter_mut().find(|(of, _)| *of == event_type) {
            Some((_, count)) => *count += 1,
            None => mix.push((event_type, 1)),
        }
    }

    fn most_like(&self, stream: &StreamId, limit: usize) -> Vec<AlikeStream> {
        let Some(own) = self.streams.get(stream) else { return Vec::new() };
        let mut counts = vec![0; self.types.len()];
        for (event_type, count) in own {
            counts[*event_type] = *count;
        }
        let near = |(name, mix): (&StreamId, &Mix)| {
            let common = mix.iter().map(|(event_type, count)| counts[*event_type] * count).sum();
            (name != stream && common > 0).then(|| Near { name: name.clone(), common, size: size(mix) })
        };
        let mut near: Vec<Near> = self.streams.iter().filter_map(near).collect();
        near.sort_by(Near::order);
        near.truncate(limit);
        let row = |near: Near| AlikeStream {
            similarity: near.similarity(size(own)),
            events: self.streams[&near.name].iter().map(|(_, count)| *count as i64).sum(),
            stream: near.name,
        };
        near.into_iter().map(row).collect()
    }
}

/// The square of a mix's length. A budget's worth of events makes at most its square, which a double holds exactly.
fn size(mix: &Mix) -> u64 {
    mix.iter().map(|(_, count)| count * count).sum()
}

/// A stream that has types in common with the one that was asked about.
struct Near {
    name: StreamId,
    /// The product of both mixes.
    common: u64,
    size: u64,
}

impl Near {
    /// The most similar first; of those that are exactly as similar, by the bytes of the name. Squares of whole numbers are compared:
    /// two cosines may differ by less than a double can tell.
    fn order(&self, other: &Self) -> Ordering {
        let weight =
            |one: &Self, by: &Self| u128::from(one.common) * u128::from(one.common) * u128::from(by.size);
        weight(other, self).cmp(&weight(self, other)).then_with(|| self.name.cmp(&other.name))
    }

    #[expect(clippy::cast_precision_loss, reason = "at most a million squared, which a double holds exactly")]
    fn similarity(&self, own_size: u64) -> f64 {
        let squared = u128::from(self.common) * u128::from(self.common);
        if squared == u128::from(self.size) * u128::from(own_size) {
            return 1.0;
        }
        self.common as f64 / ((self.size as f64).sqrt() * (own_size as f64).sqrt())
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use flightdeck_core::StreamId;

    use super::Near;

    /// How near a mix of `less` and `less + 1` is to one of 1 and 1: the nearer the larger.
    fn near(name: &str, less: u64) -> Near {
        let more = less + 1;
        Near { name: StreamId::new(name).unwrap(), common: less + more, size: less * less + more * more }
    }

    #[test]
    fn similarity_is_compared_more_exactly_than_a_double_can() {
        let (less, more) = (near("a-1", 400_000), near("a-2", 400_001));
        assert_eq!(less.similarity(2).to_bits(), more.similarity(2).to_bits(), "a double can't tell");
        assert_eq!(more.order(&less), Ordering::Less);
        assert_eq!(near("a-1", 7).order(&near("a-2", 7)), Ordering::Less);
        let same = Near { name: StreamId::new("a-3").unwrap(), common: 21, size: 7 * 7 * 3 };
        assert_eq!(same.similarity(3).to_bits(), 1.0_f64.to_bits(), "the same mix, seven times over");
    }
}
