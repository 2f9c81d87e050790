//! Whatever happens to those who follow the log, by whichever transport and at whichever node, what they receive, put together, is the log. (P9, T18)

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::Ids as _;
use flightdeck_store::system::SystemIds;
use serde_json::{Map, Value, json};

use super::push::{Follower, Item, append, lines};
use super::sockets::{Received, Socket};
use super::{BOTH, Kind, Site, send};
use crate::victim::block_on;

/// A number by chance, from a seed.
struct Chance(u64);

impl Chance {
    fn below(&mut self, most: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % most
    }
}

/// Writes at random, for a while.
fn write(urls: &[String], mut chance: Chance, until: Instant) {
    let client = reqwest::Client::new();
    while Instant::now() < until {
        let (letter, place) = (if chance.below(2) == 0 { "a" } else { "b" }, chance.below(5));
        let event = |chance: &mut Chance| {
            let kind = format!("{}{}", if chance.below(2) == 0 { "A" } else { "B" }, chance.below(3));
            let text = "x".repeat(usize::try_from(chance.below(600)).unwrap());
            json!({ "eventType": kind, "data": text, "tags": [format!("k:{kind}")] })
        };
        let events: Vec<Value> = (0..=chance.below(8)).map(|_| event(&mut chance)).collect();
        let url = &urls[usize::try_from(chance.below(urls.len() as u64)).unwrap()];
        let request = client.post(format!("{url}/api/streams/{letter}-{place}/events"));
        block_on(async { send(request.json(&json!({ "events": events }))).await.is(201) });
        std::thread::sleep(Duration::from_millis(chance.below(12)));
    }
}

/// What somebody heard who follows.
enum Heard {
    Event(i64, String),
    /// How far it is.
    At(String),
    /// Something else.
    Nothing,
}

/// By what somebody follows, for a while.
enum Transport {
    Events(Follower),
    Messages(Socket),
    Protocol(Socket),
    /// Pages, each of which waits for something to come.
    Pages(String, Option<String>),
}

/// The parameters of a URL, as the protocol has them.
fn as_json(filter: &str) -> Value {
    let mut all = Map::new();
    for (name, values) in filter.split('&').filter_map(|part| part.split_once('=')) {
        all.insert(name.to_owned(), values.split(',').map(Value::from).collect());
    }
    all.into()
}

fn heard(event: &Value) -> Heard {
    let cursor = event["cursor"].as_str().unwrap().to_owned();
    Heard::Event(event["position"].as_i64().unwrap(), cursor)
}

impl Transport {
    const NAMES: [&str; 4] = ["events", "messages", "protocol", "pages"];

    fn open(which: u64, url: &str, filter: &str, last: Option<&str>) -> Self {
        let path = |after: Option<&str>| {
            let after = after.map(|after| format!("after={after}"));
            let parts = [Some(filter.to_owned()).filter(|filter| !filter.is_empty()), after];
            format!("/api/events?{}", parts.into_iter().flatten().collect::<Vec<_>>().join("&"))
        };
        match which {
            0 => {
                let headers: Vec<_> = last.map(|last| ("Last-Event-ID", last)).into_iter().collect();
                Self::Events(Follower::open(url, &path(None), &headers))
            }
            1 => Self::Messages(Socket::open(url, &path(last), None, &[]).unwrap()),
            2 => {
                let mut socket = Socket::open(url, "/api/events", Some("flightdeck.v1"), &[]).unwrap();
                socket.subscribe("it", last, as_json(filter));
                Self::Protocol(socket)
            }
            _ => Self::Pages(format!("{url}{}", path(None)), last.map(str::to_owned)),
        }
    }

    fn patience(&mut self, time: Duration) {
        match self {
            Self::Events(follower) => follower.patience(time),
            Self::Messages(socket) | Self::Protocol(socket) => socket.patience(time),
            Self::Pages(..) => {}
        }
    }

