//! Appending: expectations, atomicity, order, what comes back, and many writers at once.

use std::collections::BTreeSet;
use std::sync::Arc;

use flightdeck_core::limits::{EVENT_DATA_BYTES_MAX, JSON_DEPTH_MAX};
use flightdeck_core::{Further, Json, Metadata, Reference, SchemaNumber};
use flightdeck_store::{
    Append, AppendError, AppendedStream, Condition, ConditionItem, Expected, InvalidAppend, NewEvent, Outcome,
};
use futures_util::FutureExt as _;

use crate::Subject;
use crate::given::{
    append, at_once, event, event_type, events_of, fill, head, heavy, id, json, log, numbered, one_each,
    position, positions, refusal, request, stream, streams, tag, tagged, texts, typed, version, versions,
};

/// The answer names the streams in the order of their first event, their versions, the range, and a cursor.
pub(crate) async fn answers_with_what_was_done(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "b-1", 2).await;
    let done = append(&store, [event("b-1"), event("c-1"), event("a-1"), event("b-1")]).await;
    let of =
        |name, from, to| AppendedStream { stream: stream(name), from: version(from), version: version(to) };
    assert_eq!(done.streams, [of("b-1", 3, 4), of("c-1", 1, 1), of("a-1", 1, 1)]);
    assert_eq!(done.range, Some((position(3), position(6))));
    assert_eq!(done.cursor, store.head().await.unwrap().cursor);
    assert_eq!(done.cursor.position(), position(6));
    assert!(!done.duplicate);
}

/// A stream without an expectation may be in any state, and goes on from its last version.
pub(crate) async fn goes_on_from_the_last_version(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["a-1", "b-1", "a-1", "a-1", "b-1"]).await;
    assert_eq!(versions(&events_of(&store, "a-1").await), [1, 2, 3]);
    assert_eq!(versions(&events_of(&store, "b-1").await), [1, 2]);
}

/// An append that expects a version that the stream has left behind is refused.
pub(crate) async fn refuses_a_stale_version(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    let stale = Append::of([event("a-1")]).expecting(stream("a-1"), Expected::Exactly(version(2)));
    assert!(matches!(refusal(&store, stale).await, AppendError::Conflict(_)));
}

/// An append that expects a version that the stream has not reached is refused.
pub(crate) async fn refuses_a_version_ahead_of_the_stream(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    for (name, ahead) in [("a-1", 4), ("none-1", 1)] {
        let append = Append::of([event(name)]).expecting(stream(name), Expected::Exactly(version(ahead)));
        assert!(matches!(refusal(&store, append).await, AppendError::Conflict(_)));
    }
}

/// An append that expects no stream is refused when there is one.
pub(crate) async fn refuses_an_existing_stream_where_none_is_expected(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 1).await;
    let create = Append::of([event("a-1")]).expecting(stream("a-1"), Expected::NoStream);
    assert!(matches!(refusal(&store, create).await, AppendError::Conflict(_)));
}

/// An append that expects a stream is refused when there is none.
pub(crate) async fn refuses_a_missing_stream_where_one_is_expected(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 1).await;
    let change = Append::of([event("a-2")]).expecting(stream("a-2"), Expected::Exists);
    assert!(matches!(refusal(&store, change).await, AppendError::Conflict(_)));
}

/// An append whose expectations hold is taken: there are no false conflicts.
pub(crate) async fn takes_every_expectation_that_holds(subject: &dyn Subject) {
    let store = subject.open().await;
    let holding = [
        Expected::NoStream,
        Expected::Exists,
        Expected::Exactly(version(2)),
        Expected::Any,
        Expected::Exactly(version(4)),
    ];
    for expected in holding {
        let append = Append::of([event("a-1")]).expecting(stream("a-1"), expected);
        let done = store.append(append).await;
        assert!(done.is_ok(), "{expected} holds, and yet: {done:?}");
    }
    let any = Append::of([event("new-1")]).expecting(stream("new-1"), Expected::Any);
    assert!(store.append(any).await.is_ok(), "any state is the state of no stream too");
}

