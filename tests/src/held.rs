//! A store whose next append is held until the test lets it go: how a race is scripted on any store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use flightdeck_core::{EventId, Position, SchemaNumber, StreamId, Tag};
use flightdeck_store::{
    Append, AppendError, Appended, EventStore, Head, LogAnswer, LogPage, LogQuery, LogQuestion, Recorded,
    RequestKey, Secret, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery, StreamsPage, StreamsQuery,
};
use tokio::sync::{oneshot, watch};

/// The store, with a hand on its appends.
pub struct Held {
    inner: Arc<dyn EventStore>,
    hold: Mutex<Option<(oneshot::Sender<()>, oneshot::Receiver<()>)>>,
    /// Appends go on without their conditions: what a program would do that does not know of them.
    pub forgets_conditions: AtomicBool,
}

/// What the test has of an append that is held.
pub struct Hand {
    /// Says that the append has come.
    pub came: oneshot::Receiver<()>,
    /// Lets it go.
    pub go: oneshot::Sender<()>,
}

impl Held {
    /// A hand on `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn EventStore>) -> Arc<Self> {
        Arc::new(Self { inner, hold: Mutex::new(None), forgets_conditions: AtomicBool::new(false) })
    }

    /// Holds the next append.
    pub fn hold(&self) -> Hand {
        let ((says, came), (go, gone)) = (oneshot::channel(), oneshot::channel());
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some((says, gone));
        Hand { came, go }
    }
}

#[async_trait]
impl EventStore for Held {
    async fn append(&self, mut append: Append) -> Result<Appended, AppendError> {
        let held = self.hold.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((says, gone)) = held {
            says.send(()).expect("the test waits for it");
            gone.await.expect("the test lets it go");
        }
        if self.forgets_conditions.load(Ordering::SeqCst) {
            append.condition = None;
        }
        self.inner.append(append).await
    }
    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        self.inner.outcome_of(request).await
    }
    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        self.inner.read_stream(query).await
    }
    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.inner.read_log(query).await
    }
    async fn head(&self) -> Result<Head, StoreError> {
        self.inner.head().await
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
    async fn last_tagged(&self, tag: &Tag) -> Result<Option<Recorded>, StoreError> {
        self.inner.last_tagged(tag).await
    }
    async fn question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        self.inner.question(question).await
    }
    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.inner.save_snapshot(stream, snapshot).await
    }
    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.inner.snapshot(stream, schema).await
    }
    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.inner.delete_snapshot(stream).await
    }
    async fn secret(&self) -> Result<Secret, StoreError> {
        self.inner.secret().await
    }
    fn watch(&self) -> watch::Receiver<Position> {
        self.inner.watch()
    }
}
