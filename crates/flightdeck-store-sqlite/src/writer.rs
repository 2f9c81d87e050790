//! The one thread that writes: it collects what is waiting into a group, commits once, and then answers.
//!
//! A group is whatever is there when the writer comes back from its last commit: while one group is being
//! flushed the next one gathers, so nobody waits for company. Each append is checked against the log and
//! against the appends before it in the group, for they share the transaction. A refusal fails one append;
//! a failed commit fails the group; a failure whose end can't be known stops the store.

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flightdeck_core::{Clock, Position, StreamId};
use flightdeck_store::admit::{Admission, Done, admit};
use flightdeck_store::chain::Sealed;
use flightdeck_store::{Append, AppendError, Appended, Corruption, Groups, Newest, Reason, Snapshot};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::fault::kill_point;
use crate::inline::InlineViews;
use crate::ledger::{Ledger, Trouble};
use crate::options::Reserve;
use crate::row::Damage;
use crate::snapshots;
use crate::views::{On, Touches, ViewJob};
use crate::wal::Copier;
use crate::{connection, disk};

/// Appends in one group.
const GROUP_APPENDS_MAX: usize = 1_000;
/// Bytes in one group.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How many jobs for views go before one that may wait.
const GO_BEFORE_MAX: u32 = 4;
/// How long the writer stays awake behind a group: about what it takes to wake a thread that sleeps.
const AWAKE: Duration = Duration::from_micros(50);

/// Something for the writer to do.
pub(crate) enum Job {
    Append(Box<AppendJob>),
    SaveSnapshot {
        stream: StreamId,
        snapshot: Snapshot,
        answer: oneshot::Sender<Result<(), AppendError>>,
        /// Its room in the queue, given back when the job is done.
        _room: OwnedSemaphorePermit,
    },
    DeleteSnapshot(StreamId, oneshot::Sender<Result<(), AppendError>>),
    /// Something to do to a view, between two groups.
    View(Box<dyn ViewJob>),
}

/// An append, made ready on the caller's side.
pub(crate) struct AppendJob {
    pub(crate) append: Append,
    pub(crate) sealed: Vec<Sealed>,
    pub(crate) bytes: usize,
    pub(crate) answer: oneshot::Sender<Result<Appended, AppendError>>,
    /// Its room in the queue, given back when the job is done.
    pub(crate) _room: OwnedSemaphorePermit,
}

impl Job {
    fn bytes(&self) -> usize {
        match self {
            Self::Append(job) => job.bytes,
            Self::SaveSnapshot { snapshot, .. } => snapshot.state.len(),
            Self::DeleteSnapshot(..) | Self::View(_) => 0,
        }
    }

    /// Answers that nothing was done. Whoever does not listen any more does not mind.
    pub(crate) fn fail(self, error: AppendError) {
        match self {
            Self::Append(job) => drop(job.answer.send(Err(error))),
            Self::SaveSnapshot { answer, .. } | Self::DeleteSnapshot(_, answer) => {
                drop(answer.send(Err(error)))
            }
            Self::View(job) => job.answer(Some(error)),
        }
    }
}

/// What one job of a group came to, before the commit.
enum Result1 {
    Append(Result<Appended, AppendError>),
    Snapshot,
}

/// Whether the writer goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Next {
    GoOn,
    Stop,
}

/// What is to be done to views, in the order in which it came; but what may wait lets some of the others go first.
#[derive(Default)]
pub(crate) struct ViewJobs {
    next: VecDeque<Box<dyn ViewJob>>,
    may_wait: VecDeque<Box<dyn ViewJob>>,
    /// How many went before what waits now.
    went_before: u32,
}

impl ViewJobs {
    fn is_empty(&self) -> bool {
        self.next.is_empty() && self.may_wait.is_empty()
    }

    fn push(&mut self, job: Box<dyn ViewJob>) {
        let queue = if job.may_wait() { &mut self.may_wait } else { &mut self.next };
        queue.push_back(job);
    }

    fn pop(&mut self) -> Option<Box<dyn ViewJob>> {
        let waits = !self.may_wait.is_empty() && !self.next.is_empty() && self.went_before < GO_BEFORE_MAX;
        if waits || self.may_wait.is_empty() {
            self.went_before += u32::from(waits);
            return self.next.pop_front();
        }
        self.went_before = 0;
        self.may_wait.pop_front()
    }
}

