//! Rows: they come back as they were put, and are loaded by their keys.

use flightdeck_store::view::{Kind, Plan, Row, Table, Value};

use crate::view::ViewSubject;
use crate::view::given::{Cells, Folder, Views, ask, ids_of, json, lists, moment, of, plan, serving, whole};

/// The first and the last microsecond that there is, of the years 1 and 9999.
const FIRST_MICROS: i64 = -62_135_596_800_000_000;
const LAST_MICROS: i64 = 253_402_300_799_999_999;
/// Texts that something between here and the disk may take for something else.
const ODD: [&str; 20] = [
    "",
    " ",
    "a ",
    " a",
    "A",
    "a",
    "á",
    "a\u{301}",
    "%",
    "_",
    "'",
    "''; drop table shelf; --",
    "\"",
    "\\",
    "\n",
    "\r\n\t\u{1}",
    "\u{ffff}",
    "😀👩‍🚀",
    "\u{10ffff}",
    "null",
];

/// Puts cells into a row, and finds them loaded for a fold and given to whoever asks.
async fn come_back(views: &Views, folder: &mut Folder, cells: Cells<'_>) {
    let row = folder.thing("a", cells);
    folder.put(std::slice::from_ref(&row)).await;
    assert_eq!(folder.loaded(&["a"]).await, std::slice::from_ref(&row));
    assert_eq!(ask(views, &of("shelf")).await.rows, [row]);
}

/// Numbers, moments and truths of every kind come back, to the microsecond and up to the very last.
pub(crate) async fn comes_back_with_its_values(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    for number in [0, 1, -1, i64::MAX, i64::MIN, 9_007_199_254_740_993] {
        come_back(&views, &mut folder, &[("number", number.into())]).await;
    }
    for flag in [true, false] {
        come_back(&views, &mut folder, &[("flag", flag.into())]).await;
    }
    for micros in [0, -1, 1_764_671_445_123_456, FIRST_MICROS, FIRST_MICROS + 1, LAST_MICROS] {
        come_back(&views, &mut folder, &[("moment", moment(micros))]).await;
    }
    come_back(&views, &mut folder, &[]).await;
    let all: Cells<'_> = &[
        ("number", 7.into()),
        ("flag", false.into()),
        ("moment", moment(1)),
        ("text", "seven".into()),
        ("list", lists(&["7"])),
        ("json", json("7")),
    ];
    come_back(&views, &mut folder, all).await;
}

/// A text comes back as its bytes, whatever is in it, long ones too.
pub(crate) async fn comes_back_with_its_texts(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let long = "långt ".repeat(20_000);
    for text in ODD {
        come_back(&views, &mut folder, &[("text", text.into())]).await;
    }
    // One that is in an index must not be long.
    come_back(&views, &mut folder, &[("body", long.into())]).await;
}

