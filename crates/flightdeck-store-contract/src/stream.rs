//! Reading streams: order, borders, pages, what is known of a stream, and the list of them.

use std::sync::Arc;

use flightdeck_core::limits::{EVENT_DATA_BYTES_MAX, PAGE_BYTES_MAX};
use flightdeck_store::{Direction, Limit, StreamInfo, StreamQuery, StreamsQuery};

use crate::Subject;
use crate::given::{
    Store, append, at_once, category, event, events_of, fill, heavy, limit, log, numbered, one_each,
    read_stream, reopen, stream, texts, version, versions,
};

/// The versions in a part of `a-1`, read in one direction by pages of `page`.
async fn part(
    store: &Store,
    after: Option<i64>,
    to: Option<i64>,
    direction: Direction,
    page: usize,
) -> Vec<i64> {
    let query = StreamQuery {
        after: after.map(version),
        to: to.map(version),
        direction,
        limit: limit(page),
        ..StreamQuery::of(stream("a-1"))
    };
    versions(&read_stream(store, query).await)
}

/// Seven events in `a-1`, between those of others.
async fn seven(subject: &dyn Subject) -> Store {
    let store = subject.open().await;
    for number in 1..=7 {
        append(&store, [numbered("a-1", number), event("b-1"), event("a-10")]).await;
    }
    store
}

/// Every name of the list, by pages of `page`.
async fn names(store: &Store, of: Option<&str>, page: usize) -> Vec<String> {
    infos(store, of, page).await.into_iter().map(|info| info.stream.as_str().to_owned()).collect()
}

async fn infos(store: &Store, of: Option<&str>, page: usize) -> Vec<StreamInfo> {
    let mut query = StreamsQuery { category: of.map(category), after: None, limit: limit(page) };
    let mut found = Vec::new();
    for _ in 0..100 {
        let answer = store.streams(&query).await.unwrap();
        assert!(answer.streams.len() <= page, "a page has more streams than its limit");
        found.extend(answer.streams);
        query.after = found.last().map(|info| info.stream.clone());
        if answer.end {
            return found;
        }
    }
    panic!("after 100 pages the list has not come to its end");
}

/// Events come in the order of their versions, and only those of the stream.
pub(crate) async fn comes_in_the_order_of_its_versions(subject: &dyn Subject) {
    let store = seven(subject).await;
    let events = events_of(&store, "a-1").await;
    assert_eq!(versions(&events), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(texts(&events), ["1", "2", "3", "4", "5", "6", "7"]);
    assert!(events.iter().all(|event| event.stream == stream("a-1")), "someone else's event came");
}

/// Backwards, the same events come in the opposite order.
pub(crate) async fn comes_backwards_when_asked(subject: &dyn Subject) {
    let store = seven(subject).await;
    assert_eq!(part(&store, None, None, Direction::Backward, 1_000).await, [7, 6, 5, 4, 3, 2, 1]);
}

/// What a stream is read as is what the log has of it.
pub(crate) async fn has_the_events_that_the_log_has(subject: &dyn Subject) {
    let store = seven(subject).await;
    let from_log: Vec<_> =
        log(&store).await.into_iter().filter(|event| event.stream == stream("a-1")).collect();
    assert_eq!(events_of(&store, "a-1").await, from_log);
}

/// `after` excludes and `to` includes, in either direction.
pub(crate) async fn after_excludes_and_to_includes(subject: &dyn Subject) {
    let store = seven(subject).await;
    for (after, to, expected) in [
        (Some(2), Some(5), vec![3, 4, 5]),
        (None, Some(1), vec![1]),
        (Some(6), None, vec![7]),
        (Some(3), Some(4), vec![4]),
        (Some(4), Some(4), vec![]),
        (Some(5), Some(2), vec![]),
    ] {
        assert_eq!(
            part(&store, after, to, Direction::Forward, 1_000).await,
            expected,
            "forward {after:?} {to:?}"
        );
        let reverse: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(
            part(&store, after, to, Direction::Backward, 1_000).await,
            reverse,
            "backward {after:?} {to:?}"
        );
    }
}

/// Behind the end of a stream there is nothing, and `to` may lie there.
pub(crate) async fn ends_where_it_ends(subject: &dyn Subject) {
    let store = seven(subject).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for after in [7, 8, 100] {
            let query =
                StreamQuery { after: Some(version(after)), direction, ..StreamQuery::of(stream("a-1")) };
            let page = store.read_stream(&query).await.unwrap();
            assert_eq!(
                (page.events, page.version, page.end),
                (vec![], Some(version(7)), true),
                "after {after}"
            );
        }
    }
    assert_eq!(part(&store, Some(5), Some(100), Direction::Forward, 1_000).await, [6, 7]);
    assert_eq!(part(&store, Some(5), Some(100), Direction::Backward, 1_000).await, [7, 6]);
}