/// What happens to other streams, also of the same category, is no conflict.
pub(crate) async fn is_not_disturbed_by_other_streams(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 1).await;
    one_each(&store, &["a-2", "a-10", "b-1", "a"]).await;
    let append = Append::of([event("a-1")])
        .expecting(stream("a-1"), Expected::Exactly(version(1)))
        .expecting(stream("a-3"), Expected::NoStream);
    assert_eq!(store.append(append).await.unwrap().version_of(&stream("a-1")), Some(version(2)));
}

/// An expectation is about the state before the append, however many events the stream receives.
pub(crate) async fn expects_the_state_before_the_append(subject: &dyn Subject) {
    let store = subject.open().await;
    let first = Append::of([event("a-1"), event("a-1")]).expecting(stream("a-1"), Expected::NoStream);
    store.append(first).await.unwrap();
    let second = Append::of([event("a-1"), event("b-1"), event("a-1")])
        .expecting(stream("a-1"), Expected::Exactly(version(2)))
        .expecting(stream("b-1"), Expected::NoStream);
    assert_eq!(store.append(second).await.unwrap().version_of(&stream("a-1")), Some(version(4)));
    let own = Append::of([event("c-1"), event("c-1")]).expecting(stream("c-1"), Expected::Exists);
    assert!(matches!(refusal(&store, own).await, AppendError::Conflict(_)));
}

/// An expectation about a stream that receives nothing counts like any other.
pub(crate) async fn looks_at_streams_that_receive_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "read-1", 2).await;
    let reading =
        |seen| Append::of([event("a-1")]).expecting(stream("read-1"), Expected::Exactly(version(seen)));
    assert!(matches!(refusal(&store, reading(1)).await, AppendError::Conflict(_)));
    let done = store.append(reading(2)).await.unwrap();
    assert_eq!(done.version_of(&stream("read-1")), None);
    assert_eq!(versions(&events_of(&store, "read-1").await), [1, 2]);
}

/// With one stale stream among many, written or only read, nothing is appended to any of them.
pub(crate) async fn refuses_all_when_one_of_many_streams_is_stale(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["a-1", "b-1", "c-1", "c-1", "read-1", "read-1"]).await;
    for stale in ["c-1", "read-1"] {
        let mut append = Append::of([event("a-1"), event("b-1"), event("a-1"), event("c-1"), event("d-1")]);
        for (name, seen) in [("a-1", 1), ("b-1", 1), ("c-1", 2), ("read-1", 2)] {
            let seen = if name == stale { 1 } else { seen };
            append = append.expecting(stream(name), Expected::Exactly(version(seen)));
        }
        let AppendError::Conflict(conflict) = refusal(&store, append).await else { panic!("not a conflict") };
        assert_eq!(conflict.stream, stream(stale));
    }
    assert_eq!(versions(&events_of(&store, "a-1").await), [1]);
    assert!(store.stream(&stream("d-1")).await.unwrap().is_none(), "a stream came to be by a refused append");
}

/// Of several conflicts the first one in the order given is reported.
pub(crate) async fn reports_the_first_conflict_in_the_order_given(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["a-1", "b-1", "c-1"]).await;
    for order in [["c-1", "a-1", "b-1"], ["b-1", "c-1", "a-1"]] {
        let append = order.iter().fold(Append::of([event("a-1"), event("b-1")]), |append, name| {
            append.expecting(stream(name), Expected::NoStream)
        });
        let AppendError::Conflict(conflict) = refusal(&store, append).await else { panic!("not a conflict") };
        assert_eq!(conflict.stream, stream(order[0]));
    }
}

/// A conflict says which stream it is about, what was expected, and what is there.
pub(crate) async fn says_what_a_conflict_is_about(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    for (name, expected, actual) in [
        ("a-1", Expected::Exactly(version(2)), Some(version(3))),
        ("a-1", Expected::NoStream, Some(version(3))),
        ("b-1", Expected::Exists, None),
        ("b-1", Expected::Exactly(version(1)), None),
    ] {
        let error = refusal(&store, Append::of([event("a-1")]).expecting(stream(name), expected)).await;
        let AppendError::Conflict(conflict) = error else { panic!("not a conflict: {error}") };
        assert_eq!((conflict.stream, conflict.expected, conflict.actual), (stream(name), expected, actual));
    }
}