/// A list comes back with its texts in their order: none, one twice, and odd ones.
pub(crate) async fn comes_back_with_its_lists(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let many: Vec<String> = (0..1_000).map(|number| number.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    for list in [&[][..], &[""], &["b", "a", "b"], &["a,b", "{a}", "[\"a\"]"], &ODD, &many] {
        come_back(&views, &mut folder, &[("list", lists(list))]).await;
    }
}

/// JSON comes back as it was written: the order of members, spaces and the form of numbers included.
pub(crate) async fn comes_back_with_its_json_as_written(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    for text in [
        "null",
        "{\"b\" : 1,  \"a\": [ 1.0, 1e2, -0 ]}",
        "[123456789012345678901234567890.10]",
        "{\"\\u00e9\":\"\\n \\/ é 😀\"}",
        "\"it's \\\"quoted\\\"\"",
    ] {
        come_back(&views, &mut folder, &[("json", json(text))]).await;
    }
}

/// A row is known by a key of any kind, and of several columns.
pub(crate) async fn is_known_by_a_key_of_any_kind(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let keyed = |name: &str, kind| Table::named(name).key("key", kind).column("said", Kind::Text);
    let several =
        Table::named("several").key("one", Kind::Time).key("two", Kind::Boolean).key("three", Kind::Text);
    let tables = vec![
        keyed("integers", Kind::Integer),
        keyed("booleans", Kind::Boolean),
        keyed("times", Kind::Time),
        several.column("said", Kind::Text),
    ];
    let plan = Plan::new("keys", 1, tables, "").unwrap();
    let keys: [(usize, &[Value]); 9] = [
        (0, &[i64::MIN.into()]),
        (0, &[0.into()]),
        (0, &[i64::MAX.into()]),
        (1, &[false.into()]),
        (1, &[true.into()]),
        (2, &[moment(FIRST_MICROS)]),
        (2, &[moment(LAST_MICROS)]),
        (3, &[moment(-1), false.into(), "".into()]),
        (3, &[moment(-1), true.into(), "".into()]),
    ];
    let mut folder = Folder::first(&views, &plan).await;
    let row = |(place, key): &(usize, &[Value])| {
        let values = [*key, &[format!("{key:?}").into()]].concat();
        Row::new(&plan.tables()[*place], values).unwrap()
    };
    let rows: Vec<Row> = keys.iter().map(row).collect();
    folder.put(&rows).await;
    for (key, row) in keys.iter().zip(&rows) {
        assert_eq!(folder.load(vec![(key.0, key.1.to_vec())]).await, std::slice::from_ref(row));
    }
    folder.remove(&rows[..4]).await;
    let every = (0..4).map(|place| (place, vec![])).collect();
    assert_eq!(folder.load(every).await, rows[4..]);
}

/// Keys are told apart by their bytes, in what is loaded, put and removed.
pub(crate) async fn is_told_apart_byte_by_byte(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let rows: Vec<Row> = ODD.iter().map(|id| folder.thing(id, &[("text", (*id).into())])).collect();
    folder.put(&rows).await;
    for (id, row) in ODD.iter().zip(&rows) {
        assert_eq!(folder.loaded(&[id]).await, std::slice::from_ref(row), "{id:?}");
    }
    folder.remove(&rows[..10]).await;
    let mut left: Vec<&str> = ODD[10..].to_vec();
    left.sort_unstable();
    assert_eq!(ids_of(&whole(&views, of("shelf")).await), left);
}

/// The beginning of a key stands for every row that begins with those values, and for no other; no value for every row.
pub(crate) async fn is_found_by_the_beginning_of_its_key(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let groups = ["", "a", "a_", "aX", "aa", "b", "A"];
    let row = |group: &str, order| folder.part(group, order, "part");
    let rows: Vec<Row> =
        groups.iter().flat_map(|group| [i64::MIN, -1, 0, 7].map(|order| row(group, order))).collect();
    folder.put(&rows).await;
    for group in groups {
        let expected: Vec<&Row> = rows.iter().filter(|row| row.text("group") == Some(group)).collect();
        let found = folder.load(vec![(1, vec![group.into()])]).await;
        assert_eq!(found.iter().collect::<Vec<_>>(), expected, "{group:?}");
    }
    assert_eq!(folder.load(vec![(1, vec!["c".into()])]).await, []);
    assert_eq!(folder.load(vec![(1, vec![])]).await.len(), rows.len());
    let mixed = vec![(1, vec!["b".into()]), (1, vec!["a".into(), 7.into()]), (1, vec!["A".into()])];
    let found: Vec<_> = folder.load(mixed).await.iter().map(|row| row.key().to_vec()).collect();
    assert_eq!(found.len(), 9);
    assert!(found.contains(&vec!["a".into(), 7.into()]));
}

/// A row that was asked for in several ways comes once.
pub(crate) async fn comes_once_however_often_it_is_asked_for(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let rows = [folder.thing("a", &[]), folder.part("g", 1, "one"), folder.part("g", 2, "two")];
    folder.put(&rows).await;
    let keys = vec![
        (0, vec!["a".into()]),
        (1, vec!["g".into(), 2.into()]),
        (1, vec!["g".into()]),
        (0, vec!["a".into()]),
        (1, vec![]),
        (1, vec!["g".into()]),
    ];
    assert_eq!(folder.load(keys).await, rows);
}

/// A row that is not there does not come, and of no keys nothing does.
pub(crate) async fn that_is_not_there_does_not_come(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    assert_eq!(folder.loaded(&["a"]).await, []);
    folder.put(&[folder.thing("a", &[]), folder.part("a", 1, "part")]).await;
    assert_eq!(folder.load(vec![]).await, []);
    assert_eq!(folder.loaded(&["b", "a1", ""]).await, []);
    assert_eq!(folder.load(vec![(1, vec!["a".into(), 2.into()]), (1, vec!["b".into()])]).await, []);
    assert_eq!(ids_of(&folder.loaded(&["b", "a"]).await), ["a"]);
}

/// Five thousand keys at once find the rows that are there, each once.
pub(crate) async fn comes_among_five_thousand(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    let rows: Vec<Row> = (0..1_500_i64)
        .map(|number| folder.thing(&format!("{:04}", number * 3), &[("number", number.into())]))
        .collect();
    folder.put(&rows).await;
    let keys: Vec<String> = (0..5_000).map(|number| format!("{number:04}")).collect();
    let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
    assert!(folder.loaded(&keys).await == rows, "other rows came than those that are there");
}
