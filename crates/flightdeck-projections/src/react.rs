//! Reactors: what does something because of an event, and is no view. At least once, from a checkpoint of its own.

use std::error::Error;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use flightdeck_store::view::{Checkpoint, GenerationState, Halt, HaltKind, Lease, ViewError, Work};
use flightdeck_store::{LogQuery, Recorded};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::advance::{Advance, Kept};
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
/// - It has a checkpoint of its own. A rebuild of a view never reaches it, for what was done was done; another number goes on where the
///   one before stands.
/// - One node reacts at a time.
/// - An error is tried again a few times, at growing distances; then the reactor comes to a halt before that event, like a view.
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
        loop {
            match advance.views.lease(&advance.of, &advance.holder, advance.options.lease).await {
                Ok(Some(lease)) => {
                    *kept = Some(advance.keep(lease.clone()));
                    let ended = self.hold(&lease, &mut seen).await;
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

    /// Reacts as long as the lease is good. Ends when something has to be looked at anew.
    async fn hold(&self, lease: &Lease, seen: &mut watch::Receiver<Seen>) -> Result<(), ViewError> {
        let advance = &self.advance;
        let all = advance.views.generations().await?;
        let gone = || ViewError::Unknown(advance.of.to_string());
        let state = all.iter().find(|state| state.of == advance.of).ok_or_else(gone)?;
        if state.paused || state.halt.is_some() {
            return Ok(());
        }
        let mut at = self.begin(lease, state, &all).await?;
        let mut head = advance.store.watch();
        let since = Instant::now();
        loop {
            head.mark_unchanged();
            {
                let seen = seen.borrow_and_update();
                let told = seen.at.filter(|at| *at > since).map(|_| seen.find(&advance.of));
                if told.is_some_and(|state| state.is_none_or(|state| state.paused || state.halt.is_some())) {
                    return Ok(());
                }
            }
            let query = LogQuery { limit: advance.options.page, ..LogQuery::after(at.position) };
            let page = advance.store.read_log(&query.matching(advance.defined.filter.clone())).await?;
            for event in page.events {
                if state.skips.contains(&event.position) {
                    continue;
                }
                if let Err(halt) = self.react(&event).await {
                    tracing::error!(view = %advance.of, %halt, "a reactor comes to a halt");
                    advance.views.halt(lease, &halt).await?;
                    advance.watcher.look_again();
                    return Ok(());
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

    /// Where it begins: where it stands, or, for the first time, where the number before stands, or where it wants to.
    async fn begin(
        &self,
        lease: &Lease,
        state: &GenerationState,
        all: &[GenerationState],
    ) -> Result<Checkpoint, ViewError> {
        let advance = &self.advance;
        let mut at = state.checkpoint;
        if !state.ready {
            let before = all
                .iter()
                .rev()
                .find(|other| other.of.view == state.of.view && other.of.number < state.of.number);
            let to = match (before, self.reactor.begin()) {
                (Some(before), _) => before.checkpoint,
                (None, Begin::Beginning) => Checkpoint::START,
                (None, Begin::Now) => {
                    let head = advance.store.head().await?;
                    let position = head.cursor.position();
                    let folded = (position.get() > 0).then_some((position, head.hash));
                    Checkpoint { position, folded }
                }
            };
            if to != at {
                self.move_on(lease, &mut at, to).await?;
            }
            advance.views.take_over(lease).await?;
        }
        Ok(at)
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
            let Err(error) = self.reactor.react(event).await else { return Ok(()) };
            if tried == options.retries {
                let (position, event) = (event.position, Some(event.id));
                return Err(Halt { kind: HaltKind::Poison, position, event, error: error.to_string() });
            }
            tracing::warn!(view = %self.advance.of, %error, tried, "a reactor failed, and tries again");
            sleep(options.retry_pause * 4_u32.saturating_pow(tried)).await;
            tried += 1;
        }
    }
}
