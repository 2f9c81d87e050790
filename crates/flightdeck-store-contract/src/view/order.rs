//! Order: rows come as they were asked for, and where they are alike in that by their key.

use flightdeck_store::view::{Row, Value};

use crate::view::ViewSubject;
use crate::view::given::{Cells, Folder, Views, ids, ids_of, moment, of, plan, serving, whole};

/// Texts that sort in their own way under most rules but that of bytes.
const TEXTS: [&str; 16] =
    ["😀", "b", "a b", "é", "Z", "", "ab", "a", "A", "ｚ", "\u{ffff}", "_", "a-b", "z", "e\u{301}", "10"];

/// A view that serves, whose rows have these ids and numbers, put in the order given.
async fn shelf(views: &Views, rows: &[(&str, Option<i64>)]) -> Folder {
    let mut folder = serving(views, &plan("shelf", 1), &[]).await;
    let row = |(id, number): &(&str, Option<i64>)| folder.thing(id, &[("number", (*number).into())]);
    let rows: Vec<Row> = rows.iter().map(row).collect();
    folder.put(&rows).await;
    folder
}

/// When no order was asked for rows come by their key, texts by their bytes.
pub(crate) async fn is_by_key_when_none_was_asked_for(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let rows = TEXTS.map(|id| (id, &[][..] as Cells<'_>));
    let mut folder = serving(&views, &plan("shelf", 1), &rows).await;
    let mut expected = TEXTS;
    expected.sort_unstable();
    assert_eq!(ids(&views, of("shelf")).await, expected);
    let parts: Vec<Row> = [("b", -1), ("a", 10), ("b", -5), ("a", 9), ("B", 3)]
        .map(|(group, order)| folder.part(group, order, "x"))
        .into();
    folder.put(&parts).await;
    let query = flightdeck_store::view::ViewQuery::of(of("shelf").view, 1, "shelf_parts");
    let keys: Vec<_> = whole(&views, query).await.iter().map(|row| row.key().to_vec()).collect();
    let key = |group: &str, order: i64| vec![Value::from(group), order.into()];
    assert_eq!(keys, [key("B", 3), key("a", 9), key("a", 10), key("b", -5), key("b", -1)]);
}

/// Texts sort by their bytes, forward and backward, in whatever column.
pub(crate) async fn of_texts_is_by_their_bytes(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let rows: Vec<Row> = TEXTS
        .iter()
        .zip('a'..)
        .map(|(text, id)| folder.thing(&id.to_string(), &[("text", (*text).into())]))
        .collect();
    folder.put(&rows).await;
    let mut expected = TEXTS;
    for falling in [false, true] {
        expected.sort_unstable();
        if falling {
            expected.reverse();
        }
        let found = whole(&views, of("shelf").sorted("text", falling)).await;
        let texts: Vec<&str> = found.iter().filter_map(|row| row.text("text")).collect();
        assert_eq!(texts, expected);
    }
}

/// Numbers, moments and truths sort as such, up to the very last.
pub(crate) async fn of_other_kinds_is_their_own(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let numbers = [i64::MIN, -10, -9, 0, 9, 10, 100, i64::MAX];
    let micros = [-62_135_596_800_000_000, -1, 0, 1, 2, 999_999, 1_000_000, 253_402_300_799_999_999];
    let rows: Vec<Row> = (0..8_usize)
        .map(|place| {
            let cells = [
                ("number", numbers[place].into()),
                ("moment", moment(micros[7 - place])),
                ("flag", (place > 3).into()),
            ];
            folder.thing(&place.to_string(), &cells)
        })
        .collect();
    folder.put(&rows).await;
    let rising = ["0", "1", "2", "3", "4", "5", "6", "7"];
    let falling = ["7", "6", "5", "4", "3", "2", "1", "0"];
    assert_eq!(ids(&views, of("shelf").sorted("number", false)).await, rising);
    assert_eq!(ids(&views, of("shelf").sorted("number", true)).await, falling);
    assert_eq!(ids(&views, of("shelf").sorted("moment", false)).await, falling);
    assert_eq!(ids(&views, of("shelf").sorted("moment", true)).await, rising);
    assert_eq!(ids(&views, of("shelf").sorted("flag", false)).await, rising);
    assert_eq!(ids(&views, of("shelf").sorted("flag", true)).await, falling);
}

/// Nothing sorts before everything, and last the other way round.
pub(crate) async fn has_nothing_before_everything(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let least = [
        ("number", i64::MIN.into()),
        ("flag", false.into()),
        ("moment", moment(-62_135_596_800_000_000)),
        ("text", "".into()),
    ];
    serving(&views, &plan("shelf", 1), &[("a-least", &least), ("b-nothing", &[])]).await;
    for (column, _) in &least {
        assert_eq!(
            ids(&views, of("shelf").sorted(column, false)).await,
            ["b-nothing", "a-least"],
            "{column}"
        );
        assert_eq!(ids(&views, of("shelf").sorted(column, true)).await, ["a-least", "b-nothing"], "{column}");
    }
}

/// Rows that are alike in the order asked for come by their key, in the direction of its last column.
pub(crate) async fn of_like_rows_is_by_their_key(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let told = [("e", Some(1)), ("b", None), ("d", Some(2)), ("a", Some(1)), ("f", None), ("c", Some(1))];
    shelf(&views, &told).await;
    assert_eq!(ids(&views, of("shelf").sorted("number", false)).await, ["b", "f", "a", "c", "e", "d"]);
    assert_eq!(ids(&views, of("shelf").sorted("number", true)).await, ["d", "e", "c", "a", "f", "b"]);
    assert_eq!(ids(&views, of("shelf").sorted("flag", false)).await, ["a", "b", "c", "d", "e", "f"]);
    assert_eq!(ids(&views, of("shelf").sorted("flag", true)).await, ["f", "e", "d", "c", "b", "a"]);
    let both = of("shelf").sorted("number", true).sorted("flag", false);
    assert_eq!(ids(&views, both).await, ["d", "a", "c", "e", "b", "f"]);
}

/// Several columns sort one behind the other, each in its own direction, and the key may be among them.
pub(crate) async fn is_by_several_columns(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let row = |number: i64, text: &str| [("number", number.into()), ("text", text.into())];
    let told = [row(1, "x"), row(2, "x"), row(1, "y"), row(2, "y"), row(1, "x")];
    let rows: Vec<(&str, Cells<'_>)> =
        ["a", "b", "c", "d", "e"].into_iter().zip(told.iter().map(|row| &row[..])).collect();
    serving(&views, &plan("shelf", 1), &rows).await;
    let by = |order: &[(&str, bool)]| {
        order.iter().fold(of("shelf"), |query, (column, falling)| query.sorted(column, *falling))
    };
    assert_eq!(ids(&views, by(&[("number", false), ("text", true)])).await, ["c", "e", "a", "d", "b"]);
    assert_eq!(ids(&views, by(&[("text", true), ("number", false)])).await, ["c", "d", "a", "e", "b"]);
    assert_eq!(ids(&views, by(&[("number", true), ("id", true)])).await, ["d", "b", "e", "c", "a"]);
    assert_eq!(ids(&views, by(&[("id", true), ("number", true)])).await, ["e", "d", "c", "b", "a"]);
}

/// The order is that of what rows say now.
pub(crate) async fn follows_what_rows_say_now(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = shelf(&views, &[("a", Some(1)), ("b", Some(2)), ("c", Some(3))]).await;
    folder.put(&[folder.thing("a", &[("number", 9.into())]), folder.thing("c", &[])]).await;
    let rows = whole(&views, of("shelf").sorted("number", false)).await;
    assert_eq!(ids_of(&rows), ["c", "b", "a"]);
}
