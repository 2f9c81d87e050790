//! What HTTP costs: durable appends beside the same requests that store nothing, the whole log read as NDJSON, start, idle memory.
//!
//! The server is the real binary (`FLIGHTDECK_BIN`), but for the floor: that is this program itself, run once more with the same routes on
//! a store that answers appends and keeps nothing. The load comes from this program, over the same two cores.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench that fails panics")]

use std::io::{BufRead as _, BufReader};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flightdeck_core::{Cursor, EventId, EventType, Json, Position, SchemaNumber, StreamId, Version};
use flightdeck_server::Server;
use flightdeck_store::{
    Append, AppendError, Appended, AppendedStream, EventStore, Head, LogPage, LogQuery, NewEvent, Recorded,
    RequestKey, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery, StreamsPage, StreamsQuery,
};
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::{Options, SqliteStore};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::watch;

/// Connections at once.
const CONNECTIONS: [usize; 4] = [1, 16, 64, 256];
/// Data of one event, in bytes, about.
const DATA_BYTES: usize = 350;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let [first, path, ..] = arguments.as_slice()
        && first == "--floor"
    {
        return run(floor(path));
    }
    let quick = has("--quick");
    let parts = ["--sqlite", "--postgres", "--read", "--start", "--others"];
    let all = !parts.iter().any(|part| has(part));
    let asked = arguments.iter().skip_while(|argument| *argument != "--connections").nth(1);
    let bench = Bench {
        time: Duration::from_secs(if quick { 1 } else { 4 }),
        rounds: if quick { 1 } else { 3 },
        connections: asked.map_or(CONNECTIONS.to_vec(), |asked| vec![asked.parse().unwrap()]),
    };
    run(async {
        if all || has("--sqlite") {
            bench.sqlite().await;
        }
        if all || has("--postgres") {
            bench.postgres().await;
        }
        if all || has("--read") {
            read(if quick { 20_000 } else { 500_000 }).await;
        }
        if all || has("--others") {
            others(Duration::from_secs(if quick { 2 } else { 10 })).await;
        }
        if all || has("--start") {
            start(if quick { 20_000 } else { 1_000_000 }).await;
        }
    });
}

fn run(future: impl Future<Output = ()>) {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future);
}

struct Bench {
    time: Duration,
    rounds: usize,
    connections: Vec<usize>,
}

/// A server in a process of its own, killed when this is dropped.
struct Serving {
    process: Child,
    address: String,
    ready: Duration,
}

impl Drop for Serving {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

fn binary() -> PathBuf {
    std::env::var_os("FLIGHTDECK_BIN")
        .expect("FLIGHTDECK_BIN names the binary: cargo xtask bench http")
        .into()
}

fn serving(mut command: Command) -> Serving {
    let begun = Instant::now();
    let mut process =
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(process.stdout.take().unwrap()).read_line(&mut line).unwrap();
    let address = line.trim_end().rsplit("http://").next().unwrap().to_owned();
    assert!(line.contains("ready on"), "{line:?}");
    Serving { process, address, ready: begun.elapsed() }
}

fn real(store: &str) -> Serving {
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--store", store]);
    serving(command)
}

/// The same routes on a store that keeps nothing.
async fn floor(path: &str) {
    let store = SqliteStore::open(path, Options::default()).unwrap();
    let nothing = Nothing { store: store.clone(), position: AtomicI64::new(0) };
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let running = Server::new(Arc::new(nothing), Arc::new(store)).listen(listener).start().await.unwrap();
    println!("ready on http://{}", running.addresses()[0]);
    std::future::pending::<()>().await;
}

/// Answers appends as if they were done.
struct Nothing {
    store: SqliteStore,
    position: AtomicI64,
}

#[async_trait]
impl EventStore for Nothing {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let count = i64::try_from(append.events.len()).unwrap();
        let last = self.position.fetch_add(count, Ordering::Relaxed) + count;
        let position = Position::new(last).unwrap();
        let stream = append.events[0].stream.clone();
        let streams =
            vec![AppendedStream { stream, from: Version::FIRST, version: Version::new(last).unwrap() }];
        let cursor = Cursor::new(self.store.epoch().clone(), position);
        Ok(Appended { streams, range: Some((position, position)), cursor, duplicate: false })
    }

    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        self.store.outcome_of(request).await
    }

    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        self.store.read_stream(query).await
    }

    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.store.read_log(query).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.store.head().await
    }

    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        self.store.stream(stream).await
    }

    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        self.store.streams(query).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        self.store.event(id).await
    }

    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.store.save_snapshot(stream, snapshot).await
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.store.snapshot(stream, schema).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.store.delete_snapshot(stream).await
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.store.watch()
    }
}

