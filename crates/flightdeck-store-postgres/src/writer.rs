//! The one task of a node that writes: it collects what is waiting into a group, calls the function, and then answers.
//!
//! A group is whatever is there when the last call has come back: while one is on its way the next one gathers, so
//! nobody waits for company. The call is one statement that commits by itself, on a connection that nobody else
//! uses, in a task that nobody cancels. When the connection is lost in the middle of a call, nobody knows whether it was
//! committed; but every event has an id by then, so the group is sent again with all ids looked up: what was
//! committed is found, what was not is done, and a call that is late finds what the second one did. Only a caller that
//! must be answered before that has happened is told that the outcome is unknown.

use std::collections::{HashSet, VecDeque};
use std::hash::{BuildHasher as _, Hasher as _, RandomState};
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::Clock;
use flightdeck_store::{AppendError, Corruption, Expected, Groups, Reason};
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio::time::{sleep, timeout};
use tokio_postgres::error::{Severity, SqlState};
use tokio_postgres::{Client, Error, Statement};

use crate::fault::kill_point;
use crate::history::History;
use crate::ledger::{self, Answer, Asked, Call, Settled};
use crate::open::Dialing;
use crate::row::{FD_DAMAGED, FD_SEALED, corruption};

/// Appends in one group.
const GROUP_APPENDS_MAX: usize = 1_000;
/// Bytes in one group.
const GROUP_BYTES_MAX: usize = 4 * 1024 * 1024;
/// How often a group is tried that others were in the way of.
const ATTEMPTS_MAX: u32 = 5;
/// The longest pause between two attempts to connect.
const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Something for the writer to do.
pub(crate) struct Job {
    pub(crate) asked: Asked,
    pub(crate) bytes: usize,
    /// When its caller has waited long enough.
    pub(crate) deadline: Instant,
    pub(crate) answer: oneshot::Sender<Result<Settled, AppendError>>,
    /// Its room in the queue, given back when the job is done.
    pub(crate) _room: OwnedSemaphorePermit,
}

/// What is left of a job while its append is on its way.
struct Caller {
    answer: oneshot::Sender<Result<Settled, AppendError>>,
    deadline: Instant,
    _room: OwnedSemaphorePermit,
}

/// A group on its way: what is asked, and who waits.
#[derive(Default)]
struct Group {
    asked: Vec<Asked>,
    callers: Vec<Caller>,
    /// Whether it was sent before, with an end that nobody saw.
    open: bool,
}

/// The writer's connection, with the call made ready on it.
pub(crate) struct Line {
    client: Client,
    call: Statement,
}

impl Line {
    pub(crate) async fn over(client: Client) -> Result<Self, Error> {
        let call = ledger::prepare(&client).await?;
        Ok(Self { client, call })
    }
}

/// The writer, in its task.
pub(crate) struct Writer {
    pub(crate) dialing: Arc<Dialing>,
    pub(crate) history: Arc<History>,
    pub(crate) clock: Option<Arc<dyn Clock>>,
    pub(crate) answer_wait: Duration,
    pub(crate) groups: Arc<Groups>,
    pub(crate) line: Option<Line>,
}

impl Writer {
    /// Works until nobody can send any more.
    pub(crate) async fn run(mut self, mut jobs: mpsc::Receiver<Job>) {
        let mut waiting = VecDeque::new();
        loop {
            if waiting.is_empty() {
                match jobs.recv().await {
                    Some(job) => waiting.push_back(job),
                    None => return,
                }
            }
            while waiting.len() < GROUP_APPENDS_MAX
                && let Ok(job) = jobs.try_recv()
            {
                waiting.push_back(job);
            }
            let group = gather(&mut waiting);
            self.commit(group).await;
        }
    }

    /// Does a group, and answers everyone of it.
    async fn commit(&mut self, mut group: Group) {
        let mut attempt = 1;
        while !group.callers.is_empty() {
            kill_point!("before-call");
            match self.call(&group).await {
                Ok(settled) => {
                    kill_point!("after-call");
                    group.answer(settled);
                    kill_point!("after-answer");
                }
                Err(Fate::Again) if attempt < ATTEMPTS_MAX => {
                    sleep(pause(attempt)).await;
                    attempt += 1;
                }
                Err(Fate::Again) => group.refuse(&Reason::Busy),
                Err(Fate::Refused(reason)) => group.refuse(&reason),
                // One append must not fail its neighbours: each is tried by itself.
                Err(Fate::OneOfThem(_)) if group.callers.len() > 1 => {
                    for alone in group.split() {
                        Box::pin(self.commit(alone)).await;
                    }
                    return;
                }
                Err(Fate::OneOfThem(damage)) => group.refuse(&Reason::Corrupt(damage)),
                Err(Fate::Lost(why)) => {
                    self.line = None;
                    group.open = true;
                    group.expire(&why);
                    sleep(pause(attempt)).await;
                    attempt += 1;
                }
                Err(Fate::NotSent(why)) => {
                    group.expire(&why);
                    sleep(pause(attempt)).await;
                    attempt += 1;
                }
            }
        }
    }

