//! What strangers may try: slow, large, deep, packed, ambiguous and endless requests. Each is answered or cut off in time, and takes no more
//! memory than any other. (T15, F71, F72, F75)

use std::fmt::Write as _;
use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use super::guarded::Guarded;
use super::{Kind, Site};
use crate::victim::block_on;

/// What one request may take at the most, in KiB.
const EXTRA_KIB: u64 = 4 * 1024;
/// And many at once on one connection: actix keeps the heads of some, each in the buffer that it came in.
const MANY_KIB: u64 = 40 * 1024;
/// Until when every one of them is over: what is slow is given a second here, and then so much to be given up.
const OVER: Duration = Duration::from_secs(7);

/// What came of a request, until the connection was closed, or nothing more came.
#[derive(Debug)]
struct Came {
    first: Option<u16>,
    answers: usize,
    closed: bool,
    after: Duration,
}

/// How a request is sent.
enum Sent {
    /// At once, and then it is waited.
    Whole(Vec<u8>),
    /// The first part at once, and then the second again and again, with a pause before each.
    Dripping(Vec<u8>, Vec<u8>, Duration),
    /// At once, and nothing of what is answered is read until all is sent, or nobody takes it any more.
    Unread(Vec<u8>),
}

fn connect(site: &Site) -> TcpStream {
    let address = site.url.trim_start_matches("http://");
    let stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_millis(100))).unwrap();
    stream.set_write_timeout(Some(Duration::from_millis(500))).unwrap();
    stream
}

/// The statuses in what was answered. No body here has a line that begins so.
fn statuses(answered: &[u8]) -> Vec<u16> {
    let text = String::from_utf8_lossy(answered);
    let lines = text.split("HTTP/1.1 ").skip(1);
    lines.filter_map(|rest| rest.get(..3)?.parse().ok()).collect()
}

/// Sends a request, and waits until it is answered and closed, or was silent for a while behind an answer.
fn try_it(site: &Site, sent: &Sent) -> Came {
    let (mut stream, begun) = (connect(site), Instant::now());
    let (mut answered, mut closed, mut silent) = (Vec::new(), false, 0);
    let drip = match sent {
        // Whoever is cut off can't send the rest.
        Sent::Whole(bytes) | Sent::Unread(bytes) => {
            drop(stream.write_all(bytes));
            None
        }
        Sent::Dripping(first, again, pause) => {
            drop(stream.write_all(first));
            Some((again, *pause))
        }
    };
    if matches!(sent, Sent::Unread(_)) {
        std::thread::sleep(Duration::from_secs(1));
    }
    let is_enough = |silent: u32, answered: &[u8]| {
        !answered.is_empty() && (matches!(sent, Sent::Unread(_)) || silent >= 5 && drip.is_none())
    };
    while !closed && begun.elapsed() < OVER && !is_enough(silent, &answered) {
        if let Some((again, pause)) = drip {
            std::thread::sleep(pause);
            closed |= stream.write_all(again).is_err();
        }
        let mut some = [0; 64 * 1024];
        match stream.read(&mut some) {
            Ok(0) => closed = true,
            Ok(bytes) => {
                answered.extend_from_slice(&some[..bytes]);
                silent = 0;
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => silent += 1,
            Err(_) => closed = true,
        }
    }
    drop(stream.shutdown(Shutdown::Both));
    let statuses = statuses(&answered);
    Came { first: statuses.first().copied(), answers: statuses.len(), closed, after: begun.elapsed() }
}

/// A number of `/proc/PID/status`, in KiB.
fn memory(site: &Site, what: &str) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", site.process.id())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(what)).unwrap();
    line.trim_start_matches(':').trim().trim_end_matches(" kB").parse().unwrap()
}

/// What the server took at the most while that was done, beyond what it took before, in KiB.
fn extra<T>(site: &Site, work: impl FnOnce() -> T) -> (T, u64) {
    let before = memory(site, "VmRSS");
    // From here on the peak is counted anew.
    std::fs::write(format!("/proc/{}/clear_refs", site.process.id()), "5").unwrap();
    let done = work();
    (done, memory(site, "VmHWM").saturating_sub(before))
}

fn post(path: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut request =
        format!("POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n{headers}\r\n")
            .into_bytes();
    request.extend_from_slice(body);
    request
}

