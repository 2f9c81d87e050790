//! The store itself: the port's methods, each handed to the writer or to a reader.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

use async_trait::async_trait;
use flightdeck_core::limits::SNAPSHOT_BYTES_MAX;
use flightdeck_core::{Epoch, EventId, Position, SchemaNumber, StreamId};
use flightdeck_store::chain::Sealed;
use flightdeck_store::settle::{Identity, unknown};
use flightdeck_store::{
    Append, AppendError, Appended, EventStore, Head, LogAnswer, LogPage, LogQuery, LogQuestion, NewEvent,
    Newest, Reason, Recorded, RequestKey, Secret, Snapshot, StoreError, StreamInfo, StreamPage, StreamQuery,
    StreamsPage, StreamsQuery,
};
use r2d2_sqlite::SqliteConnectionManager;
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, oneshot, watch};

use crate::disk::{self, Frozen};
use crate::ledger;
use crate::names::Names;
use crate::open::{Watched, permits};
use crate::options::Options;
use crate::question::ByPage;
use crate::reader::{self, LogRead};
use crate::row::Damage;
use crate::snapshots;
use crate::streams;
use crate::views::{Leases, ViewJob};
use crate::writer::{AppendJob, Job};

/// A log in one SQLite file. Clones are handles on the same store; the last one to go closes it.
#[derive(Clone)]
pub struct SqliteStore(Arc<Inner>);

struct Inner {
    path: PathBuf,
    names: Arc<Names>,
    pool: r2d2::Pool<SqliteConnectionManager>,
    /// One a connection of the pool: who waits for one costs no thread.
    permits: Arc<Semaphore>,
    options: Options,
    epoch: Epoch,
    head: Watched,
    stopped: watch::Sender<bool>,
    leases: Arc<Leases>,
    way: Way,
}

/// How the store was opened.
pub(crate) enum Way {
    Writing(Writing),
    /// For reading only: which file it was at opening; perhaps as one that does not change.
    Reading(Option<(u64, u64)>, Option<Frozen>),
}

/// The way to the writer.
pub(crate) struct Writing {
    jobs: Mutex<Option<mpsc::Sender<Job>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// What it has committed last.
    newest: Arc<Mutex<Newest>>,
    /// Room in the queue, in bytes.
    room: Arc<Semaphore>,
    room_max: usize,
}

impl Writing {
    pub(crate) fn new(
        jobs: mpsc::Sender<Job>,
        thread: JoinHandle<()>,
        newest: Arc<Mutex<Newest>>,
        options: &Options,
    ) -> Self {
        let room_max = options.queue_bytes_max.clamp(1, Semaphore::MAX_PERMITS);
        let room = Arc::new(Semaphore::new(room_max));
        Self { jobs: Mutex::new(Some(jobs)), thread: Mutex::new(Some(thread)), newest, room, room_max }
    }

    fn jobs(&self) -> Result<mpsc::Sender<Job>, AppendError> {
        let jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.clone().ok_or_else(|| AppendError::not_committed(Reason::Closed))
    }
}

impl std::fmt::Debug for SqliteStore {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SqliteStore").field("path", &self.0.path).finish_non_exhaustive()
    }
}

impl SqliteStore {
    #[expect(clippy::too_many_arguments, reason = "what opening has found, each thing once")]
    pub(crate) fn new(
        path: PathBuf,
        names: Arc<Names>,
        pool: r2d2::Pool<SqliteConnectionManager>,
        options: Options,
        epoch: Epoch,
        head: Watched,
        stopped: watch::Sender<bool>,
        way: Way,
    ) -> Self {
        let permits = permits(&options);
        let leases = Arc::new(Leases::begin(options.clock.now()));
        Self(Arc::new(Inner { path, names, pool, permits, options, epoch, head, stopped, leases, way }))
    }

