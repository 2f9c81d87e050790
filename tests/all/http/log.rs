//! The log: pages of it, waiting for what comes, and lines, to the head or for ever.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Answer, BOTH, Kind, Site, send};
use crate::victim::block_on;

const NDJSON: &str = "application/x-ndjson";

async fn fill(site: &Site, from: u64, to: u64) {
    for from in (from..to).step_by(1000) {
        let events: Vec<Value> = (from..to.min(from + 1000))
            .map(|number| {
                let kind = ["Sold", "Sent", "SentBack"][usize::try_from(number % 3).unwrap()];
                json!({ "streamId": format!("order-{}", number % 7), "eventType": kind, "data": number, "tags": [format!("odd:{}", number % 2)] })
            })
            .collect();
        site.post("/api/append", &json!({ "events": events })).await.is(201);
    }
}

fn data(page: &Value) -> Vec<u64> {
    page["events"].as_array().unwrap().iter().map(|event| event["data"].as_u64().unwrap()).collect()
}

fn lines(answer: &Answer) -> Vec<Value> {
    let text = std::str::from_utf8(&answer.bytes).unwrap();
    assert!(text.is_empty() || text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).unwrap()).collect()
}

async fn as_lines(site: &Site, path: &str) -> Answer {
    send(site.request("GET", path).header("Accept", NDJSON)).await
}

#[test]
fn pages_go_through_the_log_forwards_and_backwards() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let empty = site.get("/api/events?streams=order-*").await.is(200).json();
            assert_eq!(
                (&empty["events"], &empty["caughtUp"], &empty["next"]),
                (&json!([]), &json!(true), &Value::Null)
            );
            fill(&site, 0, 120).await;
            for (query, expected) in [
                ("", (0..120).collect::<Vec<u64>>()),
                ("&backward=true", (0..120).rev().collect()),
                ("&types=Sent", (0..120).filter(|number| number % 3 == 1).collect()),
                ("&types=Sent*,Never", (0..120).filter(|number| number % 3 > 0).collect()),
                ("&tags=odd:1", (0..120).filter(|number| number % 2 == 1).collect()),
                ("&streams=order-3,order-5", (0..120).filter(|number| matches!(number % 7, 3 | 5)).collect()),
                (
                    "&streams=order-3&tags=odd:0&backward=true",
                    (0..120).rev().filter(|number| number % 7 == 3 && number % 2 == 0).collect(),
                ),
            ] {
                let (mut got, mut path) =
                    (Vec::new(), format!("/api/events?limit=17&streams=order-*{query}"));
                if query.contains("streams") {
                    path = format!("/api/events?limit=17{query}");
                }
                for _ in 0..50 {
                    let answer = site.get(&path).await.is(200);
                    let page = answer.json();
                    got.extend(data(&page));
                    assert_eq!(page["caughtUp"] == true, page["next"].is_null(), "{page}");
                    let Some(link) = answer.header("link") else { break };
                    path = link.strip_prefix('<').unwrap().split_once('>').unwrap().0.to_owned();
                }
                assert_eq!(got, expected, "{query}");
            }
        });
    }
}

#[test]
fn a_stretch_of_the_log_is_read_from_a_cursor_or_a_position_up_to_one() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            fill(&site, 0, 20).await;
            let all = site.get("/api/events?streams=order-*&limit=1000").await.json();
            let place =
                |number: usize, member: &str| all["events"][number][member].to_string().replace('"', "");
            for member in ["cursor", "position"] {
                let (after, until) = (place(4, member), place(9, member));
                let page = site
                    .get(&format!("/api/events?streams=order-*&after={after}&until={until}"))
                    .await
                    .is(200)
                    .json();
                assert_eq!((data(&page), &page["caughtUp"]), ((5..=9).collect(), &json!(true)));
                let page = site
                    .get(&format!(
                        "/api/events?streams=order-*&after={after}&until={until}&backward=true&limit=3"
                    ))
                    .await
                    .json();
                assert_eq!(data(&page), [9, 8, 7]);
                let next = page["next"].as_str().unwrap();
                let rest = site
                    .get(&format!(
                        "/api/events?streams=order-*&after={next}&until={until}&backward=true&limit=30"
                    ))
                    .await
                    .json();
                assert_eq!((data(&rest), &rest["caughtUp"]), (vec![6, 5], &json!(true)));
            }
            let head = site.get("/api/events?after=head").await.is(200).json();
            assert_eq!((&head["events"], &head["scannedTo"]), (&json!([]), &head["head"]));
            for other in ["after=zzz-3", "until=zzz-3", "after=zzz-3~zzz-9&backward=true"] {
                let gone = site.get(&format!("/api/events?{other}")).await.problem(410, "epoch-changed");
                assert_eq!(gone["head"], head["head"]);
            }
            as_lines(&site, "/api/events?after=zzz-3").await.problem(410, "epoch-changed");
            as_lines(&site, "/api/events?after=zzz-3&follow=true").await.problem(410, "epoch-changed");
            as_lines(&site, "/api/events?until=zzz-3&follow=true").await.problem(410, "epoch-changed");
        });
    }
}

