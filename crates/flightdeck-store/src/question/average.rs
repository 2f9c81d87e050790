//! What counts by day come to on average: a pure sum over an answer.

use std::collections::BTreeMap;
use std::num::NonZeroU32;

use flightdeck_core::EventType;
use flightdeck_core::limits::QUESTION_ROWS_MAX;

use super::{Day, DayCount, TooMuch};

/// How many events of a type a day and those before it have on average.
#[derive(Debug, Clone, PartialEq)]
pub struct DayAverage {
    /// The last of the days that are averaged.
    pub day: Day,
    /// The type.
    pub event_type: EventType,
    /// How many a day.
    pub events: f64,
}

/// The rolling average of `counts` over so many days, for each day from `first` to `last` and each type that is counted, by day
/// and then by type. A day without any counts as one of none: so ask for the counts of the days before `first` as well.
///
/// # Errors
/// When that is more rows than an answer may have.
pub fn averages(
    counts: &[DayCount],
    first: Day,
    last: Day,
    over: NonZeroU32,
) -> Result<Vec<DayAverage>, TooMuch> {
    let mut types: BTreeMap<&EventType, Vec<(i64, i64)>> = BTreeMap::new();
    for count in counts {
        types.entry(&count.event_type).or_default().push((count.day.number(), count.events));
    }
    let days = usize::try_from(last.number() - first.number() + 1).unwrap_or(0);
    if days.saturating_mul(types.len()) > QUESTION_ROWS_MAX {
        return Err(TooMuch::Rows { rows_max: QUESTION_ROWS_MAX });
    }
    let mut rows = Vec::new();
    for (event_type, mut counts) in types {
        counts.sort_unstable();
        let (mut entering, mut leaving) = (counts.iter().peekable(), counts.iter().peekable());
        let mut sum = 0;
        for day in std::iter::successors(Some(first), |day| day.next()).take(days) {
            let until = day.number();
            while let Some((_, events)) = entering.next_if(|(at, _)| *at <= until) {
                sum += events;
            }
            while let Some((_, events)) = leaving.next_if(|(at, _)| *at <= until - i64::from(over.get())) {
                sum -= events;
            }
            rows.push(DayAverage { day, event_type: event_type.clone(), events: mean(sum, over) });
        }
    }
    rows.sort_by(|one, other| (one.day, &one.event_type).cmp(&(other.day, &other.event_type)));
    Ok(rows)
}

#[expect(clippy::cast_precision_loss, reason = "a budget of events is far below 2^53")]
fn mean(sum: i64, over: NonZeroU32) -> f64 {
    sum as f64 / f64::from(over.get())
}

#[cfg(test)]
mod tests {
    use super::{Day, DayCount, EventType, NonZeroU32, TooMuch, averages};

    fn day(text: &str) -> Day {
        text.parse().unwrap()
    }

    fn counts(rows: &[(&str, &str, i64)]) -> Vec<DayCount> {
        let count = |(text, of, events): &(&str, &str, i64)| DayCount {
            day: day(text),
            event_type: EventType::new(of).unwrap(),
            events: *events,
        };
        rows.iter().map(count).collect()
    }

    #[test]
    fn a_rolling_average_counts_days_without_any_and_days_before() {
        let counts = counts(&[
            ("2026-02-26", "A", 90),
            ("2026-02-27", "A", 6),
            ("2026-02-27", "B", 3),
            ("2026-03-01", "A", 3),
            ("2026-03-03", "A", 90),
        ]);
        let three = NonZeroU32::new(3).unwrap();
        let rows = averages(&counts, day("2026-03-01"), day("2026-03-02"), three).unwrap();
        let rows: Vec<_> = rows
            .iter()
            .map(|row| (row.day.to_string(), row.event_type.to_string(), row.events.to_bits()))
            .collect();
        let row = |day: &str, of: &str, events: f64| (day.to_owned(), of.to_owned(), events.to_bits());
        assert_eq!(
            rows,
            [
                row("2026-03-01", "A", 3.0),
                row("2026-03-01", "B", 1.0),
                row("2026-03-02", "A", 1.0),
                row("2026-03-02", "B", 0.0),
            ]
        );
    }

    #[test]
    fn a_rolling_average_without_end_is_refused() {
        let counts = counts(&[("2026-02-26", "A", 1)]);
        let one = NonZeroU32::MIN;
        let answer = averages(&counts, day("0001-01-01"), day("9999-12-31"), one);
        assert!(matches!(answer, Err(TooMuch::Rows { .. })));
        assert_eq!(averages(&counts, day("2026-02-27"), day("2026-02-26"), one), Ok(vec![]));
        assert_eq!(averages(&[], day("2026-02-26"), day("2026-02-26"), one), Ok(vec![]));
    }
}
