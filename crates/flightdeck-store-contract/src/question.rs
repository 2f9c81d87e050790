//! Questions to the log: values in JSON, counts by day, streams that are silent or alike, and where an answer ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use flightdeck_core::limits::{PAGE_SCAN_EVENTS_MAX, QUESTION_ROWS_MAX};
use flightdeck_core::{Clock, Cursor, Epoch, Further, Metadata, Reference, Timestamp};
use flightdeck_store::question::{AlikeStream, Day, DayCount, Number, Part, Pointer, Scalar, SilentStream};
use flightdeck_store::{
    Ask, Budget, Filter, Found, InvalidRead, Limit, LogAnswer, LogQuestion, NewEvent, StoreError,
    StreamPattern, TooMuch, TypePattern,
};

use crate::Subject;
use crate::given::{
    Store, append, at_once, event, event_type, fill, head, json, limit, numbered, position, positions,
    stream, tag, tagged, typed,
};

/// How many answers a question of a rule may take.
const ANSWERS_MAX: usize = 1_000;

fn path(text: &str) -> Pointer {
    Pointer::parse(text).unwrap()
}

fn value(text: &str) -> Scalar {
    Scalar::from_json(text).unwrap()
}

/// An event with that data.
fn with(name: &str, data: &str) -> NewEvent {
    NewEvent { data: json(data.to_owned()), ..event(name) }
}

fn of_streams(patterns: &[&str]) -> Filter {
    let streams = patterns.iter().map(|pattern| StreamPattern::parse(pattern).unwrap()).collect();
    Filter { streams, ..Filter::ALL }
}

async fn asked(store: &Store, question: &LogQuestion) -> LogAnswer {
    store.question(question).await.expect("the question is answered")
}

/// All answers to a question, end to end.
async fn answers(store: &Store, mut question: LogQuestion) -> Vec<LogAnswer> {
    let mut all = Vec::new();
    for _ in 0..ANSWERS_MAX {
        let answer = asked(store, &question).await;
        assert!(answer.scanned_to >= question.after.position(), "an answer never looks backwards");
        let next = question.next(&answer);
        all.push(answer);
        match next {
            Some(next) => question = next,
            None => return all,
        }
    }
    panic!("after {ANSWERS_MAX} answers the question has not come to its end");
}

/// The positions of the events that are found, in as many answers as it takes.
async fn found(store: &Store, question: LogQuestion) -> Vec<i64> {
    let of = |answer: LogAnswer| match answer.found {
        Found::Events(events) => positions(&events),
        other => panic!("events were asked for, and {other:?} came"),
    };
    answers(store, question).await.into_iter().flat_map(of).collect()
}

/// The positions of the events whose data has that value there.
async fn at(store: &Store, place: &str, json: &str) -> Vec<i64> {
    found(store, LogQuestion::with_data(path(place), value(json))).await
}

async fn silent(store: &Store, question: LogQuestion) -> Vec<SilentStream> {
    let of = |answer: LogAnswer| match answer.found {
        Found::Silent(streams) => streams,
        other => panic!("silent streams were asked for, and {other:?} came"),
    };
    answers(store, question).await.into_iter().flat_map(of).collect()
}

async fn days(store: &Store, question: LogQuestion) -> Vec<(String, String, i64)> {
    let row = |DayCount { day, event_type, events }| (day.to_string(), event_type.to_string(), events);
    match asked(store, &question).await.found {
        Found::Days(days) => days.into_iter().map(row).collect(),
        other => panic!("counts by day were asked for, and {other:?} came"),
    }
}

async fn alike(store: &Store, question: LogQuestion) -> Vec<AlikeStream> {
    match asked(store, &question).await.found {
        Found::Alike(streams) => streams,
        other => panic!("streams that are alike were asked for, and {other:?} came"),
    }
}

fn names(streams: &[AlikeStream]) -> Vec<&str> {
    streams.iter().map(|found| found.stream.as_str()).collect()
}

/// A clock that stands where it is put.
struct Put(AtomicI64);

