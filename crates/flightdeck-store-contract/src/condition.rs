//! Conditions: what must not have happened since a decision was made.

use std::sync::Arc;

use flightdeck_core::limits::CONDITION_AGE_EVENTS_MAX;
use flightdeck_core::{Cursor, Epoch};
use flightdeck_store::{Append, AppendError, Appended, Condition, ConditionItem, Expected, NewEvent};

use crate::Subject;
use crate::given::{
    Store, append, at_once, event, event_type, fill, head, numbered, one_each, position, refusal, stream,
    tag, tagged, typed, version, with_tags,
};

fn item(tags: &[&str], types: &[&str]) -> ConditionItem {
    ConditionItem {
        tags: tags.iter().copied().map(tag).collect(),
        types: types.iter().copied().map(event_type).collect(),
    }
}

fn unless(after: i64, any: Vec<ConditionItem>) -> Condition {
    Condition { after: position(after).into(), any }
}

/// An append of one event to `new-1` on that condition.
fn on(condition: Condition) -> Append {
    Append::of([event("new-1")]).on_condition(condition)
}

/// Where the event is that made the condition fail, which it must.
async fn spoiler(store: &Store, condition: Condition) -> i64 {
    match refusal(store, on(condition.clone())).await {
        AppendError::ConditionFailed { position } => position.get(),
        other => panic!("{condition:?} was refused with: {other}"),
    }
}

/// The append, which must be taken.
async fn holds(store: &Store, condition: Condition) -> Appended {
    store.append(on(condition)).await.expect("the condition holds")
}

/// Two kinds of events, with tags: 1 to 6.
async fn six(subject: &dyn Subject) -> Store {
    let store = subject.open().await;
    let of =
        |name: &str, tags: &[&str], of: &str| NewEvent { event_type: event_type(of), ..tagged(name, tags) };
    for event in [
        of("a-1", &["slug:a"], "Taken"),
        of("a-2", &["slug:b", "lang:en"], "Taken"),
        of("$s-1", &["slug:c"], "Taken"),
        of("a-1", &["slug:a"], "Left"),
        of("b-1", &[], "Plain"),
        of("a-2", &["slug:b"], "Left"),
    ] {
        append(&store, [event]).await;
    }
    store
}

/// An event beyond `after` that matches makes the condition fail, and the first one is named.
pub(crate) async fn fails_by_the_first_event_that_matches(subject: &dyn Subject) {
    let store = six(subject).await;
    assert_eq!(spoiler(&store, unless(0, vec![item(&["slug:a"], &[])])).await, 1);
    assert_eq!(spoiler(&store, unless(1, vec![item(&["slug:a"], &[])])).await, 4);
    assert_eq!(spoiler(&store, unless(0, vec![item(&["slug:b"], &[])])).await, 2);
}

/// What happened up to `after`, itself included, does not count.
pub(crate) async fn looks_only_beyond_its_decision(subject: &dyn Subject) {
    let store = six(subject).await;
    holds(&store, unless(4, vec![item(&["slug:a"], &[])])).await;
    holds(&store, unless(6, vec![item(&["slug:b"], &[])])).await;
    assert_eq!(spoiler(&store, unless(5, vec![item(&["slug:b"], &[])])).await, 6);
}

/// A condition that nothing matches holds: it never fails falsely.
pub(crate) async fn holds_when_nothing_matches(subject: &dyn Subject) {
    let store = six(subject).await;
    holds(&store, unless(0, vec![item(&["slug:z"], &[])])).await;
    holds(&store, unless(0, vec![item(&["slug:A"], &[]), item(&["slug:aa"], &[]), item(&[], &["Take"])]))
        .await;
    assert_eq!(head(&store).await, 8);
}

/// An event matches an item only if it has all of the item's tags.
pub(crate) async fn needs_all_tags_of_an_item(subject: &dyn Subject) {
    let store = six(subject).await;
    holds(&store, unless(0, vec![item(&["slug:a", "lang:en"], &[])])).await;
    holds(&store, unless(0, vec![item(&["slug:b", "lang:en", "x:y"], &[])])).await;
    assert_eq!(spoiler(&store, unless(0, vec![item(&["lang:en", "slug:b"], &[])])).await, 2);
}

