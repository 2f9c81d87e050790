//! The contract of both ports, on the store in memory.

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_core::Clock;
use flightdeck_store::view::{MemoryViews, ViewStore};
use flightdeck_store::{EventStore, MemoryStore};
use flightdeck_store_contract::{Subject, ViewSubject, event_store_contract, view_store_contract};

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

/// And so do views.
struct WithViews(MemoryStore, MemoryViews);

#[async_trait]
impl ViewSubject for WithViews {
    async fn open(&self) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>) {
        (Arc::new(self.0.clone()), Arc::new(self.1.clone()))
    }
}

event_store_contract!(|| Memory(MemoryStore::new()));
view_store_contract!(|| WithViews(MemoryStore::new(), MemoryViews::new()));
