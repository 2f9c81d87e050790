//! Two who fold one view at once, step by step: only one of them gets through, also when neither is dead. (F56)

use std::sync::Arc;

use flightdeck_projections::Runner;
use flightdeck_store::EventStore as _;
use flightdeck_store::view::ViewStore as _;
use flightdeck_tests::contents::{self, Tally};
use flightdeck_tests::gated::Gated;
use flightdeck_tests::views::Truth;
use flightdeck_views::ContentView;

use super::{Ground, at_the_head, eventually, fill, open_sqlite, quick, states};
use crate::postgres::nodes::alone;
use crate::victim::{Victim, block_on};

const CONTENTS: u64 = 50;

fn started(ground: &Ground, from: u64) -> Victim {
    let mut node = Victim::start(super::viewing(ground, false, from, u64::MAX >> 1, CONTENTS));
    node.until(|said| said.count("running") == 1);
    node
}

/// Lets both come to the end of the log, and checks what they have folded.
#[track_caller]
fn settle(ground: &Ground, mut first: Victim, second: Victim) {
    first.tell("stop");
    first.until(|said| said.count("idle") == 1);
    for mut node in [second, first] {
        node.said.other.retain(|line| line == "running");
        super::catch_up(node);
    }
    let mut truth = Truth::default();
    let found = ground.check(&mut truth);
    assert!(found.iter().all(|at| at.is_some_and(|at| at.position == truth.head())), "{found:?}");
}

/// The runner has folded and not written yet; the writer folds the same within an append, and is first.
#[test]
fn a_runner_that_the_writer_overtakes_is_refused() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(open_sqlite(&folder.path().join("log.db")));
        fill(&*store, CONTENTS).await;
        let gated = Gated::new(Arc::clone(&store) as _);
        let hand = gated.hold("tally");
        let runner = Runner::new(Arc::clone(&store) as _, gated as _).options(quick());
        let running = runner.inline(Tally).inline(ContentView).start().await.unwrap();
        let (from, to) = hand.came.await.unwrap();
        assert_eq!((from.position.get(), to.position.get()), (0, i64::try_from(CONTENTS).unwrap()));
        let done = store.append(contents::append(2, CONTENTS)).await.unwrap();
        let state = states(&*store, "tally").await.pop().unwrap();
        assert_eq!(state.checkpoint.position, done.cursor.position(), "the writer has folded all of it");
        hand.go.send(()).unwrap();
        let late = hand.ended.await.unwrap();
        assert_eq!(late, Err("someone else has folded it since".to_owned()));
        eventually("the view is ready", async || {
            store.generations().await.unwrap().iter().all(|state| state.ready)
        })
        .await;
        for view in ["tally", "content"] {
            at_the_head(&*store, &running, view, 1).await;
        }
        Truth::default().check(&*store, &*store).await;
        running.stop().await;
        store.close().await;
    });
}

/// The next page is folded while the store is still at work on the one before; when that is lost, so is what was folded on it.
#[test]
fn what_is_folded_on_work_that_is_lost_is_folded_again() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let store = Arc::new(open_sqlite(&folder.path().join("log.db")));
        fill(&*store, CONTENTS).await;
        let gated = Gated::new(Arc::clone(&store) as _);
        let runner = Runner::new(Arc::clone(&store) as _, Arc::clone(&gated) as _).options(quick());
        let running = runner.projection(Tally).projection(ContentView).start().await.unwrap();
        at_the_head(&*store, &running, "content", 1).await;
        let hand = gated.hold("content");
        let lost = store.append(contents::append(2, CONTENTS)).await.unwrap();
        let (_, to) = hand.came.await.unwrap();
        assert_eq!(to.position, lost.cursor.position());
        // There is no work on `content` now but what is held; this is folded, and has to wait.
        let waits = gated.hold("content");
        store.append(contents::append(3, CONTENTS)).await.unwrap();
        at_the_head(&*store, &running, "tally", 1).await;
        gated.lose();
        hand.go.send(()).unwrap();
        assert!(hand.ended.await.unwrap().is_err());
        let (from, _) = waits.came.await.unwrap();
        assert!(from.position < lost.cursor.position(), "it begins where the store stands: {from:?}");
        waits.go.send(()).unwrap();
        at_the_head(&*store, &running, "content", 1).await;
        Truth::default().check(&*store, &*store).await;
        running.stop().await;
        store.close().await;
    });
}

/// Two nodes that both stand before the same piece of work: the one that has lost the lease is refused although nothing was folded
/// since.
#[test]
fn of_two_with_the_same_work_the_one_without_the_lease_is_refused() {
    let _alone = alone();
    let ground = Ground::postgres();
    ground.fill(CONTENTS);
    let held =
        |said: &flightdeck_tests::Said| said.other.iter().find(|line| line.starts_with("held")).cloned();
    let mut first = started(&ground, 0);
    first.tell("hold content");
    first.until(|said| said.count("held") == 1);
    let mut second = started(&ground, 1_000_000);
    second.tell("hold content");
    // Its lease, which it would keep for as long as it works, runs out while it is stopped.
    first.signal("-STOP");
    second.until(|said| said.count("held") == 1);
    first.signal("-CONT");
    let from = |line: Option<String>| line.unwrap().split(' ').nth(1).unwrap().to_owned();
    assert_eq!(from(held(&first.said)), from(held(&second.said)), "both begin at the same checkpoint");
    first.tell("go");
    first.until(|said| said.count("late") == 1);
    assert_eq!(first.said.other.last().unwrap(), "late refused: someone else has folded it since");
    second.tell("go");
    second.until(|said| said.count("late") == 1);
    assert_eq!(second.said.other.last().unwrap(), "late done");
    settle(&ground, first, second);
}

/// The same, when the one that loses the lease has looked already, and waits for its rows to be free: what it moves in the end is
/// nothing.
#[test]
fn who_loses_the_lease_in_the_middle_of_its_transaction_is_refused() {
    let _alone = alone();
    let ground = Ground::postgres();
    let Ground::Postgres(place) = &ground else { unreachable!() };
    ground.fill(CONTENTS);
    let mut first = started(&ground, 0);
    first.tell("until");
    first.until(|said| said.count("there") == 1);
    let second = started(&ground, 1_000_000);
    first.tell("hold content");
    first.until(|said| said.count("held") == 1);
    let look = "SELECT count(*) FROM pg_locks WHERE relation = 'content'::regclass AND NOT granted";
    let holder = "SELECT holder FROM fd_projection WHERE view = 'content'";
    let first = block_on(async {
        let raw = place.raw().await;
        let before: Option<String> = raw.query_one(holder, &[]).await.unwrap().get(0);
        raw.batch_execute("BEGIN; LOCK TABLE content IN SHARE ROW EXCLUSIVE MODE").await.unwrap();
        first.tell("go");
        eventually("it waits for its rows", async || {
            raw.query_one(look, &[]).await.unwrap().get::<_, i64>(0) == 1
        })
        .await;
        first.signal("-STOP");
        eventually("the other one has the lease", async || {
            raw.query_one(holder, &[]).await.unwrap().get::<_, Option<String>>(0) != before
        })
        .await;
        raw.batch_execute("COMMIT").await.unwrap();
        first.signal("-CONT");
        first.until(|said| said.count("late") == 1);
        first
    });
    assert_eq!(first.said.other.last().unwrap(), "late refused: someone else has folded it since");
    settle(&ground, first, second);
}
