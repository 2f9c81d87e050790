//! kill -9, again and again, of a process that folds views while it appends: whatever was under way, the rows are the fold of the log
//! up to the checkpoint, and each event was counted once. (T1)

use std::time::Duration;

use flightdeck_store::view::Checkpoint;
use flightdeck_tests::contents::Dice;
use flightdeck_tests::views::Truth;

use super::{Ground, catch_up, viewing};
use crate::victim::Victim;

/// More than a single piece of work on SQLite takes, so that builds are staged.
const CONTENTS: u64 = 2_600;

/// What the kills have hit.
#[derive(Debug, Default)]
struct Hit {
    building: u32,
    staged: u32,
    thrown_away: u32,
    builds: u32,
}

/// Kills a victim at a moment that the dice say, and returns the next number that is free.
fn killed(ground: &Ground, inline: bool, from: u64, cycle: u64, dice: &mut Dice) -> (u64, bool) {
    let mut command = viewing(ground, inline, from, u64::MAX >> 1, CONTENTS);
    // What is built is handed over in small pieces, or all at once.
    command.env("VICTIM_BUILDING", if cycle % 4 < 2 { "20" } else { "5000" });
    let mut process = Victim::start(command);
    let was_inline = match cycle % 6 {
        // Also while it opens, or takes up what was left.
        5 => {
            process.hear_for(Duration::from_millis(dice.roll(120)));
            false
        }
        kind => {
            process.until(|said| said.count("running") == 1);
            match kind {
                0 | 3 => process.tell("rebuild content"),
                1 => process.tell("rebuild tally"),
                _ => {}
            }
            let there = kind == 2 && inline;
            if there {
                process.tell("until");
                process.until(|said| said.count("there") + said.count("not there") == 1);
            }
            process.hear_for(Duration::from_millis(5 + dice.roll(400)));
            there
        }
    };
    let said = process.kill();
    assert_eq!(said.count("not") + said.count("refused"), 0, "{:?}", said.other);
    (said.tried.last().map_or(from, |last| last + 1), was_inline)
}

fn torture(ground: &Ground, inline: bool) {
    let cycles: u64 =
        std::env::var("FLIGHTDECK_TORTURE_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(50);
    let seed = u64::from(std::process::id());
    let (mut dice, mut truth, mut hit, mut next) = (Dice::new(seed), Truth::default(), Hit::default(), 0);
    let mut before = [None; 2];
    ground.fill(CONTENTS);
    for cycle in 0..cycles {
        let was_inline;
        (next, was_inline) = killed(ground, inline, next, cycle, &mut dice);
        hit.look(ground);
        let found = ground.check(&mut truth);
        for (found, before) in found.iter().zip(before) {
            assert!(
                found.map(|at| at.position) >= before.map(|at: Checkpoint| at.position),
                "a view was there, and went back"
            );
        }
        before = found;
        if was_inline {
            let at = found[0].map(|at| at.position);
            assert_eq!(
                at,
                Some(truth.head()),
                "what is folded within the appends is at the head, whenever it is killed"
            );
        }
    }
    catch_up(Victim::start(viewing(ground, inline, next, 5, CONTENTS)));
    let found = ground.check(&mut truth);
    assert!(found.iter().all(|at| at.is_some_and(|at| at.position == truth.head())), "{found:?}");
    hit.look(ground);
    println!("{cycles} kills of seed {seed}, {} events: {hit:?}", truth.head());
    assert!(hit.builds > 1 && hit.building > 0, "{hit:?}: the kills hit no builds");
    assert!(truth.head().get() > i64::try_from(CONTENTS + cycles).unwrap(), "the victims did something");
}

impl Hit {
    /// Looks at what was under way.
    fn look(&mut self, ground: &Ground) {
        let Ground::Sqlite(folder) = ground else {
            return crate::victim::block_on(async {
                let opened = ground.open().await;
                self.count_builds(&opened.views().generations().await.unwrap());
                opened.close().await;
            });
        };
        let raw = rusqlite::Connection::open(folder.path().join("log.db")).unwrap();
        // A table may not be there yet, when the first of all was killed early.
        let count = |sql: &str| raw.query_row(sql, [], |row| row.get::<_, u32>(0)).unwrap_or(0);
        self.staged += count("SELECT count(*) FROM fd_projection WHERE staged IS NOT NULL");
        self.thrown_away += count("SELECT count(*) FROM fd_projection WHERE gone = 1");
        self.building +=
            count("SELECT count(*) FROM fd_projection WHERE ready = 0 AND gone = 0 AND build > 1");
        self.builds = count("SELECT max(build) FROM fd_projection WHERE ready = 1");
    }

    fn count_builds(&mut self, all: &[flightdeck_store::view::GenerationState]) {
        let building = all.iter().filter(|state| !state.ready && state.of.build > 1).count();
        self.building += u32::try_from(building).unwrap();
        self.builds = all.iter().filter(|state| state.ready).map(|state| state.of.build).max().unwrap_or(0);
    }
}

#[test]
fn torture_kills_of_who_folds_on_sqlite_count_nothing_twice_and_leave_nothing_out() {
    torture(&Ground::sqlite(), false);
}

#[test]
fn torture_kills_of_who_folds_within_appends_count_nothing_twice_and_leave_nothing_out() {
    torture(&Ground::sqlite(), true);
}

#[test]
fn torture_kills_of_who_folds_on_postgres_count_nothing_twice_and_leave_nothing_out() {
    let _alone = crate::postgres::nodes::alone();
    torture(&Ground::postgres(), false);
}