/// The writer, on its thread.
pub(crate) struct Writer<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) ledger: Ledger<'c>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) newest: Arc<Mutex<Newest>>,
    pub(crate) path: PathBuf,
    pub(crate) reserve: Reserve,
    pub(crate) groups: Arc<Groups>,
    /// What this group found out about the disk, if it asked.
    pub(crate) below_reserve: Option<bool>,
    pub(crate) views: ViewJobs,
    pub(crate) inline: InlineViews,
    pub(crate) copier: &'c mut Copier,
    /// Whether commits are flushed, as the connection is set just now.
    pub(crate) flushes: bool,
}

impl Writer<'_> {
    /// Works until nobody can send any more, or until it must stop.
    pub(crate) fn run(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Next {
        while let Some(first) = self.next_job(jobs) {
            let begun = Instant::now();
            let (mut group, mut bytes) = (Vec::new(), first.as_ref().map_or(0, Job::bytes));
            first.into_iter().for_each(|first| self.gather(first, &mut group));
            while group.len() < GROUP_APPENDS_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.bytes();
                self.gather(job, &mut group);
            }
            if !group.is_empty() && self.commit(group) == Next::Stop {
                return self.stop();
            }
            // For as long as the appends have taken: nobody who appends waits for more than that, or one job.
            let (appends, begun) = (begun.elapsed(), Instant::now());
            while let Some(job) = self.views.pop() {
                if self.do_to_view(job, jobs) == Next::Stop {
                    return self.stop();
                }
                if begun.elapsed() >= appends {
                    break;
                }
            }
        }
        Next::GoOn
    }

    /// The next job; nothing when what waits to be done to a view comes next. `None` at the end.
    fn next_job(&self, jobs: &mut mpsc::Receiver<Job>) -> Option<Option<Job>> {
        match self.views.is_empty() {
            true => next_job(jobs).map(Some),
            false => Some(jobs.try_recv().ok()),
        }
    }

    fn gather(&mut self, job: Job, group: &mut Vec<Job>) {
        match job {
            Job::View(job) => self.views.push(job),
            job => group.push(job),
        }
    }

    fn stop(&mut self) -> Next {
        while let Some(job) = self.views.pop() {
            job.answer(Some(AppendError::not_committed(Reason::Stopped)));
        }
        Next::Stop
    }

    /// Begins a transaction, whose commit is flushed or not.
    fn begin(&mut self, flushes: bool) -> rusqlite::Result<()> {
        if self.flushes != flushes {
            connection::set_flushes(self.conn, flushes)?;
            self.flushes = flushes;
        }
        self.conn.prepare_cached("BEGIN IMMEDIATE")?.execute([]).map(drop)
    }

    /// Does something to a view, in a transaction of its own.
    fn do_to_view(&mut self, mut job: Box<dyn ViewJob>, jobs: &mpsc::Receiver<Job>) -> Next {
        if let Err(error) = self.begin(!job.may_be_lost()) {
            return self.fail(vec![Job::View(job)], &error.into(), Stage::Begin);
        }
        let worked =
            job.work(&mut On { conn: self.conn, inline: &mut self.inline, idle: &|| jobs.is_empty() });
        match worked {
            Ok(false) => {
                self.end_transaction();
                job.answer(None);
                return Next::GoOn;
            }
            Ok(true) => {}
            Err(broke) => return self.refuse_view(job, broke),
        }
        kill_point!("view-before-commit");
        if let Err(error) = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            return self.fail(vec![Job::View(job)], &error.into(), Stage::Commit);
        }
        kill_point!("view-after-commit");
        match job.touches() {
            Touches::Nothing => {}
            Touches::One(of) if !self.inline.has(of) => {}
            Touches::One(_) | Touches::All => self.inline.forget(),
        }
        job.answer(None);
        self.checkpoint()
    }

    /// Does a group in one transaction, and answers.
    fn commit(&mut self, group: Vec<Job>) -> Next {
        self.below_reserve = None;
        kill_point!("before-begin");
        if let Err(error) = self.begin(true) {
            return self.fail(group, &error.into(), Stage::Begin);
        }
        let mut results = Vec::with_capacity(group.len());
        let mut wrote = false;
        for job in &group {
            match self.one(job) {
                Ok((result, did_write)) => {
                    wrote |= did_write;
                    results.push(result);
                }
                Err(broke) => return self.fail(group, &broke, Stage::Work),
            }
        }
        if !wrote {
            // Nothing to flush: refusals and repetitions cost no commit, and what was learned stays true.
            self.end_transaction();
            answer(group, results);
            return Next::GoOn;
        }
        if let Err(broke) = self.fold_inline() {
            return self.fail(group, &broke, Stage::Work);
        }
        kill_point!("before-commit");
        let begun = Instant::now();
        if let Err(error) = self.conn.prepare_cached("COMMIT").and_then(|mut commit| commit.execute([])) {
            // A refusal wrote nothing, whatever became of the commit; but what it was refused for may be gone with it.
            let (refused, rest) = group
                .into_iter()
                .zip(results)
                .partition::<Vec<_>, _>(|(_, result)| matches!(result, Result1::Append(Err(_))));
            for (job, _) in refused {
                job.fail(AppendError::not_committed(Reason::Storage));
            }
            return self.fail(rest.into_iter().map(|(job, _)| job).collect(), &error.into(), Stage::Commit);
        }
        kill_point!("after-commit");
        let is_new = |result: &&Result1| matches!(result, Result1::Append(Ok(done)) if !done.duplicate);
        self.groups.committed(results.iter().filter(is_new).count(), begun.elapsed());
        let (added, head) = self.ledger.keep();
        self.newest.lock().unwrap_or_else(PoisonError::into_inner).take_in(added, head);
        self.head.send_replace(self.ledger.committed().position);
        answer(group, results);
        kill_point!("after-answer");
        self.checkpoint()
    }

    /// Something could not be done to a view. Views are tables that others may have touched: what is wrong with one of them is
    /// no reason to stop, as long as the storage itself works.
    fn refuse_view(&mut self, job: Box<dyn ViewJob>, broke: Broke) -> Next {
        let of_storage = |error: &rusqlite::Error| {
            let (full, failed, memory) =
                (ErrorCode::DiskFull, ErrorCode::SystemIoFailure, ErrorCode::OutOfMemory);
            error.sqlite_error_code().is_some_and(|code| code == full || code == failed || code == memory)
        };
        match broke {
            Broke::Sql(error) if !of_storage(&error) => {
                self.end_transaction();
                self.inline.forget();
                tracing::warn!(%error, "something could not be done to a view");
                let source = Some(error.into());
                job.answer(Some(AppendError::NotCommitted { reason: Reason::Storage, source }));
                Next::GoOn
            }
            broke => self.fail(vec![Job::View(job)], &broke, Stage::Work),
        }
    }

    /// Folds what the group has added to the log into the views that are folded with it.
    fn fold_inline(&mut self) -> Result<(), Broke> {
        let (before, newest) = (self.ledger.committed().position, self.ledger.newest());
        match newest == before {
            true => Ok(()),
            false => self.inline.fold(self.conn, self.ledger.names(), before, self.ledger.added()),
        }
    }

    /// Has the WAL copied back into the file when it has grown enough. SQLite would do so by itself, and keep an I/O error on
    /// the way for itself as well.
    fn checkpoint(&mut self) -> Next {
        match self.copier.see_to_it(self.conn) {
            Ok(()) => Next::GoOn,
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::SystemIoFailure) => {
                tracing::error!(%error, "the storage failed in a checkpoint, and the store stops");
                Next::Stop
            }
            Err(error) => {
                tracing::warn!(%error, "a checkpoint could not be made; the next one is tried again");
                Next::GoOn
            }
        }
    }

    /// Does one job within the open transaction. Says whether it wrote anything.
    fn one(&mut self, job: &Job) -> Result<(Result1, bool), Broke> {
        match job {
            Job::Append(job) => match self.admit(&job.append, &job.sealed) {
                Ok(admitted) => {
                    let (appended, wrote) = self.write(&job.append, &job.sealed, admitted)?;
                    Ok((Result1::Append(Ok(appended)), wrote))
                }
                // Nothing of it was written yet, so the others can go on.
                Err(Trouble::Refused(error)) => Ok((Result1::Append(Err(error)), false)),
                Err(Trouble::Sql(error)) => Err(error.into()),
            },
            Job::SaveSnapshot { stream, snapshot, .. } => {
                Ok((Result1::Snapshot, snapshots::save(self.conn, stream, snapshot)?))
            }
            Job::DeleteSnapshot(stream, _) => Ok((Result1::Snapshot, snapshots::delete(self.conn, stream)?)),
            // They never are in a group.
            Job::View(_) => Ok((Result1::Snapshot, false)),
        }
    }

    /// Looks at everything that an append can be refused for.
    fn admit(&mut self, append: &Append, sealed: &[Sealed]) -> Result<Admitted, Trouble> {
        let admitted = match self.ledger.check(|ledger| admit(ledger, append, sealed))? {
            Admission::Fresh => Admitted::Fresh,
            Admission::Known(done) => Admitted::Known(done, self.ledger.recall(done)?),
            Admission::Remembered(done) => Admitted::Remembered(self.ledger.recall(done)?),
        };
        let writes = append.request.is_some() || !sealed.is_empty();
        if matches!(admitted, Admitted::Fresh) && writes && self.below_reserve() {
            return Err(AppendError::not_committed(Reason::Full).into());
        }
        Ok(admitted)
    }

    /// Writes what was admitted. Whatever goes wrong from here on breaks the transaction: half of an append is none.
    fn write(
        &mut self,
        append: &Append,
        sealed: &[Sealed],
        admitted: Admitted,
    ) -> Result<(Appended, bool), Broke> {
        let (done, appended) = match admitted {
            Admitted::Fresh => self.ledger.write(sealed, self.clock.now())?,
            Admitted::Known(done, appended) => (done, appended),
            Admitted::Remembered(appended) => return Ok((appended, false)),
        };
        if let Some(request) = &append.request {
            self.ledger.remember(request, done)?;
        }
        let writes = append.request.is_some() || !appended.duplicate && !sealed.is_empty();
        Ok((appended, writes))
    }

    /// Whether the disk has less room than is kept back. Looked up once a group: it is one system call.
    fn below_reserve(&mut self) -> bool {
        *self.below_reserve.get_or_insert_with(|| {
            let room = disk::room(&self.path);
            room.is_some_and(|room| room.free_bytes < self.reserve.bytes(room.disk_bytes))
        })
    }

    fn end_transaction(&self) {
        // SQLite has rolled back by itself after the worst errors; a second ROLLBACK would be an error too.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
    }

    /// Says what became of a group whose transaction failed.
    fn fail(&mut self, group: Vec<Job>, broke: &Broke, stage: Stage) -> Next {
        self.end_transaction();
        self.ledger.forget();
        self.inline.forget();
        let error = broke.to_string();
        match fate(broke, stage) {
            Fate::NotCommitted(reason) => {
                tracing::warn!(%error, %reason, appends = group.len(), "a group was not committed");
                for job in group {
                    job.fail(AppendError::not_committed(reason.clone()));
                }
                Next::GoOn
            }
            // One append must not fail its neighbours: each is tried by itself.
            Fate::OneOfThem if group.len() > 1 => {
                tracing::warn!(%error, appends = group.len(), "a group failed, and is tried one by one");
                group
                    .into_iter()
                    .map(|job| self.commit(vec![job]))
                    .find(|next| *next == Next::Stop)
                    .unwrap_or(Next::GoOn)
            }
            Fate::OneOfThem => {
                tracing::error!(%error, "an append failed");
                let damage = match broke {
                    Broke::Damaged(damage) => damage.clone(),
                    Broke::Sql(_) => {
                        Corruption { position: None, what: format!("the file refused the append: {error}") }
                    }
                };
                group
                    .into_iter()
                    .for_each(|job| job.fail(AppendError::not_committed(Reason::Corrupt(damage.clone()))));
                Next::GoOn
            }
            Fate::Unknown => {
                tracing::error!(%error, ?stage, "the storage failed, and the store stops");
                for job in group {
                    let source = Some(error.clone().into());
                    job.fail(AppendError::Unknown { reason: Reason::Storage, source });
                }
                Next::Stop
            }
        }
    }
}

