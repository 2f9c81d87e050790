//! Views as of a moment: what was recorded of live views is answered again, and nothing stays behind.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use flightdeck_core::{Cursor, Epoch, Position, Timestamp};
use flightdeck_projections::as_of::{AsOfOptions, Beyond, Moment, is_scratch};
use flightdeck_projections::{
    Admin, AsOf, AsOfError, Defined, InvalidProjection, Projection, Runner, RunnerOptions, Running,
};
use flightdeck_store::view::{Generation, InvalidQuery, ViewError, ViewPage, ViewQuery};
use flightdeck_store::{Append, Limit, LogQuery, StoreError};

use crate::counts::{Counts, Poison};
use crate::ground::{Ground, eventually, name, quick};
use crate::shelves::{Chance, Shelves};
use crate::small::Small;

fn defined(projection: impl Projection) -> Defined {
    Defined::new(Arc::new(projection)).unwrap()
}

fn as_of(ground: &Ground, events_max: usize) -> AsOf {
    let options = AsOfOptions { events_max, lease: Duration::from_millis(600), ..AsOfOptions::default() };
    AsOf::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(options)
}

fn position(number: i64) -> Position {
    Position::new(number).unwrap()
}

fn at(number: i64) -> Moment {
    Moment::Position(position(number))
}

async fn run(ground: &Ground, projection: impl Projection) -> Running {
    let runner = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick());
    runner.projection(projection).start().await.unwrap()
}

async fn caught_up(ground: &Ground, view: &str) {
    let head = ground.head().await;
    eventually("the view has caught up", async || {
        let state = ground.state(view).await;
        state.ready && state.checkpoint.position.get() == head
    })
    .await;
}

async fn scratches(ground: &Ground) -> Vec<Generation> {
    let all = ground.views.generations().await.unwrap();
    all.into_iter().map(|state| state.of).filter(|of| is_scratch(&of.view)).collect()
}

async fn no_scratch_is_left(ground: &Ground) {
    eventually("nothing is left", async || scratches(ground).await.is_empty()).await;
}

/// An event that can't be folded comes, and is left out.
async fn spoil(ground: &Ground) {
    ground.append("book-07", "Spoilt", "{}").await;
    eventually("it halts", async || ground.state("shelves").await.halt.is_some()).await;
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    admin.skip(&name("shelves"), "ada").await.unwrap();
}

/// What a live view answered: to which questions, at which checkpoints.
type Record = BTreeMap<Position, Vec<(ViewQuery, ViewPage)>>;

async fn recorded(ground: &Ground, chance: &Chance, answers: usize) -> Record {
    let running = run(ground, Shelves).await;
    eventually("it is ready", async || ground.state("shelves").await.ready).await;
    let (mut record, mut count) = (Record::new(), 0);
    for round in 0.. {
        ground.store.append(Append::of((0..=chance.below(5)).map(|_| chance.event()))).await.unwrap();
        if [40, 41, 90].contains(&round) {
            spoil(ground).await;
        }
        if chance.below(3) > 0 {
            caught_up(ground, "shelves").await;
        }
        let mut question = chance.question();
        for _ in 0..=chance.below(5) {
            let page = ground.views.ask(&question).await.unwrap();
            // The page behind, or another question.
            let next = question.next(&page).unwrap_or_else(|| chance.question());
            record.entry(page.checkpoint.position).or_default().push((question, page));
            (question, count) = (next, count + 1);
        }
        if count >= answers {
            break;
        }
    }
    running.stop().await;
    record
}

/// The time at which the log had come exactly there, if there was one.
async fn time_of(ground: &Ground, at: Position) -> Option<Timestamp> {
    let query = LogQuery { limit: Limit::new(2).unwrap(), ..LogQuery::after(at.previous()) };
    let events = ground.store.read_log(&query).await.unwrap().events;
    let time = events.first()?.recorded_at;
    (at > Position::START && events.get(1).is_none_or(|next| next.recorded_at > time)).then_some(time)
}

