//! The log as Server-Sent Events, on both stores: from history to live without a gap and nothing twice, whatever happens to a connection. (F80–F86, P9)

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::guarded::{Guarded, in_seconds};
use super::{BOTH, Kind, Site, send};
use crate::victim::block_on;

/// What came of a connection, item by item.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    Retry(u64),
    /// An id, and its data.
    Event(String, Value),
    /// A name, an id, and data.
    Named(String, Option<String>, String),
    Comment,
}

/// The lines of a body that comes in chunks.
struct Lines {
    stream: BufReader<TcpStream>,
    body: Vec<u8>,
    /// Whether nothing comes behind what is there.
    is_whole: bool,
}

impl Lines {
    /// The next line; `None` at the end, when nothing comes in time, or when it was cut off.
    fn next(&mut self) -> Option<String> {
        loop {
            if let Some(end) = self.body.iter().position(|byte| *byte == b'\n') {
                let line = self.body.drain(..=end).collect();
                return Some(String::from_utf8(line).unwrap().trim_end_matches('\n').to_owned());
            }
            if self.is_whole {
                return None;
            }
            let mut size = String::new();
            self.stream.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok().filter(|size| *size > 0)?;
            let mut chunk = vec![0; size + 2];
            self.stream.read_exact(&mut chunk).ok()?;
            self.body.extend_from_slice(&chunk[..size]);
        }
    }
}

/// A connection that follows. Strict: what is no item as PUSH.md has them fails the test.
pub(super) struct Follower {
    lines: Lines,
    pub(super) status: u16,
    /// The last id that was told.
    pub(super) last: Option<String>,
}

impl Follower {
    pub(super) fn open(url: &str, path: &str, headers: &[(&str, &str)]) -> Self {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n");
        for (name, value) in headers {
            request.push_str(&format!("{name}: {value}\r\n"));
        }
        stream.write_all(format!("{request}\r\n").as_bytes()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let mut stream = BufReader::new(stream);
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            assert!(stream.read_line(&mut head).unwrap() > 0, "{head}");
        }
        let status = head[9..12].parse().unwrap();
        if status == 200 {
            let lower = head.to_lowercase();
            for header in ["content-type: text/event-stream", "cache-control: no-store"] {
                assert!(lower.contains(header), "{head}");
            }
        }
        let length =
            head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        let mut body = vec![0; length.unwrap_or(0)];
        stream.read_exact(&mut body).unwrap();
        let lines = Lines { stream, body, is_whole: length.is_some() };
        Self { lines, status, last: None }
    }

    pub(super) fn patience(&self, time: Duration) {
        self.lines.stream.get_ref().set_read_timeout(Some(time)).unwrap();
    }

    /// The next item; `None` at the end, or when nothing comes in time.
    pub(super) fn next(&mut self) -> Option<Item> {
        let (mut id, mut name, mut data, mut retry, mut comment) = (None, None, None, None, false);
        loop {
            // What was cut off in the middle is none.
            let line = self.lines.next()?;
            assert!(!line.contains('\r'), "{line:?}");
            let told = |prefix: &str| line.strip_prefix(prefix).map(str::to_owned);
            if line.is_empty() {
                break;
            } else if let Some(value) = told("id: ") {
                assert!(id.replace(value).is_none());
            } else if let Some(value) = told("event: ") {
                assert!(name.replace(value).is_none());
            } else if let Some(value) = told("data:") {
                assert!(data.replace(value.trim_start_matches(' ').to_owned()).is_none());
            } else if let Some(value) = told("retry: ") {
                retry = Some(value.parse().unwrap());
            } else {
                assert!(line.starts_with(':'), "{line:?}");
                comment = true;
            }
        }
        self.last = id.clone().or(self.last.take());
        Some(match (id, name, data) {
            (None, None, None) => retry.map_or(Item::Comment, Item::Retry),
            (id, Some(name), Some(data)) => Item::Named(name, id, data),
            (Some(id), None, Some(data)) => Item::Event(id, serde_json::from_str(&data).unwrap()),
            other => panic!("{other:?} {comment}"),
        })
    }

