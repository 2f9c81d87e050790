//! Flipped bits: whatever a flip changes is reported by the read that meets it, and nothing changed is handed out. (F12–F14, P12)

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flightdeck_core::{Category, Position, StreamId, Tag};
use flightdeck_store::{
    Direction, EventStore, Filter, LogQuery, Recorded, StoreError, StreamInfo, StreamPattern, StreamQuery,
    StreamsQuery, TypePattern,
};
use flightdeck_store_sqlite::{Options, SqliteStore};
use rusqlite::Connection;
use rusqlite::types::Value;

use crate::victim::{block_on, open};

const FLIPS: usize = 200;

/// One way to read, by name, and what it gave.
type Answers = BTreeMap<String, Result<Vec<Recorded>, StoreError>>;

/// Reads everything by every path there is.
async fn answers(store: &dyn EventStore, all: &[Recorded]) -> Answers {
    let mut answers = Answers::new();
    let filters = [
        ("all", Filter::ALL),
        ("category", Filter::category(Category::new("story").unwrap())),
        ("types", Filter { types: vec![TypePattern::parse("To*").unwrap()], ..Filter::ALL }),
        ("tag", Filter::tagged(Tag::new("of:story").unwrap())),
        ("streams", Filter { streams: vec![StreamPattern::parse("story-3").unwrap()], ..Filter::ALL }),
    ];
    for (name, filter) in filters {
        for direction in [Direction::Forward, Direction::Backward] {
            let query = LogQuery { filter: filter.clone(), direction, ..LogQuery::default() };
            answers.insert(format!("log {name} {direction:?}"), pages(store, query).await);
        }
    }
    for stream in all.iter().map(|event| &event.stream).collect::<BTreeSet<_>>() {
        for direction in [Direction::Forward, Direction::Backward] {
            let query = StreamQuery { direction, ..StreamQuery::of(stream.clone()) };
            let page = store.read_stream(&query).await.map(|page| page.events);
            answers.insert(format!("stream {stream} {direction:?}"), page);
        }
    }
    for event in all {
        let found = store.event(event.id).await.map(|event| event.into_iter().collect());
        answers.insert(format!("id {}", event.id), found);
        let tag = event.tags.iter().find(|tag| tag.key() == "number").unwrap();
        let last = store.last_tagged(tag).await.map(|event| event.into_iter().collect());
        answers.insert(format!("last {tag}"), last);
    }
    answers
}

async fn pages(store: &dyn EventStore, query: LogQuery) -> Result<Vec<Recorded>, StoreError> {
    let (mut events, mut query) = (Vec::new(), Some(query));
    while let Some(asked) = query {
        let page = store.read_log(&asked).await?;
        query = asked.next(&page);
        events.extend(page.events);
    }
    Ok(events)
}

/// The rows of the log as SQLite has them, by position. `None`: SQLite itself can't read them.
fn raw(path: &Path) -> Option<BTreeMap<i64, Vec<Value>>> {
    let conn = Connection::open(path).ok()?;
    let mut statement = conn
        .prepare(
            "SELECT l.*, s.name, t.name FROM fd_log l NOT INDEXED LEFT JOIN fd_stream s USING (stream) LEFT JOIN fd_type t USING (type)",
        )
        .ok()?;
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| (0..columns).map(|column| row.get(column)).collect::<Result<Vec<Value>, _>>());
    let rows: Vec<Vec<Value>> = rows.ok()?.collect::<Result<_, _>>().ok()?;
    let key = |row: &[Value]| match row[0] {
        Value::Integer(position) => position,
        _ => -1,
    };
    Some(rows.into_iter().map(|row| (key(&row), row)).collect())
}

/// The places to flip a bit at: half of them anywhere, half of them where events lie.
fn places(bytes: &[u8], all: &[Recorded]) -> Vec<(usize, u8)> {
    let mut dice = 0x9e37_79b9_7f4a_7c15_u64;
    let mut roll = |below: usize| {
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(dice >> 33).unwrap() % below
    };
    let mut places = Vec::new();
    while places.len() < FLIPS / 2 {
        places.push((roll(bytes.len()), u8::try_from(roll(8)).unwrap()));
    }
    while places.len() < FLIPS {
        let event = &all[roll(all.len())];
        // The row lies around its hash: header and small columns before it, data behind it.
        let at = find(bytes, event.hash.as_bytes()).unwrap();
        let offset = roll(200);
        if offset + at > 120 && at + offset - 120 < bytes.len() {
            places.push((at + offset - 120, u8::try_from(roll(8)).unwrap()));
        }
    }
    places
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|window| window == what)
}

struct Pristine {
    all: Vec<Recorded>,
    answers: Answers,
    streams: Vec<StreamInfo>,
    raw: BTreeMap<i64, Vec<Value>>,
}

