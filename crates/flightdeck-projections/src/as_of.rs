//! Views as of a moment: what a view answered when the log had come to a position, or at a time, is answered again.
//!
//! The log up to that moment is folded anew: in memory, as long as that is not too much; else into a *scratch generation*, which is
//! kept by the same store as all views, under names that no view has, and thrown away when it was asked.

mod past;
mod scratch;
mod stretch;
mod stuck;

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Cursor, Position, Timestamp};
use flightdeck_store::question::{OneByOne, last_before};
use flightdeck_store::view::{
    Cache, Checkpoint, FoldError, GenerationState, Halt, InvalidQuery, ViewError, ViewName, ViewPage,
    ViewQuery, ViewStore, answering,
};
use flightdeck_store::{EventStore, StoreError};
use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

pub use self::past::Past;
use self::scratch::Scratch;
use self::stretch::{Folding, Stretch};
use self::stuck::Stuck;
use crate::live::Live;
use crate::projection::Defined;

/// How the names of scratch generations and their tables begin. No view and no table has a name like that.
pub(crate) const RESERVED: &str = "as_of_";

/// Whether a view is a scratch generation's.
#[must_use]
pub fn is_scratch(view: &ViewName) -> bool {
    view.as_str().starts_with(RESERVED)
}

/// A moment of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// When the log had come to that position, and no further.
    Position(Position),
    /// The same, in that life of the log and in no other.
    Cursor(Cursor),
    /// With all that had been recorded by then, at that very time included. Of a time that is not over, that is what there is now.
    Time(Timestamp),
}

/// What is done when it is too much to be folded in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Beyond {
    /// It is refused.
    Refuse,
    /// It is folded into a scratch generation.
    Scratch,
}

/// How much views as of a moment may take.
#[derive(Debug, Clone)]
pub struct AsOfOptions {
    /// Events that are folded in memory. Those count that the projection asks the log for, and no others.
    pub events_max: usize,
    /// Bytes of rows that are held in memory.
    pub bytes_max: usize,
    /// Views that are held in memory at once: they come to so many times [`bytes_max`](Self::bytes_max) at the most.
    pub in_memory_max: usize,
    /// Positions of the log that are looked at to fold in memory, also those of events that the projection does not ask for: what
    /// bounds how long it takes.
    pub positions_max: u64,
    /// How long it is waited for a place in memory before whoever asks is told that there is none.
    pub patience: Duration,
    /// Scratch generations there are at once.
    pub scratches_max: usize,
    /// How long the fold of one event may take.
    pub event_budget: Duration,
    /// How long a scratch generation outlives a program that was killed, at least. Runners throw away what was left
    /// (see [`RunnerOptions::unwanted`](crate::RunnerOptions::unwanted)).
    pub lease: Duration,
    /// How often a program says that it still wants its scratch generations.
    pub wanting: Duration,
}

impl Default for AsOfOptions {
    fn default() -> Self {
        Self {
            events_max: 200_000,
            bytes_max: 256 * 1024 * 1024,
            in_memory_max: 4,
            positions_max: 2_000_000,
            patience: Duration::from_secs(2),
            scratches_max: 2,
            event_budget: Duration::from_secs(5),
            lease: Duration::from_secs(3),
            wanting: Duration::from_secs(10),
        }
    }
}

/// Answers questions to views as of a moment. Clones share how many of them there may be, in memory and as scratch generations.
///
/// What holds for all of it:
///
/// - The answer is the one that the live view gave when its checkpoint was there: the same rows in the same order, the same
///   checkpoint, and the same place where the next page begins.
/// - What the live view was told to leave out is left out.
/// - It is known before an answer is given whether all of it could be folded: there is no answer of a part.
/// - A scratch generation is seen by nobody else, and thrown away when whoever asked is through, goes away, or is killed.
/// - The writer of the log waits for none of it longer than for the build of a view.
/// - An event that takes too long to fold is given up. As long as its thread is still at it, nobody else begins with that event.
#[derive(Clone)]
pub struct AsOf {
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
    options: AsOfOptions,
    in_memory: Arc<Semaphore>,
    scratches: Arc<Semaphore>,
    stuck: Stuck,
}

