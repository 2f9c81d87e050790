//! The load: the same events for everyone, and what they cost.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use flightdeck_core::{EventType, Ids as _, Json, Metadata, Reference, StreamId, Timestamp};
use flightdeck_store::system::SystemIds;
use flightdeck_store::{Append, EventStore as _, NewEvent};
use flightdeck_store_sqlite::{Options, SqliteStore};

pub(crate) const STREAMS: u64 = 10_000;
pub(crate) const CORRELATION: &str = "0192f3a4-7b1c-7def-8123-456789abcdef";
pub(crate) const ACTOR: &str = "user-17";

/// What a run cost.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Cost {
    pub(crate) rate: f64,
    pub(crate) cpu_micros: f64,
    pub(crate) bytes_written: f64,
}

impl Cost {
    /// Runs `work`, which does `events` events.
    pub(crate) fn of(events: usize, work: impl FnOnce()) -> Self {
        let (cpu, written, begin) = (cpu_seconds(), bytes_written(), Instant::now());
        work();
        let seconds = begin.elapsed().as_secs_f64();
        let events = events as f64;
        Self {
            rate: events / seconds,
            cpu_micros: (cpu_seconds() - cpu) * 1e6 / events,
            bytes_written: (bytes_written() - written) / events,
        }
    }

    /// The run in the middle, by rate.
    pub(crate) fn median(costs: &[Self]) -> Self {
        let mut sorted = costs.to_vec();
        sorted.sort_by(|a, b| a.rate.total_cmp(&b.rate));
        sorted[sorted.len() / 2]
    }
}

/// User and system time of this process, from the kernel's books (in ticks of 10 ms).
fn cpu_seconds() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap();
    let fields: Vec<&str> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
    let ticks = |field: usize| fields[field].parse::<f64>().unwrap();
    (ticks(11) + ticks(12)) / 100.0
}

/// What this process has handed to `write`, from the kernel's books.
fn bytes_written() -> f64 {
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    io.lines().find_map(|line| line.strip_prefix("wchar: ")).unwrap().parse().unwrap()
}

/// A small generator: the same numbers in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    pub(crate) fn roll(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

/// Data of 350 bytes.
pub(crate) fn data() -> String {
    format!("{{\"title\":\"A title\",\"cents\":4900,\"text\":\"{}\"}}", "x".repeat(350 - 43))
}

/// Makes the events of the load.
pub(crate) struct Events {
    dice: Dice,
    streams: Vec<StreamId>,
    event_type: EventType,
    data: Json,
    metadata: Metadata,
    ids: SystemIds,
}

impl Events {
    pub(crate) fn new() -> Self {
        let metadata = Metadata {
            actor: Some(Reference::new(ACTOR).unwrap()),
            correlation: Some(Reference::new(CORRELATION).unwrap()),
            ..Metadata::default()
        };
        Self {
            dice: Dice(88_172_645_463_325_252),
            streams: (0..STREAMS).map(|number| StreamId::new(name(number)).unwrap()).collect(),
            event_type: EventType::new("OrderPlaced").unwrap(),
            data: Json::new(data(), 1_000).unwrap(),
            metadata,
            ids: SystemIds::default(),
        }
    }

    /// The next event: to any stream, with an id of its own, so that the store looks whether it knows it.
    pub(crate) fn next(&mut self) -> NewEvent {
        let stream = self.streams[usize::try_from(self.dice.roll() % STREAMS).unwrap()].clone();
        self.make(stream)
    }

    pub(crate) fn make(&self, stream: StreamId) -> NewEvent {
        let id = self.ids.event_id(Timestamp::from_micros(1_790_000_000_000_000).unwrap());
        NewEvent::new(stream, self.event_type.clone(), self.data.clone())
            .with_metadata(self.metadata.clone())
            .with_id(id)
    }

    pub(crate) fn streams(&self) -> &[StreamId] {
        &self.streams
    }
}

/// The name of a stream of the load.
pub(crate) fn name(number: u64) -> String {
    format!("order-{number:08x}-7b1c")
}

pub(crate) fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap()
}

/// Fills a store.
pub(crate) struct Filler {
    runtime: tokio::runtime::Runtime,
    pub(crate) store: SqliteStore,
    pub(crate) events: Events,
}

impl Filler {
    pub(crate) fn open(path: &Path) -> Self {
        let mut filler = Self {
            runtime: runtime(),
            store: SqliteStore::open(path, Options::default()).unwrap(),
            events: Events::new(),
        };
        // Every stream is there before anything is measured.
        let streams = filler.events.streams().to_vec();
        for streams in streams.chunks(1_000) {
            let events: Vec<NewEvent> =
                streams.iter().map(|stream| filler.events.make(stream.clone())).collect();
            filler.append(Append::of(events));
        }
        filler
    }

    pub(crate) fn append(&mut self, append: Append) {
        self.runtime.block_on(self.store.append(append)).unwrap();
    }

    /// Appends so many events, each append with a group of them.
    pub(crate) fn fill(&mut self, events: usize, group: usize) {
        for _ in 0..events / group {
            let append = Append::of((0..group).map(|_| self.events.next()).collect::<Vec<_>>());
            self.append(append);
        }
    }

    pub(crate) fn close(self) {
        self.runtime.block_on(self.store.close());
    }
}

/// One caller who appends a group at a time.
pub(crate) fn one_caller(path: &Path, group: usize, events: usize) -> Cost {
    let mut filler = Filler::open(path);
    let cost = Cost::of(events, || filler.fill(events, group));
    filler.close();
    cost
}

/// As many callers as a group has events, each with one event at a time.
pub(crate) fn many_callers(path: &Path, callers: usize, events: usize) -> Cost {
    let mut filler = Filler::open(path);
    let each = events / callers;
    let work: Vec<Vec<NewEvent>> =
        (0..callers).map(|_| (0..each).map(|_| filler.events.next()).collect()).collect();
    let store = Arc::new(filler.store.clone());
    let cost = Cost::of(each * callers, || {
        filler.runtime.block_on(async {
            let caller = |events: Vec<NewEvent>| {
                let store = Arc::clone(&store);
                tokio::spawn(async move {
                    for event in events {
                        store.append(Append::of([event])).await.unwrap();
                    }
                })
            };
            for caller in work.into_iter().map(caller).collect::<Vec<_>>() {
                caller.await.unwrap();
            }
        });
    });
    drop(store);
    filler.close();
    cost
}
