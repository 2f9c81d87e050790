//! The simplest view: a table with a row for each thing of an aggregate.

use std::marker::PhantomData;

use flightdeck_core::{Decider, StoredEvents};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, Key, Kind, Row, Rows, Table, Value};

use crate::projection::{Projection, Reads};

/// Makes a row of what happened and of the row before: the values behind the `id`, or `None` when the row goes.
type RowOf<E> = fn(&E, Option<&Row>) -> Option<Vec<Value>>;

/// A view with one table, in which each thing of an aggregate has a row. Its key is the `id`: the thing's stream without its category.
///
/// What needs more than that (several tables, rows that are about several things) is a [`Projection`] of its own.
///
/// ```
/// use flightdeck_core::{Decider, StoredEvents, StoredType};
/// use flightdeck_projections::Things;
/// use flightdeck_projections::kit::Kit;
/// use flightdeck_store::view::Kind;
/// # use serde::{Deserialize, Serialize};
///
/// # #[derive(Serialize, Deserialize)]
/// # #[serde(tag = "eventType", content = "data")]
/// # enum Event { Lent { to: String }, Returned {} }
/// # impl StoredEvents for Event {
/// #     const TYPES: &'static [StoredType] = &[StoredType::new("Lent"), StoredType::new("Returned")];
/// # }
/// # struct Book;
/// # impl Decider for Book {
/// #     const CATEGORY: &'static str = "book";
/// #     type Command = ();
/// #     type Event = Event;
/// #     type State = ();
/// #     type Error = ();
/// #     fn initial() {}
/// #     fn evolve((): (), _: &Event) {}
/// #     fn decide((): &(), (): ()) -> Result<Vec<Event>, ()> { Ok(Vec::new()) }
/// # }
/// let loans = Things::<Book>::named("loans").column("reader", Kind::Text).column("times", Kind::Integer);
/// let mut kit = Kit::of(loans.folded(|event, before| match event {
///     Event::Lent { to } => {
///         let times = before.and_then(|row| row.integer("times")).unwrap_or(0);
///         Some(vec![to.as_str().into(), (times + 1).into()])
///     }
///     Event::Returned {} => None,
/// }));
/// kit.emit("book-1", &Event::Lent { to: "ada".to_owned() }).emit("book-2", &Event::Lent { to: "bob".to_owned() });
/// assert_eq!(kit.row("loans", "2").unwrap().text("reader"), Some("bob"));
/// kit.emit("book-2", &Event::Returned {});
/// kit.emit_gone("book-1", "Returned", 1);
/// assert_eq!(kit.row("loans", "1").unwrap().integer("times"), Some(1));
/// assert_eq!(kit.rows("loans").len(), 1);
/// ```
pub struct Things<D> {
    name: &'static str,
    number: u32,
    table: Table,
    of: PhantomData<fn() -> D>,
}

impl<D: Decider<Event: StoredEvents> + 'static> Things<D> {
    /// A view of that name, with a table of that name.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        let table = Table::named(name).key("id", Kind::Text).of_stream(D::CATEGORY, "id");
        Self { name, number: 1, table, of: PhantomData }
    }

    /// The same view under that number: whatever changes what is kept or folded takes the next one.
    #[must_use]
    pub fn number(self, number: u32) -> Self {
        Self { number, ..self }
    }

    /// The same view with a column more.
    #[must_use]
    pub fn column(self, name: &str, kind: Kind) -> Self {
        Self { table: self.table.column(name, kind), ..self }
    }

    /// The same view with a column more whose cells may hold nothing.
    #[must_use]
    pub fn nullable(self, name: &str, kind: Kind) -> Self {
        Self { table: self.table.nullable(name, kind), ..self }
    }

    /// The same view with an index over these columns.
    #[must_use]
    pub fn index(self, columns: &[&str]) -> Self {
        Self { table: self.table.index(columns), ..self }
    }

    /// The view, with its fold: from what happened, and the row of the thing if there is one, to the values of the columns in their order;
    /// `None` takes the row away. An event whose data is gone changes nothing.
    #[must_use]
    pub fn folded(self, row: fn(&D::Event, Option<&Row>) -> Option<Vec<Value>>) -> impl Projection {
        Folded { things: self, row }
    }
}

/// The same with its fold.
struct Folded<D: Decider> {
    things: Things<D>,
    row: RowOf<D::Event>,
}

impl<D: Decider<Event: StoredEvents> + 'static> Projection for Folded<D> {
    fn name(&self) -> &'static str {
        self.things.name
    }

    fn number(&self) -> u32 {
        self.things.number
    }

    fn reads(&self) -> Reads {
        Reads::events_of::<D>()
    }

    fn tables(&self) -> Vec<Table> {
        vec![self.things.table.clone()]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of(self.things.name, id(event)?)])
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let (table, id) = (self.things.name, id(event)?);
        let Some(data) = event.data.json() else { return Ok(()) };
        let happened = D::Event::from_stored(event.event_type.as_str(), event.schema, data.as_bytes())?;
        let Some(happened) = happened else { return Ok(()) };
        let now = (self.row)(&happened, rows.get(table, id));
        match now {
            Some(values) => {
                let row: Vec<Value> = std::iter::once(Value::from(id)).chain(values).collect();
                rows.put(table, row)
            }
            None => rows.remove(table, id),
        }
    }
}

/// What names the thing that an event is about.
fn id(event: &Recorded) -> Result<&str, FoldError> {
    let id = event.stream.as_str().split_once('-').map(|(_, id)| id);
    id.ok_or_else(|| FoldError::new(format!("{} is the stream of no thing with an id", event.stream)))
}
