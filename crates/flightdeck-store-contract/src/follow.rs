//! Following the log: what `flightdeck_store::follow` promises, on this store.

use std::pin::{Pin, pin};
use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Cursor, Epoch};
use flightdeck_store::{
    Filter, FollowOptions, Followed, Recorded, ResetReason, StoreError, StreamPattern, TypePattern, follow,
};
use futures_util::{Stream, StreamExt as _};

use crate::Subject;
use crate::given::{
    Store, append, at_once, event, event_type, fill, limit, log, numbered, one_each, position, positions,
    reopen, stream, texts, typed,
};

/// Looks often, and says how far it is only when a rule asks for that.
const PROMPT: FollowOptions = FollowOptions {
    page: flightdeck_store::Limit::MAX,
    poll: Duration::from_millis(5),
    checkpoint_events: i64::MAX,
    checkpoint_after: Duration::from_secs(3_600),
    ahead_grace: Duration::from_millis(20),
};

type Following<'a> = Pin<&'a mut (dyn Stream<Item = Result<Followed, StoreError>> + Send)>;

async fn next(following: &mut Following<'_>) -> Followed {
    following.next().await.expect("it goes on").expect("the store can be read")
}

/// So many events; anything else in between but checkpoints is wrong.
async fn events(following: &mut Following<'_>, count: usize) -> Vec<Recorded> {
    let mut events = Vec::new();
    while events.len() < count {
        match next(following).await {
            Followed::Event(event, cursor) => {
                assert_eq!(cursor.position(), event.position, "the cursor behind an event is its own");
                events.push(*event);
            }
            Followed::Checkpoint(_) => {}
            other => panic!("after {} of {count} events came {other:?}", events.len()),
        }
    }
    events
}

async fn caught_up(following: &mut Following<'_>) -> Cursor {
    match next(following).await {
        Followed::CaughtUp(cursor) => cursor,
        other => panic!("it has caught up, and yet: {other:?}"),
    }
}

/// History comes first, in its order, and then it is said where history ended.
pub(crate) async fn gives_history_and_says_where_it_ends(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 5).await;
    one_each(&store, &["b-1", "$c-1"]).await;
    let following = follow(Arc::clone(&store), position(0), Filter::ALL, PROMPT);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(events(&mut following, 7).await, log(&store).await);
    assert_eq!(caught_up(&mut following).await, store.head().await.unwrap().cursor);
}

/// On an empty log it has caught up at once.
pub(crate) async fn has_caught_up_at_once_on_an_empty_log(subject: &dyn Subject) {
    let store = subject.open().await;
    let following = follow(Arc::clone(&store), position(0), Filter::ALL, PROMPT);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(caught_up(&mut following).await, store.head().await.unwrap().cursor);
    fill(&store, "a-1", 2).await;
    assert_eq!(positions(&events(&mut following, 2).await), [1, 2]);
}

/// What is appended while someone follows arrives, and the end of history is said only once.
pub(crate) async fn gives_what_arrives_and_says_caught_up_once(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 2).await;
    let following = follow(Arc::clone(&store), position(0), Filter::ALL, PROMPT);
    let mut following: Following<'_> = pin!(following);
    events(&mut following, 2).await;
    caught_up(&mut following).await;
    for number in 3..10 {
        append(&store, [numbered("a-1", number)]).await;
        // A second `CaughtUp` would be the wrong thing here.
        assert_eq!(positions(&events(&mut following, 1).await), [i64::try_from(number).unwrap()]);
    }
}

/// Who follows is woken by an append, and does not wait for the next look.
pub(crate) async fn wakes_when_something_is_appended(subject: &dyn Subject) {
    let store = subject.open().await;
    let patient = FollowOptions { poll: Duration::from_secs(3_600), ..PROMPT };
    let following = follow(Arc::clone(&store), position(0), Filter::ALL, patient);
    let mut following: Following<'_> = pin!(following);
    caught_up(&mut following).await;
    for number in 1..=5 {
        // No time limit of its own: a store that never wakes anyone runs into the rule's.
        let (arrived, _) = tokio::join!(events(&mut following, 1), fill(&store, "a-1", 1));
        assert_eq!(positions(&arrived), [number]);
    }
}

