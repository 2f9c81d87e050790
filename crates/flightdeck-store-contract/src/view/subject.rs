//! What an adapter brings to the suite of views: a log and the views beside it, opened together and opened again.

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_store::EventStore;
use flightdeck_store::view::ViewStore;

/// A log with views beside it, under test, and the way to open both again.
#[async_trait]
pub trait ViewSubject: Send + Sync + 'static {
    /// Opens both: empty ones at the first call, the same ones afterwards.
    ///
    /// Before it asks again, the suite drops every handle of those before. What has to be closed is closed here, by a subject that
    /// kept a handle of its own.
    async fn open(&self) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>);
}
