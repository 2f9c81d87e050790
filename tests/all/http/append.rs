//! Appending events as they are: what is expected, what was done before, what is refused, and that nothing is ever half done.

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;

use super::{Answer, BOTH, Kind, Site, send};
use crate::victim::block_on;

fn event(number: u64) -> Value {
    json!({ "eventType": "Noted", "data": { "number": number } })
}

fn of(stream: &str, number: u64) -> Value {
    json!({ "streamId": stream, "eventType": "Noted", "data": { "number": number } })
}

#[test]
fn a_stream_receives_events_if_it_is_as_expected() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let path = "/api/streams/note-1/events";
            let answer =
                site.post(path, &json!({ "expected": "none", "events": [event(1), event(2)] })).await.is(201);
            assert_eq!(answer.header("etag"), Some("\"2\""));
            assert_eq!(answer.header("flightdeck-duplicate"), None);
            let cursor = answer.header("flightdeck-position").unwrap().to_owned();
            let told = answer.json();
            assert_eq!((&told["streamId"], &told["duplicate"]), (&json!("note-1"), &json!(false)));
            assert_eq!((&told["fromVersion"], &told["version"]), (&json!(1), &json!(2)));
            assert_eq!(told["position"].as_i64(), told["fromPosition"].as_i64().map(|from| from + 1));
            assert!(cursor.ends_with(&format!("-{}", told["position"])), "{cursor}");
            for (expected, status) in [
                (json!("any"), 201),
                (json!("exists"), 201),
                (json!(4), 201),
                (json!(4), 409),
                (json!("none"), 409),
            ] {
                site.post(path, &json!({ "expected": expected, "events": [event(3)] })).await.is(status);
            }
            let conflict = site.post(path, &json!({ "expected": 9, "events": [event(1)] })).await;
            assert_eq!(conflict.header("etag"), Some("\"5\""));
            let conflict = conflict.problem(409, "version-conflict");
            assert_eq!((&conflict["expected"], &conflict["actual"]), (&json!(9), &json!(5)));
            assert_eq!(
                (&conflict["outcome"], &conflict["streamId"]),
                (&json!("not-committed"), &json!("note-1"))
            );
            let never = site
                .post("/api/streams/note-2/events", &json!({ "expected": "exists", "events": [event(1)] }))
                .await;
            assert_eq!(never.problem(409, "version-conflict")["actual"], "none");
            let zero = site
                .post(path, &json!({ "expected": 0, "events": [event(1)] }))
                .await
                .problem(400, "malformed");
            assert!(zero["invalid"]["expected"].is_string(), "{zero}");
            assert_eq!(site.get("/api/streams/note-1").await.json()["version"], 5);
        });
    }
}

#[test]
fn if_match_goes_by_the_version_of_the_stream() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let path = "/api/streams/note-1/events";
            let body = json!({ "events": [event(1)] });
            let at = |tag: &'static str| site.request("POST", path).header("If-Match", tag).json(&body);
            send(at("*")).await.problem(412, "precondition-failed");
            site.post(path, &body).await.is(201);
            send(at("\"1\"")).await.is(201);
            let failed = send(at("\"1\"")).await.problem(412, "precondition-failed");
            assert_eq!((&failed["expected"], &failed["actual"]), (&json!(1), &json!(2)));
            send(at("*")).await.is(201);
            for wrong in ["1", "W/\"1\"", "\"1\", \"2\"", "\"0\""] {
                send(at(wrong)).await.problem(400, "malformed");
            }
            let both = json!({ "expected": 3, "events": [event(1)] });
            send(site.request("POST", path).header("If-Match", "\"3\"").json(&both))
                .await
                .problem(422, "refused");
            let many = json!({ "events": [of("note-1", 1)] });
            send(site.request("POST", "/api/append").header("If-Match", "\"3\"").json(&many))
                .await
                .problem(422, "refused");
            assert_eq!(site.get("/api/streams/note-1").await.json()["version"], 3);
        });
    }
}

