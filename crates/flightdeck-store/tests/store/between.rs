//! A store with something between it and whoever uses it: how a test scripts an interleaving.

use std::ops::Range;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use flightdeck_core::{EventId, Position, SchemaNumber, StreamId};
use flightdeck_store::chain::sha256;
use flightdeck_store::{
    Append, AppendError, Appended, Data, EventStore, Head, LogPage, LogQuery, MemoryStore, Reason, Recorded,
    RequestKey, Secret, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery, StreamsPage, StreamsQuery,
};
use futures_util::future::BoxFuture;
use tokio::sync::watch;

/// What happens in between; it is told how often it happened before.
type Hook = Box<dyn Fn(usize) -> BoxFuture<'static, ()> + Send + Sync>;

/// The store in memory, with hooks.
#[derive(Default)]
pub(crate) struct Between {
    pub(crate) inner: MemoryStore,
    /// Runs before each append.
    pub(crate) before_append: Option<Hook>,
    /// Runs before each read of a stream.
    pub(crate) before_stream: Option<Hook>,
    /// A snapshot that is handed out in place of the kept one.
    pub(crate) snapshot: Option<Snapshot>,
    /// Up to which position data is gone.
    pub(crate) erased: Option<Position>,
    /// Runs behind each read of the log.
    pub(crate) after_log: Option<Hook>,
    /// Which reads of the log fail.
    pub(crate) log_fails: Range<usize>,
    /// Snapshots can't be kept.
    pub(crate) keeps_no_snapshots: bool,
    /// The log in another epoch, from this read of the log on.
    pub(crate) reborn: Option<(usize, MemoryStore)>,
    /// Nobody is ever told that the head moved.
    pub(crate) is_silent: bool,
    pub(crate) appends: AtomicUsize,
    pub(crate) stream_reads: AtomicUsize,
    pub(crate) log_reads: AtomicUsize,
    pub(crate) head_reads: AtomicUsize,
}

/// Makes a hook of what is to happen.
pub(crate) fn hook<F>(happens: impl Fn(usize) -> F + Send + Sync + 'static) -> Option<Hook>
where
    F: Future<Output = ()> + Send + 'static,
{
    Some(Box::new(move |before| Box::pin(happens(before))))
}

impl Between {
    fn erase(&self, mut event: Recorded) -> Recorded {
        if Some(event.position) <= self.erased {
            event.data = Data::Tombstone(sha256(event.data_bytes()));
        }
        event
    }

    fn log(&self) -> &MemoryStore {
        match &self.reborn {
            Some((from, reborn)) if self.log_reads.load(Ordering::SeqCst) >= *from => reborn,
            _ => &self.inner,
        }
    }
}

#[async_trait]
impl EventStore for Between {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let before = self.appends.fetch_add(1, Ordering::SeqCst);
        if let Some(hook) = &self.before_append {
            hook(before).await;
        }
        self.inner.append(append).await
    }
    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        self.inner.outcome_of(request).await
    }
    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        let before = self.stream_reads.fetch_add(1, Ordering::SeqCst);
        if let Some(hook) = &self.before_stream {
            hook(before).await;
        }
        let page = self.inner.read_stream(query).await?;
        Ok(StreamPage { events: page.events.into_iter().map(|event| self.erase(event)).collect(), ..page })
    }
    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        let page = self.log().read_log(query).await;
        let before = self.log_reads.fetch_add(1, Ordering::SeqCst);
        if let Some(hook) = &self.after_log {
            hook(before).await;
        }
        match self.log_fails.contains(&before) {
            true => Err(StoreError::Failed { reason: Reason::Storage, source: None }),
            false => page,
        }
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.head_reads.fetch_add(1, Ordering::SeqCst);
        self.log().head().await
    }
    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        self.inner.stream(stream).await
    }
    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        self.inner.streams(query).await
    }
    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        self.inner.event(id).await
    }
    async fn secret(&self) -> Result<Secret, StoreError> {
        self.inner.secret().await
    }
    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        match self.keeps_no_snapshots {
            true => Err(StoreError::Failed { reason: Reason::Full, source: None }),
            false => self.inner.save_snapshot(stream, snapshot).await,
        }
    }
    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        match &self.snapshot {
            Some(planted) => Ok(Some(planted.clone()).filter(|planted| planted.schema == schema)),
            None => self.inner.snapshot(stream, schema).await,
        }
    }
    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.inner.delete_snapshot(stream).await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        match self.is_silent {
            // The sender is gone at once, as that of a store that was closed.
            true => watch::channel(Position::START).1,
            false => self.inner.watch(),
        }
    }
}
