//! The connections that are open: counted as they come and go, so that an administrator sees what there is.

use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::os::fd::{AsFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};

use flightdeck_core::Timestamp;
use rustix::net::sockopt::{
    set_socket_keepalive, set_socket_send_buffer_size, set_tcp_keepcnt, set_tcp_keepidle, set_tcp_keepintvl,
    set_tcp_user_timeout,
};
use rustix::net::{Shutdown, shutdown};

use crate::caps::{Cap, Caps, Met};
use crate::push::seat::Told;

/// How often connections are looked at.
const LOOK: Duration = Duration::from_secs(1);
/// What the machine holds of what was sent to somebody who follows, about.
const SENT_BYTES: usize = 128 * 1024;
/// By how much the clock of actix may be behind.
const CLOCK: Duration = Duration::from_millis(500);

/// The connections of a server.
#[derive(Debug, Clone)]
pub struct Connections {
    inner: Arc<Mutex<Inner>>,
    caps: Caps,
    /// How many there may be.
    most: usize,
    met: Arc<Met>,
}

#[derive(Debug, Default)]
struct Inner {
    accepted: u64,
    open: BTreeMap<u64, (Connection, Arc<Use>)>,
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

/// A connection as it is listed.
#[derive(Debug)]
pub(crate) struct Listed {
    pub(crate) number: u64,
    pub(crate) connection: Connection,
    /// What is told of who follows the log by it.
    pub(crate) follows: Option<Arc<Told>>,
}

/// A connection is open as long as this is there.
#[derive(Debug)]
pub struct Open {
    number: u64,
    of: Connections,
    local: bool,
    beyond: usize,
    begun: Instant,
    used: Arc<Use>,
}

/// What a connection is used for.
#[derive(Debug)]
struct Use {
    /// By what it is cut off.
    end: Option<OwnedFd>,
    now: Mutex<Now>,
}

#[derive(Debug)]
struct Now {
    /// Requests that are being answered.
    busy: usize,
    /// Since when there are none.
    idle: Instant,
    has_asked: bool,
    /// What is told of who follows the log by it, as long as that is there.
    follows: Weak<Told>,
}

impl Use {
    fn now(&self) -> MutexGuard<'_, Now> {
        self.now.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Cuts it off. Whatever is left of it hears so.
    fn cut(&self) {
        if let Some(end) = &self.end
            && let Err(error) = shutdown(end, Shutdown::Both)
        {
            tracing::debug!(%error, "a connection could not be cut off");
        }
    }
}

/// A request is being answered as long as this is there.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Use>);

impl Drop for Busy {
    fn drop(&mut self) {
        let mut now = self.0.now();
        now.busy -= 1;
        now.idle = Instant::now();
    }
}

impl Open {
    /// Whether it came by the socket of the machine: whoever reaches that may do to the store what the server may.
    #[must_use]
    pub const fn is_local(&self) -> bool {
        self.local
    }

    /// A request came by it.
    pub(crate) fn begins(&self) -> Busy {
        let mut now = self.used.now();
        (now.busy, now.has_asked) = (now.busy + 1, true);
        Busy(Arc::clone(&self.used))
    }

    /// Somebody follows the log by it.
    pub(crate) fn follows(&self, told: &Arc<Told>) {
        // What the machine holds for a reader that is slow is not the reader's yet: with much of that nobody could tell one that takes little
        // from one that takes nothing.
        if let Some(end) = &self.used.end
            && let Err(error) = set_socket_send_buffer_size(end, SENT_BYTES)
        {
            tracing::debug!(%error, "a connection that follows holds as much as the machine likes");
        }
        self.used.now().follows = Arc::downgrade(told);
    }

    /// Whether its caller has more connections than may be.
    pub(crate) const fn is_crowded(&self) -> bool {
        self.beyond > 0
    }

    /// Cuts it off if its caller has so many more that nothing is answered any more.
    pub(crate) fn cut_if_far_beyond(&self) {
        if self.beyond > self.of.caps.get(Cap::CallerConnections) {
            self.of.met.note(Cap::CallerConnections);
            self.used.cut();
        }
    }
}

impl Connections {
    /// None yet, of a server that takes so much, with so many threads.
    #[must_use]
    pub fn new(caps: Caps, workers: usize, met: Arc<Met>) -> Self {
        let most = each(&caps, workers) * workers.max(1);
        Self { inner: Arc::default(), caps, most, met }
    }

