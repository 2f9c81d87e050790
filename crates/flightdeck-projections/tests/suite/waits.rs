//! Waiting for a view to come to what one has written oneself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::{Cursor, Epoch};
use flightdeck_projections::{NotThere, Runner, RunnerOptions};
use flightdeck_store::view::ViewError;

use crate::counts::{Counts, Poison};
use crate::ground::{Ground, eventually, name, quick};

const LONG: Duration = Duration::from_secs(20);

fn runner(ground: &Ground) -> Runner {
    Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick())
}

async fn sees_ones_own_write(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    for count in 1..=20 {
        let done = ground.append("a-1", "Counted", "\"a\"").await;
        let there = running.watcher().wait_for(&name("counts"), 1, done.cursor.clone(), LONG).await.unwrap();
        assert!(there.position >= done.cursor.position());
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), count)]);
    }
    // An event that it does not even read moves it as well.
    let done = ground.append("a-1", "Other", "1").await;
    running.watcher().wait_for(&name("counts"), 1, done.cursor, LONG).await.unwrap();
    running.stop().await;
}

async fn gives_up_in_time(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    let head = ground.append("a-1", "Counted", "\"a\"").await.cursor;
    let ahead = Cursor::new(head.epoch().clone(), head.position().next());
    let begun = Instant::now();
    let late = running.watcher().wait_for(&name("counts"), 1, ahead, Duration::from_millis(300)).await;
    assert!(matches!(late, Err(NotThere::Late { at, .. }) if at.get() <= 1), "{late:?}");
    assert!(begun.elapsed() >= Duration::from_millis(300) && begun.elapsed() < Duration::from_secs(5));
    running.stop().await;
}

async fn tells_at_once_what_will_never_be(ground: Ground) {
    let running = runner(&ground).projection(Counts::with(Poison::Fails)).start().await.unwrap();
    let head = ground.append("a-1", "Counted", "\"a\"").await.cursor;
    let watcher = running.watcher();
    let other = Cursor::new(Epoch::from_random(7), head.position());
    let answer = watcher.wait_for(&name("counts"), 1, other, LONG).await;
    assert!(
        matches!(&answer, Err(NotThere::OtherEpoch { head: at }) if at.epoch() == head.epoch()),
        "{answer:?}"
    );
    let answer = watcher.wait_for(&name("nothing"), 1, head.position(), LONG).await;
    assert!(matches!(answer, Err(NotThere::View(ViewError::Unknown(_)))), "{answer:?}");
    watcher.wait_for(&name("counts"), 1, head, LONG).await.unwrap();
    let poison = ground.append("a-1", "Counted", "\"poison\"").await.cursor;
    let begun = Instant::now();
    let answer = watcher.wait_for(&name("counts"), 1, poison, LONG).await;
    assert!(matches!(&answer, Err(NotThere::Halted { halt, .. }) if halt.position.get() == 2), "{answer:?}");
    assert!(begun.elapsed() < LONG / 2);
    running.stop().await;
}

async fn a_thousand_wait_with_few_looks(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    eventually("it is ready", async || ground.state("counts").await.ready).await;
    let watcher = running.watcher().clone();
    let head = ground.append("a-1", "Counted", "\"a\"").await.cursor;
    let waiting: Vec<_> = (0..1_000)
        .map(|_| {
            let (watcher, head) = (watcher.clone(), head.clone());
            tokio::spawn(async move { watcher.wait_for(&name("counts"), 1, head, LONG).await.is_ok() })
        })
        .collect();
    for waits in waiting {
        assert!(waits.await.unwrap());
    }
    running.stop().await;
}

/// That a view found nothing to fold is written down now and then, and at once when somebody waits for it.
async fn what_finds_nothing_writes_that_down_rarely(ground: Ground) {
    let rarely = RunnerOptions { settle: LONG * 10, ..quick() };
    let running = runner(&ground).options(rarely).projection(Counts::named("counts")).start().await.unwrap();
    let read = ground.append("a-1", "Counted", "\"a\"").await;
    running.watcher().wait_for(&name("counts"), 1, read.cursor, LONG).await.unwrap();
    for _ in 0..20 {
        ground.append("a-1", "Other", "1").await;
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(ground.state("counts").await.checkpoint.position.get(), 1);
    }
    let done = ground.append("a-1", "Other", "1").await;
    tokio::time::sleep(Duration::from_millis(50)).await;
    let begun = Instant::now();
    running.watcher().wait_for(&name("counts"), 1, done.cursor.clone(), LONG).await.unwrap();
    assert!(begun.elapsed() < LONG / 4, "who waits wakes it up");
    assert_eq!(ground.state("counts").await.checkpoint.position, done.cursor.position());
    // What is folded takes along what was not written down.
    ground.append("a-1", "Other", "1").await;
    ground.append("a-1", "Counted", "\"a\"").await;
    eventually("it is folded", async || ground.state("counts").await.checkpoint.position.get() == 24).await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 2)]);
    running.stop().await;

    let soon = RunnerOptions { settle: Duration::from_millis(20), ..quick() };
    let running = runner(&ground).options(soon).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Other", "1").await;
    eventually("it is written down", async || ground.state("counts").await.checkpoint.position.get() == 25)
        .await;
    running.stop().await;
}

/// What nobody waits for is folded now and then, all that came at once; and who waits gets it at once.
async fn what_nobody_waits_for_is_written_together(ground: Ground) {
    let rarely = RunnerOptions { gather: LONG * 10, ..quick() };
    writes_together(ground, rarely, Counts::named("counts")).await;
}

async fn a_view_says_for_itself_what_is_written_together(ground: Ground) {
    let often = RunnerOptions { gather: Duration::ZERO, ..quick() };
    let rarely = Counts { gather: Some(LONG * 10), ..Counts::named("counts") };
    writes_together(ground, often, rarely).await;
}

/// Nothing is written for as long as nobody waits, and all of it at once when somebody does.
async fn writes_together(ground: Ground, options: RunnerOptions, counts: Counts) {
    let running = runner(&ground).options(options).projection(counts).start().await.unwrap();
    eventually("it is ready", async || ground.state("counts").await.ready).await;
    for round in 1..=3 {
        for _ in 0..10 {
            ground.append("a-1", "Counted", "\"a\"").await;
            tokio::time::sleep(Duration::from_millis(10)).await;
            assert_eq!(ground.state("counts").await.checkpoint.position.get(), round * 11 - 11);
        }
        let begun = Instant::now();
        let done = ground.append("a-1", "Counted", "\"a\"").await;
        running.watcher().wait_for(&name("counts"), 1, done.cursor, LONG).await.unwrap();
        assert!(begun.elapsed() < LONG / 4, "who waits wakes it up");
        assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), round * 11)]);
        // Until it rests again.
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    running.stop().await;
}

crate::on_both! {
    what_nobody_waits_for_is_written_together
    a_view_says_for_itself_what_is_written_together
    sees_ones_own_write
    what_finds_nothing_writes_that_down_rarely
    gives_up_in_time
    tells_at_once_what_will_never_be
    a_thousand_wait_with_few_looks
}