/// Whatever an append is refused for, it is known for certain that it is not committed.
pub(crate) async fn says_of_a_refusal_that_nothing_was_committed(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [tagged("a-1", &["k:1"]).with_id(id(1))]).await;
    store.append(Append::of([]).with_request(request("me", "key", 1))).await.unwrap();
    let spoilt = Condition {
        any: vec![ConditionItem { tags: vec![tag("k:1")], types: vec![] }],
        ..Condition::default()
    };
    for (what, append) in [
        ("a conflict", Append::of([event("a-1")]).expecting(stream("a-1"), Expected::NoStream)),
        ("a condition", Append::of([event("a-1")]).on_condition(spoilt)),
        ("a reused id", Append::of([numbered("a-1", 2).with_id(id(1))])),
        ("a reused key", Append::of([event("a-1")]).with_request(request("me", "key", 2))),
        ("an invalid append", Append::of([event("a-1").with_id(id(2)), event("a-1").with_id(id(2))])),
    ] {
        let error = refusal(&store, append).await;
        assert_eq!(error.outcome(), Outcome::NotCommitted, "{what}: {error}");
        assert!(!error.retry_helps(), "{what}: the same append can't succeed later");
    }
}

/// Events stand next to each other in the order given, whatever streams they are of.
pub(crate) async fn keeps_interleaved_streams_in_their_order(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "b-1", 1).await;
    let order = ["c-1", "a-1", "b-1", "a-1", "c-1", "b-1", "a-1"];
    append(&store, order.iter().enumerate().map(|(number, name)| numbered(name, number))).await;
    let events = log(&store).await;
    assert_eq!(streams(&events[1..]), order);
    assert_eq!(texts(&events[1..]), ["0", "1", "2", "3", "4", "5", "6"]);
    assert_eq!(versions(&events[1..]), [1, 1, 2, 2, 2, 3, 3]);
    assert_eq!(positions(&events), (1..=8).collect::<Vec<_>>());
}

/// Each event says at which position its append ends.
pub(crate) async fn says_where_it_ends(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [event("a-1")]).await;
    append(&store, [event("a-1"), event("b-1"), event("a-1")]).await;
    append(&store, [event("b-1"), event("b-1")]).await;
    let ends: Vec<_> = log(&store).await.iter().map(|event| event.append_end.get()).collect();
    assert_eq!(ends, [1, 4, 4, 4, 6, 6]);
}

/// An append of no events writes nothing, and its answer says where the head is.
pub(crate) async fn of_nothing_writes_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 2).await;
    let before = store.head().await.unwrap();
    let append = Append::of([]).expecting(stream("a-1"), Expected::Exactly(version(2)));
    let done = store.append(append).await.unwrap();
    assert_eq!((done.streams, done.range, done.duplicate), (vec![], None, false));
    assert_eq!(done.cursor, before.cursor);
    assert_eq!(store.head().await.unwrap(), before);
    assert_eq!(log(&store).await.len(), 2);
}

/// An append of no events is refused like any other.
pub(crate) async fn of_nothing_is_refused_like_any_other(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [tagged("a-1", &["k:1"])]).await;
    let stale = Append::of([]).expecting(stream("a-1"), Expected::NoStream);
    assert!(matches!(refusal(&store, stale).await, AppendError::Conflict(_)));
    let any = vec![ConditionItem { tags: vec![tag("k:1")], types: vec![] }];
    let spoilt = Append::of([]).on_condition(Condition { any, ..Condition::default() });
    assert!(matches!(refusal(&store, spoilt).await, AppendError::ConditionFailed { .. }));
}

/// Two events of one append with the same id are refused as invalid.
pub(crate) async fn refuses_an_id_that_is_there_twice(subject: &dyn Subject) {
    let store = subject.open().await;
    let append = Append::of([event("a-1").with_id(id(1)), event("b-1"), event("b-1").with_id(id(1))]);
    let error = refusal(&store, append).await;
    assert!(
        matches!(&error, AppendError::Invalid(InvalidAppend::IdTwice { id: twice }) if *twice == id(1)),
        "{error}"
    );
    assert!(store.event(id(1)).await.unwrap().is_none());
}

