//! `flightdeck append`: one event, or a file of them.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use flightdeck_core::limits::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, EVENT_DATA_BYTES_MAX};
use flightdeck_core::{EventId, EventType, Json, SchemaNumber, StreamId, Version};
use flightdeck_server::Caps;
use flightdeck_server::event::{self, Source};
use flightdeck_store::admit::is_same;
use flightdeck_store::archive::{ArchiveError, Lines};
use flightdeck_store::chain::{Sealed, sha256};
use flightdeck_store::{Append, AppendError, Appended, EventStore, Expected, NewEvent, RequestKey, Watcher};
use serde_json::json;
use sha2::{Digest as _, Sha256};
use uuid::Uuid;

use crate::door::{self, Door};
use crate::exit::{Failure, REFUSED};
use crate::eyes::{Bar, Eyes, number};
use crate::line::{self, Kind, Parsed};
use crate::settings::Settings;
use crate::stores::Appending;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The stream, such as account-1
    #[arg(required_unless_present = "ndjson")]
    stream: Option<String>,
    /// The type of the event, such as Opened
    #[arg(required_unless_present = "ndjson")]
    event_type: Option<String>,
    /// The data, as JSON; - reads it from standard input
    #[arg(long, value_name = "JSON", default_value = "{}")]
    data: String,
    /// The state that the stream must be in: any, none, exists, or its last version
    #[arg(long, default_value = "any")]
    expect: String,
    /// A tag, key:value; may be given several times
    #[arg(long = "tag", value_name = "K:V")]
    tags: Vec<String>,
    /// The event's id, a UUID: an id is appended at most once
    #[arg(long)]
    id: Option<String>,
    /// The number of the data's shape
    #[arg(long, default_value_t = 1)]
    schema: u32,
    /// Metadata, as a JSON object: userId, correlationId, causationId, occurredAt, and whatever else
    #[arg(long, value_name = "JSON")]
    metadata: Option<String>,
    /// An idempotency key: the same command with the same key is done once
    #[arg(long)]
    key: Option<String>,
    /// Append a file, one event a line: {"streamId","eventType","data",…}; whole thousands at a time. The same file is appended once;
    /// of one that has grown, events with ids are, and those without are appended again
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stream", "event_type", "data", "expect", "tags", "id", "schema", "metadata", "key"])]
    ndjson: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    if let Some(file) = &arguments.ndjson {
        return many(file, settings, eyes).await;
    }
    let append = one(arguments).map_err(Failure::usage)?;
    if let Err(why) = append.events.iter().try_for_each(door::anyone) {
        return Err(Failure::new(REFUSED, why, "nothing was written"));
    }
    let store = Appending::open(settings).await?;
    let appended = store.store().append(append).await;
    store.close().await;
    say(&appended?, eyes)
}

fn one(arguments: Arguments) -> Result<Append, String> {
    let text = |error: &dyn std::fmt::Display| error.to_string();
    let stream = StreamId::new(arguments.stream.unwrap_or_default()).map_err(|error| text(&error))?;
    let event_type =
        EventType::new(arguments.event_type.unwrap_or_default()).map_err(|error| text(&error))?;
    let data = match arguments.data.as_str() {
        "-" => {
            let mut data = String::new();
            let read = std::io::stdin().take(1 + EVENT_DATA_BYTES_MAX as u64).read_to_string(&mut data);
            read.map_err(|error| format!("the data can't be read: {error}"))?;
            data
        }
        data => data.to_owned(),
    };
    let data = Json::new(data, EVENT_DATA_BYTES_MAX).map_err(|error| format!("the data: {error}"))?;
    let mut event = NewEvent::new(stream.clone(), event_type, data);
    event.tags = line::parse_tags(&arguments.tags)?;
    event.schema = SchemaNumber::new(arguments.schema).map_err(|error| text(&error))?;
    if let Some(id) = &arguments.id {
        event.id = Some(line::event_id(id)?);
    }
    if let Some(metadata) = &arguments.metadata {
        let metadata = event::metadata(metadata, Source::File, Caps::built_in());
        event.metadata = metadata.map_err(|error| format!("the metadata: {error}"))?;
    }
    // Remembered for ever, so taken over a layout that stays: the one that goes into the chain.
    let nameless = EventId::new(Uuid::from_u128(1)).map_err(|error| text(&error))?;
    let mut asked = Sealed::new(event.clone(), event.id.unwrap_or(nameless)).behind_place();
    asked.extend_from_slice(arguments.expect.as_bytes());
    let expected = match arguments.expect.as_str() {
        "any" => Expected::Any,
        "none" => Expected::NoStream,
        "exists" => Expected::Exists,
        version => {
            let version = version
                .parse()
                .map_err(|_| format!("--expect {version} is not any, none, exists or a version"))?;
            Expected::Exactly(Version::new(version).map_err(|error| text(&error))?)
        }
    };
    let append = Append::of([event]).expecting(stream, expected);
    match arguments.key {
        Some(key) => {
            let key = RequestKey::new("append", &key, sha256(&asked));
            Ok(append.with_request(key.map_err(|error| text(&error))?))
        }
        None => Ok(append),
    }
}

