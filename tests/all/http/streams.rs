//! Streams: which there are, what is known of one, and its events, forwards and backwards.

use serde_json::{Value, json};

use super::{BOTH, Site, send};
use crate::victim::block_on;

async fn fill(site: &Site, stream: &str, many: u64) {
    let events: Vec<Value> =
        (1..=many).map(|number| json!({ "eventType": "Counted", "data": number })).collect();
    site.post(&format!("/api/streams/{stream}/events"), &json!({ "events": events })).await.is(201);
}

fn versions(page: &Value) -> Vec<i64> {
    page["events"].as_array().unwrap().iter().map(|event| event["version"].as_i64().unwrap()).collect()
}

/// Goes from page to page by the links.
async fn walk(site: &Site, path: &str) -> Vec<Value> {
    let (mut pages, mut path) = (Vec::new(), path.to_owned());
    for _ in 0..100 {
        let answer = site.get(&path).await.is(200);
        let page = answer.json();
        let link = answer.header("link").map(str::to_owned);
        assert_eq!(link.is_some(), page["next"].is_string(), "{page}");
        pages.push(page);
        let Some(link) = link else { return pages };
        path = link.strip_prefix('<').and_then(|link| link.split_once('>')).unwrap().0.to_owned();
    }
    panic!("there is no end");
}

#[test]
fn a_stream_is_read_by_its_versions() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            fill(&site, "count-1", 10).await;
            for base in ["/api/streams/count-1/events", "/api/events/count-1"] {
                let page = site.get(base).await.is(200).json();
                assert_eq!(versions(&page), (1..=10).collect::<Vec<_>>());
                assert_eq!((&page["caughtUp"], &page["scannedTo"]), (&json!(true), &page["head"]));
                let event = &page["events"][2];
                assert_eq!(
                    (&event["streamId"], &event["data"], &event["eventType"]),
                    (&json!("count-1"), &json!(3), &json!("Counted"))
                );
                for (query, expected) in [
                    ("afterVersion=7", vec![8, 9, 10]),
                    ("afterVersion=0&toVersion=2", vec![1, 2]),
                    ("toVersion=3&backward=true", vec![3, 2, 1]),
                    ("afterVersion=8&backward=true", vec![10, 9]),
                    ("afterVersion=10", vec![]),
                    ("afterVersion=99", vec![]),
                    ("backward=true&limit=1", vec![10]),
                ] {
                    let page = site.get(&format!("{base}?{query}")).await.is(200).json();
                    assert_eq!(versions(&page), expected, "{query}");
                }
                let all = |pages: Vec<Value>| pages.iter().flat_map(versions).collect::<Vec<_>>();
                assert_eq!(all(walk(&site, &format!("{base}?limit=3")).await), (1..=10).collect::<Vec<_>>());
                let backward = walk(&site, &format!("{base}?limit=3&backward=true&afterVersion=2")).await;
                assert_eq!(backward.len(), 3);
                assert_eq!(all(backward), (3..=10).rev().collect::<Vec<_>>());
                site.get(&format!("{base}?after=x&toVersion=0&limit=1001&what=1"))
                    .await
                    .problem(400, "malformed");
            }
            for never in ["/api/streams/count-2/events", "/api/events/count-2", "/api/streams/count-2"] {
                site.get(never).await.problem(404, "not-found");
            }
            let head = send(site.request("HEAD", "/api/streams/count-1")).await.is(200);
            assert_eq!((head.header("etag"), head.bytes.len()), (Some("\"10\""), 0));
            send(site.request("HEAD", "/api/streams/count-1/events")).await.is(200);
            send(site.request("HEAD", "/api/streams/count-2/events")).await.is(404);
            let known = site.request("GET", "/api/streams/count-1").header("If-None-Match", "\"10\"");
            send(known).await.is(304);
        });
    }
}

#[test]
fn whoever_has_read_a_stream_goes_on_in_the_log() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            fill(&site, "count-1", 3).await;
            fill(&site, "other-1", 3).await;
            let page = site.get("/api/streams/count-1/events").await.json();
            fill(&site, "count-1", 2).await;
            let rest = site
                .get(&format!("/api/events?streams=count-1&after={}", page["scannedTo"].as_str().unwrap()))
                .await
                .is(200)
                .json();
            assert_eq!(versions(&rest), [4, 5]);
        });
    }
}

