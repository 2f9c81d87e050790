//! Commit to client: how long an event takes from the request that appends it to those who follow.

use std::time::{Duration, Instant};

use super::child::{Child, Cores};
use super::crowd::Crowd;
use super::wire::{DIFFERENT, Transport};
use super::writer::{Writer, Written, events, times};
use super::{Bench, Wanted, figure, milliseconds, quantile, told};

/// How long the last may take.
const PATIENCE: Duration = Duration::from_secs(20);

/// What an event took to each who follows, in nanoseconds.
#[derive(Default)]
pub(crate) struct Took {
    /// From just before the request was written.
    pub(crate) from_request: Vec<i64>,
    /// From its answer, which may come later than the event does.
    from_answer: Vec<i64>,
    /// The answer itself.
    answer: Vec<i64>,
    pub(crate) is_whole: bool,
}

fn between(from: Instant, to: Instant) -> i64 {
    let nanos = |time: Duration| i64::try_from(time.as_nanos()).unwrap();
    if to >= from { nanos(to - from) } else { -nanos(from - to) }
}

/// Appends steadily while all are read, and notes when what came.
pub(crate) fn measure(
    writer: &mut Writer,
    crowd: &mut Crowd,
    (rate, time, events_max): (u64, Duration, u64),
    subscribers: usize,
) -> Took {
    crowd.note();
    let written: Vec<Written> = std::thread::scope(|scope| {
        let writing = scope.spawn(|| writer.steadily(rate, time, events_max));
        while !writing.is_finished() {
            crowd.poll(Duration::from_millis(5));
        }
        writing.join().unwrap()
    });
    let made = events(&written);
    let came = crowd.until(made * subscribers as u64, PATIENCE);
    let mut took = Took { is_whole: came && crowd.each_has(made), ..Took::default() };
    for came in crowd.came() {
        for ((begun, answered), came) in times(&written).zip(came) {
            took.from_request.push(between(begun, *came));
            took.from_answer.push(between(answered, *came));
        }
    }
    took.answer = written.iter().map(|one| between(one.begun, one.answered)).collect();
    for all in [&mut took.from_request, &mut took.from_answer, &mut took.answer] {
        all.sort_unstable();
    }
    took
}

fn by(transport: Transport, bench: &Bench) -> Result<bool, String> {
    let folder = tempfile::tempdir().unwrap();
    let child = Child::server(folder.path(), "", Cores::All);
    let mut writer = Writer::new(child.address);
    let mut crowd = Crowd::open(child.address, transport, bench.latency_subscribers)?;
    let terms = |time| (bench.latency_rate, time, 1);
    // What comes first is slow.
    measure(&mut writer, &mut crowd, terms(Duration::from_secs(1)), bench.latency_subscribers);
    let took = measure(&mut writer, &mut crowd, terms(bench.time), bench.latency_subscribers);
    let of = |all: &[i64], thousandths| milliseconds(quantile(all, thousandths));
    println!(" {}", transport.name());
    figure("from the request, p50", of(&took.from_request, 500), "ms", Wanted::AtMost(5.0));
    figure("from the request, p99", of(&took.from_request, 990), "ms", Wanted::AtMost(20.0));
    told("from the answer to it, p50", of(&took.from_answer, 500), "ms");
    told("from the answer to it, p99", of(&took.from_answer, 990), "ms");
    told("the answer itself, which is the floor, p50", of(&took.answer, 500), "ms");
    told("the answer itself, which is the floor, p99", of(&took.answer, 990), "ms");
    if !took.is_whole {
        println!("  NOT ALL DELIVERED");
    }
    Ok(took.is_whole)
}

pub(crate) fn run(bench: &Bench) -> bool {
    println!(
        "Commit to client: {} who follow, {} appends a second of one event each, for {} s",
        bench.latency_subscribers,
        bench.latency_rate,
        bench.time.as_secs()
    );
    let mut is_whole = true;
    for transport in bench.of(&DIFFERENT) {
        is_whole &= by(transport, bench).unwrap_or_else(|why| {
            println!(" {}\n  not measured: {why}", transport.name());
            false
        });
    }
    is_whole
}
