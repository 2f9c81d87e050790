//! Verifying a whole store: the chain, the checksums, and everything that is kept beside the log.

use flightdeck_core::{Position, StreamId, Timestamp};
use flightdeck_store::verify::{LogCheck, Unwatched, Verified, Watcher};
use flightdeck_store::view::GenerationState;
use flightdeck_store::{EventStore as _, Head, Recorded, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::generations;
use crate::ledger;
use crate::names::Names;
use crate::reader;
use crate::row::{Damage, Rows, select_events};
use crate::store::SqliteStore;
use crate::streams;
use crate::tables;

/// How many events are looked at in one read transaction.
const CHUNK_EVENTS: i64 = 5_000;
/// How many streams, requests or snapshots are.
const CHUNK_ROWS: i64 = 1_000;

/// Damage is a finding; only what SQLite can't do at all ends the check.
fn found(check: &mut LogCheck, damage: Damage) -> Result<(), Damage> {
    match damage {
        Damage::Corrupt(corruption) => {
            check.found(corruption);
            Ok(())
        }
        Damage::Sql(error) => Err(Damage::Sql(error)),
    }
}

/// A look at some rows beside the log, behind `after`; says where the next look goes on.
type Look = fn(&Connection, &Names, &mut LogCheck, i64) -> Result<Option<i64>, Damage>;

impl SqliteStore {
    /// Checks everything: SQLite's own structure, every event's checksum, the chain from the first event to the head,
    /// dense positions and versions, streams, tags, remembered requests and snapshots against the log, and whether each view was
    /// folded from it.
    ///
    /// What is found wrong is listed, with positions, and the check goes on behind it. It can run beside writers; what is
    /// appended meanwhile is not looked at. All of it reads in short transactions, but for SQLite's own
    /// check of its structure, which is one: while that runs, the WAL can't be cut back.
    ///
    /// # Errors
    /// When the store can't be read at all.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        self.check_all(&Unwatched).await
    }

    /// The same, telling how far it is.
    pub(crate) async fn check_all(&self, watcher: &dyn Watcher) -> Result<Verified, StoreError> {
        let (views, damaged) = match self.read(|conn, _| views(conn)).await {
            Ok(views) => (views, None),
            Err(StoreError::Corrupt(damage)) => (Vec::new(), Some(damage)),
            Err(error) => return Err(error),
        };
        let mut check = LogCheck::with_views(&views);
        damaged.into_iter().for_each(|damage| check.found_in_views(damage));
        match self.read(|conn, _| structure(conn)).await {
            Ok(problems) => problems.into_iter().for_each(|what| check.problem(None, what)),
            Err(StoreError::Corrupt(problem)) => check.problem(None, problem.what),
            Err(error) => return Err(error),
        }
        let until = self.read(|conn, _| reader::newest(conn)).await?;
        // A head that is damaged is met again on the walk, at its place.
        let head = match self.head().await {
            Ok(head) if head.cursor.position() == until => Some(head),
            Ok(_) | Err(StoreError::Corrupt(_)) => None,
            Err(error) => return Err(error),
        };
        while check.position() < until {
            check = self.read(move |conn, names| chunk(conn, names, check, until)).await?;
            let [done, total] = [check.position(), until].map(|at| u64::try_from(at.get()).unwrap_or(0));
            watcher.at("events", done, total);
        }
        // More was appended between the two looks at the end: then the walk ends where some append did.
        check.end(&head.unwrap_or_else(|| Head {
            cursor: flightdeck_core::Cursor::new(self.epoch().clone(), until),
            hash: check.hash(),
        }));
        check = self.read(move |conn, _| tags(conn, check, until)).await?;
        let looks: [Look; 3] = [all_streams, requests, snapshots];
        for look in looks {
            let mut after = Some(0);
            while let Some(from) = after {
                (check, after) = self.read(move |conn, names| beside(conn, names, check, look, from)).await?;
            }
        }
        Ok(check.done(until))
    }
}

/// The views, and how far each is; an older store that is only read has none.
fn views(conn: &Connection) -> Result<Vec<GenerationState>, Damage> {
    if !tables::is_there(conn, "fd_projection")? {
        return Ok(Vec::new());
    }
    // For how long nobody has wanted them is of no interest here.
    let now = Timestamp::from_micros(0).map_err(|error| Damage::new(error.to_string()))?;
    Ok(generations::all(conn, now)?.into_iter().map(|stored| stored.state).collect())
}

/// What SQLite says of its pages and indexes.
fn structure(conn: &Connection) -> Result<Vec<String>, Damage> {
    let mut statement = conn.prepare("PRAGMA integrity_check(100)")?;
    let lines = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Walks over the next events.
fn chunk(conn: &Connection, names: &Names, mut check: LogCheck, until: Position) -> Result<LogCheck, Damage> {
    let end = Position::new(check.position().get().saturating_add(CHUNK_EVENTS)).unwrap_or(until).min(until);
    let mut statement =
        conn.prepare_cached(select_events!("WHERE position > ?1 AND position <= ?2 ORDER BY position"))?;
    let mut rows = statement.query([check.position().get(), end.get()])?;
    let mut reader = Rows::new(conn, names);
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => {
                found(&mut check, error.into())?;
                break;
            }
        };
        let Ok(at) = Position::new(row.get(0)?) else { continue };
        match reader.event(row) {
            Ok(event) => {
                check.row(at, Ok(&event));
                tagged(conn, &mut check, &event)?;
            }
            Err(Damage::Corrupt(corruption)) => check.row(at, Err(corruption)),
            Err(error) => return Err(error),
        }
    }
    check.missing_before(end.next());
    Ok(check)
}

