//! Corners of following that the contract can't reach: stores that fail, change epoch, or hint at nothing.

use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use flightdeck_core::{Cursor, EventType, Json, Position, StreamId};
use flightdeck_store::{
    Append, EventStore, Filter, FollowOptions, Followed, Limit, MemoryStore, NewEvent, ResetReason,
    TypePattern, follow,
};
use futures_util::{Stream, StreamExt as _};
use tokio::time::timeout;

use crate::between::Between;

const PROMPT: FollowOptions = FollowOptions {
    page: Limit::MAX,
    poll: Duration::from_millis(5),
    checkpoint_events: i64::MAX,
    checkpoint_after: Duration::from_secs(3_600),
    ahead_grace: Duration::from_millis(50),
};

/// What comes next, in a time that no honest follower needs.
async fn next<S: Stream + Unpin>(following: &mut S) -> Option<S::Item> {
    timeout(Duration::from_secs(20), following.next()).await.expect("something comes")
}

fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

async fn append(store: &MemoryStore, types: &[&str]) {
    let event = |name: &&str| {
        NewEvent::new(
            StreamId::new("a-1").unwrap(),
            EventType::new(name).unwrap(),
            Json::new("1", 8).unwrap(),
        )
    };
    store.append(Append::of(types.iter().map(event))).await.unwrap();
}

fn only(name: &str) -> Filter {
    Filter { types: vec![TypePattern::parse(name).unwrap()], ..Filter::ALL }
}

#[tokio::test]
async fn it_ends_with_the_error_of_a_store_that_fails() {
    let store = Between { log_fails: 1..usize::MAX, ..Between::default() };
    append(&store.inner, &["A", "B"]).await;
    let options = FollowOptions { page: Limit::new(1).unwrap(), ..PROMPT };
    let mut following = pin!(follow(Arc::new(store), position(0), Filter::ALL, options));
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::Event(..)))));
    assert!(matches!(next(&mut following).await, Some(Err(_))));
    assert!(next(&mut following).await.is_none());
}

#[tokio::test]
async fn it_resets_when_the_epoch_changes_under_it() {
    let reborn = MemoryStore::new();
    append(&reborn, &["A", "B", "C"]).await;
    let head = reborn.head().await.unwrap().cursor;
    let store = Between { reborn: Some((1, reborn)), ..Between::default() };
    append(&store.inner, &["A"]).await;
    // A bare position is good in every epoch; what was read since is of one.
    let mut following = pin!(follow(Arc::new(store), position(0), Filter::ALL, PROMPT));
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::Event(..)))));
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::CaughtUp(_)))));
    assert_eq!(next(&mut following).await.unwrap().unwrap(), Followed::Reset(ResetReason::Epoch, head));
    assert!(next(&mut following).await.is_none());
}

#[tokio::test]
async fn it_finds_what_a_silent_store_does_not_hint_at() {
    let store = Between { is_silent: true, ..Between::default() };
    let inner = store.inner.clone();
    let mut following = pin!(follow(Arc::new(store), position(0), Filter::ALL, PROMPT));
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::CaughtUp(_)))));
    append(&inner, &["A"]).await;
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::Event(..)))));
}

#[tokio::test]
async fn it_waits_for_a_silent_store_without_asking_all_the_time() {
    let store = Arc::new(Between { is_silent: true, ..Between::default() });
    let ahead = Cursor::new(store.head().await.unwrap().cursor.epoch().clone(), position(9));
    let options = FollowOptions { poll: Duration::from_millis(10), ..PROMPT };
    let began = tokio::time::Instant::now();
    let mut following = pin!(follow(Arc::clone(&store) as Arc<dyn EventStore>, ahead, Filter::ALL, options));
    let reset = next(&mut following).await.unwrap().unwrap();
    assert!(matches!(reset, Followed::Reset(ResetReason::Ahead, _)), "{reset:?}");
    assert!(began.elapsed() >= options.ahead_grace, "it gave up too early");
    let asked = store.head_reads.load(Ordering::SeqCst);
    assert!(asked <= 10, "within 50 ms it asked {asked} times");
}

#[tokio::test]
async fn a_silence_after_an_event_gives_a_checkpoint_of_what_did_not_pass() {
    let store = MemoryStore::new();
    let options = FollowOptions { checkpoint_after: Duration::from_millis(20), ..PROMPT };
    let mut following = pin!(follow(Arc::new(store.clone()), position(0), only("A"), options));
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::CaughtUp(_)))));
    append(&store, &["A", "B", "B"]).await;
    let Some(Ok(Followed::Event(event, _))) = next(&mut following).await else { panic!("an event is due") };
    assert_eq!(event.position, position(1));
    // The reader knows of position 1 only, and the log has been looked at up to 3.
    let Some(Ok(Followed::Checkpoint(cursor))) = next(&mut following).await else {
        panic!("a checkpoint is due")
    };
    assert_eq!(cursor.position(), position(3));
}

#[tokio::test]
async fn a_checkpoint_follows_the_events_of_a_page_that_looked_far_beyond_them() {
    let store = MemoryStore::new();
    let options = FollowOptions { checkpoint_events: 3, ..PROMPT };
    let mut following = pin!(follow(Arc::new(store.clone()), position(0), only("A"), options));
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::CaughtUp(_)))));
    append(&store, &["A", "B", "B", "B"]).await;
    assert!(matches!(next(&mut following).await, Some(Ok(Followed::Event(..)))));
    let Some(Ok(Followed::Checkpoint(cursor))) = next(&mut following).await else {
        panic!("a checkpoint is due")
    };
    assert_eq!(cursor.position(), position(4));
}

#[tokio::test]
async fn it_holds_one_page_at_the_most() {
    let store = Arc::new(Between::default());
    append(&store.inner, &["A"; 100]).await;
    let options = FollowOptions { page: Limit::new(10).unwrap(), ..PROMPT };
    let mut following =
        pin!(follow(Arc::clone(&store) as Arc<dyn EventStore>, position(0), Filter::ALL, options));
    for taken in 1..=25 {
        assert!(matches!(next(&mut following).await, Some(Ok(Followed::Event(..)))));
        assert_eq!(
            store.log_reads.load(Ordering::SeqCst),
            (taken - 1) / 10 + 1,
            "a page is read when it is needed"
        );
    }
}