    /// The positions of the next events, and the names of what came between them.
    pub(super) fn events(&mut self, count: usize) -> (Vec<i64>, Vec<String>) {
        let (mut positions, mut names) = (Vec::new(), Vec::new());
        while positions.len() < count {
            match self.next() {
                Some(Item::Event(id, data)) => {
                    let position = data["position"].as_i64().unwrap();
                    assert_eq!(
                        (id.rsplit_once('-').unwrap().1, &data["cursor"]),
                        (position.to_string().as_str(), &json!(id))
                    );
                    positions.push(position);
                }
                Some(Item::Named(name, ..)) => names.push(name),
                Some(_) => {}
                None => panic!("{count} were to come, and {positions:?}, {names:?} did"),
            }
        }
        (positions, names)
    }

    /// What comes next that has this name.
    pub(super) fn named(&mut self, name: &str) -> (Option<String>, String) {
        loop {
            match self.next() {
                Some(Item::Named(own, id, data)) if own == name => return (id, data),
                Some(_) => {}
                None => panic!("{name} did not come"),
            }
        }
    }
}

pub(super) async fn append(site: &Site, stream: &str, kind: &str, count: usize, bytes: usize) {
    let event = json!({ "eventType": kind, "data": "x".repeat(bytes), "tags": [format!("k:{kind}")] });
    for batch in vec![event; count].chunks(100) {
        let body = json!({ "events": batch });
        site.post(&format!("/api/streams/{stream}/events"), &body).await.is(201);
    }
}

/// The positions of what passes, as the log has them.
pub(super) async fn lines(site: &Site, query: &str) -> Vec<i64> {
    let lines = site.request("GET", &format!("/api/events?{query}")).header("accept", "application/x-ndjson");
    let lines = String::from_utf8(send(lines).await.is(200).bytes).unwrap();
    let position = |line: &str| serde_json::from_str::<Value>(line).unwrap()["position"].as_i64().unwrap();
    lines.lines().map(position).collect()
}

#[test]
fn history_comes_first_and_then_what_comes() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(append(&site, "a-1", "A", 300, 10));
        let mut follower = Follower::open(&site.url, "/api/events", &[]);
        assert!(matches!(follower.next(), Some(Item::Retry(1_000..=5_000))));
        let (positions, names) = follower.events(300);
        assert_eq!((positions, names), ((1..=300).collect(), vec![]));
        let (id, data) = follower.named("caught-up");
        assert!(id.unwrap().ends_with("-300") && data.is_empty());
        block_on(append(&site, "a-1", "A", 5, 10));
        assert_eq!(follower.events(5), ((301..=305).collect(), vec![]));
        // What comes is there soon.
        let begun = Instant::now();
        block_on(append(&site, "a-2", "A", 1, 10));
        follower.events(1);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
        // Only what comes, from the head on.
        let mut follower = Follower::open(&site.url, "/api/events?after=head", &[]);
        follower.named("caught-up");
        block_on(append(&site, "a-2", "A", 1, 10));
        assert_eq!(follower.events(1), (vec![307], vec![]));
        // Up to somewhere, and so many.
        let mut follower = Follower::open(&site.url, "/api/events?until=20&after=10", &[]);
        assert_eq!(follower.events(10).0, (11..=20).collect::<Vec<_>>());
        assert!(std::iter::from_fn(|| follower.next()).all(|item| !matches!(item, Item::Event(..))));
        let mut follower = Follower::open(&site.url, "/api/events?limit=7", &[]);
        assert_eq!(follower.events(7).0, (1..=7).collect::<Vec<_>>());
        assert!(std::iter::from_fn(|| follower.next()).all(|item| !matches!(item, Item::Event(..))));
    }
}

#[test]
fn what_passes_a_filter_comes_and_nothing_else() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            append(&site, "a-1", "A", 3, 1).await;
            append(&site, "b-1", "B", 3, 1).await;
            append(&site, "a-2", "Ab", 3, 1).await;
        });
        let open = |query: &str| Follower::open(&site.url, &format!("/api/events?{query}"), &[]);
        let filters: [(&str, Vec<i64>); 7] = [
            ("streams=a-1", vec![1, 2, 3]),
            ("streams=a-*", vec![1, 2, 3, 7, 8, 9]),
            ("types=A*", vec![1, 2, 3, 7, 8, 9]),
            ("types=A,B", (1..=6).collect()),
            ("tags=k:B", vec![4, 5, 6]),
            ("streams=a-*,b-1&types=Ab", vec![7, 8, 9]),
            ("streams=*", (1..=9).collect()),
        ];
        let mut followers: Vec<(Follower, usize, &str)> = filters
            .into_iter()
            .map(|(query, expected)| {
                let mut follower = open(query);
                assert_eq!(follower.events(expected.len()).0, expected, "{query}");
                follower.named("caught-up");
                (follower, expected.len(), query)
            })
            .collect();
        // The same live, in the same order; and what is the system's own is for whoever names it.
        block_on(async {
            site.post("/api/admin/projections/pages/pause", &Value::Null).await;
            send(site.request("POST", "/api/admin/projections/pages/pause")).await.is(202);
            append(&site, "a-1", "A", 3, 1).await;
            append(&site, "b-1", "B", 3, 1).await;
            append(&site, "a-2", "Ab", 3, 1).await;
        });
        for (follower, count, query) in &mut followers {
            let log = block_on(lines(&site, &format!("{query}&after=9")));
            assert_eq!((follower.events(*count).0, *count), (log.clone(), log.len()), "{query}");
        }
        let (positions, _) = open("streams=$audit").events(1);
        assert_eq!(positions, [10]);
    }
}

