//! Conditions: exactly the rows come for which all of them are so.

use flightdeck_store::view::{Compare, Value, ViewQuery};

use crate::view::ViewSubject;
use crate::view::given::{Cells, Views, ids, json, lists, moment, of, plan, serving};

/// The ids of the rows for which that is so.
async fn so(views: &Views, column: &str, compare: Compare) -> Vec<String> {
    ids(views, of("shelf").filter(column, compare)).await
}

/// A view whose rows have these values in a column, and the last one nothing.
async fn having(views: &Views, column: &str, values: &[Value]) {
    let places: Vec<String> = (0..=values.len()).map(|place| place.to_string()).collect();
    let cells: Vec<[(&str, Value); 1]> = values.iter().map(|value| [(column, value.clone())]).collect();
    let cells = cells.iter().map(|cells| &cells[..]).chain([&[][..]]);
    let rows: Vec<(&str, Cells<'_>)> = places.iter().map(String::as_str).zip(cells).collect();
    serving(views, &plan("shelf", 1), &rows).await;
}

/// Values of every kind that can be compared, in their order, and ones beside them.
fn ordered() -> [(&'static str, Vec<Value>); 4] {
    let texts = ["", " ", "'", "A", "Z", "a", "aa", "ab", "z", "é", "ｚ", "\u{ffff}", "😀"];
    [
        ("number", [i64::MIN, -2, -1, 0, 1, 9_007_199_254_740_993, i64::MAX].map(Value::from).to_vec()),
        ("flag", [false, true].map(Value::from).to_vec()),
        ("moment", [-62_135_596_800_000_000, -1, 0, 1, 253_402_300_799_999_999].map(moment).to_vec()),
        ("text", texts.map(Value::from).to_vec()),
    ]
}

/// So many ids from one on.
fn places(from: usize, to: usize) -> Vec<String> {
    let mut places: Vec<String> = (from..to).map(|place| place.to_string()).collect();
    places.sort();
    places
}

/// What is equal is found, in columns of every kind, up to the very last value.
pub(crate) async fn finds_what_is_equal(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for (column, values) in ordered() {
        having(&views, column, &values).await;
        for (place, value) in values.iter().enumerate() {
            let found = so(&views, column, Compare::Equal(value.clone())).await;
            assert_eq!(found, [place.to_string()], "{column}: {value:?}");
        }
        gone(&views).await;
    }
    having(&views, "number", &[1.into()]).await;
    assert_eq!(so(&views, "number", Compare::Equal(2.into())).await, [""; 0]);
    assert_eq!(so(&views, "id", Compare::Equal("0".into())).await, ["0"]);
}

/// Throws the view away, for the next one of its name.
async fn gone(views: &Views) {
    for state in views.generations().await.unwrap() {
        views.discard(&state.of).await.unwrap();
    }
}

/// What sorts before or behind a value is found, itself excluded, in columns of every kind; texts by their bytes.
pub(crate) async fn finds_what_is_less_or_more(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for (column, values) in ordered() {
        having(&views, column, &values).await;
        for (place, value) in values.iter().enumerate() {
            let less = so(&views, column, Compare::Less(value.clone())).await;
            assert_eq!(less, places(0, place), "{column} before {value:?}");
            let more = so(&views, column, Compare::More(value.clone())).await;
            assert_eq!(more, places(place + 1, values.len()), "{column} behind {value:?}");
        }
        gone(&views).await;
    }
}

/// What is one of several values is found, of none nothing, and of two hundred each.
pub(crate) async fn finds_one_of_several(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    for (column, values) in ordered() {
        having(&views, column, &values).await;
        let some = vec![values[1].clone(), values[0].clone(), values[1].clone()];
        assert_eq!(so(&views, column, Compare::OneOf(some)).await, ["0", "1"], "{column}");
        assert_eq!(so(&views, column, Compare::OneOf(vec![])).await, [""; 0], "{column}");
        let mut many: Vec<Value> = values.iter().cycle().take(199).cloned().collect();
        many.push(values[0].clone());
        assert_eq!(so(&views, column, Compare::OneOf(many)).await, places(0, values.len()), "{column}");
        gone(&views).await;
    }
    let numbers: Vec<Value> = (0..300).map(Value::from).collect();
    having(&views, "number", &numbers).await;
    assert_eq!(so(&views, "number", Compare::OneOf(numbers[50..250].to_vec())).await, places(50, 250));
}

/// A list is found by each text in it, as a whole and by its bytes.
pub(crate) async fn finds_what_is_in_a_list(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let odd = [
        "a",
        "A",
        "ab",
        "",
        "é",
        "a,b",
        "\"a\"",
        "[a]",
        "{\"a\":1}",
        "%",
        "it's",
        "\\",
        "\n",
        "\u{ffff}",
        "😀",
    ];
    let mut values: Vec<Value> = odd.iter().map(|odd| lists(&["first", odd, "last", odd])).collect();
    values.push(lists(&[]));
    having(&views, "list", &values).await;
    for (place, odd) in odd.iter().enumerate() {
        assert_eq!(so(&views, "list", Compare::Has((*odd).to_owned())).await, [place.to_string()], "{odd:?}");
    }
    assert_eq!(so(&views, "list", Compare::Has("last".to_owned())).await, places(0, odd.len()));
    assert_eq!(so(&views, "list", Compare::Has("las".to_owned())).await, [""; 0]);
}

/// Cells that hold nothing are found as such, and those that hold something, be it an empty text or list, or a JSON `null`.
pub(crate) async fn finds_nothing_and_something(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let empty = [
        ("number", 0.into()),
        ("flag", false.into()),
        ("moment", moment(0)),
        ("text", "".into()),
        ("list", lists(&[])),
        ("json", json("null")),
    ];
    serving(&views, &plan("shelf", 1), &[("nothing", &[]), ("something", &empty)]).await;
    for (column, _) in &empty {
        assert_eq!(so(&views, column, Compare::IsNull).await, ["nothing"], "{column}");
        assert_eq!(so(&views, column, Compare::IsNotNull).await, ["something"], "{column}");
    }
    assert_eq!(so(&views, "id", Compare::IsNull).await, [""; 0]);
    assert_eq!(so(&views, "id", Compare::IsNotNull).await, ["nothing", "something"]);
}

/// Of a cell that holds nothing no other condition is so: it is neither like a value, nor before, nor behind it.
pub(crate) async fn is_never_so_of_nothing(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    serving(&views, &plan("shelf", 1), &[("nothing", &[])]).await;
    for (column, values) in ordered() {
        for value in values {
            let one_of = Compare::OneOf(vec![value.clone()]);
            for compare in
                [Compare::Equal(value.clone()), Compare::Less(value.clone()), Compare::More(value), one_of]
            {
                assert_eq!(so(&views, column, compare.clone()).await, [""; 0], "{column}: {compare:?}");
            }
        }
    }
    for text in ["", "null"] {
        assert_eq!(so(&views, "list", Compare::Has(text.to_owned())).await, [""; 0]);
    }
}

/// All conditions must be so, several of one column included.
pub(crate) async fn must_all_be_so(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let row = |number: i64, flag: bool| [("number", number.into()), ("flag", flag.into())];
    let rows = [row(1, true), row(2, true), row(2, false), row(3, true), row(4, false)];
    let ids_of_rows = ["a", "b", "c", "d", "e"];
    let rows: Vec<(&str, Cells<'_>)> = ids_of_rows.into_iter().zip(rows.iter().map(|row| &row[..])).collect();
    serving(&views, &plan("shelf", 1), &rows).await;
    let between =
        of("shelf").filter("number", Compare::More(1.into())).filter("number", Compare::Less(4.into()));
    assert_eq!(ids(&views, between.clone()).await, ["b", "c", "d"]);
    let also = |query: &ViewQuery, column, compare| query.clone().filter(column, compare);
    let and_true = also(&between, "flag", Compare::Equal(true.into()));
    assert_eq!(ids(&views, and_true.clone()).await, ["b", "d"]);
    let none = also(&and_true, "id", Compare::OneOf(vec!["a".into(), "c".into()]));
    assert_eq!(ids(&views, none).await, [""; 0]);
    assert_eq!(ids(&views, also(&and_true, "text", Compare::IsNull)).await, ["b", "d"]);
}
