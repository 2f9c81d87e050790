//! CloudEvents: ours go out as theirs, and theirs come in as ours.

use serde_json::{Value, json};

use super::{BOTH, Site, send};
use crate::victim::block_on;

const ONE: &str = "application/cloudevents+json";
const BATCH: &str = "application/cloudevents-batch+json";

#[test]
fn the_log_is_read_as_a_batch_and_a_batch_is_appended_once() {
    for kind in BOTH {
        let (site, other) = (Site::start(kind), Site::start(kind));
        block_on(async {
            let events: Vec<Value> = (0..5)
                .map(|number| {
                    json!({ "streamId": "order-1", "eventType": "Sold", "schema": 2, "data": { "number": number }, "tags": ["k:v", "a:b"],
                            "metadata": { "causationId": "c-1", "shop": 7 } })
                })
                .collect();
            site.post("/api/append", &json!({ "events": events })).await.is(201);
            let answer = send(site.request("GET", "/api/events?limit=3&types=Sold").header("Accept", BATCH))
                .await
                .is(200);
            assert_eq!(answer.header("content-type"), Some(BATCH));
            assert!(answer.header("link").is_some());
            let batch = answer.json();
            assert_eq!(batch.as_array().unwrap().len(), 3);
            let one = &batch[0];
            assert_eq!(
                (&one["specversion"], &one["type"], &one["subject"]),
                (&json!("1.0"), &json!("Sold"), &json!("order-1"))
            );
            assert_eq!(
                (&one["data"], &one["datacontenttype"]),
                (&json!({ "number": 0 }), &json!("application/json"))
            );
            assert!(
                one["sequence"].is_string() && one["time"].is_string() && one["source"] == "urn:flightdeck",
                "{one}"
            );
            // Into another log, and a second time.
            let post = || {
                send(
                    other
                        .request("POST", "/api/append")
                        .header("Content-Type", BATCH)
                        .body(answer.bytes.clone()),
                )
            };
            let told = post().await.is(201).json();
            assert_eq!(told["streams"], json!([{ "streamId": "order-1", "fromVersion": 1, "version": 3 }]));
            assert_eq!(post().await.is(200).json()["duplicate"], true);
            let (here, there) = (
                site.get("/api/streams/order-1/events").await.json(),
                other.get("/api/streams/order-1/events").await.json(),
            );
            for place in 0..3 {
                for member in ["id", "streamId", "version", "eventType", "schema", "data", "tags", "metadata"]
                {
                    assert_eq!(here["events"][place][member], there["events"][place][member], "{member}");
                }
            }
        });
    }
}

#[test]
fn events_of_somebody_else_are_known_by_source_and_id() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let event = json!({
                "specversion": "1.0", "id": "17", "source": "/shop", "type": "com.example.sold", "subject": "order-1",
                "time": "2026-01-02T03:04:05Z", "data": { "a": 1 }, "partitionkey": "p",
            });
            let post = |event: &Value| {
                send(site.request("POST", "/api/append").header("Content-Type", ONE).body(event.to_string()))
            };
            post(&event).await.is(201);
            post(&event).await.is(200);
            let mut changed = event.clone();
            changed["data"] = json!(2);
            post(&changed).await.problem(422, "event-id-reused");
            let stored = site.get("/api/streams/order-1/events").await.json();
            assert_eq!(stored["events"].as_array().unwrap().len(), 1);
            let metadata = &stored["events"][0]["metadata"];
            assert_eq!((&metadata["source"], &metadata["partitionkey"]), (&json!("/shop"), &json!("p")));
            assert_eq!(metadata["occurredAt"], "2026-01-02T03:04:05.000000Z");
            let wrong =
                json!([event, { "specversion": "0.3", "id": "1", "type": "A", "subject": "content-1" }]);
            let wrong = send(
                site.request("POST", "/api/append").header("Content-Type", BATCH).body(wrong.to_string()),
            )
            .await;
            let wrong = wrong.problem(400, "malformed");
            assert_eq!(wrong["missing"], json!(["[1].source", "[1].data"]));
            assert!(wrong["invalid"]["[1].specversion"].is_string(), "{wrong}");
            let mut owned = event.clone();
            owned["subject"] = json!("content-1");
            post(&owned).await.problem(422, "owned-category");
        });
    }
}
