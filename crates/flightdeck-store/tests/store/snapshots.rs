//! Snapshots in command handling: a head start, and never more than that.

use std::sync::Arc;

use flightdeck_core::{Position, SchemaNumber, Version};
use flightdeck_store::{Context, EventStore, HandleError, Handler, MemoryStore, Snapshot};

use crate::account::{Account, Balance, Command, account};
use crate::between::Between;

fn schema(number: u32) -> SchemaNumber {
    SchemaNumber::new(number).unwrap()
}

fn version(number: i64) -> Version {
    Version::new(number).unwrap()
}

fn on(store: impl EventStore, every_events: i64, of: u32) -> Handler<Account> {
    Handler::new(Arc::new(store)).snapshots(every_events, schema(of))
}

async fn deposits(handler: &Handler<Account>, count: usize) {
    for _ in 0..count {
        handler.handle(&account(), Command::Deposit { cents: 1 }, &Context::default()).await.unwrap();
    }
}

/// A store with 4 cents in 4 events, that hands out this snapshot.
async fn planted(at: i64, of: u32, state: &'static str) -> Between {
    let store = Between {
        snapshot: Some(Snapshot { version: version(at), schema: schema(of), state: state.into() }),
        ..Between::default()
    };
    deposits(&on(store.inner.clone(), 1_000, 1), 4).await;
    store
}

#[tokio::test]
async fn one_is_kept_whenever_the_stream_has_grown_by_so_many_events() {
    let store = MemoryStore::new();
    let handler = on(store.clone(), 3, 1);
    for (events, kept) in
        [(1, None), (2, None), (3, Some(3)), (4, Some(3)), (5, Some(3)), (6, Some(6)), (7, Some(6))]
    {
        deposits(&handler, 1).await;
        let snapshot = store.snapshot(&account(), schema(1)).await.unwrap();
        assert_eq!(snapshot.map(|snapshot| snapshot.version.get()), kept, "after {events} events");
    }
    let loaded = handler.load(&account()).await.unwrap();
    assert_eq!((loaded.state, loaded.snapshot), (Balance { cents: 7 }, Some(version(6))));
}

#[tokio::test]
async fn it_is_a_head_start_and_the_tail_is_always_read() {
    // What the snapshot says is believed, right or wrong: that is how one sees that it was used.
    let loaded = on(planted(3, 1, "{\"cents\":1000}").await, 100, 1).load(&account()).await.unwrap();
    assert_eq!((loaded.state, loaded.version), (Balance { cents: 1_001 }, Some(version(4))));
    assert_eq!(loaded.snapshot, Some(version(3)));
}

#[tokio::test]
async fn one_at_the_end_of_the_stream_is_enough() {
    let loaded = on(planted(4, 1, "{\"cents\":1000}").await, 100, 1).load(&account()).await.unwrap();
    assert_eq!((loaded.state, loaded.version), (Balance { cents: 1_000 }, Some(version(4))));
}

#[tokio::test]
async fn one_that_is_ahead_of_its_stream_is_passed_over() {
    let loaded = on(planted(5, 1, "{\"cents\":1000}").await, 100, 1).load(&account()).await.unwrap();
    assert_eq!(
        (loaded.state, loaded.version, loaded.snapshot),
        (Balance { cents: 4 }, Some(version(4)), None)
    );
}

#[tokio::test]
async fn one_of_another_schema_is_passed_over() {
    let loaded = on(planted(3, 1, "{\"cents\":1000}").await, 100, 2).load(&account()).await.unwrap();
    assert_eq!((loaded.state, loaded.snapshot), (Balance { cents: 4 }, None));
}

#[tokio::test]
async fn one_that_can_not_be_read_is_passed_over() {
    let loaded = on(planted(3, 1, "nonsense").await, 100, 1).load(&account()).await.unwrap();
    assert_eq!((loaded.state, loaded.snapshot), (Balance { cents: 4 }, None));
}

#[tokio::test]
async fn without_a_policy_none_is_used() {
    let handler = Handler::<Account>::new(Arc::new(planted(3, 1, "{\"cents\":1000}").await));
    assert_eq!(handler.load(&account()).await.unwrap().state, Balance { cents: 4 });
}

#[tokio::test]
async fn one_that_can_not_be_kept_is_no_error() {
    let handler = on(Between { keeps_no_snapshots: true, ..Between::default() }, 1, 1);
    deposits(&handler, 2).await;
    assert_eq!(handler.load(&account()).await.unwrap().state, Balance { cents: 2 });
}

#[tokio::test]
async fn events_whose_data_is_gone_need_one_behind_them() {
    let gone = Between { erased: Some(Position::new(3).unwrap()), ..planted(3, 1, "{\"cents\":3}").await };
    let handler = on(gone, 100, 1);
    assert_eq!(handler.load(&account()).await.unwrap().state, Balance { cents: 4 });
    let gone = Between { erased: Some(Position::new(3).unwrap()), ..planted(2, 1, "{\"cents\":2}").await };
    match on(gone, 100, 1).load(&account()).await {
        Err(HandleError::Tombstone { position }) => assert_eq!(position, Position::new(3).unwrap()),
        other => panic!("{other:?}"),
    }
}
