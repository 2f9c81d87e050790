//! The matrix: every kill point of the writer on PostgreSQL, with a kill, a panic and a stall. (F1–F3, F29, F32, F42)

use flightdeck_store::EventStore as _;
use flightdeck_store_postgres::fault::POINTS;
use flightdeck_tests::Said;

use super::Place;
use crate::victim::{Victim, block_on, victim};

/// Runs the victim into a fault and returns what it said, and how it ended.
fn run_into(place: &Place, fault: &str) -> (Said, std::process::ExitStatus) {
    let mut command = victim(&["append", &place.url(), "0", "4", "40"]);
    command.env("FLIGHTDECK_FAULT", fault);
    Victim::start(command).end()
}

fn check(place: &Place, said: &Said) {
    block_on(async {
        let store = place.open().await;
        flightdeck_tests::check(&store, said).await;
        assert_eq!(store.verify().await.unwrap().problems, []);
        store.close().await;
    });
}

fn points() -> impl Iterator<Item = &'static str> {
    POINTS.into_iter().filter(|point| *point != "migration-step")
}

#[test]
fn what_is_killed_anywhere_on_its_way_is_whole_and_once() {
    for point in points() {
        for at in [1, 4, 9] {
            let place = Place::new();
            let (said, status) = run_into(&place, &format!("{point}:{at}:kill"));
            assert!(!status.success(), "{point}:{at} was not reached");
            check(&place, &said);
        }
    }
}

#[test]
fn a_writer_that_panics_ends_the_store_and_loses_nothing() {
    for point in points() {
        let place = Place::new();
        let (said, status) = run_into(&place, &format!("{point}:3:panic"));
        assert_eq!(status.code(), Some(3), "{point}: a store with a dead writer must not look alive");
        check(&place, &said);
    }
}

#[test]
fn a_writer_that_stalls_goes_on() {
    for point in points() {
        let place = Place::new();
        let (said, status) = run_into(&place, &format!("{point}:2:stall"));
        assert!(status.success() && said.acked.len() == 40, "{point}: {:?}", said.other);
        check(&place, &said);
    }
}

#[test]
fn a_migration_that_is_killed_is_taken_again() {
    for (step, action) in [(1, "kill"), (2, "kill"), (1, "panic"), (2, "panic")] {
        let place = Place::new();
        let mut command = victim(&["migrate", &place.url()]);
        command.env("FLIGHTDECK_FAULT", format!("migration-step:{step}:{action}"));
        let (_, status) = Victim::start(command).end();
        assert!(!status.success());
        let (said, status) = Victim::start(victim(&["migrate", &place.url()])).end();
        assert!(status.success(), "{:?}", said.other);
        assert_eq!(said.other, [format!("migrated {}", 4 - step)], "what was done is not done again");
        check(&place, &Said::default());
    }
}

#[test]
fn two_that_migrate_at_once_both_find_it_done() {
    let place = Place::new();
    let both = [(); 3].map(|()| Victim::start(victim(&["migrate", &place.url()])));
    let said: Vec<String> = both.into_iter().flat_map(|process| process.end().0.other).collect();
    let steps: u64 = said.iter().filter_map(|line| line.strip_prefix("migrated ")?.parse::<u64>().ok()).sum();
    assert_eq!((said.len(), steps), (3, 3), "{said:?}");
    block_on(async { assert_eq!(place.open().await.head().await.unwrap().cursor.position().get(), 0) });
}
