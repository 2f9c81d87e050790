//! The one watcher of a node: how far every view is, for all who wait for one of them to come somewhere.
//!
//! It looks at the store every 50 ms while somebody waits, and more rarely while nobody does; what this node folds itself it is
//! told at once. However many wait, the store is asked once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use flightdeck_core::{Cursor, Position};
use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, ViewError, ViewName, ViewStore, answering,
};
use flightdeck_store::{After, EventStore};
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{sleep, timeout};

/// The shortest time between two looks.
const LEAST: Duration = Duration::from_millis(5);
/// How often the store is looked at while somebody waits.
const WAITING: Duration = Duration::from_millis(50);
/// How often while nobody does.
const IDLE: Duration = Duration::from_millis(250);

/// What was seen of all views at one moment.
#[derive(Debug, Clone, Default)]
pub struct Seen {
    /// When; `None` before the first look.
    pub at: Option<Instant>,
    /// Every generation.
    pub generations: Arc<Vec<GenerationState>>,
    /// The head of the log.
    pub head: Option<Cursor>,
}

impl Seen {
    /// What was seen of a generation.
    #[must_use]
    pub fn find(&self, of: &Generation) -> Option<&GenerationState> {
        self.generations.iter().find(|state| state.of == *of)
    }
}

/// The watcher. Clones are handles on the same; it ends with the last one.
#[derive(Clone)]
pub struct Watcher(Arc<Inner>);

struct Inner {
    seen: watch::Sender<Seen>,
    wake: Arc<Notify>,
    waiting: Arc<AtomicUsize>,
    /// Somebody has begun to wait.
    came: watch::Sender<()>,
    task: tokio::task::AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Why a view did not come to where it was waited for.
#[derive(Debug, Error)]
pub enum NotThere {
    /// It took too long.
    #[error("the view {view} did not come to that position in time")]
    Late {
        /// The view.
        view: ViewName,
        /// How far it is.
        at: Position,
    },
    /// The position is of another life of the log.
    #[error("the log began a new epoch since: its head is {head}")]
    OtherEpoch {
        /// The head in its present epoch.
        head: Cursor,
    },
    /// It does not go on.
    #[error("the view {view} has come to a halt: {halt}")]
    Halted {
        /// The view.
        view: ViewName,
        /// Why.
        halt: Halt,
    },
    /// There is no such view, or the store could not say.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl Watcher {
    /// Begins to watch. Needs a tokio runtime with time.
    #[must_use]
    pub fn start(store: Arc<dyn EventStore>, views: Arc<dyn ViewStore>) -> Self {
        let (seen, wake, waiting) =
            (watch::Sender::default(), Arc::new(Notify::new()), Arc::new(AtomicUsize::new(0)));
        let task = tokio::spawn(look(store, views, seen.clone(), Arc::clone(&wake), Arc::clone(&waiting)));
        let came = watch::Sender::default();
        Self(Arc::new(Inner { seen, wake, waiting, came, task: task.abort_handle() }))
    }

    /// What is seen, from now on.
    #[must_use]
    pub fn subscribe(&self) -> watch::Receiver<Seen> {
        self.0.seen.subscribe()
    }

    /// Something has changed: look at once.
    pub(crate) fn look_again(&self) {
        self.0.wake.notify_one();
    }

    /// Whether somebody waits for a view.
    pub(crate) fn is_waited_for(&self) -> bool {
        self.0.waiting.load(Ordering::SeqCst) > 0
    }

    /// Whenever somebody begins to.
    pub(crate) fn waiters(&self) -> watch::Receiver<()> {
        self.0.came.subscribe()
    }

    /// A generation has come to that checkpoint, as this node itself has seen to.
    pub(crate) fn hint(&self, of: &Generation, to: Checkpoint) {
        if !self.is_waited_for() {
            return;
        }
        self.0.seen.send_modify(|seen| {
            if let Some(state) = Arc::make_mut(&mut seen.generations).iter_mut().find(|state| state.of == *of)
                && state.checkpoint.position < to.position
            {
                state.checkpoint = to;
            }
        });
    }