/// Two expectations about one stream are refused as invalid, even if they agree.
pub(crate) async fn refuses_two_expectations_about_one_stream(subject: &dyn Subject) {
    let store = subject.open().await;
    let append = Append::of([event("a-1")])
        .expecting(stream("a-1"), Expected::NoStream)
        .expecting(stream("b-1"), Expected::Any)
        .expecting(stream("a-1"), Expected::NoStream);
    let error = refusal(&store, append).await;
    assert!(matches!(error, AppendError::Invalid(InvalidAppend::ExpectedTwice { .. })), "{error}");
}

/// A thousand events in one append are taken.
pub(crate) async fn takes_a_thousand_events(subject: &dyn Subject) {
    let store = subject.open().await;
    let done = fill(&store, "a-1", 1_000).await;
    assert_eq!(done.range, Some((position(1), position(1_000))));
    assert_eq!(versions(&events_of(&store, "a-1").await), (1..=1_000).collect::<Vec<_>>());
}

/// More than a thousand events in one append are refused as invalid.
pub(crate) async fn refuses_more_than_a_thousand_events(subject: &dyn Subject) {
    let store = subject.open().await;
    let error = refusal(&store, Append::of((0..1_001).map(|number| numbered("a-1", number)))).await;
    assert!(matches!(error, AppendError::Invalid(InvalidAppend::TooMany { found: 1_001, .. })), "{error}");
}

/// More than 4 MiB in one append are refused as invalid.
pub(crate) async fn refuses_more_than_four_mebibytes(subject: &dyn Subject) {
    let store = subject.open().await;
    let full = || (0..16).map(|_| heavy("a-1", EVENT_DATA_BYTES_MAX));
    let error = refusal(&store, Append::of(full().chain([event("a-1")]))).await;
    assert!(matches!(error, AppendError::Invalid(InvalidAppend::TooMany { .. })), "{error}");
    assert_eq!(append(&store, full()).await.version_of(&stream("a-1")), Some(version(16)));
}

/// More expectations, or items of a condition, than an append may have are refused as invalid.
pub(crate) async fn refuses_terms_without_end(subject: &dyn Subject) {
    let store = subject.open().await;
    let mut append = Append::of([event("a-1")]);
    append.expected = (0..1_001).map(|number| (stream(&format!("a-{number}")), Expected::Any)).collect();
    let error = refusal(&store, append).await;
    assert!(matches!(error, AppendError::Invalid(InvalidAppend::TooMany { .. })), "{error}");
    let item = |number| ConditionItem { tags: vec![tag(&format!("k:{number}"))], types: vec![] };
    let condition = Condition { any: (0..65).map(item).collect(), ..Condition::default() };
    let error = refusal(&store, Append::of([event("a-1")]).on_condition(condition)).await;
    assert!(matches!(error, AppendError::Invalid(InvalidAppend::TooMany { .. })), "{error}");
}

/// Data comes back as the bytes that went in, and what no database could keep was refused before any store saw it.
pub(crate) async fn keeps_odd_payloads_as_their_bytes(subject: &dyn Subject) {
    let store = subject.open().await;
    let deep = format!("{}{}", "[".repeat(JSON_DEPTH_MAX), "]".repeat(JSON_DEPTH_MAX));
    let odd = [
        "{\"z\":1,\"a\":2,\"z\":3}",
        "{\n  \"b\" : [ 1 ,\t2 ],\r\n  \"a\" : null\n}\n",
        "\"\u{1f680}\u{1f469}\u{200d}\u{1f4bb} \u{2028} e\u{301} \u{e9} \\ud83d\\ude80 \\u00e9\"",
        "123456789012345678901234567890",
        "[9007199254740993,-0,-0.0,1E2,1.0,1.10,0.1e-7,1e308,18446744073709551615]",
        "{\"\":{\"__proto__\":null}}",
        "\"\\\\u0000 \\/ \u{7f}\"",
        "null",
        " 1 ",
        &deep,
    ];
    append(&store, odd.iter().map(|text| NewEvent { data: json((*text).to_owned()), ..event("a-1") })).await;
    assert_eq!(texts(&log(&store).await), odd);
    assert_eq!(texts(&events_of(&store, "a-1").await), odd);
    for impossible in ["\"\\u0000\"", "{\"a\\u0000\":1}", "1e400", "\"\\ud800\"", "{", ""] {
        assert!(Json::new(impossible, 1_024).is_err(), "{impossible:?} was let in");
    }
}