fn say(appended: &Appended, eyes: &Eyes) -> Result<(), Failure> {
    let mut out = eyes.out();
    for stream in &appended.streams {
        match eyes.json {
            true => writeln!(
                out,
                "{}",
                json!({
                    "streamId": stream.stream.as_str(), "version": stream.version.get(), "cursor": appended.cursor.to_string(),
                    "position": appended.cursor.position().get(), "duplicate": appended.duplicate,
                })
            )?,
            false => {
                let before = if appended.duplicate { ", as it was before" } else { "" };
                writeln!(
                    out,
                    "{} is at version {}, at position {} of the log{before}",
                    stream.stream,
                    stream.version,
                    appended.cursor.position()
                )?;
            }
        }
    }
    Ok(out.flush()?)
}

/// Appends a file.
async fn many(path: &Path, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let file = Sheet::open(path)?;
    let bar = Bar::new();
    let lines = file.check(&door::anyone, &bar)?;
    let store = Appending::open(settings).await?;
    let done = file.append(store.store(), &lines, &bar).await;
    store.close().await;
    drop(bar);
    done?.say(eyes)
}

/// A file of events.
pub(crate) struct Sheet {
    file: File,
    bytes: u64,
}

/// What a file came to when it was read to its end: what it is, how many events, and by what it is known.
pub(crate) struct Checked {
    kind: Kind,
    events: u64,
    name: String,
}

/// What became of a file.
#[derive(Default)]
pub(crate) struct Imported {
    events: u64,
    before: u64,
    position: i64,
}

/// The next events of a file, which are appended together.
#[derive(Default)]
struct Part {
    events: Vec<NewEvent>,
    bytes: usize,
    /// The first line.
    from: u64,
    /// Of all its lines.
    hash: Sha256,
}

impl Sheet {
    /// Opens a file. What can't be read twice (standard input, `-`, or a pipe) is put aside first.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let not_there = |error: std::io::Error| {
            let text = format!("{}: {error}", path.display());
            Failure::new(REFUSED, text, "look whether the file is there, and who may read it")
        };
        let mut file = match path == Path::new("-") {
            true => aside(&mut std::io::stdin().lock())?,
            false => File::open(path).map_err(not_there)?,
        };
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(not_there(std::io::ErrorKind::IsADirectory.into()));
        }
        if !kind.is_file() {
            file = aside(&mut file)?;
        }
        let bytes = file.seek(std::io::SeekFrom::End(0))?;
        Ok(Self { file, bytes })
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The file from its beginning.
    pub(crate) fn reader(&self) -> Result<BufReader<&File>, Failure> {
        let mut file = &self.file;
        file.rewind()?;
        Ok(BufReader::with_capacity(256 * 1024, file))
    }

    /// Understands every line before anything is done with any.
    pub(crate) fn check(&self, door: Door<'_>, watcher: &dyn Watcher) -> Result<Checked, Failure> {
        let (mut lines, mut hash, mut bytes) = (Lines::new(self.reader()?), Sha256::new(), 0);
        let (mut kind, mut events, mut end) = (None, 0, None);
        loop {
            let parsed = lines.line()?.map(|line| {
                hash.update(line);
                hash.update(b"\n");
                bytes += line.len() as u64 + 1;
                line::parse(line, *kind.get_or_insert_with(|| Kind::of(line)))
            });
            match parsed {
                None => break,
                Some(_) if end.is_some() => return Err(wrong(&lines, "stands behind the end")),
                Some(Ok(Parsed::Event(event))) => {
                    door(&event).map_err(|what| wrong(&lines, &what))?;
                    events += 1;
                }
                Some(Ok(Parsed::Beside)) => {}
                Some(Ok(Parsed::End(said))) => end = Some(said),
                Some(Err(what)) => return Err(wrong(&lines, &what)),
            }
            if lines.number().is_multiple_of(1_000) {
                watcher.at("bytes checked", bytes, self.bytes);
            }
        }
        let kind = kind.unwrap_or(Kind::Lines);
        if kind == Kind::Export && end != Some(events) {
            return Err(wrong(&lines, "the file ends before its end: it was cut off"));
        }
        let name =
            hash.finalize().iter().take(16).fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        Ok(Checked { kind, events, name })
    }

    /// Appends every event, up to a thousand at a time, each such part once: a file that was interrupted goes on where it stands.
    pub(crate) async fn append(
        &self,
        store: &dyn EventStore,
        checked: &Checked,
        watcher: &dyn Watcher,
    ) -> Result<Imported, Failure> {
        let (mut done, mut part, mut number) = (Imported::default(), Part::default(), 0);
        let mut lines = Lines::new(self.reader()?);
        loop {
            let line = lines.line()?;
            let (event, bytes, at_end) = match line {
                None => (None, 0, true),
                Some(line) => match line::parse(line, checked.kind) {
                    Ok(Parsed::Event(event)) => {
                        let one = Append::of([event.clone()]).bytes();
                        if part.events.len() >= APPEND_EVENTS_MAX || part.bytes + one > APPEND_BYTES_MAX {
                            let full = std::mem::take(&mut part);
                            full.append(store, checked, number, &mut done).await?;
                            watcher.at("events", done.events, checked.events);
                            number += 1;
                        }
                        part.hash.update(line);
                        part.hash.update(b"\n");
                        (Some(event), one, false)
                    }
                    Ok(Parsed::Beside | Parsed::End(_)) => (None, 0, false),
                    Err(what) => return Err(wrong(&lines, &what)),
                },
            };
            if let Some(event) = event {
                if part.events.is_empty() {
                    part.from = lines.number();
                }
                part.bytes += bytes;
                part.events.push(event);
            }
            if at_end {
                if !part.events.is_empty() {
                    part.append(store, checked, number, &mut done).await?;
                }
                return Ok(done);
            }
        }
    }
}

