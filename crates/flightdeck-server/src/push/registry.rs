//! Who waits on this thread, and for what: an event wakes those it may be for, and nobody else.
//!
//! Each thread that takes requests has one, and one task that looks at each new event once, whoever waits. Whoever was not woken has no match in
//! what was looked at, so its number may be what was looked at, at no cost.

use std::cell::{Cell, RefCell};
use std::collections::{HashMap, HashSet};
use std::rc::Rc;
use std::sync::{Arc, Weak};
use std::task::Waker;
use std::time::Duration;

use flightdeck_core::{Epoch, EventType, Position, StreamId};
use flightdeck_store::{Filter, StreamPattern, TypePattern};
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::ring::{Found, Frame, Ring};
use super::subscriber::{is_every, is_far};

/// How often those are looked for whose time has come.
const TICK: Duration = Duration::from_secs(1);
/// The same once the server stops: they leave one after the other.
const TICK_STOPPING: Duration = Duration::from_millis(100);

/// When somebody is woken once more who was woken for its time, and did not look.
const FAR: Duration = Duration::from_secs(5);

/// What somebody waits for.
#[derive(Debug)]
struct Waiting {
    waker: Waker,
    /// Nobody's: it waits for its time alone.
    filter: Option<Arc<Filter>>,
    /// When it is woken although nothing came.
    due: Instant,
    /// Up to where nothing was for it, once something is.
    before: Rc<Cell<Option<Position>>>,
}

/// Those who wait on one thread.
#[derive(Debug, Default)]
struct Inner {
    next: u64,
    waiting: HashMap<u64, Waiting>,
    /// Those whom every event is for.
    all: HashSet<u64>,
    /// Those who named streams, each under all of them.
    streams: HashMap<StreamId, HashSet<u64>>,
    /// Those who named categories, and so on.
    categories: HashMap<String, HashSet<u64>>,
    /// Those who named types, and no streams.
    types: HashMap<EventType, HashSet<u64>>,
    /// All others: each is asked for every event.
    others: HashSet<u64>,
    /// Up to where every event was looked at, and of which epoch.
    looked: Option<(Epoch, Position)>,
}

/// A handle on those who wait on this thread.
#[derive(Debug, Clone)]
pub(crate) struct Registry {
    inner: Rc<RefCell<Inner>>,
    ring: Weak<Ring>,
}

/// Where somebody stands in the registry.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Place {
    All,
    Stream(StreamId),
    Category(String),
    Type(EventType),
    Others,
}

/// Where a filter is looked for: under what at least one of must be so for an event to pass.
fn places(filter: Option<&Filter>) -> Vec<Place> {
    let Some(filter) = filter else { return Vec::new() };
    if filter.is_all() || is_every(filter) {
        return vec![Place::All];
    }
    let of_stream = |pattern: &StreamPattern| match pattern {
        StreamPattern::Exact(stream) => Some(Place::Stream(stream.clone())),
        StreamPattern::Category(category) => Some(Place::Category(category.as_str().to_owned())),
        StreamPattern::Prefix(_) => None,
    };
    let of_type = |pattern: &TypePattern| match pattern {
        TypePattern::Exact(event_type) => Some(Place::Type(event_type.clone())),
        TypePattern::Prefix(_) => None,
    };
    let Filter { streams, types, .. } = filter;
    let by_streams =
        || streams.iter().map(of_stream).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty());
    let by_types = || types.iter().map(of_type).collect::<Option<Vec<_>>>().filter(|all| !all.is_empty());
    by_streams().or_else(by_types).unwrap_or_else(|| vec![Place::Others])
}

impl Inner {
    fn at(&mut self, place: Place) -> &mut HashSet<u64> {
        match place {
            Place::All => &mut self.all,
            Place::Stream(stream) => self.streams.entry(stream).or_default(),
            Place::Category(category) => self.categories.entry(category).or_default(),
            Place::Type(event_type) => self.types.entry(event_type).or_default(),
            Place::Others => &mut self.others,
        }
    }

    fn take(&mut self, id: u64) -> Option<Waiting> {
        let waiting = self.waiting.remove(&id)?;
        for place in places(waiting.filter.as_deref()) {
            self.at(place.clone()).remove(&id);
            // Nobody waits for it any more.
            match place {
                Place::Stream(stream) if self.streams[&stream].is_empty() => {
                    drop(self.streams.remove(&stream))
                }
                Place::Category(category) if self.categories[&category].is_empty() => {
                    drop(self.categories.remove(&category));
                }
                Place::Type(event_type) if self.types[&event_type].is_empty() => {
                    drop(self.types.remove(&event_type));
                }
                _ => {}
            }
        }
        Some(waiting)
    }

