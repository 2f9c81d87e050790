//! Whoever follows: a number, and what comes next behind it. Knows no transport.

use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use flightdeck_core::{Cursor, Position};
use flightdeck_store::{After, EventStore, Filter, ResetReason, StoreError, StreamPattern};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout_at};

use super::Push;
use super::pager::Page;
use super::registry::{Registry, Wait};
use super::ring::{Found, Segment, Which};

/// A checkpoint comes after so many events that did not pass, at the latest: there is one at each half of that.
const CHECKPOINT_EVENTS: i64 = 10_000;
/// How long it is waited for a log that is behind the number that somebody brings: a node that lags.
const AHEAD: Duration = Duration::from_secs(5);
/// How often it looks meanwhile, although nothing told of the log.
const AHEAD_LOOK: Duration = Duration::from_millis(500);

/// What comes next.
#[derive(Debug)]
pub(crate) enum Step {
    /// All events of a segment, as everybody gets them.
    Whole(Arc<Segment>),
    /// Some events of one.
    Some(Arc<Segment>, Which),
    /// History has ended: what comes now is new. Once.
    CaughtUp(Cursor),
    /// Nothing up to here was for it that was not handed out.
    Checkpoint(Cursor),
    /// It was on the ring, and is back at the log.
    FellBehind,
    /// The number is not good for this log; where the log is now. The last.
    Reset(ResetReason, Cursor),
    /// All that was asked for is handed out. The last.
    Ended,
    /// The log can't be read. The last.
    Failed,
}

/// Where somebody begins.
#[derive(Debug)]
pub(crate) enum Begun {
    /// Behind the first; what the log has up to the second is history.
    At(Cursor, Position),
    /// Nowhere: the number that it brings is not good for this log, whose head is there.
    Reset(ResetReason, Cursor),
}

/// Looks where somebody begins who brings that. A log that is behind it may be that of a node that lags: it is waited for.
///
/// # Errors
/// When the log can't be asked.
pub(crate) async fn begin(store: &dyn EventStore, after: &After) -> Result<Begun, StoreError> {
    let until = Instant::now() + AHEAD;
    let mut changes = store.watch();
    loop {
        changes.mark_unchanged();
        let head = store.head().await?.cursor;
        if !after.is_of(head.epoch()) {
            return Ok(Begun::Reset(ResetReason::Epoch, head));
        }
        if after.position() <= head.position() {
            return Ok(Begun::At(Cursor::new(head.epoch().clone(), after.position()), head.position()));
        }
        if Instant::now() >= until {
            return Ok(Begun::Reset(ResetReason::Ahead, head));
        }
        let look = until.min(Instant::now() + AHEAD_LOOK);
        if let Ok(Err(_closed)) = timeout_at(look, changes.changed()).await {
            sleep_until(look).await;
        }
    }
}

/// How much somebody asks for; nothing of it is said by most.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Terms {
    /// Up to there, itself included.
    pub(crate) until: Option<Position>,
    /// So many events.
    pub(crate) left: Option<usize>,
}

type Asked = Pin<Box<dyn Future<Output = Result<(Position, Arc<Page>), StoreError>>>>;

/// Where it takes from.
enum From {
    /// A page of the log that is on its way.
    Asked(Asked),
    /// A page, and the segment of it that is next.
    Page(Arc<Page>, usize),
    /// The ring.
    Ring,
    /// It has ended.
    End,
}

/// Whoever follows.
pub(crate) struct Subscriber {
    push: Arc<Push>,
    registry: Registry,
    filter: Arc<Filter>,
    /// Whether everything passes but what is the system's own.
    is_every: bool,
    terms: Terms,
    cursor: Cursor,
    /// The last number that whoever follows knows of.
    told: Position,
    /// What the log had when it began is history.
    history: Position,
    caught_up: bool,
    /// Whether it was on the ring when it looked last.
    was_on_ring: bool,
    from: From,
    /// Behind where the page begins that it took from last.
    page: Option<Position>,
    wait: Option<Wait>,
    /// When it is woken although nothing came.
    due: Instant,
}

impl Subscriber {
    /// Behind a number, with what passes the filter. It belongs to the thread that makes it.
    pub(crate) fn new(
        push: &Arc<Push>,
        stopping: &watch::Receiver<bool>,
        (cursor, history): (Cursor, Position),
        filter: Filter,
        terms: Terms,
    ) -> Self {
        push.ring.come();
        Self {
            registry: Registry::of(&push.ring, stopping),
            push: Arc::clone(push),
            is_every: is_every(&filter),
            filter: Arc::new(filter),
            terms,
            told: cursor.position(),
            cursor,
            history,
            caught_up: false,
            was_on_ring: false,
            from: From::Ring,
            page: None,
            wait: None,
            due: Instant::now(),
        }
    }

