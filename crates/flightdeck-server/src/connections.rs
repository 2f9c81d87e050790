//! The connections that are open: counted as they come and go, so that an administrator sees what there is.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flightdeck_core::Timestamp;
use rustix::net::sockopt::{
    set_socket_keepalive, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl, set_tcp_user_timeout,
};

/// The connections of a server.
#[derive(Debug, Clone, Default)]
pub struct Connections(Arc<Mutex<Inner>>);

#[derive(Debug, Default)]
struct Inner {
    accepted: u64,
    open: BTreeMap<u64, Connection>,
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
}

/// A connection is open as long as this is there.
#[derive(Debug)]
pub struct Open {
    number: u64,
    of: Connections,
    local: bool,
}

impl Open {
    /// Whether it came by the socket of the machine: whoever reaches that may do to the store what the server may.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.local
    }
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock can fail half way.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is opened.
    #[must_use]
    pub fn opened(&self, connection: Connection) -> Open {
        let mut inner = self.lock();
        inner.accepted += 1;
        let (number, local) = (inner.accepted, connection.local);
        inner.open.insert(number, connection);
        Open { number, of: self.clone(), local }
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
        self.of.lock().open.remove(&self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::{Connection, Connections};

    #[test]
    fn a_connection_is_listed_for_as_long_as_it_is_open() {
        let all = Connections::default();
        let since = flightdeck_core::Timestamp::from_micros(0).unwrap();
        let open = |peer: &str| all.opened(Connection { peer: Some(peer.to_owned()), local: false, since });
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
}