    /// Those whom an event may be for, beside those whom every event is for.
    fn whom(&self, frame: &Frame, found: &mut HashMap<u64, Position>) {
        let under = |ids: Option<&HashSet<u64>>, found: &mut HashMap<u64, Position>| {
            let filter = |id: &u64| self.waiting.get(id).and_then(|one| one.filter.as_ref());
            for id in ids.into_iter().flatten() {
                if filter(id).is_some_and(|filter| frame.passes(filter)) {
                    // The first counts.
                    found.entry(*id).or_insert_with(|| frame.position.previous());
                }
            }
        };
        under(self.streams.get(&frame.stream), found);
        under(self.categories.get(frame.stream.category_str()), found);
        under(self.types.get(&frame.event_type), found);
        under(Some(&self.others), found);
    }

    /// Wakes those.
    fn wake(&mut self, ids: impl IntoIterator<Item = u64>) {
        for id in ids {
            if let Some(waiting) = self.take(id) {
                waiting.waker.wake();
            }
        }
    }
}

impl Registry {
    /// The one of this thread, for that ring. Begins to look at what comes when nobody waited before.
    pub(crate) fn of(ring: &Arc<Ring>, stopping: &watch::Receiver<bool>) -> Self {
        thread_local! {
            static OF: RefCell<Vec<(Weak<Ring>, Registry)>> = const { RefCell::new(Vec::new()) };
        }
        OF.with_borrow_mut(|all| {
            // Those of servers that are gone.
            all.retain(|(own, _)| own.strong_count() > 0);
            let is_it = |own: &Weak<Ring>| own.ptr_eq(&Arc::downgrade(ring));
            if let Some((_, known)) = all.iter().find(|(own, _)| is_it(own)) {
                return known.clone();
            }
            let made = Self { inner: Rc::default(), ring: Arc::downgrade(ring) };
            let look = made.clone().look(ring.bell(), Arc::downgrade(ring), stopping.clone());
            actix_web::rt::spawn(look);
            all.push((Arc::downgrade(ring), made.clone()));
            made
        })
    }

    /// How many follow, on this node.
    pub(crate) fn followers(&self) -> usize {
        self.ring.upgrade().map_or(0, |ring| ring.following())
    }

