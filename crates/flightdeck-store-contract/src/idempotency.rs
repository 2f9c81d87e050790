//! Doing things once: request keys and event ids, repeated, at the same time, and after reopening.

use std::sync::Arc;

use flightdeck_core::{Further, Metadata, Reference, SchemaNumber, Tags};
use flightdeck_store::{Append, AppendError, Appended, Condition, ConditionItem, Expected, NewEvent};

use crate::Subject;
use crate::given::{
    Store, append, at_once, event, event_type, events_of, fill, head, id, json, log, numbered, one_each,
    position, refusal, reopen, request, stream, tag, tagged, texts, version,
};

/// The first outcome as a repetition is told of it.
fn again(first: &Appended) -> Appended {
    Appended { duplicate: true, ..first.clone() }
}

/// Appends, which must be taken.
async fn taken(store: &Store, append: Append) -> Appended {
    store.append(append).await.expect("the append is taken")
}

fn keyed(events: Vec<NewEvent>, key: &str) -> Append {
    Append::of(events).with_request(request("me", key, 1))
}

/// Repeats an append, which must be known by now, and change nothing.
async fn repeated(store: &Store, append: Append) -> Appended {
    let before = store.head().await.unwrap();
    let done = taken(store, append).await;
    assert_eq!(store.head().await.unwrap(), before, "a repetition wrote something");
    done
}

fn reused(error: &AppendError) -> bool {
    matches!(error, AppendError::IdReused { .. })
}

/// A repeated request gets the first outcome, marked as a duplicate, and writes nothing.
pub(crate) async fn answers_a_repeated_request_with_its_first_outcome(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "b-1", 2).await;
    let append = keyed(vec![event("b-1"), event("a-1"), event("b-1")], "key");
    let first = taken(&store, append.clone()).await;
    assert!(!first.duplicate);
    for _ in 0..3 {
        assert_eq!(repeated(&store, append.clone()).await, again(&first));
    }
}

/// A repeated request gets the first outcome whatever its streams and conditions have come to since.
pub(crate) async fn answers_a_repeated_request_when_the_state_moved_on(subject: &dyn Subject) {
    let store = subject.open().await;
    let any = vec![ConditionItem { tags: vec![tag("k:1")], types: vec![] }];
    let append = keyed(vec![tagged("a-1", &["k:1"])], "key")
        .expecting(stream("a-1"), Expected::NoStream)
        .on_condition(Condition { any, ..Condition::default() });
    let first = taken(&store, append.clone()).await;
    one_each(&store, &["a-1", "b-1", "a-1"]).await;
    let done = repeated(&store, append).await;
    assert_eq!(done, again(&first));
    assert_eq!((done.version_of(&stream("a-1")), done.cursor.position()), (Some(version(1)), position(1)));
}

/// The same key with another fingerprint is refused and changes nothing.
pub(crate) async fn refuses_a_key_with_another_fingerprint(subject: &dyn Subject) {
    let store = subject.open().await;
    let append = Append::of([event("a-1")]);
    let first = taken(&store, append.clone().with_request(request("me", "key", 1))).await;
    let error = refusal(&store, append.clone().with_request(request("me", "key", 2))).await;
    assert!(matches!(error, AppendError::KeyReused), "{error}");
    assert_eq!(repeated(&store, append.with_request(request("me", "key", 1))).await, again(&first));
}

/// Keys of different callers never meet, nor do keys that differ in a byte.
pub(crate) async fn keeps_the_keys_of_different_callers_apart(subject: &dyn Subject) {
    let store = subject.open().await;
    let pairs = [
        ("me", "key"),
        ("you", "key"),
        ("Me", "key"),
        ("me", "Key"),
        ("mek", "ey"),
        ("me", "key2"),
        ("m", "ekey"),
    ];
    for (number, (caller, key)) in pairs.iter().enumerate() {
        let append = Append::of([numbered("a-1", number)]).with_request(request(caller, key, 1));
        assert!(!taken(&store, append).await.duplicate, "{caller} {key} met another");
    }
    for ((caller, key), place) in pairs.iter().zip(1..) {
        let done = store.outcome_of(&request(caller, key, 1)).await.unwrap().expect("it is remembered");
        assert_eq!(done.range, Some((position(place), position(place))), "{caller} {key}");
    }
}