/// Whoever comes when nobody has followed for a while gets everything, though another has had it before.
#[test]
fn whoever_comes_when_all_have_gone_begins_where_it_asks_to() {
    let site = Site::start(Kind::Sqlite);
    block_on(append(&site, "a-1", "A", 20, 1));
    block_on(append(&site, "b-1", "B", 20, 1));
    // Often enough that each thread of the server has had somebody.
    for round in 0..8 {
        let begun = Instant::now();
        let path = if round % 2 == 0 { "/api/events?streams=a-*" } else { "/api/events?streams=b-*" };
        let mut follower = Follower::open(&site.url, path, &[]);
        let first = if round % 2 == 0 { 1 } else { 21 };
        assert_eq!(follower.events(20).0, (first..first + 20).collect::<Vec<_>>(), "round {round}");
        follower.named("caught-up");
        assert!(begun.elapsed() < Duration::from_secs(5), "round {round}: {:?}", begun.elapsed());
        drop(follower);
        let is_alone = |answer: &super::Answer| {
            String::from_utf8_lossy(&answer.bytes).lines().any(|line| line == "flightdeck_followers 0")
        };
        while !is_alone(&block_on(site.get("/metrics"))) {
            assert!(begun.elapsed() < Duration::from_secs(20));
            std::thread::sleep(Duration::from_millis(10));
        }
        // The ring is let go of at the next look.
        std::thread::sleep(Duration::from_millis(700));
    }
}

#[test]
fn a_number_that_is_not_good_is_told_so() {
    let site = Site::start(Kind::Sqlite);
    block_on(append(&site, "a-1", "A", 5, 1));
    let reset = |path: &str, headers: &[(&str, &str)]| {
        let mut follower = Follower::open(&site.url, path, headers);
        let (_, data) = follower.named("reset");
        // And it is the last.
        assert_eq!(follower.next(), None);
        serde_json::from_str::<Value>(&data).unwrap()
    };
    let head = block_on(site.get("/api/events?limit=1")).json()["head"].as_str().unwrap().to_owned();
    let epoch = head.rsplit_once('-').unwrap().0;
    for (told, reason) in [
        ("other-3", "epoch"),
        ("what?", "malformed"),
        ("-1", "malformed"),
        (&format!("{epoch}-900"), "ahead"),
    ] {
        let begun = Instant::now();
        let answer = reset("/api/events", &[("Last-Event-ID", told)]);
        assert_eq!((&answer["reason"], &answer["head"]), (&json!(reason), &json!(head)), "{told}");
        assert_eq!(answer["earliest"], format!("{epoch}-0"));
        assert!(begun.elapsed() < Duration::from_secs(8));
    }
    assert_eq!(reset("/api/events?after=nowhere", &[])["reason"], "malformed");
    // It wins over where the page began.
    let mut follower =
        Follower::open(&site.url, "/api/events?after=0", &[("Last-Event-ID", &format!("{epoch}-3"))]);
    assert_eq!(follower.events(2).0, [4, 5]);
    let mut follower = Follower::open(&site.url, "/api/events?after=nowhere", &[("Last-Event-ID", "3")]);
    assert_eq!(follower.events(2).0, [4, 5]);
    // Up to somewhere that nothing for it comes to.
    let mut follower = Follower::open(&site.url, "/api/events?streams=b-*&until=7", &[]);
    follower.named("caught-up");
    block_on(append(&site, "a-1", "A", 5, 1));
    let begun = Instant::now();
    assert!(std::iter::from_fn(|| follower.next()).all(|item| !matches!(item, Item::Event(..))));
    assert!(begun.elapsed() < Duration::from_secs(20), "{:?}", begun.elapsed());
    assert_eq!(Follower::open(&site.url, "/api/events?until=3", &[("Last-Event-ID", "3")]).status, 204);
    // What is no part of it is told as ever.
    assert_eq!(Follower::open(&site.url, "/api/events?backward=true", &[]).status, 422);
    assert_eq!(Follower::open(&site.url, "/api/events?what=1", &[]).status, 400);
}

