//! One generation, folded: the loop that reads the log, folds, and hands finished work to the store.
//!
//! It works by a lease, and what it hands over says where it began: whoever was stopped in the middle and wakes up late is
//! refused, and looks again where the generation stands.

mod handing_over;
mod reading;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use flightdeck_core::{Epoch, Position};
use flightdeck_store::view::{
    Cache, Checkpoint, Generation, GenerationState, Halt, HaltKind, Holder, Lease, Succession, TakenOver,
    ViewError, ViewStore, succession,
};
use flightdeck_store::{Corruption, EventStore, LogQuery, StoreError, Tail};
use tokio::sync::{RwLock, watch};
use tokio::task::JoinHandle;
use tokio::time::{sleep, timeout};

use self::reading::{Ahead, Events};
use crate::batch::{self, Batch, Current, Folded};
use crate::kept::Kept;
use crate::projection::Defined;
use crate::runner::RunnerOptions;
use crate::watch::{Seen, Watcher};

/// How often in a row it is tried to overtake the generation in use before the loop rests.
const PRESSED_MAX: u32 = 16;
/// No pause of a build beside others is longer, for it is told things meanwhile.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// What a generation's loop works with.
pub(crate) struct Advance {
    pub(crate) store: Arc<dyn EventStore>,
    pub(crate) tail: Tail,
    pub(crate) views: Arc<dyn ViewStore>,
    pub(crate) watcher: Watcher,
    pub(crate) defined: Defined,
    pub(crate) of: Generation,
    pub(crate) holder: Holder,
    pub(crate) options: RunnerOptions,
    pub(crate) inline: bool,
    pub(crate) stop: watch::Receiver<bool>,
    /// Whether it has held the lease before.
    pub(crate) began: bool,
    /// Held while the store is at work for this.
    pub(crate) at_work: Arc<RwLock<()>>,
}

/// Why a turn of the loop ended.
#[derive(Debug)]
enum Turn {
    /// There is more to do.
    Again,
    /// Everything there is has been folded.
    CaughtUp,
    /// It has come to a halt.
    Halted(Halt),
}

/// What went wrong in a turn.
#[derive(Debug)]
enum Broke {
    View(ViewError),
    Store(StoreError),
}

impl From<ViewError> for Broke {
    fn from(error: ViewError) -> Self {
        Self::View(error)
    }
}

impl From<StoreError> for Broke {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

/// What is known while the lease is held.
struct Hold {
    lease: Lease,
    state: GenerationState,
    /// What is folded, and not handed over yet when the generation is being built.
    cache: Cache,
    folded_to: Checkpoint,
    /// What was handed over last, if the store may still be at it: each piece, and all that comes next, counts on those before it
    /// going well.
    under_way: VecDeque<JoinHandle<Result<Duration, ViewError>>>,
    /// Since when what is seen of it is not older than what is known, and since when nothing was handed over.
    since: Instant,
    handed_over: Instant,
    /// How long that took, and when the last piece was handed over.
    handing_over: Duration,
    gathered: Instant,
    /// The store at what it has put off, when it began that, and whether there may be more of it.
    tending: Option<JoinHandle<Result<bool, ViewError>>>,
    tended: Instant,
    untended: bool,
    /// Whether some generation serves, whether that is ahead of this one, when it is to be tried again to take over, and how often
    /// that was put off.
    served: bool,
    behind: bool,
    /// Where the log ended when it was read last, and whether it had grown since the time before.
    head: Position,
    grows: bool,
    pressed: u32,
    take_over_at: Instant,
    put_off: u32,
    epoch: Option<Epoch>,
    /// An event ahead that is known not to be folded: everything before it is, and then it stands there.
    stand: Option<Halt>,
    /// The event that could not be folded, and how often it was tried.
    tried: Option<(Position, u32)>,
    /// The event whose fold took too long.
    overdue: Option<Position>,
    /// The page that is being read ahead.
    ahead: Option<Ahead>,
}

/// An error, with what lies beneath it.
fn whole(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut beneath = error.source();
    while let Some(error) = beneath {
        text = format!("{text}: {error}");
        beneath = error.source();
    }
    text
}

impl Advance {
    /// Folds until it is told to stop, or the generation is gone.
    pub(crate) async fn run(mut self) {
        let mut stop = self.stop.clone();
        let stopped = async move {
            // Whoever is gone wants it to stop as well.
            drop(stop.wait_for(|stop| *stop).await);
        };
        let mut kept = None;
        tokio::select! {
            () = stopped => {}
            () = self.work(&mut kept) => {}
        }
        // Whoever has stopped it finds nothing moving any more.
        drop(self.at_work.write().await);
        if let Some(kept) = kept {
            kept.give_back().await;
        }
    }

