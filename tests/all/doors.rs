//! Who is let in: one writer, no stranger, no older program, and readers without rights. (F16–F20, F25, F33, F34)

use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::{Mutex, OnceLock, PoisonError};

use flightdeck_store::{EventStore as _, MigrateError};
use flightdeck_store_sqlite::{OpenError, Options, SqliteStore};
use rusqlite::Connection;

use crate::victim::{Victim, block_on, open, victim};

/// The binary as it is shipped: named by the test command, or built here.
pub(crate) fn flightdeck() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("FLIGHTDECK_BIN", "flightdeck-shipped", &[]))
}

/// The same with kill points in it.
pub(crate) fn flightdeck_with_faults() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| built("FLIGHTDECK_BIN_FAULTS", "flightdeck-faults", &["--features", "faults"]))
}

fn built(variable: &str, name: &str, features: &[&str]) -> PathBuf {
    /// Both are built in the same place, one after the other.
    static BUILDING: Mutex<()> = Mutex::new(());
    if let Some(named) = std::env::var_os(variable) {
        return named.into();
    }
    let _building = BUILDING.lock().unwrap_or_else(PoisonError::into_inner);
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built =
        Command::new(cargo).args(["build", "--quiet", "--package", "flightdeck"]).args(features).status();
    assert!(built.unwrap().success(), "the binary can't be built");
    // Beside the folder that this test was built into.
    let here = Path::new(env!("CARGO_BIN_EXE_flightdeck-victim"));
    let copy = here.with_file_name(name);
    std::fs::copy(here.with_file_name("flightdeck"), &copy).unwrap();
    copy
}

fn run(arguments: &[&str], store: &Path) -> (Option<i32>, String) {
    let url = format!("sqlite:{}", store.display());
    let output: Output = Command::new(flightdeck()).args(arguments).args(["--store", &url]).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8(text).unwrap())
}

/// A store with a few events, closed.
fn store() -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let store = open(&path);
    block_on(async {
        for number in 10..14 {
            store.append(flightdeck_tests::append(number)).await.unwrap();
        }
        store.close().await;
    });
    (folder, path)
}

#[test]
fn the_second_process_is_refused_and_told_who_is_first() {
    let (_folder, path) = store();
    let mut first = Victim::start(victim(&["hold", path.to_str().unwrap()]));
    first.until(|said| said.count("open") == 1);
    let refused = SqliteStore::open(&path, Options::default()).unwrap_err();
    assert!(matches!(&refused, OpenError::Locked { pid, .. } if *pid == Some(first.pid())), "{refused}");
    let (code, text) = run(&["migrate"], &path);
    assert_eq!(code, Some(75), "{text}");
    assert!(text.contains(&format!("in use by process {}", first.pid())), "{text}");
    // Looking is allowed beside it.
    let (code, text) = run(&["migrate", "--status"], &path);
    assert_eq!(code, Some(0), "{text}");
    let (said, _) = Victim::start(victim(&["read", path.to_str().unwrap()])).end();
    assert_eq!(said.other[0], "events 8");
    first.end();
    block_on(open(&path).close());
}

#[test]
fn a_lock_dies_with_its_holder() {
    let (_folder, path) = store();
    let mut first = Victim::start(victim(&["hold", path.to_str().unwrap()]));
    first.until(|said| said.count("open") == 1);
    first.kill();
    let store = SqliteStore::open(&path, Options::default()).unwrap();
    block_on(store.close());
}

#[test]
fn a_store_of_a_newer_format_is_refused_and_not_touched() {
    let (_folder, path) = store();
    let newer = |name: &str| {
        Connection::open(&path)
            .unwrap()
            .execute("UPDATE fd_meta SET value = 99 WHERE name = ?1", [name])
            .unwrap();
        std::fs::read(&path).unwrap()
    };
    let before = newer("min_writer");
    let refused = SqliteStore::open(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Migrate(MigrateError::TooNew { needed: 99 })), "{refused}");
    let (code, text) = run(&["migrate"], &path);
    assert_eq!(code, Some(78), "{text}");
    assert_eq!(std::fs::read(&path).unwrap(), before);
    let reading = SqliteStore::open_read_only(&path, Options::default()).unwrap();
    assert_eq!(block_on(flightdeck_tests::whole_log(&reading)).len(), 8, "reading is what the store allows");
    drop(reading);
    newer("min_reader");
    let refused = SqliteStore::open_read_only(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Migrate(MigrateError::TooNew { needed: 99 })), "{refused}");
}

