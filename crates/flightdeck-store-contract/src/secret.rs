//! The secret of the log: one, for good, or none at all.

use flightdeck_store::{EventStore, Reason, Secret, StoreError};

use crate::Subject;
use crate::given::{fill, reopen};

/// The secret; `None` from a store that gives it to nobody.
async fn secret(store: &dyn EventStore) -> Option<Secret> {
    match store.secret().await {
        Ok(secret) => Some(secret),
        Err(StoreError::Failed { reason: Reason::Withheld, .. }) => None,
        Err(other) => panic!("{other}"),
    }
}

/// The secret is the same for everyone who asks, before and after something is appended.
pub(crate) async fn is_the_same_for_everyone(subject: &dyn Subject) {
    let store = subject.open().await;
    let first = secret(&*store).await;
    fill(&store, "a-1", 5).await;
    let asking = (0..8).map(|_| secret(&*store));
    for found in futures_util::future::join_all(asking).await {
        assert!(found == first, "another secret");
    }
}

/// The secret is the same after reopening.
pub(crate) async fn is_the_same_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    let first = secret(&*store).await;
    let store = reopen(subject, store).await;
    assert!(secret(&*store).await == first, "another secret");
}
