//! The registry: which event types are stored, in which shapes, and how old shapes become new ones.
//!
//! A stored event is a promise to the past: its name and its JSON are read for ever. When a type
//! gets a new shape it gets the next [`SchemaNumber`] and an [`Upcast`] from the one before, so that
//! everything above the registry knows only the newest.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::event::{EventType, SchemaNumber};
use crate::json::{Json, JsonError};
use crate::limits::EVENT_DATA_BYTES_MAX;
use crate::tag::Tag;
use crate::words::WordError;

/// Turns the JSON of one shape into that of the next.
pub type Upcast = fn(serde_json::Value) -> Result<serde_json::Value, String>;

/// One stored event type: its name for ever, its newest shape, and the way there from each older one.
#[derive(Debug, Clone, Copy)]
pub struct StoredType {
    /// The stored name.
    pub name: &'static str,
    /// From shape 1 to 2, from 2 to 3, and so on: the newest schema number is one more than there are upcasts.
    pub upcasts: &'static [Upcast],
    /// JSON pointers to the fields of the newest shape that are about a person.
    pub personal: &'static [&'static str],
}

impl StoredType {
    /// A type in its first shape, with nothing personal in it.
    #[must_use]
    pub const fn new(name: &'static str) -> Self {
        Self { name, upcasts: &[], personal: &[] }
    }

    /// The same type with older shapes.
    #[must_use]
    pub const fn upcasts(self, upcasts: &'static [Upcast]) -> Self {
        Self { upcasts, ..self }
    }

    /// The same type with its personal fields named.
    #[must_use]
    pub const fn personal(self, personal: &'static [&'static str]) -> Self {
        Self { personal, ..self }
    }

    /// The number of the newest shape.
    #[must_use]
    pub fn schema(&self) -> SchemaNumber {
        let number = u32::try_from(self.upcasts.len()).unwrap_or(u32::MAX).saturating_add(1);
        SchemaNumber::new(number).unwrap_or(SchemaNumber::FIRST)
    }
}

/// Why a stored event could not be read as, or an event could not be written from, its type.
#[derive(Debug, Error)]
pub enum RegistryError {
    /// The same name was registered twice.
    #[error("event type {0} is registered twice")]
    Twice(&'static str),
    /// A name that no event type can have.
    #[error("event type {name:?} can't be registered: it {}", error.problem())]
    Name {
        /// The name.
        name: &'static str,
        /// What is wrong with it.
        error: WordError,
    },
    /// The event has a shape that this program does not know yet: it needs an upgrade.
    #[error("{name} has schema {found}, and this program knows up to {known}")]
    Newer {
        /// The type.
        name: String,
        /// The event's schema number.
        found: SchemaNumber,
        /// The newest that is known.
        known: SchemaNumber,
    },
    /// An upcast refused the old shape.
    #[error("{name} of schema {schema} can't be brought to the next shape: {problem}")]
    Upcast {
        /// The type.
        name: String,
        /// The schema number it was refused at.
        schema: u32,
        /// What the upcast said.
        problem: String,
    },
    /// The JSON does not have the shape of the type.
    #[error("{name} is not of its shape: {source}")]
    Shape {
        /// The type.
        name: String,
        /// What serde says.
        source: serde_json::Error,
    },
    /// An event that can't be stored: too large, or with a NUL in a text.
    #[error("{name} can't be stored: its data {source}")]
    Data {
        /// The type.
        name: String,
        /// What is wrong with its JSON.
        source: JsonError,
    },
    /// An event says that it is of a type its own list does not have.
    #[error("{0} is not among the stored types of its aggregate")]
    Unlisted(String),
}

/// All stored types that a program knows.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    types: BTreeMap<&'static str, StoredType>,
}

impl Registry {
    /// A registry of these types.
    ///
    /// # Errors
    /// When a name is there twice, or is no legal event type.
    pub fn new(types: impl IntoIterator<Item = StoredType>) -> Result<Self, RegistryError> {
        let mut registry = Self::default();
        for stored in types {
            EventType::new(stored.name).map_err(|error| RegistryError::Name { name: stored.name, error })?;
            if registry.types.insert(stored.name, stored).is_some() {
                return Err(RegistryError::Twice(stored.name));
            }
        }
        Ok(registry)
    }

    /// The type of that name, if it is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&StoredType> {
        self.types.get(name)
    }

    /// All types, by name.
    pub fn iter(&self) -> impl Iterator<Item = &StoredType> {
        self.types.values()
    }

    /// Brings stored data to the newest shape of its type. `None`: nobody here knows the type; it is kept and passed on raw.
    ///
    /// # Errors
    /// When the shape is newer than this program, or an upcast refuses it.
    pub fn current<'a>(
        &self,
        name: &str,
        schema: SchemaNumber,
        data: &'a [u8],
    ) -> Result<Option<Cow<'a, [u8]>>, RegistryError> {
        self.get(name).map(|stored| upcast(stored, schema, data)).transpose()
    }
}

