//! What the writer knows and writes, within the transaction that is open: the ground on which appends are checked.
//!
//! It sees what earlier appends of the same group have written, for they share the transaction. What it
//! remembers between groups (streams, types, the tip) is thrown away whenever a transaction is.

use std::collections::{BTreeSet, HashMap};

use flightdeck_core::{Cursor, Epoch, EventId, EventType, Position, StreamId, Tag, Timestamp, Version};
use flightdeck_store::admit::{Done, Ground, Remembered};
use flightdeck_store::chain::{Hash, Place, Sealed};
use flightdeck_store::stored::tag_lines;
use flightdeck_store::{AppendError, Appended, ConditionItem, Reason, Recorded, RequestKey};
use rusqlite::{CachedStatement, Connection, OptionalExtension as _, params};

use crate::fault::kill_point;
use crate::names::Names;
use crate::row::{Damage, Rows, select_events};
use crate::streams::{self, StreamRow};

/// Streams and types that the writer keeps in mind at the most: some 20 MB.
const KNOWN_MAX: usize = 131_072;

/// The last event of the log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tip {
    pub(crate) position: Position,
    pub(crate) hash: Hash,
    pub(crate) recorded_at: Option<Timestamp>,
}

impl Tip {
    /// Reads the tip of a log.
    pub(crate) fn read(conn: &Connection, names: &Names) -> Result<Self, Damage> {
        let mut statement = conn.prepare_cached(select_events!("ORDER BY position DESC LIMIT 1"))?;
        let mut rows = statement.query([])?;
        let Some(row) = rows.next()? else {
            return Ok(Self { position: Position::START, hash: Hash::GENESIS, recorded_at: None });
        };
        let event = Rows::new(conn, names).event(row)?;
        // The cheap assertion of P6: a log ends where an append does.
        if event.append_end != event.position {
            return Err(Damage::at(event.position.next().get(), "the event is missing"));
        }
        Ok(Self { position: event.position, hash: event.hash, recorded_at: Some(event.recorded_at) })
    }
}

/// Why the transaction can't go on.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// One append is refused; the others go on.
    Refused(AppendError),
    /// SQLite failed: what becomes of the group is the writer's to say.
    Sql(rusqlite::Error),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Damage> for Trouble {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Corrupt(corruption) => {
                Self::Refused(AppendError::not_committed(Reason::Corrupt(corruption)))
            }
            Damage::Sql(error) => Self::Sql(error),
        }
    }
}

impl From<AppendError> for Trouble {
    fn from(error: AppendError) -> Self {
        Self::Refused(error)
    }
}

/// The writer's side of the store: its connection, its statements, and what it keeps in mind.
pub(crate) struct Ledger<'c> {
    conn: &'c Connection,
    /// Its own, not the readers': it sees names that may yet be rolled back.
    names: Names,
    epoch: Epoch,
    insert_event: CachedStatement<'c>,
    insert_tag: CachedStatement<'c>,
    streams: HashMap<StreamId, StreamRow>,
    types: HashMap<EventType, i64>,
    /// The last event on disk, and the last one in the open transaction.
    committed: Tip,
    tip: Tip,
    /// The events between them, as they will be read.
    added: Vec<Recorded>,
    scratch: Vec<u8>,
    /// What SQLite failed with while a check asked it something.
    failed: Option<rusqlite::Error>,
}