    /// One call. What it comes to when it fails is certain, but for [`Fate::Lost`].
    async fn call(&mut self, group: &Group) -> Result<Vec<Result<Settled, AppendError>>, Fate> {
        let line = match &mut self.line {
            Some(line) if !line.client.is_closed() => line,
            slot => slot
                .insert(self.dialing.line(&self.history).await.map_err(|error| Fate::NotSent(text(&error)))?),
        };
        let now = self.clock.as_ref().map(|clock| clock.now());
        let call = Call::of(&group.asked, now, self.history.newest(), group.open);
        // The server gives up first while it waits for its turn; what takes longer may have been committed.
        let patience = self.answer_wait + Duration::from_secs(1);
        let begun = Instant::now();
        let row = match timeout(patience, call.run(&line.client, &line.call)).await {
            Ok(Ok(row)) => row,
            Ok(Err(error)) => {
                let fate = fate(&error);
                tracing::warn!(
                    error = text(&error),
                    appends = group.asked.len(),
                    ?fate,
                    "a group was not appended"
                );
                if matches!(fate, Fate::Refused(Reason::ReadOnly)) {
                    // Perhaps this is the old primary, or a standby: the next call looks again where the URL leads.
                    self.line = None;
                }
                return Err(fate);
            }
            Err(late) => return Err(Fate::Lost(late.to_string())),
        };
        let Some(answer) = Answer::read(&row) else {
            return Err(Fate::Lost("the database's answer makes no sense".to_owned()));
        };
        let took = begun.elapsed();
        self.history.saw(&answer.epoch, answer.head, answer.hash);
        let settled = answer.settle(&call, &group.asked);
        let is_new = |one: &&Result<Settled, AppendError>| one.as_ref().is_ok_and(Settled::is_new);
        if let new @ 1.. = settled.iter().filter(is_new).count() {
            self.groups.committed(new, took);
        }
        Ok(settled)
    }
}

impl Group {
    fn add(&mut self, job: Job) {
        self.asked.push(job.asked);
        self.callers.push(Caller { answer: job.answer, deadline: job.deadline, _room: job._room });
    }

    /// Answers everyone. Whoever does not listen any more does not mind.
    fn answer(&mut self, settled: Vec<Result<Settled, AppendError>>) {
        let open = self.open;
        for (caller, settled) in self.callers.drain(..).zip(settled) {
            let settled = settled.map_err(|error| if open { while_open(error) } else { error });
            drop(caller.answer.send(settled));
        }
    }

    /// Answers everyone that this attempt wrote nothing. Of one before, whose end nobody saw, that says nothing: it may be
    /// waiting for a standby, unseen and with its commit written.
    fn refuse(&mut self, reason: &Reason) {
        for caller in self.callers.drain(..) {
            let (reason, source) = (reason.clone(), None);
            let error = match self.open {
                true => AppendError::Unknown { reason, source },
                false => AppendError::NotCommitted { reason, source },
            };
            drop(caller.answer.send(Err(error)));
        }
    }

    /// Answers those who have waited long enough, with what is certain about their append.
    fn expire(&mut self, why: &str) {
        let now = Instant::now();
        let mut place = 0;
        while place < self.callers.len() {
            if self.callers[place].deadline > now {
                place += 1;
                continue;
            }
            self.asked.remove(place);
            let (reason, source) = (Reason::Unreachable, Some(why.to_owned().into()));
            let error = match self.open {
                true => AppendError::Unknown { reason, source },
                false => AppendError::NotCommitted { reason, source },
            };
            drop(self.callers.remove(place).answer.send(Err(error)));
        }
    }

    /// A group for each append, in their order.
    fn split(self) -> impl Iterator<Item = Self> {
        let open = self.open;
        let each = self.asked.into_iter().zip(self.callers);
        each.map(move |(asked, caller)| Self { asked: vec![asked], callers: vec![caller], open })
    }
}

/// Takes the next group off the queue. Appends that share an id or a request key never share a group: the later one
/// must see what became of the earlier one.
fn gather(waiting: &mut VecDeque<Job>) -> Group {
    let (mut group, mut bytes) = (Group::default(), 0);
    let (mut ids, mut requests) = (HashSet::new(), HashSet::new());
    while group.callers.len() < GROUP_APPENDS_MAX && bytes < GROUP_BYTES_MAX {
        let Some(job) = waiting.front() else { break };
        let append = &job.asked.append;
        let request = append.request.as_ref().map(|key| (key.caller().to_owned(), key.key().to_owned()));
        let own: Vec<_> = job.asked.sealed.iter().filter_map(|event| event.event().id).collect();
        if own.iter().any(|id| ids.contains(id)) || request.as_ref().is_some_and(|key| requests.contains(key))
        {
            break;
        }
        ids.extend(own);
        requests.extend(request);
        bytes += job.bytes;
        group.add(waiting.pop_front().unwrap_or_else(|| unreachable!("it was there a moment ago")));
    }
    group
}