impl Clock for Put {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

/// A store whose clock is put to the moments of what is appended, one append a moment.
async fn on(subject: &dyn Subject, given: &[(&str, Vec<NewEvent>)]) -> Store {
    let clock = Arc::new(Put(AtomicI64::new(0)));
    let store = subject.open_at(Arc::clone(&clock) as Arc<dyn Clock>).await;
    for (text, events) in given {
        clock.0.store(moment(text).micros(), Ordering::SeqCst);
        append(&store, events.clone()).await;
    }
    store
}

fn moment(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn day(text: &str) -> Day {
    text.parse().unwrap()
}

/// What is refused as too much.
async fn refused(store: &Store, question: &LogQuestion) -> TooMuch {
    match store.question(question).await {
        Err(StoreError::TooMuch(too_much)) => too_much,
        other => panic!("what is too much came to {other:?}"),
    }
}

/// A value is found at its path in the data of events, in the order of the log, and at no other place.
pub(crate) async fn finds_a_value_at_its_path(subject: &dyn Subject) {
    let store = subject.open().await;
    let given = [
        r#"{"name":"ada","of":{"name":"bob"}}"#,
        r#"{"of":{"name":"ada"},"name":"bob"}"#,
        r#"{"names":["ada","bob"],"name":["ada"]}"#,
        r#""ada""#,
        r#"{ "name" : "ada" }"#,
    ];
    append(&store, given.iter().map(|data| with("a-1", data))).await;
    for (place, expected) in [
        ("/name", vec![1, 5]),
        ("/of/name", vec![2]),
        ("/names/0", vec![3]),
        ("/name/0", vec![3]),
        ("", vec![4]),
        ("/names/1", vec![]),
        ("/of", vec![]),
    ] {
        assert_eq!(at(&store, place, "\"ada\"").await, expected, "{place}");
    }
}

/// A path is one of RFC 6901: `~1` and `~0` stand for a slash and a tilde, numbers name items or members, and of members with the
/// same name the last one counts.
pub(crate) async fn follows_a_path_to_the_letter(subject: &dyn Subject) {
    let store = subject.open().await;
    let given = [
        r#"{"a/b":1}"#,
        r#"{"a":{"b":1}}"#,
        r#"{"m~n":1}"#,
        r#"{"0":1}"#,
        "[1]",
        "[[2],1]",
        r#"{"a":1,"a":2}"#,
        r#"{"a":2,"\u0061":1}"#,
        r#"{"":1}"#,
        r#"{"A":1,"01":1}"#,
    ];
    append(&store, given.iter().map(|data| with("a-1", data))).await;
    for (place, expected) in [
        ("/a~1b", vec![1]),
        ("/a/b", vec![2]),
        ("/m~0n", vec![3]),
        ("/0", vec![4, 5]),
        ("/1", vec![6]),
        ("/01", vec![10]),
        ("/-", vec![]),
        ("/a", vec![8]),
        ("/", vec![9]),
    ] {
        assert_eq!(at(&store, place, "1").await, expected, "{place}");
    }
}

/// Numbers are the same by their decimal value, however they are written and whatever their size; nothing is rounded.
pub(crate) async fn compares_numbers_by_their_value(subject: &dyn Subject) {
    let store = subject.open().await;
    let given = [
        "1",
        "1.0",
        "10e-1",
        "1E0",
        "-1",
        "9007199254740992",
        "9007199254740993",
        "0.1",
        "0.1000000000000000055",
        "-0",
        "0e5",
        "100000000000000000000",
        "1e20",
        "12345678901234567890123.5",
    ];
    append(&store, given.iter().map(|number| with("a-1", &format!("{{\"n\":{number}}}")))).await;
    for (number, expected) in [
        ("1", vec![1, 2, 3, 4]),
        ("1.000", vec![1, 2, 3, 4]),
        ("-1", vec![5]),
        ("9007199254740992", vec![6]),
        ("9007199254740993", vec![7]),
        ("9007199254740993.0", vec![7]),
        ("0.1", vec![8]),
        ("0", vec![10, 11]),
        ("1e20", vec![12, 13]),
        ("12345678901234567890123.50", vec![14]),
        ("12345678901234567890123", vec![]),
    ] {
        assert_eq!(at(&store, "/n", number).await, expected, "{number}");
    }
    let number = Number::from(9_007_199_254_740_993);
    assert_eq!(found(&store, LogQuestion::with_data(path("/n"), number)).await, [7]);
}

/// Only values of the same kind are the same: a text is no number, nothing is not `null`; texts are the same by their characters,
/// however those were written.
pub(crate) async fn tells_kinds_of_values_apart(subject: &dyn Subject) {
    let store = subject.open().await;
    let given = [
        "1",
        "\"1\"",
        "true",
        "\"true\"",
        "null",
        "\"null\"",
        "false",
        "0",
        "\"\"",
        "{}",
        "[]",
        r#""caf\u00e9""#,
        "\"café\"",
        "\"Café\"",
        "\"cafe\u{301}\"",
        r#""a\"b\\""#,
        "\"'; --\"",
    ];
    append(&store, given.iter().map(|given| with("a-1", &format!("{{\"v\":{given}}}")))).await;
    append(&store, [with("a-1", "{}")]).await;
    for (json, expected) in [
        ("1", vec![1]),
        ("\"1\"", vec![2]),
        ("true", vec![3]),
        ("\"true\"", vec![4]),
        ("null", vec![5]),
        ("\"null\"", vec![6]),
        ("false", vec![7]),
        ("0", vec![8]),
        ("\"\"", vec![9]),
        ("\"café\"", vec![12, 13]),
        (r#""a\"b\\""#, vec![16]),
        ("\"'; --\"", vec![17]),
    ] {
        assert_eq!(at(&store, "/v", json).await, expected, "{json}");
    }
}

/// A value is found in the metadata: among the client's further members, and in the server's own by their names.
pub(crate) async fn finds_a_value_in_metadata(subject: &dyn Subject) {
    let store = subject.open().await;
    let metadata = |actor: &str, further: &str| Metadata {
        actor: Some(Reference::new(actor).unwrap()),
        correlation: Some(Reference::new("order-7").unwrap()),
        causation: None,
        occurred: Some(moment("2026-11-21T09:30:00Z")),
        further: Some(Further::new(further.to_owned()).unwrap()),
    };
    let given = [
        event("a-1").with_metadata(metadata("ada", r#"{"shop":{"id":7}}"#)),
        event("a-1").with_metadata(metadata("bob", r#"{"shop":{"id":8},"name":"ada"}"#)),
        with("a-1", r#"{"userId":"ada","shop":{"id":7}}"#),
    ];
    append(&store, given).await;
    for (place, json, expected) in [
        ("/userId", "\"ada\"", vec![1]),
        ("/name", "\"ada\"", vec![2]),
        ("/correlationId", "\"order-7\"", vec![1, 2]),
        ("/causationId", "null", vec![]),
        ("/occurredAt", "\"2026-11-21T09:30:00.000000Z\"", vec![1, 2]),
        ("/shop/id", "7", vec![1]),
        ("/shop/id", "8.0", vec![2]),
        ("/userId/0", "\"ada\"", vec![]),
    ] {
        let question = LogQuestion::with_metadata(path(place), value(json));
        assert_eq!(found(&store, question).await, expected, "{place}");
    }
    assert_eq!(at(&store, "/userId", "\"ada\"").await, [3], "data and metadata are two things");
}

/// An answer has at most as many events as its limit says, and answers of any size, end to end, have everything once.
pub(crate) async fn comes_whole_in_answers_of_any_size(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, (1..=20).map(|number| with("a-1", &format!("{{\"odd\":{}}}", number % 2 == 1)))).await;
    let expected: Vec<i64> = (1..=20).step_by(2).collect();
    for size in [1, 2, 3, 9, 10, 11] {
        let question = LogQuestion::with_data(path("/odd"), true).limited(limit(size));
        for answer in answers(&store, question.clone()).await {
            assert!(matches!(answer.found, Found::Events(events) if events.len() <= size), "by {size}");
        }
        assert_eq!(found(&store, question).await, expected, "by {size}");
    }
}

/// An answer has about 1 MiB of data at most, and at least one event when there is one.
pub(crate) async fn has_answers_of_a_mebibyte_at_most(subject: &dyn Subject) {
    let store = subject.open().await;
    let large = with("a-1", &format!("{{\"v\":1,\"x\":\"{}\"}}", "x".repeat(250_000)));
    for _ in 0..6 {
        append(&store, [large.clone()]).await;
    }
    let question = LogQuestion::with_data(path("/v"), 1);
    let all = answers(&store, question).await;
    let sizes: Vec<usize> = all
        .iter()
        .map(|answer| match &answer.found {
            Found::Events(events) => events.len(),
            _ => 0,
        })
        .collect();
    assert_eq!(sizes, [4, 2]);
}

/// An answer looks at a stretch of the log no longer than its budget, whether events pass or not, and says how far it came.
pub(crate) async fn looks_only_as_far_as_its_budget(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 10).await;
    append(&store, [with("b-1", "{\"v\":1}")]).await;
    let budget = Budget::new(4, Duration::MAX).unwrap();
    for filter in [Filter::ALL, of_streams(&["b-1"]), Filter::tagged(tag("k:1"))] {
        let question = LogQuestion { budget, ..LogQuestion::with_data(path("/v"), 1) }.matching(filter);
        let seen: Vec<_> = answers(&store, question)
            .await
            .iter()
            .map(|answer| (answer.scanned_to.get(), answer.end))
            .collect();
        assert_eq!(seen, [(4, false), (8, false), (11, true)]);
    }
    let question = LogQuestion { budget, ..LogQuestion::of(Ask::Silent { limit: Limit::MAX }) };
    assert_eq!(asked(&store, &question).await.scanned_to, position(4));
}

/// When its time is up an answer says how far it came; however little time there is, it looks at something, so that whoever goes
/// on comes to the end.
pub(crate) async fn goes_on_when_its_time_is_up(subject: &dyn Subject) {
    let store = subject.open().await;
    let count = PAGE_SCAN_EVENTS_MAX + 1_500;
    for number in 0..count / 500 {
        append(&store, (0..500).map(|_| numbered(&format!("a-{number}"), 1))).await;
    }
    append(&store, [with("b-1", "{\"v\":1}")]).await;
    let budget = Budget::new(i64::MAX, Duration::ZERO).unwrap();
    let question = LogQuestion { budget, ..LogQuestion::with_data(path("/v"), 1) };
    let first = asked(&store, &question).await;
    assert!(!first.end && first.scanned_to.get() > 0, "no time: {first:?}");
    assert_eq!(found(&store, question).await, [count + 1]);
    let question = LogQuestion { budget, ..LogQuestion::of(Ask::Silent { limit: Limit::MAX }) };
    assert!(!asked(&store, &question).await.end);
    assert_eq!(silent(&store, question).await.len(), usize::try_from(count / 500).unwrap() + 1);
}

/// `after` excludes and `until` includes, as in a read; behind the head there is nothing.
pub(crate) async fn after_excludes_and_until_includes(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, (0..7).map(|_| with("a-1", "{\"v\":1}"))).await;
    for (after, until, expected) in [
        (0, None, vec![1, 2, 3, 4, 5, 6, 7]),
        (2, Some(5), vec![3, 4, 5]),
        (6, None, vec![7]),
        (4, Some(4), vec![]),
        (5, Some(2), vec![]),
        (5, Some(100), vec![6, 7]),
        (7, None, vec![]),
        (100, None, vec![]),
    ] {
        let question = LogQuestion {
            after: position(after).into(),
            until: until.map(position),
            ..LogQuestion::with_data(path("/v"), 1)
        };
        let answer = asked(&store, &question).await;
        assert!(answer.end, "{after} {until:?}");
        assert!(answer.scanned_to >= position(after), "{after} {until:?}");
        assert_eq!(found(&store, question.clone()).await, expected, "{after} {until:?}");
        let counted: i64 =
            days(&store, LogQuestion { ask: Ask::Days, ..question }).await.iter().map(|row| row.2).sum();
        assert_eq!(counted, i64::try_from(expected.len()).unwrap(), "{after} {until:?}");
    }
}

/// A question is about events recorded at `from` or later, and before `to`.
pub(crate) async fn from_includes_and_to_excludes(subject: &dyn Subject) {
    let one = || vec![with("a-1", "{\"v\":1}")];
    let moments = ["10:00:00", "10:00:01", "10:00:01", "10:00:02.000001"];
    let moments = moments.map(|time| format!("2026-11-21T{time}Z"));
    let given: Vec<_> = moments.iter().map(|moment| (moment.as_str(), one())).collect();
    let store = on(subject, &given).await;
    for (from, to, expected) in [
        (None, None, vec![1, 2, 3, 4]),
        (Some("10:00:01"), None, vec![2, 3, 4]),
        (Some("10:00:01.000001"), None, vec![4]),
        (None, Some("10:00:01"), vec![1]),
        (None, Some("10:00:01.000001"), vec![1, 2, 3]),
        (Some("10:00:01"), Some("10:00:02.000001"), vec![2, 3]),
        (Some("09:00:00"), Some("10:00:00"), vec![]),
        (Some("11:00:00"), None, vec![]),
        (Some("10:00:02"), Some("10:00:01"), vec![]),
    ] {
        let of = |time: Option<&str>| time.map(|time| moment(&format!("2026-11-21T{time}Z")));
        let question = LogQuestion { from: of(from), to: of(to), ..LogQuestion::with_data(path("/v"), 1) };
        assert!(asked(&store, &question).await.end, "{from:?} {to:?}");
        assert_eq!(found(&store, question).await, expected, "{from:?} {to:?}");
    }
}

/// What a read with the filter does not show, no answer shows: not as an event, not in a count, not as a stream.
pub(crate) async fn shows_nothing_that_does_not_pass(subject: &dyn Subject) {
    let store = subject.open().await;
    let given = ["a-1", "a-2", "b-1", "$a-1"].map(|name| with(name, "{\"v\":1}"));
    append(&store, given).await;
    append(&store, [NewEvent { tags: tagged("a-2", &["k:1"]).tags, ..with("a-2", "{\"v\":1}") }]).await;
    append(&store, [NewEvent { data: json("{\"v\":1}"), ..typed("a-3", "Other") }]).await;
    let of_type = |name: &str| Filter { types: vec![TypePattern::Exact(event_type(name))], ..Filter::ALL };
    for (filter, expected, resting) in [
        (Filter::ALL, vec![1, 2, 3, 4, 5, 6], vec!["a-1", "b-1", "$a-1", "a-2", "a-3"]),
        (of_streams(&["*"]), vec![1, 2, 3, 5, 6], vec!["a-1", "b-1", "a-2", "a-3"]),
        (of_streams(&["a-*"]), vec![1, 2, 5, 6], vec!["a-1", "a-2", "a-3"]),
        (of_streams(&["a-2", "$a-1"]), vec![2, 4, 5], vec!["$a-1", "a-2"]),
        (of_type("Other"), vec![6], vec!["a-3"]),
        (Filter::tagged(tag("k:1")), vec![5], vec!["a-2"]),
    ] {
        let question = LogQuestion::with_data(path("/v"), 1).matching(filter.clone());
        assert_eq!(found(&store, question).await, expected, "{filter:?}");
        let counted = days(&store, LogQuestion::of(Ask::Days).matching(filter.clone())).await;
        let counted: i64 = counted.iter().map(|(_, _, events)| events).sum();
        assert_eq!(counted, i64::try_from(expected.len()).unwrap(), "{filter:?}");
        let question = LogQuestion::of(Ask::Silent { limit: Limit::MAX }).matching(filter.clone());
        let streams = silent(&store, question).await;
        let streams: Vec<_> = streams.iter().map(|found| found.stream.as_str()).collect();
        assert_eq!(streams, resting, "{filter:?}");
    }
    for (filter, expected) in [(of_streams(&["*"]), vec!["a-2", "b-1"]), (of_streams(&["b-1"]), vec![])] {
        let question = LogQuestion::alike(stream("a-1")).matching(filter.clone());
        assert_eq!(names(&alike(&store, question).await), expected, "{filter:?}");
    }
}

/// Events are counted by their day in UTC and by their type, between two days, both included.
pub(crate) async fn counts_events_by_day_and_type(subject: &dyn Subject) {
    let given = [
        ("2026-11-20T23:59:59.999999Z", vec![typed("a-1", "B")]),
        ("2026-11-21T00:00:00Z", vec![typed("a-1", "B"), typed("a-2", "a"), typed("a-1", "B")]),
        ("2026-11-21T23:59:59.999999Z", vec![typed("a-1", "A")]),
        ("2026-11-23T12:00:00Z", vec![typed("a-1", "B")]),
        ("2026-11-24T00:00:00Z", vec![typed("a-1", "B")]),
    ];
    let store = on(subject, &given).await;
    let row = |day: &str, of: &str, events| (format!("2026-11-{day}"), of.to_owned(), events);
    let asked_days = days(&store, LogQuestion::by_day(day("2026-11-21"), day("2026-11-23"))).await;
    assert_eq!(asked_days, [row("21", "A", 1), row("21", "B", 2), row("21", "a", 1), row("23", "B", 1)]);
    let all = days(&store, LogQuestion::of(Ask::Days)).await;
    assert_eq!(all.first(), Some(&row("20", "B", 1)));
    assert_eq!(all.last(), Some(&row("24", "B", 1)));
    assert_eq!(days(&store, LogQuestion::by_day(day("2026-11-22"), day("2026-11-22"))).await, []);
}

/// A count over more events of the log than its budget has is refused, with both numbers, and never cut.
pub(crate) async fn refuses_to_count_more_than_its_budget(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 10).await;
    let budget = |events| Budget::new(events, Duration::MAX).unwrap();
    for ask in [Ask::Days, Ask::Alike { stream: stream("a-1"), limit: Limit::MAX }] {
        let question = LogQuestion { budget: budget(9), ..LogQuestion::of(ask) };
        let expected = TooMuch::Events { events: 10, events_max: 9 };
        assert_eq!(refused(&store, &question).await, expected);
        assert_eq!(refused(&store, &question.clone().matching(of_streams(&["b-1"]))).await, expected);
        assert!(asked(&store, &LogQuestion { after: position(1).into(), ..question.clone() }).await.end);
        assert!(asked(&store, &LogQuestion { budget: budget(10), ..question }).await.end);
    }
}

/// A count that is not done when its time is up is refused.
pub(crate) async fn refuses_to_count_when_its_time_is_up(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 10).await;
    let budget = Budget::new(1_000, Duration::ZERO).unwrap();
    for ask in [Ask::Days, Ask::Alike { stream: stream("a-1"), limit: Limit::MAX }] {
        let question = LogQuestion { budget, ..LogQuestion::of(ask) };
        assert_eq!(refused(&store, &question).await, TooMuch::Time { time_ms_max: 0 });
    }
}

/// A count of more rows than an answer may have is refused.
pub(crate) async fn refuses_more_rows_than_an_answer_has(subject: &dyn Subject) {
    let store = subject.open().await;
    let types: Vec<_> = (0..=QUESTION_ROWS_MAX).map(|number| typed("a-1", &format!("T{number}"))).collect();
    for events in types.chunks(1_000) {
        append(&store, events.to_vec()).await;
    }
    let question = LogQuestion::of(Ask::Days);
    assert_eq!(refused(&store, &question).await, TooMuch::Rows { rows_max: QUESTION_ROWS_MAX });
}

/// A stream is silent since a moment if its last event was recorded before; it is listed with that event, the longest silent first.
pub(crate) async fn lists_streams_by_their_silence(subject: &dyn Subject) {
    let given = [
        ("2026-11-20T10:00:00Z", vec![event("z-1"), event("a-1"), event("b-1")]),
        ("2026-11-21T10:00:00Z", vec![event("a-1"), event("c-1"), event("c-1")]),
        ("2026-11-22T10:00:00Z", vec![event("b-1"), event("d-1")]),
    ];
    let store = on(subject, &given).await;
    let rows = |streams: Vec<SilentStream>| -> Vec<_> {
        let row = |found: SilentStream| (found.stream.to_string(), found.position.get(), found.version.get());
        streams.into_iter().map(row).collect()
    };
    let row = |name: &str, position, version| (name.to_owned(), position, version);
    let since = |text| LogQuestion::silent_since(moment(text));
    let found = silent(&store, since("2026-11-22T10:00:00Z")).await;
    assert_eq!(
        found.iter().map(|found| found.updated).collect::<Vec<_>>(),
        [moment("2026-11-20T10:00:00Z"), moment("2026-11-21T10:00:00Z"), moment("2026-11-21T10:00:00Z"),]
    );
    assert_eq!(rows(found), [row("z-1", 1, 1), row("a-1", 4, 2), row("c-1", 6, 2)]);
    assert_eq!(rows(silent(&store, since("2026-11-20T10:00:00Z")).await), []);
    assert_eq!(rows(silent(&store, since("2026-11-20T10:00:00.000001Z")).await), [row("z-1", 1, 1)]);
    assert_eq!(silent(&store, since("2027-01-01T00:00:00Z")).await.len(), 5);
}

/// Silent streams come in answers of any size, each once.
pub(crate) async fn lists_silent_streams_in_answers_of_any_size(subject: &dyn Subject) {
    let store = subject.open().await;
    for round in 0..3 {
        append(&store, (round..10).map(|number| event(&format!("a-{number}")))).await;
    }
    let expected: Vec<String> = (0..10).map(|number| format!("a-{number}")).collect();
    for size in [1, 2, 3, 9, 10, 11] {
        let question = LogQuestion::of(Ask::Silent { limit: limit(size) });
        for answer in answers(&store, question.clone()).await {
            assert!(matches!(answer.found, Found::Silent(streams) if streams.len() <= size), "by {size}");
        }
        let found = silent(&store, question).await;
        let found: Vec<_> = found.iter().map(|found| found.stream.to_string()).collect();
        assert_eq!(found, expected, "by {size}");
    }
}

/// A stream whose last event does not pass the filter is not silent by an earlier one that does.
pub(crate) async fn is_silent_by_its_very_last_event(subject: &dyn Subject) {
    let store = subject.open().await;
    let given = [typed("a-1", "Placed"), typed("a-2", "Placed"), typed("a-2", "Paid"), typed("a-3", "Paid")];
    append(&store, given).await;
    let types = vec![TypePattern::Exact(event_type("Placed"))];
    let question = LogQuestion::of(Ask::Silent { limit: Limit::MAX });
    let found = silent(&store, question.matching(Filter { types, ..Filter::ALL })).await;
    assert_eq!(found.iter().map(|found| found.stream.as_str()).collect::<Vec<_>>(), ["a-1"]);
}

/// The events of a stream, by their types.
fn mix(name: &str, types: &[(&str, usize)]) -> Vec<NewEvent> {
    types.iter().flat_map(|(of, count)| (0..*count).map(|_| typed(name, of))).collect()
}

/// Streams are similar by the cosine of how many events they have of each type: the most similar come first, as many as are asked for,
/// and those with no type in common not at all.
pub(crate) async fn finds_streams_of_a_similar_mix(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, mix("a-own", &[("A", 2), ("B", 1)])).await;
    append(&store, mix("a-far", &[("A", 1), ("B", 7)])).await;
    append(&store, mix("a-none", &[("C", 3)])).await;
    append(&store, mix("a-same", &[("B", 3), ("A", 6)])).await;
    append(&store, mix("a-near", &[("A", 2), ("B", 1), ("C", 1)])).await;
    append(&store, mix("b-same", &[("A", 2), ("B", 1)])).await;
    let question = LogQuestion::alike(stream("a-own"));
    let found = alike(&store, question.clone()).await;
    assert_eq!(names(&found), ["a-same", "a-near", "a-far"], "of its category");
    assert_eq!(found.iter().map(|found| found.events).collect::<Vec<_>>(), [9, 4, 8]);
    let expected = [1.0, 5.0 / (5.0_f64.sqrt() * 6.0_f64.sqrt()), 9.0 / (5.0_f64.sqrt() * 50.0_f64.sqrt())];
    for (found, expected) in found.iter().zip(expected) {
        assert!((found.similarity - expected).abs() < 1e-12, "{found:?} is not {expected}");
    }
    assert_eq!(found[0].similarity.to_bits(), 1.0_f64.to_bits(), "exactly the same mix");
    assert_eq!(names(&alike(&store, question.clone().limited(limit(2))).await), ["a-same", "a-near"]);
    let everywhere = alike(&store, question.matching(Filter::ALL)).await;
    assert_eq!(names(&everywhere), ["a-same", "b-same", "a-near", "a-far"]);
}

/// Streams that are equally similar come by the bytes of their names, also where a limit cuts.
pub(crate) async fn breaks_ties_by_name(subject: &dyn Subject) {
    let store = subject.open().await;
    for (name, times) in [("a-b", 3), ("a-0", 1), ("a-own", 1), ("a-B", 2), ("a-z", 1), ("a-a", 5)] {
        append(&store, mix(name, &[("A", times), ("B", 2 * times)])).await;
    }
    let question = LogQuestion::alike(stream("a-own"));
    assert_eq!(names(&alike(&store, question.clone()).await), ["a-0", "a-B", "a-a", "a-b", "a-z"]);
    assert_eq!(names(&alike(&store, question.limited(limit(3))).await), ["a-0", "a-B", "a-a"]);
}

/// A stream is not found to be like itself, and one that never was, or that the filter leaves out, is like no other.
pub(crate) async fn is_like_others_only(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [event("a-1"), event("a-2"), event("$a-1")]).await;
    assert_eq!(names(&alike(&store, LogQuestion::alike(stream("a-1"))).await), ["a-2"]);
    assert_eq!(names(&alike(&store, LogQuestion::alike(stream("a-3"))).await), [""; 0]);
    let unseen = LogQuestion::alike(stream("$a-1")).matching(of_streams(&["*"]));
    assert_eq!(names(&alike(&store, unseen).await), [""; 0]);
}

/// An answer goes by one head, which it says: while others write, a count has exactly the events up to there.
pub(crate) async fn goes_by_the_head_that_it_says(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 10).await;
    let task = |number: usize| {
        let store = Arc::clone(&store);
        async move {
            for round in 0..10 {
                if number.is_multiple_of(2) {
                    append(&store, [numbered(&format!("a-{number}"), round), event("a-1")]).await;
                    continue;
                }
                let answer = asked(&store, &LogQuestion::of(Ask::Days)).await;
                let Found::Days(rows) = &answer.found else { panic!("counts were asked for") };
                let counted: i64 = rows.iter().map(|row| row.events).sum();
                assert_eq!(counted, answer.head.position().get());
                assert_eq!((answer.scanned_to, answer.end), (answer.head.position(), true));
            }
        }
    };
    at_once(4, task).await;
    let answer = asked(&store, &LogQuestion::of(Ask::Days)).await;
    assert_eq!(answer.head.position().get(), head(&store).await);
    assert_eq!(answer.head, store.head().await.unwrap().cursor);
}

