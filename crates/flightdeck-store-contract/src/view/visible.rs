//! Who may see only some streams gets the rows of those.

use flightdeck_core::Category;
use flightdeck_store::StreamPattern;
use flightdeck_store::view::{Compare, Kind, Plan, Row, Table, ViewQuery};

use crate::given::{limit, stream};
use crate::view::ViewSubject;
use crate::view::given::{Folder, Views, ids, name, of, plan, serving, whole};

const IDS: [&str; 8] = ["A", "a", "aXb", "a_b", "ab", "b", "b-a", "é"];
const NONE: [&str; 0] = [];

fn patterns(texts: &[&str]) -> Option<Vec<StreamPattern>> {
    Some(texts.iter().map(|text| StreamPattern::parse(text).unwrap()).collect())
}

/// A view whose rows are of the streams `page-` and their ids.
async fn pages(views: &Views) -> Folder {
    serving(views, &plan("shelf", 1), &IDS.map(|id| (id, &[][..]))).await
}

/// The ids of the rows that someone sees who may see these streams.
async fn seen(views: &Views, texts: &[&str]) -> Vec<String> {
    ids(views, ViewQuery { streams: patterns(texts), ..of("shelf") }).await
}

/// The streams that are named are seen, by their whole name and its bytes.
pub(crate) async fn are_streams_that_are_named(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    pages(&views).await;
    assert_eq!(seen(&views, &["page-a"]).await, ["a"]);
    assert_eq!(seen(&views, &["page-b-a", "page-ab", "page-a", "page-a"]).await, ["a", "ab", "b-a"]);
    assert_eq!(seen(&views, &["page-a_b"]).await, ["a_b"]);
    assert_eq!(seen(&views, &["page-c", "page", "Page-a", "pages-a", "a-a", "a", "$page-a"]).await, NONE);
    assert_eq!(seen(&views, &["other-a", "page-b"]).await, ["b"]);
}

/// Who may see a category sees all of it, and nothing of another whose name begins alike.
pub(crate) async fn are_streams_of_a_category(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    pages(&views).await;
    assert_eq!(seen(&views, &["page-*"]).await, IDS);
    assert_eq!(seen(&views, &["other-*", "page-*"]).await, IDS);
    assert_eq!(seen(&views, &["pages-*", "pag-*", "Page-*", "$page-*"]).await, NONE);
    let category = StreamPattern::Category(Category::new("page").unwrap());
    let exactly = StreamPattern::Exact(stream("page-a"));
    let query = ViewQuery { streams: Some(vec![exactly, category]), ..of("shelf") };
    assert_eq!(ids(&views, query).await, IDS);
}

/// A beginning that ends within the category shows all of it, and a longer one what goes on from there, by its bytes.
pub(crate) async fn are_streams_that_begin_alike(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    pages(&views).await;
    for all in ["p*", "page*", "*"] {
        assert_eq!(seen(&views, &[all]).await, IDS, "{all}");
    }
    assert_eq!(seen(&views, &["page-a*"]).await, ["a", "aXb", "a_b", "ab"]);
    assert_eq!(seen(&views, &["page-a_*"]).await, ["a_b"]);
    assert_eq!(seen(&views, &["page-b-*"]).await, ["b-a"]);
    assert_eq!(seen(&views, &["page-A*", "page-ab*", "page-b"]).await, ["A", "ab", "b"]);
    assert_eq!(seen(&views, &["pages*", "P*", "page-c*", "a*", "$*", "$page*"]).await, NONE);
}

/// Who may see nothing gets nothing, and who may see everything everything.
pub(crate) async fn is_nothing_for_who_may_see_nothing(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    pages(&views).await;
    assert_eq!(seen(&views, &[]).await, NONE);
    assert_eq!(ids(&views, ViewQuery { streams: None, ..of("shelf") }).await, IDS);
    assert_eq!(seen(&views, &["*"]).await, IDS);
}

/// The streams of the system are seen only where the `$` is named.
pub(crate) async fn are_streams_of_the_system_only_when_named(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let table = Table::named("jobs").key("id", Kind::Text).of_stream("$job", "id");
    let plan = Plan::new("jobs", 1, vec![table], "").unwrap();
    let mut folder = Folder::first(&views, &plan).await;
    let row = |id: &str| Row::new(&plan.tables()[0], [id.into()]).unwrap();
    folder.put(&[row("a"), row("b")]).await;
    folder.take_over().await;
    for (texts, expected) in [
        (&["*"][..], &[][..]),
        (&["job-*", "j*", "job-a"], &[]),
        (&["$*"], &["a", "b"]),
        (&["$job-*"], &["a", "b"]),
        (&["$jo*"], &["a", "b"]),
        (&["$job-a"], &["a"]),
        (&["*", "$job-b*"], &["b"]),
    ] {
        let query = ViewQuery { streams: patterns(texts), ..ViewQuery::of(name("jobs"), 1, "jobs") };
        assert_eq!(ids(&views, query).await, expected, "{texts:?}");
    }
}

/// A table that is of no streams is for who may see everything, and nothing to anyone else.
pub(crate) async fn are_tables_of_no_streams_to_who_may_see_all(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = pages(&views).await;
    let parts = [folder.part("a", 1, "one"), folder.part("b", 1, "two")];
    folder.put(&parts).await;
    let query = |streams| ViewQuery { streams, ..ViewQuery::of(name("shelf"), 1, "shelf_parts") };
    assert_eq!(whole(&views, query(None)).await, parts);
    assert_eq!(whole(&views, query(patterns(&["page-a", "*"]))).await, parts);
    for some in [&[][..], &["page-*"], &["page-a", "p*"], &["$*"]] {
        assert_eq!(whole(&views, query(patterns(some))).await, [], "{some:?}");
    }
}

/// What may be seen goes together with conditions, words, an order and pages.
pub(crate) async fn goes_with_conditions_words_and_pages(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let rows: Vec<Row> = (0..30_i64)
        .map(|number| {
            let text = if number % 2 == 0 { "even" } else { "odd" };
            let id = format!("{}{number:02}", ["a", "b", "c"][usize::try_from(number % 3).unwrap()]);
            folder.thing(&id, &[("number", number.into()), ("text", text.into())])
        })
        .collect();
    folder.put(&rows).await;
    folder.tend().await;
    let query = ViewQuery { streams: patterns(&["page-a*", "page-b07", "page-b10"]), ..of("shelf") };
    let query = query.text("even").filter("number", Compare::More(5.into())).sorted("number", true);
    for size in [1, 3, 7, 100] {
        let paged = ids(&views, ViewQuery { limit: limit(size), ..query.clone() }).await;
        assert_eq!(paged, ["a24", "a18", "a12", "b10", "a06"], "in pages of {size}");
    }
}

/// Two hundred patterns show the rows of each.
pub(crate) async fn are_streams_of_two_hundred_patterns(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let row = |number: i64| folder.thing(&format!("{number:03}-x"), &[]);
    let rows: Vec<Row> = (0..300).map(row).collect();
    folder.put(&rows).await;
    let named = (0..100).map(|number| format!("page-{:03}-x", 2 * number));
    let begun = (100..200).map(|number| format!("page-{number:03}*"));
    let texts: Vec<String> = named.chain(begun).collect();
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let expected = (0..300).filter(|number| number % 2 == 0 && *number < 200 || (100..200).contains(number));
    let expected: Vec<String> = expected.map(|number| format!("{number:03}-x")).collect();
    assert_eq!(seen(&views, &texts).await, expected);
}
