//! Where something is: versions in a stream, positions in the log, and the cursor that clients keep.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{EPOCH_BYTES_MAX, INTEGER_MAX};
use crate::words::{WordError, check_length, text_word};

/// The place of an event in its stream: 1, 2, 3, with no holes.
///
/// "No stream" is not version 0: it is `None`, a state of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct Version(i64);

impl Version {
    /// The version of a stream's first event.
    pub const FIRST: Self = Self(1);

    /// A version from 1 to 2^53 − 1.
    ///
    /// # Errors
    /// When the number is outside of that.
    pub fn new(number: i64) -> Result<Self, WordError> {
        match number {
            1..=INTEGER_MAX => Ok(Self(number)),
            _ => Err(WordError::new("version", format!("{number} is not between 1 and 2^53 - 1"))),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The version after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The version that the next event of a stream gets, whose last one is `last`.
    #[must_use]
    pub const fn after(last: Option<Self>) -> Self {
        match last {
            Some(version) => version.next(),
            None => Self::FIRST,
        }
    }

    /// The number of a version, and 0 for none: how many events a stream has.
    #[must_use]
    pub const fn count(last: Option<Self>) -> i64 {
        match last {
            Some(version) => version.0,
            None => 0,
        }
    }
}

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Version {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A place in the log: events stand at 1, 2, 3, dense, in the order of their commits. 0 is before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default, Serialize)]
#[serde(transparent)]
pub struct Position(i64);

impl Position {
    /// Before the first event.
    pub const START: Self = Self(0);
    /// The last position there can be.
    pub const MAX: Self = Self(INTEGER_MAX);

    /// A position from 0 to 2^53 − 1.
    ///
    /// # Errors
    /// When the number is outside of that.
    pub fn new(number: i64) -> Result<Self, WordError> {
        match number {
            0..=INTEGER_MAX => Ok(Self(number)),
            _ => Err(WordError::new("position", format!("{number} is not between 0 and 2^53 - 1"))),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> i64 {
        self.0
    }

    /// The position after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// The position before this one; the start stays the start.
    #[must_use]
    pub const fn previous(self) -> Self {
        Self(if self.0 == 0 { 0 } else { self.0 - 1 })
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(i64::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

text_word! {
    /// One continuous life of a log: 1 to 12 lower-case letters and digits.
    ///
    /// It changes when history may have changed under a reader: a restored backup, a failover that lost commits.
    Epoch, check_epoch
}

fn check_epoch(text: &str) -> Result<(), WordError> {
    check_length("epoch", text, EPOCH_BYTES_MAX)?;
    if !text.bytes().all(|byte| byte.is_ascii_digit() || byte.is_ascii_lowercase()) {
        return Err(WordError::new("epoch", "may only have lower-case letters and digits"));
    }
    Ok(())
}

impl Epoch {
    /// An epoch drawn from 128 random bits: 12 letters and digits.
    #[must_use]
    pub fn from_random(mut bits: u128) -> Self {
        const ALPHABET: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";
        let text: String = std::iter::repeat_with(|| {
            let letter = ALPHABET[usize::try_from(bits % 36).unwrap_or(0)];
            bits /= 36;
            char::from(letter)
        })
        .take(EPOCH_BYTES_MAX)
        .collect();
        Self(Arc::from(text))
    }
}

/// What a reader keeps to go on from: `epoch-position`, for example `k3f9-1024`.
///
/// Parsing is strict: `^[a-z0-9]{1,12}-(0|[1-9][0-9]{0,15})$`, at most 2^53 − 1. A cursor is
/// good as an HTTP header and an SSE id as it is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Cursor {
    epoch: Epoch,
    position: Position,
}

impl Cursor {
    /// The place `position` in the life `epoch` of a log.
    #[must_use]
    pub const fn new(epoch: Epoch, position: Position) -> Self {
        Self { epoch, position }
    }

    /// The life of the log that the position is in.
    #[must_use]
    pub const fn epoch(&self) -> &Epoch {
        &self.epoch
    }

    /// The position.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.epoch, self.position)
    }
}

impl FromStr for Cursor {
    type Err = WordError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let malformed = || WordError::new("cursor", "is not of the form epoch-position");
        let (epoch, number) = text.split_once('-').ok_or_else(malformed)?;
        let canonical =
            number == "0" || (!number.starts_with('0') && number.bytes().all(|b| b.is_ascii_digit()));
        if !canonical {
            return Err(malformed());
        }
        let number: i64 = number.parse().map_err(|_| malformed())?;
        Ok(Self { epoch: Epoch::new(epoch)?, position: Position::new(number)? })
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert_eq, proptest};

    use super::{Cursor, Epoch, Position, Version};

    #[test]
    fn numbers_stay_within_what_json_holds() {
        assert!(Version::new(0).is_err());
        assert!(Version::new(-1).is_err());
        assert!(Position::new(-1).is_err());
        assert!(Position::new(0).is_ok());
        assert!(Position::new((1 << 53) - 1).is_ok());
        assert!(Position::new(1 << 53).is_err());
        assert!(Version::new(1 << 53).is_err());
        assert!(serde_json::from_str::<Position>("-1").is_err());
        assert!(serde_json::from_str::<Version>("0").is_err());
        assert!(serde_json::from_str::<Position>("1.5").is_err());
    }

    #[test]
    fn the_next_version_of_no_stream_is_the_first() {
        assert_eq!(Version::after(None), Version::FIRST);
        assert_eq!(Version::after(Some(Version::FIRST)).get(), 2);
        assert_eq!(Position::START.previous(), Position::START);
    }

    #[test]
    fn cursors_are_parsed_strictly() {
        for bad in [
            "",
            "-",
            "e",
            "e-",
            "-1",
            "e-01",
            "e-+1",
            "e--1",
            "E-1",
            "e-1 ",
            " e-1",
            "e-1-2",
            "e-1x",
            "é-1",
            "abcdefghijklm-1",
            "e-9007199254740992",
            "e-99999999999999999999",
            "e-1\n",
        ] {
            assert!(bad.parse::<Cursor>().is_err(), "{bad:?} was taken");
        }
        for good in ["e-0", "abcdefghijkl-9007199254740991", "0-1"] {
            assert_eq!(good.parse::<Cursor>().unwrap().to_string(), good);
        }
    }

    proptest! {
        #[test]
        fn a_cursor_comes_back_from_its_text(bits in any::<u128>(), number in 0..=super::INTEGER_MAX) {
            let cursor = Cursor::new(Epoch::from_random(bits), Position::new(number).unwrap());
            prop_assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor.clone());
            prop_assert_eq!(Epoch::new(cursor.epoch().as_str()).unwrap(), cursor.epoch().clone());
        }

        #[test]
        fn no_text_makes_the_parser_panic(text in ".{0,40}") {
            if let Ok(cursor) = text.parse::<Cursor>() {
                prop_assert_eq!(cursor.to_string(), text);
            }
        }
    }
}
