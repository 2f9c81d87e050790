//! What projections cost: how fast `content` is built anew with its search, what appends feel of it, and how far the view is behind
//! while it runs live. Beside it, in the same run, the rate at which the log is only read.
//!
//! `cargo xtask bench projections` starts a server and prints a table; `--sqlite` and `--postgres` measure only that store, `--events N` is
//! how long the log is, `--quick` is for seeing that it runs.
#![expect(clippy::unwrap_used, reason = "a benchmark ends when it fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::{Cursor, EventType, Json, SchemaNumber, StreamId};
use flightdeck_projections::{Runner, Running};
use flightdeck_store::view::{GenerationState, ViewName, ViewQuery, ViewStore};
use flightdeck_store::{Append, EventStore, LogQuery, NewEvent};
use flightdeck_store_postgres::{PostgresStore, Schema};
use flightdeck_store_sqlite::SqliteStore;
use flightdeck_tests::contents::NextContent;
use flightdeck_views::ContentView;

struct Bench {
    events: u64,
    contents: u64,
    time: Duration,
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

/// Some 200 bytes of words out of 5,000.
fn prose(number: u64) -> String {
    (0..28).map(|word| format!("w{:x} ", mixed(number * 31 + word) % 5_000)).collect()
}

/// The event at that place: the first of each content makes it, all others change it.
fn event(number: u64, contents: u64) -> NewEvent {
    let made = number < contents;
    let content = if made { number } else { mixed(number) % contents };
    let id = format!("0192f3a4-7b1c-7def-8123-{content:012x}");
    let stream = StreamId::new(format!("content-{id}")).unwrap();
    let (name, schema, data) = match (made, number % 3) {
        (true, _) => (
            "ContentCreated",
            2,
            format!(
                "{{\"contentId\":\"{id}\",\"title\":\"Title {number}\",\"slug\":\"slug-{content}\",\"content\":\"{}\",\
                 \"format\":\"Markdown\",\"author\":\"author-{}\",\"tags\":[\"news\",\"tag-{}\"]}}",
                prose(number),
                content % 100,
                content % 20
            ),
        ),
        (false, 0) => (
            "ContentUpdated",
            1,
            format!("{{\"contentId\":\"{id}\",\"status\":\"Published\",\"title\":\"New title {number}\"}}"),
        ),
        (false, _) => {
            ("ContentUpdated", 1, format!("{{\"contentId\":\"{id}\",\"content\":\"{}\"}}", prose(number)))
        }
    };
    let event = NewEvent::new(stream, EventType::new(name).unwrap(), Json::new(data, 1 << 16).unwrap());
    NewEvent { schema: SchemaNumber::new(schema).unwrap(), ..event }
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
    // Where that is not allowed, the figure is that of the whole run.
    drop(std::fs::write("/proc/self/clear_refs", "5"));
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let number = |name: &str| {
        let place = arguments.iter().position(|argument| argument == name)?;
        arguments.get(place + 1)?.parse::<u64>().ok()
    };
    let quick = asked("--quick");
    let events = number("--events").unwrap_or(if quick { 20_000 } else { 1_000_000 });
    let time = Duration::from_secs(if quick { 1 } else { 10 });
    let bench = Bench { events, contents: (events / 20).max(1), time };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    println!("{} events on {} contents, search on", bench.events, bench.contents);
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
        for first in (0..self.events).step_by(1_000) {
            let events = (first..(first + 1_000).min(self.events)).map(|number| event(number, self.contents));
            ground.store.append(Append::of(events)).await.unwrap();
        }
        println!(
            "  appended, 1,000 at once         {:>9.0}/s",
            self.events as f64 / begin.elapsed().as_secs_f64()
        );
        let read = self.read(ground).await;
        println!("  only read                       {read:>9.0}/s");
        let (built, memory) = self.build(ground).await;
        println!(
            "  built, with search              {built:>9.0}/s   {:.2} of only read, at most {memory} MB",
            built / read
        );
        self.meanwhile(ground).await;
        for rate in [1_000, 5_000, 10_000] {
            self.live(ground, rate).await;
        }
    }

