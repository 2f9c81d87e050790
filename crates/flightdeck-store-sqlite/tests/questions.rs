//! Any question to any log is answered on SQLite as it is in memory.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flightdeck_core::{Clock, EventId, EventType, Json, Position, StreamId, Tag, Tags, Timestamp};
use flightdeck_store::question::{Pointer, Scalar};
use flightdeck_store::system::SystemIds;
use flightdeck_store::{
    Append, Ask, Budget, EventStore, Filter, Found, Limit, LogQuestion, MemoryStore, NewEvent, StoreError,
    StreamPattern, TypePattern,
};
use flightdeck_store_sqlite::{Options, SqliteStore};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::{Strategy, any, prop_assert_eq, proptest};
use proptest::sample::select;
use proptest::test_runner::Config;
use uuid::Uuid;

const STREAMS: [&str; 6] = ["a-1", "a-2", "a-10", "b-1", "$a-1", "b"];
const TYPES: [&str; 3] = ["Opened", "Moved", "Closed"];
const VALUES: [&str; 9] = ["1", "1.0", "10e-1", "-1", "\"1\"", "null", "true", "\"a\"", "9007199254740993"];
const PATHS: [&str; 5] = ["", "/v", "/v/0", "/of/v", "/a~1b"];
const PATTERNS: [&str; 5] = ["*", "a-*", "a-1*", "$a-1", "b"];

/// The clocks of both stores, put to the same moment.
struct Put(AtomicI64);

impl Clock for Put {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// An event without the id that both stores give it, and the hours since the append before.
type Given = (&'static str, &'static str, &'static str, &'static str, bool);

fn given() -> impl Strategy<Value = Given> {
    (select(&STREAMS[..]), select(&TYPES[..]), select(&PATHS[..]), select(&VALUES[..]), any::<bool>())
}

fn event(number: usize, (stream, event_type, path, value, tagged): Given) -> NewEvent {
    let data = match path {
        "" => value.to_owned(),
        "/v" => format!("{{\"v\":{value}}}"),
        "/v/0" => format!("{{\"v\":[{value}]}}"),
        "/of/v" => format!("{{\"of\":{{\"v\":{value}}},\"v\":2}}"),
        _ => format!("{{\"a/b\":{value},\"of\":1}}"),
    };
    let id = EventId::new(Uuid::from_u128(0xc0_4774_c700_0000_8000_0000_0000_0000 + number as u128)).unwrap();
    let tags = if tagged { Tags::new([Tag::new("k:1").unwrap()]).unwrap() } else { Tags::NONE };
    let (stream, event_type) = (StreamId::new(stream).unwrap(), EventType::new(event_type).unwrap());
    NewEvent::new(stream, event_type, Json::new(data, 1_024).unwrap()).with_id(id).with_tags(tags)
}

fn ask() -> impl Strategy<Value = Ask> {
    let events = (select(&PATHS[..]), select(&VALUES[..])).prop_map(|(path, value)| {
        LogQuestion::with_data(Pointer::parse(path).unwrap(), Scalar::from_json(value).unwrap()).ask
    });
    let alike =
        select(&STREAMS[..]).prop_map(|stream| LogQuestion::alike(StreamId::new(stream).unwrap()).ask);
    let others = select(vec![Ask::Days, Ask::Silent { limit: Limit::MAX }]);
    proptest::prop_oneof![events, alike, others]
}

fn filter() -> impl Strategy<Value = Filter> {
    (vec(select(&PATTERNS[..]), 0..3), vec(select(&TYPES[..]), 0..2), any::<bool>()).prop_map(
        |(streams, types, tagged)| Filter {
            streams: streams.into_iter().map(|text| StreamPattern::parse(text).unwrap()).collect(),
            types: types.into_iter().map(|text| TypePattern::parse(text).unwrap()).collect(),
            tags: if tagged { vec![Tag::new("k:1").unwrap()] } else { vec![] },
        },
    )
}

fn question() -> impl Strategy<Value = LogQuestion> {
    let hour = || option::of(-1_i64..120).prop_map(|hour| hour.map(hours));
    let place = || (0_i64..40).prop_map(|number| Position::new(number).unwrap());
    (ask(), filter(), hour(), hour(), place(), option::of(place()), 1_i64..60, 1_usize..20).prop_map(
        |(ask, filter, from, to, after, until, events, limit)| {
            let budget = Budget::new(events, Duration::MAX).unwrap();
            let question = LogQuestion { filter, from, to, until, budget, ..LogQuestion::of(ask) };
            LogQuestion { after: after.into(), ..question }.limited(Limit::new(limit).unwrap())
        },
    )
}

fn hours(hours: i64) -> Timestamp {
    Timestamp::from_micros(hours * 3_600_000_000).unwrap()
}

/// Everything that is found, answer by answer to the end; or why nothing is.
async fn all(store: &dyn EventStore, mut question: LogQuestion) -> Result<Vec<Found>, String> {
    let mut found = Vec::new();
    for _ in 0..200 {
        match store.question(&question).await {
            Ok(answer) => {
                let next = question.next(&answer);
                found.push(answer.found);
                match next {
                    Some(next) => question = next,
                    None => return Ok(found),
                }
            }
            Err(StoreError::TooMuch(error)) => return Err(error.to_string()),
            Err(error) => panic!("{question:?}: {error}"),
        }
    }
    panic!("{question:?} has no end");
}

async fn both(appends: Vec<(i64, Vec<Given>)>) -> (MemoryStore, SqliteStore, tempfile::TempDir) {
    let clock = Arc::new(Put(AtomicI64::new(0)));
    let folder = tempfile::tempdir().unwrap();
    let options = Options { clock: Arc::clone(&clock) as Arc<dyn Clock>, ..Options::default() };
    let sqlite = SqliteStore::open(folder.path().join("log.db"), options).unwrap();
    let memory = MemoryStore::with(Arc::clone(&clock) as Arc<dyn Clock>, Arc::new(SystemIds::default()));
    let mut number = 0;
    for (step, events) in appends {
        clock.0.fetch_add(step * 3_600_000_000, Ordering::SeqCst);
        let events: Vec<_> = events
            .into_iter()
            .map(|given| {
                number += 1;
                event(number, given)
            })
            .collect();
        memory.append(Append::of(events.clone())).await.unwrap();
        sqlite.append(Append::of(events)).await.unwrap();
    }
    (memory, sqlite, folder)
}

proptest! {
    #![proptest_config(Config { cases: 48, failure_persistence: None, ..Config::default() })]

    #[test]
    fn every_answer_is_that_of_the_store_in_memory(
        appends in vec((0_i64..15, vec(given(), 1..6)), 0..14),
        questions in vec(question(), 1..40),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let (memory, sqlite, _folder) = both(appends).await;
            for question in questions {
                let (expected, found) = (all(&memory, question.clone()).await, all(&sqlite, question.clone()).await);
                prop_assert_eq!(found, expected, "{:?}", question);
            }
            Ok(())
        })?;
    }
}