    /// Waits until whoever asks `view` sees everything up to `position`.
    ///
    /// # Errors
    /// See [`NotThere`]: a view that has come to a halt, and a position of another epoch, are told at once.
    pub async fn wait_for(
        &self,
        view: &ViewName,
        number: u32,
        position: impl Into<After>,
        most: Duration,
    ) -> Result<Checkpoint, NotThere> {
        let position = position.into();
        let mut seen = self.subscribe();
        let asked = Instant::now();
        self.0.waiting.fetch_add(1, Ordering::SeqCst);
        let _waiting = Waiting(Arc::clone(&self.0.waiting));
        self.0.came.send_replace(());
        self.look_again();
        let there = async {
            loop {
                let now = seen.borrow_and_update().clone();
                if let Some(there) = look_for(&now, asked, view, number, &position) {
                    return there;
                }
                if seen.changed().await.is_err() {
                    return Err(ViewError::failed(flightdeck_store::Reason::Closed, None).into());
                }
            }
        };
        if let Ok(there) = timeout(most, there).await {
            return there;
        }
        let seen = self.0.seen.borrow().clone();
        let at = answering(&seen.generations, view, number)
            .map_or(Position::START, |state| state.checkpoint.position);
        Err(NotThere::Late { view: view.clone(), at })
    }
}

/// Counts as one who waits, until it is dropped.
struct Waiting(Arc<AtomicUsize>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// Whether what was seen is an answer; `None`: not yet.
fn look_for(
    seen: &Seen,
    asked: Instant,
    view: &ViewName,
    number: u32,
    position: &After,
) -> Option<Result<Checkpoint, NotThere>> {
    let fresh = seen.at.is_some_and(|at| at >= asked);
    let head = seen.head.as_ref()?;
    if !position.is_of(head.epoch()) {
        // Only what was seen since the question: another epoch may have begun before it.
        return fresh.then(|| Err(NotThere::OtherEpoch { head: head.clone() }));
    }
    let Some(state) = answering(&seen.generations, view, number) else {
        // Nobody can ask it yet. If the first build has come to a halt, nobody ever will.
        let known = seen.generations.iter().filter(|state| state.of.view == *view);
        let halt = known.clone().find_map(|state| state.halt.clone());
        return match (known.count(), halt) {
            _ if !fresh => None,
            (0, _) => Some(Err(ViewError::Unknown(view.to_string()).into())),
            (_, halt) => halt.map(|halt| Err(NotThere::Halted { view: view.clone(), halt })),
        };
    };
    // However far one has come that is of another log: it holds nothing of what is waited for.
    if state.checkpoint.position >= position.position() && !state.has_diverged() {
        return Some(Ok(state.checkpoint));
    }
    let halt = state.halt.clone().filter(|_| fresh)?;
    Some(Err(NotThere::Halted { view: view.clone(), halt }))
}

async fn look(
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
    seen: watch::Sender<Seen>,
    wake: Arc<Notify>,
    waiting: Arc<AtomicUsize>,
) {
    loop {
        let at = Instant::now();
        // The head first: a view that has come to it is at least as far as what was asked for.
        let looked = async {
            let head = store.head().await.map_err(ViewError::Store)?;
            Ok::<_, ViewError>((head.cursor, views.generations().await?))
        };
        match looked.await {
            Ok((head, generations)) => {
                seen.send_replace(Seen {
                    at: Some(at),
                    generations: Arc::new(generations),
                    head: Some(head),
                });
            }
            Err(error) => {
                tracing::debug!(%error, "the views could not be looked at");
                sleep(WAITING).await;
            }
        }
        // However many ask, that is how often the store is looked at.
        sleep(LEAST).await;
        let pause = if waiting.load(Ordering::SeqCst) > 0 { WAITING } else { IDLE };
        drop(timeout(pause, wake.notified()).await);
    }
}