/// A cursor of another epoch is refused; those of its own answers and bare positions are good.
pub(crate) async fn refuses_a_cursor_of_another_epoch(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [with("a-1", "{\"v\":1}"), with("a-1", "{\"v\":1}")]).await;
    let question = LogQuestion::with_data(path("/v"), 1).limited(limit(1));
    let answer = asked(&store, &question).await;
    assert_eq!(found(&store, question.next(&answer).unwrap()).await, [2]);
    let own = answer.head;
    let other = if own.epoch().as_str() == "foreign" { "foreign2" } else { "foreign" };
    let foreign = Cursor::new(Epoch::new(other).unwrap(), position(1));
    for ask in [question.ask, Ask::Days, Ask::Silent { limit: Limit::MAX }] {
        let question = LogQuestion { after: foreign.clone().into(), ..LogQuestion::of(ask) };
        match store.question(&question).await {
            Err(StoreError::EpochChanged { head }) => assert_eq!(head, own),
            other => panic!("a cursor of another epoch came to {other:?}"),
        }
    }
}

/// A filter, or a value, that is too long is refused.
pub(crate) async fn refuses_what_has_no_end(subject: &dyn Subject) {
    let store = subject.open().await;
    let types = (0..65).map(|number| TypePattern::Exact(event_type(&format!("T{number}")))).collect();
    let question = LogQuestion::of(Ask::Days).matching(Filter { types, ..Filter::ALL });
    let answer = store.question(&question).await;
    assert!(matches!(answer, Err(StoreError::Invalid(InvalidRead::TooMany { .. }))), "{answer:?}");
    let of = |bytes: usize| Ask::Events {
        part: Part::Data,
        path: path("/v"),
        value: Scalar::Text("x".repeat(bytes).into()),
        limit: Limit::MAX,
    };
    let answer = store.question(&LogQuestion::of(of(4_097))).await;
    assert!(matches!(answer, Err(StoreError::Invalid(InvalidRead::TooLong { .. }))), "{answer:?}");
    assert!(asked(&store, &LogQuestion::of(of(4_096))).await.end);
}