/// An event of 256 KiB comes back whole.
pub(crate) async fn keeps_the_largest_payload(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [heavy("a-1", EVENT_DATA_BYTES_MAX)]).await;
    let expected = heavy("a-1", EVENT_DATA_BYTES_MAX);
    let events = log(&store).await;
    assert!(
        events[0].data_bytes() == expected.data.as_bytes(),
        "{} bytes came back",
        events[0].data_bytes().len()
    );
}

/// Every member of the metadata comes back, the client's further ones as their bytes.
pub(crate) async fn keeps_metadata_as_it_was_given(subject: &dyn Subject) {
    let store = subject.open().await;
    let reference = |text| Some(Reference::new(text).unwrap());
    let full = Metadata {
        actor: reference("user-1"),
        correlation: reference("correlation-1"),
        causation: reference("causation-1"),
        occurred: Some("1969-07-20T20:17:40.000001Z".parse().unwrap()),
        further: Some(Further::new("{ \"b\":1, \"a\" : \"\u{1f680}\", \"b\":1.0 }").unwrap()),
    };
    let given = [
        Metadata::default(),
        Metadata { actor: full.actor.clone(), ..Metadata::default() },
        Metadata { correlation: full.correlation.clone(), ..Metadata::default() },
        Metadata { causation: full.causation.clone(), ..Metadata::default() },
        Metadata { occurred: full.occurred, ..Metadata::default() },
        Metadata { further: Some(Further::new("{}").unwrap()), ..Metadata::default() },
        full,
    ];
    append(&store, given.iter().map(|metadata| event("a-1").with_metadata(metadata.clone()))).await;
    let kept: Vec<_> = log(&store).await.into_iter().map(|event| event.metadata).collect();
    assert_eq!(kept, given);
}

/// Type, schema number and tags come back as they went in.
pub(crate) async fn keeps_types_schemas_and_tags(subject: &dyn Subject) {
    let store = subject.open().await;
    let schema = SchemaNumber::new(0x7fff_ffff).unwrap();
    let longest = "T".repeat(64);
    let given = [
        typed("a-1", "com.example:Thing_v2-x"),
        NewEvent { schema, ..typed("a-1", &longest) },
        tagged("a-1", &["slug:b", "slug:a", "author:Zo\u{eb} \u{c5}ngstr\u{f6}m", "url:http://x/?a=b"]),
    ];
    append(&store, given.clone()).await;
    for (kept, given) in log(&store).await.iter().zip(given) {
        assert_eq!(
            (&kept.event_type, kept.schema, &kept.tags),
            (&given.event_type, given.schema, &given.tags)
        );
        assert_eq!(kept.key, None);
    }
}

/// An event that brings an id keeps it, and is found by it.
pub(crate) async fn keeps_the_id_that_was_given(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [event("a-1"), numbered("a-1", 7).with_id(id(7)), event("b-1")]).await;
    assert_eq!(log(&store).await[1].id, id(7));
    let found = store.event(id(7)).await.unwrap().expect("it is found by its id");
    assert_eq!((found.position, found.data_bytes()), (position(2), &b"7"[..]));
}

/// An event without an id gets one that no other has, and is found by it.
pub(crate) async fn gives_an_id_where_there_is_none(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 50).await;
    one_each(&store, &["b-1", "c-1", "b-1"]).await;
    let events = log(&store).await;
    let ids: BTreeSet<_> = events.iter().map(|event| event.id).collect();
    assert_eq!(ids.len(), 53);
    for event in events {
        assert_eq!(store.event(event.id).await.unwrap(), Some(event));
    }
}

/// With twelve writers at once, what they were told is what is in the log: no more, no less, each once.
pub(crate) async fn loses_nothing_of_many_writers(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "warm-1", 100).await;
    let told = at_once(12, |writer| {
        let store = Arc::clone(&store);
        async move {
            let mut told = Vec::new();
            for number in 0..25 {
                let own = format!("own-{writer}");
                let done =
                    append(&store, [numbered(&own, number), numbered("shared-1", writer * 100 + number)])
                        .await;
                told.push((done.range.unwrap().0, own, number.to_string()));
                told.push((
                    done.range.unwrap().1,
                    "shared-1".to_owned(),
                    (writer * 100 + number).to_string(),
                ));
            }
            told
        }
    });
    let told: BTreeSet<_> = told.await.into_iter().flatten().collect();
    let events = log(&store).await;
    let kept = events[100..].iter().map(|event| {
        (
            event.position,
            event.stream.as_str().to_owned(),
            String::from_utf8_lossy(event.data_bytes()).into_owned(),
        )
    });
    assert_eq!(kept.collect::<BTreeSet<_>>(), told);
    assert_eq!(positions(&events), (1..=700).collect::<Vec<_>>());
    assert_eq!(versions(&events_of(&store, "shared-1").await), (1..=300).collect::<Vec<_>>());
}

