//! The table of snapshots: one a stream, thrown away whenever it is of no use.

use bytes::Bytes;
use flightdeck_core::{SchemaNumber, StreamId, Version};
use flightdeck_store::Snapshot;
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::row::Damage;
use crate::streams;

/// Keeps a snapshot, unless it is behind the kept one of its schema or ahead of the stream. Says whether it did.
pub(crate) fn save(conn: &Connection, stream: &StreamId, snapshot: &Snapshot) -> rusqlite::Result<bool> {
    // A stream whose row is damaged gets no snapshot; whoever reads the stream is told of the damage.
    let row = match streams::find(conn, stream) {
        Ok(Some(row)) if row.version >= snapshot.version => row,
        Err(Damage::Sql(error)) => return Err(error),
        _ => return Ok(false),
    };
    let sql = "INSERT INTO fd_snapshot (stream, version, schema, checksum, state) VALUES (?1, ?2, ?3, ?4, ?5)
               ON CONFLICT (stream) DO UPDATE SET version = ?2, schema = ?3, checksum = ?4, state = ?5
               WHERE fd_snapshot.schema <> ?3 OR fd_snapshot.version <= ?2";
    let wrote = conn.prepare_cached(sql)?.execute(params![
        row.number,
        snapshot.version.get(),
        snapshot.schema.get(),
        checksum(row.number, snapshot),
        snapshot.state.as_ref(),
    ])?;
    Ok(wrote > 0)
}

/// Throws the snapshot of a stream away. Says whether there was one.
pub(crate) fn delete(conn: &Connection, stream: &StreamId) -> rusqlite::Result<bool> {
    let sql = "DELETE FROM fd_snapshot WHERE stream = (SELECT stream FROM fd_stream WHERE name = ?1)";
    Ok(conn.prepare_cached(sql)?.execute([stream.as_str()])? > 0)
}

/// The snapshot of a stream, if there is one of that schema. A damaged one is as good as none: it is only a head start.
pub(crate) fn find(
    conn: &Connection,
    stream: &StreamId,
    schema: SchemaNumber,
) -> Result<Option<Snapshot>, Damage> {
    let sql =
        "SELECT s.stream, s.version, s.checksum, s.state FROM fd_snapshot s JOIN fd_stream USING (stream)
               WHERE fd_stream.name = ?1 AND s.schema = ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| {
        let state = Bytes::from(row.get::<_, Vec<u8>>(3)?);
        Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, state))
    };
    let found = statement.query_row(params![stream.as_str(), schema.get()], read).optional();
    let found = match found.map_err(Damage::from) {
        Ok(found) => found,
        Err(Damage::Corrupt(_)) => None,
        Err(error) => return Err(error),
    };
    let snapshot = found.and_then(|(number, version, kept, state)| {
        let snapshot = Snapshot { version: Version::new(version).ok()?, schema, state };
        (checksum(number, &snapshot) == kept).then_some(snapshot)
    });
    Ok(snapshot)
}

fn checksum(stream: i64, snapshot: &Snapshot) -> i64 {
    let mut bytes = Vec::with_capacity(24 + snapshot.state.len());
    bytes.extend_from_slice(&stream.to_be_bytes());
    bytes.extend_from_slice(&snapshot.version.get().to_be_bytes());
    bytes.extend_from_slice(&snapshot.schema.get().to_be_bytes());
    bytes.extend_from_slice(&snapshot.state);
    xxhash_rust::xxh3::xxh3_64(&bytes).cast_signed()
}
