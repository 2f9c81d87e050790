//! The port of views: what keeps their rows, rule by rule.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use flightdeck_core::Position;
use thiserror::Error;

use crate::append::{Reason, Source};
use crate::event::Recorded;
use crate::read::StoreError;
use crate::view::generation::{Checkpoint, Generation, GenerationState, Halt, Holder, Lease};
use crate::view::query::{InvalidQuery, ViewPage, ViewQuery};
use crate::view::rows::{Changes, Fold, Wanted};
use crate::view::table::{InvalidPlan, Plan, ViewName};
use crate::view::value::Row;

/// What keeps the rows of views, and how far each view is folded.
///
/// Every sentence below is a rule, and `flightdeck-store-contract` has a test for each.
///
/// What holds for all of it:
///
/// - Rows and checkpoint of a generation move in one transaction: whoever asks, at whatever moment, sees both as one piece of
///   work left them.
/// - Generations live beside each other: nothing that is done to one can be seen in another.
/// - A generation that is not ready is seen by nobody who asks.
/// - Opening the store again finds everything as it was, but for who holds what.
/// - Every table of the generation that serves is a table of the database's with the name and the columns that were declared; on
///   a store without SQL there is nothing to see of that.
#[async_trait]
pub trait ViewStore: Send + Sync + 'static {
    /// Makes the first build of a plan's generation, or finds the newest there is.
    ///
    /// - Making it at the same time from many places makes it once. Who asks wants it (see [`want`](Self::want)).
    /// - A plan with another fingerprint under the same number is refused.
    /// - A table whose name belongs to another view is refused.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError>;

    /// Begins a further build of a plan's generation, beside the ones there are. It starts with no rows, before the first event,
    /// leaves out what the newest one was told to leave out, and waits if that was told to wait.
    ///
    /// - While the newest build is not ready, it is thrown away and begun again: there are never two unfinished ones.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn begin_build(&self, plan: &Plan) -> Result<GenerationState, ViewError>;

    /// Every generation of every view, by view, number and build.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn generations(&self) -> Result<Vec<GenerationState>, ViewError>;

    /// Says that a program wants these generations: nobody throws them away for a while.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn want(&self, wanted: &[Generation]) -> Result<(), ViewError>;

    /// Takes the right to fold a generation, or keeps it, for that long from now on, by the store's own clock.
    ///
    /// - Of many who ask, one gets it; `None` for the others, until it has run out or was given back.
    /// - Who has it keeps it by asking again, with the same token; whenever it changes hands the token rises. No token comes twice
    ///   for generations of the same name, also when one was thrown away and begun again.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn lease(
        &self,
        of: &Generation,
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError>;

    /// Gives the right back.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError>;

    /// The rows under these keys, each with the place of its table in the plan. A key with fewer values than the table's key has
    /// columns stands for every row that begins with them.
    ///
    /// - A row that is not there does not come; each comes once, and with the values that were put.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn load(&self, of: &Generation, keys: Wanted) -> Result<Vec<(usize, Row)>, ViewError>;

    /// Puts and removes rows and moves the checkpoint, all of it or nothing.
    ///
    /// - Work whose lease has another token than the generation's is refused as fenced, and so is work that begins at another
    ///   checkpoint than the generation is at: nothing is folded twice, whoever wakes up late.
    /// - What goes on has not come to a halt: work that is done takes the halt off.
    /// - A lease that has run out is still good as long as nobody else took it.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn apply(&self, work: Work) -> Result<(), ViewError>;

    /// Keeps why a generation does not go on. Refused as fenced like work.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError>;

    /// Marks a generation, which its runner obeys soon.
    ///
    /// - What was told to leave an event out leaves it out for good; that can only be told of the event that it stands before.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn mark(&self, of: &Generation, mark: Mark) -> Result<(), ViewError>;

    /// Makes a generation that has caught up ready. If no higher number serves, it does from here on, in one step for whoever
    /// asks; earlier builds of the same number are thrown away.
    ///
    /// - It is put off while the generation that answers in its place has come further: what is asked never goes back. One that has diverged
    ///   does not count.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError>;

    /// Throws a generation away, with its tables. One that serves is thrown away like any other.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn discard(&self, of: &Generation) -> Result<(), ViewError>;

    /// Answers a question, from rows and checkpoint of one moment.
    ///
    /// - The generation that answers is the ready one of the number asked for, or else the one that serves.
    /// - Exactly the rows come for which all conditions are so, in the order that was asked for; where rows are alike in it by their
    ///   key, in the direction of its last column, and everywhere by their key when none was asked for. Texts sort by their bytes,
    ///   and nothing before everything.
    /// - A page holds at most what the limit says; who goes on from where it ended sees every row once that was there all along.
    /// - Who may see only some streams gets the rows of those. Of a table that is of no streams they get nothing.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError>;

    /// Has generations folded within the appends themselves, where a store can do that. Takes the place of what was asked before.
    /// `false`: this store can't, and they are folded as all others are.
    ///
    /// - Once a generation has caught up, its checkpoint is at the head whenever an append was answered.
    /// - A fold that fails halts its view, and nothing else: not the append, and no other view.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn fold_inline(&self, inline: Vec<Inline>) -> Result<bool, ViewError> {
        drop(inline);
        Ok(false)
    }

    /// Does what a store has put off of a generation (its index of words, where that is not written with the rows).
    /// `true`: there is more.
    ///
    /// # Errors
    /// See [`ViewError`].
    async fn tend(&self, lease: &Lease) -> Result<bool, ViewError> {
        let _nothing_to_tend = lease;
        Ok(false)
    }

    /// How much one piece of work may be.
    fn work_limits(&self) -> WorkLimits;
}