    async fn read(&self, ground: &Ground) -> f64 {
        let begin = Instant::now();
        let mut query = LogQuery::default();
        let mut many = 0_u64;
        loop {
            let page = ground.store.read_log(&query).await.unwrap();
            many += page.events.len() as u64;
            match query.next(&page) {
                Some(next) => query = next,
                None => break,
            }
        }
        many as f64 / begin.elapsed().as_secs_f64()
    }

    /// Builds the view for the first time, with nothing else going on.
    async fn build(&self, ground: &Ground) -> (f64, u64) {
        forget_memory();
        let begin = Instant::now();
        let running = runner(ground).projection(ContentView).start().await.unwrap();
        ready(&running, 1).await;
        let took = begin.elapsed();
        running.stop().await;
        let query = ViewQuery::of(ViewName::new("content").unwrap(), 1, "content").text("w1f*");
        assert!(!ground.views.ask(&query).await.unwrap().rows.is_empty(), "the search finds something");
        (self.events as f64 / took.as_secs_f64(), most_memory())
    }

    /// Builds another number beside the one in use, while 1,000 events a second are appended one by one and the view is asked.
    async fn meanwhile(&self, ground: &Ground) {
        let quiet_running = runner(ground).projection(ContentView).start().await.unwrap();
        let mut quiet = self.append_at(ground, 1_000, None).await.0;
        forget_memory();
        let (begin, stop) = (Instant::now(), Arc::new(AtomicBool::new(false)));
        let asking = tokio::spawn(ask_all_the_time(ground.clone(), Arc::clone(&stop)));
        let next = runner(ground).projection(NextContent).start().await.unwrap();
        let building = async {
            ready(&next, 2).await;
            begin.elapsed()
        };
        let ended = Arc::new(AtomicBool::new(false));
        let appending = self.append_at(ground, 1_000, Some(Arc::clone(&ended)));
        let building = async {
            let took = building.await;
            ended.store(true, Ordering::SeqCst);
            took
        };
        let ((mut times, appended), took) = tokio::join!(appending, building);
        stop.store(true, Ordering::SeqCst);
        let asked = asking.await.unwrap();
        next.stop().await;
        // Quiet is what was before and what is after: the disk is not the same from one ten seconds to the next.
        let (mut before, after) = (quiet.clone(), self.append_at(ground, 1_000, None).await.0);
        quiet.extend(after);
        let (quiet_half, quiet_tail) = (percentile(&mut quiet, 0.5), percentile(&mut quiet, 0.99));
        println!(
            "  appends at 1,000/s, quiet       p50 {quiet_half:.2?}  p99 {quiet_tail:.2?}   (before the build p99 {:.2?})",
            percentile(&mut before, 0.99)
        );
        let (half, tail) = (percentile(&mut times, 0.5), percentile(&mut times, 0.99));
        let ratio = tail.as_secs_f64() / quiet_tail.as_secs_f64();
        let rate = (self.events + appended) as f64 / took.as_secs_f64();
        println!(
            "  the same, with a build beside   p50 {half:.2?}  p99 {tail:.2?}, {ratio:.1} of quiet; built {rate:.0}/s, at most {} MB",
            most_memory()
        );
        println!(
            "  asked meanwhile                 {asked} times, never refused, never back; it took over by itself"
        );
        quiet_running.stop().await;
    }

    /// How far the view is behind while events are appended one by one.
    async fn live(&self, ground: &Ground, rate: u64) {
        let running = runner(ground).projection(NextContent).start().await.unwrap();
        ready(&running, 2).await;
        let ended = Arc::new(AtomicBool::new(false));
        let sampling = tokio::spawn(lag(ground.clone(), running.watcher().clone(), Arc::clone(&ended)));
        let begin = Instant::now();
        let (mut times, appended) = self.append_at(ground, rate, None).await;
        let took = begin.elapsed().as_secs_f64();
        ended.store(true, Ordering::SeqCst);
        let mut lags = sampling.await.unwrap();
        println!(
            "  live, {:>6.0} appends/s          lag p50 {:.1?}  p99 {:.1?}   (appends p99 {:.1?})",
            appended as f64 / took,
            percentile(&mut lags, 0.5),
            percentile(&mut lags, 0.99),
            percentile(&mut times, 0.99),
        );
        running.stop().await;
    }

