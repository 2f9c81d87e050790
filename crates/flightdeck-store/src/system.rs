//! The real clock and the real source of ids: the one place where this crate looks outside.
#![expect(clippy::disallowed_methods, reason = "this is the edge that the rule sends everyone else to")]

use flightdeck_core::{Clock, EventId, Ids, Timestamp};
use uuid::{ContextV7, Uuid};

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        let micros = since.map_or(0, |since| i64::try_from(since.as_micros()).unwrap_or(i64::MAX));
        Timestamp::from_micros(micros).unwrap_or_else(|_| epoch())
    }
}

/// 1970: what a clock says that is beyond the year 9999.
fn epoch() -> Timestamp {
    #[expect(clippy::expect_used, reason = "0 is within the range")]
    Timestamp::from_micros(0).expect("0 is a time")
}

/// UUIDs of version 7: they rise with time, also within a millisecond.
#[derive(Debug, Default)]
pub struct SystemIds {
    context: std::sync::Mutex<ContextV7>,
}

impl Ids for SystemIds {
    fn event_id(&self, now: Timestamp) -> EventId {
        let seconds = u64::try_from(now.micros().div_euclid(1_000_000)).unwrap_or(0);
        let nanos = u32::try_from(now.micros().rem_euclid(1_000_000) * 1_000).unwrap_or(0);
        let context = self.context.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        let uuid = Uuid::new_v7(uuid::Timestamp::from_unix(&*context, seconds, nanos));
        // Version 7 sets bits of its own, so it is never nil; a random one is not either.
        EventId::new(uuid).unwrap_or_else(|_| self.event_id(now))
    }

    fn random(&self) -> u128 {
        Uuid::new_v4().as_u128() ^ Uuid::new_v4().as_u128().rotate_left(64)
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_core::{Clock, Ids};

    use super::{SystemClock, SystemIds};

    #[test]
    fn ids_rise_also_within_a_microsecond() {
        let (clock, ids) = (SystemClock, SystemIds::default());
        let now = clock.now();
        let made: Vec<_> = (0..1_000).map(|_| ids.event_id(now)).collect();
        assert!(made.windows(2).all(|pair| pair[0] < pair[1]));
        assert_ne!(ids.random(), ids.random());
    }

    #[test]
    fn the_clock_is_of_this_century() {
        assert!(SystemClock.now().to_string().starts_with("20"));
    }
}
