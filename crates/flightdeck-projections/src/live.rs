//! Views that are folded when they are asked, in memory: nothing is kept, and any moment of the log can be asked for.

use flightdeck_core::Position;
use flightdeck_store::view::{
    Cache, Checkpoint, FoldError, Generation, Halt, HaltKind, InvalidQuery, ViewPage, ViewQuery,
};
use flightdeck_store::{EventStore, LogQuery, Recorded, StoreError};
use thiserror::Error;

use crate::projection::Defined;

/// A view in memory, folded up to somewhere.
pub struct Live {
    defined: Defined,
    cache: Cache,
    checkpoint: Checkpoint,
}

/// Why a view could not be folded when it was asked.
#[derive(Debug, Error)]
pub enum LiveError {
    /// That would mean folding more events than it may.
    #[error("that means folding more than {0} events")]
    TooMany(usize),
    /// An event can't be folded.
    #[error("{0}")]
    Halted(Halt),
    /// The log can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Live {
    /// Nothing folded yet.
    #[must_use]
    pub fn new(defined: Defined) -> Self {
        let mut cache = Cache::of(defined.plan());
        cache.begin_empty();
        Self { defined, cache, checkpoint: Checkpoint::START }
    }

    /// What was folded already, and up to where.
    pub(crate) const fn folded(defined: Defined, cache: Cache, checkpoint: Checkpoint) -> Self {
        Self { defined, cache, checkpoint }
    }

    /// Folds the log up to `until`, or to its end, with what was told to be left out left out.
    ///
    /// # Errors
    /// See [`LiveError`]. What was folded until then stays.
    pub async fn fold_log(
        &mut self,
        store: &dyn EventStore,
        until: Option<Position>,
        skips: &[Position],
        events_max: usize,
    ) -> Result<(), LiveError> {
        let filter = self.defined.filter.clone();
        let mut query = LogQuery { until, ..LogQuery::after(self.checkpoint.position).matching(filter) };
        let mut folded = 0;
        loop {
            let page = store.read_log(&query).await?;
            folded += page.events.len();
            if folded > events_max {
                return Err(LiveError::TooMany(events_max));
            }
            for event in page.events.iter().filter(|event| !skips.contains(&event.position)) {
                self.fold(event).map_err(LiveError::Halted)?;
            }
            self.checkpoint.position = page.scanned_to;
            match query.next(&page) {
                Some(next) => query = next,
                None => return Ok(()),
            }
            // A log may be long, and others want to get their turn.
            tokio::task::yield_now().await;
        }
    }

    /// Folds one event.
    ///
    /// # Errors
    /// Why it can't be folded.
    pub fn fold(&mut self, event: &Recorded) -> Result<(), Halt> {
        if self.defined.reads.reads(event)? {
            let poison = |error: FoldError| Halt {
                kind: HaltKind::Poison,
                position: event.position,
                event: Some(event.id),
                error: error.to_string(),
            };
            let (keys, _held) = self.cache.keys(&*self.defined.fold, event).map_err(poison)?;
            self.cache.fold(&*self.defined.fold, event, &keys).map_err(poison)?;
            self.checkpoint.folded = Some((event.position, event.hash));
        }
        self.checkpoint.position = event.position;
        Ok(())
    }

    pub(crate) const fn defined(&self) -> &Defined {
        &self.defined
    }

    /// All rows of a table, by their keys.
    #[must_use]
    pub fn rows(&self, table: &str) -> Vec<flightdeck_store::view::Row> {
        self.cache.rows(table)
    }

    /// How far it is folded.
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        self.checkpoint
    }

    /// Answers a question, as a store does.
    ///
    /// # Errors
    /// When it can't be answered.
    pub fn ask(&self, query: &ViewQuery) -> Result<ViewPage, InvalidQuery> {
        let plan = self.defined.plan();
        let (_, table) = plan.table(&query.table).ok_or_else(|| InvalidQuery::Table(query.table.clone()))?;
        let order = query.check(table)?;
        let rows = self.cache.rows_where(&query.table, query.selects(table));
        let of = Generation { view: plan.view().clone(), number: plan.number(), build: 0 };
        Ok(query.page(rows, &order, self.checkpoint, of))
    }
}
