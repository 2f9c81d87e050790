//! The log on a WebSocket: what is asked for there, who may, and how it ends. (F80–F85, C5)

use std::io::{Read as _, Write as _};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::{Value, json};

use super::guarded::{Guarded, in_seconds};
use super::push::{Follower, append};
use super::sockets::{Received, Socket};
use super::{BOTH, Kind, Site, send};
use crate::victim::block_on;

const V1: Option<&str> = Some("flightdeck.v1");

fn open(site: &Site) -> Socket {
    Socket::open(&site.url, "/api/events", V1, &[]).unwrap()
}

/// What comes next, but for what is of events.
fn next_told(socket: &mut Socket) -> Value {
    loop {
        let told = socket.json();
        if told["k"] != "event" {
            return told;
        }
    }
}

/// The positions of the next events of a subscription.
fn positions(socket: &mut Socket, sub: &str, count: usize) -> Vec<i64> {
    let mut all = Vec::new();
    while all.len() < count {
        let told = socket.json();
        if told["k"] == "event" && told["sub"] == sub {
            all.push(told["event"]["position"].as_i64().unwrap());
        }
    }
    all
}

fn closed(socket: &mut Socket) -> (u16, String) {
    loop {
        match socket.next() {
            Some(Received::Close(Some(code), reason)) => return (code, reason),
            Some(_) => {}
            None => panic!("it did not say that it closes"),
        }
    }
}

#[test]
fn every_message_is_an_event_where_no_protocol_is_asked_for() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(append(&site, "a-1", "A", 70, 300));
        block_on(append(&site, "b-1", "B", 3, 10));
        let open = |query: &str| Socket::open(&site.url, &format!("/api/events?{query}"), None, &[]);
        let mut socket = open("after=5&streams=a-*").unwrap();
        let log: Value = block_on(site.get("/api/events?after=5&limit=1")).json()["events"][0].clone();
        assert_eq!(socket.json(), log, "as everywhere else");
        for position in 7..=70 {
            assert_eq!(socket.json()["position"], position);
        }
        block_on(append(&site, "a-1", "A", 2, 10));
        assert_eq!(
            (socket.json()["position"].as_i64(), socket.json()["position"].as_i64()),
            (Some(74), Some(75))
        );
        // Up to somewhere, and so many.
        for query in ["after=3&until=6", "after=3&limit=3"] {
            let mut socket = open(query).unwrap();
            let came = [0; 3].map(|_| socket.json()["position"].as_i64().unwrap());
            let (code, reason) = closed(&mut socket);
            assert_eq!((came, code), ([4, 5, 6], 1000), "{query}");
            assert!(reason.ends_with("-6"), "what is behind it was not handed out: {reason}");
        }
        // What is not good is told before it begins, or with the reason to stay away.
        for (query, status) in [("after=x", 400), ("backward=true", 422), ("what=1", 400), ("wait=1s", 422)] {
            assert_eq!(open(query).unwrap_err().0, status, "{query}");
        }
        let (code, reason) = closed(&mut open("after=other-1").unwrap());
        assert!(code == 4501 && reason.ends_with("-75"), "{code} {reason}");
        let (status, _) = Socket::open(&site.url, "/api/events", Some("graphql-ws"), &[]).unwrap_err();
        assert_eq!(status, 400);
    }
}