#[test]
fn events_over_many_streams_are_appended_together_or_not_at_all() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let events = json!([of("note-1", 1), of("list-1", 2), of("note-1", 3)]);
            let answer = site
                .post(
                    "/api/append",
                    &json!({ "events": events, "expected": { "note-1": "none", "other-1": "none" } }),
                )
                .await
                .is(201);
            let told = answer.json();
            let streams = json!([
                { "streamId": "note-1", "fromVersion": 1, "version": 2 },
                { "streamId": "list-1", "fromVersion": 1, "version": 1 },
            ]);
            assert_eq!(told["streams"], streams);
            assert_eq!(told["position"].as_i64(), told["fromPosition"].as_i64().map(|from| from + 2));
            assert_eq!(told["cursor"].as_str(), answer.header("flightdeck-position"));
            // One that is only read may be expected too.
            let body = json!({ "events": [of("note-1", 4)], "expected": { "list-1": 2 } });
            let conflict = site.post("/api/append", &body).await.problem(409, "version-conflict");
            assert_eq!(
                (&conflict["streamId"], &conflict["expected"], &conflict["actual"]),
                (&json!("list-1"), &json!(2), &json!(1))
            );
            assert_eq!(site.get("/api/streams/note-1").await.json()["version"], 2);
        });
    }
}

#[test]
fn a_condition_holds_what_was_decided_against_what_came_since() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let seat = |number: u64| json!({ "streamId": format!("seat-{number}"), "eventType": "Taken", "data": null, "tags": ["row:7"] });
            let first = site.post("/api/append", &json!({ "events": [seat(1)] })).await.is(201).json();
            let before =
                site.get("/api/events?limit=1").await.json()["events"][0]["position"].as_i64().unwrap() - 1;
            let items = json!([{ "tags": ["row:7"], "types": ["Taken"] }]);
            let on =
                |after: Value| json!({ "events": [seat(2)], "condition": { "after": after, "any": items } });
            let failed = site.post("/api/append", &on(json!(before))).await.problem(409, "condition-failed");
            assert_eq!(failed["position"], first["position"]);
            // The beginning, when nothing is said.
            let default = json!({ "events": [seat(2)], "condition": { "any": [{}] } });
            site.post("/api/append", &default).await.problem(409, "condition-failed");
            site.post("/api/append", &on(first["cursor"].clone())).await.is(201);
            let other = site.post("/api/append", &on(json!("zzz-1"))).await.problem(409, "other-epoch");
            assert!(other["head"].is_string(), "{other}");
            let none = json!({ "events": [seat(3)], "condition": { "any": [] } });
            site.post("/api/append", &none).await.is(201);
        });
    }
}

#[test]
fn events_whose_ids_were_seen_are_answered_with_what_was_done_then() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let id = |number: u32| format!("0192f3a4-7b1c-7def-8123-{number:012x}");
            let one = |number: u32, text: &str| json!({ "id": id(number), "streamId": "note-1", "eventType": "Noted", "data": text });
            let first = site
                .post("/api/append", &json!({ "events": [one(1, "a"), one(2, "b")] }))
                .await
                .is(201)
                .json();
            let again = json!({ "events": [one(1, "a"), one(2, "b")], "expected": { "note-1": "none" } });
            let again = site.post("/api/append", &again).await.is(200);
            assert_eq!(again.header("flightdeck-duplicate"), Some("true"));
            let mut told = again.json();
            assert_eq!(told["duplicate"], true);
            told["duplicate"] = json!(false);
            assert_eq!(told, first);
            for other in [
                json!([one(1, "x"), one(2, "b")]),
                json!([one(1, "a"), one(3, "c")]),
                json!([one(2, "b"), one(1, "a")]),
            ] {
                let refused = site
                    .post("/api/append", &json!({ "events": other }))
                    .await
                    .problem(422, "event-id-reused");
                assert_eq!(refused["outcome"], "not-committed");
            }
            let twice = site.post("/api/append", &json!({ "events": [one(7, "a"), one(7, "a")] })).await;
            twice.problem(422, "event-id-reused");
            assert_eq!(site.get("/api/streams/note-1").await.json()["version"], 2);
        });
    }
}

