//! While a server holds a store, commands that write reach it through the socket beside the store.

use std::os::unix::fs::PermissionsExt as _;

use serde_json::json;

use super::{Kind, Site, send};
use crate::operator::{done, refused};
use crate::victim::block_on;

#[test]
fn commands_that_write_go_through_the_socket_while_a_server_holds_the_store() {
    let site = Site::start(Kind::Sqlite);
    let store = site.store.clone();
    let socket = format!("{}.sock", store.strip_prefix("sqlite:").unwrap());
    assert_eq!(std::fs::metadata(&socket).unwrap().permissions().mode() & 0o777, 0o600);

    let placed = ["append", "order-1", "Placed", "--data", "{\"n\":1.50}", "--expect", "none", "--text"];
    assert_eq!(done(&placed, &store), "order-1 is at version 1, at position 1 of the log\n");
    let told = refused(&placed, &store, 1);
    assert!(told.contains("expected no stream, but current version is 1"), "{told}");
    let paid = ["append", "order-1", "Paid", "--expect", "1", "--key", "once", "--text"];
    assert_eq!(done(&paid, &store), "order-1 is at version 2, at position 2 of the log\n");
    assert_eq!(done(&paid, &store), "order-1 is at version 2, at position 2 of the log, as it was before\n");
    assert!(done(&["read", "order-1"], &store).contains("\"data\":{\"n\":1.50}"));

    assert_eq!(done(&["projections", "pause", "content", "--text"], &store), "content waits\n");
    assert_eq!(done(&["projections", "resume", "content", "--text"], &store), "content goes on\n");
    let built = done(&["projections", "rebuild", "log_days", "--text"], &store);
    assert!(built.starts_with("log_days 1.2 is built, up to position "), "{built}");

    let (code, said) = site.stop();
    assert_eq!(code, Some(0), "{said}");
    assert!(!std::path::Path::new(&socket).exists(), "it goes with the server");
}

/// A command with a key is done once, whether a server holds the store when it is given, or when it is given again. (P3)
#[test]
fn a_key_is_the_same_with_and_without_a_server() {
    let folder = tempfile::tempdir().unwrap();
    let store = format!("sqlite:{}", folder.path().join("store.db").display());
    let lines = folder.path().join("events.ndjson");
    std::fs::write(&lines, "{\"streamId\":\"b-1\",\"eventType\":\"B\",\"data\":{}}\n").unwrap();
    let lines = lines.to_str().unwrap().to_owned();
    let keyed = |key: &'static str| ["append", "a-1", "A", "--key", key, "--text"];
    let file = ["append", "--ndjson", &lines, "--text"];
    done(&["migrate"], &store);
    let first = done(&keyed("offline"), &store);
    assert_eq!(first, "a-1 is at version 1, at position 1 of the log\n");
    done(&file, &store);
    let head = || done(&["read", "--text"], &store).lines().count();
    assert_eq!(head(), 2);

    let site = Site::on(&store);
    let again = done(&keyed("offline"), &store);
    assert_eq!(again, "a-1 is at version 1, at position 1 of the log, as it was before\n");
    done(&file, &store);
    let first = done(&keyed("online"), &store);
    assert_eq!(first, "a-1 is at version 2, at position 3 of the log\n");
    // By TCP nobody says whose key it is.
    block_on(async {
        let other = json!({ "events": [{ "streamId": "c-1", "eventType": "C", "data": 1 }] });
        let request = site.request("POST", "/api/append").header("FlightDeck-Request-Key", "cli online 00");
        send(request.json(&other)).await.is(201);
    });
    assert_eq!(site.stop().0, Some(0));

    let again = done(&keyed("online"), &store);
    assert_eq!(again, "a-1 is at version 2, at position 3 of the log, as it was before\n");
    done(&file, &store);
    assert_eq!(head(), 4);
}
