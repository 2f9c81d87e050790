//! Histories: told, paged, compared.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flightdeck_core::limits::EVENT_DATA_BYTES_MAX;
use flightdeck_core::{
    Clock, Cursor, Decider, Epoch, EventType, Json, Metadata, Position, Reference, SchemaNumber, StreamId,
    Timestamp, Version,
};
use flightdeck_domain::content::{Content, State, Status};
use flightdeck_domain::presentation::Presentation;
use flightdeck_domain::user::User;
use flightdeck_store::system::SystemIds;
use flightdeck_store::{
    Append, Data, Direction, EventStore, MemoryStore, NewEvent, Recorded, StoreError, StreamQuery,
};
use serde_json::{Value, json};

use super::{
    Chronicle, Entry, Events, HISTORY_BYTES_MAX, HISTORY_EVENTS_MAX, HISTORY_WORDS_MAX, HistoryError,
    HistoryPage, HistoryQuery, Moment, as_of, compare, history,
};
use crate::thing::Thing;

const CREATED: &str =
    r#"{"contentId":"1","title":"One","content":"Hello World","format":"Html","author":"ada","tags":["a"]}"#;

/// A clock on which every look takes a second.
#[derive(Default)]
struct Seconds(AtomicI64);

impl Clock for Seconds {
    fn now(&self) -> Timestamp {
        second(self.0.fetch_add(1, Ordering::Relaxed) + 1)
    }
}

fn second(number: i64) -> Timestamp {
    Timestamp::from_micros(number * 1_000_000).unwrap()
}

fn store() -> MemoryStore {
    MemoryStore::with(Arc::new(Seconds::default()), Arc::new(SystemIds::default()))
}

fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

fn event(to: &str, name: &str, schema: u32, data: &str) -> NewEvent {
    let data = Json::new(data.to_owned(), EVENT_DATA_BYTES_MAX).unwrap();
    let new = NewEvent::new(stream(to), EventType::new(name).unwrap(), data);
    let metadata = Metadata { actor: Some(Reference::new("eve").unwrap()), ..Metadata::default() };
    NewEvent { schema: SchemaNumber::new(schema).unwrap(), ..new }.with_metadata(metadata)
}

async fn happens(store: &MemoryStore, to: &str, name: &str, schema: u32, data: &str) {
    store.append(Append::of([event(to, name, schema, data)])).await.unwrap();
}

/// A content that was created, changed (after something else happened), published, and deleted.
async fn life() -> MemoryStore {
    let store = store();
    happens(&store, "content-1", "ContentCreated", 2, CREATED).await;
    happens(&store, "other-1", "Noise", 1, "{}").await;
    for patch in ["\"title\":\"Two\",\"description\":\"About\"", "\"status\":\"Published\""] {
        let data = format!("{{\"contentId\":\"1\",{patch}}}");
        happens(&store, "content-1", "ContentUpdated", 1, &data).await;
    }
    happens(&store, "content-1", "ContentDeleted", 1, "{\"contentId\":\"1\"}").await;
    store
}