impl<'c> Ledger<'c> {
    pub(crate) fn open(conn: &'c Connection, epoch: Epoch) -> Result<Self, Damage> {
        let names = Names::default();
        let tip = Tip::read(conn, &names)?;
        Ok(Self {
            conn,
            names,
            epoch,
            insert_event: conn.prepare_cached(
                "INSERT OR FAIL INTO fd_log (position, stream, version, type, schema, recorded, append_rest, id, actor, correlation,
                   causation, occurred, tags, checksum, hash, further, data)
                 VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)",
            )?,
            insert_tag: conn.prepare_cached("INSERT OR FAIL INTO fd_tag (tag, position) VALUES (?1, ?2)")?,
            streams: HashMap::new(),
            types: HashMap::new(),
            committed: tip,
            tip,
            added: Vec::new(),
            scratch: Vec::new(),
            failed: None,
        })
    }

    /// The last event on disk.
    pub(crate) const fn committed(&self) -> Tip {
        self.committed
    }

    /// The last event in the open transaction.
    pub(crate) const fn newest(&self) -> Position {
        self.tip.position
    }

    /// The names of streams and types, those of the open transaction too.
    pub(crate) const fn names(&self) -> &Names {
        &self.names
    }

    /// What the open transaction has added to the log.
    pub(crate) fn added(&self) -> &[Recorded] {
        &self.added
    }

    /// The transaction is on disk. Gives out what it has added, and where the log ends now.
    pub(crate) fn keep(&mut self) -> (Vec<Recorded>, Cursor) {
        self.committed = self.tip;
        (std::mem::take(&mut self.added), Cursor::new(self.epoch.clone(), self.tip.position))
    }

    /// The transaction is gone, and with it what was learned in it.
    pub(crate) fn forget(&mut self) {
        self.tip = self.committed;
        self.added.clear();
        self.streams.clear();
        self.types.clear();
        self.names = Names::default();
    }

    /// Runs a check that asks this ledger things; what SQLite fails with on the way is not the check's to judge.
    pub(crate) fn check<T>(
        &mut self,
        check: impl FnOnce(&mut Self) -> Result<T, AppendError>,
    ) -> Result<T, Trouble> {
        self.failed = None;
        let checked = check(self);
        match self.failed.take() {
            Some(error) => Err(Trouble::Sql(error)),
            None => Ok(checked?),
        }
    }

    /// Writes the events of one append behind the tip.
    pub(crate) fn write(&mut self, sealed: &[Sealed], now: Timestamp) -> Result<(Done, Appended), Trouble> {
        let before = self.head();
        // Now, and not on the way: a stream that was forgotten in the middle of its append is ahead of its events when it is looked up.
        if self.streams.len() + sealed.len() > KNOWN_MAX {
            self.streams.clear();
        }
        let places = self.places(sealed, now)?;
        self.write_streams(sealed, &places)?;
        for ((rest, event), place) in (0..sealed.len()).rev().zip(sealed).zip(&places) {
            self.write_event(event, place, rest)?;
            kill_point!("after-insert");
        }
        let done = match sealed.is_empty() {
            true => Done::Nothing(before.position()),
            false => Done::Events(before.position().next(), self.tip.position),
        };
        let events = sealed.iter().zip(&places);
        let events = events.map(|(event, place)| (&event.event().stream, place.version, place.position));
        Ok((done, Appended::sum_up(events, before, false)))
    }

    /// Gives each event its place, in memory.
    fn places(&mut self, sealed: &[Sealed], now: Timestamp) -> Result<Vec<Place>, Trouble> {
        let recorded_at = self.tip.recorded_at.map_or(now, |last| last.max(now));
        let append_end = sealed.iter().fold(self.tip.position, |position, _| position.next());
        let mut position = self.tip.position;
        let mut versions: HashMap<&StreamId, Version> = HashMap::new();
        let mut places = Vec::with_capacity(sealed.len());
        for event in sealed {
            let stream = &event.event().stream;
            let last = match versions.get(stream) {
                Some(version) => Some(*version),
                None => self.stream(stream)?.map(|row| row.version),
            };
            let version = Version::after(last);
            versions.insert(stream, version);
            position = position.next();
            places.push(Place { position, version, recorded_at, append_end });
        }
        Ok(places)
    }

    /// Brings the streams of an append to the versions they will have after it.
    fn write_streams(&mut self, sealed: &[Sealed], places: &[Place]) -> Result<(), Trouble> {
        let mut last: HashMap<&StreamId, &Place> = HashMap::new();
        for (event, place) in sealed.iter().zip(places) {
            last.insert(&event.event().stream, place);
        }
        for (stream, place) in last {
            let row = match self.stream(stream)? {
                Some(before) => streams::update(self.conn, stream, before, place)?,
                None => streams::insert(self.conn, stream, place)?,
            };
            self.streams.insert(stream.clone(), row);
        }
        Ok(())
    }

    fn write_event(&mut self, event: &Sealed, place: &Place, rest: usize) -> Result<(), Trouble> {
        let new = event.event();
        // The cheap assertions of P4 and P5: they stay on in release builds.
        assert_eq!(place.position, self.tip.position.next(), "positions are dense");
        let (hash, checksum) = event.link(&self.tip.hash, place, &mut self.scratch);
        let stream = self.stream(&new.stream)?.map(|row| row.number);
        let event_type = self.event_type(&new.event_type)?;
        let metadata = &new.metadata;
        self.insert_event.execute(params![
            place.position.get(),
            stream,
            place.version.get(),
            event_type,
            new.schema.get(),
            place.recorded_at.micros(),
            i64::try_from(rest).unwrap_or(i64::MAX),
            event.id().as_bytes(),
            metadata.actor.as_ref().map(AsRef::<str>::as_ref),
            metadata.correlation.as_ref().map(AsRef::<str>::as_ref),
            metadata.causation.as_ref().map(AsRef::<str>::as_ref),
            metadata.occurred.map(Timestamp::micros),
            tag_lines(&new.tags),
            checksum.cast_signed(),
            hash.as_bytes(),
            metadata.further.as_ref().map(|further| further.as_json().as_bytes()),
            new.data.as_bytes(),
        ])?;
        for tag in &new.tags {
            self.insert_tag.execute(params![tag.as_str(), place.position.get()])?;
        }
        self.added.push(event.recorded(place, hash));
        self.tip = Tip { position: place.position, hash, recorded_at: Some(place.recorded_at) };
        Ok(())
    }

    /// What is known of a stream, from memory or from the file.
    fn stream(&mut self, stream: &StreamId) -> Result<Option<StreamRow>, Trouble> {
        if let Some(row) = self.streams.get(stream) {
            return Ok(Some(*row));
        }
        let Some(row) = streams::find(self.conn, stream)? else {
            return Ok(None);
        };
        // A stream whose row and whose events disagree would get a hole or a repeat.
        let sql = "SELECT max(version) FROM fd_log WHERE stream = ?1";
        let last: Option<i64> = self.conn.prepare_cached(sql)?.query_row([row.number], |row| row.get(0))?;
        if last != Some(row.version.get()) {
            return Err(
                Damage::new(format!("stream {stream} and its events disagree about its version")).into()
            );
        }
        if self.streams.len() >= KNOWN_MAX {
            self.streams.clear();
        }
        self.streams.insert(stream.clone(), row);
        Ok(Some(row))
    }

    /// The number of an event type: the one it has, or a new one.
    fn event_type(&mut self, event_type: &EventType) -> Result<i64, Trouble> {
        if let Some(number) = self.types.get(event_type) {
            return Ok(*number);
        }
        let number = type_number(self.conn, event_type)?;
        if self.types.len() >= KNOWN_MAX {
            self.types.clear();
        }
        self.types.insert(event_type.clone(), number);
        Ok(number)
    }

    /// Remembers what was done under a request key.
    pub(crate) fn remember(&mut self, request: &RequestKey, done: Done) -> Result<(), Trouble> {
        Ok(remember(self.conn, request, done)?)
    }

    /// What an append did that was done before.
    pub(crate) fn recall(&self, done: Done) -> Result<Appended, Trouble> {
        Ok(recall(self.conn, &self.names, &self.epoch, done)?)
    }

    fn sql<T>(&mut self, found: Result<T, Trouble>) -> Result<T, AppendError> {
        found.map_err(|trouble| match trouble {
            Trouble::Refused(error) => error,
            Trouble::Sql(error) => {
                self.failed = Some(error);
                AppendError::not_committed(Reason::Storage)
            }
        })
    }
}

