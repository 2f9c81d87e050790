//! What is written down of those who ask: that somebody was refused, once a caller, status and minute, and that a credential was used,
//! once an hour. What administrators do stands in the log by itself: each act is an event, with who did it.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use flightdeck_core::{Clock, EventType, Json, StreamId, Timestamp};
use flightdeck_store::{Append, EventStore, NewEvent};
use serde_json::{Value, json};
use tokio::sync::mpsc;

/// The stream in which it stands, with what was done to views.
const STREAM: &str = "$audit";
/// What is written down in a minute at the most: whoever wants to fill the log must find another way.
const A_MINUTE_MAX: usize = 60;
/// What may wait to be written down.
const WAITING_MAX: usize = 256;
/// What one entry has, in bytes, at the most.
const ENTRY_BYTES_MAX: usize = 4 * 1024;

const MINUTE: i64 = 60 * 1_000_000;
const HOUR: i64 = 60 * MINUTE;

/// Writes down who was refused, and whose credential was used.
pub(crate) struct Audit {
    noted: Mutex<Noted>,
    entries: mpsc::Sender<(&'static str, Value)>,
    clock: Arc<dyn Clock>,
}

/// What was written down in this minute, and in this hour.
#[derive(Default)]
struct Noted {
    minute: i64,
    hour: i64,
    /// Refusals, and credentials, in this minute: neither drives the other out.
    in_minute: [usize; 2],
    denied: HashSet<(String, u16)>,
    used: HashSet<String>,
}

impl Noted {
    fn turn_to(&mut self, now: Timestamp) {
        let (minute, hour) = (now.micros().div_euclid(MINUTE), now.micros().div_euclid(HOUR));
        if std::mem::replace(&mut self.minute, minute) != minute {
            (self.in_minute, self.denied) = ([0, 0], HashSet::new());
        }
        if std::mem::replace(&mut self.hour, hour) != hour {
            self.used = HashSet::new();
        }
    }

    /// Whether a refusal is to be written down.
    fn denies(&mut self, caller: &str, status: u16) -> bool {
        let is_new = self.in_minute[0] < A_MINUTE_MAX && self.denied.insert((caller.to_owned(), status));
        self.in_minute[0] += usize::from(is_new);
        is_new
    }

    /// Whether it is to be written down that a credential was used.
    fn uses(&mut self, caller: &str) -> bool {
        let is_new = self.in_minute[1] < A_MINUTE_MAX && !self.used.contains(caller);
        is_new && self.used.insert(caller.to_owned()) && {
            self.in_minute[1] += 1;
            true
        }
    }
}

impl Audit {
    /// Needs a tokio runtime. It ends with the last handle on it, and with what was written down by then.
    pub(crate) fn start(store: Arc<dyn EventStore>, clock: Arc<dyn Clock>) -> Self {
        let (entries, mut waiting) = mpsc::channel(WAITING_MAX);
        tokio::spawn(async move {
            while let Some((name, data)) = waiting.recv().await {
                if let Err(error) = write(&*store, name, &data).await {
                    tracing::warn!(%error, %data, "who was refused, or let in, could not be written down");
                }
            }
        });
        Self { noted: Mutex::default(), entries, clock }
    }

    /// Somebody was refused.
    pub(crate) fn denied(&self, caller: &str, status: u16, method: &str, route: &str) {
        if self.note(|noted| noted.denies(caller, status)) {
            let data = json!({ "caller": caller, "status": status, "method": method, "route": route });
            self.write("AccessDenied", data);
        }
    }

    /// Somebody showed a good credential.
    pub(crate) fn used(&self, caller: &str) {
        if self.note(|noted| noted.uses(caller)) {
            self.write("CredentialUsed", json!({ "caller": caller }));
        }
    }

    fn note(&self, is_new: impl FnOnce(&mut Noted) -> bool) -> bool {
        let mut noted = self.noted.lock().unwrap_or_else(PoisonError::into_inner);
        noted.turn_to(self.clock.now());
        is_new(&mut noted)
    }

    fn write(&self, name: &'static str, data: Value) {
        if let Err(error) = self.entries.try_send((name, data)) {
            tracing::warn!(%error, "who was refused, or let in, could not be written down");
        }
    }
}

async fn write(
    store: &dyn EventStore,
    name: &str,
    data: &Value,
) -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    let data = Json::new(data.to_string(), ENTRY_BYTES_MAX)?;
    let event = NewEvent::new(StreamId::new(STREAM)?, EventType::new(name)?, data);
    store.append(Append::of([event])).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use flightdeck_core::Timestamp;

    use super::{A_MINUTE_MAX, HOUR, MINUTE, Noted};

    #[test]
    fn the_same_is_written_down_once_and_much_only_so_often() {
        let mut noted = Noted::default();
        let denied = |noted: &mut Noted, at: i64, caller: &str| {
            noted.turn_to(Timestamp::from_micros(at).unwrap());
            noted.denies(caller, 401)
        };
        assert!(denied(&mut noted, 0, "a") && !denied(&mut noted, 1, "a"));
        assert!(denied(&mut noted, MINUTE, "a"));
        let many = (0..1_000).filter(|number| denied(&mut noted, MINUTE, &number.to_string())).count();
        assert_eq!(many, A_MINUTE_MAX - 1);
        assert!(denied(&mut noted, 2 * MINUTE, "b"));
        let used = |noted: &mut Noted, at: i64| {
            noted.turn_to(Timestamp::from_micros(at).unwrap());
            noted.uses("ada")
        };
        assert!(used(&mut noted, 3 * MINUTE) && !used(&mut noted, 4 * MINUTE) && used(&mut noted, HOUR));
    }
}