    async fn work(&mut self, kept: &mut Option<Kept>) {
        let mut seen = self.watcher.subscribe();
        let (mut failed, mut failed_at) = (0, None);
        loop {
            let lease = match self.views.lease(&self.of, &self.holder, self.options.lease).await {
                Ok(Some(lease)) => lease,
                Ok(None) => {
                    sleep(self.options.standby).await;
                    continue;
                }
                Err(ViewError::Unknown(_)) => return,
                Err(error) => {
                    self.complain(&error);
                    sleep(self.options.standby).await;
                    continue;
                }
            };
            *kept = Some(Kept::keep(&self.views, lease.clone(), self.options.lease));
            let begins_at = self.look().await.ok().flatten().map(|state| state.checkpoint);
            let mut ended = self.hold(lease.clone(), &mut seen).await;
            // What has come further in between has not failed time after time.
            failed = if begins_at == failed_at { failed + 1 } else { 1 };
            failed_at = begins_at;
            if failed > self.options.retries
                && let Err(broke) = &ended
                && let Some(halt) = self.refused(broke).await
            {
                tracing::error!(view = %self.of, %halt, "a view comes to a halt");
                ended = self
                    .views
                    .halt(&lease, &halt)
                    .await
                    .map_err(Broke::View)
                    .and(Err(ViewError::Fenced.into()));
                self.watcher.look_again();
                failed = 0;
            }
            if let Some(kept) = kept.take() {
                kept.end().await;
            }
            match ended {
                Ok(()) | Err(Broke::View(ViewError::Unknown(_))) => return,
                // Someone else has it now, or did something to it: look again.
                Err(Broke::View(ViewError::Fenced)) => sleep(self.options.linger).await,
                Err(Broke::View(error)) => {
                    self.complain(&error);
                    sleep(self.options.standby).await;
                }
                Err(Broke::Store(error)) => {
                    self.complain(&error);
                    sleep(self.options.standby).await;
                }
            }
        }
    }

    /// Why it does not go on, when that is nothing that goes by itself: then it stands, and says so, rather than trying for ever.
    async fn refused(&self, broke: &Broke) -> Option<Halt> {
        let next = self.look().await.ok()??.checkpoint.position.next();
        let refused =
            |position, error: String| Halt { kind: HaltKind::Refused, position, event: None, error };
        match broke {
            Broke::View(ViewError::Fenced | ViewError::Unknown(_)) => None,
            Broke::View(error) if error.retry_helps() => None,
            Broke::Store(error) if error.retry_helps() => None,
            Broke::View(error) => Some(refused(next, whole(error))),
            Broke::Store(StoreError::Corrupt(damage)) => {
                let kind = if damage.position.is_some() { HaltKind::Corrupt } else { HaltKind::Refused };
                let position = damage.position.unwrap_or(next);
                Some(Halt { kind, position, event: None, error: damage.what.clone() })
            }
            Broke::Store(error) => Some(refused(next, whole(error))),
        }
    }

    pub(crate) fn complain(&self, error: &impl std::error::Error) {
        tracing::warn!(view = %self.of, %error, "a view can't go on just now");
    }

    /// Works as long as the lease is good.
    async fn hold(&mut self, lease: Lease, seen: &mut watch::Receiver<Seen>) -> Result<(), Broke> {
        let Some(state) = self.look().await? else { return Ok(()) };
        let folded_to = state.checkpoint;
        let mut hold = Hold {
            cache: Cache::of(&state.plan),
            lease,
            state,
            folded_to,
            under_way: VecDeque::new(),
            since: Instant::now(),
            handed_over: Instant::now(),
            handing_over: Duration::ZERO,
            gathered: Instant::now(),
            tending: None,
            tended: Instant::now(),
            untended: true,
            served: true,
            behind: false,
            head: Position::START,
            grows: false,
            pressed: 0,
            take_over_at: Instant::now(),
            put_off: 0,
            epoch: None,
            stand: None,
            tried: None,
            overdue: None,
            ahead: None,
        };
        // A program that has just begun may know better than the one that came to a halt.
        if !hold.state.has_diverged() && !std::mem::replace(&mut self.began, true) {
            hold.state.halt = None;
        }
        let ended = self.advance(&mut hold, seen).await;
        // Whatever ended it, nothing of this is under way when somebody looks where the generation stands.
        let mut through = Ok(());
        while !hold.under_way.is_empty() {
            through = through.and(self.through_one(&mut hold).await);
        }
        if let Some(tending) = hold.tending {
            drop(tending.await);
        }
        // What ended it is the reason; what comes to grief behind that is not.
        ended.and(through)
    }