impl Ground for Ledger<'_> {
    fn head(&self) -> Cursor {
        Cursor::new(self.epoch.clone(), self.tip.position)
    }

    fn request(&mut self, request: &RequestKey) -> Result<Option<Remembered>, AppendError> {
        let found = remembered(self.conn, request).map_err(Trouble::from);
        self.sql(found)
    }

    fn event(&mut self, id: EventId) -> Result<Option<Recorded>, AppendError> {
        let found = event_of(self.conn, &self.names, id).map_err(Trouble::from);
        self.sql(found)
    }

    fn version(&mut self, stream: &StreamId) -> Result<Option<Version>, AppendError> {
        let found = self.stream(stream).map(|row| row.map(|row| row.version));
        self.sql(found)
    }

    fn first_match(
        &mut self,
        after: Position,
        any: &[ConditionItem],
    ) -> Result<Option<Position>, AppendError> {
        let found = first_match(self.conn, &self.names, after, any).map_err(Trouble::from);
        self.sql(found)
    }
}

/// The number of an event type in the file: the one it has, or a new one.
pub(crate) fn type_number(conn: &Connection, event_type: &EventType) -> rusqlite::Result<i64> {
    let found = conn.prepare_cached("SELECT type FROM fd_type WHERE name = ?1")?;
    let found = { found }.query_row([event_type.as_str()], |row| row.get(0)).optional()?;
    match found {
        Some(number) => Ok(number),
        None => {
            let sql = "INSERT INTO fd_type (type, name) SELECT ifnull(max(type), 0) + 1, ?1 FROM fd_type";
            conn.prepare_cached(sql)?.insert([event_type.as_str()])
        }
    }
}

