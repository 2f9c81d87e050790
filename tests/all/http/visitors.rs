//! Visitor facts: who a visitor is, what is kept of it and what not, and how it goes on with another device. (B1–B3, B8)

use reqwest::header::{COOKIE, SET_COOKIE};
use serde_json::{Value, json};

use super::{Answer, BOTH, Kind, Site, send};
use crate::victim::block_on;

const VIEW: &str = r#"{"type":"PageViewed","pageId":"/pricing"}"#;

/// What a browser would send back of the cookie that came with an answer.
fn cookie(answer: &Answer) -> Option<String> {
    let set = answer.headers.get(SET_COOKIE)?.to_str().unwrap();
    Some(set.split(';').next().unwrap().to_owned())
}

/// What a browser sends that has this cookie.
async fn sends(site: &Site, path: &str, cookie: Option<&str>, body: &str) -> Answer {
    let mut request =
        site.request("POST", path).header("Content-Type", "application/json").body(body.to_owned());
    if let Some(cookie) = cookie {
        request = request.header(COOKIE, cookie);
    }
    send(request).await
}

async fn current(site: &Site, cookie: &str) -> Answer {
    send(site.request("GET", "/api/stream/current").header(COOKIE, cookie)).await
}

async fn link(site: &Site, cookie: &str) -> String {
    let offered = send(site.request("POST", "/api/stream/link").header(COOKIE, cookie)).await.is(201).json();
    assert!(offered["expiresAt"].as_str().unwrap().ends_with('Z'));
    offered["code"].as_str().unwrap().to_owned()
}

/// How many events the log has.
async fn head(site: &Site) -> i64 {
    site.get("/api/admin/store").await.is(200).json()["events"].as_i64().unwrap()
}

#[test]
fn a_visitor_is_known_by_a_cookie_that_only_the_server_can_make() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let first = sends(&site, "/api/events", None, VIEW).await.is(202);
            let told =
                json!({ "stored": true, "fromVersion": 1, "version": 1, "fromPosition": 1, "position": 1 });
            assert_eq!(first.json(), told);
            assert_eq!(first.header("etag"), Some("\"1\""));
            assert!(first.header("flightdeck-position").unwrap().ends_with("-1"));
            let set = first.header("set-cookie").unwrap();
            for part in ["; HttpOnly", "; SameSite=Lax", "; Path=/"] {
                assert!(set.contains(part), "{set}");
            }
            assert!(!set.contains("Secure"), "{set}");
            let cookie = cookie(&first).unwrap();

            let two = format!(r#"[{VIEW},{{"type":"ButtonClicked","buttonId":"buy"}}]"#);
            let second = sends(&site, "/api/events", Some(&cookie), &two).await.is(202);
            assert_eq!(second.json()["fromVersion"], 2);
            assert_eq!(second.json()["version"], 3);
            assert_eq!(second.header("set-cookie"), None);
            let stream = current(&site, &cookie).await.is(200);
            assert_eq!(stream.header("etag"), Some("\"3\""));
            assert_eq!(stream.json()["consent"], "unanswered");
            let name = stream.json()["streamId"].as_str().unwrap().to_owned();
            assert!(name.starts_with("visitor-"), "{name}");

            // One that somebody thought up is none: whoever sends it is somebody new.
            let (_, mac) = cookie.rsplit_once('.').unwrap();
            for forged in [
                format!("flightdeck_visitor=someone-else.{mac}"),
                format!("{cookie}0"),
                "flightdeck_visitor=".to_owned(),
            ] {
                current(&site, &forged).await.problem(404, "not-found");
                let other = sends(&site, "/api/events", Some(&forged), VIEW).await.is(202);
                assert_eq!(other.json()["version"], 1, "{forged}");
                assert!(other.header("set-cookie").is_some());
            }
        });
        // The secret is the log's: a cookie is good for as long as the log is.
        let before = block_on(async { cookie(&sends(&site, "/api/events", None, VIEW).await).unwrap() });
        let site = site.kill_and_restart();
        block_on(async {
            assert_eq!(current(&site, &before).await.is(200).json()["version"], 1);
        });
    }
}