    /// Where the store lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.0.path
    }

    /// The epoch that the log was in when it was opened.
    #[must_use]
    pub fn epoch(&self) -> &Epoch {
        &self.0.epoch
    }

    /// Waits until the store has stopped after a failure that it could not see the end of.
    ///
    /// From then on everything is answered with *stopped*. A program that serves others should end itself then,
    /// and be started again: only opening the store anew tells what the disk holds.
    pub async fn stopped(&self) {
        let mut stopped = self.0.stopped.subscribe();
        // The sender lives in this very store, so it is not gone while this waits.
        drop(stopped.wait_for(|stopped| *stopped).await);
    }

    /// Ends the writer after what is queued, copies the WAL back, and lets go of the lock.
    ///
    /// Appends are answered with *closed* from then on; reads go on until the last handle is gone.
    pub async fn close(&self) {
        let Way::Writing(writing) = &self.0.way else { return };
        drop(writing.jobs.lock().unwrap_or_else(PoisonError::into_inner).take());
        let thread = writing.thread.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some(thread) = thread {
            drop(tokio::task::spawn_blocking(|| thread.join()).await);
        }
    }

    /// Runs a read in one short transaction on a connection of the pool.
    pub(crate) async fn read<T: Send + 'static>(
        &self,
        read: impl FnOnce(&Connection, &Names) -> Result<T, Damage> + Send + 'static,
    ) -> Result<T, StoreError> {
        self.check_running()?;
        let permit = Arc::clone(&self.0.permits).acquire_owned().await.map_err(|_| failed(Reason::Closed))?;
        let inner = Arc::clone(&self.0);
        let read = move || {
            let _permit = permit;
            let conn = inner
                .pool
                .get()
                .map_err(|error| StoreError::Failed { reason: Reason::Busy, source: Some(error.into()) })?;
            let result = in_transaction(&conn, |conn| read(conn, &inner.names));
            result.map_err(to_error)
        };
        let result = tokio::task::spawn_blocking(read).await;
        let result = result
            .map_err(|error| StoreError::Failed { reason: Reason::Storage, source: Some(error.into()) })?;
        // What was read from a store that has stopped meanwhile may not be on the disk.
        self.check_running()?;
        result
    }

    /// Looks at something at once, before anyone else has this handle.
    pub(crate) fn look<T>(
        &self,
        look: impl FnOnce(&Connection, &Names) -> Result<T, Damage>,
    ) -> Result<T, Damage> {
        let conn = self.0.pool.get().map_err(|error| Damage::new(error.to_string()))?;
        in_transaction(&conn, |conn| look(conn, &self.0.names))
    }

    pub(crate) fn options(&self) -> &Options {
        &self.0.options
    }

    pub(crate) fn leases(&self) -> &Arc<Leases> {
        &self.0.leases
    }

    /// Hands the writer something to do to a view.
    pub(crate) async fn send(&self, job: Box<dyn ViewJob>) -> Result<(), AppendError> {
        let jobs = self.writing()?.jobs()?;
        jobs.send(Job::View(job)).await.map_err(|_| AppendError::not_committed(Reason::Stopped))
    }

    fn check_running(&self) -> Result<(), StoreError> {
        let changed = match &self.0.way {
            Way::Reading(_, Some(frozen)) => !frozen.holds(&self.0.path),
            // Another file of the same name is another store, and what is gone takes no more events.
            Way::Reading(file, None) => *file != disk::identity(&self.0.path),
            Way::Writing(_) => false,
        };
        match changed || *self.0.stopped.borrow() {
            true => Err(failed(Reason::Stopped)),
            false => Ok(()),
        }
    }

    fn seal(&self, events: Vec<NewEvent>) -> Vec<Sealed> {
        let now = self.0.options.clock.now();
        let seal = |event: NewEvent| {
            let id = event.id.unwrap_or_else(|| self.0.options.ids.event_id(now));
            Sealed::new(event, id)
        };
        events.into_iter().map(seal).collect()
    }

    fn writing(&self) -> Result<&Writing, AppendError> {
        if *self.0.stopped.borrow() {
            return Err(AppendError::not_committed(Reason::Stopped));
        }
        match &self.0.way {
            Way::Writing(writing) => Ok(writing),
            Way::Reading(..) => Err(AppendError::not_committed(Reason::ReadOnly)),
        }
    }

    /// Hands an append to the writer, once there is room for it.
    async fn enqueue(&self, mut append: Append) -> Result<Appended, AppendError> {
        let writing = self.writing()?;
        // An event is more than its data: what its row and its hash need counts as well.
        let bytes = append.bytes() + 1_024 * (append.events.len() + 1);
        let room = self.room(writing, bytes).await?;
        let sealed = self.seal(std::mem::take(&mut append.events));
        self.ask(|answer| Job::Append(Box::new(AppendJob { append, sealed, bytes, answer, _room: room })))
            .await
    }

    async fn room(&self, writing: &Writing, bytes: usize) -> Result<OwnedSemaphorePermit, AppendError> {
        let permits = u32::try_from(bytes.min(writing.room_max)).unwrap_or(u32::MAX);
        let room = Arc::clone(&writing.room).acquire_many_owned(permits).await;
        room.map_err(|_| AppendError::not_committed(Reason::Closed))
    }

    /// Hands a job to the writer and waits for its answer.
    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, AppendError>>) -> Job,
    ) -> Result<T, AppendError> {
        let jobs = self.writing()?.jobs()?;
        let (answer, answered) = oneshot::channel();
        jobs.send(job(answer)).await.map_err(|_| AppendError::not_committed(Reason::Stopped))?;
        drop(jobs);
        // A writer that is gone without an answer broke in the middle of the job.
        let gone = AppendError::Unknown { reason: Reason::Stopped, source: None };
        answered.await.unwrap_or(Err(gone))
    }
}

