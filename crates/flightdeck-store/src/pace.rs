//! Giving way: what makes a view anew takes its time when others append, for they wait for the same disk and the same processors.

use std::time::Duration;

use flightdeck_core::Position;
use tokio::sync::watch;
use tokio::time::sleep;

/// How long a pause is, in times of what was done before it.
const PAUSE: u32 = 3;
/// No pause is longer.
const PAUSE_MAX: Duration = Duration::from_secs(1);
/// Nor are all of one transaction together: it holds what others wait for, and has to come to its end.
const PAUSES_MAX: Duration = Duration::from_secs(5);

/// The pace of a piece of work.
#[derive(Debug)]
pub struct Pace {
    head: Option<watch::Receiver<Position>>,
    /// How long it may still pause.
    left: Duration,
}

impl Pace {
    /// As fast as it goes.
    #[must_use]
    pub const fn full() -> Self {
        Self { head: None, left: Duration::ZERO }
    }

    /// As fast as it goes while nobody appends, and as slowly as need be beside others: of work whose every step is a transaction.
    #[must_use]
    pub fn of_steps(head: watch::Receiver<Position>) -> Self {
        Self { left: Duration::MAX, ..Self::beside(head) }
    }

    /// As fast as it goes while nobody appends: of one transaction.
    #[must_use]
    pub fn beside(mut head: watch::Receiver<Position>) -> Self {
        head.mark_unchanged();
        Self { head: Some(head), left: PAUSES_MAX }
    }

    fn is_to_give_way(&self) -> bool {
        // A store that is gone appends nothing.
        !self.left.is_zero() && self.head.as_ref().is_some_and(|head| head.has_changed().unwrap_or(false))
    }

    /// How many things may be under way at once.
    #[must_use]
    pub fn at_once(&self, most: usize) -> usize {
        if self.is_to_give_way() { 1 } else { most }
    }

    /// Pauses after something that took that long, if somebody has appended meanwhile.
    pub async fn give_way(&mut self, took: Duration) {
        if self.is_to_give_way() {
            let pause = (took * PAUSE).min(PAUSE_MAX).min(self.left);
            self.left -= pause;
            sleep(pause).await;
        }
        if let Some(head) = &mut self.head {
            head.mark_unchanged();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use flightdeck_core::Position;
    use tokio::sync::watch;
    use tokio::time::Instant;

    use super::{PAUSES_MAX, Pace};

    const TOOK: Duration = Duration::from_millis(100);

    async fn pauses(pace: &mut Pace) -> Duration {
        let begun = Instant::now();
        pace.give_way(TOOK).await;
        begun.elapsed()
    }

    #[tokio::test(start_paused = true)]
    async fn it_pauses_only_after_others_have_appended() {
        let head = watch::Sender::new(Position::START);
        let mut pace = Pace::beside(head.subscribe());
        assert_eq!(pauses(&mut pace).await, Duration::ZERO);
        head.send_replace(Position::new(7).unwrap());
        assert_eq!(pace.at_once(3), 1);
        assert!(pauses(&mut pace).await >= 2 * TOOK);
        assert_eq!((pauses(&mut pace).await, pace.at_once(3)), (Duration::ZERO, 3));
        head.send_replace(Position::new(8).unwrap());
        assert_eq!(pauses(&mut Pace::full()).await, Duration::ZERO);
    }

    #[tokio::test(start_paused = true)]
    async fn what_holds_nothing_gives_way_for_as_long_as_others_append() {
        let head = watch::Sender::new(Position::START);
        let mut pace = Pace::of_steps(head.subscribe());
        for number in 1..=200 {
            head.send_replace(Position::new(number).unwrap());
            assert!(pauses(&mut pace).await >= 2 * TOOK);
        }
    }

    #[tokio::test(start_paused = true)]
    async fn however_much_others_append_it_comes_to_its_end() {
        let head = watch::Sender::new(Position::START);
        let (mut pace, mut paused) = (Pace::beside(head.subscribe()), Duration::ZERO);
        for number in 1..=200 {
            head.send_replace(Position::new(number).unwrap());
            paused += pauses(&mut pace).await;
        }
        assert!(paused >= PAUSES_MAX && paused < PAUSES_MAX + Duration::from_millis(200), "{paused:?}");
        assert_eq!(pace.at_once(3), 3);
    }
}
