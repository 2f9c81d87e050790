//! Differences: of texts, of lists, and of faces.

use flightdeck_core::Decider;
use flightdeck_domain::content::{self, Content};
use flightdeck_domain::presentation::{self, Presentation};
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Difference, Items, Piece, WORDS_MAX, items};
use crate::thing::{Face, Thing};

fn words(before: &str, after: &str) -> Vec<Piece> {
    let mut left = WORDS_MAX;
    super::words(before, after, &mut left)
}

fn pieces(before: &str, after: &str) -> Value {
    serde_json::to_value(words(before, after)).unwrap()
}

#[test]
fn texts_differ_word_by_word() {
    assert_eq!(pieces("Hello world", "Hello world"), json!([{"kept": "Hello world"}]));
    assert_eq!(
        pieces("Hello, old world.", "Hello, brave new world!"),
        json!([
            {"kept": "Hello, "}, {"removed": "old"}, {"added": "brave new"}, {"kept": " world"},
            {"removed": "."}, {"added": "!"},
        ])
    );
    assert_eq!(pieces("a b c", "a c"), json!([{"kept": "a "}, {"removed": "b "}, {"kept": "c"}]));
    assert_eq!(pieces("", "new"), json!([{"added": "new"}]));
    assert_eq!(pieces("old", ""), json!([{"removed": "old"}]));
    assert_eq!(pieces("", ""), json!([]));
    assert_eq!(pieces("a", "a a"), json!([{"kept": "a"}, {"added": " a"}]));
}

#[test]
fn a_word_is_not_taken_apart() {
    let kept =
        |before: &str, after: &str| words(before, after).iter().any(|piece| matches!(piece, Piece::Kept(_)));
    assert!(!kept("don't", "don"));
    assert!(!kept("snake_case", "snake"));
    assert!(!kept("e\u{301}", "e"), "a letter keeps its accent");
    assert!(!kept("👩\u{200d}🚀", "👩"), "nor is a picture taken apart");
    assert!(kept("日本。はい", "日本。いいえ"));
}

/// Texts of more words than are compared, of which `apart` differ, with the same beginning and end.
fn large(apart: usize) -> (String, String) {
    let of = |word: &str| format!("begin {}end", format!("{word} ").repeat(apart));
    (of("old"), of("new"))
}

#[test]
fn of_texts_that_differ_in_too_much_all_in_between_is_replaced() {
    // Each word has a space, and the last one is common.
    let fits = WORDS_MAX / 4;
    let (before, after) = large(fits);
    assert!(words(&before, &after).len() > 3, "that is still compared");
    let (before, after) = large(fits + 1);
    let middle = |text: &str| text["begin ".len()..text.len() - " end".len()].to_owned();
    let expected = json!([
        {"kept": "begin "}, {"removed": middle(&before)}, {"added": middle(&after)}, {"kept": " end"},
    ]);
    assert_eq!(pieces(&before, &after), expected);
}

#[test]
fn of_a_large_text_with_a_small_change_only_that_is_told() {
    let text = "A sentence of some words. ".repeat(9_000);
    let changed = text.replacen("some", "few", 1);
    let found = words(&text, &changed);
    assert_eq!(found.len(), 4);
    assert_eq!(found[1..3], [Piece::Removed("some".into()), Piece::Added("few".into())]);
}

fn list(items: &str) -> Vec<String> {
    items.chars().map(|item| item.to_string()).collect()
}

#[track_caller]
fn differ(before: &str, after: &str, [added, removed, moved]: [&str; 3]) {
    let expected = Items { added: list(added), removed: list(removed), moved: list(moved) };
    assert_eq!(items(&list(before), &list(after)), expected);
}

#[test]
fn lists_differ_item_by_item() {
    differ("abc", "abc", ["", "", ""]);
    differ("abc", "axc", ["x", "b", ""]);
    differ("abcd", "bcda", ["", "", "a"]);
    differ("abcd", "dabc", ["", "", "d"]);
    differ("abc", "xcaby", ["xy", "", "c"]);
    differ("aab", "ab", ["", "a", ""]);
    differ("ab", "aab", ["a", "", ""]);
}

/// The length of the longest rising part of a list, found by looking at all of them.
fn longest(places: &[usize]) -> usize {
    let parts = 0..1_usize << places.len();
    let rising = parts.filter_map(|part| {
        let chosen: Vec<usize> =
            (0..places.len()).filter(|at| part >> at & 1 == 1).map(|at| places[at]).collect();
        chosen.is_sorted().then_some(chosen.len())
    });
    rising.max().unwrap_or(0)
}

