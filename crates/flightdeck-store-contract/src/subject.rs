//! What an adapter brings to the suite: a store that can be opened, and opened again.

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_core::Clock;
use flightdeck_store::EventStore;

/// A store under test, and the way to open it again.
#[async_trait]
pub trait Subject: Send + Sync + 'static {
    /// Opens the store: an empty one at the first call, the same one afterwards.
    ///
    /// Before it asks again, the suite drops every handle of the one before. A store that has to be closed
    /// is closed here, by a subject that kept a handle of its own.
    async fn open(&self) -> Arc<dyn EventStore>;

    /// The same, with a clock of the suite's in place of the store's own.
    async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore>;
}

/// Calls what the macro was given.
#[doc(hidden)]
pub fn made<S>(make: impl FnOnce() -> S) -> S {
    make()
}
