//! What an administrator does to views: look, build anew, let wait, let go on, leave an event out. Each act is an event of its own.

use std::sync::Arc;

use flightdeck_core::{Cursor, EventType, Json, Metadata, Position, Reference, StreamId};
use flightdeck_store::view::{GenerationState, Mark, Plan, ViewError, ViewName, ViewStore};
use flightdeck_store::{Append, AppendError, Appended, EventStore, NewEvent, RequestKey};
use thiserror::Error;

/// The stream of what was done by administrators.
pub const AUDIT_STREAM: &str = "$audit";

/// Does what an administrator wants done to views.
#[derive(Clone)]
pub struct Admin {
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
}

/// Whoever wants something done.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct By {
    /// Who it is.
    pub name: String,
    /// What the act belongs to.
    pub correlation: Option<Reference>,
    /// By what a repetition of the act is known: it is not done again.
    pub request: Option<RequestKey>,
}

impl<T: AsRef<str>> From<T> for By {
    fn from(name: T) -> Self {
        Self { name: name.as_ref().to_owned(), ..Self::default() }
    }
}

/// Why it was not done.
#[derive(Debug, Error)]
pub enum AdminError {
    /// It was done before, under the same request key. Where that is written down.
    #[error("that was done before")]
    DoneBefore(Appended),
    /// Nothing stands halted before an event there.
    #[error("{0} has not come to a halt before an event that could be left out")]
    NotHalted(ViewName),
    /// It was told to wait, and what is built anew would wait as well.
    #[error("{0} was told to wait: let it go on first")]
    Paused(ViewName),
    /// It is no view, but a reactor.
    #[error("{0} is a reactor: what it has done is done, and is not done anew")]
    Reactor(ViewName),
    /// There is no such view, or the store could not do it.
    #[error(transparent)]
    View(#[from] ViewError),
    /// It could not be written down, so it was not done.
    #[error("what was to be done could not be written down")]
    Audit(#[from] AppendError),
    /// Whoever wanted it has a name that can't be written down.
    #[error("that is no name of somebody: {0}")]
    Actor(#[from] flightdeck_core::WordError),
}

impl Admin {
    /// Whatever is on these.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>, views: Arc<dyn ViewStore>) -> Self {
        Self { store, views }
    }

    /// Every generation, and the head of the log.
    ///
    /// # Errors
    /// When the store can't say.
    pub async fn list(&self) -> Result<(Cursor, Vec<GenerationState>), ViewError> {
        let all = self.views.generations().await?;
        // Looked up last, so that none of them seems to be ahead of it.
        Ok((self.store.head().await.map_err(ViewError::Store)?.cursor, all))
    }

    /// Begins a further build of a view, beside the one in use. Whoever runs the view builds it.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn rebuild(&self, plan: &Plan, by: impl Into<By>) -> Result<GenerationState, AdminError> {
        if plan.tables().is_empty() {
            return Err(AdminError::Reactor(plan.view().clone()));
        }
        let by = self.first(by.into()).await?;
        let all = self.views.generations().await?;
        if all.iter().any(|state| state.of.view == *plan.view() && state.paused) {
            return Err(AdminError::Paused(plan.view().clone()));
        }
        self.write_down("ProjectionRebuildStarted", plan.view(), None, by).await?;
        Ok(self.views.begin_build(plan).await?)
    }

    /// Lets a view wait.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn pause(&self, view: &ViewName, by: impl Into<By>) -> Result<(), AdminError> {
        self.mark(view, "ProjectionPaused", &Mark::Pause, by.into()).await
    }

    /// Lets a view go on, also one that has come to a halt: the event is tried again.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn resume(&self, view: &ViewName, by: impl Into<By>) -> Result<(), AdminError> {
        self.mark(view, "ProjectionResumed", &Mark::Resume, by.into()).await
    }

    async fn mark(&self, view: &ViewName, what: &'static str, mark: &Mark, by: By) -> Result<(), AdminError> {
        let by = self.first(by).await?;
        let all = self.of(view).await?;
        self.write_down(what, view, None, by).await?;
        for state in all {
            self.views.mark(&state.of, mark.clone()).await?;
        }
        Ok(())
    }

    /// Has a view leave out, for good, the event that it stands halted before. Returns the event's position.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn skip(&self, view: &ViewName, by: impl Into<By>) -> Result<Position, AdminError> {
        let by = self.first(by.into()).await?;
        let all = self.of(view).await?;
        let halted = all.iter().find_map(|state| {
            let halt = state.halt.as_ref().filter(|halt| halt.may_be_skipped_at(halt.position))?;
            Some((halt.position, halt.event))
        });
        let (position, event) = halted.ok_or_else(|| AdminError::NotHalted(view.clone()))?;
        self.write_down("ProjectionEventSkipped", view, Some((position, event)), by).await?;
        // A build beside the one in use stands before the same event.
        for state in all {
            if state.halt.as_ref().is_some_and(|halt| halt.may_be_skipped_at(position)) {
                self.views.mark(&state.of, Mark::Skip(position)).await?;
            }
        }
        Ok(position)
    }

    async fn of(&self, view: &ViewName) -> Result<Vec<GenerationState>, ViewError> {
        let mut all = self.views.generations().await?;
        all.retain(|state| state.of.view == *view);
        if all.is_empty() { Err(ViewError::Unknown(view.to_string())) } else { Ok(all) }
    }

    /// Whoever wants it, unless it was done before: what has become of things since would be in the way of saying so.
    async fn first(&self, by: By) -> Result<By, AdminError> {
        let Some(request) = &by.request else { return Ok(by) };
        match self.store.outcome_of(request).await? {
            Some(appended) => Err(AdminError::DoneBefore(appended)),
            None => Ok(by),
        }
    }

    /// Writes an act down before it is done: one that nobody can tell of is not done.
    async fn write_down(
        &self,
        what: &'static str,
        view: &ViewName,
        event: Option<(Position, Option<flightdeck_core::EventId>)>,
        by: By,
    ) -> Result<(), AdminError> {
        let mut data = serde_json::json!({ "projection": view.as_str() });
        if let Some((position, event)) = event {
            data["position"] = position.get().into();
            data["eventId"] = event.map(|event| event.to_string()).into();
        }
        // Made here, so it is JSON.
        let data = Json::from_stored(data.to_string().into());
        let By { name, correlation, request } = by;
        let metadata = Metadata { actor: Some(Reference::new(name)?), correlation, ..Metadata::default() };
        let event = NewEvent::new(StreamId::new(AUDIT_STREAM)?, EventType::new(what)?, data);
        let append = Append { request, ..Append::of([event.with_metadata(metadata)]) };
        let appended = self.store.append(append).await?;
        if appended.duplicate { Err(AdminError::DoneBefore(appended)) } else { Ok(()) }
    }
}