/// Puts what can be read only once where it can be read again.
fn aside(from: &mut dyn std::io::Read) -> Result<File, Failure> {
    let mut file = tempfile::tempfile()?;
    std::io::copy(from, &mut file)?;
    Ok(file)
}

fn wrong<R: std::io::BufRead>(lines: &Lines<R>, what: &str) -> Failure {
    ArchiveError::from(lines.bad(what)).into()
}

impl Part {
    /// Appends it, under a key by which it is known again.
    async fn append(
        self,
        store: &dyn EventStore,
        checked: &Checked,
        number: u64,
        done: &mut Imported,
    ) -> Result<(), Failure> {
        let key = format!("{}-{number}", checked.name);
        let key = RequestKey::new("import", &key, self.hash.finalize().into());
        let key = key.map_err(|error| Failure::usage(error.to_string()))?;
        let count = self.events.len() as u64;
        let append = |events: Vec<NewEvent>| Append::of(events).with_request(key.clone());
        let appended = match store.append(append(self.events.clone())).await {
            Err(AppendError::IdReused { id }) if self.events.iter().all(|event| event.id.is_some()) => {
                match news(store, &self.events).await? {
                    Some(news) => {
                        let known = count - news.len() as u64;
                        let appended = store.append(append(news)).await;
                        appended.inspect(|_| done.before += known)
                    }
                    None => Err(AppendError::IdReused { id }),
                }
            }
            appended => {
                appended.inspect(|appended| done.before += if appended.duplicate { count } else { 0 })
            }
        };
        let appended = appended.map_err(|error| {
            let told = Failure::from(error);
            let lines = format!("line {} and what follows, to the end of its thousand: {}", self.from, told.text());
            let next = format!(
                "{} events that stand before it are in the log; mend it, and give the same command again: with the same file it \
                 goes on there",
                done.events
            );
            told.instead(lines, next)
        })?;
        done.events += count;
        done.position = appended.cursor.position().get();
        Ok(())
    }
}

/// Some of these are in the log, and others not: the file has grown since, or parts of it came another way. Those that are not
/// there; `None` when one of those that are says something else.
async fn news(store: &dyn EventStore, events: &[NewEvent]) -> Result<Option<Vec<NewEvent>>, Failure> {
    let mut news = Vec::new();
    for event in events {
        let Some(id) = event.id else { return Ok(None) };
        match store.event(id).await? {
            None => news.push(event.clone()),
            Some(before) if is_same(&Sealed::new(event.clone(), id), &before) => {}
            Some(_) => return Ok(None),
        }
    }
    Ok(Some(news))
}

impl Imported {
    pub(crate) fn say(&self, eyes: &Eyes) -> Result<(), Failure> {
        let mut out = eyes.out();
        match eyes.json {
            true => {
                let line =
                    json!({ "events": self.events, "duplicates": self.before, "position": self.position });
                writeln!(out, "{line}")?;
            }
            false if self.before > 0 => writeln!(
                out,
                "{} events are in the log, {} of them from before",
                number(self.events),
                number(self.before)
            )?,
            false => writeln!(out, "{} events appended", number(self.events))?,
        }
        Ok(out.flush()?)
    }
}