/// The edge table of numbers and names: never anything but 400, and the same on both stores. (F76, F77)
#[test]
fn odd_parameters_are_answered_alike_on_both_stores() {
    let ask = |kind: Kind| {
        let site = Site::start(kind);
        block_on(async {
            let mut answers = Vec::new();
            for query in [
                "after=-1",
                "after=9007199254740992",
                "after=99999999999999999999",
                "after=1.5",
                "after=e-01",
                "after=",
                "until=-1",
                "until=head",
                "limit=0",
                "limit=1001",
                "limit=1000000000000000000",
                "limit=-1",
                "limit=1e3",
                "backward=yes",
                "follow=perhaps",
                "wait=-1s",
                "wait=61s",
                "streams=a%20b",
                "streams=a,,b",
                "streams=a%00",
                "types=1",
                "tags=x",
                "what=1",
                "limit=1&limit=2",
                &format!("streams={}", vec!["a"; 65].join(",")),
            ] {
                let problem = site.get(&format!("/api/events?{query}")).await.problem(400, "malformed");
                answers.push((query.to_owned(), problem["invalid"].clone()));
            }
            as_lines(&site, "/api/events?limit=0").await.problem(400, "malformed");
            // What is understood, and does not go together.
            for query in ["backward=true", "wait=1s"] {
                let problem = as_lines(&site, &format!("/api/events?{query}")).await.problem(422, "refused");
                answers.push((query.to_owned(), problem["invalid"].clone()));
            }
            for query in ["follow=true", "wait=1s&backward=true"] {
                let problem = site.get(&format!("/api/events?{query}")).await.problem(422, "refused");
                answers.push((query.to_owned(), problem["invalid"].clone()));
            }
            for query in [
                "after=9007199254740991",
                "after=0&until=9007199254740991",
                "until=0",
                "after=999999&backward=true",
            ] {
                site.get(&format!("/api/events?{query}")).await.is(200);
            }
            answers
        })
    };
    assert_eq!(ask(Kind::Sqlite), ask(Kind::Postgres));
}

#[test]
fn a_representation_is_given_that_is_asked_for_or_none() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        fill(&site, 0, 3).await;
        for (accept, given) in [
            ("*/*", "application/json"),
            ("application/json;q=0.2, application/x-ndjson", NDJSON),
            ("application/cloudevents-batch+json", "application/cloudevents-batch+json"),
        ] {
            let answer = send(site.request("GET", "/api/events").header("Accept", accept)).await.is(200);
            assert_eq!(answer.header("content-type"), Some(given), "{accept}");
            let head = send(site.request("HEAD", "/api/events").header("Accept", accept)).await.is(200);
            assert_eq!((head.header("content-type"), head.bytes.len()), (Some(given), 0), "{accept}");
        }
        for nothing in ["text/*", "text/html", "application/json;q=0"] {
            let refused = send(site.request("GET", "/api/events").header("Accept", nothing)).await;
            refused.problem(406, "not-acceptable");
        }
        let upgrade =
            site.request("GET", "/api/events").header("Upgrade", "websocket").header("Connection", "Upgrade");
        // With the rest of a handshake it is a WebSocket, and never anything else.
        send(upgrade).await.problem(400, "malformed");
        let head = site.request("HEAD", "/api/events?follow=true").header("Accept", NDJSON);
        assert!(send(head).await.is(200).bytes.is_empty());
        let head = site.request("HEAD", "/api/events?after=head&wait=20s");
        let begun = Instant::now();
        send(head).await.is(200);
        assert!(begun.elapsed() < Duration::from_secs(10));
    });
}

