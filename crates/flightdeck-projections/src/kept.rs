//! Leases that are kept by a task of their own: a fold or a write may take longer than one lasts.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_store::view::{Lease, ViewStore};
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::timeout;

/// A lease that is kept until this is gone.
pub(crate) struct Kept {
    views: Arc<dyn ViewStore>,
    lease: Lease,
    end: watch::Sender<()>,
    task: JoinHandle<()>,
}

impl Kept {
    pub(crate) fn keep(views: &Arc<dyn ViewStore>, lease: Lease, lasting: Duration) -> Self {
        let (end, mut ended) = watch::channel(());
        let (keeping, kept) = (Arc::clone(views), lease.clone());
        let task = tokio::spawn(async move {
            // Whoever is gone does not keep it any more.
            while timeout(lasting / 3, ended.changed()).await.is_err() {
                // When it is lost, the next piece of work is refused.
                drop(keeping.lease(&kept.of, &kept.holder, lasting).await);
            }
        });
        Self { views: Arc::clone(views), lease, end, task }
    }

    /// Keeps it no longer. What was under way is through then.
    pub(crate) async fn end(self) -> (Arc<dyn ViewStore>, Lease) {
        drop(self.end);
        drop(self.task.await);
        (self.views, self.lease)
    }

    /// Keeps it no longer, and gives it back.
    pub(crate) async fn give_back(self) {
        let (views, lease) = self.end().await;
        if let Err(error) = views.give_back(&lease).await {
            tracing::debug!(view = %lease.of, %error, "a lease could not be given back; it runs out");
        }
    }
}