/// Waits for the next job: awake for a moment, for who was just answered often asks again at once, and then asleep.
fn next_job(jobs: &mut mpsc::Receiver<Job>) -> Option<Job> {
    let awake_until = Instant::now() + AWAKE;
    loop {
        match jobs.try_recv() {
            Ok(job) => return Some(job),
            Err(mpsc::error::TryRecvError::Disconnected) => return None,
            Err(mpsc::error::TryRecvError::Empty) if Instant::now() >= awake_until => {
                return jobs.blocking_recv();
            }
            Err(mpsc::error::TryRecvError::Empty) => std::hint::spin_loop(),
        }
    }
}

/// What an append was admitted as.
enum Admitted {
    Fresh,
    /// Its events are known, and its request key, if it has one, is not yet.
    Known(Done, Appended),
    Remembered(Appended),
}

/// What broke a transaction.
#[derive(Debug)]
pub(crate) enum Broke {
    Sql(rusqlite::Error),
    /// The file holds something that it can't.
    Damaged(Corruption),
}

impl From<rusqlite::Error> for Broke {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sql(error)
    }
}

impl From<Damage> for Broke {
    fn from(damage: Damage) -> Self {
        match damage {
            Damage::Corrupt(corruption) => Self::Damaged(corruption),
            Damage::Sql(error) => Self::Sql(error),
        }
    }
}

