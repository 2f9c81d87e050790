//! Reading the log: positions, borders, pages, filters, the head, and readers beside writers.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};

use flightdeck_core::limits::{
    EVENT_DATA_BYTES_MAX, FILTER_STREAMS_MAX, PAGE_BYTES_MAX, PAGE_SCAN_EVENTS_MAX,
};
use flightdeck_core::{Clock, Cursor, Epoch, Position, Timestamp};
use flightdeck_store::{Direction, Filter, InvalidRead, LogQuery, StoreError, StreamPattern, TypePattern};

use crate::Subject;
use crate::given::{
    Store, append, at_once, event, event_type, fill, head, heavy, id, in_streams, limit, log, numbered,
    of_types, one_each, passing, position, positions, range, read, reopen, stream, tag, tagged, texts, typed,
};

/// Seven events in several streams.
async fn seven(subject: &dyn Subject) -> Store {
    let store = subject.open().await;
    append(&store, [numbered("a-1", 1), numbered("b-1", 2)]).await;
    append(&store, [numbered("a-1", 3)]).await;
    append(&store, [numbered("c-1", 4), numbered("a-2", 5), numbered("a-1", 6)]).await;
    append(&store, [numbered("b-1", 7)]).await;
    store
}

/// An epoch that is certainly not the store's.
async fn foreign(store: &Store, number: i64) -> Cursor {
    let own = store.head().await.unwrap().cursor;
    let other = if own.epoch().as_str() == "foreign" { "foreign2" } else { "foreign" };
    Cursor::new(Epoch::new(other).unwrap(), position(number))
}

/// Positions are 1, 2, 3, with no holes, in the order of the appends.
pub(crate) async fn has_dense_positions(subject: &dyn Subject) {
    let store = seven(subject).await;
    let events = log(&store).await;
    assert_eq!(positions(&events), [1, 2, 3, 4, 5, 6, 7]);
    assert_eq!(texts(&events), ["1", "2", "3", "4", "5", "6", "7"]);
}

/// A refused append leaves no hole.
pub(crate) async fn has_no_holes_where_appends_were_refused(subject: &dyn Subject) {
    let store = seven(subject).await;
    for number in 8..12 {
        let refused = flightdeck_store::Append::of([event("a-1")])
            .expecting(stream("a-1"), flightdeck_store::Expected::NoStream);
        assert!(store.append(refused).await.is_err());
        assert_eq!(append(&store, [event("a-1")]).await.range, Some((position(number), position(number))));
    }
    assert_eq!(positions(&log(&store).await), (1..=11).collect::<Vec<_>>());
}

/// An empty log has an empty page, and its head is before the first event.
pub(crate) async fn begins_empty(subject: &dyn Subject) {
    let store = subject.open().await;
    assert_eq!(head(&store).await, 0);
    for direction in [Direction::Forward, Direction::Backward] {
        let page = store.read_log(&LogQuery { direction, ..LogQuery::default() }).await.unwrap();
        assert_eq!((page.events, page.scanned_to, page.end), (vec![], Position::START, true));
        assert_eq!(page.head.position(), Position::START);
    }
}

/// `after` excludes and `until` includes, in either direction.
pub(crate) async fn after_excludes_and_until_includes(subject: &dyn Subject) {
    let store = seven(subject).await;
    for (after, until, expected) in [
        (2, Some(5), vec![3, 4, 5]),
        (0, Some(1), vec![1]),
        (6, None, vec![7]),
        (6, Some(7), vec![7]),
        (3, Some(4), vec![4]),
        (4, Some(4), vec![]),
        (0, Some(0), vec![]),
        (5, Some(2), vec![]),
        (5, Some(100), vec![6, 7]),
    ] {
        assert_eq!(
            range(&store, after, until, Direction::Forward, 1_000).await,
            expected,
            "forward {after} {until:?}"
        );
        let reverse: Vec<_> = expected.into_iter().rev().collect();
        assert_eq!(
            range(&store, after, until, Direction::Backward, 1_000).await,
            reverse,
            "backward {after} {until:?}"
        );
    }
}