/// What a caller over its rate does to the others: how long these wait while it is not there, keeps to its rate, and does not.
async fn others(time: Duration) {
    const RATE: u64 = 500;
    println!(
        "Others beside a caller that may make {RATE} requests a second, at 200 durable appends a second"
    );
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("others.db").display());
    let token = |name: &str| {
        let made = Command::new(binary())
            .args(["token", "create", name, "--scope", "write", "--writes", "*", "--json", "--store", &store])
            .output()
            .unwrap();
        let made: serde_json::Value = serde_json::from_slice(&made.stdout).unwrap();
        made["secret"].as_str().unwrap().to_owned()
    };
    let (other, one) = (token("other"), token("one"));
    let mut command = Command::new(binary());
    command.args(["serve", "--listen", "127.0.0.1:0", "--auth", "token", "--store", &store]);
    command.args(["--limits", &format!("caller_requests_per_second={RATE}")]);
    let server = serving(command);
    let (mut alone, mut within, mut beyond) = (Vec::new(), Vec::new(), Vec::new());
    let mut refused = 0;
    // In turns, so that whatever else the machine does meets all three.
    for _ in 0..3 {
        for (times, connections, pause) in [
            (&mut alone, 0, Duration::ZERO),
            (&mut within, 8, Duration::from_millis(16)),
            (&mut beyond, 64, Duration::ZERO),
        ] {
            let until = Instant::now() + time;
            let loud = (0..connections).map(|_| Asking::new(&server.address, &one, pause).until(until));
            let loud: Vec<_> = loud.map(tokio::spawn).collect();
            let quiet =
                (0..4).map(|_| Asking::new(&server.address, &other, Duration::from_millis(20)).until(until));
            let quiet: Vec<_> = quiet.map(tokio::spawn).collect();
            for asking in quiet {
                let asked = asking.await.unwrap();
                assert_eq!(asked.refused, 0, "who keeps to its rate is not refused");
                times.extend(asked.took);
            }
            for asking in loud {
                refused += asking.await.unwrap().refused;
            }
        }
    }
    let (alone, within, beyond) = (p99(alone), p99(within), p99(beyond));
    println!(
        "  p99 {alone:.2} ms without it, {within:.2} ms while it keeps to its rate, {beyond:.2} ms while it asks as fast as it can over 64 connections ({:.2} and {:.2}; {refused} refused)",
        beyond / alone,
        beyond / within
    );
}

fn p99(mut all: Vec<Duration>) -> f64 {
    all.sort();
    all[all.len() * 99 / 100].as_secs_f64() * 1_000.0
}

/// A connection over which a caller appends again and again, with a pause from one to the next.
struct Asking {
    address: String,
    bearer: String,
    pause: Duration,
    took: Vec<Duration>,
    refused: u64,
}

impl Asking {
    fn new(address: &str, bearer: &str, pause: Duration) -> Self {
        let (address, bearer) = (address.to_owned(), bearer.to_owned());
        Self { address, bearer, pause, took: Vec::new(), refused: 0 }
    }

    async fn until(mut self, until: Instant) -> Self {
        let mut stream = TcpStream::connect(&self.address).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (mut turn, mut answer) = (0_u64, vec![0; 4096]);
        while Instant::now() < until {
            tokio::time::sleep(self.pause).await;
            let head = format!("Authorization: Bearer {}\r\n\r\n", self.bearer);
            let request = request(&self.address, turn).replacen("\r\n\r\n", &format!("\r\n{head}"), 1);
            let begun = Instant::now();
            stream.write_all(request.as_bytes()).await.unwrap();
            match status(&mut stream, &mut answer).await {
                201 => self.took.push(begun.elapsed()),
                429 => self.refused += 1,
                other => panic!("{other}"),
            }
            turn += 1;
        }
        self
    }
}

