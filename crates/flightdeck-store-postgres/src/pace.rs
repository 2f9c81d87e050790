//! Giving way: what makes a view anew takes its time when others append, for they wait for the same disk and the same processors.

use std::time::Duration;

use flightdeck_core::Position;
use tokio::sync::watch;
use tokio::time::sleep;

/// How long a pause is, in times of what was done before it.
const PAUSE: u32 = 3;
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(1);

/// The pace of a piece of work.
pub(crate) struct Pace(Option<watch::Receiver<Position>>);

impl Pace {
    /// As fast as it goes.
    pub(crate) const fn full() -> Self {
        Self(None)
    }

    /// As fast as it goes while nobody appends.
    pub(crate) fn beside(mut head: watch::Receiver<Position>) -> Self {
        head.mark_unchanged();
        Self(Some(head))
    }

    fn is_to_give_way(&self) -> bool {
        // A store that is gone appends nothing.
        self.0.as_ref().is_some_and(|head| head.has_changed().unwrap_or(false))
    }

    /// How many things may be under way at once.
    pub(crate) fn at_once(&self, most: usize) -> usize {
        if self.is_to_give_way() { 1 } else { most }
    }

    /// Pauses after something that took that long, if somebody has appended meanwhile.
    pub(crate) async fn give_way(&mut self, took: Duration) {
        if self.is_to_give_way() {
            sleep((took * PAUSE).min(PAUSE_MAX)).await;
        }
        if let Some(head) = &mut self.0 {
            head.mark_unchanged();
        }
    }
}
