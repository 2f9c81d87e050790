//! Asking: which generation answers, in which pages, and what is refused.

use flightdeck_store::view::{
    Compare, InvalidQuery, Row, Term, Value, ViewCursor, ViewError, ViewPage, ViewQuery,
};

use crate::given::limit;
use crate::view::ViewSubject;
use crate::view::given::{
    Folder, Views, ask, checkpoint, generation, ids, ids_of, json, lists, moment, name, numbers, of, plan,
    refusal, serving, whole,
};

fn numbered(number: u32) -> ViewQuery {
    ViewQuery { number, ..of("shelf") }
}

/// Twenty rows with nothing, the same, and different things in their columns.
fn rows(folder: &Folder) -> Vec<Row> {
    let row = |number: i64| {
        let some = |value: Value, every| if number % every == 0 { Value::Null } else { value };
        let cells = [
            ("number", some((number % 4 - 2).into(), 5)),
            ("flag", some((number % 2 == 0).into(), 3)),
            ("moment", some(moment(number / 3 - 2), 7)),
            ("text", some(["b", "a", "", "é", "Z", "aa"][usize::try_from(number % 6).unwrap()].into(), 4)),
        ];
        folder.thing(&format!("{:02}", (number * 7) % 20), &cells)
    };
    (0..20).map(row).collect()
}

async fn twenty(views: &Views) -> (Folder, Vec<Row>) {
    let mut folder = serving(views, &plan("shelf", 1), &[]).await;
    let rows = rows(&folder);
    folder.put(&rows).await;
    (folder, rows)
}

/// The number asked for answers when it is ready, whichever serves.
pub(crate) async fn is_answered_by_the_number_asked_for(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for (number, id) in [(1, "one"), (2, "two"), (3, "three")] {
        serving(&views, &plan("shelf", number), &[(id, &[])]).await;
    }
    for (number, id) in [(1, "one"), (2, "two"), (3, "three")] {
        let page = ask(&views, &numbered(number)).await;
        assert_eq!((ids_of(&page.rows), page.of), (vec![id.to_owned()], generation("shelf", number, 1)));
    }
}

/// While the number asked for is not ready, or not there, the one that serves answers.
pub(crate) async fn is_answered_by_what_serves_before_its_number_is_ready(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for (number, id) in [(1, "one"), (2, "two")] {
        serving(&views, &plan("shelf", number), &[(id, &[])]).await;
    }
    let mut building = Folder::first(&views, &plan("shelf", 3)).await;
    building.put(&[building.thing("three", &[])]).await;
    for number in [3, 7] {
        let page = ask(&views, &numbered(number)).await;
        assert_eq!((ids_of(&page.rows), page.of), (vec!["two".to_owned()], generation("shelf", 2, 1)));
    }
}

/// A view of which no generation has ever been ready is refused as not ready, whatever it has folded.
pub(crate) async fn of_what_is_not_ready_is_refused(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    folder.put(&[folder.thing("a", &[])]).await;
    for number in [1, 2] {
        let refused = refusal(&views, &numbered(number)).await;
        assert!(matches!(&refused, ViewError::NotReady(view) if *view == name("shelf")), "{refused:?}");
        assert!(refused.retry_helps());
    }
}

/// A view that was never made is refused as unknown.
pub(crate) async fn of_an_unknown_view_is_refused(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[]).await;
    let unknown = ViewQuery::of(name("stall"), 1, "shelf");
    let refused = refusal(&views, &unknown).await;
    assert!(matches!(refused, ViewError::Unknown(_)), "{refused:?}");
}

/// An answer says how far the view was folded, and which generation it is of.
pub(crate) async fn says_how_far_and_by_which_generation(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    for to in [2, 40, 41] {
        folder.fold(to, &[], &[]).await;
        let expected =
            ViewPage { rows: vec![], next: None, checkpoint: checkpoint(to), of: generation("shelf", 1, 1) };
        assert_eq!(ask(&views, &of("shelf")).await, expected);
    }
}

/// Each table of a view is asked by itself.
pub(crate) async fn is_about_one_table(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let parts = [folder.part("a", 1, "one"), folder.part("a", 2, "two")];
    folder.put(&parts).await;
    assert_eq!(whole(&views, of("shelf")).await, [folder.thing("a", &[])]);
    let query = ViewQuery::of(name("shelf"), 1, "shelf_parts");
    assert_eq!(whole(&views, query.clone()).await, parts);
    let ordered = query.filter("order", Compare::More(1.into())).sorted("select", true);
    assert_eq!(whole(&views, ordered).await, parts[1..]);
}

