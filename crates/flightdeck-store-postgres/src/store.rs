//! The store itself: the port's methods, each handed to the writer or to a reader.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use async_trait::async_trait;
use flightdeck_core::limits::{CONDITION_AGE_EVENTS_MAX, SNAPSHOT_BYTES_MAX};
use flightdeck_core::{Clock as _, Cursor, Epoch, EventId, Position, SchemaNumber, StreamId};
use flightdeck_store::admit::{Done, recall};
use flightdeck_store::chain::Sealed;
use flightdeck_store::settle::{Identity, unknown};
use flightdeck_store::system::SystemClock;
use flightdeck_store::{
    Append, AppendError, Appended, Condition, EventStore, Head, LogAnswer, LogPage, LogQuery, LogQuestion,
    NewEvent, Reason, Recorded, RequestKey, Secret, Snapshot, StoreError, StreamInfo, StreamPage,
    StreamQuery, StreamsPage, StreamsQuery,
};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::task::JoinHandle;
use tokio_postgres::error::SqlState;

use crate::connection::{Readers, Session};
use crate::history::History;
use crate::ledger::{Asked, Looked, Settled};
use crate::names::Names;
use crate::options::{Options, Schema};
use crate::question::ByPage;
use crate::reader::{self, LogRead};
use crate::row::Damage;
use crate::thread::Thread;
use crate::views::Views;
use crate::writer::Job;
use crate::{snapshots, streams};

/// How many events a condition may ask about, item by item, before it is looked at ahead of its turn.
const LOOK_AHEAD_EVENTS: i64 = 2_000;

/// A log on PostgreSQL, as one node has it open. Clones are handles on the same node; the last one to go closes it.
#[derive(Clone)]
pub struct PostgresStore(Arc<Inner>);

struct Inner {
    names: Arc<Names>,
    history: Arc<History>,
    readers: Arc<Readers>,
    views: Arc<Views>,
    options: Options,
    writing: Writing,
    /// Last, for everything above may have something on it.
    thread: Thread,
}

/// The way to the writer.
pub(crate) struct Writing {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    ended: watch::Receiver<bool>,
    stopped: watch::Sender<bool>,
    /// Room in the queue, in bytes.
    room: Arc<Semaphore>,
    room_max: usize,
    /// What is said when there is no writer.
    without: Reason,
}

impl Writing {
    pub(crate) fn new(
        jobs: mpsc::Sender<Job>,
        task: JoinHandle<()>,
        options: &Options,
        stopped: watch::Sender<bool>,
        thread: &Handle,
    ) -> Self {
        let (end, ended) = watch::channel(false);
        let broke = stopped.clone();
        thread.spawn(async move {
            if task.await.is_err() {
                tracing::error!("the writer has broken, and the store stops");
                broke.send_replace(true);
            }
            end.send_replace(true);
        });
        let room_max = options.queue_bytes_max.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room_max));
        Self { jobs: Mutex::new(Some(jobs)), ended, stopped, room, room_max, without: Reason::Closed }
    }

    /// The way of a store that is only read.
    pub(crate) fn none() -> Self {
        let (ended, stopped) = (watch::channel(true).1, watch::Sender::new(false));
        let (room, without) = (Arc::new(Semaphore::new(1)), Reason::ReadOnly);
        Self { jobs: Mutex::new(None), ended, stopped, room, room_max: 1, without }
    }

    /// Refuses what would write, on a store that is only read.
    fn check(&self) -> Result<(), StoreError> {
        match self.without {
            Reason::ReadOnly => Err(StoreError::Failed { reason: Reason::ReadOnly, source: None }),
            _ => Ok(()),
        }
    }

    fn jobs(&self) -> Result<mpsc::Sender<Job>, AppendError> {
        if *self.stopped.borrow() {
            return Err(AppendError::not_committed(Reason::Stopped));
        }
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.clone().ok_or_else(|| AppendError::not_committed(self.without.clone()))
    }
}

impl std::fmt::Debug for PostgresStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresStore").field("schema", self.schema()).finish_non_exhaustive()
    }
}

impl PostgresStore {
    pub(crate) fn new(
        thread: Thread,
        names: Arc<Names>,
        history: Arc<History>,
        readers: Arc<Readers>,
        views: Arc<Views>,
        options: Options,
        writing: Writing,
    ) -> Self {
        Self(Arc::new(Inner { names, history, readers, views, options, writing, thread }))
    }

    /// The schema that everything lies in.
    #[must_use]
    pub fn schema(&self) -> &Schema {
        self.0.views.schema()
    }

