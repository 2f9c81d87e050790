//! What the views of what visitors did cost: how fast each is built from a year of facts, folded in memory and by the runner, how much
//! memory that takes, and how long answers take then.
//!
//! The history is that of a site that people use (`flightdeck_tests::visits`): visits of six facts in the mean, with ten seconds to a minute and a half between
//! two of them; six visits of ten are by somebody who was there before; of a thousand pages a few are looked at often, most hardly ever, and
//! a third of what a visitor looks at it has seen before. Ten million facts are 1.7 million visits by 680,000 visitors.
//!
//! `cargo xtask bench views` starts a server and prints a table; `--sqlite` and `--postgres` measure only that store, `--facts N` is how
//! many facts there are, `--quick` is for seeing that it runs. With `--keep DIR` the log and its views stay: SQLite's there, PostgreSQL's in
//! the server that `FLIGHTDECK_TEST_POSTGRES` names; the next run with as many facts appends only what is not there. `--only PART` does
//! one part, for which what comes before it must be there: `append`, `fold`, `ask`, or the name of a view.
#![expect(clippy::unwrap_used, reason = "a benchmark ends when it fails")]

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_analytics::VisitorId;
use flightdeck_core::Timestamp;
use flightdeck_projections::live::Live;
use flightdeck_projections::{Defined, Projection, Runner};
use flightdeck_store::view::ViewStore;
use flightdeck_store::{Append, EventStore, LogQuery};
use flightdeck_store_postgres::{PostgresStore, Schema};
use flightdeck_store_sqlite::SqliteStore;
use flightdeck_tests::contents::Dice;
use flightdeck_tests::visits::{PAGES, Visits, YEAR_MICROS, visitor};
use flightdeck_views::zone::{Step, Zone};
use flightdeck_views::{Asked, pages, sessions, site_analytics, user_activity};

const DAY_MICROS: i64 = 86_400_000_000;
/// Facts that are folded in memory.
const IN_MEMORY_MAX: u64 = 200_000;

struct Bench {
    facts: u64,
    visitors: u64,
    asks: u64,
    /// The only part that is done, if it is not all.
    only: Option<String>,
}

/// A store under measurement.
#[derive(Clone)]
struct Ground {
    name: &'static str,
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
}

fn projections() -> [Arc<dyn Projection>; 4] {
    [
        Arc::new(site_analytics::SiteAnalyticsView),
        Arc::new(user_activity::UserActivityView),
        Arc::new(pages::PagesView),
        Arc::new(sessions::SessionsView),
    ]
}

fn percentile(times: &mut [Duration], share: f64) -> Duration {
    times.sort_unstable();
    let place = (times.len() as f64 * share) as usize;
    times.get(place.min(times.len().saturating_sub(1))).copied().unwrap_or_default()
}

/// The most memory that this process had since it was last asked to forget that, in MB.
fn most_memory() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() / 1_024
}

fn forget_memory() {
    // Where that is not allowed, the most is that of the whole run.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let value = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1).cloned()
    };
    let quick = asked("--quick");
    let facts = value("--facts").map(|facts| facts.parse().unwrap());
    let facts: u64 = facts.unwrap_or(if quick { 20_000 } else { 10_000_000 }).max(1);
    let mut year = Visits::of(facts);
    year.pass(facts);
    let (visits, visitors) = (year.visits(), year.visitors());
    println!("{facts} facts of a year, in {visits} visits by {visitors} visitors to {PAGES} pages");
    let bench = Bench { facts, visitors, asks: if quick { 20 } else { 200 }, only: value("--only") };
    let keep = value("--keep");
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if !asked("--postgres") {
        let folder = tempfile::tempdir().unwrap();
        let place = keep.as_deref().map_or(folder.path(), Path::new);
        std::fs::create_dir_all(place).unwrap();
        let options = flightdeck_store_sqlite::Options::default();
        let store = Arc::new(SqliteStore::open(place.join("log.db"), options).unwrap());
        let ground =
            Ground { name: "SQLite", store: Arc::clone(&store) as _, views: Arc::clone(&store) as _ };
        runtime.block_on(bench.run(&ground));
        runtime.block_on(store.close());
    }
    if !asked("--sqlite") {
        let url = flightdeck_test_postgres::shared().unwrap();
        let schema = if keep.is_some() { "kept".to_owned() } else { std::process::id().to_string() };
        let schema = Schema::new(format!("bench_views_{schema}")).unwrap();
        let options =
            flightdeck_store_postgres::Options { schema, ..flightdeck_store_postgres::Options::default() };
        let store = Arc::new(runtime.block_on(PostgresStore::open(&url, options)).unwrap());
        let ground =
            Ground { name: "PostgreSQL", store: Arc::clone(&store) as _, views: Arc::clone(&store) as _ };
        runtime.block_on(bench.run(&ground));
        runtime.block_on(store.close());
    }
}

