//! The port of views on SQLite: what is asked is read beside the writer, what changes is a job of the writer's between two groups.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use async_trait::async_trait;
use flightdeck_core::Timestamp;
use flightdeck_store::view::{
    Checkpoint, Generation, GenerationState, Halt, Holder, Inline, Lease, Mark, Plan, Row, Succession,
    TakenOver, ViewError, ViewPage, ViewQuery, ViewStore, Wanted, Work, WorkLimits, succession,
};
use flightdeck_store::{AppendError, EventStore as _, Pace, Reason};
use rusqlite::Connection;
use tokio::sync::oneshot;

use crate::asking;
use crate::fault::kill_point;
use crate::generations::{self, NotDone, Stored};
use crate::inline::InlineViews;
use crate::row::Damage;
use crate::store::SqliteStore;
use crate::tables::{self, Stage, Tables};
use crate::writer::Broke;

/// Rows that one piece of work changes at the most while it can be asked.
const ROWS_MAX: usize = 600;
/// Rows that one job changes while nobody can ask for them: more are staged.
const AT_ONCE_ROWS: usize = 200;
/// Rows that are folded in memory before they are handed over, while nobody can ask for them: then each is written once.
const BUILDING_ROWS: usize = 100_000;
/// Bytes of them.
const BUILDING_BYTES: usize = 192 * 1024 * 1024;
/// Rows that one job stages, and bytes of them.
const STAGE_ROWS: usize = 200;
const STAGE_BYTES: usize = 128 * 1024;
/// How long a job takes that can be as long as one likes: whoever appends meanwhile waits for it.
const JOB: Duration = Duration::from_micros(1_500);
/// How long while nobody does: each job ends with a flush. Whoever comes waits for what has been written then to be committed.
const JOB_IDLE: Duration = Duration::from_millis(32);
/// Rows that one job takes out of tables that nobody sees any more.
const EMPTY_ROWS: usize = 400;

/// Who folds which generation, and the last token that was given out. Kept in memory: the process that has the file open for writing
/// is the only one.
pub(crate) struct Leases(Mutex<HashMap<Generation, Held>>, AtomicI64);

struct Held {
    holder: Option<Holder>,
    token: i64,
    until: Instant,
    /// How many are just taking in what is staged: whoever renews a lease need not help them.
    taking_in: u32,
    /// Whether its words are all there, and still in pieces that are to be made one.
    in_pieces: bool,
}

/// Somebody takes in what is staged for as long as this is there.
struct TakingIn<'l>(&'l Leases, Generation);

impl Drop for TakingIn<'_> {
    fn drop(&mut self) {
        self.0.with(&self.1, |held| held.taking_in = held.taking_in.saturating_sub(1));
    }
}

impl Leases {
    /// Nobody holds anything. Tokens go on behind those of an earlier opening, which may have been this process's too.
    pub(crate) fn begin(now: Timestamp) -> Self {
        Self(Mutex::default(), AtomicI64::new(now.micros()))
    }

    fn take(&self, of: &Generation, holder: &Holder, lasting: Duration) -> Option<Lease> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let new = Held { holder: None, token: 0, until: now, taking_in: 0, in_pieces: false };
        let held = all.entry(of.clone()).or_insert(new);
        if held.holder.as_ref() != Some(holder) {
            if held.holder.is_some() && held.until > now {
                return None;
            }
            held.holder = Some(holder.clone());
            held.token = self.1.fetch_add(1, Ordering::SeqCst) + 1;
        }
        held.until = now + lasting;
        Some(Lease { of: of.clone(), holder: holder.clone(), token: held.token })
    }

    /// Notes something of a generation that is held.
    fn with<T>(&self, of: &Generation, note: impl FnOnce(&mut Held) -> T) -> Option<T> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get_mut(of).map(note)
    }

    fn taking_in(&self, of: &Generation) -> TakingIn<'_> {
        self.with(of, |held| held.taking_in += 1);
        TakingIn(self, of.clone())
    }

    fn give_back(&self, lease: &Lease) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(held) = all.get_mut(&lease.of).filter(|held| held.token == lease.token) {
            held.holder = None;
        }
    }

    /// A generation is gone; one of the same name that comes later is another.
    fn forget(&self, of: &Generation) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(of);
    }

    fn check(&self, lease: &Lease) -> Result<(), ViewError> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match all.get(&lease.of).is_some_and(|held| held.token == lease.token) {
            true => Ok(()),
            false => Err(ViewError::Fenced),
        }
    }

    fn holder(&self, of: &Generation) -> Option<Holder> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let held = all.get(of).filter(|held| held.until > Instant::now())?;
        held.holder.clone()
    }
}