/// Whoever comes again after the server was stopped, or killed, goes on where it was.
#[test]
fn a_stop_and_a_kill_are_gone_on_behind() {
    let site = Site::start(Kind::Sqlite);
    block_on(append(&site, "a-1", "A", 50, 1));
    let mut follower = Follower::open(&site.url, "/api/events", &[]);
    follower.events(50);
    follower.named("caught-up");
    let site = site.kill_and_restart();
    block_on(append(&site, "a-1", "A", 10, 1));
    let mut follower =
        Follower::open(&site.url, "/api/events", &[("Last-Event-ID", &follower.last.unwrap())]);
    assert_eq!(follower.events(10).0, (51..=60).collect::<Vec<_>>());
    follower.named("caught-up");
    let begun = Instant::now();
    site.signal(Signal::TERM);
    let (_, data) = follower.named("error");
    let told: Value = serde_json::from_str(&data).unwrap();
    assert_eq!(told["code"], 4001);
    assert!(told["at"].as_str().unwrap().ends_with("-60"), "{told}");
    assert_eq!(follower.next(), None);
    assert!(begun.elapsed() < Duration::from_secs(3), "{:?}", begun.elapsed());
}

/// Nothing is heard any more within seconds after the right to it ended, and nothing that may not be read is heard at all.
#[test]
fn what_was_granted_is_looked_at_while_somebody_follows() {
    for kind in BOTH {
        let on = Guarded::start(kind);
        let (secret, id) =
            block_on(on.token(&json!({ "name": "one", "scopes": ["read"], "reads": ["a-*"] })));
        let user = json!({ "email": "ada@example.com", "displayName": "Ada" });
        let user = block_on(on.make("/api/users", &user)).json()["id"].clone();
        let claims =
            json!({ "sub": user, "iss": super::guarded::ISSUER, "aud": "flightdeck", "exp": in_seconds(8) });
        let jwt = on.signed(&claims);
        block_on(async {
            for stream in ["a-1", "b-1", "a-2"] {
                let body = r#"{"events":[{"eventType":"A","data":1}]}"#;
                on.ask(&on.admin, "POST", &format!("/api/streams/{stream}/events"), body).await.is(201);
            }
        });
        let open = |path: &str, who: &str| {
            Follower::open(&on.site.url, path, &[("Authorization", &format!("Bearer {who}"))])
        };
        assert_eq!(Follower::open(&on.site.url, "/api/events", &[]).status, 401);
        assert_eq!(open("/api/events", "fdt_wrong").status, 401);
        let mut follower = open("/api/events", &secret);
        assert_eq!(follower.events(2).0.len(), 2);
        follower.named("caught-up");
        let mut expiring = open("/api/events?after=head", &jwt);
        expiring.named("caught-up");
        let begun = Instant::now();
        block_on(async {
            send(on.site.request("DELETE", &format!("/api/admin/tokens/{id}")).bearer_auth(&on.admin)).await;
        });
        let (_, data) = follower.named("error");
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap()["code"], 4503);
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        assert_eq!(follower.next(), None);
        let (_, data) = expiring.named("error");
        assert_eq!(serde_json::from_str::<Value>(&data).unwrap()["code"], 4010);
    }
}

/// Whoever takes nothing for a while loses nothing: it falls off the ring, and is back at the log. The server holds nothing for it.
#[test]
fn a_slow_reader_loses_nothing() {
    let site = Site::start_with(Kind::Sqlite, &["--limits", "ring_bytes=262144"]);
    block_on(append(&site, "a-1", "A", 10, 1));
    let mut slow = Follower::open(&site.url, "/api/events", &[]);
    slow.events(10);
    slow.named("caught-up");
    let mut quick = Follower::open(&site.url, "/api/events?after=head", &[]);
    quick.named("caught-up");
    let reader = std::thread::spawn(move || quick.events(6_000).0);
    for _ in 0..6 {
        block_on(append(&site, "a-1", "A", 1_000, 4_000));
    }
    assert_eq!(reader.join().unwrap(), (11..=6_010).collect::<Vec<_>>());
    assert_eq!(slow.events(6_000).0, (11..=6_010).collect::<Vec<_>>());
    let metrics = String::from_utf8(block_on(site.get("/metrics")).is(200).bytes).unwrap();
    let of = |name: &str| {
        let line = metrics.lines().find_map(|line| line.strip_prefix(&format!("{name} "))).unwrap();
        line.parse::<u64>().unwrap()
    };
    let told = ["fell_behind_total", "catch_up_reads_total", "ring_bytes"]
        .map(|name| of(&format!("flightdeck_{name}")));
    assert!(told[0] > 0 && told[1] > 0 && told[2] <= 262_144, "{told:?}");
}

