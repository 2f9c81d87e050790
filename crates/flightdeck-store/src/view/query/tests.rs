//! Answers in memory: what is chosen, sorted and cut is what the plain way would give, for less.

use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::Position;

use super::{Compare, ViewCursor, ViewPage, ViewQuery};
use crate::read::{Limit, StreamPattern};
use crate::view::generation::{Checkpoint, Generation};
use crate::view::search::words_of;
use crate::view::table::{Kind, Plan, Table, ViewName};
use crate::view::value::{Row, Value};

fn table() -> Arc<Table> {
    let table = Table::named("things").key("shelf", Kind::Integer).key("id", Kind::Text);
    let table = table.nullable("number", Kind::Integer).column("text", Kind::Text).search(&["text"]);
    Arc::clone(&Plan::new("things", 1, vec![table.of_stream("thing", "id")], "").unwrap().tables()[0])
}

/// Rows of which many are alike, in an order of no meaning.
fn rows(table: &Arc<Table>, many: i64, text: &str) -> Vec<Row> {
    let row = |at: i64| {
        let at = at * 7_919 % many;
        let number = if at % 5 == 0 { Value::Null } else { (at % 4).into() };
        let text = format!("{text} word{}", at % 3);
        Row::new(table, [(at % 2).into(), format!("{at:04}").into(), number, text.into()]).unwrap()
    };
    (0..many).map(row).collect()
}

fn of() -> ViewQuery {
    ViewQuery::of(ViewName::new("things").unwrap(), 1, "things")
}

fn generation() -> Generation {
    Generation { view: ViewName::new("things").unwrap(), number: 1, build: 0 }
}

/// The page that sorting everything and cutting it gives.
fn plainly(query: &ViewQuery, rows: &[Row], order: &[(&str, bool)]) -> ViewPage {
    let before = |one: &Row, other: &Row| {
        let of = |(column, descending): &(&str, bool)| match descending {
            true => other.get(column).cmp(one.get(column)),
            false => one.get(column).cmp(other.get(column)),
        };
        order.iter().map(of).find(|order| order.is_ne()).unwrap_or(std::cmp::Ordering::Equal)
    };
    let mut sorted = rows.to_vec();
    sorted.sort_by(before);
    let at = query
        .after
        .as_ref()
        .map_or(0, |after| sorted.iter().position(|row| ViewCursor::of(row, order) == *after).unwrap() + 1);
    ViewPage::cut(sorted.split_off(at), query.limit, order, Checkpoint::START, generation())
}

#[test]
fn a_page_is_the_part_of_all_rows_in_their_order_that_was_asked_for() {
    let table = table();
    let rows = rows(&table, 60, "a");
    let orders: [&[(&str, bool)]; 6] = [
        &[],
        &[("number", false)],
        &[("number", true)],
        &[("text", true), ("number", false)],
        &[("text", false), ("number", true), ("id", false)],
        &[("shelf", true)],
    ];
    for sorts in orders {
        for limit in [1, 2, 7, 59, 60, 61] {
            let query = sorts.iter().fold(of(), |query, (column, down)| query.sorted(column, *down));
            let mut query = Some(ViewQuery { limit: Limit::new(limit).unwrap(), ..query });
            let mut seen = 0;
            while let Some(asked) = query {
                let order = asked.check(&table).unwrap();
                let page = asked.page(rows.clone(), &order, Checkpoint::START, generation());
                assert_eq!(page, plainly(&asked, &rows, &order), "{sorts:?}, {limit} behind {seen}");
                seen += page.rows.len();
                query = asked.next(&page);
            }
            assert_eq!(seen, 60);
        }
    }
    let none =
        of().page(Vec::new(), &[], Checkpoint { position: Position::START, folded: None }, generation());
    assert_eq!((none.rows.len(), none.next), (0, None));
}

#[test]
fn what_is_selected_is_what_matches() {
    let table = table();
    let only = |begin: &str| ViewQuery { streams: Some(vec![StreamPattern::Prefix(begin.into())]), ..of() };
    let queries = [
        of(),
        of().text("word1"),
        of().text("wor* a"),
        of().text("nothing"),
        of().filter("number", Compare::IsNull),
        of().filter("number", Compare::More(1.into())).text("word2"),
        of().filter("shelf", Compare::OneOf(vec![0.into(), 9.into()])),
        only(""),
        only("thing-000"),
        only("other-"),
    ];
    for query in queries {
        let selects = query.selects(&table);
        for row in rows(&table, 60, "a") {
            let words = words_of(&table, &row);
            assert_eq!(selects(&row), query.matches(&row, words.as_deref()), "{query:?}: {row:?}");
        }
    }
}

#[test]
fn texts_are_cut_into_words_only_when_words_are_asked_for_and_of_rows_that_pass_all_else() {
    let table = table();
    let rows = rows(&table, 200, &"some words of a long text ".repeat(400));
    let time = |query: &ViewQuery| {
        let (begun, selects) = (Instant::now(), query.selects(&table));
        let found = rows.iter().filter(|row| selects(row)).count();
        (begun.elapsed().max(Duration::from_micros(1)), found)
    };
    let (searched, all) = time(&of().text("some"));
    let (plain, also) = time(&of());
    let (few, one) = time(&of().filter("id", Compare::Equal("0007".into())).text("some"));
    assert_eq!((all, also, one), (200, 200, 1));
    assert!(plain * 20 < searched, "{plain:?} without words, {searched:?} with words");
    assert!(few * 20 < searched, "{few:?} for one row, {searched:?} for all");
}
