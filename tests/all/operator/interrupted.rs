//! Every command that writes, killed at every kill point and at random: the store is as before or as after, and the next run completes.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use flightdeck_store_sqlite::fault::{BACKUP_POINTS, FILL_POINTS, POINTS};

use super::{Desk, Kind, Ran, command, done, is_there, refused, run, same};
use crate::doors::flightdeck_with_faults;

const EVENTS: u64 = 3_500;

/// Runs a command into a kill point. `None`: it never came by there.
fn run_into(arguments: &[&str], store: &str, fault: &str) -> Option<()> {
    let mut command = Command::new(flightdeck_with_faults());
    command.args(arguments).env("FLIGHTDECK_FAULT", fault).stdin(Stdio::null());
    if !store.is_empty() {
        command.args(["--store", store]);
    }
    let ran = command.output().unwrap();
    if ran.status.success() {
        return None;
    }
    assert!(ran.status.code().is_none(), "{fault}: {}", String::from_utf8_lossy(&ran.stderr));
    Some(())
}

/// Kills a command after so long. `false`: it was through by then.
fn killed(mut command: Command, after: Duration) -> bool {
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    std::thread::sleep(after);
    child.kill().unwrap();
    child.wait().unwrap().code().is_none()
}

/// How long a command takes when nobody kills it, on a store of its own.
fn duration(mut command: Command) -> Duration {
    let begin = Instant::now();
    assert!(command.output().unwrap().status.success());
    begin.elapsed()
}

/// A store that a log was being carried into is as before (not there, or empty), not to be used, or whole.
fn as_before_or_after(target: &str, original: &[u8], desk: &Desk) {
    let Ran { code, out, err } = run(&["read", "--limit", "1"], target);
    match code {
        Some(0) if out.is_empty() => {}
        Some(0) => same(original, &desk.export(target), "a store that can be used is whole"),
        _ => {
            let known = ["not all there", "can't be opened", "no store here", "no store in"];
            assert!(known.iter().any(|text| err.contains(text)), "{err}");
            if err.contains("not all there") {
                assert!(refused(&["append", "a-1", "A"], target, 1).contains("again"));
            }
        }
    }
}

/// Runs a command that carries a log to `target` into every kill point on its way, and then to its end.
fn carried(
    desk: &Desk,
    arguments: impl Fn(&str) -> Vec<String>,
    targets: &Kind,
    original: &[u8],
    name: &str,
) {
    let mut reached = 0;
    for point in FILL_POINTS {
        for at in [1, 2, 4] {
            let target = desk.store(targets, &format!("{name}-{point}-{at}.db"));
            let arguments = arguments(&target);
            let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
            if run_into(&arguments, "", &format!("{point}:{at}:kill")).is_none() {
                continue;
            }
            reached += 1;
            as_before_or_after(&target, original, desk);
            done(&arguments, "");
            same(original, &desk.export(&target), name);
        }
    }
    assert!(reached >= 5, "{name}: only {reached} kills were reached");
    // And at random: the moments are spread over the time that it takes.
    let target = desk.store(targets, &format!("{name}-whole.db"));
    let whole = arguments(&target);
    let long = duration({
        let whole: Vec<&str> = whole.iter().map(String::as_str).collect();
        command(&whole, "")
    });
    let target = desk.store(targets, &format!("{name}-random.db"));
    let arguments = arguments(&target);
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    for part in 1..6 {
        if !killed(command(&arguments, ""), long.mul_f64(f64::from(part) / 6.0)) {
            break;
        }
        as_before_or_after(&target, original, desk);
    }
    // Also where it was killed behind its last step, and nobody saw that it had come to its end.
    done(&arguments, "");
    same(original, &desk.export(&target), name);
}

fn texts(arguments: &[&str]) -> Vec<String> {
    arguments.iter().map(|text| (*text).to_owned()).collect()
}

