//! What views of the past may take: places in memory, positions of the log, threads.

use std::future::{Future as _, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::task::Poll;
use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_projections::as_of::{AsOfOptions, Beyond, Moment};
use flightdeck_projections::{AsOf, AsOfError, Defined};
use flightdeck_store::Append;
use flightdeck_store::view::{Answers, InvalidQuery, ViewError, ViewQuery};

use crate::counts::{Counts, Poison};
use crate::ground::{Ground, eventually, name};
use crate::shelves::{Chance, Shelves};

fn as_of(ground: &Ground, options: AsOfOptions) -> AsOf {
    AsOf::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(options)
}

fn counts(poison: Poison) -> Defined {
    Defined::new(Arc::new(Counts::with(poison))).unwrap()
}

fn at(number: i64) -> Moment {
    Moment::Position(Position::new(number).unwrap())
}

fn question() -> ViewQuery {
    ViewQuery::of(name("counts"), 1, "counts")
}

async fn there_are_only_so_many_in_memory(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    let patience = Duration::from_millis(50);
    let options = AsOfOptions { in_memory_max: 2, patience, ..AsOfOptions::default() };
    let (as_of, counts) = (as_of(&ground, options), counts(Poison::None));
    let one = as_of.at(&counts, &at(1), Beyond::Refuse).await.unwrap();
    let other = as_of.clone().at(&counts, &at(1), Beyond::Refuse).await.unwrap();
    for beyond in [Beyond::Refuse, Beyond::Scratch] {
        let third = as_of.at(&counts, &at(1), beyond).await;
        assert!(matches!(third, Err(AsOfError::Busy)) && third.unwrap_err().retry_helps());
    }
    // Whoever waits for a place gets the first that is free.
    let patient = as_of.clone().options(AsOfOptions { in_memory_max: 1, ..AsOfOptions::default() });
    let held = patient.at(&counts, &at(1), Beyond::Refuse).await.unwrap();
    let first = at(1);
    let mut waiting = pin!(patient.at(&counts, &first, Beyond::Refuse));
    assert!(tokio::time::timeout(Duration::from_millis(50), waiting.as_mut()).await.is_err());
    drop(held);
    waiting.await.unwrap().end().await;
    one.end().await;
    as_of.at(&counts, &at(1), Beyond::Refuse).await.unwrap().end().await;
    drop(other);
}

async fn only_so_much_of_the_log_is_looked_at(ground: Ground) {
    for number in 0..10 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
        ground.append("a-1", "Other", "1").await;
    }
    let as_of = as_of(&ground, AsOfOptions { positions_max: 12, ..AsOfOptions::default() });
    let counts = counts(Poison::None);
    let ask = async |moment: i64, beyond| as_of.ask(&counts, &question(), &at(moment), beyond).await;
    assert_eq!(ask(12, Beyond::Refuse).await.unwrap().rows.len(), 6);
    // Of the thirteen no more than seven are folded.
    let asked = ask(13, Beyond::Refuse).await;
    assert!(matches!(asked, Err(AsOfError::TooMuch { positions_max: 12, .. })), "{asked:?}");
    assert_eq!(ask(13, Beyond::Scratch).await.unwrap().rows.len(), 7);
}

async fn an_event_that_hangs_leaves_one_thread_behind(ground: Ground) {
    ground.append("a-1", "Counted", "\"before\"").await;
    ground.append("a-1", "Counted", "\"poison\"").await;
    let (good, tried) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU32::new(0)));
    let counts = counts(Poison::HangsUntil(Arc::clone(&good), Arc::clone(&tried)));
    let budget = Duration::from_millis(100);
    let as_of =
        as_of(&ground, AsOfOptions { event_budget: budget, in_memory_max: 1, ..AsOfOptions::default() });
    // Whoever asks first goes away before it is known.
    let early =
        tokio::time::timeout(Duration::from_millis(50), as_of.at(&counts, &at(2), Beyond::Refuse)).await;
    assert!(early.is_err() && tried.load(Ordering::SeqCst) == 1);
    // Others wait for the place that it has, and are told what came out of it.
    let ask = async || as_of.at(&counts, &at(2), Beyond::Refuse).await;
    let both = tokio::join!(ask(), ask());
    assert!(matches!(both, (Err(AsOfError::Halted(_)), Err(AsOfError::Halted(_)))), "{both:?}");
    for beyond in [Beyond::Refuse, Beyond::Scratch, Beyond::Refuse] {
        let (begun, asked) = (Instant::now(), as_of.at(&counts, &at(2), beyond).await);
        assert!(matches!(&asked, Err(AsOfError::Halted(halt)) if halt.position.get() == 2), "{asked:?}");
        assert!(begun.elapsed() < Duration::from_millis(80), "{:?}", begun.elapsed());
    }
    assert_eq!(tried.load(Ordering::SeqCst), 1);
    // What stands before it can be asked, and so can other views.
    assert_eq!(as_of.ask(&counts, &question(), &at(1), Beyond::Refuse).await.unwrap().rows.len(), 1);
    let others = Defined::new(Arc::new(Counts::named("others"))).unwrap();
    as_of.at(&others, &at(2), Beyond::Refuse).await.unwrap().end().await;
    // When the thread has come to an end after all, it is tried again.
    good.store(true, Ordering::SeqCst);
    eventually("it is tried again", async || as_of.at(&counts, &at(2), Beyond::Refuse).await.is_ok()).await;
    assert_eq!(tried.load(Ordering::SeqCst), 2);
}

