//! Two nodes that fold the same views on one PostgreSQL: one does, the other stands by; who is killed is followed within
//! seconds, and who was stopped in the middle of its work and wakes up late changes nothing. (F56, F57, F58, T11)

use std::process::Command;
use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_store::view::Holder;
use flightdeck_tests::views::Truth;

use super::{Ground, Opened, states};
use crate::postgres::nodes::alone;
use crate::victim::{Victim, victim};

const CONTENTS: u64 = 50;
/// The longest that nobody folds once who did is gone.
const FOLLOWED: Duration = Duration::from_secs(5);

/// A node with the leases that a program has by default, which appends from that number on.
fn node(ground: &Ground, from: u64) -> Command {
    let numbers = [from, 1, u64::MAX >> 1, CONTENTS].map(|number| number.to_string());
    let mut command = victim(&["views", &ground.place()]);
    command.args(numbers).env("VICTIM_PAUSE", "10");
    command
}

fn started(command: Command) -> Victim {
    let mut node = Victim::start(command);
    node.until(|said| said.count("running") == 1);
    node
}

/// A command whose complaints are heard among what it says: kill points speak there.
fn aloud(command: &Command) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "exec \"$0\" \"$@\" 2>&1"]).arg(command.get_program()).args(command.get_args());
    shell.envs(command.get_envs().filter_map(|(name, value)| Some((name, value?))));
    shell
}

/// A third look at it all, that folds nothing itself.
struct Watching(Opened, tokio::runtime::Runtime);

