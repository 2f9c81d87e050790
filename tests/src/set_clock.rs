//! A clock that a test sets before each append, so that the same moments are in every log.

use std::sync::atomic::{AtomicI64, Ordering};

use flightdeck_core::{Clock, Timestamp};

/// Stands where it was set, at first in 1970.
#[derive(Default)]
pub struct SetClock(AtomicI64);

impl Clock for SetClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst)).unwrap()
    }
}

impl SetClock {
    /// From now on it is that moment.
    pub fn set(&self, now: Timestamp) {
        self.0.store(now.micros(), Ordering::SeqCst);
    }
}
