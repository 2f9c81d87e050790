//! Handling a command: load the stream, fold it, decide, append, and try again when someone was faster.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::registry::RegistryError;
use flightdeck_core::{
    Decider, Metadata, Position, SchemaNumber, StoredEvents, StreamId, Tags, Version, WordError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::append::{Append, AppendError, Appended, Conflict, Expected, RequestKey};
use crate::event::{NewEvent, Recorded};
use crate::port::EventStore;
use crate::read::{Snapshot, StoreError, StreamQuery};

/// Runs commands of one kind of aggregate against a store.
pub struct Handler<D: Decider> {
    store: Arc<dyn EventStore>,
    attempts_max: u32,
    snapshots: Option<Snapshots<D::State>>,
    of: PhantomData<fn() -> D>,
}

/// When snapshots are kept, and how a state becomes bytes.
struct Snapshots<S> {
    every_events: i64,
    schema: SchemaNumber,
    to_bytes: fn(&S) -> Option<Vec<u8>>,
    from_bytes: fn(&[u8]) -> Option<S>,
}

/// What comes with a command.
#[derive(Debug, Clone, Default)]
pub struct Context {
    /// Who asks, and what for. Every event gets it.
    pub metadata: Metadata,
    /// What the caller expects of the stream, beside what the decision itself rests on.
    pub expected: Expected,
    /// By what a repetition of the command is known.
    pub request: Option<RequestKey>,
}

/// What a stream says: the fold of its events.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Loaded<S> {
    /// The state.
    pub state: S,
    /// The version of the last event; `None` when there is no such stream.
    pub version: Option<Version>,
    /// The version of the snapshot that was the head start, if one was.
    pub snapshot: Option<Version>,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled<S> {
    /// The state after it.
    pub state: S,
    /// The version after it.
    pub version: Option<Version>,
    /// What was appended; `None` when there was nothing to do.
    pub appended: Option<Appended>,
}

/// Why a command was not done.
#[derive(Debug, Error)]
pub enum HandleError<E> {
    /// The decider refused it.
    #[error("refused by the state of affairs")]
    Refused(E),
    /// The stream is not as the caller expected, or others were faster at every attempt.
    #[error(transparent)]
    Conflict(Conflict),
    /// The stream could not be read.
    #[error(transparent)]
    Read(#[from] StoreError),
    /// An event of the stream can't be understood.
    #[error("the event at position {position} can't be read: {source}")]
    Event {
        /// The event.
        position: Position,
        /// Why.
        source: RegistryError,
    },
    /// An event's data is gone, and no snapshot reaches behind it.
    #[error("the data of the event at position {position} is gone, and there is no snapshot behind it")]
    Tombstone {
        /// The event.
        position: Position,
    },
    /// An event that was decided can't be stored.
    #[error(transparent)]
    Unstorable(#[from] RegistryError),
    /// The tags of an event that was decided can't be stored.
    #[error(transparent)]
    Tags(#[from] WordError),
    /// The append failed.
    #[error(transparent)]
    Append(AppendError),
}

impl<D: Decider> Handler<D>
where
    D::Event: StoredEvents,
    D::Command: Clone,
{
    /// A handler on `store`: up to 10 attempts, no snapshots.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store, attempts_max: 10, snapshots: None, of: PhantomData }
    }

    /// The same handler, which gives up after so many attempts.
    #[must_use]
    pub fn attempts_max(self, attempts_max: u32) -> Self {
        Self { attempts_max: attempts_max.max(1), ..self }
    }

    /// The same handler, which keeps a snapshot whenever a stream has grown by `every_events` since the last one.
    ///
    /// `schema` is the number of the state's shape: with a new one, old snapshots are as good as gone.
    #[must_use]
    pub fn snapshots(self, every_events: i64, schema: SchemaNumber) -> Self
    where
        D::State: Serialize + DeserializeOwned,
    {
        let snapshots = Snapshots {
            every_events: every_events.max(1),
            schema,
            to_bytes: |state| serde_json::to_vec(state).ok(),
            from_bytes: |bytes| serde_json::from_slice(bytes).ok(),
        };
        Self { snapshots: Some(snapshots), ..self }
    }

    /// Runs a command against a stream.
    ///
    /// A conflict is a reason to load and decide again, a few times, with a little and growing pause. With a
    /// [request key](Context::request), a command that was done before is not done again, whatever the stream
    /// has come to since, and also a command that had nothing to do is remembered.
    ///
    /// # Errors
    /// When the decider refuses, the stream is not as expected, or the store can't do it. An error of the kind
    /// [`Append`](HandleError::Append) says by its outcome whether the command may have been done.
    pub async fn handle(
        &self,
        stream: &StreamId,
        command: D::Command,
        context: &Context,
    ) -> Result<Handled<D::State>, HandleError<D::Error>> {
        let mut attempt = 1;
        loop {
            if let Some(before) = self.done_before(stream, context).await? {
                return Ok(before);
            }
            match self.attempt(stream, command.clone(), context).await {
                // The same request may have run between the look and the decision.
                Err(refusal @ (HandleError::Refused(_) | HandleError::Conflict(_))) => {
                    return self.done_before(stream, context).await?.ok_or(refusal);
                }
                Err(HandleError::Append(AppendError::Conflict(conflict))) if attempt >= self.attempts_max => {
                    return Err(HandleError::Conflict(conflict));
                }
                Err(HandleError::Append(AppendError::Conflict(_))) => {
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                }
                done => return done,
            }
        }
    }

    /// Loads a stream: a snapshot as a head start, then every event behind it.
    ///
    /// # Errors
    /// When the stream can't be read or an event of it not be understood.
    pub async fn load(&self, stream: &StreamId) -> Result<Loaded<D::State>, HandleError<D::Error>> {
        if let Some((version, state)) = self.head_start(stream).await? {
            let loaded = self.fold(stream, state, Some(version)).await?;
            // A snapshot that is ahead of its stream is of another history.
            if loaded.version.is_some_and(|last| last >= version) {
                return Ok(Loaded { snapshot: Some(version), ..loaded });
            }
        }
        self.fold(stream, D::initial(), None).await
    }

    async fn head_start(&self, stream: &StreamId) -> Result<Option<(Version, D::State)>, StoreError> {
        let Some(policy) = &self.snapshots else {
            return Ok(None);
        };
        let snapshot = self.store.snapshot(stream, policy.schema).await?;
        Ok(snapshot.and_then(|snapshot| Some((snapshot.version, (policy.from_bytes)(&snapshot.state)?))))
    }

    async fn fold(
        &self,
        stream: &StreamId,
        mut state: D::State,
        after: Option<Version>,
    ) -> Result<Loaded<D::State>, HandleError<D::Error>> {
        let mut query = StreamQuery { after, ..StreamQuery::of(stream.clone()) };
        loop {
            let page = self.store.read_stream(&query).await?;
            for event in &page.events {
                if let Some(event) = understand::<D>(event)? {
                    state = D::evolve(state, &event);
                }
            }
            match query.next(&page) {
                Some(next) => query = next,
                None => {
                    // What came after this page's version was read is the next reader's.
                    let last = page.events.last().map(|event| event.version).or(query.after);
                    return Ok(Loaded { state, version: last.min(page.version), snapshot: None });
                }
            }
        }
    }

    async fn done_before(
        &self,
        stream: &StreamId,
        context: &Context,
    ) -> Result<Option<Handled<D::State>>, HandleError<D::Error>> {
        let Some(request) = &context.request else {
            return Ok(None);
        };
        let Some(appended) = self.store.outcome_of(request).await.map_err(HandleError::Append)? else {
            return Ok(None);
        };
        let loaded = self.load(stream).await?;
        Ok(Some(Handled { state: loaded.state, version: loaded.version, appended: Some(appended) }))
    }

    async fn attempt(
        &self,
        stream: &StreamId,
        command: D::Command,
        context: &Context,
    ) -> Result<Handled<D::State>, HandleError<D::Error>> {
        let loaded = self.load(stream).await?;
        if !context.expected.holds(loaded.version) {
            let (stream, expected) = (stream.clone(), context.expected);
            return Err(HandleError::Conflict(Conflict { stream, expected, actual: loaded.version }));
        }
        let events = D::decide(&loaded.state, command).map_err(HandleError::Refused)?;
        if events.is_empty() && context.request.is_none() {
            return Ok(Handled { state: loaded.state, version: loaded.version, appended: None });
        }
        let mut append = Append::of([]).expecting(stream.clone(), loaded.version.into());
        append.request.clone_from(&context.request);
        for event in &events {
            append.events.push(write(stream, event, &context.metadata)?);
        }
        let appended = self.store.append(append).await.map_err(HandleError::Append)?;
        if appended.duplicate {
            // The same request, run by someone else a moment ago: the events above were never written.
            let loaded = self.load(stream).await?;
            return Ok(Handled { state: loaded.state, version: loaded.version, appended: Some(appended) });
        }
        let version = appended.version_of(stream).or(loaded.version);
        let state = events.iter().fold(loaded.state, D::evolve);
        self.keep_snapshot(stream, &state, version, loaded.snapshot).await;
        Ok(Handled { state, version, appended: Some(appended) })
    }

    /// Keeps a snapshot when it is time. One that can't be kept is no error: it is only ever a head start.
    async fn keep_snapshot(
        &self,
        stream: &StreamId,
        state: &D::State,
        version: Option<Version>,
        before: Option<Version>,
    ) {
        let (Some(policy), Some(version)) = (&self.snapshots, version) else {
            return;
        };
        if version.get() - Version::count(before) < policy.every_events {
            return;
        }
        if let Some(bytes) = (policy.to_bytes)(state) {
            let snapshot = Snapshot { version, schema: policy.schema, state: bytes.into() };
            drop(self.store.save_snapshot(stream, snapshot).await);
        }
    }
}

fn understand<D: Decider>(event: &Recorded) -> Result<Option<D::Event>, HandleError<D::Error>>
where
    D::Event: StoredEvents,
{
    let position = event.position;
    let known = D::Event::TYPES.iter().any(|stored| stored.name == event.event_type.as_str());
    let data = match event.data.json() {
        Some(json) => json.as_bytes(),
        None if known => return Err(HandleError::Tombstone { position }),
        None => return Ok(None),
    };
    D::Event::from_stored(event.event_type.as_str(), event.schema, data)
        .map_err(|source| HandleError::Event { position, source })
}

fn write<E, Ev: StoredEvents>(
    stream: &StreamId,
    event: &Ev,
    metadata: &Metadata,
) -> Result<NewEvent, HandleError<E>> {
    let written = event.to_stored()?;
    Ok(NewEvent {
        schema: written.schema,
        tags: Tags::new(event.tags())?,
        metadata: metadata.clone(),
        ..NewEvent::new(stream.clone(), written.name, written.data)
    })
}

/// 1 ms, doubled with every attempt up to 64 ms, and a random half more or less.
fn pause(attempt: u32) -> Duration {
    let base = Duration::from_millis(1 << attempt.min(6));
    let dice = RandomState::new().build_hasher().finish() % 1_000;
    base.mul_f64(0.5 + f64::from(u32::try_from(dice).unwrap_or(0)) / 1_000.0)
}
