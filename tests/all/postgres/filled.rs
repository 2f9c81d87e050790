//! A node that is open on an empty store while a log is carried into it: what it hides from then on, it hides by that log's secret.

use std::sync::Arc;

use flightdeck_core::Json;
use flightdeck_domain::{UserId, user};
use flightdeck_server::Desk;
use flightdeck_store::transfer::{self, as_it_is};
use flightdeck_store::verify::Unwatched;
use flightdeck_store::{Context, EventStore as _, Fill as _, HandleError, MemoryStore};
use flightdeck_store_postgres::{Options, PostgresStore};
use flightdeck_store_sqlite::SqliteStore;

use super::Place;
use crate::victim::block_on;

async fn register(desk: &Desk, id: &str) -> Result<(), HandleError<user::Error>> {
    let id = UserId::new(id).unwrap();
    let body = Json::new(r#"{"email":"ada@x","displayName":"Ada"}"#, 1_024).unwrap();
    let command = user::Command::Register(user::Register::read(id.clone(), &body).unwrap());
    desk.users.handle(&id.stream("user").unwrap(), command, &Context::default()).await.map(drop)
}

#[test]
fn a_node_that_was_open_before_finds_the_addresses_of_the_log_that_came() {
    block_on(async {
        let folder = tempfile::tempdir().unwrap();
        let from =
            SqliteStore::open(folder.path().join("from.db"), flightdeck_store_sqlite::Options::default());
        let from = Arc::new(from.unwrap());
        register(&Desk::new(from.clone()), "1").await.unwrap();

        let place = Place::new();
        let node = Arc::new(place.open().await);
        let desk = Desk::new(node.clone());
        let own = node.secret().await.unwrap();
        let fill = PostgresStore::fill(&place.url(), Options::default()).await.unwrap();
        // It may not write now; but it has looked at the secret that is about to be replaced.
        assert!(matches!(register(&desk, "2").await, Err(HandleError::Append(_))));
        let head = from.head().await.unwrap();
        transfer::events(&*from, &fill, head.cursor.position(), &as_it_is, &Unwatched).await.unwrap();
        fill.finish(None, from.secret().await.unwrap()).await.unwrap();
        assert!(node.secret().await.unwrap() != own && own != MemoryStore::new().secret().await.unwrap());
        match register(&desk, "2").await {
            Err(HandleError::Refused(user::Error::EmailTaken { by })) => assert_eq!(by.as_str(), "1"),
            other => panic!("{other:?}"),
        }
        node.close().await;
        from.close().await;
    });
}
