//! What others do, and what is easily overlooked: tables that users touch, numbers that are wanted, waiting and searching in odd moments.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_projections::{
    Admin, AdminError, Defined, NotThere, Projection, Reads, Runner, RunnerOptions, StartError,
};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, HaltKind, Key, Kind, Rows, Table, ViewQuery};

use crate::counts::{Counts, Poison};
use crate::ground::{Ground, eventually, name, quick};

fn runner(ground: &Ground) -> Runner {
    Runner::new(Arc::clone(&ground.store), Arc::clone(&ground.views)).options(quick())
}

async fn ready_at(ground: &Ground, position: i64) {
    eventually("it has caught up", async || {
        let state = ground.state("counts").await;
        state.ready && state.checkpoint.position.get() >= position
    })
    .await;
}

fn sql(ground: &Ground, sql: &str) {
    let path = ground.folder.as_ref().unwrap().path().join("log.db");
    rusqlite::Connection::open(path).unwrap().execute_batch(sql).unwrap();
}

fn admin(ground: &Ground) -> Admin {
    Admin::new(Arc::clone(&ground.store), Arc::clone(&ground.views))
}

async fn rebuilt(ground: &Ground, build: u32) {
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    admin(ground).rebuild(&plan, "ada").await.unwrap();
    eventually("it is rebuilt", async || {
        let all = ground.states("counts").await;
        all.len() == 1 && all[0].ready && all[0].serving && all[0].of.build == build
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_a_users_own_survives_rebuilds() {
    let ground = Ground::sqlite();
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, 1).await;
    sql(
        &ground,
        "CREATE VIEW many AS SELECT name FROM counts; CREATE VIEW broken AS SELECT some FROM nowhere",
    );
    for build in 2..4 {
        rebuilt(&ground, build).await;
        let path = ground.folder.as_ref().unwrap().path().join("log.db");
        let conn = rusqlite::Connection::open(path).unwrap();
        assert_eq!(conn.query_row("SELECT count(*) FROM many", [], |row| row.get::<_, i64>(0)), Ok(1));
    }
    ground.append("a-1", "Counted", "\"a\"").await;
    running.stop().await;
}

/// A server that was killed may have lost the last of what was folded; nobody has to append anything for it to be folded again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_store_has_lost_is_folded_again_by_itself() {
    let ground = Ground::sqlite();
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, 1).await;
    sql(
        &ground,
        "BEGIN; DELETE FROM counts; UPDATE fd_projection SET position = 0, folded = NULL, hash = NULL; COMMIT",
    );
    ready_at(&ground, 1).await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 1)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_that_a_user_dropped_is_built_again() {
    let ground = Ground::sqlite();
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, 1).await;
    sql(&ground, "DROP TABLE counts");
    // It stands, and says so; the log goes on.
    ground.append("a-1", "Counted", "\"a\"").await;
    eventually("it stands", async || ground.state("counts").await.halt.is_some()).await;
    let halt = ground.state("counts").await.halt.unwrap();
    assert_eq!(halt.kind, HaltKind::Refused);
    assert!(halt.error.contains("no such table: counts"), "{halt}");
    assert!(matches!(admin(&ground).skip(&name("counts"), "ada").await, Err(AdminError::NotHalted(_))));
    rebuilt(&ground, 2).await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 2)]);
    running.stop().await;
    // And whoever begins finds out by themselves.
    sql(&ground, "DROP TABLE counts");
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ready_at(&ground, 2).await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 2)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_table_that_a_user_made_meanwhile_is_told_of() {
    let ground = Ground::sqlite();
    ground.append("a-1", "Counted", "\"a\"").await;
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    ground.views.prepare(&plan).await.unwrap();
    sql(&ground, "CREATE TABLE counts (a)");
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    eventually("it stands", async || ground.state("counts").await.halt.is_some()).await;
    let halt = ground.state("counts").await.halt.unwrap();
    assert!(halt.error.contains("the table counts is there already"), "{halt}");
    sql(&ground, "DROP TABLE counts");
    admin(&ground).resume(&name("counts"), "ada").await.unwrap();
    ready_at(&ground, 1).await;
    running.stop().await;
}