/// What a refusal is worth while an earlier attempt may still be on its way to the server: one that the log can outgrow says
/// nothing of what that attempt will meet. All others stay true however the log grows.
fn while_open(error: AppendError) -> AppendError {
    let outgrown = match &error {
        AppendError::AheadOfLog { .. } => true,
        AppendError::Conflict(conflict) => match conflict.expected {
            Expected::Exists => true,
            Expected::Exactly(version) => conflict.actual.is_none_or(|actual| actual < version),
            Expected::Any | Expected::NoStream => false,
        },
        _ => false,
    };
    match outgrown {
        true => AppendError::Unknown { reason: Reason::Unreachable, source: Some(error.into()) },
        false => error,
    }
}

/// What a failed call means for its group.
#[derive(Debug)]
enum Fate {
    /// Others were in the way; certainly nothing of it is there, and the whole group can be sent again.
    Again,
    /// Certainly nothing of it is there.
    Refused(Reason),
    /// Certainly nothing of it is there, and one append alone may be to blame.
    OneOfThem(Corruption),
    /// Nobody knows what became of it.
    Lost(String),
    /// It was never sent.
    NotSent(String),
}

fn fate(error: &Error) -> Fate {
    // Only an answer of the kind ERROR says that the transaction was taken back. A connection that ends, also with a
    // last word (FATAL), leaves it open: it may have been waiting for a standby, with its commit long written.
    let Some(said) = error.as_db_error().filter(|said| said.parsed_severity() == Some(Severity::Error))
    else {
        return Fate::Lost(text(error));
    };
    if let Some(damage) = corruption(error) {
        return Fate::OneOfThem(damage);
    }
    match said.code() {
        code if *code == SqlState::T_R_SERIALIZATION_FAILURE
            || *code == SqlState::T_R_DEADLOCK_DETECTED
            || *code == SqlState::LOCK_NOT_AVAILABLE =>
        {
            Fate::Again
        }
        // The log is being carried into the store, or has moved elsewhere.
        code if code.code() == FD_SEALED => Fate::Refused(Reason::ReadOnly),
        code if *code == SqlState::DISK_FULL => Fate::Refused(Reason::Full),
        code if *code == SqlState::READ_ONLY_SQL_TRANSACTION || *code == SqlState::INSUFFICIENT_PRIVILEGE => {
            Fate::Refused(Reason::ReadOnly)
        }
        code if *code == SqlState::QUERY_CANCELED || code.code().starts_with("53") => {
            Fate::Refused(Reason::Busy)
        }
        // A value or a row that the tables refuse: 22 data, 23 constraints, FD our triggers.
        code if ["22", "23", &FD_DAMAGED[..2]].iter().any(|class| code.code().starts_with(class)) => {
            let what = format!("the database refused the append: {}", said.message());
            Fate::OneOfThem(Corruption { position: None, what })
        }
        _ => Fate::Refused(Reason::Storage),
    }
}

/// An error with what lies beneath it, for the log.
fn text(error: &(dyn std::error::Error + 'static)) -> String {
    let (mut text, mut beneath) = (error.to_string(), error.source());
    while let Some(source) = beneath {
        text = format!("{text}: {source}");
        beneath = source.source();
    }
    text
}

/// 5 ms, doubled with every attempt, and a random half more or less.
fn pause(attempt: u32) -> Duration {
    let base = Duration::from_millis(5 << attempt.min(6)).min(PAUSE_MAX);
    let dice = RandomState::new().build_hasher().finish() % 1_000;
    base.mul_f64(0.5 + f64::from(u32::try_from(dice).unwrap_or(0)) / 1_000.0)
}

#[cfg(test)]
mod tests {
    use flightdeck_core::{Position, StreamId, Version};
    use flightdeck_store::{AppendError, Conflict, Expected, Outcome};

    use super::while_open;

    #[track_caller]
    fn check(expected: Expected, actual: Option<i64>, outcome: Outcome) {
        let actual = actual.map(|version| Version::new(version).unwrap());
        let conflict = Conflict { stream: StreamId::new("a-1").unwrap(), expected, actual };
        assert_eq!(while_open(conflict.into()).outcome(), outcome, "{expected}, {actual:?}");
    }

    /// The first copy of a call may come to the server after the second was refused, and find what the second did not.
    #[test]
    fn a_refusal_that_the_log_can_outgrow_is_none_while_a_copy_is_on_its_way() {
        let third = Expected::Exactly(Version::new(3).unwrap());
        check(Expected::Exists, None, Outcome::Unknown);
        check(third, None, Outcome::Unknown);
        check(third, Some(2), Outcome::Unknown);
        check(third, Some(4), Outcome::NotCommitted);
        check(Expected::NoStream, Some(1), Outcome::NotCommitted);
        let (after, head) = (Position::new(9).unwrap(), Position::new(3).unwrap());
        assert_eq!(while_open(AppendError::AheadOfLog { after, head }).outcome(), Outcome::Unknown);
        assert_eq!(while_open(AppendError::KeyReused).outcome(), Outcome::NotCommitted);
    }
}
