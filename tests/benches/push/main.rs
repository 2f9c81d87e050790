//! What push costs: fan-out beside a raw broadcaster, commit to client, memory, stalled clients, a storm of those who come again, a drought.
//!
//! The server is the real binary (`FLIGHTDECK_BIN`) on SQLite. The floor is this program itself, run once more as a broadcaster that writes to plain
//! sockets what is new; its processor time is counted as the server's is. Those who follow are sockets of this program, read by one thread.
//! Where one core is measured, the child has that to itself, and this program the others.
#![expect(clippy::unwrap_used, clippy::expect_used, reason = "a bench that fails panics")]

mod child;
mod crowd;
mod drought;
mod fanout;
mod floor;
mod latency;
mod memory;
mod stalled;
mod storm;
mod wire;
mod writer;

use std::time::Duration;

use self::wire::Transport;

/// The parts.
const PARTS: [&str; 6] = ["--fanout", "--latency", "--memory", "--stalled", "--storm", "--drought"];

fn main() {
    let arguments = Arguments(std::env::args().skip(1).collect());
    if arguments.has("--floor") {
        return floor::run();
    }
    arguments.check();
    child::raise_files();
    let bench = Bench::new(&arguments);
    let all = !PARTS.iter().any(|part| arguments.has(part));
    let parts: [fn(&Bench) -> bool; 6] =
        [fanout::run, latency::run, memory::run, stalled::run, storm::run, drought::run];
    let mut is_whole = true;
    for (name, part) in PARTS.iter().zip(parts) {
        if all || arguments.has(name) {
            is_whole &= part(&bench);
        }
    }
    if !is_whole {
        println!("Not everything could be measured; what could not says so above");
        std::process::exit(1);
    }
}

/// What was asked for.
struct Arguments(Vec<String>);

impl Arguments {
    /// Flags that have a number behind them.
    const NUMBERS: [&str; 13] = [
        "--subscribers",
        "--rate",
        "--seconds",
        "--burst",
        "--latency-subscribers",
        "--latency-rate",
        "--idle",
        "--stalled-clients",
        "--stalled-mib",
        "--storm-clients",
        "--behind",
        "--near",
        "--drought-events",
    ];

    /// One that is misspelt would measure something else.
    fn check(&self) {
        let mut given = self.0.iter();
        while let Some(one) = given.next() {
            let one = one.as_str();
            if Self::NUMBERS.contains(&one) {
                given.next().unwrap_or_else(|| panic!("{one} wants a number"));
            } else if !PARTS.contains(&one) && !["--no-websocket", "--quick", "--bench"].contains(&one) {
                panic!(
                    "{one} is none of {PARTS:?}, --no-websocket, --quick, and, with a number, {:?}",
                    Self::NUMBERS
                );
            }
        }
    }

    fn has(&self, name: &str) -> bool {
        self.0.iter().any(|argument| argument == name)
    }

    fn number(&self, name: &str) -> Option<u64> {
        debug_assert!(Self::NUMBERS.contains(&name));
        let given = self.0.iter().skip_while(|argument| *argument != name).nth(1)?;
        Some(given.parse().unwrap_or_else(|_| panic!("{name} {given}: that is no number")))
    }
}

/// How much of everything.
struct Bench {
    subscribers: usize,
    /// Events a second while it is steady.
    rate: u64,
    time: Duration,
    /// Events of a burst.
    burst: u64,
    latency_subscribers: usize,
    latency_rate: u64,
    /// Connections that do nothing.
    idle: usize,
    /// Those that never read,
    stalled_clients: usize,
    /// while so much goes by.
    stalled_mib: u64,
    storm_clients: usize,
    /// How far behind the head those of a storm are,
    behind: u64,
    /// and how near to one another.
    near: u64,
    drought_events: u64,
    websocket: bool,
}

impl Bench {
    fn new(arguments: &Arguments) -> Self {
        let quick = arguments.has("--quick");
        let number = |name: &str, whole: u64, short: u64| {
            arguments.number(name).unwrap_or(if quick { short } else { whole })
        };
        let many =
            |name: &str, whole: u64, short: u64| usize::try_from(number(name, whole, short)).unwrap().max(1);
        Self {
            subscribers: many("--subscribers", 1_000, 200),
            rate: number("--rate", 200, 200).max(1),
            time: Duration::from_secs(number("--seconds", 10, 2).max(1)),
            burst: number("--burst", 20_000, 4_000).max(1),
            latency_subscribers: many("--latency-subscribers", 100, 20),
            latency_rate: number("--latency-rate", 100, 100).max(1),
            idle: many("--idle", 10_000, 500),
            stalled_clients: many("--stalled-clients", 200, 50),
            stalled_mib: number("--stalled-mib", 64, 8).max(1),
            storm_clients: many("--storm-clients", 5_000, 200),
            behind: number("--behind", 20_000, 4_000).max(1),
            near: number("--near", 200, 200).max(1),
            drought_events: number("--drought-events", 1_000_000, 50_000).max(1),
            websocket: !arguments.has("--no-websocket"),
        }
    }

    /// The ways to follow that are measured, of those.
    fn of(&self, all: &[Transport]) -> Vec<Transport> {
        all.iter().copied().filter(|way| self.websocket || !way.is_websocket()).collect()
    }
}

/// What is wanted of a figure.
#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
}

/// A line of the table: what was measured, what was reached, what is wanted, and the one as a share of the other.
fn figure(what: &str, reached: f64, unit: &str, wanted: Wanted) {
    let (sign, bound, is_met) = match wanted {
        Wanted::AtLeast(bound) => ("≥", bound, reached >= bound),
        Wanted::AtMost(bound) => ("≤", bound, reached <= bound),
    };
    let share = if bound == 0.0 { String::new() } else { format!("({:.2})", reached / bound) };
    let word = if is_met { "" } else { "  missed" };
    println!(
        "  {what:<58} {:>11} {unit:<14} wanted {sign} {:>9}  {share}{word}",
        plain(reached),
        plain(bound)
    );
}

/// A line without a figure of its own.
fn told(what: &str, reached: f64, unit: &str) {
    println!("  {what:<58} {:>11} {unit}", plain(reached));
}

/// As many places as say something.
fn plain(number: f64) -> String {
    match number.abs() {
        below if below < 100.0 => format!("{number:.2}"),
        _ => format!("{number:.0}"),
    }
}

/// Which of all that were sorted is there, so many of a thousand below it.
fn quantile(sorted: &[i64], thousandths: usize) -> Duration {
    assert!(!sorted.is_empty(), "nothing was measured");
    let place = (sorted.len() * thousandths / 1_000).min(sorted.len() - 1);
    Duration::from_nanos(u64::try_from(sorted[place]).unwrap_or(0))
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
