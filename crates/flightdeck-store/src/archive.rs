//! A whole log as a text file: NDJSON with everything that is stored, to be kept, looked into, and carried into another store.
//!
//! The first line says what it is, the last how much it holds, so that a file that was cut off is never taken for a whole one:
//!
//! ```text
//! {"export":{"format":1,"secret":"…"}}
//! {"position":1,"id":"0192…","streamId":"account-1","version":1,"eventType":"Opened","schema":1,"data":{…},…,"hash":"…"}
//! {"request":{"caller":"…","key":"…","fingerprint":"…","first":1,"last":1}}
//! {"snapshot":{"streamId":"account-1","version":1,"schema":1,"state":"base64"}}
//! {"end":{"events":1,"requests":1,"snapshots":1,"hash":"…"}}
//! ```
//!
//! Nothing in it depends on the store that it came from: two stores with the same history give the same bytes. Data stands
//! as its bytes are; where those can't stand in one line, they are a string under `dataText`. An event's hash covers
//! all that its line says, so that a changed line is found.

use std::collections::HashMap;
use std::fmt::Display;
use std::io::{BufRead, Read as _, Write};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use flightdeck_core::limits::{
    APPEND_BYTES_MAX, APPEND_EVENTS_MAX, EVENT_DATA_BYTES_MAX, SNAPSHOT_BYTES_MAX,
};
use flightdeck_core::{
    EventId, EventType, Further, Json, KeyId, Metadata, Position, SchemaNumber, StreamId, Tag, Tags,
    Timestamp, Version,
};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use thiserror::Error;
use uuid::Uuid;

use crate::admit::Done;
use crate::chain::{Hash, Walk, sha256};
use crate::event::{Data, Recorded};
use crate::page::page_bytes;
use crate::read::{Limit, LogQuery, Snapshot, StoreError};
use crate::secret::Secret;
use crate::transfer::{Judge, TransferError, is_within};
use crate::verify::Watcher;
use crate::whole::{Fill, KeptRequest, KeptSnapshot, Whole};

/// The format that this program writes and reads.
const FORMAT: u32 = 1;
/// The longest line: a snapshot of 4 MiB, and data of 256 KiB with every byte escaped, are far below.
const LINE_BYTES_MAX: u64 = 16 * 1024 * 1024;
/// Events that are carried into a store at once.
const BATCH: usize = 1_000;

/// What a file holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Contents {
    /// Events.
    pub events: u64,
    /// What is remembered of requests.
    pub requests: u64,
    /// Snapshots.
    pub snapshots: u64,
    /// The hash of the last event.
    pub hash: Hash,
    /// The secret of the log.
    pub secret: Secret,
}

impl Default for Contents {
    fn default() -> Self {
        Self {
            events: 0,
            requests: 0,
            snapshots: 0,
            hash: Hash::GENESIS,
            secret: Secret::from_bytes([0; 32]),
        }
    }
}

/// A line that is not as it should be.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("line {line}: {what}")]
pub struct BadLine {
    /// Which line; the first is 1.
    pub line: u64,
    /// What is wrong with it.
    pub what: String,
}