async fn gives_recorded_answers_again(ground: Ground) {
    let record = recorded(&ground, &Chance::of(2_026), 1_000).await;
    let shelves = defined(Shelves);
    let (memory, scratch) = (as_of(&ground, 200_000), as_of(&ground, 3));
    let (mut by, mut many) = ([0, 0, 0], 0);
    for (number, (at, answers)) in record.iter().enumerate() {
        let mut pasts = vec![(0, memory.at(&shelves, &Moment::Position(*at), Beyond::Refuse).await.unwrap())];
        if let Some(time) = time_of(&ground, *at).await {
            pasts.push((1, memory.at(&shelves, &Moment::Time(time), Beyond::Refuse).await.unwrap()));
        }
        if number % 8 == 0 || number + 1 == record.len() {
            let past = scratch.at(&shelves, &Moment::Position(*at), Beyond::Scratch).await.unwrap();
            assert!(at.get() < 20 || past.scratch().is_some());
            pasts.push((2, past));
        }
        for (way, past) in pasts {
            for (question, live) in answers {
                let page = past.ask(question).await.unwrap();
                assert_eq!(page.of, Generation { build: 0, ..live.of.clone() });
                let page = ViewPage { of: live.of.clone(), ..page };
                assert_eq!(page, *live, "way {way}, at {at}: {question:?}");
                by[way] += 1;
            }
            past.end().await;
        }
        many += answers.iter().filter(|(_, page)| page.rows.len() > 1).count();
    }
    assert!(by[0] >= 1_000 && by[1] >= 300 && by[2] >= 100, "{by:?}");
    assert!(many >= 300, "too few answers of several rows: {many}");
    assert_eq!(scratches(&ground).await, []);
}

async fn a_view_of_nothing_is_where_the_log_was(ground: Ground) {
    let running = run(&ground, Shelves).await;
    eventually("it is ready", async || ground.state("shelves").await.ready).await;
    spoil(&ground).await;
    caught_up(&ground, "shelves").await;
    running.stop().await;
    let question = ViewQuery::of(name("shelves"), 1, "books");
    let live = ground.views.ask(&question).await.unwrap();
    assert_eq!((live.checkpoint.position, live.checkpoint.folded), (position(ground.head().await), None));
    let moment = Moment::Position(live.checkpoint.position);
    for events_max in [0, 1] {
        let past = as_of(&ground, events_max).at(&defined(Shelves), &moment, Beyond::Scratch).await.unwrap();
        assert_eq!(past.scratch().is_some(), events_max == 0);
        assert_eq!(past.ask(&question).await.unwrap().checkpoint, live.checkpoint);
        past.end().await;
    }
}

async fn a_moment_is_in_the_log_or_it_is_none(ground: Ground) {
    for number in 0..5 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
    }
    let (as_of, counts) = (as_of(&ground, 200_000), defined(Counts::named("counts")));
    let question = ViewQuery::of(name("counts"), 1, "counts");
    let ask = async |moment: &Moment| as_of.ask(&counts, &question, moment, Beyond::Refuse).await;
    assert_eq!(ask(&at(0)).await.unwrap().rows, []);
    assert_eq!(ask(&at(3)).await.unwrap().rows.len(), 3);
    let log = ground.store.read_log(&LogQuery::default()).await.unwrap();
    let (first, last) = (log.events[0].recorded_at, log.events[4].recorded_at);
    let micros =
        |time: Timestamp, more: i64| Moment::Time(Timestamp::from_micros(time.micros() + more).unwrap());
    let before = ask(&micros(first, -1)).await.unwrap();
    assert_eq!((before.rows.len(), before.checkpoint.position), (0, Position::START));
    assert_eq!(ask(&micros(last, 0)).await.unwrap().rows.len(), 5);
    assert!(ask(&micros(last, -1)).await.unwrap().rows.len() < 5);
    assert_eq!(ask(&micros(last, 1_000_000_000)).await.unwrap().rows.len(), 5);
    assert!(matches!(ask(&at(6)).await, Err(AsOfError::NotYet { asked, .. }) if asked == position(6)));
    let here = Cursor::new(log.head.epoch().clone(), position(2));
    assert_eq!(ask(&Moment::Cursor(here)).await.unwrap().rows.len(), 2);
    let elsewhere = Cursor::new(Epoch::new("elsewhere").unwrap(), position(2));
    let asked = ask(&Moment::Cursor(elsewhere)).await;
    assert!(matches!(asked, Err(AsOfError::Store(StoreError::EpochChanged { .. }))));
}

