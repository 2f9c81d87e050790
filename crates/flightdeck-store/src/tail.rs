//! The end of the log, read once for everybody on a node who follows it.
//!
//! A tail is no source of its own. It holds what was read of the log last, and answers a read from that if it holds all of it; any
//! other read is the store's. So whoever goes on from a position need not know from where the events come: the log and its tail have the
//! same order, and each is whole in its stretch.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flightdeck_core::{Cursor, Position};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::newest::Newest;
use crate::port::EventStore;
use crate::read::{LogPage, LogQuery, StoreError};

/// How a tail goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TailOptions {
    /// How much it holds, in bytes, about.
    pub bytes: usize,
    /// For how long: what is erased in the log is gone here after that as well.
    pub age: Duration,
    /// How far two of its reads are apart at least, so that what comes together is read together. The first after a silence is at once.
    pub linger: Duration,
    /// How often it looks although nothing told of the log.
    pub poll: Duration,
}

impl Default for TailOptions {
    fn default() -> Self {
        Self {
            bytes: 4 << 20,
            age: Duration::from_secs(10),
            linger: Duration::from_millis(5),
            poll: Duration::from_secs(1),
        }
    }
}

/// The tail of a log. Clones are handles on the same; it ends with the last one.
#[derive(Clone)]
pub struct Tail(Arc<Inner>);

struct Inner {
    held: Arc<Mutex<Newest>>,
    seen: watch::Receiver<Position>,
    task: tokio::task::AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn lock(held: &Mutex<Newest>) -> MutexGuard<'_, Newest> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    /// Begins to read at the head. Needs a tokio runtime with time.
    #[must_use]
    pub fn start(store: Arc<dyn EventStore>, options: TailOptions) -> Self {
        let held = Arc::new(Mutex::new(Newest::new(options.bytes, options.age)));
        let (tell, seen) = watch::channel(Position::START);
        let reading = Reading { store, options, held: Arc::clone(&held), tell };
        let task = tokio::spawn(reading.run()).abort_handle();
        Self(Arc::new(Inner { held, seen, task }))
    }

    /// Something to wait on: it changes soon after the head did, whether that could be read or not. A hint.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Position> {
        self.0.seen.clone()
    }

    /// Whether everything behind that position is held.
    #[must_use]
    pub fn holds(&self, after: Position) -> bool {
        lock(&self.0.held).holds(after)
    }

    /// The page that the store would have answered when the tail was read last; nothing, if the tail does not hold all of what it is
    /// about. Its head is that of then.
    #[must_use]
    pub fn page(&self, query: &LogQuery) -> Option<LogPage> {
        let asked = lock(&self.0.held).ask(query)?;
        Some(asked.page(query))
    }
}

impl std::fmt::Debug for Tail {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tail").finish_non_exhaustive()
    }
}

/// What reads it.
struct Reading {
    store: Arc<dyn EventStore>,
    options: TailOptions,
    held: Arc<Mutex<Newest>>,
    tell: watch::Sender<Position>,
}

impl Reading {
    async fn run(self) {
        let mut head = self.store.watch();
        loop {
            head.mark_unchanged();
            let next = Instant::now() + self.options.linger;
            let (told, more) = match self.read().await {
                Ok(more) => (lock(&self.held).head().map(Cursor::position), more),
                // Whoever follows the log reads it for themselves then, and sees why that can't be done.
                Err(_) => {
                    lock(&self.held).begin(None);
                    (Some(*head.borrow()), false)
                }
            };
            if let Some(told) = told {
                self.tell.send_if_modified(|seen| std::mem::replace(seen, told) != told);
            }
            if more {
                continue;
            }
            if let Ok(Err(_closed)) = timeout(self.options.poll, head.changed()).await {
                sleep_until(Instant::now() + self.options.poll).await;
            }
            sleep_until(next).await;
        }
    }

    /// Reads what has come. Whether there is more.
    async fn read(&self) -> Result<bool, StoreError> {
        let known = lock(&self.held).head().cloned();
        let Some(known) = known else {
            let head = self.store.head().await?;
            lock(&self.held).begin(Some(head.cursor));
            return Ok(true);
        };
        let query = LogQuery::after(known);
        // Only what has come: that there is nothing is for the log to say, which knows of another epoch.
        let fresh = self.store.newest(&query).filter(|page| !page.events.is_empty());
        let read = match fresh {
            Some(page) => Ok(page),
            None => self.store.read_log(&query).await,
        };
        let page = match read {
            Ok(page) => page,
            Err(StoreError::EpochChanged { head }) => {
                lock(&self.held).begin(Some(head));
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let LogPage { events, scanned_to, head, end } = page;
        lock(&self.held).take_in(events, Cursor::new(head.epoch().clone(), scanned_to));
        Ok(!end)
    }
}