    /// Looks at what comes, and at the time, until the ring is gone.
    async fn look(
        self,
        mut bell: watch::Receiver<Position>,
        ring: Weak<Ring>,
        mut stopping: watch::Receiver<bool>,
    ) {
        let mut stops = false;
        let mut tick = interval(TICK);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let is_time = tokio::select! {
                rung = bell.changed() => match rung {
                    Ok(()) => false,
                    Err(_gone) => return,
                },
                _ = tick.tick() => true,
                _ = stopping.wait_for(|stopping| *stopping), if !stops => {
                    stops = true;
                    tick = interval(TICK_STOPPING);
                    let mut inner = self.inner.borrow_mut();
                    let all: Vec<u64> = inner.waiting.keys().copied().collect();
                    inner.wake(all);
                    false
                }
            };
            if is_time {
                let now = Instant::now();
                let mut inner = self.inner.borrow_mut();
                // They wait on: nothing has come for them.
                for one in inner.waiting.values_mut().filter(|one| one.due <= now) {
                    one.due = now + FAR;
                    one.waker.wake_by_ref();
                }
            } else if let Some(ring) = ring.upgrade() {
                self.look_at(&ring);
            }
        }
    }

    /// Looks at what has come, once for all who wait.
    fn look_at(&self, ring: &Ring) {
        let mut inner = self.inner.borrow_mut();
        let Some(head) = ring.head() else {
            // It can't begin: everybody looks for itself.
            let everybody: Vec<u64> = inner.waiting.keys().copied().collect();
            return inner.wake(everybody);
        };
        let mut found = HashMap::new();
        let mut others: Vec<(u64, Rc<Cell<Option<Position>>>)> = Vec::new();
        let from = inner.looked.as_ref().map_or(Position::START, |(_, at)| *at);
        let looked = match inner.looked.take() {
            Some((epoch, at)) if epoch == *head.epoch() => {
                let mut at = at;
                loop {
                    match ring.behind(&epoch, at) {
                        Found::Segment(segment) => {
                            let new = segment.frames.iter().filter(|frame| frame.position > at);
                            new.for_each(|frame| inner.whom(frame, &mut found));
                            at = segment.last;
                        }
                        Found::Nothing => break Some((epoch, at)),
                        Found::NotYet | Found::Behind | Found::Failed | Found::OtherEpoch(_) => break None,
                    }
                }
            }
            _ => None,
        };
        // An event of the system's own wakes them for nothing.
        let all: Vec<u64> = inner.all.iter().copied().collect();
        match looked {
            Some(looked) => {
                // Every so often all of them hear how far it is.
                let at = looked.1;
                let is_far = is_far(from, at);
                if is_far {
                    // Those whom every event is for have something to come.
                    let nothing = |id: &u64| !found.contains_key(id) && !inner.all.contains(id);
                    let all = inner.waiting.iter().filter(|(id, _)| nothing(id));
                    others = all.map(|(id, one)| (*id, Rc::clone(&one.before))).collect();
                    others.iter().for_each(|(_, before)| before.set(Some(at)));
                }
            }
            // What has come can't be told: everybody looks for itself.
            None => {
                let at = head.position();
                inner.looked = Some((head.epoch().clone(), at));
                let everybody: Vec<u64> = inner.waiting.keys().copied().collect();
                return inner.wake(everybody);
            }
        }
        for (id, before) in &found {
            if let Some(one) = inner.waiting.get(id) {
                one.before.set(Some(*before));
            }
        }
        inner.wake(found.into_keys().chain(all).chain(others.into_iter().map(|(id, _)| id)));
    }

    /// Waits for what passes the filter, until `due` at the latest. Whoever waits has everything that the ring held when it looked last, on this
    /// thread, with nothing in between.
    pub(crate) fn wait(&self, filter: &Arc<Filter>, waker: Waker, due: Instant) -> Wait {
        self.enter(Some(Arc::clone(filter)), true, waker, due)
    }

    /// Waits for the ring to begin. What was looked at before says nothing of what whoever waits has.
    pub(crate) fn wait_for_the_ring(&self, waker: Waker, due: Instant) -> Wait {
        self.enter(Some(Arc::new(Filter::ALL)), false, waker, due)
    }

    /// Waits for a time, and for the server to stop.
    pub(crate) fn wait_until(&self, due: Instant, waker: Waker) -> Wait {
        self.enter(None, false, waker, due)
    }

    fn enter(&self, filter: Option<Arc<Filter>>, is_for_events: bool, waker: Waker, due: Instant) -> Wait {
        let mut inner = self.inner.borrow_mut();
        let (id, before) = (inner.next, Rc::<Cell<_>>::default());
        inner.next += 1;
        for place in places(filter.as_deref()) {
            inner.at(place).insert(id);
        }
        inner.waiting.insert(id, Waiting { waker, filter, due, before: Rc::clone(&before) });
        Wait { of: self.clone(), id, is_for_events, before }
    }
}

/// Somebody who waits, for as long as this is there.
#[derive(Debug)]
pub(crate) struct Wait {
    of: Registry,
    id: u64,
    is_for_events: bool,
    before: Rc<Cell<Option<Position>>>,
}

impl Wait {
    /// Whether it was not woken for anything that came.
    pub(crate) fn is_there(&self) -> bool {
        self.of.inner.borrow().waiting.contains_key(&self.id)
    }

    /// Is woken then, whatever was said before, although nothing comes.
    pub(crate) fn due_at(&self, due: Instant) {
        if let Some(waiting) = self.of.inner.borrow_mut().waiting.get_mut(&self.id) {
            waiting.due = due;
        }
    }

    /// Whether it waits for more than its time.
    pub(crate) const fn is_for_events(&self) -> bool {
        self.is_for_events
    }

    /// Up to where nothing was for it.
    pub(crate) fn looked(&self, epoch: &Epoch) -> Option<Position> {
        let inner = self.of.inner.borrow();
        let looked = inner.looked.as_ref().filter(|(own, _)| own == epoch)?;
        if inner.waiting.contains_key(&self.id) { Some(looked.1) } else { self.before.get() }
    }
}

impl Drop for Wait {
    fn drop(&mut self) {
        self.of.inner.borrow_mut().take(self.id);
    }
}