/// From a cursor it goes on behind it.
pub(crate) async fn goes_on_behind_a_cursor(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 6).await;
    let epoch = store.head().await.unwrap().cursor.epoch().clone();
    for seen in 0..=6 {
        let cursor = Cursor::new(epoch.clone(), position(seen));
        let following = follow(Arc::clone(&store), cursor, Filter::ALL, PROMPT);
        let mut following: Following<'_> = pin!(following);
        let left = events(&mut following, usize::try_from(6 - seen).unwrap()).await;
        assert_eq!(positions(&left), (seen + 1..=6).collect::<Vec<_>>());
        assert_eq!(caught_up(&mut following).await.position(), position(6));
    }
}

/// With the smallest pages everything comes all the same, once.
pub(crate) async fn gives_everything_by_pages_of_one(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 10).await;
    let options = FollowOptions { page: limit(1), ..PROMPT };
    let following = follow(Arc::clone(&store), position(0), Filter::ALL, options);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(events(&mut following, 10).await, log(&store).await);
    caught_up(&mut following).await;
}

/// Only what passes the filter comes, from history and live.
pub(crate) async fn gives_only_what_passes_the_filter(subject: &dyn Subject) {
    let store = subject.open().await;
    one_each(&store, &["a-1", "ab-1", "b-1", "a-2", "$a-1"]).await;
    let filter = Filter { streams: vec![StreamPattern::parse("a-*").unwrap()], ..Filter::ALL };
    let following = follow(Arc::clone(&store), position(0), filter, PROMPT);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(positions(&events(&mut following, 2).await), [1, 4]);
    assert_eq!(caught_up(&mut following).await.position(), position(5), "it looked at what did not pass");
    one_each(&store, &["b-1", "a-3", "ab-1", "$a-1", "a-1"]).await;
    assert_eq!(positions(&events(&mut following, 2).await), [7, 10]);
}

/// When many events pass by that it was not asked for, it says how far it is.
pub(crate) async fn says_how_far_it_is_when_nothing_passes(subject: &dyn Subject) {
    let store = subject.open().await;
    let filter = Filter { types: vec![TypePattern::Exact(event_type("Rare"))], ..Filter::ALL };
    let options = FollowOptions { checkpoint_events: 10, ..PROMPT };
    let following = follow(Arc::clone(&store), position(0), filter, options);
    let mut following: Following<'_> = pin!(following);
    caught_up(&mut following).await;
    for round in 1..=3 {
        fill(&store, "a-1", 10).await;
        match next(&mut following).await {
            Followed::Checkpoint(cursor) => assert_eq!(cursor.position(), position(round * 10)),
            other => panic!("a checkpoint was due, and then: {other:?}"),
        }
    }
    append(&store, [typed("a-1", "Rare")]).await;
    assert_eq!(positions(&events(&mut following, 1).await), [31]);
}

/// After a silence in which the log moved, it says how far it is.
pub(crate) async fn says_how_far_it_is_after_a_silence(subject: &dyn Subject) {
    let store = subject.open().await;
    let filter = Filter { types: vec![TypePattern::Exact(event_type("Rare"))], ..Filter::ALL };
    let options = FollowOptions { checkpoint_after: Duration::from_millis(20), ..PROMPT };
    let following = follow(Arc::clone(&store), position(0), filter, options);
    let mut following: Following<'_> = pin!(following);
    caught_up(&mut following).await;
    fill(&store, "a-1", 3).await;
    match next(&mut following).await {
        Followed::Checkpoint(cursor) => assert_eq!(cursor, store.head().await.unwrap().cursor),
        other => panic!("a checkpoint was due, and then: {other:?}"),
    }
}

/// A cursor of another epoch ends it with a reset that says where the log is.
pub(crate) async fn resets_a_cursor_of_another_epoch(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    let foreign = Cursor::new(Epoch::new("foreign").unwrap(), position(2));
    let following = follow(Arc::clone(&store), foreign, Filter::ALL, PROMPT);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(
        next(&mut following).await,
        Followed::Reset(ResetReason::Epoch, store.head().await.unwrap().cursor)
    );
    assert!(following.next().await.is_none(), "it has ended");
}

/// A cursor that stays ahead of the log ends it with a reset.
pub(crate) async fn resets_a_cursor_that_stays_ahead(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    let head = store.head().await.unwrap().cursor;
    let ahead = Cursor::new(head.epoch().clone(), position(4));
    let following = follow(Arc::clone(&store), ahead, Filter::ALL, PROMPT);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(next(&mut following).await, Followed::Reset(ResetReason::Ahead, head));
    assert!(following.next().await.is_none(), "it has ended");
}