    /// What comes next; nothing when nothing comes for a while, or it has ended.
    fn next(&mut self) -> Vec<Heard> {
        match self {
            Self::Events(follower) => match follower.next() {
                None => vec![],
                Some(Item::Event(_, data)) => vec![heard(&data)],
                Some(Item::Named(name, id, _)) => {
                    assert_ne!(name, "reset");
                    vec![id.map_or(Heard::Nothing, Heard::At)]
                }
                Some(_) => vec![Heard::Nothing],
            },
            Self::Messages(socket) => match socket.next() {
                Some(Received::Text(text)) => vec![heard(&serde_json::from_str(&text).unwrap())],
                Some(Received::Ping(_)) => vec![Heard::Nothing],
                Some(other) => panic!("{other:?}"),
                None => vec![],
            },
            Self::Protocol(socket) => match socket.next() {
                Some(Received::Text(text)) => {
                    let told: Value = serde_json::from_str(&text).unwrap();
                    assert_eq!(told["sub"], "it", "{text}");
                    match told["k"].as_str().unwrap() {
                        "event" => vec![heard(&told["event"])],
                        "caught-up" | "checkpoint" => {
                            vec![Heard::At(told["at"].as_str().unwrap().to_owned())]
                        }
                        "subscribed" | "fell-behind" => vec![Heard::Nothing],
                        other => panic!("{other}"),
                    }
                }
                Some(Received::Ping(_)) => vec![Heard::Nothing],
                Some(other) => panic!("{other:?}"),
                None => vec![],
            },
            Self::Pages(url, after) => {
                let after_it = after.as_ref().map_or(String::new(), |after| format!("&after={after}"));
                let url = format!("{url}&wait=1s&limit=100{after_it}");
                let page = block_on(async { send(reqwest::Client::new().get(url)).await.is(200).json() });
                let at = page["scannedTo"].as_str().unwrap().to_owned();
                *after = Some(at.clone());
                let mut all: Vec<Heard> = page["events"].as_array().unwrap().iter().map(heard).collect();
                if !all.is_empty() {
                    all.push(Heard::At(at));
                }
                all
            }
        }
    }
}

/// Follows, with one connection after the other, each at a node and by a transport by chance, each for a while, some of them slow: the
/// positions that it received, and how many by each transport.
fn read(urls: &[String], filter: &str, mut chance: Chance, head: &AtomicI64) -> (Vec<i64>, [usize; 4]) {
    let (mut received, mut last, mut is_over, mut by) = (Vec::new(), None::<String>, false, [0; 4]);
    while !is_over {
        let head = head.load(Ordering::Relaxed);
        is_over = head > 0;
        let url = &urls[usize::try_from(chance.below(urls.len() as u64)).unwrap()];
        // The last says how far it has come.
        let which = if is_over { 2 * chance.below(2) } else { chance.below(4) };
        let mut transport = Transport::open(which, url, filter, last.as_deref());
        // The last of them hears all that is left, however long that takes.
        transport.patience(Duration::from_millis(if is_over { 25_000 } else { 200 }));
        let mut left = if is_over { u64::MAX } else { 1 + chance.below(400) };
        if chance.below(4) == 0 && !is_over {
            std::thread::sleep(Duration::from_millis(chance.below(600)));
        }
        while left > 0 {
            let all = transport.next();
            if all.is_empty() {
                break;
            }
            for heard in all {
                match heard {
                    Heard::Event(position, cursor) => {
                        received.push(position);
                        by[usize::try_from(which).unwrap()] += 1;
                        last = Some(cursor);
                        left = left.saturating_sub(1);
                    }
                    Heard::At(cursor) => {
                        if is_over && at(&cursor) >= head {
                            left = 0;
                        }
                        last = Some(cursor);
                    }
                    Heard::Nothing => {}
                }
            }
        }
    }
    (received, by)
}

fn at(cursor: &str) -> i64 {
    cursor.rsplit_once('-').unwrap().1.parse().unwrap()
}

/// What is counted of those who follow, at all nodes together.
fn counted(sites: &[&Site]) -> BTreeMap<String, u64> {
    let mut all = BTreeMap::new();
    for site in sites {
        let metrics = String::from_utf8(block_on(site.get("/metrics")).is(200).bytes).unwrap();
        for name in ["delivered_events", "fell_behind", "catch_up_reads"] {
            let prefix = format!("flightdeck_{name}_total ");
            let line = metrics.lines().find_map(|line| line.strip_prefix(&prefix)).unwrap();
            *all.entry(name.to_owned()).or_default() += line.parse::<u64>().unwrap();
        }
    }
    all
}

