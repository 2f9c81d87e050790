//! The view `log_days`: how many events of each type the log took in, by day in UTC.
//!
//! It is about the log, so what counts is when an event was recorded. The system's own streams (`$…`) are not in it: who may see
//! everything may not see those.

use std::time::Duration;

use flightdeck_core::{EventType, Timestamp};
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::view::{
    Answers, Compare, FoldError, InvalidPlan, Key, Kind, Rows, Table, Value, ViewError, ViewName, ViewQuery,
};
use flightdeck_store::{Recorded, StreamPattern};
use thiserror::Error;

use crate::{LOG_GATHER, fact};

/// The name of the view, and of its one table.
pub const NAME: &str = "log_days";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;
/// Days that can be asked for at once, and days of one average.
pub const DAYS_MAX: usize = 10_000;

/// The type of the rows in which all events of a day are counted. No type is called that.
const ANY: &str = "";
const DAY_MICROS: i64 = 86_400_000_000;

/// The projection of the view `log_days`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogDaysView;

impl Projection for LogDaysView {
    fn name(&self) -> &'static str {
        NAME
    }

    fn number(&self) -> u32 {
        NUMBER
    }

    fn reads(&self) -> Reads {
        Reads::everything()
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::named(NAME)
                .key("event_type", Kind::Text)
                .key("day", Kind::Time)
                .column("events", Kind::Integer)
                .index(&["day"]),
        ]
    }

    fn gather(&self) -> Option<Duration> {
        Some(LOG_GATHER)
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(places(event).into_iter().flatten().map(|key| Key::all_of(NAME, key)).collect())
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        for key in places(event).into_iter().flatten() {
            let new = || [key.to_vec(), vec![Value::Integer(0)]].concat();
            fact::upsert(rows, NAME, &key, new, |row| fact::add_one(row, "events"))?;
        }
        Ok(())
    }
}

/// The rows in which an event is counted.
fn places(event: &Recorded) -> Option<[[Value; 2]; 2]> {
    let day = Value::Time(midnight(event.recorded_at)?);
    let of = |name: &str| [name.into(), day.clone()];
    (!event.stream.is_system()).then(|| [of(ANY), of(event.event_type.as_str())])
}

fn midnight(at: Timestamp) -> Option<Timestamp> {
    Timestamp::from_micros(at.micros() - at.micros().rem_euclid(DAY_MICROS)).ok()
}

/// What is asked.
#[derive(Debug, Clone)]
pub struct Days {
    /// From the day of this moment on.
    pub from: Timestamp,
    /// Up to the day of the moment before this one.
    pub to: Timestamp,
    /// Of which type; `None` is all together.
    pub event_type: Option<EventType>,
    /// Over how many days an average is taken, the day itself included.
    pub average_over: usize,
    /// The streams that the caller may read; `None` is all. Who may not read all of them gets days without events.
    pub streams: Option<Vec<StreamPattern>>,
}

/// What the log took in on one day.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Day {
    /// When it begins.
    pub start: Timestamp,
    /// How many events.
    pub events: i64,
    /// How many a day on average, over the days that were asked for and end with this one.
    pub average: f64,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum DaysError {
    /// The time ends before it begins.
    #[error("the time ends before it begins")]
    Backwards,
    /// An average over no days, or over too many, or too many days.
    #[error("1 to {DAYS_MAX} days can be asked for, with an average over as many")]
    HowMany,
    /// The view can't be asked.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<InvalidPlan> for DaysError {
    fn from(error: InvalidPlan) -> Self {
        Self::View(error.into())
    }
}

/// Every day of a time, also those on which nothing happened, each with the average of the days up to it. Days before `from` are in
/// the first averages; a day without events is a day with 0.
///
/// # Errors
/// When the time ends before it begins or is too long, or when the view can't be asked.
pub async fn days(views: &(impl Answers + ?Sized), asked: Days) -> Result<Vec<Day>, DaysError> {
    if asked.to < asked.from {
        return Err(DaysError::Backwards);
    }
    let first = asked.from.micros().div_euclid(DAY_MICROS);
    let end = -(-asked.to.micros()).div_euclid(DAY_MICROS);
    let many = usize::try_from(end - first).unwrap_or(0);
    let over = asked.average_over;
    if many > DAYS_MAX || !(1..=DAYS_MAX).contains(&over) {
        return Err(DaysError::HowMany);
    }
    let earliest = first - i64::try_from(over - 1).unwrap_or(0);
    let mut events = vec![0_i64; over - 1 + many];
    let name = asked.event_type.as_ref().map_or(ANY, |name| name.as_str());
    let query = ViewQuery { streams: asked.streams, ..ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME) };
    let mut query = query.filter("event_type", Compare::Equal(name.into()));
    // What lies before all time bounds nothing.
    if let Ok(before) = Timestamp::from_micros(earliest.saturating_mul(DAY_MICROS) - 1) {
        query = query.filter("day", Compare::More(before.into()));
    }
    let mut query = Some(query.filter("day", Compare::Less(asked.to.into())));
    while let Some(asking) = query.take() {
        let page = views.answer(&asking).await?;
        for row in &page.rows {
            let day = row.time("day").map(|day| day.micros().div_euclid(DAY_MICROS) - earliest);
            let place = day.and_then(|day| usize::try_from(day).ok());
            if let Some(found) = place.and_then(|place| events.get_mut(place)) {
                *found = row.integer("events").unwrap_or(0);
            }
        }
        query = asking.next(&page);
    }
    let mut days = Vec::with_capacity(many);
    let mut sum: i64 = events[..over - 1].iter().sum();
    for (at, start) in (first..end).enumerate() {
        sum += events[at + over - 1];
        if let Ok(start) = Timestamp::from_micros(start.saturating_mul(DAY_MICROS)) {
            days.push(Day { start, events: events[at + over - 1], average: sum as f64 / over as f64 });
        }
        sum -= events[at];
    }
    Ok(days)
}

#[cfg(test)]
mod tests;
