//! The end of the log, read once for everybody on a node who follows it.
//!
//! A tail is no source of its own. It holds what was read of the log last, and answers a read from that if it holds all of it; any
//! other read is the store's. So whoever goes on from a position need not know from where the events come: the log and its tail have the
//! same order, and each is whole in its stretch.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use flightdeck_core::{Cursor, Position};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use crate::event::Recorded;
use crate::page::{Filling, Span, page_bytes};
use crate::port::EventStore;
use crate::read::{Direction, LogPage, LogQuery, StoreError};

/// What an event takes beside its data, about.
const EVENT_BYTES: usize = 400;

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
    held: Arc<Mutex<Held>>,
    seen: watch::Receiver<Position>,
    task: tokio::task::AbortHandle,
}

impl Drop for Inner {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// One read's events.
struct Stretch {
    to: Position,
    events: Vec<Recorded>,
    bytes: usize,
    read_at: Instant,
}

/// Everything behind `after` up to `head`; nothing at all while there is no head.
#[derive(Default)]
struct Held {
    after: Position,
    head: Option<Cursor>,
    stretches: VecDeque<Arc<Stretch>>,
    bytes: usize,
}

impl Held {
    /// Holds nothing, and goes on from that head.
    fn begin(&mut self, head: Cursor) {
        *self = Self { after: head.position(), head: Some(head), ..Self::default() };
    }

    /// Takes in what was read behind the head.
    fn take_in(&mut self, page: LogPage, options: &TailOptions) {
        let bytes = page.events.iter().map(|event| EVENT_BYTES + page_bytes(event)).sum();
        if !page.events.is_empty() {
            let (to, read_at) = (page.scanned_to, Instant::now());
            self.stretches.push_back(Arc::new(Stretch { to, events: page.events, bytes, read_at }));
            self.bytes += bytes;
        }
        let goes = |held: &Self, first: &Stretch| {
            held.bytes > options.bytes || first.read_at.elapsed() > options.age
        };
        while self.stretches.front().is_some_and(|first| goes(self, first))
            && let Some(first) = self.stretches.pop_front()
        {
            (self.after, self.bytes) = (first.to, self.bytes - first.bytes);
        }
        self.head = Some(Cursor::new(page.head.epoch().clone(), page.scanned_to));
    }
}

fn lock(held: &Mutex<Held>) -> MutexGuard<'_, Held> {
    held.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Tail {
    /// Begins to read at the head. Needs a tokio runtime with time.
    #[must_use]
    pub fn start(store: Arc<dyn EventStore>, options: TailOptions) -> Self {
        let held = Arc::new(Mutex::new(Held::default()));
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
        let held = lock(&self.0.held);
        held.head.as_ref().is_some_and(|head| (held.after..=head.position()).contains(&after))
    }

    /// The page that the store would have answered when the tail was read last; nothing, if the tail does not hold all of what it is
    /// about. Its head is that of then.
    #[must_use]
    pub fn page(&self, query: &LogQuery) -> Option<LogPage> {
        let (head, stretches) = {
            let held = lock(&self.0.held);
            let head = held.head.clone()?;
            let after = query.after.position();
            let forward = query.direction == Direction::Forward;
            if !forward || after < held.after || after > head.position() || !query.after.is_of(head.epoch()) {
                return None;
            }
            let first = held.stretches.partition_point(|stretch| stretch.to <= after);
            (head, held.stretches.range(first..).cloned().collect::<Vec<_>>())
        };
        let span = Span::of(query, head.position());
        let mut filling = Filling::new(&query.filter, query.limit.get());
        let asked = stretches.iter().flat_map(|stretch| &stretch.events);
        let asked = asked.skip_while(|event| event.position <= span.after);
        for event in asked.take_while(|event| event.position <= span.until) {
            if !filling.look_at_one_of(event) {
                break;
            }
        }
        let (scanned_to, end) = span.end(filling.looked_at);
        Some(LogPage { events: filling.events, scanned_to, head, end })
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
    held: Arc<Mutex<Held>>,
    tell: watch::Sender<Position>,
}

impl Reading {
    async fn run(self) {
        let mut head = self.store.watch();
        loop {
            head.mark_unchanged();
            let next = Instant::now() + self.options.linger;
            let (told, more) = match self.read().await {
                Ok(more) => (lock(&self.held).head.as_ref().map(Cursor::position), more),
                // Whoever follows the log reads it for themselves then, and sees why that can't be done.
                Err(_) => {
                    *lock(&self.held) = Held::default();
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
        let known = lock(&self.held).head.clone();
        let Some(known) = known else {
            let head = self.store.head().await?;
            lock(&self.held).begin(head.cursor);
            return Ok(true);
        };
        let page = match self.store.read_log(&LogQuery::after(known)).await {
            Ok(page) => page,
            Err(StoreError::EpochChanged { head }) => {
                lock(&self.held).begin(head);
                return Ok(true);
            }
            Err(error) => return Err(error),
        };
        let more = !page.end;
        lock(&self.held).take_in(page, &self.options);
        Ok(more)
    }
}