#[test]
fn what_send_beacon_sends_is_taken_and_what_is_wrong_is_told_fact_by_fact() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let beacon =
                site.request("POST", "/api/events").header("Content-Type", "text/plain;charset=UTF-8");
            send(beacon.body(format!("[{VIEW}]"))).await.is(202);
            let wrong = format!(r#"[{VIEW},{{"type":"ButtonClicked"}},{{"type":"Nothing"}}]"#);
            let problem = sends(&site, "/api/events", None, &wrong).await.problem(400, "malformed");
            assert_eq!(problem["missing"], json!(["[1].buttonId"]));
            assert!(problem["invalid"]["[2].type"].is_string(), "{problem}");
            assert_eq!(problem["outcome"], "not-committed");

            let many = |facts: usize| format!("[{}]", vec![VIEW; facts].join(","));
            sends(&site, "/api/events", None, &many(20)).await.is(202);
            sends(&site, "/api/events", None, &many(21)).await.problem(413, "too-large");
            let large = |bytes: usize| {
                format!(r#"{{"type":"PageViewed","pageId":"/","metadata":{{"a":"{}"}}}}"#, "x".repeat(bytes))
            };
            sends(&site, "/api/events", None, &large(16_000)).await.is(202);
            sends(&site, "/api/events", None, &large(17_000)).await.problem(413, "too-large");
            sends(&site, "/api/events", None, &large(500_000)).await.problem(413, "too-large");
            let form = site
                .request("POST", "/api/events")
                .header("Content-Type", "application/x-www-form-urlencoded");
            send(form.body("a=b")).await.problem(415, "unsupported-media-type");
            assert_eq!(head(&site).await, 1 + 20 + 1);
        });
    }
}

#[test]
fn without_consent_nothing_is_stored_where_the_site_asks_for_it_and_no_trace_is_left() {
    for kind in BOTH {
        let site = Site::start_with(kind, &["--ask-consent"]);
        block_on(async {
            let keyed = site.request("POST", "/api/events").header("Idempotency-Key", "a").body(VIEW);
            let refused = send(keyed.header("Content-Type", "application/json")).await.is(202);
            assert_eq!(refused.json(), json!({ "stored": false }));
            assert_eq!(refused.header("set-cookie"), None);
            assert_eq!(head(&site).await, 0);
            let streams = site.get("/api/streams").await.is(200).json();
            assert_eq!(streams["items"], json!([]));

            let accepted = sends(&site, "/api/consent", None, r#"{"answer":"accept"}"#).await.is(200);
            assert_eq!(accepted.json(), json!({ "consent": "accepted" }));
            let cookie = cookie(&accepted).unwrap();
            assert_eq!(sends(&site, "/api/events", Some(&cookie), VIEW).await.is(202).json()["stored"], true);
            assert_eq!(current(&site, &cookie).await.is(200).json()["consent"], "accepted");

            let declined =
                sends(&site, "/api/consent", Some(&cookie), r#"{"answer":"decline"}"#).await.is(200);
            assert_eq!(declined.json(), json!({ "consent": "declined" }));
            assert_eq!(
                sends(&site, "/api/events", Some(&cookie), VIEW).await.is(202).json(),
                json!({ "stored": false })
            );
            assert_eq!(head(&site).await, 3);
            // Nobody's answer is taken back: that is nothing.
            let reset = sends(&site, "/api/consent", None, r#"{"answer":"reset"}"#).await.is(200);
            assert_eq!(
                (reset.json(), reset.header("set-cookie")),
                (json!({ "consent": "unanswered" }), None)
            );
            sends(&site, "/api/consent", None, r#"{"answer":"perhaps"}"#).await.problem(400, "malformed");
            assert_eq!(head(&site).await, 3);
        });
    }
}

#[test]
fn a_link_code_carries_a_stream_to_one_other_device_and_to_no_more() {
    for kind in BOTH {
        let mut site = Site::start(kind);
        let (mine, code) = block_on(async {
            let mine = cookie(&sends(&site, "/api/events", None, VIEW).await).unwrap();
            (mine.clone(), link(&site, &mine).await)
        });
        // What is in the log is only what the code is known by; and it holds when the server was killed.
        site = site.kill_and_restart();
        block_on(async {
            let streams = site.get("/api/streams?category=$link").await.is(200).json();
            assert_eq!(streams["items"].as_array().unwrap().len(), 1);
            assert!(!streams.to_string().contains(&code));
            let path = format!("/api/events?ref={code}");
            // Of many who take it at once, one gets it.
            let takers = (0..20).map(|_| sends(&site, &path, None, VIEW));
            let answers = futures_util::future::join_all(takers).await;
            let (taken, refused): (Vec<_>, Vec<_>) =
                answers.into_iter().partition(|answer| answer.status == 202);
            assert_eq!((taken.len(), refused.len()), (1, 19));
            for refused in refused {
                let problem = refused.problem(422, "refused");
                assert_eq!(problem["outcome"], "not-committed");
            }
            assert_eq!(taken[0].json()["version"], 2);
            let theirs = cookie(&taken[0]).unwrap();
            assert_eq!(theirs, mine);
            // Who has the stream already loads the page again, with the code still in its address.
            assert_eq!(sends(&site, &path, Some(&mine), VIEW).await.is(202).json()["version"], 3);
            // A code that never was is told of in the same way, and one that is none as such.
            sends(&site, &format!("/api/events?ref={}", "0".repeat(32)), None, VIEW)
                .await
                .problem(422, "refused");
            sends(&site, "/api/events?ref=x", None, VIEW).await.problem(400, "malformed");
            // Who has no stream has nothing to carry anywhere.
            send(site.request("POST", "/api/stream/link")).await.problem(404, "not-found");
        });
    }
}

#[test]
fn what_is_sent_again_with_its_key_is_done_once_and_answered_alike() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let mine = cookie(&sends(&site, "/api/events", None, VIEW).await).unwrap();
            let keyed_as = async |key: &str, path: &str, cookie: Option<&str>, body: &str| {
                let mut request = site.request("POST", path).header("Idempotency-Key", key);
                if let Some(cookie) = cookie {
                    request = request.header(COOKIE, cookie);
                }
                if !body.is_empty() {
                    request = request.header("Content-Type", "application/json").body(body.to_owned());
                }
                send(request).await
            };
            let keyed = async |path: &str, cookie: Option<&str>, body: &str| {
                keyed_as("once", path, cookie, body).await
            };
            for (path, body) in
                [("/api/events", VIEW), ("/api/consent", r#"{"answer":"accept"}"#), ("/api/stream/link", "")]
            {
                let first = keyed(path, Some(&mine), body).await;
                assert!(super::is_success(&first), "{path}");
                assert_eq!(first.header("flightdeck-duplicate"), None);
                let again = keyed(path, Some(&mine), body).await;
                assert_eq!((again.status, &again.bytes), (first.status, &first.bytes), "{path}");
                assert_eq!(again.header("flightdeck-duplicate"), Some("true"), "{path}");
            }
            keyed("/api/events", Some(&mine), r#"{"type":"PageViewed","pageId":"/"}"#)
                .await
                .problem(422, "idempotency-key-reused");
            // Keys are a visitor's own: another one's are not met.
            let other = cookie(&sends(&site, "/api/events", None, VIEW).await).unwrap();
            assert_eq!(
                keyed("/api/events", Some(&other), VIEW).await.is(202).header("flightdeck-duplicate"),
                None
            );
            // Two who come for the first time with the same key are answered alike, and are not the same visitor.
            let (one, two) = (
                keyed("/api/events", None, VIEW).await.is(202),
                keyed("/api/events", None, VIEW).await.is(202),
            );
            assert_eq!(one.bytes, two.bytes);
            assert_eq!((cookie(&one).is_some(), cookie(&two)), (true, None));
            // A code that was taken by a request stays taken by it.
            let code = link(&site, &mine).await;
            let path = format!("/api/events?ref={code}");
            let (one, two) = (
                keyed_as("carried", &path, None, VIEW).await.is(202),
                keyed_as("carried", &path, None, VIEW).await.is(202),
            );
            assert_eq!(one.bytes, two.bytes);
            assert_eq!((cookie(&one), cookie(&two)), (Some(mine.clone()), Some(mine.clone())));
        });
    }
}

#[test]
fn facts_say_whose_they_are_and_what_they_belong_to() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let request = site.request("POST", "/api/events").header("FlightDeck-Correlation-Id", "page-7");
        let told = send(request.header("Content-Type", "application/json").body(VIEW)).await.is(202);
        let mine = cookie(&told).unwrap();
        let stream = current(&site, &mine).await.json()["streamId"].as_str().unwrap().to_owned();
        let visitor = stream.strip_prefix("visitor-").unwrap();
        let details = site.get(&format!("/api/analytics/visitors/{visitor}")).await.is(200).json();
        let fact: &Value = &details["timeline"]["items"][0];
        assert_eq!(fact["eventType"], "PageViewed");
        assert_eq!(fact["data"]["visitorId"], visitor);
        assert_eq!(fact["data"]["pageId"], "/pricing");
    });
}

