//! What is folded, handed over to the store, and what the store has put off, done by it: both beside the loop that folds on.

use std::future::poll_fn;
use std::sync::Arc;
use std::task::Poll;
use std::time::{Duration, Instant};

use flightdeck_core::Position;
use flightdeck_store::view::{ViewError, Work};
use tokio::sync::watch;
use tokio::task::{JoinError, JoinHandle};
use tokio::time::sleep;

use super::{Advance, Broke, Hold, PAUSE_MAX};

/// How many pieces of a view that is in use the store may have at once: it takes what has come meanwhile together.
const UNDER_WAY_MAX: usize = 2;
/// For how many times as long as it took to hand something over nothing more of a build is, unless it is much.
const HANDING_OVER_SHARE: u32 = 6;

impl Advance {
    /// Hands over what is folded: at once for a generation that can be asked, in larger pieces for one that is being built. Nobody
    /// waits for the store here: what comes next is read and folded meanwhile.
    pub(super) async fn hand_over(&self, hold: &mut Hold, now: bool) -> Result<(), Broke> {
        while hold.under_way.front().is_some_and(JoinHandle::is_finished) {
            self.through_one(hold).await?;
        }
        let limits = self.views.work_limits();
        let pause = self.options.building_for.max(hold.handing_over * HANDING_OVER_SHARE);
        let full = hold.cache.touched() >= limits.building_rows
            || hold.cache.bytes() >= limits.building_bytes
            || (hold.under_way.is_empty() && hold.handed_over.elapsed() >= pause);
        if hold.folded_to == hold.state.checkpoint || !(now || hold.state.ready || full) {
            return Ok(());
        }
        let most = if hold.state.ready { UNDER_WAY_MAX } else { 1 };
        while hold.under_way.len() >= most {
            self.through_one(hold).await?;
        }
        // A store may go about one that is larger than any should be in more than one step, and nothing else goes between these.
        let large = hold.state.ready && hold.cache.touched() > limits.rows;
        if large {
            self.through(hold).await?;
        }
        let (lease, from, to) = (hold.lease.clone(), hold.state.checkpoint, hold.folded_to);
        let work = Work { lease, from, to, changes: hold.cache.changes() };
        hold.cache.settle();
        (hold.state.checkpoint, hold.gathered) = (to, Instant::now());
        let (views, watcher, of) = (Arc::clone(&self.views), self.watcher.clone(), self.of.clone());
        let at_work = Arc::clone(&self.at_work).read_owned().await;
        hold.untended |= !work.changes.is_empty();
        let mut applying = Box::pin(async move {
            let (begun, _at_work) = (Instant::now(), at_work);
            views.apply(work).await?;
            watcher.hint(&of, to);
            Ok(begun.elapsed())
        });
        // One of two is begun here, so that the store gets one piece after the other.
        let begun = match hold.state.ready {
            true => poll_fn(|context| Poll::Ready(applying.as_mut().poll(context))).await,
            false => Poll::Pending,
        };
        hold.under_way.push_back(match begun {
            Poll::Ready(applied) => tokio::spawn(std::future::ready(applied)),
            Poll::Pending => tokio::spawn(applying),
        });
        if large {
            self.through(hold).await?;
        }
        Ok(())
    }

    /// Whether it need not be written down yet how far it has looked: nothing was folded since, and nobody waits for it. Of many views on
    /// one log most find nothing in what is appended, and each of them would write that down.
    pub(super) fn may_wait(&self, hold: &Hold) -> bool {
        let nothing = hold.cache.touched() == 0 && hold.folded_to.folded == hold.state.checkpoint.folded;
        let in_use = hold.state.ready && hold.served && !self.inline && hold.stand.is_none();
        nothing && in_use && hold.handed_over.elapsed() < self.options.settle && !self.watcher.is_waited_for()
    }

    /// Waits until the store is through with all that was handed over.
    pub(super) async fn through(&self, hold: &mut Hold) -> Result<(), Broke> {
        while !hold.under_way.is_empty() {
            self.through_one(hold).await?;
        }
        Ok(())
    }

    pub(super) async fn through_one(&self, hold: &mut Hold) -> Result<(), Broke> {
        let Some(under_way) = hold.under_way.pop_front() else { return Ok(()) };
        let done = under_way.await;
        self.is_through(hold, done).await
    }

    /// Waits for what was handed over as long as nothing comes. Says whether something has.
    pub(super) async fn through_unless(
        &self,
        hold: &mut Hold,
        head: &mut watch::Receiver<Position>,
    ) -> Result<bool, Broke> {
        while let Some(front) = hold.under_way.front_mut() {
            tokio::select! {
                done = front => {
                    hold.under_way.pop_front();
                    self.is_through(hold, done).await?;
                }
                Ok(()) = head.changed() => return Ok(true),
            }
        }
        Ok(false)
    }

    async fn is_through(
        &self,
        hold: &mut Hold,
        done: Result<Result<Duration, ViewError>, JoinError>,
    ) -> Result<(), Broke> {
        hold.handing_over = done.unwrap_or_else(|broke| {
            // It was given up in the middle of it, as the program ends: where it stands is for the next one to see.
            self.complain(&broke);
            Err(ViewError::Fenced)
        })?;
        hold.handed_over = Instant::now();
        // What the store has put off must not be put off for as long as there is something to fold.
        match hold.state.ready && hold.tended.elapsed() >= self.options.tend {
            true => self.tend(hold).await,
            false => Ok(()),
        }
    }

    /// Has the store do some of what it has put off. Nobody waits for that here, but for a build, which is to be whole.
    pub(super) async fn tend(&self, hold: &mut Hold) -> Result<(), Broke> {
        if let Some(tending) = hold.tending.take_if(|tending| !hold.state.ready || tending.is_finished()) {
            hold.untended |= tending.await.unwrap_or(Err(ViewError::Fenced))?;
        }
        if !hold.state.ready {
            let mut begun = Instant::now();
            while self.views.tend(&hold.lease).await? {
                if hold.grows {
                    sleep(begun.elapsed().min(PAUSE_MAX)).await;
                }
                begun = Instant::now();
            }
            hold.untended = false;
        } else if hold.tending.is_none() && (hold.untended || hold.tended.elapsed() >= self.options.poll) {
            // What is still with the store puts off more. And a store may have put off the putting off itself.
            hold.untended = !hold.under_way.is_empty();
            let (views, lease) = (Arc::clone(&self.views), hold.lease.clone());
            let at_work = Arc::clone(&self.at_work).read_owned().await;
            hold.tending = Some(tokio::spawn(async move {
                let _at_work = at_work;
                views.tend(&lease).await
            }));
            hold.tended = Instant::now();
        }
        Ok(())
    }
}