#[test]
fn who_waits_for_something_to_come_has_it_when_it_comes() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            fill(&site, 0, 3).await;
            let waiting = "/api/events?after=head&wait=30s&types=Sent&streams=order-*";
            let begun = Instant::now();
            let waits = site.get(waiting);
            let writes = async {
                tokio::time::sleep(Duration::from_millis(300)).await;
                // What does not pass wakes nobody up for good.
                fill(&site, 3, 4).await;
                tokio::time::sleep(Duration::from_millis(300)).await;
                fill(&site, 4, 5).await;
            };
            let (page, ()) = tokio::join!(waits, writes);
            assert_eq!(data(&page.is(200).json()), [4]);
            assert!(begun.elapsed() >= Duration::from_millis(600), "it waited for it");
            assert!(begun.elapsed() < Duration::from_secs(20), "it was woken: {:?}", begun.elapsed());
            // What is there already is not waited for.
            let begun = Instant::now();
            site.get("/api/events?wait=30s").await.is(200);
            let nothing = site.get("/api/events?after=head&wait=1s&types=Never").await.is(200).json();
            assert_eq!((&nothing["events"], &nothing["caughtUp"]), (&json!([]), &json!(true)));
            let until = site.get("/api/events?until=1&types=Never&wait=30s").await.is(200).json();
            assert_eq!(until["events"], json!([]));
            assert!((1..20).contains(&begun.elapsed().as_secs()), "{:?}", begun.elapsed());
        });
    }
}

#[test]
fn lines_come_up_to_the_head() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            assert!(lines(&as_lines(&site, "/api/events?streams=order-*").await.is(200)).is_empty());
            fill(&site, 0, 2500).await;
            let all = as_lines(&site, "/api/events?streams=order-*").await.is(200);
            assert_eq!(all.header("content-type"), Some(NDJSON));
            let all = lines(&all);
            assert_eq!(all.len(), 2500);
            assert!(all.iter().enumerate().all(|(place, event)| event["data"] == place));
            let page = site.get("/api/events?streams=order-*&limit=1000").await.json();
            assert_eq!(page["events"].as_array().unwrap()[..], all[..1000]);
            let cursor = all[9]["cursor"].as_str().unwrap();
            let some =
                lines(&as_lines(&site, &format!("/api/events?after={cursor}&limit=5&types=Sold")).await);
            assert_eq!(
                some.iter().map(|event| event["data"].as_u64().unwrap()).collect::<Vec<_>>(),
                [12, 15, 18, 21, 24]
            );
            let until = all[12]["position"].clone();
            let some = lines(&as_lines(&site, &format!("/api/events?after={cursor}&until={until}")).await);
            assert_eq!(some.len(), 3);
            // What was sent in many lines is one.
            let body =
                "{\"events\":[{\"eventType\":\"Broken\",\"data\":{\n\"a\":\r\n1},\"metadata\":{\"x\":\n2}}]}";
            let broken =
                site.request("POST", "/api/streams/note-1/events").header("Content-Type", "application/json");
            send(broken.body(body)).await.is(201);
            let one = as_lines(&site, "/api/events?types=Broken").await.is(200);
            assert_eq!(one.bytes.iter().filter(|byte| matches!(byte, b'\n' | b'\r')).count(), 1);
            assert_eq!(
                (&lines(&one)[0]["data"], &lines(&one)[0]["metadata"]["x"]),
                (&json!({ "a": 1 }), &json!(2))
            );
            let kept = site.get("/api/streams/note-1/events").await;
            assert!(String::from_utf8(kept.bytes).unwrap().contains("{\n\"a\":\r\n1}"));
        });
    }
}

/// Reads lines of an answer until there are so many.
async fn read_lines(answer: &mut reqwest::Response, read: &mut Vec<u8>, many: usize) -> Vec<Value> {
    let count = |read: &[u8]| read.iter().filter(|byte| **byte == b'\n').count();
    while count(read) < many {
        read.extend_from_slice(&answer.chunk().await.unwrap().unwrap());
    }
    read.split(|byte| *byte == b'\n').take(many).map(|line| serde_json::from_slice(line).unwrap()).collect()
}

