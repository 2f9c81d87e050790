//! The store on PostgreSQL: many nodes on real servers that are killed, stopped, promoted and tampered with. (F42–F65)

mod damage;
mod doors;
mod failover;
mod filled;
mod interleavings;
mod kill_points;
pub(crate) mod nodes;
mod outcomes;
mod proxy;

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use flightdeck_core::{EventId, EventType, Json, StreamId};
use flightdeck_store::NewEvent;
use flightdeck_store::chain::Sealed;
use flightdeck_store_postgres::{Options, PostgresStore};
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls};
use uuid::Uuid;

/// A schema of its own on a server.
pub(crate) struct Place {
    pub(crate) server: String,
    pub(crate) schema: String,
}

impl Place {
    /// On the server that all tests share.
    pub(crate) fn new() -> Self {
        Self::on(&flightdeck_test_postgres::shared().unwrap())
    }

    pub(crate) fn on(server: &str) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        Self { server: server.to_owned(), schema: format!("t{}_{number}", std::process::id()) }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}?schema={}", self.server, self.schema)
    }

    /// A node on it.
    pub(crate) async fn open(&self) -> PostgresStore {
        self.open_with(Options::default()).await
    }

    pub(crate) async fn open_with(&self, options: Options) -> PostgresStore {
        PostgresStore::open(&self.url(), options).await.unwrap()
    }

    /// A connection like anybody's, as the server's superuser.
    pub(crate) async fn raw(&self) -> Client {
        connect(&self.server, &self.schema).await
    }
}

pub(crate) async fn connect(server: &str, schema: &str) -> Client {
    let (client, wire) = tokio_postgres::connect(server, NoTls).await.unwrap();
    tokio::spawn(wire);
    client.batch_execute(&format!("SET search_path TO {schema}, pg_temp")).await.unwrap();
    client
}

/// An event of a stream of its own.
pub(crate) fn event(number: u128) -> NewEvent {
    let data = Json::new(format!("{{\"number\":{number}}}"), 1_000).unwrap();
    NewEvent::new(StreamId::new(format!("raw-{number}")).unwrap(), EventType::new("Raw").unwrap(), data)
}

/// Appends one event by the function itself, on a connection of the test's own, and says where it is.
pub(crate) async fn append_raw(client: &Client, number: u128) -> Result<i64, tokio_postgres::Error> {
    let id = Uuid::from_u128(0x0192_1111_0000_7000_8000_0000_0000_0000 + number);
    let sealed = Sealed::new(event(number), EventId::new(id).unwrap());
    let (stream, data) = (sealed.event().stream.to_string(), sealed.event().data.as_bytes().to_vec());
    let sql = "SELECT (fd_append(NULL, NULL, NULL, NULL, ARRAY[$1]::text[], ARRAY['Raw'], '{1}', '{}', '{}', '{}', '{NULL}', '{NULL}',
                 '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{}', '{1}', '{1}', '{1}', ARRAY[$2]::uuid[], '{true}', '{NULL}', '{NULL}',
                 '{NULL}', '{NULL}', '{NULL}', '{NULL}', ARRAY[$3]::bytea[], ARRAY[$4]::bytea[], '{0}', '{}', '{}')).first[1]";
    let values: [&(dyn ToSql + Sync); 4] = [&stream, &id, &data, &sealed.behind_place()];
    client.query_one(sql, &values).await?.try_get(0)
}

/// Asks again and again until it is so, within a time that is far more than it takes.
pub(crate) async fn eventually<F: Future<Output = bool>>(what: &str, mut is_so: impl FnMut() -> F) {
    for _ in 0..1_000 {
        if is_so().await {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("not so after 10 s: {what}");
}
