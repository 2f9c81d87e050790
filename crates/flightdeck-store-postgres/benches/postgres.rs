//! The store beside its own function, in one run: one connection that calls it with 1,000 events, and one that calls it for every append.
//!
//! `cargo xtask bench postgres` starts a server and prints a table for people; `--append` and `--read` measure only that; `--quick` is for seeing that it runs. Rates
//! wander with the machine: what counts is the ratio to the floor of the same round.
#![expect(clippy::unwrap_used, reason = "a benchmark ends when it fails")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::{EventId, EventType, Ids as _, Json, Metadata, Reference, StreamId};
use flightdeck_store::chain::Sealed;
use flightdeck_store::system::{SystemClock, SystemIds};
use flightdeck_store::{Append, EventStore as _, LogQuery, NewEvent, StreamQuery};
use flightdeck_store_postgres::{Options, PostgresStore, Schema};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};

const STREAMS: u64 = 10_000;

/// The same load for everyone: data of 350 bytes, an actor and a correlation, streams in changing order.
fn event(number: u64) -> NewEvent {
    let stream = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 40;
    let stream = StreamId::new(format!("account-{}", stream % STREAMS)).unwrap();
    let data = format!("{{\"title\":\"A title\",\"cents\":4900,\"text\":\"{}\"}}", "x".repeat(350 - 43));
    let metadata = Metadata {
        actor: Some(Reference::new("user-17").unwrap()),
        correlation: Some(Reference::new("0192f3a4-7b1c-7def-8123-456789abcdef").unwrap()),
        ..Metadata::default()
    };
    NewEvent::new(stream, EventType::new("Deposited").unwrap(), Json::new(data, 1_000).unwrap())
        .with_metadata(metadata)
}

static NUMBER: AtomicU64 = AtomicU64::new(0);

fn next() -> NewEvent {
    event(NUMBER.fetch_add(1, Ordering::Relaxed))
}

/// A schema of its own for each measurement, so that all begin alike.
fn schema() -> Schema {
    static SCHEMAS: AtomicU64 = AtomicU64::new(0);
    Schema::new(format!("bench_{}_{}", std::process::id(), SCHEMAS.fetch_add(1, Ordering::Relaxed))).unwrap()
}

struct Bench {
    url: String,
    time: Duration,
    rounds: usize,
}

fn main() {
    let asked = |name: &str| std::env::args().any(|argument| argument == name);
    let quick = asked("--quick");
    let url = flightdeck_test_postgres::shared().unwrap();
    let (time, rounds) = if quick { (300, 1) } else { (4_000, 5) };
    let bench = Bench { url, time: Duration::from_millis(time), rounds };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    if !asked("--read") {
        runtime.block_on(bench.append());
    }
    if !asked("--append") {
        runtime.block_on(bench.read());
    }
}

impl Bench {
    async fn append(&self) {
        println!(
            "data of 350 bytes, {STREAMS} streams in changing order, {} rounds of {:?}\n",
            self.rounds, self.time
        );
        let names = [
            "one connection, 1,000 events a call",
            "one connection, a call an append",
            "1 node, 1 caller",
            "1 node, 16 callers",
            "1 node, 64 callers",
            "3 nodes, 1 caller each",
            "3 nodes, 16 callers each",
            "3 nodes, 64 callers each",
        ];
        let mut rates: Vec<Vec<f64>> = names.iter().map(|_| Vec::new()).collect();
        for _ in 0..self.rounds {
            rates[0].push(self.calls(1_000).await);
            rates[1].push(self.calls(1).await);
            for (place, (nodes, callers)) in
                [(1, 1), (1, 16), (1, 64), (3, 1), (3, 16), (3, 64)].into_iter().enumerate()
            {
                rates[place + 2].push(self.nodes(nodes, callers).await);
            }
        }
        println!("{:<38} {:>10} {:>12} {:>12}", "", "events/s", "to 1,000", "to a call an");
        for (name, own) in names.iter().zip(&rates) {
            let to = |floor: &[f64]| median(own.iter().zip(floor).map(|(own, floor)| own / floor).collect());
            let rate = median(own.clone());
            println!("{name:<38} {rate:>10.0} {:>12.2} {:>12.2}", to(&rates[0]), to(&rates[1]));
        }
    }

    async fn open(&self, schema: &Schema) -> PostgresStore {
        PostgresStore::open(&self.url, Options { schema: schema.clone(), ..Options::default() })
            .await
            .unwrap()
    }

    /// One connection that calls the function with so many events, each an append of its own.
    async fn calls(&self, events: usize) -> f64 {
        let schema = schema();
        self.open(&schema).await.close().await;
        let (client, wire) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(wire);
        client.batch_execute(&format!("SET search_path TO {}", schema.as_str())).await.unwrap();
        let ids = SystemIds::default();
        let id = || ids.event_id(flightdeck_core::Clock::now(&SystemClock));
        let (begin, mut done) = (Instant::now(), 0);
        while begin.elapsed() < self.time {
            let group: Vec<(NewEvent, EventId)> = (0..events).map(|_| (next(), id())).collect();
            call(&client, group).await;
            done += events;
        }
        done as f64 / begin.elapsed().as_secs_f64()
    }

