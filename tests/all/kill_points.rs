//! The matrix: every kill point of the writer, with a kill, a panic and a stall. (F1, F2, F3, F29, F32)

use flightdeck_store_sqlite::fault::POINTS;
use flightdeck_tests::Said;

use crate::victim::{Victim, check, victim};

/// Runs the victim into a fault and returns what it said, and how it ended.
fn run_into(path: &str, fault: &str) -> (Said, std::process::ExitStatus) {
    let mut command = victim(&["append", path, "0", "4", "40"]);
    command.env("FLIGHTDECK_FAULT", fault);
    Victim::start(command).end()
}

#[test]
fn what_is_killed_anywhere_on_its_way_is_whole_and_once() {
    for point in POINTS.into_iter().filter(|point| *point != "migration-step") {
        for at in [1, 4, 9] {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log.db");
            let (said, status) = run_into(path.to_str().unwrap(), &format!("{point}:{at}:kill"));
            assert!(!status.success(), "{point}:{at} was not reached");
            assert_eq!(said.count("done"), 0);
            check(&path, &said);
        }
    }
}

#[test]
fn a_writer_that_panics_ends_the_store_and_loses_nothing() {
    for point in POINTS.into_iter().filter(|point| *point != "migration-step") {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let (said, status) = run_into(path.to_str().unwrap(), &format!("{point}:3:panic"));
        assert_eq!(status.code(), Some(3), "{point}: a store with a dead writer must not look alive");
        assert_eq!(said.count("stopped"), 1, "{point}");
        check(&path, &said);
    }
}

#[test]
fn a_writer_that_stalls_goes_on() {
    let stall = |point: &'static str| {
        std::thread::spawn(move || {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("log.db");
            let (said, status) = run_into(path.to_str().unwrap(), &format!("{point}:2:stall"));
            assert!(status.success(), "{point}");
            assert_eq!(said.acked.len(), 40, "{point}");
            let slowest = said.acked.values().map(|(_, _, millis)| *millis).max();
            assert!(slowest >= Some(1_900), "{point}: nobody waited for the stall");
            check(&path, &said);
        })
    };
    let points = POINTS.into_iter().filter(|point| *point != "migration-step");
    for stalled in points.map(stall).collect::<Vec<_>>() {
        stalled.join().unwrap();
    }
}

#[test]
fn a_migration_that_is_killed_is_taken_again() {
    for (step, action) in [(1, "kill"), (2, "kill"), (3, "kill"), (1, "panic"), (3, "panic")] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("log.db");
        let mut command = victim(&["migrate", path.to_str().unwrap()]);
        command.env("FLIGHTDECK_FAULT", format!("migration-step:{step}:{action}"));
        let (_, status) = Victim::start(command).end();
        assert!(!status.success());
        let (said, status) = Victim::start(victim(&["migrate", path.to_str().unwrap()])).end();
        assert!(status.success(), "{:?}", said.other);
        assert_eq!(said.other, [format!("migrated {}", 4 - step)], "what was done is not done again");
        check(&path, &Said::default());
    }
}
