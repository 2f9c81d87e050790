//! Reactors: what does something because of an event, and is no view. At least once, from a checkpoint of its own.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use flightdeck_core::Position;
use flightdeck_store::view::{
    Checkpoint, GenerationState, Halt, HaltKind, Lease, TakenOver, ViewError, Work,
};
use flightdeck_store::{Corruption, LogQuery, Recorded, StoreError};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::advance::Advance;
use crate::kept::Kept;
use crate::projection::Reads;
use crate::watch::Seen;

/// Where a reactor begins when it runs for the first time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Begin {
    /// With what is appended from then on.
    Now,
    /// With the first event of the log.
    Beginning,
}

/// Does something because of an event: sends a mail, calls another system, appends a command's outcome.
///
/// - Every event that it reads comes to it at least once, in the order of the log. After a crash, or when another node took over,
///   some come again: the event's id tells that.
/// - It has a checkpoint of its own. A rebuild of a view never reaches it, for what was done was done. Another number goes on where the
///   one before stands, as soon as no program runs that any more; from then on the one before rests.
/// - One node reacts at a time.
/// - An error, a panic, or taking too long is tried again a few times, at growing distances; then the reactor comes to a halt before
///   that event, like a view. A program that starts tries once more.
#[async_trait]
pub trait Reactor: Send + Sync + 'static {
    /// What it is called. Views and reactors share their names.
    fn name(&self) -> &'static str;

    /// The number: what reads something else takes the next one.
    fn number(&self) -> u32 {
        1
    }

    /// Which events it reads.
    fn reads(&self) -> Reads;

    /// Where it begins when it runs for the first time.
    fn begin(&self) -> Begin {
        Begin::Now
    }

    /// Does it.
    ///
    /// # Errors
    /// When it could not be done.
    async fn react(&self, event: &Recorded) -> Result<(), Box<dyn Error + Send + Sync>>;
}

/// A reactor's loop.
pub(crate) struct React {
    pub(crate) advance: Advance,
    pub(crate) reactor: Arc<dyn Reactor>,
}

impl React {
    /// Reacts until it is told to stop.
    pub(crate) async fn run(self) {
        let mut stop = self.advance.stop.clone();
        let mut kept = None;
        tokio::select! {
            _ = stop.wait_for(|stop| *stop) => {}
            () = self.work(&mut kept) => {}
        }
        if let Some(kept) = kept {
            kept.give_back().await;
        }
    }

    async fn work(&self, kept: &mut Option<Kept>) {
        let (advance, mut seen) = (&self.advance, self.advance.watcher.subscribe());
        let mut began = false;
        loop {
            match advance.views.lease(&advance.of, &advance.holder, advance.options.lease).await {
                Ok(Some(lease)) => {
                    *kept = Some(Kept::keep(&advance.views, lease.clone(), advance.options.lease));
                    let ended = self.hold(&lease, &mut seen, !std::mem::replace(&mut began, true)).await;
                    if let Some(kept) = kept.take() {
                        kept.end().await;
                    }
                    match ended {
                        Err(ViewError::Unknown(_)) => return,
                        Err(ViewError::Fenced) | Ok(()) => {}
                        Err(error) => advance.complain(&error),
                    }
                }
                Ok(None) => {}
                Err(ViewError::Unknown(_)) => return,
                Err(error) => advance.complain(&error),
            }
            sleep(advance.options.standby).await;
        }
    }

    /// Reacts as long as the lease is good. Ends when something has to be looked at anew. A program that begins tries once more
    /// what has come to a halt.
    async fn hold(
        &self,
        lease: &Lease,
        seen: &mut watch::Receiver<Seen>,
        begins: bool,
    ) -> Result<(), ViewError> {
        let advance = &self.advance;
        let all = advance.views.generations().await?;
        let gone = || ViewError::Unknown(advance.of.to_string());
        let state = all.iter().find(|state| state.of == advance.of).ok_or_else(gone)?;
        let newer = |other: &GenerationState| {
            other.of.view == state.of.view && other.of.number > state.of.number && other.ready
        };
        if state.paused || (state.halt.is_some() && !begins) || all.iter().any(newer) {
            return Ok(());
        }
        let Some(mut at) = self.begin(lease, state, &all).await? else { return Ok(()) };
        let mut head = advance.store.watch();
        let since = Instant::now();
        loop {
            head.mark_unchanged();
            let rests = |seen: &Seen| {
                let told = seen.at.filter(|at| *at > since).map(|_| seen.find(&advance.of));
                let told = told.is_some_and(|told| {
                    told.is_none_or(|told| told.paused || told.skips.len() != state.skips.len())
                });
                told || seen.generations.iter().any(newer)
            };
            if rests(&seen.borrow_and_update()) {
                return Ok(());
            }
            let query = LogQuery { limit: advance.options.page, ..LogQuery::after(at.position) };
            let page = match advance.store.read_log(&query.matching(advance.defined.filter.clone())).await {
                Ok(page) => page,
                Err(StoreError::Corrupt(damage)) => {
                    return self.stand_before(lease, at, &state.skips, damage).await;
                }
                Err(error) => return Err(error.into()),
            };
            for event in page.events {
                if state.skips.contains(&event.position) {
                    continue;
                }
                // Each may take long, and whoever wants it to wait does not want the rest of the page.
                if rests(&seen.borrow()) {
                    return Ok(());
                }
                if let Err(halt) = self.react(&event).await {
                    return self.halt(lease, &halt).await;
                }
                let to = Checkpoint { position: event.position, folded: Some((event.position, event.hash)) };
                self.move_on(lease, &mut at, to).await?;
            }
            let scanned = Checkpoint { position: page.scanned_to, ..at };
            if scanned.position > at.position {
                self.move_on(lease, &mut at, scanned).await?;
            }
            if page.end
                && let Ok(Err(_closed)) = timeout(advance.options.poll, head.changed()).await
            {
                sleep(advance.options.poll).await;
            }
        }
    }

