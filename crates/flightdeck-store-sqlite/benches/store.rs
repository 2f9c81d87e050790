//! The store beside its floors, in one run: bytes appended to a file, and a bare SQLite loop over the same tables.
//!
//! `cargo xtask bench store` prints a table for people; `--append` and `--read` measure only that; `--growth` goes
//! on to 6 million events; `--quick` is for seeing that it runs. Rates wander with the machine: what counts is the ratio to the floor of the same round.
#![expect(clippy::unwrap_used, reason = "a benchmark ends when it fails")]

#[path = "store/floor.rs"]
mod floor;
#[path = "store/load.rs"]
mod load;
#[path = "store/read.rs"]
mod read;

use std::path::Path;
use std::time::Instant;

use load::Cost;

/// How much is done for each measurement.
#[derive(Clone, Copy)]
struct Scale {
    rounds: usize,
    events: usize,
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let asked = |name: &str| arguments.iter().any(|argument| argument == name);
    let scale = if asked("--quick") {
        Scale { rounds: 1, events: 2_000 }
    } else {
        Scale { rounds: 5, events: 40_000 }
    };
    // Beside the build, so that it lies on a real disk: /tmp often is memory.
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    println!(
        "sqlite {}, data of 350 bytes, 10,000 streams in changing order, {} rounds\n",
        flightdeck_store_sqlite::sqlite_version(),
        scale.rounds
    );
    if !asked("--read") {
        append(folder.path(), scale);
    }
    if !asked("--append") {
        read::scan(folder.path(), scale.events * 5);
        // What fits into the page caches, and what does not.
        for streams in if asked("--quick") { vec![50] } else { vec![1_000, 10_000] } {
            read::fold(folder.path(), streams);
        }
    }
    if asked("--growth") {
        growth(folder.path());
    }
}

fn append(folder: &Path, scale: Scale) {
    println!(
        "{:>5} {:<22} {:>10} {:>8} {:>9} {:>9} {:>9}",
        "group", "", "events/s", "µs CPU", "bytes wr.", "to file", "to lean"
    );
    for group in [1, 10, 100, 1_000] {
        let events = scale.events.min(group * 2_000).max(group);
        let mut rows: Vec<(&str, Vec<Cost>)> = vec![
            ("append to file", vec![]),
            ("lean loop", vec![]),
            ("store, one append", vec![]),
            ("store, many callers", vec![]),
        ];
        // Round by round, so that a slow moment of the machine falls on all of them.
        for round in 0..scale.rounds {
            let path = |name: &str| folder.join(format!("{name}-{group}-{round}.db"));
            rows[0].1.push(floor::file(&path("file"), group, events));
            rows[1].1.push(floor::lean(&path("lean"), group, events));
            rows[2].1.push(load::one_caller(&path("one"), group, events));
            rows[3].1.push(load::many_callers(&path("many"), group, events));
        }
        for (name, costs) in &rows {
            let cost = Cost::median(costs);
            println!(
                "{group:>5} {name:<22} {:>10.0} {:>8.1} {:>9.0} {:>9} {:>9}",
                cost.rate,
                cost.cpu_micros,
                cost.bytes_written,
                ratio(costs, &rows[0].1),
                ratio(costs, &rows[1].1)
            );
        }
        println!();
    }
}

/// The median of the ratios of each round.
fn ratio(costs: &[Cost], floors: &[Cost]) -> String {
    let mut ratios: Vec<f64> = costs.iter().zip(floors).map(|(cost, floor)| cost.rate / floor.rate).collect();
    ratios.sort_by(f64::total_cmp);
    format!("{:.2}", ratios[ratios.len() / 2])
}

/// The rate of each of the first six millions, beside the size of the file.
fn growth(folder: &Path) {
    println!("growth, groups of 1,000");
    let path = folder.join("growth.db");
    let mut filler = load::Filler::open(&path);
    let mut rates = Vec::new();
    for million in 1..=6 {
        let begin = Instant::now();
        filler.fill(1_000_000, 1_000);
        rates.push(1e6 / begin.elapsed().as_secs_f64());
        let bytes = path.metadata().unwrap().len();
        println!(
            "{million} million: {:>8.0} events/s, {:>6.0} bytes an event",
            rates[million - 1],
            bytes as f64 / (million as f64 * 1e6)
        );
    }
    println!("the sixth million beside the second: {:.2}", rates[5] / rates[1]);
}
