//! Snapshots: kept when they may be, thrown away when asked, and never more than a head start.

use flightdeck_core::SchemaNumber;
use flightdeck_core::limits::SNAPSHOT_BYTES_MAX;
use flightdeck_store::Snapshot;

use crate::Subject;
use crate::given::{Store, events_of, fill, log, one_each, reopen, stream, version};

fn schema(number: u32) -> SchemaNumber {
    SchemaNumber::new(number).unwrap()
}

fn snapshot(at: i64, of: u32, state: &str) -> Snapshot {
    Snapshot { version: version(at), schema: schema(of), state: state.to_owned().into() }
}

async fn save(store: &Store, name: &str, at: i64, of: u32, state: &str) {
    store.save_snapshot(&stream(name), snapshot(at, of, state)).await.unwrap();
}

async fn kept(store: &Store, name: &str, of: u32) -> Option<Snapshot> {
    store.snapshot(&stream(name), schema(of)).await.unwrap()
}

/// A store with 5 events in `a-1` and in `a-2`.
async fn five(subject: &dyn Subject) -> Store {
    let store = subject.open().await;
    fill(&store, "a-1", 5).await;
    fill(&store, "a-2", 5).await;
    store
}

/// A snapshot comes back as it was kept, whatever its bytes are.
pub(crate) async fn comes_back_as_it_was_kept(subject: &dyn Subject) {
    let store = five(subject).await;
    assert_eq!(kept(&store, "a-1", 1).await, None);
    let large: Vec<u8> = (0..200_000_u32).map(|number| number.to_le_bytes()[0]).collect();
    for state in [vec![], b"{\"a\" : 1}".to_vec(), vec![0, 255, 0, 128], large] {
        let snapshot = Snapshot { state: state.into(), ..snapshot(3, 7, "") };
        store.save_snapshot(&stream("a-1"), snapshot.clone()).await.unwrap();
        assert!(kept(&store, "a-1", 7).await == Some(snapshot), "another state came back");
    }
}

/// A snapshot is there for its own schema only.
pub(crate) async fn is_there_for_its_schema_only(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 3, 2, "two").await;
    assert_eq!(kept(&store, "a-1", 1).await, None);
    assert_eq!(kept(&store, "a-1", 3).await, None);
    assert_eq!(kept(&store, "a-1", 2).await, Some(snapshot(3, 2, "two")));
}

/// A snapshot is there for its own stream only.
pub(crate) async fn is_there_for_its_stream_only(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 3, 1, "one").await;
    assert_eq!(kept(&store, "a-2", 1).await, None);
    save(&store, "a-2", 4, 1, "two").await;
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(3, 1, "one")));
    assert_eq!(kept(&store, "a-2", 1).await, Some(snapshot(4, 1, "two")));
}

/// A newer snapshot takes the place of the one before.
pub(crate) async fn gives_way_to_a_newer_one(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 2, 1, "old").await;
    save(&store, "a-1", 5, 1, "new").await;
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(5, 1, "new")));
}

/// A snapshot of the same version takes the place of the one before.
pub(crate) async fn gives_way_to_one_of_the_same_version(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 3, 1, "first").await;
    save(&store, "a-1", 3, 1, "second").await;
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(3, 1, "second")));
}

/// A snapshot that is behind the kept one of the same schema is not kept.
pub(crate) async fn does_not_give_way_to_an_older_one(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 4, 1, "new").await;
    save(&store, "a-1", 3, 1, "old").await;
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(4, 1, "new")));
}

/// A snapshot of another schema takes the place of the one before, also if it is behind it.
pub(crate) async fn gives_way_to_another_schema(subject: &dyn Subject) {
    let store = five(subject).await;
    for (at, of) in [(4, 1), (2, 2), (1, 1)] {
        save(&store, "a-1", at, of, "state").await;
        assert_eq!(kept(&store, "a-1", of).await, Some(snapshot(at, of, "state")));
    }
    assert_eq!(kept(&store, "a-1", 2).await, None, "there is one snapshot of a stream");
}