async fn both_numbers_of_a_program_stay_over_a_long_stop(ground: Ground) {
    let options = RunnerOptions { unwanted: Duration::from_secs(1), ..quick() };
    let second = || Counts { number: 2, step: 10, ..Counts::named("counts") };
    let start = async || {
        let both = runner(&ground).options(options.clone()).projection(Counts::named("counts"));
        both.projection(second()).start().await.unwrap()
    };
    let running = start().await;
    let both = async || ground.states("counts").await.iter().filter(|state| state.ready).count() == 2;
    eventually("both are ready", both).await;
    running.stop().await;
    eventually("nobody has wanted them for long", async || {
        ground.states("counts").await.iter().all(|state| state.unwanted_seconds >= 2)
    })
    .await;
    let running = start().await;
    ground.append("a-1", "Counted", "\"a\"").await;
    eventually("both go on", async || {
        let all = ground.states("counts").await;
        assert_eq!(all.len(), 2, "the program wants both");
        all.iter().all(|state| state.checkpoint.position.get() == 1)
    })
    .await;
    running.stop().await;
}

async fn a_program_that_was_rolled_back_serves_again(ground: Ground) {
    let options = RunnerOptions { unwanted: Duration::from_millis(300), ..quick() };
    ground.append("a-1", "Counted", "\"a\"").await;
    let second = Counts { number: 2, step: 10, ..Counts::named("counts") };
    let running = runner(&ground).projection(second).start().await.unwrap();
    ready_at(&ground, 1).await;
    running.stop().await;
    let running = runner(&ground).options(options).projection(Counts::named("counts")).start().await.unwrap();
    eventually("the first number serves", async || {
        let all = ground.states("counts").await;
        all.len() == 1 && all[0].of.number == 1 && all[0].serving
    })
    .await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 1)]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_inline_view_stands_before_damage_that_its_runner_meets() {
    let ground = Ground::sqlite();
    let running = runner(&ground).inline(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, 1).await;
    running.stop().await;
    for _ in 0..3 {
        ground.append("a-1", "Counted", "\"a\"").await;
    }
    sql(
        &ground,
        "DROP TRIGGER fd_log_never_changes; UPDATE fd_log SET checksum = checksum + 1 WHERE position = 3",
    );
    let running = runner(&ground).inline(Counts::named("counts")).start().await.unwrap();
    eventually("it halts", async || ground.state("counts").await.halt.is_some()).await;
    let state = ground.state("counts").await;
    let halt = state.halt.unwrap();
    assert_eq!((halt.kind, halt.position.get(), state.checkpoint.position.get()), (HaltKind::Corrupt, 3, 2));
    // What can't be read can be left out, by whoever wants that.
    admin(&ground).skip(&name("counts"), "ada").await.unwrap();
    eventually("it goes on", async || ground.counts("counts", 1).await == [("a".to_owned(), 3)]).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_build_whose_rows_are_refused_stands_however_long_it_folds() {
    let ground = Ground::sqlite();
    ground.append("a-1", "Counted", "\"a\"").await;
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    ground.views.prepare(&plan).await.unwrap();
    sql(&ground, "CREATE TRIGGER no BEFORE INSERT ON fd_view_1_0 BEGIN SELECT RAISE(ABORT, 'not here'); END");
    let options = RunnerOptions { lease: Duration::from_millis(30), ..quick() };
    let running = runner(&ground).options(options).projection(Counts::named("counts")).start().await.unwrap();
    eventually("it stands", async || ground.state("counts").await.halt.is_some()).await;
    let halt = ground.state("counts").await.halt.unwrap();
    assert!(halt.kind == HaltKind::Refused && halt.error.contains("not here"), "{halt}");
    running.stop().await;
}

async fn what_was_thrown_away_while_it_was_wanted_is_begun_anew(ground: Ground) {
    ground.append("a-1", "Counted", "\"a\"").await;
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ready_at(&ground, 1).await;
    // Another node, that has not heard of this one for long.
    ground.views.discard(&ground.state("counts").await.of).await.unwrap();
    eventually("it is built again", async || {
        let all = ground.states("counts").await;
        all.len() == 1 && all[0].ready && all[0].checkpoint.position.get() == 1
    })
    .await;
    assert_eq!(ground.counts("counts", 1).await, [("a".to_owned(), 1)]);
    running.stop().await;
}

async fn a_view_that_waits_is_not_built_anew(ground: Ground) {
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    ready_at(&ground, 1).await;
    admin(&ground).pause(&name("counts"), "ada").await.unwrap();
    let plan = Defined::new(Arc::new(Counts::named("counts"))).unwrap().plan().clone();
    assert!(matches!(admin(&ground).rebuild(&plan, "ada").await, Err(AdminError::Paused(_))));
    let build = ground.views.begin_build(&plan).await.unwrap();
    assert!(build.paused, "a build waits as the one before does");
    running.stop().await;
}

async fn waiting_for_a_first_build_that_halted_ends_at_once(ground: Ground) {
    ground.append("a-1", "Counted", "{}").await;
    let running = runner(&ground).projection(Counts::named("counts")).start().await.unwrap();
    eventually("it halts", async || ground.state("counts").await.halt.is_some()).await;
    let begun = Instant::now();
    let position = Position::new(1).unwrap();
    let waited = running.watcher().wait_for(&name("counts"), 1, position, Duration::from_secs(20)).await;
    assert!(matches!(waited, Err(NotThere::Halted { .. })), "{waited:?}");
    assert!(begun.elapsed() < Duration::from_secs(10));
    running.stop().await;
}

/// Names its rows only after a long while; keeps words; reads more types than can be asked for, or whatever there is.
enum Odd {
    Everything,
    HangsInKeys,
    Words,
    TooManyTypes,
}

impl Projection for Odd {
    fn name(&self) -> &'static str {
        "counts"
    }
    fn reads(&self) -> Reads {
        let many: Vec<String> = (0..65).map(|number| format!("Type{number}")).collect();
        match self {
            Self::Everything => Reads::everything(),
            Self::TooManyTypes => Reads::types(many.iter().map(String::as_str)),
            Self::Words | Self::HangsInKeys => Reads::types(["Counted", "Bad"]),
        }
    }
    fn tables(&self) -> Vec<Table> {
        vec![Table::named("counts").key("id", Kind::Text).column("text", Kind::Text).search(&["text"])]
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        if matches!(self, Self::HangsInKeys) {
            std::thread::sleep(Duration::from_secs(3));
        }
        Ok(vec![Key::of("counts", event.stream.as_str())])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        if event.event_type.as_str() == "Bad" {
            return Err(FoldError::new("bad"));
        }
        let text: String = serde_json::from_slice(event.data_bytes())?;
        rows.put("counts", [event.stream.as_str().into(), text.into()])
    }
}

