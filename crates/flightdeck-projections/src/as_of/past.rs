//! A view as of a moment, ready to be asked: every page of every question to it is of the same moment.

use std::sync::Arc;

use async_trait::async_trait;
use flightdeck_store::view::{Answers, Checkpoint, Generation, InvalidQuery, ViewError, ViewPage, ViewQuery};
use flightdeck_store::{Reason, StoreError};
use tokio::sync::OwnedSemaphorePermit;

use super::AsOfError;
use super::scratch::Scratch;
use crate::live::Live;
use crate::projection::Defined;

/// A view as of a moment. Whoever is through with it drops it, or waits for its [`end`](Self::end): until then it takes one of the places
/// that there are.
///
/// What asks a view takes this as well ([`Answers`]): lists and analytics of then are had by the same functions as those of now.
pub struct Past(Kept);

enum Kept {
    InMemory(Arc<Held>),
    InScratch(Box<Defined>, Box<Scratch>),
}

/// A view in memory, and the place that it takes.
struct Held {
    live: Live,
    _place: Arc<OwnedSemaphorePermit>,
}

impl Past {
    pub(super) fn in_memory(live: Live, place: Arc<OwnedSemaphorePermit>) -> Self {
        Self(Kept::InMemory(Arc::new(Held { live, _place: place })))
    }

    pub(super) fn in_scratch(defined: Defined, scratch: Scratch) -> Self {
        Self(Kept::InScratch(Box::new(defined), Box::new(scratch)))
    }

    /// Where the view was at that moment.
    #[must_use]
    pub fn checkpoint(&self) -> Checkpoint {
        match &self.0 {
            Kept::InMemory(held) => held.live.checkpoint(),
            Kept::InScratch(_, scratch) => scratch.checkpoint(),
        }
    }

    /// The scratch generation that it is folded into, if it is in none of the memory.
    #[must_use]
    pub const fn scratch(&self) -> Option<&Generation> {
        match &self.0 {
            Kept::InMemory(_) => None,
            Kept::InScratch(_, scratch) => Some(scratch.of()),
        }
    }

    /// Answers a question as the live view did. The generation that is said to have answered is build 0, which is no build.
    ///
    /// # Errors
    /// See [`AsOfError`].
    pub async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, AsOfError> {
        match &self.0 {
            Kept::InMemory(held) => {
                check(held.live.defined(), query)?;
                let (held, query) = (Arc::clone(held), query.clone());
                // Every row is looked at: others want to get their turn meanwhile.
                let asked = tokio::task::spawn_blocking(move || held.live.ask(&query)).await;
                Ok(asked.map_err(|_| ViewError::failed(Reason::Stopped, None))??)
            }
            Kept::InScratch(defined, scratch) => {
                check(defined, query)?;
                scratch.ask(query).await
            }
        }
    }

    /// Waits until nothing is left of it.
    pub async fn end(self) {
        if let Kept::InScratch(_, scratch) = self.0 {
            scratch.end().await;
        }
    }
}

#[async_trait]
impl Answers for Past {
    async fn answer(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        self.ask(query).await.map_err(|error| match error {
            AsOfError::Query(error) => ViewError::Query(error),
            AsOfError::Store(error) => ViewError::Store(error),
            AsOfError::View(error) => error,
            AsOfError::Gone => ViewError::Gone,
            // None of these is said by what is folded already; they stay what they are for whoever reads the source.
            error => StoreError::Failed { reason: Reason::Stopped, source: Some(Box::new(error)) }.into(),
        })
    }
}

impl std::fmt::Debug for Past {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (at, scratch) = (self.checkpoint(), self.scratch());
        f.debug_struct("Past").field("checkpoint", &at).field("scratch", &scratch).finish()
    }
}

/// Whether a question is to that view, and can be answered: so that nothing is folded for one that can't.
pub(super) fn check(defined: &Defined, query: &ViewQuery) -> Result<(), AsOfError> {
    let plan = defined.plan();
    if query.view != *plan.view() {
        return Err(ViewError::Unknown(query.view.to_string()).into());
    }
    let (_, table) = plan.table(&query.table).ok_or_else(|| InvalidQuery::Table(query.table.clone()))?;
    query.check(table)?;
    Ok(())
}