async fn too_much_is_refused_unless_a_scratch_is_wanted(ground: Ground) {
    for number in 0..10 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
        ground.append("a-1", "Other", "1").await;
    }
    let counts = defined(Counts::named("counts"));
    let question = ViewQuery::of(name("counts"), 1, "counts");
    // Ten events of twenty are read.
    let page = as_of(&ground, 10).ask(&counts, &question, &at(20), Beyond::Refuse).await.unwrap();
    assert_eq!(page.rows.len(), 10);
    let asked = as_of(&ground, 9).ask(&counts, &question, &at(20), Beyond::Refuse).await;
    assert!(matches!(asked, Err(AsOfError::TooMuch { events_max: 9, .. })), "{asked:?}");
    let options = AsOfOptions { bytes_max: 10, ..AsOfOptions::default() };
    let little = as_of(&ground, 0).options(options);
    let asked = little.ask(&counts, &question, &at(20), Beyond::Refuse).await;
    assert!(matches!(asked, Err(AsOfError::TooMuch { bytes_max: 10, .. })), "{asked:?}");
    assert_eq!(little.ask(&counts, &question, &at(20), Beyond::Scratch).await.unwrap(), page);
    assert_eq!(as_of(&ground, 9).ask(&counts, &question, &at(20), Beyond::Scratch).await.unwrap(), page);
    assert_eq!(scratches(&ground).await, [], "it is thrown away before the answer is given");
}

async fn a_question_that_cannot_be_answered_folds_nothing(ground: Ground) {
    ground.append("a-1", "Counted", "\"poison\"").await;
    let (as_of, counts) = (as_of(&ground, 0), defined(Counts::with(Poison::Fails)));
    let ask = async |query: ViewQuery| as_of.ask(&counts, &query, &at(1), Beyond::Scratch).await.unwrap_err();
    let asked = ask(ViewQuery::of(name("counts"), 1, "nothing")).await;
    assert!(matches!(asked, AsOfError::Query(InvalidQuery::Table(_))), "{asked}");
    let asked = ask(ViewQuery::of(name("counts"), 1, "counts").sorted("nothing", true)).await;
    assert!(matches!(asked, AsOfError::Query(InvalidQuery::Column(_))), "{asked}");
    let asked = ask(ViewQuery::of(name("shelves"), 1, "counts")).await;
    assert!(matches!(asked, AsOfError::View(ViewError::Unknown(_))), "{asked}");
    // One that can be answered meets the event that the view would have come to a halt before.
    let asked = ask(ViewQuery::of(name("counts"), 1, "counts")).await;
    assert!(matches!(&asked, AsOfError::Halted(halt) if halt.position == position(1)), "{asked}");
    no_scratch_is_left(&ground).await;
}

async fn an_event_that_hangs_is_given_up(ground: Ground) {
    ground.append("a-1", "Counted", "\"poison\"").await;
    let options = AsOfOptions { event_budget: Duration::from_millis(100), ..AsOfOptions::default() };
    let as_of = as_of(&ground, 0).options(options);
    let begun = std::time::Instant::now();
    let asked = as_of.at(&defined(Counts::with(Poison::Hangs)), &at(1), Beyond::Refuse).await;
    assert!(matches!(asked, Err(AsOfError::Halted(_))), "{asked:?}");
    assert!(begun.elapsed() < Duration::from_secs(2));
}

