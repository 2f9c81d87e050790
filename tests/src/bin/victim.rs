//! The program that the tests kill, starve and lie to: it appends, and says what it was told.
//!
//! `append PATH FROM TASKS MANY`: MANY appends from number FROM on, by TASKS tasks at once, each again and again while the disk is full.
//! `hold PATH`: opens the store and waits until its input ends. `migrate PATH`. `read PATH`, `read-twice PATH`: for reading only.
#![expect(clippy::unwrap_used, reason = "whatever a victim does not expect is for the test to see")]

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flightdeck_store::{AppendError, EventStore as _, Outcome, Reason};
use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};

#[tokio::main(worker_threads = 2)]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).map_or(0, |text| text.parse::<u64>().unwrap());
    let (what, path) = (arguments[0].as_str(), arguments[1].as_str());
    let opened = match what {
        "migrate" => return migrate(path),
        "read" | "read-twice" => SqliteStore::open_read_only(path, options()),
        _ => SqliteStore::open(path, options()),
    };
    let store = match opened {
        Ok(store) => Arc::new(store),
        Err(error) => {
            println!("refused {error}");
            return ExitCode::from(1);
        }
    };
    match what {
        "append" => append(store, number(2), number(3), number(4)).await,
        "hold" => {
            println!("open");
            let mut line = String::new();
            drop(std::io::stdin().read_line(&mut line));
            store.close().await;
            ExitCode::SUCCESS
        }
        "read" => read(&store).await,
        "read-twice" => read_twice(&store).await,
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

fn migrate(path: &str) -> ExitCode {
    match SqliteStore::migrate(path, &Options { lock_wait: Duration::from_secs(10), ..options() }) {
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

async fn read(store: &SqliteStore) -> ExitCode {
    let events = flightdeck_tests::whole_log(store).await;
    println!("events {}", events.len());
    match store.append(flightdeck_tests::append(1)).await {
        Ok(_) => println!("appended"),
        Err(error) => println!("not {error}"),
    }
    ExitCode::SUCCESS
}

async fn read_twice(store: &SqliteStore) -> ExitCode {
    println!("events {}", flightdeck_tests::whole_log(store).await.len());
    drop(std::io::stdin().read_line(&mut String::new()));
    match store.head().await {
        Ok(head) => println!("head {}", head.cursor),
        Err(error) => println!("not {error}"),
    }
    ExitCode::SUCCESS
}

async fn append(store: Arc<SqliteStore>, from: u64, tasks: u64, many: u64) -> ExitCode {
    let next = Arc::new(AtomicU64::new(from));
    let worker = |_| {
        let (store, next) = (Arc::clone(&store), Arc::clone(&next));
        tokio::spawn(async move {
            loop {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= from + many || !one(&store, number).await {
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
    if tokio::time::timeout(Duration::from_millis(50), store.stopped()).await.is_ok() {
        println!("stopped");
        return ExitCode::from(3);
    }
    store.close().await;
    println!("done");
    ExitCode::SUCCESS
}

/// One append, again and again while there is no room. `false` when there is no point in going on.
async fn one(store: &SqliteStore, number: u64) -> bool {
    println!("try {number}");
    for _ in 0..2_000 {
        let begin = Instant::now();
        match store.append(flightdeck_tests::append(number)).await {
            Ok(done) => {
                let (first, last) = done.range.unwrap();
                println!("ack {number} {first} {last} {}", begin.elapsed().as_millis());
                return true;
            }
            Err(error) => {
                let kind = if error.outcome() == Outcome::Unknown { "unknown" } else { "not" };
                println!("{kind} {number} {error}");
                let AppendError::NotCommitted { reason: Reason::Full, .. } = error else { return false };
                let head = store.head().await.unwrap();
                println!("read {}", head.cursor.position());
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        }
    }
    false
}
