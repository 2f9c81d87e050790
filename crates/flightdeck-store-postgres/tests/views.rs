//! What is PostgreSQL's own of views: real tables, several nodes, and the same answers as in memory.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use flightdeck_core::{Category, Position, StreamId, Timestamp};
use flightdeck_store::chain::Hash;
use flightdeck_store::view::{
    Checkpoint, Compare, Generation, Halt, HaltKind, Holder, Kind, Lease, Mark, MemoryViews, Plan, Row, Sort,
    Table, TableChanges, TakenOver, Value, ViewError, ViewName, ViewQuery, ViewStore, Work,
};
use flightdeck_store::{Limit, StreamPattern};
use flightdeck_store_postgres::{Options, PostgresStore, Schema};
use tokio_postgres::{Client, NoTls};

const LONG: Duration = Duration::from_secs(60);

fn schema() -> Schema {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::SeqCst);
    Schema::new(format!("views_{}_{number}", std::process::id())).unwrap()
}

async fn open(schema: &Schema) -> PostgresStore {
    let url = flightdeck_test_postgres::shared().unwrap();
    PostgresStore::open(&url, Options { schema: schema.clone(), ..Options::default() }).await.unwrap()
}

/// A connection as anyone with psql has it.
async fn raw(schema: &Schema) -> Client {
    let (client, wire) =
        tokio_postgres::connect(&flightdeck_test_postgres::shared().unwrap(), NoTls).await.unwrap();
    tokio::spawn(wire);
    client.batch_execute(&format!("SET search_path TO {}", schema.as_str())).await.unwrap();
    client
}

fn at(position: i64) -> Checkpoint {
    let position = Position::new(position).unwrap();
    let byte = u8::try_from(position.get() % 250).unwrap();
    let folded = (position > Position::START).then(|| (position, Hash::from_bytes([byte; 32])));
    Checkpoint { position, folded }
}

fn holder(number: u128) -> Holder {
    Holder::from_random(number)
}

fn name(name: &str) -> ViewName {
    ViewName::new(name).unwrap()
}

fn time(micros: i64) -> Value {
    Timestamp::from_micros(micros).unwrap().into()
}

/// A generation that is folded by whoever calls, from one checkpoint to the next.
struct Runner<'s> {
    store: &'s dyn ViewStore,
    lease: Lease,
    now: Checkpoint,
}

impl<'s> Runner<'s> {
    async fn of(store: &'s dyn ViewStore, of: &Generation) -> Self {
        let lease = store.lease(of, &holder(1), LONG).await.unwrap().unwrap();
        Self { store, lease, now: Checkpoint::START }
    }

    async fn put(&mut self, to: i64, rows: Vec<Row>) {
        self.change(to, rows, vec![]).await;
    }

    async fn change(&mut self, to: i64, put: Vec<Row>, gone: Vec<Box<[Value]>>) {
        let table = Arc::clone(put[0].table());
        let changes = vec![TableChanges { table, put, gone }];
        let work = Work { lease: self.lease.clone(), from: self.now, to: at(to), changes };
        self.store.apply(work).await.unwrap();
        self.now = at(to);
    }

    async fn take_over(&self) {
        assert_eq!(self.store.take_over(&self.lease).await.unwrap(), TakenOver::Done);
    }
}

fn pages(number: u32) -> Plan {
    let table = Table::named("pages").key("id", Kind::Text).column("title", Kind::Text);
    let table = table.column("views", Kind::Integer).index(&["views"]).search(&["title"]);
    Plan::new("pages", number, vec![table], &number.to_string()).unwrap()
}

fn page(plan: &Plan, id: &str, title: &str, views: i64) -> Row {
    Row::new(&plan.tables()[0], vec![id.into(), title.into(), views.into()]).unwrap()
}

/// Columns of every kind, called like things that mean something to SQL.
fn everything() -> Plan {
    let table = Table::named("everything")
        .key("id", Kind::Text)
        .key("number", Kind::Integer)
        .key("order", Kind::Time)
        .key("user", Kind::Boolean)
        .column("text", Kind::Text)
        .column("integer", Kind::Integer)
        .column("boolean", Kind::Boolean)
        .column("timestamp", Kind::Time)
        .column("list", Kind::List)
        .column("json", Kind::Json)
        .nullable("no_text", Kind::Text)
        .nullable("no_integer", Kind::Integer)
        .nullable("no_boolean", Kind::Boolean)
        .nullable("no_time", Kind::Time)
        .nullable("no_list", Kind::List)
        .nullable("no_json", Kind::Json);
    let only = Table::named("only_a_key").key("id", Kind::Text);
    Plan::new("everything", 1, vec![table, only], "").unwrap()
}

