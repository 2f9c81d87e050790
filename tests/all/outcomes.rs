//! Every refusal says what is certain, also to whoever repeats what was done long ago. (P2, P3, F2, F7, F18)

use std::path::Path;
use std::time::Duration;

use flightdeck_core::{EventType, Json, StreamId};
use flightdeck_store::{
    Append, AppendError, Appended, EventStore as _, NewEvent, Outcome, Reason, RequestKey,
};
use flightdeck_store_sqlite::{Options, Reserve, SqliteStore};
use rusqlite::Connection;

use crate::victim::block_on;

fn open(path: &Path, pages_max: Option<u32>) -> SqliteStore {
    let busy_wait = Duration::from_millis(50);
    let options = Options { busy_wait, pages_max, reserve: Reserve::Bytes(0), ..Options::default() };
    SqliteStore::open(path, options).unwrap()
}

/// The tests' own appends carry a request key and ids.
fn repeated(done: Appended) -> Appended {
    Appended { duplicate: true, ..done }
}

#[test]
fn what_was_done_is_still_said_while_someone_else_holds_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    block_on(async {
        let store = open(&path, None);
        let done = store.append(flightdeck_tests::append(1)).await.unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        assert_eq!(store.append(flightdeck_tests::append(1)).await.unwrap(), repeated(done.clone()));
        let fresh = store.append(flightdeck_tests::append(2)).await.unwrap_err();
        assert!(matches!(fresh, AppendError::NotCommitted { reason: Reason::Busy, .. }), "{fresh}");
        // Known by its ids alone it can't be told from a part of itself just now.
        let by_ids = Append { request: None, ..flightdeck_tests::append(1) };
        let unsure = store.append(by_ids.clone()).await.unwrap_err();
        assert_eq!((unsure.outcome(), unsure.retry_helps()), (Outcome::Unknown, true), "{unsure}");
        other.execute_batch("ROLLBACK").unwrap();
        assert_eq!(store.append(by_ids).await.unwrap(), repeated(done.clone()));
        store.close().await;
        assert_eq!(store.append(flightdeck_tests::append(1)).await.unwrap(), repeated(done));
        let fresh = store.append(flightdeck_tests::append(2)).await.unwrap_err();
        assert!(matches!(fresh, AppendError::NotCommitted { reason: Reason::Closed, .. }), "{fresh}");
    });
}

#[test]
fn what_was_done_is_still_said_by_a_full_store_in_one_group_with_what_does_not_fit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.db");
    block_on(async {
        let store = open(&path, Some(100));
        let done = store.append(flightdeck_tests::append(1)).await.unwrap();
        let data = Json::new(format!("\"{}\"", "x".repeat(20_000)), 1 << 20).unwrap();
        let large = NewEvent::new(StreamId::new("a-1").unwrap(), EventType::new("A").unwrap(), data);
        while store.append(Append::of([large.clone()])).await.is_ok() {}
        for round in 0..50 {
            let fill = async {
                tokio::join!(
                    store.append(Append::of([large.clone()])),
                    store.append(Append::of([large.clone()]))
                )
            };
            let (again, refused) = tokio::join!(store.append(flightdeck_tests::append(1)), fill);
            assert_eq!(again.unwrap(), repeated(done.clone()), "round {round}");
            assert!(refused.0.is_err() && refused.1.is_err());
        }
        // A new key for known ids is remembered, or it is not said that it was.
        let request = RequestKey::new("victim", "another", [7; 32]).unwrap();
        let under_new_key = flightdeck_tests::append(1).with_request(request.clone());
        let said = store.append(under_new_key).await;
        assert_eq!(said.is_ok(), store.outcome_of(&request).await.unwrap().is_some(), "{said:?}");
        store.close().await;
    });
}
