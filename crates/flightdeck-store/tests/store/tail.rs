//! The tail of a log: it answers as the store does, or not at all, and it is read once for everybody.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flightdeck_core::{Cursor, EventType, Json, Position, StreamId};
use flightdeck_store::{
    Append, Direction, EventStore, Filter, Limit, LogQuery, MemoryStore, NewEvent, Tail, TailOptions,
    TypePattern,
};
use tokio::time::timeout;

use crate::between::Between;

const PROMPT: TailOptions = TailOptions {
    bytes: 1 << 20,
    age: Duration::from_secs(3_600),
    linger: Duration::from_millis(1),
    poll: Duration::from_millis(5),
};

fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

/// Appends so many events: A, B, A, B.
async fn append(store: &MemoryStore, many: usize) {
    let event = |number| {
        let name = if number % 2 == 0 { "A" } else { "B" };
        let (stream, data) = (StreamId::new("a-1").unwrap(), format!("{{\"number\":{number}}}"));
        NewEvent::new(stream, EventType::new(name).unwrap(), Json::new(data, 64).unwrap())
    };
    store.append(Append::of((0..many).map(event))).await.unwrap();
}

/// Waits until the tail has been read up to there.
async fn comes_to(tail: &Tail, to: i64) {
    let mut seen = tail.watch();
    let there = seen.wait_for(|seen| *seen >= position(to));
    timeout(Duration::from_secs(20), there).await.expect("it comes there").unwrap();
}

/// A tail of a store that already had ten events.
async fn begun(store: Between, options: TailOptions) -> (Arc<Between>, Tail) {
    append(&store.inner, 10).await;
    let store = Arc::new(store);
    let tail = Tail::start(Arc::clone(&store) as _, options);
    comes_to(&tail, 10).await;
    (store, tail)
}

#[tokio::test]
async fn what_it_answers_is_what_the_store_answers() {
    let (store, tail) = begun(Between::default(), PROMPT).await;
    for many in [1, 7, 30] {
        append(&store.inner, many).await;
        comes_to(&tail, store.inner.head().await.unwrap().cursor.position().get()).await;
    }
    let only = |name: &str| Filter { types: vec![TypePattern::parse(name).unwrap()], ..Filter::ALL };
    let mut answered = 0;
    for after in 0..=50 {
        for filter in [Filter::ALL, only("A"), only("Nothing")] {
            for (limit, until) in [(1_000, None), (1, None), (7, Some(20)), (1_000, Some(5)), (3, Some(60))] {
                let until = until.map(position);
                let query =
                    LogQuery { until, limit: Limit::new(limit).unwrap(), ..LogQuery::after(position(after)) };
                let query = query.matching(filter.clone());
                let page = tail.page(&query);
                assert_eq!(page.is_some(), (10..=48).contains(&after), "{query:?}");
                assert_eq!(tail.holds(position(after)), page.is_some(), "{query:?}");
                if let Some(page) = page {
                    assert_eq!(page, store.inner.read_log(&query).await.unwrap(), "{query:?}");
                    answered += 1;
                }
            }
        }
    }
    assert_eq!(answered, 39 * 15);
}

#[tokio::test]
async fn what_it_does_not_hold_is_left_to_the_store() {
    let (store, tail) = begun(Between::default(), PROMPT).await;
    append(&store.inner, 5).await;
    comes_to(&tail, 15).await;
    let backward = LogQuery { direction: Direction::Backward, ..LogQuery::after(position(12)) };
    assert_eq!(tail.page(&backward), None);
    let elsewhere =
        Cursor::new(MemoryStore::new().head().await.unwrap().cursor.epoch().clone(), position(12));
    assert_eq!(tail.page(&LogQuery::after(elsewhere)), None);
    let here = Cursor::new(store.inner.head().await.unwrap().cursor.epoch().clone(), position(12));
    assert_eq!(tail.page(&LogQuery::after(here)).unwrap().events.len(), 3);
}

#[tokio::test]
async fn it_holds_no_more_than_it_may() {
    let (store, tail) = begun(Between::default(), TailOptions { bytes: 20_000, ..PROMPT }).await;
    for many in 1..=20 {
        append(&store.inner, 10).await;
        comes_to(&tail, 10 + many * 10).await;
    }
    let held = (0..=210).filter(|after| tail.holds(position(*after))).count();
    assert!((30..=50).contains(&held), "{held} events of 413 bytes are in 20,000");
    assert!(tail.holds(position(210)), "it ends at the head");
}

#[tokio::test]
async fn what_is_old_is_let_go() {
    let (store, tail) =
        begun(Between::default(), TailOptions { age: Duration::from_millis(200), ..PROMPT }).await;
    append(&store.inner, 5).await;
    comes_to(&tail, 15).await;
    assert!(tail.holds(position(10)));
    let gone = async {
        while tail.holds(position(14)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), gone).await.expect("nothing is held for long");
    assert!(tail.holds(position(15)), "there is nothing behind the head, and that is known");
}

#[tokio::test]
async fn a_log_that_can_not_be_read_is_told_of_and_not_held() {
    let (store, tail) = begun(Between { log_fails: 1..4, ..Between::default() }, PROMPT).await;
    append(&store.inner, 5).await;
    comes_to(&tail, 15).await;
    assert!(!tail.holds(position(10)), "what was held may not be the log");
    let again = async {
        while !tail.holds(position(15)) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), again).await.expect("it begins again");
    append(&store.inner, 2).await;
    comes_to(&tail, 17).await;
    assert_eq!(tail.page(&LogQuery::after(position(15))).unwrap().events.len(), 2);
}

#[tokio::test]
async fn a_log_that_begins_a_new_epoch_is_held_from_there_on() {
    let reborn = MemoryStore::new();
    append(&reborn, 12).await;
    let epoch = reborn.head().await.unwrap().cursor.epoch().clone();
    let store = Between { reborn: Some((3, reborn)), ..Between::default() };
    let (store, tail) = begun(store, PROMPT).await;
    append(&store.inner, 5).await;
    comes_to(&tail, 12).await;
    let again = async {
        while tail.page(&LogQuery::after(position(12))).is_none_or(|page| *page.head.epoch() != epoch) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(20), again).await.expect("it goes on in the new epoch");
    assert!(!tail.holds(position(10)), "what came before is of another epoch");
}

/// However many follow it and however often something is appended, it is read now and then.
#[tokio::test]
async fn what_comes_together_is_read_together() {
    let (store, tail) =
        begun(Between::default(), TailOptions { linger: Duration::from_millis(50), ..PROMPT }).await;
    let before = store.log_reads.load(Ordering::SeqCst);
    let begun = tokio::time::Instant::now();
    for many in 1..=200 {
        append(&store.inner, 1).await;
        drop(tail.page(&LogQuery::after(position(10))));
        tokio::time::sleep(Duration::from_micros(500)).await;
        assert!(many < 200 || begun.elapsed() >= Duration::from_millis(100));
    }
    comes_to(&tail, 210).await;
    let reads = store.log_reads.load(Ordering::SeqCst) - before;
    let most = begun.elapsed().as_millis() / 50 + 2;
    assert!(reads as u128 <= most, "{reads} reads, and {most} would do");
    assert_eq!(tail.page(&LogQuery::after(position(10))).unwrap().events.len(), 200);
}