impl Watching {
    fn on(ground: &Ground) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let opened = runtime.block_on(ground.open());
        Self(opened, runtime)
    }

    /// Who holds both views, once that is one and the same, and how far the one behind is.
    fn holder(&self) -> Option<(Holder, Position)> {
        self.1.block_on(async {
            let (mut content, mut tally) =
                (states(&*self.0.views(), "content").await, states(&*self.0.views(), "tally").await);
            let (content, tally) = (content.pop()?, tally.pop()?);
            let holder = content.holder.filter(|holder| tally.holder.as_ref() == Some(holder))?;
            (content.ready && tally.ready)
                .then(|| (holder, content.checkpoint.position.min(tally.checkpoint.position)))
        })
    }

    /// Waits until somebody holds both and goes on, other than `but`.
    #[track_caller]
    fn goes_on(&self, but: Option<&Holder>) -> (Holder, Duration) {
        let begin = Instant::now();
        let mut first: Option<(Holder, Position)> = None;
        for _ in 0..3_000 {
            let now = self.holder().filter(|(holder, _)| Some(holder) != but);
            match (&first, now) {
                (Some((before, at)), Some((holder, to))) if *before == holder && to > *at => {
                    return (holder, begin.elapsed());
                }
                (Some((before, _)), Some((holder, _))) if *before == holder => {}
                (_, now) => first = now,
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("nobody goes on but {but:?}");
    }

    /// Holds both views against the log as it is now.
    fn check(&self) -> Position {
        let mut truth = Truth::default();
        let found = self.1.block_on(truth.check(&*self.0.store(), &*self.0.views()));
        found.into_iter().flatten().map(|at| at.position).min().unwrap()
    }
}

/// Ends both, with all that was appended folded, and checks the rows.
#[track_caller]
fn settle(watching: &Watching, mut nodes: Vec<Victim>) {
    for node in &mut nodes {
        node.tell("stop");
        node.until(|said| said.count("idle") == 1);
    }
    for node in &mut nodes {
        node.tell("until");
        node.until(|said| said.count("there") + said.count("not there") == 1);
        assert_eq!(node.said.count("there"), 1, "{:?}", node.said.other);
    }
    let mut truth = Truth::default();
    watching.1.block_on(truth.read_on(&*watching.0.store()));
    assert_eq!(watching.check(), truth.head());
    for node in nodes {
        let (said, status) = node.end();
        assert!(status.success(), "{:?}", said.other);
    }
}

#[test]
fn one_folds_and_the_other_stands_by_until_the_first_is_killed() {
    let _alone = alone();
    let ground = Ground::postgres();
    ground.fill(CONTENTS);
    let watching = Watching::on(&ground);
    // Clocks that are a day wrong, one before and one behind: a lease goes by the database's.
    let with_clock = |from, clock: &str| {
        let mut command = node(&ground, from);
        command.env("VICTIM_CLOCK", clock);
        command
    };
    let mut first = started(with_clock(0, "-86400"));
    let (mut holder, _) = watching.goes_on(None);
    let mut slowest = Duration::ZERO;
    for round in 1..=3 {
        let clock = if round % 2 == 1 { "86400" } else { "-86400" };
        let mut second = started(with_clock(round * 1_000_000, clock));
        // Far longer than it takes to take a lease that is free.
        second.hear_for(Duration::from_secs(1));
        let (still, _) = watching.goes_on(None);
        assert_eq!(still, holder, "the other one stands by");
        drop(first.kill());
        let (next, took) = watching.goes_on(Some(&holder));
        assert!(took > Duration::from_millis(1_500), "the lease ran out, and was not broken: {took:?}");
        slowest = slowest.max(took);
        watching.check();
        (first, holder) = (second, next);
    }
    println!("who was killed was followed within {slowest:?}");
    assert!(slowest < FOLLOWED, "nobody folded for {slowest:?}");
    settle(&watching, vec![first]);
}

#[test]
fn who_ends_in_peace_is_followed_at_once() {
    let _alone = alone();
    let ground = Ground::postgres();
    ground.fill(CONTENTS);
    let watching = Watching::on(&ground);
    let first = started(node(&ground, 0));
    let (holder, _) = watching.goes_on(None);
    let second = started(node(&ground, 1_000_000));
    let (_, status) = first.end();
    assert!(status.success());
    let (_, took) = watching.goes_on(Some(&holder));
    assert!(took < Duration::from_millis(1_500), "a lease that was given back is free at once: {took:?}");
    settle(&watching, vec![second]);
}

/// Stopped after it has folded and before it writes anything; the other goes on from the same checkpoint.
#[test]
fn who_was_stopped_before_its_work_and_wakes_up_late_is_fenced() {
    let _alone = alone();
    let ground = Ground::postgres();
    ground.fill(CONTENTS);
    let watching = Watching::on(&ground);
    let mut first = started(node(&ground, 0));
    let (holder, _) = watching.goes_on(None);
    let second = started(node(&ground, 1_000_000));
    first.tell("hold content");
    first.until(|said| said.count("held") == 1);
    first.signal("-STOP");
    let (next, took) = watching.goes_on(Some(&holder));
    println!("who was stopped with its work in its hands was followed within {took:?}");
    assert!(took < FOLLOWED, "nobody folded for {took:?}");
    first.signal("-CONT");
    first.tell("go");
    first.until(|said| said.count("late") == 1);
    assert_eq!(first.said.other.last().unwrap(), "late refused: someone else has folded it since");
    watching.check();
    let (still, _) = watching.goes_on(None);
    assert_eq!(still, next, "who was fenced stands by");
    // And follows when it is its turn.
    second.signal("-STOP");
    let (again, _) = watching.goes_on(Some(&next));
    assert_eq!(again, holder);
    second.signal("-CONT");
    settle(&watching, vec![first, second]);
}

/// Stopped within the transaction, at a kill point. How long nobody folded.
fn stopped_at(point: &str) -> Duration {
    let ground = Ground::postgres();
    ground.fill(CONTENTS);
    let watching = Watching::on(&ground);
    let mut command = node(&ground, 0);
    command.env("FLIGHTDECK_FAULT", format!("{point}:40:stall"));
    let mut first = started(aloud(&command));
    let (holder, _) = watching.goes_on(None);
    let second = started(node(&ground, 1_000_000));
    first.until(|said| said.count("fault") == 1);
    first.signal("-STOP");
    let (next, took) = watching.goes_on(Some(&holder));
    first.signal("-CONT");
    // What it sends late comes now: two seconds are over since it fell asleep.
    first.until(|said| said.count("fault") == 1);
    first.hear_for(Duration::from_millis(500));
    watching.check();
    let (still, _) = watching.goes_on(None);
    assert_eq!(still, next, "{point}: who was stopped stands by");
    settle(&watching, vec![first, second]);
    took
}

#[test]
fn who_was_stopped_after_it_looked_and_wakes_up_late_is_fenced() {
    let _alone = alone();
    let took = stopped_at("view-before-rows");
    println!("who was stopped before its rows was followed within {took:?}");
    assert!(took < FOLLOWED, "nobody folded for {took:?}");
}

/// Here its rows, and that of the generation, are locked until the server gives up on it.
#[test]
fn who_was_stopped_with_its_rows_written_is_fenced() {
    let _alone = alone();
    let took = stopped_at("view-after-rows");
    println!("who was stopped behind its rows was followed within {took:?}");
    assert!(took < FOLLOWED, "nobody folded for {took:?}");
}
