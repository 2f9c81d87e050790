//! A row of the log as an event, checked: nothing leaves here whose checksum does not hold.

use bytes::Bytes;
use flightdeck_core::{
    EventId, EventType, Further, Json, KeyId, Metadata, Position, Reference, SchemaNumber, StreamId, Tag,
    Tags, Timestamp, Version,
};
use flightdeck_store::chain::{Hash, checksum};
use flightdeck_store::{Corruption, Data, Recorded};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row};

use crate::names::Names;

/// The columns of [`event`], in its order. The rest of a query is put behind it.
macro_rules! select_events {
    ($rest:literal) => {
        concat!(
            "SELECT position, stream, version, type, schema, recorded, append_rest, id, key, actor, correlation, ",
            "causation, occurred, tags, checksum, hash, tombstone, further, data FROM fd_log ",
            $rest
        )
    };
}
pub(crate) use select_events;

/// Why a row is no event: it is damaged, or SQLite could not read it.
#[derive(Debug)]
pub(crate) enum Damage {
    Corrupt(Corruption),
    Sql(rusqlite::Error),
}

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::Corrupt(Corruption { position: None, what: what.into() })
    }

    pub(crate) fn at(position: i64, what: impl Into<String>) -> Self {
        Self::Corrupt(Corruption { position: Position::new(position).ok(), what: what.into() })
    }
}

impl From<rusqlite::Error> for Damage {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{DatabaseCorrupt, NotADatabase};
        match error.sqlite_error_code() {
            Some(DatabaseCorrupt | NotADatabase) => Self::new(error.to_string()),
            _ => Self::Sql(error),
        }
    }
}

/// Reads rows as events: what a page needs beside the row.
pub(crate) struct Rows<'a> {
    conn: &'a Connection,
    names: &'a Names,
    scratch: Vec<u8>,
    /// What the row before had: neighbours have much in common.
    before: Option<Before>,
}

struct Before {
    stream: (i64, StreamId),
    event_type: (i64, EventType),
    actor: Option<Reference>,
    correlation: Option<Reference>,
    causation: Option<Reference>,
}

impl<'a> Rows<'a> {
    pub(crate) fn new(conn: &'a Connection, names: &'a Names) -> Self {
        Self { conn, names, scratch: Vec::new(), before: None }
    }

    /// The event that a row of [`select_events`] holds, if its checksum is right.
    pub(crate) fn event(&mut self, row: &Row<'_>) -> Result<Recorded, Damage> {
        let position: i64 = row.get(0)?;
        let (event, kept) = self.parse(row, position).map_err(|damage| match damage {
            // What can't even be parsed is reported at its place as well.
            Damage::Corrupt(Corruption { position: None, what }) => Damage::at(position, what),
            Damage::Sql(error) if is_shape(&error) => Damage::at(position, error.to_string()),
            other => other,
        })?;
        if checksum(&event, &mut self.scratch) != kept {
            return Err(Damage::at(position, "the event's checksum does not hold"));
        }
        Ok(event)
    }

    fn parse(&mut self, row: &Row<'_>, position: i64) -> Result<(Recorded, u64), Damage> {
        let at = Position::new(position).map_err(illegal)?;
        let now = self.names_of(row)?;
        let append_rest: i64 = row.get(6)?;
        let occurred: Option<i64> = row.get(12)?;
        let further = blob(row, 17)?
            .map(|bytes| Further::from_stored(Json::from_stored(Bytes::copy_from_slice(bytes))));
        let data = match (blob(row, 18)?, blob(row, 16)?) {
            (Some(data), None) => Data::Json(Json::from_stored(Bytes::copy_from_slice(data))),
            (None, Some(tombstone)) => Data::Tombstone(array(tombstone)?),
            _ => return Err(Damage::new("the event has both data and a tombstone, or neither")),
        };
        let event = Recorded {
            position: at,
            stream: now.stream.1.clone(),
            version: Version::new(row.get(2)?).map_err(illegal)?,
            event_type: now.event_type.1.clone(),
            schema: SchemaNumber::new(row.get(4)?).map_err(illegal)?,
            recorded_at: Timestamp::from_micros(row.get(5)?).map_err(illegal)?,
            append_end: Position::new(position.saturating_add(append_rest)).map_err(illegal)?,
            id: EventId::new(uuid(blob(row, 7)?)?).map_err(illegal)?,
            key: blob(row, 8)?.map(array).transpose()?.map(KeyId::from_bytes),
            metadata: Metadata {
                actor: now.actor.clone(),
                correlation: now.correlation.clone(),
                causation: now.causation.clone(),
                occurred: occurred.map(Timestamp::from_micros).transpose().map_err(illegal)?,
                further,
            },
            tags: tags(text(row, 13)?)?,
            hash: Hash::from_bytes(array(blob(row, 15)?.unwrap_or_default())?),
            data,
        };
        self.before = Some(now);
        Ok((event, row.get::<_, i64>(14)?.cast_unsigned()))
    }