/// A request whose body comes in chunks, which are written as they are here.
fn chunked(path: &str, chunks: &[u8]) -> Vec<u8> {
    let mut request = format!(
        "POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    )
    .into_bytes();
    request.extend_from_slice(chunks);
    request
}

fn get(path: &str, headers: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{headers}\r\n").into_bytes()
}

/// What is answered, one of these. Where a chunk has no size that could be one, the connection may be closed without a word.
type Right = &'static [u16];
const NO_WORD: u16 = 0;

/// What is tried, how, and how it is answered.
type Try = (&'static str, Sent, Right);

/// Where everybody may send something.
const FACTS: &str = "/api/events";

fn many(one: &str, times: usize) -> String {
    one.repeat(times)
}

/// A request with such headers in place of a length.
fn with(headers: &str, body: &str) -> Vec<u8> {
    let head = format!("POST {FACTS} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n");
    format!("{head}{headers}\r\n{body}").into_bytes()
}

/// What does not come to its end.
fn slow() -> Vec<Try> {
    let quick = Duration::from_millis(50);
    vec![
        (
            "a head that never ends",
            Sent::Dripping(b"GET / HTTP/1.1\r\nHost: a\r\n".to_vec(), b"A: b\r\n".to_vec(), quick),
            &[408],
        ),
        ("a head of which nothing comes", Sent::Whole(Vec::new()), &[408]),
        ("a body of which nothing comes", Sent::Whole(with("Content-Length: 100\r\n", "")), &[400]),
        (
            "a body that drips",
            Sent::Dripping(with("Content-Length: 100000\r\n", "["), b" ".to_vec(), quick),
            &[400],
        ),
        (
            "a body in chunks that drips",
            Sent::Dripping(chunked(FACTS, b"1\r\n[\r\n"), b"1\r\n \r\n".to_vec(), quick),
            &[400],
        ),
        ("nothing behind a request", Sent::Dripping(get("/health/live", ""), Vec::new(), quick), &[200]),
        ("a second head that never ends", Sent::Dripping(get("/health/live", ""), b"G".to_vec(), quick), &[200]),
        ("a body in chunks that nobody reads", Sent::Dripping(with("Transfer-Encoding: chunked\r\nAuthorization: Bearer a\r\n", ""), b"1\r\n \r\n".to_vec(), quick), &[401]),
        (
            "what a browser asks beforehand, with a body in chunks",
            Sent::Dripping(
                b"OPTIONS /api/events HTTP/1.1\r\nHost: a\r\nOrigin: https://shop.example\r\nAccess-Control-Request-Method: POST\r\nTransfer-Encoding: chunked\r\n\r\n".to_vec(),
                b"1\r\n \r\n".to_vec(),
                quick,
            ),
            &[200],
        ),
    ]
}

/// What is more than there is room for.
fn large() -> Vec<Try> {
    let (facts, most) = (FACTS, 330 * 1024);
    vec![
        ("a body that says it is huge", Sent::Whole(with("Content-Length: 99999999999\r\n", "{}")), &[413]),
        ("a body that is too large", Sent::Whole(post(facts, "", many(" ", 8 << 20).as_bytes())), &[413]),
        (
            "an append that is too large",
            Sent::Whole(post("/api/append", "", many(" ", 8 << 20).as_bytes())),
            &[401],
        ),
        ("JSON that is deep", Sent::Whole(post(facts, "", many("[", most).as_bytes())), &[400]),
        (
            "JSON with many items",
            Sent::Whole(post(facts, "", format!("[0{}]", many(",0", most / 2 - 2)).as_bytes())),
            &[413],
        ),
        (
            "JSON with many members",
            Sent::Whole(post(facts, "", format!("{{\"\":0{}}}", many(",\"\":0", most / 5 - 2)).as_bytes())),
            &[413],
        ),
        (
            "a fact with many members",
            Sent::Whole(post(
                facts,
                "",
                format!(
                    "{{\"type\":\"PageViewed\",\"pageId\":\"/\",\"metadata\":{{\"\":0{}}}}}",
                    many(",\"\":0", 2_000)
                )
                .as_bytes(),
            )),
            &[400],
        ),
        (
            "consent with many members",
            Sent::Whole(post(
                "/api/consent",
                "",
                format!("{{\"\":0{}}}", many(",\"\":0", (1 << 20) / 5 - 10)).as_bytes(),
            )),
            &[400, 413],
        ),
        (
            "consent that is a long text",
            Sent::Whole(post(
                "/api/consent",
                "",
                format!("{{\"answer\":\"{}\"}}", many("\\u00e9", 170_000)).as_bytes(),
            )),
            &[400],
        ),
    ]
}

/// Heads with more in them than there is room for.
fn large_heads() -> Vec<Try> {
    let mut headers = String::new();
    for number in 0..10_000 {
        write!(headers, "X-{number}: {number}\r\n").unwrap();
    }
    let method = [&[b'A'; 100_000][..], &get("/", "")[3..]].concat();
    vec![
        ("10,000 headers", Sent::Whole(get("/health/live", &headers)), &[400, 431]),
        (
            "a header of a MiB",
            Sent::Whole(get("/health/live", &format!("A: {}\r\n", many("b", 1 << 20)))),
            &[400, 431],
        ),
        ("a path of a MiB", Sent::Whole(get(&format!("/{}", many("a", 1 << 20)), "")), &[400, 414, 431]),
        (
            "a query of 60 KiB",
            Sent::Whole(get(&format!("/api/content?q={}", many("a", 60 << 10)), "")),
            &[200, 400],
        ),
        (
            "a query of many parameters",
            Sent::Whole(get(&format!("/api/content?{}", many("a=1&", 10_000)), "")),
            &[400],
        ),
        (
            "a header's name of 70 KiB",
            Sent::Whole(get("/health/live", &format!("{}: b\r\n", many("a", 70_000)))),
            // Where HTTP has no name so long, actix does not answer.
            &[NO_WORD, 400, 431],
        ),
        ("a method of 100 KiB", Sent::Whole(method), &[404, 405]),
    ]
}

/// What could be taken for something else.
fn ambiguous() -> Vec<Try> {
    let (facts, smuggled) = (FACTS, "GET /health/live HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n");
    vec![
        (
            "a body that is packed",
            Sent::Whole(post(facts, "Content-Encoding: gzip\r\n", &[31, 139, 8, 0])),
            &[415],
        ),
        (
            "a body that is packed twice",
            Sent::Whole(post(facts, "Content-Encoding: br, gzip\r\n", &[31, 139])),
            &[415],
        ),
        (
            "two lengths",
            Sent::Whole(with("Content-Length: 2\r\nContent-Length: 60\r\n", &format!("{{}}{smuggled}"))),
            &[400],
        ),
        (
            "a length and chunks",
            Sent::Whole(with(
                "Content-Length: 60\r\nTransfer-Encoding: chunked\r\n",
                &format!("0\r\n\r\n{smuggled}"),
            )),
            &[400],
        ),
        (
            "chunks and a length",
            Sent::Whole(with(
                "Transfer-Encoding: chunked\r\nContent-Length: 60\r\n",
                &format!("0\r\n\r\n{smuggled}"),
            )),
            &[400],
        ),
        (
            "a coding that is none",
            Sent::Whole(with("Transfer-Encoding: xchunked\r\n", &format!("0\r\n\r\n{smuggled}"))),
            &[400],
        ),
        (
            "a coding behind chunks",
            Sent::Whole(with("Transfer-Encoding: chunked, identity\r\n", &format!("0\r\n\r\n{smuggled}"))),
            &[400],
        ),
        (
            "a length with a sign",
            Sent::Whole(with("Content-Length: +2\r\n", &format!("{{}}{smuggled}"))),
            &[400],
        ),
        ("a header that is folded", Sent::Whole(get("/health/live", "A: b\r\n c\r\n")), &[400]),
        ("a header with a space before its colon", Sent::Whole(get("/health/live", "A : b\r\n")), &[400]),
        ("no HTTP", Sent::Whole(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()), &[400]),
        ("HTTP/2 without TLS", Sent::Whole(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()), &[400]),
    ]
}

/// Chunks that are none, and more of them than there is room for.
fn chunks() -> Vec<Try> {
    let facts = FACTS;
    vec![
        (
            "a chunk that says it is huge",
            Sent::Whole(chunked(facts, b"fffffffffffffffff\r\n{}\r\n0\r\n\r\n")),
            &[NO_WORD, 400, 413],
        ),
        (
            "a chunk as large as any number",
            Sent::Whole(chunked(facts, b"7fffffffffffffff\r\n{}\r\n0\r\n\r\n")),
            &[NO_WORD, 400, 413],
        ),
        (
            "a chunk with an endless extension",
            Sent::Whole(chunked(facts, format!("1;{}\r\n[\r\n", many("a", 1 << 20)).as_bytes())),
            &[400, 413],
        ),
        (
            "a body of tiny chunks",
            Sent::Whole(chunked(facts, many("1\r\n \r\n", 400_000).as_bytes())),
            &[413],
        ),
        (
            "a trailer of a MiB",
            Sent::Whole(chunked(
                facts,
                format!("2\r\n{{}}\r\n0\r\nA: {}\r\n\r\n", many("b", 1 << 20)).as_bytes(),
            )),
            &[400],
        ),
    ]
}

/// A server with little patience.
fn impatient() -> Guarded {
    let limits = "head_seconds=1,body_seconds=1,body_bytes_per_second=1048576,keep_alive_seconds=1";
    let on = Guarded::start_with(Kind::Sqlite, &["--limits", limits, "--origins", "https://shop.example"]);
    // What every server takes when it is asked for the first time is no matter of what it is asked.
    let fact = br#"{"type":"PageViewed","pageId":"/"}"#;
    for _ in 0..50 {
        try_it(&on.site, &Sent::Whole(post(FACTS, "Connection: close\r\n", fact)));
        try_it(&on.site, &Sent::Whole(get("/api/openapi.json", "Connection: close\r\n")));
    }
    on
}

/// How often a limit was met.
async fn met(on: &Guarded, limit: &str) -> u64 {
    let told = String::from_utf8(on.ask(&on.admin, "GET", "/metrics", "").await.is(200).bytes).unwrap();
    let line = format!("flightdeck_limit_met_total{{limit=\"{limit}\"}} ");
    told.lines().find_map(|told| told.strip_prefix(&line)).unwrap().parse().unwrap()
}

/// Tries all of that, one after the other.
fn all_bounded(tries: Vec<Try>, limits: &[&str]) {
    // A server of their own: what another took and keeps in hand would hide what these take.
    let on = impatient();
    let well = get("/health/ready", "Connection: close\r\n");
    let mut wrong = String::new();
    for (name, sent, right) in tries {
        let (came, extra) = extra(&on.site, || try_it(&on.site, &sent));
        let told = format!("{name}: {came:?}, {extra} KiB more");
        println!("{told}");
        let first = came.first.unwrap_or(if came.closed { NO_WORD } else { u16::MAX });
        // Whoever drips is cut off; what was smuggled behind something is not answered.
        let is_over = came.closed || !matches!(sent, Sent::Dripping(..));
        if !right.contains(&first) || came.answers > 1 || !is_over || came.after > OVER || extra > EXTRA_KIB {
            writeln!(wrong, "{told}").unwrap();
        }
        assert_eq!(try_it(&on.site, &Sent::Whole(well.clone())).first, Some(200), "after {name}");
    }
    assert!(wrong.is_empty(), "{wrong}");
    block_on(async {
        for limit in limits {
            assert_ne!(met(&on, limit).await, 0, "{limit}");
        }
    });
}

/// Whoever sends what nobody should is answered or cut off in time, holds up nobody, and takes no more than 4 MiB.
#[test]
fn what_does_not_end_is_cut_off() {
    all_bounded(slow(), &["head_seconds", "body_seconds", "keep_alive_seconds"]);
}

#[test]
fn what_is_large_is_bounded() {
    all_bounded(large(), &["facts", "json_depth"]);
    all_bounded(large_heads(), &[]);
}

#[test]
fn what_is_ambiguous_is_refused() {
    all_bounded(ambiguous(), &[]);
    all_bounded(chunks(), &[]);
}

/// Many requests at once on one connection, of which no answer is read: actix keeps the heads of some of them, each in the buffer that it came in.
#[test]
fn requests_whose_answers_nobody_reads_are_bounded() {
    let on = impatient();
    let request = "GET /api/openapi.json HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n";
    let sent = Sent::Unread(many(request, 100_000).into_bytes());
    for _ in 0..3 {
        let (came, extra) = extra(&on.site, || try_it(&on.site, &sent));
        println!("{came:?}, {extra} KiB more");
        assert!(came.first == Some(200) && extra <= MANY_KIB, "{came:?}, {extra} KiB more");
    }
}

/// Waits until what was done to the store is folded, and nothing goes on beside what is measured.
async fn at_rest(on: &Guarded) {
    let begun = Instant::now();
    loop {
        let told = on.ask(&on.admin, "GET", "/api/admin/projections", "").await.is(200).json();
        let all = told["items"].as_array().unwrap();
        if all.iter().all(|one| one["lag"] == 0 && one["state"] == "serving") {
            break;
        }
        assert!(begun.elapsed() < Duration::from_secs(30), "{told}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    // Words are taken into their index a moment later.
    tokio::time::sleep(Duration::from_secs(2)).await;
}

/// What lists of large contents take at the most, of a server of their own.
fn list_takes() -> u64 {
    let on = impatient();
    block_on(async {
        for number in 0..40 {
            let text = format!("{number} {}", "x".repeat(200 * 1024));
            let id = on.content(&serde_json::json!({ "title": "A", "content": text, "author": "Ada" })).await;
            on.ask(&on.admin, "POST", &format!("/api/content/{id}/publish"), "").await.is(200);
        }
        at_rest(&on).await;
        // Pages of the store that are kept in mind are no matter of who asks.
        for _ in 0..8 {
            let mut path = "/api/content?limit=1".to_owned();
            loop {
                let page = on.ask("", "GET", &path, "").await.is(200).json();
                let Some(next) = page["next"].as_str() else { break };
                path = format!("/api/content?limit=1&after={next}");
            }
        }
    });
    let paths = ["/api/content", "/api/content?limit=1000", "/api/content?q=x"];
    let takes = paths.map(|path| {
        let (came, extra) = extra(&on.site, || try_it(&on.site, &Sent::Whole(get(path, ""))));
        println!("{path}: {came:?}, {extra} KiB more");
        assert_eq!(came.first, Some(200), "{path}");
        extra
    });
    takes.into_iter().max().unwrap_or_default()
}

/// A list of what is public and large takes no more than any other. What a server does beside it only adds to that, so that once is enough.
#[test]
fn a_list_of_large_contents_is_bounded() {
    let takes: Vec<u64> = (0..3).map(|_| list_takes()).take_while(|takes| *takes > EXTRA_KIB).collect();
    assert!(takes.len() < 3, "{takes:?}");
}

/// So does a presentation that is as large as one may be, and it is told whole.
#[test]
fn a_large_presentation_is_bounded() {
    let on = impatient();
    let id = block_on(async {
        let id = on.presentation(true).await;
        let slide = serde_json::json!({ "content": { "type": "text", "text": "x".repeat(15_900) } });
        for _ in 0..64 {
            on.make(&format!("/api/presentations/{id}/slides"), &slide).await;
        }
        at_rest(&on).await;
        // Pages of the store that are kept in mind are no matter of who asks.
        for _ in 0..12 {
            let events = format!("/api/streams/presentation-{id}/events?limit=10");
            let mut path = events.clone();
            loop {
                let page = on.ask(&on.admin, "GET", &path, "").await.is(200).json();
                let Some(next) = page["next"].as_str() else { break };
                path = format!("{events}&after={next}");
            }
        }
        id
    });
    let path = format!("/api/presentations/{id}");
    let (came, extra) = extra(&on.site, || try_it(&on.site, &Sent::Whole(get(&path, ""))));
    println!("{came:?}, {extra} KiB more");
    assert!(came.first == Some(200) && extra <= EXTRA_KIB, "{came:?}, {extra} KiB more");
    block_on(async {
        let told = on.ask("", "GET", &path, "").await.is(200);
        assert!(told.header("etag").is_some() && told.header("content-type") == Some("application/json"));
        let told = told.json();
        let all = told["slides"].as_array().unwrap();
        assert_eq!((all.len(), &told["slideCount"]), (64, &serde_json::json!(64)));
        assert!(all.iter().enumerate().all(|(place, slide)| slide["order"] == place + 1));
        assert_eq!(all[63]["content"]["text"].as_str().unwrap().len(), 15_900);
        let known = on.site.request("GET", &path).header("if-none-match", "*");
        super::send(known).await.is(304);
    });
}

/// Connections that never come to speak TLS lock nobody out.
#[test]
fn unfinished_handshakes_lock_nobody_out() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls");
    let file = |name: &str| format!("{fixtures}/{name}");
    let (certificate, key) = (file("server.pem"), file("server.key"));
    let on = Guarded::start_with(Kind::Sqlite, &["--tls-cert", &certificate, "--tls-key", &key]);
    let address = on.site.url.trim_start_matches("https://");
    let silent: Vec<TcpStream> = (0..1_200).map(|_| TcpStream::connect(address).unwrap()).collect();
    let asked = std::process::Command::new("curl")
        .args(["--silent", "--show-error", "--include", "--max-time", "2", "--cacert", &file("ca.pem")])
        .arg(format!("{}/health/live", on.site.url))
        .output()
        .unwrap();
    let told = String::from_utf8_lossy(&asked.stdout).into_owned();
    assert!(told.starts_with("HTTP/1.1 200"), "{told} {}", String::from_utf8_lossy(&asked.stderr));
    drop(silent);
}