/// A stream that never was has no version and no events.
pub(crate) async fn that_never_was_has_no_version(subject: &dyn Subject) {
    let store = seven(subject).await;
    for name in ["none-1", "a-11", "a-", "a", "A-1"] {
        for direction in [Direction::Forward, Direction::Backward] {
            let query = StreamQuery { direction, ..StreamQuery::of(stream(name)) };
            let page = store.read_stream(&query).await.unwrap();
            assert_eq!((page.version, page.events, page.end), (None, vec![], true), "{name}");
        }
        assert_eq!(store.stream(&stream(name)).await.unwrap(), None, "{name}");
    }
}

/// A page has at most as many events as its limit says, and as many as that when they are there.
pub(crate) async fn has_pages_of_the_limit(subject: &dyn Subject) {
    let store = seven(subject).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for (page, expected) in [(1, 1), (3, 3), (7, 7), (8, 7)] {
            let query = StreamQuery { limit: limit(page), direction, ..StreamQuery::of(stream("a-1")) };
            assert_eq!(store.read_stream(&query).await.unwrap().events.len(), expected, "a limit of {page}");
        }
    }
}

/// A page says whether more was asked for than came, exactly.
pub(crate) async fn says_whether_more_was_asked_for(subject: &dyn Subject) {
    let store = seven(subject).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for (page, to, end) in [(6, 7, false), (7, 7, true), (8, 7, true), (2, 3, false), (3, 3, true)] {
            let to = Some(version(to));
            let query = StreamQuery { limit: limit(page), to, direction, ..StreamQuery::of(stream("a-1")) };
            assert_eq!(store.read_stream(&query).await.unwrap().end, end, "a limit of {page}, up to {to:?}");
        }
    }
}

/// Pages of any size, end to end, are the stream.
pub(crate) async fn comes_whole_in_pages_of_any_size(subject: &dyn Subject) {
    let store = seven(subject).await;
    for page in [1, 2, 3, 6, 7, 8] {
        assert_eq!(
            part(&store, None, None, Direction::Forward, page).await,
            [1, 2, 3, 4, 5, 6, 7],
            "by {page}"
        );
        assert_eq!(
            part(&store, Some(1), Some(6), Direction::Forward, page).await,
            [2, 3, 4, 5, 6],
            "by {page}"
        );
    }
}

/// Pages read backwards, end to end, are the reverse of the stream.
pub(crate) async fn comes_whole_in_pages_read_backwards(subject: &dyn Subject) {
    let store = seven(subject).await;
    for page in [1, 2, 3, 6, 7, 8] {
        assert_eq!(
            part(&store, None, None, Direction::Backward, page).await,
            [7, 6, 5, 4, 3, 2, 1],
            "by {page}"
        );
        assert_eq!(
            part(&store, Some(1), Some(6), Direction::Backward, page).await,
            [6, 5, 4, 3, 2],
            "by {page}"
        );
    }
}

/// Every page says the stream's last version, whatever part of it was asked for.
pub(crate) async fn says_its_last_version_on_every_page(subject: &dyn Subject) {
    let store = seven(subject).await;
    for (after, page) in [(0, 1), (1, 2), (6, 1), (7, 5)] {
        let after = (after > 0).then(|| version(after));
        let query = StreamQuery { after, limit: limit(page), ..StreamQuery::of(stream("a-1")) };
        assert_eq!(store.read_stream(&query).await.unwrap().version, Some(version(7)));
    }
}

/// A page ends at about 1 MiB of data, and the next one goes on from there.
pub(crate) async fn has_pages_of_a_mebibyte_at_most(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, (0..5).map(|_| heavy("a-1", EVENT_DATA_BYTES_MAX))).await;
    for direction in [Direction::Forward, Direction::Backward] {
        let query = StreamQuery { direction, ..StreamQuery::of(stream("a-1")) };
        let page = store.read_stream(&query).await.unwrap();
        let bytes: usize = page.events.iter().map(|event| event.data_bytes().len()).sum();
        assert!((1..=PAGE_BYTES_MAX).contains(&bytes), "a page of {bytes} bytes");
        assert!(!page.end, "more was asked for than came");
        assert_eq!(read_stream(&store, query).await.len(), 5);
    }
}

/// Names are compared byte by byte: case counts, and a longer name is another one.
pub(crate) async fn is_told_apart_byte_by_byte(subject: &dyn Subject) {
    let store = subject.open().await;
    let names = ["a-1", "A-1", "a-10", "a-1-", "a", "a-", "a_1", "a.1"];
    for (number, name) in names.iter().enumerate() {
        append(&store, [numbered(name, number), event("other-1")]).await;
    }
    for (number, name) in names.iter().enumerate() {
        assert_eq!(texts(&events_of(&store, name).await), [number.to_string()], "{name}");
    }
}

