//! The connections that are open: counted as they come and go, so that an administrator sees what there is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use flightdeck_core::Timestamp;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};

use crate::caps::{Cap, Caps, Met};

/// By how much the clock of actix may be behind.
const CLOCK: Duration = Duration::from_millis(500);

/// The connections of a server.
#[derive(Debug, Clone)]
pub struct Connections {
    inner: Arc<Mutex<Inner>>,
    caps: Caps,
    met: Arc<Met>,
}

#[derive(Debug, Default)]
struct Inner {
    accepted: u64,
    open: BTreeMap<u64, Connection>,
    /// How many each caller has, of those whose connections are counted.
    callers: HashMap<String, usize>,
}

/// A connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Connection {
    /// The address at the other end; `None` for the socket of the machine.
    pub peer: Option<String>,
    /// Whether it came by the socket of the machine. What is known to have come that way, and nothing else: it may everything.
    pub local: bool,
    /// Since when it is open.
    pub since: Timestamp,
    /// Whose it is, if connections of one caller are counted.
    pub caller: Option<String>,
}

/// A connection is open as long as this is there.
#[derive(Debug)]
pub struct Open {
    number: u64,
    of: Connections,
    local: bool,
    beyond: usize,
    begun: Instant,
    has_asked: AtomicBool,
}

impl Open {
    /// Whether it came by the socket of the machine: whoever reaches that may do to the store what the server may.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.local
    }

    /// A request came by it. Whether its caller has more connections than may be.
    pub(crate) fn asks(&self) -> bool {
        self.has_asked.store(true, Ordering::Relaxed);
        self.beyond > 0
    }

    /// Whether its caller has so many more that nothing is answered any more.
    pub(crate) fn is_far_beyond(&self) -> bool {
        self.beyond > self.of.caps.get(Cap::CallerConnections)
    }
}

impl Connections {
    /// None yet, of a server that takes so much.
    #[must_use]
    pub fn new(caps: Caps, met: Arc<Met>) -> Self {
        Self { inner: Arc::default(), caps, met }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock can fail half way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is opened.
    #[must_use]
    pub fn opened(&self, connection: Connection) -> Open {
        let mut inner = self.lock();
        inner.accepted += 1;
        let (number, local) = (inner.accepted, connection.local);
        let has = connection.caller.clone().map_or(0, |caller| {
            let has = inner.callers.entry(caller).or_default();
            *has += 1;
            *has
        });
        inner.open.insert(number, connection);
        if inner.open.len() == self.caps.get(Cap::Connections) {
            self.met.note(Cap::Connections);
        }
        let beyond = has.saturating_sub(self.caps.get(Cap::CallerConnections));
        let (begun, has_asked) = (Instant::now(), AtomicBool::new(false));
        Open { number, of: self.clone(), local, beyond, begun, has_asked }
    }

    /// How many are open, and how many there were.
    #[must_use]
    pub fn count(&self) -> (u64, u64) {
        let inner = self.lock();
        (u64::try_from(inner.open.len()).unwrap_or(u64::MAX), inner.accepted)
    }

    /// Those that are open behind one, the oldest first, and whether there are more.
    #[must_use]
    pub fn list(&self, after: u64, most: usize) -> (Vec<(u64, Connection)>, bool) {
        let inner = self.lock();
        let mut behind = inner.open.range(after.saturating_add(1)..);
        let some =
            behind.by_ref().take(most).map(|(number, connection)| (*number, connection.clone())).collect();
        (some, behind.next().is_some())
    }
}

/// Sees to it that a connection ends when there is nobody at the other end any more, or nobody who takes what is sent.
pub(crate) fn end_when_gone(connection: impl AsFd, stalled: Duration) -> rustix::io::Result<()> {
    set_socket_keepalive(&connection, true)?;
    set_tcp_keepidle(&connection, stalled)?;
    set_tcp_keepintvl(&connection, Duration::from_secs(5))?;
    set_tcp_keepcnt(&connection, 3)?;
    set_tcp_user_timeout(&connection, u32::try_from(stalled.as_millis()).unwrap_or(u32::MAX))
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut inner = self.of.lock();
        let caller = inner.open.remove(&self.number).and_then(|connection| connection.caller);
        if let Some(Entry::Occupied(mut has)) = caller.map(|caller| inner.callers.entry(caller)) {
            *has.get_mut() -= 1;
            if *has.get() == 0 {
                has.remove();
            }
        }
        drop(inner);
        // Whoever opens one and says nothing is given up by then.
        let is_silent = !self.has_asked.load(Ordering::Relaxed);
        if is_silent && self.begun.elapsed() + CLOCK >= self.of.caps.time(Cap::HeadSeconds) {
            self.of.met.note(Cap::HeadSeconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Connection, Connections};
    use crate::caps::{Cap, Caps, Met};

    #[test]
    fn a_connection_is_listed_for_as_long_as_it_is_open() {
        let all = Connections::new(Caps::default(), Arc::default());
        let since = flightdeck_core::Timestamp::from_micros(0).unwrap();
        let open = |peer: &str| {
            all.opened(Connection { peer: Some(peer.to_owned()), local: false, since, caller: None })
        };
        let (first, second, third) = (open("a"), open("b"), open("c"));
        assert_eq!(all.count(), (3, 3));
        drop(second);
        assert_eq!(all.count(), (2, 3));
        let (listed, more) = all.list(0, 1);
        assert_eq!((listed[0].0, listed.len(), more), (1, 1, true));
        let (listed, more) = all.list(1, 1);
        assert_eq!((listed[0].0, listed.len(), more), (3, 1, false));
        drop((first, third));
        assert_eq!(all.list(0, 10), (vec![], false));
    }

    #[test]
    fn whoever_has_too_many_is_told_and_nobody_else() {
        let (caps, met) =
            (Caps::default().with(Cap::CallerConnections, 2).unwrap(), Arc::new(Met::default()));
        let all = Connections::new(caps.with(Cap::Connections, 5).unwrap(), Arc::clone(&met));
        let since = flightdeck_core::Timestamp::from_micros(0).unwrap();
        let open = |caller: &str| {
            let caller = Some(caller.to_owned());
            all.opened(Connection { peer: None, local: false, since, caller })
        };
        let of_a: Vec<_> = (0..5).map(|_| open("a")).collect();
        let told: Vec<_> = of_a.iter().map(|open| (open.asks(), open.is_far_beyond())).collect();
        assert_eq!(told, [(false, false), (false, false), (true, false), (true, false), (true, true)]);
        assert!(!open("b").asks());
        assert_eq!((met.count(Cap::Connections), met.count(Cap::HeadSeconds)), (1, 0));
        drop(of_a);
        assert!(!open("a").asks() && all.lock().callers.is_empty());
    }
}
