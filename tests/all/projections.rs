//! Projections, end to end: whoever folds them, in whatever way, however often they are killed and stopped. (F36, F37, F56, F57, T1, T10, T11)

mod beside;
mod equality;
mod every_past;
mod every_view;
mod kill_points;
mod kills;
mod nodes;
mod overtaken;
mod past;
mod restored;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_projections::{RunnerOptions, Running};
use flightdeck_store::EventStore;
use flightdeck_store::view::{Checkpoint, GenerationState, ViewStore};
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};
use flightdeck_tests::contents;
use flightdeck_tests::views::{Truth, name};

use crate::postgres::Place;
use crate::victim::{Victim, block_on, victim};

/// Where a victim's store lies.
enum Ground {
    Sqlite(tempfile::TempDir),
    Postgres(Place),
}

/// A store that the test itself has opened.
enum Opened {
    Sqlite(Arc<SqliteStore>),
    Postgres(Arc<PostgresStore>),
}

impl Opened {
    fn store(&self) -> Arc<dyn EventStore> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres(store) => Arc::clone(store) as _,
        }
    }
    fn views(&self) -> Arc<dyn ViewStore> {
        match self {
            Self::Sqlite(store) => Arc::clone(store) as _,
            Self::Postgres(store) => Arc::clone(store) as _,
        }
    }
    async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

impl Ground {
    fn sqlite() -> Self {
        Self::Sqlite(tempfile::tempdir().unwrap())
    }

    fn postgres() -> Self {
        Self::Postgres(Place::new())
    }

    /// What a victim is told of it.
    fn place(&self) -> String {
        match self {
            Self::Sqlite(folder) => folder.path().join("log.db").to_str().unwrap().to_owned(),
            Self::Postgres(place) => place.url(),
        }
    }

    async fn open(&self) -> Opened {
        match self {
            Self::Sqlite(folder) => Opened::Sqlite(Arc::new(open_sqlite(&folder.path().join("log.db")))),
            Self::Postgres(place) => Opened::Postgres(Arc::new(place.open().await)),
        }
    }

    /// Makes so many contents, before anybody folds them.
    fn fill(&self, many: u64) {
        block_on(async {
            let opened = self.open().await;
            fill(&*opened.store(), many).await;
            opened.close().await;
        });
    }

    /// Holds what a victim left against the log. How far the views are.
    fn check(&self, truth: &mut Truth) -> [Option<Checkpoint>; 2] {
        block_on(async {
            let opened = self.open().await;
            let found = truth.check(&*opened.store(), &*opened.views()).await;
            opened.close().await;
            found
        })
    }
}

fn open_sqlite(path: &Path) -> SqliteStore {
    let options =
        Options { lock_wait: Duration::from_secs(20), reserve: Reserve::Bytes(0), ..Options::default() };
    SqliteStore::open(path, options).unwrap()
}

async fn fill(store: &dyn EventStore, contents: u64) {
    for append in contents::first(contents) {
        store.append(append).await.unwrap();
    }
}

/// A victim that folds views: `inline` or not, from that number on.
fn viewing(ground: &Ground, inline: bool, from: u64, many: u64, contents: u64) -> std::process::Command {
    let what = if inline { "views-inline" } else { "views" };
    let numbers = [from, 2, many, contents].map(|number| number.to_string());
    let mut command = victim(&[what, &ground.place()]);
    // Whoever is killed holds its lease no longer than that.
    command.args(numbers).env("VICTIM_LEASE", "300");
    command
}

/// Lets a victim come to the end of its log, with every build through, and end by itself.
#[track_caller]
fn catch_up(mut process: Victim) {
    process.until(|said| said.count("running") == 1);
    process.tell("stop");
    process.tell("until");
    process.until(|said| said.count("there") + said.count("not there") == 1);
    assert_eq!(process.said.count("there"), 1, "{:?}", process.said.other);
    let (said, status) = process.end();
    assert!(status.success(), "{:?}", said.other);
}

/// Quick to notice, so that tests are.
fn quick() -> RunnerOptions {
    RunnerOptions {
        standby: Duration::from_millis(20),
        lease: Duration::from_millis(600),
        ..RunnerOptions::default()
    }
}

/// Every generation of a view.
async fn states(views: &dyn ViewStore, view: &str) -> Vec<GenerationState> {
    let mut all = views.generations().await.unwrap();
    all.retain(|state| state.of.view.as_str() == view);
    all
}

/// Waits until a view is at the head of its log.
async fn at_the_head(store: &dyn EventStore, running: &Running, view: &str, number: u32) {
    let head = store.head().await.unwrap().cursor;
    running.watcher().wait_for(&name(view), number, head, Duration::from_secs(60)).await.unwrap();
}

/// Waits until something is so, for 60 seconds at the most.
async fn eventually(what: &str, mut so: impl AsyncFnMut() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !so().await {
        assert!(Instant::now() < end, "it never came to be so: {what}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