impl From<Trouble> for Broke {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            Trouble::Sql(error) => Self::Sql(error),
            Trouble::Refused(AppendError::NotCommitted { reason: Reason::Corrupt(damage), .. }) => {
                Self::Damaged(damage)
            }
            Trouble::Refused(error) => Self::Damaged(Corruption { position: None, what: error.to_string() }),
        }
    }
}

impl std::fmt::Display for Broke {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Sql(error) => error.fmt(f),
            Self::Damaged(damage) => damage.fmt(f),
        }
    }
}

/// Where a transaction was when it failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Begin,
    Work,
    Commit,
}

/// What a failure means for the group.
enum Fate {
    /// Certainly nothing of it is there.
    NotCommitted(Reason),
    /// Certainly nothing of it is there, and one append alone may be to blame.
    OneOfThem,
    /// Nobody can know. What SQLite holds in memory may not be what the disk holds: only opening again tells.
    Unknown,
}

fn fate(broke: &Broke, stage: Stage) -> Fate {
    let Broke::Sql(error) = broke else {
        return Fate::OneOfThem;
    };
    match (error.sqlite_error_code(), stage) {
        // The only write error after which SQLite has certainly taken everything back.
        (Some(ErrorCode::DiskFull), _) => Fate::NotCommitted(Reason::Full),
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), Stage::Begin | Stage::Work) => {
            Fate::NotCommitted(Reason::Busy)
        }
        (Some(ErrorCode::ReadOnly), Stage::Begin) => Fate::NotCommitted(Reason::ReadOnly),
        // Nothing of this group was written yet; but a disk that fails is not trusted any more.
        (code, Stage::Begin) if code != Some(ErrorCode::SystemIoFailure) => {
            Fate::NotCommitted(Reason::Storage)
        }
        (
            Some(ErrorCode::ConstraintViolation | ErrorCode::DatabaseCorrupt | ErrorCode::TooBig),
            Stage::Work,
        ) => Fate::OneOfThem,
        // What is no error of SQLite's is a value that could not be read: damage, met before anything was committed.
        (None, Stage::Work) => Fate::OneOfThem,
        _ => Fate::Unknown,
    }
}