async fn a_scratch_goes_with_whoever_asked(ground: Ground) {
    for number in 0..50 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
    }
    let (as_of, counts) = (as_of(&ground, 1), defined(Counts::named("counts")));
    let past = as_of.at(&counts, &at(40), Beyond::Scratch).await.unwrap();
    assert_eq!(scratches(&ground).await, [past.scratch().unwrap().clone()]);
    // Longer than it is held without being renewed: page after page is of the same moment.
    tokio::time::sleep(Duration::from_millis(900)).await;
    ground.append("a-1", "Counted", "\"later\"").await;
    let question = ViewQuery::of(name("counts"), 1, "counts");
    let mut question = ViewQuery { limit: Limit::new(7).unwrap(), ..question };
    let mut rows = 0;
    loop {
        let page = past.ask(&question).await.unwrap();
        assert_eq!(page.checkpoint, past.checkpoint());
        rows += page.rows.len();
        match question.next(&page) {
            Some(next) => question = next,
            None => break,
        }
    }
    assert_eq!((rows, past.checkpoint().position), (40, position(40)));
    drop(past);
    no_scratch_is_left(&ground).await;
    // One that somebody threw away is told of.
    let past = as_of.at(&counts, &at(40), Beyond::Scratch).await.unwrap();
    ground.views.discard(past.scratch().unwrap()).await.unwrap();
    assert!(matches!(past.ask(&question).await, Err(AsOfError::Gone)));
}

async fn there_are_only_so_many_scratches(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    let options = AsOfOptions { events_max: 0, scratches_max: 1, ..AsOfOptions::default() };
    let (as_of, counts) = (as_of(&ground, 0).options(options), defined(Counts::named("counts")));
    let past = as_of.at(&counts, &at(1), Beyond::Scratch).await.unwrap();
    let asked = as_of.clone().at(&counts, &at(1), Beyond::Scratch).await;
    assert!(matches!(asked, Err(AsOfError::Busy)) && asked.unwrap_err().retry_helps());
    past.end().await;
    as_of.at(&counts, &at(1), Beyond::Scratch).await.unwrap().end().await;
    assert_eq!(scratches(&ground).await, []);
}

async fn an_asker_who_goes_away_leaves_nothing(ground: Ground) {
    for number in 0..50 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
    }
    let (as_of, counts) = (as_of(&ground, 1), defined(Counts::named("counts")));
    let (question, moment) = (ViewQuery::of(name("counts"), 1, "counts"), at(50));
    let (mut gone_early, mut seen) = (0, 0);
    for steps in 0..40 {
        let mut asking = Box::pin(as_of.ask(&counts, &question, &moment, Beyond::Scratch));
        let mut left = steps;
        let step = poll_fn(|cx| {
            if left == 0 {
                return Poll::Ready(None);
            }
            left -= 1;
            asking.as_mut().poll(cx).map(Some)
        });
        let answer = step.await;
        let is_early = answer.is_none();
        if let Some(answer) = answer {
            assert_eq!(answer.unwrap().rows.len(), 50);
        }
        gone_early += usize::from(is_early);
        seen += scratches(&ground).await.len();
        drop(asking);
        all_places_are_free(&as_of, &counts).await;
        no_scratch_is_left(&ground).await;
    }
    assert!(gone_early > 2 && seen > 0, "{gone_early} went early, {seen} of them in the middle of it");
}

/// As many scratch generations as there may be can be had: two.
async fn all_places_are_free(as_of: &AsOf, counts: &Defined) {
    let moment = at(50);
    eventually("all places are free", async || {
        let one = as_of.at(counts, &moment, Beyond::Scratch).await;
        let other = as_of.at(counts, &moment, Beyond::Scratch).await;
        let both = one.is_ok() && other.is_ok();
        for past in [one, other].into_iter().flatten() {
            past.end().await;
        }
        both
    })
    .await;
}

