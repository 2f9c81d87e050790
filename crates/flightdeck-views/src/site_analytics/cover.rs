//! Which rows make up a time: the coarsest that fit into it, and finer ones at its edges.

use std::sync::LazyLock;

use flightdeck_store::view::Value;

use super::{EXACT_HOUR, EXACT_MAX};
use crate::zone::{QUARTER, utc_month};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;

/// How long the time of a row is, in UTC.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum Grain {
    Quarter,
    Hour,
    Day,
    Month,
    /// All time there is.
    All,
}

static VALUES: LazyLock<[Value; 5]> =
    LazyLock::new(|| ["quarter", "hour", "day", "month", "all"].map(Value::from));

impl Grain {
    pub(crate) const EACH: [Self; 5] = [Self::Quarter, Self::Hour, Self::Day, Self::Month, Self::All];

    /// As it stands in the table.
    pub(crate) fn value(self) -> Value {
        VALUES[self as usize].clone()
    }

    /// Up to how many visitors are told apart exactly. There are many rows of the fine ones.
    pub(crate) const fn exact_max(self) -> usize {
        match self {
            Self::Quarter | Self::Hour => EXACT_HOUR,
            Self::Day | Self::Month | Self::All => EXACT_MAX,
        }
    }

    /// The same of the grain that stands in the table like that.
    pub(crate) fn exact_max_of(value: &Value) -> usize {
        Self::EACH
            .into_iter()
            .find(|grain| VALUES[*grain as usize] == *value)
            .map_or(EXACT_MAX, Self::exact_max)
    }

    /// Where the row begins that a second is in.
    pub(crate) fn floor(self, second: i64) -> i64 {
        match self {
            Self::Quarter => second - second.rem_euclid(QUARTER),
            Self::Hour => second - second.rem_euclid(HOUR),
            Self::Day => second - second.rem_euclid(DAY),
            Self::Month => utc_month(second).0,
            Self::All => 0,
        }
    }

    /// Where a row ends that begins there; `None` when none begins there.
    fn end(self, start: i64) -> Option<i64> {
        let of = |length: i64| (start.rem_euclid(length) == 0).then_some(start + length);
        match self {
            Self::Quarter => of(QUARTER),
            Self::Hour => of(HOUR),
            Self::Day => of(DAY),
            Self::Month => {
                of(DAY)?;
                let (first, next) = utc_month(start);
                (first == start).then_some(next)
            }
            Self::All => None,
        }
    }

    /// About how long it is, to tell whether what is wanted lies close together.
    pub(crate) const fn seconds(self) -> i64 {
        match self {
            Self::Quarter => QUARTER,
            Self::Hour => HOUR,
            Self::Day => DAY,
            Self::Month | Self::All => 31 * DAY,
        }
    }
}

/// The rows that make up a time whose borders are quarters of an hour, in their order.
pub(crate) fn cover(from: i64, to: i64) -> impl Iterator<Item = (Grain, i64)> {
    let mut at = from;
    std::iter::from_fn(move || {
        if at >= to {
            return None;
        }
        let start = at;
        for grain in [Grain::Month, Grain::Day, Grain::Hour] {
            if let Some(end) = grain.end(start).filter(|end| *end <= to) {
                at = end;
                return Some((grain, start));
            }
        }
        at = start + QUARTER;
        Some((Grain::Quarter, start))
    })
}