/// A page has at most as many events as its limit says, and as many as that when they are there.
pub(crate) async fn has_pages_of_the_limit(subject: &dyn Subject) {
    let store = seven(subject).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for (page, expected) in [(1, 1), (3, 3), (7, 7), (8, 7)] {
            let query = LogQuery { limit: limit(page), direction, ..LogQuery::default() };
            assert_eq!(store.read_log(&query).await.unwrap().events.len(), expected, "a limit of {page}");
        }
    }
}

/// Pages of any size, end to end, are the log: nothing is missing and nothing comes twice.
pub(crate) async fn comes_whole_in_pages_of_any_size(subject: &dyn Subject) {
    let store = seven(subject).await;
    for page in [1, 2, 3, 6, 7, 8] {
        assert_eq!(
            range(&store, 0, None, Direction::Forward, page).await,
            [1, 2, 3, 4, 5, 6, 7],
            "by {page}"
        );
        assert_eq!(range(&store, 1, Some(6), Direction::Forward, page).await, [2, 3, 4, 5, 6], "by {page}");
    }
}

/// Pages read backwards, end to end, are the reverse of the log.
pub(crate) async fn comes_whole_in_pages_read_backwards(subject: &dyn Subject) {
    let store = seven(subject).await;
    for page in [1, 2, 3, 6, 7, 8] {
        assert_eq!(
            range(&store, 0, None, Direction::Backward, page).await,
            [7, 6, 5, 4, 3, 2, 1],
            "by {page}"
        );
        assert_eq!(range(&store, 1, Some(6), Direction::Backward, page).await, [6, 5, 4, 3, 2], "by {page}");
    }
}

/// Filtered pages of any size, end to end and in either direction, have all that passes.
pub(crate) async fn comes_whole_in_filtered_pages(subject: &dyn Subject) {
    let store = seven(subject).await;
    let filter = Filter { streams: vec![StreamPattern::Exact(stream("a-1"))], ..Filter::ALL };
    for page in [1, 2, 3, 4] {
        for (direction, expected) in [(Direction::Forward, [1, 3, 6]), (Direction::Backward, [6, 3, 1])] {
            let query = LogQuery { limit: limit(page), direction, ..LogQuery::default() };
            assert_eq!(positions(&read(&store, query.matching(filter.clone())).await), expected, "by {page}");
        }
    }
}

/// Behind the head there is nothing: the page is empty, and says that it looked as far as `after`.
pub(crate) async fn has_nothing_behind_its_head(subject: &dyn Subject) {
    let store = seven(subject).await;
    let tagged = Filter::tagged(tag("k:1"));
    for filter in [Filter::ALL, tagged] {
        for after in [7, 8, 100] {
            let query = LogQuery::after(position(after)).matching(filter.clone());
            let page = store.read_log(&query).await.unwrap();
            assert_eq!(
                (page.events, page.scanned_to, page.end),
                (vec![], position(after), true),
                "after {after}"
            );
            assert_eq!(page.head.position(), position(7));
        }
    }
    let last = store.read_log(&LogQuery::after(Position::MAX)).await.unwrap();
    assert_eq!((last.events, last.scanned_to), (vec![], Position::MAX));
}

/// A page says how far it looked, never further than the log goes, also when nothing passed.
pub(crate) async fn says_how_far_it_looked(subject: &dyn Subject) {
    let store = seven(subject).await;
    let nothing = Filter { types: vec![TypePattern::Exact(event_type("Never"))], ..Filter::ALL };
    for (query, scanned_to) in [
        (LogQuery { limit: limit(3), ..LogQuery::default() }, 3),
        (LogQuery::default(), 7),
        (LogQuery { until: Some(position(100)), ..LogQuery::default() }, 7),
        (LogQuery { until: Some(position(5)), ..LogQuery::default() }, 5),
        (LogQuery::default().matching(nothing.clone()), 7),
        (
            LogQuery { until: Some(position(100)), ..LogQuery::after(position(2)) }.matching(nothing.clone()),
            7,
        ),
        (LogQuery { until: Some(position(5)), ..LogQuery::default() }.matching(nothing), 5),
    ] {
        let page = store.read_log(&query).await.unwrap();
        assert_eq!(page.scanned_to, position(scanned_to), "{query:?}");
        assert_eq!(page.scanned_to(), Cursor::new(page.head.epoch().clone(), position(scanned_to)));
    }
    let backward = LogQuery { limit: limit(3), direction: Direction::Backward, ..LogQuery::default() };
    assert_eq!(
        store.read_log(&backward).await.unwrap().scanned_to,
        position(4),
        "everything behind 4 has come"
    );
}

