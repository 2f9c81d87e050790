//! Time and ids as inputs: what a pure core may not make by itself.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use time::format_description::BorrowedFormatItem;
use time::macros::format_description;
use time::{OffsetDateTime, UtcOffset, format_description::well_known::Rfc3339};

use crate::event::EventId;
use crate::words::WordError;

/// A moment in UTC, to the microsecond, from the year 1 to the end of 9999.
///
/// Its text has a fixed width, `2026-11-21T09:30:00.123456Z`, so that texts sort as moments do.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(i64);

const TEXT: &[BorrowedFormatItem<'_>] =
    format_description!("[year]-[month]-[day]T[hour]:[minute]:[second].[subsecond digits:6]Z");
const MICROS_MIN: i64 = -62_135_596_800_000_000;
const MICROS_MAX: i64 = 253_402_300_799_999_999;

impl Timestamp {
    /// The first moment there is: when the year 1 begins.
    pub const MIN: Self = Self(MICROS_MIN);
    /// The last moment there is: the last of the year 9999.
    pub const MAX: Self = Self(MICROS_MAX);

    /// The moment `micros` microseconds after 1970 began.
    ///
    /// # Errors
    /// When that is before the year 1 or after 9999.
    pub fn from_micros(micros: i64) -> Result<Self, WordError> {
        match micros {
            MICROS_MIN..=MICROS_MAX => Ok(Self(micros)),
            _ => Err(WordError::new("time", "is not between the years 1 and 9999")),
        }
    }

    /// The moment, without what is finer than a microsecond.
    ///
    /// # Errors
    /// When it is before the year 1 or after 9999.
    pub fn from_time(moment: OffsetDateTime) -> Result<Self, WordError> {
        let micros = moment.unix_timestamp_nanos().div_euclid(1_000);
        Self::from_micros(i64::try_from(micros).unwrap_or(i64::MAX))
    }

    /// Microseconds since 1970 began.
    #[must_use]
    pub const fn micros(self) -> i64 {
        self.0
    }

    /// The moment as the `time` crate has it.
    #[must_use]
    pub fn to_time(self) -> OffsetDateTime {
        OffsetDateTime::from_unix_timestamp_nanos(i128::from(self.0) * 1_000)
            .unwrap_or(OffsetDateTime::UNIX_EPOCH)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.to_time().format(TEXT).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Timestamp({self})")
    }
}

impl FromStr for Timestamp {
    type Err = WordError;

    /// Takes any RFC 3339 time, with any offset.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let moment = OffsetDateTime::parse(text, &Rfc3339)
            .map_err(|_| WordError::new("time", "is not of the form 2026-11-21T09:30:00.123456Z"))?;
        let moment = moment.checked_to_offset(UtcOffset::UTC);
        Self::from_time(moment.ok_or_else(|| WordError::new("time", "is not between the years 1 and 9999"))?)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Says what time it is. The edge gives a real one; tests give the time they want.
pub trait Clock: Send + Sync + 'static {
    /// The time now. It may step backwards: whoever needs an order must not take it from here.
    fn now(&self) -> Timestamp;
}

/// Makes new ids. The edge gives a real source; tests give one that counts.
pub trait Ids: Send + Sync + 'static {
    /// An id that no event has had before. Ids that rise with time keep a store's index small.
    fn event_id(&self, now: Timestamp) -> EventId;
    /// 128 bits that nobody can guess.
    fn random(&self) -> u128;
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    #[test]
    fn the_text_has_a_fixed_width() {
        let moment: Timestamp = "2026-11-21T09:30:00.1Z".parse().unwrap();
        assert_eq!(moment.to_string(), "2026-11-21T09:30:00.100000Z");
        assert_eq!(Timestamp::from_micros(-1).unwrap().to_string(), "1969-12-31T23:59:59.999999Z");
        assert_eq!(
            Timestamp::from_micros(super::MICROS_MAX).unwrap().to_string(),
            "9999-12-31T23:59:59.999999Z"
        );
        assert_eq!(
            Timestamp::from_micros(super::MICROS_MIN).unwrap().to_string(),
            "0001-01-01T00:00:00.000000Z"
        );
    }

    #[test]
    fn offsets_are_brought_to_utc() {
        let here: Timestamp = "2026-11-21T10:30:00+01:00".parse().unwrap();
        assert_eq!(here, "2026-11-21T09:30:00Z".parse().unwrap());
    }

    #[test]
    fn other_texts_are_refused() {
        for bad in
            ["", "now", "2026-11-21", "2026-11-21 09:30", "2026-13-01T00:00:00Z", "9999-12-31T23:59:59-01:00"]
        {
            assert!(bad.parse::<Timestamp>().is_err(), "{bad} was taken");
        }
        assert!(Timestamp::from_micros(i64::MAX).is_err());
    }
}