/// Why a view could not be answered as of a moment.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum AsOfError {
    /// The log has not come there yet.
    #[error("the log has not come to position {asked} yet: its head is {head}")]
    NotYet {
        /// What was asked for.
        asked: Position,
        /// The head.
        head: Cursor,
    },
    /// It is too much to be folded in memory, and no scratch generation was wanted.
    #[error(
        "that means folding more than {events_max} events, looking at more than {positions_max}, or holding more than {bytes_max} bytes"
    )]
    TooMuch {
        /// How many events may be folded.
        events_max: usize,
        /// How many may be looked at.
        positions_max: u64,
        /// How much may be held.
        bytes_max: usize,
    },
    /// There are as many views of the past as there may be, in memory or as scratch generations.
    #[error("too many views of the past are being built or asked just now")]
    Busy,
    /// The scratch generation was thrown away by somebody.
    #[error("the view of the past was thrown away before it was asked")]
    Gone,
    /// An event can't be folded, and the live view was not told to leave it out: it has not come there either.
    #[error("{0}")]
    Halted(Halt),
    /// The question is none that can be answered.
    #[error(transparent)]
    Query(#[from] InvalidQuery),
    /// The views can't be read, or the scratch generation can't be kept.
    #[error(transparent)]
    View(ViewError),
    /// The log can't be read, or began a new epoch.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A row does not fit where it is to go, which is a fault of ours.
    #[error("{0}")]
    Row(FoldError),
}

impl AsOfError {
    /// Whether the same may succeed a little later.
    #[must_use]
    pub const fn retry_helps(&self) -> bool {
        match self {
            Self::NotYet { .. } | Self::Busy | Self::Gone => true,
            Self::View(error) => error.retry_helps(),
            Self::Store(error) => error.retry_helps(),
            Self::TooMuch { .. } | Self::Halted(_) | Self::Query(_) | Self::Row(_) => false,
        }
    }
}

impl From<ViewError> for AsOfError {
    fn from(error: ViewError) -> Self {
        match error {
            ViewError::Query(error) => Self::Query(error),
            ViewError::Store(error) => Self::Store(error),
            error => Self::View(error),
        }
    }
}