    async fn advance(&mut self, hold: &mut Hold, seen: &mut watch::Receiver<Seen>) -> Result<(), Broke> {
        let mut head = self.tail.watch();
        let mut waiters = self.watcher.waiters();
        let mut checked = false;
        loop {
            head.mark_unchanged();
            waiters.mark_unchanged();
            if !self.obey(hold, seen).await? {
                return Ok(());
            }
            // Only now: what was told to wait is not built anew by itself.
            if !std::mem::replace(&mut checked, true) {
                self.check_the_log(hold).await?;
                continue;
            }
            let begun = Instant::now();
            let turned = self.turn(hold).await?;
            if hold.grows && !hold.state.ready && !hold.behind {
                // Others append: a build takes no more than a quarter of what there is, until it is about to overtake.
                sleep((begun.elapsed() * 3).min(PAUSE_MAX)).await;
            }
            match turned {
                Turn::Again => {}
                Turn::CaughtUp => self.rest(hold, &mut head, &mut waiters).await?,
                Turn::Halted(halt) => {
                    self.through(hold).await?;
                    tracing::error!(view = %self.of, %halt, "a view comes to a halt");
                    self.views.halt(&hold.lease, &halt).await?;
                    // What was seen before that knows nothing of it.
                    (hold.state.halt, hold.since) = (Some(halt), Instant::now());
                    self.watcher.look_again();
                }
            }
        }
    }

    async fn look(&self) -> Result<Option<GenerationState>, ViewError> {
        let all = self.views.generations().await?;
        Ok(all.into_iter().find(|state| state.of == self.of))
    }

    /// Waits while somebody has told it to, or while it stands halted. `false`: the generation is gone.
    async fn obey(&self, hold: &mut Hold, seen: &mut watch::Receiver<Seen>) -> Result<bool, Broke> {
        let mut waited = hold.state.halt.is_some();
        loop {
            let told = {
                let seen = seen.borrow_and_update();
                let serves = |state: &GenerationState| state.of.view == self.of.view && state.serving;
                let fresh = seen.at.filter(|at| *at > hold.since);
                // What the store had, it may have lost with the power, or with a server that was killed.
                let through = hold.under_way.is_empty() && !self.inline;
                let known = seen.at.filter(|at| through && *at > hold.handed_over && *at > hold.since);
                let is_there = |state: &GenerationState| state.checkpoint == hold.state.checkpoint;
                if known.is_some() && !seen.find(&self.of).is_none_or(is_there) {
                    return Err(ViewError::Fenced.into());
                }
                fresh.map(|_| (seen.find(&self.of).cloned(), seen.generations.iter().any(serves)))
            };
            match told {
                None => {}
                Some((None, _)) => return Ok(self.look().await?.is_some()),
                Some((Some(state), served)) => {
                    hold.served = served;
                    hold.state.paused = state.paused;
                    hold.state.skips = state.skips;
                    if waited {
                        hold.state.halt = state.halt;
                    }
                }
            }
            if !hold.state.paused && hold.state.halt.is_none() {
                if waited {
                    hold.tried = None;
                    self.start_again(hold).await?;
                    self.check_the_log(hold).await?;
                }
                if hold.state.halt.is_none() {
                    return Ok(true);
                }
            }
            waited = true;
            // Until something is seen to have changed; and every now and then in any case.
            drop(timeout(self.options.standby, seen.changed()).await);
        }
    }

    /// Goes back to where the store says that it stands.
    async fn start_again(&self, hold: &mut Hold) -> Result<(), Broke> {
        self.through(hold).await?;
        if let Some(state) = self.look().await? {
            hold.untended |= hold.folded_to != state.checkpoint;
            hold.folded_to = state.checkpoint;
            hold.state = state;
        }
        hold.cache.clear();
        (hold.stand, hold.ahead) = (None, None);
        Ok(())
    }