/// Every tag of an event leads to it.
fn tagged(conn: &Connection, check: &mut LogCheck, event: &Recorded) -> Result<(), Damage> {
    for tag in &event.tags {
        let sql = "SELECT EXISTS (SELECT 1 FROM fd_tag WHERE tag = ?1 AND position = ?2)";
        let there = conn
            .prepare_cached(sql)?
            .query_row(params![tag.as_str(), event.position.get()], |row| row.get(0));
        match there {
            Ok(true) => {}
            Ok(false) => {
                check.problem(Some(event.position), format!("the tag {tag} is not in the index of tags"))
            }
            Err(error) => found(check, error.into())?,
        }
    }
    Ok(())
}

/// And nothing else is in the index of tags.
fn tags(conn: &Connection, mut check: LogCheck, until: Position) -> Result<LogCheck, Damage> {
    let sql = "SELECT count(*) FROM fd_tag WHERE position <= ?1";
    match conn.query_row(sql, [until.get()], |row| row.get::<_, i64>(0)) {
        // The tags of a damaged event were not counted; it was reported.
        Ok(indexed) if check.is_clean() && u64::try_from(indexed) != Ok(check.tags()) => {
            let own = check.tags();
            check.problem(
                None,
                format!("the index of tags has {indexed} entries, and the events have {own} tags"),
            );
        }
        Ok(_) => {}
        Err(error) => found(&mut check, error.into())?,
    }
    Ok(check)
}

/// Takes one look at something beside the log; where that meets damage, what is behind it is left alone.
fn beside(
    conn: &Connection,
    names: &Names,
    mut check: LogCheck,
    look: Look,
    after: i64,
) -> Result<(LogCheck, Option<i64>), Damage> {
    let next = match look(conn, names, &mut check, after) {
        Ok(next) => next,
        Err(damage) => {
            found(&mut check, damage)?;
            None
        }
    };
    Ok((check, next))
}

/// Every stream has as many events as it says, and no version twice: for those are unique, the last is as high as their number.
fn all_streams(
    conn: &Connection,
    _: &Names,
    check: &mut LogCheck,
    after: i64,
) -> Result<Option<i64>, Damage> {
    let sql = "SELECT stream, name FROM fd_stream NOT INDEXED WHERE stream > ?1 ORDER BY stream LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([after, CHUNK_ROWS])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let (number, name): (i64, String) = (row.get(0)?, row.get(1)?);
        last = Some(number);
        let Ok(stream) = StreamId::new(&name) else {
            check.problem(None, format!("the row of stream {name:?} is damaged"));
            continue;
        };
        let says = match streams::find(conn, &stream) {
            Ok(Some(row)) if row.number == number => row.version.get(),
            Ok(_) => {
                check.problem(None, format!("stream {stream} is not in the index of names"));
                continue;
            }
            Err(damage) => {
                found(check, damage)?;
                continue;
            }
        };
        let sql = "SELECT count(*), ifnull(max(version), 0) FROM fd_log WHERE stream = ?1";
        let (many, newest): (i64, i64) =
            conn.prepare_cached(sql)?.query_row([number], |row| Ok((row.get(0)?, row.get(1)?)))?;
        if says != many || says != newest {
            check.problem(
                None,
                format!("stream {stream} says version {says}, has {many} events, and the last is {newest}"),
            );
        }
    }
    Ok(last)
}

/// What is remembered of requests, all in one look: a table without row numbers has no cheap place to go on from.
fn requests(conn: &Connection, _: &Names, check: &mut LogCheck, _: i64) -> Result<Option<i64>, Damage> {
    let newest = reader::newest(conn)?.get();
    let mut statement = conn.prepare("SELECT caller, key, fingerprint, last FROM fd_request")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (caller, key): (String, String) = (row.get(0)?, row.get(1)?);
        let request = flightdeck_store::RequestKey::new(&caller, &key, row.get(2)?);
        let whole = request.is_ok_and(|request| matches!(ledger::remembered(conn, &request), Ok(Some(_))));
        if !whole || row.get::<_, i64>(3)? > newest {
            check.problem(None, format!("what is remembered of request {key} of {caller} is damaged"));
        }
    }
    Ok(None)
}

fn snapshots(conn: &Connection, _: &Names, check: &mut LogCheck, after: i64) -> Result<Option<i64>, Damage> {
    let sql = "SELECT stream, schema FROM fd_snapshot WHERE stream > ?1 ORDER BY stream LIMIT ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let mut rows = statement.query([after, CHUNK_ROWS])?;
    let mut last = None;
    while let Some(row) = rows.next()? {
        let number: i64 = row.get(0)?;
        last = Some(number);
        let schema =
            row.get::<_, u32>(1).ok().and_then(|schema| flightdeck_core::SchemaNumber::new(schema).ok());
        let name = conn.prepare_cached("SELECT name FROM fd_stream WHERE stream = ?1")?;
        let name: Option<String> = { name }.query_row([number], |row| row.get(0)).optional()?;
        let stream = name.as_deref().map(StreamId::new).and_then(Result::ok);
        let good = match stream.zip(schema) {
            Some((stream, schema)) => {
                let newest = streams::find(conn, &stream)?.map(|row| row.version);
                crate::snapshots::find(conn, &stream, schema)?
                    .is_some_and(|kept| Some(kept.version) <= newest)
            }
            None => false,
        };
        if !good {
            check.problem(
                None,
                format!("the snapshot of stream number {number} is damaged; it is safe to delete"),
            );
        }
    }
    Ok(last)
}