/// An append of no events is remembered, with the head as it was.
pub(crate) async fn remembers_an_append_of_nothing(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 2).await;
    let append = keyed(vec![], "key").expecting(stream("a-1"), Expected::Exactly(version(2)));
    let first = taken(&store, append.clone()).await;
    assert_eq!((first.range, first.cursor.position(), first.duplicate), (None, position(2), false));
    fill(&store, "a-1", 3).await;
    assert_eq!(repeated(&store, append).await, again(&first));
    assert_eq!(store.outcome_of(&request("me", "key", 1)).await.unwrap(), Some(again(&first)));
}

/// An append that was refused is not remembered: its key is free.
pub(crate) async fn leaves_the_key_of_a_refused_append_free(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 1).await;
    let stale = keyed(vec![event("a-1")], "key").expecting(stream("a-1"), Expected::NoStream);
    for _ in 0..2 {
        assert!(matches!(refusal(&store, stale.clone()).await, AppendError::Conflict(_)));
    }
    assert_eq!(store.outcome_of(&request("me", "key", 1)).await.unwrap(), None);
    let other = Append::of([event("a-1")]).with_request(request("me", "key", 2));
    assert!(!taken(&store, other).await.duplicate);
}

/// What was done under a key can be asked for: the first outcome, as a duplicate, or nothing.
pub(crate) async fn tells_what_was_done_under_a_key(subject: &dyn Subject) {
    let store = subject.open().await;
    assert_eq!(store.outcome_of(&request("me", "key", 1)).await.unwrap(), None);
    let first = taken(&store, keyed(vec![event("b-1"), event("a-1"), event("b-1")], "key")).await;
    one_each(&store, &["a-1", "b-1"]).await;
    for _ in 0..2 {
        assert_eq!(store.outcome_of(&request("me", "key", 1)).await.unwrap(), Some(again(&first)));
    }
    assert_eq!(store.outcome_of(&request("me", "other", 1)).await.unwrap(), None);
}

/// Asking what was done under a key with another fingerprint is refused.
pub(crate) async fn tells_nothing_for_another_fingerprint(subject: &dyn Subject) {
    let store = subject.open().await;
    taken(&store, keyed(vec![event("a-1")], "key")).await;
    let answer = store.outcome_of(&request("me", "key", 2)).await;
    assert!(matches!(answer, Err(AppendError::KeyReused)), "{answer:?}");
}

/// Events that are known by their ids are not appended again: the answer is what was done then.
pub(crate) async fn answers_known_ids_with_what_was_done(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "b-1", 2).await;
    let append = Append::of([
        numbered("b-1", 1).with_id(id(1)),
        numbered("a-1", 2).with_id(id(2)),
        numbered("b-1", 3).with_id(id(3)),
    ]);
    let first = taken(&store, append.clone()).await;
    assert!(!first.duplicate);
    one_each(&store, &["a-1", "c-1"]).await;
    assert_eq!(repeated(&store, append.clone()).await, again(&first));
    assert_eq!(repeated(&store, append).await, again(&first));
}

/// Known ids are answered whatever the streams have come to since.
pub(crate) async fn answers_known_ids_when_the_state_moved_on(subject: &dyn Subject) {
    let store = subject.open().await;
    let any = vec![ConditionItem { tags: vec![tag("k:1")], types: vec![] }];
    let append = Append::of([tagged("a-1", &["k:1"]).with_id(id(1))])
        .expecting(stream("a-1"), Expected::NoStream)
        .on_condition(Condition { any, ..Condition::default() });
    let first = taken(&store, append.clone()).await;
    one_each(&store, &["a-1", "a-1"]).await;
    assert_eq!(repeated(&store, append).await, again(&first));
}

