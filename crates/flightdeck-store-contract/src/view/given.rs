//! What the rules of views are made of: two plans, rows, whoever folds them, and questions that come to an end.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_store::chain::Hash;
use flightdeck_store::view::{
    Changes, Checkpoint, Generation, GenerationState, Halt, HaltKind, Holder, Kind, Lease, Plan, Row, Table,
    TableChanges, TakenOver, Value, ViewCursor, ViewError, ViewName, ViewPage, ViewQuery, ViewStore, Work,
};

use crate::given::{Store, id, position};
use crate::view::ViewSubject;

/// How many pages a question has at the most, and how often something is tended.
const TURNS_MAX: usize = 10_000;
/// Longer than any rule takes.
pub(crate) const LONG: Duration = Duration::from_secs(600);
/// What a rule can wait for.
pub(crate) const SHORT: Duration = Duration::from_millis(150);

/// A handle of the views under test.
pub(crate) type Views = Arc<dyn ViewStore>;
/// The cells of a row that hold something.
pub(crate) type Cells<'c> = &'c [(&'c str, Value)];

pub(crate) fn name(view: &str) -> ViewName {
    ViewName::new(view).unwrap()
}

pub(crate) fn generation(view: &str, number: u32, build: u32) -> Generation {
    Generation { view: name(view), number, build }
}

pub(crate) fn holder(number: u128) -> Holder {
    Holder::from_random(number)
}

/// A plan of two tables: one of the view's own name, with a column of every kind, and one of parts, with a key of two columns.
pub(crate) fn plan(view: &str, number: u32) -> Plan {
    reading(view, number, "everything")
}

/// The same plan, of other events.
pub(crate) fn reading(view: &str, number: u32, reads: &str) -> Plan {
    let things = Table::named(view)
        .key("id", Kind::Text)
        .nullable("number", Kind::Integer)
        .nullable("flag", Kind::Boolean)
        .nullable("moment", Kind::Time)
        .nullable("text", Kind::Text)
        .nullable("list", Kind::List)
        .nullable("json", Kind::Json)
        .nullable("body", Kind::Text);
    let things = things.index(&["number"]).index(&["text", "number"]).search(&["text", "list"]);
    let parts = Table::named(&format!("{view}_parts"))
        .key("group", Kind::Text)
        .key("order", Kind::Integer)
        .nullable("select", Kind::Text);
    Plan::new(view, number, vec![things.of_stream("page", "id"), parts], reads).unwrap()
}

/// A row of a plan's first table: nothing in it but the key and these cells.
pub(crate) fn thing(plan: &Plan, id: &str, cells: Cells<'_>) -> Row {
    let table = &plan.tables()[0];
    let mut values = vec![Value::Null; table.columns().len()];
    values[0] = id.into();
    let mut row = Row::new(table, values).unwrap();
    for (column, value) in cells {
        row.set(column, value.clone()).unwrap();
    }
    row
}

/// A row of a plan's second table.
pub(crate) fn part(plan: &Plan, group: &str, order: i64, select: &str) -> Row {
    Row::new(&plan.tables()[1], [group.into(), order.into(), select.into()]).unwrap()
}

/// A checkpoint at that position, where there was an event to fold.
pub(crate) fn checkpoint(at: i64) -> Checkpoint {
    let hash = Hash::from_bytes([at.to_le_bytes()[0]; 32]);
    Checkpoint { position: position(at), folded: Some((position(at), hash)) }
}

/// A halt before the event at that position.
pub(crate) fn halt(kind: HaltKind, at: i64) -> Halt {
    Halt {
        kind,
        position: position(at),
        event: Some(id(7)),
        error: "it can't be \"folded\"\nat all".to_owned(),
    }
}

/// Takes the lease, which nobody has.
pub(crate) async fn lease(views: &Views, of: &Generation, by: u128) -> Lease {
    views.lease(of, &holder(by), LONG).await.unwrap().expect("nobody has the lease")
}

/// A generation, and whoever folds it.
pub(crate) struct Folder {
    pub(crate) views: Views,
    pub(crate) plan: Plan,
    pub(crate) lease: Lease,
    pub(crate) at: Checkpoint,
}

impl Folder {
    /// Of the first build of a plan, or the newest there is.
    pub(crate) async fn first(views: &Views, plan: &Plan) -> Self {
        Self::of(views, plan, views.prepare(plan).await.unwrap()).await
    }

    /// Of a further build.
    pub(crate) async fn again(views: &Views, plan: &Plan) -> Self {
        Self::of(views, plan, views.begin_build(plan).await.unwrap()).await
    }

    async fn of(views: &Views, plan: &Plan, state: GenerationState) -> Self {
        let lease = lease(views, &state.of, 1).await;
        Self { views: Arc::clone(views), plan: plan.clone(), lease, at: state.checkpoint }
    }

    /// The same generation in other hands.
    pub(crate) async fn handed_to(&self, by: u128) -> Self {
        self.views.give_back(&self.lease).await.unwrap();
        let lease = lease(&self.views, self.generation(), by).await;
        Self { views: Arc::clone(&self.views), plan: self.plan.clone(), lease, at: self.at }
    }

    pub(crate) const fn generation(&self) -> &Generation {
        &self.lease.of
    }

    pub(crate) fn thing(&self, id: &str, cells: Cells<'_>) -> Row {
        thing(&self.plan, id, cells)
    }

    pub(crate) fn part(&self, group: &str, order: i64, select: &str) -> Row {
        part(&self.plan, group, order, select)
    }

    /// Work up to a position, by which these rows are put and those are gone.
    pub(crate) fn work(&self, to: i64, put: &[Row], gone: &[Row]) -> Work {
        let mut changes = Changes::new();
        for table in self.plan.tables() {
            let of = |row: &&Row| row.table() == table;
            let mut put: Vec<Row> = put.iter().filter(of).cloned().collect();
            put.sort_by(|one, other| one.key().cmp(other.key()));
            let mut gone: Vec<Box<[Value]>> = gone.iter().filter(of).map(|row| row.key().into()).collect();
            gone.sort();
            if !put.is_empty() || !gone.is_empty() {
                changes.push(TableChanges { table: Arc::clone(table), put, gone });
            }
        }
        Work { lease: self.lease.clone(), from: self.at, to: checkpoint(to), changes }
    }

    /// Folds so far, by which these rows are put and those are gone.
    pub(crate) async fn fold(&mut self, to: i64, put: &[Row], gone: &[Row]) {
        let work = self.work(to, put, gone);
        self.at = work.to;
        self.views.apply(work).await.expect("the work is taken");
    }

    fn next(&self) -> i64 {
        self.at.position.get() + 1
    }

    /// Folds an event by which these rows are put.
    pub(crate) async fn put(&mut self, rows: &[Row]) {
        self.fold(self.next(), rows, &[]).await;
    }

    /// Folds an event by which these rows are gone.
    pub(crate) async fn remove(&mut self, rows: &[Row]) {
        self.fold(self.next(), &[], rows).await;
    }

    /// Makes the generation ready, which must not be put off.
    pub(crate) async fn take_over(&self) {
        assert_eq!(self.views.take_over(&self.lease).await.unwrap(), TakenOver::Done);
    }

    /// Does whatever the store has put off.
    pub(crate) async fn tend(&self) {
        for _ in 0..TURNS_MAX {
            if !self.views.tend(&self.lease).await.unwrap() {
                return;
            }
        }
        panic!("after {TURNS_MAX} turns there is still something to tend");
    }

    pub(crate) async fn state(&self) -> GenerationState {
        state(&self.views, self.generation()).await.expect("the generation is there")
    }

    /// Rows of the first table by their ids, as they are loaded for a fold.
    pub(crate) async fn loaded(&self, ids: &[&str]) -> Vec<Row> {
        self.load(ids.iter().map(|id| (0, vec![Value::from(*id)])).collect()).await
    }

    /// Rows by the places of their tables and their keys, in the order of tables and keys.
    pub(crate) async fn load(&self, keys: Vec<(usize, Vec<Value>)>) -> Vec<Row> {
        let keys = keys.into_iter().map(|(place, key)| (place, key.into())).collect();
        let mut rows = self.views.load(self.generation(), keys).await.unwrap();
        for (place, row) in &rows {
            assert_eq!(row.table(), &self.plan.tables()[*place], "a row has the table of its place");
        }
        rows.sort_by(|(place, row), (other_place, other)| {
            (place, row.key()).cmp(&(other_place, other.key()))
        });
        rows.into_iter().map(|(_, row)| row).collect()
    }
}

/// A view that serves, folded up to position 1, with these rows.
pub(crate) async fn serving(views: &Views, plan: &Plan, rows: &[(&str, Cells<'_>)]) -> Folder {
    let mut folder = Folder::first(views, plan).await;
    let rows: Vec<Row> = rows.iter().map(|(id, cells)| folder.thing(id, cells)).collect();
    folder.put(&rows).await;
    folder.take_over().await;
    folder
}

/// What is known of every generation; how long it was not wanted is no matter.
pub(crate) async fn states(views: &Views) -> Vec<GenerationState> {
    let timeless = |state| GenerationState { unwanted_seconds: 0, ..state };
    views.generations().await.unwrap().into_iter().map(timeless).collect()
}

pub(crate) async fn state(views: &Views, of: &Generation) -> Option<GenerationState> {
    states(views).await.into_iter().find(|state| state.of == *of)
}

/// Every row of a view's first table, by number 1.
pub(crate) fn of(view: &str) -> ViewQuery {
    ViewQuery::of(name(view), 1, view)
}

pub(crate) async fn ask(views: &Views, query: &ViewQuery) -> ViewPage {
    views.ask(query).await.expect("the question is answered")
}

pub(crate) async fn refusal(views: &Views, query: &ViewQuery) -> ViewError {
    views.ask(query).await.expect_err("a question that must be refused was answered")
}

/// All pages of a question, end to end; their ends are handed out as text and read again.
pub(crate) async fn whole(views: &Views, mut query: ViewQuery) -> Vec<Row> {
    let mut rows = Vec::new();
    for _ in 0..TURNS_MAX {
        let page = ask(views, &query).await;
        assert!(page.rows.len() <= query.limit.get(), "a page has more rows than its limit");
        let next = query.next(&page);
        rows.extend(page.rows);
        match next {
            Some(next) => query = next,
            None => return rows,
        }
        query.after = query.after.map(|after| ViewCursor::from_text(&after.to_text()).unwrap());
    }
    panic!("after {TURNS_MAX} pages the answer has not come to its end");
}

/// The ids of all rows that answer a question, in their order.
pub(crate) async fn ids(views: &Views, query: ViewQuery) -> Vec<String> {
    ids_of(&whole(views, query).await)
}

pub(crate) fn ids_of(rows: &[Row]) -> Vec<String> {
    rows.iter().map(|row| row.text("id").unwrap().to_owned()).collect()
}

/// The numbers in rows.
pub(crate) fn numbers(rows: &[Row]) -> Vec<Option<i64>> {
    rows.iter().map(|row| row.integer("number")).collect()
}

pub(crate) fn at(checkpoint: &Checkpoint) -> i64 {
    checkpoint.position.get()
}

/// A moment so many microseconds after 1970 began.
pub(crate) fn moment(micros: i64) -> Value {
    flightdeck_core::Timestamp::from_micros(micros).unwrap().into()
}

pub(crate) fn lists(items: &[&str]) -> Value {
    Value::list(items)
}

pub(crate) fn json(text: &str) -> Value {
    Value::json(&crate::given::json(text.to_owned()))
}

/// Closes log and views by dropping their last handles, and opens them again.
pub(crate) async fn reopen(subject: &dyn ViewSubject, store: Store, views: Views) -> (Store, Views) {
    drop((store, views));
    subject.open().await
}