    /// Appends events one by one at a rate, for the bench's time or until it is told that it has ended. Says how long each took.
    async fn append_at(
        &self,
        ground: &Ground,
        rate: u64,
        ended: Option<Arc<AtomicBool>>,
    ) -> (Vec<Duration>, u64) {
        static NUMBER: AtomicU64 = AtomicU64::new(1 << 40);
        let callers = (rate / 100).max(1);
        let every = Duration::from_secs_f64(callers as f64 / rate as f64);
        let begin = Instant::now();
        let tasks: Vec<_> = (0..callers)
            .map(|caller| {
                let (store, contents, time, ended) =
                    (Arc::clone(&ground.store), self.contents, self.time, ended.clone());
                tokio::spawn(async move {
                    let mut times = Vec::new();
                    let mut due = begin + every.mul_f64(caller as f64 / callers as f64);
                    while ended.as_ref().map_or(begin.elapsed() < time, |ended| !ended.load(Ordering::SeqCst))
                    {
                        tokio::time::sleep_until(due.into()).await;
                        let event = event(NUMBER.fetch_add(1, Ordering::Relaxed), contents);
                        let asked = Instant::now();
                        store.append(Append::of([event])).await.unwrap();
                        times.push(asked.elapsed());
                        due = (due + every).max(Instant::now() - every);
                    }
                    times
                })
            })
            .collect();
        let mut all = Vec::new();
        for task in tasks {
            all.extend(task.await.unwrap());
        }
        let many = all.len() as u64;
        (all, many)
    }
}

fn runner(ground: &Ground) -> Runner {
    Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views))
}

/// Waits until the newest build of that number has caught up.
async fn ready(running: &Running, number: u32) {
    let mut seen = running.watcher().subscribe();
    let is_ready = |state: &GenerationState| state.of.number == number && state.ready;
    drop(seen.wait_for(|seen| seen.generations.iter().any(is_ready)).await);
}

/// Asks the view all the time. It is never refused, and never comes to stand further back.
async fn ask_all_the_time(ground: Ground, stop: Arc<AtomicBool>) -> u64 {
    let (mut asked, mut before) = (0, 0);
    let view = ViewName::new("content").unwrap();
    while !stop.load(Ordering::SeqCst) {
        let query = ViewQuery {
            limit: flightdeck_store::Limit::new(10).unwrap(),
            ..ViewQuery::of(view.clone(), 2, "content")
        };
        let page = ground.views.ask(&query.sorted("updated_at", true)).await.unwrap();
        let at = page.checkpoint.position.get();
        assert!(at >= before && page.rows.len() == 10, "{at} after {before}");
        (before, asked) = (at, asked + 1);
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    asked
}

/// From when an append was answered until the view has it, some hundred times a second.
async fn lag(
    ground: Ground,
    watcher: flightdeck_projections::Watcher,
    ended: Arc<AtomicBool>,
) -> Vec<Duration> {
    let (view, mut lags) = (ViewName::new("content").unwrap(), Vec::new());
    let mut head = ground.store.watch();
    let epoch = ground.store.head().await.unwrap().cursor.epoch().clone();
    while !ended.load(Ordering::SeqCst) {
        head.mark_unchanged();
        if tokio::time::timeout(Duration::from_millis(200), head.changed()).await.is_err() {
            continue;
        }
        let (position, begin) = (*head.borrow(), Instant::now());
        let cursor = Cursor::new(epoch.clone(), position);
        watcher.wait_for(&view, 2, cursor, Duration::from_secs(30)).await.unwrap();
        lags.push(begin.elapsed());
        tokio::time::sleep(Duration::from_millis(7)).await;
    }
    lags
}