/// A page says whether it came to the end of what was asked for.
pub(crate) async fn says_whether_it_came_to_the_end(subject: &dyn Subject) {
    let store = seven(subject).await;
    for direction in [Direction::Forward, Direction::Backward] {
        for (page, after, until, end) in [
            (6, 0, None, false),
            (7, 0, None, true),
            (8, 0, None, true),
            (2, 4, None, false),
            (3, 4, None, true),
            (2, 0, Some(3), false),
            (3, 0, Some(3), true),
            (3, 4, Some(100), true),
        ] {
            let query = LogQuery {
                until: until.map(position),
                direction,
                limit: limit(page),
                ..LogQuery::after(position(after))
            };
            assert_eq!(store.read_log(&query).await.unwrap().end, end, "{query:?}");
        }
    }
}

/// How far one page looks is limited, and pages that look for what is rare get there.
pub(crate) async fn looks_only_so_far_for_one_page(subject: &dyn Subject) {
    let store = subject.open().await;
    for _ in 0..11 {
        fill(&store, "a-1", 1_000).await;
    }
    append(&store, [typed("b-1", "Rare")]).await;
    let filter = Filter { types: vec![TypePattern::Prefix("Ra".into())], ..Filter::ALL };
    for direction in [Direction::Forward, Direction::Backward] {
        let query = LogQuery { direction, ..LogQuery::default() }.matching(filter.clone());
        let page = store.read_log(&query).await.unwrap();
        let looked = match direction {
            Direction::Forward => page.scanned_to.get(),
            Direction::Backward => 11_001 - page.scanned_to.get(),
        };
        assert!((1..=PAGE_SCAN_EVENTS_MAX).contains(&looked), "one page looked at {looked} events");
        assert!(!page.end, "it has not come to the end");
        assert_eq!(positions(&read(&store, query).await), [11_001]);
    }
}

/// A page says the head at the moment of the read, whatever part was asked for.
pub(crate) async fn says_its_head_on_every_page(subject: &dyn Subject) {
    let store = seven(subject).await;
    let head = store.head().await.unwrap().cursor;
    for query in [
        LogQuery { limit: limit(1), ..LogQuery::default() },
        LogQuery { until: Some(position(2)), ..LogQuery::default() },
        LogQuery { direction: Direction::Backward, limit: limit(2), ..LogQuery::after(position(1)) },
    ] {
        assert_eq!(store.read_log(&query).await.unwrap().head, head, "{query:?}");
    }
}

/// A page ends at about 1 MiB of data, and the next one goes on from there.
pub(crate) async fn has_pages_of_a_mebibyte_at_most(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, (0..5).map(|_| heavy("a-1", EVENT_DATA_BYTES_MAX))).await;
    for direction in [Direction::Forward, Direction::Backward] {
        let query = LogQuery { direction, ..LogQuery::default() };
        let page = store.read_log(&query).await.unwrap();
        let bytes: usize = page.events.iter().map(|event| event.data_bytes().len()).sum();
        assert!((1..=PAGE_BYTES_MAX).contains(&bytes), "a page of {bytes} bytes");
        assert!(!page.end, "it has not come to the end");
        assert_eq!(read(&store, query).await.len(), 5);
    }
}

/// The store's own cursor is good, and a bare position is good in every epoch.
pub(crate) async fn takes_its_own_cursors_and_bare_positions(subject: &dyn Subject) {
    let store = seven(subject).await;
    let epoch = store.head().await.unwrap().cursor.epoch().clone();
    let cursor = Cursor::new(epoch, position(5));
    assert_eq!(positions(&read(&store, LogQuery::after(cursor)).await), [6, 7]);
    assert_eq!(positions(&read(&store, LogQuery::after(position(5))).await), [6, 7]);
}

/// A cursor of another epoch is refused, with the head as it is now.
pub(crate) async fn refuses_a_cursor_of_another_epoch(subject: &dyn Subject) {
    let store = seven(subject).await;
    for number in [0, 5, 7, 100] {
        let query = LogQuery::after(foreign(&store, number).await);
        match store.read_log(&query).await {
            Err(StoreError::EpochChanged { head }) => assert_eq!(head, store.head().await.unwrap().cursor),
            other => panic!("position {number} of another epoch: {other:?}"),
        }
    }
}

