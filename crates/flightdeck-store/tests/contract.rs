//! The contract of the port, on the store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_core::Clock;
use flightdeck_store::{EventStore, MemoryStore};
use flightdeck_store_contract::{Subject, event_store_contract};

/// A log in memory outlives its handles as long as one of them is kept.
struct Memory(MemoryStore);

#[async_trait]
impl Subject for Memory {
    async fn open(&self) -> Arc<dyn EventStore> {
        Arc::new(self.0.clone())
    }

    async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        Arc::new(self.0.at(clock))
    }
}

event_store_contract!(|| Memory(MemoryStore::new()));
