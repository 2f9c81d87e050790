//! Stores that each break one promise: the proof that the suite goes red.
//!
//! A [`Saboteur`] is a [`Subject`] like any other, over the honest store in memory, with one
//! [`Sabotage`] between it and whoever uses it. It is published with the suite for whoever adds a rule of
//! their own and wants to see it catch something.

mod append;
mod question;
mod read;
mod sabotage;
mod snapshot;
mod store;
mod view;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use flightdeck_core::Clock;
use flightdeck_store::{EventStore, MemoryStore};

pub use self::sabotage::Sabotage;
use self::store::{Memo, Sabotaged};
pub use self::view::{ViewSabotage, ViewSaboteur};
use crate::Subject;

/// A store in memory that breaks one promise, or none.
pub struct Saboteur {
    sabotage: Option<Sabotage>,
    store: MemoryStore,
    memo: Arc<Memo>,
    opened: AtomicBool,
}

impl Saboteur {
    /// A store that breaks one promise.
    #[must_use]
    pub fn of(sabotage: Sabotage) -> Self {
        Self { sabotage: Some(sabotage), ..Self::honest() }
    }

    /// A store behind the same wrapping that breaks none: it shows that the wrapping itself does no harm.
    #[must_use]
    pub fn honest() -> Self {
        Self {
            sabotage: None,
            store: MemoryStore::new(),
            memo: Arc::default(),
            opened: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl Subject for Saboteur {
    async fn open(&self) -> Arc<dyn EventStore> {
        self.over(self.store.clone()).await
    }

    async fn open_at(&self, clock: Arc<dyn Clock>) -> Arc<dyn EventStore> {
        self.over(self.store.at(clock)).await
    }
}

impl Saboteur {
    async fn over(&self, inner: MemoryStore) -> Arc<dyn EventStore> {
        let reopened = self.opened.swap(true, Ordering::SeqCst);
        let last = self.store.head().await.expect("memory can be read").cursor.position();
        let forgotten = reopened.then_some(last);
        Arc::new(Sabotaged { sabotage: self.sabotage, inner, memo: Arc::clone(&self.memo), forgotten })
    }
}
