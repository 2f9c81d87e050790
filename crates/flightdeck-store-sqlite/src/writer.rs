//! The one thread that writes: it collects what is waiting into a group, commits once, and then answers.
//!
//! A group is whatever is there when the writer comes back from its last commit: while one group is being
//! flushed the next one gathers, so nobody waits for company. Each append is checked against the log and
//! against the appends before it in the group, for they share the transaction. A refusal fails one append;
//! a failed commit fails the group; a failure whose end can't be known stops the store.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::{Clock, Position, StreamId};
use flightdeck_store::admit::{Admission, admit};
use flightdeck_store::chain::Sealed;
use flightdeck_store::{Append, AppendError, Appended, Reason, Snapshot};
use rusqlite::{Connection, ErrorCode};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot, watch};

use crate::disk;
use crate::fault::kill_point;
use crate::ledger::{Ledger, Trouble};
use crate::options::Reserve;
use crate::snapshots;

/// Appends in one group.
const GROUP_APPENDS_MAX: usize = 1_000;
/// Bytes in one group.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How long the writer stays awake behind a group: about what it takes to wake a thread that sleeps.
const AWAKE: Duration = Duration::from_micros(50);
/// How old a look at the disk's free space may be.
const ROOM_AGE_MAX: Duration = Duration::from_millis(100);

