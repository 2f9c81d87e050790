//! A log that is another one than views were folded from, as after a backup was restored: that is seen, told, and mended. (F37)

use std::sync::Arc;
use std::time::Duration;

use flightdeck_projections::{Runner, Running};
use flightdeck_store::EventStore;
use flightdeck_store::view::{HaltKind, ViewStore};
use flightdeck_tests::contents::{self, Tally};
use flightdeck_tests::gated::Gated;
use flightdeck_tests::views::{Truth, name, whole};
use flightdeck_views::ContentView;

use super::{Ground, Opened, at_the_head, eventually, fill, open_sqlite, quick, states};
use crate::victim::block_on;

const CONTENTS: u64 = 40;

async fn runs(store: &Arc<dyn EventStore>, views: &Arc<dyn ViewStore>) -> Running {
    let runner = Runner::new(Arc::clone(store), Arc::clone(views)).options(quick());
    runner.projection(ContentView).projection(Tally).start().await.unwrap()
}

/// Appends some, and folds them.
async fn goes_on(opened: &Opened, from: u64, many: u64) {
    let (store, views) = (opened.store(), opened.views());
    let running = runs(&store, &views).await;
    for number in from..from + many {
        store.append(contents::append(number, CONTENTS)).await.unwrap();
    }
    for view in ["content", "tally"] {
        at_the_head(&*store, &running, view, 1).await;
    }
    running.stop().await;
}

/// The view is of another log: while it is built anew that is in its state, and it answers as before.
async fn is_told_and_built_anew(opened: &Opened, view: &str) {
    let (store, views) = (opened.store(), opened.views());
    let before = whole(&*views, view, 1).await.unwrap();
    let gated = Gated::new(Arc::clone(&views));
    // The new build's first piece of work.
    let hand = gated.hold(view);
    let running = runs(&store, &(Arc::clone(&gated) as _)).await;
    let (from, to) = hand.came.await.unwrap();
    assert_eq!((from.position.get(), to.position), (0, store.head().await.unwrap().cursor.position()));
    let all = states(&*views, view).await;
    let [old, new] = &all[..] else { panic!("{all:?}") };
    let halt = old.halt.as_ref().unwrap();
    assert_eq!(halt.kind, HaltKind::Diverged, "{halt}");
    assert!(old.ready && old.serving && !new.ready && new.of.build == 2 && new.halt.is_none());
    assert_eq!(whole(&*views, view, 1).await.unwrap(), before, "it answers as before");
    // However far it had come: it has not seen what is in this log.
    let head = store.head().await.unwrap().cursor;
    let early = running.watcher().wait_for(&name(view), 1, head, Duration::from_millis(300)).await;
    assert!(early.is_err(), "nobody sees the end of this log yet: {early:?}");
    hand.go.send(()).unwrap();
    hand.ended.await.unwrap().unwrap();
    // The other view as well, if it is of another log, too.
    eventually("the new build serves", async || {
        let all = views.generations().await.unwrap();
        let new = all.iter().all(|state| state.ready && state.serving && state.halt.is_none());
        new && all.len() == 2 && states(&*views, view).await[0].of.build == 2
    })
    .await;
    for view in ["content", "tally"] {
        at_the_head(&*store, &running, view, 1).await;
    }
    running.stop().await;
    let found = Truth::default().check(&*store, &*views).await;
    assert!(found.iter().all(Option::is_some));
}

/// Takes the views of another store file, with their checkpoints, as a restore would that brings back less than everything.
fn take_views_of(other: &std::path::Path, file: &std::path::Path) {
    let raw = rusqlite::Connection::open(file).unwrap();
    raw.execute("ATTACH ?1 AS other", [other.to_str().unwrap()]).unwrap();
    raw.execute_batch(
        "DELETE FROM main.content; INSERT INTO main.content SELECT * FROM other.content;
         DELETE FROM main.tally; INSERT INTO main.tally SELECT * FROM other.tally;
         UPDATE main.fd_projection SET (position, folded, hash) =
           (SELECT position, folded, hash FROM other.fd_projection o WHERE o.id = main.fd_projection.id)",
    )
    .unwrap();
}

/// A copy of the file lives on in another way, for so many appends; then the first one's views come into it.
async fn copied_and_mixed(many: u64) {
    let ground = Ground::sqlite();
    let Ground::Sqlite(folder) = &ground else { unreachable!() };
    let opened = ground.open().await;
    fill(&*opened.store(), CONTENTS).await;
    goes_on(&opened, 0, 20).await;
    opened.close().await;
    let (file, copy) = (folder.path().join("log.db"), folder.path().join("copy.db"));
    std::fs::copy(&file, &copy).unwrap();
    let opened = ground.open().await;
    goes_on(&opened, 100, 20).await;
    opened.close().await;
    let opened = Opened::Sqlite(Arc::new(open_sqlite(&copy)));
    goes_on(&opened, 10_000, many).await;
    opened.close().await;
    take_views_of(&file, &copy);
    let opened = Opened::Sqlite(Arc::new(open_sqlite(&copy)));
    is_told_and_built_anew(&opened, "content").await;
    opened.close().await;
}

#[test]
fn views_of_another_log_on_sqlite_are_told_and_built_anew() {
    // Of a log that goes as far, and further, and less far.
    for many in [20, 40, 3] {
        block_on(copied_and_mixed(many));
    }
}

#[test]
fn views_of_another_log_on_postgres_are_told_and_built_anew() {
    block_on(async {
        for sql in [
            "UPDATE fd_projection SET hash = sha256('another event')",
            "UPDATE fd_projection SET position = position + 1000",
        ] {
            let ground = Ground::postgres();
            let Ground::Postgres(place) = &ground else { unreachable!() };
            let opened = ground.open().await;
            fill(&*opened.store(), CONTENTS).await;
            goes_on(&opened, 0, 20).await;
            place.raw().await.batch_execute(sql).await.unwrap();
            is_told_and_built_anew(&opened, "tally").await;
            opened.close().await;
        }
    });
}