#[test]
fn several_things_are_followed_on_one_socket() {
    for kind in BOTH {
        let site = Site::start(kind);
        block_on(append(&site, "a-1", "A", 30, 10));
        block_on(append(&site, "b-1", "B", 30, 10));
        let mut socket = open(&site);
        socket.subscribe("as", None, json!({ "streams": ["a-*"] }));
        assert_eq!(socket.json(), json!({ "k": "subscribed", "sub": "as" }));
        assert_eq!(positions(&mut socket, "as", 30), (1..=30).collect::<Vec<_>>());
        let told = next_told(&mut socket);
        assert_eq!((&told["k"], &told["sub"]), (&json!("caught-up"), &json!("as")));
        assert!(told["at"].as_str().unwrap().ends_with("-60"), "{told}");
        socket.subscribe("new", Some("head"), json!({ "types": ["B"] }));
        assert_eq!(next_told(&mut socket), json!({ "k": "subscribed", "sub": "new" }));
        assert_eq!(next_told(&mut socket)["k"], "caught-up");
        // What is asked for before something happens is there when it does.
        socket.subscribe("tagged", Some("head"), json!({ "tags": ["k:C"] }));
        let events = json!([{ "streamId": "c-1", "eventType": "C", "data": 1, "tags": ["k:C"] }]);
        socket.send_text(&json!({ "op": "append", "id": 7, "events": events }).to_string());
        assert_eq!(socket.json()["k"], "subscribed");
        // The three in whichever order: what comes of the log waits for no answer.
        let mut came: Vec<Value> = (0..3).map(|_| socket.json()).collect();
        came.sort_by_key(|told| told["k"].as_str().unwrap().to_owned());
        assert_eq!(
            (&came[0]["k"], &came[0]["id"], &came[0]["position"]),
            (&json!("appended"), &json!(7), &json!(61))
        );
        assert_eq!((&came[1]["k"], &came[1]["sub"]), (&json!("caught-up"), &json!("tagged")));
        assert_eq!((&came[2]["sub"], &came[2]["event"]["position"]), (&json!("tagged"), &json!(61)));
        block_on(append(&site, "b-1", "B", 2, 10));
        block_on(append(&site, "a-1", "A", 1, 10));
        let mut came = [0; 3].map(|_| {
            let told = socket.json();
            (told["sub"].as_str().unwrap().to_owned(), told["event"]["position"].as_i64().unwrap())
        });
        came.sort();
        assert_eq!(came, [("as".to_owned(), 64), ("new".to_owned(), 62), ("new".to_owned(), 63)]);
        socket.send_text(r#"{"op":"unsubscribe","sub":"new"}"#);
        assert_eq!(socket.json(), json!({ "k": "unsubscribed", "sub": "new" }));
        block_on(append(&site, "b-1", "B", 2, 10));
        socket.send_text(r#"{"op":"ping","id":"x"}"#);
        assert_eq!(socket.json(), json!({ "k": "pong", "id": "x" }));
        let (_, reason) = {
            site.signal(Signal::TERM);
            closed(&mut socket)
        };
        assert!(reason.contains("-6"), "the reason carries the cursor: {reason}");
    }
}

#[test]
fn what_is_wrong_is_told_and_the_socket_stays() {
    let site = Site::start_with(Kind::Sqlite, &["--limits", "subscriptions=3"]);
    block_on(append(&site, "a-1", "A", 1, 10));
    let mut socket = open(&site);
    let mut asks = |message: Value, code: &str| {
        socket.send_text(&message.to_string());
        let told = next_told(&mut socket);
        assert_eq!((&told["k"], &told["code"]), (&json!("error"), &json!(code)), "{message}: {told}");
        assert!(told["detail"].as_str().is_some_and(|detail| !detail.is_empty()), "{told}");
        told
    };
    asks(json!({ "op": "subscribe", "sub": "a", "streams": ["a*b"] }), "bad-filter");
    asks(json!({ "op": "subscribe", "sub": "a", "after": "never" }), "bad-filter");
    asks(json!({ "op": "unsubscribe", "sub": "a" }), "not-subscribed");
    asks(json!({ "op": "dance", "id": 1 }), "unknown-operation");
    let events = json!([{ "streamId": "a-1", "eventType": "A", "data": 1 }]);
    let told = asks(
        json!({ "op": "append", "id": "x", "events": events, "expected": { "a-1": 7 } }),
        "version-conflict",
    );
    assert_eq!(
        (&told["id"], &told["actual"], &told["outcome"]),
        (&json!("x"), &json!(1), &json!("not-committed"))
    );
    asks(json!({ "op": "append", "id": 2, "events": [] }), "malformed");
    asks(
        json!({ "op": "append", "id": 2, "events": [{ "streamId": "user-1", "eventType": "A", "data": 1 }] }),
        "owned-category",
    );
    for sub in ["a", "b", "c"] {
        socket.subscribe(sub, Some("head"), json!({}));
    }
    let mut names = Vec::new();
    while names.len() < 6 {
        names.push(socket.json()["k"].as_str().unwrap().to_owned());
    }
    assert_eq!(names.iter().filter(|name| *name == "subscribed").count(), 3, "{names:?}");
    for (sub, code) in [("a", "already-subscribed"), ("d", "too-many-subscriptions")] {
        socket.subscribe(sub, None, json!({}));
        assert_eq!(socket.json()["code"], code);
    }
    // What is not good for this log ends that subscription, and none else.
    socket.send_text(r#"{"op":"unsubscribe","sub":"a"}"#);
    assert_eq!(socket.json()["k"], "unsubscribed");
    socket.subscribe("a", Some("other-1"), json!({}));
    assert_eq!(socket.json()["k"], "subscribed");
    let told = socket.json();
    assert_eq!((&told["k"], &told["reason"]), (&json!("reset"), &json!("epoch")));
    let begun = Instant::now();
    socket.subscribe("a", Some("9999"), json!({}));
    assert_eq!(socket.json()["k"], "subscribed");
    // Nothing that is asked for behind it waits.
    socket.send_text(r#"{"op":"ping","id":1}"#);
    assert_eq!(socket.json()["k"], "pong");
    assert!(begun.elapsed() < Duration::from_secs(2));
    assert_eq!(socket.json()["reason"], "ahead");
}

/// The same key is the same append, also when it comes as a request.
#[test]
fn an_append_is_known_by_its_key() {
    let site = Site::start(Kind::Sqlite);
    let mut socket = open(&site);
    let body = r#"{"events":[{"streamId":"a-1","eventType":"A","data":1}]}"#;
    let message = format!(r#"{{"op":"append","id":1,"key":"k",{}"#, &body[1..]);
    socket.send_text(&message);
    assert_eq!((socket.json()["duplicate"].as_bool(), message.len()), (Some(false), message.len()));
    socket.send_text(&message);
    let told = socket.json();
    assert_eq!((&told["k"], &told["position"]), (&json!("appended"), &json!(1)));
    let request = site.request("POST", "/api/append").header("idempotency-key", "k");
    let request = request.header("content-type", "application/json").body(body);
    let answer = block_on(send(request)).is(201);
    assert_eq!(
        (answer.json()["position"].as_i64(), answer.header("flightdeck-duplicate")),
        (Some(1), Some("true"))
    );
    socket.send_text(&message.replace("data\":1", "data\":2"));
    assert_eq!(socket.json()["code"], "idempotency-key-reused");
}

/// Each credential that a page can show, and what ends with it.
#[test]
fn a_page_shows_who_it_is_without_a_header() {
    for kind in BOTH {
        let on = Guarded::start_with(kind, &["--origins", "https://shop.example"]);
        let url = &on.site.url;
        let (secret, id) =
            block_on(on.token(&json!({ "name": "one", "scopes": ["read"], "reads": ["a-*"] })));
        block_on(async {
            for stream in ["a-1", "b-1", "a-2"] {
                let body = r#"{"events":[{"eventType":"A","data":1}]}"#;
                on.ask(&on.admin, "POST", &format!("/api/streams/{stream}/events"), body).await.is(201);
            }
        });
        let with = |protocols: &str, path: &str, headers: &[(&str, &str)]| {
            Socket::open(url, path, Some(protocols), headers)
        };
        let bearer = format!("flightdeck.v1, bearer.{secret}");
        let mut socket = with(&bearer, "/api/events", &[]).unwrap();
        assert_eq!(socket.protocol.as_deref(), Some("flightdeck.v1"));
        socket.subscribe("it", None, json!({}));
        assert_eq!(positions(&mut socket, "it", 2).len(), 2);
        assert_eq!(next_told(&mut socket)["k"], "caught-up");
        // Who may not, is told so before there is a socket.
        assert_eq!(with("flightdeck.v1", "/api/events", &[]).unwrap_err().0, 401);
        assert_eq!(with("flightdeck.v1, bearer.fdt_no", "/api/events", &[]).unwrap_err().0, 401);
        let foreign = [("Origin", "https://evil.example")];
        assert_eq!(with(&bearer, "/api/events", &foreign).unwrap_err().0, 403);
        with(&bearer, "/api/events", &[("Origin", "https://shop.example")]).unwrap();
        // The header wins.
        let header = [("Authorization", "Bearer fdt_no")];
        assert_eq!(with(&bearer, "/api/events", &header).unwrap_err().0, 401);
        // What was granted is looked at as long as it lasts, and what is appended needs a right of its own.
        socket.send_text(r#"{"op":"append","id":1,"events":[{"streamId":"a-1","eventType":"A","data":1}]}"#);
        assert_eq!(socket.json()["code"], "forbidden");
        socket.subscribe("system", None, json!({ "streams": ["$audit"] }));
        assert_eq!(socket.json()["code"], "forbidden");
        let begun = Instant::now();
        block_on(on.ask(&on.admin, "DELETE", &format!("/api/admin/tokens/{id}"), ""));
        let (code, reason) = closed(&mut socket);
        assert_eq!(code, 4503);
        assert!(reason.len() <= 123 && reason.split(' ').next_back().unwrap().contains('-'), "{reason}");
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
        // And a JWT ends by itself.
        let user = json!({ "email": "ada@example.com", "displayName": "Ada" });
        let user = block_on(on.make("/api/users", &user)).json()["id"].clone();
        let claims =
            json!({ "sub": user, "iss": super::guarded::ISSUER, "aud": "flightdeck", "exp": in_seconds(4) });
        let jwt = on.signed(&claims);
        let mut socket = with(&format!("flightdeck.v1, bearer.{jwt}"), "/api/events", &[]).unwrap();
        assert_eq!(closed(&mut socket).0, 4010);
    }
}

#[test]
fn a_ticket_lets_one_in_once() {
    for kind in BOTH {
        let on = Guarded::start_with(kind, &["--origins", "https://shop.example"]);
        let url = &on.site.url;
        let (secret, id) = block_on(
            on.token(&json!({ "name": "one", "scopes": ["read", "write"], "reads": ["*"], "writes": ["*"] })),
        );
        block_on(async {
            for stream in ["a-1", "b-1"] {
                let body = r#"{"events":[{"eventType":"A","data":1}]}"#;
                on.ask(&on.admin, "POST", &format!("/api/streams/{stream}/events"), body).await.is(201);
            }
        });
        let ticket = |body: &str| {
            let made = block_on(on.ask(&secret, "POST", "/api/tickets", body)).is(201).json();
            made["ticket"].as_str().unwrap().to_owned()
        };
        assert_eq!(block_on(on.ask("", "POST", "/api/tickets", "{}")).status, 401);
        assert_eq!(
            block_on(on.ask(&secret, "POST", "/api/tickets", r#"{"streams":["$audit"]}"#)).status,
            403
        );
        let one = ticket("{}");
        let path = format!("/api/events?ticket={one}");
        let mut follower = Follower::open(url, &path, &[]);
        assert_eq!(follower.events(2).0.len(), 2);
        // Nobody comes by it again, by whichever way.
        assert_eq!(Follower::open(url, &path, &[]).status, 401);
        assert_eq!(Socket::open(url, &path, V1, &[]).unwrap_err().0, 401);
        let other = ticket("{}");
        // It is good for following, and for nothing else.
        for path in ["/api/events", "/api/streams"] {
            let status = block_on(on.site.get(&format!("{path}?ticket={other}"))).status;
            assert!(matches!(status, 400 | 401 | 422), "{path} {status}");
        }
        let mut socket = Socket::open(url, &format!("/api/events?ticket={other}"), V1, &[]).unwrap();
        socket.subscribe("it", None, json!({}));
        positions(&mut socket, "it", 2);
        // One that was changed, or is for a page of another site.
        let (told, mac) = one.split_once('.').unwrap();
        for bad in [format!("{told}x.{mac}"), told.to_owned(), "x.y".to_owned()] {
            assert_eq!(Follower::open(url, &format!("/api/events?ticket={bad}"), &[]).status, 401);
        }
        let request = on
            .site
            .request("POST", "/api/tickets")
            .bearer_auth(&secret)
            .header("origin", "https://shop.example");
        let request = request.header("content-type", "application/json").body("{}");
        let bound = block_on(send(request)).is(201).json()["ticket"].as_str().unwrap().to_owned();
        let own = format!("http://{}", url.trim_start_matches("http://"));
        let path = format!("/api/events?ticket={bound}");
        assert_eq!(
            Socket::open(url, &path, V1, &[("Origin", &own), ("Host", url.trim_start_matches("http://"))])
                .unwrap_err()
                .0,
            401
        );
        Socket::open(url, &path, V1, &[("Origin", "https://shop.example")]).unwrap();
        // One for some streams is for nothing else, and all of them end with what they stand for.
        let narrow = ticket(r#"{"streams":["b-*"]}"#);
        let mut narrow = Socket::open(url, &format!("/api/events?ticket={narrow}"), V1, &[]).unwrap();
        narrow.subscribe("it", None, json!({}));
        assert_eq!(next_told(&mut narrow)["k"], "subscribed");
        assert_eq!(narrow.json()["event"]["streamId"], "b-1");
        narrow.send_text(r#"{"op":"append","id":1,"events":[{"streamId":"b-1","eventType":"A","data":1}]}"#);
        assert_eq!(next_told(&mut narrow)["k"], "caught-up");
        assert_eq!(next_told(&mut narrow)["code"], "forbidden");
        block_on(on.ask(&on.admin, "DELETE", &format!("/api/admin/tokens/{id}"), ""));
        assert_eq!(closed(&mut socket).0, 4503);
        assert_eq!(closed(&mut narrow).0, 4503);
    }
}

#[test]
fn one_caller_has_so_many_and_they_are_listed() {
    let on = Guarded::start_with(Kind::Sqlite, &["--limits", "caller_followers=3"]);
    let (secret, _) = block_on(on.token(&json!({ "name": "one", "scopes": ["read"], "reads": ["*"] })));
    let body = r#"{"events":[{"eventType":"A","data":1},{"eventType":"A","data":1}]}"#;
    block_on(on.ask(&on.admin, "POST", "/api/streams/a-1/events", body)).is(201);
    let bearer = format!("Bearer {secret}");
    let header = [("Authorization", bearer.as_str())];
    let mut follower = Follower::open(&on.site.url, "/api/events", &header);
    follower.events(2);
    follower.named("caught-up");
    let mut socket = Socket::open(&on.site.url, "/api/events", None, &header).unwrap();
    assert_eq!((socket.json()["version"].as_i64(), socket.json()["version"].as_i64()), (Some(1), Some(2)));
    let mut other = Socket::open(&on.site.url, "/api/events", V1, &header).unwrap();
    other.subscribe("a", None, json!({ "types": ["B"] }));
    other.subscribe("b", None, json!({}));
    positions(&mut other, "b", 2);
    // One more than may be is told so, by each in its own way.
    assert_eq!(closed(&mut Socket::open(&on.site.url, "/api/events", V1, &header).unwrap()).0, 4505);
    let (_, data) = Follower::open(&on.site.url, "/api/events", &header).named("error");
    assert_eq!(serde_json::from_str::<Value>(&data).unwrap()["code"], 4029);
    let listed = block_on(on.ask(&on.admin, "GET", "/api/admin/connections", "")).is(200).json();
    let follows = |by: &str| {
        let mut all = listed["items"].as_array().unwrap().iter().filter_map(|item| item.get("follows"));
        all.find(|follows| follows["by"] == by).unwrap_or_else(|| panic!("{by}: {listed}")).clone()
    };
    for (by, subscriptions) in [("events", 1), ("messages", 1), ("protocol", 2)] {
        let told = follows(by);
        assert_eq!(
            (&told["subscriptions"], &told["mode"]),
            (&json!(subscriptions), &json!("live")),
            "{told}"
        );
        assert!(told["bytes"].as_u64().unwrap() > 100 && told["lag"].as_i64().unwrap() <= 2, "{told}");
        assert!(told["position"].as_i64().unwrap() >= 2, "{told}");
    }
    // Whoever goes makes room.
    drop(other);
    let begun = Instant::now();
    loop {
        let mut socket = Socket::open(&on.site.url, "/api/events", V1, &header).unwrap();
        socket.patience(Duration::from_millis(500));
        if socket.next().is_none() {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(10));
    }
}

/// Whoever is there answers, and whoever does not is gone within two heartbeats; whoever takes nothing is cut off.
#[test]
fn whoever_vanishes_is_found() {
    let site = Site::start_with(Kind::Sqlite, &["--limits", "stalled_seconds=3"]);
    let is_followed = |count: u64| {
        let metrics = String::from_utf8(block_on(site.get("/metrics")).is(200).bytes).unwrap();
        metrics.lines().any(|line| line == format!("flightdeck_followers {count}"))
    };
    // One that hears of the log, but not of what it asked for, and answers nothing.
    let mut deaf = open(&site);
    deaf.silent = true;
    deaf.subscribe("it", None, json!({ "streams": ["none-*"] }));
    let slow = Site::start(Kind::Sqlite);
    for _ in 0..8 {
        block_on(append(&slow, "a-1", "A", 100, 40_000));
    }
    let mut there = Socket::open(&site.url, "/api/events", None, &[]).unwrap();
    let mut gone = Socket::open(&site.url, "/api/events", None, &[]).unwrap();
    gone.silent = true;
    let (begun, is_over) = (Instant::now(), AtomicBool::new(false));
    std::thread::scope(|scope| {
        let is_over = &is_over;
        let slow = scope.spawn(|| takes_little(&slow, begun + Duration::from_secs(40)));
        scope.spawn(|| {
            deaf.patience(Duration::from_secs(40));
            assert_eq!(closed(&mut deaf).0, 4008);
            assert!(begun.elapsed() < Duration::from_secs(50), "{:?}", begun.elapsed());
        });
        scope.spawn(|| {
            // The log moves on under a name of which nobody hears, but for the one who is there.
            while begun.elapsed() < Duration::from_secs(30) {
                block_on(site.post("/api/admin/projections/pages/pause", &Value::Null));
                std::thread::sleep(Duration::from_secs(3));
            }
        });
        scope.spawn(|| {
            // It answers pings, and takes whatever comes.
            there.patience(Duration::from_secs(1));
            while !is_over.load(Ordering::Relaxed) {
                assert!(!matches!(there.next(), Some(Received::Close(..))), "whoever is there is cut off");
            }
        });
        gone.patience(Duration::from_secs(40));
        let (code, _) = closed(&mut gone);
        assert_eq!(code, 4008);
        let took = begun.elapsed();
        assert!((Duration::from_secs(25)..Duration::from_secs(38)).contains(&took), "{took:?}");
        while !is_followed(1) {
            assert!(begun.elapsed() < Duration::from_secs(50), "more than one is there");
            std::thread::sleep(Duration::from_millis(200));
        }
        // One that takes nothing of very much.
        let stalled = Socket::open(&site.url, "/api/events", None, &[]).unwrap();
        for _ in 0..8 {
            block_on(append(&site, "a-1", "A", 100, 40_000));
        }
        let begun = Instant::now();
        while !is_followed(1) {
            assert!(begun.elapsed() < Duration::from_secs(15), "whoever takes nothing stays");
            std::thread::sleep(Duration::from_millis(100));
        }
        drop(stalled);
        is_over.store(true, Ordering::Relaxed);
        assert!(slow.join().unwrap() > 300_000);
    });
}

/// Takes little of very much, again and again, until then: the bytes that it had, of which none is a close.
fn takes_little(site: &Site, until: Instant) -> usize {
    let mut stream = TcpStream::connect(site.url.trim_start_matches("http://")).unwrap();
    let head = "GET /api/events HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: upgrade\r\nUpgrade: websocket\r\n\
        Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    let (mut taken, mut some) = (0, [0; 8_192]);
    while Instant::now() < until {
        let read = stream.read(&mut some).unwrap();
        assert!(read > 0, "it was cut off behind {taken} bytes");
        taken += read;
        std::thread::sleep(Duration::from_millis(700));
    }
    taken
}

/// Whatever comes behind the close, or beside the handshake, is not read as anything.
#[test]
fn what_comes_behind_the_close_is_nobodys() {
    let site = Site::start(Kind::Sqlite);
    for garbage in [&super::sockets::declared(0x81, 1 << 40)[..], b"\xFF\xFF\xFF\xFF", b"\x81\x01a"] {
        let mut socket = Socket::open(&site.url, "/api/events", None, &[]).unwrap();
        socket.silent = true;
        // A message closes it; what follows is in the same packet.
        socket.send_raw(&[super::sockets::frame(0x81, b"x"), garbage.to_vec()].concat());
        assert_eq!(closed(&mut socket).0, 4501);
        let begun = Instant::now();
        while !socket.is_over && begun.elapsed() < Duration::from_secs(8) {
            socket.next();
        }
        assert!(socket.is_over, "{garbage:?}");
    }
    // Every thread of it still answers.
    for _ in 0..16 {
        assert_eq!(block_on(site.get("/health/live")).status, 200);
    }
    for headers in [
        &[("Upgrade", "h2c, websocket")][..],
        &[("Transfer-Encoding", "chunked")],
        &[("Content-Length", "0")],
        &[("Sec-WebSocket-Version", "12")],
        &[("Sec-WebSocket-Key", "short")],
    ] {
        assert_eq!(Socket::open(&site.url, "/api/events", None, headers).unwrap_err().0, 400, "{headers:?}");
    }
}

#[test]
fn too_much_about_the_connection_ends_it() {
    let site = Site::start(Kind::Sqlite);
    let mut socket = open(&site);
    for _ in 0..25 {
        socket.send_frame(true, super::sockets::PING, b"x");
    }
    assert_eq!(closed(&mut socket).0, 1008);
}
