//! What is known about an event beside its data: who, because of what, when, and what the client adds.

use serde::{Deserialize, Serialize};

use crate::json::{Json, JsonError, keys};
use crate::limits::{EVENT_METADATA_BYTES_MAX, REFERENCE_BYTES_MAX};
use crate::time::Timestamp;
use crate::words::{WordError, check_length, text_word};

/// The metadata of an event: the server's own members, and what the client adds to them.
///
/// The server's members come from the credential and the request, never from a body; they do
/// not count when two events are compared for idempotency. The client's do.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Metadata {
    /// Who did it (`userId`).
    pub actor: Option<Reference>,
    /// What it belongs to (`correlationId`).
    pub correlation: Option<Reference>,
    /// What caused it (`causationId`).
    pub causation: Option<Reference>,
    /// When it happened where it happened (`occurredAt`); when it was recorded is the store's to say.
    pub occurred: Option<Timestamp>,
    /// The client's further members.
    pub further: Option<Further>,
}

text_word! {
    /// What an event refers to: an actor, a correlation, a causation. 1 to 200 bytes of visible ASCII.
    Reference, check_reference
}

fn check_reference(text: &str) -> Result<(), WordError> {
    check_length("reference", text, REFERENCE_BYTES_MAX)?;
    match text.chars().find(|c| !c.is_ascii_graphic()) {
        Some(bad) => Err(WordError::new("reference", format!("has {bad:?}, which is not visible ASCII"))),
        None => Ok(()),
    }
}

/// The names of the server's members: no client may send them as its own, for a reader could not tell them apart.
pub const SERVER_MEMBERS: [&str; 4] = ["userId", "correlationId", "causationId", "occurredAt"];

/// A JSON object of at most 16 KiB with none of the [server's members](SERVER_MEMBERS), kept as its bytes came.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Further(Json);

impl Further {
    /// Checks that `bytes` are such an object.
    ///
    /// # Errors
    /// When they are too many, not JSON, not an object, or name one of the server's members.
    pub fn new(bytes: impl Into<bytes::Bytes>) -> Result<Self, JsonError> {
        let json = Json::new(bytes, EVENT_METADATA_BYTES_MAX)?;
        keys(&json, |key| match SERVER_MEMBERS.contains(&key) {
            true => Err(format!("{key} is the server's to set")),
            false => Ok(()),
        })?;
        Ok(Self(json))
    }

    /// Takes what was checked before: what a store reads back after its checksum held.
    #[must_use]
    pub const fn from_stored(json: Json) -> Self {
        Self(json)
    }

    /// The object.
    #[must_use]
    pub const fn as_json(&self) -> &Json {
        &self.0
    }
}

impl Serialize for Further {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let raw: &serde_json::value::RawValue = self.0.parse().map_err(serde::ser::Error::custom)?;
        raw.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Further {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let raw = Box::<serde_json::value::RawValue>::deserialize(deserializer)?;
        Self::new(String::from(Box::<str>::from(raw))).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Further, Reference};

    #[test]
    fn further_members_are_an_object_without_the_servers() {
        assert!(Further::new("{\"a\":{\"userId\":1}}").is_ok());
        assert_eq!(Further::new("{ }").unwrap().as_json().as_bytes(), b"{ }");
        for bad in
            ["[]", "1", "null", "", "{\"userId\":1}", "{\"a\":1,\"user\\u0049d\":1}", "{\"occurredAt\":\"\"}"]
        {
            assert!(Further::new(bad).is_err(), "{bad} was taken");
        }
        assert!(Further::new(format!("{{\"a\":\"{}\"}}", "x".repeat(16 * 1024))).is_err());
    }

    #[test]
    fn references_are_visible_ascii() {
        assert!(Reference::new("user-1").is_ok());
        for bad in ["", "a b", "a\r\nb", "é", &"x".repeat(201)] {
            assert!(Reference::new(bad).is_err(), "{bad:?} was taken");
        }
    }
}