/// Something for the writer to do to a view, in a transaction of its own.
pub(crate) trait ViewJob: Send {
    /// Whether it may be lost with the power: what was folded is folded again. Whatever is committed behind it keeps it.
    fn may_be_lost(&self) -> bool;
    /// What it may change that others know of.
    fn touches(&self) -> &Touches;
    /// Whether others may go before it, if there are not always some.
    fn may_wait(&self) -> bool;
    /// Does it. Says whether anything is to be committed.
    fn work(&mut self, on: &mut On<'_>) -> Result<bool, Broke>;
    /// Says what came of it; `failed` when it could not be committed.
    fn answer(self: Box<Self>, failed: Option<AppendError>);
}

/// Which generations a job may change.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Touches {
    /// Any.
    All,
    /// This one.
    One(Generation),
    /// None that anybody sees.
    Nothing,
}

/// What a job works on.
pub(crate) struct On<'w> {
    pub(crate) conn: &'w Connection,
    pub(crate) inline: &'w mut InlineViews,
    /// Whether nobody waits for the writer.
    pub(crate) idle: &'w dyn Fn() -> bool,
}

/// What a job is.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// Must be on the disk when it is answered.
    Kept,
    /// What was folded, which is folded again if it is lost.
    Folded,
    /// What was put off, which may be so a little longer.
    PutOff,
}

/// A job that is a function, and who waits for it.
struct Doing<T, F> {
    work: F,
    kind: Kind,
    touches: Touches,
    done: Option<Result<T, ViewError>>,
    answer: oneshot::Sender<Result<T, ViewError>>,
}

