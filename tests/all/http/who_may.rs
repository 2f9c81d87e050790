//! Who may what: every route, asked by everyone there is, against a table that is written by hand; and what is told to those who may
//! not see it, by whatever way they ask. (P13, T17)

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use ring::rand::SystemRandom;
use serde_json::{Value, json};

use super::guarded::{Guarded, There, credentials, in_seconds, jwt};
use super::{Answer, BOTH, Kind, Site, send};
use crate::victim::block_on;

/// Who asks, in the order of the columns: nobody in particular; somebody with rights to other things; who may read all; who may also
/// write all; an administrator.
const COLUMNS: [&str; 5] = ["none", "other", "reader", "writer", "admin"];
/// Those whose credential is none: each is refused everywhere.
const REFUSED: [&str; 4] = ["expired", "wrong audience", "swapped algorithm", "revoked"];

/// A row: the operation, how it is asked, and what each column is answered. In the path and the body, `{name}` stands for something
/// that is there, and `{new name}` for something that is made for this one request.
type Row = (&'static str, &'static str, &'static str, &'static str, [u16; 5]);

#[rustfmt::skip]
const TABLE: &[Row] = &[
    // What everyone may.
    ("isLive",                 "GET",    "/health/live", "", [200, 200, 200, 200, 200]),
    ("isReady",                "GET",    "/health/ready", "", [200, 200, 200, 200, 200]),
    ("getDocs",                "GET",    "/docs", "", [200, 200, 200, 200, 200]),
    ("getDocsStyle",           "GET",    "/docs/page.css", "", [200, 200, 200, 200, 200]),
    ("getDocsScript",          "GET",    "/docs/page.js", "", [200, 200, 200, 200, 200]),
    ("getLive",                "GET",    "/live", "", [200, 200, 200, 200, 200]),
    ("getLiveStyle",           "GET",    "/live/page.css", "", [200, 200, 200, 200, 200]),
    ("getLiveScript",          "GET",    "/live/page.js", "", [200, 200, 200, 200, 200]),
    ("getOpenapi",             "GET",    "/api/openapi.json", "", [200, 200, 200, 200, 200]),
    ("recordFacts",            "POST",   "/api/events", r#"{"type":"PageViewed","pageId":"/"}"#, [202, 403, 202, 202, 202]),
    ("giveConsent",            "POST",   "/api/consent", r#"{"answer":"accept"}"#, [200, 403, 200, 200, 200]),
    ("getCurrentStream",       "GET",    "/api/stream/current", "", [404, 403, 404, 404, 404]),
    ("linkStream",             "POST",   "/api/stream/link", "", [404, 403, 404, 404, 404]),
    // The log, as far as it may be read.
    ("readLog",                "GET",    "/api/events", "", [401, 200, 200, 200, 200]),
    ("createTicket",           "POST",   "/api/tickets", "{}", [401, 201, 201, 201, 201]),
    ("readEventsOf",           "GET",    "/api/events/order-1", "", [401, 403, 200, 200, 200]),
    ("readTag",                "GET",    "/api/tags/customer:7", "", [401, 200, 200, 200, 200]),
    ("listStreams",            "GET",    "/api/streams", "", [401, 200, 200, 200, 200]),
    ("getStream",              "GET",    "/api/streams/order-1", "", [401, 403, 200, 200, 200]),
    ("readStream",             "GET",    "/api/streams/order-1/events", "", [401, 403, 200, 200, 200]),
    ("appendToStream",         "POST",   "/api/streams/order-1/events", r#"{"events":[{"eventType":"Noted","data":1}]}"#, [401, 403, 403, 201, 201]),
    ("append",                 "POST",   "/api/append", r#"{"events":[{"streamId":"order-1","eventType":"Noted","data":1}]}"#, [401, 403, 403, 201, 201]),
    // Contents: a published one is everyone's to see.
    ("listContents",           "GET",    "/api/content", "", [200, 200, 200, 200, 200]),
    ("createContent",          "POST",   "/api/content", r#"{"title":"A","content":"A","author":"A"}"#, [401, 403, 403, 201, 201]),
    ("getContentBySlug",       "GET",    "/api/content/by-slug/secret", "", [404, 404, 200, 200, 200]),
    ("getContent",             "GET",    "/api/content/{draft}", "", [404, 404, 200, 200, 200]),
    ("getContent",             "GET",    "/api/content/{published}", "", [200, 200, 200, 200, 200]),
    ("getContent",             "GET",    "/api/content/{published}?at=v1", "", [401, 403, 200, 200, 200]),
    ("changeContent",          "PATCH",  "/api/content/{new content}", r#"{"title":"B"}"#, [401, 403, 403, 200, 200]),
    ("publishContent",         "POST",   "/api/content/{new content}/publish", "", [401, 403, 403, 200, 200]),
    ("archiveContent",         "POST",   "/api/content/{new content}/archive", "", [401, 403, 403, 200, 200]),
    ("deleteContent",          "DELETE", "/api/content/{new content}", "", [401, 403, 403, 204, 204]),
    ("getContentHistory",      "GET",    "/api/content/{published}/history", "", [401, 403, 200, 200, 200]),
    ("compareContent",         "GET",    "/api/content/{published}/diff", "", [401, 403, 200, 200, 200]),
    // Presentations: a public one is everyone's to see.
    ("listPresentations",      "GET",    "/api/presentations", "", [200, 200, 200, 200, 200]),
    ("createPresentation",     "POST",   "/api/presentations", r#"{"title":"A","author":"A","theme":"plain","isPublic":false}"#, [401, 403, 403, 201, 201]),
    ("getPresentation",        "GET",    "/api/presentations/{private}", "", [404, 404, 200, 200, 200]),
    ("getPresentation",        "GET",    "/api/presentations/{public}", "", [200, 200, 200, 200, 200]),
    ("changePresentation",     "PATCH",  "/api/presentations/{new presentation}", r#"{"title":"B"}"#, [401, 403, 403, 200, 200]),
    ("deletePresentation",     "DELETE", "/api/presentations/{new presentation}", "", [401, 403, 403, 204, 204]),
    ("getPresentationHistory", "GET",    "/api/presentations/{public}/history", "", [401, 403, 200, 200, 200]),
    ("comparePresentation",    "GET",    "/api/presentations/{public}/diff", "", [401, 403, 200, 200, 200]),
    ("listSlides",             "GET",    "/api/presentations/{private}/slides", "", [404, 404, 200, 200, 200]),
    ("listSlides",             "GET",    "/api/presentations/{public}/slides", "", [200, 200, 200, 200, 200]),
    ("getSlide",               "GET",    "/api/presentations/{public}/slides/{slide}", "", [200, 200, 200, 200, 200]),
    ("addSlide",               "POST",   "/api/presentations/{public}/slides", r#"{"content":{"type":"text","text":"A"}}"#, [401, 403, 403, 201, 201]),
    ("orderSlides",            "PUT",    "/api/presentations/{new presentation}/slides/order", r#"{"slideIds":[]}"#, [401, 403, 403, 200, 200]),
    ("changeSlide",            "PATCH",  "/api/presentations/{public}/slides/{slide}", r#"{"title":"B"}"#, [401, 403, 403, 200, 200]),
    ("moveSlide",              "PUT",    "/api/presentations/{public}/slides/{slide}/order", r#"{"order":1}"#, [401, 403, 403, 200, 200]),
    ("removeSlide",            "DELETE", "/api/presentations/{public}/slides/{new slide}", "", [401, 403, 403, 204, 204]),
    // Users.
    ("listUsers",              "GET",    "/api/users", "", [401, 403, 200, 200, 200]),
    ("registerUser",           "POST",   "/api/users", r#"{"email":"{new address}","displayName":"A"}"#, [401, 403, 403, 201, 201]),
    ("getMe",                  "GET",    "/api/users/me", "", [401, 403, 404, 404, 404]),
    ("getUser",                "GET",    "/api/users/{user}", "", [401, 403, 200, 200, 200]),
    ("changeUser",             "PATCH",  "/api/users/{user}", r#"{"displayName":"B"}"#, [401, 403, 403, 200, 200]),
    ("logUserIn",              "POST",   "/api/users/{user}/logins", "", [401, 403, 403, 200, 200]),
    ("changeUserRole",         "PUT",    "/api/users/{user}/role", r#"{"role":"Editor"}"#, [401, 403, 403, 403, 200]),
    ("getUserHistory",         "GET",    "/api/users/{user}/history", "", [401, 403, 200, 200, 200]),
    ("compareUser",            "GET",    "/api/users/{user}/diff", "", [401, 403, 200, 200, 200]),
    // What visitors did is for those who may read it.
    ("getSiteAnalytics",       "GET",    "/api/analytics/site", "", [401, 403, 200, 200, 200]),
    ("listVisitors",           "GET",    "/api/analytics/visitors", "", [401, 403, 200, 200, 200]),
    ("getVisitor",             "GET",    "/api/analytics/visitors/{visitor}", "", [401, 403, 200, 200, 200]),
    ("listPages",              "GET",    "/api/analytics/pages", "", [401, 403, 200, 200, 200]),
    // Administrators alone.
    ("listProjections",        "GET",    "/api/admin/projections", "", [401, 403, 403, 403, 200]),
    ("rebuildProjection",      "POST",   "/api/admin/projections/pages/rebuild", "", [401, 403, 403, 403, 202]),
    ("pauseProjection",        "POST",   "/api/admin/projections/pages/pause", "", [401, 403, 403, 403, 202]),
    ("resumeProjection",       "POST",   "/api/admin/projections/pages/resume", "", [401, 403, 403, 403, 202]),
    ("skipEvent",              "POST",   "/api/admin/projections/pages/skip", "", [401, 403, 403, 403, 409]),
    ("getStore",               "GET",    "/api/admin/store", "", [401, 403, 403, 403, 200]),
    ("listConnections",        "GET",    "/api/admin/connections", "", [401, 403, 403, 403, 200]),
    ("listTokens",             "GET",    "/api/admin/tokens", "", [401, 403, 403, 403, 200]),
    ("createToken",            "POST",   "/api/admin/tokens", r#"{"name":"A","scopes":["capture"]}"#, [401, 403, 403, 403, 201]),
    ("revokeToken",            "DELETE", "/api/admin/tokens/{new token}", "", [401, 403, 403, 403, 204]),
    ("getMetrics",             "GET",    "/metrics", "", [401, 403, 403, 403, 200]),
];

#[test]
fn every_route_is_asked_by_everyone() {
    for kind in BOTH {
        let on = Guarded::start(kind);
        block_on(async {
            let there = There::made(&on).await;
            let [good, bad] = credentials(&on).await;
            let mut wrong = Vec::new();
            for (operation, method, path, body, expected) in TABLE {
                for ((column, who), expected) in COLUMNS.iter().zip(&good).zip(expected) {
                    let (path, body) = (there.filled(path, &on).await, there.filled(body, &on).await);
                    let answer = on.ask(who, method, &path, &body).await;
                    if answer.status != *expected {
                        let told = String::from_utf8_lossy(&answer.bytes).into_owned();
                        wrong.push(format!(
                            "{operation} {method} {path} by {column}: {} for {expected}: {told}",
                            answer.status
                        ));
                    }
                }
                for (column, who) in REFUSED.iter().zip(&bad) {
                    let (path, body) = (there.filled(path, &on).await, there.filled(body, &on).await);
                    let answer = on.ask(who, method, &path, &body).await;
                    if answer.status != 401 || answer.header("www-authenticate") != Some("Bearer") {
                        wrong.push(format!("{operation} {path} by {column}: {}", answer.status));
                    }
                }
            }
            assert!(wrong.is_empty(), "{kind:?}\n{}", wrong.join("\n"));
        });
    }
}

#[test]
fn no_route_is_missing_in_the_table() {
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let document = site.get("/api/openapi.json").await.json();
        let paths = document["paths"].as_object().unwrap();
        let operations = paths.values().flat_map(|path| path.as_object().unwrap().values());
        let told: BTreeSet<&str> = operations.filter_map(|of| of["operationId"].as_str()).collect();
        let known: BTreeSet<&str> = TABLE.iter().map(|row| row.0).collect();
        assert_eq!(told, known);
    });
}

/// Whoever may not see something does not see it either in lists, counts, cursors, the log, tags, what was, or how they are refused.
#[test]
fn nothing_is_told_to_those_who_may_not_see_it() {
    for kind in BOTH {
        let on = Guarded::start(kind);
        block_on(async {
            let there = There::made(&on).await;
            let [good, _] = credentials(&on).await;
            let (none, other, admin) = (good[0].as_str(), good[1].as_str(), good[4].as_str());
            // The views have all of it.
            let begun = Instant::now();
            for (path, id) in [("/api/content", &there.published), ("/api/presentations", &there.public)] {
                while !on.ask(none, "GET", path, "").await.is(200).json().to_string().contains(id) {
                    assert!(begun.elapsed() < Duration::from_secs(20));
                }
            }
            assert_eq!(
                on.ask(admin, "GET", "/api/content", "").await.json()["items"].as_array().unwrap().len(),
                2
            );
            let ids = |answer: Answer| -> Vec<String> {
                let items = answer.is(200).json()["items"].as_array().unwrap().clone();
                items.iter().map(|item| item["id"].as_str().unwrap().to_owned()).collect()
            };
            for who in [none, other] {
                for path in [
                    "/api/content",
                    "/api/content?q=seen",
                    "/api/content?status=Published",
                    "/api/content?limit=1",
                ] {
                    let answer = on.ask(who, "GET", path, "").await;
                    assert_eq!(answer.json().get("next"), None, "{path}");
                    assert_eq!(ids(answer), std::slice::from_ref(&there.published), "{path}");
                }
                for path in ["/api/content?status=Draft", "/api/content?q=unseen"] {
                    assert_eq!(ids(on.ask(who, "GET", path, "").await), Vec::<String>::new(), "{path}");
                }
                assert_eq!(
                    ids(on.ask(who, "GET", "/api/presentations", "").await),
                    std::slice::from_ref(&there.public)
                );
                assert_eq!(
                    ids(on.ask(who, "GET", "/api/presentations?isPublic=false", "").await),
                    Vec::<String>::new()
                );
                for path in ["/api/content?at=2030-01-01T00:00:00Z", "/api/presentations?at=1"] {
                    assert!([401, 403].contains(&on.ask(who, "GET", path, "").await.status), "{path}");
                }
                // A draft, and one that never was, are answered alike.
                let mut draft =
                    on.ask(who, "GET", &format!("/api/content/{}", there.draft), "").await.is(404).json();
                let mut never = on.ask(who, "GET", "/api/content/never", "").await.is(404).json();
                for told in [&mut draft, &mut never] {
                    told.as_object_mut().unwrap().remove("instance");
                }
                assert_eq!(draft, never);
                // What a speaker wants to remember is the speaker's.
                for path in ["", "/slides", &format!("/slides/{}", there.slide)] {
                    let path = format!("/api/presentations/{}{path}", there.public);
                    let told = on.ask(who, "GET", &path, "").await.is(200).json().to_string();
                    assert!(told.contains("seen") && !told.contains("unseen"), "{told}");
                }
            }
            the_log_has_only_what_may_be_read(&on, other).await;
        });
    }
}

async fn the_log_has_only_what_may_be_read(on: &Guarded, other: &str) {
    let streams = |answer: Answer| -> Vec<String> {
        let told = answer.is(200).json();
        let events = told["events"].as_array().cloned().unwrap_or_default();
        events.iter().map(|event| event["streamId"].as_str().unwrap().to_owned()).collect()
    };
    for (path, expected) in [
        ("/api/events", &["other-1", "other-2"][..]),
        ("/api/events?backward=true", &["other-2", "other-1"]),
        ("/api/events?streams=order-1", &[]),
        ("/api/events?streams=order-*,other-2", &["other-2"]),
        ("/api/events?streams=o*&limit=1", &["other-1"]),
        ("/api/events?types=Ordered", &["other-1", "other-2"]),
        ("/api/tags/customer:7", &["other-1"]),
    ] {
        assert_eq!(streams(on.ask(other, "GET", path, "").await), expected, "{path}");
    }
    let lines =
        on.site.request("GET", "/api/events").bearer_auth(other).header("accept", "application/x-ndjson");
    let lines = String::from_utf8(send(lines).await.is(200).bytes).unwrap();
    assert_eq!((lines.lines().count(), lines.contains("order-1")), (2, false), "{lines}");
    for path in ["/api/events?streams=$token-*", "/api/events?streams=$audit", "/api/streams?category=$token"]
    {
        on.ask(other, "GET", path, "").await.is(403);
    }
    let listed = on.ask(other, "GET", "/api/streams?limit=1", "").await.is(200).json();
    assert_eq!((&listed["items"][0]["streamId"], &listed["next"]), (&json!("other-1"), &json!("other-1")));
    let listed = on.ask(other, "GET", "/api/streams?after=other-1", "").await.is(200).json();
    assert_eq!((listed["items"].as_array().unwrap().len(), listed.get("next")), (1, None));
    // Whether an expectation or a condition holds would say it too.
    let event = json!([{ "streamId": "other-1", "eventType": "Noted", "data": 1 }]);
    for asked in [
        json!({ "events": event, "expected": { "order-1": 1 } }),
        json!({ "events": event, "condition": { "any": [{ "tags": ["customer:7"] }] } }),
    ] {
        on.ask(other, "POST", "/api/append", &asked.to_string()).await.is(403);
    }
    on.ask(
        other,
        "POST",
        "/api/append",
        &json!({ "events": event, "expected": { "other-1": 1 } }).to_string(),
    )
    .await
    .is(201);
}

/// A JWT stands for a user, who may what its role says, from one moment to the next.
#[test]
fn a_users_role_says_what_a_jwt_grants() {
    for kind in BOTH {
        let on = Guarded::start(kind);
        block_on(async {
            let there = There::made(&on).await;
            let ada = on.signed(&Guarded::claims(&there.user));
            let stranger = on.signed(&Guarded::claims("nobody-we-know"));
            on.ask(&stranger, "GET", "/api/events", "").await.is(403);
            on.ask(&ada, "GET", "/api/events", "").await.is(200);
            assert_eq!(on.ask(&ada, "GET", "/api/users/me", "").await.is(200).json()["id"], there.user);
            let new = r#"{"title":"A","content":"A","author":"A"}"#;
            on.ask(&ada, "POST", "/api/content", new).await.is(403);
            let role = format!("/api/users/{}/role", there.user);
            on.ask(&on.admin, "PUT", &role, r#"{"role":"Editor"}"#).await.is(200);
            let begun = Instant::now();
            let made = loop {
                let answer = on.ask(&ada, "POST", "/api/content", new).await;
                if answer.status != 403 {
                    break answer.is(201);
                }
                assert!(begun.elapsed() < Duration::from_secs(1), "it takes too long until it is an Editor");
            };
            // And the log says who it was.
            let id = made.json()["id"].as_str().unwrap().to_owned();
            let events =
                on.ask(&on.admin, "GET", &format!("/api/streams/content-{id}/events"), "").await.json();
            assert_eq!(events["events"][0]["metadata"]["userId"], there.user);

            let mut claims = Guarded::claims(&there.user);
            for (name, value) in [
                ("iss", json!("https://another.example")),
                ("aud", json!(["another"])),
                ("exp", json!(in_seconds(-120))),
                ("exp", json!("tomorrow")),
                ("exp", Value::Null),
                ("nbf", json!(in_seconds(600))),
                ("sub", Value::Null),
                ("sub", json!("")),
            ] {
                let before = claims[name].clone();
                claims[name] = value.clone();
                assert_eq!(
                    on.ask(&on.signed(&claims), "GET", "/api/events", "").await.status,
                    401,
                    "{name} {value}"
                );
                claims[name] = before;
                claims.as_object_mut().unwrap().retain(|_, value| !value.is_null());
            }
            on.ask(&on.signed(&claims), "GET", "/api/events", "").await.is(200);
            let unsigned = jwt(&json!({ "alg": "none" }), &claims, |_| Vec::new());
            let foreign = jwt(&json!({ "alg": "ES256", "kid": "two" }), &claims, |message| {
                on.key.sign(&SystemRandom::new(), message).unwrap().as_ref().to_vec()
            });
            for bad in [unsigned, foreign, "a.b.c".to_owned(), "fdt_".to_owned(), "x".repeat(20_000)] {
                assert_eq!(
                    on.ask(&bad, "GET", "/api/events", "").await.status,
                    401,
                    "{}",
                    &bad[..bad.len().min(80)]
                );
            }
        });
    }
}

/// Whoever may only write a thing can't read it by writing it, and what one stream of the system's own was granted is that one.
#[test]
fn what_was_granted_is_no_way_to_more() {
    let on = Guarded::start(Kind::Sqlite);
    block_on(async {
        let there = There::made(&on).await;
        let token = async |new: Value| on.token(&new).await.0;
        let only_writes = token(json!({ "name": "A", "scopes": ["write"], "writes": ["*"] })).await;
        for (method, path, body) in [
            ("PATCH", format!("/api/content/{}", there.draft), "{}"),
            ("POST", format!("/api/content/{}/publish", there.draft), ""),
            ("PATCH", format!("/api/presentations/{}/slides/{}", there.public, there.slide), "{}"),
            ("PATCH", format!("/api/users/{}", there.user), "{}"),
            ("POST", format!("/api/users/{}/logins", there.user), ""),
            ("GET", "/api/events".to_owned(), ""),
        ] {
            on.ask(&only_writes, method, &path, body).await.is(403);
        }
        on.ask(
            &only_writes,
            "POST",
            "/api/streams/order-1/events",
            r#"{"events":[{"eventType":"A","data":1}]}"#,
        )
        .await
        .is(201);
        let taken = r#"{"title":"A","content":"A","author":"A","slug":"secret"}"#;
        assert_eq!(
            on.ask(&only_writes, "POST", "/api/content", taken).await.problem(409, "taken").get("owner"),
            None
        );
        let told = on.ask(&on.admin, "POST", "/api/content", taken).await.problem(409, "taken");
        assert_eq!(told["owner"], there.draft);

        let audits = token(json!({ "name": "B", "scopes": ["read"], "reads": ["*", "$audit"] })).await;
        let log = on.ask(&audits, "GET", "/api/events?streams=$audit,$token-*", "").await;
        log.is(403);
        let log = on.ask(&audits, "GET", "/api/events?limit=1000", "").await.is(200).json().to_string();
        assert!(log.contains("$audit") && !log.contains("$token"), "{log}");
        on.ask(&audits, "GET", "/api/streams?category=$token", "").await.is(403);
        // How much there is, is nobody's to find out who may not read it.
        for place in ["x-1", "999999999"] {
            let request = on.site.request("GET", &format!("/api/content/{}", there.published));
            let told = send(request.header("flightdeck-min-position", place)).await.json();
            assert_eq!((told.get("head"), told.get("position")), (None, None), "{told}");
        }
        // Nor is what others may see shown again from a cache.
        let own = on.ask(&on.admin, "GET", &format!("/api/presentations/{}", there.public), "").await.is(200);
        assert!(own.headers.get_all("vary").iter().any(|value| value == "authorization"));
    });
}

/// What is followed ends soon after the right to it.
#[test]
fn what_is_followed_ends_with_the_right_to_it() {
    for kind in BOTH {
        let on = Guarded::start(kind);
        block_on(async {
            let (reads, id) = on.token(&json!({ "name": "A", "scopes": ["read"], "reads": ["*"] })).await;
            let follow = async || {
                let request =
                    on.site.request("GET", "/api/events?follow=true&after=head").bearer_auth(&reads);
                request.header("accept", "application/x-ndjson").send().await.unwrap()
            };
            // Where the head is now: the request may come behind what is appended.
            let page = on.ask(&on.admin, "GET", "/api/events?limit=1", "").await.is(200).json();
            let path = format!("/api/events?after={}&wait=60s", page["head"].as_str().unwrap());
            let polls = on.site.request("GET", &path).bearer_auth(&reads);
            let polls = tokio::spawn(async move { send(polls).await });
            let mut followed = follow().await;
            assert_eq!(followed.status(), 200);
            let event = r#"{"events":[{"eventType":"Noted","data":1}]}"#;
            on.ask(&on.admin, "POST", "/api/streams/order-1/events", event).await.is(201);
            assert!(followed.chunk().await.unwrap().is_some());
            assert_eq!(polls.await.unwrap().status, 200);
            let polls = on.site.request("GET", "/api/events?after=head&wait=60s").bearer_auth(&reads);
            let polls = tokio::spawn(async move { send(polls).await });
            on.ask(&on.admin, "DELETE", &format!("/api/admin/tokens/{id}"), "").await.is(204);
            let begun = Instant::now();
            let ended = tokio::time::timeout(Duration::from_secs(5), followed.chunk()).await;
            assert_eq!(ended.expect("it ends").unwrap(), None);
            assert_eq!(
                tokio::time::timeout(Duration::from_secs(5), polls).await.unwrap().unwrap().status,
                401
            );
            assert!(begun.elapsed() < Duration::from_secs(5));
        });
    }
}
