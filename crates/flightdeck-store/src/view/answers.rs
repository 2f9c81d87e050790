//! What answers questions to views, whichever moment they are of.

use std::sync::Arc;

use async_trait::async_trait;

use crate::view::port::{ViewError, ViewStore};
use crate::view::query::{ViewPage, ViewQuery};

/// What answers questions to views: a store of them, of now; or a view as of a moment, of then.
///
/// Whoever asks through this asks both in the same way.
#[async_trait]
pub trait Answers: Send + Sync {
    /// Answers a question, from rows and checkpoint of one moment.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn answer(&self, query: &ViewQuery) -> Result<ViewPage, ViewError>;
}

#[async_trait]
impl<V: ViewStore + ?Sized> Answers for V {
    async fn answer(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        self.ask(query).await
    }
}

#[async_trait]
impl<V: Answers + ?Sized> Answers for Arc<V> {
    async fn answer(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        (**self).answer(query).await
    }
}
