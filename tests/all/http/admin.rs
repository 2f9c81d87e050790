//! What an administrator sees and does over HTTP: views, the store, connections.

use reqwest::Client;
use serde_json::{Value, json};

use super::{Answer, BOTH, Kind, Site, send};
use crate::victim::block_on;

async fn act(site: &Site, path: &str, key: Option<&str>) -> Answer {
    let mut request = site.request("POST", &format!("/api/admin/projections/{path}"));
    if let Some(key) = key {
        request = request.header("Idempotency-Key", key);
    }
    send(request).await
}

fn of<'v>(told: &'v Value, name: &str) -> Vec<&'v Value> {
    told["items"].as_array().unwrap().iter().filter(|item| item["name"] == name).collect()
}

#[test]
fn projections_are_listed_and_wait_and_go_on_and_are_built_anew() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            site.post("/api/events", &json!({ "type": "PageViewed", "pageId": "/" })).await.is(202);
            let there = |answer: &Answer| {
                let told = answer.json();
                of(&told, "pages").iter().any(|item| item["state"] == "serving" && item["lag"] == 0)
            };
            let told = site.until("/api/admin/projections", there).await.json();
            for name in
                ["content", "presentations", "users", "user_activity", "sessions", "pages", "site_analytics"]
            {
                assert_eq!(of(&told, name).len(), 1, "{name} in {told}");
            }
            act(&site, "pages/pause", None).await.is(202);
            let paused =
                |answer: &Answer| of(&answer.json(), "pages").iter().all(|item| item["state"] == "paused");
            site.until("/api/admin/projections", paused).await;
            act(&site, "pages/rebuild", None).await.problem(409, "wrong-state");
            act(&site, "pages/resume", None).await.is(202);
            site.until("/api/admin/projections", there).await;
            act(&site, "pages/skip", None).await.problem(409, "wrong-state");

            let first = act(&site, "pages/rebuild", Some("once")).await.is(202);
            assert_eq!(first.json(), json!({ "projection": "pages", "act": "rebuild" }));
            let again = act(&site, "pages/rebuild", Some("once")).await.is(202);
            assert_eq!(again.bytes, first.bytes);
            assert_eq!(again.header("flightdeck-duplicate"), Some("true"));
            let built = |answer: &Answer| {
                let told = answer.json();
                let pages = of(&told, "pages");
                pages.len() == 1 && pages[0]["build"] == 2 && pages[0]["state"] == "serving"
            };
            site.until("/api/admin/projections", built).await;

            for path in ["nothing/pause", "nothing/rebuild", "No-Name/resume"] {
                act(&site, path, None).await.problem(404, "not-found");
            }
            // Every act is an event of its own, and a repetition is none.
            let audit = site.get("/api/streams/$audit").await.is(200).json();
            assert_eq!(audit["version"], 3);
        });
    }
}

#[test]
fn the_store_tells_its_size_its_durability_and_its_head() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            site.post("/api/events", &json!({ "type": "PageViewed", "pageId": "/" })).await.is(202);
            let told = site.get("/api/admin/store").await.is(200).json();
            let (name, has_wal) = match kind {
                Kind::Sqlite => ("sqlite", true),
                Kind::Postgres => ("postgres", false),
            };
            assert_eq!(told["kind"], name);
            let bytes = |name: &str| told[name].as_u64().unwrap_or(0);
            assert!(bytes("sizeBytes") >= 4096 && bytes("sizeBytes") + bytes("walBytes") > 4096, "{told}");
            assert_eq!(told["walBytes"].is_u64(), has_wal, "{told}");
            assert!(told["durability"].as_str().is_some_and(|text| !text.is_empty()), "{told}");
            let head = told["head"].as_str().unwrap();
            assert_eq!(head, format!("{}-{}", told["epoch"].as_str().unwrap(), told["events"]));
        });
    }
}

#[test]
fn the_connections_that_are_open_are_listed_and_go_when_they_end() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let others: Vec<Client> = (0..3).map(|_| Client::new()).collect();
        for other in &others {
            other.get(format!("{}/health/live", site.url)).send().await.unwrap().bytes().await.unwrap();
        }
        let told = site.get("/api/admin/connections").await.is(200).json();
        assert_eq!((&told["open"], &told["accepted"]), (&json!(4), &json!(4)));
        let items = told["items"].as_array().unwrap();
        assert_eq!(items.len(), 4);
        for item in items {
            assert_eq!(item["kind"], "http");
            assert!(item["peer"].as_str().unwrap().starts_with("127.0.0.1:"));
        }
        let some = site.get("/api/admin/connections?limit=3").await.is(200).json();
        assert_eq!((some["items"].as_array().unwrap().len(), &some["next"]), (3, &json!("3")));
        // This client may open one more while its first is not yet free again.
        let rest = site.get("/api/admin/connections?after=3").await.is(200).json();
        assert_eq!(Some(rest["items"].as_array().unwrap().len() as u64 + 3), rest["open"].as_u64());
        let open = rest["open"].as_u64().unwrap();
        drop(others);
        let told = site
            .until("/api/admin/connections", |answer| answer.json()["open"].as_u64() <= Some(open - 3))
            .await
            .json();
        assert!(told["accepted"].as_u64() >= Some(open), "{told}");
    });
}