/// A page holds at most as many rows as the limit says, and says where to go on exactly when there is more.
pub(crate) async fn has_pages_of_the_limit(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    twenty(&views).await;
    for (most, rows, more) in
        [(1, 1, true), (19, 19, true), (20, 20, false), (21, 20, false), (1_000, 20, false)]
    {
        let page = ask(&views, &ViewQuery { limit: limit(most), ..of("shelf") }).await;
        assert_eq!((page.rows.len(), page.next.is_some()), (rows, more), "of a limit of {most}");
    }
}

/// Pages of any size, end to end, are the whole answer, in every order.
pub(crate) async fn comes_whole_in_pages_of_any_size(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    twenty(&views).await;
    let columns = ["id", "number", "flag", "moment", "text"];
    let by_one = columns.iter().flat_map(|column| [false, true].map(|falling| vec![(*column, falling)]));
    let by_several = [
        vec![],
        vec![("flag", false), ("number", true)],
        vec![("text", true), ("flag", true), ("number", false)],
        vec![("flag", true), ("id", true)],
        vec![("number", false), ("flag", false), ("moment", true), ("text", true)],
    ];
    for order in by_one.chain(by_several) {
        let sorted = |query: ViewQuery, (column, falling): &(&str, bool)| query.sorted(column, *falling);
        let query = order.iter().fold(of("shelf"), sorted);
        let all = ids_of(&ask(&views, &query).await.rows);
        assert_eq!(all.len(), 20);
        for size in [1, 3, 7] {
            let paged = ids(&views, ViewQuery { limit: limit(size), ..query.clone() }).await;
            assert_eq!(paged, all, "by {order:?} in pages of {size}");
        }
    }
}

/// Pages hold to the conditions that were asked for.
pub(crate) async fn comes_whole_in_pages_of_some_rows(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let (_folder, rows) = twenty(&views).await;
    let expected = rows.iter().filter(|row| row.integer("number").is_some_and(|number| number > -2)).count();
    let query = of("shelf").filter("number", Compare::More((-2).into())).sorted("flag", true);
    let all = ids(&views, query.clone()).await;
    assert_eq!(all.len(), expected);
    for size in [1, 3, 7] {
        assert_eq!(ids(&views, ViewQuery { limit: limit(size), ..query.clone() }).await, all);
    }
}

/// Who goes on from where a page ended sees every row once that was there all along, whatever comes and goes meanwhile.
pub(crate) async fn sees_every_row_once_while_others_come_and_go(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let row =
        |folder: &Folder, number: i64| folder.thing(&format!("{number:03}"), &[("number", number.into())]);
    let rows: Vec<Row> = (0..20).map(|place| row(&folder, place * 10)).collect();
    folder.put(&rows).await;
    for falling in [false, true] {
        let mut query = ViewQuery { limit: limit(3), ..of("shelf").sorted("number", falling) };
        let mut seen = Vec::new();
        loop {
            let page = ask(&views, &query).await;
            seen.extend(numbers(&page.rows).into_iter().flatten().filter(|number| number % 10 == 0));
            assert!(seen.len() <= 20, "{seen:?}");
            let (Some(next), Some(last)) = (query.next(&page), numbers(&page.rows).last().copied().flatten())
            else {
                break;
            };
            query = next;
            // One before the end of the page, one behind it, and then both are gone.
            let around = [row(&folder, last - 1), row(&folder, last + 1)];
            folder.put(&around).await;
            let page = ask(&views, &query).await;
            assert!(page.rows.len() == 3 || page.next.is_none());
            folder.remove(&around).await;
        }
        let mut expected: Vec<i64> = (0..20).map(|place| place * 10).collect();
        if falling {
            expected.reverse();
        }
        assert_eq!(seen, expected);
    }
    // The very row that a page ended with may be gone.
    let query = ViewQuery { limit: limit(5), ..of("shelf").sorted("number", false) };
    let page = ask(&views, &query).await;
    folder.remove(&page.rows).await;
    let rest = whole(&views, query.next(&page).unwrap()).await;
    assert_eq!(rest, rows[5..]);
}

