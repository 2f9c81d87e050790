//! The contracts of both ports, on PostgreSQL.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use async_trait::async_trait;
use flightdeck_core::Clock;
use flightdeck_store::EventStore;
use flightdeck_store::view::ViewStore;
use flightdeck_store_contract::{Subject, ViewSubject, event_store_contract, view_store_contract};
use flightdeck_store_postgres::{Options, PostgresStore, Schema};

/// A schema of its own in the database that all tests share.
struct InSchema(Schema);

impl InSchema {
    fn new() -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::SeqCst);
        Self(Schema::new(format!("contract_{}_{number}", std::process::id())).unwrap())
    }
}

#[async_trait]
impl Subject for InSchema {
    async fn open(&self) -> Arc<dyn EventStore> {
        self.with(Options::default()).await
    }

    async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        self.with(Options { clock: Some(clock), ..Options::default() }).await
    }
}

#[async_trait]
impl ViewSubject for InSchema {
    async fn open(&self) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>) {
        let store = self.with(Options::default()).await;
        (Arc::clone(&store) as Arc<dyn EventStore>, store)
    }
}

impl InSchema {
    async fn with(&self, options: Options) -> Arc<PostgresStore> {
        let url = flightdeck_test_postgres::shared().unwrap();
        let options = Options { schema: self.0.clone(), ..options };
        Arc::new(PostgresStore::open(&url, options).await.unwrap())
    }
}

event_store_contract!(InSchema::new);
view_store_contract!(InSchema::new);