/// A request that comes again late, after the visitor has thought better of it, turns nothing around.
#[test]
fn an_answer_that_is_repeated_late_does_not_come_back() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(async {
            let accept = r#"{"answer":"accept"}"#;
            let first = sends(&site, "/api/consent", None, accept).await;
            let known = cookie(&first.is(200)).unwrap();
            let keyed = async |key: &'static str, body: &'static str| {
                let request = site.request("POST", "/api/consent").header("Idempotency-Key", key);
                let request =
                    request.header("Cookie", known.as_str()).header("Content-Type", "application/json");
                send(request.body(body)).await.is(200).json()["consent"].clone()
            };
            // Accepted already: nothing happens, and that is remembered.
            assert_eq!(keyed("late", r#"{"answer":"accept"}"#).await, "accepted");
            assert_eq!(keyed("later", r#"{"answer":"decline"}"#).await, "declined");
            keyed("late", r#"{"answer":"accept"}"#).await;
            let now = current(&site, &known).await.is(200).json();
            assert_eq!((&now["consent"], &now["version"]), (&json!("declined"), &json!(2)));
            // What is expected of the visitor's stream is looked at.
            let stale = site
                .request("POST", "/api/consent")
                .header("If-Match", "\"1\"")
                .header("Cookie", known.as_str());
            send(stale.json(&json!({ "answer": "reset" }))).await.problem(412, "precondition-failed");
        });
    }
}
