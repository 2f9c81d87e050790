//! What the views of what visitors did cost: how fast each is built from a year of facts, folded in memory and by the runner, and how
//! long answers take then.
//!
//! `cargo xtask bench views` starts a server and prints a table; `--sqlite` and `--postgres` measure only that store, `--facts N` is how
//! many facts there are, `--quick` is for seeing that it runs.
#![expect(clippy::unwrap_used, reason = "a benchmark ends when it fails")]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_analytics::VisitorId;
use flightdeck_core::{EventType, Json, StreamId, Timestamp};
use flightdeck_projections::live::Live;
use flightdeck_projections::{Defined, Projection, Runner};
use flightdeck_store::view::ViewStore;
use flightdeck_store::{Append, EventStore, LogQuery, NewEvent};
use flightdeck_store_postgres::{PostgresStore, Schema};
use flightdeck_store_sqlite::SqliteStore;
use flightdeck_views::zone::{Step, Zone};
use flightdeck_views::{Asked, pages, sessions, site_analytics, user_activity};

const VISITORS: u64 = 50_000;
const PAGES: u64 = 1_000;
/// When the year begins that the facts are of: 2025, in UTC.
const YEAR_MICROS: i64 = 1_735_689_600_000_000;
const DAY_MICROS: i64 = 86_400_000_000;
/// Facts that are folded in memory.
const IN_MEMORY_MAX: u64 = 200_000;

struct Bench {
    facts: u64,
    asks: u64,
}

/// A store under measurement.
#[derive(Clone)]
struct Ground {
    name: &'static str,
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
}

/// Numbers that look like chance, and are the same in each run.
fn mixed(number: u64) -> u64 {
    let mixed = number.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (mixed ^ (mixed >> 29)).wrapping_mul(0xbf58_476d_1ce4_e5b9) >> 16
}

fn visitor(number: u64) -> String {
    format!("0192f3a4-7b1c-7def-8123-{number:012x}")
}

fn page(number: u64) -> String {
    format!("/pages/page-{number}")
}

/// The fact at that place, of which there are so many in the year. A few pages are looked at often, most hardly ever.
fn fact(number: u64, facts: u64) -> NewEvent {
    let visitor = visitor(mixed(number) % VISITORS);
    let page = page((mixed(number * 7 + 3) % PAGES) * (mixed(number * 5 + 1) % PAGES) / PAGES);
    let into = (365 * DAY_MICROS as u64 / facts) * number;
    let at = Timestamp::from_micros(YEAR_MICROS + i64::try_from(into).unwrap()).unwrap();
    let (name, own) = match mixed(number * 3) % 10 {
        0..7 => ("PageViewed", r#","title":"A page of the site","referrer":"https://example.org/""#),
        7..9 => ("ButtonClicked", r#","buttonId":"buy""#),
        _ => ("FormSubmitted", r#","formId":"contact""#),
    };
    let data = format!(r#"{{"visitorId":"{visitor}","timestamp":"{at}"{own},"pageId":"{page}"}}"#);
    let stream = StreamId::new(format!("visitor-{visitor}")).unwrap();
    NewEvent::new(stream, EventType::new(name).unwrap(), Json::new(data, 1 << 16).unwrap())
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

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    let quick = asked("--quick");
    let facts = number("--facts").unwrap_or(if quick { 20_000 } else { 10_000_000 }).max(1);
    let bench = Bench { facts, asks: if quick { 20 } else { 200 } };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{} facts of a year, {VISITORS} visitors, {PAGES} pages", bench.facts);
    if !asked("--postgres") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let store = Arc::new(SqliteStore::open(path, flightdeck_store_sqlite::Options::default()).unwrap());
        let ground =
            Ground { name: "SQLite", store: Arc::clone(&store) as _, views: Arc::clone(&store) as _ };
        runtime.block_on(bench.run(&ground));
        runtime.block_on(store.close());
    }
    if !asked("--sqlite") {
        let url = flightdeck_test_postgres::shared().unwrap();
        let schema = Schema::new(format!("bench_{}", std::process::id())).unwrap();
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
        let begin = Instant::now();
        for first in (0..self.facts).step_by(1_000) {
            let facts = (first..(first + 1_000).min(self.facts)).map(|number| fact(number, self.facts));
            ground.store.append(Append::of(facts)).await.unwrap();
        }
        self.rate("appended, 1,000 at once", self.facts, begin.elapsed());
        self.in_memory(ground).await;
        for projection in projections() {
            let name = projection.name();
            let begin = Instant::now();
            let runner = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
            let running = runner.projections(vec![projection]).start().await.unwrap();
            let mut seen = running.watcher().subscribe();
            drop(
                seen.wait_for(|seen| {
                    seen.generations.iter().any(|of| of.of.view.as_str() == name && of.ready)
                })
                .await,
            );
            let took = begin.elapsed();
            running.stop().await;
            self.rate(&format!("{name} built"), self.facts, took);
        }
        self.ask(ground).await;
    }

    fn rate(&self, what: &str, facts: u64, took: Duration) {
        println!("  {what:<34} {:>9.0}/s", facts as f64 / took.as_secs_f64());
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
            let of = VisitorId::new(visitor(mixed(number) % VISITORS)).unwrap();
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
    let from = YEAR_MICROS + i64::try_from(mixed(number) % 330).unwrap() * DAY_MICROS;
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
