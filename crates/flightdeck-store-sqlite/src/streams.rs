//! The table of streams: one row a stream, checked whenever it is read.

use flightdeck_core::{StreamId, Timestamp, Version};
use flightdeck_store::chain::Place;
use flightdeck_store::{StreamInfo, StreamsPage, StreamsQuery};
use rusqlite::{Connection, Row, params};

use crate::row::Damage;

/// What a row holds beside its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamRow {
    pub(crate) number: i64,
    pub(crate) version: Version,
    created: Timestamp,
    updated: Timestamp,
}

impl StreamRow {
    pub(crate) fn info(self, stream: StreamId) -> StreamInfo {
        StreamInfo { stream, version: self.version, created: self.created, updated: self.updated }
    }

    fn checksum(&self, name: &str) -> i64 {
        let mut bytes = Vec::with_capacity(32 + name.len());
        for number in [self.number, self.version.get(), self.created.micros(), self.updated.micros()] {
            bytes.extend_from_slice(&number.to_be_bytes());
        }
        bytes.extend_from_slice(name.as_bytes());
        xxhash_rust::xxh3::xxh3_64(&bytes).cast_signed()
    }
}

fn read(row: &Row<'_>) -> Result<(StreamRow, StreamId), Damage> {
    let name: String = row.get(5)?;
    let damaged = || Damage::new(format!("the row of stream {name:?} is damaged"));
    let found = StreamRow {
        number: row.get(0)?,
        version: Version::new(row.get(1)?).map_err(|_| damaged())?,
        created: Timestamp::from_micros(row.get(2)?).map_err(|_| damaged())?,
        updated: Timestamp::from_micros(row.get(3)?).map_err(|_| damaged())?,
    };
    if found.checksum(&name) != row.get::<_, i64>(4)? {
        return Err(damaged());
    }
    let stream = StreamId::new(&name).map_err(|_| damaged())?;
    Ok((found, stream))
}

/// The row of a stream, if it ever was.
pub(crate) fn find(conn: &Connection, stream: &StreamId) -> Result<Option<StreamRow>, Damage> {
    let sql = "SELECT stream, version, created, updated, checksum, name FROM fd_stream WHERE name = ?1";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([stream.as_str()])?;
    match rows.next()? {
        Some(row) => Ok(Some(read(row)?.0)),
        None => Ok(None),
    }
}

/// Adds a stream whose last event will be at `place`.
pub(crate) fn insert(conn: &Connection, stream: &StreamId, place: &Place) -> Result<StreamRow, Damage> {
    let sql = "SELECT ifnull(max(stream), 0) + 1 FROM fd_stream";
    let row = StreamRow {
        number: conn.prepare_cached(sql)?.query_row([], |row| row.get(0))?,
        version: place.version,
        created: place.recorded_at,
        updated: place.recorded_at,
    };
    let sql = "INSERT OR FAIL INTO fd_stream (stream, name, version, created, updated, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    conn.prepare_cached(sql)?.execute(params![
        row.number,
        stream.as_str(),
        row.version.get(),
        row.created.micros(),
        row.updated.micros(),
        row.checksum(stream.as_str()),
    ])?;
    Ok(row)
}

/// Brings a stream to where its last event will be.
pub(crate) fn update(
    conn: &Connection,
    stream: &StreamId,
    before: StreamRow,
    place: &Place,
) -> Result<StreamRow, Damage> {
    let row = StreamRow { version: place.version, updated: place.recorded_at, ..before };
    let sql = "UPDATE OR FAIL fd_stream SET version = ?2, updated = ?3, checksum = ?4 WHERE stream = ?1";
    let values = params![row.number, row.version.get(), row.updated.micros(), row.checksum(stream.as_str())];
    match conn.prepare_cached(sql)?.execute(values)? {
        1 => Ok(row),
        _ => Err(Damage::new(format!("stream {stream} has lost its row"))),
    }
}

/// A page of the list of streams. The names of a category lie together: `c`, and what begins with `c-`.
pub(crate) fn list(conn: &Connection, query: &StreamsQuery) -> Result<StreamsPage, Damage> {
    let (low, high) = match &query.category {
        // `.` is what comes behind `-`.
        Some(category) => (category.as_str().to_owned(), format!("{category}.")),
        None => (String::new(), "\u{7f}".to_owned()),
    };
    let after = query.after.as_ref().map_or("", |after| after.as_str());
    let sql = "SELECT stream, version, created, updated, checksum, name FROM fd_stream
               WHERE name > ?1 AND name >= ?2 AND name < ?3 ORDER BY name";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query(params![after, low, high])?;
    let mut streams = Vec::new();
    while let Some(row) = rows.next()? {
        let (found, stream) = read(row)?;
        if query.category.as_ref().is_some_and(|category| !category.contains(&stream)) {
            continue;
        }
        if streams.len() == query.limit.get() {
            return Ok(StreamsPage { streams, end: false });
        }
        streams.push(found.info(stream));
    }
    Ok(StreamsPage { streams, end: true })
}
