//! An acknowledgement never comes before the disk, and never after the disk has failed. (P1, F6, F10, F11)

use flightdeck_tests::Said;

use crate::victim::{Victim, check, victim, with_shim};

const DELAY_MILLIS: u64 = 200;

/// The quickest acknowledgement on a disk whose flushes take 200 ms.
fn quickest(tasks: &str, synchronous: Option<&str>) -> (u64, Said, std::path::PathBuf, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    // The store is made on a good disk, so that only appends meet the slow one.
    Victim::start(victim(&["migrate", path.to_str().unwrap()])).end();
    let mut command = with_shim(victim(&["append", path.to_str().unwrap(), "0", tasks, "8"]));
    command.env("DISK_DELAY_MS", DELAY_MILLIS.to_string());
    if let Some(synchronous) = synchronous {
        command.env("FLIGHTDECK_FAULT_SYNCHRONOUS", synchronous);
    }
    let (said, status) = Victim::start(command).end();
    assert!(status.success());
    assert_eq!(said.acked.len(), 8);
    let quickest = said.acked.values().map(|(_, _, millis)| *millis).min().unwrap();
    (quickest, said, path, folder)
}

#[test]
fn no_append_is_answered_before_its_flush() {
    for tasks in ["1", "4"] {
        let (quickest, said, path, _folder) = quickest(tasks, None);
        assert!(quickest >= DELAY_MILLIS, "an append was answered after {quickest} ms");
        check(&path, &said);
    }
}

/// The proof of the proof: without a flush the test above goes red.
#[test]
fn a_store_that_does_not_flush_would_be_noticed() {
    let (quickest, _, _, _folder) = quickest("1", Some("off"));
    assert!(quickest < DELAY_MILLIS, "nothing was flushed, and yet it took {quickest} ms");
}

/// Runs the victim on a disk that fails from the `nth` flush or write on.
fn fails_from(what: &str, nth: u32) -> bool {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    Victim::start(victim(&["migrate", path.to_str().unwrap()])).end();
    let mut command = with_shim(victim(&["append", path.to_str().unwrap(), "0", "2", "30"]));
    command.env(what, nth.to_string());
    let (said, status) = Victim::start(command).end();
    if status.success() {
        // The disk failed only after the last append, when nobody was promised anything any more.
        assert_eq!(said.acked.len(), 30, "{what} {nth}");
    } else if said.count("refused") == 0 {
        assert_eq!(status.code(), Some(3), "{what} {nth}: the process ends itself");
        assert!(
            said.count("unknown") > 0,
            "{what} {nth}: nobody was told that the outcome is unknown: {:?}",
            said.other
        );
    }
    check(&path, &said);
    !status.success()
}

#[test]
fn a_flush_that_fails_is_never_acknowledged_and_stops_the_store() {
    let stopped = (1..=20).filter(|nth| fails_from("DISK_BAD_FLUSH", *nth)).count();
    assert!(stopped >= 10, "only {stopped} of the flushes that failed were met");
}

#[test]
fn a_write_that_fails_is_never_acknowledged_and_stops_the_store() {
    let stopped = [1, 2, 3, 4, 5, 7, 9, 12, 16, 23, 31, 44, 60, 80]
        .into_iter()
        .filter(|nth| fails_from("DISK_BAD_WRITE", *nth));
    let stopped = stopped.count();
    assert!(stopped >= 10, "only {stopped} of the writes that failed were met");
}

/// Copying the log back into the file flushes too, when nobody waits for an answer: a disk that fails there is no better.
#[test]
fn a_flush_that_fails_in_a_checkpoint_stops_the_store() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    Victim::start(victim(&["migrate", path.to_str().unwrap()])).end();
    let mut command = with_shim(victim(&["append", path.to_str().unwrap(), "0", "8", "200000"]));
    command.env("DISK_BAD_FILE_FLUSH", "1");
    let (said, status) = Victim::start(command).end();
    assert_eq!(
        status.code(),
        Some(3),
        "appends went on on a disk that does not flush: {:?}",
        said.other.last()
    );
    assert!(said.acked.len() > 1_000, "there was something to copy back");
    check(&path, &said);
}

/// What is folded goes to the disk with the next append: appends beside views are flushed, and wait for no flush but their own.
#[test]
fn appends_beside_views_wait_for_their_own_flush_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    Victim::start(victim(&["migrate", path.to_str().unwrap()])).end();
    let mut command = with_shim(victim(&["views", path.to_str().unwrap(), "0", "1", "20", "5"]));
    command.env("DISK_DELAY_MS", DELAY_MILLIS.to_string());
    let mut node = Victim::start(command);
    node.until(|said| said.acked.len() == 20);
    node.tell("until");
    node.until(|said| said.count("there") == 1);
    let mut took: Vec<u64> = node.said.acked.values().map(|(_, _, millis)| *millis).collect();
    node.end();
    took.sort_unstable();
    assert!(took[0] >= DELAY_MILLIS, "an append was answered after {} ms", took[0]);
    // Making the views is flushed, and some wait for that; a piece of work is done between any two appends.
    let half = took[took.len() / 2];
    assert!(half < DELAY_MILLIS * 7 / 4, "half of the appends took more than {half} ms");
}
