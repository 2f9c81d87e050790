//! Verifying a whole store: the chain, the checksums, and everything that is kept beside the log.

use bytes::Bytes;
use flightdeck_core::{Position, SchemaNumber, StreamId, Version};
use flightdeck_store::verify::{LogCheck, Unwatched, Verified, Watcher};
use flightdeck_store::view::{ViewError, ViewStore as _};
use flightdeck_store::{EventStore as _, Reason, Recorded, Snapshot, StoreError};

use crate::connection::Session;
use crate::names::Names;
use crate::row::{Damage, Events, event_columns};
use crate::snapshots::checksum;
use crate::store::{PostgresStore, to_error};

/// Rows that one statement looks at.
const ROWS: i64 = 1_000;
/// Entries of an index that one statement counts.
const ENTRIES: i64 = 50_000;
/// Snapshots that one statement looks at: each may be of 4 MiB.
const SNAPSHOTS: i64 = 8;

impl PostgresStore {
    /// Checks everything: every event's checksum, the chain from the first event to the head, dense positions and
    /// versions, streams, tags, remembered requests and snapshots against the log, and
    /// whether each view was folded from it.
    ///
    /// What is found wrong is listed, with positions, and the check goes on behind it. It reads in short statements, and
    /// so can run beside writers; what is appended meanwhile is not looked at.
    ///
    /// # Errors
    /// When the store can't be read at all.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        self.check_all(&Unwatched).await
    }

    /// The same, telling how far it is.
    pub(crate) async fn check_all(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError> {
        let (views, damaged) = match self.generations().await {
            Ok(views) => (views, None),
            Err(ViewError::Store(StoreError::Corrupt(damage))) => (Vec::new(), Some(damage)),
            Err(ViewError::Store(error)) => return Err(error),
            Err(other) => {
                return Err(StoreError::Failed { reason: Reason::Storage, source: Some(other.into()) });
            }
        };
        let head = self.head().await?;
        let until = head.cursor.position();
        let mut check = LogCheck::with_views(&views);
        damaged.into_iter().for_each(|damage| check.found_in_views(damage));
        while check.position() < until {
            let session = self.session().await?;
            chunk(&session, self.names(), &mut check, until).await.map_err(to_error)?;
            let [done, total] = [check.position(), until].map(|at| u64::try_from(at.get()).unwrap_or(0));
            watcher.at("events", done, total);
        }
        check.end(&head);
        let session = self.session().await?;
        tags(&session, &mut check, until).await.map_err(to_error)?;
        streams(&session, &mut check).await.map_err(to_error)?;
        versions(&session, &mut check).await.map_err(to_error)?;
        requests(&session, &mut check).await.map_err(to_error)?;
        snapshots(&session, &mut check).await.map_err(to_error)?;
        Ok(check.done(until))
    }
}

/// Damage is a finding; only what the database can't do at all ends the check.
fn found(check: &mut LogCheck, damage: Damage) -> Result<(), Damage> {
    match damage {
        Damage::Corrupt(corruption) => {
            check.found(corruption);
            Ok(())
        }
        other => Err(other),
    }
}

/// Walks over the next events.
async fn chunk(
    session: &Session,
    names: &Names,
    check: &mut LogCheck,
    until: Position,
) -> Result<(), Damage> {
    let sql = concat!(
        "SELECT ",
        event_columns!(),
        " FROM fd_log l WHERE l.position > $1 AND l.position <= $2 ORDER BY l.position"
    );
    // A few rows at a time: each may have 256 KiB of data.
    let end = Position::new(check.position().get().saturating_add(200)).unwrap_or(until).min(until);
    let rows = match session.query(sql, &[&check.position().get(), &end.get()]).await {
        Ok(rows) => rows,
        Err(damage) => {
            found(check, damage)?;
            check.missing_before(end.next());
            return Ok(());
        }
    };
    let mut reader = Events::of(session, names, &rows, 0).await?;
    let mut tagged = (Vec::new(), Vec::new());
    for row in &rows {
        let Ok(at) = Position::new(row.try_get(0)?) else { continue };
        match reader.event(row) {
            Ok(event) => {
                index(&event, &mut tagged);
                check.row(at, Ok(&event));
            }
            Err(Damage::Corrupt(corruption)) => check.row(at, Err(corruption)),
            Err(other) => return Err(other),
        }
    }
    check.missing_before(end.next());
    let sql = "SELECT n.position, n.tag FROM unnest($1::bigint[], $2::text[]) n(position, tag)
               WHERE NOT EXISTS (SELECT 1 FROM fd_tag g WHERE g.tag = n.tag AND g.position = n.position)";
    for row in session.query(sql, &[&tagged.0, &tagged.1]).await? {
        let tag: &str = row.try_get(1)?;
        check.problem(
            Position::new(row.try_get(0)?).ok(),
            format!("the tag {tag} is not in the index of tags"),
        );
    }
    Ok(())
}

fn index(event: &Recorded, tagged: &mut (Vec<i64>, Vec<String>)) {
    for tag in &event.tags {
        tagged.0.push(event.position.get());
        tagged.1.push(tag.to_string());
    }
}

