//! The same history has the same hashes on every store, whoever took them: this program, or a function in a database.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use flightdeck_core::{Clock, EventId, Further, Ids, Metadata, Reference, Timestamp};
use flightdeck_store::{Append, EventStore, Expected, MemoryStore, Recorded};
use flightdeck_store_postgres::PostgresStore;
use flightdeck_store_sqlite::SqliteStore;
use uuid::Uuid;

use crate::victim::block_on;

/// A clock that moves with every look, sometimes back, and ids that count.
struct Fixed(AtomicI64);

impl Clock for Fixed {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(1_790_000_000_000_000).unwrap()
    }
}

impl Ids for Fixed {
    fn event_id(&self, _: Timestamp) -> EventId {
        let number = u128::try_from(self.0.fetch_add(1, Ordering::SeqCst)).unwrap();
        EventId::new(Uuid::from_u128(0x0193_0000_0000_7000_8000_0000_0000_0000 + number)).unwrap()
    }
    fn random(&self) -> u128 {
        42
    }
}

fn fixed() -> Arc<Fixed> {
    Arc::new(Fixed(AtomicI64::new(0)))
}

/// A history with everything that an event can have.
async fn history(store: &dyn EventStore) -> Vec<Recorded> {
    for number in 0..60 {
        let mut append = flightdeck_tests::append(number);
        for (event, place) in append.events.iter_mut().zip(number..) {
            event.id = event.id.filter(|_| number % 3 > 0);
            if place % 2 == 0 {
                event.metadata = Metadata {
                    actor: Some(Reference::new("user-1").unwrap()),
                    correlation: (number % 5 == 0).then(|| Reference::new("c-1").unwrap()),
                    causation: (number % 7 == 0).then(|| Reference::new("because").unwrap()),
                    occurred: Some("1969-07-20T20:17:40Z".parse().unwrap()),
                    further: (number % 4 == 0).then(|| Further::new("{ \"é\" : \"\u{1f680}\" }").unwrap()),
                };
            }
        }
        store.append(append).await.unwrap();
    }
    // What is refused leaves no trace in any chain.
    let stale = Append::of([flightdeck_tests::event(900, 0)])
        .expecting(flightdeck_tests::event(900, 0).stream, Expected::NoStream);
    assert!(store.append(stale).await.is_err());
    store.append(flightdeck_tests::append(61)).await.unwrap();
    flightdeck_tests::whole_log(store).await
}

#[test]
fn the_same_history_has_the_same_hashes_on_every_store() {
    block_on(async {
        let memory = history(&MemoryStore::with(fixed(), fixed())).await;
        let folder = tempfile::tempdir().unwrap();
        let options = flightdeck_store_sqlite::Options {
            clock: fixed(),
            ids: fixed(),
            ..flightdeck_store_sqlite::Options::default()
        };
        let sqlite = SqliteStore::open(folder.path().join("log.db"), options).unwrap();
        assert_eq!(history(&sqlite).await, memory);
        let place = crate::postgres::Place::new();
        let options = flightdeck_store_postgres::Options {
            clock: Some(fixed()),
            ids: fixed(),
            ..flightdeck_store_postgres::Options::default()
        };
        let postgres = PostgresStore::open(&place.url(), options).await.unwrap();
        assert_eq!(history(&postgres).await, memory);
        assert!(memory.len() > 100);
    });
}
