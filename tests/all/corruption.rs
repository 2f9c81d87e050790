//! Flipped bits: whatever a flip changes is reported by the read that meets it, and nothing changed is handed out. (F12–F14, P12)

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use flightdeck_core::{Category, Position, StreamId, Tag};
use flightdeck_store::{
    Ask, Direction, EventStore, Filter, Limit, LogQuery, LogQuestion, Recorded, StoreError, StreamInfo,
    StreamPattern, StreamQuery, StreamsQuery, TypePattern,
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
        assert!(raw.is_none() || !changed, "{what}: an event is changed, and nobody may look at the others");
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
                // What an index leads to can be hidden from who asks by that index: a tag, an id, the name of a stream as
                // a whole. A check of the whole store tells. Anything else comes whole or not at all.
                let by_index =
                    path.starts_with("log tag") || path.starts_with("last ") || path.starts_with("id ");
                let by_name =
                    events.is_empty() && (path.starts_with("stream ") || path.starts_with("log streams"));
                let hidden = reported && (by_index || by_name);
                assert!(events == *good || hidden, "{what}: {path} gave other events");
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
        // Nothing is counted, compared or called silent by what is damaged.
        let silent = Ask::Silent { limit: Limit::MAX };
        for ask in [Ask::Days, silent, LogQuestion::alike(StreamId::new("story-8").unwrap()).ask] {
            let answer = store.question(&LogQuestion::of(ask)).await;
            let Err(StoreError::Corrupt(corruption)) = answer else { panic!("{answer:?}") };
            assert_eq!(corruption.position, Some(position));
        }
        // Appends go on: what is damaged is old, and is not what they rest on.
        store.append(flightdeck_tests::append(99)).await.unwrap();
        store.close().await;
    });
}

/// Changes the one place where these bytes stand in a file.
fn patch(path: &Path, bytes: &[u8], at: usize, flip: u8) {
    let mut file = std::fs::read(path).unwrap();
    let found = find(&file, bytes).unwrap();
    assert_eq!(find(&file[found + 1..], bytes), None, "the bytes stand there once");
    file[found + at] ^= flip;
    std::fs::write(path, file).unwrap();
}

/// A store of so many small appends, closed.
fn closed_store(appends: u64) -> (tempfile::TempDir, std::path::PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&path);
    block_on(async {
        for number in 0..appends {
            store.append(flightdeck_tests::append(number)).await.unwrap();
        }
        store.close().await;
    });
    (folder, path)
}

#[test]
fn a_damaged_newest_event_is_one_that_is_damaged_and_no_more() {
    let (_folder, path) = closed_store(5);
    patch(&path, b"{\"number\":4,\"part\":1}", 11, 1);
    let store = SqliteStore::open_read_only(&path, Options::default()).unwrap();
    block_on(async {
        let read = store.read_log(&LogQuery::default()).await;
        let Err(StoreError::Corrupt(damage)) = read else { panic!("{read:?}") };
        assert_eq!(damage.position, Position::new(9).ok());
        let until = LogQuery { until: Position::new(8).ok(), ..LogQuery::default() };
        assert_eq!(store.read_log(&until).await.unwrap().events.len(), 8, "what is good can be saved");
        let verified = store.verify().await.unwrap();
        assert_eq!((verified.events, verified.problems.len()), (9, 1), "{:?}", verified.problems);
    });
}

/// An entry of the index of streams that leads elsewhere: the way to an event may be wrong, what it says of itself is not.
#[test]
fn an_index_that_leads_elsewhere_hides_no_event_of_a_stream() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&path);
    let (data, name) = (flightdeck_core::Json::new("1", 9).unwrap(), StreamId::new("a-1").unwrap());
    let event = flightdeck_store::NewEvent::new(name.clone(), "T".parse().unwrap(), data);
    block_on(async {
        for _ in 0..1_000 {
            store.append(flightdeck_store::Append::of([event.clone()])).await.unwrap();
        }
        store.close().await;
    });
    // The entry for version 500 of stream 1 is three numbers: 1, 500, and position 500, which becomes 16,884.
    patch(&path, &[8, 4, 9, 2, 2, 0x01, 0xf4, 0x01, 0xf4], 7, 0x40);
    let store = SqliteStore::open_read_only(&path, Options::default()).unwrap();
    block_on(async {
        let of = Filter { streams: vec![StreamPattern::Exact(name)], ..Filter::ALL };
        for (after, direction) in
            [(0, Direction::Forward), (600, Direction::Forward), (0, Direction::Backward)]
        {
            let after = Position::new(after).unwrap();
            let query = LogQuery { direction, ..LogQuery::after(after).matching(of.clone()) };
            match pages(&store, query).await {
                Ok(events) => assert_eq!(events.len() as i64, 1_000 - after.get(), "{after} {direction:?}"),
                Err(StoreError::Corrupt(_)) => {}
                Err(other) => panic!("{other}"),
            }
        }
    });
}

/// A record's header that says another type than was written.
#[test]
fn a_value_of_another_type_is_damage_and_a_damaged_snapshot_is_none() {
    let (_folder, path) = closed_store(20);
    let store = open(&path);
    let stream = StreamId::new("story-1").unwrap();
    block_on(async {
        let state = bytes::Bytes::from_static(b"qqqqqqqqqqqqqqqqqqqq");
        let snapshot = flightdeck_store::Snapshot {
            version: flightdeck_core::Version::FIRST,
            schema: flightdeck_core::SchemaNumber::FIRST,
            state,
        };
        store.save_snapshot(&stream, snapshot).await.unwrap();
        store.close().await;
    });
    // Five values: row number, version 1, schema 1, a checksum of 8 bytes, and a BLOB of 20, which becomes a text.
    patch(&path, &[6, 0, 9, 9, 6, 0x34], 5, 1);
    let store = open(&path);
    block_on(async {
        let found = store.snapshot(&stream, flightdeck_core::SchemaNumber::FIRST).await;
        assert_eq!(found.unwrap(), None, "it is only a head start");
        let verified = store.verify().await.unwrap();
        assert!(
            verified.problems.iter().any(|problem| problem.what.contains("snapshot")),
            "{:?}",
            verified.problems
        );
        store.close().await;
    });
}