async fn a_view_of_everything_sees_every_type_shape_and_stream(ground: Ground) {
    let running = runner(&ground).projection(Odd::Everything).start().await.unwrap();
    for (stream, event_type, schema) in [("a-1", "Counted", 1), ("b", "Unheard", 9), ("$c-1", "Own", 2)] {
        ground.append_of(stream, event_type, schema, &format!("\"{event_type}\"")).await;
    }
    ready_at(&ground, 3).await;
    let found = ground.views.ask(&ViewQuery::of(name("counts"), 1, "counts")).await.unwrap().rows;
    let texts: Vec<_> = found.iter().filter_map(|row| row.text("text")).collect();
    assert_eq!(texts, ["Own", "Counted", "Unheard"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_view_of_everything_sees_every_type_shape_and_stream_on_every_store() {
    a_view_of_everything_sees_every_type_shape_and_stream(Ground::memory()).await;
    a_view_of_everything_sees_every_type_shape_and_stream(Ground::sqlite()).await;
}

async fn keys_that_hang_halt_the_view(ground: Ground) {
    let running = runner(&ground).projection(Odd::HangsInKeys).start().await.unwrap();
    ground.append("a-1", "Counted", "\"a\"").await;
    eventually("it halts", async || ground.state("counts").await.halt.is_some()).await;
    assert!(ground.state("counts").await.halt.unwrap().error.contains("longer than"));
    running.stop().await;
}

/// What a view's words have put off is done soon, whether it is folded behind the log or within the appends.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn words_are_not_put_off_for_ever() {
    for inline in [false, true] {
        let ground = Ground::sqlite();
        let running = match inline {
            true => runner(&ground).inline(Odd::Words),
            false => runner(&ground).projection(Odd::Words),
        };
        let running = running.start().await.unwrap();
        eventually("it is ready", async || ground.state("counts").await.ready).await;
        let path = ground.folder.as_ref().unwrap().path().join("log.db");
        let put_off = || {
            let conn = rusqlite::Connection::open(&path).unwrap();
            let one = |sql: &str| conn.query_row(sql, [], |row| row.get::<_, String>(0)).unwrap();
            let named = |like: &str| one(&format!("SELECT name FROM sqlite_master WHERE name LIKE '{like}'"));
            let (todo, docs) = (named("fd_view_%_todo"), named("fd_view_%_words_docsize"));
            let changed = format!("(SELECT count(*) FROM {todo})");
            let new = format!("(SELECT count(*) FROM counts) - (SELECT count(*) FROM {docs})");
            one(&format!("SELECT {changed} || ' changed and ' || ({new}) || ' new'"))
        };
        for text in ["\"apple\"", "\"pear\""] {
            for stream in ["a-1", "a-2", "a-3"] {
                ground.append(stream, "Counted", text).await;
            }
            ready_at(&ground, ground.head().await).await;
            eventually("nothing is put off any more", async || put_off() == "0 changed and 0 new").await;
        }
        assert_eq!(
            ground
                .views
                .ask(&ViewQuery::of(name("counts"), 1, "counts").text("pear"))
                .await
                .unwrap()
                .rows
                .len(),
            3
        );
        running.stop().await;
    }
}

async fn a_search_finds_what_rows_say_at_that_very_moment(ground: Ground) {
    let running = runner(&ground).projection(Odd::Words).start().await.unwrap();
    ground.append("a-1", "Counted", "\"apple\"").await;
    ready_at(&ground, 1).await;
    let ask = async |text: &str| {
        let query = ViewQuery {
            limit: flightdeck_store::Limit::new(3).unwrap(),
            ..ViewQuery::of(name("counts"), 1, "counts")
        };
        let (mut query, mut found) = (query.text(text), 0);
        loop {
            let page = ground.views.ask(&query).await.unwrap();
            found += page.rows.len();
            match query.next(&page) {
                Some(next) => query = next,
                None => return found,
            }
        }
    };
    assert_eq!((ask("apple").await, ask("pear").await), (1, 0));
    // Then it halts, and nobody tends it any more.
    ground.append("a-1", "Counted", "\"pear\"").await;
    for number in 0..300 {
        ground.append(&format!("b-{number}"), "Counted", &format!("\"plum w{number} v{number}\"")).await;
    }
    ground.append("a-1", "Bad", "1").await;
    eventually("it halts", async || ground.state("counts").await.halt.is_some()).await;
    assert_eq!(
        (ask("apple").await, ask("pear").await, ask("plum").await, ask("w17*").await),
        (0, 1, 300, 11)
    );
    running.stop().await;
}

async fn what_reads_too_much_is_not_started(ground: Ground) {
    let started = runner(&ground).projection(Odd::TooManyTypes).start().await;
    assert!(matches!(started, Err(StartError::Projection(_))));
}

async fn what_is_halted_does_not_try_for_ever(ground: Ground) {
    let tried = Arc::new(std::sync::atomic::AtomicU32::new(0));
    let poison = Poison::Counts(Arc::clone(&tried));
    let running = runner(&ground).projection(Counts::with(poison)).start().await.unwrap();
    ground.append("a-1", "Counted", "\"poison\"").await;
    eventually("it halts", async || ground.state("counts").await.halt.is_some()).await;
    tokio::time::sleep(Duration::from_millis(700)).await;
    assert_eq!(tried.load(std::sync::atomic::Ordering::SeqCst), 4, "once, and three times more");
    running.stop().await;
}

crate::on_both! {
    both_numbers_of_a_program_stay_over_a_long_stop
    a_program_that_was_rolled_back_serves_again
    what_was_thrown_away_while_it_was_wanted_is_begun_anew
    a_view_that_waits_is_not_built_anew
    waiting_for_a_first_build_that_halted_ends_at_once
    keys_that_hang_halt_the_view
    a_search_finds_what_rows_say_at_that_very_moment
    what_reads_too_much_is_not_started
    what_is_halted_does_not_try_for_ever
}