impl AsOf {
    /// Of the views that are folded from that log, and kept there.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, views: Arc<dyn ViewStore>) -> Self {
        let options = AsOfOptions::default();
        let (in_memory, scratches) = places(&options);
        Self { store, views, options, in_memory, scratches, stuck: Stuck::default() }
    }

    /// The same, with other limits.
    #[must_use]
    pub fn options(self, options: AsOfOptions) -> Self {
        let (in_memory, scratches) = places(&options);
        Self { options, in_memory, scratches, ..self }
    }

    /// Answers one question to a view as of a moment. Whoever has more of them, or wants the next page, takes [`at`](Self::at).
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub async fn ask(
        &self,
        defined: &Defined,
        query: &ViewQuery,
        moment: &Moment,
        beyond: Beyond,
    ) -> Result<ViewPage, AsOfError> {
        past::check(defined, query)?;
        let past = self.at(defined, moment, beyond).await?;
        let answer = past.ask(query).await;
        past.end().await;
        answer
    }

    /// Folds a view up to a moment, to be asked as often as one likes until it is dropped.
    ///
    /// - A moment before the first event is an empty view; a position that the log has not come to is an error.
    /// - Once the log has come to a position, the view as of it never changes.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub async fn at(&self, defined: &Defined, moment: &Moment, beyond: Beyond) -> Result<Past, AsOfError> {
        let head = self.store.head().await?.cursor;
        let until = self.position(&head, moment).await?;
        let skips = skips(&self.views.generations().await?, defined);
        let stretch = || Stretch {
            store: Arc::clone(&self.store),
            filter: defined.filter.clone(),
            skips: Arc::clone(&skips),
            head: head.clone(),
            at: Position::START,
            until,
        };
        let which = stretch().which(defined);
        let known =
            || self.stuck.before(&which, until, &skips).map_or(Ok(()), |halt| Err(AsOfError::Halted(halt)));
        known()?;
        if self.may_fit(defined, until) {
            let place = self.place().await?;
            // Whoever had it before may have found out meanwhile.
            known()?;
            if let Some(live) = self.fold_in_memory(defined, stretch(), Arc::clone(&place)).await? {
                return Ok(Past::in_memory(live, place));
            }
        }
        if beyond == Beyond::Refuse {
            let AsOfOptions { events_max, positions_max, bytes_max, .. } = self.options;
            return Err(AsOfError::TooMuch { events_max, positions_max, bytes_max });
        }
        let place = Arc::clone(&self.scratches).try_acquire_owned().map_err(|_| AsOfError::Busy)?;
        let (views, stuck) = (Arc::clone(&self.views), self.stuck.clone());
        let mut scratch = Scratch::begin(views, defined, &self.options, stuck, place).await?;
        scratch.build(stretch()).await?;
        Ok(Past::in_scratch(defined.clone(), scratch))
    }

    /// A place in memory, as soon as there is one.
    async fn place(&self) -> Result<Arc<OwnedSemaphorePermit>, AsOfError> {
        let free = timeout(self.options.patience, Arc::clone(&self.in_memory).acquire_owned()).await;
        match free {
            Ok(Ok(place)) => Ok(Arc::new(place)),
            Ok(Err(_)) | Err(_) => Err(AsOfError::Busy),
        }
    }

    /// Whether it need be tried to fold in memory.
    fn may_fit(&self, defined: &Defined, until: Position) -> bool {
        let AsOfOptions { events_max, positions_max, .. } = self.options;
        let until = u64::try_from(until.get()).unwrap_or(0);
        // Where every event counts, each position is one.
        let is_too_many = defined.filter.is_all() && usize::try_from(until).is_ok_and(|all| all > events_max);
        until <= positions_max && !is_too_many
    }

    /// The position that the log had come to at a moment.
    async fn position(&self, head: &Cursor, moment: &Moment) -> Result<Position, AsOfError> {
        let asked = match moment {
            Moment::Time(time) => {
                let Ok(behind) = Timestamp::from_micros(time.micros() + 1) else {
                    return Ok(head.position());
                };
                return Ok(last_before(&OneByOne(&*self.store), head, behind).await?);
            }
            Moment::Cursor(cursor) if cursor.epoch() != head.epoch() => {
                return Err(StoreError::EpochChanged { head: head.clone() }.into());
            }
            Moment::Cursor(cursor) => cursor.position(),
            Moment::Position(position) => *position,
        };
        match asked > head.position() {
            true => Err(AsOfError::NotYet { asked, head: head.clone() }),
            false => Ok(asked),
        }
    }

    /// Folds in memory; `None` when that is too much.
    async fn fold_in_memory(
        &self,
        defined: &Defined,
        mut stretch: Stretch,
        place: Arc<OwnedSemaphorePermit>,
    ) -> Result<Option<Live>, AsOfError> {
        let AsOfOptions { events_max, bytes_max, event_budget, .. } = self.options;
        let mut cache = Cache::of(defined.plan());
        cache.begin_empty();
        let mut folding = Folding {
            defined: defined.clone(),
            cache,
            to: Checkpoint::START,
            skips: Arc::clone(&stretch.skips),
            event_budget,
            stuck: self.stuck.clone(),
            which: stretch.which(defined),
            place: Some(place),
        };
        let mut events = 0;
        while let Some(piece) = stretch.next().await? {
            events += piece.events.len();
            if events > events_max {
                return Ok(None);
            }
            // Nothing is to be loaded: what is not held is not there.
            let (batch, _nothing) = folding.look_at(piece).await?;
            let mut rest = Some(batch);
            while let Some(batch) = rest {
                rest = folding.fold(batch, usize::MAX).await?;
            }
            if folding.cache.bytes() > bytes_max {
                return Ok(None);
            }
        }
        Ok(Some(Live::folded(folding.defined, folding.cache, folding.to)))
    }
}

impl std::fmt::Debug for AsOf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AsOf").field("options", &self.options).finish_non_exhaustive()
    }
}

/// The places there are: in memory, and for scratch generations.
fn places(options: &AsOfOptions) -> (Arc<Semaphore>, Arc<Semaphore>) {
    let of = |max: usize| Arc::new(Semaphore::new(max.min(Semaphore::MAX_PERMITS)));
    (of(options.in_memory_max), of(options.scratches_max))
}

/// What the live view was told to leave out. Another number's is told for its own fold, so it counts only while there is none of ours.
fn skips(all: &[GenerationState], defined: &Defined) -> Arc<[Position]> {
    let (view, number) = (defined.plan().view(), defined.plan().number());
    let is_ours = |state: &&GenerationState| state.of.view == *view && state.of.number == number;
    let newest = |ready: bool| {
        all.iter().filter(is_ours).filter(|state| state.ready == ready).max_by_key(|state| state.of.build)
    };
    let live = newest(true).or_else(|| newest(false)).or_else(|| answering(all, view, number));
    live.map(|state| state.skips.as_slice()).unwrap_or_default().into()
}