/// Something for the writer to do.
pub(crate) enum Job {
    Append(Box<AppendJob>),
    SaveSnapshot(StreamId, Snapshot, oneshot::Sender<Result<(), AppendError>>),
    DeleteSnapshot(StreamId, oneshot::Sender<Result<(), AppendError>>),
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
            Self::SaveSnapshot(_, snapshot, _) => snapshot.state.len(),
            Self::DeleteSnapshot(..) => 0,
        }
    }

    /// Answers that nothing was done. Whoever does not listen any more does not mind.
    pub(crate) fn fail(self, error: AppendError) {
        match self {
            Self::Append(job) => drop(job.answer.send(Err(error))),
            Self::SaveSnapshot(_, _, answer) | Self::DeleteSnapshot(_, answer) => drop(answer.send(Err(error))),
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

/// The writer, on its thread.
pub(crate) struct Writer<'c> {
    pub(crate) conn: &'c Connection,
    pub(crate) ledger: Ledger<'c>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) head: watch::Sender<Position>,
    pub(crate) path: PathBuf,
    pub(crate) reserve: Reserve,
    pub(crate) room: Option<(Instant, bool)>,
}

impl Writer<'_> {
    /// Works until nobody can send any more, or until it must stop.
    pub(crate) fn run(&mut self, jobs: &mut mpsc::Receiver<Job>) -> Next {
        while let Some(first) = next_job(jobs) {
            let (mut group, mut bytes) = (Vec::new(), first.bytes());
            group.push(first);
            while group.len() < GROUP_APPENDS_MAX && bytes < GROUP_BYTES_MAX {
                let Ok(job) = jobs.try_recv() else { break };
                bytes += job.bytes();
                group.push(job);
            }
            if self.commit(group) == Next::Stop {
                return Next::Stop;
            }
        }
        Next::GoOn
    }

    /// Does a group in one transaction, and answers.
    fn commit(&mut self, group: Vec<Job>) -> Next {
        kill_point!("before-begin");
        if let Err(error) = self.conn.execute_batch("BEGIN IMMEDIATE") {
            return self.fail(group, error, Stage::Begin);
        }
        let before = self.ledger.committed().position;
        let mut results = Vec::with_capacity(group.len());
        let mut wrote = false;
        for job in &group {
            match self.one(job) {
                Ok((result, did_write)) => {
                    wrote |= did_write;
                    results.push(result);
                }
                Err(error) => return self.fail(group, error, Stage::Work),
            }
        }
        if !wrote {
            // Nothing to flush: refusals and repetitions cost no commit.
            self.roll_back();
            answer(group, results);
            return Next::GoOn;
        }
        kill_point!("before-commit");
        if let Err(error) = self.conn.execute_batch("COMMIT") {
            // What was done before this group is as certain as ever.
            let (done_before, rest) = split(group, results, before);
            answer_all(done_before);
            return self.fail(rest, error, Stage::Commit);
        }
        kill_point!("after-commit");
        self.ledger.keep();
        self.head.send_replace(self.ledger.committed().position);
        answer(group, results);
        kill_point!("after-answer");
        Next::GoOn
    }

    /// Does one job within the open transaction. Says whether it wrote anything.
    fn one(&mut self, job: &Job) -> Result<(Result1, bool), rusqlite::Error> {
        match job {
            Job::Append(job) => match self.append(&job.append, &job.sealed) {
                Ok((appended, wrote)) => Ok((Result1::Append(Ok(appended)), wrote)),
                Err(Trouble::Refused(error)) => Ok((Result1::Append(Err(error)), false)),
                Err(Trouble::Sql(error)) => Err(error),
            },
            Job::SaveSnapshot(stream, snapshot, _) => {
                snapshots::save(self.conn, stream, snapshot).map(|wrote| (Result1::Snapshot, wrote))
            }
            Job::DeleteSnapshot(stream, _) => {
                snapshots::delete(self.conn, stream).map(|wrote| (Result1::Snapshot, wrote))
            }
        }
    }

    fn append(&mut self, append: &Append, sealed: &[Sealed]) -> Result<(Appended, bool), Trouble> {
        let admission = self.ledger.check(|ledger| admit(ledger, append, sealed))?;
        let remembers = append.request.is_some();
        let (done, appended, writes) = match admission {
            Admission::Fresh => {
                if (remembers || !sealed.is_empty()) && self.below_reserve() {
                    return Err(AppendError::not_committed(Reason::Full).into());
                }
                let (done, appended) = self.ledger.write(sealed, self.clock.now())?;
                (done, appended, remembers || !sealed.is_empty())
            }
            Admission::Known(done) => (done, self.ledger.recall(done)?, remembers),
            Admission::Remembered(done) => return Ok((self.ledger.recall(done)?, false)),
        };
        if let Some(request) = &append.request {
            self.ledger.remember(request, done)?;
        }
        Ok((appended, writes))
    }

    /// Whether the disk has less room than is kept back. Looked up now and then: it is one system call.
    fn below_reserve(&mut self) -> bool {
        if let Some((at, below)) = self.room
            && at.elapsed() < ROOM_AGE_MAX
        {
            return below;
        }
        let room = disk::room(&self.path);
        let below = room.is_some_and(|room| room.free_bytes < self.reserve.bytes(room.disk_bytes));
        self.room = Some((Instant::now(), below));
        below
    }

    fn roll_back(&mut self) {
        // SQLite has rolled back by itself after the worst errors; a second ROLLBACK would be an error too.
        if !self.conn.is_autocommit()
            && let Err(error) = self.conn.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "a transaction could not be rolled back");
        }
        self.ledger.forget();
    }

    /// Says what became of a group whose transaction failed.
    fn fail(&mut self, group: Vec<Job>, error: rusqlite::Error, stage: Stage) -> Next {
        self.roll_back();
        self.room = None;
        match fate(&error, stage) {
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
                group.into_iter().map(|job| self.commit(vec![job])).find(|next| *next == Next::Stop).unwrap_or(Next::GoOn)
            }
            Fate::OneOfThem => {
                tracing::error!(%error, "an append failed");
                let what = format!("the store refused the append: {error}");
                let damage = flightdeck_store::Corruption { position: None, what };
                group.into_iter().for_each(|job| job.fail(AppendError::not_committed(Reason::Corrupt(damage.clone()))));
                Next::GoOn
            }
            Fate::Unknown => {
                tracing::error!(%error, ?stage, "the storage failed, and the store stops");
                let text = error.to_string();
                for job in group {
                    let source = Some(text.clone().into());
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
            Err(mpsc::error::TryRecvError::Empty) if Instant::now() >= awake_until => return jobs.blocking_recv(),
            Err(mpsc::error::TryRecvError::Empty) => std::hint::spin_loop(),
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

fn fate(error: &rusqlite::Error, stage: Stage) -> Fate {
    match (error.sqlite_error_code(), stage) {
        // The only write error after which SQLite has certainly taken everything back.
        (Some(ErrorCode::DiskFull), _) => Fate::NotCommitted(Reason::Full),
        (Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), Stage::Begin | Stage::Work) => {
            Fate::NotCommitted(Reason::Busy)
        }
        (Some(ErrorCode::ReadOnly), Stage::Begin) => Fate::NotCommitted(Reason::ReadOnly),
        (Some(ErrorCode::ConstraintViolation | ErrorCode::DatabaseCorrupt | ErrorCode::TooBig), Stage::Work) => {
            Fate::OneOfThem
        }
        // What is no error of SQLite's is a value that could not be read: damage, met before anything was committed.
        (None, Stage::Work) => Fate::OneOfThem,
        _ => Fate::Unknown,
    }
}

/// Splits off the appends that were done before the group, and so do not depend on its commit.
#[expect(clippy::type_complexity, reason = "two lists, named where they are made")]
fn split(group: Vec<Job>, results: Vec<Result1>, before: Position) -> (Vec<(Job, Result1)>, Vec<Job>) {
    let (done, rest): (Vec<_>, Vec<_>) = group.into_iter().zip(results).partition(|(_, result)| {
        matches!(result, Result1::Append(Ok(appended)) if appended.duplicate && appended.cursor.position() <= before)
    });
    (done, rest.into_iter().map(|(job, _)| job).collect())
}

fn answer(group: Vec<Job>, results: Vec<Result1>) {
    answer_all(group.into_iter().zip(results).collect());
}

fn answer_all(answers: Vec<(Job, Result1)>) {
    for (job, result) in answers {
        match (job, result) {
            (Job::Append(job), Result1::Append(result)) => drop(job.answer.send(result)),
            (Job::SaveSnapshot(_, _, answer) | Job::DeleteSnapshot(_, answer), _) => drop(answer.send(Ok(()))),
            (job @ Job::Append(_), Result1::Snapshot) => job.fail(AppendError::not_committed(Reason::Stopped)),
        }
    }
}