/// A content with so many versions: each is called by its number.
async fn long(versions: usize) -> MemoryStore {
    let store = store();
    happens(&store, "content-1", "ContentCreated", 2, &CREATED.replace("One", "1")).await;
    let update = |number: usize| {
        event("content-1", "ContentUpdated", 1, &format!(r#"{{"contentId":"1","title":"{number}"}}"#))
    };
    let updates: Vec<NewEvent> = (2..=versions).map(update).collect();
    for some in updates.chunks(1_000) {
        store.append(Append::of(some.to_vec())).await.unwrap();
    }
    store
}

fn version(number: i64) -> Version {
    Version::new(number).unwrap()
}

async fn page(store: &MemoryStore, query: &HistoryQuery) -> HistoryPage {
    history::<Content>(store, &stream("content-1"), query).await.unwrap()
}

fn versions(page: &HistoryPage) -> Vec<i64> {
    page.entries.iter().map(|entry| entry.stand.version.get()).collect()
}

fn json(value: &impl serde::Serialize) -> Value {
    serde_json::to_value(value).unwrap()
}

#[tokio::test]
async fn a_history_tells_what_each_event_was_and_changed() {
    let store = life().await;
    let then = recorded(&store).await[1].recorded_at;
    let found = json(&page(&store, &HistoryQuery::default()).await);
    assert_eq!((&found["version"], &found["end"]), (&json!(4), &json!(true)));
    let mut entry = found["entries"][1].clone();
    assert!(entry.as_object_mut().unwrap().remove("id").is_some_and(|id| id.is_string()));
    let expected = json!({
        "version": 2, "position": 3, "recordedAt": then, "eventType": "ContentUpdated", "schema": 1,
        "userId": "eve", "data": {"contentId": "1", "title": "Two", "description": "About"},
        "changes": [
            {"field": "title", "before": "One", "after": "Two", "words": [{"removed": "One"}, {"added": "Two"}]},
            {"field": "description", "before": null, "after": "About"},
        ],
    });
    assert_eq!(entry, expected);
    let fields = |entry: &Value, side: &str| {
        entry["changes"].as_array().unwrap().iter().filter(|change| change.get(side).is_some()).count()
    };
    // Coming to be and being deleted change all eight fields.
    let (first, last) = (&found["entries"][0], &found["entries"][3]);
    assert_eq!((fields(first, "before"), fields(first, "after")), (0, 8));
    assert_eq!((fields(last, "before"), fields(last, "after")), (8, 0));
}

#[tokio::test]
async fn pages_of_a_history_are_the_whole_of_it_in_either_order() {
    let store = long(7).await;
    for limit in 1..=8 {
        for (direction, mut expected) in [
            (Direction::Forward, (1..=7).collect::<Vec<i64>>()),
            (Direction::Backward, (1..=7).rev().collect()),
        ] {
            let mut query = Some(HistoryQuery { direction, limit, ..HistoryQuery::default() });
            while let Some(asked) = query {
                let page = page(&store, &asked).await;
                let now: Vec<i64> = expected.drain(..limit.min(expected.len())).collect();
                assert_eq!((versions(&page), page.end), (now, expected.is_empty()), "{limit} {direction:?}");
                for entry in &page.entries {
                    let number = entry.stand.version.get();
                    let changes = &entry.difference.as_ref().unwrap().changes;
                    let title = changes.iter().find(|change| change.field == "title").unwrap();
                    let before = Some(number - 1).filter(|before| *before > 0);
                    assert_eq!(title.before, before.map(|before| json!(before.to_string())));
                    assert_eq!(title.after, Some(json!(number.to_string())));
                }
                query = asked.next(&page);
            }
            assert!(expected.is_empty());
        }
    }
}

#[tokio::test]
async fn a_page_is_between_the_versions_that_were_asked_for() {
    let store = long(7).await;
    let ask = |after: Option<i64>, to: Option<i64>| HistoryQuery {
        after: after.map(version),
        to: to.map(version),
        ..HistoryQuery::default()
    };
    for (query, expected) in [
        (ask(Some(2), Some(4)), vec![3, 4]),
        (ask(Some(5), Some(99)), vec![6, 7]),
        (ask(Some(7), None), vec![]),
        (ask(Some(99), None), vec![]),
        (ask(Some(4), Some(2)), vec![]),
    ] {
        for direction in [Direction::Forward, Direction::Backward] {
            let mut expected = expected.clone();
            if direction == Direction::Backward {
                expected.reverse();
            }
            let page = page(&store, &HistoryQuery { direction, ..query }).await;
            assert_eq!((versions(&page), page.end), (expected, true), "{query:?}");
        }
    }
}

#[tokio::test]
async fn a_page_is_bounded_in_events_and_in_bytes() {
    let many = long(HISTORY_EVENTS_MAX + 5).await;
    let query = HistoryQuery { limit: usize::MAX, ..HistoryQuery::default() };
    assert_eq!(page(&many, &query).await.entries.len(), HISTORY_EVENTS_MAX);
    let none = HistoryQuery { limit: 0, ..HistoryQuery::default() };
    assert_eq!(page(&many, &none).await.entries.len(), 1);

    let large = store();
    happens(&large, "content-1", "ContentCreated", 2, CREATED).await;
    for number in 0..20 {
        let text = format!("{number} ").repeat(60_000);
        let data = format!(r#"{{"contentId":"1","content":"{text}"}}"#);
        happens(&large, "content-1", "ContentUpdated", 1, &data).await;
    }
    for direction in [Direction::Forward, Direction::Backward] {
        let (mut query, mut all, mut pages) =
            (HistoryQuery { direction, ..HistoryQuery::default() }, vec![], 0);
        loop {
            let page = page(&large, &query).await;
            assert!(serde_json::to_vec(&page.entries).unwrap().len() < HISTORY_BYTES_MAX + 64 * 1024);
            all.extend(versions(&page));
            pages += 1;
            match query.next(&page) {
                Some(next) => query = next,
                None => break,
            }
        }
        let mut expected: Vec<i64> = (1..=21).collect();
        if direction == Direction::Backward {
            expected.reverse();
        }
        assert_eq!(all, expected);
        assert!(pages > 2, "{pages}");
    }
}

#[tokio::test]
async fn a_history_compares_fewer_words_than_a_comparison_does() {
    let store = store();
    happens(&store, "content-1", "ContentCreated", 2, CREATED).await;
    for word in ["old", "new"] {
        let text = format!("{word} same ").repeat(HISTORY_WORDS_MAX / 4);
        let data = format!(r#"{{"contentId":"1","content":"{text}"}}"#);
        happens(&store, "content-1", "ContentUpdated", 1, &data).await;
    }
    let pieces = |difference: &Value| difference["changes"][0]["words"].as_array().map(Vec::len);
    let told = json(&page(&store, &HistoryQuery::default()).await);
    assert_eq!(pieces(&told["entries"][2]), Some(3), "replaced, but for the end");
    let (from, to) = (Moment::Version(version(2)), Moment::Version(version(3)));
    let compared = compare::<Content>(&store, &stream("content-1"), from, to).await.unwrap();
    assert_eq!(pieces(&json(&compared)), Some(3 * HISTORY_WORDS_MAX / 4));
}

#[tokio::test]
async fn what_never_was_has_no_history() {
    let store = life().await;
    let ask = async |name: &str| {
        history::<Content>(&store, &stream(name), &HistoryQuery::default()).await.unwrap_err()
    };
    assert!(matches!(ask("content-2").await, HistoryError::NeverWas(named) if named == stream("content-2")));
    assert!(matches!(ask("user-1").await, HistoryError::WrongStream { category: "content", .. }));
}

async fn title(store: &MemoryStore, moment: Moment) -> Result<String, HistoryError> {
    let found = as_of::<Content>(store, &stream("content-1"), moment).await?;
    Ok(match found.state {
        State::Live(page) => format!("{} {:?}", page.now.title, page.status),
        State::Deleted => "deleted".to_owned(),
        State::Absent => "absent".to_owned(),
    })
}

#[tokio::test]
async fn a_thing_is_what_it_was_by_version_position_and_time() {
    let store = life().await;
    let of = |name: &str| Ok::<_, ()>(name.to_owned());
    let recorded: Vec<Timestamp> = page(&store, &HistoryQuery::default())
        .await
        .entries
        .iter()
        .map(|entry| entry.stand.recorded_at)
        .collect();
    let position = |number| Moment::Position(Position::new(number).unwrap());
    let head = store.head().await.unwrap().cursor;
    let cursor = |number| Moment::Cursor(Cursor::new(head.epoch().clone(), Position::new(number).unwrap()));
    let just_before = |time: Timestamp| Timestamp::from_micros(time.micros() - 1).unwrap();
    for (moment, expected) in [
        (Moment::Version(version(1)), of("One Draft")),
        (Moment::Version(version(2)), of("Two Draft")),
        (Moment::Version(version(3)), of("Two Published")),
        (Moment::Version(version(4)), of("deleted")),
        (position(1), of("One Draft")),
        (position(2), of("One Draft")),
        (position(3), of("Two Draft")),
        (position(5), of("deleted")),
        (cursor(3), of("Two Draft")),
        (Moment::Time(recorded[0]), of("One Draft")),
        (Moment::Time(just_before(recorded[1])), of("One Draft")),
        (Moment::Time(recorded[1]), of("Two Draft")),
        (Moment::Time(second(1_000_000)), of("deleted")),
    ] {
        assert_eq!(title(&store, moment.clone()).await.map_err(drop), expected, "{moment:?}");
    }
    for before in [position(0), Moment::Time(just_before(recorded[0]))] {
        assert!(matches!(title(&store, before.clone()).await, Err(HistoryError::Before)), "{before:?}");
    }
    let ahead = title(&store, Moment::Version(version(5))).await.unwrap_err();
    assert!(matches!(ahead, HistoryError::Ahead { last, .. } if last == version(4)));
    assert_eq!(ahead.to_string(), "the stream has no version 5 yet: its last one is 4");
}

#[tokio::test]
async fn a_moment_that_the_log_has_not_come_to_or_of_another_life_of_it_is_none() {
    let store = life().await;
    let head = store.head().await.unwrap().cursor;
    let (end, ahead) = (Position::new(5).unwrap(), Position::new(6).unwrap());
    let here = |position| Moment::Cursor(Cursor::new(head.epoch().clone(), position));
    let elsewhere = Moment::Cursor(Cursor::new(Epoch::new("elsewhere").unwrap(), end));
    let name = stream("content-1");
    for moment in [Moment::Position(ahead), here(ahead), elsewhere.clone()] {
        let refused = title(&store, moment.clone()).await.unwrap_err();
        for (from, to) in [(here(end), moment.clone()), (moment.clone(), here(end))] {
            let compared = compare::<Content>(&store, &name, from, to).await.unwrap_err();
            assert_eq!(compared.to_string(), refused.to_string());
        }
        match moment == elsewhere {
            true => assert!(matches!(refused, HistoryError::Store(StoreError::EpochChanged { .. }))),
            false => {
                assert!(
                    matches!(refused, HistoryError::NotYet { asked, head: known } if asked == ahead && known == head)
                );
            }
        }
    }
}

#[tokio::test]
async fn two_moments_are_compared_whichever_comes_first() {
    let store = life().await;
    let between = async |from: i64, to: i64| {
        let (from, to) = (Moment::Version(version(from)), Moment::Version(version(to)));
        json(&compare::<Content>(&store, &stream("content-1"), from, to).await.unwrap())
    };
    let found = between(1, 3).await;
    assert_eq!((&found["from"]["version"], &found["to"]["version"]), (&json!(1), &json!(3)));
    assert_eq!(found["to"]["position"], 4);
    let fields: Vec<&Value> =
        found["changes"].as_array().unwrap().iter().map(|change| &change["field"]).collect();
    assert_eq!(fields, ["title", "description", "status"]);
    let back = between(3, 1).await;
    assert_eq!(
        (&back["changes"][1]["before"], &back["changes"][1]["after"]),
        (&json!("About"), &Value::Null)
    );
    assert_eq!(between(2, 2).await["changes"], json!([]));
    assert_eq!(between(4, 1).await["changes"].as_array().map(Vec::len), Some(8));

    // A version and a position may be compared, too.
    let name = stream("content-1");
    let (early, second) = (Moment::Position(Position::new(2).unwrap()), Moment::Version(version(2)));
    let mixed = compare::<Content>(&store, &name, early.clone(), second).await.unwrap();
    assert_eq!(json(&mixed)["changes"].as_array().map(Vec::len), Some(2));
    let ahead = compare::<Content>(&store, &name, early, Moment::Version(version(9))).await;
    assert!(matches!(ahead, Err(HistoryError::Ahead { .. })));
}

#[tokio::test]
async fn presentations_tell_of_their_slides_and_users_of_their_logins() {
    let store = store();
    let talk = r#"{"presentationId":"1","title":"Talk","author":"ada","theme":"dark","isPublic":false}"#;
    happens(&store, "presentation-1", "PresentationCreated", 1, talk).await;
    for slide in ["a", "b"] {
        let content = r#"{"type":"text","text":"T"}"#;
        let data = format!(r#"{{"presentationId":"1","slideId":"{slide}","content":{content},"order":1}}"#);
        happens(&store, "presentation-1", "SlideAdded", 1, &data).await;
    }
    let name = stream("presentation-1");
    let found = json(&history::<Presentation>(&store, &name, &HistoryQuery::default()).await.unwrap());
    assert_eq!(found["entries"][0].get("slides"), None);
    assert_eq!(found["entries"][2]["slides"][0]["slideId"], "b");
    let (from, to) = (Moment::Version(version(1)), Moment::Version(version(3)));
    let found = json(&compare::<Presentation>(&store, &name, from, to).await.unwrap());
    assert_eq!(found["slides"].as_array().map(Vec::len), Some(2));

    let ada = r#"{"userId":"ada","email":"a@b","displayName":"Ada"}"#;
    happens(&store, "user-ada", "UserRegistered", 1, ada).await;
    let login = format!(r#"{{"userId":"ada","loginTimestamp":"{}"}}"#, second(77));
    happens(&store, "user-ada", "UserLoggedIn", 1, &login).await;
    let found = json(&history::<User>(&store, &stream("user-ada"), &HistoryQuery::default()).await.unwrap());
    let expected = json!([{"field": "lastLoginAt", "before": null, "after": second(77)}]);
    assert_eq!(found["entries"][1]["changes"], expected);
}

async fn recorded(store: &MemoryStore) -> Vec<Recorded> {
    store.read_stream(&StreamQuery::of(stream("content-1"))).await.unwrap().events
}

fn told<T: Thing>(events: &[Recorded]) -> Result<Vec<Entry>, HistoryError> {
    let mut chronicle = Chronicle::<T>::default();
    events.iter().map(|event| chronicle.tell(event)).collect()
}

#[tokio::test]
async fn what_is_gone_is_told_as_gone_and_what_follows_as_unknown() {
    let mut events = recorded(&life().await).await;
    events[1].data = Data::Tombstone([7; 32]);
    let entries = told::<Content>(&events).unwrap();
    let known: Vec<(bool, bool)> =
        entries.iter().map(|entry| (entry.data.is_some(), entry.difference.is_some())).collect();
    assert_eq!(known, [(true, true), (false, false), (true, false), (true, false)]);
    let gone = json(&entries[1]);
    assert_eq!((gone.get("data"), gone.get("changes")), (None, None));
    let mut chronicle = Chronicle::<Content>::default();
    for event in &events {
        chronicle.fold(event).unwrap();
    }
    assert!(matches!(chronicle.face(), Err(HistoryError::Gone(at)) if at == version(2)));
}

#[tokio::test]
async fn what_is_gone_of_a_type_that_is_not_known_takes_nothing_along() {
    let store = store();
    happens(&store, "content-1", "ContentCreated", 2, CREATED).await;
    happens(&store, "content-1", "ContentPraised", 1, "{\"by\":\"bob\"}").await;
    let mut events = recorded(&store).await;
    events[1].data = Data::Tombstone([7; 32]);
    let entries = told::<Content>(&events).unwrap();
    assert!(entries[1].data.is_none());
    assert!(entries[1].difference.as_ref().is_some_and(crate::diff::Difference::is_empty));
    let mut chronicle = Chronicle::<Content>::default();
    for event in &events {
        chronicle.fold(event).unwrap();
    }
    assert!(chronicle.face().is_ok_and(|face| face.is_some()));
}

#[tokio::test]
async fn a_type_that_is_not_known_changes_nothing_and_a_shape_that_is_not_stops_it() {
    let store = store();
    happens(&store, "content-1", "ContentCreated", 2, CREATED).await;
    happens(&store, "content-1", "ContentPraised", 1, "{\"by\":\"bob\"}").await;
    let entries = told::<Content>(&recorded(&store).await).unwrap();
    assert!(entries[1].difference.as_ref().is_some_and(crate::diff::Difference::is_empty));
    happens(&store, "content-1", "ContentUpdated", 2, "{}").await;
    let query = HistoryQuery::default();
    let stopped = history::<Content>(&store, &stream("content-1"), &query).await.unwrap_err();
    assert!(matches!(stopped, HistoryError::Unreadable { position, .. } if position.get() == 3));
    // What stands before it is told all the same.
    let before = HistoryQuery { to: Some(version(2)), ..query };
    assert_eq!(versions(&page(&store, &before).await), [1, 2]);
}

#[tokio::test]
async fn no_more_is_folded_than_may_be() {
    let store = long(1_005).await;
    let name = stream("content-1");
    for (most, fits) in [(1_005, true), (1_004, false), (3, false)] {
        let mut events = Events::of(&store, &name, Some(version(1_005)), most);
        let mut last = None;
        let end = loop {
            match events.next().await {
                Ok(Some(event)) => last = Some(event.version.get()),
                Ok(None) => break true,
                Err(HistoryError::TooMany(known)) if known == most => break false,
                Err(other) => panic!("{other}"),
            }
        };
        assert_eq!((end, last), (fits, i64::try_from(most.min(1_005)).ok()));
    }
    let mut none = Events::of(&store, &name, None, 3);
    assert!(none.next().await.unwrap().is_none());
}

#[tokio::test]
async fn what_is_told_adds_up_to_what_the_decider_knows() {
    let store = life().await;
    let events = recorded(&store).await;
    let now = as_of::<Content>(&store, &stream("content-1"), Moment::Version(version(3))).await.unwrap();
    let State::Live(page) = &now.state else { panic!("it is there") };
    assert_eq!((now.stand.position.get(), page.status), (4, Status::Published));
    // Each field as the last entry that names it left it.
    let mut fields = std::collections::BTreeMap::new();
    for change in told::<Content>(&events[..3]).unwrap().into_iter().filter_map(|entry| entry.difference) {
        fields.extend(change.changes.into_iter().map(|change| (change.field, change.after)));
    }
    let face = Content::face(&now.state).unwrap();
    let known = face.fields.iter().map(|(name, facet)| (*name, Some(facet.to_json()))).collect();
    assert_eq!(fields, known);
    assert_eq!(Content::face(&Content::initial()), None);
}