/// What is remembered of a request.
pub(crate) fn remembered(conn: &Connection, request: &RequestKey) -> Result<Option<Remembered>, Damage> {
    let sql = "SELECT fingerprint, first, last, checksum FROM fd_request WHERE caller = ?1 AND key = ?2";
    let mut statement = conn.prepare_cached(sql)?;
    let read = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?));
    let found = statement.query_row([request.caller(), request.key()], read).optional()?;
    let Some((fingerprint, first, last, checksum)): Option<([u8; 32], i64, i64, i64)> = found else {
        return Ok(None);
    };
    let damaged = || Damage::new("what is remembered of a request is damaged");
    if request_checksum(request.caller(), request.key(), &fingerprint, first, last) != checksum {
        return Err(damaged());
    }
    let position = |number| Position::new(number).map_err(|_| damaged());
    let done = match first > last {
        true => Done::Nothing(position(last)?),
        false => Done::Events(position(first)?, position(last)?),
    };
    Ok(Some(Remembered { fingerprint, done }))
}

/// Remembers what was done under a request key.
pub(crate) fn remember(conn: &Connection, request: &RequestKey, done: Done) -> rusqlite::Result<()> {
    let (first, last) = match done {
        Done::Events(first, last) => (first.get(), last.get()),
        Done::Nothing(at) => (at.get() + 1, at.get()),
    };
    let checksum = request_checksum(request.caller(), request.key(), request.fingerprint(), first, last);
    let sql = "INSERT INTO fd_request (caller, key, fingerprint, first, last, checksum) VALUES (?1, ?2, ?3, ?4, ?5, ?6)";
    let values = params![request.caller(), request.key(), request.fingerprint(), first, last, checksum];
    conn.prepare_cached(sql)?.execute(values)?;
    Ok(())
}

fn request_checksum(caller: &str, key: &str, fingerprint: &[u8; 32], first: i64, last: i64) -> i64 {
    let bytes = [
        caller.as_bytes(),
        b"\0",
        key.as_bytes(),
        b"\0",
        fingerprint,
        &first.to_be_bytes(),
        &last.to_be_bytes(),
    ]
    .concat();
    xxhash_rust::xxh3::xxh3_64(&bytes).cast_signed()
}

