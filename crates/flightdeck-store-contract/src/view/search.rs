//! Words: the same hits in every store, whatever a database would call a word.

use flightdeck_store::view::{Compare, InvalidQuery, Term, Value, ViewError, ViewQuery};

use crate::given::limit;
use crate::view::ViewSubject;
use crate::view::given::{
    Cells, Folder, Views, ask, ids, json, lists, name, of, plan, refusal, reopen, serving, whole,
};

/// A view that serves, whose rows say these texts.
async fn saying(views: &Views, texts: &[(&str, &str)]) -> Folder {
    let cells: Vec<[(&str, Value); 1]> = texts.iter().map(|(_, text)| [("text", (*text).into())]).collect();
    let rows: Vec<(&str, Cells<'_>)> =
        texts.iter().zip(&cells).map(|((id, _), cells)| (*id, &cells[..])).collect();
    serving(views, &plan("shelf", 1), &rows).await
}

/// The ids of the rows that are found by words, when everything is done that was put off.
async fn found(folder: &Folder, text: &str) -> Vec<String> {
    folder.tend().await;
    ids(&folder.views, of("shelf").text(text)).await
}

const NONE: [&str; 0] = [];

/// Words are found in whatever case they were written and asked for.
pub(crate) async fn finds_words_in_any_case(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = saying(&views, &[("a", "Flight DECK"), ("b", "flight"), ("c", "deck ÉTÉ"), ("d", "")]).await;
    for text in ["flight", "FLIGHT", "Flight", "  flIGht! "] {
        assert_eq!(found(&folder, text).await, ["a", "b"], "{text:?}");
    }
    assert_eq!(found(&folder, "Deck").await, ["a", "c"]);
    assert_eq!(found(&folder, "été").await, ["c"]);
}

/// All words that are asked for are needed, in whatever order and column they stand.
pub(crate) async fn needs_all_words(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = saying(&views, &[("a", "one two three"), ("b", "three one"), ("c", "two")]).await;
    folder.put(&[folder.thing("d", &[("text", "one".into()), ("list", lists(&["x", "three"]))])]).await;
    assert_eq!(found(&folder, "one three").await, ["a", "b", "d"]);
    assert_eq!(found(&folder, "three one").await, ["a", "b", "d"]);
    assert_eq!(found(&folder, "one two").await, ["a"]);
    assert_eq!(found(&folder, "one two four").await, NONE);
    assert_eq!(found(&folder, "one one").await, ["a", "b", "d"]);
}

/// A word is found as a whole: neither its beginning, its end nor another form of it is.
pub(crate) async fn finds_whole_words_only(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder =
        saying(&views, &[("a", "running"), ("b", "run"), ("c", "runs overrun"), ("d", "rune_run-ner")]).await;
    assert_eq!(found(&folder, "run").await, ["b", "d"], "what is no letter and no digit ends a word");
    assert_eq!(found(&folder, "running").await, ["a"]);
    assert_eq!(found(&folder, "unning").await, NONE);
    assert_eq!(found(&folder, "runn").await, NONE);
}

/// A word with a star behind it finds whatever goes on from there, and the word itself.
pub(crate) async fn finds_words_by_their_beginning(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder = saying(
        &views,
        &[("a", "running far"), ("b", "Run"), ("c", "overrun"), ("d", "ru n"), ("e", "ÉTÉ runé")],
    )
    .await;
    assert_eq!(found(&folder, "run*").await, ["a", "b", "e"]);
    assert_eq!(found(&folder, "RUN*").await, ["a", "b", "e"]);
    assert_eq!(found(&folder, "runn*").await, ["a"]);
    assert_eq!(found(&folder, "r* f*").await, ["a"]);
    assert_eq!(found(&folder, "r* far").await, ["a"]);
    assert_eq!(found(&folder, "ét*").await, ["e"]);
    assert_eq!(found(&folder, "x*").await, NONE);
}

/// Texts of lists are searched as well as texts.
pub(crate) async fn finds_words_of_lists(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = saying(&views, &[("a", "plain")]).await;
    let list = |id: &str, items: &[&str]| folder.thing(id, &[("list", lists(items))]);
    let rows = [list("b", &["Rust", "two words"]), list("c", &["rusty \"plain\""]), list("d", &[])];
    folder.put(&rows).await;
    assert_eq!(found(&folder, "rust").await, ["b"]);
    assert_eq!(found(&folder, "rust*").await, ["b", "c"]);
    assert_eq!(found(&folder, "words two").await, ["b"]);
    assert_eq!(found(&folder, "plain").await, ["a", "c"]);
}

/// A row is found by what it says now, and no more by what it said before.
pub(crate) async fn finds_what_rows_say_now(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = saying(&views, &[("a", "old words"), ("b", "old")]).await;
    assert_eq!(found(&folder, "old").await, ["a", "b"]);
    folder.put(&[folder.thing("a", &[("text", "new words".into())])]).await;
    assert_eq!(found(&folder, "old").await, ["b"]);
    assert_eq!(found(&folder, "new").await, ["a"]);
    assert_eq!(found(&folder, "words").await, ["a"]);
    folder.put(&[folder.thing("a", &[]), folder.thing("b", &[("text", "old and new".into())])]).await;
    assert_eq!(found(&folder, "new").await, ["b"]);
    assert_eq!(found(&folder, "words").await, NONE);
}

/// A row that is gone is found by nothing, and one that came back by what it says then.
pub(crate) async fn finds_no_rows_that_are_gone(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = saying(&views, &[("a", "here"), ("b", "here")]).await;
    assert_eq!(found(&folder, "here").await, ["a", "b"]);
    folder.remove(&[folder.thing("a", &[])]).await;
    assert_eq!(found(&folder, "here").await, ["b"]);
    assert_eq!(found(&folder, "h*").await, ["b"]);
    folder.put(&[folder.thing("a", &[("text", "back".into())])]).await;
    assert_eq!(found(&folder, "here").await, ["b"]);
    assert_eq!(found(&folder, "back").await, ["a"]);
}

/// Words with accents are words of their own, and so are those of every script, and digits.
pub(crate) async fn finds_words_of_every_script(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let told = [
        ("a", "Über den Wolken"),
        ("b", "uber alles"),
        ("c", "Ελληνικά και"),
        ("d", "Привет, МИР"),
        ("e", "日本語 の 文"),
        ("f", "中文"),
        ("g", "\u{645}\u{631}\u{62d}\u{628}\u{627}"),
        ("h", "Straße 42b"),
    ];
    let folder = saying(&views, &told).await;
    for (text, expected) in [
        ("über", &["a"][..]),
        ("ÜBER", &["a"]),
        ("uber", &["b"]),
        ("ΕΛΛΗΝΙΚΆ", &["c"]),
        ("привет мир", &["d"]),
        ("日本語", &["e"]),
        ("日本", &[]),
        ("日*", &["e"]),
        ("中文", &["f"]),
        ("\u{645}\u{631}\u{62d}\u{628}\u{627}", &["g"]),
        ("straße", &["h"]),
        ("strasse", &[]),
        ("42B", &["h"]),
        ("42", &[]),
        ("42*", &["h"]),
    ] {
        assert_eq!(found(&folder, text).await, expected, "{text:?}");
    }
}

/// A word is the same however it was typed: composed or not, and in whatever form of its letters.
pub(crate) async fn finds_words_however_they_were_typed(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let folder =
        saying(&views, &[("a", "Café"), ("b", "cafe\u{301}"), ("c", "cafe"), ("d", "ﬁne"), ("e", "Ａ１")])
            .await;
    for text in ["café", "CAFE\u{301}"] {
        assert_eq!(found(&folder, text).await, ["a", "b"], "{text:?}");
    }
    assert_eq!(found(&folder, "cafe").await, ["c"]);
    assert_eq!(found(&folder, "fine").await, ["d"]);
    assert_eq!(found(&folder, "a1").await, ["e"]);
}

/// A very long word is found by itself and by its beginning.
pub(crate) async fn finds_long_words(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let (long, longer) = ("x".repeat(100), "é".repeat(100));
    let folder = saying(&views, &[("a", &long), ("b", &longer), ("c", "x")]).await;
    assert_eq!(found(&folder, &long).await, ["a"]);
    assert_eq!(found(&folder, &longer).await, ["b"]);
    assert_eq!(found(&folder, &format!("{}*", "x".repeat(60))).await, ["a"]);
    assert_eq!(found(&folder, "x*").await, ["a", "c"]);
}

/// Words that mean something to a database, and signs that do, are words and signs like any other.
pub(crate) async fn finds_words_that_mean_something_elsewhere(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let told = [
        ("a", "the AND or NOT near"),
        ("b", "a \"quoted\" text: it's o'clock"),
        ("c", "text NEAR quoted; drop-table"),
        ("d", "null"),
    ];
    let folder = saying(&views, &told).await;
    for (text, expected) in [
        ("the", &["a"][..]),
        ("and", &["a"]),
        ("OR", &["a"]),
        ("not", &["a"]),
        ("NEAR", &["a", "c"]),
        ("quoted NOT text", &[]),
        ("\"quoted\"", &["b", "c"]),
        ("text:quoted", &["b", "c"]),
        ("o'clock", &["b"]),
        ("it's", &["b"]),
        ("drop-table", &["c"]),
        ("null", &["d"]),
        ("-quoted ^text (a)", &["b"]),
    ] {
        assert_eq!(found(&folder, text).await, expected, "{text:?}");
    }
}

/// Only the columns that the table says are searched.
pub(crate) async fn looks_only_into_what_is_searched(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let cells: Cells<'_> = &[("text", "inside".into()), ("json", json("\"outside\"")), ("number", 42.into())];
    let folder = serving(&views, &plan("shelf", 1), &[("key", cells)]).await;
    assert_eq!(found(&folder, "inside").await, ["key"]);
    for text in ["outside", "key", "42", "true", "text"] {
        assert_eq!(found(&folder, text).await, NONE, "{text:?}");
    }
}

/// Words go together with conditions, an order and pages; a text without words asks for nothing.
pub(crate) async fn goes_with_conditions_order_and_pages(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let mut folder = serving(&views, &plan("shelf", 1), &[]).await;
    let row = |number: i64| {
        let text = if number % 3 == 0 { "every third" } else { "every other" };
        folder.thing(&format!("{number:02}"), &[("number", (number % 5).into()), ("text", text.into())])
    };
    let rows: Vec<_> = (0..20).map(row).collect();
    folder.put(&rows).await;
    folder.tend().await;
    let thirds = of("shelf").text("third").sorted("number", true);
    assert_eq!(ids(&views, thirds.clone()).await, ["09", "18", "03", "12", "06", "15", "00"]);
    for size in [1, 3, 7] {
        let paged = ids(&views, ViewQuery { limit: limit(size), ..thirds.clone() }).await;
        assert_eq!(paged, ["09", "18", "03", "12", "06", "15", "00"], "in pages of {size}");
    }
    let some = thirds.filter("number", Compare::Less(2.into())).text("ev*");
    assert_eq!(ids(&views, some).await, ["06", "15", "00"]);
    assert_eq!(whole(&views, of("shelf").text(" -!* ")).await.len(), 20);
}

/// Words asked of a table that is not searched are refused, and so is a term that is no word.
pub(crate) async fn refuses_where_nothing_is_searched(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    saying(&views, &[("a", "word")]).await;
    let parts = ViewQuery::of(name("shelf"), 1, "shelf_parts");
    let refused = refusal(&views, &parts.text("word")).await;
    assert!(matches!(refused, ViewError::Query(InvalidQuery::NoSearch)), "{refused:?}");
    for term in [Term::Word("two words".into()), Term::Prefix(String::new()), Term::Word("\" *".into())] {
        let refused = refusal(&views, &ViewQuery { terms: vec![term], ..of("shelf") }).await;
        assert!(matches!(refused, ViewError::Query(InvalidQuery::Term)), "{refused:?}");
    }
}

/// What another generation says is not found, neither while it is built nor when it is gone.
pub(crate) async fn finds_nothing_of_another_generation(subject: &dyn ViewSubject) {
    let (_store, views) = subject.open().await;
    let first = saying(&views, &[("a", "old words")]).await;
    let mut again = Folder::again(&views, &plan("shelf", 1)).await;
    again.put(&[again.thing("b", &[("text", "new words".into())])]).await;
    again.tend().await;
    assert_eq!(found(&first, "words").await, ["a"]);
    assert_eq!(found(&first, "new").await, NONE);
    again.take_over().await;
    assert_eq!(found(&again, "words").await, ["b"]);
    assert_eq!(found(&again, "old").await, NONE);
    assert_eq!(ask(&views, &of("shelf").text("new")).await.of, *again.generation());
}

/// Words find their rows after the store was opened again, those that changed since too.
pub(crate) async fn finds_words_after_reopening(subject: &dyn ViewSubject) {
    let (store, views) = subject.open().await;
    let folder = saying(&views, &[("a", "kept words"), ("b", "kept")]).await;
    folder.tend().await;
    views.give_back(&folder.lease).await.unwrap();
    drop(folder);
    let (_store, views) = reopen(subject, store, views).await;
    let mut folder = Folder::first(&views, &plan("shelf", 1)).await;
    assert_eq!(found(&folder, "kept").await, ["a", "b"]);
    folder.put(&[folder.thing("a", &[("text", "changed words".into())])]).await;
    assert_eq!(found(&folder, "kept").await, ["b"]);
    assert_eq!(found(&folder, "changed").await, ["a"]);
}
