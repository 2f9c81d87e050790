//! The examples run, as a reader of the documentation would run them.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::process::Command;

#[track_caller]
fn runs(example: &str, says: &[&str]) {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = Command::new(cargo)
        .args(["run", "--quiet", "--package", "flightdeck-store-sqlite", "--example", example])
        .output();
    let run = run.unwrap();
    let text = String::from_utf8_lossy(&run.stdout);
    assert!(run.status.success(), "{example} failed: {}", String::from_utf8_lossy(&run.stderr));
    for line in says {
        assert!(text.contains(line), "{example} does not say {line:?}: {text}");
    }
}

#[test]
fn first_append_stores_repeats_and_refuses() {
    runs(
        "first_append",
        &["the order is at version", "refused: stream order-7: expected no stream, but current version is 2"],
    );
}

#[test]
fn decider_never_overbooks() {
    runs(
        "decider",
        &["booked; 60 seats are free", "booked; 20 seats are free", "refused: only 20 seats are free"],
    );
}

#[test]
fn follow_goes_from_history_to_live_and_on() {
    runs("follow", &["caught up at", "-7 note-1 {\"number\":7}", "comes position 8"]);
}
