//! Files that somebody hands to `restore` and `import`: whatever is not ours to the letter is refused with a sentence, nothing in it
//! is run, and nothing is changed. (F26)

use std::io::{Seek as _, SeekFrom, Write as _};

use rusqlite::Connection;

use super::{Desk, Kind, done, is_there, refused};

/// Hands a file to `restore`, which must refuse it, say why, and leave nothing.
#[track_caller]
fn is_refused(desk: &Desk, name: &str, why: &str) {
    let before = std::fs::read(desk.file(name)).unwrap();
    let target = desk.store(&Kind::Sqlite, "never.db");
    let ran = super::run(&["restore", &desk.path(name)], &target);
    // A store that a newer program made, or somebody else's, is one thing; a bad file is another.
    let code = if matches!(name, "newer" | "other") { 78 } else { 1 };
    assert_eq!(ran.code, Some(code), "{name}: {}", ran.err);
    assert!(ran.err.contains(why), "{name}: {}", ran.err);
    assert!(ran.err.lines().count() >= 2, "{name} says nothing of what to do: {}", ran.err);
    assert!(!is_there(&desk.file("never.db")), "{name} left something");
    assert!(std::fs::read(desk.file(name)).unwrap() == before, "{name} was changed");
    for beside in ["-wal", "-shm", "-journal"] {
        assert!(
            !is_there(&desk.file(&format!("{name}{beside}"))) || name == "with-wal",
            "{name}{beside} was made"
        );
    }
}

#[test]
fn a_database_with_anything_foreign_in_it_is_refused() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 1_200);
    done(&["backup", &desk.path("good")], &store);
    let changed = |name: &str, sql: &str| {
        std::fs::copy(desk.file("good"), desk.file(name)).unwrap();
        let conn = Connection::open(desk.file(name)).unwrap();
        conn.execute_batch(sql).unwrap();
        conn.close().unwrap();
    };
    for (name, sql, why) in [
        ("trigger", "CREATE TRIGGER evil AFTER INSERT ON fd_meta BEGIN DELETE FROM fd_request; END", "the trigger evil"),
        ("view", "CREATE VIEW evil AS SELECT load_extension('/tmp/evil')", "the view evil"),
        ("table", "CREATE TABLE evil (a)", "the table evil"),
        ("index", "CREATE INDEX evil ON fd_log (recorded)", "the index evil"),
        ("lacks", "DROP TRIGGER fd_log_never_loses", "fd_log_never_loses is not there"),
        (
            "replaced",
            "DROP TRIGGER fd_log_never_loses; CREATE TRIGGER fd_log_never_loses BEFORE DELETE ON fd_log BEGIN SELECT 1; END",
            "the trigger fd_log_never_loses",
        ),
        ("newer", "UPDATE fd_meta SET value = 99 WHERE name = 'min_reader'", "use a newer one"),
        ("other", "PRAGMA application_id = 7", "not a FlightDeck store"),
        (
            "written",
            "DROP TRIGGER fd_log_never_changes; PRAGMA writable_schema = ON;
             INSERT INTO sqlite_schema SELECT 'trigger', 'fd_log_never_changes', 'fd_log', 0, 'CREATE TRIGGER fd_log_never_changes BEFORE UPDATE ON fd_log BEGIN SELECT 1; END'",
            "fd_log_never_changes",
        ),
    ] {
        changed(name, sql);
        is_refused(&desk, name, why);
    }
    // One event that is not what it was: the schema is ours, and what is in it is not.
    changed(
        "flipped",
        "DROP TRIGGER fd_log_never_changes; UPDATE fd_log SET data = CAST('{}' AS BLOB) WHERE position = 700",
    );
    let trigger: String = Connection::open(desk.file("good"))
        .unwrap()
        .query_row("SELECT sql FROM sqlite_schema WHERE name = 'fd_log_never_changes'", [], |row| row.get(0))
        .unwrap();
    Connection::open(desk.file("flipped")).unwrap().execute_batch(&trigger).unwrap();
    is_refused(&desk, "flipped", "damaged");
    // And what is good is taken.
    done(&["restore", &desk.path("good")], &desk.store(&Kind::Sqlite, "taken.db"));
}

