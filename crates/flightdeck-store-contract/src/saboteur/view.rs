//! Views that each break one promise, and a log that folds within its appends so that those rules have something to ask.

mod answer;
mod generations;
mod inline;
mod sabotage;
mod store;
mod work;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use async_trait::async_trait;
use flightdeck_store::view::{MemoryViews, ViewStore};
use flightdeck_store::{EventStore, MemoryStore};

use self::inline::InlineStore;
pub use self::sabotage::ViewSabotage;
use self::store::{SabotagedViews, ViewMemo};
use crate::ViewSubject;

/// Views in memory that break one promise, or none.
pub struct ViewSaboteur {
    sabotage: Option<ViewSabotage>,
    store: MemoryStore,
    views: MemoryViews,
    memo: Arc<ViewMemo>,
    opened: AtomicBool,
}

impl ViewSaboteur {
    /// Views that break one promise.
    #[must_use]
    pub fn of(sabotage: ViewSabotage) -> Self {
        Self { sabotage: Some(sabotage), ..Self::honest() }
    }

    /// Views behind the same wrapping that break none: it shows that the wrapping itself does no harm.
    #[must_use]
    pub fn honest() -> Self {
        Self {
            sabotage: None,
            store: MemoryStore::new(),
            views: MemoryViews::new(),
            memo: Arc::default(),
            opened: AtomicBool::new(false),
        }
    }
}

#[async_trait]
impl ViewSubject for ViewSaboteur {
    async fn open(&self) -> (Arc<dyn EventStore>, Arc<dyn ViewStore>) {
        let reopened = self.opened.swap(true, Ordering::SeqCst);
        let (inner, memo) = (self.views.clone(), Arc::clone(&self.memo));
        let views = SabotagedViews { sabotage: self.sabotage, inner, memo, reopened };
        // What is folded within appends is asked for anew whenever a store is opened.
        self.memo.notes().inline.clear();
        let store = InlineStore { inner: self.store.clone(), views: views.clone() };
        (Arc::new(store), Arc::new(views))
    }
}