    /// The epoch that this node saw last.
    #[must_use]
    pub fn epoch(&self) -> Option<Epoch> {
        self.0.history.epoch()
    }

    /// Waits until the store has stopped, which only a fault of its own can make it do: a database that is gone for a while
    /// is waited for. A program that serves others should end itself then, and be started again.
    pub async fn stopped(&self) {
        let mut stopped = self.0.writing.stopped.subscribe();
        // The sender lives in this very store, so it is not gone while this waits.
        drop(stopped.wait_for(|stopped| *stopped).await);
    }

    /// Ends the writer after what is queued. Appends are answered with *closed* from then on, and reads fail.
    pub async fn close(&self) {
        drop(self.0.writing.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        drop(self.0.writing.ended.clone().wait_for(|ended| *ended).await);
        self.0.thread.end_tasks();
        self.0.readers.close();
        self.0.views.close();
    }

    pub(crate) async fn keep_snapshot(
        &self,
        stream: &StreamId,
        snapshot: &Snapshot,
    ) -> Result<(), StoreError> {
        snapshots::save(&self.session().await?, stream, snapshot).await.map_err(to_error)
    }

    pub(crate) async fn session(&self) -> Result<Session, StoreError> {
        self.0.readers.session().await.map_err(to_error)
    }

    /// The views; to write to them, only on a store that is written to.
    pub(crate) fn views(&self) -> &Arc<Views> {
        &self.0.views
    }

    pub(crate) fn views_to_write(&self) -> Result<&Arc<Views>, StoreError> {
        self.0.writing.check()?;
        Ok(&self.0.views)
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn names(&self) -> &Names {
        &self.0.names
    }

    fn seal(&self, events: Vec<NewEvent>) -> Vec<Sealed> {
        let now = self.0.options.clock.as_ref().map_or_else(|| SystemClock.now(), |clock| clock.now());
        let seal = |event: NewEvent| {
            let id = event.id.unwrap_or_else(|| self.0.options.ids.event_id(now));
            Sealed::new(event, id)
        };
        events.into_iter().map(seal).collect()
    }

    /// Looks for what would break a condition that asks about much, before the append gets its turn: whoever is next must not
    /// wait for that. What came since is looked at in its turn, so this decides nothing.
    async fn look_ahead(&self, condition: &Condition) -> Result<Option<Looked>, AppendError> {
        let Some(newest) = self.0.history.newest() else { return Ok(None) };
        let behind = newest.position.get() - condition.after.position().get();
        let items = i64::try_from(condition.any.len()).unwrap_or(i64::MAX);
        if behind > CONDITION_AGE_EVENTS_MAX || behind.saturating_mul(items) < LOOK_AHEAD_EVENTS {
            return Ok(None);
        }
        let looked = async { reader::look_ahead(&self.0.readers.session().await?, condition).await };
        match looked.await {
            Ok(looked) => Ok(Some(looked)),
            Err(Damage::Sql(error)) if error.code() == Some(&SqlState::QUERY_CANCELED) => {
                Err(AppendError::NotCommitted { reason: Reason::Busy, source: Some(error.into()) })
            }
            // The writer meets the same, and knows what to say.
            Err(_) => Ok(None),
        }
    }

    /// Hands an append to the writer, once there is room for it, and waits for what becomes of it.
    async fn enqueue(&self, mut append: Append) -> Result<Appended, AppendError> {
        let writing = &self.0.writing;
        let jobs = writing.jobs()?;
        let looked = match &append.condition {
            Some(condition) => self.look_ahead(condition).await?,
            None => None,
        };
        // An event is more than its data: what its row and its hash need counts as well.
        let bytes = append.bytes() + 1_024 * (append.events.len() + 1);
        let permits = u32::try_from(bytes.min(writing.room_max)).unwrap_or(u32::MAX);
        let room = Arc::clone(&writing.room).acquire_many_owned(permits).await;
        let room = room.map_err(|_| AppendError::not_committed(Reason::Closed))?;
        let sealed = self.seal(std::mem::take(&mut append.events));
        let (answer, answered) = oneshot::channel();
        let deadline = Instant::now() + self.0.options.answer_wait;
        let job = Job { asked: Asked { append, sealed, looked }, bytes, deadline, answer, _room: room };
        jobs.send(job).await.map_err(|_| AppendError::not_committed(Reason::Stopped))?;
        drop(jobs);
        // A writer that is gone without an answer broke in the middle of the job.
        let gone = AppendError::Unknown { reason: Reason::Stopped, source: None };
        match answered.await.unwrap_or(Err(gone))? {
            Settled::Fresh(appended) => Ok(appended),
            // It was done; only what exactly can't be told if the log can't be read now.
            Settled::Before(done) => self.recall(done).await.map_err(unknown),
        }
    }

    /// What an append did that was done before: its events stand next to each other, so the log says the rest.
    async fn recall(&self, done: Done) -> Result<Appended, StoreError> {
        let session = self.session().await?;
        let (epoch, events) = reader::range(&session, self.names(), done).await.map_err(to_error)?;
        let last = match done {
            Done::Events(_, last) | Done::Nothing(last) => last,
        };
        let places = events.iter().map(|event| (&event.stream, event.version, event.position));
        Ok(Appended::sum_up(places, Cursor::new(epoch, last), true))
    }
}

pub(crate) fn to_error(damage: Damage) -> StoreError {
    match damage {
        Damage::Corrupt(corruption) => corruption.into(),
        Damage::Unreachable(source) => {
            StoreError::Failed { reason: Reason::Unreachable, source: Some(source) }
        }
        Damage::Sql(error) => {
            let reason = match error.code() {
                None => Reason::Unreachable,
                Some(code) if *code == SqlState::QUERY_CANCELED => Reason::Busy,
                // 53: no room, no memory, too many connections. 57, 08: the server or the connection is going away.
                Some(code) if code.code().starts_with("53") => Reason::Busy,
                Some(code) if ["57", "08"].iter().any(|class| code.code().starts_with(class)) => {
                    Reason::Unreachable
                }
                Some(_) => Reason::Storage,
            };
            StoreError::Failed { reason, source: Some(error.into()) }
        }
    }
}

#[async_trait]
impl EventStore for PostgresStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let identity = Identity::of(&append);
        match self.enqueue(append).await {
            Ok(appended) => Ok(appended),
            // It did not get its turn: who had it may be an earlier attempt, waiting for a standby, which no look can see.
            Err(error @ AppendError::NotCommitted { reason: Reason::Busy, .. }) => Err(identity.doubt(error)),
            // The database compares rows, and not what they should be: a damaged event is another one to it.
            Err(AppendError::IdReused { id }) => match self.event(id).await {
                Err(StoreError::Corrupt(damage)) => {
                    Err(AppendError::Unknown { reason: Reason::Corrupt(damage), source: None })
                }
                _ => Err(AppendError::IdReused { id }),
            },
            Err(error) => identity.settle(self, error).await,
        }
    }

    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        let found = async {
            let session = self.session().await?;
            reader::remembered(&session, request).await.map_err(to_error)
        };
        let Some(remembered) = found.await.map_err(unknown)? else {
            return Ok(None);
        };
        let done = recall(request, &remembered)?;
        self.recall(done).await.map(Some).map_err(unknown)
    }

    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        reader::stream(&self.session().await?, self.names(), query).await.map_err(to_error)
    }

    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        query.filter.check()?;
        let session = self.session().await?;
        let read = reader::log(&session, self.names(), &self.0.history, query);
        match read.await.map_err(to_error)? {
            LogRead::Page(page) => Ok(page),
            LogRead::OtherEpoch(head) => Err(StoreError::EpochChanged { head }),
        }
    }

    async fn head(&self) -> Result<Head, StoreError> {
        reader::head(&self.session().await?).await.map_err(to_error)
    }

    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        streams::find(&self.session().await?, stream).await.map_err(to_error)
    }

    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        streams::list(&self.session().await?, query).await.map_err(to_error)
    }

    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        reader::event(&self.session().await?, self.names(), id).await.map_err(to_error)
    }

    async fn question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        flightdeck_store::question::answer(&ByPage(self), question).await
    }

    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        if snapshot.state.len() > SNAPSHOT_BYTES_MAX {
            return Ok(());
        }
        self.0.writing.check()?;
        self.keep_snapshot(stream, &snapshot).await
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        snapshots::find(&self.session().await?, stream, schema).await.map_err(to_error)
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.0.writing.check()?;
        snapshots::delete(&self.session().await?, stream).await.map_err(to_error)
    }

    async fn secret(&self) -> Result<Secret, StoreError> {
        let rows =
            self.session().await?.query("SELECT secret FROM fd_secret", &[]).await.map_err(to_error)?;
        let secret = rows.first().and_then(|row| row.try_get::<_, &[u8]>(0).ok()?.try_into().ok());
        secret.map(Secret::from_bytes).ok_or_else(|| to_error(Damage::new("the log has no secret")))
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.0.history.watch()
    }
}
