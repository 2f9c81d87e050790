//! A full disk stops appends and nothing else, and for no longer than it is full. (F7, F8, F9)

use std::path::Path;
use std::process::Command;

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_store::{Append, AppendError, EventStore as _, NewEvent, Outcome, Reason};
use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};

use crate::victim::{Victim, block_on, check, victim, with_shim};

/// What must be true of a victim whose disk is full for a while, in the middle of its work.
fn survives(mut process: Victim, path: &Path, fill: impl FnOnce(), make_room: impl FnOnce()) {
    process.until(|said| said.acked.len() >= 10);
    fill();
    process.until(|said| said.count("not") >= 12 && said.count("read") >= 12);
    let before = process.said.acked.len();
    make_room();
    process.until(|said| said.acked.len() >= before + 20);
    let (said, status) = process.end();
    assert!(status.success(), "{:?}", said.other.last());
    let told = said.other.iter().filter(|line| line.starts_with("not"));
    assert!(told.clone().count() > 0);
    for line in told {
        assert!(line.ends_with("not committed: the disk is full, or below its reserve"), "{line}");
    }
    assert_eq!(said.count("unknown"), 0);
    assert_eq!(said.acked.len(), said.tried.len(), "everything is appended in the end, by the same process");
    check(path, &said);
}

#[test]
fn a_disk_without_room_tells_every_append_and_is_forgotten_when_there_is_room() {
    let folder = tempfile::tempdir().unwrap();
    let (path, full) = (folder.path().join("log.db"), folder.path().join("full"));
    let mut command = with_shim(victim(&["append", path.to_str().unwrap(), "0", "4", "400"]));
    command.env("DISK_FULL", &full);
    survives(
        Victim::start(command),
        &path,
        || std::fs::write(&full, "").unwrap(),
        || std::fs::remove_file(&full).unwrap(),
    );
}

/// The same with a real file system, which only a namespace of our own may mount: as root, or as anyone who is
/// root in a namespace of theirs.
#[test]
fn a_small_disk_that_is_really_full_is_survived() {
    let folder = tempfile::tempdir().unwrap();
    let disk = folder.path().join("disk");
    std::fs::create_dir(&disk).unwrap();
    let (victim, path) = (env!("CARGO_BIN_EXE_flightdeck-victim"), disk.join("log.db"));
    // The namespace is the victim's alone, so its files are seen through its own root.
    let script = format!(
        "mount -t tmpfs -o size=6m none {0} && exec {victim} append {1} 0 4 1000000",
        disk.display(),
        path.display()
    );
    let unshare = |flags: &[&str]| {
        let mut command = Command::new("unshare");
        command.args(flags).args(["sh", "-c", &script]);
        command
    };
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    let mut process = Victim::start(unshare(if is_root { &["-m"] } else { &["-Urm"] }));
    process.until(|said| said.acked.len() >= 10);
    let root = format!("/proc/{}/root{}", process.pid(), disk.display());
    let inside = |name: &str| format!("{root}/{name}");
    let ballast = inside("ballast");
    // As much as there is room for, but for what a few more commits need.
    let filled = Command::new("dd")
        .args(["if=/dev/zero", &format!("of={ballast}"), "bs=64k", "count=80"])
        .output()
        .unwrap();
    assert!(Path::new(&ballast).exists(), "{}", String::from_utf8_lossy(&filled.stderr));
    process.until(|said| said.count("not") >= 12 && said.count("read") >= 12);
    let before = process.said.acked.len();
    std::fs::remove_file(&ballast).unwrap();
    process.until(|said| said.acked.len() >= before + 20);
    // What it left is copied out by another one that is in the same namespace, while it does not write.
    let copy = folder.path().join("copy.db");
    let pid = process.pid().to_string();
    Command::new("kill").args(["-STOP", &pid]).status().unwrap();
    for ending in ["", "-wal"] {
        let name = format!("log.db{ending}");
        std::fs::copy(inside(&name), format!("{}{ending}", copy.display())).unwrap();
    }
    let said = process.kill();
    assert_eq!(said.count("unknown"), 0);
    let mut tried = said.clone();
    tried.other.clear();
    check(&copy, &tried);
}

#[test]
fn below_its_reserve_a_disk_takes_no_appends_and_gives_reads() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let everything = Options { reserve: Reserve::Bytes(u64::MAX), ..Options::default() };
    block_on(async {
        let store =
            SqliteStore::open(&path, Options { reserve: Reserve::Bytes(0), ..Options::default() }).unwrap();
        store.append(flightdeck_tests::append(2)).await.unwrap();
        store.close().await;
        let store = SqliteStore::open(&path, everything).unwrap();
        let refused = store.append(flightdeck_tests::append(3)).await.unwrap_err();
        assert!(matches!(refused, AppendError::NotCommitted { reason: Reason::Full, .. }), "{refused}");
        assert!(refused.retry_helps() && refused.outcome() == Outcome::NotCommitted);
        assert!(
            store.append(flightdeck_tests::append(2)).await.unwrap().duplicate,
            "what was done can still be asked for"
        );
        assert_eq!(flightdeck_tests::whole_log(&store).await.len(), 3);
        store.close().await;
    });
}

#[test]
fn a_quota_is_a_small_disk() {
    let folder = tempfile::tempdir().unwrap();
    block_on(async {
        let options = Options { pages_max: Some(100), reserve: Reserve::Bytes(0), ..Options::default() };
        let store = SqliteStore::open(folder.path().join("log.db"), options).unwrap();
        let data = Json::new(format!("\"{}\"", "x".repeat(20_000)), 1 << 20).unwrap();
        let event = NewEvent::new(StreamId::new("a-1").unwrap(), EventType::new("A").unwrap(), data);
        let mut stored = 0;
        let refused = loop {
            match store.append(Append::of([event.clone()])).await {
                Ok(_) => stored += 1,
                Err(error) => break error,
            }
            assert!(stored < 100);
        };
        assert!(matches!(refused, AppendError::NotCommitted { reason: Reason::Full, .. }), "{refused}");
        assert_eq!(store.head().await.unwrap().cursor.position().get(), stored);
        store.append(flightdeck_tests::append(0)).await.unwrap();
        assert_eq!(store.verify().await.unwrap().problems, [], "what is small still fits");
        store.close().await;
    });
}

#[test]
fn a_file_size_limit_is_an_error_and_not_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let mut command = Command::new("sh");
    let script = format!(
        "ulimit -f 600; exec {} append {} 0 4 1000000",
        env!("CARGO_BIN_EXE_flightdeck-victim"),
        path.display()
    );
    command.args(["-c", &script]);
    let (said, status) = Victim::start(command).end();
    // Beyond the limit SQLite reports a failed write, after which nothing is certain: the store stops by itself.
    assert_eq!(status.code(), Some(3), "the signal would have killed it: {status}");
    assert!(said.count("unknown") > 0 && said.acked.len() > 10);
    check(&path, &said);
}
