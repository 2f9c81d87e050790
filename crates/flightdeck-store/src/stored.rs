//! From the columns of a row to an event: what stores share that keep an event as a row of a table.

use bytes::Bytes;
use flightdeck_core::{
    EventId, EventType, Further, Json, KeyId, Metadata, Position, Reference, SchemaNumber, StreamId, Tag,
    Tags, Timestamp, Version, WordError,
};
use uuid::Uuid;

use crate::chain::Hash;
use crate::event::{Data, Recorded};

/// The columns of a row, before anything of them is believed. Names are looked up already.
#[derive(Debug, Clone)]
pub struct Stored<'r> {
    /// The place in the log.
    pub position: i64,
    /// The name of the stream.
    pub stream: StreamId,
    /// The place in the stream.
    pub version: i64,
    /// The name of the type.
    pub event_type: EventType,
    /// The number of the shape.
    pub schema: i64,
    /// When it was recorded, in microseconds since 1970.
    pub recorded: i64,
    /// How many events of the same append stand behind it.
    pub append_rest: i64,
    /// The id's bytes.
    pub id: [u8; 16],
    /// The key that personal fields are encrypted with.
    pub key: Option<&'r [u8]>,
    /// Who did it.
    pub actor: Option<Reference>,
    /// What it belongs to.
    pub correlation: Option<Reference>,
    /// What caused it.
    pub causation: Option<Reference>,
    /// When it happened, in microseconds since 1970.
    pub occurred: Option<i64>,
    /// Its tags, one a line.
    pub tags: Option<&'r str>,
    /// Its link of the chain.
    pub hash: &'r [u8],
    /// SHA-256 of data that is gone.
    pub tombstone: Option<&'r [u8]>,
    /// The client's further metadata.
    pub further: Option<&'r [u8]>,
    /// The data.
    pub data: Option<&'r [u8]>,
}

impl Stored<'_> {
    /// The event, if every column has a value that it can have. Whether they are those that were written, only the
    /// checksum tells.
    ///
    /// # Errors
    /// What is wrong with the first column that can't be right.
    pub fn event(self) -> Result<Recorded, String> {
        let json = |bytes| Json::from_stored(Bytes::copy_from_slice(bytes));
        let data = match (self.data, self.tombstone) {
            (Some(data), None) => Data::Json(json(data)),
            (None, Some(tombstone)) => Data::Tombstone(array(tombstone)?),
            _ => return Err("the event has both data and a tombstone, or neither".to_owned()),
        };
        let schema = u32::try_from(self.schema).unwrap_or(0);
        Ok(Recorded {
            position: Position::new(self.position).map_err(text)?,
            stream: self.stream,
            version: Version::new(self.version).map_err(text)?,
            id: EventId::new(Uuid::from_bytes(self.id)).map_err(text)?,
            event_type: self.event_type,
            schema: SchemaNumber::new(schema).map_err(text)?,
            data,
            metadata: Metadata {
                actor: self.actor,
                correlation: self.correlation,
                causation: self.causation,
                occurred: self.occurred.map(Timestamp::from_micros).transpose().map_err(text)?,
                further: self.further.map(|bytes| Further::from_stored(json(bytes))),
            },
            tags: tags(self.tags).map_err(text)?,
            recorded_at: Timestamp::from_micros(self.recorded).map_err(text)?,
            append_end: Position::new(self.position.saturating_add(self.append_rest)).map_err(text)?,
            key: self.key.map(array).transpose()?.map(KeyId::from_bytes),
            hash: Hash::from_bytes(array(self.hash)?),
        })
    }
}

/// A column's text as a reference, shared with the row before when that has the same: neighbours have much in common.
///
/// # Errors
/// When no reference can be like that.
pub fn reference(text: Option<&str>, before: Option<&Reference>) -> Result<Option<Reference>, WordError> {
    match (text, before) {
        (None, _) => Ok(None),
        (Some(text), Some(before)) if before.as_str() == text => Ok(Some(before.clone())),
        (Some(text), _) => Reference::new(text).map(Some),
    }
}

/// The tags of an event as its row gets them: one a line.
#[must_use]
pub fn tag_lines(tags: &Tags) -> Option<String> {
    let lines: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}

fn tags(lines: Option<&str>) -> Result<Tags, WordError> {
    Tags::new(lines.into_iter().flat_map(str::lines).map(Tag::new).collect::<Result<Vec<_>, _>>()?)
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], String> {
    bytes.try_into().map_err(|_| format!("{} bytes stand where {N} should", bytes.len()))
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn text(error: WordError) -> String {
    error.to_string()
}
