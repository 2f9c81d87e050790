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

/// A small real file system, in a namespace of its own: as root, or as anyone who is root in a namespace of theirs.
struct SmallDisk {
    folder: tempfile::TempDir,
    process: Victim,
}

impl SmallDisk {
    /// Lets a victim append on a disk of so many MiB.
    fn start(mebibytes: u32, reserve_bytes: u64) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let disk = folder.path().join("disk");
        std::fs::create_dir(&disk).unwrap();
        let script = format!(
            "mount -t tmpfs -o size={mebibytes}m none {0} && exec {1} append {0}/log.db 0 4 1000000",
            disk.display(),
            env!("CARGO_BIN_EXE_flightdeck-victim")
        );
        let is_root =
            std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
        let mut command = Command::new("unshare");
        command.arg(if is_root { "-m" } else { "-Urm" }).args(["sh", "-c", &script]);
        command.env("VICTIM_RESERVE", reserve_bytes.to_string());
        let mut process = Victim::start(command);
        process.until(|said| said.acked.len() >= 10);
        Self { folder, process }
    }

    /// A file on the disk, as it is seen from outside the namespace: through the victim's own root.
    fn file(&self, name: &str) -> String {
        format!("/proc/{}/root{}/disk/{name}", self.process.pid(), self.folder.path().display())
    }

    /// Stops the victim where it is, copies what it has written so far, and ends it.
    fn copy_out(self) -> (tempfile::TempDir, std::path::PathBuf, flightdeck_tests::Said) {
        let copy = self.folder.path().join("copy.db");
        Command::new("kill").args(["-STOP", &self.process.pid().to_string()]).status().unwrap();
        for ending in ["", "-wal"] {
            std::fs::copy(self.file(&format!("log.db{ending}")), format!("{}{ending}", copy.display()))
                .unwrap();
        }
        (self.folder, copy, self.process.kill())
    }
}

#[test]
fn a_small_disk_that_is_really_full_is_survived() {
    let mut disk = SmallDisk::start(6, 0);
    let ballast = disk.file("ballast");
    let filled = Command::new("dd")
        .args(["if=/dev/zero", &format!("of={ballast}"), "bs=64k", "count=80"])
        .output()
        .unwrap();
    assert!(Path::new(&ballast).exists(), "{}", String::from_utf8_lossy(&filled.stderr));
    disk.process.until(|said| said.count("not") >= 12 && said.count("read") >= 12);
    let before = disk.process.said.acked.len();
    std::fs::remove_file(&ballast).unwrap();
    disk.process.until(|said| said.acked.len() >= before + 20);
    let (_folder, copy, said) = disk.copy_out();
    assert_eq!(said.count("unknown"), 0);
    check(&copy, &said);
}

#[test]
fn a_reserve_is_never_used_up() {
    let mut disk = SmallDisk::start(8, 2_000_000);
    disk.process.until(|said| said.count("not") >= 12);
    let free = Command::new("df").args(["--output=avail", "-B1"]).arg(disk.file("log.db")).output().unwrap();
    let free = String::from_utf8(free.stdout).unwrap();
    let free: u64 = free.lines().last().unwrap().trim().parse().unwrap();
    // What was free before the last group may be less by what that group wrote.
    assert!(free > 1_500_000, "only {free} bytes are left of a reserve of 2 MB");
    let (_folder, copy, said) = disk.copy_out();
    check(&copy, &said);
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
        "ulimit -f 2000; exec {} append {} 0 4 1000000",
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
