//! Fan-out: what one core delivers to a thousand who follow, steadily and in a burst, by each way to follow, beside the floor.

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{ChildStdin, ChildStdout};
use std::time::{Duration, Instant};

use super::child::{Child, Cores};
use super::crowd::Crowd;
use super::wire::{SERVED, Transport};
use super::writer::{BATCH, Writer, events};
use super::{Bench, Wanted, figure, told};

/// Deliveries a second that one core must reach, steadily,
const STEADY: f64 = 150_000.0;
/// and in a burst.
const BURST: f64 = 2_000_000.0;
/// The share of the floor.
const SHARE: f64 = 0.7;
/// Bytes of a message of the floor, about those of an event.
const MESSAGE_BYTES: usize = 400;
/// How long all may take to come behind the last append.
const PATIENCE: Duration = Duration::from_secs(180);

/// What makes events.
enum Source {
    Server(Box<Writer>),
    Floor(ChildStdin, BufReader<ChildStdout>),
}

/// How they come.
#[derive(Clone, Copy)]
enum Load {
    Steady { rate: u64, time: Duration },
    Burst { events: u64 },
}

impl Source {
    /// Makes them: how many there were.
    fn make(&mut self, load: Load) -> u64 {
        match self {
            Self::Server(writer) => events(&match load {
                Load::Steady { rate, time } => writer.steadily(rate, time, BATCH),
                Load::Burst { events } => writer.burst(events),
            }),
            Self::Floor(stdin, stdout) => {
                match load {
                    Load::Steady { rate, time } => writeln!(stdin, "steady {rate} {}", time.as_millis()),
                    Load::Burst { events } => writeln!(stdin, "burst {events}"),
                }
                .unwrap();
                let mut line = String::new();
                stdout.read_line(&mut line).unwrap();
                line.trim_end().strip_prefix("made ").unwrap().parse().unwrap()
            }
        }
    }
}

/// What came of a load.
struct Reached {
    /// Deliveries a second: until the last event was made when steady, until the last was there in a burst.
    rate: f64,
    /// The same, by the second of processor time of who delivers.
    by_cpu: f64,
    cpu: Duration,
    bytes_each: f64,
    is_whole: bool,
}

/// Makes events, and reads until everybody has all of them.
fn run_load(child: &Child, source: &mut Source, crowd: &mut Crowd, bench: &Bench, load: Load) -> Reached {
    crowd.forget();
    let (cpu, begun) = (child.cpu(), Instant::now());
    let (made, meanwhile) = std::thread::scope(|scope| {
        let making = scope.spawn(|| source.make(load));
        while !making.is_finished() {
            crowd.poll(Duration::from_millis(5));
        }
        let meanwhile = (crowd.events, begun.elapsed());
        (making.join().unwrap(), meanwhile)
    });
    let wanted = made * bench.subscribers as u64;
    let came = crowd.until(wanted, PATIENCE);
    let (took, cpu) = (begun.elapsed(), child.cpu() - cpu);
    let (events, took) = match load {
        Load::Steady { .. } => meanwhile,
        Load::Burst { .. } => (crowd.events, took),
    };
    Reached {
        rate: events as f64 / took.as_secs_f64(),
        by_cpu: crowd.events as f64 / cpu.as_secs_f64().max(0.01),
        cpu,
        bytes_each: crowd.bytes as f64 / crowd.events.max(1) as f64,
        is_whole: came && crowd.each_has(made),
    }
}

/// By one way to follow: steadily, and in a burst.
fn by(transport: Transport, bench: &Bench) -> Result<[Reached; 2], String> {
    let folder = tempfile::tempdir().unwrap();
    let (child, mut source) = if transport == Transport::Raw {
        let (child, stdin, stdout) = Child::floor(MESSAGE_BYTES, Cores::One);
        (child, Source::Floor(stdin, stdout))
    } else {
        let limits = format!("connections={}", 2 * bench.subscribers + 64);
        let child = Child::server(folder.path(), &limits, Cores::One);
        let writer = Box::new(Writer::new(child.address));
        (child, Source::Server(writer))
    };
    let mut crowd = Crowd::open(child.address, transport, bench.subscribers)?;
    // What comes first is slow.
    let first = run_load(&child, &mut source, &mut crowd, bench, Load::Burst { events: 100 });
    if !first.is_whole {
        return Err(format!("of 100 events for each who follows, {} came in all", crowd.events));
    }
    let steady = Load::Steady { rate: bench.rate, time: bench.time };
    let steady = run_load(&child, &mut source, &mut crowd, bench, steady);
    let burst = run_load(&child, &mut source, &mut crowd, bench, Load::Burst { events: bench.burst });
    Ok([steady, burst])
}

/// A line of the table for each figure.
fn tell(load: &str, rate_wanted: f64, reached: &Reached, floor: &Reached) -> bool {
    figure(&format!("{load}, deliveries/s"), reached.rate, "/s", Wanted::AtLeast(rate_wanted));
    told("  the floor's", floor.rate, "/s");
    figure("  of the floor's", reached.rate / floor.rate, "", Wanted::AtLeast(SHARE));
    told("  deliveries by the second of processor time", reached.by_cpu, "/CPU s");
    told("  the floor's", floor.by_cpu, "/CPU s");
    figure("  of the floor's", reached.by_cpu / floor.by_cpu, "", Wanted::AtLeast(SHARE));
    println!(
        "    {:.2} CPU s beside {:.2}; {:.0} bytes a delivery beside {:.0}; {} beside {}",
        reached.cpu.as_secs_f64(),
        floor.cpu.as_secs_f64(),
        reached.bytes_each,
        floor.bytes_each,
        whole(reached),
        whole(floor)
    );
    reached.is_whole && floor.is_whole
}

const fn whole(reached: &Reached) -> &'static str {
    if reached.is_whole { "all delivered" } else { "NOT ALL DELIVERED" }
}

pub(crate) fn run(bench: &Bench) -> bool {
    println!(
        "Fan-out to {} who follow, the server on one core: {} events/s for {} s, and {} at once in appends of {BATCH} (the server's time has its appends within)",
        bench.subscribers,
        bench.rate,
        bench.time.as_secs(),
        bench.burst
    );
    let mut is_whole = true;
    for transport in bench.of(&SERVED) {
        // Beside each, for machines wander.
        let floor = by(Transport::Raw, bench).unwrap();
        println!(" {}", transport.name());
        match by(transport, bench) {
            Ok([steady, burst]) => {
                // No more can be delivered than there is.
                let there_is = (bench.rate * bench.subscribers as u64) as f64 * 0.95;
                is_whole &= tell("steadily", STEADY.min(there_is), &steady, &floor[0]);
                is_whole &= tell("in a burst", BURST, &burst, &floor[1]);
            }
            Err(why) => {
                println!("  not measured: {why}");
                is_whole = false;
            }
        }
    }
    is_whole
}