    /// Up to where it has everything.
    pub(crate) const fn cursor(&self) -> &Cursor {
        &self.cursor
    }

    /// Wakes it then, if nothing comes before.
    pub(crate) fn wake_at(&mut self, due: Instant) {
        self.due = due;
    }

    /// How far it is, if whoever follows does not know that yet: for when nothing was sent for long.
    pub(crate) fn checkpoint(&mut self) -> Option<Cursor> {
        let is_new = self.cursor.position() > self.told;
        self.told = self.told.max(self.cursor.position());
        is_new.then(|| self.cursor.clone())
    }

    /// Waits for a time, where it does not wait for what comes.
    pub(crate) fn wait_for_its_time(&mut self, cx: &Context<'_>) {
        if !self.waits() {
            self.wait = Some(self.registry.wait_until(self.due, cx.waker().clone()));
        }
    }

    /// Whether nothing has come for it since it was asked last.
    pub(crate) fn waits(&self) -> bool {
        // One that was woken waits no more.
        matches!(self.from, From::Ring) && self.wait.as_ref().is_some_and(Wait::is_there)
    }

    /// Whether it is at the end of the log, as far as it knows.
    pub(crate) const fn is_live(&self) -> bool {
        self.caught_up && self.was_on_ring
    }

    /// How many follow, on this node.
    pub(crate) fn followers(&self) -> usize {
        self.push.ring.following()
    }

    /// What comes next. Everything is handed out once, in order; whatever it was woken for, it looks for itself.
    pub(crate) fn poll_step(&mut self, cx: &mut Context<'_>) -> Poll<Step> {
        loop {
            if self.is_over() && !matches!(self.from, From::End) {
                self.from = From::End;
                return Poll::Ready(Step::Ended);
            }
            match &mut self.from {
                From::Asked(page) => match ready!(page.as_mut().poll(cx)) {
                    Ok((begin, page)) => {
                        self.page = Some(begin);
                        self.from = From::Page(page, 0);
                    }
                    Err(error) => return Poll::Ready(self.end(error)),
                },
                From::Page(page, next) => match page.segments.get(*next).cloned() {
                    Some(segment) => {
                        *next += 1;
                        if let Some(step) = self.take(segment, true) {
                            // Whoever stalls now holds no page: it is asked for again, and was kept or is read.
                            self.from = From::Ring;
                            return Poll::Ready(step);
                        }
                    }
                    None => {
                        if let Some(step) = self.page_ends() {
                            return Poll::Ready(step);
                        }
                    }
                },
                From::Ring => {
                    if let Some(step) = ready!(self.poll_ring(cx)) {
                        return Poll::Ready(step);
                    }
                }
                From::End => return Poll::Pending,
            }
        }
    }

    /// A page is through. Everything up to where it looked was handed out, or did not pass.
    fn page_ends(&mut self) -> Option<Step> {
        let From::Page(page, _) = std::mem::replace(&mut self.from, From::Ring) else { return None };
        self.moves_to(page.scanned_to);
        self.page = Some(page.scanned_to);
        if self.is_history_over() {
            return Some(self.catches_up());
        }
        if self.is_far() { self.checkpoint().map(Step::Checkpoint) } else { None }
    }

    /// It has everything up to there, or up to where it is asked for.
    fn moves_to(&mut self, to: Position) {
        let to = self.terms.until.map_or(to, |until| to.min(until)).max(self.cursor.position());
        self.cursor = Cursor::new(self.cursor.epoch().clone(), to);
    }

    /// Whether it has come far since whoever follows heard of it.
    fn is_far(&self) -> bool {
        is_far(self.told, self.cursor.position())
    }

    /// Whether all that is asked for is handed out.
    fn is_over(&self) -> bool {
        let Terms { until, left } = self.terms;
        left == Some(0) || until.is_some_and(|until| self.cursor.position() >= until)
    }

    /// Whether all that there was is handed out, and was not told so. The ring may be a moment behind what there was.
    fn is_history_over(&self) -> bool {
        !self.caught_up && self.cursor.position() >= self.history
    }

    fn catches_up(&mut self) -> Step {
        (self.caught_up, self.told) = (true, self.cursor.position());
        Step::CaughtUp(self.cursor.clone())
    }