async fn a_runner_throws_away_what_a_killed_program_left(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    let counts = defined(Counts::named("counts"));
    // The other program: a runtime of its own that ends in the middle, with all that it would still have done.
    let (other, wanted) = (as_of(&ground, 0), as_of(&ground, 0));
    let of = std::thread::scope(|scope| {
        let killed = scope.spawn(|| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
            let past = runtime.block_on(other.at(&counts, &at(1), Beyond::Scratch)).unwrap();
            let of = past.scratch().unwrap().clone();
            std::mem::forget(past);
            of
        });
        killed.join().unwrap()
    });
    assert_eq!(scratches(&ground).await, std::slice::from_ref(&of));
    let past = wanted.at(&counts, &at(1), Beyond::Scratch).await.unwrap();
    let unwanted = Duration::from_millis(300);
    let runner = Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    let runner = runner.options(RunnerOptions { unwanted, ..quick() });
    let running = runner.projection(Counts::named("counts")).start().await.unwrap();
    eventually("it is gone", async || !scratches(&ground).await.contains(&of)).await;
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    assert_eq!(scratches(&ground).await, [past.scratch().unwrap().clone()], "who lives keeps theirs");
    assert_eq!(ground.counts("counts", 1).await.len(), 1, "and the view is what it was");
    past.end().await;
    running.stop().await;
}

async fn a_scratch_disturbs_no_view(ground: Ground) {
    let running = run(&ground, Shelves).await;
    let (as_of, shelves, chance) = (as_of(&ground, 0), defined(Shelves), Chance::of(7));
    ground.store.append(Append::of((0..300).map(|_| chance.event()))).await.unwrap();
    caught_up(&ground, "shelves").await;
    let (all, before) = (ViewQuery::of(name("shelves"), 1, "books"), ground.state("shelves").await);
    let live = ground.views.ask(&all).await.unwrap();
    let past = as_of.at(&shelves, &at(100), Beyond::Scratch).await.unwrap();
    assert_ne!(past.ask(&all).await.unwrap().rows, live.rows);
    assert_eq!(ground.views.ask(&all).await.unwrap(), live);
    // Also what a rebuild comes to while it is there.
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    admin.rebuild(shelves.plan(), "ada").await.unwrap();
    eventually("it is rebuilt", async || {
        let all = ground.states("shelves").await;
        all.len() == 1 && all[0].serving && all[0].of.build == before.of.build + 1
    })
    .await;
    assert_eq!(ground.views.ask(&all).await.unwrap().rows, live.rows);
    past.end().await;
    assert_eq!(ground.views.ask(&all).await.unwrap().rows, live.rows);
    running.stop().await;
}

