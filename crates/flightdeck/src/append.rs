//! `flightdeck append`: one event, or a file of them.

use std::fs::File;
use std::io::{BufReader, Read as _, Seek as _, Write as _};
use std::path::{Path, PathBuf};

use clap::Args;
use flightdeck_core::limits::{APPEND_BYTES_MAX, APPEND_EVENTS_MAX, EVENT_DATA_BYTES_MAX};
use flightdeck_core::{EventType, Json, SchemaNumber, StreamId, Version};
use flightdeck_store::archive::{ArchiveError, Lines};
use flightdeck_store::chain::sha256;
use flightdeck_store::{Append, Appended, EventStore, Expected, NewEvent, RequestKey, Watcher};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::event;
use crate::exit::Failure;
use crate::eyes::{Bar, Eyes, number};
use crate::settings::Settings;
use crate::stores::Writing;

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
    /// Append a file, one event a line: {"streamId","eventType","data",…}; whole thousands at a time
    #[arg(long, value_name = "FILE", conflicts_with_all = ["stream", "event_type", "data", "expect", "tags", "id", "schema", "metadata", "key"])]
    ndjson: Option<PathBuf>,
}

pub(crate) async fn run(arguments: Arguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    if let Some(file) = &arguments.ndjson {
        return many(file, settings, eyes).await;
    }
    let append = one(arguments).map_err(Failure::usage)?;
    let store = Writing::open(settings).await?;
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
    event.tags = event::parse_tags(&arguments.tags)?;
    event.schema = SchemaNumber::new(arguments.schema).map_err(|error| text(&error))?;
    if let Some(id) = &arguments.id {
        event.id = Some(event::event_id(id)?);
    }
    if let Some(metadata) = &arguments.metadata {
        event.metadata = event::parse_metadata(metadata).map_err(|error| format!("the metadata: {error}"))?;
    }
    let fingerprint = format!("{event:?} {}", arguments.expect);
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
            let key = RequestKey::new("append", &key, sha256(fingerprint.as_bytes()));
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
    let lines = file.check(&bar)?;
    let store = Writing::open(settings).await?;
    let done = file.append(store.store(), &lines, &bar).await;
    store.close().await;
    drop(bar);
    done?.say(eyes)
}

/// A file of events, and what was found when it was looked at.
pub(crate) struct Sheet {
    file: File,
    bytes: u64,
}

/// What a file came to when it was read to its end: how many events, and by what it is known.
pub(crate) struct Checked {
    events: u64,
    name: String,
}

/// What became of a file.
pub(crate) struct Imported {
    events: u64,
    before: u64,
    position: i64,
}

impl Sheet {
    /// Opens a file; `-` is standard input, which is put aside first, for it is read twice.
    pub(crate) fn open(path: &Path) -> Result<Self, Failure> {
        let mut file = match path == Path::new("-") {
            true => {
                let mut aside = tempfile::tempfile()?;
                std::io::copy(&mut std::io::stdin().lock(), &mut aside)?;
                aside
            }
            false => File::open(path).map_err(|error| {
                let text = format!("{}: {error}", path.display());
                Failure::new(
                    crate::exit::REFUSED,
                    text,
                    "look whether the file is there, and who may read it",
                )
            })?,
        };
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
    pub(crate) fn check(&self, watcher: &dyn Watcher) -> Result<Checked, Failure> {
        let (mut lines, mut events, mut hash, mut bytes) = (Lines::new(self.reader()?), 0, Sha256::new(), 0);
        loop {
            let parsed = lines.line()?.map(|line| {
                hash.update(line);
                hash.update(b"\n");
                bytes += line.len() as u64 + 1;
                event::parse(line)
            });
            match parsed {
                None => break,
                Some(parsed) => {
                    let event = parsed.map_err(|what| ArchiveError::from(lines.bad(what)))?;
                    events += u64::from(event.is_some());
                }
            }
            if lines.number().is_multiple_of(1_000) {
                watcher.at("bytes checked", bytes, self.bytes);
            }
        }
        let name =
            hash.finalize().iter().take(16).fold(String::new(), |name, byte| format!("{name}{byte:02x}"));
        Ok(Checked { events, name })
    }

    /// Appends every event, up to a thousand at a time, each such part once: a file that was interrupted goes on where it stands.
    pub(crate) async fn append(
        &self,
        store: &dyn EventStore,
        checked: &Checked,
        watcher: &dyn Watcher,
    ) -> Result<Imported, Failure> {
        let mut done = Imported { events: 0, before: 0, position: 0 };
        let (mut lines, mut part, mut number) = (Lines::new(self.reader()?), Vec::new(), 0);
        let mut bytes = 0;
        loop {
            let parsed = lines.line()?.map(event::parse);
            let (event, at_end) = match parsed {
                None => (None, true),
                Some(Ok(event)) => (event, false),
                Some(Err(what)) => return Err(ArchiveError::from(lines.bad(what)).into()),
            };
            let weight = |event: &NewEvent| Append::of([event.clone()]).bytes();
            let adds = event.as_ref().map_or(0, weight);
            if part.len() >= APPEND_EVENTS_MAX
                || bytes + adds > APPEND_BYTES_MAX
                || at_end && !part.is_empty()
            {
                let events = std::mem::take(&mut part);
                let count = events.len() as u64;
                let key = format!("{}-{number}", checked.name);
                let key = RequestKey::new("import", &key, sha256(key.as_bytes()));
                let key = key.map_err(|error| Failure::usage(error.to_string()))?;
                let appended = store.append(Append::of(events).with_request(key)).await?;
                done.events += count;
                done.before += if appended.duplicate { count } else { 0 };
                done.position = appended.cursor.position().get();
                watcher.at("events", done.events, checked.events);
                (number, bytes) = (number + 1, 0);
            }
            if let Some(event) = event {
                bytes += adds;
                part.push(event);
            } else if at_end {
                return Ok(done);
            }
        }
    }
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