/// A table or a column that is not there is refused as such.
pub(crate) async fn refuses_what_is_not_there(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    serving(&views, &plan("stall", 1), &[("a", &[])]).await;
    for table in ["never", "stall", "SHELF", "shelf\"", ""] {
        let refused = refusal(&views, &ViewQuery::of(name("shelf"), 1, table)).await;
        assert!(matches!(&refused, ViewError::Query(InvalidQuery::Table(_))), "{table:?}: {refused:?}");
    }
    for column in ["never", "ID", "rowid", "select", "id\" OR 1=1 --", ""] {
        for query in [of("shelf").filter(column, Compare::IsNull), of("shelf").sorted(column, false)] {
            let refused = refusal(&views, &query).await;
            assert!(matches!(&refused, ViewError::Query(InvalidQuery::Column(_))), "{column:?}: {refused:?}");
        }
    }
}

/// What a column can't hold, or can't be compared by or sorted by, is refused.
pub(crate) async fn refuses_what_a_column_cannot_be_asked(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[("a", &[("number", 1.into())])]).await;
    let asked = [
        ("number", Compare::Equal("1".into())),
        ("number", Compare::Less(moment(1))),
        ("text", Compare::More(1.into())),
        ("flag", Compare::Equal(1.into())),
        ("moment", Compare::More(1.into())),
        ("id", Compare::OneOf(vec!["a".into(), 1.into()])),
        ("number", Compare::Equal(Value::Null)),
        ("list", Compare::Equal(lists(&["a"]))),
        ("json", Compare::Equal(json("1"))),
        ("text", Compare::Has("a".into())),
        ("json", Compare::Has("a".into())),
    ];
    let by_column = asked.into_iter().map(|(column, compare)| of("shelf").filter(column, compare));
    for query in by_column.chain([of("shelf").sorted("list", false), of("shelf").sorted("json", true)]) {
        let refused = refusal(&views, &query).await;
        assert!(matches!(&refused, ViewError::Query(InvalidQuery::Kind(_))), "{query:?}: {refused:?}");
    }
}

/// A cursor of another order is refused.
pub(crate) async fn refuses_a_cursor_of_another_query(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    twenty(&views).await;
    let query = ViewQuery { limit: limit(2), ..of("shelf").sorted("number", true) };
    let after = ask(&views, &query).await.next;
    assert!(after.is_some());
    for other in [of("shelf"), of("shelf").sorted("text", false), query.clone().sorted("flag", false)] {
        let refused = refusal(&views, &ViewQuery { after: after.clone(), ..other }).await;
        assert!(matches!(refused, ViewError::Query(InvalidQuery::Cursor)), "{refused:?}");
    }
    for cells in [vec![], vec![Value::Null, Value::Null], vec!["a".into()]] {
        let refused = refusal(&views, &ViewQuery { after: Some(ViewCursor(cells)), ..query.clone() }).await;
        assert!(matches!(refused, ViewError::Query(InvalidQuery::Cursor)), "{refused:?}");
    }
}

/// More conditions, values, words or columns to sort by than a query may have are refused.
pub(crate) async fn refuses_more_than_a_query_may_ask(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[("a", &[])]).await;
    let conditions = (0..33).fold(of("shelf"), |query, _| query.filter("id", Compare::IsNotNull));
    let values = of("shelf").filter("number", Compare::OneOf((0..201).map(Value::from).collect()));
    let words = ViewQuery { terms: vec![Term::Word("a".into()); 33], ..of("shelf") };
    let sorts = (0..5).fold(of("shelf"), |query, _| query.sorted("number", false));
    for query in [conditions, values, words, sorts] {
        let refused = refusal(&views, &query).await;
        assert!(matches!(refused, ViewError::Query(InvalidQuery::TooMuch)), "{refused:?}");
    }
}

/// All that a query may ask is answered: 32 conditions of 200 values each, and 4 columns to sort by.
pub(crate) async fn takes_all_that_a_query_may_ask(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let told = [("a", &[("number", 7.into())][..]), ("b", &[("number", 300.into())])];
    serving(&views, &plan("shelf", 1), &told).await;
    let of_numbers = || Compare::OneOf((0..200).map(Value::from).collect());
    let query = (0..32).fold(of("shelf"), |query, _| query.filter("number", of_numbers()));
    let columns = ["number", "flag", "moment", "text"];
    let query = columns.iter().fold(query, |query, column| query.sorted(column, true));
    assert_eq!(ids(&views, query).await, ["a"]);
}
