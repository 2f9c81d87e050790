//! The registry: which event types are stored, in which shapes, and how old shapes become new ones.
//!
//! A stored event is a promise to the past: its name and its JSON are read for ever. When a type
//! gets a new shape it gets the next [`SchemaNumber`] and an [`Upcast`] from the one before, so that
//! everything above the registry knows only the newest.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;

use crate::decider::Decider;
use crate::event::{EventType, SchemaNumber};
use crate::json::{Json, JsonError};
use crate::limits::EVENT_DATA_BYTES_MAX;
use crate::stream::{Category, StreamId};
use crate::tag::{Tag, Tags};
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
    /// JSON pointers to the fields, of whatever shape, that are about a person. An id of a person is one of them, though its stream is
    /// named by it.
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
    #[error("{0} is registered twice")]
    Twice(&'static str),
    /// A name that no event type, category or key can have.
    #[error("{name:?} can't be registered: it {}", error.problem())]
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

/// All stored types that a program knows, with the aggregates that own them.
#[derive(Debug, Clone, Default)]
pub struct Registry {
    types: BTreeMap<&'static str, Known>,
    categories: BTreeSet<&'static str>,
    mark_keys: BTreeSet<&'static str>,
}

/// A type, and what reads it as one of its aggregate's events.
#[derive(Debug, Clone, Copy)]
struct Known {
    stored: StoredType,
    category: &'static str,
    read: fn(&str, SchemaNumber, &[u8]) -> Result<(), RegistryError>,
}

/// Why an event may not be written by just anyone.
#[derive(Debug, Error)]
pub enum NotYours {
    /// Streams of that category are written by the commands of their aggregate only.
    #[error("streams of the category {0} are written by their own commands only")]
    Category(Category),
    /// Tags of that key are written by the commands of their aggregate only.
    #[error("tags such as {0} are written by the commands that they belong to only")]
    Tag(Tag),
    /// The type is known, and the data is not of its shape.
    #[error(transparent)]
    Data(#[from] RegistryError),
}

impl Registry {
    /// The same registry with an aggregate more: its category, its mark keys, and its events.
    ///
    /// # Errors
    /// When one of its names is there already, or is no legal name.
    pub fn with<D: Decider>(mut self) -> Result<Self, RegistryError>
    where
        D::Event: StoredEvents,
    {
        Category::new(D::CATEGORY).map_err(|error| RegistryError::Name { name: D::CATEGORY, error })?;
        if !self.categories.insert(D::CATEGORY) {
            return Err(RegistryError::Twice(D::CATEGORY));
        }
        for key in D::MARK_KEYS {
            Tag::new(format!("{key}:x")).map_err(|error| RegistryError::Name { name: key, error })?;
            if !self.mark_keys.insert(key) {
                return Err(RegistryError::Twice(key));
            }
        }
        for stored in D::Event::TYPES {
            EventType::new(stored.name).map_err(|error| RegistryError::Name { name: stored.name, error })?;
            let known = Known {
                stored: *stored,
                category: D::CATEGORY,
                read: |name, schema, data| D::Event::from_stored(name, schema, data).map(drop),
            };
            if self.types.insert(stored.name, known).is_some() {
                return Err(RegistryError::Twice(stored.name));
            }
        }
        Ok(self)
    }

    /// The type of that name, if it is known.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&StoredType> {
        self.types.get(name).map(|known| &known.stored)
    }

    /// All types, by name.
    pub fn iter(&self) -> impl Iterator<Item = &StoredType> {
        self.types.values().map(|known| &known.stored)
    }

    /// Whether only commands of an aggregate, or the system itself, may write to that stream.
    #[must_use]
    pub fn owns_stream(&self, stream: &StreamId) -> bool {
        stream.is_system() || self.categories.contains(stream.category_str())
    }

    /// Whether only commands of an aggregate may write that tag.
    #[must_use]
    pub fn owns_tag(&self, tag: &Tag) -> bool {
        self.mark_keys.contains(tag.key())
    }

    /// Whether anyone may write that event: its stream and its tags are nobody's, and if its type is known, so is the shape of its data.
    ///
    /// A type belongs to the streams of its aggregate. An event with the same name elsewhere is a namesake: it has the same
    /// shape, and whoever reads an aggregate's events asks for its category as well.
    ///
    /// # Errors
    /// When it may not be written by just anyone.
    pub fn may_be_written(
        &self,
        stream: &StreamId,
        tags: &Tags,
        (name, schema, data): (&EventType, SchemaNumber, &Json),
    ) -> Result<(), NotYours> {
        self.is_free(stream, tags)?;
        Ok(self.check(name.as_str(), schema, data.as_bytes())?)
    }

    /// Whether a stream and tags belong to no aggregate.
    ///
    /// # Errors
    /// When one of them does.
    pub fn is_free(&self, stream: &StreamId, tags: &Tags) -> Result<(), NotYours> {
        if self.owns_stream(stream) {
            return Err(NotYours::Category(stream.category()));
        }
        match tags.iter().find(|tag| self.owns_tag(tag)) {
            Some(tag) => Err(NotYours::Tag(tag.clone())),
            None => Ok(()),
        }
    }

    /// Checks that stored data is of its type's shape. A type that nobody here knows may be of any.
    ///
    /// # Errors
    /// When the type is known and the data is of another shape, or of a newer one than this program knows.
    pub fn check(&self, name: &str, schema: SchemaNumber, data: &[u8]) -> Result<(), RegistryError> {
        self.types.get(name).map_or(Ok(()), |known| (known.read)(name, schema, data))
    }

    /// Checks an event that an administrator carries in as it is: in the streams of its aggregate, data is of its type's shape.
    /// Anything else may be of any, also namesakes in other streams: whoever wrote them knew of no type of ours.
    ///
    /// # Errors
    /// As [`check`](Self::check).
    pub fn check_own(
        &self,
        stream: &StreamId,
        name: &str,
        schema: SchemaNumber,
        data: &[u8],
    ) -> Result<(), RegistryError> {
        match self.types.get(name) {
            Some(known) if known.category == stream.category_str() => self.check(name, schema, data),
            Some(_) | None => Ok(()),
        }
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

/// An [`Upcast`] between two types: the JSON is read as the old one, and written as the new one.
///
/// # Errors
/// When the JSON is not of the old shape.
pub fn between<Old, New>(value: serde_json::Value) -> Result<serde_json::Value, String>
where
    Old: DeserializeOwned + Into<New>,
    New: Serialize,
{
    let old: Old = serde_json::from_value(value).map_err(|error| error.to_string())?;
    serde_json::to_value(old.into()).map_err(|error| error.to_string())
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
