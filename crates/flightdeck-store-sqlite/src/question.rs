//! Questions to the log, answered page by page on the connections that read: no read is long, and the writer waits for none.

use std::collections::HashMap;

use async_trait::async_trait;
use flightdeck_core::{Cursor, StreamId, Version};
use flightdeck_store::question::Reads;
use flightdeck_store::{EventStore as _, LogPage, LogQuery, StoreError};

use crate::store::SqliteStore;
use crate::streams;

/// What an answer reads of the store.
pub(crate) struct ByPage<'s>(pub(crate) &'s SqliteStore);

#[async_trait]
impl Reads for ByPage<'_> {
    async fn end(&self) -> Result<Cursor, StoreError> {
        Ok(self.0.head().await?.cursor)
    }

    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.0.read_log(query).await
    }

    async fn last_versions(&self, asked: Vec<StreamId>) -> Result<HashMap<StreamId, Version>, StoreError> {
        self.0
            .read(move |conn, _| {
                let mut versions = HashMap::with_capacity(asked.len());
                for stream in asked {
                    if let Some(row) = streams::find(conn, &stream)? {
                        versions.insert(stream, row.version);
                    }
                }
                Ok(versions)
            })
            .await
    }
}
