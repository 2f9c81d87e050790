//! The contract of the ports, on SQLite.
#![expect(clippy::unwrap_used, reason = "a test that fails panics")]

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flightdeck_core::Clock;
use flightdeck_store::EventStore;
use flightdeck_store::view::ViewStore;
use flightdeck_store_contract::{Subject, ViewSubject, event_store_contract, view_store_contract};
use flightdeck_store_sqlite::{Options, SqliteStore};

/// A file in a folder that goes when the test is through.
struct File(tempfile::TempDir);

#[async_trait]
impl Subject for File {
    async fn open(&self) -> Arc<dyn EventStore> {
        self.with(Options::default())
    }

    async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        self.with(Options { clock, ..Options::default() })
    }
}

#[async_trait]
impl ViewSubject for File {
    async fn open(&self) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>) {
        let store = self.with(Options::default());
        (Arc::clone(&store) as _, store)
    }
}

impl File {
    fn with(&self, options: Options) -> Arc<SqliteStore> {
        // The store before may still be closing: its lock says when it is done.
        let options = Options { lock_wait: Duration::from_secs(20), ..options };
        Arc::new(SqliteStore::open(self.0.path().join("log.db"), options).unwrap())
    }
}

event_store_contract!(|| File(tempfile::tempdir().unwrap()));
view_store_contract!(|| File(tempfile::tempdir().unwrap()));