/// A known id with another stream, type, schema, data, tags or further metadata is refused.
pub(crate) async fn refuses_a_known_id_with_other_content(subject: &dyn Subject) {
    let store = subject.open().await;
    let further =
        |text: &'static str| Metadata { further: Some(Further::new(text).unwrap()), ..Metadata::default() };
    let event = tagged("a-1", &["k:1"]).with_id(id(1)).with_metadata(further("{\"a\":1}"));
    append(&store, [event.clone()]).await;
    for (what, other) in [
        ("stream", NewEvent { stream: stream("a-2"), ..event.clone() }),
        ("type", NewEvent { event_type: event_type("Other"), ..event.clone() }),
        ("schema", NewEvent { schema: SchemaNumber::new(2).unwrap(), ..event.clone() }),
        ("data", NewEvent { data: json("{ }"), ..event.clone() }),
        ("tags", NewEvent { tags: Tags::NONE, ..event.clone() }),
        ("further metadata", event.clone().with_metadata(further("{\"a\": 1}"))),
        ("missing metadata", event.clone().with_metadata(Metadata::default())),
    ] {
        let error = refusal(&store, Append::of([other])).await;
        assert!(
            matches!(error, AppendError::IdReused { id: reused } if reused == id(1)),
            "another {what}: {error}"
        );
    }
    assert!(repeated(&store, Append::of([event])).await.duplicate);
}

/// What the server adds to an event does not count when it is compared with a known one.
pub(crate) async fn overlooks_what_the_server_adds(subject: &dyn Subject) {
    let store = subject.open().await;
    let event = numbered("a-1", 1).with_id(id(1));
    let reference = |text| Some(Reference::new(text).unwrap());
    let first = append(
        &store,
        [event.clone().with_metadata(Metadata { actor: reference("one"), ..Metadata::default() })],
    )
    .await;
    let later = Metadata {
        actor: reference("two"),
        correlation: reference("three"),
        causation: reference("four"),
        occurred: Some("2026-01-01T00:00:00Z".parse().unwrap()),
        further: None,
    };
    assert_eq!(repeated(&store, Append::of([event.with_metadata(later)])).await, again(&first));
    assert_eq!(log(&store).await[0].metadata.actor, reference("one"), "the first event stays as it is");
}

/// An append of which only some ids are known is refused, and nothing of it is written.
pub(crate) async fn refuses_an_append_of_which_half_is_known(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [numbered("a-1", 1).with_id(id(1)), numbered("a-1", 2).with_id(id(2))]).await;
    let (one, two, new) = (
        numbered("a-1", 1).with_id(id(1)),
        numbered("a-1", 2).with_id(id(2)),
        numbered("a-1", 3).with_id(id(3)),
    );
    for half in [
        vec![one.clone(), two.clone(), new.clone()],
        vec![new.clone(), one.clone(), two.clone()],
        vec![one.clone(), new.clone(), two.clone()],
        vec![one.clone(), event("a-1")],
        vec![event("b-1"), two.clone()],
    ] {
        let error = refusal(&store, Append::of(half.clone())).await;
        assert!(reused(&error), "{half:?}: {error}");
    }
    assert!(store.event(id(3)).await.unwrap().is_none());
    assert_eq!(texts(&events_of(&store, "a-1").await), ["1", "2"]);
}

/// Known ids in another order, or that do not stand next to each other, are refused.
pub(crate) async fn refuses_known_ids_in_another_order(subject: &dyn Subject) {
    let store = subject.open().await;
    let event = |number| numbered("a-1", usize::try_from(number).unwrap()).with_id(id(number));
    append(&store, [event(1), event(2)]).await;
    append(&store, [event(3)]).await;
    for other in [vec![event(2), event(1)], vec![event(1), event(3)], vec![event(3), event(2)]] {
        let error = refusal(&store, Append::of(other.clone())).await;
        assert!(reused(&error), "{other:?}: {error}");
    }
    let done = repeated(&store, Append::of([event(2), event(3)])).await;
    assert_eq!(
        (done.range, done.duplicate),
        (Some((position(2), position(3))), true),
        "they stand next to each other"
    );
}

/// An id is taken for the whole store: another stream can't use it for itself.
pub(crate) async fn takes_an_id_once_in_the_whole_store(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [event("a-1").with_id(id(1))]).await;
    fill(&store, "b-1", 3).await;
    let error = refusal(&store, Append::of([event("b-1").with_id(id(1))])).await;
    assert!(reused(&error), "{error}");
    let made = log(&store).await[1].id;
    let error = refusal(&store, Append::of([event("c-1").with_id(made)])).await;
    assert!(reused(&error), "an id that the store made was taken again: {error}");
}

