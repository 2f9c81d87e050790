//! What a store that is being filled takes in, and what it refuses: nothing that it is handed is believed.

use flightdeck_core::Version;
use flightdeck_store::chain::BrokenChain;
use flightdeck_store::transfer::TransferError;
use flightdeck_store::verify::Unwatched;
use flightdeck_store::{
    Data, EventStore as _, Fill, FillError, KeptRequest, MigrateError, Reason, Recorded, Secret, StoreError,
    transfer,
};
use flightdeck_store_postgres::{OpenError, Options, PostgresStore};
use flightdeck_store_sqlite::SqliteStore;

use super::{Desk, Kind};
use crate::victim::{block_on, open};

/// A log of a few appends, and the store that it is in.
async fn log(desk: &Desk, name: &str, many: u64) -> (SqliteStore, Vec<Recorded>) {
    let store = open(&desk.file(name));
    for number in 0..many {
        store.append(flightdeck_tests::append(number)).await.unwrap();
    }
    let events = flightdeck_tests::whole_log(&store).await;
    (store, events)
}

/// How many events the log has once an append has ended, and at least so many.
fn ends(events: &[Recorded], at_least: usize) -> usize {
    (at_least..).find(|many| events[many - 1].append_end == events[many - 1].position).unwrap()
}

async fn fill(kind: &Kind, url: &str) -> Box<dyn Fill> {
    match kind {
        Kind::Sqlite => {
            let path = url.strip_prefix("sqlite:").unwrap();
            Box::new(SqliteStore::fill(path, flightdeck_store_sqlite::Options::default()).unwrap())
        }
        Kind::Postgres => Box::new(PostgresStore::fill(url, Options::default()).await.unwrap()),
    }
}

#[test]
fn what_does_not_follow_is_refused_and_leaves_nothing() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        block_on(async {
            let (from, events) = log(&desk, "from.db", 6).await;
            let to = fill(&kind, &desk.store(&kind, "to.db")).await;
            let (begun, end) = (ends(&events, 3), ends(&events, 6));
            to.add_events(events[..begun].to_vec()).await.unwrap();
            let part = |change: &dyn Fn(&mut Recorded)| {
                let mut part = events[begun..end].to_vec();
                change(&mut part[1]);
                part
            };
            let refused = to.add_events(events[begun + 1..end].to_vec()).await.unwrap_err();
            assert!(matches!(refused, FillError::Broken(BrokenChain::Hole { .. })), "{refused}");
            let refused = to.add_events(part(&|event| event.hash = events[0].hash)).await.unwrap_err();
            assert!(matches!(refused, FillError::Broken(BrokenChain::Hash { .. })), "{refused}");
            let refused =
                to.add_events(part(&|event| event.data = Data::Tombstone([7; 32]))).await.unwrap_err();
            assert!(matches!(refused, FillError::Broken(BrokenChain::Hash { .. })), "{refused}");
            let within = (begun..).find(|at| events[*at].append_end > events[*at].position).unwrap();
            let refused = to.add_events(events[begun..=within].to_vec()).await.unwrap_err();
            assert!(matches!(refused, FillError::Broken(BrokenChain::Torn { .. })), "{refused}");
            let request = KeptRequest {
                caller: "me".to_owned(),
                key: "k".to_owned(),
                fingerprint: [1; 32],
                done: flightdeck_store::admit::Done::Events(events[begun].position, events[begun].position),
            };
            let refused = to.add_requests(vec![request]).await.unwrap_err();
            assert!(matches!(refused, FillError::Request { .. }), "{refused}");
            assert_eq!(to.head().await.unwrap().hash, events[begun - 1].hash, "nothing of it is there");
            // A chain that holds, and a version that does not: what only the store can know.
            let mut own = events[begun].clone();
            own.version = Version::new(own.version.get() + 5).unwrap();
            own.append_end = own.position;
            own.hash = flightdeck_store::chain::hash_of(&own, &events[begun - 1].hash);
            let refused = to.add_events(vec![own]).await.unwrap_err();
            assert!(matches!(refused, FillError::Version { .. }), "{refused}");
            let mut own = events[begun].clone();
            own.id = events[0].id;
            own.append_end = own.position;
            own.hash = flightdeck_store::chain::hash_of(&own, &events[begun - 1].hash);
            let refused = to.add_events(vec![own]).await.unwrap_err();
            assert!(matches!(refused, FillError::IdKnown { .. }), "{refused}");
            // And then it goes on as if nothing had been.
            let until = from.head().await.unwrap().cursor.position();
            transfer::events(&from, &*to, until, &transfer::as_it_is, &Unwatched).await.unwrap();
            transfer::beside(&from, &*to, until, &Unwatched).await.unwrap();
            assert_eq!(to.verify(&Unwatched).await.unwrap().problems, []);
            let head = to.finish(None, from.secret().await.unwrap()).await.unwrap();
            assert_eq!(head.hash, events.last().unwrap().hash);
        });
    }
}