impl<T, F> ViewJob for Doing<T, F>
where
    T: Send,
    F: FnMut(&mut On<'_>) -> Result<(T, bool), NotDone> + Send,
{
    fn may_be_lost(&self) -> bool {
        self.kind != Kind::Kept
    }

    fn touches(&self) -> &Touches {
        &self.touches
    }

    fn may_wait(&self) -> bool {
        self.kind == Kind::PutOff
    }

    fn work(&mut self, on: &mut On<'_>) -> Result<bool, Broke> {
        let (done, wrote) = match (self.work)(on) {
            Ok((value, wrote)) => (Ok(value), wrote),
            // What it may have begun is rolled back.
            Err(NotDone::Refused(error)) => (Err(error), false),
            Err(NotDone::Failed(Damage::Corrupt(corruption))) => {
                (Err(ViewError::Store(corruption.into())), false)
            }
            Err(NotDone::Failed(Damage::Sql(error))) => return Err(error.into()),
        };
        self.done = Some(done);
        Ok(wrote)
    }

    fn answer(self: Box<Self>, failed: Option<AppendError>) {
        let done = match (failed, self.done) {
            (None, Some(done)) => done,
            (Some(error), _) => Err(ViewError::Store(crate::store::to_store_error(error))),
            (None, None) => Err(ViewError::failed(Reason::Stopped, None)),
        };
        drop(self.answer.send(done));
    }
}

impl SqliteStore {
    /// Has the writer do something to a view, in a transaction of its own. The function says whether it wrote anything.
    async fn work<T: Send + 'static>(
        &self,
        work: impl FnMut(&mut On<'_>) -> Result<(T, bool), NotDone> + Send + 'static,
    ) -> Result<T, ViewError> {
        self.work_as(Kind::Kept, Touches::All, work).await
    }

    async fn work_as<T: Send + 'static>(
        &self,
        kind: Kind,
        touches: Touches,
        work: impl FnMut(&mut On<'_>) -> Result<(T, bool), NotDone> + Send + 'static,
    ) -> Result<T, ViewError> {
        let (answer, answered) = oneshot::channel();
        let job = Box::new(Doing { work, kind, touches, done: None, answer });
        self.send(job).await.map_err(|error| ViewError::Store(crate::store::to_store_error(error)))?;
        answered.await.unwrap_or_else(|_| Err(ViewError::failed(Reason::Stopped, None)))
    }

    /// Reads something of the views, in one short transaction.
    async fn look_at<T: Send + 'static>(
        &self,
        look: impl FnOnce(&Connection) -> Result<T, NotDone> + Send + 'static,
    ) -> Result<T, ViewError> {
        let looked = self.read(move |conn, _| match look(conn) {
            Ok(found) => Ok(Ok(found)),
            Err(NotDone::Refused(error)) => Ok(Err(error)),
            Err(NotDone::Failed(damage)) => Err(damage),
        });
        looked.await.map_err(ViewError::Store)?
    }

    fn now(&self) -> Timestamp {
        self.options().clock.now()
    }

    fn state(&self, stored: Stored) -> GenerationState {
        let holder = self.leases().holder(&stored.state.of);
        GenerationState { holder, ..stored.state }
    }

    /// Stages a piece of work that is too large for one job, and takes it into the tables bit by bit. Nobody can ask for a
    /// generation that is being built, so nobody sees it half done; whoever is killed in the middle finds all of it
    /// staged, or nothing.
    async fn apply_staged(&self, work: Work) -> Result<(), ViewError> {
        let (lease, from, to) = (work.lease.clone(), work.from, work.to);
        let (_taking_in, touches) = (self.leases().taking_in(&lease.of), Touches::One(lease.of.clone()));
        let begun = {
            let (lease, leases) = (lease.clone(), Arc::clone(self.leases()));
            self.work_as(Kind::Folded, touches.clone(), move |on| {
                let stored = stands_at(on.conn, &leases, &lease, &from)?;
                Stage(&stored.tables()).begin(on.conn)?;
                Ok((stored, true))
            })
        };
        let stored = begun.await?;
        let rows = tables::staged(&stored.state.plan, &work.changes);
        drop(work);
        let mut pace = Pace::of_steps(self.watch());
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let (mut some, mut bytes) = (Vec::new(), 0);
            while let Some(row) = rows.next_if(|_| some.len() < STAGE_ROWS && bytes < STAGE_BYTES) {
                bytes += row.1.len();
                some.push(row);
            }
            let (lease, leases) = (lease.clone(), Arc::clone(self.leases()));
            let put = self.work_as(Kind::Folded, touches.clone(), move |on| {
                let begun = Instant::now();
                let stored = stands_at(on.conn, &leases, &lease, &from)?;
                Stage(&stored.tables()).put(on.conn, &some)?;
                Ok((begun.elapsed(), true))
            });
            pace.give_way(put.await?).await;
        }
        let (ours, leases) = (lease.clone(), Arc::clone(self.leases()));
        self.work_as(Kind::Folded, touches, move |on| {
            let stored = stands_at(on.conn, &leases, &ours, &from)?;
            generations::set_staged(on.conn, stored.id, Some(&to))?;
            Ok(((), true))
        })
        .await?;
        self.take_in_staged(&lease).await
    }

    /// Takes what is staged into the tables, to its end.
    async fn take_in_staged(&self, lease: &Lease) -> Result<(), ViewError> {
        let mut pace = Pace::of_steps(self.watch());
        loop {
            let (lease, leases) = (lease.clone(), Arc::clone(self.leases()));
            let touches = Touches::One(lease.of.clone());
            let more = self.work_as(Kind::Folded, touches, move |on| {
                let stored = generations::get(on.conn, &lease.of)?;
                leases.check(&lease)?;
                let Some(to) = stored.staged else { return Ok((None, false)) };
                kill_point!("view-staged");
                let begin = Instant::now();
                let goes_on = || begin.elapsed() < JOB || begin.elapsed() < JOB_IDLE && (on.idle)();
                if !Stage(&stored.tables()).take(on.conn, goes_on)? {
                    return Ok((Some(begin.elapsed()), true));
                }
                generations::set_staged(on.conn, stored.id, None)?;
                generations::advance(on.conn, stored.id, &stored.state.checkpoint, &to)?;
                Ok((None, true))
            });
            match more.await? {
                Some(took) => pace.give_way(took).await,
                None => return Ok(()),
            }
        }
    }

    /// Empties and drops what was thrown away, bit by bit, so that no append waits for long, and nobody waits for all of it. What is
    /// left when the program ends is the next one's.
    fn sweep(&self) {
        let store = self.clone();
        tokio::spawn(async move {
            if let Err(error) = store.empty_all().await {
                tracing::debug!(%error, "what was thrown away of views is emptied later");
            }
        });
    }

    async fn empty_all(&self) -> Result<(), ViewError> {
        let mut pace = Pace::of_steps(self.watch());
        loop {
            let more = self.work_as(Kind::Folded, Touches::Nothing, |on| {
                let begin = Instant::now();
                let Some((id, tables)) = generations::next_gone(on.conn)? else { return Ok((None, false)) };
                if tables::empty(on.conn, id, tables, EMPTY_ROWS)? {
                    generations::forget(on.conn, id)?;
                }
                Ok((Some(begin.elapsed()), true))
            });
            match more.await? {
                Some(took) => pace.give_way(took).await,
                None => return Ok(()),
            }
        }
    }
}