    /// So many nodes with so many callers each, all of which append one event after the other.
    async fn nodes(&self, nodes: usize, callers: usize) -> f64 {
        let schema = schema();
        let mut stores = Vec::new();
        for _ in 0..nodes {
            stores.push(Arc::new(self.open(&schema).await));
        }
        let (begin, time) = (Instant::now(), self.time);
        let mut tasks = Vec::new();
        for store in &stores {
            for _ in 0..callers {
                let store = Arc::clone(store);
                tasks.push(tokio::spawn(async move {
                    let mut done = 0_u32;
                    while begin.elapsed() < time {
                        store.append(Append::of([next()])).await.unwrap();
                        done += 1;
                    }
                    done
                }));
            }
        }
        let mut done = 0.0;
        for task in tasks {
            done += f64::from(task.await.unwrap());
        }
        let rate = done / begin.elapsed().as_secs_f64();
        for store in stores {
            store.close().await;
        }
        rate
    }

    /// What reading costs, and what an event takes up on the disk.
    async fn read(&self) {
        let schema = schema();
        let store = self.open(&schema).await;
        let events = (self.time.as_millis() as usize * 25) / 1_000 * 1_000;
        for _ in 0..events / 1_000 {
            store.append(Append::of((0..1_000).map(|_| next()))).await.unwrap();
        }
        let (client, wire) = tokio_postgres::connect(&self.url, NoTls).await.unwrap();
        tokio::spawn(wire);
        client.batch_execute(&format!("SET search_path TO {}", schema.as_str())).await.unwrap();
        client.batch_execute("VACUUM ANALYZE").await.unwrap();
        let sql = "SELECT sum(pg_total_relation_size(c.oid))::bigint FROM pg_class c WHERE c.relnamespace = $1::text::regnamespace AND c.relkind = 'r'";
        let bytes: i64 = client.query_one(sql, &[&schema.as_str()]).await.unwrap().get(0);
        println!("\n{:.0} bytes a stored event, of which its own 393", bytes as f64 / events as f64);

        let begin = Instant::now();
        let mut rows = 0;
        for after in (0..events as i64).step_by(1_000) {
            let sql = "SELECT * FROM fd_log WHERE position > $1 ORDER BY position LIMIT 1000";
            rows += client.query(sql, &[&after]).await.unwrap().len();
        }
        let bare = rows as f64 / begin.elapsed().as_secs_f64();
        let (begin, mut query, mut read) = (Instant::now(), Some(LogQuery::default()), 0);
        while let Some(asked) = query {
            let page = store.read_log(&asked).await.unwrap();
            read += page.events.len();
            query = asked.next(&page);
        }
        let own = read as f64 / begin.elapsed().as_secs_f64();
        assert_eq!((rows, read), (events, events));
        println!(
            "read all, checksums on: {own:.0} events/s, {:.2} of the same pages as bare rows ({bare:.0})",
            own / bare
        );
        let begin = Instant::now();
        let mut streams = 0;
        while begin.elapsed() < self.time / 4 {
            let stream = event(streams).stream;
            streams += 1;
            assert!(store.read_stream(&StreamQuery::of(stream)).await.unwrap().version.is_some());
        }
        println!(
            "streams read one after the other: {:.0} a second",
            streams as f64 / begin.elapsed().as_secs_f64()
        );
        store.close().await;
    }
}

/// Calls the function with events that each are an append.
async fn call(client: &Client, group: Vec<(NewEvent, EventId)>) {
    let many = group.len();
    let sealed: Vec<Sealed> = group.into_iter().map(|(event, id)| Sealed::new(event, id)).collect();
    let mut streams: Vec<&str> = sealed.iter().map(|sealed| sealed.event().stream.as_str()).collect();
    streams.sort_unstable();
    streams.dedup();
    let place = |sealed: &Sealed| {
        let found = streams.binary_search(&sealed.event().stream.as_str()).unwrap();
        i32::try_from(found).unwrap() + 1
    };
    let ones = vec![1_i32; many];
    let (none, nothing): (Vec<Option<&str>>, Vec<Option<i64>>) = (vec![None; many], vec![None; many]);
    let text = |of: fn(&Metadata) -> Option<&Reference>| -> Vec<Option<&str>> {
        sealed.iter().map(|sealed| of(&sealed.event().metadata).map(AsRef::as_ref)).collect()
    };
    let values: [&(dyn ToSql + Sync); 14] = [
        &streams,
        &ones,
        &nothing,
        &none,
        &sealed.iter().map(place).collect::<Vec<_>>(),
        &sealed.iter().map(|sealed| *sealed.id().uuid()).collect::<Vec<_>>(),
        &vec![false; many],
        &text(|metadata| metadata.actor.as_ref()),
        &text(|metadata| metadata.correlation.as_ref()),
        &vec![None::<&[u8]>; many],
        &sealed.iter().map(|sealed| sealed.event().data.as_bytes()).collect::<Vec<_>>(),
        &sealed.iter().map(Sealed::behind_place).collect::<Vec<_>>(),
        &vec![0_i32; many],
        &["Deposited"].as_slice(),
    ];
    let sql = "SELECT head FROM fd_append(NULL, NULL, NULL, NULL, $1, $14, $2, '{}', '{}', '{}', $3, $4, '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}',
                 '{}', $5, $2, $2, $6, $7, $8, $9, $4, $3, $4, $10, $11, $12, $13, '{}', '{}')";
    let statement = client.prepare(sql).await.unwrap();
    client.query_one(&statement, &values).await.unwrap();
}

fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers[numbers.len() / 2]
}
