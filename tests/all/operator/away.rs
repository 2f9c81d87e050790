//! A server's log, followed from anywhere: `tail --url` through kills, with a token that is taken back, over TLS, and from a server that
//! misbehaves.

use std::io::{BufRead as _, BufReader, Read, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::{Desk, Kind, command, done, refused};
use crate::http::started;

/// How long anything may take: a server is tried again after 10 s at the most, and says itself to come again after 8 at the most.
const PATIENCE: Duration = Duration::from_secs(60);

/// A server, killed when this is dropped.
struct Served {
    process: Child,
    url: String,
}

impl Served {
    fn start(store: &str, listen: &str, more: &[&str]) -> Self {
        let arguments = [&["serve", "--listen", listen][..], more].concat();
        let (process, url) = started(&mut command(&arguments, store));
        Self { process, url }
    }

    /// Kills it, and says where it was.
    fn kill(self) -> String {
        let (_, address) = self.url.split_once("://").unwrap();
        address.to_owned()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The lines of something, as they come.
fn heard(from: impl Read + Send + 'static) -> Receiver<String> {
    let (say, said) = channel();
    let lines = BufReader::new(from).lines();
    std::thread::spawn(move || lines.map_while(Result::ok).try_for_each(|line| say.send(line)));
    said
}

/// A tail that follows a server, killed when this is dropped.
struct Tail {
    process: Child,
    out: Receiver<String>,
    err: Receiver<String>,
}

impl Tail {
    fn follow(arguments: &[&str], token: &str) -> Self {
        let mut tail = command(&[&["tail"][..], arguments].concat(), "");
        tail.env("FLIGHTDECK_TOKEN", token).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut process = tail.spawn().unwrap();
        let (out, err) = (heard(process.stdout.take().unwrap()), heard(process.stderr.take().unwrap()));
        Self { process, out, err }
    }

    #[track_caller]
    fn line(&self) -> String {
        match self.out.recv_timeout(PATIENCE) {
            Ok(line) => line,
            Err(error) => panic!("{error}: {:?}", self.err.try_iter().collect::<Vec<_>>()),
        }
    }

    /// The positions of what comes next.
    #[track_caller]
    fn positions(&self, count: usize) -> Vec<u64> {
        let position = |line: String| serde_json::from_str::<Value>(&line).unwrap()["position"].as_u64();
        (0..count).map(|_| position(self.line()).unwrap()).collect()
    }

    /// Waits until it has ended by itself: its exit code, what it still showed, and all that it said on standard error.
    #[track_caller]
    fn ended(mut self) -> (Option<i32>, Vec<String>, String) {
        let begun = Instant::now();
        let code = loop {
            if let Some(status) = self.process.try_wait().unwrap() {
                break status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it goes on: {:?}", self.err.try_iter().collect::<Vec<_>>());
            std::thread::sleep(Duration::from_millis(10));
        };
        (code, self.out.iter().collect(), self.err.iter().collect::<Vec<_>>().join("\n"))
    }

    /// The same, once it was interrupted from the keyboard.
    #[track_caller]
    fn interrupted(self) -> (Option<i32>, Vec<String>, String) {
        kill_process(Pid::from_child(&self.process), Signal::INT).unwrap();
        self.ended()
    }
}

impl Drop for Tail {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

#[test]
fn a_server_that_is_killed_again_and_again_is_followed_once_and_in_order() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    done(&["import", "--as-new", &desk.events("in.ndjson", 1_500)], &store);
    let mut server = Served::start(&store, "127.0.0.1:0", &[]);
    let tail = Tail::follow(&["--url", &server.url, "--from-start", "--json"], "");
    assert_eq!(tail.positions(1_500), (1..=1_500).collect::<Vec<_>>());
    let mut last = 1_500;
    let mut append = |times: u64| {
        (0..times).for_each(|_| drop(done(&["append", "a-1", "A"], &store)));
        let expected: Vec<u64> = (last + 1..=last + times).collect();
        last += times;
        expected
    };
    for round in 0..3 {
        let expected = append(2);
        assert_eq!(tail.positions(2), expected, "round {round}");
        let address = server.kill();
        // What comes while nobody serves is not lost either.
        let mut expected = append(2);
        server = Served::start(&store, &address, &[]);
        expected.extend(append(2));
        assert_eq!(tail.positions(4), expected, "round {round}");
    }
    assert_eq!(tail.out.recv_timeout(Duration::from_millis(500)), Err(RecvTimeoutError::Timeout));
    let (code, shown, said) = tail.interrupted();
    assert_eq!((code, shown.len()), (Some(0), 0), "{said}");
    assert_eq!(said.matches("is lost, coming again").count(), 3, "each loss is told once: {said}");
}

#[test]
fn people_are_shown_the_same_as_of_a_store() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    done(&["append", "b-1", "Before", "--tag", "k:v"], &store);
    let server = Served::start(&store, "127.0.0.1:0", &[]);
    let filter = ["--streams", "a-*,b-*", "--types", "A*,Before", "--tags", "k:v", "--text"];
    let arguments = [&["--url", server.url.as_str()][..], &filter].concat();
    let tail = Tail::follow(&arguments, "");
    // It begins at the end, and says that it is there.
    let caught_up = tail.err.recv_timeout(PATIENCE).unwrap();
    assert!(caught_up.contains("caught up at ") && caught_up.contains("-1;"), "{caught_up}");
    for (stream, kind, tag) in [("a-1", "Also", "k:w"), ("c-1", "Also", "k:v"), ("a-1", "Also", "k:v")] {
        done(&["append", stream, kind, "--tag", tag, "--data", r#"{"cents":7}"#], &store);
    }
    let line = tail.line();
    let beyond = ["4 ", "a-1@2", "Also", r#"{"cents":7}"#];
    assert!(beyond.iter().all(|text| line.contains(text)), "{line}");
    // And the JSON is the same to the byte as what reads the store says.
    let after = ["--after", "1", "--url", &server.url, "--json"];
    let tail = Tail::follow(&after, "");
    let told: Vec<String> = (0..3).map(|_| tail.line()).collect();
    let read = done(&["read", "--after", "1", "--json"], &store);
    assert_eq!(told, read.lines().collect::<Vec<_>>());
}

#[test]
fn a_token_that_is_taken_back_ends_it() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    let token = ["token", "create", "one", "--scope", "read", "--reads", "*", "--json"];
    let made: Value = serde_json::from_str(&done(&token, &store)).unwrap();
    let (secret, id) = (made["secret"].as_str().unwrap(), made["id"].as_str().unwrap());
    let server = Served::start(&store, "127.0.0.1:0", &["--auth", "token"]);
    let arguments = ["--url", &server.url, "--from-start", "--json"];
    for wrong in ["", "fdt_wrong"] {
        let (code, shown, said) = Tail::follow(&arguments, wrong).ended();
        assert_eq!((code, shown.len()), (Some(1), 0), "{said}");
        assert!(
            said.starts_with("flightdeck: ") && said.contains("token") && !said.contains("lost"),
            "{said}"
        );
        assert!(!said.contains("fdt_wrong"), "{said}");
    }
    done(&["append", "a-1", "A"], &store);
    let by_flag = [&arguments[..], &["--token", secret]].concat();
    let (tail, other) = (Tail::follow(&arguments, secret), Tail::follow(&by_flag, "fdt_wrong"));
    for tail in [&tail, &other] {
        let event: Value = serde_json::from_str(&tail.line()).unwrap();
        assert_eq!(event["streamId"], "a-1");
    }
    done(&["token", "revoke", id], &store);
    for tail in [tail, other] {
        let (code, shown, said) = tail.ended();
        assert_eq!((code, shown.len()), (Some(1), 0), "{said}");
        assert!(said.contains("4503") && said.contains("see flightdeck token"), "{said}");
    }
}

#[test]
fn what_can_not_be_followed_is_told_and_how_to_begin_again() {
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    done(&["append", "a-1", "A"], &store);
    let server = Served::start(&store, "127.0.0.1:0", &[]);
    let tail = |arguments: &[&str], code: i32| {
        let arguments = [&["tail", "--url", server.url.as_str()][..], arguments].concat();
        refused(&arguments, "", code)
    };
    let last: Value = serde_json::from_str(&done(&["read"], &store)).unwrap();
    let head = last["cursor"].as_str().unwrap();
    let earliest = head.replace("-1", "-0");
    // Of another life of the log, and one that it has not come to.
    for after in ["other-3", &format!("{head}00")] {
        let said = tail(&["--after", after], 1);
        for text in [head, &earliest, &format!("--after {head}"), "--from-start"] {
            assert!(said.contains(text), "{said}");
        }
    }
    tail(&["--after", "nowhere"], 64);
    tail(&["--types", "7"], 64);
    let with_credential = server.url.replace("://", "://me:canary@");
    assert!(!refused(&["tail", "--url", &with_credential], "", 64).contains("canary"));
    // Something else answers there.
    let said = refused(&["tail", "--url", &format!("{}/elsewhere", server.url)], "", 1);
    assert!(!said.contains("lost"), "{said}");
    // Nobody is there, at the very first.
    let address = server.kill();
    let said = refused(&["tail", "--url", &format!("http://{address}")], "", 69);
    assert!(said.contains(&address) && !said.contains("lost"), "{said}");
}

#[test]
fn over_tls_a_server_is_followed_if_its_certificate_is_good() {
    let fixtures = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/tls");
    let file = |name: &str| format!("{fixtures}/{name}");
    let (certificate, key, authority) = (file("server.pem"), file("server.key"), file("ca.pem"));
    let desk = Desk::new();
    let store = desk.store(&Kind::Sqlite, "log.db");
    done(&["append", "a-1", "A"], &store);
    let server = Served::start(&store, "127.0.0.1:0", &["--tls-cert", &certificate, "--tls-key", &key]);
    assert!(server.url.starts_with("https://"), "{}", server.url);
    let tail = Tail::follow(&["--url", &server.url, "--ca", &authority, "--from-start", "--json"], "");
    assert_eq!(tail.positions(1), [1]);
    // Browsers trust nobody who would have signed that.
    let said = refused(&["tail", "--url", &server.url], "", 69);
    assert!(said.contains("certificate"), "{said}");
    refused(&["tail", "--url", &server.url, "--ca", &desk.path("none.pem")], "", 78);
}

/// Takes a connection: what was asked, and where the answer goes.
fn taken(listener: &TcpListener) -> (String, TcpStream) {
    let begun = Instant::now();
    let stream = loop {
        match listener.accept() {
            Ok((stream, _)) => break stream,
            Err(error) => assert_eq!(error.kind(), std::io::ErrorKind::WouldBlock),
        }
        assert!(begun.elapsed() < PATIENCE, "nobody comes");
        std::thread::sleep(Duration::from_millis(5));
    };
    stream.set_nonblocking(false).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    let (mut asked, mut reader) = (String::new(), BufReader::new(stream));
    while !asked.ends_with("\r\n\r\n") {
        assert!(reader.read_line(&mut asked).unwrap() > 0, "{asked}");
    }
    (asked.to_lowercase(), reader.into_inner())
}

/// Answers, and hangs up.
fn answers(mut stream: TcpStream, body: &str) {
    let head =
        "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\nConnection: close\r\n\r\n";
    stream.write_all(format!("{head}{body}").as_bytes()).unwrap();
}

/// A server that sends away, repeats itself, breaks off in the middle, and has enough in the end.
#[test]
fn whatever_a_server_says_is_shown_once() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.set_nonblocking(true).unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let tail = Tail::follow(&["--url", &url, "--after", "0", "--json"], "");
    let event = |at: u64| format!("id: e-{at}\ndata: {}\n\n", json!({ "position": at }));
    let error = |code: u32| {
        format!("retry: 100\nevent: error\ndata: {}\n\n", json!({ "code": code, "detail": "No." }))
    };

    let (asked, stream) = taken(&listener);
    assert!(asked.starts_with("get /api/events?after=0 http/1.1\r\n"), "{asked}");
    assert!(
        asked.contains("\r\naccept: text/event-stream\r\n") && !asked.contains("last-event-id"),
        "{asked}"
    );
    answers(stream, &format!("retry: 100\n\n{}{}", event(1), error(1011)));

    let behind = |at: u64| {
        let (asked, stream) = taken(&listener);
        assert!(asked.contains(&format!("\r\nlast-event-id: e-{at}\r\n")), "{asked}");
        stream
    };
    // Twice the same, and half of one.
    answers(behind(1), &format!("{}{}{}id: e-3\ndata: {{\"posi", event(1), event(2), event(2)));
    // A number alone is gone on behind as well, whatever kind of line ends there are.
    answers(behind(2), "event: checkpoint\r\nid: e-7\r\ndata:\r\n\r\nevent: caught-up\nid: e-8\ndata:\n\n");
    answers(behind(8), &error(4001));
    // Nothing at all; and a proxy that finds nobody.
    drop(behind(8));
    let mut stream = behind(8);
    stream.write_all(b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").unwrap();
    drop(stream);
    answers(behind(8), &format!("{}{}", event(9), error(4503)));

    let (code, shown, said) = tail.ended();
    let position = |line: &String| serde_json::from_str::<Value>(line).unwrap()["position"].as_u64().unwrap();
    assert_eq!(shown.iter().map(position).collect::<Vec<_>>(), [1, 2, 9]);
    assert_eq!(code, Some(1), "{said}");
    assert!(
        said.ends_with(
            "flightdeck: No. (4503)\n  show a token with FLIGHTDECK_TOKEN; flightdeck token create makes one"
        ),
        "{said}"
    );
    // Sent away, broken off, and closed behind a number; sent away before anything had come again is no other loss.
    assert_eq!(said.matches("is lost, coming again").count(), 3, "{said}");
}