impl Stored {
    fn tables(&self) -> Tables {
        Tables::of(self.id, &self.state.plan, self.state.serving)
    }
}

/// The generation, if whoever has that lease may fold it on from there.
fn stands_at(
    conn: &Connection,
    leases: &Leases,
    lease: &Lease,
    from: &Checkpoint,
) -> Result<Stored, NotDone> {
    let stored = generations::get(conn, &lease.of)?;
    leases.check(lease)?;
    match stored.state.checkpoint == *from && stored.staged.is_none() {
        true => Ok(stored),
        false => Err(ViewError::Fenced.into()),
    }
}

/// The newest build of a plan's generation, if it is still the same plan.
fn newest(conn: &Connection, plan: &Plan, now: Timestamp) -> Result<Option<Stored>, NotDone> {
    let all = generations::of_view(conn, plan.view(), now)?;
    let found = all.into_iter().rev().find(|stored| stored.state.of.number == plan.number());
    match found {
        Some(found) if found.state.plan.fingerprint() != plan.fingerprint() => {
            Err(ViewError::Changed { view: plan.view().clone(), number: plan.number() }.into())
        }
        found => Ok(found),
    }
}

/// Makes a build, with its tables. What the one before was told holds for it as well.
fn make(
    conn: &Connection,
    plan: &Plan,
    before: Option<&GenerationState>,
    now: Timestamp,
) -> Result<Stored, NotDone> {
    let all = generations::all(conn, now)?;
    for table in plan.tables() {
        let mut others = all.iter().filter(|stored| stored.state.of.view != *plan.view());
        let taken = others.any(|stored| stored.state.plan.table(table.name()).is_some());
        let mut own = all.iter().filter(|stored| stored.state.of.view == *plan.view());
        let ours = own.any(|stored| stored.state.serving && stored.state.plan.table(table.name()).is_some());
        if taken || !ours && tables::is_there(conn, table.name())? {
            return Err(ViewError::TableTaken { table: table.name().to_owned() }.into());
        }
    }
    let build = generations::next_build(conn, plan)?;
    let skips = before.map_or(&[][..], |before| &before.skips);
    let id = generations::insert(conn, plan, build, skips, now)?;
    generations::set_paused(conn, id, before.is_some_and(|before| before.paused))?;
    Tables::of(id, plan, false).create(conn)?;
    let of = Generation { view: plan.view().clone(), number: plan.number(), build };
    generations::get(conn, &of)
}

/// From here on nobody sees it.
fn throw_away(conn: &Connection, stored: &Stored) -> Result<(), NotDone> {
    stored.tables().rename(conn, false)?;
    generations::set_gone(conn, stored.id)?;
    Ok(())
}

/// Makes the one ready that has caught up.
fn take_over(conn: &Connection, of: &Generation, now: Timestamp) -> Result<(TakenOver, bool), NotDone> {
    let all = generations::of_view(conn, &of.view, now)?;
    let states: Vec<GenerationState> = all.iter().map(|stored| stored.state.clone()).collect();
    let stored = |of: &Generation| all.iter().find(|stored| stored.state.of == *of);
    let (serves, served, gone) = match (succession(&states, of), stored(of)) {
        (Some(Succession::Ready { serves, served, gone }), Some(_)) => (serves, served, gone),
        (Some(Succession::Behind(ahead)), _) => return Ok((TakenOver::Behind(ahead), false)),
        _ => return Err(ViewError::Unknown(of.to_string()).into()),
    };
    if let Some(served) = served.as_ref().and_then(stored) {
        served.tables().rename(conn, false)?;
        generations::set_serving(conn, served.id, served.state.ready, false)?;
    }
    for gone in gone.iter().filter_map(stored) {
        generations::set_gone(conn, gone.id)?;
    }
    if let Some(own) = stored(of) {
        if serves && !own.state.serving {
            // Somebody may have made a table of that name since.
            for table in own.state.plan.tables() {
                if tables::is_there(conn, table.name())? {
                    return Err(ViewError::TableTaken { table: table.name().to_owned() }.into());
                }
            }
        }
        Stage(&own.tables()).end(conn)?;
        own.tables().rename(conn, serves)?;
        generations::set_serving(conn, own.id, true, serves)?;
    }
    Ok((TakenOver::Done, true))
}

