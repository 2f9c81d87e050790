//! Every view of ours, of one history of a whole site: live, built anew, in memory and on the other store, its rows are the same. (T10)

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use flightdeck_core::Timestamp;
use flightdeck_projections::live::Live;
use flightdeck_projections::{Admin, Defined, Projection, Runner};
use flightdeck_store::system::SystemIds;
use flightdeck_store::view::{Checkpoint, MemoryViews, Row, ViewQuery, ViewStore};
use flightdeck_store::{Append, EventStore, MemoryStore, NewEvent};
use flightdeck_store_sqlite::SqliteStore;
use flightdeck_tests::set_clock::SetClock;
use flightdeck_tests::site::Site;
use flightdeck_tests::views::{assert_same, name};

use super::{at_the_head, eventually, states};
use crate::postgres::Place;
use crate::victim::block_on;

const SEED: u64 = 20_261_126;
const EVENTS: usize = 50_000;

/// The rows of each table of a view.
type Tables = Vec<(String, Vec<Row>)>;

/// What the views must be in the end: the rows of each table, and the checkpoint of each view.
struct Expected {
    appends: Vec<Vec<NewEvent>>,
    views: Vec<(Arc<dyn Projection>, Checkpoint, Tables)>,
}

/// Made once for all tests of this file.
fn expected() -> &'static Expected {
    static EXPECTED: OnceLock<Expected> = OnceLock::new();
    EXPECTED.get_or_init(|| std::thread::spawn(|| block_on(expect())).join().unwrap())
}

async fn expect() -> Expected {
    let (mut site, mut appends, mut many) = (Site::of(SEED), Vec::new(), 0);
    while many < EVENTS {
        let events = site.append();
        many += events.len();
        appends.push(events);
    }
    let clock = Arc::new(SetClock::default());
    let log = MemoryStore::with(Arc::clone(&clock) as _, Arc::new(SystemIds::default()));
    append_all(&log, &clock, &appends).await;
    let mut views = Vec::new();
    for projection in flightdeck_views::all() {
        let begun = Instant::now();
        let mut live = Live::new(Defined::new(Arc::clone(&projection)).unwrap());
        live.fold_log(&log, None, &[], usize::MAX).await.unwrap();
        let tables = projection.tables();
        let rows = tables.iter().map(|table| (table.name().to_owned(), live.rows(table.name())));
        let rows: Tables = rows.collect();
        let counts: Vec<String> =
            rows.iter().map(|(table, rows)| format!("{} of {table}", rows.len())).collect();
        println!("{}: rows {} in {:?}", projection.name(), counts.join(", "), begun.elapsed());
        for (table, rows) in &rows {
            assert!(!rows.is_empty(), "there is nothing in {table}");
        }
        views.push((projection, live.checkpoint(), rows));
    }
    Expected { appends, views }
}

/// Appends what is to happen, each append at a moment of its own.
async fn append_all(store: &dyn EventStore, clock: &SetClock, appends: &[Vec<NewEvent>]) {
    for (number, events) in appends.iter().enumerate() {
        let micros = 1_700_000_000_000_000 + i64::try_from(number).unwrap() * 61_234_567;
        clock.set(Timestamp::from_micros(micros).unwrap());
        store.append(Append::of(events.clone())).await.unwrap();
    }
}

/// All rows of a table, while nothing is folded.
async fn all_rows(views: &dyn ViewStore, view: &str, table: &str) -> (Vec<Row>, Checkpoint) {
    let (mut query, mut rows) = (ViewQuery::of(name(view), 1, table), Vec::new());
    loop {
        let page = views.ask(&query).await.unwrap();
        rows.extend(page.rows.iter().cloned());
        match query.next(&page) {
            Some(next) => query = next,
            None => return (rows, page.checkpoint),
        }
    }
}

async fn compare(way: &str, views: &dyn ViewStore, moved: i64) {
    for (projection, checkpoint, tables) in &expected().views {
        for (table, rows) in tables {
            let way = format!("{way}: {} of {}", table, projection.name());
            let (found, at) = all_rows(views, projection.name(), table).await;
            assert_same(&way, &found, rows);
            assert_eq!(at.position.get(), checkpoint.position.get() + moved, "{way}");
            // The orders to build anew are events, too, for whoever reads all that there are.
            let reads_orders = moved > 0 && projection.name().starts_with("log_");
            assert!(at.folded == checkpoint.folded || reads_orders, "{way}: {at:?}");
        }
    }
}

/// Folds while it is appended, compares, builds all anew, and compares again.
async fn live_and_rebuilt(
    way: &str,
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
    clock: &SetClock,
) {
    let runner = Runner::new(Arc::clone(&store), Arc::clone(&views)).projections(flightdeck_views::all());
    let running = runner.start().await.unwrap();
    let begun = Instant::now();
    append_all(&*store, clock, &expected().appends).await;
    for projection in flightdeck_views::all() {
        at_the_head(&*store, &running, projection.name(), 1).await;
    }
    println!("{way}: folded in {:?}", begun.elapsed());
    compare(way, &*views, 0).await;
    let (begun, admin) = (Instant::now(), Admin::new(Arc::clone(&store), Arc::clone(&views)));
    for projection in flightdeck_views::all() {
        admin.rebuild(Defined::new(projection).unwrap().plan(), "test").await.unwrap();
    }
    for projection in flightdeck_views::all() {
        eventually("the second build serves", async || {
            let all = states(&*views, projection.name()).await;
            all.len() == 1 && all[0].of.build == 2 && all[0].serving
        })
        .await;
        at_the_head(&*store, &running, projection.name(), 1).await;
    }
    println!("{way}: rebuilt in {:?}", begun.elapsed());
    // The orders to build anew stand in the log as well.
    let moved = i64::try_from(flightdeck_views::all().len()).unwrap();
    compare(&format!("{way}, rebuilt"), &*views, moved).await;
    running.stop().await;
}

#[test]
fn on_sqlite_every_view_is_the_fold_of_the_log() {
    let folder = tempfile::tempdir().unwrap();
    let _made = expected();
    block_on(async {
        let clock = Arc::new(SetClock::default());
        let options =
            flightdeck_store_sqlite::Options { clock: Arc::clone(&clock) as _, ..Default::default() };
        let store = Arc::new(SqliteStore::open(folder.path().join("log.db"), options).unwrap());
        live_and_rebuilt("SQLite", Arc::clone(&store) as _, Arc::clone(&store) as _, &clock).await;
        store.close().await;
    });
}

#[test]
fn on_postgres_every_view_is_the_fold_of_the_log() {
    let place = Place::new();
    let _made = expected();
    block_on(async {
        let clock = Arc::new(SetClock::default());
        let options =
            flightdeck_store_postgres::Options { clock: Some(Arc::clone(&clock) as _), ..Default::default() };
        let store = Arc::new(place.open_with(options).await);
        live_and_rebuilt("PostgreSQL", Arc::clone(&store) as _, Arc::clone(&store) as _, &clock).await;
        store.close().await;
    });
}

#[test]
fn in_memory_every_view_is_the_fold_of_the_log() {
    let _made = expected();
    block_on(async {
        let clock = Arc::new(SetClock::default());
        let store = Arc::new(MemoryStore::with(Arc::clone(&clock) as _, Arc::new(SystemIds::default())));
        live_and_rebuilt("in memory", store, Arc::new(MemoryViews::new()), &clock).await;
    });
}