/// A row at each end of what the columns hold.
fn ends(plan: &Plan) -> Vec<Row> {
    let nothing = || vec![Value::Null; 6];
    let (first, last) = (time(-62_135_596_800_000_000), time(253_402_300_799_999_999));
    let row = |key: [Value; 4], rest: Vec<Value>, more: Vec<Value>| {
        Row::new(&plan.tables()[0], key.into_iter().chain(rest).chain(more).collect::<Vec<_>>()).unwrap()
    };
    let odd = "żółw \u{10ffff} \"quoted\" \\ \n\t ' {} ,NULL";
    let json = |text: &str| Value::Json(text.into());
    let one = |text: &str, number: i64, yes: bool, time: &Value, list: Value, written: &str| {
        vec![text.into(), number.into(), yes.into(), time.clone(), list, json(written)]
    };
    let list = Value::list([odd, "", "[]", "null"]);
    vec![
        row(
            ["".into(), i64::MIN.into(), first.clone(), false.into()],
            one(
                "",
                i64::MIN,
                false,
                &first,
                Value::list::<&str>([]),
                "{ \"b\" : 1.0e400, \"a\":\"\\u0000\" }",
            ),
            nothing(),
        ),
        row(
            [odd.into(), i64::MAX.into(), last.clone(), true.into()],
            one(odd, i64::MAX, true, &last, list.clone(), " null "),
            one(odd, -1, true, &time(-1), list, "[1,1]"),
        ),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn every_value_comes_back_as_it_was_put() {
    let schema = schema();
    let (store, plan) = (open(&schema).await, everything());
    let state = store.prepare(&plan).await.unwrap();
    assert_eq!((state.of.build, &state.plan), (1, &plan));
    let (mut runner, rows) = (Runner::of(&store, &state.of).await, ends(&plan));
    runner.put(1, rows.clone()).await;
    let keys = |rows: &[Row]| rows.iter().map(|row| (0, row.key().into())).collect::<Vec<_>>();
    let found = store.load(&state.of, keys(&rows)).await.unwrap();
    assert_eq!(found, rows.iter().cloned().map(|row| (0, row)).collect::<Vec<_>>());
    // Beginnings, the same twice, and what is not there.
    let mut asked = keys(&rows);
    asked.extend([
        (0, rows[1].key()[..1].into()),
        (0, Box::from([])),
        (1, vec!["x".into()].into()),
        (7, Box::from([])),
    ]);
    assert_eq!(store.load(&state.of, asked).await.unwrap().len(), 2);

    let key = Row::new(&plan.tables()[1], vec!["x".into()]).unwrap();
    runner.put(2, vec![key.clone()]).await;
    runner.put(3, vec![key]).await;
    runner.take_over().await;
    let page = store.ask(&ViewQuery::of(name("everything"), 1, "everything")).await.unwrap();
    assert_eq!((page.rows, page.checkpoint, &page.of), (rows.clone(), at(3), &state.of));
    runner.change(4, vec![rows[1].clone()], vec![rows[0].key().into()]).await;
    let page = store.ask(&ViewQuery::of(name("everything"), 1, "everything")).await.unwrap();
    assert_eq!((page.rows, page.checkpoint), (vec![rows[1].clone()], at(4)));

    // A store that is only read answers as well, and refuses all else.
    let options = Options { schema: schema.clone(), ..Options::default() };
    let url = flightdeck_test_postgres::shared().unwrap();
    let reading = PostgresStore::open_read_only(&url, options).await.unwrap();
    assert_eq!(reading.ask(&ViewQuery::of(name("everything"), 1, "only_a_key")).await.unwrap().rows.len(), 1);
    assert!(matches!(reading.prepare(&plan).await, Err(ViewError::Store(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn tables_have_their_own_names_only_while_they_serve() {
    let schema = schema();
    let (store, raw) = (open(&schema).await, raw(&schema).await);
    raw.batch_execute(&format!(
        "CREATE ROLE {0}_bi; GRANT USAGE ON SCHEMA {0} TO {0}_bi; SELECT fd_grant('{0}_bi', 'read')",
        schema.as_str()
    ))
    .await
    .unwrap();
    let first = store.prepare(&pages(1)).await.unwrap();
    let mut old = Runner::of(&store, &first.of).await;
    old.put(5, vec![page(&pages(1), "a", "First", 1)]).await;
    assert!(raw.query("SELECT title FROM pages", &[]).await.is_err());
    assert!(matches!(
        store.ask(&ViewQuery::of(name("pages"), 1, "pages")).await,
        Err(ViewError::NotReady(_))
    ));
    old.take_over().await;
    let title = async || -> String {
        let sql = format!("SET ROLE {}_bi", schema.as_str());
        raw.batch_execute(&sql).await.unwrap();
        let title = raw.query_one("SELECT title FROM pages WHERE id = 'a'", &[]).await.unwrap().get(0);
        raw.batch_execute("RESET ROLE").await.unwrap();
        title
    };
    assert_eq!(title().await, "First");

    // What is further on is not taken over from; then it is, and both go on.
    let second = store.prepare(&pages(2)).await.unwrap();
    let mut new = Runner::of(&store, &second.of).await;
    new.put(4, vec![page(&pages(2), "a", "Second", 2)]).await;
    assert_eq!(store.take_over(&new.lease).await.unwrap(), TakenOver::Behind(Position::new(5).unwrap()));
    new.put(6, vec![page(&pages(2), "a", "Second!", 2)]).await;
    new.take_over().await;
    new.take_over().await;
    assert_eq!(title().await, "Second!");
    old.put(7, vec![page(&pages(1), "a", "First!", 1)]).await;
    assert_eq!(title().await, "Second!");
    let ask = async |number| store.ask(&ViewQuery::of(name("pages"), number, "pages")).await.unwrap();
    assert_eq!(ask(1).await.rows[0].text("title"), Some("First!"));
    assert_eq!(ask(2).await.rows[0].text("title"), Some("Second!"));
    assert_eq!(ask(3).await.of, second.of, "what serves answers for what is not there");

    // A build of the old number gets ready under another name, and the one before goes.
    let again = store.begin_build(&pages(1)).await.unwrap();
    assert_eq!(again.of.build, 2);
    let again = store.begin_build(&pages(1)).await.unwrap();
    assert_eq!((again.of.build, store.generations().await.unwrap().len()), (3, 3));
    let mut rebuilt = Runner::of(&store, &again.of).await;
    rebuilt.put(9, vec![page(&pages(1), "a", "Again", 1)]).await;
    rebuilt.take_over().await;
    assert_eq!(ask(1).await.rows[0].text("title"), Some("Again"));
    assert_eq!(title().await, "Second!");
    assert!(matches!(store.lease(&first.of, &holder(1), LONG).await, Err(ViewError::Unknown(_))));

    // Someone's own view on a table goes with it.
    raw.batch_execute("CREATE VIEW mine AS SELECT count(*) FROM pages").await.unwrap();
    store.discard(&second.of).await.unwrap();
    assert!(matches!(store.discard(&second.of).await, Err(ViewError::Unknown(_))));
    assert!(raw.query("SELECT title FROM pages", &[]).await.is_err());
    store.discard(&again.of).await.unwrap();
    let left = "SELECT relname::text FROM pg_class WHERE relnamespace = current_schema()::regnamespace
                AND (relname LIKE 'fd\\_view%' OR relname IN ('pages', 'mine'))";
    assert!(raw.query(left, &[]).await.unwrap().is_empty());
    assert!(matches!(store.ask(&ViewQuery::of(name("pages"), 1, "pages")).await, Err(ViewError::Unknown(_))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_name_that_is_taken_is_refused_and_a_plan_that_changed_too() {
    let schema = schema();
    let (store, raw) = (open(&schema).await, raw(&schema).await);
    store.prepare(&pages(1)).await.unwrap();
    let table = |name: &str| Table::named(name).key("id", Kind::Text);
    let changed = Plan::new("pages", 1, vec![table("pages")], "").unwrap();
    assert!(matches!(store.prepare(&changed).await, Err(ViewError::Changed { number: 1, .. })));
    for (view, own) in [("other", "pages"), ("other", "reports")] {
        raw.batch_execute("CREATE TABLE IF NOT EXISTS reports (a int)").await.unwrap();
        let plan = Plan::new(view, 1, vec![table(own)], "").unwrap();
        assert!(matches!(store.prepare(&plan).await, Err(ViewError::TableTaken { table }) if table == own));
        assert!(
            matches!(store.begin_build(&plan).await, Err(ViewError::TableTaken { table }) if table == own)
        );
    }
    let late = Plan::new("late", 1, vec![table("late")], "").unwrap();
    let state = store.prepare(&late).await.unwrap();
    raw.batch_execute("CREATE TABLE late (a int)").await.unwrap();
    let runner = Runner::of(&store, &state.of).await;
    let refused = store.take_over(&runner.lease).await;
    assert!(matches!(&refused, Err(ViewError::TableTaken { table }) if table == "late"), "{refused:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_nodes_that_prepare_at_once_make_it_once() {
    let schema = schema();
    let nodes = [open(&schema).await, open(&schema).await];
    let tasks: Vec<_> = (0..8)
        .map(|number| {
            let node = nodes[number % 2].clone();
            tokio::spawn(async move { node.prepare(&pages(1)).await.unwrap().of })
        })
        .collect();
    for task in tasks {
        assert_eq!(task.await.unwrap().build, 1);
    }
    assert_eq!(nodes[0].generations().await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_the_lease_or_the_place_changes_nothing() {
    let schema = schema();
    let (store, other) = (open(&schema).await, open(&schema).await);
    let of = store.prepare(&pages(1)).await.unwrap().of;
    let brief = Duration::from_millis(1);
    let late = store.lease(&of, &holder(1), brief).await.unwrap().unwrap();
    tokio::time::sleep(Duration::from_millis(20)).await;
    let row = |views| vec![page(&pages(1), "a", "A", views)];
    let work = |lease: &Lease, from: i64, to: i64, views: i64| {
        let changes =
            vec![TableChanges { table: Arc::clone(&pages(1).tables()[0]), put: row(views), gone: vec![] }];
        Work { lease: lease.clone(), from: at(from), to: at(to), changes }
    };
    store.apply(work(&late, 0, 1, 1)).await.unwrap();
    let lease = other.lease(&of, &holder(2), LONG).await.unwrap().unwrap();
    assert!(lease.token > late.token);
    assert_eq!(store.lease(&of, &holder(1), LONG).await.unwrap(), None);
    assert_eq!(other.lease(&of, &holder(2), LONG).await.unwrap(), Some(lease.clone()));
    let halt = Halt {
        kind: HaltKind::Poison,
        position: Position::new(2).unwrap(),
        event: None,
        error: "it is".into(),
    };
    assert!(matches!(store.apply(work(&late, 1, 2, 2)).await, Err(ViewError::Fenced)));
    assert!(matches!(store.halt(&late, &halt).await, Err(ViewError::Fenced)));
    assert!(matches!(store.take_over(&late).await, Err(ViewError::Fenced)));
    assert!(matches!(other.apply(work(&lease, 0, 2, 2)).await, Err(ViewError::Fenced)));
    let loaded = store.load(&of, vec![(0, vec!["a".into()].into())]).await.unwrap();
    assert_eq!(loaded[0].1.integer("views"), Some(1));

    other.halt(&lease, &halt).await.unwrap();
    let (second, third) = (Position::new(2).unwrap(), Position::new(3).unwrap());
    assert!(matches!(store.mark(&of, Mark::Skip(third)).await, Err(ViewError::NotHalted(_))));
    store.mark(&of, Mark::Pause).await.unwrap();
    store.mark(&of, Mark::Skip(second)).await.unwrap();
    assert!(matches!(store.mark(&of, Mark::Skip(second)).await, Err(ViewError::NotHalted(_))));
    store.want(std::slice::from_ref(&of)).await.unwrap();
    let state = &store.generations().await.unwrap()[0];
    assert_eq!((&state.skips, &state.halt, state.paused), (&vec![second], &None, true));
    assert_eq!((state.holder.clone(), state.unwanted_seconds), (Some(holder(2)), 0));
    assert_eq!(store.begin_build(&pages(1)).await.unwrap().skips, [second]);
    // The lease of a generation that was thrown away is none on the next of that name.
    let of = store.generations().await.unwrap()[0].of.clone();
    let gone = store.lease(&of, &holder(1), LONG).await.unwrap().unwrap();
    store.discard(&of).await.unwrap();
    assert!(matches!(store.apply(work(&gone, 0, 1, 1)).await, Err(ViewError::Unknown(_))));
    let mut again = store.prepare(&pages(1)).await.unwrap().of;
    store.lease(&again, &holder(3), LONG).await.unwrap().unwrap();
    again.build = 1;
    let stale = Lease { of: again, ..gone };
    assert!(matches!(store.apply(work(&stale, 0, 1, 1)).await, Err(ViewError::Fenced)));
    // And it is not given back by who had the one before.
    other.give_back(&lease).await.unwrap();
    assert_eq!(store.generations().await.unwrap()[0].holder, Some(holder(3)));
}

#[tokio::test(flavor = "multi_thread")]
async fn work_goes_on_behind_connections_that_were_lost() {
    let schema = schema();
    let url = format!("{}?application_name={}", flightdeck_test_postgres::shared().unwrap(), schema.as_str());
    let options = Options { schema: schema.clone(), ..Options::default() };
    let (store, raw) = (PostgresStore::open(&url, options).await.unwrap(), raw(&schema).await);
    let of = store.prepare(&pages(1)).await.unwrap().of;
    let mut runner = Runner::of(&store, &of).await;
    for position in 1..5 {
        runner.put(position, vec![page(&pages(1), "a", "A", position)]).await;
        let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = $1";
        raw.execute(sql, &[&schema.as_str()]).await.unwrap();
        // Whoever finds a connection lost is told so, and finds another.
        let mut tries = 0;
        while let Err(error) = store.load(&of, vec![(0, Box::from([]))]).await {
            tries += 1;
            assert!(error.retry_helps() && tries < 10, "{error:?}");
        }
    }
    // Whoever goes away in the middle leaves it whole.
    let rows = (0..5_000).map(|row| page(&pages(1), &format!("{row:04}"), "A", row)).collect();
    let changes = vec![TableChanges { table: Arc::clone(&pages(1).tables()[0]), put: rows, gone: vec![] }];
    let work = Work { lease: runner.lease.clone(), from: runner.now, to: at(5), changes };
    let applying = store.apply(work);
    assert!(tokio::time::timeout(Duration::from_millis(5), applying).await.is_err());
    // It waits for its turn behind that.
    assert_eq!(store.load(&of, vec![(0, Box::from([]))]).await.unwrap().len(), 5_001);
    assert_eq!(store.generations().await.unwrap()[0].checkpoint, at(5));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn who_asks_while_one_takes_over_sees_no_gap_and_no_step_back() {
    let schema = schema();
    let (store, other) = (open(&schema).await, open(&schema).await);
    let first = store.prepare(&pages(1)).await.unwrap();
    let mut runner = Runner::of(&store, &first.of).await;
    runner.put(1, vec![page(&pages(1), "a", "A", 1)]).await;
    runner.take_over().await;
    let done = Arc::new(AtomicBool::new(false));
    let asking: Vec<_> = (0..4)
        .map(|number| {
            let (node, done) =
                (if number % 2 == 0 { store.clone() } else { other.clone() }, Arc::clone(&done));
            tokio::spawn(async move {
                let (mut last, mut asked) = (Checkpoint::START, 0);
                while !done.load(Ordering::SeqCst) {
                    let page = node.ask(&ViewQuery::of(name("pages"), 1, "pages")).await.unwrap();
                    assert!(page.checkpoint.position >= last.position, "{page:?} after {last:?}");
                    // Rows and checkpoint are of one moment, and of one generation.
                    assert_eq!(page.rows[0].integer("views"), Some(page.checkpoint.position.get()));
                    assert_eq!(page.rows[0].text("title"), Some(&*"A".repeat(page.of.build as usize)));
                    (last, asked) = (page.checkpoint, asked + 1);
                }
                asked
            })
        })
        .collect();
    let mut position = 1;
    for build in 2..12 {
        let next = store.begin_build(&pages(1)).await.unwrap();
        let mut new = Runner::of(&other, &next.of).await;
        for _ in 0..3 {
            position += 1;
            runner.put(position, vec![page(&pages(1), "a", &"A".repeat(build - 1), position)]).await;
            new.put(position, vec![page(&pages(1), "a", &"A".repeat(build), position)]).await;
        }
        new.take_over().await;
        runner = new;
    }
    done.store(true, Ordering::SeqCst);
    for task in asking {
        let asked = task.await.unwrap();
        assert!(asked > 20, "{asked}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn work_goes_on_while_another_takes_over() {
    let schema = schema();
    let (store, other) = (open(&schema).await, open(&schema).await);
    let mut numbers = 1..;
    let first = store.prepare(&pages(numbers.next().unwrap())).await.unwrap();
    let runner = Runner::of(&store, &first.of).await;
    runner.take_over().await;
    let done = Arc::new(AtomicBool::new(false));
    let working = {
        let (store, lease, done) = (store.clone(), runner.lease.clone(), Arc::clone(&done));
        tokio::spawn(async move {
            let mut runner = Runner { store: &store, lease, now: Checkpoint::START };
            let mut position = 0;
            while !done.load(Ordering::SeqCst) {
                position += 1;
                let rows = (0..200).map(|row| page(&pages(1), &format!("{row:03}"), "old", position));
                runner.put(position, rows.collect()).await;
            }
            position
        })
    };
    for number in numbers.take(8) {
        let next = other.prepare(&pages(number)).await.unwrap();
        let mut new = Runner::of(&other, &next.of).await;
        new.put(1_000_000 + i64::from(number), vec![page(&pages(number), "a", "new", 0)]).await;
        new.take_over().await;
    }
    done.store(true, Ordering::SeqCst);
    let position = working.await.unwrap();
    let page = store.ask(&ViewQuery::of(name("pages"), 1, "pages")).await.unwrap();
    assert_eq!((page.checkpoint.position.get(), page.rows.len()), (position, 200));
    assert!(
        page.rows
            .iter()
            .all(|row| row.text("title") == Some("old") && row.integer("views") == Some(position))
    );
    let page = store.ask(&ViewQuery::of(name("pages"), 9, "pages")).await.unwrap();
    assert_eq!((page.rows.len(), page.rows[0].text("title")), (1, Some("new")));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_build_goes_in_at_once_and_words_find_it() {
    let schema = schema();
    let store = open(&schema).await;
    let of = store.prepare(&pages(1)).await.unwrap().of;
    let mut runner = Runner::of(&store, &of).await;
    let rows =
        (0..12_001).map(|row| page(&pages(1), &format!("{row:05}"), &format!("It's No {row} żółw's"), row));
    runner.put(1, rows.collect()).await;
    let long: String = (0..20_000).map(|word| format!("{word:064} ")).collect();
    runner.put(2, vec![page(&pages(1), "long", &long, 0)]).await;
    runner.take_over().await;
    let count = async |text: &str| {
        let query = ViewQuery::of(name("pages"), 1, "pages").text(text);
        store.ask(&query).await.unwrap().rows.len()
    };
    assert_eq!(count("4711").await, 1);
    assert_eq!(count("1200*").await, 2);
    assert_eq!(count("ŻÓŁW no 17").await, 1);
    assert_eq!(count("żół* s 1199*").await, 11);
    assert_eq!(count("nowhere").await, 0);
    assert_eq!(count(&format!("{:064}", 7)).await, 1);
    let (first, rest) = {
        let query = ViewQuery::of(name("pages"), 1, "pages").text("no");
        let first = store.ask(&query).await.unwrap();
        let rest = store.ask(&query.next(&first).unwrap()).await.unwrap();
        (first.rows, rest.rows)
    };
    assert_eq!((first.len(), rest[0].text("id")), (1_000, Some("01000")));
}

/// Numbers that are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % below
    }

    fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.roll(of.len())]
    }
}

const TEXTS: [&str; 9] = ["", "a", "A", "ab", "b c", "é", "e\u{301}", "zz-9", "\u{10ffff}"];

fn value(dice: &mut Dice, kind: Kind, nullable: bool) -> Value {
    if nullable && dice.roll(3) == 0 {
        return Value::Null;
    }
    match kind {
        Kind::Text => (*dice.pick(&TEXTS)).into(),
        Kind::Integer => (*dice.pick(&[i64::MIN, -1, 0, 1, i64::MAX])).into(),
        Kind::Boolean => (dice.roll(2) == 0).into(),
        Kind::Time => time(*dice.pick(&[-62_135_596_800_000_000, -1, 0, 1, 253_402_300_799_999_999])),
        Kind::List => {
            let length = dice.roll(4);
            Value::list((0..length).map(|_| *dice.pick(&TEXTS)).collect::<Vec<_>>())
        }
        Kind::Json => Value::Json((*dice.pick(&["{}", "[1, 2]", "null"])).into()),
    }
}

fn question(dice: &mut Dice, plan: &Plan) -> ViewQuery {
    let table = &plan.tables()[0];
    let mut query = ViewQuery::of(plan.view().clone(), 1, table.name());
    for _ in 0..dice.roll(3) {
        let column = dice.pick(table.columns());
        let scalar = !matches!(column.kind, Kind::List | Kind::Json);
        let zero = |dice: &mut Dice| match value(dice, column.kind, false) {
            Value::Text(text) if dice.roll(4) == 0 => format!("{text}\0x").into(),
            value => value,
        };
        let compare = match dice.roll(7) {
            0 if scalar => Compare::Equal(zero(dice)),
            1 if scalar => Compare::Less(zero(dice)),
            2 if scalar => Compare::More(zero(dice)),
            3 if scalar => Compare::OneOf((0..dice.roll(4)).map(|_| zero(dice)).collect()),
            4 => Compare::IsNull,
            5 if column.kind == Kind::List => Compare::Has((*dice.pick(&TEXTS)).to_owned()),
            _ => Compare::IsNotNull,
        };
        query = query.filter(&column.name, compare);
    }
    if dice.roll(4) == 0 {
        let words = ["a", "a*", "b c", "e*", "zz 9", "é", "nothing"];
        query = query.text(words[dice.roll(words.len())]);
    }
    for _ in 0..dice.roll(4) {
        let column = dice.pick(table.columns());
        let twice = query.sort.iter().any(|sort| sort.column == column.name);
        if !matches!(column.kind, Kind::List | Kind::Json) && !twice {
            query.sort.push(Sort { column: column.name.clone(), descending: dice.roll(2) == 0 });
        }
    }
    if dice.roll(4) == 0 {
        let patterns = [
            StreamPattern::Exact(StreamId::new("thing-ab").unwrap()),
            StreamPattern::Exact(StreamId::new("other-a").unwrap()),
            StreamPattern::Prefix("thing-a".into()),
            StreamPattern::Prefix("thing-z".into()),
            StreamPattern::Prefix("th".into()),
            StreamPattern::Category(Category::new("thing").unwrap()),
        ];
        query.streams = Some((0..dice.roll(3)).map(|_| dice.pick(&patterns).clone()).collect());
    }
    query.limit = Limit::new(1 + dice.roll(40)).unwrap();
    query
}

#[tokio::test(flavor = "multi_thread")]
async fn every_question_has_the_same_answer_as_in_memory() {
    let schema = schema();
    let (store, memory) = (open(&schema).await, MemoryViews::new());
    let table = Table::named("things")
        .key("id", Kind::Text)
        .key("part", Kind::Integer)
        .column("text", Kind::Text)
        .nullable("maybe_text", Kind::Text)
        .nullable("maybe_integer", Kind::Integer)
        .nullable("maybe_boolean", Kind::Boolean)
        .nullable("maybe_time", Kind::Time)
        .nullable("tags", Kind::List)
        .nullable("json", Kind::Json)
        .index(&["maybe_text"])
        .index(&["maybe_time", "text"])
        .search(&["text", "tags"])
        .of_stream("thing", "maybe_text");
    let plan = Plan::new("things", 1, vec![table], "").unwrap();
    let mut dice = Dice(20_240_607);
    let table = &plan.tables()[0];
    let mut rows: Vec<Row> = Vec::new();
    for number in 0..300_i64 {
        let mut values = vec![(*dice.pick(&TEXTS)).into(), number.into()];
        for column in &table.columns()[2..] {
            values.push(value(&mut dice, column.kind, column.nullable));
        }
        rows.push(Row::new(table, values).unwrap());
    }
    let stores: [&dyn ViewStore; 2] = [&store, &memory];
    for store in stores {
        let of = store.prepare(&plan).await.unwrap().of;
        let mut runner = Runner::of(store, &of).await;
        runner.put(1, rows.clone()).await;
        runner.take_over().await;
        runner.change(2, rows[..10].to_vec(), rows[290..].iter().map(|row| row.key().into()).collect()).await;
    }
    for _ in 0..400 {
        let mut query = question(&mut dice, &plan);
        for _ in 0..4 {
            let expected = memory.ask(&query).await.unwrap();
            let found = store.ask(&query).await.unwrap();
            assert_eq!(found, expected, "{query:?}");
            match query.next(&expected) {
                Some(next) => query = next,
                None => break,
            }
        }
    }
}
