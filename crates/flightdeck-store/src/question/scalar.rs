//! Values that a question looks for, and what is the same as one.

use flightdeck_core::limits::{EVENT_DATA_BYTES_MAX, QUESTION_VALUE_BYTES_MAX};
use flightdeck_core::{Json, WordError};

use super::number::Number;
use super::{Part, Pointer, pointer};
use crate::event::Recorded;

/// A value of JSON that has nothing within it. Only values of the same kind are ever the same: the text `1` is not the number 1, and what is
/// not there is not `null`. Texts are the same when their characters are, however those were written; numbers as [`Number`] says.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Scalar {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number.
    Number(Number),
    /// A text.
    Text(Box<str>),
}

impl Scalar {
    /// The value that a text of JSON stands for: `"a"`, `12.5`, `true`, `null`.
    ///
    /// # Errors
    /// When the text is not JSON as events may have it, is an object or a list, or is too long.
    pub fn from_json(text: &str) -> Result<Self, WordError> {
        let wrong = |problem: &str| WordError::new("value", problem);
        let json = Json::new(text.as_bytes().to_vec(), EVENT_DATA_BYTES_MAX)
            .map_err(|error| wrong(&error.to_string()))?;
        let text = std::str::from_utf8(json.as_bytes()).unwrap_or_default().trim();
        if text.len() > QUESTION_VALUE_BYTES_MAX {
            return Err(wrong(&format!("is longer than {QUESTION_VALUE_BYTES_MAX} bytes")));
        }
        match text.as_bytes().first() {
            Some(b'n') => Ok(Self::Null),
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'"') => {
                let text = pointer::text(text).ok_or_else(|| wrong("is no text"))?;
                Ok(Self::Text(text.into()))
            }
            Some(b'{' | b'[') | None => Err(wrong("has values within it")),
            Some(_) => Number::parse(text).map(Self::Number),
        }
    }

    /// Whether a value, as it stands in JSON that was checked before, is the same.
    fn is(&self, raw: &str) -> bool {
        match self {
            Self::Null => raw == "null",
            Self::Bool(flag) => raw == if *flag { "true" } else { "false" },
            Self::Text(own) => pointer::text(raw).is_some_and(|text| text == **own),
            Self::Number(own) => {
                let is_number = raw.starts_with(|first: char| first == '-' || first.is_ascii_digit());
                is_number && Number::of(raw).is_some_and(|number| number == *own)
            }
        }
    }
}

/// Whether an event has a value at a place.
pub(super) fn has(event: &Recorded, part: Part, path: &Pointer, value: &Scalar) -> bool {
    let within = |json: &Json| path.find(json.as_bytes()).is_some_and(|raw| value.is(raw));
    let is_text = |text: Option<&str>| {
        let own = if let Scalar::Text(own) = value { Some(&**own) } else { None };
        text.is_some() && text == own
    };
    let metadata = &event.metadata;
    match (part, path.only()) {
        (Part::Data, _) => event.data.json().is_some_and(within),
        (Part::Metadata, Some("userId")) => is_text(metadata.actor.as_ref().map(AsRef::as_ref)),
        (Part::Metadata, Some("correlationId")) => is_text(metadata.correlation.as_ref().map(AsRef::as_ref)),
        (Part::Metadata, Some("causationId")) => is_text(metadata.causation.as_ref().map(AsRef::as_ref)),
        (Part::Metadata, Some("occurredAt")) => {
            is_text(metadata.occurred.map(|moment| moment.to_string()).as_deref())
        }
        (Part::Metadata, _) => metadata.further.as_ref().is_some_and(|further| within(further.as_json())),
    }
}

impl From<&str> for Scalar {
    fn from(text: &str) -> Self {
        Self::Text(text.into())
    }
}

impl From<bool> for Scalar {
    fn from(flag: bool) -> Self {
        Self::Bool(flag)
    }
}

impl From<i64> for Scalar {
    fn from(number: i64) -> Self {
        Self::Number(number.into())
    }
}

impl From<Number> for Scalar {
    fn from(number: Number) -> Self {
        Self::Number(number)
    }
}