/// Follows from one connection alone, and takes nothing of it until the head is known, up to which it hears everything then.
fn lags(url: &str, which: u64, head: &AtomicI64) -> Vec<i64> {
    let mut transport = Transport::open(which, url, "", None);
    let mut received = Vec::new();
    let mut hears = |transport: &mut Transport| {
        let all = transport.next();
        for heard in &all {
            if let Heard::Event(position, _) = heard {
                received.push(*position);
            }
        }
        (all.is_empty(), received.last().copied().unwrap_or(0))
    };
    transport.patience(Duration::from_millis(500));
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_millis(500) && !hears(&mut transport).0 {}
    while head.load(Ordering::Relaxed) == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    transport.patience(Duration::from_secs(25));
    while let (false, last) = hears(&mut transport)
        && last < head.load(Ordering::Relaxed)
    {}
    received
}

/// Random writers, and readers that come, stall, go, and come again at another node and by another transport.
#[test]
fn whatever_happens_what_was_received_is_the_log() {
    const FILTERS: [&str; 6] =
        ["", "streams=a-*", "streams=b-3,a-1", "types=B*", "tags=k:B2", "streams=a-*&types=A1,B1"];
    for kind in BOTH {
        let seed = u64::try_from(SystemIds::default().random() & u128::from(u64::MAX)).unwrap();
        println!("{kind:?}, seed {seed}");
        let ring = ["--limits", "ring_bytes=65536"];
        let first = Site::start_with(kind, &ring);
        let second = (kind == Kind::Postgres).then(|| Site::on_with(&first.store, &ring));
        let sites: Vec<&Site> = [Some(&first), second.as_ref()].into_iter().flatten().collect();
        let urls: Vec<String> = sites.iter().map(|site| site.url.clone()).collect();
        let until = Instant::now() + Duration::from_secs(5);
        let mut by_transport = [0; 4];
        // Of the log, once nobody writes any more.
        let head = &AtomicI64::new(0);
        std::thread::scope(|scope| {
            let readers: Vec<_> = (0..12_usize)
                .map(|number| {
                    let chance = Chance(seed ^ ((number as u64 + 1) << 20));
                    let (urls, filter) = (&urls, FILTERS[number % FILTERS.len()]);
                    (filter, scope.spawn(move || read(urls, filter, chance, head)))
                })
                .collect();
            let writers: Vec<_> = (0..4_u64)
                .map(|number| {
                    let (urls, chance) = (&urls, Chance(seed ^ ((number + 1) << 40)));
                    scope.spawn(move || write(urls, chance, until))
                })
                .collect();
            let url = urls[0].as_str();
            let laggards: Vec<_> = [0, 1, 2]
                .map(|which| (which, scope.spawn(move || lags(url, which, head))))
                .into_iter()
                .collect();
            // More than lies between two sockets.
            std::thread::sleep(Duration::from_secs(1));
            for _ in 0..4 {
                block_on(append(&first, "c-1", "C", 1_000, 4_000));
            }
            writers.into_iter().for_each(|writer| writer.join().unwrap());
            head.store(*block_on(lines(&first, "")).last().unwrap(), Ordering::Relaxed);
            for (which, laggard) in laggards {
                let (received, log) = (laggard.join().unwrap(), block_on(lines(&first, "")));
                assert!(received == log, "seed {seed}, {which}: {}", difference(&received, &log));
            }
            for (filter, reader) in readers {
                let (received, by) = reader.join().unwrap();
                let log = block_on(lines(&first, filter));
                assert!(received == log, "seed {seed}, {filter:?}: {}", difference(&received, &log));
                assert!(log.len() > 50 && log.iter().collect::<BTreeSet<_>>().len() == log.len());
                by_transport.iter_mut().zip(by).for_each(|(all, some)| *all += some);
            }
        });
        // Every way was gone: by each transport, from the ring, off it, and from the log.
        let counted = counted(&sites);
        for (name, count) in Transport::NAMES.iter().zip(by_transport) {
            assert!(count > 0, "{name}: nothing came by it");
        }
        assert!(counted.values().all(|count| *count > 0), "{counted:?}");
    }
}

/// Where two lists part.
fn difference(received: &[i64], log: &[i64]) -> String {
    let place = received.iter().zip(log).take_while(|(one, other)| one == other).count();
    let around = |all: &[i64]| all[place.saturating_sub(3)..(place + 5).min(all.len())].to_vec();
    format!("{} and {}, at {place} {:?} and {:?}", received.len(), log.len(), around(received), around(log))
}