/// Versions are dense while many write to the same stream.
pub(crate) async fn has_dense_versions_while_many_write(subject: &dyn Subject) {
    let store = subject.open().await;
    let told = at_once(12, |writer| {
        let store = Arc::clone(&store);
        async move {
            let mut told = Vec::new();
            for number in 0..10 {
                let done = append(&store, [numbered("a-1", writer * 10 + number), numbered("a-1", 0)]).await;
                told.push((done.streams[0].from.get(), done.streams[0].version.get()));
            }
            told
        }
    });
    let mut told: Vec<_> = told.await.into_iter().flatten().collect();
    told.sort_unstable();
    assert_eq!(told, (0..120).map(|pair| (pair * 2 + 1, pair * 2 + 2)).collect::<Vec<_>>());
    assert_eq!(versions(&events_of(&store, "a-1").await), (1..=240).collect::<Vec<_>>());
}

/// What is known of a stream is its last version and when its first and last events were recorded.
pub(crate) async fn is_known_by_its_version_and_times(subject: &dyn Subject) {
    let store = seven(subject).await;
    let events = events_of(&store, "a-1").await;
    let info = store.stream(&stream("a-1")).await.unwrap().expect("it is there");
    assert_eq!((&info.stream, info.version), (&stream("a-1"), version(7)));
    assert_eq!((info.created, info.updated), (events[0].recorded_at, events[6].recorded_at));
    // A coarse clock may give all events the same time, but never an earlier one.
    assert!(info.created <= info.updated);
    append(&store, [event("a-1")]).await;
    let grown = store.stream(&stream("a-1")).await.unwrap().expect("it is there");
    assert_eq!((grown.version, grown.created), (version(8), info.created));
    assert_eq!(Some(grown.updated), events_of(&store, "a-1").await.last().map(|event| event.recorded_at));
}

/// The list of streams is in the order of the bytes of their names.
pub(crate) async fn is_listed_in_the_order_of_bytes(subject: &dyn Subject) {
    let store = subject.open().await;
    let sorted = ["$token-1", "A-1", "Z", "a", "a-", "a-1", "a-10", "a-2", "a.1", "a_1", "b-1", "~"];
    let mixed = ["b-1", "a-2", "~", "a-10", "Z", "a_1", "$token-1", "a", "a-1", "a.1", "a-", "A-1"];
    one_each(&store, &mixed).await;
    assert_eq!(names(&store, None, 1_000).await, sorted);
}

/// Pages of the list, end to end, have each stream once.
pub(crate) async fn is_listed_once_in_pages_of_any_size(subject: &dyn Subject) {
    let store = subject.open().await;
    let sorted = ["a-1", "a-2", "a-3", "b-1", "b-2"];
    one_each(&store, &["b-2", "a-1", "a-1", "a-3", "b-1", "a-2", "b-2"]).await;
    for page in [1, 2, 4, 5, 6] {
        assert_eq!(names(&store, None, page).await, sorted, "by {page}");
        assert_eq!(names(&store, Some("a"), page).await, sorted[..3], "by {page}");
    }
    let query = StreamsQuery { after: Some(stream("a-25")), limit: Limit::MAX, category: None };
    let page = store.streams(&query).await.unwrap();
    assert_eq!(page.streams[0].stream, stream("a-3"), "behind a name that is not there comes the next one");
    assert!(page.end);
}

/// The list of a category has its streams, and none whose category only begins alike.
pub(crate) async fn is_listed_by_its_category(subject: &dyn Subject) {
    let store = subject.open().await;
    let all = [
        "content",
        "content-",
        "content-1",
        "content-a-b",
        "content.x-1",
        "contents-1",
        "Content-1",
        "$content-1",
        "conten-1",
    ];
    one_each(&store, &all).await;
    assert_eq!(
        names(&store, Some("content"), 1_000).await,
        ["content", "content-", "content-1", "content-a-b"]
    );
    assert_eq!(names(&store, Some("$content"), 1_000).await, ["$content-1"]);
    assert_eq!(names(&store, Some("none"), 1_000).await, Vec::<String>::new());
}

/// The list has what is known of each stream.
pub(crate) async fn is_listed_with_what_is_known_of_it(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["b-1", "a-1", "b-1", "$c-1", "b-1", "a-1"]).await;
    let listed = infos(&store, None, 1_000).await;
    assert_eq!(listed.iter().map(|info| info.version.get()).collect::<Vec<_>>(), [1, 2, 3]);
    for info in listed {
        assert_eq!(store.stream(&info.stream).await.unwrap(), Some(info));
    }
}

/// A stream is there after the store was opened again, and goes on from its last version.
pub(crate) async fn goes_on_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    one_each(&store, &["$b-1", "c"]).await;
    let before = (events_of(&store, "a-1").await, infos(&store, None, 1_000).await);
    let store = reopen(subject, store).await;
    assert_eq!((events_of(&store, "a-1").await, infos(&store, None, 1_000).await), before);
    append(&store, [event("a-1"), event("c")]).await;
    assert_eq!(versions(&events_of(&store, "a-1").await), [1, 2, 3, 4]);
    assert_eq!(versions(&events_of(&store, "c").await), [1, 2]);
}