#[test]
fn streams_are_listed_by_name_and_the_systems_own_only_to_whoever_names_them() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            for stream in ["!first-1", "count-1", "count-2", "count-a%2Fb", "other-1", "zeta"] {
                fill(&site, stream, 1).await;
            }
            // What an administrator does leaves a trace in a stream of the system's own.
            let names = |page: &Value| -> Vec<String> {
                page["items"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|item| item["streamId"].as_str().unwrap().to_owned())
                    .collect()
            };
            let all = ["!first-1", "count-1", "count-2", "count-a/b", "other-1", "zeta"];
            let page = site.get("/api/streams").await.is(200).json();
            assert_eq!(names(&page), all);
            for limit in 1..=7 {
                let pages = walk_items(&site, &format!("/api/streams?limit={limit}")).await;
                assert!(pages.iter().rev().skip(1).all(|page| names(page).len() == limit), "pages are full");
                assert_eq!(pages.iter().flat_map(names).collect::<Vec<_>>(), all);
            }
            let category = site.get("/api/streams?category=count").await.json();
            assert_eq!(names(&category), ["count-1", "count-2", "count-a/b"]);
            let info = &category["items"][0];
            assert_eq!(info["version"], 1);
            assert_eq!(info["createdAt"], info["updatedAt"]);
            site.get("/api/streams?category=a-b").await.problem(400, "malformed");
            site.get("/api/streams?after=a%20b").await.problem(400, "malformed");
        });
    }
}

async fn walk_items(site: &Site, path: &str) -> Vec<Value> {
    walk(site, path).await
}

#[test]
fn streams_of_the_systems_own_do_not_make_pages_short() {
    use flightdeck_core::{EventType, Json, StreamId};
    use flightdeck_store::{Append, EventStore as _, NewEvent};
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("store.db");
    block_on(async {
        let store = crate::victim::open(&file);
        let event = |stream: String| {
            let (stream, kind) = (StreamId::new(stream).unwrap(), EventType::new("A").unwrap());
            NewEvent::new(stream, kind, Json::new("1", 10).unwrap())
        };
        let own = (0..300).map(|number| event(format!("$token-{number}")));
        let mut events: Vec<NewEvent> = own.collect();
        events.push(event("!a-1".to_owned()));
        events.extend((0..30).map(|number| event(format!("note-{number:02}"))));
        store.append(Append::of(events)).await.unwrap();
        store.close().await;
    });
    let site = Site::on(&format!("sqlite:{}", file.display()));
    block_on(async {
        let page = site.get("/api/streams?limit=10").await.is(200).json();
        assert_eq!(page["items"].as_array().unwrap().len(), 10, "{page}");
        assert_eq!(
            (&page["items"][0]["streamId"], &page["items"][9]["streamId"]),
            (&json!("!a-1"), &json!("note-08"))
        );
        let named = site.get("/api/streams?limit=10&category=%24token").await.is(200).json();
        assert_eq!(named["items"][0]["streamId"], "$token-0");
        // Nor are they in the log, but for whoever names them.
        let log = site.get("/api/events?limit=40").await.is(200).json();
        assert_eq!(log["events"].as_array().unwrap().len(), 31);
        assert_eq!(log["events"][0]["streamId"], "!a-1");
        let named = site.get("/api/events?limit=5&streams=%24token-*").await.is(200).json();
        assert_eq!(named["events"].as_array().unwrap().len(), 5);
        let exact = site.get("/api/events?streams=%24token-7,note-01").await.is(200).json();
        assert_eq!(exact["events"].as_array().unwrap().len(), 2);
        let lines =
            send(site.request("GET", "/api/events").header("Accept", "application/x-ndjson")).await.is(200);
        assert_eq!(lines.bytes.iter().filter(|byte| **byte == b'\n').count(), 31);
        assert!(!String::from_utf8(lines.bytes).unwrap().contains("$token"));
    });
}