/// A snapshot that is ahead of its stream, or of no stream at all, is not kept.
pub(crate) async fn is_not_kept_ahead_of_its_stream(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 6, 1, "ahead").await;
    assert_eq!(kept(&store, "a-1", 1).await, None);
    save(&store, "none-1", 1, 1, "of nothing").await;
    assert_eq!(kept(&store, "none-1", 1).await, None);
    save(&store, "a-1", 5, 1, "at the end").await;
    save(&store, "a-1", 6, 2, "ahead").await;
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(5, 1, "at the end")), "the kept one stays");
}

/// A snapshot of 4 MiB is kept; one that is larger is not, and the one before stays.
pub(crate) async fn is_not_kept_when_it_is_too_large(subject: &dyn Subject) {
    let store = five(subject).await;
    let of_bytes = |at, bytes| Snapshot { state: vec![1; bytes].into(), ..snapshot(at, 1, "") };
    store.save_snapshot(&stream("a-1"), of_bytes(3, SNAPSHOT_BYTES_MAX)).await.unwrap();
    store.save_snapshot(&stream("a-1"), of_bytes(4, SNAPSHOT_BYTES_MAX + 1)).await.unwrap();
    let kept = kept(&store, "a-1", 1).await.map(|kept| (kept.version, kept.state.len()));
    assert_eq!(kept, Some((version(3), SNAPSHOT_BYTES_MAX)));
}

/// A snapshot is gone when it was thrown away, and older ones may be kept again.
pub(crate) async fn is_gone_when_thrown_away(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 4, 1, "one").await;
    save(&store, "a-2", 4, 1, "two").await;
    store.delete_snapshot(&stream("a-1")).await.unwrap();
    assert_eq!(kept(&store, "a-1", 1).await, None);
    assert_eq!(kept(&store, "a-2", 1).await, Some(snapshot(4, 1, "two")), "that of another stream stays");
    save(&store, "a-1", 2, 1, "again").await;
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(2, 1, "again")));
}

/// Throwing away what is not there is no error.
pub(crate) async fn can_be_thrown_away_when_there_is_none(subject: &dyn Subject) {
    let store = five(subject).await;
    for name in ["a-1", "none-1"] {
        assert!(store.delete_snapshot(&stream(name)).await.is_ok(), "{name}");
    }
}

/// A snapshot never changes what a stream or the log is read as.
pub(crate) async fn never_changes_what_is_read(subject: &dyn Subject) {
    let store = five(subject).await;
    let before = (log(&store).await, events_of(&store, "a-1").await, store.head().await.unwrap());
    let info = store.stream(&stream("a-1")).await.unwrap();
    save(&store, "a-1", 3, 1, "state").await;
    assert_eq!((log(&store).await, events_of(&store, "a-1").await, store.head().await.unwrap()), before);
    assert_eq!(store.stream(&stream("a-1")).await.unwrap(), info);
    one_each(&store, &["a-1"]).await;
    assert_eq!(events_of(&store, "a-1").await.len(), 6);
    assert_eq!(kept(&store, "a-1", 1).await, Some(snapshot(3, 1, "state")), "an append changes no snapshot");
}

/// A snapshot is there after the store was opened again.
pub(crate) async fn is_there_after_reopening(subject: &dyn Subject) {
    let store = five(subject).await;
    save(&store, "a-1", 3, 2, "one").await;
    save(&store, "a-2", 5, 1, "two").await;
    let store = reopen(subject, store).await;
    assert_eq!(kept(&store, "a-1", 2).await, Some(snapshot(3, 2, "one")));
    assert_eq!(kept(&store, "a-2", 1).await, Some(snapshot(5, 1, "two")));
    save(&store, "a-1", 2, 2, "older").await;
    assert_eq!(kept(&store, "a-1", 2).await, Some(snapshot(3, 2, "one")));
}
