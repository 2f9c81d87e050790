//! Zones, and where hours, days, weeks and months begin in them.
//!
//! Zones come from a copy of the tz database within the program, so that every node and every machine knows the same ones.

use flightdeck_core::Timestamp;
use jiff::civil::Date;
use jiff::tz::{AmbiguousOffset, Offset, TimeZone, TimeZoneDatabase};
use jiff::{Timestamp as Moment, ToSpan};
use thiserror::Error;

/// Buckets of one series.
pub const BUCKETS_MAX: usize = 10_000;
/// Rows that one series is added up from. A bucket of a zone whose days are not those of UTC takes more of them.
pub const SERIES_ROWS_MAX: usize = 50_000;

/// A quarter of an hour, in seconds: the offsets of all zones are multiples of it, and have been since 1972.
pub(crate) const QUARTER: i64 = 900;
const HOUR: i64 = 3_600;

/// A zone of the tz database.
#[derive(Debug, Clone, PartialEq)]
pub struct Zone(TimeZone);

/// There is no such zone.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("there is no zone {0:?}; zones are named like Europe/Berlin")]
pub struct UnknownZone(String);

impl Zone {
    /// UTC.
    pub const UTC: Self = Self(TimeZone::UTC);

    /// The zone of that name: `Europe/Berlin`, `UTC`.
    ///
    /// # Errors
    /// When there is none.
    pub fn named(name: &str) -> Result<Self, UnknownZone> {
        let zone = TimeZoneDatabase::bundled().get(name);
        zone.map(Self).map_err(|_| UnknownZone(name.chars().take(80).collect()))
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.0.iana_name().unwrap_or("UTC")
    }

    fn offset(&self, moment: Moment) -> i64 {
        i64::from(self.0.to_offset(moment).seconds())
    }

    fn date(&self, moment: Moment) -> Date {
        self.0.to_datetime(moment).date()
    }

    /// When a date begins: when it is first seen on the clock. One that is skipped begins with the one behind it.
    fn begins(&self, date: Date) -> Option<Moment> {
        let midnight = date.at(0, 0, 0, 0);
        let ambiguous = self.0.to_ambiguous_timestamp(midnight);
        match ambiguous.offset() {
            AmbiguousOffset::Gap { before, .. } => {
                let behind = before.to_timestamp(midnight).ok()?.checked_add(1.second()).ok()?;
                self.0.preceding(behind).next().map(|change| change.timestamp())
            }
            _ => ambiguous.earlier().ok(),
        }
    }

    /// When the clock is next changed behind a moment.
    fn next_change(&self, moment: Moment) -> Option<Moment> {
        self.0.following(moment).next().map(|change| change.timestamp())
    }
}

impl Default for Zone {
    fn default() -> Self {
        Self::UTC
    }
}

/// How long a bucket of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Step {
    /// An hour on the clock. A change of the clock begins another one, so that next to it one may be shorter.
    Hour,
    /// A day: 23 or 25 hours when the clock is changed.
    Day,
    /// A week, from Monday on (ISO 8601).
    Week,
    /// A month.
    Month,
}

/// Why a time can't be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum InvalidSpan {
    /// It ends before it begins.
    #[error("the time ends before it begins")]
    Backwards,
    /// It has too many buckets.
    #[error("the time has more than {BUCKETS_MAX} buckets: ask for less of it, or for longer ones")]
    TooMany,
    /// Its buckets are added up from too many rows.
    #[error("the time is added up from more than {SERIES_ROWS_MAX} rows: ask for less of it, or in UTC")]
    TooMuch,
}