/// Brings `data` from the shape `schema` to the newest shape of `stored`.
fn upcast<'a>(
    stored: &StoredType,
    schema: SchemaNumber,
    data: &'a [u8],
) -> Result<Cow<'a, [u8]>, RegistryError> {
    let name = || stored.name.to_owned();
    if schema > stored.schema() {
        return Err(RegistryError::Newer { name: name(), found: schema, known: stored.schema() });
    }
    if schema == stored.schema() {
        return Ok(Cow::Borrowed(data));
    }
    let shape = |source| RegistryError::Shape { name: name(), source };
    let mut value: serde_json::Value = serde_json::from_slice(data).map_err(shape)?;
    for (schema, step) in (1..).zip(stored.upcasts).skip(schema.get() as usize - 1) {
        value = step(value).map_err(|problem| RegistryError::Upcast { name: name(), schema, problem })?;
    }
    Ok(Cow::Owned(serde_json::to_vec(&value).map_err(shape)?))
}

/// An aggregate's events as they are stored: the bridge between a decider's enum and JSON in the log.
///
/// The enum says its stored names through serde: adjacently tagged, `eventType` and `data`.
///
/// ```
/// use flightdeck_core::{StoredEvents, StoredType};
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// #[serde(tag = "eventType", content = "data")]
/// enum Event {
///     Deposited { cents: u64 },
///     Closed {},
/// }
/// impl StoredEvents for Event {
///     const TYPES: &'static [StoredType] = &[StoredType::new("Deposited"), StoredType::new("Closed")];
/// }
///
/// let written = Event::Deposited { cents: 5 }.to_stored()?;
/// assert_eq!((written.name.as_str(), written.data.as_bytes()), ("Deposited", &br#"{"cents":5}"#[..]));
/// let read = Event::from_stored("Deposited", written.schema, written.data.as_bytes())?;
/// assert_eq!(read, Some(Event::Deposited { cents: 5 }));
/// # Ok::<(), flightdeck_core::registry::RegistryError>(())
/// ```
pub trait StoredEvents: Serialize + DeserializeOwned {
    /// Every stored type of this aggregate.
    const TYPES: &'static [StoredType];

    /// The tags that the event carries.
    fn tags(&self) -> Vec<Tag> {
        Vec::new()
    }

    /// The event as it is stored, in the newest shape of its type.
    ///
    /// # Errors
    /// When its JSON is too large or not storable, or its name is not among [`TYPES`](Self::TYPES).
    fn to_stored(&self) -> Result<Written, RegistryError> {
        #[derive(Deserialize)]
        struct Tagged<'a> {
            #[serde(rename = "eventType")]
            event_type: Cow<'a, str>,
            #[serde(borrow)]
            data: Option<&'a RawValue>,
        }
        let shape = |source| RegistryError::Shape { name: std::any::type_name::<Self>().to_owned(), source };
        let text = serde_json::to_string(self).map_err(shape)?;
        let tagged: Tagged<'_> = serde_json::from_str(&text).map_err(shape)?;
        let stored = Self::TYPES.iter().find(|stored| stored.name == tagged.event_type);
        let stored = stored.ok_or_else(|| RegistryError::Unlisted(tagged.event_type.clone().into_owned()))?;
        let name =
            EventType::new(stored.name).map_err(|error| RegistryError::Name { name: stored.name, error })?;
        let data = tagged.data.map_or("null", RawValue::get).to_owned();
        let data = Json::new(data, EVENT_DATA_BYTES_MAX)
            .map_err(|source| RegistryError::Data { name: stored.name.to_owned(), source })?;
        Ok(Written { name, schema: stored.schema(), data })
    }

    /// Reads a stored event of any shape. `None`: the type is not one of this aggregate's.
    ///
    /// # Errors
    /// When the shape is newer than this program, an upcast refuses it, or the JSON is not of its shape.
    fn from_stored(name: &str, schema: SchemaNumber, data: &[u8]) -> Result<Option<Self>, RegistryError> {
        let Some(stored) = Self::TYPES.iter().find(|stored| stored.name == name) else {
            return Ok(None);
        };
        let data = upcast(stored, schema, data)?;
        // The tag comes first, so that serde reads the data without a copy in between.
        let mut tagged = Vec::with_capacity(data.len() + stored.name.len() + 30);
        tagged.extend_from_slice(b"{\"eventType\":\"");
        tagged.extend_from_slice(stored.name.as_bytes());
        tagged.extend_from_slice(b"\"");
        // A variant without fields is stored as null, and read as having no data.
        if data.as_ref() != b"null" {
            tagged.extend_from_slice(b",\"data\":");
            tagged.extend_from_slice(&data);
        }
        tagged.push(b'}');
        let event = serde_json::from_slice(&tagged);
        event.map(Some).map_err(|source| RegistryError::Shape { name: name.to_owned(), source })
    }
}

/// An event as it is written: name, shape and JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Written {
    /// The stored name.
    pub name: EventType,
    /// The shape's number.
    pub schema: SchemaNumber,
    /// The data.
    pub data: Json,
}

#[cfg(test)]
mod tests;