impl Bench {
    async fn run(&self, ground: &Ground) {
        println!("\n{}", ground.name);
        if self.does("append") {
            self.append(ground).await;
        }
        if self.does("fold") {
            self.in_memory(ground).await;
        }
        for projection in projections() {
            if self.does(projection.name()) {
                self.build(ground, projection).await;
            }
        }
        if self.does("ask") {
            self.ask(ground).await;
        }
    }

    fn does(&self, part: &str) -> bool {
        self.only.as_deref().is_none_or(|only| only == part)
    }

    /// Appends what is not there yet.
    async fn append(&self, ground: &Ground) {
        forget_memory();
        let there = u64::try_from(ground.store.head().await.unwrap().cursor.position().get()).unwrap();
        let mut visits = Visits::of(self.facts);
        visits.pass(there);
        let begin = Instant::now();
        for first in (there..self.facts).step_by(1_000) {
            let facts = (first..(first + 1_000).min(self.facts)).map(|_| visits.happens().event());
            ground.store.append(Append::of(facts)).await.unwrap();
        }
        self.rate("appended, 1,000 at once", self.facts - there, begin.elapsed());
    }

    /// Builds a view, whether or not it is there already.
    async fn build(&self, ground: &Ground, projection: Arc<dyn Projection>) {
        forget_memory();
        let name = projection.name();
        let plan = Defined::new(Arc::clone(&projection)).unwrap().plan().clone();
        let build = ground.views.begin_build(&plan).await.unwrap().of;
        let begin = Instant::now();
        let runner = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
        let running = runner.projections(vec![projection]).start().await.unwrap();
        let mut seen = running.watcher().subscribe();
        let ready = seen
            .wait_for(|seen| seen.generations.iter().any(|of| of.of == build && of.ready))
            .await
            .map(drop);
        ready.unwrap();
        let took = begin.elapsed();
        running.stop().await;
        self.rate(&format!("{name} built"), self.facts, took);
    }

    fn rate(&self, what: &str, facts: u64, took: Duration) {
        println!("  {what:<34} {:>9.0}/s  at most {} MB", facts as f64 / took.as_secs_f64(), most_memory());
    }

    /// Folds facts with nothing but memory beneath.
    async fn in_memory(&self, ground: &Ground) {
        let mut events = Vec::new();
        let mut query = LogQuery::default();
        while (events.len() as u64) < IN_MEMORY_MAX {
            let read = ground.store.read_log(&query).await.unwrap();
            let next = query.next(&read);
            events.extend(read.events);
            match next {
                Some(next) => query = next,
                None => break,
            }
        }
        for projection in projections() {
            let name = projection.name();
            let mut live = Live::new(Defined::new(projection).unwrap());
            let begin = Instant::now();
            for event in &events {
                live.fold(event).unwrap();
            }
            self.rate(&format!("{name} folded in memory"), events.len() as u64, begin.elapsed());
        }
    }

    async fn ask(&self, ground: &Ground) {
        let views = &*ground.views;
        for zone in ["UTC", "Europe/Berlin", "Asia/Kathmandu"] {
            let of_site = async |number| month(views, number, zone).await;
            self.times(&format!("a month by day, {zone}"), of_site).await;
        }
        let timeline = async |number| {
            let of = VisitorId::new(visitor(Dice::new(number).roll(self.visitors))).unwrap();
            let asked = user_activity::Timeline::default();
            user_activity::timeline(&*ground.store, &of, asked).await.unwrap();
        };
        self.times("a visitor's timeline, 100", timeline).await;
        let top = async |_| {
            let found = pages::top_pages(views, pages::By::Views, Asked::default()).await.unwrap();
            assert!(!found.rows.is_empty(), "there are pages");
        };
        self.times("top pages, 100", top).await;
        let active = async |_| {
            let found =
                user_activity::most_active(views, user_activity::By::Facts, Asked::default()).await.unwrap();
            assert!(!found.rows.is_empty(), "there are visitors");
        };
        self.times("most active, 100", active).await;
    }

    /// How long an answer takes, time after time.
    async fn times<F: Future<Output = ()>>(&self, what: &str, ask: impl Fn(u64) -> F) {
        let mut times = Vec::new();
        for number in 0..self.asks {
            let begin = Instant::now();
            ask(number).await;
            times.push(begin.elapsed());
        }
        let (half, tail) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        println!("  {what:<34} p50 {half:>9.2?}  p99 {tail:>9.2?}");
    }
}

/// A month by day that begins somewhere in the year.
async fn month(views: &dyn ViewStore, number: u64, zone: &str) {
    let from = YEAR_MICROS + i64::try_from(Dice::new(number).roll(330)).unwrap() * DAY_MICROS;
    let asked = site_analytics::Series {
        from: Timestamp::from_micros(from).unwrap(),
        to: Timestamp::from_micros(from + 31 * DAY_MICROS).unwrap(),
        step: Step::Day,
        zone: Zone::named(zone).unwrap(),
        streams: None,
    };
    let buckets = site_analytics::series(views, asked).await.unwrap();
    assert!(buckets.len() >= 31, "a month has its days");
}