/// A piece of work, done: what changed, and between which checkpoints.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Work {
    /// By which right.
    pub lease: Lease,
    /// Where the generation was when it was begun.
    pub from: Checkpoint,
    /// Where it is then.
    pub to: Checkpoint,
    /// What changed.
    pub changes: Changes,
}

/// How much one piece of work may be, so that it holds nobody up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WorkLimits {
    /// Rows, while the generation can be asked.
    pub rows: usize,
    /// Rows, while it is being built and nobody sees it.
    pub building_rows: usize,
    /// Bytes of rows that are held for it.
    pub building_bytes: usize,
}

/// What a generation is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Mark {
    /// Wait.
    Pause,
    /// Go on, also where it had come to a halt.
    Resume,
    /// Leave out the event at this position, which it stands before, and go on.
    Skip(Position),
}

/// What became of taking over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TakenOver {
    /// It is ready, and serves unless a higher number does.
    Done,
    /// The one that serves has come further, to here.
    Behind(Position),
}

/// Whether a view reads an event: `false` passes it by, and an error is why it can't go on.
pub type Reading = dyn Fn(&Recorded) -> Result<bool, Halt> + Send + Sync;

/// A generation that is folded within the appends.
#[derive(Clone)]
pub struct Inline {
    /// Which.
    pub of: Generation,
    /// Which events it reads.
    pub reads: Arc<Reading>,
    /// The fold.
    pub fold: Arc<dyn Fold>,
}

impl std::fmt::Debug for Inline {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Inline").field("of", &self.of).finish_non_exhaustive()
    }
}

/// Why something could not be done to a view.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum ViewError {
    /// Someone else folds it, or has folded it since.
    #[error("someone else has folded it since")]
    Fenced,
    /// There is no such view, or no such generation of it any more.
    #[error("there is no view {0}")]
    Unknown(String),
    /// There is such a view, and it can't be asked yet.
    #[error("the view {0} is being built, and was not there before")]
    NotReady(ViewName),
    /// The same number stands for something else.
    #[error(
        "the view {view} has changed under its number {number}: what reads or keeps something else needs the next number"
    )]
    Changed {
        /// The view.
        view: ViewName,
        /// The number.
        number: u32,
    },
    /// A table of that name is another view's.
    #[error("the table {table} is there already")]
    TableTaken {
        /// The table.
        table: String,
    },
    /// Its tables belong to somebody else, who alone may change them.
    #[error("the table {table} belongs to {owner}, who alone may build the view")]
    NotOurs {
        /// The table.
        table: String,
        /// Whose it is.
        owner: String,
    },
    /// What was there to be asked was thrown away by somebody.
    #[error("the view of the past was thrown away before it was asked")]
    Gone,
    /// It does not stand before that event.
    #[error("the view does not stand before the event at position {0}")]
    NotHalted(Position),
    /// No store can keep that.
    #[error(transparent)]
    Plan(#[from] InvalidPlan),
    /// No store can answer that.
    #[error(transparent)]
    Query(#[from] InvalidQuery),
    /// The store could not do it.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl ViewError {
    /// An error of the store's.
    #[must_use]
    pub fn failed(reason: Reason, source: Option<Source>) -> Self {
        Self::Store(StoreError::Failed { reason, source })
    }

    /// Whether the same may succeed a little later.
    #[must_use]
    pub const fn retry_helps(&self) -> bool {
        match self {
            Self::Store(error) => error.retry_helps(),
            Self::NotReady(_) | Self::Gone => true,
            _ => false,
        }
    }
}