    /// Cuts off those on which nothing was answered for so long that whatever comes there is no request: actix looks at the time of
    /// the first alone. For as long as anybody holds them.
    pub(crate) async fn watch(self) {
        let (inner, met) = (Arc::downgrade(&self.inner), Arc::clone(&self.met));
        let most = self.caps.time(Cap::KeepAliveSeconds) + self.caps.time(Cap::HeadSeconds);
        drop(self);
        loop {
            tokio::time::sleep(LOOK).await;
            let Some(inner) = inner.upgrade() else { return };
            let inner = inner.lock().unwrap_or_else(PoisonError::into_inner);
            for (_, used) in inner.open.values() {
                let mut now = used.now();
                if now.busy == 0 && now.idle.elapsed() > most {
                    // It goes soon; if it can't, the next look is as far away.
                    now.idle = Instant::now();
                    drop(now);
                    met.note(Cap::KeepAliveSeconds);
                    used.cut();
                }
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        // Nothing that is done under the lock can fail half way.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One is opened.
    #[must_use]
    pub fn opened(&self, connection: Connection, end: Option<OwnedFd>) -> Open {
        let mut inner = self.lock();
        inner.accepted += 1;
        let (number, local) = (inner.accepted, connection.local);
        let has = connection.caller.clone().map_or(0, |caller| {
            let has = inner.callers.entry(caller).or_default();
            *has += 1;
            *has
        });
        let (begun, busy) = (Instant::now(), 0);
        let now = Mutex::new(Now { busy, idle: begun, has_asked: false, follows: Weak::new() });
        let used = Arc::new(Use { end, now });
        inner.open.insert(number, (connection, Arc::clone(&used)));
        if inner.open.len() >= self.most {
            self.met.note(Cap::Connections);
        }
        let beyond = has.saturating_sub(self.caps.get(Cap::CallerConnections));
        Open { number, of: self.clone(), local, beyond, begun, used }
    }

    /// How many are open, and how many there were.
    #[must_use]
    pub fn count(&self) -> (u64, u64) {
        let inner = self.lock();
        (u64::try_from(inner.open.len()).unwrap_or(u64::MAX), inner.accepted)
    }

    /// Those that are open behind one, the oldest first, and whether there are more.
    pub(crate) fn list(&self, after: u64, most: usize) -> (Vec<Listed>, bool) {
        let inner = self.lock();
        let mut behind = inner.open.range(after.saturating_add(1)..);
        let some = behind
            .by_ref()
            .take(most)
            .map(|(number, (connection, used))| {
                let follows = used.now().follows.upgrade();
                Listed { number: *number, connection: connection.clone(), follows }
            })
            .collect();
        (some, behind.next().is_some())
    }
}

impl Connections {
    /// What is told of those who follow the log.
    pub(crate) fn followers(&self) -> Vec<Arc<Told>> {
        let inner = self.lock();
        inner.open.values().filter_map(|(_, used)| used.now().follows.upgrade()).collect()
    }
}

/// How many connections each thread takes.
pub(crate) fn each(caps: &Caps, workers: usize) -> usize {
    (caps.get(Cap::Connections) / workers.max(1)).max(1)
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
        let caller = inner.open.remove(&self.number).and_then(|(connection, _)| connection.caller);
        if let Some(Entry::Occupied(mut has)) = caller.map(|caller| inner.callers.entry(caller)) {
            *has.get_mut() -= 1;
            if *has.get() == 0 {
                has.remove();
            }
        }
        drop(inner);
        // Whoever opens one and says nothing is given up by then.
        let is_silent = !self.used.now().has_asked;
        if is_silent && self.begun.elapsed() + CLOCK >= self.of.caps.time(Cap::HeadSeconds) {
            self.of.met.note(Cap::HeadSeconds);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::{Connection, Connections, Open};
    use crate::caps::{Cap, Caps, Met};

    #[test]
    fn a_connection_is_listed_for_as_long_as_it_is_open() {
        let all = Connections::new(Caps::default(), 1, Arc::default());
        let since = flightdeck_core::Timestamp::from_micros(0).unwrap();
        let open = |peer: &str| {
            all.opened(Connection { peer: Some(peer.to_owned()), local: false, since, caller: None }, None)
        };
        let (first, second, third) = (open("a"), open("b"), open("c"));
        assert_eq!(all.count(), (3, 3));
        drop(second);
        assert_eq!(all.count(), (2, 3));
        let (listed, more) = all.list(0, 1);
        assert_eq!((listed[0].number, listed.len(), more), (1, 1, true));
        let (listed, more) = all.list(1, 1);
        assert_eq!((listed[0].number, listed.len(), more), (3, 1, false));
        drop((first, third));
        assert!(all.list(0, 10).0.is_empty());
    }

    #[test]
    fn whoever_has_too_many_is_told_and_nobody_else() {
        let (caps, met) =
            (Caps::default().with(Cap::CallerConnections, 2).unwrap(), Arc::new(Met::default()));
        let all = Connections::new(caps.with(Cap::Connections, 5).unwrap(), 1, Arc::clone(&met));
        let since = flightdeck_core::Timestamp::from_micros(0).unwrap();
        let open = |caller: &str| {
            let caller = Some(caller.to_owned());
            all.opened(Connection { peer: None, local: false, since, caller }, None)
        };
        let of_a: Vec<_> = (0..5).map(|_| open("a")).collect();
        let told: Vec<_> = of_a.iter().map(Open::is_crowded).collect();
        assert_eq!(told, [false, false, true, true, true]);
        of_a.iter().for_each(Open::cut_if_far_beyond);
        assert!(!open("b").is_crowded());
        let counted = [Cap::Connections, Cap::HeadSeconds, Cap::CallerConnections].map(|cap| met.count(cap));
        assert_eq!(counted, [2, 0, 1]);
        drop(of_a);
        assert!(!open("a").is_crowded() && all.lock().callers.is_empty());
    }
}