async fn a_past_answers_like_a_store(ground: Ground) {
    for number in 0..9 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
    }
    let counts = counts(Poison::None);
    for events_max in [100, 0] {
        let as_of = as_of(&ground, AsOfOptions { events_max, ..AsOfOptions::default() });
        let past = as_of.at(&counts, &at(5), Beyond::Scratch).await.unwrap();
        assert_eq!(past.scratch().is_some(), events_max == 0);
        assert_eq!(past.answer(&question()).await.unwrap(), past.ask(&question()).await.unwrap());
        let refused = past.answer(&ViewQuery::of(name("counts"), 1, "nothing")).await;
        assert!(matches!(refused, Err(ViewError::Query(InvalidQuery::Table(_)))), "{refused:?}");
        let refused = past.answer(&ViewQuery::of(name("others"), 1, "counts")).await;
        assert!(matches!(refused, Err(ViewError::Unknown(_))), "{refused:?}");
        if let Some(scratch) = past.scratch() {
            ground.views.discard(scratch).await.unwrap();
            let refused = past.answer(&question()).await.unwrap_err();
            assert!(matches!(refused, ViewError::Gone) && refused.retry_helps(), "{refused:?}");
        }
    }
}

async fn others_get_their_turn_while_a_past_is_asked(ground: Ground) {
    let chance = Chance::of(5);
    for _ in 0..4 {
        ground.store.append(Append::of((0..900).map(|_| chance.event()))).await.unwrap();
    }
    let (as_of, shelves) = (as_of(&ground, AsOfOptions::default()), Defined::new(Arc::new(Shelves)).unwrap());
    let past = as_of.at(&shelves, &at(3_600), Beyond::Refuse).await.unwrap();
    let all = ViewQuery::of(name("shelves"), 1, "marks");
    let mut asking = pin!(past.ask(&all));
    let at_once = poll_fn(|cx| Poll::Ready(asking.as_mut().poll(cx).is_ready())).await;
    assert!(!at_once, "it was answered on the thread that serves all others as well");
    assert!(asking.await.unwrap().rows.len() > 10);
}

#[test]
fn every_limit_stands_in_the_readme_as_it_is() {
    let AsOfOptions {
        events_max,
        bytes_max,
        in_memory_max,
        positions_max,
        patience,
        scratches_max,
        event_budget,
        lease,
        wanting,
    } = AsOfOptions::default();
    let readme = include_str!("../../README.md");
    for (name, value) in [
        ("events_max", events_max as u128),
        ("positions_max", u128::from(positions_max)),
        ("bytes_max", bytes_max as u128),
        ("in_memory_max", in_memory_max as u128),
        ("patience", patience.as_millis()),
        ("scratches_max", scratches_max as u128),
        ("event_budget", event_budget.as_millis()),
        ("lease", lease.as_millis()),
        ("wanting", wanting.as_millis()),
    ] {
        let row = readme.lines().find(|line| line.starts_with(&format!("| `{name}` |")));
        assert!(row.is_some_and(|row| row.ends_with(&format!(" {value} |"))), "{name} is {value}: {row:?}");
    }
}

crate::on_both! {
    there_are_only_so_many_in_memory
    only_so_much_of_the_log_is_looked_at
    an_event_that_hangs_leaves_one_thread_behind
    a_past_answers_like_a_store
    others_get_their_turn_while_a_past_is_asked
}