/// All reads of one answer see one state of the file.
fn in_transaction<T>(
    conn: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, Damage>,
) -> Result<T, Damage> {
    conn.prepare_cached("BEGIN")?.execute([])?;
    let result = read(conn);
    let ended = conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([]));
    match (result, ended) {
        (Ok(result), Ok(_)) => Ok(result),
        (Ok(_), Err(error)) => Err(error.into()),
        (Err(damage), Ok(_)) => Err(damage),
        (Err(damage), Err(_)) => {
            if !conn.is_autocommit() {
                conn.execute_batch("ROLLBACK")?;
            }
            Err(damage)
        }
    }
}

fn failed(reason: Reason) -> StoreError {
    StoreError::Failed { reason, source: None }
}

fn to_error(damage: Damage) -> StoreError {
    match damage {
        Damage::Corrupt(corruption) => corruption.into(),
        Damage::Sql(error) => {
            let busy = matches!(
                error.sqlite_error_code(),
                Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked)
            );
            let reason = if busy { Reason::Busy } else { Reason::Storage };
            StoreError::Failed { reason, source: Some(error.into()) }
        }
    }
}

/// What a failed write of something that is not the log means.
pub(crate) fn to_store_error(error: AppendError) -> StoreError {
    match error {
        AppendError::NotCommitted { reason, source } | AppendError::Unknown { reason, source } => {
            StoreError::Failed { reason, source }
        }
        other => StoreError::Failed { reason: Reason::Storage, source: Some(other.into()) },
    }
}

#[async_trait]
impl EventStore for SqliteStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let identity = Identity::of(&append);
        match self.enqueue(append).await {
            Ok(appended) => Ok(appended),
            Err(error) => identity.settle(self, error).await,
        }
    }

    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        let (key, epoch) = (request.clone(), self.0.epoch.clone());
        let found = self.read(move |conn, names| {
            let Some(remembered) = ledger::remembered(conn, &key)? else { return Ok(None) };
            Ok(Some((ledger::recall(conn, names, &epoch, remembered.done)?, remembered)))
        });
        let Some((appended, remembered)) = found.await.map_err(unknown)? else {
            return Ok(None);
        };
        flightdeck_store::admit::recall(request, &remembered)?;
        Ok(Some(appended))
    }

    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        let query = query.clone();
        self.read(move |conn, names| reader::stream(conn, names, &query)).await
    }

    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        query.filter.check()?;
        let query = query.clone();
        match self.read(move |conn, names| reader::log(conn, names, &query)).await? {
            LogRead::Page(page) => Ok(page),
            LogRead::OtherEpoch(head) => Err(StoreError::EpochChanged { head }),
        }
    }

    async fn head(&self) -> Result<Head, StoreError> {
        self.read(reader::head).await
    }

    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        let stream = stream.clone();
        self.read(move |conn, _| Ok(streams::find(conn, &stream)?.map(|row| row.info(stream)))).await
    }

    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        let query = query.clone();
        self.read(move |conn, _| streams::list(conn, &query)).await
    }

    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        self.read(move |conn, names| ledger::event_of(conn, names, id)).await
    }

    async fn question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        flightdeck_store::question::answer(&ByPage(self), question).await
    }

    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        if snapshot.state.len() > SNAPSHOT_BYTES_MAX {
            return Ok(());
        }
        let stream = stream.clone();
        let saved = async {
            let room = self.room(self.writing()?, snapshot.state.len()).await?;
            self.ask(|answer| Job::SaveSnapshot { stream, snapshot, answer, _room: room }).await
        };
        saved.await.map_err(to_store_error)
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        let stream = stream.clone();
        self.read(move |conn, _| snapshots::find(conn, &stream, schema)).await
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        let stream = stream.clone();
        self.ask(|answer| Job::DeleteSnapshot(stream, answer)).await.map_err(to_store_error)
    }

    async fn secret(&self) -> Result<Secret, StoreError> {
        self.read(|conn, _| {
            let sql = "SELECT value FROM fd_meta WHERE name = 'secret'";
            Ok(conn.query_row(sql, [], |row| Ok(Secret::from_bytes(row.get(0)?)))?)
        })
        .await
    }

    fn newest(&self, query: &LogQuery) -> Option<LogPage> {
        let Way::Writing(writing) = &self.0.way else { return None };
        let asked = writing.newest.lock().unwrap_or_else(PoisonError::into_inner).ask(query)?;
        Some(asked.page(query))
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.0.head.clone()
    }
}
