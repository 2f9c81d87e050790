//! Every store that was ever released opens for ever: its file and what a reader sees in it lie in `fixtures/`.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flightdeck_core::{
    Clock, EventId, EventType, Further, Ids, Json, Metadata, Position, Reference, SchemaNumber, StreamId,
    Tag, Tags, Timestamp, Version,
};
use flightdeck_store::{Append, EventStore, LogQuery, MemoryStore, NewEvent, RequestKey, Snapshot};
use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};
use serde_json::json;
use uuid::Uuid;

use crate::victim::{block_on, open};

/// A clock and ids that give the same in every run.
struct Fixed(AtomicI64);

impl Fixed {
    fn new() -> Arc<Self> {
        Arc::new(Self(AtomicI64::new(0)))
    }
}

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).unwrap()
    }
}

impl Ids for Fixed {
    fn event_id(&self, _: Timestamp) -> EventId {
        let number = u128::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap();
        EventId::new(Uuid::from_u128(0x0192_0000_0000_7000_8000_0000_0000_1000 + number)).unwrap()
    }
    fn random(&self) -> u128 {
        42
    }
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures")
}

/// The first history: every kind of thing that format 1 stores.
async fn first_history(store: &dyn EventStore) {
    let stream = |name: &str| StreamId::new(name).unwrap();
    let event = |name: &str, event_type: &str, data: &str| {
        NewEvent::new(
            stream(name),
            EventType::new(event_type).unwrap(),
            Json::new(data.to_owned(), 1_000).unwrap(),
        )
    };
    let metadata = Metadata {
        actor: Some(Reference::new("user-1").unwrap()),
        correlation: Some(Reference::new("0af7651916cd43dd8448eb211c80319c").unwrap()),
        causation: Some(Reference::new("0192f3a4-7b1c-7def-8123-456789abcdef").unwrap()),
        occurred: Some(Timestamp::from_micros(1_789_999_999_123_456).unwrap()),
        further: Some(Further::new("{ \"ip\" : \"::1\", \"ip\":1 }").unwrap()),
    };
    let tags = Tags::new([Tag::new("slug:hello").unwrap(), Tag::new("author:Zoë").unwrap()]).unwrap();
    let first =
        event("page-1", "Drafted", "{\"title\":\"Hello \u{1f680}\",  \"n\": 123456789012345678901234567890}");
    store.append(Append::of([first.with_metadata(metadata).with_tags(tags)])).await.unwrap();
    let several = Append::of([
        event("page-2", "Drafted", "null"),
        event("page-1", "Published", "{}"),
        event("page-2", "Published", "[1]"),
    ]);
    store.append(several.with_request(RequestKey::new("user-1", "key-1", [7; 32]).unwrap())).await.unwrap();
    store
        .append(Append::of([]).with_request(RequestKey::new("user-1", "key-2", [8; 32]).unwrap()))
        .await
        .unwrap();
    let newer = NewEvent {
        schema: SchemaNumber::new(3).unwrap(),
        ..event("$token-1", "Revoked", "{\"a\":1,\"a\":2}")
    };
    store.append(Append::of([newer])).await.unwrap();
    let snapshot = Snapshot {
        version: Version::new(2).unwrap(),
        schema: SchemaNumber::FIRST,
        state: "{\"live\":true}".into(),
    };
    store.save_snapshot(&stream("page-1"), snapshot).await.unwrap();
}

/// What a reader sees, line by line.
async fn listing(store: &dyn EventStore) -> String {
    let page = store.read_log(&LogQuery::after(Position::START)).await.unwrap();
    let mut lines = String::new();
    for event in page.events {
        let metadata = &event.metadata;
        let line = json!({
            "position": event.position, "streamId": event.stream, "version": event.version, "id": event.id,
            "eventType": event.event_type, "schema": event.schema, "data": String::from_utf8_lossy(event.data_bytes()),
            "userId": metadata.actor, "correlationId": metadata.correlation, "causationId": metadata.causation,
            "occurredAt": metadata.occurred,
            "further": metadata.further.as_ref().map(|further| String::from_utf8_lossy(further.as_json().as_bytes()).into_owned()),
            "tags": event.tags, "recordedAt": event.recorded_at, "appendEnd": event.append_end, "hash": event.hash.to_string(),
        });
        lines.push_str(&line.to_string());
        lines.push('\n');
    }
    lines
}