    /// The names that a row's numbers and texts stand for, shared with the row before where they are the same.
    fn names_of(&self, row: &Row<'_>) -> Result<Before, Damage> {
        let before = self.before.as_ref();
        let (stream, event_type) = (row.get(1)?, row.get(3)?);
        Ok(Before {
            stream: match before {
                Some(before) if before.stream.0 == stream => before.stream.clone(),
                _ => (stream, self.names.stream(self.conn, stream)?),
            },
            event_type: match before {
                Some(before) if before.event_type.0 == event_type => before.event_type.clone(),
                _ => (event_type, self.names.event_type(self.conn, event_type)?),
            },
            actor: reference(row, 9, before.and_then(|before| before.actor.as_ref()))?,
            correlation: reference(row, 10, before.and_then(|before| before.correlation.as_ref()))?,
            causation: reference(row, 11, before.and_then(|before| before.causation.as_ref()))?,
        })
    }
}

#[expect(clippy::needless_pass_by_value, reason = "the shape that map_err wants")]
fn illegal(error: flightdeck_core::WordError) -> Damage {
    Damage::new(error.to_string())
}

/// Whether SQLite read the row, and a value in it is of another type than it was written as.
fn is_shape(error: &rusqlite::Error) -> bool {
    use rusqlite::Error::{FromSqlConversionFailure, IntegralValueOutOfRange, InvalidColumnType, Utf8Error};
    matches!(
        error,
        FromSqlConversionFailure(..) | IntegralValueOutOfRange(..) | InvalidColumnType(..) | Utf8Error(..)
    )
}

fn blob<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r [u8]>, Damage> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Blob(bytes) => Ok(Some(bytes)),
        other => Err(Damage::new(format!("column {column} is of type {}", other.data_type()))),
    }
}

fn text<'r>(row: &'r Row<'_>, column: usize) -> Result<Option<&'r str>, Damage> {
    match row.get_ref(column)? {
        ValueRef::Null => Ok(None),
        ValueRef::Text(bytes) => std::str::from_utf8(bytes)
            .map(Some)
            .map_err(|_| Damage::new(format!("column {column} is not UTF-8"))),
        other => Err(Damage::new(format!("column {column} is of type {}", other.data_type()))),
    }
}

fn reference(row: &Row<'_>, column: usize, before: Option<&Reference>) -> Result<Option<Reference>, Damage> {
    match (text(row, column)?, before) {
        (None, _) => Ok(None),
        (Some(text), Some(before)) if before.as_str() == text => Ok(Some(before.clone())),
        (Some(text), _) => Reference::new(text).map(Some).map_err(illegal),
    }
}

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Damage> {
    bytes.try_into().map_err(|_| Damage::new(format!("{} bytes stand where {N} should", bytes.len())))
}

fn uuid(bytes: Option<&[u8]>) -> Result<uuid::Uuid, Damage> {
    Ok(uuid::Uuid::from_bytes(array(bytes.unwrap_or_default())?))
}

/// The tags of an event as its row has them: one a line.
pub(crate) fn tags(lines: Option<&str>) -> Result<Tags, Damage> {
    let tags = lines.into_iter().flat_map(str::lines).map(Tag::new).collect::<Result<Vec<_>, _>>();
    tags.and_then(Tags::new).map_err(illegal)
}

/// The tags of an event as its row gets them.
pub(crate) fn tag_lines(tags: &Tags) -> Option<String> {
    let lines: Vec<&str> = tags.iter().map(Tag::as_str).collect();
    (!lines.is_empty()).then(|| lines.join("\n"))
}