#[test]
fn what_is_no_database_or_a_broken_one_is_refused() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, 1_200);
    done(&["backup", &desk.path("good")], &store);
    let good = std::fs::read(desk.file("good")).unwrap();
    std::fs::write(desk.file("text"), "dear sir or madam\n").unwrap();
    is_refused(&desk, "text", "line 1");
    std::fs::write(desk.file("empty"), "").unwrap();
    is_refused(&desk, "empty", "line 1");
    std::fs::write(desk.file("half"), &good[..good.len() / 2]).unwrap();
    is_refused(&desk, "half", "");
    // A page in the middle, and one near the front.
    for (name, at) in [("page", good.len() as u64 / 2), ("front", 2 * 4_096)] {
        std::fs::copy(desk.file("good"), desk.file(name)).unwrap();
        let mut file = std::fs::OpenOptions::new().write(true).open(desk.file(name)).unwrap();
        file.seek(SeekFrom::Start(at)).unwrap();
        file.write_all(&[0xa5; 4_096]).unwrap();
        is_refused(&desk, name, "");
    }
    std::fs::copy(desk.file("good"), desk.file("with-wal")).unwrap();
    std::fs::write(desk.file("with-wal-wal"), [1_u8; 5_000]).unwrap();
    is_refused(&desk, "with-wal", "write-ahead log");
    assert!(
        refused(&["restore", &desk.path("not-there")], &desk.store(&Kind::Sqlite, "never.db"), 1)
            .contains("not-there")
    );
}

#[test]
fn an_export_with_a_bad_line_is_refused_with_its_number_and_nothing_is_done() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.filled(&Kind::Sqlite, 300);
        let good = String::from_utf8(desk.export(&store)).unwrap();
        let lines: Vec<&str> = good.lines().collect();
        let target = desk.store(&kind, "never.db");
        let refused_with = |name: &str, lines: Vec<String>, why: &str| {
            std::fs::write(desk.file(name), lines.join("\n") + "\n").unwrap();
            let said = refused(&["import", &desk.path(name)], &target, 1);
            assert!(said.contains(why), "{name}: {said}");
            let read = super::run(&["read"], &target);
            assert!(read.code != Some(0) && !is_there(&desk.file("never.db")), "{name} left something");
        };
        let owned = || lines.iter().map(|line| (*line).to_owned()).collect::<Vec<_>>();
        let with = |at: usize, line: String| {
            let mut lines = owned();
            lines[at] = line;
            lines
        };
        refused_with("cut", owned()[..200].to_vec(), "line 201: the file ends before its end");
        refused_with("half", with(100, lines[100][..50].to_owned()), "line 101");
        refused_with("changed", with(100, lines[100].replace("\"cents\"", "\"cent\"")), "line 101: the hash");
        refused_with(
            "version",
            with(100, lines[100].replacen("\"version\":", "\"version\":9", 1)),
            "line 101",
        );
        refused_with(
            "unknown",
            with(100, lines[100].replacen('{', "{\"evil\":1,", 1)),
            "line 101: unknown field",
        );
        refused_with("headless", owned()[1..].to_vec(), "line 1: is not the beginning");
        let mut swapped = owned();
        swapped.swap(50, 51);
        refused_with("swapped", swapped, "line 51");
        let mut without = owned();
        without.remove(lines.len() - 2);
        refused_with("without", without, "is not the end of what stands before it");
        let mut behind = owned();
        behind.push("{}".to_owned());
        refused_with("behind", behind, "stands behind the end");
        refused_with(
            "endless",
            with(100, lines[100].replace("\"appendEnd\":", "\"appendEnd\":9")),
            "line 101: says that its append ends",
        );
        refused_with("newer", with(0, lines[0].replace("\"format\":1", "\"format\":2")), "format 2");
        // Appended afresh, the same: every line is read before anything is appended.
        std::fs::write(
            desk.file("new"),
            "{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":1}\n\n{\"streamId\":\"a-1\"}\n",
        )
        .unwrap();
        assert!(
            refused(&["import", "--as-new", &desk.path("new")], &target, 1)
                .contains("line 3: eventType is missing; data is missing")
        );
        assert!(refused(&["append", "--ndjson", &desk.path("new")], &target, 1).contains("line 3"));
        assert!(super::run(&["read"], &target).code != Some(0));
    }
}