async fn streams(store: &dyn EventStore) -> Result<Vec<StreamInfo>, StoreError> {
    store.streams(&StreamsQuery::default()).await.map(|page| page.streams)
}

/// Opens a copy with one bit flipped, reads it by every path, and says whether the flip changed an event.
async fn flip(path: &Path, pristine: &Pristine, what: &str) -> bool {
    let raw = raw(path);
    let changed = raw.as_ref() != Some(&pristine.raw);
    let Ok(store) = SqliteStore::open_read_only(path, Options::default()) else {
        return changed;
    };
    let reported = match store.verify().await {
        Ok(verified) => !verified.problems.is_empty(),
        Err(_) => true,
    };
    assert!(reported || !changed, "{what}: an event is changed, and a check of the whole store says nothing");
    let mut met = false;
    for (path, answer) in answers(&store, &pristine.all).await {
        let good = pristine.answers[&path].as_ref().unwrap();
        match answer {
            Err(_) => met = true,
            Ok(events) => {
                let strange = events.iter().find(|event| !pristine.all.contains(event));
                assert_eq!(strange, None, "{what}: {path} gave a damaged event");
                // An index that lost an entry can hide an event from who asks by that index; a check of the whole tells.
                let whole = events == *good;
                assert!(whole || reported, "{what}: {path} gave other events, and nothing reports that");
                met |= !whole && reported;
            }
        }
    }
    if let Ok(listed) = streams(&store).await {
        let good = listed.iter().all(|stream| pristine.streams.contains(stream));
        assert!(
            good && (listed.len() == pristine.streams.len() || reported),
            "{what}: a stream's row is damaged"
        );
    }
    assert!(met || !changed, "{what}: an event is changed, and no read met it");
    // The plain read of the log has to say it itself: it meets every event.
    if changed {
        let log = pages(&store, LogQuery::after(Position::START)).await;
        assert!(log.is_err(), "{what}: an event is changed, and reading the log gives it");
    }
    changed
}

#[test]
fn no_flipped_bit_is_ever_handed_out() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&path);
    block_on(async {
        for number in 0..60 {
            store.append(flightdeck_tests::append(number)).await.unwrap();
        }
        store.close().await;
    });
    drop(store);
    let bytes = std::fs::read(&path).unwrap();
    let pristine = block_on(async {
        let store = SqliteStore::open_read_only(&path, Options::default()).unwrap();
        let all = flightdeck_tests::whole_log(&store).await;
        let answers = answers(&store, &all).await;
        let streams = streams(&store).await.unwrap();
        Pristine { answers, streams, raw: raw(&path).unwrap(), all }
    });
    assert!(pristine.answers.values().all(Result::is_ok) && pristine.all.len() == 120);
    assert!(pristine.all.iter().all(|event| event.stream.category() == Category::new("story").unwrap()));
    let mut changed = 0;
    for (at, bit) in places(&bytes, &pristine.all) {
        let mut flipped = bytes.clone();
        flipped[at] ^= 1 << bit;
        let copy = folder.path().join("flipped.db");
        for ending in ["", "-wal", "-shm"] {
            drop(std::fs::remove_file(format!("{}{ending}", copy.display())));
        }
        std::fs::write(&copy, flipped).unwrap();
        changed += usize::from(block_on(flip(&copy, &pristine, &format!("byte {at}, bit {bit}"))));
    }
    assert!(changed >= 60, "only {changed} of {FLIPS} flips changed an event");
}

/// The bytes of one event, found in the file and changed so that only the checksum can notice.
#[test]
fn damage_is_reported_with_its_position_and_verify_lists_all_of_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&path);
    block_on(async {
        for number in 0..30 {
            store.append(flightdeck_tests::append(number)).await.unwrap();
        }
        store.close().await;
    });
    let mut bytes = std::fs::read(&path).unwrap();
    for number in [7, 20] {
        let data = format!("{{\"number\":{number},\"part\":1}}");
        // Pages that were split leave copies behind that nobody reads.
        let mut at = 0;
        while let Some(found) = find(&bytes[at..], data.as_bytes()) {
            at += found + data.len();
            bytes[at - 2] = b'9';
        }
        assert!(at > 0);
    }
    std::fs::write(&path, bytes).unwrap();
    let store = open(&path);
    block_on(async {
        let stream = StreamId::new("story-8").unwrap();
        let page = store.read_stream(&StreamQuery::of(stream)).await;
        let Err(StoreError::Corrupt(corruption)) = page else { panic!("{page:?}") };
        let position = corruption.position.unwrap();
        let verified = store.verify().await.unwrap();
        let positions: Vec<_> = verified.problems.iter().filter_map(|problem| problem.position).collect();
        assert_eq!(positions.len(), 2, "{:?}", verified.problems);
        assert_eq!(positions[0], position);
        // Appends go on: what is damaged is old, and is not what they rest on.
        store.append(flightdeck_tests::append(99)).await.unwrap();
        store.close().await;
    });
}