fn answer(group: Vec<Job>, results: Vec<Result1>) {
    for (job, result) in group.into_iter().zip(results) {
        match (job, result) {
            (Job::Append(job), Result1::Append(result)) => drop(job.answer.send(result)),
            (Job::SaveSnapshot { answer, .. } | Job::DeleteSnapshot(_, answer), _) => {
                drop(answer.send(Ok(())))
            }
            (job @ (Job::Append(_) | Job::View(_)), _) => {
                job.fail(AppendError::not_committed(Reason::Stopped))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_store::AppendError;

    use super::{Broke, GO_BEFORE_MAX, ViewJobs};
    use crate::views::{On, Touches, ViewJob};

    struct Job(bool);

    impl ViewJob for Job {
        fn may_be_lost(&self) -> bool {
            true
        }
        fn touches(&self) -> &Touches {
            &Touches::All
        }
        fn may_wait(&self) -> bool {
            self.0
        }
        fn work(&mut self, _: &mut On<'_>) -> Result<bool, Broke> {
            Ok(false)
        }
        fn answer(self: Box<Self>, _: Option<AppendError>) {}
    }

    /// What may wait lets others go first, however many come; but only so many.
    #[test]
    fn what_may_wait_does_not_wait_for_ever() {
        let mut jobs = ViewJobs::default();
        jobs.push(Box::new(Job(true)));
        jobs.push(Box::new(Job(true)));
        let order: Vec<bool> = (0..2 * (GO_BEFORE_MAX + 1))
            .map(|_| {
                jobs.push(Box::new(Job(false)));
                jobs.pop().unwrap().may_wait()
            })
            .collect();
        let waited: Vec<usize> =
            order.iter().enumerate().filter(|(_, waits)| **waits).map(|(at, _)| at).collect();
        let before = GO_BEFORE_MAX as usize;
        assert_eq!(waited, [before, 2 * before + 1]);
        let left = std::iter::from_fn(|| jobs.pop()).count();
        assert_eq!((left, jobs.is_empty()), (2, true));
        jobs.push(Box::new(Job(true)));
        assert!(jobs.pop().unwrap().may_wait(), "with nothing else to do it does not wait");
    }
}