/// The events of one append stand next to each other while others write.
pub(crate) async fn stays_together_while_others_write(subject: &dyn Subject) {
    let store = subject.open().await;
    let ranges = at_once(8, |writer| {
        let store = Arc::clone(&store);
        async move {
            let mut ranges = Vec::new();
            for number in 0..10 {
                let data = writer * 10 + number;
                let events = (0..5).map(|part| numbered(["shared-1", "shared-2"][part % 2], data));
                ranges.push((append(&store, events).await.range.unwrap(), data.to_string()));
            }
            ranges
        }
    });
    let ranges = ranges.await;
    let events = log(&store).await;
    for ((first, last), data) in ranges.into_iter().flatten() {
        assert_eq!(last.get() - first.get(), 4, "five events take five positions");
        let own = events.iter().filter(|event| (first..=last).contains(&event.position));
        assert!(
            own.clone().all(|event| event.data_bytes() == data.as_bytes()),
            "someone else's event stands between"
        );
        assert!(own.clone().all(|event| event.append_end == last) && own.count() == 5);
    }
}

/// Of many appends that expect the same version, exactly one is taken, and the others are told of the conflict.
pub(crate) async fn lets_one_of_many_rivals_win(subject: &dyn Subject) {
    let store = subject.open().await;
    for round in 0..10_i64 {
        let expected = Expected::from((round > 0).then(|| version(round)));
        let answers = at_once(12, |rival| {
            let store = Arc::clone(&store);
            async move {
                store.append(Append::of([numbered("a-1", rival)]).expecting(stream("a-1"), expected)).await
            }
        });
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "one wins: {answers:?}");
        for error in answers.into_iter().filter_map(Result::err) {
            let AppendError::Conflict(conflict) = error else { panic!("not a conflict: {error}") };
            assert_eq!(conflict.actual, Some(version(round + 1)));
        }
    }
    assert_eq!(head(&store).await, 10);
}

/// Writers that keep to streams of their own never conflict, however many there are.
pub(crate) async fn never_conflicts_without_a_rival(subject: &dyn Subject) {
    let store = subject.open().await;
    let answers = at_once(12, |writer| {
        let store = Arc::clone(&store);
        async move {
            let own = stream(&format!("own-{writer}"));
            let mut seen = None;
            for number in 0..10 {
                let append = Append::of([numbered(own.as_str(), number)]).expecting(own.clone(), seen.into());
                match store.append(append).await {
                    Ok(done) => seen = done.version_of(&own),
                    Err(error) => return Err(error),
                }
            }
            Ok(seen)
        }
    });
    for answer in answers.await {
        assert_eq!(answer.expect("nobody else writes there"), Some(version(10)));
    }
}

/// An append whose caller goes away in the middle is in the log whole or not at all.
pub(crate) async fn is_whole_or_nothing_when_its_caller_goes_away(subject: &dyn Subject) {
    let store = subject.open().await;
    for number in 0..20 {
        let events = (0..3).map(|part| typed(&format!("gone-{number}"), ["First", "Second", "Third"][part]));
        // Looked at once and dropped: whatever it had begun goes its own way.
        drop(store.append(Append::of(events)).now_or_never());
        append(&store, [event("other-1")]).await;
    }
    for number in 0..20 {
        let kept = events_of(&store, &format!("gone-{number}")).await;
        let types: Vec<_> = kept.iter().map(|event| event.event_type.clone()).collect();
        let whole = ["First", "Second", "Third"].map(event_type);
        assert!(types.is_empty() || types == whole, "a part of an append is there: {types:?}");
    }
    assert_eq!(events_of(&store, "other-1").await.len(), 20);
}