fn write() -> bool {
    std::env::var_os("FLIGHTDECK_CODEGEN").is_some_and(|what| what == "write")
}

/// Makes the fixture of format 1 when there is none. What was released is never written again.
#[test]
fn codegen_fixture_format_1() {
    let (database, events) = (folder().join("sqlite/format-1.db"), folder().join("events/format-1.ndjson"));
    if !database.exists() && write() {
        let fixed = Fixed::new();
        let options =
            Options { clock: fixed.clone(), ids: fixed, reserve: Reserve::Bytes(0), ..Options::default() };
        let temporary = tempfile::tempdir().unwrap();
        let path = temporary.path().join("format-1.db");
        let store = SqliteStore::open(&path, options).unwrap();
        let lines = block_on(async {
            first_history(&store).await;
            let lines = listing(&store).await;
            store.close().await;
            lines
        });
        drop(store);
        for (file, bytes) in [(&database, std::fs::read(&path).unwrap()), (&events, lines.into_bytes())] {
            std::fs::create_dir_all(file.parent().unwrap()).unwrap();
            std::fs::write(file, bytes).unwrap();
        }
    }
    assert!(
        database.exists() && events.exists(),
        "a released fixture is gone: bring it back from the history"
    );
}

/// Copies a fixture to where it may be written.
fn copy(name: &str) -> (tempfile::TempDir, PathBuf) {
    let temporary = tempfile::tempdir().unwrap();
    let path = temporary.path().join("copy.db");
    std::fs::copy(folder().join("sqlite").join(name), &path).unwrap();
    (temporary, path)
}

#[test]
fn every_released_store_opens_reads_and_goes_on() {
    let mut opened = 0;
    for file in std::fs::read_dir(folder().join("sqlite")).unwrap() {
        let name = file.unwrap().file_name().into_string().unwrap();
        let told = folder().join("events").join(name.replace(".db", ".ndjson"));
        let (_temporary, path) = copy(&name);
        let store = open(&path);
        block_on(async {
            assert_eq!(listing(&store).await, std::fs::read_to_string(told).unwrap(), "{name}");
            assert_eq!(store.verify().await.unwrap().problems, [], "{name}");
            store.append(flightdeck_tests::append(5)).await.unwrap();
            assert_eq!(store.verify().await.unwrap().problems, [], "{name}, gone on with");
            store.close().await;
        });
        opened += 1;
    }
    assert!(opened > 0);
}

#[test]
fn what_format_1_remembers_it_still_knows() {
    let (_temporary, path) = copy("format-1.db");
    let store = open(&path);
    block_on(async {
        let key = |key: &str, byte| RequestKey::new("user-1", key, [byte; 32]).unwrap();
        let done = store.outcome_of(&key("key-1", 7)).await.unwrap().unwrap();
        assert_eq!(done.range, Some((Position::new(2).unwrap(), Position::new(4).unwrap())));
        let nothing = store.outcome_of(&key("key-2", 8)).await.unwrap().unwrap();
        assert_eq!((nothing.range, nothing.cursor.position().get()), (None, 4));
        assert!(store.outcome_of(&key("key-1", 9)).await.is_err());
        let snapshot =
            store.snapshot(&StreamId::new("page-1").unwrap(), SchemaNumber::FIRST).await.unwrap().unwrap();
        assert_eq!(snapshot.state.as_ref(), b"{\"live\":true}");
        assert_eq!(store.epoch().as_str(), "610000000000");
        store.close().await;
    });
}

/// The same history has the same hashes, whatever store holds it.
#[test]
fn the_first_history_has_the_same_hashes_in_memory() {
    let fixed = Fixed::new();
    // The store on SQLite draws its epoch and its secret before the first event; ids are drawn by events alone.
    let store = MemoryStore::with(fixed.clone(), fixed);
    let lines = block_on(async {
        first_history(&store).await;
        listing(&store).await
    });
    assert_eq!(lines, std::fs::read_to_string(folder().join("events/format-1.ndjson")).unwrap());
}
