//! While a server holds a store, commands that write reach it through the socket beside the store.

use std::os::unix::fs::PermissionsExt as _;

use super::{Kind, Site};
use crate::operator::{done, refused};

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