#[test]
fn lines_that_are_followed_go_on_with_what_comes() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            fill(&site, 0, 1500).await;
            let request =
                site.request("GET", "/api/events?follow=true&streams=order-*").header("Accept", NDJSON);
            let (mut answer, mut read) = (request.send().await.unwrap(), Vec::new());
            assert_eq!(read_lines(&mut answer, &mut read, 1500).await[1499]["data"], 1499);
            fill(&site, 1500, 1510).await;
            let all = read_lines(&mut answer, &mut read, 1510).await;
            assert!(all.iter().enumerate().all(|(place, event)| event["data"] == place));
            let only_new = site
                .request("GET", "/api/events?follow=true&after=head&types=Sold&limit=2")
                .header("Accept", NDJSON);
            let answer = only_new.send().await.unwrap();
            fill(&site, 1510, 1520).await;
            let text = tokio::time::timeout(Duration::from_secs(20), answer.text()).await.unwrap().unwrap();
            let sold: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            assert_eq!(
                sold.iter().map(|event| event["data"].as_u64().unwrap()).collect::<Vec<_>>(),
                [1512, 1515]
            );
        });
    }
}

/// How much memory a process has of its own, in KiB.
fn memory_kib(site: &Site) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.process.id())).unwrap();
    let line = status.lines().find(|line| line.starts_with("RssAnon:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}

#[test]
fn a_slow_reader_of_a_long_log_costs_no_memory_and_gets_all_of_it() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let text = "x".repeat(2000);
            for from in (0..20_000).step_by(1000) {
                let events: Vec<Value> = (from..from + 1000)
                    .map(|number| json!({ "streamId": format!("order-{}", number % 50), "eventType": "Sold", "data": { "number": number, "text": text } }))
                    .collect();
                site.post("/api/append", &json!({ "events": events })).await.is(201);
            }
            // Whoever reads all of it first, has the server take what it needs for that.
            as_lines(&site, "/api/events").await.is(200);
            let before = memory_kib(&site);
            let mut readers = Vec::new();
            for _ in 0..20 {
                let request = site.request("GET", "/api/events?streams=order-*").header("Accept", NDJSON);
                let mut answer = request.send().await.unwrap();
                let first = answer.chunk().await.unwrap().unwrap();
                readers.push((answer, first.to_vec()));
            }
            tokio::time::sleep(Duration::from_millis(1500)).await;
            let grown = memory_kib(&site).saturating_sub(before);
            // Twenty readers stand still; each holds a page that goes out and one behind it, and not forty megabytes.
            assert!(grown < 20 * 8 * 1024, "{kind:?}: {grown} KiB for 20 readers");
            let (mut answer, mut read) = readers.pop().unwrap();
            drop(readers);
            let mut most = 0;
            while let Some(chunk) = answer.chunk().await.unwrap() {
                read.extend_from_slice(&chunk);
                if read.len() > most + 4_000_000 {
                    most = read.len();
                    tokio::time::sleep(Duration::from_millis(20)).await;
                    let grown = memory_kib(&site).saturating_sub(before);
                    assert!(grown < 20 * 8 * 1024, "{kind:?}: {grown} KiB behind {most} bytes");
                }
            }
            let numbers: Vec<u64> = read
                .split(|byte| *byte == b'\n')
                .filter(|line| !line.is_empty())
                .map(|line| {
                    serde_json::from_slice::<Value>(line).unwrap()["data"]["number"].as_u64().unwrap()
                })
                .collect();
            assert_eq!(numbers, (0..20_000).collect::<Vec<_>>());
        });
    }
}

#[test]
fn who_waits_and_who_follows_is_let_go_when_the_server_stops() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            fill(&site, 0, 3).await;
            let waits = site.get("/api/events?after=head&wait=60s");
            let request =
                site.request("GET", "/api/events?follow=true&streams=order-*").header("Accept", NDJSON);
            let follows = async { request.send().await.unwrap().text().await };
            let stops = async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                site.signal(rustix::process::Signal::TERM);
                Instant::now()
            };
            let (page, followed, stopped) = tokio::join!(waits, follows, stops);
            assert!(stopped.elapsed() < Duration::from_secs(6), "{:?}", stopped.elapsed());
            let page = page.is(200).json();
            assert_eq!((&page["events"], &page["caughtUp"]), (&json!([]), &json!(true)));
            assert_eq!(followed.unwrap().lines().count(), 3);
        });
        let (code, said) = site.stop();
        assert_eq!(code, Some(0), "{said}");
    }
}
