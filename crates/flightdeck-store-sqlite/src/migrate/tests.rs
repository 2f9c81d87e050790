//! Steps: each once, in order, whole or not at all, and never by a program that is too old.

use flightdeck_core::Timestamp;
use flightdeck_migrations::{Migration, SQLITE};
use rusqlite::Connection;

use super::{APPLICATION_ID, Access, FORMAT, MigrateError, check_format, run, status};

const ONE: Migration = Migration { number: 1, name: "one", sql: "-- one\nCREATE TABLE one (a INTEGER);" };
const TWO: Migration = Migration { number: 2, name: "two", sql: "-- two\nCREATE TABLE two (b INTEGER);" };
const BROKEN: Migration = Migration {
    number: 2,
    name: "two",
    sql: "-- two\nCREATE TABLE two (b INTEGER); INSERT INTO nowhere VALUES (1);",
};

fn now() -> Timestamp {
    Timestamp::from_micros(1_790_000_000_000_000).unwrap()
}

fn names(conn: &Connection) -> Vec<String> {
    let mut statement =
        conn.prepare("SELECT name FROM sqlite_schema WHERE type = 'table' ORDER BY name").unwrap();
    statement.query_map([], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
}

#[test]
fn each_step_is_taken_once_and_in_order() {
    let mut conn = Connection::open_in_memory().unwrap();
    let taken = run(&mut conn, &[ONE, TWO], now()).unwrap();
    assert_eq!(taken.iter().map(|step| step.number).collect::<Vec<_>>(), [1, 2]);
    assert!(run(&mut conn, &[ONE, TWO], now()).unwrap().is_empty());
    assert_eq!(names(&conn), ["fd_migration", "one", "two"]);
}

#[test]
fn a_step_that_fails_leaves_nothing_and_can_be_taken_again() {
    let mut conn = Connection::open_in_memory().unwrap();
    assert!(run(&mut conn, &[ONE, BROKEN], now()).is_err());
    assert_eq!(names(&conn), ["fd_migration", "one"]);
    assert_eq!(status(&conn, &[ONE, TWO]).unwrap()[1].applied, None);
    assert_eq!(run(&mut conn, &[ONE, TWO], now()).unwrap()[0].number, 2);
}

#[test]
fn a_step_that_was_edited_after_it_ran_is_noticed() {
    let mut conn = Connection::open_in_memory().unwrap();
    run(&mut conn, &[ONE], now()).unwrap();
    let edited = Migration { sql: "-- one\nCREATE TABLE one (a TEXT);", ..ONE };
    assert!(matches!(run(&mut conn, &[edited, TWO], now()), Err(MigrateError::Edited { number: 1 })));
    assert!(matches!(status(&conn, &[edited]), Err(MigrateError::Edited { number: 1 })));
    assert_eq!(names(&conn), ["fd_migration", "one"]);
}

#[test]
fn status_of_nothing_is_that_all_is_to_come() {
    let conn = Connection::open_in_memory().unwrap();
    let steps = status(&conn, SQLITE).unwrap();
    assert!(steps.iter().all(|step| step.applied.is_none()) && steps.len() == SQLITE.len());
    assert!(names(&conn).is_empty(), "looking changes nothing");
}

#[test]
fn a_newer_store_is_not_touched_and_read_only_when_it_allows_that() {
    let mut conn = Connection::open_in_memory().unwrap();
    run(&mut conn, SQLITE, now()).unwrap();
    let newer = |name: &str| {
        conn.execute("UPDATE fd_meta SET value = ?1 WHERE name = ?2", (FORMAT + 1, name)).unwrap();
    };
    check_format(&conn, Access::Write).unwrap();
    newer("min_writer");
    assert!(
        matches!(check_format(&conn, Access::Write), Err(MigrateError::TooNew { needed }) if needed == FORMAT + 1)
    );
    check_format(&conn, Access::Read).unwrap();
    newer("min_reader");
    assert!(matches!(check_format(&conn, Access::Read), Err(MigrateError::TooNew { .. })));
}

#[test]
fn a_database_of_someone_else_is_refused() {
    let conn = Connection::open_in_memory().unwrap();
    check_format(&conn, Access::Write).unwrap();
    conn.execute_batch("CREATE TABLE theirs (a)").unwrap();
    assert!(matches!(check_format(&conn, Access::Write), Err(MigrateError::Foreign)));
    conn.pragma_update(None, "application_id", APPLICATION_ID + 1).unwrap();
    assert!(matches!(check_format(&conn, Access::Read), Err(MigrateError::Foreign)));
}

#[test]
fn two_that_migrate_at_once_take_turns() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("two.db");
    let migrate = |path: std::path::PathBuf| {
        std::thread::spawn(move || {
            let mut conn = Connection::open(path).unwrap();
            conn.busy_timeout(std::time::Duration::from_secs(20)).unwrap();
            run(&mut conn, SQLITE, now()).unwrap().len()
        })
    };
    let both = [path.clone(), path.clone(), path].map(migrate).map(|thread| thread.join().unwrap());
    assert_eq!(both.iter().sum::<usize>(), SQLITE.len(), "each step was taken by one of them: {both:?}");
}