/// Does a piece of work, if it is where the generation stands.
fn apply(conn: &Connection, leases: &Leases, work: &Work) -> Result<(), NotDone> {
    let stored = stands_at(conn, leases, &work.lease, &work.from)?;
    kill_point!("view-before-rows");
    stored.tables().write(conn, &work.changes)?;
    kill_point!("view-after-rows");
    if !generations::advance(conn, stored.id, &work.from, &work.to)? {
        return Err(ViewError::Fenced.into());
    }
    Ok(())
}

fn mark(conn: &Connection, of: &Generation, mark: &Mark) -> Result<(), NotDone> {
    let Stored { id, state, .. } = generations::get(conn, of)?;
    match mark {
        Mark::Pause => generations::set_paused(conn, id, true)?,
        Mark::Resume => {
            generations::set_paused(conn, id, false)?;
            generations::set_halt(conn, id, None)?;
        }
        Mark::Skip(position) => {
            if state.halt.is_none_or(|halt| !halt.may_be_skipped_at(*position)) {
                return Err(ViewError::NotHalted(*position).into());
            }
            let mut skips = state.skips;
            skips.push(*position);
            generations::set_skips(conn, id, &skips)?;
            generations::set_halt(conn, id, None)?;
        }
    }
    Ok(())
}

#[async_trait]
impl ViewStore for SqliteStore {
    async fn prepare(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let (plan, now) = (plan.clone(), self.now());
        let stored = self.work(move |on| match newest(on.conn, &plan, now)? {
            Some(found) if found.tables().are_there(on.conn)? => {
                found.tables().set_up_words(on.conn)?;
                generations::want(on.conn, &found.state.of, now)?;
                Ok((found, true))
            }
            // Views can be deleted at any time: what somebody has dropped is built anew.
            Some(found) => {
                throw_away(on.conn, &found)?;
                Ok((make(on.conn, &plan, Some(&found.state), now)?, true))
            }
            None => Ok((make(on.conn, &plan, None, now)?, true)),
        });
        let state = self.state(stored.await?);
        // Whoever was to throw something away may have been killed in the middle of it.
        self.sweep();
        Ok(state)
    }

    async fn begin_build(&self, plan: &Plan) -> Result<GenerationState, ViewError> {
        let (plan, now, leases) = (plan.clone(), self.now(), Arc::clone(self.leases()));
        let stored = self.work(move |on| {
            let before = newest(on.conn, &plan, now)?;
            let told = before.as_ref().map(|before| before.state.clone());
            if let Some(before) = before.filter(|before| !before.state.ready) {
                throw_away(on.conn, &before)?;
                leases.forget(&before.state.of);
            }
            Ok((make(on.conn, &plan, told.as_ref(), now)?, true))
        });
        let state = self.state(stored.await?);
        self.sweep();
        Ok(state)
    }

    async fn generations(&self) -> Result<Vec<GenerationState>, ViewError> {
        let now = self.now();
        let all = self.look_at(move |conn| Ok(generations::all(conn, now)?)).await?;
        Ok(all.into_iter().map(|stored| self.state(stored)).collect())
    }

    async fn want(&self, wanted: &[Generation]) -> Result<(), ViewError> {
        let (wanted, now) = (wanted.to_vec(), self.now());
        self.work(move |on| {
            let mut wrote = false;
            for of in &wanted {
                wrote |= generations::want(on.conn, of, now)?;
            }
            Ok(((), wrote))
        })
        .await
    }

    async fn lease(
        &self,
        of: &Generation,
        holder: &Holder,
        lasting: Duration,
    ) -> Result<Option<Lease>, ViewError> {
        let (of, holder, leases) = (of.clone(), holder.clone(), Arc::clone(self.leases()));
        // By way of the writer, so that nothing of an earlier holder's is still under way.
        let taken = self.work(move |on| {
            let stored = generations::get(on.conn, &of)?;
            Ok(((leases.take(&of, &holder, lasting), stored.staged.is_some()), false))
        });
        let (lease, is_staged) = taken.await?;
        let is_taken_in =
            |lease: &&Lease| self.leases().with(&lease.of, |held| held.taking_in > 0) == Some(true);
        if let Some(lease) = lease.as_ref().filter(|lease| is_staged && !is_taken_in(lease)) {
            // Whoever had it was killed, or failed, in the middle of a large piece of work.
            let _taking_in = self.leases().taking_in(&lease.of);
            self.take_in_staged(lease).await?;
        }
        Ok(lease)
    }

