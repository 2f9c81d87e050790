//! Questions to the log, answered page by page on the connections that read: no read is long, and the writer waits for none.

use std::collections::HashMap;

use async_trait::async_trait;
use flightdeck_core::{Cursor, StreamId, Version};
use flightdeck_store::question::Reads;
use flightdeck_store::{EventStore as _, LogPage, LogQuery, StoreError};

use crate::store::{PostgresStore, to_error};
use crate::streams;

/// What an answer reads of the store.
pub(crate) struct ByPage<'s>(pub(crate) &'s PostgresStore);

#[async_trait]
impl Reads for ByPage<'_> {
    async fn end(&self) -> Result<Cursor, StoreError> {
        Ok(self.0.head().await?.cursor)
    }

    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.0.read_log(query).await
    }

    async fn last_versions(&self, asked: Vec<StreamId>) -> Result<HashMap<StreamId, Version>, StoreError> {
        let found = streams::find_all(&self.0.session().await?, &asked).await.map_err(to_error)?;
        Ok(found.into_iter().map(|info| (info.stream, info.version)).collect())
    }
}
