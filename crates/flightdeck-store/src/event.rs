//! Events on their way in ([`NewEvent`]) and as the log keeps them ([`Recorded`]).

use bytes::Bytes;
use flightdeck_core::{
    EventId, EventType, Json, KeyId, Metadata, Position, SchemaNumber, StreamId, Tags, Timestamp, Version,
};

use crate::chain::Hash;

/// An event that is to be appended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewEvent {
    /// The stream it goes to.
    pub stream: StreamId,
    /// Its id; the store makes one when there is none. An id takes effect at most once, for ever.
    pub id: Option<EventId>,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape its data has.
    pub schema: SchemaNumber,
    /// The data, kept as its bytes are.
    pub data: Json,
    /// Who, because of what, when, and what the client adds.
    pub metadata: Metadata,
    /// Labels for rules that cross streams.
    pub tags: Tags,
}

impl NewEvent {
    /// How many bytes it brings: data, further metadata and tags.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let further = self.metadata.further.as_ref().map_or(0, |further| further.as_json().len());
        self.data.len() + further + self.tags.iter().map(|tag| tag.as_str().len()).sum::<usize>()
    }

    /// An event of schema 1 with no id, no metadata and no tags.
    #[must_use]
    pub fn new(stream: StreamId, event_type: EventType, data: Json) -> Self {
        Self {
            stream,
            id: None,
            event_type,
            schema: SchemaNumber::FIRST,
            data,
            metadata: Metadata::default(),
            tags: Tags::NONE,
        }
    }

    /// The same event with an id.
    #[must_use]
    pub fn with_id(self, id: EventId) -> Self {
        Self { id: Some(id), ..self }
    }

    /// The same event with these tags.
    #[must_use]
    pub fn with_tags(self, tags: Tags) -> Self {
        Self { tags, ..self }
    }

    /// The same event with this metadata.
    #[must_use]
    pub fn with_metadata(self, metadata: Metadata) -> Self {
        Self { metadata, ..self }
    }
}

/// An event as the log keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recorded {
    /// Its place in the log.
    pub position: Position,
    /// The stream it is in.
    pub stream: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// Its id.
    pub id: EventId,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape its data has.
    pub schema: SchemaNumber,
    /// The data, as its bytes came in.
    pub data: Data,
    /// Who, because of what, when, and what the client added.
    pub metadata: Metadata,
    /// Its labels.
    pub tags: Tags,
    /// When the store recorded it. Never before the event that stands before it.
    pub recorded_at: Timestamp,
    /// The position of the last event of the append that it came with.
    pub append_end: Position,
    /// The key that its personal fields are encrypted with. Reserved: always `None` as yet.
    pub key: Option<KeyId>,
    /// Its link of the hash chain.
    pub hash: Hash,
}

/// The data of a recorded event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Data {
    /// The bytes that came in.
    Json(Json),
    /// The data was erased or archived: what is left is the SHA-256 of its bytes, so that the chain still holds.
    Tombstone([u8; 32]),
}

impl Data {
    /// The JSON, unless it is gone.
    #[must_use]
    pub const fn json(&self) -> Option<&Json> {
        match self {
            Self::Json(json) => Some(json),
            Self::Tombstone(_) => None,
        }
    }

    /// The bytes; a JSON `null` when they are gone.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.json().map_or(Bytes::from_static(b"null"), Json::to_bytes)
    }
}

impl Recorded {
    /// The bytes of the data; a JSON `null` when they are gone.
    #[must_use]
    pub fn data_bytes(&self) -> &[u8] {
        self.data.json().map_or(b"null", Json::as_bytes)
    }
}