/// A key is looked up before ids: with a known key, the events that come with it do not count.
pub(crate) async fn looks_up_keys_before_ids(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, [numbered("a-1", 1).with_id(id(1))]).await;
    let first = taken(&store, keyed(vec![numbered("a-1", 2)], "key")).await;
    let done = repeated(&store, keyed(vec![numbered("a-1", 9).with_id(id(1))], "key")).await;
    assert_eq!(done, again(&first));
}

/// Of many equal requests at the same time one takes effect, and all get its outcome.
pub(crate) async fn does_a_request_once_when_it_comes_many_times_at_once(subject: &dyn Subject) {
    let store = subject.open().await;
    for round in 0..10 {
        let answers = at_once(12, |_| {
            let (store, key) = (Arc::clone(&store), format!("key-{round}"));
            async move { taken(&store, keyed(vec![event("a-1"), event("b-1")], &key)).await }
        });
        one_outcome(&answers.await);
        assert_eq!(head(&store).await, (round + 1) * 2);
    }
}

/// Of many appends with the same ids at the same time one takes effect, and all get its outcome.
pub(crate) async fn does_known_ids_once_when_they_come_many_times_at_once(subject: &dyn Subject) {
    let store = subject.open().await;
    for round in 0..10_u8 {
        let answers = at_once(12, |_| {
            let store = Arc::clone(&store);
            let ids = (id(u128::from(round) * 2 + 1), id(u128::from(round) * 2 + 2));
            async move {
                taken(&store, Append::of([event("a-1").with_id(ids.0), event("b-1").with_id(ids.1)])).await
            }
        });
        one_outcome(&answers.await);
        assert_eq!(head(&store).await, (i64::from(round) + 1) * 2);
    }
}

/// One of the answers is the first, and the others are repetitions of it.
#[track_caller]
fn one_outcome(answers: &[Appended]) {
    let (first, others): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| !answer.duplicate);
    assert_eq!(first.len(), 1, "one takes effect: {answers:?}");
    assert!(others.into_iter().all(|other| *other == again(first[0])), "{answers:?}");
}

/// Of many different uses of one key, or of one id, at the same time one takes effect, and the others are refused.
pub(crate) async fn refuses_all_but_one_of_different_uses_at_once(subject: &dyn Subject) {
    let store = subject.open().await;
    for round in 0..5_u8 {
        let answers = at_once(12, |rival| {
            let store = Arc::clone(&store);
            let rival = u8::try_from(rival).unwrap();
            let append = match round % 2 {
                0 => Append::of([event("a-1")]).with_request(request("me", &format!("key-{round}"), rival)),
                _ => Append::of([numbered("a-1", rival.into()).with_id(id(u128::from(round) + 1))]),
            };
            async move { store.append(append).await }
        });
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "{answers:?}");
        for error in answers.into_iter().filter_map(Result::err) {
            assert!(matches!(error, AppendError::KeyReused | AppendError::IdReused { .. }), "{error}");
        }
        assert_eq!(head(&store).await, i64::from(round) + 1);
    }
}

/// Request keys are remembered when the store is opened again.
pub(crate) async fn remembers_keys_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    let (some, none) = (keyed(vec![event("b-1"), event("a-1")], "some"), keyed(vec![], "none"));
    let first = (taken(&store, some.clone()).await, taken(&store, none.clone()).await);
    fill(&store, "a-1", 1).await;
    let store = reopen(subject, store).await;
    assert_eq!(store.outcome_of(&request("me", "some", 1)).await.unwrap(), Some(again(&first.0)));
    assert_eq!(repeated(&store, some).await, again(&first.0));
    assert_eq!(repeated(&store, none).await, again(&first.1));
    let other = Append::of([event("a-1")]).with_request(request("me", "some", 2));
    assert!(matches!(refusal(&store, other).await, AppendError::KeyReused));
}

/// Event ids are remembered when the store is opened again.
pub(crate) async fn remembers_ids_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    let append = Append::of([numbered("b-1", 1).with_id(id(1)), numbered("a-1", 2).with_id(id(2))]);
    let first = taken(&store, append.clone()).await;
    let store = reopen(subject, store).await;
    assert_eq!(repeated(&store, append).await, again(&first));
    let error = refusal(&store, Append::of([numbered("a-1", 9).with_id(id(2))])).await;
    assert!(reused(&error), "{error}");
}