/// The head covers every append that was answered, and its hash is that of the last event.
pub(crate) async fn has_its_head_where_the_last_append_ended(subject: &dyn Subject) {
    let store = subject.open().await;
    for number in 1..=10 {
        let done = append(&store, [numbered("a-1", number), event("b-1")]).await;
        let head = store.head().await.unwrap();
        assert_eq!(head.cursor, done.cursor);
        let last = log(&store).await.pop().expect("there are events");
        assert_eq!((head.cursor.position(), head.hash), (last.position, last.hash));
    }
}

/// The head never goes back while many write, and every writer finds its own append under it.
pub(crate) async fn has_a_head_that_never_goes_back(subject: &dyn Subject) {
    let store = subject.open().await;
    let tasks = at_once(6, |number| {
        let store = Arc::clone(&store);
        async move {
            let mut seen = 0;
            for round in 0..30 {
                let least = match number % 2 {
                    0 => append(&store, [numbered("a-1", round)]).await.cursor.position().get(),
                    _ => seen,
                };
                let now = head(&store).await;
                assert!(
                    now >= seen.max(least),
                    "the head was at {seen}, an append ended at {least}, and now it is at {now}"
                );
                seen = now;
            }
        }
    });
    tasks.await;
    assert_eq!(head(&store).await, 90);
}

/// Whoever waits for the head to move is woken.
pub(crate) async fn wakes_who_waits_for_it(subject: &dyn Subject) {
    let store = subject.open().await;
    let mut watch = store.watch();
    for number in 0..5 {
        watch.mark_unchanged();
        let (waits, writes) = (watch.changed(), append(&store, [numbered("a-1", number)]));
        // No time limit of its own: a store that never wakes anyone runs into the rule's.
        let (woken, _) = tokio::join!(waits, writes);
        woken.expect("the store is still there");
    }
}

/// A filter by a stream's name passes that stream alone.
pub(crate) async fn is_filtered_by_a_stream(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["content-1", "content-10", "content", "Content-1", "content-1", "$content-1"]).await;
    assert_eq!(in_streams(&store, &["content-1"]).await, [1, 5]);
    assert_eq!(in_streams(&store, &["$content-1"]).await, [6]);
    assert_eq!(in_streams(&store, &["content-2"]).await, [0; 0]);
}

/// A filter by category passes its streams, and none whose category only begins alike.
pub(crate) async fn is_filtered_by_a_category(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(
        &store,
        &[
            "content",
            "content-1",
            "contents-1",
            "$content-1",
            "content-a-b",
            "Content-1",
            "content.a-1",
            "conten-1",
        ],
    )
    .await;
    assert_eq!(in_streams(&store, &["content-*"]).await, [1, 2, 5]);
    assert_eq!(in_streams(&store, &["$content-*"]).await, [4]);
}

/// A filter by the beginning of a name takes it by its bytes: no character of it means anything else.
pub(crate) async fn is_filtered_by_the_beginning_of_a_name(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["a_b-1", "aXb-1", "A_b-1", "a_b-12", "a_b", "b-a_b-1", "a_c-1"]).await;
    assert_eq!(in_streams(&store, &["a_b-1*"]).await, [1, 4]);
    assert_eq!(in_streams(&store, &["a_*"]).await, [1, 4, 5, 7]);
    append(
        &store,
        [typed("t-1", "Do_It"), typed("t-1", "DoXIt"), typed("t-1", "do_It"), typed("t-1", "Do_")],
    )
    .await;
    assert_eq!(of_types(&store, &["Do_*"]).await, [8, 11]);
}

/// A beginning never means a stream of the system, unless it names the `$`.
pub(crate) async fn hides_system_streams_from_a_star(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["$token-1", "a-1", "$audit", "token-1"]).await;
    assert_eq!(in_streams(&store, &["*"]).await, [2, 4]);
    assert_eq!(in_streams(&store, &["$*"]).await, [1, 3]);
    assert_eq!(in_streams(&store, &["$to*"]).await, [1]);
}

/// Without a filter everything comes, the streams of the system included.
pub(crate) async fn shows_system_streams_without_a_filter(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["$token-1", "a-1", "$audit"]).await;
    assert_eq!(positions(&log(&store).await), [1, 2, 3]);
    assert_eq!(of_types(&store, &["Happened"]).await, [1, 2, 3]);
}

