//! What an administrator does to views: look, build anew, let wait, let go on, leave an event out. Each act is an event of its own.

use std::sync::Arc;

use flightdeck_core::{Cursor, EventId, EventType, Json, Metadata, Position, Reference, StreamId, Version};
use flightdeck_store::view::{GenerationState, Mark, Plan, ViewError, ViewName, ViewStore};
use flightdeck_store::{
    Append, AppendError, Appended, EventStore, Limit, NewEvent, Recorded, RequestKey, StreamQuery,
};
use serde::{Deserialize, Serialize};
use thiserror::Error;
use tokio::sync::Mutex;

/// The stream of what was done by administrators.
pub const AUDIT_STREAM: &str = "$audit";

/// Does what an administrator wants done to views.
#[derive(Clone)]
pub struct Admin {
    store: Arc<dyn EventStore>,
    views: Arc<dyn ViewStore>,
    /// Held for an act: two who want the same done do it one after the other, and the second finds it done.
    acts: Arc<Mutex<()>>,
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
    /// It was done before, under the same request key; or it was only written down then, and is done now. Where it is written down.
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
    /// It is written down, and could not be done just now: the same request with the same key does it.
    #[error("it is written down, and could not be done just now")]
    NotYet(#[source] ViewError),
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
        Self { store, views, acts: Arc::default() }
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
        let _alone = self.acts.lock().await;
        let by = by.into();
        let mut all = self.views.generations().await?;
        all.retain(|state| state.of.view == *plan.view());
        let builds = all.iter().filter(|state| state.of.number == plan.number()).map(|state| state.of.build);
        let newest = builds.max().unwrap_or(0);
        if let Some((before, act)) = self.before(&by).await? {
            if act.build.is_some_and(|build| newest < build) && self.is_last(&before, plan.view()).await? {
                self.views.begin_build(plan).await.map_err(AdminError::NotYet)?;
            }
            return Err(AdminError::DoneBefore(before));
        }
        if all.iter().any(|state| state.paused) {
            return Err(AdminError::Paused(plan.view().clone()));
        }
        let act = Act { build: Some(newest + 1), ..Act::of(plan.view()) };
        self.write_down("ProjectionRebuildStarted", &act, by).await?;
        self.views.begin_build(plan).await.map_err(AdminError::NotYet)
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
        let _alone = self.acts.lock().await;
        if let Some((before, _)) = self.before(&by).await? {
            if self.is_last(&before, view).await? {
                self.mark_all(self.of(view).await?, mark).await?;
            }
            return Err(AdminError::DoneBefore(before));
        }
        let all = self.of(view).await?;
        self.write_down(what, &Act::of(view), by).await?;
        self.mark_all(all, mark).await
    }

    /// Marks what is written down already.
    async fn mark_all(&self, all: Vec<GenerationState>, mark: &Mark) -> Result<(), AdminError> {
        for state in all {
            match self.views.mark(&state.of, mark.clone()).await {
                // It is gone since, for another build is through; which is there already, and among these.
                Ok(()) | Err(ViewError::Unknown(_)) => {}
                Err(error) => return Err(AdminError::NotYet(error)),
            }
        }
        Ok(())
    }

    /// Has a view leave out, for good, the event that it stands halted before. Returns the event's position.
    ///
    /// # Errors
    /// See [`AdminError`].
    pub async fn skip(&self, view: &ViewName, by: impl Into<By>) -> Result<Position, AdminError> {
        let _alone = self.acts.lock().await;
        let by = by.into();
        if let Some((before, act)) = self.before(&by).await? {
            if let Some(position) = act.position
                && self.is_last(&before, view).await?
            {
                self.skip_all(self.of(view).await?, position).await?;
            }
            return Err(AdminError::DoneBefore(before));
        }
        let all = self.of(view).await?;
        let halted = all.iter().find_map(|state| {
            let halt = state.halt.as_ref().filter(|halt| halt.may_be_skipped_at(halt.position))?;
            Some((halt.position, halt.event))
        });
        let (position, event) = halted.ok_or_else(|| AdminError::NotHalted(view.clone()))?;
        let act = Act { position: Some(position), event_id: event, ..Act::of(view) };
        self.write_down("ProjectionEventSkipped", &act, by).await?;
        self.skip_all(all, position).await?;
        Ok(position)
    }

