//! What the rules are made of: terse words, terse events, and reads that come to an end.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use flightdeck_core::limits::EVENT_DATA_BYTES_MAX;
use flightdeck_core::{Category, EventId, EventType, Json, Position, StreamId, Tag, Tags, Version};
use flightdeck_store::{
    Append, AppendError, Appended, Direction, EventStore, Filter, Limit, LogQuery, NewEvent, Recorded,
    RequestKey, StreamPattern, StreamQuery, TypePattern,
};
use tokio::sync::Barrier;
use uuid::Uuid;

use crate::Subject;

/// How many pages a read of a rule has at the most: a store that never comes to an end must not hang the suite.
const PAGES_MAX: usize = 10_000;
/// A handle of the store under test.
pub(crate) type Store = Arc<dyn EventStore>;

pub(crate) fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

pub(crate) fn category(name: &str) -> Category {
    Category::new(name).unwrap()
}

pub(crate) fn tag(text: &str) -> Tag {
    Tag::new(text).unwrap()
}

pub(crate) fn event_type(name: &str) -> EventType {
    EventType::new(name).unwrap()
}

pub(crate) fn version(number: i64) -> Version {
    Version::new(number).unwrap()
}

pub(crate) fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

pub(crate) fn limit(number: usize) -> Limit {
    Limit::new(number).unwrap()
}

/// An id of the rule's own making; no store makes one like it by itself.
pub(crate) fn id(number: u128) -> EventId {
    EventId::new(Uuid::from_u128(0xc0_4774_c700_0000_8000_0000_0000_0000 + number)).unwrap()
}

/// A caller's key, with a fingerprint of nothing but `fingerprint`.
pub(crate) fn request(caller: &str, key: &str, fingerprint: u8) -> RequestKey {
    RequestKey::new(caller, key, [fingerprint; 32]).unwrap()
}

pub(crate) fn json(text: impl Into<Bytes>) -> Json {
    Json::new(text, EVENT_DATA_BYTES_MAX).unwrap()
}

/// An event of no importance.
pub(crate) fn event(name: &str) -> NewEvent {
    NewEvent::new(stream(name), event_type("Happened"), json("{}"))
}

/// An event that is told apart by its number.
pub(crate) fn numbered(name: &str, number: usize) -> NewEvent {
    NewEvent { data: json(number.to_string()), ..event(name) }
}

pub(crate) fn typed(name: &str, of: &str) -> NewEvent {
    NewEvent { event_type: event_type(of), ..event(name) }
}

pub(crate) fn tagged(name: &str, tags: &[&str]) -> NewEvent {
    event(name).with_tags(Tags::new(tags.iter().copied().map(tag)).unwrap())
}

/// An event with data of so many bytes.
pub(crate) fn heavy(name: &str, bytes: usize) -> NewEvent {
    NewEvent { data: json(format!("\"{}\"", "x".repeat(bytes - 2))), ..event(name) }
}

/// Appends to whatever is there, which no store may refuse.
pub(crate) async fn append(store: &Store, events: impl IntoIterator<Item = NewEvent>) -> Appended {
    store.append(Append::of(events)).await.expect("an append without terms is taken")
}

/// Appends so many numbered events, as one append.
pub(crate) async fn fill(store: &Store, name: &str, count: usize) -> Appended {
    append(store, (1..=count).map(|number| numbered(name, number))).await
}

/// Appends one event a stream, in the order of `names`, each as an append of its own.
pub(crate) async fn one_each(store: &Store, names: &[&str]) {
    for name in names {
        append(store, [event(name)]).await;
    }
}

/// Appends, which must be refused; and nothing may have moved.
pub(crate) async fn refusal(store: &Store, append: Append) -> AppendError {
    let before = store.head().await.unwrap();
    let error = store.append(append).await.expect_err("an append that must be refused was taken");
    assert_eq!(
        store.head().await.unwrap(),
        before,
        "something was written, although it was refused with: {error}"
    );
    error
}

/// The position of the head.
pub(crate) async fn head(store: &Store) -> i64 {
    store.head().await.unwrap().cursor.position().get()
}

/// Every event there is, in the order of the log.
pub(crate) async fn log(store: &Store) -> Vec<Recorded> {
    read(store, LogQuery::default()).await
}

