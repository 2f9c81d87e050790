//! Following the log: from a cursor through history to live, with no gap and nothing twice.
//!
//! A follower is a cursor and pages of the log, nothing more. What wakes it is only a hint: it reads from
//! where it is, so it can't miss what it was not told of, and holds at most one page, however slow it is
//! read. The change from history to live is no event of its own: a page came to the end.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use flightdeck_core::{Cursor, Position};
use futures_core::Stream;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};

use crate::event::Recorded;
use crate::port::EventStore;
use crate::read::{After, Filter, Limit, LogQuery, StoreError};

/// What a follower is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Followed {
    /// The next event that passes the filter, and the cursor to go on from behind it.
    Event(Box<Recorded>, Cursor),
    /// History has ended: everything up to here was handed out, and what comes now is new. Said once.
    CaughtUp(Cursor),
    /// Nothing up to here passes the filter that was not handed out: a newer cursor to keep.
    Checkpoint(Cursor),
    /// The cursor is not good for this log, and the follower ends. The head is where the log is now.
    Reset(ResetReason, Cursor),
}

/// Why a follower can't go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// The log began a new epoch: what was read may not be its history any more.
    Epoch,
    /// The cursor is ahead of the log, and the log did not come to it.
    Ahead,
}

/// How a follower goes about it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FollowOptions {
    /// How many events it holds at most.
    pub page: Limit,
    /// How often it looks although nothing woke it.
    pub poll: Duration,
    /// After how many events that did not pass the filter it says how far it is.
    pub checkpoint_events: i64,
    /// After how much silence it says how far it is, if it moved.
    pub checkpoint_after: Duration,
    /// How long it waits for the log to come to a cursor that is ahead of it.
    pub ahead_grace: Duration,
}

impl Default for FollowOptions {
    fn default() -> Self {
        Self {
            page: Limit::MAX,
            poll: Duration::from_secs(1),
            checkpoint_events: 10_000,
            checkpoint_after: Duration::from_secs(15),
            ahead_grace: Duration::from_secs(5),
        }
    }
}

/// Follows the log from behind `after`.
///
/// - Every event that passes the filter comes, in the order of the log, once; those there already first.
/// - [`CaughtUp`](Followed::CaughtUp) comes once, when what was there has been handed out.
/// - [`Checkpoint`](Followed::Checkpoint)s say how far the follower is when nothing passes the filter.
/// - It ends with a [`Reset`](Followed::Reset) when the cursor is of another epoch, or the epoch changes, or
///   the cursor stays ahead of the log.
/// - It holds one page at the most. After an error it ends; following again from the last cursor goes on.
///
/// Needs a tokio runtime with time.
pub fn follow(
    store: Arc<dyn EventStore>,
    after: impl Into<After>,
    filter: Filter,
    options: FollowOptions,
) -> impl Stream<Item = Result<Followed, StoreError>> + Send + 'static {
    let after = after.into();
    let told = after.position();
    let watch = store.watch();
    let query = LogQuery { after, filter, limit: options.page, ..LogQuery::default() };
    let follower = Follower {
        store,
        watch,
        query,
        options,
        ready: VecDeque::new(),
        told,
        told_at: Instant::now(),
        caught_up: false,
        ended: false,
    };
    futures_util::stream::unfold(follower, |mut follower| async {
        let item = follower.next().await?;
        Some((item, follower))
    })
}

struct Follower {
    store: Arc<dyn EventStore>,
    watch: watch::Receiver<Position>,
    /// Where it is: the page to read next.
    query: LogQuery,
    options: FollowOptions,
    ready: VecDeque<Followed>,
    /// The last position that whoever reads this knows of, and since when.
    told: Position,
    told_at: Instant,
    caught_up: bool,
    ended: bool,
}

impl Follower {
    async fn next(&mut self) -> Option<Result<Followed, StoreError>> {
        loop {
            if let Some(item) = self.ready.pop_front() {
                return Some(Ok(item));
            }
            if self.ended {
                return None;
            }
            if let Err(error) = self.read().await {
                self.ended = true;
                return Some(Err(error));
            }
        }
    }

    /// Reads a page and makes its items ready, or waits for something to come.
    async fn read(&mut self) -> Result<(), StoreError> {
        // Marked as seen before the read: what comes while it runs wakes the wait behind it.
        self.watch.mark_unchanged();
        let page = match self.store.read_log(&self.query).await {
            Ok(page) => page,
            Err(StoreError::EpochChanged { head }) => {
                self.reset(ResetReason::Epoch, head);
                return Ok(());
            }
            Err(error) => return Err(error),
        };
        if page.head.position() < self.query.after.position() {
            return self.wait_for_the_log(page.head).await;
        }
        let at = page.scanned_to();
        let epoch = page.head.epoch();
        for event in page.events {
            self.told = event.position;
            let cursor = Cursor::new(epoch.clone(), event.position);
            self.ready.push_back(Followed::Event(Box::new(event), cursor));
        }
        let moved = at.position() != self.told;
        let quiet = self.told_at.elapsed() >= self.options.checkpoint_after;
        let far = at.position().get() - self.told.get() >= self.options.checkpoint_events;
        if page.end && !self.caught_up {
            (self.caught_up, self.told) = (true, at.position());
            self.ready.push_back(Followed::CaughtUp(at.clone()));
        } else if moved && (quiet || far) {
            self.told = at.position();
            self.ready.push_back(Followed::Checkpoint(at.clone()));
        }
        self.query.after = at.into();
        if !self.ready.is_empty() {
            self.told_at = Instant::now();
        } else if page.end {
            self.wait().await;
        }
        Ok(())
    }

    /// Waits until the head moves, until it is time to look anyway, or until it is time for a checkpoint.
    async fn wait(&mut self) {
        let silence = self.options.checkpoint_after.saturating_sub(self.told_at.elapsed());
        let moved = self.query.after.position() != self.told;
        self.pause(if moved { self.options.poll.min(silence) } else { self.options.poll }).await;
    }

    /// Sleeps until the head moves, but no longer than `most`. Where nothing tells of the head, that is how long.
    async fn pause(&mut self, most: Duration) {
        if let Ok(Err(_closed)) = timeout(most, self.watch.changed()).await {
            tokio::time::sleep(most).await;
        }
    }

    /// The cursor is ahead of the log: a node that lags may come to it, another history will not.
    async fn wait_for_the_log(&mut self, mut head: Cursor) -> Result<(), StoreError> {
        let deadline = Instant::now() + self.options.ahead_grace;
        while Instant::now() < deadline {
            let left = deadline.saturating_duration_since(Instant::now());
            self.pause(left.min(self.options.poll)).await;
            head = self.store.head().await?.cursor;
            if head.position() >= self.query.after.position() {
                return Ok(());
            }
        }
        self.reset(ResetReason::Ahead, head);
        Ok(())
    }

    fn reset(&mut self, reason: ResetReason, head: Cursor) {
        self.ended = true;
        self.ready.push_back(Followed::Reset(reason, head));
    }
}