    /// A build beside the one in use stands before the same event.
    async fn skip_all(&self, mut all: Vec<GenerationState>, position: Position) -> Result<(), AdminError> {
        all.retain(|state| state.halt.as_ref().is_some_and(|halt| halt.may_be_skipped_at(position)));
        self.mark_all(all, &Mark::Skip(position)).await
    }

    async fn of(&self, view: &ViewName) -> Result<Vec<GenerationState>, ViewError> {
        let mut all = self.views.generations().await?;
        all.retain(|state| state.of.view == *view);
        if all.is_empty() { Err(ViewError::Unknown(view.to_string())) } else { Ok(all) }
    }

    /// The act that was written down under the same request key, if there is one.
    async fn before(&self, by: &By) -> Result<Option<(Appended, Act)>, AdminError> {
        let Some(request) = &by.request else { return Ok(None) };
        let Some(appended) = self.store.outcome_of(request).await? else { return Ok(None) };
        let act = match appended.streams.first() {
            Some(audit) => {
                let query =
                    StreamQuery { limit: Limit::new(1).unwrap_or_default(), ..behind(audit.from, -1)? };
                let page = self.store.read_stream(&query).await.map_err(ViewError::Store)?;
                page.events.first().and_then(|event| serde_json::from_slice(event.data_bytes()).ok())
            }
            None => None,
        };
        Ok(Some((appended, act.unwrap_or_default())))
    }

    /// Whether nothing was done to the view after that act. Then it may be done again: who was killed, or failed, behind writing it down
    /// has not done it. Otherwise things have gone on, and it must not come back.
    async fn is_last(&self, act: &Appended, view: &ViewName) -> Result<bool, AdminError> {
        let Some(audit) = act.streams.first() else { return Ok(false) };
        let mut query = behind(audit.version, 0)?;
        loop {
            let page = self.store.read_stream(&query).await.map_err(ViewError::Store)?;
            let of_view = |event: &Recorded| {
                let later: Option<Act> = serde_json::from_slice(event.data_bytes()).ok();
                later.is_some_and(|later| later.projection == view.as_str())
            };
            if page.events.iter().any(of_view) {
                return Ok(false);
            }
            match query.next(&page) {
                Some(next) => query = next,
                None => return Ok(true),
            }
        }
    }

    /// Writes an act down before it is done: one that nobody can tell of is not done.
    async fn write_down(&self, what: &'static str, act: &Act, by: By) -> Result<(), AdminError> {
        // What is written here has no keys that are no texts.
        let data = Json::from_stored(serde_json::to_string(act).unwrap_or_default().into());
        let By { name, correlation, request } = by;
        let metadata = Metadata { actor: Some(Reference::new(name)?), correlation, ..Metadata::default() };
        let event = NewEvent::new(StreamId::new(AUDIT_STREAM)?, EventType::new(what)?, data);
        let append = Append { request, ..Append::of([event.with_metadata(metadata)]) };
        let appended = self.store.append(append).await?;
        if appended.duplicate { Err(AdminError::DoneBefore(appended)) } else { Ok(()) }
    }
}

/// The acts behind a version of the audit stream, or behind the one before.
fn behind(version: Version, more: i64) -> Result<StreamQuery, AdminError> {
    let after = Version::new(version.get() + more).ok();
    Ok(StreamQuery { after, ..StreamQuery::of(StreamId::new(AUDIT_STREAM)?) })
}

/// An act, as it is written down.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Act {
    projection: String,
    /// The build that is made by it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    build: Option<u32>,
    /// The event that is left out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    position: Option<Position>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    event_id: Option<EventId>,
}

impl Act {
    fn of(view: &ViewName) -> Self {
        Self { projection: view.to_string(), ..Self::default() }
    }
}
