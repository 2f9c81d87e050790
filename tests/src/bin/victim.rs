//! The program that the tests kill, starve and lie to: it appends, and says what it was told.
//!
//! PLACE is the path of a file, or the URL of a database.
//!
//! `append PLACE FROM TASKS MANY`: MANY appends from number FROM on, by TASKS tasks at once, each again and again while the disk is full.
//! `hold PLACE`: opens the store and waits until its input ends. `migrate PLACE`. `read PLACE`, `read-twice PLACE`: for reading only.
//! `node PLACE FROM TASKS TAILS`: appends and follows the log until it is told otherwise, settling whatever is unknown.
//! `follow PLACE LISTEN`: follows the log, woken by nothing but what it hears at LISTEN.
//! `views PLACE FROM TASKS MANY CONTENTS`, `views-inline …`: folds views while it appends to so many contents (see `viewing.rs`).
#![expect(clippy::unwrap_used, reason = "whatever a victim does not expect is for the test to see")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::{Clock, Position, Timestamp};
use flightdeck_store::system::SystemClock;
use flightdeck_store::view::ViewStore;
use flightdeck_store::{AppendError, EventStore, Filter, FollowOptions, Followed, Outcome, Reason, follow};
use flightdeck_store_postgres::{Listen, PostgresStore};
use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};
use flightdeck_tests::viewing::{self, Appends};
use futures_util::StreamExt as _;

/// A store of either kind.
#[derive(Clone)]
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
    async fn stopped(&self) {
        match self {
            Self::Sqlite(store) => store.stopped().await,
            Self::Postgres(store) => store.stopped().await,
        }
    }
    async fn close(&self) {
        match self {
            Self::Sqlite(store) => store.close().await,
            Self::Postgres(store) => store.close().await,
        }
    }
}

/// A clock that is wrong by so many seconds.
struct Wrong(i64);

impl Clock for Wrong {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().micros() + self.0 * 1_000_000).unwrap()
    }
}

async fn open(what: &str, place: &str) -> Result<Opened, String> {
    let text = |error: &dyn std::error::Error| error.to_string();
    if place.starts_with("postgres://") {
        let clock = std::env::var("VICTIM_CLOCK").ok().and_then(|text| text.parse().ok());
        let clock = clock.map(|seconds| Arc::new(Wrong(seconds)) as Arc<dyn Clock>);
        let options = flightdeck_store_postgres::Options { clock, ..Default::default() };
        let opened = PostgresStore::open(place, options).await;
        return opened.map(|store| Opened::Postgres(Arc::new(store))).map_err(|error| text(&error));
    }
    let opened = match what {
        "read" | "read-twice" => SqliteStore::open_read_only(place, options()),
        _ => SqliteStore::open(place, options()),
    };
    opened.map(|store| Opened::Sqlite(Arc::new(store))).map_err(|error| text(&error))
}

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).map_or(0, |text| text.parse::<u64>().unwrap());
    let (what, place) = (arguments[0].as_str(), arguments[1].as_str());
    match what {
        "migrate" => return migrate(place).await,
        "follow" => return follow_alone(place, &arguments[2]).await,
        _ => {}
    }
    let opened = match open(what, place).await {
        Ok(opened) => opened,
        Err(error) => {
            println!("refused {error}");
            return ExitCode::from(1);
        }
    };
    match what {
        "append" => append(opened, number(2), number(3), number(4)).await,
        "node" => node(&opened, number(2), number(3), number(4)).await,
        "hold" => {
            println!("open");
            let mut line = String::new();
            drop(std::io::stdin().read_line(&mut line));
            opened.close().await;
            ExitCode::SUCCESS
        }
        "views" | "views-inline" => {
            let appends = Appends { from: number(2), tasks: number(3), many: number(4), contents: number(5) };
            viewing::run(opened.store(), opened.views(), what == "views-inline", appends).await;
            opened.close().await;
            ExitCode::SUCCESS
        }
        "read" => read(&*opened.store()).await,
        "read-twice" => read_twice(&*opened.store()).await,
        other => {
            println!("refused: there is no {other}");
            ExitCode::from(64)
        }
    }
}

fn options() -> Options {
    let bytes = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    Options {
        reserve: Reserve::Bytes(bytes("VICTIM_RESERVE").unwrap_or(0)),
        pages_max: bytes("VICTIM_PAGES").and_then(|pages| u32::try_from(pages).ok()),
        ..Options::default()
    }
}

async fn migrate(place: &str) -> ExitCode {
    let steps = if place.starts_with("postgres://") {
        let steps = PostgresStore::migrate(place, &flightdeck_store_postgres::Options::default()).await;
        steps.map_err(|error| error.to_string())
    } else {
        let options = Options { lock_wait: Duration::from_secs(10), ..options() };
        SqliteStore::migrate(place, &options).map_err(|error| error.to_string())
    };
    match steps {
        Ok(steps) => {
            println!("migrated {}", steps.len());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("refused {error}");
            ExitCode::from(1)
        }
    }
}

async fn read(store: &dyn EventStore) -> ExitCode {
    let events = flightdeck_tests::whole_log(store).await;
    println!("events {}", events.len());
    match store.append(flightdeck_tests::append(1)).await {
        Ok(_) => println!("appended"),
        Err(error) => println!("not {error}"),
    }
    ExitCode::SUCCESS
}

async fn read_twice(store: &dyn EventStore) -> ExitCode {
    println!("events {}", flightdeck_tests::whole_log(store).await.len());
    drop(std::io::stdin().read_line(&mut String::new()));
    match store.head().await {
        Ok(head) => println!("head {}", head.cursor),
        Err(error) => println!("not {error}"),
    }
    ExitCode::SUCCESS
}