    /// Whether the generation was folded from this log: its last event must still be what it was.
    async fn check_the_log(&self, hold: &mut Hold) -> Result<(), Broke> {
        let head = self.store.head().await?;
        hold.epoch = Some(head.cursor.epoch().clone());
        let at = hold.state.checkpoint;
        let mut diverged = None;
        if at.position > head.cursor.position() {
            let error =
                format!("it is folded up to {}, and the log ends at {}", at.position, head.cursor.position());
            diverged = Some((at.position, error));
        } else if let Some((position, hash)) = at.folded {
            let query = LogQuery { until: Some(position), ..LogQuery::after(position.previous()) };
            let page = self.store.read_log(&query).await?;
            if page.events.first().is_none_or(|event| event.hash != hash) {
                diverged = Some((
                    position,
                    "the log has another event there than the one that was folded".to_owned(),
                ));
            }
        }
        let Some((position, error)) = diverged else {
            // What was thought to have diverged, and has not, goes on.
            if hold.state.has_diverged() {
                hold.state.halt = None;
            }
            return Ok(());
        };
        if !hold.state.has_diverged() {
            let halt = Halt { kind: HaltKind::Diverged, position, event: None, error };
            tracing::error!(view = %self.of, %halt, "a view is not of this log, and is built anew");
            self.views.halt(&hold.lease, &halt).await?;
            (hold.state.halt, hold.since) = (Some(halt), Instant::now());
        }
        // Unless that is done already: the newest build is this one.
        let all = self.views.generations().await?;
        let newer = |state: &GenerationState| {
            state.of.view == self.of.view
                && state.of.number == self.of.number
                && state.of.build > self.of.build
        };
        if !all.iter().any(newer) {
            self.views.begin_build(&self.defined.plan).await?;
        }
        self.watcher.look_again();
        Ok(())
    }

    /// Reads a page, folds it, and hands over what is finished.
    async fn turn(&self, hold: &mut Hold) -> Result<Turn, Broke> {
        if self.inline && hold.state.ready && hold.stand.is_none() {
            let before = hold.folded_to;
            self.start_again(hold).await?;
            if hold.folded_to != before {
                // The store itself is at it, within the appends.
                self.caught_up(hold).await?;
                return Ok(Turn::CaughtUp);
            }
        }
        if let Some(halt) = hold.stand.take_if(|halt| halt.position <= hold.folded_to.position.next()) {
            if hold.state.skips.contains(&halt.position) {
                // Told to leave out an event that can't even be read.
                hold.folded_to.position = halt.position;
                self.hand_over(hold, true).await?;
                return Ok(Turn::Again);
            }
            self.hand_over(hold, true).await?;
            return self.try_again(hold, halt).await;
        }
        let page = match self.page(hold).await {
            Ok(Some(page)) => page,
            Ok(None) => return Ok(Turn::Again),
            Err(Broke::Store(StoreError::Corrupt(damage))) => {
                self.stand_before(hold, damage);
                return Ok(Turn::Again);
            }
            Err(broke) => return Err(broke),
        };
        if hold.epoch.as_ref() != Some(page.head.epoch()) {
            // A log that began a new epoch may be another one from somewhere on.
            self.start_again(hold).await?;
            self.check_the_log(hold).await?;
            return Ok(Turn::Again);
        }
        let (end, scanned_to) = (page.end, page.scanned_to);
        self.read_ahead(hold, &page);
        let halt = self.fold(hold, page.events, scanned_to).await?;
        if halt.is_some() || !self.may_wait(hold) {
            self.hand_over(hold, end || halt.is_some()).await?;
        }
        // Between two pages only: what a page's events need was loaded for all of it.
        if hold.folded_to == hold.state.checkpoint
            && hold.cache.bytes() >= self.views.work_limits().building_bytes / 2
        {
            self.through(hold).await?;
            hold.cache.clear();
        }
        match halt {
            Some(halt) => self.try_again(hold, halt).await,
            None if end && hold.stand.is_none() => {
                self.caught_up(hold).await?;
                // The one in use has come further meanwhile: whoever wants to overtake it must not rest, or hardly ever.
                hold.pressed = if hold.behind { (hold.pressed + 1) % PRESSED_MAX } else { 0 };
                Ok(if hold.pressed > 0 { Turn::Again } else { Turn::CaughtUp })
            }
            None => Ok(Turn::Again),
        }
    }