#[test]
fn a_database_of_someone_else_is_refused_and_not_touched() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("theirs.db");
    Connection::open(&path)
        .unwrap()
        .execute_batch("CREATE TABLE theirs (a); INSERT INTO theirs VALUES (1)")
        .unwrap();
    let before = std::fs::read(&path).unwrap();
    let refused = SqliteStore::open(&path, Options::default()).unwrap_err();
    assert!(matches!(refused, OpenError::Migrate(MigrateError::Foreign)), "{refused}");
    assert_eq!(run(&["migrate"], &path).0, Some(78));
    assert_eq!(std::fs::read(&path).unwrap(), before);
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 1, "nothing was laid beside it");
    let nonsense = folder.path().join("nonsense.db");
    std::fs::write(&nonsense, "this is no database, and it is longer than a hundred bytes ".repeat(20))
        .unwrap();
    assert!(matches!(SqliteStore::open(&nonsense, Options::default()), Err(OpenError::Damaged(_))));
    assert_eq!(run(&["migrate"], &nonsense).0, Some(1));
}

#[test]
fn a_path_is_a_path_and_never_a_uri() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file:evil?mode=memory");
    let store = open(&path);
    block_on(async {
        store.append(flightdeck_tests::append(1)).await.unwrap();
        store.close().await;
    });
    assert!(path.metadata().unwrap().len() > 0, "the store is the file of that odd name");
}

#[test]
fn the_files_are_their_owners_alone() {
    let (_folder, path) = store();
    for ending in ["", ".lock"] {
        let file = format!("{}{ending}", path.display());
        assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600, "{file}");
    }
}

/// A user without rights: nobody, when this runs as root; and this user itself, when it does not.
fn without_rights(mut command: Command) -> Command {
    let is_root =
        std::fs::metadata("/proc/self").is_ok_and(|me| std::os::unix::fs::MetadataExt::uid(&me) == 0);
    if is_root {
        command.uid(65_534).gid(65_534);
    }
    command
}

#[test]
fn who_may_only_read_reads_and_is_told_why_not_more() {
    let (folder, path) = store();
    // The victim lies where a user without rights can't reach it.
    let program = folder.path().join("victim");
    std::fs::copy(env!("CARGO_BIN_EXE_flightdeck-victim"), &program).unwrap();
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    mode(&program, 0o555);
    mode(&path, 0o444);
    std::fs::remove_file(format!("{}.lock", path.display())).unwrap();
    mode(folder.path(), 0o555);
    let run = |what: &str| {
        let mut command = Command::new(&program);
        command.args([what, path.to_str().unwrap(), "0", "1", "1"]);
        Victim::start(without_rights(command)).end().0.other
    };
    assert_eq!(run("read"), ["events 8", "not not committed: the store is open for reading only"]);
    let refused = run("append");
    assert!(
        refused[0].contains("can't be written by this user; it can be opened for reading only"),
        "{refused:?}"
    );
    mode(folder.path(), 0o755);
}

#[test]
fn a_file_that_was_to_stay_as_it_is_and_does_not_is_read_no_more() {
    let (folder, path) = store();
    let program = folder.path().join("victim");
    std::fs::copy(env!("CARGO_BIN_EXE_flightdeck-victim"), &program).unwrap();
    let mode = |path: &Path, mode: u32| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap()
    };
    mode(&program, 0o555);
    mode(&path, 0o644);
    std::fs::remove_file(format!("{}.lock", path.display())).unwrap();
    mode(folder.path(), 0o555);
    let mut command = Command::new(&program);
    command.args(["read-twice", path.to_str().unwrap()]);
    let mut reader = Victim::start(without_rights(command));
    reader.until(|said| said.count("events 8") == 1);
    mode(folder.path(), 0o755);
    let store = open(&path);
    block_on(async {
        store.append(flightdeck_tests::append(3)).await.unwrap();
        store.close().await;
    });
    let (said, _) = reader.end();
    assert_eq!(said.other, ["events 8", "not the store has stopped; it must be opened again"]);
}

#[test]
fn two_that_migrate_at_once_both_find_it_done() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    let both = [(); 3].map(|()| Victim::start(victim(&["migrate", path.to_str().unwrap()])));
    let said: Vec<String> = both.into_iter().flat_map(|process| process.end().0.other).collect();
    let steps: u64 = said.iter().filter_map(|line| line.strip_prefix("migrated ")?.parse::<u64>().ok()).sum();
    assert_eq!((said.len(), steps), (3, 3), "{said:?}");
}

#[test]
fn migrate_says_what_there_is_to_do_and_does_it_once() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("new/log.db");
    let (code, text) = run(&["migrate", "--dry-run"], &path);
    assert_eq!((code, text.lines().count()), (Some(0), 3), "{text}");
    assert!(!path.exists(), "a dry run makes nothing");
    assert!(run(&["migrate"], &path).1.contains("up to date after 3 steps"));
    assert!(run(&["migrate"], &path).1.contains("is up to date"));
    assert_eq!(run(&["migrate", "--dry-run"], &path).1, "nothing to do\n");
    assert_eq!(run(&["migrate", "--no-such-flag"], &path).0, Some(64));
}