fn interrupted(source: &Kind, targets: &Kind) {
    let desk = Desk::new();
    let store = desk.filled(source, EVENTS);
    let original = desk.export(&store);
    let (backup, export) = (desk.path("saved"), desk.path("saved.ndjson"));
    done(&["backup", &backup], &store);
    done(&["export", &export], &store);
    carried(&desk, |to| texts(&["copy", "--from", &store, "--to", to]), targets, &original, "copy");
    carried(&desk, |to| texts(&["restore", &backup, "--store", to]), targets, &original, "restore");
    carried(&desk, |to| texts(&["import", &export, "--store", to]), targets, &original, "import");
}

#[test]
fn what_is_carried_to_sqlite_is_there_whole_or_not_at_all() {
    interrupted(&Kind::Postgres, &Kind::Sqlite);
}

#[test]
fn what_is_carried_to_postgres_is_there_whole_or_not_at_all() {
    interrupted(&Kind::Sqlite, &Kind::Postgres);
}

#[test]
fn a_move_that_is_killed_goes_on_and_loses_nothing() {
    for point in FILL_POINTS {
        for at in [1, 3] {
            let desk = Desk::new();
            let store = desk.filled(&Kind::Sqlite, 1_500);
            let original = desk.export(&store);
            let target = desk.store(&Kind::Postgres, "");
            let arguments = ["copy", "--move", "--from", &store, "--to", &target];
            run_into(&arguments, "", &format!("{point}:{at}:kill"));
            as_before_or_after(&target, &original, &desk);
            // Either it is still here, or it is sealed; and nobody can append in both places.
            done(&arguments, "");
            same(&original, &desk.export(&target), point);
            done(&["append", "a-1", "A"], &target);
            assert!(refused(&["append", "a-1", "A"], &store, 1).contains("moved"));
        }
    }
}

#[test]
fn events_that_are_appended_afresh_are_there_once_however_often_it_is_killed() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let file = desk.events("in.ndjson", EVENTS);
        let points: &[&str] = match kind {
            Kind::Sqlite => &POINTS,
            Kind::Postgres => &["before-call", "after-call", "after-answer", "migration-step"],
        };
        let mut reached = 0;
        for (number, point) in points.iter().enumerate() {
            for at in [1, 2, 4] {
                let store = desk.store(&kind, &format!("{number}-{at}.db"));
                let arguments = ["import", "--as-new", &file];
                if run_into(&arguments, &store, &format!("{point}:{at}:kill")).is_none() {
                    continue;
                }
                reached += 1;
                done(&arguments, &store);
                assert_eq!(done(&["read"], &store).lines().count() as u64, EVENTS, "{point}:{at}");
                done(&["verify"], &store);
            }
        }
        assert!(reached >= 9, "only {reached} kills were reached");
    }
}

#[test]
fn a_backup_that_is_killed_is_none() {
    let desk = Desk::new();
    let store = desk.filled(&Kind::Sqlite, EVENTS);
    let original = desk.export(&store);
    for point in BACKUP_POINTS {
        let name = format!("backup-{point}");
        run_into(&["backup", &desk.path(&name)], &store, &format!("{point}:1:kill")).unwrap();
        assert!(!is_there(&desk.file(&name)), "{point}: what is not checked has no name");
        done(&["backup", &desk.path(&name)], &store);
        let restored = desk.store(&Kind::Sqlite, &format!("{point}.db"));
        done(&["restore", &desk.path(&name)], &restored);
        same(&original, &desk.export(&restored), point);
    }
    for part in 1..6_u32 {
        let name = format!("random-{part}");
        let long = Duration::from_millis(u64::from(part) * 25);
        if killed(command(&["backup", &desk.path(&name)], &store), long) && is_there(&desk.file(&name)) {
            done(&["restore", &desk.path(&name)], &desk.store(&Kind::Sqlite, &format!("{name}.db")));
        }
    }
    same(&original, &desk.export(&store), "and the store is as it was");
}

#[test]
fn a_migration_that_is_killed_at_any_moment_is_taken_again() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        for millis in 0..12 {
            let store = desk.store(&kind, &format!("{millis}.db"));
            killed(command(&["migrate"], &store), Duration::from_millis(millis * 4));
            done(&["migrate"], &store);
            done(&["append", "a-1", "A", "--expect", "none"], &store);
            assert_eq!(done(&["read"], &store).lines().count(), 1);
        }
    }
}
