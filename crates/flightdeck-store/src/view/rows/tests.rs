//! What a fold sees of the rows that are held, and what is left of one that fails.

use flightdeck_core::{
    EventType, Json, Metadata, Position, SchemaNumber, StreamId, Tags, Timestamp, Version,
};

use super::*;
use crate::chain::{Hash, sha256};
use crate::event::Data;
use crate::view::table::Kind;

/// A fold of one event: the rows it names, and what it does to them.
struct Does(Vec<Key>, fn(&mut Rows<'_>) -> Result<(), FoldError>);

impl Fold for Does {
    fn keys(&self, _: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(self.0.clone())
    }
    fn fold(&self, _: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        (self.1)(rows)
    }
}

fn event() -> Recorded {
    let position = Position::new(1).unwrap();
    Recorded {
        position,
        version: Version::after(None),
        stream: StreamId::new("page-1").unwrap(),
        id: "00000000-0000-7000-8000-000000000001".parse().unwrap(),
        event_type: EventType::new("PageViewed").unwrap(),
        schema: SchemaNumber::FIRST,
        data: Data::Json(Json::new("{}".to_owned(), 10).unwrap()),
        metadata: Metadata::default(),
        tags: Tags::NONE,
        recorded_at: Timestamp::from_micros(0).unwrap(),
        append_end: position,
        key: None,
        hash: Hash::from_bytes(sha256(b"1")),
    }
}

fn cache() -> Cache {
    let table =
        Table::named("rows").key("one", Kind::Text).key("two", Kind::Text).column("many", Kind::Integer);
    Cache::of(&Plan::new("rows", 1, vec![table], "").unwrap())
}

fn row(one: &str, two: &str) -> Key {
    Key::all_of("rows", [one.into(), two.into()])
}

/// Folds an event whose rows are loaded, and are not in the store.
fn fold(
    cache: &mut Cache,
    keys: Vec<Key>,
    does: fn(&mut Rows<'_>) -> Result<(), FoldError>,
) -> Result<(), FoldError> {
    let fold = Does(keys, does);
    let (keys, wanted) = cache.keys(&fold, &event())?;
    cache.take_in(wanted, vec![]);
    cache.fold(&fold, &event(), &keys)
}

fn put(rows: &mut Rows<'_>) -> Result<(), FoldError> {
    for key in rows.keys().iter().filter(|key| key.values.len() == 2) {
        rows.put("rows", [&key.values[..], &[1.into()]].concat())?;
    }
    Ok(())
}

/// Puts rows, and then looks which begin with `a`: they must be these.
#[track_caller]
fn check_beginning(cache: &mut Cache, keys: &[Key], second: &[&str]) {
    let keys: Vec<Key> = [&[Key::of("rows", "a")], keys].concat();
    let (_, wanted) = cache.keys(&Does(keys.clone(), put), &event()).unwrap();
    cache.take_in(wanted, vec![]);
    let known = keys.iter().map(|key| cache.look_up(key).unwrap()).collect();
    let mut rows = Rows { cache, keys: &keys, known, undo: Vec::new(), broke: None };
    put(&mut rows).unwrap();
    let found = rows.beginning("rows", &["a".into()]);
    let found: Vec<&str> = found.iter().filter_map(|row| row.text("two")).collect();
    assert_eq!(found, second);
}

#[test]
fn rows_that_begin_alike_are_found_in_order_whenever_they_came() {
    let mut cache = cache();
    fold(&mut cache, vec![row("a", "3"), row("b", "1"), row("a", "1")], put).unwrap();
    check_beginning(&mut cache, &[], &["1", "3"]);
    // From here on their order is kept.
    fold(&mut cache, vec![row("a", "2"), row("b", "2")], put).unwrap();
    check_beginning(&mut cache, &[row("a", "0")], &["0", "1", "2", "3"]);
    cache.clear();
    check_beginning(&mut cache, &[row("a", "5")], &["5"]);
}

#[test]
fn a_row_is_the_same_by_whichever_of_its_names_it_is_reached() {
    let mut cache = cache();
    cache.begin_empty();
    let keys = vec![row("a", "1"), row("a", "1"), Key::of("rows", "a")];
    fold(&mut cache, keys, |rows| {
        put(rows)?;
        let found = rows.find("rows", &["a".into(), "1".into()]).cloned();
        let mut row = found.ok_or_else(|| FoldError::new("it is not there"))?;
        row.set("many", 2)?;
        rows.put_row(row)
    })
    .unwrap();
    assert_eq!(cache.rows("rows")[0].integer("many"), Some(2));
    fold(&mut cache, vec![Key::of("rows", "a")], |rows| rows.put("rows", ["a".into(), "1".into(), 3.into()]))
        .unwrap();
    let rows = cache.rows("rows");
    assert_eq!((rows.len(), rows[0].integer("many")), (1, Some(3)));
    assert_eq!(cache.touched(), 1);
}

#[test]
fn what_a_fold_that_fails_has_put_is_taken_back() {
    let mut cache = cache();
    fold(&mut cache, vec![row("a", "1")], put).unwrap();
    let failed = fold(&mut cache, vec![row("a", "1"), row("a", "2")], |rows| {
        put(rows)?;
        rows.put("rows", ["a".into(), "1".into(), 7.into()])?;
        rows.put("rows", ["a".into(), "9".into(), 7.into()])
    });
    assert!(failed.unwrap_err().to_string().contains("do not name"), "a row that was not named");
    let rows = cache.rows("rows");
    assert_eq!((rows.len(), rows[0].integer("many")), (1, Some(1)));
}