async fn a_scratch_is_handed_over_in_pieces(ground: Ground) {
    let chance = Chance::of(11);
    for _ in 0..5 {
        ground.store.append(Append::of((0..600).map(|_| chance.event()))).await.unwrap();
    }
    let small = Arc::new(Small::of(Arc::clone(&ground.views), 10, 4_000));
    let options = AsOfOptions { events_max: 10, ..AsOfOptions::default() };
    let pieces = AsOf::new(Arc::clone(&ground.store), Arc::clone(&small) as _).options(options);
    let shelves = defined(Shelves);
    let past = pieces.at(&shelves, &at(2_900), Beyond::Scratch).await.unwrap();
    let whole = as_of(&ground, 3_000).at(&shelves, &at(2_900), Beyond::Refuse).await.unwrap();
    for table in ["books", "marks", "totals"] {
        let all = ViewQuery::of(name("shelves"), 1, table);
        assert_eq!(past.ask(&all).await.unwrap(), whole.ask(&all).await.unwrap());
    }
    past.end().await;
    let (pieces, largest, loaded) = small.seen();
    assert!(pieces > 50 && loaded > 0, "{pieces} pieces, {loaded} rows loaded");
    assert!(largest < 40, "what one event changes comes on top of ten rows, and no more: {largest}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_damaged_event_that_was_left_out_is_left_out() {
    // The second pair is where a search for a moment begins, and the last where it ends.
    for damaged in [[1, 4], [3, 4], [4, 5]] {
        left_out(damaged).await;
    }
}

async fn left_out(damaged: [i64; 2]) {
    let ground = Ground::sqlite();
    for number in 0..6 {
        ground.append("a-1", "Counted", &format!("\"{number}\"")).await;
    }
    let log = ground.store.read_log(&LogQuery::default()).await.unwrap().events;
    let path = ground.folder.as_ref().unwrap().path().join("log.db");
    let [one, other] = damaged;
    let damage = format!(
        "DROP TRIGGER fd_log_never_changes; UPDATE fd_log SET checksum = checksum + 1 WHERE position IN ({one}, {other})"
    );
    rusqlite::Connection::open(path).unwrap().execute_batch(&damage).unwrap();
    let running = run(&ground, Counts::named("counts")).await;
    let admin = Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views));
    for at in damaged {
        eventually(&format!("it halts at {at} of {damaged:?}"), async || {
            ground.state("counts").await.halt.is_some_and(|halt| halt.position == position(at))
        })
        .await;
        admin.skip(&name("counts"), "ada").await.unwrap();
    }
    caught_up(&ground, "counts").await;
    let question = ViewQuery::of(name("counts"), 1, "counts");
    let live = ground.views.ask(&question).await.unwrap();
    assert_eq!(live.rows.len(), 4);
    let counts = defined(Counts::named("counts"));
    for as_of in [as_of(&ground, 100), as_of(&ground, 0)] {
        let moment = Moment::Position(live.checkpoint.position);
        let page = as_of.ask(&counts, &question, &moment, Beyond::Scratch).await.unwrap();
        assert_eq!((&page.rows, page.checkpoint), (&live.rows, live.checkpoint));
        for until in 1..=6 {
            let mut readable = (1..=until).filter(|at| !damaged.contains(at));
            let (many, last) = (readable.clone().count(), readable.next_back().unwrap_or(0));
            let page = as_of.ask(&counts, &question, &at(until), Beyond::Scratch).await.unwrap();
            assert_eq!((page.rows.len(), page.checkpoint.position), (many, position(until)));
            // Of what can't be read nobody knows when it was.
            let then = Moment::Time(log[usize::try_from(until).unwrap() - 1].recorded_at);
            let page = as_of.ask(&counts, &question, &then, Beyond::Scratch).await.unwrap();
            assert_eq!(page.rows.len(), many, "{damaged:?}: at the time of {until}, the last is {last}");
            assert!((last..=until).contains(&page.checkpoint.position.get()));
        }
    }
    running.stop().await;
}

#[test]
fn no_view_has_a_name_that_is_kept_for_the_past() {
    let made = Defined::new(Arc::new(Counts::named("as_of_yesterday")));
    assert!(matches!(made, Err(InvalidProjection::Reserved(name)) if name == "as_of_yesterday"));
}

crate::on_both! {
    gives_recorded_answers_again
    a_view_of_nothing_is_where_the_log_was
    a_moment_is_in_the_log_or_it_is_none
    too_much_is_refused_unless_a_scratch_is_wanted
    a_question_that_cannot_be_answered_folds_nothing
    an_event_that_hangs_is_given_up
    a_scratch_goes_with_whoever_asked
    there_are_only_so_many_scratches
    an_asker_who_goes_away_leaves_nothing
    a_runner_throws_away_what_a_killed_program_left
    a_scratch_disturbs_no_view
    a_scratch_is_handed_over_in_pieces
}
