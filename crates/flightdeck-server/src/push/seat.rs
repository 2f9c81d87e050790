//! Who follows: counted for each caller, and told of with the connection that it follows by.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use flightdeck_core::Position;

/// By what somebody follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// Server-Sent Events.
    Events,
    /// Lines.
    Lines,
    /// A WebSocket, on which every message is an event.
    Messages,
    /// A WebSocket, with the protocol.
    Protocol,
}

impl Transport {
    /// All of them.
    pub(crate) const ALL: [Self; 4] = [Self::Events, Self::Lines, Self::Messages, Self::Protocol];

    /// What it is called.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Lines => "lines",
            Self::Messages => "messages",
            Self::Protocol => "protocol",
        }
    }
}

/// What is told of somebody who follows.
#[derive(Debug)]
pub(crate) struct Told {
    pub(crate) transport: Transport,
    position: AtomicI64,
    bytes: AtomicU64,
    subscriptions: AtomicU32,
    is_live: AtomicBool,
    /// Whether it has everything.
    waits: AtomicBool,
}

impl Told {
    pub(crate) fn new(transport: Transport) -> Arc<Self> {
        let (position, bytes) = (AtomicI64::new(0), AtomicU64::new(0));
        let (subscriptions, is_live) = (AtomicU32::new(0), AtomicBool::new(false));
        let waits = AtomicBool::new(false);
        Arc::new(Self { transport, position, bytes, subscriptions, is_live, waits })
    }

    /// So far is it, whoever of it is furthest behind; whether all of it is at the end of the log, and whether it has everything.
    pub(crate) fn is_at(&self, position: Position, is_live: bool, waits: bool) {
        self.waits.store(waits, Ordering::Relaxed);
        self.position.store(position.get(), Ordering::Relaxed);
        self.is_live.store(is_live, Ordering::Relaxed);
    }

    /// So many bytes more were handed out.
    pub(crate) fn handed_out(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// It follows so many things.
    pub(crate) fn follows(&self, subscriptions: usize) {
        let subscriptions = u32::try_from(subscriptions).unwrap_or(u32::MAX);
        self.subscriptions.store(subscriptions, Ordering::Relaxed);
    }

    pub(crate) fn position(&self) -> Position {
        Position::new(self.position.load(Ordering::Relaxed)).unwrap_or(Position::START)
    }

    /// How many positions it is behind that head: none, if it waits for more.
    pub(crate) fn lag(&self, head: Position) -> i64 {
        let is_behind = self.subscriptions() > 0 && !self.waits.load(Ordering::Relaxed);
        if is_behind { (head.get() - self.position().get()).max(0) } else { 0 }
    }

    pub(crate) fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    pub(crate) fn subscriptions(&self) -> u32 {
        self.subscriptions.load(Ordering::Relaxed)
    }

    pub(crate) fn is_live(&self) -> bool {
        self.is_live.load(Ordering::Relaxed)
    }
}

/// How many follow, of each caller that is counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Seats(Arc<Mutex<HashMap<String, usize>>>);

/// Somebody follows as long as this is there.
#[derive(Debug)]
pub(crate) struct Seat {
    of: Seats,
    caller: Option<String>,
    pub(crate) told: Arc<Told>,
}

impl Seats {
    /// One more for a caller, of whom there may be so many. One who is not counted always has one.
    pub(crate) fn take(&self, caller: Option<String>, most: usize, transport: Transport) -> Option<Seat> {
        if let Some(caller) = &caller {
            let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
            let has = all.entry(caller.clone()).or_default();
            if *has >= most {
                return None;
            }
            *has += 1;
        }
        Some(Seat { of: self.clone(), caller, told: Told::new(transport) })
    }
}

impl Seat {
    /// The seat of somebody who has none.
    pub(crate) fn of_nobody(told: Arc<Told>) -> Self {
        Self { of: Seats::default(), caller: None, told }
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some(caller) = self.caller.take() else { return };
        let mut all = self.of.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(has) = all.get_mut(&caller) {
            *has -= 1;
            if *has == 0 {
                all.remove(&caller);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Seats, Transport};

    #[test]
    fn a_caller_has_so_many_and_then_none() {
        let all = Seats::default();
        let take = |caller: &str| all.take(Some(caller.to_owned()), 2, Transport::Events);
        let (first, second) = (take("a").unwrap(), take("a").unwrap());
        assert!(take("a").is_none() && take("b").is_some());
        drop(first);
        let third = take("a").unwrap();
        assert!(take("a").is_none() && all.take(None, 0, Transport::Events).is_some());
        drop((second, third));
        assert!(all.0.lock().unwrap().is_empty());
    }
}
