//! Folding a batch of events into rows that are held: the same for whoever runs live, anew, or once for a question.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use flightdeck_core::{EventId, Position};
use flightdeck_store::Recorded;
use flightdeck_store::view::{
    Cache, Checkpoint, FoldError, Generation, Halt, HaltKind, Key, ViewError, ViewStore, Wanted, keys_of,
};

use crate::projection::Defined;

/// The events of a page that are to be folded, each with the rows it is about.
pub(crate) struct Batch {
    events: Vec<(Recorded, Vec<Key>)>,
    /// How far the page looked, when all of it can be folded.
    scanned_to: Position,
    /// Why what comes next can't be.
    stop: Option<Halt>,
}

/// How far a batch was folded.
#[derive(Debug)]
pub(crate) struct Folded {
    pub(crate) to: Checkpoint,
    /// Why the event behind can't be folded.
    pub(crate) stop: Option<Halt>,
    /// Events of the batch that are still to be folded, because there were too many rows.
    pub(crate) rest: Option<Batch>,
}

impl std::fmt::Debug for Batch {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Batch")
            .field("events", &self.events.len())
            .field("stop", &self.stop)
            .finish_non_exhaustive()
    }
}

/// Which event is being folded, and since when: for whoever watches that it does not take for ever.
pub(crate) type Current = Arc<Mutex<Option<(Position, EventId, Instant)>>>;

fn poison(event: &Recorded, error: &FoldError) -> Halt {
    Halt { kind: HaltKind::Poison, position: event.position, event: Some(event.id), error: error.to_string() }
}

impl Batch {
    /// Looks at the events of a page: which are read, and the rows that they are about.
    pub(crate) fn of(
        defined: &Defined,
        skips: &[Position],
        (events, scanned_to): (Vec<Recorded>, Position),
        current: &Current,
    ) -> Self {
        let mut batch = Self { events: Vec::with_capacity(events.len()), scanned_to, stop: None };
        for event in events {
            if skips.contains(&event.position) {
                continue;
            }
            note(current, Some((event.position, event.id, Instant::now())));
            let keys = match defined.reads.reads(&event) {
                Ok(false) => continue,
                Ok(true) => keys_of(&*defined.fold, &event).map_err(|error| poison(&event, &error)),
                Err(halt) => Err(halt),
            };
            match keys {
                Ok(keys) => batch.events.push((event, keys)),
                Err(halt) => {
                    batch.stop = Some(halt);
                    break;
                }
            }
        }
        note(current, None);
        batch
    }

    /// The rows that it is about and that are not held. What is behind an event with a key that does not fit is left out of it.
    pub(crate) fn missing(&mut self, cache: &Cache) -> Wanted {
        let mut wanted = Wanted::new();
        let mut fit = 0;
        for (event, keys) in &self.events {
            match cache.missing(keys) {
                Ok(missing) => wanted.extend(missing),
                Err(error) => {
                    self.stop = Some(poison(event, &error));
                    break;
                }
            }
            fit += 1;
        }
        self.events.truncate(fit);
        wanted.sort_unstable();
        wanted.dedup();
        wanted
    }

    /// Folds it into rows that are held, until `rows_max` of them may have changed.
    pub(crate) fn fold(
        self,
        defined: &Defined,
        cache: &mut Cache,
        from: Checkpoint,
        rows_max: usize,
        current: &Current,
    ) -> Folded {
        let mut to = from;
        let mut done = 0;
        let mut events = self.events.into_iter();
        while let Some((event, keys)) = events.next() {
            if done > 0 && cache.touched() + keys.len() > rows_max {
                let mut left = vec![(event, keys)];
                left.extend(events);
                let rest = Some(Self { events: left, scanned_to: self.scanned_to, stop: self.stop });
                return Folded { to, stop: None, rest };
            }
            note(current, Some((event.position, event.id, Instant::now())));
            let folded = cache.fold(&*defined.fold, &event, &keys);
            if let Err(error) = folded {
                note(current, None);
                to.position = event.position.previous();
                return Folded { to, stop: Some(poison(&event, &error)), rest: None };
            }
            to = Checkpoint { position: event.position, folded: Some((event.position, event.hash)) };
            done += 1;
        }
        note(current, None);
        to.position = self.stop.as_ref().map_or(self.scanned_to, |halt| halt.position.previous());
        Folded { to, stop: self.stop, rest: None }
    }
}

fn note(current: &Current, now: Option<(Position, EventId, Instant)>) {
    *current.lock().unwrap_or_else(PoisonError::into_inner) = now;
}

/// The event that has been folded for longer than that, if there is one.
pub(crate) fn overdue(current: &Current, budget: Duration) -> Option<Halt> {
    let current = *current.lock().unwrap_or_else(PoisonError::into_inner);
    let (position, event, since) = current?;
    (since.elapsed() > budget).then(|| Halt {
        kind: HaltKind::Poison,
        position,
        event: Some(event),
        error: format!("it took longer than {} seconds to fold", budget.as_secs_f32()),
    })
}

/// Loads rows into what is held.
pub(crate) async fn load(
    views: &dyn ViewStore,
    of: &Generation,
    cache: &mut Cache,
    wanted: Wanted,
) -> Result<(), ViewError> {
    if !wanted.is_empty() {
        let rows = views.load(of, wanted.clone()).await?;
        cache.take_in(wanted, rows);
    }
    Ok(())
}