/// Requests that append one event each, over so many connections for so long: how many were answered a second.
async fn load(address: &str, connections: usize, time: Duration) -> f64 {
    let (done, begun) = (Arc::new(AtomicU64::new(0)), Instant::now());
    let tasks: Vec<_> = (0..connections)
        .map(|number| {
            let (address, done) = (address.to_owned(), Arc::clone(&done));
            tokio::spawn(async move {
                let mut stream = TcpStream::connect(&address).await.unwrap();
                stream.set_nodelay(true).unwrap();
                let (mut turn, mut answer) = (0_u64, vec![0; 4096]);
                while begun.elapsed() < time {
                    let request = request(&address, number as u64 * 1_000_003 + turn);
                    stream.write_all(request.as_bytes()).await.unwrap();
                    answered(&mut stream, &mut answer).await;
                    done.fetch_add(1, Ordering::Relaxed);
                    turn += 1;
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    done.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

fn data(number: u64) -> String {
    format!("{{\"number\":{number},\"text\":\"{}\"}}", "x".repeat(DATA_BYTES - 30))
}

/// To one of 10,000 streams.
fn stream(number: u64) -> String {
    format!("bench-{}", number.wrapping_mul(2_654_435_761) % 10_000)
}

fn request(address: &str, number: u64) -> String {
    let body = format!("{{\"events\":[{{\"eventType\":\"Measured\",\"data\":{}}}]}}", data(number));
    let path = format!("/api/streams/{}/events", stream(number));
    format!(
        "POST {path} HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )
}

/// Reads one answer, which must be a success.
async fn answered(stream: &mut TcpStream, buffer: &mut [u8]) {
    assert_eq!(status(stream, buffer).await, 201, "{}", String::from_utf8_lossy(buffer));
}

/// Reads one answer: its status.
async fn status(stream: &mut TcpStream, buffer: &mut [u8]) -> u16 {
    let mut have = 0;
    loop {
        let more = stream.read(&mut buffer[have..]).await.unwrap();
        assert!(more > 0, "the server has closed the connection");
        have += more;
        let text = &buffer[..have];
        let Some(head) = text.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
        let told = std::str::from_utf8(&text[..head]).unwrap();
        let length =
            told.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let length: usize = length.unwrap();
        if have >= head + 4 + length {
            return told[9..12].parse().unwrap();
        }
    }
}

fn median(mut all: Vec<f64>) -> f64 {
    all.sort_by(f64::total_cmp);
    all[all.len() / 2]
}

fn event(number: u64) -> NewEvent {
    let stream = StreamId::new(stream(number)).unwrap();
    NewEvent::new(stream, EventType::new("Measured").unwrap(), Json::new(data(number), 1_000).unwrap())
}

impl Bench {
    async fn sqlite(&self) {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        println!("SQLite: durable appends over HTTP, beside the same requests that store nothing");
        let own = self.in_process(&path("own.db")).await;
        println!("  in process, one caller             {own:>8.0}/s");
        for connections in self.connections.iter().copied() {
            let (mut nothing, mut durable) = (Vec::new(), Vec::new());
            for round in 0..self.rounds {
                let floor = path(&format!("floor-{connections}-{round}.db"));
                let mut command = Command::new(std::env::current_exe().unwrap());
                command.args(["--floor", floor.to_str().unwrap()]);
                nothing.push(load(&serving(command).address, connections, self.time).await);
                let store = format!("sqlite:{}", path(&format!("{connections}-{round}.db")).display());
                durable.push(load(&real(&store).address, connections, self.time).await);
            }
            let (nothing, durable) = (median(nothing), median(durable));
            let beside = if connections == 1 {
                format!(", {:.2} of in process", durable / own)
            } else {
                String::new()
            };
            println!(
                "  {connections:>3} connections  no-op {nothing:>8.0}/s  durable {durable:>8.0}/s  ({:.2}{beside})",
                durable / nothing
            );
        }
    }

    async fn in_process(&self, path: &Path) -> f64 {
        let store = SqliteStore::open(path, Options::default()).unwrap();
        let (begun, mut number) = (Instant::now(), 0);
        while begun.elapsed() < self.time {
            store.append(Append::of([event(number)])).await.unwrap();
            number += 1;
        }
        let rate = number as f64 / begun.elapsed().as_secs_f64();
        store.close().await;
        rate
    }

    async fn postgres(&self) {
        let Some(server) = std::env::var("FLIGHTDECK_TEST_POSTGRES").ok() else {
            return println!("PostgreSQL: no server was named");
        };
        let url = |name: &str| format!("{server}?schema=http_{}_{name}", std::process::id());
        println!("PostgreSQL: durable appends over HTTP, one node");
        let store =
            PostgresStore::open(&url("floor"), flightdeck_store_postgres::Options::default()).await.unwrap();
        let mut rates = Vec::new();
        for events in [1_000_u64, 1] {
            let (begun, mut number) = (Instant::now(), 0);
            while begun.elapsed() < self.time {
                store.append(Append::of((number..number + events).map(event))).await.unwrap();
                number += events;
            }
            rates.push(number as f64 / begun.elapsed().as_secs_f64());
        }
        store.close().await;
        let (many, one) = (rates[0], rates[1]);
        println!("  one connection: 1,000 events a call {many:.0}/s, one event a call {one:.0}/s");
        for connections in self.connections.iter().copied() {
            let serving = real(&url(&format!("c{connections}")));
            let mut rounds = Vec::new();
            for _ in 0..self.rounds {
                rounds.push(load(&serving.address, connections, self.time).await);
            }
            let rate = median(rounds);
            println!(
                "  {connections:>3} connections  {rate:>8.0}/s  ({:.2} and {:.1})",
                rate / many,
                rate / one
            );
        }
    }
}

/// A store with so many events.
async fn filled(path: &Path, events: u64) {
    let store = SqliteStore::open(path, Options::default()).unwrap();
    for first in (0..events).step_by(1_000) {
        store.append(Append::of((first..events.min(first + 1_000)).map(event))).await.unwrap();
    }
    store.close().await;
}

/// The whole log as NDJSON, beside the same read in process.
async fn read(events: u64) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("read.db");
    filled(&path, events).await;
    println!("Reading {events} events, checksums on");
    let store = SqliteStore::open_read_only(&path, Options::default()).unwrap();
    let mut best = (0.0_f64, 0.0_f64);
    for _ in 0..3 {
        let (begun, mut seen, mut query) = (Instant::now(), 0_u64, Some(LogQuery::default()));
        while let Some(asked) = query {
            let page = store.read_log(&asked).await.unwrap();
            seen += page.events.len() as u64;
            query = asked.next(&page);
        }
        assert_eq!(seen, events);
        best.0 = best.0.max(events as f64 / begun.elapsed().as_secs_f64());
    }
    drop(store);
    let serving = real(&format!("sqlite:{}", path.display()));
    for _ in 0..3 {
        let mut stream = TcpStream::connect(&serving.address).await.unwrap();
        let request = format!(
            "GET /api/events HTTP/1.1\r\nHost: {}\r\nAccept: application/x-ndjson\r\nConnection: close\r\n\r\n",
            serving.address
        );
        let (begun, mut lines, mut buffer) = (Instant::now(), 0_u64, vec![0; 256 * 1024]);
        stream.write_all(request.as_bytes()).await.unwrap();
        loop {
            let more = stream.read(&mut buffer).await.unwrap();
            if more == 0 {
                break;
            }
            lines += buffer[..more].windows(2).filter(|end| *end == b"}\n").count() as u64;
        }
        // A line may be cut between two reads just before its end.
        assert!(lines + lines / 50 + 100 >= events, "{lines} of {events} lines");
        best.1 = best.1.max(events as f64 / begun.elapsed().as_secs_f64());
    }
    println!("  in process {:.0}/s, over HTTP {:.0}/s ({:.2})", best.0, best.1, best.1 / best.0);
}

/// How long it takes to be ready, and what it holds when it has nothing to do.
async fn start(events: u64) {
    let folder = tempfile::tempdir().unwrap();
    let mut times = Vec::new();
    for round in 0..5 {
        let serving = real(&format!("sqlite:{}", folder.path().join(format!("{round}.db")).display()));
        times.push(serving.ready.as_secs_f64() * 1e3);
        if round == 4 {
            tokio::time::sleep(Duration::from_secs(2)).await;
            println!("Idle memory {:.1} MiB", resident_kib(&serving.process) as f64 / 1024.0);
        }
    }
    println!("Ready on an empty store after {:.0} ms", median(times));
    let path = folder.path().join("many.db");
    filled(&path, events).await;
    let store = format!("sqlite:{}", path.display());
    drop(real(&store));
    println!(
        "Ready after kill -9 with {events} events after {:.0} ms",
        real(&store).ready.as_secs_f64() * 1e3
    );
    let bytes = std::fs::metadata(binary()).unwrap().len();
    println!("The binary has {:.1} MB", bytes as f64 / 1e6);
}

fn resident_kib(process: &Child) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
