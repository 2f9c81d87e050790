//! A new number is built beside the one in use, under load: whoever asks is answered all along, and never sees the view go back. (F36)

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_projections::live::Live;
use flightdeck_projections::{Runner, Running};
use flightdeck_store::EventStore;
use flightdeck_store::view::{Compare, ViewQuery, ViewStore};
use flightdeck_store::{Append, Limit};
use flightdeck_tests::contents::{self, History, NextContent};
use flightdeck_tests::views::{assert_same, defined, name, whole};
use flightdeck_views::ContentView;

use super::{Ground, at_the_head, eventually, states};
use crate::victim::block_on;

const EVENTS: usize = 20_000;
const CONTENTS: u64 = 2_500;
const APPENDS_PER_SECOND: u32 = 300;

/// What went on meanwhile.
#[derive(Default)]
struct Load {
    stop: AtomicBool,
    appended: AtomicUsize,
    asked: AtomicUsize,
    answered_by_the_new: AtomicUsize,
}

async fn append(store: Arc<dyn EventStore>, load: Arc<Load>) {
    let begin = Instant::now();
    for number in 1..100_000 {
        if load.stop.load(Ordering::SeqCst) {
            return;
        }
        store.append(contents::append(u64::from(number), CONTENTS)).await.unwrap();
        load.appended.fetch_add(1, Ordering::SeqCst);
        tokio::time::sleep_until((begin + Duration::from_secs(1) / APPENDS_PER_SECOND * number).into()).await;
    }
}

/// Asks for that number again and again. Nothing fails, and nothing goes back.
async fn ask(views: Arc<dyn ViewStore>, number: u32, load: Arc<Load>) {
    let (mut at, mut answered) = (Position::START, 1);
    let limit = Limit::new(20).unwrap();
    let all = ViewQuery { limit, ..ViewQuery::of(name("content"), number, "content") };
    let some = all.clone().filter("status", Compare::Equal("Published".into())).sorted("updated_at", true);
    while !load.stop.load(Ordering::SeqCst) {
        for query in [&all, &some, &all.clone().text("w1*")] {
            let page = views.ask(query).await.unwrap();
            assert!(
                page.checkpoint.position >= at,
                "{number} was at {at}, and {} is at {}",
                page.of,
                page.checkpoint.position
            );
            assert!(page.of.number >= answered, "the new one answers from when on it is there");
            assert_eq!(page.rows.len(), 20);
            (at, answered) = (page.checkpoint.position, page.of.number);
            load.asked.fetch_add(1, Ordering::SeqCst);
            load.answered_by_the_new.fetch_add(usize::from(page.of.number == 2), Ordering::SeqCst);
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

async fn filled(store: &dyn EventStore) {
    super::fill(store, CONTENTS).await;
    let (mut history, mut many) = (History::of(7), 0);
    while many < EVENTS {
        let events = history.append();
        many += events.len();
        store.append(Append::of(events)).await.unwrap();
    }
}

/// Begins to fold the new number, beside the first; within the appends by the same runner, for that is one's alone.
async fn begins(
    store: &Arc<dyn EventStore>,
    views: &Arc<dyn ViewStore>,
    inline: bool,
    first: &mut Running,
) -> Option<Running> {
    let runner = Runner::new(Arc::clone(store), Arc::clone(views));
    if !inline {
        return Some(runner.projection(NextContent).start().await.unwrap());
    }
    let both = runner.inline(ContentView).inline(NextContent).start().await.unwrap();
    std::mem::replace(first, both).stop().await;
    None
}

async fn beside(way: &str, ground: Ground, inline: bool) {
    let opened = ground.open().await;
    let (store, views) = (opened.store(), opened.views());
    filled(&*store).await;
    let first = Runner::new(Arc::clone(&store), Arc::clone(&views));
    let first = if inline { first.inline(ContentView) } else { first.projection(ContentView) };
    let mut first = first.start().await.unwrap();
    at_the_head(&*store, &first, "content", 1).await;
    eventually("the first is ready", async || {
        states(&*views, "content").await.iter().all(|state| state.ready)
    })
    .await;

    let load = Arc::new(Load::default());
    let mut busy = vec![tokio::spawn(append(Arc::clone(&store), Arc::clone(&load)))];
    for number in [1, 2] {
        busy.push(tokio::spawn(ask(Arc::clone(&views), number, Arc::clone(&load))));
    }
    eventually("the load is on", async || {
        load.asked.load(Ordering::SeqCst) > 10 && load.appended.load(Ordering::SeqCst) > 30
    })
    .await;
    let (begin, appended) = (Instant::now(), load.appended.load(Ordering::SeqCst));
    let second = begins(&store, &views, inline, &mut first).await;
    eventually("the new number serves", async || {
        let all = states(&*views, "content").await;
        all.iter().any(|state| state.of.number == 2 && state.serving)
    })
    .await;
    let (took, meanwhile) = (begin.elapsed(), load.appended.load(Ordering::SeqCst) - appended);
    let new = load.answered_by_the_new.load(Ordering::SeqCst);
    eventually("the new number answers", async || load.answered_by_the_new.load(Ordering::SeqCst) > new + 20)
        .await;
    load.stop.store(true, Ordering::SeqCst);
    for busy in busy {
        busy.await.unwrap();
    }
    println!(
        "{way}: built in {took:?} during {meanwhile} appends, with {} answers",
        load.asked.load(Ordering::SeqCst)
    );
    assert!(meanwhile > 20, "{way}: that was no load");
    at_the_head(&*store, &first, "content", 1).await;
    at_the_head(&*store, second.as_ref().unwrap_or(&first), "content", 2).await;
    let mut live = Live::new(defined(ContentView));
    live.fold_log(&*store, None, &[], usize::MAX).await.unwrap();
    for number in [1, 2] {
        let found = whole(&*views, "content", number).await.unwrap();
        assert_eq!((found.of.number, found.checkpoint), (number, live.checkpoint()), "{way}");
        assert_same(&format!("{way}: {number}"), &found.rows, &live.rows("content"));
    }
    first.stop().await;
    if let Some(second) = second {
        second.stop().await;
    }
    opened.close().await;
}

#[test]
fn a_new_number_on_sqlite_takes_over_under_load() {
    block_on(beside("SQLite", Ground::sqlite(), false));
}

#[test]
fn a_new_number_on_sqlite_takes_over_from_one_within_the_appends() {
    block_on(beside("SQLite, inline", Ground::sqlite(), true));
}

#[test]
fn a_new_number_on_postgres_takes_over_under_load() {
    block_on(beside("PostgreSQL", Ground::postgres(), false));
}
