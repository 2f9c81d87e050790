//! What the victim does with views: it folds two of them while it appends, and does what it is told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_projections::{Admin, Runner, RunnerOptions, Running};
use flightdeck_store::EventStore;
use flightdeck_store::view::ViewStore;
use flightdeck_views::ContentView;
use tokio::io::{AsyncBufReadExt as _, BufReader};

use crate::contents::{self, Tally};
use crate::gated::{Gated, Hand};
use crate::views::{defined, name};

/// What it appends meanwhile.
#[derive(Debug, Clone, Copy)]
pub struct Appends {
    /// The first number.
    pub from: u64,
    /// How many tasks append at once.
    pub tasks: u64,
    /// How many appends at the most.
    pub many: u64,
    /// To how many contents.
    pub contents: u64,
}

/// A length of time that the environment may set, in milliseconds.
fn millis(variable: &str, default: Duration) -> Duration {
    let set = std::env::var(variable).ok().and_then(|text| text.parse().ok());
    set.map_or(default, Duration::from_millis)
}

fn options() -> RunnerOptions {
    let default = RunnerOptions::default();
    let lease = millis("VICTIM_LEASE", default.lease);
    let building_for = millis("VICTIM_BUILDING", default.building_for);
    RunnerOptions { lease, standby: (lease / 6).min(default.standby), building_for, ..default }
}

/// Begins to append.
fn begin(
    store: &Arc<dyn EventStore>,
    appends: Appends,
    stop: &Arc<AtomicBool>,
) -> Vec<tokio::task::JoinHandle<()>> {
    let next = Arc::new(AtomicU64::new(appends.from));
    let pause = millis("VICTIM_PAUSE", Duration::from_millis(5));
    let worker = |_| {
        let (store, next, stop) = (Arc::clone(store), Arc::clone(&next), Arc::clone(stop));
        tokio::spawn(async move {
            while !stop.load(Ordering::SeqCst) {
                let number = next.fetch_add(1, Ordering::SeqCst);
                if number >= appends.from + appends.many {
                    return;
                }
                println!("try {number}");
                let began = Instant::now();
                match store.append(contents::append(number, appends.contents)).await {
                    Ok(done) => {
                        let (first, last) = done.range.unwrap();
                        println!("ack {number} {first} {last} {}", began.elapsed().as_millis());
                    }
                    Err(error) => println!("not {number} {error}"),
                }
                tokio::time::sleep(pause).await;
            }
        })
    };
    (0..appends.tasks).map(worker).collect()
}

/// Folds `content` and `tally`, the first of them within the appends if that is asked for, until its input ends.
///
/// It is told `rebuild VIEW`, `hold VIEW` and `go`, `stop` (appending), `until` (both views are at the head).
pub async fn run(store: Arc<dyn EventStore>, views: Arc<dyn ViewStore>, inline: bool, appends: Appends) {
    let gated = Gated::new(Arc::clone(&views));
    let runner =
        Runner::new(Arc::clone(&store), Arc::clone(&gated) as _).options(options()).projection(Tally);
    let runner = if inline { runner.inline(ContentView) } else { runner.projection(ContentView) };
    let running = match runner.start().await {
        Ok(running) => running,
        Err(error) => return println!("refused {error}"),
    };
    println!("running");
    let stop = Arc::new(AtomicBool::new(false));
    let mut workers = begin(&store, appends, &stop);
    let told = Told { store: &store, views: &views, gated: &gated, running: &running };
    let mut hand = None;
    let mut lines = BufReader::new(tokio::io::stdin()).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        match line.split_once(' ').unwrap_or((&line, "")) {
            ("rebuild", view) => told.rebuild(view).await,
            ("hold", view) => hand = Some(told.hold(view).await),
            ("go", _) => told.go(hand.take()).await,
            ("stop", _) => {
                stop.store(true, Ordering::SeqCst);
                for worker in workers.drain(..) {
                    worker.await.unwrap();
                }
                println!("idle");
            }
            _ => told.until().await,
        }
    }
    stop.store(true, Ordering::SeqCst);
    for worker in workers {
        worker.await.unwrap();
    }
    running.stop().await;
}

struct Told<'v> {
    store: &'v Arc<dyn EventStore>,
    views: &'v Arc<dyn ViewStore>,
    gated: &'v Gated,
    running: &'v Running,
}

impl Told<'_> {
    async fn rebuild(&self, view: &str) {
        let plan = if view == "tally" { defined(Tally) } else { defined(ContentView) }.plan().clone();
        let admin = Admin::new(Arc::clone(self.store), Arc::clone(self.views));
        match admin.rebuild(&plan, "victim").await {
            Ok(state) => println!("rebuilding {}", state.of),
            Err(error) => println!("not rebuilding {error}"),
        }
    }

    /// Holds the next piece of work that changes rows, and says when it has come.
    async fn hold(&self, view: &str) -> Hand {
        let mut hand = self.gated.hold(view);
        match (&mut hand.came).await {
            Ok((from, to)) => println!("held {} {}", from.position, to.position),
            Err(_) => println!("not held"),
        }
        hand
    }

    /// Lets it go, and says what became of it.
    async fn go(&self, hand: Option<Hand>) {
        let Some(hand) = hand else { return println!("nothing is held") };
        let _whoever_waits = hand.go.send(());
        match hand.ended.await {
            Ok(Ok(())) => println!("late done"),
            Ok(Err(error)) => println!("late refused: {error}"),
            Err(_) => println!("late lost"),
        }
    }

    /// Waits until both views are where the log ends now.
    async fn until(&self) {
        let head = match self.store.head().await {
            Ok(head) => head.cursor.position(),
            Err(error) => return println!("not there: {error}"),
        };
        for view in ["content", "tally"] {
            let there = self.running.watcher().wait_for(&name(view), 1, head, Duration::from_secs(40)).await;
            if let Err(error) = there {
                return println!("not there: {error}");
            }
        }
        if self.built(head).await {
            println!("there {head}");
        } else {
            println!("not there: a build does not end");
        }
    }

    /// Waits until every build is through.
    async fn built(&self, head: Position) -> bool {
        for _ in 0..2_000 {
            let all = self.views.generations().await.unwrap_or_default();
            if all.len() == 2 && all.iter().all(|state| state.ready && state.checkpoint.position >= head) {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        false
    }
}
