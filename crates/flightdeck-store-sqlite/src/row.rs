//! A row of the log as an event, checked: nothing leaves here whose checksum does not hold.

use flightdeck_core::{EventType, Position, Reference, StreamId};
use flightdeck_store::chain::checksum;
use flightdeck_store::stored::{Stored, reference};
use flightdeck_store::{Corruption, Recorded};
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
            // A value of another type than was written: the record's header is damaged.
            _ if is_shape(&error) => Self::new(error.to_string()),
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
            other => other,
        })?;
        if checksum(&event, &mut self.scratch) != kept {
            return Err(Damage::at(position, "the event's checksum does not hold"));
        }
        Ok(event)
    }

    fn parse(&mut self, row: &Row<'_>, position: i64) -> Result<(Recorded, u64), Damage> {
        let now = self.names_of(row)?;
        let stored = Stored {
            position,
            stream: now.stream.1.clone(),
            version: row.get(2)?,
            event_type: now.event_type.1.clone(),
            schema: row.get(4)?,
            recorded: row.get(5)?,
            append_rest: row.get(6)?,
            id: array(blob(row, 7)?.unwrap_or_default())?,
            key: blob(row, 8)?,
            actor: now.actor.clone(),
            correlation: now.correlation.clone(),
            causation: now.causation.clone(),
            occurred: row.get(12)?,
            tags: text(row, 13)?,
            hash: blob(row, 15)?.unwrap_or_default(),
            tombstone: blob(row, 16)?,
            further: blob(row, 17)?,
            data: blob(row, 18)?,
        };
        let event = stored.event().map_err(Damage::new)?;
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
            actor: reference(text(row, 9)?, before.and_then(|before| before.actor.as_ref()))
                .map_err(illegal)?,
            correlation: reference(text(row, 10)?, before.and_then(|before| before.correlation.as_ref()))
                .map_err(illegal)?,
            causation: reference(text(row, 11)?, before.and_then(|before| before.causation.as_ref()))
                .map_err(illegal)?,
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

fn array<const N: usize>(bytes: &[u8]) -> Result<[u8; N], Damage> {
    bytes.try_into().map_err(|_| Damage::new(format!("{} bytes stand where {N} should", bytes.len())))
}
