//! The events with a tag.

use serde_json::json;

use super::{BOTH, Site};
use crate::victim::block_on;

#[test]
fn the_events_with_a_tag_are_read_in_pages() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let event = |number: u64, tags: &[&str]| json!({ "streamId": format!("note-{}", number % 3), "eventType": "Noted", "data": number, "tags": tags });
            let events: Vec<_> = (0..9)
                .map(|number| {
                    if number % 2 == 0 {
                        event(number, &["k:Zoë ✓/1", "all:1"])
                    } else {
                        event(number, &["all:1"])
                    }
                })
                .collect();
            site.post("/api/append", &json!({ "events": events })).await.is(201);
            let data = |page: &serde_json::Value| -> Vec<u64> {
                page["events"]
                    .as_array()
                    .unwrap()
                    .iter()
                    .map(|event| event["data"].as_u64().unwrap())
                    .collect()
            };
            let page = site.get("/api/tags/k%3AZo%C3%AB%20%E2%9C%93%2F1").await.is(200).json();
            assert_eq!(data(&page), [0, 2, 4, 6, 8]);
            assert_eq!(page["caughtUp"], true);
            let first = site.get("/api/tags/all:1?limit=4").await.is(200);
            assert!(first.header("link").unwrap().ends_with(">; rel=\"next\""));
            let first = first.json();
            assert_eq!((data(&first), &first["caughtUp"]), (vec![0, 1, 2, 3], &json!(false)));
            let rest =
                site.get(&format!("/api/tags/all:1?after={}", first["next"].as_str().unwrap())).await.json();
            assert_eq!(data(&rest), [4, 5, 6, 7, 8]);
            let newest = site.get("/api/tags/all:1?limit=2&backward=true").await.json();
            assert_eq!(data(&newest), [8, 7]);
            let older = site
                .get(&format!(
                    "/api/tags/all:1?limit=99&backward=true&after={}",
                    newest["next"].as_str().unwrap()
                ))
                .await
                .json();
            assert_eq!(data(&older), [6, 5, 4, 3, 2, 1, 0]);
            assert_eq!(data(&site.get("/api/tags/never:1").await.is(200).json()), [0_u64; 0]);
            site.get("/api/tags/notag").await.problem(400, "malformed");
            site.get("/api/tags/all:1?after=zzz-1").await.problem(410, "epoch-changed");
        });
    }
}
