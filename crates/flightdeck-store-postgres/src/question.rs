//! Questions to the log, answered page by page on the connections that read: no read is long, and the writer waits for none.

use std::collections::HashMap;

use async_trait::async_trait;
use flightdeck_core::{Cursor, StreamId, Version};
use flightdeck_store::question::Reads;
use flightdeck_store::{EventStore as _, LogPage, LogQuery, Reason, StoreError};
use tokio::task::JoinSet;

use crate::store::{PostgresStore, to_error};
use crate::streams;

/// Pages that one answer reads at once, from half of the connections that read at the most: others read too.
const PAGES_AT_ONCE_MAX: usize = 4;

/// What an answer reads of the store.
pub(crate) struct ByPage<'s>(pub(crate) &'s PostgresStore);

#[async_trait]
impl Reads for ByPage<'_> {
    async fn end(&self) -> Result<Cursor, StoreError> {
        Ok(self.0.head().await?.cursor)
    }

    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        // A task of its own: rows are checked here while the database reads the next ones. It ends with whoever asked.
        let (store, query) = (self.0.clone(), query.clone());
        let mut task = JoinSet::new();
        task.spawn(async move { store.read_log(&query).await });
        let failed = |source| StoreError::Failed { reason: Reason::Storage, source };
        match task.join_next().await {
            Some(read) => read.map_err(|error| failed(Some(error.into())))?,
            None => Err(failed(None)),
        }
    }

    fn at_once(&self) -> usize {
        (self.0.options().readers / 2).min(PAGES_AT_ONCE_MAX)
    }

    async fn last_versions(&self, asked: Vec<StreamId>) -> Result<HashMap<StreamId, Version>, StoreError> {
        let found = streams::find_all(&self.0.session().await?, &asked).await.map_err(to_error)?;
        Ok(found.into_iter().map(|info| (info.stream, info.version)).collect())
    }
}
