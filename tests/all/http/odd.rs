//! The edge table of JSON: the same answer, with the same code and the same fields, on both stores. (F72–F77, T23)

use serde_json::Value;

use super::{Kind, Site, send};
use crate::victim::block_on;

/// Data, and how an append of it is answered.
fn data() -> Vec<(String, u16)> {
    let deep = |depth: usize| format!("{}1{}", "[".repeat(depth), "]".repeat(depth));
    vec![
        (deep(64), 201),
        (deep(65), 400),
        (deep(200), 400),
        (deep(100_000), 400),
        ("\"\\u0000\"".to_owned(), 400),
        ("{\"a\\u0000\":1}".to_owned(), 400),
        ("1e400".to_owned(), 400),
        ("-1e999".to_owned(), 400),
        ("9007199254740993".to_owned(), 201),
        ("123456789012345678901234567890".to_owned(), 201),
        ("\"\\ud800\"".to_owned(), 400),
        ("\"\\ud800\\udc00\"".to_owned(), 201),
        ("{\"b\":1,\"a\":2,\"b\":3}".to_owned(), 201),
        ("{ \"a\" :\t1 }".to_owned(), 201),
        ("NaN".to_owned(), 400),
        ("01".to_owned(), 400),
        ("{\"a\":1,}".to_owned(), 400),
        ("\"\u{2028}\u{1f680}\"".to_owned(), 201),
        (format!("\"{}\"", "x".repeat(256 * 1024 - 2)), 201),
        (format!("\"{}\"", "x".repeat(256 * 1024 - 1)), 413),
        ("null".to_owned(), 201),
    ]
}

/// Bodies, and how they are answered.
fn bodies() -> Vec<(Vec<u8>, u16)> {
    let mut bodies: Vec<(Vec<u8>, u16)> = data()
        .iter()
        .map(|(data, status)| {
            (format!("{{\"events\":[{{\"eventType\":\"A\",\"data\":{data}}}]}}").into_bytes(), *status)
        })
        .collect();
    let field = |name: &str, value: &str| {
        format!("{{\"events\":[{{\"eventType\":\"A\",\"data\":1,\"{name}\":{value}}}]}}").into_bytes()
    };
    for (name, value, status) in [
        ("id", "\"0192F3A4-7B1C-7DEF-8123-456789ABCDEF\"", 400),
        ("id", "\"00000000-0000-0000-0000-000000000000\"", 400),
        ("id", "\"x\"", 400),
        ("id", "7", 400),
        ("id", "null", 201),
        ("schema", "0", 400),
        ("schema", "4294967296", 400),
        ("schema", "1.0", 201),
        ("schema", "1.5", 400),
        ("tags", "[\"no tag\"]", 400),
        ("tags", "\"a:b\"", 400),
        ("metadata", "[]", 400),
        ("metadata", "{\"a\":\"\\u0000\"}", 400),
        ("what", "1", 400),
    ] {
        bodies.push((field(name, value), status));
    }
    bodies.push((b"\xff\xfe".to_vec(), 400));
    bodies.push((b"{\"events\":[{\"eventType\":\"A\",\"data\":\"\xff\"}]}".to_vec(), 400));
    bodies.push((b"".to_vec(), 400));
    bodies.push((b"[]".to_vec(), 400));
    bodies.push((b"{\"events\":[]}".to_vec(), 400));
    bodies.push((b"{\"events\":[1]}".to_vec(), 400));
    bodies
}

/// What a server answers to all of them.
fn answers(kind: Kind, bodies: &[(Vec<u8>, u16)]) -> Vec<(String, Value)> {
    let site = Site::start(kind);
    block_on(async {
        let mut answers = Vec::new();
        for (number, (body, status)) in bodies.iter().enumerate() {
            let answer = send(
                site.request("POST", &format!("/api/streams/odd-{number}/events"))
                    .header("Content-Type", "application/json")
                    .body(body.clone()),
            )
            .await;
            let begin = String::from_utf8_lossy(&body[..body.len().min(120)]).into_owned();
            assert_eq!(
                answer.status,
                *status,
                "{kind:?}: {begin}: {}",
                String::from_utf8_lossy(&answer.bytes)
            );
            let mut told = answer.json();
            // A position is of the log that it is in, an instance of the answer.
            for member in ["instance", "position", "fromPosition"] {
                told.as_object_mut().unwrap().remove(member);
            }
            answers.push((begin.clone(), told));
            if *status == 201 {
                let page = site.get(&format!("/api/streams/odd-{number}/events")).await.is(200);
                let told = String::from_utf8(page.bytes).unwrap();
                // The tables agree on their order: data comes first.
                let sent = data().get(number).map_or("1".to_owned(), |(data, _)| data.clone());
                assert!(
                    told.contains(&format!("\"data\":{sent},")),
                    "{kind:?}: {begin} is kept as it was sent"
                );
            }
        }
        answers
    })
}

#[test]
fn odd_json_is_answered_alike_on_both_stores() {
    let bodies = bodies();
    let (one, other) = (answers(Kind::Sqlite, &bodies), answers(Kind::Postgres, &bodies));
    assert_eq!(one.len(), other.len());
    for (one, other) in one.iter().zip(&other) {
        assert_eq!(one, other);
    }
}

#[test]
fn what_is_too_large_is_refused_before_it_is_read() {
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
    let site = Site::start(Kind::Sqlite);
    block_on(async {
        let address = site.url.trim_start_matches("http://").to_owned();
        let mut socket = tokio::net::TcpStream::connect(&address).await.unwrap();
        let head = format!(
            "POST /api/append HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
            5 * 1024 * 1024 + 1
        );
        socket.write_all(head.as_bytes()).await.unwrap();
        let mut begin = [0; 12];
        socket.read_exact(&mut begin).await.unwrap();
        assert_eq!(&begin, b"HTTP/1.1 413");
    });
}
