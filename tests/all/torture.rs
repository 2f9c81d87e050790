//! kill -9, again and again, of a process that appends from eight tasks. (F1, F2, P1–P6)

use std::time::Duration;

use flightdeck_tests::Said;

use crate::victim::{Victim, check, victim};

#[test]
fn torture_kill_nine_loses_nothing_doubles_nothing_moves_nothing() {
    let cycles: u64 =
        std::env::var("FLIGHTDECK_TORTURE_CYCLES").ok().and_then(|text| text.parse().ok()).unwrap_or(100);
    let seed = std::process::id();
    let mut dice = u64::from(seed) * 2_654_435_761 + 1;
    let mut folder = tempfile::tempdir().unwrap();
    let (mut all, mut next, mut acked) = (Said::default(), 0, 0);
    for cycle in 0..cycles {
        let path = folder.path().join("log.db");
        let mut process =
            Victim::start(victim(&["append", path.to_str().unwrap(), &next.to_string(), "8", "1000000"]));
        process.until(|said| !said.acked.is_empty());
        dice = dice.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        process.hear_for(Duration::from_millis(5 + (dice >> 33) % 100));
        let said = process.kill();
        println!(
            "cycle {cycle} of seed {seed}: {} tried, {} acknowledged",
            said.tried.len(),
            said.acked.len()
        );
        acked += said.acked.len();
        next = said.tried.last().map_or(next, |last| last + 1);
        all.tried.extend(said.tried);
        all.acked.extend(said.acked);
        // The whole log is walked after every tenth kill; every kill leaves its work to the next opening.
        if cycle % 10 == 9 || cycle + 1 == cycles {
            check(&path, &all);
        }
        // A log that grows for ever makes every check longer and finds nothing more.
        if cycle % 100 == 99 {
            (folder, all) = (tempfile::tempdir().unwrap(), Said::default());
        }
    }
    assert!(acked > usize::try_from(cycles).unwrap(), "the victims did something");
}
