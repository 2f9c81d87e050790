//! Traces: what a request was part of and what it waited for, as a collector of OpenTelemetry gets it.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Kind, Site, send};
use crate::victim::block_on;

/// A collector: it takes whatever is sent to it, and hands on the spans.
fn collector() -> (String, Receiver<Value>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (spans, came) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let Some(body) = stream.ok().and_then(|mut stream| take(&mut stream)) else { continue };
            let told: Value = serde_json::from_slice(&body).unwrap();
            for resource in told["resourceSpans"].as_array().unwrap() {
                let attributes = resource["resource"]["attributes"].to_string();
                assert!(
                    attributes.contains("service.name") && attributes.contains("flightdeck"),
                    "{attributes}"
                );
                for scope in resource["scopeSpans"].as_array().unwrap() {
                    // Nobody may listen any more.
                    scope["spans"].as_array().unwrap().iter().for_each(|span| drop(spans.send(span.clone())));
                }
            }
        }
    });
    (url, came)
}

/// Takes one request, and answers it.
fn take(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let (mut all, mut some) = (Vec::new(), [0; 64 * 1024]);
    loop {
        let read = stream.read(&mut some).ok().filter(|read| *read > 0)?;
        all.extend_from_slice(&some[..read]);
        let Some(end) = all.windows(4).position(|four| four == b"\r\n\r\n") else { continue };
        let head = String::from_utf8_lossy(&all[..end]).to_lowercase();
        assert!(head.starts_with("post /v1/traces "), "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length:"))?
            .trim()
            .parse::<usize>()
            .ok()?;
        if all.len() >= end + 4 + length {
            stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}").ok()?;
            return Some(all[end + 4..].to_vec());
        }
    }
}

fn attribute<'s>(span: &'s Value, name: &str) -> Option<&'s Value> {
    let all = span["attributes"].as_array()?;
    all.iter().find(|one| one["key"] == name).and_then(|one| one["value"].as_object()?.values().next())
}

#[test]
fn a_request_is_a_span_and_what_it_waits_for_is_part_of_it() {
    let (url, came) = collector();
    let site = Site::start_with(Kind::Sqlite, &["--traces", &url]);
    let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    block_on(async {
        let append = site
            .request("POST", "/api/streams/a-1/events?secret=1")
            .header("traceparent", format!("00-{trace}-{parent}-01"));
        let body = json!({ "events": [{ "eventType": "A", "data": 1 }] });
        send(append.json(&body)).await.is(400);
        let append = site
            .request("POST", "/api/streams/a-1/events")
            .header("traceparent", format!("00-{trace}-{parent}-01"));
        send(append.json(&body)).await.is(201);
        site.get("/api/content").await.is(200);
        // Nobody asked for the trace of this one.
        let unsampled =
            site.request("GET", "/api/streams").header("traceparent", format!("00-{trace}-{parent}-00"));
        send(unsampled).await.is(200);
    });
    // What is left goes out when the server stops.
    let begun = Instant::now();
    let (code, said) = site.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
    let mut spans = Vec::new();
    while let Ok(span) = came.recv_timeout(Duration::from_millis(500)) {
        spans.push(span);
    }
    let named = |name: &str| spans.iter().filter(|span| span["name"] == name).collect::<Vec<_>>();
    let route = "POST /api/streams/{streamId}/events";
    let [refused, appended] = named(route)[..] else { panic!("{spans:#?}") };
    for (span, status) in [(refused, "400"), (appended, "201")] {
        assert_eq!((&span["traceId"], &span["parentSpanId"]), (&json!(trace), &json!(parent)));
        assert_eq!(
            attribute(span, "http.response.status_code").unwrap().to_string().trim_matches('"'),
            status
        );
        assert_eq!(attribute(span, "http.route"), Some(&json!("/api/streams/{streamId}/events")));
        assert_eq!(attribute(span, "flightdeck.correlation_id"), Some(&json!(trace)));
    }
    let [append] = named("append")[..] else { panic!("{spans:#?}") };
    assert_eq!((&append["traceId"], &append["parentSpanId"]), (&json!(trace), &appended["spanId"]));
    let [list] = named("GET /api/content")[..] else { panic!("{spans:#?}") };
    assert_ne!(list["traceId"], json!(trace));
    assert!(named("ask view").iter().any(|span| span["parentSpanId"] == list["spanId"]), "{spans:#?}");
    assert!(named("GET /api/streams").is_empty(), "{spans:#?}");
    assert!(!json!(spans).to_string().contains("secret"), "{spans:#?}");
}

/// A collector that is not there costs nothing but its traces.
#[test]
fn a_collector_that_is_not_there_holds_nothing_up() {
    let site = Site::start_with(Kind::Sqlite, &["--traces", "http://127.0.0.1:1"]);
    block_on(async { site.get("/api/content").await.is(200) });
    let begun = Instant::now();
    let (code, said) = site.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(begun.elapsed() < Duration::from_secs(9), "{:?}", begun.elapsed());
}