/// Why a log was not written to a file, or not read from one.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ArchiveError {
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The file could not be written or read.
    #[error("the file can't be written or read")]
    Io(#[from] std::io::Error),
    /// The file is not as it should be.
    #[error(transparent)]
    Line(#[from] BadLine),
    /// The store did not take it in.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

/// One line of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Entry {
    /// The beginning, with the secret of the log.
    Begin(Secret),
    /// An event.
    Event(Box<Recorded>),
    /// What is remembered of a request.
    Request(KeptRequest),
    /// A snapshot.
    Snapshot(KeptSnapshot),
    /// The end, with what should stand before it.
    End(Contents),
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct BeginLine {
    export: Begin,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Begin {
    format: u32,
    secret: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct EndLine {
    end: End,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct End {
    events: u64,
    requests: u64,
    snapshots: u64,
    hash: String,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct RequestLine {
    request: Request,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    caller: String,
    key: String,
    fingerprint: String,
    first: i64,
    last: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct SnapshotLine {
    snapshot: SnapshotBody,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct SnapshotBody {
    stream_id: String,
    version: i64,
    schema: u32,
    state: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct EventLine<'l> {
    position: i64,
    id: String,
    stream_id: String,
    version: i64,
    event_type: String,
    schema: u32,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'l RawValue>,
    data_text: Option<String>,
    tombstone: Option<String>,
    #[serde(default)]
    metadata: MetadataLine,
    #[serde(borrow, default, deserialize_with = "present")]
    further: Option<&'l RawValue>,
    further_text: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    recorded_at: Timestamp,
    append_end: i64,
    key: Option<String>,
    hash: String,
}

#[derive(Deserialize, Default)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct MetadataLine {
    user_id: Option<String>,
    correlation_id: Option<String>,
    causation_id: Option<String>,
    occurred_at: Option<Timestamp>,
}

/// A member that is there, also when it is `null`.
fn present<'de: 'l, 'l, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'l RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// Writes the line of an event, with its end.
///
/// # Errors
/// When it can't be written.
pub fn write_event(out: &mut dyn Write, event: &Recorded) -> std::io::Result<()> {
    let text = |out: &mut dyn Write, name: &str, text: &str| {
        write!(out, ",\"{name}\":").and_then(|()| Ok(serde_json::to_writer(out, text)?))
    };
    let json = |out: &mut dyn Write, name: &str, json: &Json| match std::str::from_utf8(json.as_bytes()) {
        Ok(bytes) if stands_in_a_line(json.as_bytes()) => write!(out, ",\"{name}\":{bytes}"),
        other => text(out, &format!("{name}Text"), other.unwrap_or_default()),
    };
    write!(out, "{{\"position\":{},\"id\":\"{}\"", event.position, event.id)?;
    text(out, "streamId", event.stream.as_str())?;
    write!(out, ",\"version\":{}", event.version)?;
    text(out, "eventType", event.event_type.as_str())?;
    write!(out, ",\"schema\":{}", event.schema.get())?;
    match &event.data {
        Data::Json(data) => json(out, "data", data)?,
        Data::Tombstone(hash) => write!(out, ",\"tombstone\":\"{}\"", Hash::from_bytes(*hash))?,
    }
    let Metadata { actor, correlation, causation, occurred, further } = &event.metadata;
    if actor.is_some() || correlation.is_some() || causation.is_some() || occurred.is_some() {
        let members = [("userId", actor), ("correlationId", correlation), ("causationId", causation)];
        out.write_all(b",\"metadata\":{")?;
        let mut comma = "";
        for (name, value) in members {
            if let Some(value) = value {
                write!(out, "{comma}\"{name}\":")?;
                serde_json::to_writer(&mut *out, value.as_str())?;
                comma = ",";
            }
        }
        if let Some(occurred) = occurred {
            write!(out, "{comma}\"occurredAt\":\"{occurred}\"")?;
        }
        out.write_all(b"}")?;
    }
    if let Some(further) = further {
        json(out, "further", further.as_json())?;
    }
    if !event.tags.is_empty() {
        out.write_all(b",\"tags\":")?;
        serde_json::to_writer(&mut *out, &event.tags.iter().map(Tag::as_str).collect::<Vec<_>>())?;
    }
    write!(out, ",\"recordedAt\":\"{}\",\"appendEnd\":{}", event.recorded_at, event.append_end)?;
    if let Some(key) = &event.key {
        write!(out, ",\"key\":\"{}\"", Uuid::from_bytes(*key.as_bytes()))?;
    }
    writeln!(out, ",\"hash\":\"{}\"}}", event.hash)
}

/// Whether a JSON text comes back from a line as the bytes that it is.
fn stands_in_a_line(json: &[u8]) -> bool {
    let space = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_whitespace);
    !space(json.first()) && !space(json.last()) && !json.iter().any(|byte| matches!(byte, b'\n' | b'\r'))
}

fn write_line(out: &mut dyn Write, line: &impl Serialize) -> std::io::Result<()> {
    serde_json::to_writer(&mut *out, line)?;
    out.write_all(b"\n")
}

/// Writes a whole log, as it is now.
///
/// # Errors
/// When the store can't be read or the file not be written.
pub async fn export(
    from: &dyn Whole,
    out: &mut (dyn Write + Send),
    watcher: &dyn Watcher,
) -> Result<Contents, ArchiveError> {
    let head = from.head().await?;
    let until = head.cursor.position();
    let secret = from.secret().await?;
    let mut contents = Contents { hash: head.hash, secret, ..Contents::default() };
    let secret = Hash::from_bytes(secret.bytes()).to_string();
    write_line(out, &BeginLine { export: Begin { format: FORMAT, secret } })?;
    let total = u64::try_from(until.get()).unwrap_or(0);
    let first = LogQuery { until: Some(until), ..LogQuery::default() };
    let mut query = (until > Position::START).then_some(first);
    while let Some(asked) = query {
        let page = from.read_log(&asked).await?;
        for event in &page.events {
            write_event(out, event)?;
            contents.events += 1;
        }
        query = asked.next(&page);
        watcher.at("events", contents.events, total);
    }
    let mut after = None;
    loop {
        let page = from.requests(after, Limit::MAX).await?;
        let Some(last) = page.last() else { break };
        after = Some((last.caller.clone(), last.key.clone()));
        for request in page.into_iter().filter(|request| request.done.last() <= until) {
            let (first, last) = match request.done {
                Done::Events(first, last) => (first.get(), last.get()),
                Done::Nothing(at) => (at.get() + 1, at.get()),
            };
            let fingerprint = Hash::from_bytes(request.fingerprint).to_string();
            let request = Request { caller: request.caller, key: request.key, fingerprint, first, last };
            write_line(out, &RequestLine { request })?;
            contents.requests += 1;
        }
    }
    let mut after = None;
    loop {
        let page = from.snapshots(after).await?;
        let Some(last) = page.last() else { break };
        after = Some(last.stream.clone());
        for kept in page {
            // What was folded since the export began is not part of it.
            if !is_within(from, &kept, until).await? {
                continue;
            }
            let KeptSnapshot { stream, snapshot } = kept;
            let snapshot = SnapshotBody {
                stream_id: stream.to_string(),
                version: snapshot.version.get(),
                schema: snapshot.schema.get(),
                state: BASE64.encode(&snapshot.state),
            };
            write_line(out, &SnapshotLine { snapshot })?;
            contents.snapshots += 1;
        }
    }
    let Contents { events, requests, snapshots, hash, .. } = contents;
    write_line(out, &EndLine { end: End { events, requests, snapshots, hash: hash.to_string() } })?;
    out.flush()?;
    Ok(contents)
}

/// The lines of a file, one after the other.
pub struct Lines<R> {
    from: R,
    line: u64,
    buffer: Vec<u8>,
}

impl<R: BufRead> Lines<R> {
    /// Begins at the first line.
    pub const fn new(from: R) -> Self {
        Self { from, line: 0, buffer: Vec::new() }
    }

    /// The number of the line that was read last.
    #[must_use]
    pub const fn number(&self) -> u64 {
        self.line
    }

    /// An error in the line that was read last.
    #[must_use]
    pub fn bad(&self, what: impl Display) -> BadLine {
        BadLine { line: self.line, what: what.to_string() }
    }

    /// The next line that is not empty, without its end; `None` behind the last.
    ///
    /// # Errors
    /// When the file can't be read, and when a line is longer than any can be.
    pub fn line(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        loop {
            self.buffer.clear();
            self.line += 1;
            let read = (&mut self.from).take(LINE_BYTES_MAX).read_until(b'\n', &mut self.buffer)?;
            if read == 0 {
                return Ok(None);
            }
            if self.buffer.last() != Some(&b'\n') && read as u64 == LINE_BYTES_MAX {
                return Err(self.bad("is longer than any line of an export").into());
            }
            if !self.buffer.trim_ascii().is_empty() {
                break;
            }
        }
        Ok(Some(self.buffer.trim_ascii()))
    }

    /// The next line of an export, understood.
    ///
    /// # Errors
    /// When it can't be read, or is not one.
    pub fn entry(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let entry = self.line()?.map(entry);
        Ok(entry.transpose().map_err(|what| self.bad(what))?)
    }
}

/// Understands a line.
///
/// # Errors
/// What is wrong with it.
pub fn entry(line: &[u8]) -> Result<Entry, String> {
    let is = |name: &str| {
        line.strip_prefix(b"{")
            .map(<[u8]>::trim_ascii_start)
            .is_some_and(|rest| rest.starts_with(format!("\"{name}\"").as_bytes()))
    };
    if is("export") {
        let BeginLine { export } = parse(line)?;
        return match export.format {
            FORMAT => Ok(Entry::Begin(Secret::from_bytes(hex(&export.secret)?))),
            other => Err(format!("is an export of format {other}, and this program knows format {FORMAT}")),
        };
    }
    if is("end") {
        let EndLine { end: End { events, requests, snapshots, hash } } = parse(line)?;
        return Ok(Entry::End(Contents {
            events,
            requests,
            snapshots,
            hash: Hash::from_bytes(hex(&hash)?),
            secret: Secret::from_bytes([0; 32]),
        }));
    }
    if is("request") {
        let RequestLine { request } = parse(line)?;
        let done = match request.first > request.last {
            true => Done::Nothing(Position::new(request.last).map_err(text)?),
            false => Done::Events(
                Position::new(request.first).map_err(text)?,
                Position::new(request.last).map_err(text)?,
            ),
        };
        let fingerprint = hex(&request.fingerprint)?;
        crate::RequestKey::new(&request.caller, &request.key, fingerprint).map_err(text)?;
        return Ok(Entry::Request(KeptRequest {
            caller: request.caller,
            key: request.key,
            fingerprint,
            done,
        }));
    }
    if is("snapshot") {
        let SnapshotLine { snapshot } = parse(line)?;
        let state = BASE64.decode(&snapshot.state).map_err(text)?;
        if state.len() > SNAPSHOT_BYTES_MAX {
            return Err(format!(
                "has a state of {} bytes, and {SNAPSHOT_BYTES_MAX} is the most",
                state.len()
            ));
        }
        return Ok(Entry::Snapshot(KeptSnapshot {
            stream: StreamId::new(&snapshot.stream_id).map_err(text)?,
            snapshot: Snapshot {
                version: Version::new(snapshot.version).map_err(text)?,
                schema: SchemaNumber::new(snapshot.schema).map_err(text)?,
                state: state.into(),
            },
        }));
    }
    event(parse(line)?).map(|event| Entry::Event(Box::new(event)))
}

fn parse<'l, T: Deserialize<'l>>(line: &'l [u8]) -> Result<T, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    serde_json::from_str(line).map_err(text)
}

fn event(line: EventLine<'_>) -> Result<Recorded, String> {
    let bytes = |raw: Option<&RawValue>, text: Option<String>| match (raw, text) {
        (Some(raw), None) => Ok(Some(Bytes::copy_from_slice(raw.get().as_bytes()))),
        (None, Some(text)) => Ok(Some(Bytes::from(text))),
        (None, None) => Ok(None),
        (Some(_), Some(_)) => Err("has the same thing twice, as JSON and as text".to_owned()),
    };
    let rest = usize::try_from(line.append_end.saturating_sub(line.position)).unwrap_or(usize::MAX);
    if rest >= APPEND_EVENTS_MAX {
        return Err(format!(
            "says that its append ends at {}, and {APPEND_EVENTS_MAX} events are the most",
            line.append_end
        ));
    }
    let data = match (bytes(line.data, line.data_text)?, line.tombstone) {
        (Some(data), None) => Data::Json(Json::new(data, EVENT_DATA_BYTES_MAX).map_err(text)?),
        (None, Some(tombstone)) => Data::Tombstone(hex(&tombstone)?),
        _ => return Err("has both data and a tombstone, or neither".to_owned()),
    };
    let further = bytes(line.further, line.further_text)?.map(Further::new).transpose().map_err(text)?;
    let reference = |text: Option<String>| text.map(flightdeck_core::Reference::new).transpose();
    let tags = line.tags.iter().map(Tag::new).collect::<Result<Vec<_>, _>>().map_err(text)?;
    let key = line.key.map(|key| Uuid::parse_str(&key)).transpose().map_err(text)?;
    Ok(Recorded {
        position: Position::new(line.position).map_err(text)?,
        stream: StreamId::new(&line.stream_id).map_err(text)?,
        version: Version::new(line.version).map_err(text)?,
        id: EventId::new(Uuid::parse_str(&line.id).map_err(text)?).map_err(text)?,
        event_type: EventType::new(&line.event_type).map_err(text)?,
        schema: SchemaNumber::new(line.schema).map_err(text)?,
        data,
        metadata: Metadata {
            actor: reference(line.metadata.user_id).map_err(text)?,
            correlation: reference(line.metadata.correlation_id).map_err(text)?,
            causation: reference(line.metadata.causation_id).map_err(text)?,
            occurred: line.metadata.occurred_at,
            further,
        },
        tags: Tags::new(tags).map_err(text)?,
        recorded_at: line.recorded_at,
        append_end: Position::new(line.append_end).map_err(text)?,
        key: key.map(|key| KeyId::from_bytes(key.into_bytes())),
        hash: Hash::from_bytes(hex(&line.hash)?),
    })
}

fn hex(text: &str) -> Result<[u8; 32], String> {
    let wrong = || format!("{text:?} is not 64 hexadecimal digits");
    let mut bytes = [0; 32];
    if text.len() != 64 || !text.is_ascii() {
        return Err(wrong());
    }
    for (byte, at) in bytes.iter_mut().zip((0..).step_by(2)) {
        *byte = u8::from_str_radix(&text[at..at + 2], 16).map_err(|_| wrong())?;
    }
    Ok(bytes)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Reads a file to its end, and holds it against itself: the order of its lines, the chain, the versions of every stream, and
/// the end; each event passes the judge. Nothing is kept but a number a stream.
///
/// # Errors
/// The first line that is wrong.
pub fn check(
    from: impl BufRead,
    of_bytes: u64,
    judge: Judge<'_>,
    watcher: &dyn Watcher,
) -> Result<Contents, ArchiveError> {
    let mut lines = Lines::new(from);
    let Some(Entry::Begin(secret)) = lines.entry()? else {
        return Err(lines.bad("is not the beginning of an export").into());
    };
    let (mut walk, mut found, mut bytes) =
        (Walk::from_start(), Contents { secret, ..Contents::default() }, 0);
    let mut versions: HashMap<[u8; 16], i64> = HashMap::new();
    let end = loop {
        let entry = lines.entry()?;
        bytes += lines.buffer.len() as u64;
        match entry {
            Some(Entry::Event(event)) if found.requests + found.snapshots == 0 => {
                walk.step(&event).map_err(|broken| lines.bad(broken))?;
                judge(&event).map_err(|problem| lines.bad(problem))?;
                // Names may be anybody's choice: half of a SHA-256 is what nobody makes meet.
                let mut name = [0; 16];
                name.copy_from_slice(&sha256(event.stream.as_str().as_bytes())[..16]);
                let version = versions.entry(name).or_default();
                *version += 1;
                if *version != event.version.get() {
                    let what = format!("says version {}, and {version} is what comes next", event.version);
                    return Err(lines.bad(what).into());
                }
                found.events += 1;
            }
            Some(Entry::Request(request))
                if found.snapshots == 0 && request.done.last() <= walk.position() =>
            {
                found.requests += 1;
            }
            Some(Entry::Snapshot(_)) => found.snapshots += 1,
            Some(Entry::End(end)) => break end,
            Some(_) => return Err(lines.bad("does not belong here").into()),
            None => return Err(lines.bad("the file ends before its end: it was cut off").into()),
        }
        if lines.line.is_multiple_of(1_000) {
            watcher.at("bytes checked", bytes, of_bytes);
        }
    };
    if !walk.is_between_appends() {
        return Err(lines.bad("the last append is not whole").into());
    }
    found.hash = walk.hash();
    if found != (Contents { secret, ..end }) {
        return Err(lines.bad("is not the end of what stands before it").into());
    }
    match lines.line()? {
        None => Ok(found),
        Some(_) => Err(lines.bad("stands behind the end").into()),
    }
}

/// Carries a file into a store, from where that stands. The file should have been [checked](check).
///
/// # Errors
/// When the file can't be read, is another log than the store has begun, or the store does not take it in.
pub async fn fill(
    from: impl BufRead + Send,
    to: &dyn Fill,
    contents: &Contents,
    watcher: &dyn Watcher,
) -> Result<(), ArchiveError> {
    let at = to.head().await?;
    let begun = at.cursor.position();
    // So that the event there is in the file, and is compared before anything is taken in.
    if u64::try_from(begun.get()).unwrap_or(u64::MAX) > contents.events {
        return Err(TransferError::Ahead(begun).into());
    }
    let mut lines = Lines::new(from);
    let (mut events, mut requests, mut bytes) = (Vec::with_capacity(BATCH), Vec::new(), 0);
    loop {
        match lines.entry()? {
            Some(Entry::Event(event)) if event.position < begun => {}
            Some(Entry::Event(event)) if event.position == begun => {
                if event.hash != at.hash {
                    return Err(TransferError::OtherLog(begun).into());
                }
            }
            Some(Entry::Event(event)) => {
                let position = u64::try_from(event.position.get()).unwrap_or(0);
                let whole = event.append_end == event.position;
                bytes += page_bytes(&event);
                events.push(*event);
                if whole && (events.len() >= BATCH || bytes >= APPEND_BYTES_MAX) {
                    add(to, &mut events).await?;
                    bytes = 0;
                    watcher.at("events", position, contents.events);
                }
            }
            Some(Entry::Request(request)) => {
                add(to, &mut events).await?;
                requests.push(request);
                if requests.len() >= BATCH {
                    to.add_requests(std::mem::take(&mut requests)).await.map_err(TransferError::from)?;
                }
            }
            Some(Entry::Snapshot(snapshot)) => {
                to.add_snapshots(vec![snapshot]).await.map_err(TransferError::from)?;
            }
            Some(Entry::Begin(_)) => {}
            Some(Entry::End(_)) | None => break,
        }
    }
    add(to, &mut events).await?;
    to.add_requests(requests).await.map_err(TransferError::from)?;
    let came = to.head().await?;
    match came.hash == contents.hash {
        true => Ok(()),
        false => Err(TransferError::Ahead(came.cursor.position()).into()),
    }
}

async fn add(to: &dyn Fill, events: &mut Vec<Recorded>) -> Result<(), ArchiveError> {
    if !events.is_empty() {
        to.add_events(std::mem::take(events)).await.map_err(TransferError::from)?;
    }
    Ok(())
}
