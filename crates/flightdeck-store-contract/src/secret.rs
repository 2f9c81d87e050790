//! The secret of the log: one, for good.

use crate::Subject;
use crate::given::{fill, reopen};

/// The secret is the same for everyone who asks, before and after something is appended.
pub(crate) async fn is_the_same_for_everyone(subject: &dyn Subject) {
    let store = subject.open().await;
    let secret = store.secret().await.unwrap();
    fill(&store, "a-1", 5).await;
    let asking = (0..8).map(|_| store.secret());
    for found in futures_util::future::join_all(asking).await {
        assert!(found.unwrap() == secret, "another secret");
    }
}

/// The secret is the same after reopening.
pub(crate) async fn is_the_same_after_reopening(subject: &dyn Subject) {
    let store = subject.open().await;
    let secret = store.secret().await.unwrap();
    let store = reopen(subject, store).await;
    assert!(store.secret().await.unwrap() == secret, "another secret");
}