    /// What of a segment is behind its number, passes, and is asked for. `passed` when all of it passes.
    fn take(&mut self, segment: Arc<Segment>, passed: bool) -> Option<Step> {
        let (after, last) = (self.cursor.position(), segment.last);
        if last <= after {
            return None;
        }
        self.moves_to(last);
        let Terms { until, left } = &mut self.terms;
        let is_asked_for = until.is_none() && left.is_none();
        let all_pass = passed || self.filter.is_all() || self.is_every && !segment.has_system;
        let mut which = Which::default();
        let mut told = None;
        if segment.after >= after && all_pass && is_asked_for {
            told = segment.frames.last();
        } else {
            for (place, frame) in segment.frames.iter().enumerate() {
                let is_within = frame.position > after && until.is_none_or(|until| frame.position <= until);
                if is_within && *left != Some(0) && (all_pass || frame.passes(&self.filter)) {
                    which.add(place);
                    told = Some(frame);
                    *left = left.map(|left| left - 1);
                }
            }
        }
        // Whoever follows has the number of the last event.
        self.told = told?.position;
        if *left == Some(0) {
            self.cursor = Cursor::new(self.cursor.epoch().clone(), self.told);
        }
        let count = if which == Which::default() { segment.frames.len() } else { which.count() };
        self.push.counted.delivered.fetch_add(count as u64, Ordering::Relaxed);
        let is_whole = count == segment.frames.len();
        Some(if is_whole { Step::Whole(segment) } else { Step::Some(segment, which) })
    }

    /// Takes from the ring, or finds that what is wanted is not there.
    fn poll_ring(&mut self, cx: &Context<'_>) -> Poll<Option<Step>> {
        if let Some(wait) = self.wait.take().filter(|wait| wait.is_for_events())
            && let Some(looked) = wait.looked(self.cursor.epoch())
            && looked > self.cursor.position()
        {
            // It was not woken for anything up to there.
            self.moves_to(looked);
        }
        if self.is_over() {
            return Poll::Ready(None);
        }
        if self.is_history_over() {
            return Poll::Ready(Some(self.catches_up()));
        }
        if self.caught_up && self.is_far() {
            return Poll::Ready(self.checkpoint().map(Step::Checkpoint));
        }
        match self.push.ring.behind(self.cursor.epoch(), self.cursor.position()) {
            Found::Segment(segment) => {
                self.was_on_ring = true;
                let step = self.take(segment, false);
                Poll::Ready(step)
            }
            Found::NotYet => {
                self.wait = Some(self.registry.wait_for_the_ring(cx.waker().clone(), self.due));
                Poll::Pending
            }
            Found::Nothing => {
                self.was_on_ring = true;
                self.wait = Some(self.registry.wait(&self.filter, cx.waker().clone(), self.due));
                Poll::Pending
            }
            Found::Behind => {
                let (push, filter, after) =
                    (Arc::clone(&self.push), Arc::clone(&self.filter), self.cursor.clone());
                let head = push.ring.head().filter(|head| head.epoch() == after.epoch());
                let head = head.map(|head| head.position());
                // The page that it has taken some of has more of it.
                let begin = self.page.filter(|_| !self.was_on_ring);
                self.from = From::Asked(Box::pin(async move {
                    push.pager.page(&filter, &after, begin, head, &push.counted).await
                }));
                if std::mem::take(&mut self.was_on_ring) {
                    self.push.counted.fell_behind.fetch_add(1, Ordering::Relaxed);
                    return Poll::Ready(Some(Step::FellBehind));
                }
                Poll::Ready(None)
            }
            Found::Failed => {
                self.from = From::End;
                Poll::Ready(Some(Step::Failed))
            }
            Found::OtherEpoch(head) => {
                self.from = From::End;
                Poll::Ready(Some(Step::Reset(ResetReason::Epoch, head)))
            }
        }
    }

    fn end(&mut self, error: StoreError) -> Step {
        self.from = From::End;
        match error {
            StoreError::EpochChanged { head } => Step::Reset(ResetReason::Epoch, head),
            error => {
                tracing::warn!(%error, "somebody who follows the log was cut off");
                Step::Failed
            }
        }
    }
}

/// Whether between the two there is one of the numbers at which all of them say how far they are.
pub(super) const fn is_far(from: Position, to: Position) -> bool {
    to.get() / (CHECKPOINT_EVENTS / 2) > from.get() / (CHECKPOINT_EVENTS / 2)
}

/// Whether everything passes but what is the system's own.
pub(super) fn is_every(filter: &Filter) -> bool {
    let is_prefix =
        |pattern: &StreamPattern| matches!(pattern, StreamPattern::Prefix(prefix) if prefix.is_empty());
    filter.types.is_empty() && filter.tags.is_empty() && filter.streams.iter().any(is_prefix)
}

impl Drop for Subscriber {
    fn drop(&mut self) {
        self.push.ring.go();
    }
}