/// A filter by types passes those of the name, or of the beginning, and no others.
pub(crate) async fn is_filtered_by_types(subject: &dyn Subject) {
    let store = subject.open().await;
    let types = ["Created", "CreatedLater", "created", "Renamed", "Created", "Re"];
    append(&store, types.iter().map(|name| typed("a-1", name))).await;
    assert_eq!(of_types(&store, &["Created"]).await, [1, 5]);
    assert_eq!(of_types(&store, &["Created*"]).await, [1, 2, 5]);
    assert_eq!(of_types(&store, &["*"]).await, [1, 2, 3, 4, 5, 6]);
    assert_eq!(of_types(&store, &["Never", "Never*"]).await, [0; 0]);
}

/// Of several streams, and of several types, any one is enough.
pub(crate) async fn is_filtered_by_any_of_several(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["a-1", "b-1", "c-1", "d-1", "b-2"]).await;
    append(&store, [typed("e-1", "Created"), typed("e-1", "Renamed"), typed("e-1", "Ended")]).await;
    assert_eq!(in_streams(&store, &["a-1", "b-*", "d*"]).await, [1, 2, 4, 5]);
    assert_eq!(in_streams(&store, &["a-1", "a-*", "a*"]).await, [1], "what passes twice comes once");
    assert_eq!(of_types(&store, &["Created", "End*"]).await, [6, 8]);
}

/// What passes a filter passes all of its parts: streams, types and tags.
pub(crate) async fn is_filtered_by_all_parts_of_a_filter(subject: &dyn Subject) {
    let store = subject.open().await;
    let created = |name, tags: &[&str]| flightdeck_store::NewEvent {
        event_type: event_type("Created"),
        ..tagged(name, tags)
    };
    append(
        &store,
        [
            created("a-1", &["k:1"]),
            created("a-1", &["k:2"]),
            created("b-1", &["k:1"]),
            tagged("a-1", &["k:1"]),
            created("a-2", &["k:1", "k:2"]),
        ],
    )
    .await;
    let filter = Filter {
        streams: vec![StreamPattern::parse("a-*").unwrap()],
        types: vec![TypePattern::parse("Created").unwrap()],
        tags: vec![tag("k:1")],
    };
    assert_eq!(positions(&passing(&store, filter).await), [1, 5]);
}

/// A filter with more parts than a filter may have is refused as invalid.
pub(crate) async fn refuses_a_filter_without_end(subject: &dyn Subject) {
    let store = seven(subject).await;
    let streams =
        |count| (0..count).map(|number| StreamPattern::Exact(stream(&format!("a-{number}")))).collect();
    let types =
        |count| (0..count).map(|number| TypePattern::Exact(event_type(&format!("T{number}")))).collect();
    let tags = |count| (0..count).map(|number| tag(&format!("k:{number}"))).collect();
    for filter in [
        Filter { streams: streams(FILTER_STREAMS_MAX + 1), ..Filter::ALL },
        Filter { types: types(65), ..Filter::ALL },
        Filter { tags: tags(17), ..Filter::ALL },
    ] {
        let answer = store.read_log(&LogQuery::default().matching(filter)).await;
        assert!(matches!(answer, Err(StoreError::Invalid(InvalidRead::TooMany { .. }))), "{answer:?}");
    }
    let most = Filter { streams: streams(FILTER_STREAMS_MAX), types: types(64), tags: tags(16) };
    assert!(passing(&store, most).await.is_empty());
}

/// A hot reader at the tail sees every event in order while many write: nothing ever turns up behind it.
pub(crate) async fn lets_nothing_turn_up_late(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "warm-1", 100).await;
    let done = Arc::new(AtomicBool::new(false));
    let tail = tokio::spawn({
        let (store, done) = (Arc::clone(&store), Arc::clone(&done));
        async move {
            let (mut seen, mut query) = (Vec::new(), LogQuery::default());
            loop {
                let last_look = done.load(Ordering::SeqCst);
                let page = store.read_log(&query).await.unwrap();
                query.after = page.scanned_to().into();
                let nothing_new = page.events.is_empty();
                seen.extend(page.events);
                if last_look && nothing_new {
                    return seen;
                }
                tokio::task::yield_now().await;
            }
        }
    });
    let writers = at_once(12, |writer| {
        let store = Arc::clone(&store);
        async move {
            for number in 0..20 {
                append(&store, (0..=number % 3).map(|part| numbered(&format!("own-{writer}"), part))).await;
            }
        }
    });
    writers.await;
    done.store(true, Ordering::SeqCst);
    let seen = tail.await.expect("the reader went through");
    assert_eq!(positions(&seen), (1..=head(&store).await).collect::<Vec<_>>());
    assert_eq!(seen, log(&store).await, "what a reader saw is what is there");
}

