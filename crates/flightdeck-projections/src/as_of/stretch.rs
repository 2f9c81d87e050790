//! The log up to a moment, page by page, and how it is folded: the same for what stays in memory and for what does not.

use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Cursor, Position};
use flightdeck_store::view::{Cache, Checkpoint, ViewError, Wanted};
use flightdeck_store::{Corruption, EventStore, Filter, LogPage, LogQuery, Reason, Recorded, StoreError};
use tokio::sync::OwnedSemaphorePermit;
use tokio::task::JoinHandle;
use tokio::time::timeout;

use super::AsOfError;
use super::stuck::{Stuck, Which};
use crate::batch::{self, Batch, Current};
use crate::projection::Defined;

/// How often it is looked whether an event takes too long.
const LOOKING: Duration = Duration::from_millis(250);

/// What is to be read of the log.
pub(super) struct Stretch {
    pub(super) store: Arc<dyn EventStore>,
    pub(super) filter: Filter,
    pub(super) skips: Arc<[Position]>,
    /// The head when this began: in another epoch it is another log.
    pub(super) head: Cursor,
    /// Up to where it was read.
    pub(super) at: Position,
    pub(super) until: Position,
}

/// A page of it.
pub(super) struct Piece {
    pub(super) events: Vec<Recorded>,
    /// How far was looked.
    pub(super) to: Position,
    /// Whether the log has grown since the page before.
    pub(super) grows: bool,
}

impl Stretch {
    /// The next page; `None` at the moment itself.
    pub(super) async fn next(&mut self) -> Result<Option<Piece>, StoreError> {
        if self.at >= self.until {
            return Ok(None);
        }
        let page = match self.read(self.until).await {
            Err(StoreError::Corrupt(Corruption { position: Some(damaged), .. }))
                if self.skips.contains(&damaged) =>
            {
                // Told to leave out an event that can't even be read.
                if damaged == self.at.next() {
                    self.at = damaged;
                    return Ok(Some(Piece { events: Vec::new(), to: damaged, grows: false }));
                }
                self.read(damaged.previous()).await?
            }
            page => page?,
        };
        if page.scanned_to <= self.at {
            let what = "the log does not go on".to_owned();
            return Err(Corruption { position: Some(self.at.next()), what }.into());
        }
        self.at = page.scanned_to;
        let grows = page.head != self.head;
        self.head = page.head;
        Ok(Some(Piece { events: page.events, to: page.scanned_to, grows }))
    }

    /// Which view is folded from it.
    pub(super) fn which(&self, defined: &Defined) -> Which {
        let plan = defined.plan();
        Which { view: plan.view().clone(), number: plan.number(), epoch: self.head.epoch().clone() }
    }

    async fn read(&self, until: Position) -> Result<LogPage, StoreError> {
        let from = Cursor::new(self.head.epoch().clone(), self.at);
        let query = LogQuery { until: Some(until), ..LogQuery::after(from) };
        self.store.read_log(&query.matching(self.filter.clone())).await
    }
}

/// What is folded, and up to where.
pub(super) struct Folding {
    pub(super) defined: Defined,
    pub(super) cache: Cache,
    pub(super) to: Checkpoint,
    pub(super) skips: Arc<[Position]>,
    pub(super) event_budget: Duration,
    pub(super) stuck: Stuck,
    pub(super) which: Which,
    /// What has to be free again before somebody else may hold as much.
    pub(super) place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Folding {
    /// Looks at a page: what of it is to be folded, and the rows that are needed for that and are not held.
    pub(super) async fn look_at(&mut self, piece: Piece) -> Result<(Batch, Wanted), AsOfError> {
        let skips = Arc::clone(&self.skips);
        self.aside(move |defined, cache, current| {
            let mut batch = Batch::of(defined, &skips, (piece.events, piece.to), current);
            let wanted = batch.missing(cache);
            (batch, wanted)
        })
        .await
    }

    /// Folds until so many rows may have changed, and returns what is left then.
    pub(super) async fn fold(&mut self, batch: Batch, rows_max: usize) -> Result<Option<Batch>, AsOfError> {
        let from = self.to;
        let folded = self
            .aside(move |defined, cache, current| batch.fold(defined, cache, from, rows_max, current))
            .await?;
        self.to = folded.to;
        match folded.stop {
            Some(halt) => Err(AsOfError::Halted(halt)),
            None => Ok(folded.rest),
        }
    }

    /// Does something where it may take its time, and gives it up when one event takes too long: the thread is left behind.
    async fn aside<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&Defined, &mut Cache, &Current) -> T + Send + 'static,
    ) -> Result<T, AsOfError> {
        let defined = self.defined.clone();
        let mut cache = std::mem::replace(&mut self.cache, Cache::of(self.defined.plan()));
        let current = Current::default();
        let noted = Arc::clone(&current);
        let working = tokio::task::spawn_blocking(move || {
            let worked = work(&defined, &mut cache, &noted);
            (worked, cache)
        });
        let watch = Watch {
            current,
            event_budget: self.event_budget,
            stuck: self.stuck.clone(),
            which: self.which.clone(),
            place: self.place.clone(),
        };
        // In a task of its own, so that it is also known of a thread that whoever asked has not waited for.
        match tokio::spawn(watch.over(working)).await {
            Ok(Ok((worked, cache))) => {
                self.cache = cache;
                Ok(worked)
            }
            Ok(Err(error)) => Err(error),
            Err(_) => Err(ViewError::failed(Reason::Stopped, None).into()),
        }
    }
}

/// What watches that a fold comes to an end.
struct Watch {
    current: Current,
    event_budget: Duration,
    stuck: Stuck,
    which: Which,
    place: Option<Arc<OwnedSemaphorePermit>>,
}

impl Watch {
    async fn over<T: Send + 'static>(self, mut working: JoinHandle<T>) -> Result<T, AsOfError> {
        loop {
            match timeout(LOOKING, &mut working).await {
                Ok(Ok(worked)) => return Ok(worked),
                // A fold that panics is caught where it is called: the program is about to end.
                Ok(Err(_)) => return Err(ViewError::failed(Reason::Stopped, None).into()),
                Err(_) => {
                    let Some(halt) = batch::overdue(&self.current, self.event_budget) else { continue };
                    let Self { stuck, which, place, .. } = self;
                    stuck.add(which.clone(), halt.clone());
                    // One view that is stuck must not keep all others from being asked; whoever gets the place knows of it.
                    drop(place);
                    let position = halt.position;
                    tokio::spawn(async move {
                        drop(working.await);
                        stuck.ended(&which, position);
                    });
                    return Err(AsOfError::Halted(halt));
                }
            }
        }
    }
}
