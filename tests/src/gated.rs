//! Views whose next piece of work is held until the test lets it go: how a race of two who fold is scripted on any store.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use flightdeck_store::Reason;
use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, Holder, Inline, Lease, Mark, Plan, Row, TakenOver,
    ViewError, ViewPage, ViewQuery, ViewStore, Wanted, Work, WorkLimits,
};
use tokio::sync::oneshot;

/// The views, with a hand on their work.
pub struct Gated {
    inner: Arc<dyn ViewStore>,
    hold: Mutex<Option<Held>>,
    loses: AtomicBool,
}

struct Held {
    view: String,
    says: oneshot::Sender<(Checkpoint, Checkpoint)>,
    gone: oneshot::Receiver<()>,
    ends: oneshot::Sender<Result<(), String>>,
}

/// What the test has of a piece of work that is held.
pub struct Hand {
    /// Says that the work has come, and between which checkpoints it is.
    pub came: oneshot::Receiver<(Checkpoint, Checkpoint)>,
    /// Lets it go.
    pub go: oneshot::Sender<()>,
    /// Says what became of it.
    pub ended: oneshot::Receiver<Result<(), String>>,
}

impl Gated {
    /// A hand on `inner`.
    #[must_use]
    pub fn new(inner: Arc<dyn ViewStore>) -> Arc<Self> {
        Arc::new(Self { inner, hold: Mutex::new(None), loses: AtomicBool::new(false) })
    }

    /// Holds the next piece of work on that view that changes rows of the table of its name. It is folded then, and not written.
    ///
    /// What changes none, like a deletion of what is not there, waits for no row, and could not be scripted.
    pub fn hold(&self, view: &str) -> Hand {
        let ((says, came), (go, gone), (ends, ended)) =
            (oneshot::channel(), oneshot::channel(), oneshot::channel());
        let held = Held { view: view.to_owned(), says, gone, ends };
        *self.hold.lock().unwrap_or_else(PoisonError::into_inner) = Some(held);
        Hand { came, go, ended }
    }

    /// Loses what is held when it is let go: the store never hears of it.
    pub fn lose(&self) {
        self.loses.store(true, Ordering::SeqCst);
    }
}

#[async_trait]
impl ViewStore for Gated {
    async fn apply(&self, work: Work) -> Result<(), ViewError> {
        let held = {
            let mut hold = self.hold.lock().unwrap_or_else(PoisonError::into_inner);
            let of = work.lease.of.view.as_str();
            let changes = work.changes.iter().any(|changes| changes.table.name() == of);
            hold.take_if(|held| held.view == of && changes)
        };
        let Some(Held { says, gone, ends, .. }) = held else { return self.inner.apply(work).await };
        let _whoever_waits = says.send((work.from, work.to));
        // Who holds it may be gone.
        drop(gone.await);
        let done = match self.loses.swap(false, Ordering::SeqCst) {
            true => Err(ViewError::failed(Reason::Unreachable, None)),
            false => self.inner.apply(work).await,
        };
        drop(ends.send(done.as_ref().map_err(ToString::to_string).copied()));
        done
    }
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
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        self.inner.lease(of, holder, lasting).await
    }
    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError> {
        self.inner.give_back(lease).await
    }
    async fn load(&self, of: &Generation, keys: Wanted) -> Result<Vec<(usize, Row)>, ViewError> {
        self.inner.load(of, keys).await
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
    async fn fold_inline(&self, inline: Vec<Inline>) -> Result<bool, ViewError> {
        self.inner.fold_inline(inline).await
    }
    async fn tend(&self, lease: &Lease) -> Result<bool, ViewError> {
        self.inner.tend(lease).await
    }
    fn work_limits(&self) -> WorkLimits {
        self.inner.work_limits()
    }
}
