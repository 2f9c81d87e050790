//! The matrix: every kill point on the way of a piece of work on a view, with a kill and a stall. (T1)

use std::time::Duration;

use flightdeck_tests::views::Truth;

use super::{Ground, catch_up, viewing};
use crate::victim::Victim;

/// More than a single piece of work on SQLite takes.
const MANY: u64 = 2_200;
const FEW: u64 = 30;

/// Runs a victim into a kill point, and then one that goes on.
#[track_caller]
fn killed_at(ground: &Ground, inline: bool, fault: &str, contents: u64) {
    let mut truth = Truth::default();
    ground.fill(contents);
    let mut command = viewing(ground, inline, 0, 400, contents);
    command.env("FLIGHTDECK_FAULT", fault);
    let mut process = Victim::start(command);
    process.hear_for(Duration::from_secs(30));
    let (said, status) = process.end();
    assert!(!status.success(), "{fault} was not reached: {:?}", said.other);
    ground.check(&mut truth);
    catch_up(Victim::start(viewing(ground, inline, 1_000, 5, contents)));
    let found = ground.check(&mut truth);
    assert!(found.iter().all(|at| at.is_some_and(|at| at.position == truth.head())), "{fault}: {found:?}");
}

/// Kills one that folds within its appends, once it does: the view is at the head then, wherever that was.
#[track_caller]
fn killed_within(fault: &str) {
    let ground = Ground::sqlite();
    ground.fill(FEW);
    catch_up(Victim::start(viewing(&ground, true, 0, 5, FEW)));
    let mut command = viewing(&ground, true, 100, 400, FEW);
    command.env("FLIGHTDECK_FAULT", fault);
    let mut process = Victim::start(command);
    process.hear_for(Duration::from_secs(30));
    let (said, status) = process.end();
    assert!(!status.success(), "{fault} was not reached: {:?}", said.other);
    let mut truth = Truth::default();
    let [content, _] = ground.check(&mut truth);
    assert_eq!(content.map(|at| at.position), Some(truth.head()), "{fault}");
    assert!(truth.head().get() > i64::try_from(FEW).unwrap() + 50, "{fault}");
}

/// Lets a victim be held up at a kill point: it goes on, and nothing is other than without.
#[track_caller]
fn stalled_at(ground: &Ground, inline: bool, fault: &str, contents: u64) {
    ground.fill(contents);
    let mut command = viewing(ground, inline, 0, 60, contents);
    // The lease runs out meanwhile.
    command.env("FLIGHTDECK_FAULT", fault);
    catch_up(Victim::start(command));
    let mut truth = Truth::default();
    let found = ground.check(&mut truth);
    assert!(found.iter().all(|at| at.is_some_and(|at| at.position == truth.head())), "{fault}: {found:?}");
}

/// All of it at once, on grounds of their own.
fn all_stall(points: &[&str], ground: fn() -> Ground, inline: bool, contents: u64) {
    let stall = |point: &&str| {
        let fault = format!("{point}:3:stall");
        std::thread::spawn(move || stalled_at(&ground(), inline, &fault, contents))
    };
    for stalled in points.iter().map(stall).collect::<Vec<_>>() {
        stalled.join().unwrap();
    }
}

fn all_kill(points: &[&str], ground: fn() -> Ground, inline: bool, contents: u64) {
    for at in [1, 3] {
        for point in points {
            killed_at(&ground(), inline, &format!("{point}:{at}:kill"), contents);
        }
    }
}

/// Those that a piece of work comes by which is not staged.
fn sqlite_points() -> Vec<&'static str> {
    let points = flightdeck_store_sqlite::fault::VIEW_POINTS;
    points.into_iter().filter(|point| *point != "view-staged").collect()
}

#[test]
fn what_folds_on_sqlite_and_is_killed_anywhere_goes_on_from_where_it_was() {
    all_kill(&sqlite_points(), Ground::sqlite, false, FEW);
}

#[test]
fn what_folds_on_postgres_and_is_killed_anywhere_goes_on_from_where_it_was() {
    all_kill(&flightdeck_store_postgres::fault::VIEW_POINTS, Ground::postgres, false, FEW);
}

#[test]
fn what_folds_within_appends_and_is_killed_anywhere_goes_on_from_where_it_was() {
    all_kill(&["after-insert", "before-commit", "after-commit"], Ground::sqlite, true, FEW);
    for point in ["after-insert", "before-commit", "after-commit", "after-answer"] {
        killed_within(&format!("{point}:120:kill"));
    }
}

#[test]
fn what_is_staged_and_is_killed_anywhere_is_taken_in_once() {
    all_kill(&["view-staged", "view-before-commit", "view-after-commit"], Ground::sqlite, false, MANY);
    // Two views are staged, each in eleven jobs and some more; the first of them to be through takes over meanwhile.
    for at in [6, 15, 30, 45, 60] {
        killed_at(&Ground::sqlite(), false, &format!("view-after-commit:{at}:kill"), MANY);
    }
}

#[test]
fn what_folds_on_sqlite_and_stalls_goes_on() {
    all_stall(&sqlite_points(), Ground::sqlite, false, FEW);
    all_stall(&["view-staged"], Ground::sqlite, false, MANY);
}

#[test]
fn what_folds_on_postgres_and_stalls_goes_on() {
    all_stall(&flightdeck_store_postgres::fault::VIEW_POINTS, Ground::postgres, false, FEW);
}