/// Positions are the same for every reader, in pages of whatever size and direction.
pub(crate) async fn is_the_same_for_every_reader(subject: &dyn Subject) {
    let store = seven(subject).await;
    let once = log(&store).await;
    let readers = at_once(8, |reader| {
        let store = Arc::clone(&store);
        async move { read(&store, LogQuery { limit: limit(reader + 1), ..LogQuery::default() }).await }
    });
    for read in readers.await {
        assert_eq!(read, once);
    }
    let mut backward = read(&store, LogQuery { direction: Direction::Backward, ..LogQuery::default() }).await;
    backward.reverse();
    assert_eq!(backward, once);
}

/// An event is found by its id as it is in the log; an id that nobody has used finds nothing.
pub(crate) async fn has_its_events_under_their_ids(subject: &dyn Subject) {
    let store = seven(subject).await;
    for event in log(&store).await {
        assert_eq!(store.event(event.id).await.unwrap(), Some(event));
    }
    assert_eq!(store.event(id(404)).await.unwrap(), None);
}

/// A clock that someone sets back and forth by minutes, however often a store looks at it for one append.
struct Restless(AtomicI64);

impl Clock for Restless {
    fn now(&self) -> Timestamp {
        let looks = self.0.fetch_add(1, Ordering::SeqCst);
        let second = 1_790_000_000 + looks - 60 * (looks % 3);
        Timestamp::from_micros(second * 1_000_000).unwrap()
    }
}

/// Recorded times never go backwards, also when the clock does.
pub(crate) async fn has_times_that_never_go_backwards(subject: &dyn Subject) {
    let store = subject.open_at(Arc::new(Restless(AtomicI64::new(0)))).await;
    for number in 0..20 {
        append(&store, [numbered("a-1", number), numbered("b-1", number)]).await;
    }
    let times: Vec<_> = log(&store).await.iter().map(|event| event.recorded_at).collect();
    assert!(times.is_sorted(), "{times:?}");
    let moved: BTreeSet<_> = times.iter().collect();
    assert!(moved.len() > 5, "the store goes by the clock that it was given: {times:?}");
}

/// Opening the store again finds the same log, byte for byte, and the same head.
pub(crate) async fn is_the_same_after_reopening(subject: &dyn Subject) {
    let store = seven(subject).await;
    append(
        &store,
        [tagged("$a-1", &["k:1", "k:2"]), heavy("a-1", 100_000), numbered("a-1", 8).with_id(id(8))],
    )
    .await;
    let (events, before) = (log(&store).await, store.head().await.unwrap());
    let store = reopen(subject, store).await;
    assert_eq!(log(&store).await, events);
    assert_eq!(store.head().await.unwrap(), before);
    assert_eq!(store.event(id(8)).await.unwrap().as_ref(), events.last());
}

/// Opening the store again goes on with the next position.
pub(crate) async fn goes_on_after_reopening(subject: &dyn Subject) {
    let mut store = seven(subject).await;
    for number in 8..11 {
        store = reopen(subject, store).await;
        assert_eq!(append(&store, [event("a-1")]).await.range, Some((position(number), position(number))));
    }
    assert_eq!(positions(&log(&store).await), (1..=10).collect::<Vec<_>>());
}

/// Opening the store again is no new epoch: cursors stay good.
pub(crate) async fn keeps_its_epoch_when_reopened(subject: &dyn Subject) {
    let store = seven(subject).await;
    let cursor = Cursor::new(store.head().await.unwrap().cursor.epoch().clone(), position(5));
    let store = reopen(subject, store).await;
    assert_eq!(store.head().await.unwrap().cursor.epoch(), cursor.epoch());
    assert_eq!(positions(&read(&store, LogQuery::after(cursor)).await), [6, 7]);
}
