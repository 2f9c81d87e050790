//! Tags: finding events by them, and the last one that has one.

use flightdeck_core::{Tag, Tags};
use flightdeck_store::{Direction, Filter, LogQuery};

use crate::Subject;
use crate::given::{
    Store, append, event, fill, limit, log, one_each, positions, read, reopen, tag, tagged, with_tags,
};

async fn last(store: &Store, text: &str) -> Option<i64> {
    store.last_tagged(&tag(text)).await.unwrap().map(|event| event.position.get())
}

/// A filter by a tag passes every event that has it, of whatever stream, and no other.
pub(crate) async fn finds_every_event_that_has_it(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [tagged("a-1", &["k:1"]), event("a-1"), tagged("b-1", &["k:2"])]).await;
    append(&store, [tagged("$c-1", &["k:2", "k:1"]), tagged("a-1", &["k:3", "l:1"])]).await;
    assert_eq!(with_tags(&store, &["k:1"]).await, [1, 4]);
    assert_eq!(with_tags(&store, &["k:2"]).await, [3, 4]);
    assert_eq!(with_tags(&store, &["l:1"]).await, [5]);
    assert_eq!(with_tags(&store, &["l:2"]).await, [0; 0]);
}

/// A filter by several tags passes only events that have all of them.
pub(crate) async fn finds_events_that_have_all_of_several(subject: &dyn Subject) {
    let store = subject.open().await;
    for tags in [&["a:1"][..], &["a:1", "b:1"], &["b:1"], &["a:1", "b:1", "c:1"], &["c:1", "b:1"]] {
        append(&store, [tagged("a-1", tags)]).await;
    }
    assert_eq!(with_tags(&store, &["a:1", "b:1"]).await, [2, 4]);
    assert_eq!(with_tags(&store, &["c:1", "b:1", "a:1"]).await, [4]);
    assert_eq!(with_tags(&store, &["a:1", "d:1"]).await, [0; 0]);
}

/// Tags are compared byte by byte: case, accents and longer values count.
pub(crate) async fn is_told_apart_byte_by_byte(subject: &dyn Subject) {
    let store = subject.open().await;
    let all = [
        "slug:a",
        "slug:A",
        "Slug:a",
        "slug:ab",
        "slug:a:b",
        "slug:\u{e9}",
        "slug:e\u{301}",
        "slug:a_",
        "slug:a%",
    ];
    for text in all {
        append(&store, [tagged("a-1", &[text])]).await;
    }
    for (text, place) in all.into_iter().zip(1..) {
        assert_eq!(with_tags(&store, &[text]).await, [place], "{text}");
        assert_eq!(last(&store, text).await, Some(place), "{text}");
    }
}

/// Sixteen tags of the longest kind come back, and each of them finds its event.
pub(crate) async fn is_kept_with_fifteen_others(subject: &dyn Subject) {
    let store = subject.open().await;
    let texts: Vec<_> = (10..26).map(|number| format!("k:{number}{}", "x".repeat(196))).collect();
    let tags = Tags::new(texts.iter().map(|text| Tag::new(text).unwrap())).unwrap();
    append(&store, [event("a-1"), event("a-1").with_tags(tags.clone())]).await;
    assert_eq!(log(&store).await[1].tags, tags);
    for text in texts {
        assert_eq!(with_tags(&store, &[&text]).await, [2]);
    }
}

/// A tag is on its own event, not on the others of the append.
pub(crate) async fn is_on_its_own_event_alone(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [event("a-1"), tagged("a-1", &["k:1"]), event("a-1"), tagged("b-1", &["k:2"])]).await;
    assert_eq!(with_tags(&store, &["k:1"]).await, [2]);
    let kept: Vec<_> = log(&store).await.into_iter().map(|event| event.tags.len()).collect();
    assert_eq!(kept, [0, 1, 0, 1]);
}

/// The last event that has a tag is found, of whatever stream it is.
pub(crate) async fn says_which_event_had_it_last(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [tagged("a-1", &["slug:x"]), tagged("b-1", &["slug:y"])]).await;
    assert_eq!(last(&store, "slug:x").await, Some(1));
    append(&store, [tagged("b-1", &["slug:x"]), tagged("$c-1", &["slug:x"]), event("a-1")]).await;
    assert_eq!(last(&store, "slug:x").await, Some(4));
    assert_eq!(last(&store, "slug:y").await, Some(2));
    assert_eq!(store.last_tagged(&tag("slug:x")).await.unwrap().as_ref(), log(&store).await.get(3));
}

/// A tag that no event has finds nothing.
pub(crate) async fn that_nobody_has_finds_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    assert_eq!(last(&store, "slug:x").await, None);
    one_each(&store, &["a-1", "b-1"]).await;
    append(&store, [tagged("a-1", &["slug:xy"])]).await;
    assert_eq!(last(&store, "slug:x").await, None);
}

/// The last event that has a tag is found however long ago it was.
pub(crate) async fn is_found_however_long_ago(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [event("a-1"), tagged("a-1", &["slug:x"])]).await;
    for _ in 0..11 {
        fill(&store, "b-1", 1_000).await;
    }
    assert_eq!(last(&store, "slug:x").await, Some(2));
    assert_eq!(with_tags(&store, &["slug:x"]).await, [2]);
}

/// The events that have a tag come whole in pages, forward and backward.
pub(crate) async fn comes_whole_in_pages(subject: &dyn Subject) {
    let store = subject.open().await;
    for number in 1..=12 {
        let tags: &[&str] = if number % 3 == 0 { &["k:1"] } else { &["k:2"] };
        append(&store, [tagged("a-1", tags)]).await;
    }
    for page in 1..=5 {
        for (direction, expected) in
            [(Direction::Forward, [3, 6, 9, 12]), (Direction::Backward, [12, 9, 6, 3])]
        {
            let query = LogQuery { limit: limit(page), direction, ..LogQuery::default() };
            assert_eq!(
                positions(&read(&store, query.matching(Filter::tagged(tag("k:1")))).await),
                expected,
                "by {page}"
            );
        }
    }
}

/// Tags find their events after the store was opened again.
pub(crate) async fn finds_its_events_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [tagged("a-1", &["k:1"]), tagged("b-1", &["k:1", "l:1"]), event("a-1")]).await;
    let store = reopen(subject, store).await;
    assert_eq!(with_tags(&store, &["k:1"]).await, [1, 2]);
    assert_eq!(last(&store, "k:1").await, Some(2));
    append(&store, [tagged("a-1", &["k:1"])]).await;
    assert_eq!(last(&store, "k:1").await, Some(4));
}
