//! The sabotaged store: the honest one in memory, with something between.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flightdeck_core::{Cursor, Epoch, EventId, Position, SchemaNumber, StreamId, Tag, Timestamp, Version};
use flightdeck_store::chain::Hash;
use flightdeck_store::{
    Append, AppendError, Appended, EventStore, Filter, Head, LogAnswer, LogPage, LogQuery, LogQuestion,
    MemoryStore, Recorded, RequestKey, Secret, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery,
    StreamsPage, StreamsQuery,
};
use tokio::sync::watch;

use super::Sabotage as By;

/// A store that breaks one promise, or none.
pub(super) struct Sabotaged {
    pub(super) sabotage: Option<By>,
    pub(super) inner: MemoryStore,
    pub(super) memo: Arc<Memo>,
    /// The head when the store was opened again; `None` when this is the first time.
    pub(super) forgotten: Option<Position>,
}

/// What a saboteur keeps in mind beside the store, for as long as the subject is there.
#[derive(Default)]
pub(super) struct Memo {
    pub(super) busy: AtomicUsize,
    pub(super) looks: AtomicUsize,
    pub(super) appends: AtomicUsize,
    /// A channel that nobody ever sends anything on.
    silent: Mutex<Option<watch::Sender<Position>>>,
    notes: Mutex<Notes>,
}

#[derive(Default)]
pub(super) struct Notes {
    pub(super) lost: HashSet<Position>,
    pub(super) shown: HashSet<Position>,
    pub(super) refused: HashSet<RequestKey>,
    pub(super) done: HashMap<(String, String), (RequestKey, Appended)>,
    pub(super) head_before: Option<Head>,
    pub(super) snapshots: HashMap<StreamId, Snapshot>,
}

impl Memo {
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sabotaged {
    pub(super) fn is(&self, sabotage: By) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// Whether it does that, and was opened again.
    pub(super) fn reopened_and(&self, sabotage: By) -> bool {
        self.is(sabotage) && self.forgotten.is_some()
    }

    /// A cursor as it looks after another epoch began.
    pub(super) fn reborn(cursor: &Cursor) -> Cursor {
        Cursor::new(Epoch::new("reborn").unwrap(), cursor.position())
    }

    /// An event as it is handed out; `None` when it is kept back.
    pub(super) fn shown(&self, mut event: Recorded) -> Option<Recorded> {
        let position = event.position.get();
        match self.sabotage? {
            By::SaysAppendsEndAtOnce => event.append_end = event.position,
            By::SkipsAVersion if event.version > Version::FIRST => event.version = event.version.next(),
            By::SkipsAPosition if position > 2 => event.position = event.position.next(),
            By::LosesEveryFortiethAppend if self.memo.notes().lost.contains(&event.position) => return None,
            By::ForgetsTheLastEventWhenReopened if self.forgotten == Some(event.position) => return None,
            By::RecordsBackwards => {
                let micros = event.recorded_at.micros() - 3_600_000_000 * position;
                event.recorded_at = Timestamp::from_micros(micros).unwrap();
            }
            By::AltersHashes if position % 3 == 2 => event.hash = Hash::from_bytes([7; 32]),
            By::RepeatsHashes => event.hash = Hash::from_bytes([7; 32]),
            By::GivesOneIdToAll if event.id.uuid().get_version_num() == 7 => {
                event.id = EventId::new(uuid::Uuid::from_u128(7)).unwrap();
            }
            _ => {}
        }
        Some(event)
    }

    fn shown_head(&self, mut head: Head) -> Head {
        let position = head.cursor.position();
        let at = |position| Cursor::new(head.cursor.epoch().clone(), position);
        match self.sabotage {
            Some(By::BeginsAtOne) if position == Position::START => head.cursor = at(position.next()),
            Some(By::BeginsWithAnotherHash) if position == Position::START => {
                head.hash = Hash::from_bytes([7; 32])
            }
            Some(By::AltersTheHashOfTheHead) if position > Position::START => {
                head.hash = Hash::from_bytes([7; 32])
            }
            Some(By::BreaksTheChainWhenReopened) if self.forgotten == Some(position) => {
                head.hash = Hash::GENESIS
            }
            Some(By::BeginsAnEpochWhenReopened) if self.forgotten.is_some() => {
                head.cursor = Self::reborn(&head.cursor)
            }
            Some(By::LagsBehind) => return self.memo.notes().head_before.clone().unwrap_or(head),
            Some(By::GoesBackNowAndThen) if self.look() % 5 == 4 => head.cursor = at(position.previous()),
            _ => {}
        }
        head
    }

    fn look(&self) -> usize {
        self.memo.looks.fetch_add(1, std::sync::atomic::Ordering::SeqCst)
    }
}

/// An event for when a saboteur writes what nobody asked for.
pub(super) fn filler() -> flightdeck_store::NewEvent {
    crate::given::event("filler-1")
}

#[async_trait]
impl EventStore for Sabotaged {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        self.sabotaged_append(append).await
    }

    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        self.sabotaged_outcome(request).await
    }

    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        self.sabotaged_stream(query).await
    }

    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.sabotaged_log(query).await
    }

    async fn head(&self) -> Result<Head, StoreError> {
        Ok(self.shown_head(self.inner.head().await?))
    }

    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        let mut info = self.inner.stream(stream).await?;
        if let (true, Some(info)) = (self.is(By::MistakesWhenAStreamBegan), &mut info) {
            info.created = Timestamp::from_micros(0).unwrap();
        }
        Ok(info)
    }

    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        self.sabotaged_list(query).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        match self.is(By::FindsNoIds) || self.reopened_and(By::ForgetsIdsWhenReopened) {
            true => Ok(None),
            false => Ok(match (self.inner.event(id).await?, self.sabotage) {
                (Some(event), Some(_)) => self.shown(event),
                (event, _) => event,
            }),
        }
    }

    async fn last_tagged(&self, tag: &Tag) -> Result<Option<Recorded>, StoreError> {
        if self.reopened_and(By::ForgetsTagsWhenReopened) {
            return Ok(None);
        }
        if self.is(By::SaysWhoHadATagFirst) {
            let query = LogQuery::default().matching(Filter::tagged(tag.clone()));
            return Ok(self.inner.read_log(&query).await?.events.into_iter().next());
        }
        // What the port does by itself, through this store's own reads.
        let mut query = LogQuery::default().matching(Filter::tagged(tag.clone()));
        query.direction = flightdeck_store::Direction::Backward;
        loop {
            let page = self.read_log(&query).await?;
            match (page.events.first(), query.next(&page)) {
                (Some(event), _) => return Ok(Some(event.clone())),
                (None, None) => return Ok(None),
                (None, Some(next)) => query = next,
            }
        }
    }

    async fn question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        self.sabotaged_question(question).await
    }

    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        self.sabotaged_save(stream, snapshot).await
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        self.sabotaged_snapshot(stream, schema).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.sabotaged_delete(stream).await
    }

    async fn secret(&self) -> Result<Secret, StoreError> {
        let another = self.is(By::ThinksUpSecrets) || self.reopened_and(By::ForgetsTheSecretWhenReopened);
        if another { MemoryStore::new().secret().await } else { self.inner.secret().await }
    }

    fn watch(&self) -> watch::Receiver<Position> {
        if !self.is(By::WakesNobody) {
            return self.inner.watch();
        }
        let mut silent = self.memo.silent.lock().unwrap_or_else(PoisonError::into_inner);
        silent.get_or_insert_with(|| watch::Sender::new(Position::START)).subscribe()
    }
}