/// An event matches an item only if it is of one of the item's types.
pub(crate) async fn needs_one_of_the_types_of_an_item(subject: &dyn Subject) {
    let store = six(subject).await;
    holds(&store, unless(0, vec![item(&["slug:a"], &["Plain", "Never"])])).await;
    assert_eq!(spoiler(&store, unless(0, vec![item(&["slug:a"], &["Left", "Never"])])).await, 4);
    assert_eq!(spoiler(&store, unless(0, vec![item(&["slug:a"], &["Left", "Taken"])])).await, 1);
}

/// An item without tags matches by type alone, and one without either matches every event.
pub(crate) async fn without_tags_matches_by_type_alone(subject: &dyn Subject) {
    let store = six(subject).await;
    assert_eq!(spoiler(&store, unless(0, vec![item(&[], &["Left"])])).await, 4);
    assert_eq!(spoiler(&store, unless(4, vec![item(&[], &["Plain"])])).await, 5);
    assert_eq!(spoiler(&store, unless(0, vec![item(&[], &[])])).await, 1);
    assert_eq!(spoiler(&store, unless(4, vec![item(&[], &[])])).await, 5);
    holds(&store, unless(6, vec![item(&[], &[])])).await;
}

/// Any one of the items is enough to make it fail.
pub(crate) async fn fails_by_any_of_its_items(subject: &dyn Subject) {
    let store = six(subject).await;
    let never = || item(&["slug:z"], &[]);
    assert_eq!(spoiler(&store, unless(0, vec![never(), item(&["slug:c"], &[])])).await, 3);
    assert_eq!(spoiler(&store, unless(0, vec![item(&["slug:c"], &[]), never()])).await, 3);
    assert_eq!(
        spoiler(&store, unless(0, vec![item(&["slug:c"], &[]), item(&["slug:b"], &["Taken"])])).await,
        2
    );
}

/// A condition without items holds, whatever has happened.
pub(crate) async fn without_items_always_holds(subject: &dyn Subject) {
    let store = six(subject).await;
    holds(&store, unless(0, vec![])).await;
    holds(&store, unless(3, vec![])).await;
}

/// The events of every stream count, those of the system and of the append's own stream too.
pub(crate) async fn looks_at_every_stream(subject: &dyn Subject) {
    let store = six(subject).await;
    assert_eq!(spoiler(&store, unless(0, vec![item(&["slug:c"], &[])])).await, 3);
    append(&store, [tagged("new-1", &["own:1"])]).await;
    assert_eq!(spoiler(&store, unless(0, vec![item(&["own:1"], &[])])).await, 7);
}

/// The append's own events do not count.
pub(crate) async fn does_not_look_at_its_own_events(subject: &dyn Subject) {
    let store = six(subject).await;
    let claim = Append::of([tagged("new-1", &["slug:new"]), tagged("new-1", &["slug:new"])]);
    let done = store.append(claim.on_condition(unless(6, vec![item(&["slug:new"], &[])]))).await;
    assert_eq!(done.expect("nobody else has the tag").range, Some((position(7), position(8))));
}

/// A condition and expectations both have to hold.
pub(crate) async fn holds_beside_expectations(subject: &dyn Subject) {
    let store = six(subject).await;
    let append = |seen, after| {
        on(unless(after, vec![item(&["slug:b"], &[])]))
            .expecting(stream("a-1"), Expected::Exactly(version(seen)))
    };
    assert!(matches!(refusal(&store, append(1, 6)).await, AppendError::Conflict(_)));
    assert!(matches!(refusal(&store, append(2, 5)).await, AppendError::ConditionFailed { .. }));
    store.append(append(2, 6)).await.expect("both hold");
}

/// A condition counts for an append of no events too.
pub(crate) async fn counts_for_an_append_of_nothing(subject: &dyn Subject) {
    let store = six(subject).await;
    let nothing = |after| Append::of([]).on_condition(unless(after, vec![item(&["slug:a"], &[])]));
    assert!(matches!(refusal(&store, nothing(3)).await, AppendError::ConditionFailed { .. }));
    assert_eq!(store.append(nothing(4)).await.expect("it holds").range, None);
}

