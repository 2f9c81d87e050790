//! The hash chain: every event is linked to the one before it, on every store alike.

use std::sync::Arc;

use flightdeck_core::{Further, Metadata, Reference};
use flightdeck_store::chain::{Hash, Walk};

use crate::Subject;
use crate::given::{Store, append, at_once, event, fill, heavy, id, log, numbered, one_each, reopen, tagged};

/// Walks the whole log, link by link, and says where the walk ended.
async fn walk(store: &Store) -> Walk {
    let mut walk = Walk::from_start();
    for event in log(store).await {
        walk.step(&event).unwrap_or_else(|broken| panic!("{broken}"));
    }
    walk
}

/// On an empty log the head has the hash that stands before the first event.
pub(crate) async fn begins_before_the_first_event(subject: &dyn Subject) {
    let store = subject.open().await;
    assert_eq!(store.head().await.unwrap().hash, Hash::GENESIS);
}

/// Every event has the hash that its content and the event before it make.
pub(crate) async fn links_every_event_to_the_one_before(subject: &dyn Subject) {
    let store = subject.open().await;
    let metadata = Metadata {
        actor: Some(Reference::new("user-1").unwrap()),
        occurred: Some("2020-02-29T12:00:00Z".parse().unwrap()),
        further: Some(Further::new("{ \"a\" : 1, \"a\":2 }").unwrap()),
        ..Metadata::default()
    };
    append(&store, [event("a-1"), tagged("b-1", &["k:2", "k:1"]).with_id(id(1))]).await;
    append(&store, [numbered("a-1", 3).with_metadata(metadata)]).await;
    append(&store, [heavy("$c-1", 100_000), event("a-1"), event("b-1")]).await;
    assert_eq!(walk(&store).await.position().get(), 6);
}

/// The head has the hash of the last event.
pub(crate) async fn ends_with_the_hash_of_the_head(subject: &dyn Subject) {
    let store = subject.open().await;
    for number in 0..5 {
        append(&store, [numbered("a-1", number), numbered("b-1", number)]).await;
        assert_eq!(walk(&store).await.hash(), store.head().await.unwrap().hash);
    }
}

/// Two events never have the same hash, however alike they are.
pub(crate) async fn never_has_a_hash_twice(subject: &dyn Subject) {
    let store = subject.open().await;
    append(&store, (0..20).map(|_| event("a-1"))).await;
    one_each(&store, &["a-1", "a-1"]).await;
    let hashes: std::collections::HashSet<_> = log(&store).await.iter().map(|event| event.hash).collect();
    assert_eq!(hashes.len(), 22);
}

/// The events of an append say alike where it ends, and the log ends between two appends.
pub(crate) async fn ends_between_two_appends(subject: &dyn Subject) {
    let store = subject.open().await;
    for size in [1, 3, 2, 1, 7] {
        fill(&store, "a-1", size).await;
        assert!(walk(&store).await.is_between_appends());
    }
}

/// The chain is whole while many write, for every page that a reader gets.
pub(crate) async fn is_whole_while_many_write(subject: &dyn Subject) {
    let store = subject.open().await;
    let tasks = at_once(10, |number| {
        let store = Arc::clone(&store);
        async move {
            for round in 0..10 {
                match number {
                    0 => assert!(walk(&store).await.is_between_appends(), "a reader saw half an append"),
                    _ => drop(
                        append(&store, [numbered("a-1", round), numbered(&format!("own-{number}"), round)])
                            .await,
                    ),
                }
            }
        }
    });
    tasks.await;
    assert_eq!(walk(&store).await.position().get(), 180);
}

/// The chain goes on where it was when the store is opened again.
pub(crate) async fn goes_on_after_reopening(subject: &dyn Subject) {
    let mut store = subject.open().await;
    for number in 0..3 {
        append(&store, [numbered("a-1", number), numbered("b-1", number)]).await;
        let hash = store.head().await.unwrap().hash;
        store = reopen(subject, store).await;
        assert_eq!(store.head().await.unwrap().hash, hash);
    }
    append(&store, [event("a-1")]).await;
    assert_eq!(walk(&store).await.position().get(), 7);
}