    async fn halt(&self, lease: &Lease, halt: &Halt) -> Result<(), ViewError> {
        tracing::error!(view = %self.advance.of, %halt, "a reactor comes to a halt");
        self.advance.views.halt(lease, halt).await?;
        self.advance.watcher.look_again();
        Ok(())
    }

    /// The log is damaged ahead: what comes before that is reacted to first, one event after the other.
    async fn stand_before(
        &self,
        lease: &Lease,
        mut at: Checkpoint,
        skips: &[Position],
        damage: Corruption,
    ) -> Result<(), ViewError> {
        let advance = &self.advance;
        let position = damage.position.unwrap_or_else(|| at.position.next());
        while at.position.next() < position {
            let filter = advance.defined.filter.clone();
            let query = LogQuery { until: Some(position.previous()), ..LogQuery::after(at.position) };
            let page = advance.store.read_log(&query.matching(filter)).await.map_err(ViewError::Store)?;
            for event in page.events.iter().filter(|event| !skips.contains(&event.position)) {
                if let Err(halt) = self.react(event).await {
                    return self.halt(lease, &halt).await;
                }
                let to = Checkpoint { position: event.position, folded: Some((event.position, event.hash)) };
                self.move_on(lease, &mut at, to).await?;
            }
            if page.scanned_to > at.position {
                let to = Checkpoint { position: page.scanned_to, ..at };
                self.move_on(lease, &mut at, to).await?;
            }
        }
        if skips.contains(&position) {
            let to = Checkpoint { position, ..at };
            return self.move_on(lease, &mut at, to).await;
        }
        let kind = if damage.position.is_some() { HaltKind::Corrupt } else { HaltKind::Refused };
        self.halt(lease, &Halt { kind, position, event: None, error: damage.what }).await
    }

    /// Where it begins: where it stands, or, for the first time, where the number before stands, or where it wants to. Nothing as
    /// long as some program still runs the number before.
    async fn begin(
        &self,
        lease: &Lease,
        state: &GenerationState,
        all: &[GenerationState],
    ) -> Result<Option<Checkpoint>, ViewError> {
        let advance = &self.advance;
        let mut at = state.checkpoint;
        if state.ready {
            return Ok(Some(at));
        }
        let before = |other: &&GenerationState| {
            other.of.view == state.of.view && other.of.number < state.of.number && other.ready
        };
        // While this has the lease of the one before, that moves no further.
        let (to, held) = match all.iter().rev().find(before) {
            Some(before) => {
                let Some(held) =
                    advance.views.lease(&before.of, &advance.holder, advance.options.lease).await?
                else {
                    return Ok(None);
                };
                let all = advance.views.generations().await?;
                let now = all
                    .iter()
                    .find(|other| other.of == before.of)
                    .map_or(before.checkpoint, |now| now.checkpoint);
                (now, Some(held))
            }
            // It had begun, and was killed before it was ready.
            None if at != Checkpoint::START => (at, None),
            None if self.reactor.begin() == Begin::Beginning => (Checkpoint::START, None),
            None => {
                let head = advance.store.head().await?;
                let position = head.cursor.position();
                let folded = (position.get() > 0).then_some((position, head.hash));
                (Checkpoint { position, folded }, None)
            }
        };
        if to != at {
            self.move_on(lease, &mut at, to).await?;
        }
        let taken = advance.views.take_over(lease).await;
        if let Some(held) = held {
            advance.views.give_back(&held).await?;
        }
        Ok((taken? == TakenOver::Done).then_some(at))
    }

    async fn move_on(&self, lease: &Lease, at: &mut Checkpoint, to: Checkpoint) -> Result<(), ViewError> {
        let work = Work { lease: lease.clone(), from: *at, to, changes: Vec::new() };
        self.advance.views.apply(work).await?;
        *at = to;
        self.advance.watcher.hint(&self.advance.of, to);
        Ok(())
    }

    /// Reacts to one event, and tries again a few times when that fails.
    async fn react(&self, event: &Recorded) -> Result<(), Halt> {
        if !self.advance.defined.reads.reads(event)? {
            return Ok(());
        }
        let options = &self.advance.options;
        let mut tried = 0;
        loop {
            // In a task of its own: one that panics ends no more than that, and one that hangs is given up.
            let (reactor, own) = (Arc::clone(&self.reactor), event.clone());
            let mut reaction = tokio::spawn(async move { reactor.react(&own).await });
            let error = match timeout(options.reaction_budget, &mut reaction).await {
                Ok(Ok(Ok(()))) => return Ok(()),
                Ok(Ok(Err(error))) => error.to_string(),
                Ok(Err(broke)) => format!("the reactor panicked: {broke}"),
                Err(_late) => {
                    reaction.abort();
                    format!("it took longer than {} seconds", options.reaction_budget.as_secs_f32())
                }
            };
            if tried == options.retries {
                let (position, event) = (event.position, Some(event.id));
                return Err(Halt { kind: HaltKind::Poison, position, event, error });
            }
            tracing::warn!(view = %self.advance.of, %error, tried, "a reactor failed, and tries again");
            sleep(options.retry_pause * 4_u32.saturating_pow(tried)).await;
            tried += 1;
        }
    }
}