    /// The log is damaged somewhere ahead.
    fn stand_before(&self, hold: &mut Hold, damage: Corruption) {
        let position = damage.position.unwrap_or_else(|| hold.folded_to.position.next());
        // Only an event that is known to be damaged can be left out.
        let kind = if damage.position.is_some() { HaltKind::Corrupt } else { HaltKind::Refused };
        hold.stand = Some(Halt { kind, position, event: None, error: damage.what });
    }

    /// An event that can't be folded is tried a few times more, at growing distances.
    async fn try_again(&self, hold: &mut Hold, halt: Halt) -> Result<Turn, Broke> {
        let tried = match hold.tried {
            Some((position, tried)) if position == halt.position => tried + 1,
            _ => 1,
        };
        // What took too long takes a thread with it each time.
        let hopeless = halt.kind == HaltKind::NeedsUpgrade || hold.overdue == Some(halt.position);
        if hopeless || tried > self.options.retries {
            hold.tried = None;
            return Ok(Turn::Halted(halt));
        }
        hold.tried = Some((halt.position, tried));
        hold.ahead = None;
        tracing::warn!(view = %self.of, %halt, tried, "an event could not be folded, and is tried again");
        sleep(self.options.retry_pause * 4_u32.saturating_pow(tried - 1)).await;
        Ok(Turn::Again)
    }

    /// Folds a page; in pieces, when it changes too many rows for one. Says why it could not go on.
    async fn fold(
        &self,
        hold: &mut Hold,
        events: Events,
        scanned_to: Position,
    ) -> Result<Option<Halt>, Broke> {
        if events.is_empty() {
            hold.folded_to.position = scanned_to;
            return Ok(None);
        }
        let mut cache = std::mem::replace(&mut hold.cache, Cache::of(&hold.state.plan));
        let (defined, skips) = (self.defined.clone(), hold.state.skips.clone());
        let (from, rows_max, current) = (hold.folded_to, self.rows_max(hold), Current::default());
        let noted = Arc::clone(&current);
        let looked = self.aside(hold, current, move || {
            let mut batch = match events {
                Events::Raw(events) => Batch::of(&defined, &skips, (events, scanned_to), &noted),
                Events::Looked(batch) => batch,
            };
            let wanted = batch.missing(&cache);
            // What has all its rows is folded on the spot.
            let folded = match wanted.is_empty() {
                true => Ok(batch.fold(&defined, &mut cache, from, rows_max, &noted)),
                false => Err((batch, wanted)),
            };
            (folded, cache)
        });
        let Some((folded, cache)) = looked.await? else { return Ok(None) };
        hold.cache = cache;
        let mut folded = match folded {
            Ok(folded) => Some(folded),
            Err((batch, wanted)) => {
                batch::load(&*self.views, &self.of, &mut hold.cache, wanted).await?;
                self.fold_batch(hold, batch).await?
            }
        };
        while let Some(Folded { to, stop, rest }) = folded.take() {
            hold.folded_to = to;
            if stop.is_some() {
                return Ok(stop);
            }
            if let Some(rest) = rest {
                self.hand_over(hold, true).await?;
                folded = self.fold_batch(hold, rest).await?;
            }
        }
        Ok(None)
    }

    fn rows_max(&self, hold: &Hold) -> usize {
        let limits = self.views.work_limits();
        if hold.state.ready { limits.rows } else { limits.building_rows }
    }

    /// Folds a batch whose rows are there. Nothing comes back when it took too long.
    async fn fold_batch(&self, hold: &mut Hold, batch: Batch) -> Result<Option<Folded>, Broke> {
        let mut cache = std::mem::replace(&mut hold.cache, Cache::of(&hold.state.plan));
        let (defined, from, current) = (self.defined.clone(), hold.folded_to, Current::default());
        let (rows_max, noted) = (self.rows_max(hold), Arc::clone(&current));
        let folded = self.aside(hold, current, move || {
            let folded = batch.fold(&defined, &mut cache, from, rows_max, &noted);
            (folded, cache)
        });
        Ok(folded.await?.map(|(folded, cache)| {
            hold.cache = cache;
            folded
        }))
    }

    /// Runs a fold where it may take its time, and gives it up when one event takes too long: what it held is lost, and the
    /// thread is left behind.
    async fn aside<T: Send + 'static>(
        &self,
        hold: &mut Hold,
        current: Current,
        fold: impl FnOnce() -> T + Send + 'static,
    ) -> Result<Option<T>, Broke> {
        self.in_time(hold, current, tokio::task::spawn_blocking(fold)).await
    }

