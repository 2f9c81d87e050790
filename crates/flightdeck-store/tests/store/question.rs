//! Questions to a store that answers by its reads alone, and what happens between two of them.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use flightdeck_core::{Clock, Cursor, EventType, Json, StreamId, Version};
use flightdeck_store::question::{Budget, Reads, TooMuch, answer};
use flightdeck_store::{
    Append, Ask, EventStore, Found, Limit, LogPage, LogQuery, LogQuestion, MemoryStore, NewEvent, Reason,
    StoreError,
};
use flightdeck_store_contract::{Subject, rules};

use crate::between::{Between, hook};

/// A store that says nothing of questions.
struct ByReads(MemoryStore);

#[async_trait]
impl Subject for ByReads {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(Between { inner: self.0.clone(), ..Between::default() })
    }

    async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        Arc::new(Between { inner: self.0.at(clock), ..Between::default() })
    }
}

#[test]
fn a_store_that_says_nothing_of_questions_keeps_all_their_rules() {
    let rules: Vec<_> = rules().iter().filter(|rule| rule.group == "question").collect();
    assert!(rules.len() > 20, "{rules:?}");
    for rule in rules {
        let subject: Arc<dyn Subject> = Arc::new(ByReads(MemoryStore::new()));
        rule.run(subject, Duration::from_secs(60)).unwrap_or_else(|broken| panic!("{rule:?}: {broken:?}"));
    }
}

fn event(stream: &str) -> NewEvent {
    let data = Json::new("{}", 16).unwrap();
    NewEvent::new(StreamId::new(stream).unwrap(), EventType::new("Happened").unwrap(), data)
}

/// A log of more than one page.
async fn long() -> MemoryStore {
    let store = MemoryStore::new();
    for _ in 0..3 {
        store.append(Append::of((0..600).map(|_| event("a-1")))).await.unwrap();
    }
    store
}

#[tokio::test]
async fn a_log_that_begins_a_new_epoch_meanwhile_is_not_counted_in_part() {
    let store = Between { inner: long().await, reborn: Some((1, long().await)), ..Between::default() };
    let answer = store.question(&LogQuestion::of(Ask::Days)).await;
    assert!(matches!(answer, Err(StoreError::EpochChanged { .. })), "{answer:?}");
}

#[tokio::test]
async fn a_read_that_fails_fails_the_answer() {
    let store = Between { inner: long().await, log_fails: 1..usize::MAX, ..Between::default() };
    let answer = store.question(&LogQuestion::of(Ask::Days)).await;
    assert!(matches!(answer, Err(StoreError::Failed { reason: Reason::Storage, .. })), "{answer:?}");
}

#[tokio::test]
async fn what_is_appended_meanwhile_is_not_counted() {
    let inner = long().await;
    let writes = inner.clone();
    let after_log = hook(move |_| {
        let writes = writes.clone();
        async move { drop(writes.append(Append::of([event("a-1")])).await.unwrap()) }
    });
    let store = Between { inner, after_log, ..Between::default() };
    let answer = store.question(&LogQuestion::of(Ask::Days)).await.unwrap();
    let Found::Days(days) = answer.found else { panic!("counts were asked for") };
    assert_eq!(days.iter().map(|row| row.events).sum::<i64>(), 1_800);
    assert_eq!((answer.head.position().get(), answer.end), (1_800, true));
}

#[tokio::test]
async fn a_stream_that_wakes_up_meanwhile_is_not_silent() {
    let inner = MemoryStore::new();
    inner.append(Append::of([event("a-1"), event("a-2")])).await.unwrap();
    let writes = inner.clone();
    let after_log = hook(move |_| {
        let writes = writes.clone();
        async move { drop(writes.append(Append::of([event("a-1")])).await.unwrap()) }
    });
    let store = Between { inner, after_log, ..Between::default() };
    let answer = store.question(&LogQuestion::of(Ask::Silent { limit: Limit::MAX })).await.unwrap();
    let Found::Silent(streams) = answer.found else { panic!("silent streams were asked for") };
    assert_eq!(streams.iter().map(|found| found.stream.as_str()).collect::<Vec<_>>(), ["a-2"]);
}

/// Reads of which several go on at once. The first is slow; those behind it take turns, and one of them may fail.
struct AtOnce {
    inner: MemoryStore,
    begun: AtomicUsize,
    ended: AtomicUsize,
    fails_at: Option<usize>,
}

#[async_trait]
impl Reads for AtOnce {
    async fn end(&self) -> Result<Cursor, StoreError> {
        Ok(self.inner.head().await?.cursor)
    }

    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        let number = self.begun.fetch_add(1, Ordering::SeqCst);
        match number {
            0 => std::thread::sleep(Duration::from_millis(5)),
            _ => {
                for _ in 0..20 * number {
                    tokio::task::yield_now().await;
                }
            }
        }
        self.ended.fetch_add(1, Ordering::SeqCst);
        match self.fails_at == Some(number) {
            true => Err(StoreError::Failed { reason: Reason::Storage, source: None }),
            false => self.inner.read_log(query).await,
        }
    }

    fn at_once(&self) -> usize {
        3
    }

    async fn last_versions(&self, _: Vec<StreamId>) -> Result<HashMap<StreamId, Version>, StoreError> {
        Ok(HashMap::new())
    }
}

#[tokio::test]
async fn what_was_begun_is_read_to_its_end_also_when_there_is_no_answer() {
    let of = async |fails_at| AtOnce {
        inner: long().await,
        begun: AtomicUsize::new(0),
        ended: AtomicUsize::new(0),
        fails_at,
    };
    let both = |reads: &AtOnce| (reads.begun.load(Ordering::SeqCst), reads.ended.load(Ordering::SeqCst));
    let reads = of(None).await;
    let budget = Budget::new(10_000, Duration::from_millis(1)).unwrap();
    let late = answer(&reads, &LogQuestion { budget, ..LogQuestion::of(Ask::Days) }).await;
    assert!(matches!(late, Err(StoreError::TooMuch(TooMuch::Time { .. }))), "{late:?}");
    let (begun, ended) = both(&reads);
    assert!(begun > 1 && begun == ended, "{begun} begun, {ended} ended");
    let reads = of(Some(0)).await;
    let failed = answer(&reads, &LogQuestion::of(Ask::Days)).await;
    assert!(matches!(failed, Err(StoreError::Failed { .. })), "{failed:?}");
    let (begun, ended) = both(&reads);
    assert!(begun > 1 && begun == ended, "{begun} begun, {ended} ended");
}