/// A log that comes to a cursor ahead of it in time is followed from there.
pub(crate) async fn waits_for_a_log_that_comes_to_its_cursor(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    let ahead = Cursor::new(store.head().await.unwrap().cursor.epoch().clone(), position(5));
    let options = FollowOptions { ahead_grace: Duration::from_secs(3_600), ..PROMPT };
    let following = follow(Arc::clone(&store), ahead, Filter::ALL, options);
    let mut following: Following<'_> = pin!(following);
    let (arrived, ()) = tokio::join!(next(&mut following), async {
        fill(&store, "a-1", 1).await;
        fill(&store, "a-1", 1).await;
    });
    assert!(
        matches!(&arrived, Followed::CaughtUp(cursor) if cursor.position() == position(5)),
        "{arrived:?}"
    );
    fill(&store, "a-1", 1).await;
    assert_eq!(positions(&events(&mut following, 1).await), [6]);
}

/// Across the change from history to live, with writers running, every event comes once and in order.
pub(crate) async fn misses_nothing_across_the_change_to_live(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "warm-1", 200).await;
    let total = 200 + 8 * 30;
    let followers: Vec<_> = [1, 7, 1_000]
        .into_iter()
        .map(|page| tokio::spawn(everything(Arc::clone(&store), page, total)))
        .collect();
    let writers = at_once(8, |writer| {
        let store = Arc::clone(&store);
        async move {
            for number in 0..30 {
                append(&store, [numbered(&format!("own-{writer}"), number)]).await;
            }
        }
    });
    writers.await;
    let expected = log(&store).await;
    assert_eq!(expected.len(), total);
    for follower in followers {
        assert_eq!(follower.await.expect("the follower went through"), expected);
    }
}

/// Follows from the start until so many events have come, whenever history ends.
async fn everything(store: Store, page: usize, total: usize) -> Vec<Recorded> {
    let options = FollowOptions { page: limit(page), ..PROMPT };
    let following = follow(store, position(0), Filter::ALL, options);
    let mut following: Following<'_> = pin!(following);
    let (mut seen, mut ends) = (Vec::new(), 0);
    while seen.len() < total || ends == 0 {
        match next(&mut following).await {
            Followed::Event(event, _) => seen.push(*event),
            Followed::CaughtUp(_) => ends += 1,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(ends, 1, "the end of history is said once");
    seen
}

/// The events of one stream come in the order of its versions, beside those of others.
pub(crate) async fn gives_a_stream_in_its_order_while_many_write(subject: &dyn Subject) {
    let store = subject.open().await;
    let filter = Filter { streams: vec![StreamPattern::Exact(stream("shared-1"))], ..Filter::ALL };
    let following = follow(Arc::clone(&store), position(0), filter, PROMPT);
    let mut following: Following<'_> = pin!(following);
    caught_up(&mut following).await;
    let writers = at_once(6, |writer| {
        let store = Arc::clone(&store);
        async move {
            for number in 0..10 {
                append(
                    &store,
                    [event(&format!("own-{writer}")), numbered("shared-1", number), event("shared-2")],
                )
                .await;
            }
        }
    });
    let (arrived, _) = tokio::join!(events(&mut following, 60), writers);
    let versions: Vec<_> = arrived.iter().map(|event| event.version.get()).collect();
    assert_eq!(versions, (1..=60).collect::<Vec<_>>());
}

/// A cursor from before the store was opened again goes on where it was.
pub(crate) async fn goes_on_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    fill(&store, "a-1", 3).await;
    let cursor = {
        let following = follow(Arc::clone(&store), position(0), Filter::ALL, PROMPT);
        let mut following: Following<'_> = pin!(following);
        events(&mut following, 2).await.pop().expect("two have come").position
    };
    let cursor = Cursor::new(store.head().await.unwrap().cursor.epoch().clone(), cursor);
    let store = reopen(subject, store).await;
    append(&store, [numbered("a-1", 4)]).await;
    let following = follow(Arc::clone(&store), cursor, Filter::ALL, PROMPT);
    let mut following: Following<'_> = pin!(following);
    assert_eq!(texts(&events(&mut following, 2).await), ["3", "4"]);
}
