//! The sabotaged views: the honest ones in memory, with something between.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, Holder, Inline, Lease, Mark, MemoryViews, Plan, Row,
    TakenOver, Value, ViewError, ViewName, ViewPage, ViewQuery, ViewStore, Work, WorkLimits,
};

use super::ViewSabotage as By;

/// Views that break one promise, or none.
#[derive(Clone)]
pub(super) struct SabotagedViews {
    pub(super) sabotage: Option<By>,
    pub(super) inner: MemoryViews,
    pub(super) memo: Arc<ViewMemo>,
    /// Whether they were opened again.
    pub(super) reopened: bool,
}

/// What a saboteur keeps in mind beside the views, for as long as the subject is there.
#[derive(Default)]
pub(super) struct ViewMemo {
    /// One append at a time.
    pub(super) turn: tokio::sync::Mutex<()>,
    notes: Mutex<Notes>,
}

/// The table and the key of a row.
pub(super) type RowKey = (String, Box<[Value]>);

#[derive(Default)]
pub(super) struct Notes {
    /// What is folded within appends.
    pub(super) inline: Vec<Inline>,
    /// The lease of each generation that was given last.
    pub(super) leases: HashMap<Generation, Lease>,
    /// Which view has had a table of that name.
    pub(super) names: HashMap<String, ViewName>,
    pub(super) gone: BTreeMap<Generation, GenerationState>,
    pub(super) latest: Option<Generation>,
    pub(super) between: bool,
    /// How many rows have been given since a first page.
    pub(super) given: usize,
    /// What rows have ever said, and rows that are gone.
    pub(super) said: HashMap<RowKey, BTreeSet<String>>,
    pub(super) removed: HashMap<RowKey, Row>,
    pub(super) halted: BTreeSet<Generation>,
}

impl ViewMemo {
    pub(super) fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SabotagedViews {
    pub(super) fn is(&self, sabotage: By) -> bool {
        self.sabotage == Some(sabotage)
    }

    /// What is really known of a generation.
    pub(super) async fn real(&self, of: &Generation) -> Result<GenerationState, ViewError> {
        let all = self.inner.generations().await?;
        all.into_iter().find(|state| state.of == *of).ok_or_else(|| ViewError::Unknown(of.to_string()))
    }

    /// The lease of a generation that is good now, whoever has it.
    pub(super) fn good_lease(&self, of: &Generation) -> Lease {
        let nobody = || Lease { of: of.clone(), holder: Holder::from_random(0), token: 0 };
        self.memo.notes().leases.get(of).cloned().unwrap_or_else(nobody)
    }
}

/// Lets others come between.
pub(super) async fn a_moment() {
    tokio::time::sleep(Duration::from_millis(2)).await;
}

#[async_trait]
impl ViewStore for SabotagedViews {
    async fn prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        self.sabotaged_prepare(plan).await.map(|state| self.shown(state))
    }

    async fn begin_build(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        self.sabotaged_build(plan).await.map(|state| self.shown(state))
    }

    async fn generations(&self) -> Result<Vec<GenerationState>, ViewError> {
        self.sabotaged_list().await
    }

    async fn want(&self, wanted: &[Generation]) -> Result<(), ViewError> {
        if self.is(By::IgnoresWants) { Ok(()) } else { self.inner.want(wanted).await }
    }

    async fn lease(
        &self,
        of: &Generation,
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        self.sabotaged_lease(of, holder, lasting).await
    }

    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError> {
        match self.sabotage {
            Some(By::TakesNothingBack) => Ok(()),
            Some(By::TakesBackFromAnyone) => self.inner.give_back(&self.good_lease(&lease.of)).await,
            _ => self.inner.give_back(lease).await,
        }
    }

    async fn load(
        &self,
        of: &Generation,
        keys: Vec<(usize, Box<[Value]>)>,
    ) -> Result<Vec<(usize, Row)>, ViewError> {
        self.sabotaged_load(of, keys).await
    }

    async fn apply(&self, work: Work) -> Result<(), ViewError> {
        let lease = self.taken_lease(&work.lease).await?;
        self.sabotaged_apply(Work { lease, ..work }).await
    }

    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        let lease = self.taken_lease(lease).await?;
        self.sabotaged_halt(&lease, halt).await
    }

    async fn mark(&self, of: &Generation, mark: Mark) -> Result<(), ViewError> {
        self.sabotaged_mark(of, mark).await
    }

    async fn take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError> {
        let lease = self.taken_lease(lease).await?;
        self.sabotaged_take_over(&lease).await
    }

    async fn discard(&self, of: &Generation) -> Result<(), ViewError> {
        self.sabotaged_discard(of).await
    }

    async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        self.sabotaged_ask(query).await
    }

    async fn fold_inline(&self, inline: Vec<Inline>) -> Result<bool, ViewError> {
        let mut notes = self.memo.notes();
        match self.sabotage {
            Some(By::AddsToWhatWasAsked) => notes.inline.extend(inline),
            Some(By::ForgetsToFoldWhenReopened) if self.reopened => notes.inline.clear(),
            _ => notes.inline = inline,
        }
        Ok(true)
    }

    fn work_limits(&self) -> WorkLimits {
        self.inner.work_limits()
    }
}

/// A checkpoint one position before.
pub(super) fn earlier(checkpoint: Checkpoint) -> Checkpoint {
    Checkpoint { position: checkpoint.position.previous(), ..checkpoint }
}