/// The event with that id.
pub(crate) fn event_of(conn: &Connection, names: &Names, id: EventId) -> Result<Option<Recorded>, Damage> {
    let mut statement = conn.prepare_cached(select_events!("WHERE id = ?1"))?;
    let mut rows = statement.query([id.as_bytes()])?;
    match rows.next()? {
        Some(row) => Rows::new(conn, names).event(row).map(Some),
        None => Ok(None),
    }
}

/// What an append did that was done before: its events stand next to each other, so the log says the rest.
pub(crate) fn recall(
    conn: &Connection,
    names: &Names,
    epoch: &Epoch,
    done: Done,
) -> Result<Appended, Damage> {
    let (first, last) = match done {
        Done::Events(first, last) => (first, last),
        Done::Nothing(at) => (at.next(), at),
    };
    let mut statement =
        conn.prepare_cached(select_events!("WHERE position BETWEEN ?1 AND ?2 ORDER BY position"))?;
    let mut rows = statement.query([first.get(), last.get()])?;
    let (mut reader, mut events, mut expected) = (Rows::new(conn, names), Vec::new(), first);
    while let Some(row) = rows.next()? {
        let event = reader.event(row)?;
        if event.position != expected {
            break;
        }
        expected = expected.next();
        events.push((event.stream, event.version, event.position));
    }
    if expected != last.next() {
        return Err(Damage::at(expected.get(), "the event is missing"));
    }
    let places = events.iter().map(|(stream, version, position)| (stream, *version, *position));
    Ok(Appended::sum_up(places, Cursor::new(epoch.clone(), last), true))
}

/// The first event beyond `after` that matches any of the items. Where all items have tags, only events with the first tag
/// of one are looked at; each event is looked at once, however many items there are.
fn first_match(
    conn: &Connection,
    names: &Names,
    after: Position,
    any: &[ConditionItem],
) -> Result<Option<Position>, Damage> {
    let tags: Option<BTreeSet<&Tag>> = any.iter().map(|item| item.tags.first()).collect();
    let Some(tags) = tags else {
        return scan(conn, names, after, any);
    };
    let mut positions = BTreeSet::new();
    let mut statement =
        conn.prepare_cached("SELECT position FROM fd_tag WHERE tag = ?1 AND position > ?2")?;
    for tag in tags {
        let mut rows = statement.query(params![tag.as_str(), after.get()])?;
        while let Some(row) = rows.next()? {
            positions.insert(row.get::<_, i64>(0)?);
        }
    }
    let mut statement = conn.prepare_cached(select_events!("WHERE position = ?1"))?;
    let mut reader = Rows::new(conn, names);
    for position in positions {
        let mut rows = statement.query([position])?;
        let row =
            rows.next()?.ok_or_else(|| Damage::at(position, "an index names an event that is missing"))?;
        let event = reader.event(row)?;
        if any.iter().any(|item| item.matches(&event.event_type, &event.tags)) {
            return Ok(Some(event.position));
        }
    }
    Ok(None)
}

/// The same by looking at every event, for items without tags.
fn scan(
    conn: &Connection,
    names: &Names,
    after: Position,
    any: &[ConditionItem],
) -> Result<Option<Position>, Damage> {
    let mut statement = conn.prepare_cached(select_events!("WHERE position > ?1 ORDER BY position"))?;
    let mut rows = statement.query([after.get()])?;
    let (mut reader, mut expected) = (Rows::new(conn, names), after.next());
    while let Some(row) = rows.next()? {
        let event = reader.event(row)?;
        if event.position != expected {
            return Err(Damage::at(expected.get(), "the event is missing"));
        }
        if any.iter().any(|item| item.matches(&event.event_type, &event.tags)) {
            return Ok(Some(event.position));
        }
        expected = expected.next();
    }
    Ok(None)
}

#[cfg(test)]
mod tests;
