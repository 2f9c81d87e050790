//! The table of snapshots: one a stream, thrown away whenever it is of no use.

use bytes::Bytes;
use flightdeck_core::{SchemaNumber, StreamId, Version};
use flightdeck_store::Snapshot;

use crate::connection::Session;
use crate::row::Damage;

/// Keeps a snapshot, unless it is behind the kept one of its schema or ahead of the stream.
pub(crate) async fn save(session: &Session, stream: &StreamId, snapshot: &Snapshot) -> Result<(), Damage> {
    let sql = "INSERT INTO fd_snapshot (stream, version, schema, checksum, state)
               SELECT st.stream, $2, $3, $4, $5 FROM fd_stream st WHERE st.name = $1 AND st.version >= $2
               ON CONFLICT (stream) DO UPDATE
               SET version = EXCLUDED.version, schema = EXCLUDED.schema, checksum = EXCLUDED.checksum, state = EXCLUDED.state
               WHERE fd_snapshot.schema <> EXCLUDED.schema OR fd_snapshot.version <= EXCLUDED.version";
    let (version, schema) = (snapshot.version.get(), number(snapshot.schema));
    let sum = checksum(stream, snapshot);
    session.query(sql, &[&stream.as_str(), &version, &schema, &sum, &snapshot.state.as_ref()]).await?;
    Ok(())
}

/// Throws the snapshot of a stream away.
pub(crate) async fn delete(session: &Session, stream: &StreamId) -> Result<(), Damage> {
    let sql =
        "DELETE FROM fd_snapshot WHERE stream = (SELECT st.stream FROM fd_stream st WHERE st.name = $1)";
    session.query(sql, &[&stream.as_str()]).await?;
    Ok(())
}

/// The snapshot of a stream, if there is one of that schema. A damaged one is as good as none: it is only a head start.
pub(crate) async fn find(
    session: &Session,
    stream: &StreamId,
    schema: SchemaNumber,
) -> Result<Option<Snapshot>, Damage> {
    let sql = "SELECT s.version, s.checksum, s.state FROM fd_snapshot s JOIN fd_stream st USING (stream)
               WHERE st.name = $1 AND s.schema = $2";
    let rows = session.query(sql, &[&stream.as_str(), &number(schema)]).await?;
    let Some(row) = rows.first() else {
        return Ok(None);
    };
    let (version, kept): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
    let state = Bytes::copy_from_slice(row.try_get(2)?);
    let snapshot = Version::new(version).ok().map(|version| Snapshot { version, schema, state });
    Ok(snapshot.filter(|snapshot| checksum(stream, snapshot) == kept))
}

fn number(schema: SchemaNumber) -> i32 {
    i32::try_from(schema.get()).unwrap_or(i32::MAX)
}

pub(crate) fn checksum(stream: &StreamId, snapshot: &Snapshot) -> i64 {
    let mut bytes = Vec::with_capacity(256 + snapshot.state.len());
    bytes.extend_from_slice(stream.as_str().as_bytes());
    bytes.push(b'\n');
    bytes.extend_from_slice(&snapshot.version.get().to_be_bytes());
    bytes.extend_from_slice(&snapshot.schema.get().to_be_bytes());
    bytes.extend_from_slice(&snapshot.state);
    xxhash_rust::xxh3::xxh3_64(&bytes).cast_signed()
}