/// Everything that passes, in the order of the log.
pub(crate) async fn passing(store: &Store, filter: Filter) -> Vec<Recorded> {
    read(store, LogQuery::default().matching(filter)).await
}

/// All pages of a query, end to end.
pub(crate) async fn read(store: &Store, mut query: LogQuery) -> Vec<Recorded> {
    let mut events = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = store.read_log(&query).await.unwrap();
        assert!(page.events.len() <= query.limit.get(), "a page has more events than its limit");
        let next = query.next(&page);
        events.extend(page.events);
        match next {
            Some(next) => query = next,
            None => return events,
        }
    }
    panic!("after {PAGES_MAX} pages the log has not come to its end");
}

/// A whole stream.
pub(crate) async fn events_of(store: &Store, name: &str) -> Vec<Recorded> {
    read_stream(store, StreamQuery::of(stream(name))).await
}

/// All pages of a stream's query, end to end.
pub(crate) async fn read_stream(store: &Store, mut query: StreamQuery) -> Vec<Recorded> {
    let mut events = Vec::new();
    for _ in 0..PAGES_MAX {
        let page = store.read_stream(&query).await.unwrap();
        assert!(page.events.len() <= query.limit.get(), "a page has more events than its limit");
        let next = query.next(&page);
        events.extend(page.events);
        match next {
            Some(next) => query = next,
            None => return events,
        }
    }
    panic!("after {PAGES_MAX} pages the stream has not come to its end");
}

/// The events that pass patterns of streams, as positions.
pub(crate) async fn in_streams(store: &Store, patterns: &[&str]) -> Vec<i64> {
    let streams = patterns.iter().map(|pattern| StreamPattern::parse(pattern).unwrap()).collect();
    positions(&passing(store, Filter { streams, ..Filter::ALL }).await)
}

/// The events that pass patterns of types, as positions.
pub(crate) async fn of_types(store: &Store, patterns: &[&str]) -> Vec<i64> {
    let types = patterns.iter().map(|pattern| TypePattern::parse(pattern).unwrap()).collect();
    positions(&passing(store, Filter { types, ..Filter::ALL }).await)
}

/// The events that have all of the tags, as positions.
pub(crate) async fn with_tags(store: &Store, tags: &[&str]) -> Vec<i64> {
    let tags = tags.iter().copied().map(tag).collect();
    positions(&passing(store, Filter { tags, ..Filter::ALL }).await)
}

/// The positions in a range of the log, read in one direction by pages of `page`.
pub(crate) async fn range(
    store: &Store,
    after: i64,
    until: Option<i64>,
    direction: Direction,
    page: usize,
) -> Vec<i64> {
    let query = LogQuery {
        until: until.map(position),
        direction,
        limit: limit(page),
        ..LogQuery::after(position(after))
    };
    positions(&read(store, query).await)
}

pub(crate) fn positions(events: &[Recorded]) -> Vec<i64> {
    events.iter().map(|event| event.position.get()).collect()
}

pub(crate) fn versions(events: &[Recorded]) -> Vec<i64> {
    events.iter().map(|event| event.version.get()).collect()
}

pub(crate) fn streams(events: &[Recorded]) -> Vec<&str> {
    events.iter().map(|event| event.stream.as_str()).collect()
}

/// The data of each, as text.
pub(crate) fn texts(events: &[Recorded]) -> Vec<String> {
    events.iter().map(|event| String::from_utf8_lossy(event.data_bytes()).into_owned()).collect()
}

/// Runs so many tasks that all begin in the same moment, and waits for all of them.
pub(crate) async fn at_once<T, F>(count: usize, task: impl Fn(usize) -> F) -> Vec<T>
where
    T: Send + 'static,
    F: Future<Output = T> + Send + 'static,
{
    let barrier = Arc::new(Barrier::new(count));
    let begin = |number| {
        let (barrier, task) = (Arc::clone(&barrier), task(number));
        tokio::spawn(async move {
            barrier.wait().await;
            task.await
        })
    };
    let tasks: Vec<_> = (0..count).map(begin).collect();
    let mut done = Vec::new();
    for task in tasks {
        done.push(task.await.expect("a task of the rule went through"));
    }
    done
}

/// Closes the store by dropping its last handle, and opens it again.
pub(crate) async fn reopen(subject: &dyn Subject, store: Store) -> Store {
    drop(store);
    subject.open().await
}