proptest! {
    #[test]
    fn both_texts_are_in_the_pieces(before in "[ab ,é\n]{0,40}", after in "[ab ,é\n]{0,40}") {
        let pieces = words(&before, &after);
        let of = |side: fn(&Piece) -> bool| -> String {
            pieces.iter().filter(|piece| side(piece)).map(Piece::text).collect()
        };
        prop_assert_eq!(of(|piece| !matches!(piece, Piece::Added(_))), before);
        prop_assert_eq!(of(|piece| !matches!(piece, Piece::Removed(_))), after);
        // Neighbours are of different kinds, and what was removed comes before what was added.
        for two in pieces.windows(2) {
            let same = std::mem::discriminant(&two[0]) == std::mem::discriminant(&two[1]);
            prop_assert!(!same && !matches!(two, [Piece::Added(_), Piece::Removed(_)]));
        }
        prop_assert!(pieces.iter().all(|piece| !piece.text().is_empty()));
    }

    #[test]
    fn as_few_move_as_can(order in Just((0..9_usize).collect::<Vec<_>>()).prop_shuffle()) {
        let name = |place: &usize| place.to_string();
        let before: Vec<String> = (0..9).map(|place| name(&place)).collect();
        let after: Vec<String> = order.iter().map(name).collect();
        let found = items(&before, &after);
        prop_assert!(found.added.is_empty() && found.removed.is_empty());
        prop_assert_eq!(found.moved.len(), order.len() - longest(&order));
        // What did not move stands in the same order in both.
        let stays = |list: &[String]| -> Vec<String> {
            list.iter().filter(|item| !found.moved.contains(item)).cloned().collect()
        };
        prop_assert_eq!(stays(&before), stays(&after));
    }
}

fn content(patches: &[&str]) -> Option<Face> {
    let created = r#"{"contentId":"1","title":"One","content":"Hello World","format":"Html","author":"ada","tags":["a","b"]}"#;
    let mut events = vec![content::Event::Created(serde_json::from_str(created).unwrap())];
    for patch in patches {
        let patch = format!("{{\"contentId\":\"1\",{patch}}}");
        events.push(content::Event::Updated(serde_json::from_str(&patch).unwrap()));
    }
    Content::face(&events.iter().fold(Content::initial(), Content::evolve))
}

fn difference(before: Option<&Face>, after: Option<&Face>) -> Value {
    serde_json::to_value(Difference::between(before, after, WORDS_MAX)).unwrap()
}

#[test]
fn a_field_that_is_not_there_is_told_from_one_with_nothing_in_it() {
    let one = content(&[]);
    let came = difference(None, one.as_ref());
    let slug = |difference: &Value| {
        difference["changes"].as_array().unwrap().iter().find(|change| change["field"] == "slug").cloned()
    };
    assert_eq!(slug(&came), Some(json!({"field": "slug", "after": null})));
    assert_eq!(slug(&difference(one.as_ref(), None)), Some(json!({"field": "slug", "before": null})));
    let named = content(&["\"slug\":\"one\""]);
    let expected = json!({"changes": [{"field": "slug", "before": null, "after": "one"}]});
    assert_eq!(difference(one.as_ref(), named.as_ref()), expected);
    assert_eq!(difference(one.as_ref(), one.as_ref()), json!({"changes": []}));
}

