//! Limits as settings: each layer says some of them, what is beyond one is refused and says which it was, and each is counted.

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::guarded::Guarded;
use super::{Answer, BOTH, Kind, Site, send};
use crate::doors::flightdeck;
use crate::victim::block_on;

/// How often a limit was met, as `/metrics` has it.
async fn met(site: &Site, limit: &str) -> u64 {
    let told = String::from_utf8(site.get("/metrics").await.is(200).bytes).unwrap();
    let line = format!("flightdeck_limit_met_total{{limit=\"{limit}\"}} ");
    told.lines().find_map(|told| told.strip_prefix(&line)).unwrap().parse().unwrap()
}

/// A limit is what the nearest layer says, and its source is told; what is none is refused.
#[test]
fn a_limit_is_set_in_every_layer() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("flightdeck.toml");
    std::fs::write(&file, "[limits]\ntags = 5\nfacts = 5\nbody_bytes = 5000\n").unwrap();
    let config = |limits: &[&str], variable: &str| {
        let mut command = Command::new(flightdeck());
        command
            .args(["config", "--json", "--config"])
            .arg(&file)
            .args(limits)
            .env("FLIGHTDECK_LIMITS", variable);
        command.output().unwrap()
    };
    let told = config(&["--limits", "tags=3"], "facts=4, tags=4");
    let lines = String::from_utf8(told.stdout).unwrap();
    let rows: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let row = |name: &str| {
        let row = rows.iter().find(|row| row["setting"] == format!("limits.{name}")).unwrap();
        (row["value"].as_str().unwrap().to_owned(), row["source"].as_str().unwrap().to_owned())
    };
    let is = |value: &str, source: &str| (value.to_owned(), source.to_owned());
    assert_eq!(row("tags"), is("3", "command line"));
    assert_eq!(row("facts"), is("4", "environment (FLIGHTDECK_LIMITS)"));
    assert_eq!(row("body_bytes"), is("5000", &format!("file ({})", file.display())));
    assert_eq!(row("head_seconds"), is("5", "default"));
    for (limit, said) in [
        ("tags=17", "tags is \"17\", and may be 1 to 16"),
        ("tags", "is not NAME=NUMBER"),
        ("tag=1", "there is no limit \"tag\""),
        ("body_bytes=1MiB", "body_bytes is \"1MiB\""),
    ] {
        let refused = config(&["--limits", limit], "");
        let text = String::from_utf8_lossy(&refused.stderr).into_owned();
        assert_eq!(refused.status.code(), Some(78), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

/// A server with low limits.
fn frugal(kind: Kind) -> Site {
    let limits = [
        "event_data_bytes=1024",
        "json_depth=8",
        "stream_name_bytes=64",
        "event_type_bytes=32",
        "tag_bytes=64",
        "tags=2",
        "append_events=3",
        "append_bytes=1500",
        "append_body_bytes=4096",
        "body_bytes=2048",
        "fact_bytes=256",
        "facts=2",
        "page_events=4",
        "page_bytes=1024",
        "position_wait_seconds=0",
    ];
    let limits: Vec<&str> = limits.iter().flat_map(|limit| ["--limits", limit]).collect();
    Site::start_with(kind, &limits)
}

fn long(length: usize) -> String {
    "x".repeat(length)
}

async fn append(site: &Site, stream: &str, events: Value) -> Answer {
    site.post(&format!("/api/streams/{stream}/events"), &json!({ "events": events })).await
}

/// What is beyond a limit of appends is refused with its name, whichever it is, and what is within goes through.
#[test]
fn an_append_beyond_a_limit_is_refused_by_its_name() {
    let event = |data: Value| json!({ "eventType": "A", "data": data });
    let typed = |length: usize| json!([{ "eventType": "A".repeat(length), "data": 1 }]);
    let tagged = |tags: &[&str]| json!([{ "eventType": "A", "data": 1, "tags": tags }]);
    let nested = |depth: usize| (0..depth).fold(json!(1), |inner, _| json!([inner]));
    let (tag, longer) = (format!("k:{}", long(62)), format!("k:{}", long(63)));
    let (name, longer_name) = (format!("a-{}", long(62)), format!("a-{}", long(63)));
    let good = [
        (name.as_str(), json!([event(json!(1))])),
        ("a-1", json!([event(json!(long(1022)))])),
        ("a-1", json!([event(nested(8))])),
        ("a-1", typed(32)),
        ("a-1", tagged(&[&tag, "k:2"])),
        ("a-1", json!([event(json!(1)), event(json!(2)), event(json!(3))])),
    ];
    let bad = [
        ("stream_name_bytes", 400, longer_name.as_str(), json!([event(json!(1))])),
        ("event_data_bytes", 413, "a-1", json!([event(json!(long(1023)))])),
        ("json_depth", 400, "a-1", json!([event(nested(9))])),
        ("event_type_bytes", 400, "a-1", typed(33)),
        ("tag_bytes", 400, "a-1", tagged(&[&longer])),
        ("tags", 413, "a-1", tagged(&["k:1", "k:2", "k:3"])),
        ("append_events", 413, "a-1", json!(vec![event(json!(1)); 4])),
        ("append_bytes", 413, "a-1", json!(vec![event(json!(long(800))); 2])),
        ("append_body_bytes", 413, "a-1", json!(vec![event(json!(long(1000))); 5])),
    ];
    for kind in BOTH {
        let site = frugal(kind);
        block_on(async {
            for (stream, events) in &good {
                append(&site, stream, events.clone()).await.is(201);
            }
            for (limit, status, stream, events) in &bad {
                let code = if *status == 413 { "too-large" } else { "malformed" };
                let problem = append(&site, stream, events.clone()).await.problem(*status, code);
                assert_eq!(
                    (&problem["limit"], &problem["outcome"]),
                    (&json!(limit), &json!("not-committed"))
                );
                assert_eq!(met(&site, limit).await, 1, "{limit}");
            }
            let several = json!({ "events": [{ "streamId": longer_name, "eventType": "A", "data": 1 }] });
            let problem = site.post("/api/append", &several).await;
            assert_eq!(problem.problem(400, "malformed")["limit"], "stream_name_bytes");
            let cloud = json!({ "specversion": "1.0", "id": "1", "source": "s", "type": "A".repeat(33), "subject": "a-1", "data": 1 });
            let kind = "application/cloudevents+json";
            let cloud =
                site.request("POST", "/api/append").header("content-type", kind).body(cloud.to_string());
            assert_eq!(send(cloud).await.problem(400, "malformed")["limit"], "event_type_bytes");
        });
    }
}

/// So is what visitors do, what is beyond the body of a command, and what is waited for.
#[test]
fn what_is_beyond_another_limit_is_refused_by_its_name() {
    let site = frugal(Kind::Sqlite);
    block_on(async {
        let fact = |length: usize| json!({ "type": "PageViewed", "pageId": format!("/{}", long(length)) });
        site.post("/api/events", &json!([fact(10), fact(10)])).await.is(202);
        for (limit, facts) in
            [("facts", json!([fact(1), fact(1), fact(1)])), ("fact_bytes", json!([fact(250)]))]
        {
            assert_eq!(site.post("/api/events", &facts).await.problem(413, "too-large")["limit"], limit);
        }
        let content = |text: &str| json!({ "title": "A", "content": text, "author": "Ada" });
        site.post("/api/content", &content(&long(1900))).await.is(201);
        let refused = site.post("/api/content", &content(&long(2048))).await;
        assert_eq!(refused.problem(413, "too-large")["limit"], "body_bytes");
        assert_eq!(site.get("/api/events?limit=5").await.problem(400, "malformed")["limit"], "page_events");
        let head = site.get("/api/events?limit=1").await.json()["head"].as_str().unwrap().to_owned();
        let (epoch, position) = head.rsplit_once('-').unwrap();
        let beyond = format!("{epoch}-{}", position.parse::<i64>().unwrap() + 1_000);
        let late = site.request("GET", "/api/content").header("flightdeck-min-position", beyond);
        let late = send(late).await.problem(504, "position-not-reached");
        assert_eq!(late["limit"], "position_wait_seconds");
    });
}

/// Pages end sooner, and together they have everything, once and in order, in both directions.
#[test]
fn pages_are_as_large_as_they_may_be() {
    for kind in BOTH {
        let site = frugal(kind);
        block_on(async {
            let sizes = [1, 700, 500, 400, 1_000, 1, 1, 1, 1, 1, 300, 300, 300, 300];
            for size in sizes {
                append(&site, "a-1", json!([{ "eventType": "A", "data": long(size) }])).await.is(201);
            }
            for (path, member) in
                [("/api/events?streams=a-*", "position"), ("/api/streams/a-1/events?limit=4", "version")]
            {
                for backward in ["", "&backward=true"] {
                    let (mut next, mut seen, mut pages) = (String::new(), Vec::new(), 0);
                    loop {
                        let page = site.get(&format!("{path}{backward}{next}")).await.is(200).json();
                        let events = page["events"].as_array().unwrap();
                        let bytes: usize = events.iter().map(|event| event["data"].to_string().len()).sum();
                        assert!(events.len() <= 4 && (bytes <= 1024 || events.len() == 1), "{page}");
                        seen.extend(events.iter().map(|event| event[member].as_u64().unwrap()));
                        pages += 1;
                        let Some(told) = page["next"].as_str() else { break };
                        next = format!("&after={told}");
                        assert!(pages < 20, "{next}");
                    }
                    if !backward.is_empty() {
                        seen.reverse();
                    }
                    assert_eq!(seen, (1..=14).collect::<Vec<_>>(), "{path}{backward}");
                    assert!(pages >= 5, "{pages}");
                }
            }
            let lines =
                site.request("GET", "/api/events?streams=a-*").header("accept", "application/x-ndjson");
            let lines = String::from_utf8(send(lines).await.is(200).bytes).unwrap();
            assert_eq!(lines.lines().count(), sizes.len());
        });
    }
}

/// A caller has so many connections at once, and hears so on those beyond; what is far beyond is cut off. Others are not touched, and where
/// everyone may everything nobody is counted.
#[test]
fn a_caller_has_so_many_connections() {
    let limits = ["--limits", "caller_connections=3"];
    let open = |site: &Site, address: &str| {
        let mut stream = TcpStream::connect(site.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        // Whoever is cut off at once can't send.
        drop(write!(stream, "GET /health/live HTTP/1.1\r\nHost: {address}\r\n\r\n"));
        let mut answered = [0; 4096];
        let read = stream.read(&mut answered).unwrap_or(0);
        (stream, String::from_utf8_lossy(&answered[..read]).into_owned())
    };
    let on = Guarded::start_with(Kind::Sqlite, &limits);
    // It has some of its own by then.
    let mut all: Vec<_> = (0..12).map(|_| open(&on.site, "127.0.0.1")).collect();
    let of = |all: &[(TcpStream, String)], begins: &str| {
        all.iter().filter(|(_, answered)| answered.starts_with(begins)).count()
    };
    let (good, refused) = (of(&all, "HTTP/1.1 200"), of(&all, "HTTP/1.1 429"));
    assert!((2..=3).contains(&good) && refused >= 3, "{good} {refused}");
    let told = all.iter().find(|(_, answered)| answered.starts_with("HTTP/1.1 429")).unwrap();
    assert!(
        told.1.to_lowercase().contains("connection: close") && told.1.contains("caller_connections"),
        "{}",
        told.1
    );
    all.clear();
    // Who says nothing hears nothing, and is cut off far beyond.
    let silent: Vec<_> =
        (0..12).map(|_| TcpStream::connect(on.site.url.trim_start_matches("http://")).unwrap()).collect();
    let is_cut = |mut stream: &TcpStream| {
        stream.set_read_timeout(Some(Duration::from_millis(200))).unwrap();
        stream.read(&mut [0; 16]).is_ok_and(|read| read == 0)
    };
    let cut = silent.iter().filter(|stream| is_cut(stream)).count();
    assert!((6..=9).contains(&cut), "{cut} were cut off");
    drop(silent);
    // Whoever has let go of them may come again.
    let begun = std::time::Instant::now();
    while !open(&on.site, "127.0.0.1").1.starts_with("HTTP/1.1 200") {
        assert!(begun.elapsed() < Duration::from_secs(20), "still refused");
    }
    let site = Site::start_with(Kind::Sqlite, &limits);
    let all: Vec<_> = (0..12).map(|_| open(&site, "127.0.0.1")).collect();
    assert_eq!(of(&all, "HTTP/1.1 200"), 12);
}
