//! Folds that were given up because one event took too long, and that are still at it.
//!
//! A thread can't be ended from outside. So that not everybody who asks leaves one behind, it is known which event it was of which
//! view, and whoever would fold that event is refused at once, until the thread has come to an end after all.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use flightdeck_core::{Epoch, Position};
use flightdeck_store::view::{Halt, ViewName};

/// Which view, of which life of the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Which {
    pub(super) view: ViewName,
    pub(super) number: u32,
    pub(super) epoch: Epoch,
}

/// The folds that do not end. Clones are the same list.
#[derive(Debug, Clone, Default)]
pub(super) struct Stuck(Arc<Mutex<Vec<(Which, Halt)>>>);

impl Stuck {
    fn all(&self) -> MutexGuard<'_, Vec<(Which, Halt)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Why a view can't be folded up to there, if it is known already.
    pub(super) fn before(&self, which: &Which, until: Position, skips: &[Position]) -> Option<Halt> {
        let all = self.all();
        let of = all
            .iter()
            .filter(|(of, halt)| of == which && halt.position <= until && !skips.contains(&halt.position));
        of.map(|(_, halt)| halt).min_by_key(|halt| halt.position).cloned()
    }

    pub(super) fn add(&self, which: Which, halt: Halt) {
        self.all().push((which, halt));
    }

    /// One of the threads that were left behind with that event has ended.
    pub(super) fn ended(&self, which: &Which, position: Position) {
        let mut all = self.all();
        if let Some(place) = all.iter().position(|(of, halt)| of == which && halt.position == position) {
            all.swap_remove(place);
        }
    }
}
