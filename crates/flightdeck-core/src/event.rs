//! What names an event: its id, its type, and the number of the shape its data has.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::Uuid;

use crate::limits::EVENT_TYPE_BYTES_MAX;
use crate::words::{WordError, check_length, text_word};

/// The id of an event: a UUID, written in lower case with hyphens, never nil.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EventId(Uuid);

impl EventId {
    /// Takes any UUID but the nil one.
    ///
    /// # Errors
    /// When the UUID is nil.
    pub fn new(uuid: Uuid) -> Result<Self, WordError> {
        if uuid.is_nil() {
            return Err(WordError::new("event id", "is the nil UUID"));
        }
        Ok(Self(uuid))
    }

    /// The UUID.
    #[must_use]
    pub const fn uuid(&self) -> &Uuid {
        &self.0
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        self.0.as_bytes()
    }
}

impl fmt::Display for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.as_hyphenated().fmt(f)
    }
}

impl fmt::Debug for EventId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "EventId({self})")
    }
}

impl FromStr for EventId {
    type Err = WordError;

    /// Takes the one canonical form: two texts never mean the same id.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let uuid = Uuid::try_parse(text).map_err(|_| WordError::new("event id", "is not a UUID"))?;
        let id = Self::new(uuid)?;
        if id.to_string() != text {
            return Err(WordError::new("event id", "is not written in lower case with hyphens"));
        }
        Ok(id)
    }
}

impl Serialize for EventId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for EventId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

text_word! {
    /// The stored name of a kind of event, for example `ContentCreated`: `[A-Za-z][A-Za-z0-9_.:-]{0,63}`.
    EventType, check_event_type
}

fn check_event_type(name: &str) -> Result<(), WordError> {
    const WHAT: &str = "event type";
    check_length(WHAT, name, EVENT_TYPE_BYTES_MAX)?;
    if !name.starts_with(|first: char| first.is_ascii_alphabetic()) {
        return Err(WordError::new(WHAT, "does not begin with a letter"));
    }
    match name.chars().find(|c| !(c.is_ascii_alphanumeric() || "_.:-".contains(*c))) {
        Some(bad) => Err(WordError::new(WHAT, format!("has {bad:?}, which is not allowed"))),
        None => Ok(()),
    }
}

/// Which shape the data of an event has; the first is 1. A new shape of a type gets the next number.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SchemaNumber(u32);

impl SchemaNumber {
    /// The first shape of a type.
    pub const FIRST: Self = Self(1);

    /// A number from 1 to 2^31 − 1.
    ///
    /// # Errors
    /// When the number is outside of that.
    pub fn new(number: u32) -> Result<Self, WordError> {
        match number {
            1..=0x7fff_ffff => Ok(Self(number)),
            _ => Err(WordError::new("schema number", format!("{number} is not between 1 and 2^31 - 1"))),
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u32 {
        self.0
    }
}

impl fmt::Display for SchemaNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<'de> Deserialize<'de> for SchemaNumber {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(u32::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// The key that personal fields of an event are encrypted with. Reserved: no event has one yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct KeyId([u8; 16]);

impl KeyId {
    /// A key's id from its 16 bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    /// The 16 bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

#[cfg(test)]
mod tests {
    use super::{EventId, EventType, SchemaNumber};

    #[test]
    fn an_event_id_has_one_text() {
        let text = "0192f3a4-7b1c-7def-8123-456789abcdef";
        assert_eq!(text.parse::<EventId>().unwrap().to_string(), text);
        for bad in [
            "",
            "x",
            "0192F3A4-7B1C-7DEF-8123-456789ABCDEF",
            "0192f3a47b1c7def8123456789abcdef",
            "{0192f3a4-7b1c-7def-8123-456789abcdef}",
            "urn:uuid:0192f3a4-7b1c-7def-8123-456789abcdef",
            "00000000-0000-0000-0000-000000000000",
        ] {
            assert!(bad.parse::<EventId>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn an_event_type_is_a_name() {
        for good in ["A", "ContentCreated", "com.example:thing_v2-x", &"x".repeat(64)] {
            assert!(EventType::new(good).is_ok(), "{good}");
        }
        for bad in ["", "1a", "_a", "a b", "a\n", "é", "a/b", "a,b", "a*", &"x".repeat(65)] {
            assert!(EventType::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn schema_numbers_begin_at_one() {
        assert!(SchemaNumber::new(0).is_err());
        assert!(SchemaNumber::new(u32::MAX).is_err());
        assert_eq!(SchemaNumber::new(1).unwrap(), SchemaNumber::FIRST);
    }
}
