//! A store of views that says it can take little at once, or takes its time for that, and counts what it is given.

use std::sync::Arc;
use std::sync::Mutex as Noted;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use flightdeck_store::view::{
    Generation, GenerationState, Halt, Holder, Lease, Mark, Plan, Row, TakenOver, ViewError, ViewPage,
    ViewQuery, ViewStore, Wanted, Work, WorkLimits,
};

pub(crate) struct Small {
    inner: Arc<dyn ViewStore>,
    limits: WorkLimits,
    pieces: AtomicUsize,
    largest: AtomicUsize,
    loaded: AtomicUsize,
    /// How long it takes for a piece of work, one after the other.
    takes: Duration,
    turn: tokio::sync::Mutex<()>,
    at_once: AtomicUsize,
    /// For each piece in its turn: how many there were at once, and whether it was refused.
    turns: Noted<Vec<(usize, bool)>>,
}

impl Small {
    pub(crate) fn of(inner: Arc<dyn ViewStore>, rows: usize, bytes: usize) -> Self {
        let limits = WorkLimits { rows, building_rows: rows, building_bytes: bytes };
        let none = AtomicUsize::default;
        let (takes, turn, turns) = (Duration::ZERO, tokio::sync::Mutex::default(), Noted::default());
        let (pieces, largest, loaded, at_once) = (none(), none(), none(), none());
        Self { inner, limits, pieces, largest, loaded, takes, turn, at_once, turns }
    }

    /// One that takes as much as any, and so long for each piece.
    pub(crate) fn slow(inner: Arc<dyn ViewStore>, takes: Duration) -> Self {
        let limits = inner.work_limits();
        Self { takes, limits, ..Self::of(inner, 1, 1) }
    }

    pub(crate) fn turns(&self) -> Vec<(usize, bool)> {
        self.turns.lock().unwrap().clone()
    }

    /// How many pieces of work there were, how many rows the largest had, and how many rows were loaded.
    pub(crate) fn seen(&self) -> (usize, usize, usize) {
        let of = |count: &AtomicUsize| count.load(Ordering::SeqCst);
        (of(&self.pieces), of(&self.largest), of(&self.loaded))
    }
}

#[async_trait::async_trait]
impl ViewStore for Small {
    async fn prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        self.inner.prepare(plan).await
    }
    async fn begin_build(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        self.inner.begin_build(plan).await
    }
    async fn generations(&self) -> Result<Vec<GenerationState>, ViewError> {
        self.inner.generations().await
    }
    async fn want(&self, wanted: &[Generation]) -> Result<(), ViewError> {
        self.inner.want(wanted).await
    }
    async fn lease(
        &self,
        of: &Generation,
        by: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        self.inner.lease(of, by, lasting).await
    }
    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError> {
        self.inner.give_back(lease).await
    }
    async fn load(&self, of: &Generation, keys: Wanted) -> Result<Vec<(usize, Row)>, ViewError> {
        let rows = self.inner.load(of, keys).await?;
        self.loaded.fetch_add(rows.len(), Ordering::SeqCst);
        Ok(rows)
    }
    async fn apply(&self, work: Work) -> Result<(), ViewError> {
        let rows = work.changes.iter().map(|changed| changed.put.len() + changed.gone.len()).sum();
        self.pieces.fetch_add(1, Ordering::SeqCst);
        self.largest.fetch_max(rows, Ordering::SeqCst);
        self.at_once.fetch_add(1, Ordering::SeqCst);
        let turn = self.turn.lock().await;
        tokio::time::sleep(self.takes).await;
        let done = self.inner.apply(work).await;
        let at_once = self.at_once.fetch_sub(1, Ordering::SeqCst);
        self.turns.lock().unwrap().push((at_once, done.is_err()));
        drop(turn);
        done
    }
    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        self.inner.halt(lease, halt).await
    }
    async fn mark(&self, of: &Generation, mark: Mark) -> Result<(), ViewError> {
        self.inner.mark(of, mark).await
    }
    async fn take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError> {
        self.inner.take_over(lease).await
    }
    async fn discard(&self, of: &Generation) -> Result<(), ViewError> {
        self.inner.discard(of).await
    }
    async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        self.inner.ask(query).await
    }
    async fn tend(&self, lease: &Lease) -> Result<bool, ViewError> {
        self.inner.tend(lease).await
    }
    fn work_limits(&self) -> WorkLimits {
        self.limits
    }
}