#[test]
fn a_request_with_its_key_is_done_once_and_answered_alike_each_time() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let keyed = |key: &str, body: &Value| {
                site.request("POST", "/api/append").header("Idempotency-Key", key).json(body)
            };
            let body = json!({ "events": [of("note-1", 1)] });
            let all: Vec<Answer> =
                futures_util::future::join_all((0..50).map(|_| send(keyed("k-1", &body)))).await;
            let fresh = all.iter().filter(|answer| answer.header("flightdeck-duplicate").is_none()).count();
            assert_eq!(fresh, 1);
            for answer in &all {
                assert_eq!((answer.status, &answer.bytes), (201, &all[0].bytes));
                assert_eq!(answer.header("flightdeck-position"), all[0].header("flightdeck-position"));
            }
            let other = json!({ "events": [of("note-1", 2)] });
            send(keyed("k-1", &other)).await.problem(422, "idempotency-key-reused");
            // A key is one of its route.
            let elsewhere =
                site.request("POST", "/api/streams/note-1/events").header("Idempotency-Key", "k-1");
            send(elsewhere.json(&json!({ "events": [event(3)] }))).await.is(201);
            assert_eq!(site.get("/api/streams/note-1").await.json()["version"], 2);
            // Whether it was by the ids or by the key that a repetition was known is the same at each repetition.
            let with_id = json!({ "events": [{
                "id": "0192f3a4-7b1c-7def-8123-0000000000aa", "streamId": "note-2", "eventType": "Noted", "data": 1,
            }] });
            let first = send(keyed("k-2", &with_id)).await.is(201);
            let again = send(keyed("k-2", &with_id)).await.is(201);
            assert_eq!((&again.bytes, again.header("flightdeck-duplicate")), (&first.bytes, Some("true")));
            let by_id = send(keyed("k-3", &with_id)).await.is(200);
            assert_eq!(by_id.json()["duplicate"], true);
            assert_eq!(send(keyed("k-3", &with_id)).await.is(200).bytes, by_id.bytes);
            send(keyed("k-3", &other)).await.problem(422, "idempotency-key-reused");
            assert_eq!(site.get("/api/streams/note-2").await.json()["version"], 1);
        });
    }
}

#[test]
fn what_belongs_to_an_aggregate_is_not_written_here() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            for stream in ["content-1", "presentation-1", "user-1", "visitor-1", "$token-1"] {
                let path = format!("/api/streams/{stream}/events");
                let refused =
                    site.post(&path, &json!({ "events": [event(1)] })).await.problem(422, "owned-category");
                assert_eq!(refused["outcome"], "not-committed");
            }
            for tag in ["slug:a", "email:a", "role:admin"] {
                let mut tagged = of("note-1", 1);
                tagged["tags"] = json!([tag]);
                let body = json!({ "events": [of("note-1", 0), tagged] });
                site.post("/api/append", &body).await.problem(422, "owned-category");
            }
            // A type that is known has the shape that it has, wherever it stands.
            let namesake =
                json!({ "streamId": "note-1", "eventType": "ContentDeleted", "data": { "what": 1 } });
            let refused = site
                .post("/api/append", &json!({ "events": [of("note-1", 0), namesake] }))
                .await
                .problem(422, "refused");
            assert!(refused["invalid"]["events[1].data"].is_string(), "{refused}");
            site.get("/api/streams/note-1").await.problem(404, "not-found");
        });
    }
}