#[test]
fn another_log_is_not_carried_behind_the_beginning_of_one() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        block_on(async {
            let (one, events) = log(&desk, "one.db", 4).await;
            let to = fill(&kind, &desk.store(&kind, "to.db")).await;
            let begun = ends(&events, 2);
            to.add_events(events[..begun].to_vec()).await.unwrap();
            let at_begun = |at: flightdeck_core::Position| usize::try_from(at.get()).unwrap() == begun;
            let (other, _) = log(&desk, "other.db", 9).await;
            let until = other.head().await.unwrap().cursor.position();
            let refused =
                transfer::events(&other, &*to, until, &transfer::as_it_is, &Unwatched).await.unwrap_err();
            assert!(matches!(refused, TransferError::OtherLog(at) if at_begun(at)), "{refused}");
            let refused = transfer::events(&one, &*to, events[0].position, &transfer::as_it_is, &Unwatched)
                .await
                .unwrap_err();
            assert!(matches!(refused, TransferError::Ahead(at) if at_begun(at)), "{refused}");
        });
    }
}

#[test]
fn nobody_appends_to_a_store_that_is_being_filled() {
    block_on(async {
        let desk = Desk::new();
        let (from, events) = log(&desk, "from.db", 3).await;
        let place = crate::postgres::Place::new();
        // A node that was there before.
        let node = place.open().await;
        let to = PostgresStore::fill(&place.url(), Options::default()).await.unwrap();
        to.add_events(events.clone()).await.unwrap();
        let refused = node.append(flightdeck_tests::append(50)).await.unwrap_err();
        let is_refused =
            matches!(refused, flightdeck_store::AppendError::NotCommitted { reason: Reason::ReadOnly, .. });
        assert!(is_refused, "{refused}");
        let refused = PostgresStore::open(&place.url(), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Migrate(MigrateError::Unfinished)), "{refused}");
        let refused = PostgresStore::open_read_only(&place.url(), Options::default()).await.unwrap_err();
        assert!(matches!(refused, OpenError::Migrate(MigrateError::Unfinished)), "{refused}");
        // Two that fill at once: the second one to write is told.
        let other = PostgresStore::fill(&place.url(), Options::default()).await.unwrap();
        from.append(flightdeck_tests::append(3)).await.unwrap();
        let longer = flightdeck_tests::whole_log(&from).await;
        to.add_events(longer[events.len()..].to_vec()).await.unwrap();
        let refused = other.add_events(longer[events.len()..].to_vec()).await.unwrap_err();
        assert!(matches!(refused, FillError::Storage(_)), "{refused}");
        to.finish(None, Secret::from_bytes([9; 32])).await.unwrap();
        // The node that was there before takes appends again, in the epoch that has begun.
        let done = node.append(flightdeck_tests::append(50)).await.unwrap();
        assert_eq!(done.cursor.epoch(), node.head().await.unwrap().cursor.epoch());
    });
}

#[test]
fn a_store_that_is_only_read_is_only_read() {
    block_on(async {
        let place = crate::postgres::Place::new();
        let node = place.open().await;
        node.append(flightdeck_tests::append(1)).await.unwrap();
        let reader = PostgresStore::open_read_only(&place.url(), Options::default()).await.unwrap();
        let events = flightdeck_tests::whole_log(&reader).await;
        let refused = reader.append(flightdeck_tests::append(2)).await.unwrap_err();
        assert_eq!(refused.outcome(), flightdeck_store::Outcome::NotCommitted, "{refused}");
        let snapshot = flightdeck_store::Snapshot {
            version: Version::FIRST,
            schema: flightdeck_core::SchemaNumber::FIRST,
            state: "{}".into(),
        };
        let stream = &events[0].stream;
        let kept = reader.save_snapshot(stream, snapshot).await;
        assert!(matches!(kept, Err(StoreError::Failed { reason: Reason::ReadOnly, .. })), "{kept:?}");
        assert!(reader.delete_snapshot(stream).await.is_err());
        // It hears of what others append.
        let mut watch = reader.watch();
        watch.mark_unchanged();
        node.append(flightdeck_tests::append(2)).await.unwrap();
        tokio::time::timeout(std::time::Duration::from_secs(5), watch.changed()).await.unwrap().unwrap();
    });
}
