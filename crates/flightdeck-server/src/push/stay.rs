//! Whether somebody may go on following: the server is not stopping, and what was granted still is.

use std::task::{Context, Poll, ready};
use std::time::Duration;

use flightdeck_core::Ids as _;
use flightdeck_store::system::SystemIds;
use futures_util::future::LocalBoxFuture;
use tokio::sync::watch;
use tokio::time::Instant;

use crate::asker::{Ended, Granted};
use crate::caps::{Cap, Caps};

/// After so long without anything something is sent, so that both ends, and those between, know that the other is there.
pub(crate) const SILENCE: Duration = Duration::from_secs(15);
/// How far apart those leave, on the whole, whom a server sends away that stops.
const APART: Duration = Duration::from_millis(2);

/// Why somebody is sent away: the code tells a client whether to come again, and the text people why.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Leave(pub(crate) u16, pub(crate) &'static str);

impl Leave {
    /// The server stops.
    pub(crate) const AWAY: Self = Self(4001, "The server is going away.");
    const RAN_OUT: Self = Self(4010, "The credential has run out.");
    const TAKEN_BACK: Self = Self(4503, "What was granted is not, any more.");
    const UNKNOWN: Self = Self(4001, "It can't be found out whether what was granted still is.");
    /// What was granted is not, any more.
    pub(crate) const fn of(ended: Ended) -> Self {
        match ended {
            Ended::RanOut => Self::RAN_OUT,
            Ended::TakenBack => Self::TAKEN_BACK,
            Ended::Unknown => Self::UNKNOWN,
        }
    }

    /// The log can't be read.
    pub(crate) const FAILED: Self = Self(1011, "The log can't be read; the server's log says why.");
}

/// Whether somebody may go on.
pub(crate) struct Stay {
    granted: Granted,
    looking: Option<LocalBoxFuture<'static, (Granted, Option<Ended>)>>,
    stopping: watch::Receiver<bool>,
    /// When it leaves, once the server stops.
    leaves: Option<Instant>,
    /// For how long the server waits for those who are there.
    drain: Duration,
}

impl Stay {
    pub(crate) fn new(granted: Granted, stopping: watch::Receiver<bool>, caps: &Caps) -> Self {
        let drain = caps.time(Cap::DrainSeconds) / 2;
        Self { granted, looking: None, stopping, leaves: None, drain }
    }

    /// When to ask again, at the latest.
    pub(crate) fn look_at(&self) -> Instant {
        self.leaves.map_or_else(|| self.granted.look_at(), |leaves| leaves.min(self.granted.look_at()))
    }

    /// Asks; `Pending` while what was granted is looked up. `followers` is how many there are: they do not leave all at once.
    pub(crate) fn poll(&mut self, cx: &mut Context<'_>, followers: usize) -> Poll<Option<Leave>> {
        if *self.stopping.borrow() {
            let most = APART.saturating_mul(u32::try_from(followers).unwrap_or(u32::MAX)).min(self.drain);
            let leaves = *self.leaves.get_or_insert_with(|| Instant::now() + share(most));
            // One that is alone does not wait.
            if followers < 2 || Instant::now() >= leaves {
                return Poll::Ready(Some(Leave::AWAY));
            }
        }
        if self.looking.is_none() && Instant::now() >= self.granted.look_at() {
            let mut granted = self.granted.clone();
            self.looking = Some(Box::pin(async move {
                let ended = granted.ended().await;
                (granted, ended)
            }));
        }
        let Some(looking) = &mut self.looking else { return Poll::Ready(None) };
        let (granted, ended) = ready!(looking.as_mut().poll(cx));
        (self.granted, self.looking) = (granted, None);
        Poll::Ready(ended.map(Leave::of))
    }
}

/// A part of a time, by chance.
fn share(most: Duration) -> Duration {
    let thousandths = u32::try_from(SystemIds::default().random() % 1_000).unwrap_or(0);
    most * thousandths / 1_000
}
