//! Handling a command: load the stream, fold it, decide, append, and try again when someone was faster.

use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::marker::PhantomData;
use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::registry::RegistryError;
use flightdeck_core::{
    Answer, Cursor, Decider, EventType, Mark, Metadata, Position, Question, SchemaNumber, StoredEvents,
    StreamId, Tag, Tags, Version, WordError,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::append::{
    Append, AppendError, Appended, Condition, ConditionItem, Conflict, Expected, RequestKey,
};
use crate::event::{NewEvent, Recorded};
use crate::port::EventStore;
use crate::read::{Direction, Filter, Limit, LogQuery, Snapshot, StoreError, StreamQuery};
use crate::secret::Secret;

/// Runs commands of one kind of aggregate against a store.
pub struct Handler<D: Decider> {
    store: Arc<dyn EventStore>,
    attempts_max: u32,
    snapshots: Option<Snapshots<D::State>>,
    forgets_nothing_done: bool,
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

/// What an attempt knows of the log beside its stream: the head, and the secret that was there when the log was in that epoch.
#[derive(Default)]
struct Seen {
    head: Option<Cursor>,
    secret: Option<Secret>,
}

/// What a command did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Handled<S> {
    /// The stream: the one that the command was given for, or, when it was done before, the one that it changed then.
    pub stream: StreamId,
    /// The state after it. When it was done before: the state after it then, whatever has happened since,
    /// unless what it was folded from is archived by now: then state and version are those of now.
    pub state: S,
    /// The version after it.
    pub version: Option<Version>,
    /// What was appended. When there was nothing to do: `None`, or, for a command with a request key, which is remembered all the
    /// same, an outcome without events.
    pub appended: Option<Appended>,
}

/// Why a command was not done.
#[derive(Debug, Error)]
pub enum HandleError<E> {
    /// The decider refused it.
    #[error("refused by the state of affairs")]
    Refused(E),
    /// The command is not for that stream: it is of another category, or of another thing than the command is about.
    #[error("the command is not for the stream {stream}")]
    WrongStream {
        /// The stream that was named with the command.
        stream: StreamId,
    },
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
    /// What a decision rests on is of a type that this program does not know: it needs an upgrade.
    #[error("the event at position {position} is of the type {name}, which this program does not know")]
    UnknownType {
        /// The event.
        position: Position,
        /// Its type.
        name: EventType,
    },
    /// An event's data is gone, and no snapshot reaches behind it. (Events with marks must not be archived: they say who owns what.)
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

impl<E> HandleError<E> {
    /// The same error, with what `make` makes of a refusal.
    #[must_use]
    pub fn map_refused<F>(self, make: impl FnOnce(E) -> F) -> HandleError<F> {
        match self {
            Self::Refused(refusal) => HandleError::Refused(make(refusal)),
            Self::WrongStream { stream } => HandleError::WrongStream { stream },
            Self::Conflict(conflict) => HandleError::Conflict(conflict),
            Self::Read(error) => HandleError::Read(error),
            Self::Event { position, source } => HandleError::Event { position, source },
            Self::UnknownType { position, name } => HandleError::UnknownType { position, name },
            Self::Tombstone { position } => HandleError::Tombstone { position },
            Self::Unstorable(error) => HandleError::Unstorable(error),
            Self::Tags(error) => HandleError::Tags(error),
            Self::Append(error) => HandleError::Append(error),
        }
    }
}

impl<D: Decider> Handler<D>
where
    D::Event: StoredEvents,
    D::Command: Clone,
{
    /// A handler on `store`: up to 10 attempts, no snapshots.
    #[must_use]
    pub fn new(store: Arc<dyn EventStore>) -> Self {
        Self { store, attempts_max: 10, snapshots: None, forgets_nothing_done: false, of: PhantomData }
    }

    /// The same handler, which gives up after so many attempts.
    #[must_use]
    pub fn attempts_max(self, attempts_max: u32) -> Self {
        Self { attempts_max: attempts_max.max(1), ..self }
    }

    /// The same handler, which does not remember the request keys of commands that had nothing to do: where nothing may be stored
    /// of someone, not even that is. Such a command, repeated, is decided again.
    #[must_use]
    pub fn forgetting_nothing_done(self) -> Self {
        Self { forgets_nothing_done: true, ..self }
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
    /// A conflict is a reason to load and decide again, a few times, with a little and growing pause. So is an event that came
    /// in between with a [mark](Decider::marks) that the decision [rests on](Decider::asks): of two commands that want the same thing
    /// at once one gets it, and the other is answered by what the first one did.
    ///
    /// With a [request key](Context::request), a command that was done before is not done again: the answer is the first
    /// outcome, whatever the stream has come to since. A command that had nothing to do is remembered as well.
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
        let is_its_own = D::stream(&command).is_none_or(|about| about.as_ref() == Ok(stream));
        if !is_its_own || stream.category_str() != D::CATEGORY {
            return Err(HandleError::WrongStream { stream: stream.clone() });
        }
        let mut attempt = 1;
        loop {
            if let Some(before) = self.done_before(stream, context).await? {
                return Ok(before);
            }
            let refusal = match self.attempt(stream, command.clone(), context).await {
                Err(HandleError::Append(error)) if overtaken(&error) && attempt < self.attempts_max => {
                    tokio::time::sleep(pause(attempt)).await;
                    attempt += 1;
                    continue;
                }
                Err(HandleError::Append(AppendError::Conflict(conflict))) => HandleError::Conflict(conflict),
                Err(HandleError::Append(error)) if overtaken(&error) => HandleError::Append(error),
                Err(refusal @ (HandleError::Refused(_) | HandleError::Conflict(_))) => refusal,
                done => return done,
            };
            // The same request may have run between the look and the decision.
            return self.done_before(stream, context).await?.ok_or(refusal);
        }
    }

    /// Loads a stream: a snapshot as a head start, then every event behind it.
    ///
    /// # Errors
    /// When the stream can't be read or an event of it not be understood.
    pub async fn load(&self, stream: &StreamId) -> Result<Loaded<D::State>, HandleError<D::Error>> {
        self.load_until(stream, None).await
    }

    async fn load_until(
        &self,
        stream: &StreamId,
        until: Option<Version>,
    ) -> Result<Loaded<D::State>, HandleError<D::Error>> {
        if let Some((version, state)) = self.head_start(stream, until).await? {
            let loaded = self.fold(stream, state, Some(version), until).await?;
            // A snapshot that is ahead of its stream is of another history.
            if loaded.version.is_some_and(|last| last >= version) {
                return Ok(Loaded { snapshot: Some(version), ..loaded });
            }
        }
        self.fold(stream, D::initial(), None, until).await
    }

    async fn head_start(
        &self,
        stream: &StreamId,
        until: Option<Version>,
    ) -> Result<Option<(Version, D::State)>, StoreError> {
        let Some(policy) = &self.snapshots else {
            return Ok(None);
        };
        let snapshot = self.store.snapshot(stream, policy.schema).await?;
        let early_enough = |snapshot: &Snapshot| until.is_none_or(|version| snapshot.version <= version);
        let snapshot = snapshot.filter(early_enough);
        Ok(snapshot.and_then(|snapshot| Some((snapshot.version, (policy.from_bytes)(&snapshot.state)?))))
    }

    async fn fold(
        &self,
        stream: &StreamId,
        mut state: D::State,
        after: Option<Version>,
        until: Option<Version>,
    ) -> Result<Loaded<D::State>, HandleError<D::Error>> {
        let mut query = StreamQuery { after, to: until, ..StreamQuery::of(stream.clone()) };
        let mut last = after;
        loop {
            let page = self.store.read_stream(&query).await?;
            for event in &page.events {
                if let Some(event) = understand::<D>(event)? {
                    state = D::evolve(state, &event);
                }
                last = Some(event.version);
            }
            match query.next(&page) {
                Some(next) => query = next,
                // What came after this page's version was read is the next reader's.
                None => return Ok(Loaded { state, version: last.min(page.version), snapshot: None }),
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
        self.as_it_was(stream, appended).await.map(Some)
    }

    /// The answer that was given, or would have been, when the command was done.
    async fn as_it_was(
        &self,
        stream: &StreamId,
        appended: Appended,
    ) -> Result<Handled<D::State>, HandleError<D::Error>> {
        // A command that makes something new may come with a new id every time: what counts is the first.
        let first = appended.streams.first().map(|first| first.stream.clone());
        let (stream, version) = match (appended.version_of(stream), first) {
            (Some(version), _) => (stream.clone(), Some(version)),
            (None, Some(first)) => {
                let version = appended.version_of(&first);
                (first, version)
            }
            (None, None) => {
                let version = self.version_at(stream, appended.cursor.position()).await?;
                (stream.clone(), version)
            }
        };
        if stream.category_str() != D::CATEGORY {
            return Err(HandleError::WrongStream { stream });
        }
        let loaded = match version {
            None => Loaded { state: D::initial(), version: None, snapshot: None },
            Some(_) => match self.load_until(&stream, version).await {
                Err(HandleError::Tombstone { .. }) => self.load(&stream).await?,
                loaded => loaded?,
            },
        };
        Ok(Handled { stream, state: loaded.state, version: loaded.version, appended: Some(appended) })
    }

    /// The version that a stream had when the log was at that position.
    async fn version_at(&self, stream: &StreamId, position: Position) -> Result<Option<Version>, StoreError> {
        let mut query = StreamQuery { direction: Direction::Backward, ..StreamQuery::of(stream.clone()) };
        loop {
            let page = self.store.read_stream(&query).await?;
            let there = page.events.iter().find(|event| event.position <= position);
            match (there, query.next(&page)) {
                (Some(event), _) => return Ok(Some(event.version)),
                (None, None) => return Ok(None),
                (None, Some(next)) => query = next,
            }
        }
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
        let mut append = Append::of([]).expecting(stream.clone(), loaded.version.into());
        append.request.clone_from(&context.request);
        let (mut seen, questions) = (Seen::default(), D::asks(&loaded.state, &command));
        let command = match questions.is_empty() {
            true => command,
            false => {
                let mut answers = Vec::with_capacity(questions.len());
                let mut items = Vec::with_capacity(questions.len());
                for question in &questions {
                    let tag = self.tag(question.mark(), &mut seen).await?;
                    // What comes behind this head would spoil the append, and what is before it the answer knows.
                    self.head(&mut seen).await?;
                    answers.push(self.answer(question, tag.clone()).await?);
                    items.push(ConditionItem { tags: vec![tag], types: Vec::new() });
                }
                append.condition = Some(Condition { any: items, ..Condition::default() });
                D::told(command, &answers)
            }
        };
        let events = D::decide(&loaded.state, command).map_err(HandleError::Refused)?;
        let mut state = loaded.state;
        for event in &events {
            append.events.push(self.write(stream, &state, event, context, &mut seen).await?);
            state = D::evolve(state, event);
        }
        if let Some(head) = seen.head {
            // Also where nothing was asked: what was hidden by the secret of this epoch is good in this epoch.
            append.condition.get_or_insert_default().after = head.into();
        }
        if events.is_empty() && (context.request.is_none() || self.forgets_nothing_done) {
            return Ok(Handled { stream: stream.clone(), state, version: loaded.version, appended: None });
        }
        let appended = self.store.append(append).await.map_err(HandleError::Append)?;
        if appended.duplicate {
            // The same request, run by someone else a moment ago: the events above were never written.
            return self.as_it_was(stream, appended).await;
        }
        let version = appended.version_of(stream).or(loaded.version);
        self.keep_snapshot(stream, &state, version, loaded.snapshot).await;
        Ok(Handled { stream: stream.clone(), state, version, appended: Some(appended) })
    }

    /// The head, as it was when the attempt first wanted to know.
    async fn head(&self, seen: &mut Seen) -> Result<(), StoreError> {
        if seen.head.is_none() {
            seen.head = Some(self.store.head().await?.cursor);
        }
        Ok(())
    }

    async fn answer(&self, question: &Question, tag: Tag) -> Result<Answer<D::Event>, HandleError<D::Error>> {
        let mut query = LogQuery::default().matching(Filter::tagged(tag));
        if let Question::Last(_) = question {
            query.direction = Direction::Backward;
            query.limit = Limit::new(1).map_err(StoreError::from)?;
        }
        let mut answer = Answer::new();
        loop {
            let page = self.store.read_log(&query).await?;
            // An event elsewhere with such a tag is none of this aggregate's.
            for event in page.events.iter().filter(|event| event.stream.category_str() == D::CATEGORY) {
                let (position, name) = (event.position, event.event_type.clone());
                let understood = understand::<D>(event)?;
                let understood = understood.ok_or(HandleError::UnknownType { position, name })?;
                answer.push((event.stream.clone(), understood));
            }
            match (question, query.next(&page)) {
                (Question::Last(_), _) if !answer.is_empty() => return Ok(answer),
                (_, None) => return Ok(answer),
                (_, Some(next)) => query = next,
            }
        }
    }

    async fn tag(&self, mark: &Mark, seen: &mut Seen) -> Result<Tag, HandleError<D::Error>> {
        if let Mark::Open(tag) = mark {
            return Ok(tag.clone());
        }
        // The secret is read behind the head, and never kept: a log that is filled from elsewhere gets another one, in another epoch.
        self.head(seen).await?;
        let secret = match seen.secret {
            Some(secret) => secret,
            None => *seen.secret.insert(self.store.secret().await?),
        };
        Ok(secret.tag(mark)?)
    }

    async fn write(
        &self,
        stream: &StreamId,
        before: &D::State,
        event: &D::Event,
        context: &Context,
        seen: &mut Seen,
    ) -> Result<NewEvent, HandleError<D::Error>> {
        let written = event.to_stored()?;
        let mut tags = Vec::new();
        for mark in D::marks(before, event) {
            tags.push(self.tag(&mark, seen).await?);
        }
        Ok(NewEvent {
            schema: written.schema,
            tags: Tags::new(tags)?,
            metadata: context.metadata.clone(),
            ..NewEvent::new(stream.clone(), written.name, written.data)
        })
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

/// Whether someone else was faster, so that it helps to look and decide again.
const fn overtaken(error: &AppendError) -> bool {
    matches!(
        error,
        AppendError::Conflict(_)
            | AppendError::ConditionFailed { .. }
            | AppendError::StaleDecision { .. }
            | AppendError::EpochChanged { .. }
            | AppendError::AheadOfLog { .. }
    )
}

/// 1 ms, doubled with every attempt up to 64 ms, and a random half more or less.
fn pause(attempt: u32) -> Duration {
    let base = Duration::from_millis(1 << attempt.min(6));
    let dice = RandomState::new().build_hasher().finish() % 1_000;
    base.mul_f64(0.5 + f64::from(u32::try_from(dice).unwrap_or(0)) / 1_000.0)
}