    async fn in_time<T>(
        &self,
        hold: &mut Hold,
        current: Current,
        mut aside: JoinHandle<T>,
    ) -> Result<Option<T>, Broke> {
        let halt = loop {
            if let Ok(done) = timeout(Duration::from_millis(250), &mut aside).await {
                // A fold that panics is caught where it is called; a panic here is a fault of ours.
                return match done {
                    Ok(done) => Ok(Some(done)),
                    Err(error) => {
                        self.complain(&error);
                        Err(ViewError::Fenced.into())
                    }
                };
            }
            if let Some(halt) = batch::overdue(&current, self.options.event_budget) {
                break halt;
            }
        };
        self.start_again(hold).await?;
        (hold.overdue, hold.stand) = (Some(halt.position), Some(halt));
        Ok(None)
    }

    /// It has caught up: if it was being built, it takes over.
    async fn caught_up(&self, hold: &mut Hold) -> Result<(), Broke> {
        if !(hold.state.ready && hold.grows) {
            self.through(hold).await?;
        }
        hold.behind = false;
        if hold.under_way.is_empty() {
            self.tend(hold).await?;
        }
        // One that is ready and does not serve takes over when nobody else serves any more.
        if !(hold.state.ready && hold.served) && Instant::now() >= hold.take_over_at {
            self.take_over(hold).await?;
        }
        Ok(())
    }

    async fn take_over(&self, hold: &mut Hold) -> Result<(), Broke> {
        self.through(hold).await?;
        // A look is cheaper than an attempt.
        let all = self.views.generations().await?;
        hold.behind = matches!(succession(&all, &self.of), Some(Succession::Behind(_)));
        if hold.behind {
            return Ok(());
        }
        match self.views.take_over(&hold.lease).await {
            Ok(TakenOver::Done) => {
                if !hold.state.ready {
                    tracing::info!(view = %self.of, "a generation has caught up, and is ready");
                }
                (hold.state.ready, hold.served, hold.put_off) = (true, true, 0);
                self.watcher.look_again();
            }
            Ok(TakenOver::Behind(_)) => hold.behind = true,
            // Somebody reads one of the tables for long. Everyone who wants to read it waits behind each attempt, so these get rare.
            Err(error) if error.retry_helps() => {
                let wait = self.options.standby * 2_u32.saturating_pow(hold.put_off).min(64);
                (hold.take_over_at, hold.put_off) = (Instant::now() + wait, hold.put_off + 1);
                self.complain(&error);
            }
            Err(error) => return Err(error.into()),
        }
        Ok(())
    }

    /// Waits for the log to grow.
    async fn rest(
        &self,
        hold: &mut Hold,
        head: &mut watch::Receiver<Position>,
        waiters: &mut watch::Receiver<()>,
    ) -> Result<(), Broke> {
        let soon = !hold.state.ready || hold.untended || hold.tending.is_some();
        let mut most = if soon { self.options.linger } else { self.options.poll };
        let grown = self.through_unless(hold, head).await?;
        let unwritten = hold.folded_to != hold.state.checkpoint;
        if unwritten {
            most = most.min(self.options.settle.saturating_sub(hold.handed_over.elapsed()));
        }
        tokio::select! {
            grown = timeout(most, head.changed()), if !grown => {
                if let Ok(Err(_closed)) = grown {
                    sleep(most).await;
                }
            }
            // Whoever has come to wait for it waits for what is known already.
            Ok(()) = waiters.changed(), if unwritten => return Ok(()),
            () = std::future::ready(()), if grown => {}
        }
        let linger = match (self.inline, hold.state.ready) {
            // What is folded within the appends is only looked at, and what it has put off is done.
            (true, true) if soon => self.options.gather,
            (true, true) => self.options.settle,
            // Nobody waits for it: what comes together is folded and written together.
            (_, true) if !self.watcher.is_waited_for() => {
                let gather = self.defined.gather.unwrap_or(self.options.gather);
                gather.saturating_sub(hold.gathered.elapsed())
            }
            _ => return Ok(()),
        };
        tokio::select! {
            () = sleep(linger) => {}
            Ok(()) = waiters.changed(), if !self.inline => {}
        }
        Ok(())
    }
}