#[test]
fn a_field_differs_as_its_kind_does() {
    let (one, two) =
        (content(&[]), content(&[r#""content":"Hello Mars","tags":["b","c"],"status":"Published""#]));
    let expected = json!({"changes": [
        {"field": "content", "before": "Hello World", "after": "Hello Mars",
            "words": [{"kept": "Hello "}, {"removed": "World"}, {"added": "Mars"}]},
        {"field": "status", "before": "Draft", "after": "Published"},
        {"field": "tags", "before": ["a", "b"], "after": ["b", "c"],
            "items": {"added": ["c"], "removed": ["a"], "moved": []}},
    ]});
    assert_eq!(difference(one.as_ref(), two.as_ref()), expected);
    // Nothing to compare words with.
    let (none, some) = (content(&[]), content(&["\"description\":\"About\""]));
    let expected = json!({"changes": [{"field": "description", "before": null, "after": "About"}]});
    assert_eq!(difference(none.as_ref(), some.as_ref()), expected);
}

#[test]
fn all_texts_of_a_thing_share_the_words_that_are_compared() {
    let one = content(&[r#""title":"a b c","content":"a b c""#]);
    let two = content(&[r#""title":"x b y","content":"x b y""#]);
    // Each has five words before and five after; what is compared has the word in the middle kept.
    for (most, expected) in
        [(20, [true, true]), (19, [true, false]), (10, [true, false]), (9, [false, false])]
    {
        let found = Difference::between(one.as_ref(), two.as_ref(), most).changes;
        let kept = |at: usize| found[at].words.iter().flatten().any(|piece| matches!(piece, Piece::Kept(_)));
        assert_eq!([kept(0), kept(1)], expected, "{most}");
    }
}

/// A presentation whose slides say what they are called, after these events.
fn deck(events: &[(&str, &str)]) -> Option<Face> {
    let created = r#"{"presentationId":"1","title":"Talk","author":"ada","theme":"dark","isPublic":false}"#;
    let all = [("PresentationCreated", created.to_owned())]
        .into_iter()
        .chain(events.iter().map(|(name, data)| (*name, format!("{{\"presentationId\":\"1\",{data}}}"))));
    let read = |(name, data): (&str, String)| -> presentation::Event {
        serde_json::from_str(&format!(r#"{{"eventType":"{name}","data":{data}}}"#)).unwrap()
    };
    Presentation::face(
        &all.map(read).fold(Presentation::initial(), |state, event| Presentation::evolve(state, &event)),
    )
}

const A: (&str, &str) =
    ("SlideAdded", r#""slideId":"a","content":{"type":"text","text":"Says a"},"order":1"#);
const B: (&str, &str) =
    ("SlideAdded", r#""slideId":"b","content":{"type":"image","url":"/b.png"},"notes":"N","order":1"#);

#[test]
fn slides_differ_by_their_ids() {
    let (one, two) = (deck(&[A]), deck(&[A, B]));
    let expected = json!({
        "changes": [{"field": "slideIds", "before": ["a"], "after": ["b", "a"],
            "items": {"added": ["b"], "removed": [], "moved": []}}],
        "slides": [{"slideId": "b", "what": "added", "placeAfter": 1, "changes": [
            {"field": "title", "after": null}, {"field": "content.type", "after": "image"},
            {"field": "content.url", "after": "/b.png"}, {"field": "content.alt", "after": null},
            {"field": "notes", "after": "N"},
        ]}],
    });
    assert_eq!(difference(one.as_ref(), two.as_ref()), expected);
    let gone = difference(two.as_ref(), one.as_ref());
    assert_eq!(gone["slides"][0]["what"], "removed");
    assert_eq!((&gone["slides"][0]["placeBefore"], gone["slides"][0].get("placeAfter")), (&json!(1), None));
}

#[test]
fn a_slide_that_changed_says_in_what_and_one_that_moved_is_in_the_order() {
    let (one, two) = (
        deck(&[A, B]),
        deck(&[
            A,
            B,
            ("SlidesReordered", r#""slideIds":["a","b"]"#),
            (
                "SlideUpdated",
                r#""slideId":"a","content":{"type":"code","language":"rust","text":"Says more"}"#,
            ),
        ]),
    );
    let expected = json!({
        "slides": [{"slideId": "a", "what": "changed", "placeBefore": 2, "placeAfter": 1, "changes": [
            {"field": "content.type", "before": "text", "after": "code"},
            {"field": "content.language", "after": "rust"},
            {"field": "content.text", "before": "Says a", "after": "Says more",
                "words": [{"kept": "Says "}, {"removed": "a"}, {"added": "more"}]},
        ]}],
    });
    let found = difference(one.as_ref(), two.as_ref());
    // Either of the two accounts for the order.
    assert_eq!(found["changes"][0]["items"]["moved"].as_array().map(Vec::len), Some(1));
    assert_eq!(found["slides"], expected["slides"]);
}

#[test]
fn slides_come_as_they_stand_and_those_that_are_gone_behind_them() {
    let c = ("SlideAdded", r#""slideId":"c","content":{"type":"text","text":"C"},"order":1"#);
    let gone = ("SlideRemoved", r#""slideId":"a""#);
    let (one, two) = (deck(&[A]), deck(&[A, B, c, gone]));
    let found = difference(one.as_ref(), two.as_ref());
    let names: Vec<&Value> =
        found["slides"].as_array().unwrap().iter().map(|slide| &slide["slideId"]).collect();
    assert_eq!(names, ["c", "b", "a"]);
}
