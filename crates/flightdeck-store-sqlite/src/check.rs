//! Verifying a whole store: the chain, the checksums, and everything that is kept beside the log.

use std::collections::HashMap;

use flightdeck_core::{Position, StreamId, Version};
use flightdeck_store::chain::Walk;
use flightdeck_store::{Corruption, EventStore as _, Head, Recorded, StoreError};
use rusqlite::{Connection, OptionalExtension as _, params};

use crate::ledger;
use crate::names::Names;
use crate::row::{Damage, Rows, select_events};
use crate::store::SqliteStore;
use crate::streams;

/// What a check of the whole store found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// How many events were looked at.
    pub events: u64,
    /// The head when the check began.
    pub head: Head,
    /// What is wrong. Empty: nothing is.
    pub problems: Vec<Corruption>,
}

/// How much is looked at in one read transaction.
const CHUNK_EVENTS: i64 = 5_000;
/// How many problems are listed; what is behind them is as bad.
const PROBLEMS_MAX: usize = 1_000;

/// The walk over the log, carried from one read transaction to the next.
#[derive(Default)]
struct Progress {
    walk: Walk,
    position: i64,
    events: u64,
    /// The last version met of each stream.
    versions: HashMap<StreamId, Version>,
    tags: i64,
    problems: Vec<Corruption>,
}

impl Progress {
    fn problem(&mut self, position: Option<Position>, what: impl Into<String>) {
        if self.problems.len() < PROBLEMS_MAX {
            self.problems.push(Corruption { position, what: what.into() });
        }
    }

    /// Damage is a finding; only what SQLite can't do at all ends the check.
    fn found(&mut self, damage: Damage) -> Result<(), Damage> {
        match damage {
            Damage::Corrupt(corruption) => {
                self.problem(corruption.position, corruption.what);
                Ok(())
            }
            Damage::Sql(error) => Err(Damage::Sql(error)),
        }
    }
}

impl SqliteStore {
    /// Checks everything: SQLite's own structure, every event's checksum, the chain from the first event to the head,
    /// dense positions and versions, streams, tags, remembered requests and snapshots against the log.
    ///
    /// What is found wrong is listed, with positions, and the check goes on behind it. It reads in short
    /// transactions, and so can run beside writers; what is appended meanwhile is not looked at.
    ///
    /// # Errors
    /// When the store can't be read at all.
    pub async fn verify(&self) -> Result<Verified, StoreError> {
        let structure = self.read(|conn, _| structure(conn)).await;
        let head = match self.head().await {
            Ok(head) => head,
            // A head that can't be read is what there is to report.
            Err(StoreError::Corrupt(problem)) => {
                let hash = flightdeck_store::chain::Hash::GENESIS;
                let cursor = flightdeck_core::Cursor::new(self.epoch().clone(), Position::START);
                return Ok(Verified { events: 0, head: Head { cursor, hash }, problems: vec![problem] });
            }
            Err(error) => return Err(error),
        };
        let mut progress = Progress::default();
        match structure {
            Ok(problems) => problems.into_iter().for_each(|what| progress.problem(None, what)),
            Err(StoreError::Corrupt(problem)) => progress.problem(None, problem.what),
            Err(error) => return Err(error),
        }
        let until = head.cursor.position().get();
        while progress.position < until {
            progress = self.read(move |conn, names| chunk(conn, names, progress, until)).await?;
        }
        if progress.problems.is_empty() && progress.walk.hash() != head.hash {
            progress.problem(Some(head.cursor.position()), "the chain does not end at the head");
        }
        let progress = self.read(move |conn, names| beside(conn, names, progress, until)).await?;
        Ok(Verified { events: progress.events, head, problems: progress.problems })
    }
}

/// What SQLite says of its pages and indexes.
fn structure(conn: &Connection) -> Result<Vec<String>, Damage> {
    let mut statement = conn.prepare("PRAGMA integrity_check(100)")?;
    let lines = statement.query_map([], |row| row.get(0))?.collect::<Result<Vec<String>, _>>()?;
    Ok(lines.into_iter().filter(|line| line != "ok").collect())
}

/// Walks over the next events.
fn chunk(conn: &Connection, names: &Names, mut progress: Progress, until: i64) -> Result<Progress, Damage> {
    let end = (progress.position + CHUNK_EVENTS).min(until);
    let mut statement =
        conn.prepare_cached(select_events!("WHERE position > ?1 AND position <= ?2 ORDER BY position"))?;
    let mut rows = statement.query(params![progress.position, end])?;
    let mut reader = Rows::new(conn, names);
    loop {
        let row = match rows.next() {
            Ok(Some(row)) => row,
            Ok(None) => break,
            Err(error) => {
                progress.found(error.into())?;
                break;
            }
        };
        let position: i64 = row.get(0)?;
        if position != progress.position + 1 {
            let missing = Position::new(progress.position + 1).ok();
            progress.problem(missing, "the event is missing");
        }
        progress.position = position;
        progress.events += 1;
        match reader.event(row) {
            Ok(event) => step(conn, &mut progress, &event)?,
            Err(damage) => progress.found(damage)?,
        }
    }
    // Whatever was missing up to here was said.
    if progress.position < end {
        let missing = Position::new(progress.position + 1).ok();
        progress.problem(missing, "the event is missing");
    }
    progress.position = end;
    Ok(progress)
}