/// The borders, in seconds, of all buckets that have a moment of `from..to` in them: one more than there are buckets, or none.
pub(crate) fn borders(
    from: Timestamp,
    to: Timestamp,
    step: Step,
    zone: &Zone,
) -> Result<Vec<i64>, InvalidSpan> {
    if to < from {
        return Err(InvalidSpan::Backwards);
    }
    let (from, to) = (from.micros().div_euclid(1_000_000), -(-to.micros()).div_euclid(1_000_000));
    if to <= from {
        return Ok(Vec::new());
    }
    let found = match step {
        Step::Hour => hours(from, to, zone)?,
        Step::Day | Step::Week | Step::Month => dates(from, to, step, zone)?,
    };
    // Before 1972 offsets were of any size; a border is where its quarter of an hour begins.
    let mut borders: Vec<i64> = found.into_iter().map(|border| border - border.rem_euclid(QUARTER)).collect();
    borders.dedup();
    // A date that is seen twice around midnight may begin behind its own end.
    let first = borders.iter().rposition(|border| *border <= from).unwrap_or(0);
    borders.drain(..first);
    Ok(borders)
}

fn moment(seconds: i64) -> Moment {
    Moment::from_second(seconds).unwrap_or(if seconds < 0 { Moment::MIN } else { Moment::MAX })
}

fn hours(from: i64, to: i64, zone: &Zone) -> Result<Vec<i64>, InvalidSpan> {
    let floor = |seconds: i64, offset: i64| seconds - (seconds + offset).rem_euclid(HOUR);
    let mut offset = zone.offset(moment(from));
    let mut at = floor(from, offset);
    if let Some(change) = zone.0.preceding(moment(from + 1)).next()
        && change.timestamp().as_second() > at
    {
        at = change.timestamp().as_second();
    }
    let mut change = zone.next_change(moment(from));
    let mut borders = vec![at];
    while at < to {
        let next = floor(at, offset) + HOUR;
        match change {
            Some(changed) if changed.as_second() <= next => {
                let was = std::mem::replace(&mut offset, zone.offset(changed));
                change = zone.next_change(changed);
                // Names change too, and nothing begins with that.
                if offset == was && changed.as_second() < next {
                    continue;
                }
                at = changed.as_second();
            }
            _ => at = next,
        }
        borders.push(at);
        if borders.len() > BUCKETS_MAX + 1 {
            return Err(InvalidSpan::TooMany);
        }
    }
    Ok(borders)
}

fn dates(from: i64, to: i64, step: Step, zone: &Zone) -> Result<Vec<i64>, InvalidSpan> {
    let today = zone.date(moment(from));
    let weekday = i64::from(today.weekday().to_monday_zero_offset());
    let first = match step {
        Step::Week => today.checked_sub(weekday.days()).unwrap_or(today),
        Step::Month => today.first_of_month(),
        Step::Hour | Step::Day => today,
    };
    let length = match step {
        Step::Week => 1.week(),
        Step::Month => 1.month(),
        Step::Hour | Step::Day => 1.day(),
    };
    let (mut date, mut borders) = (first, Vec::new());
    // Where there are no more dates, a bucket ends with what was asked for.
    let end = to + QUARTER - 1;
    loop {
        let begins = zone.begins(date).map_or(end, Moment::as_second);
        if borders.last() != Some(&begins) {
            borders.push(begins);
        }
        if begins >= to {
            return Ok(borders);
        }
        if borders.len() > BUCKETS_MAX {
            return Err(InvalidSpan::TooMany);
        }
        match date.checked_add(length) {
            Ok(next) => date = next,
            Err(_) => {
                borders.push(end);
                return Ok(borders);
            }
        }
    }
}

/// The first second of the month in UTC that a second is in, and of the one behind it.
pub(crate) fn utc_month(seconds: i64) -> (i64, i64) {
    let first = Offset::UTC.to_datetime(moment(seconds)).date().first_of_month();
    let begins = |date: Date| Offset::UTC.to_timestamp(date.at(0, 0, 0, 0)).map(Moment::as_second);
    let next = first.checked_add(1.month()).and_then(begins);
    (begins(first).unwrap_or(seconds), next.unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests;