/// Whoever hears nothing for long hears how far it is, and that the other end is there.
#[test]
fn silence_is_broken_by_a_number() {
    let site = Site::start(Kind::Sqlite);
    let mut one = Follower::open(&site.url, "/api/events?streams=b-*", &[]);
    let mut other = Follower::open(&site.url, "/api/events?after=head", &[]);
    one.named("caught-up");
    other.named("caught-up");
    block_on(append(&site, "a-1", "A", 20, 1));
    other.events(20);
    let begun = Instant::now();
    let (id, data) = one.named("checkpoint");
    assert!(id.unwrap().ends_with("-20") && data.is_empty());
    assert!(begun.elapsed() < Duration::from_secs(17), "{:?}", begun.elapsed());
    while !matches!(other.next(), Some(Item::Comment)) {
        assert!(begun.elapsed() < Duration::from_secs(25), "{:?}", begun.elapsed());
    }
    // A filter that nothing passes: how far it has looked is told, and what follows begins there.
    for _ in 0..12 {
        block_on(append(&site, "a-1", "A", 1_000, 1));
    }
    let mut follower = Follower::open(&site.url, "/api/events?streams=c-*", &[]);
    let (id, _) = follower.named("caught-up");
    assert!(id.unwrap().ends_with("-12020"));
}

/// Reads of the log, for those who are not on the ring.
fn reads(site: &Site) -> u64 {
    let metrics = String::from_utf8(block_on(site.get("/metrics")).is(200).bytes).unwrap();
    let mut lines = metrics.lines();
    lines.find_map(|line| line.strip_prefix("flightdeck_catch_up_reads_total ")).unwrap().parse().unwrap()
}

/// Whoever hears nothing of very much has looked at all of it once, and begins behind it when it comes again; and many who come at once share
/// what is read for them.
#[test]
fn little_is_read_for_those_who_come_again() {
    let site = Site::start_with(Kind::Sqlite, &["--limits", "ring_bytes=65536"]);
    for _ in 0..24 {
        block_on(append(&site, "a-1", "A", 1_000, 1));
    }
    let mut follower = Follower::open(&site.url, "/api/events?streams=c-*", &[]);
    let (last, _) = follower.named("caught-up");
    // It is cut off before it hears that: the last that it heard is a checkpoint.
    let mut other = Follower::open(&site.url, "/api/events?streams=d-*", &[]);
    let (checkpoint, _) = other.named("checkpoint");
    let at = |cursor: &str| cursor.rsplit_once('-').unwrap().1.parse::<u64>().unwrap();
    let (last, checkpoint) = (last.unwrap(), checkpoint.unwrap());
    assert_eq!((at(&last), at(&checkpoint) <= 10_000), (24_000, true));
    drop((follower, other));
    let before = reads(&site);
    let path = "/api/events?streams=c-*";
    Follower::open(&site.url, path, &[("Last-Event-ID", &last)]).named("caught-up");
    assert!(reads(&site) - before <= 1);
    let before = reads(&site);
    let mut again = Follower::open(&site.url, "/api/events?streams=e-*", &[("Last-Event-ID", &checkpoint)]);
    again.named("caught-up");
    assert!(reads(&site) - before <= 24_000 / 512 + 2, "{}", reads(&site) - before);
    // A storm: all of them at once, from near to one another, far behind.
    let before = reads(&site);
    std::thread::scope(|scope| {
        for number in 0..60 {
            let url = &site.url;
            scope.spawn(move || {
                let last = (12_000 + number * 3).to_string();
                let mut follower = Follower::open(url, "/api/events", &[("Last-Event-ID", &last)]);
                let count = usize::try_from(24_000 - 12_000 - number * 3).unwrap();
                assert_eq!(follower.events(count).0.len(), count);
            });
        }
    });
    assert!(reads(&site) - before <= 50, "{} reads", reads(&site) - before);
}
