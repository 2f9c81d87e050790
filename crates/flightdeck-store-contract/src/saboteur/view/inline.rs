//! A log that folds within its appends, and what can go wrong with that: the honest way is to append, and to fold before answering.

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_core::{EventId, Position, SchemaNumber, StreamId, Tag};
use flightdeck_store::view::{GenerationState, Halt, HaltKind, Inline, ViewStore as _, Work};
use flightdeck_store::{
    Append, AppendError, Appended, EventStore, Head, LogAnswer, LogPage, LogQuery, LogQuestion, MemoryStore,
    Reason, Recorded, RequestKey, Secret, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery,
    StreamsPage, StreamsQuery,
};
use tokio::sync::watch;

use super::ViewSabotage as By;
use super::store::{SabotagedViews, a_moment};
use crate::view::worked;

/// The log in memory, with views that are folded within its appends.
#[derive(Clone)]
pub(super) struct InlineStore {
    pub(super) inner: MemoryStore,
    pub(super) views: SabotagedViews,
}

impl InlineStore {
    fn is(&self, sabotage: By) -> bool {
        self.views.is(sabotage)
    }

    /// Folds what was appended into every view that was asked for.
    async fn fold(&self, before: Position, events: &[Recorded]) -> Result<(), Halt> {
        let inline = self.views.memo.notes().inline.clone();
        for inline in inline {
            let Ok(state) = self.views.real(&inline.of).await else { continue };
            if let Err(halt) = self.fold_into(&inline, &state, before, events).await {
                let lease = self.views.good_lease(&inline.of);
                self.views.memo.notes().halted.insert(inline.of.clone());
                let _is_not_fenced = self.views.inner.halt(&lease, &halt).await;
                if self.is(By::FailsForAll) || self.is(By::RefusesWhatCannotBeFolded) {
                    return Err(halt);
                }
            }
        }
        Ok(())
    }

    async fn fold_into(
        &self,
        inline: &Inline,
        state: &GenerationState,
        before: Position,
        events: &[Recorded],
    ) -> Result<(), Halt> {
        let waits = state.paused && !self.is(By::FoldsWhilePaused);
        let goes_anyway = self.is(By::PassesByWhatIsBehind)
            || self.is(By::FoldsRepetitions)
            || self.is(By::FoldsWhilePaused) && state.paused;
        let is_behind = state.checkpoint.position != before && !goes_anyway;
        let has_halted = state.halt.is_some()
            || self.is(By::NeverGoesOn) && self.views.memo.notes().halted.contains(&state.of);
        if waits || is_behind || has_halted {
            return Ok(());
        }
        let inline = self.understood(inline);
        let events = if self.is(By::FoldsTheFirstEvent) { &events[..1] } else { events };
        let lease = self.views.good_lease(&state.of);
        let mut work = match worked(&self.views.inner, &inline, state, lease.clone(), events).await {
            Err(halt) if self.is(By::PassesByWhatFails) && halt.kind == HaltKind::Poison => {
                let nothing = worked(&self.views.inner, &inline, state, lease, &[]).await?;
                Work { to: state.checkpoint, ..nothing }
            }
            work => work?,
        };
        if self.is(By::StaysWhereNothingPasses) && work.changes.is_empty() {
            return Ok(());
        }
        if let Some(last) = events.last()
            && (self.is(By::FoldsTheFirstEvent) || self.is(By::PassesByWhatFails))
        {
            work.to.position = last.append_end;
        }
        if self.is(By::TearsInlineFolds) {
            let rows = Work { to: work.from, ..work.clone() };
            let _is_not_fenced = self.views.inner.apply(rows).await;
            a_moment().await;
            work.changes.clear();
        }
        let _taken_or_fenced = self.views.inner.apply(work).await;
        Ok(())
    }

    /// What a view reads, as it is understood.
    fn understood(&self, inline: &Inline) -> Inline {
        let reads = Arc::clone(&inline.reads);
        let sabotage = self.views.sabotage;
        let reads = move |event: &Recorded| match (sabotage, reads(event)) {
            (Some(By::FoldsEverything), _) => Ok(true),
            (Some(By::PassesByWhatIsNotKnown), Err(_)) => Ok(false),
            (_, reads) => reads,
        };
        Inline { reads: Arc::new(reads), ..inline.clone() }
    }

    async fn between(&self, from: Position, to: Position) -> Vec<Recorded> {
        let query = LogQuery { until: Some(to), ..LogQuery::after(from) };
        crate::given::read(&(Arc::new(self.inner.clone()) as Arc<dyn EventStore>), query).await
    }
}

#[async_trait]
impl EventStore for InlineStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        let _turn = self.views.memo.turn.lock().await;
        let before = *self.inner.watch().borrow();
        let done = self.inner.append(append).await?;
        let again = done.duplicate && self.is(By::FoldsRepetitions);
        let range = done.range.filter(|_| !done.duplicate || again);
        let Some((first, last)) = range else { return Ok(done) };
        let events = self.between(first.previous(), last).await;
        if self.is(By::FoldsLater) {
            let (store, events) = (self.clone(), events.clone());
            tokio::spawn(async move {
                a_moment().await;
                store.fold(before, &events).await
            });
            return Ok(done);
        }
        match self.fold(before, &events).await {
            Err(_) if self.is(By::RefusesWhatCannotBeFolded) => {
                Err(AppendError::NotCommitted { reason: Reason::Storage, source: None })
            }
            _ => Ok(done),
        }
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