/// Checks one event against the one before, its stream and its tags.
fn step(conn: &Connection, progress: &mut Progress, event: &Recorded) -> Result<(), Damage> {
    let at = Some(event.position);
    if let Err(broken) = progress.walk.step(event) {
        // Behind an event that was reported already, the link can't be checked, and is no finding of its own.
        let reported =
            progress.problems.last().is_some_and(|last| last.position == Some(event.position.previous()));
        if !reported {
            progress.problem(at, broken.to_string());
        }
        progress.walk = Walk::behind(event);
    }
    let last = progress.versions.insert(event.stream.clone(), event.version);
    if event.version != Version::after(last) && progress.problems.is_empty() {
        progress
            .problem(at, format!("version {} of stream {} is not the next one", event.version, event.stream));
    }
    for tag in &event.tags {
        progress.tags += 1;
        let sql = "SELECT EXISTS (SELECT 1 FROM fd_tag WHERE tag = ?1 AND position = ?2)";
        let found = conn
            .prepare_cached(sql)?
            .query_row(params![tag.as_str(), event.position.get()], |row| row.get(0));
        match found {
            Ok(true) => {}
            Ok(false) => progress.problem(at, format!("the tag {tag} is not in the index of tags")),
            Err(error) => progress.found(error.into())?,
        }
    }
    Ok(())
}

/// One look at something beside the log.
type Check = fn(&Connection, &Names, &mut Progress, i64) -> Result<(), Damage>;

/// Checks what is kept beside the log. What is newer than the walk is left alone.
fn beside(conn: &Connection, names: &Names, mut progress: Progress, until: i64) -> Result<Progress, Damage> {
    let checked: [Check; 4] = [tags, all_streams, requests, snapshots];
    for check in checked {
        if let Err(damage) = check(conn, names, &mut progress, until) {
            progress.found(damage)?;
        }
    }
    Ok(progress)
}

fn tags(conn: &Connection, _: &Names, progress: &mut Progress, until: i64) -> Result<(), Damage> {
    let sql = "SELECT count(*) FROM fd_tag WHERE position <= ?1";
    let indexed: i64 = conn.query_row(sql, [until], |row| row.get(0))?;
    if indexed != progress.tags {
        progress.problem(
            None,
            format!("the index of tags has {indexed} entries, and the events have {} tags", progress.tags),
        );
    }
    Ok(())
}

fn all_streams(conn: &Connection, _: &Names, progress: &mut Progress, until: i64) -> Result<(), Damage> {
    for (stream, version) in std::mem::take(&mut progress.versions) {
        let row = match streams::find(conn, &stream) {
            Ok(row) => row,
            Err(damage) => {
                progress.found(damage)?;
                continue;
            }
        };
        let newer = "SELECT count(*) FROM fd_log WHERE stream = ?1 AND position > ?2";
        let Some(row) = row else {
            progress.problem(None, format!("stream {stream} has events and no row"));
            continue;
        };
        let newer: i64 =
            conn.prepare_cached(newer)?.query_row(params![row.number, until], |row| row.get(0))?;
        if row.version.get() != version.get() + newer {
            progress.problem(
                None,
                format!("stream {stream} says version {}, and its events say {version}", row.version),
            );
        }
    }
    Ok(())
}

fn requests(conn: &Connection, _: &Names, progress: &mut Progress, until: i64) -> Result<(), Damage> {
    let mut statement = conn.prepare("SELECT caller, key, fingerprint, last FROM fd_request")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (caller, key): (String, String) = (row.get(0)?, row.get(1)?);
        let what = format!("what is remembered of request {key} of {caller} is damaged");
        let request = flightdeck_store::RequestKey::new(&caller, &key, row.get(2)?);
        match request.map(|request| ledger::remembered(conn, &request)) {
            Ok(Ok(Some(_))) if row.get::<_, i64>(3)? <= until.max(progress.position) => {}
            Ok(Ok(Some(_))) => {
                let newest: i64 =
                    conn.query_row("SELECT ifnull(max(position), 0) FROM fd_log", [], |row| row.get(0))?;
                if row.get::<_, i64>(3)? > newest {
                    progress.problem(None, what);
                }
            }
            _ => progress.problem(None, what),
        }
    }
    Ok(())
}

fn snapshots(conn: &Connection, _: &Names, progress: &mut Progress, _: i64) -> Result<(), Damage> {
    let mut statement = conn.prepare("SELECT stream, schema FROM fd_snapshot")?;
    let mut rows = statement.query([])?;
    while let Some(row) = rows.next()? {
        let (number, schema): (i64, u32) = (row.get(0)?, row.get(1)?);
        let name = conn.prepare_cached("SELECT name FROM fd_stream WHERE stream = ?1")?;
        let name: Option<String> = { name }.query_row([number], |row| row.get(0)).optional()?;
        let stream = name.as_deref().map(StreamId::new).and_then(Result::ok);
        let schema = flightdeck_core::SchemaNumber::new(schema).ok();
        let good = match stream.zip(schema) {
            Some((stream, schema)) => {
                let last = streams::find(conn, &stream)?.map(|row| row.version);
                crate::snapshots::find(conn, &stream, schema)?.is_some_and(|kept| Some(kept.version) <= last)
            }
            None => false,
        };
        if !good {
            progress.problem(
                None,
                format!("the snapshot of stream number {number} is damaged; it is safe to delete"),
            );
        }
    }
    Ok(())
}