async fn append(opened: Opened, from: u64, tasks: u64, many: u64) -> ExitCode {
    let next = Arc::new(AtomicU64::new(from));
    let worker = |_| {
        let (store, next) = (opened.store(), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= from + many || !one(&*store, number).await {
                    return;
                }
            }
        })
    };
    let workers: Vec<_> = (0..tasks).map(worker).collect();
    let all = async {
        for worker in workers {
            worker.await.unwrap();
        }
    };
    // Also a store that has stopped answers everyone: nobody is left waiting.
    if tokio::time::timeout(Duration::from_secs(50), all).await.is_err() {
        println!("hanging");
        return ExitCode::from(4);
    }
    // A writer that broke says so a moment after it let go of its callers.
    if tokio::time::timeout(Duration::from_millis(50), opened.stopped()).await.is_ok() {
        println!("stopped");
        return ExitCode::from(3);
    }
    opened.close().await;
    println!("done");
    ExitCode::SUCCESS
}

/// One append, again and again while there is no room. `false` when there is no point in going on.
async fn one(store: &dyn EventStore, number: u64) -> bool {
    println!("try {number}");
    for _ in 0..2_000 {
        match attempt(store, number).await {
            Ok(()) => return true,
            Err(AppendError::NotCommitted { reason: Reason::Full, .. }) => {
                let head = store.head().await.unwrap();
                println!("read {}", head.cursor.position());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
            Err(_) => return false,
        }
    }
    false
}

async fn attempt(store: &dyn EventStore, number: u64) -> Result<(), AppendError> {
    let begin = Instant::now();
    let done = store.append(flightdeck_tests::append(number)).await.inspect_err(|error| {
        let kind = if error.outcome() == Outcome::Unknown { "unknown" } else { "not" };
        println!("{kind} {number} {error}");
    })?;
    let (first, last) = done.range.unwrap();
    println!("ack {number} {first} {last} {}", begin.elapsed().as_millis());
    Ok(())
}

/// Appends and follows until its input says `stop`; then says `idle`. At `until N` it waits until all who follow have come to
/// position N, and says `tails` with where they are.
async fn node(opened: &Opened, from: u64, tasks: u64, tails: u64) -> ExitCode {
    let (next, stop) = (Arc::new(AtomicU64::new(from)), Arc::new(AtomicBool::new(false)));
    let worker = |_| {
        let (store, next, stop) = (opened.store(), Arc::clone(&next), Arc::clone(&stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                println!("try {number}");
                // Whatever it was told, it asks again until it is told what is certain.
                for _ in 0..10_000 {
                    if attempt(&*store, number).await.is_ok() {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(20)).await;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        })
    };
    let workers: Vec<_> = (0..tasks).map(worker).collect();
    let tails: Vec<_> = (0..tails).map(|_| Arc::new(AtomicI64::new(0))).collect();
    for at in &tails {
        tokio::spawn(tail(opened.store(), Arc::clone(at)));
    }
    println!("running");
    let mut lines = tokio::io::AsyncBufReadExt::lines(tokio::io::BufReader::new(tokio::io::stdin()));
    let mut workers = Some(workers);
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split_once(' ') {
            Some(("until", position)) => {
                let position: i64 = position.parse().unwrap();
                for _ in 0..3_000 {
                    if tails.iter().all(|at| at.load(Ordering::SeqCst) >= position) {
                        break;
                    }
                    tokio::time::sleep(Duration::from_millis(10)).await;
                }
                let at: Vec<_> = tails.iter().map(|at| at.load(Ordering::SeqCst).to_string()).collect();
                println!("tails {}", at.join(" "));
            }
            _ => {
                stop.store(true, Ordering::SeqCst);
                for worker in workers.take().unwrap_or_default() {
                    worker.await.unwrap();
                }
                println!("idle");
            }
        }
    }
    opened.close().await;
    ExitCode::SUCCESS
}

/// Follows the log for ever, and says when anything is missing, twice, or out of its order.
async fn tail(store: Arc<dyn EventStore>, at: Arc<AtomicI64>) {
    let mut cursor = None;
    loop {
        let after = cursor.clone().map_or(Position::START.into(), flightdeck_store::After::Cursor);
        let following = follow(Arc::clone(&store), after, Filter::ALL, FollowOptions::default());
        let mut following = std::pin::pin!(following);
        while let Some(item) = following.next().await {
            match item {
                Ok(Followed::Event(event, next)) => {
                    let position = event.position.get();
                    if position != at.load(Ordering::SeqCst) + 1 {
                        println!("gap {} {position}", at.load(Ordering::SeqCst));
                    }
                    at.store(position, Ordering::SeqCst);
                    cursor = Some(next);
                }
                Ok(Followed::Reset(reason, head)) => println!("reset {reason:?} {head}"),
                Ok(_) => {}
                Err(_) => break,
            }
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Follows on a node whose own looks at the head never come.
async fn follow_alone(place: &str, listen: &str) -> ExitCode {
    let hour = Duration::from_secs(3_600);
    let listen = Listen::Url(listen.to_owned());
    let options = flightdeck_store_postgres::Options {
        listen,
        poll: hour,
        ..flightdeck_store_postgres::Options::default()
    };
    let store: Arc<dyn EventStore> = Arc::new(PostgresStore::open(place, options).await.unwrap());
    let patient = FollowOptions { poll: hour, ..FollowOptions::default() };
    let mut following = std::pin::pin!(follow(store, Position::START, Filter::ALL, patient));
    while let Some(item) = following.next().await {
        match item.unwrap() {
            Followed::Event(event, _) => println!("event {}", event.position),
            other => println!("{other:?}"),
        }
    }
    ExitCode::SUCCESS
}
