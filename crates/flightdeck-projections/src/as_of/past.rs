//! A view as of a moment, ready to be asked: every page of every question to it is of the same moment.

use flightdeck_store::view::{Checkpoint, Generation, InvalidQuery, ViewError, ViewPage, ViewQuery};

use super::AsOfError;
use super::scratch::Scratch;
use crate::live::Live;
use crate::projection::Defined;

/// A view as of a moment. Whoever is through with it drops it, or waits for its [`end`](Self::end).
pub struct Past(Kept);

enum Kept {
    InMemory(Box<Live>),
    InScratch(Box<Defined>, Box<Scratch>),
}

impl Past {
    pub(super) fn in_memory(live: Live) -> Self {
        Self(Kept::InMemory(Box::new(live)))
    }

    pub(super) fn in_scratch(defined: Defined, scratch: Scratch) -> Self {
        Self(Kept::InScratch(Box::new(defined), Box::new(scratch)))
    }

    /// Where the view was at that moment.
    #[must_use]
    pub const fn checkpoint(&self) -> Checkpoint {
        match &self.0 {
            Kept::InMemory(live) => live.checkpoint(),
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
            Kept::InMemory(live) => {
                check(live.defined(), query)?;
                Ok(live.ask(query)?)
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
