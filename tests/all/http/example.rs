//! The example that adds an aggregate, a view and routes of its own to a server: run as its reader would run it.

use std::process::Command;
use std::time::Duration;

use rustix::process::Signal;
use serde_json::{Value, json};

use super::{Answer, Site, send};
use crate::victim::block_on;

const BIDS: &str = "/api/auctions/vase/bids";
const NDJSON: &str = "application/x-ndjson";

/// The example, which is built beside these tests, on its store in that folder.
fn auctions(folder: tempfile::TempDir) -> Site {
    let tests = std::env::current_exe().unwrap();
    let mut command = Command::new(tests.parent().unwrap().with_file_name("examples").join("auctions"));
    command.arg(folder.path());
    let store = format!("sqlite:{}", folder.path().join("auctions.db").display());
    Site::of(command, &store, folder)
}

/// The example, told to stop as at a terminal, and started again on the same store.
fn again(mut site: Site) -> Site {
    site.signal(Signal::INT);
    let (code, said) = site.ended();
    assert_eq!(code, Some(0), "{said}");
    let folder = std::mem::replace(&mut site.folder, tempfile::tempdir().unwrap());
    drop(site);
    auctions(folder)
}

async fn bid(site: &Site, bidder: &str, cents: i64) -> Answer {
    site.post(BIDS, &json!({ "bidder": bidder, "cents": cents })).await
}

/// The view, once it is where that answer was.
async fn leading(site: &Site, since: &Answer) -> Value {
    let request = site.request("GET", "/api/auctions");
    let position = since.header("flightdeck-position").unwrap();
    send(request.header("FlightDeck-Min-Position", position)).await.is(200).json()
}

fn cents(page: &Value) -> Vec<i64> {
    page["events"].as_array().unwrap().iter().map(|event| event["data"]["cents"].as_i64().unwrap()).collect()
}

#[test]
fn an_aggregate_of_somebody_elses_is_written_viewed_found_and_followed() {
    assert!(include_str!("../../../crates/flightdeck-server/examples/auction.rs").lines().count() < 80);
    let site = auctions(tempfile::tempdir().unwrap());
    block_on(async {
        let first = bid(&site, "ada", 500).await.is(204);
        assert_eq!(first.header("etag"), Some("\"1\""));
        let led_by = |bidder: &str, cents: i64| json!({ "items": [{ "id": "vase", "bidder": bidder, "cents": cents }] });
        assert_eq!(leading(&site, &first).await, led_by("ada", 500));

        let refused = bid(&site, "bob", 500).await.problem(422, "refused");
        assert_eq!(refused["detail"], "A bid must be higher than 500 cents.");
        assert_eq!(refused["outcome"], "not-committed");
        site.post(BIDS, &json!({ "bidder": "bob" })).await.problem(400, "malformed");
        let raw =
            json!({ "events": [{ "eventType": "BidPlaced", "data": { "bidder": "eve", "cents": 1 } }] });
        site.post("/api/streams/auction-vase/events", &raw).await.problem(422, "owned-category");

        // Who waits and who follows hears of the next bid; the same request again is no other bid.
        let after = first.header("flightdeck-position").unwrap();
        let waits = format!("/api/events?streams=auction-*&after={after}&wait=20s");
        let follows = site.request("GET", "/api/events?follow=true&streams=auction-*&limit=2");
        let followed = follows.header("Accept", NDJSON).send().await.unwrap();
        let higher = || {
            let body = json!({ "bidder": "bob", "cents": 600 });
            send(site.request("POST", BIDS).header("Idempotency-Key", "bob-1").json(&body))
        };
        let (page, second) = tokio::join!(site.get(&waits), higher());
        let second = second.is(204);
        assert_eq!(higher().await.is(204).header("flightdeck-duplicate"), Some("true"));
        assert_eq!(cents(&page.is(200).json()), [600]);
        let lines = tokio::time::timeout(Duration::from_secs(20), followed.text()).await.unwrap().unwrap();
        let lines: Vec<Value> = lines.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(lines.iter().map(|line| &line["data"]["cents"]).collect::<Vec<_>>(), [500, 600]);
        assert_eq!(leading(&site, &second).await, led_by("bob", 600));
        let then = site.get(&format!("/api/auctions?at={after}")).await.is(200).json();
        assert_eq!(then, led_by("ada", 500));

        let log = site.get("/api/events?streams=auction-*&types=BidPlaced").await.is(200).json();
        assert_eq!(cents(&log), [500, 600]);
        let document = site.get("/api/openapi.json").await.is(200).json();
        assert_eq!(document["paths"]["/api/auctions/{id}/bids"]["post"]["operationId"], "bid");

        // All of it is there when it is started again.
        let site = again(site);
        assert_eq!(leading(&site, &second).await, led_by("bob", 600));
    });
}