/// Of many appends that each would break the others' condition, exactly one is taken.
pub(crate) async fn lets_one_of_many_rivals_win(subject: &dyn Subject) {
    let store = subject.open().await;
    for round in 0..10 {
        let slug = format!("slug:{round}");
        let after = head(&store).await;
        let answers = at_once(12, |rival| {
            let (store, slug) = (Arc::clone(&store), slug.clone());
            // Streams of their own: only the condition stands between them.
            let claim = Append::of([event("other-1"), tagged(&format!("own-{round}-{rival}"), &[&slug])]);
            async move { store.append(claim.on_condition(unless(after, vec![item(&[&slug], &[])]))).await }
        });
        let answers = answers.await;
        assert_eq!(answers.iter().filter(|answer| answer.is_ok()).count(), 1, "one wins: {answers:?}");
        for error in answers.into_iter().filter_map(Result::err) {
            assert!(matches!(error, AppendError::ConditionFailed { .. }), "{error}");
        }
        assert_eq!(with_tags(&store, &[&slug]).await.len(), 1);
    }
}

/// Conditions on different tags never stand in each other's way.
pub(crate) async fn never_fails_without_a_rival(subject: &dyn Subject) {
    let store = subject.open().await;
    let answers = at_once(12, |writer| {
        let store = Arc::clone(&store);
        async move {
            let mut after = 0;
            for number in 0..10 {
                let own = format!("own:{writer}");
                let claim = Append::of([tagged("shared-1", &[&own]), numbered("shared-2", number)]);
                let done = store.append(claim.on_condition(unless(after, vec![item(&[&own], &[])]))).await?;
                after = done.cursor.position().get();
            }
            Ok::<_, AppendError>(())
        }
    });
    for answer in answers.await {
        answer.expect("nobody else has the tag");
    }
}

/// A decision that is 100,000 events old is good; one more, and it is refused as stale.
pub(crate) async fn refuses_a_stale_decision(subject: &dyn Subject) {
    let store = subject.open().await;
    for _ in 0..100 {
        fill(&store, "a-1", 1_000).await;
    }
    let never = || vec![item(&["slug:never"], &[])];
    assert_eq!(head(&store).await, CONDITION_AGE_EVENTS_MAX);
    holds(&store, unless(0, never())).await;
    match refusal(&store, on(unless(0, never()))).await {
        AppendError::StaleDecision { after, head } => {
            assert_eq!((after, head), (position(0), position(CONDITION_AGE_EVENTS_MAX + 1)));
        }
        other => panic!("{other}"),
    }
    holds(&store, unless(1, never())).await;
}

/// A condition of another epoch is refused, with the head as it is now.
pub(crate) async fn refuses_another_epoch(subject: &dyn Subject) {
    let store = six(subject).await;
    for number in [0, 6, 100] {
        let foreign = Cursor::new(Epoch::new("foreign").unwrap(), position(number));
        let condition = Condition { after: foreign.into(), any: vec![item(&["slug:z"], &[])] };
        match refusal(&store, on(condition)).await {
            AppendError::EpochChanged { head } => assert_eq!(head, store.head().await.unwrap().cursor),
            other => panic!("{other}"),
        }
    }
}

/// A condition ahead of the log is refused, with where the log is.
pub(crate) async fn refuses_to_be_ahead_of_the_log(subject: &dyn Subject) {
    let store = six(subject).await;
    for ahead in [7, 100] {
        match refusal(&store, on(unless(ahead, vec![item(&["slug:z"], &[])]))).await {
            AppendError::AheadOfLog { after, head } => {
                assert_eq!((after, head), (position(ahead), position(6)))
            }
            other => panic!("{other}"),
        }
    }
}

/// A condition takes the store's own cursor, and what came since makes it fail all the same.
pub(crate) async fn takes_the_cursor_of_a_read(subject: &dyn Subject) {
    let store = six(subject).await;
    let cursor = store.head().await.unwrap().cursor;
    let condition = Condition { after: cursor.into(), any: vec![item(&["slug:a"], &[])] };
    one_each(&store, &["x-1", "x-2"]).await;
    holds(&store, condition.clone()).await;
    append(&store, [tagged("x-1", &["slug:a"]), typed("x-1", "Plain")]).await;
    assert_eq!(spoiler(&store, condition).await, 10);
}