    async fn give_back(&self, lease: &Lease) -> Result<(), ViewError> {
        self.leases().give_back(lease);
        Ok(())
    }

    async fn load(&self, of: &Generation, keys: Wanted) -> Result<Vec<(usize, Row)>, ViewError> {
        let of = of.clone();
        self.look_at(move |conn| Ok(generations::get(conn, &of)?.tables().load(conn, &keys)?)).await
    }

    async fn apply(&self, work: Work) -> Result<(), ViewError> {
        let rows: usize = work.changes.iter().map(|changed| changed.put.len() + changed.gone.len()).sum();
        if rows > AT_ONCE_ROWS {
            let of = work.lease.of.clone();
            // What can be asked is never half done, however much it is at once.
            if !self.look_at(move |conn| Ok(generations::get(conn, &of)?.state.ready)).await? {
                return self.apply_staged(work).await;
            }
        }
        let leases = Arc::clone(self.leases());
        self.work_as(Kind::Folded, Touches::One(work.lease.of.clone()), move |on| {
            Ok((apply(on.conn, &leases, &work)?, true))
        })
        .await
    }

    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        let (lease, halt, leases) = (lease.clone(), halt.clone(), Arc::clone(self.leases()));
        self.work(move |on| {
            let stored = generations::get(on.conn, &lease.of)?;
            leases.check(&lease)?;
            generations::set_halt(on.conn, stored.id, Some(&halt))?;
            Ok(((), true))
        })
        .await
    }

    async fn mark(&self, of: &Generation, what: Mark) -> Result<(), ViewError> {
        let of = of.clone();
        self.work(move |on| Ok((mark(on.conn, &of, &what)?, true))).await
    }

    async fn take_over(&self, lease: &Lease) -> Result<TakenOver, ViewError> {
        let (lease, leases, now) = (lease.clone(), Arc::clone(self.leases()), self.now());
        let taken = self.work(move |on| {
            generations::get(on.conn, &lease.of)?;
            leases.check(&lease)?;
            take_over(on.conn, &lease.of, now)
        });
        let taken = taken.await?;
        if taken == TakenOver::Done {
            self.sweep();
        }
        Ok(taken)
    }

    async fn discard(&self, of: &Generation) -> Result<(), ViewError> {
        let (of, leases) = (of.clone(), Arc::clone(self.leases()));
        let thrown = self.work(move |on| {
            let stored = generations::get(on.conn, &of)?;
            throw_away(on.conn, &stored)?;
            leases.forget(&of);
            Ok(((), true))
        });
        thrown.await?;
        self.sweep();
        Ok(())
    }

    async fn ask(&self, query: &ViewQuery) -> Result<ViewPage, ViewError> {
        let query = query.clone();
        self.look_at(move |conn| asking::ask(conn, &query)).await
    }

    async fn fold_inline(&self, inline: Vec<Inline>) -> Result<bool, ViewError> {
        self.work(move |on| {
            on.inline.set(inline.clone());
            Ok((true, false))
        })
        .await
    }

    async fn tend(&self, lease: &Lease) -> Result<bool, ViewError> {
        let of = lease.of.clone();
        // Looked at beside the writer: most of the time there is nothing to do.
        let todo = self.look_at(move |conn| Ok(generations::get(conn, &of)?.tables().has_todo(conn)?));
        let in_pieces = self.leases().with(&lease.of, |held| held.in_pieces).unwrap_or(false);
        if !todo.await? && !in_pieces {
            return Ok(false);
        }
        let (lease, leases) = (lease.clone(), Arc::clone(self.leases()));
        self.work_as(Kind::PutOff, Touches::One(lease.of.clone()), move |on| {
            let stored = generations::get(on.conn, &lease.of)?;
            leases.check(&lease)?;
            let is_done = stored.tables().tend(on.conn, JOB)?;
            leases.with(&lease.of, |held| held.in_pieces = !is_done);
            Ok((!is_done, true))
        })
        .await
    }

    fn work_limits(&self) -> WorkLimits {
        WorkLimits { rows: ROWS_MAX, building_rows: BUILDING_ROWS, building_bytes: BUILDING_BYTES }
    }
}