#[test]
fn metadata_is_the_clients_but_for_who_did_it() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let body = r#"{"events":[{"eventType":"Noted","data": {"b":1.50,"a":[ 1,2 ],"b":2},"tags":["k:b","k:a","k:b"],"metadata":
                {"z":12345678901234567890.10,"userId":"somebody","causationId":"c-1","occurredAt":"2026-01-02T03:04:05+01:00","a":"é"}},
                {"eventType":"Noted","data":"x","metadata":{"correlationId":"own"}}]}"#;
            let request =
                site.request("POST", "/api/streams/note-1/events").header("Content-Type", "application/json");
            send(request.header("FlightDeck-Correlation-Id", "req-1").body(body)).await.is(201);
            let page = site.get("/api/streams/note-1/events").await.is(200);
            let text = String::from_utf8(page.bytes.clone()).unwrap();
            assert!(text.contains("\"data\":{\"b\":1.50,\"a\":[ 1,2 ],\"b\":2}"), "{text}");
            assert!(text.contains("\"z\":12345678901234567890.10,\"a\":\"é\""), "{text}");
            let told = page.json();
            let (first, second) = (&told["events"][0], &told["events"][1]);
            assert_eq!(first["metadata"]["correlationId"], "req-1");
            assert_eq!(first["metadata"]["causationId"], "c-1");
            assert_eq!(first["metadata"]["occurredAt"], "2026-01-02T02:04:05.000000Z");
            assert_eq!(first["metadata"]["userId"], Value::Null);
            assert_eq!(first["tags"], json!(["k:a", "k:b"]));
            assert_eq!(second["metadata"], json!({ "correlationId": "own" }));
        });
    }
}

#[test]
fn everything_that_is_wrong_is_listed_by_its_place() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let body = json!({
            "events": [of("note-1", 1), { "streamId": "a b", "eventType": "1", "dat": 1 }, of("note-1", 2), { "data": 1, "eventType": "A", "id": 1 }],
            "expected": { "note-1": 0 }, "condition": { "any": [{ "tags": ["x"] }] },
        });
        let problem = site.post("/api/append", &body).await.problem(400, "malformed");
        assert_eq!(problem["missing"], json!(["events[1].data", "events[3].streamId"]));
        let told: Vec<&String> = problem["invalid"].as_object().unwrap().keys().collect();
        let places = [
            "condition.any[0].tags[0]",
            "events[1].dat",
            "events[1].eventType",
            "events[1].streamId",
            "events[3].id",
            "expected.note-1",
        ];
        assert_eq!(told, places);
        assert_eq!(problem["outcome"], "not-committed");
        let event = of("note-1", 1);
        let many = json!({ "events": vec![event; 1001] });
        site.post("/api/append", &many).await.problem(413, "too-large");
        let other = site.request("POST", "/api/append").header("Content-Type", "text/plain").body("{}");
        send(other).await.problem(415, "unsupported-media-type");
        for path in [
            "/api/streams/a%20b/events",
            "/api/streams/a%2Cb/events",
            "/api/streams/%2E%2E/events",
            "/api/streams/a%0Ab/events",
        ] {
            site.post(path, &json!({ "events": [event_of_nothing()] })).await.problem(400, "malformed");
        }
        let slash = site
            .post("/api/streams/note-a%2Fb/events", &json!({ "events": [event_of_nothing()] }))
            .await
            .is(201);
        assert_eq!(slash.json()["streamId"], "note-a/b");
    });
}

fn event_of_nothing() -> Value {
    event(0)
}

#[test]
fn a_client_that_goes_away_leaves_all_of_an_append_or_nothing() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let address = site.url.trim_start_matches("http://").to_owned();
            let events: Vec<Value> = (0..200).map(event).collect();
            let body = json!({ "expected": "none", "events": events }).to_string();
            for (number, part) in [0, 1, 2, 3, 4, 4, 4, 4].into_iter().enumerate() {
                let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
                let head = format!(
                    "POST /api/streams/gone-{number}/events HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
                     Content-Length: {}\r\n\r\n",
                    body.len()
                );
                socket.write_all(head.as_bytes()).await.unwrap();
                socket.write_all(&body.as_bytes()[..body.len() * part / 4]).await.unwrap();
                socket.flush().await.unwrap();
                drop(socket);
            }
            // The server goes on, and each stream is whole or was never.
            site.post("/api/streams/note-1/events", &json!({ "events": [event(1)] })).await.is(201);
            for number in 0..8 {
                let answer = site.get(&format!("/api/streams/gone-{number}")).await;
                assert!(answer.status == 404 || answer.json()["version"] == 200, "{:?}", answer.json());
                assert!(number > 3 || answer.status == 404, "half a body is none");
            }
        });
    }
}