/// The index of tags has as many entries as the events have tags: that each of those is in it was looked at event by event.
async fn tags(session: &Session, check: &mut LogCheck, until: Position) -> Result<(), Damage> {
    let sql = "WITH part AS MATERIALIZED (
                 SELECT g.tag, g.position FROM fd_tag g WHERE (g.tag, g.position) > ($1, $2)
                 ORDER BY g.tag, g.position LIMIT $3
               ) SELECT p.tag, p.position, (SELECT count(*) FROM part WHERE position <= $4)
               FROM part p ORDER BY p.tag DESC, p.position DESC LIMIT 1";
    let (mut after, mut indexed) = ((String::new(), 0_i64), 0_i64);
    while let Some(row) = session.query(sql, &[&after.0, &after.1, &ENTRIES, &until.get()]).await?.first() {
        after = (row.try_get(0)?, row.try_get(1)?);
        indexed += row.try_get::<_, i64>(2)?;
    }
    if check.is_clean() && u64::try_from(indexed) != Ok(check.tags()) {
        let own = check.tags();
        check.problem(
            None,
            format!("the index of tags has {indexed} entries, and the events have {own} tags"),
        );
    }
    Ok(())
}

/// Every stream ends where it says.
async fn streams(session: &Session, check: &mut LogCheck) -> Result<(), Damage> {
    let sql = "SELECT st.stream, st.name, st.version,
                 coalesce((SELECT max(l.version) FROM fd_log l WHERE l.stream = st.stream), 0),
                 st.checksum = fd_stream_checksum(st.stream, st.version, st.created, st.updated, st.name)
               FROM fd_stream st WHERE st.stream > $1 ORDER BY st.stream LIMIT $2";
    let mut after = i64::MIN;
    loop {
        let rows = session.query(sql, &[&after, &ROWS]).await?;
        for row in &rows {
            after = row.try_get(0)?;
            let name: &str = row.try_get(1)?;
            let (version, last): (i64, i64) = (row.try_get(2)?, row.try_get(3)?);
            if !row.try_get::<_, bool>(4)? {
                check.problem(None, format!("the row of stream {name} is damaged"));
            } else if version != last {
                check.problem(
                    None,
                    format!("stream {name} says version {version}, and its last event is {last}"),
                );
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

/// The versions of every stream begin at 1 and leave nothing out, and every event is of a stream that there is.
async fn versions(session: &Session, check: &mut LogCheck) -> Result<(), Damage> {
    let sql = "WITH part AS MATERIALIZED (
                 SELECT l.stream, l.version FROM fd_log l WHERE (l.stream, l.version) > ($1, $2)
                 ORDER BY l.stream, l.version LIMIT $3
               ), ends AS MATERIALIZED (
                 SELECT p.stream, count(*) AS many, max(p.version) AS last FROM part p GROUP BY p.stream
               ) SELECT e.stream, e.many, e.last, st.name
               FROM ends e LEFT JOIN fd_stream st ON st.stream = e.stream ORDER BY e.stream";
    let (mut stream, mut version) = (i64::MIN, 0_i64);
    loop {
        let rows = session.query(sql, &[&stream, &version, &ENTRIES]).await?;
        for row in &rows {
            let (next, many, last): (i64, i64, i64) = (row.try_get(0)?, row.try_get(1)?, row.try_get(2)?);
            let before = if next == stream { version } else { 0 };
            match row.try_get::<_, Option<&str>>(3)? {
                None => check.problem(None, format!("stream number {next} has events and no row")),
                Some(name) if last - before != many => check.problem(
                    None,
                    format!("stream {name} has {many} events from version {} to {last}", before + 1),
                ),
                Some(_) => {}
            }
            (stream, version) = (next, last);
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn requests(session: &Session, check: &mut LogCheck) -> Result<(), Damage> {
    let sql = "SELECT r.caller, r.key, r.checksum = fd_request_checksum(r.caller, r.key, r.fingerprint, r.first, r.last)
                 AND r.last <= (SELECT h.position FROM fd_head h)
               FROM fd_request r WHERE (r.caller, r.key) > ($1, $2) ORDER BY r.caller, r.key LIMIT $3";
    let mut after = (String::new(), String::new());
    loop {
        let rows = session.query(sql, &[&after.0, &after.1, &ROWS]).await?;
        for row in &rows {
            after = (row.try_get(0)?, row.try_get(1)?);
            if !row.try_get::<_, bool>(2)? {
                check.problem(
                    None,
                    format!("what is remembered of request {} of {} is damaged", after.1, after.0),
                );
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}

async fn snapshots(session: &Session, check: &mut LogCheck) -> Result<(), Damage> {
    let sql = "SELECT s.stream, st.name, s.version, s.schema, s.checksum, s.state, s.version <= st.version
               FROM fd_snapshot s JOIN fd_stream st USING (stream) WHERE s.stream > $1 ORDER BY s.stream LIMIT $2";
    let mut after = i64::MIN;
    loop {
        let rows = session.query(sql, &[&after, &SNAPSHOTS]).await?;
        for row in &rows {
            after = row.try_get(0)?;
            let name: &str = row.try_get(1)?;
            let schema = u32::try_from(row.try_get::<_, i32>(3)?).unwrap_or(0);
            let kept = (StreamId::new(name), Version::new(row.try_get(2)?), SchemaNumber::new(schema));
            let whole = match kept {
                (Ok(stream), Ok(version), Ok(schema)) => {
                    let state = Bytes::copy_from_slice(row.try_get(5)?);
                    checksum(&stream, &Snapshot { version, schema, state }) == row.try_get::<_, i64>(4)?
                }
                _ => false,
            };
            if !whole || !row.try_get::<_, bool>(6)? {
                check
                    .problem(None, format!("the snapshot of stream {name} is damaged; it is safe to delete"));
            }
        }
        if rows.is_empty() {
            return Ok(());
        }
    }
}
