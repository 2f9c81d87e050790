//! A view of several tables over a random history, and random questions to it.

use std::sync::atomic::{AtomicU64, Ordering};

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::view::{Compare, FoldError, Key, Kind, Rows, Table, Value, ViewQuery};
use flightdeck_store::{Limit, NewEvent, Recorded, StreamPattern};
use serde_json::Value as Data;

use crate::ground::name;

/// Books, the marks on each, and how many things happened to any.
pub(crate) struct Shelves;

fn text<'d>(data: &'d Data, member: &str) -> Result<&'d str, FoldError> {
    data[member].as_str().ok_or_else(|| FoldError::new(format!("there is no {member}")))
}

impl Projection for Shelves {
    fn name(&self) -> &'static str {
        "shelves"
    }
    fn reads(&self) -> Reads {
        Reads::types(["Added", "Renamed", "Lent", "Marked", "Lost", "Spoilt"]).in_category("book")
    }
    fn tables(&self) -> Vec<Table> {
        let books = Table::named("books").key("id", Kind::Text).column("title", Kind::Text);
        let books = books.column("tags", Kind::List).nullable("pages", Kind::Integer);
        let books = books.column("lent", Kind::Boolean).column("at", Kind::Time).index(&["pages", "at"]);
        let marks = Table::named("marks").key("id", Kind::Text).key("mark", Kind::Integer);
        let marks = marks.column("note", Kind::Text).search(&["note"]);
        let totals = Table::named("totals").key("what", Kind::Text).column("count", Kind::Integer);
        vec![books.search(&["title", "tags"]).of_stream("book", "id"), marks, totals]
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let (id, what) = (id(event), event.event_type.as_str());
        Ok(vec![Key::of("books", id), Key::of("marks", id), Key::of("totals", what)])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let (id, what) = (id(event), event.event_type.as_str());
        let data: Data = serde_json::from_slice(event.data_bytes())?;
        let count = rows.get("totals", what).and_then(|row| row.integer("count")).unwrap_or(0);
        rows.put("totals", [what.into(), (count + 1).into()])?;
        match what {
            "Added" => {
                let tags = data["tags"].as_array().into_iter().flatten().filter_map(Data::as_str);
                let tags = Value::List(tags.map(Into::into).collect::<Vec<_>>().into());
                let pages = data["pages"].as_i64().map_or(Value::Null, Value::from);
                let title = text(&data, "title")?;
                rows.put(
                    "books",
                    [id.into(), title.into(), tags, pages, false.into(), event.recorded_at.into()],
                )
            }
            "Renamed" => rows.change("books", id, |row| row.set("title", text(&data, "title")?)),
            "Lent" => rows.change("books", id, |row| {
                let lent = *row.get("lent") == Value::from(true);
                row.set("lent", !lent)
            }),
            "Marked" => {
                let next = rows.beginning("marks", &[id.into()]).len() as i64;
                rows.put("marks", [id.into(), next.into(), text(&data, "title")?.into()])
            }
            "Lost" => {
                rows.remove("books", id)?;
                let marks = rows.beginning("marks", &[id.into()]);
                marks.iter().try_for_each(|row| rows.remove_row(row))
            }
            _ => Err(FoldError::new("it is spoilt")),
        }
    }
}

fn id(event: &Recorded) -> &str {
    event.stream.as_str().trim_start_matches("book-")
}

/// Chance that comes again by its seed.
pub(crate) struct Chance(AtomicU64);

const WORDS: [&str; 8] = ["apple", "pear", "plum", "Plumage", "cherry", "fig", "lemon", "melon"];

impl Chance {
    pub(crate) const fn of(seed: u64) -> Self {
        Self(AtomicU64::new(seed))
    }

    /// A number below `most`.
    pub(crate) fn below(&self, most: u64) -> u64 {
        let mut one = self.0.load(Ordering::SeqCst).wrapping_add(0x9E37_79B9_7F4A_7C15);
        self.0.store(one, Ordering::SeqCst);
        one = (one ^ (one >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        one = (one ^ (one >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (one ^ (one >> 31)) % most
    }

    fn word(&self) -> &'static str {
        WORDS[usize::try_from(self.below(8)).unwrap()]
    }

    /// An event that can be folded, or that is not read at all.
    pub(crate) fn event(&self) -> NewEvent {
        let stream =
            format!("{}-{:02}", ["book", "book", "book", "page"][self.below(4) as usize], self.below(40));
        let what = ["Added", "Added", "Renamed", "Lent", "Marked", "Marked", "Lost", "Noise"]
            [self.below(8) as usize];
        let title = format!("{} {} {}", self.word(), self.word(), self.below(5));
        let mut data = serde_json::json!({ "title": title, "tags": [self.word(), self.word()] });
        if self.below(3) > 0 {
            data["pages"] = self.below(6).into();
        }
        event(&stream, what, &data.to_string())
    }

    /// A question: some table, some conditions, some words, some order, some rights, some limit.
    pub(crate) fn question(&self) -> ViewQuery {
        let of = |table| ViewQuery::of(name("shelves"), 1, table);
        let mut query = match self.below(8) {
            0 => return of("totals"),
            1 | 2 => of("marks"),
            _ => of("books"),
        };
        let books = query.table == "books";
        let number = || Value::from(i64::try_from(self.below(6)).unwrap());
        match self.below(7) {
            0 if books => query = query.filter("pages", Compare::More(number())),
            1 if books => query = query.filter("tags", Compare::Has(self.word().to_owned())),
            2 if books => query = query.filter("lent", Compare::Equal(true.into())),
            3 if books => query = query.filter("pages", Compare::IsNull),
            4 => query = query.filter("id", Compare::More(format!("{:02}", self.below(40)).into())),
            5 if !books => query = query.filter("mark", Compare::OneOf(vec![number(), number()])),
            _ => {}
        }
        match self.below(5) {
            0 => query = query.text(self.word()),
            1 => query = query.text("plum*"),
            _ => {}
        }
        let down = self.below(2) == 0;
        match self.below(5) {
            0 if books => query = query.sorted("pages", down).sorted("title", !down),
            1 if books => query = query.sorted("lent", down).sorted("at", down),
            2 if !books => query = query.sorted("note", down),
            _ => {}
        }
        if self.below(6) == 0 {
            let begin = format!("book-{}", self.below(4)).into();
            query.streams = Some(vec![StreamPattern::Prefix(begin)]);
        }
        let limit = [1, 2, 3, 5, 10, 1_000][self.below(6) as usize];
        ViewQuery { limit: Limit::new(limit).unwrap(), ..query }
    }
}

pub(crate) fn event(stream: &str, what: &str, data: &str) -> NewEvent {
    let (stream, what) = (StreamId::new(stream).unwrap(), EventType::new(what).unwrap());
    NewEvent::new(stream, what, Json::new(data.to_owned(), 1 << 16).unwrap())
}
