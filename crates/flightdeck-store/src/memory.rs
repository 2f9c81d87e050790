//! The in-memory store: the smallest honest one. It keeps every rule of the port but the power cut.

mod question;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use async_trait::async_trait;
use flightdeck_core::limits::{PAGE_SCAN_EVENTS_MAX, SNAPSHOT_BYTES_MAX};
use flightdeck_core::{
    Clock, Cursor, Epoch, EventId, Ids, Position, SchemaNumber, StreamId, Timestamp, Version,
};
use tokio::sync::watch;

use crate::admit::{Admission, Done, Ground, Remembered, admit, recall};
use crate::append::{Append, AppendError, Appended, ConditionItem, RequestKey};
use crate::chain::{Hash, Place, Sealed};
use crate::event::Recorded;
use crate::page::{Filling, Span};
use crate::port::EventStore;
use crate::question::{LogAnswer, LogQuestion};
use crate::read::{
    Direction, Filter, Head, Limit, LogPage, LogQuery, Snapshot, StoreError, StreamInfo, StreamPage,
    StreamQuery, StreamsPage, StreamsQuery,
};
use crate::secret::Secret;
use crate::system::{SystemClock, SystemIds};

/// A log in memory. Clones are handles on the same log.
#[derive(Clone)]
pub struct MemoryStore {
    log: Arc<Mutex<Log>>,
    head: Arc<watch::Sender<Position>>,
    clock: Arc<dyn Clock>,
    ids: Arc<dyn Ids>,
}

/// Everything the store holds. An event's place in `events` is its position less one.
struct Log {
    epoch: Epoch,
    secret: Secret,
    events: Vec<Recorded>,
    ids: HashMap<EventId, Position>,
    /// The positions of each stream's events: an event's place is its version less one.
    streams: BTreeMap<StreamId, Vec<Position>>,
    requests: HashMap<(Box<str>, Box<str>), Remembered>,
    snapshots: HashMap<StreamId, Snapshot>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryStore {
    /// An empty log.
    #[must_use]
    pub fn new() -> Self {
        Self::with(Arc::new(SystemClock), Arc::new(SystemIds::default()))
    }

    /// An empty log with a clock and ids of the caller's.
    #[must_use]
    pub fn with(clock: Arc<dyn Clock>, ids: Arc<dyn Ids>) -> Self {
        let mut secret = [0; 32];
        secret[..16].copy_from_slice(&ids.random().to_be_bytes());
        secret[16..].copy_from_slice(&ids.random().to_be_bytes());
        let log = Log {
            epoch: Epoch::from_random(ids.random()),
            secret: Secret::from_bytes(secret),
            events: Vec::new(),
            ids: HashMap::new(),
            streams: BTreeMap::new(),
            requests: HashMap::new(),
            snapshots: HashMap::new(),
        };
        let head = Arc::new(watch::Sender::new(Position::START));
        Self { log: Arc::new(Mutex::new(log)), head, clock, ids }
    }

    /// A handle on the same log that goes by another clock.
    #[must_use]
    pub fn at(&self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self.clone() }
    }

    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Log {
    fn position(&self) -> Position {
        self.events.last().map_or(Position::START, |event| event.position)
    }

    fn cursor(&self) -> Cursor {
        Cursor::new(self.epoch.clone(), self.position())
    }

    /// The events behind `after` up to `until`, as far as the log goes.
    fn between(&self, after: Position, until: Position) -> &[Recorded] {
        let index =
            |position: Position| usize::try_from(position.get()).unwrap_or(usize::MAX).min(self.events.len());
        self.events.get(index(after)..index(until)).unwrap_or_default()
    }

    fn at(&self, position: Position) -> Option<&Recorded> {
        self.between(position.previous(), position).first()
    }

    fn write(&mut self, sealed: &[Sealed], now: Timestamp) -> Done {
        let before = self.position();
        let append_end = sealed.iter().fold(before, |position, _| position.next());
        let mut scratch = Vec::new();
        for event in sealed {
            let stream = event.event().stream.clone();
            let last = self.events.last();
            let place = Place {
                position: self.position().next(),
                version: Version::after(self.last_version(&stream)),
                recorded_at: last.map_or(now, |last| last.recorded_at.max(now)),
                append_end,
            };
            let (hash, _) = event.link(&last.map_or(Hash::GENESIS, |last| last.hash), &place, &mut scratch);
            self.ids.insert(event.id(), place.position);
            self.streams.entry(stream).or_default().push(place.position);
            self.events.push(event.recorded(&place, hash));
        }
        match sealed.is_empty() {
            true => Done::Nothing(before),
            false => Done::Events(before.next(), append_end),
        }
    }

    fn last_version(&self, stream: &StreamId) -> Option<Version> {
        self.at(*self.streams.get(stream)?.last()?).map(|event| event.version)
    }

    fn answer(&self, done: Done, duplicate: bool) -> Appended {
        let (events, at) = match done {
            Done::Events(first, last) => (self.between(first.previous(), last), last),
            Done::Nothing(at) => (&[][..], at),
        };
        let events = events.iter().map(|event| (&event.stream, event.version, event.position));
        Appended::sum_up(events, Cursor::new(self.epoch.clone(), at), duplicate)
    }

    fn info(&self, stream: &StreamId, positions: &[Position]) -> Option<StreamInfo> {
        let (first, last) = (self.at(*positions.first()?)?, self.at(*positions.last()?)?);
        Some(StreamInfo {
            stream: stream.clone(),
            version: last.version,
            created: first.recorded_at,
            updated: last.recorded_at,
        })
    }
}

impl Ground for Log {
    fn head(&self) -> Cursor {
        self.cursor()
    }
    fn request(&mut self, request: &RequestKey) -> Result<Option<Remembered>, AppendError> {
        Ok(self.requests.get(&(request.caller().into(), request.key().into())).cloned())
    }
    fn event(&mut self, id: EventId) -> Result<Option<Recorded>, AppendError> {
        Ok(self.ids.get(&id).and_then(|position| self.at(*position)).cloned())
    }
    fn version(&mut self, stream: &StreamId) -> Result<Option<Version>, AppendError> {
        Ok(self.last_version(stream))
    }
    fn first_match(
        &mut self,
        after: Position,
        any: &[ConditionItem],
    ) -> Result<Option<Position>, AppendError> {
        let spoils = |event: &&Recorded| any.iter().any(|item| item.matches(&event.event_type, &event.tags));
        Ok(self.between(after, Position::MAX).iter().find(spoils).map(|event| event.position))
    }
}

/// Looks at events until the page is full; how many it looks at is limited too.
fn scan<'a, 'q>(asked: impl Iterator<Item = &'a Recorded>, filter: &'q Filter, limit: Limit) -> Filling<'q> {
    let mut page = Filling::new(filter, limit.get());
    let most = usize::try_from(PAGE_SCAN_EVENTS_MAX).unwrap_or(usize::MAX);
    let mut asked = asked.take(most);
    while asked.next().is_some_and(|event| page.look_at_one_of(event)) {}
    page
}

#[async_trait]
impl EventStore for MemoryStore {
    async fn append(&self, append: Append) -> Result<Appended, AppendError> {
        append.check()?;
        let now = self.clock.now();
        let seal = |event: &crate::NewEvent| {
            Sealed::new(event.clone(), event.id.unwrap_or_else(|| self.ids.event_id(now)))
        };
        let sealed: Vec<Sealed> = append.events.iter().map(seal).collect();
        let mut log = self.log();
        let admission = admit(&mut *log, &append, &sealed)?;
        let done = match admission {
            Admission::Fresh => log.write(&sealed, now),
            Admission::Known(done) | Admission::Remembered(done) => done,
        };
        if let (Some(request), false) = (&append.request, matches!(admission, Admission::Remembered(_))) {
            let remembered = Remembered { fingerprint: *request.fingerprint(), done };
            log.requests.insert((request.caller().into(), request.key().into()), remembered);
        }
        self.head.send_replace(log.position());
        Ok(log.answer(done, admission != Admission::Fresh))
    }

    async fn outcome_of(&self, request: &RequestKey) -> Result<Option<Appended>, AppendError> {
        let mut log = self.log();
        let Some(remembered) = log.request(request)? else {
            return Ok(None);
        };
        let done = recall(request, &remembered)?;
        Ok(Some(log.answer(done, true)))
    }

    async fn read_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        let log = self.log();
        let positions = log.streams.get(&query.stream).map_or(&[][..], Vec::as_slice);
        let version = log.last_version(&query.stream);
        let first = usize::try_from(Version::count(query.after)).unwrap_or(usize::MAX).min(positions.len());
        let last = query.to.map_or(positions.len(), |to| {
            usize::try_from(to.get()).unwrap_or(usize::MAX).min(positions.len())
        });
        let asked = positions.get(first..last).unwrap_or_default();
        let asked_events = asked.iter().filter_map(|position| log.at(*position));
        let everything = Filter::ALL;
        let page = match query.direction {
            Direction::Forward => scan(asked_events, &everything, query.limit),
            Direction::Backward => scan(asked_events.rev(), &everything, query.limit),
        };
        Ok(StreamPage { version, end: page.events.len() == asked.len(), events: page.events })
    }

    async fn read_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        query.filter.check()?;
        let log = self.log();
        let head = log.cursor();
        if !query.after.is_of(&log.epoch) {
            return Err(StoreError::EpochChanged { head });
        }
        let span = Span::of(query, head.position());
        let asked = log.between(span.after, span.until).iter();
        let page = match query.direction {
            Direction::Forward => scan(asked, &query.filter, query.limit),
            Direction::Backward => scan(asked.rev(), &query.filter, query.limit),
        };
        let (scanned_to, end) = span.end(page.looked_at);
        Ok(LogPage { events: page.events, scanned_to, head, end })
    }

    async fn head(&self) -> Result<Head, StoreError> {
        let log = self.log();
        Ok(Head { cursor: log.cursor(), hash: log.events.last().map_or(Hash::GENESIS, |event| event.hash) })
    }

    async fn stream(&self, stream: &StreamId) -> Result<Option<StreamInfo>, StoreError> {
        let log = self.log();
        Ok(log.streams.get(stream).and_then(|positions| log.info(stream, positions)))
    }

    async fn streams(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        let log = self.log();
        let behind = |name: &StreamId| query.after.as_ref().is_none_or(|after| name > after);
        let wanted = |name: &StreamId| query.category.as_ref().is_none_or(|category| category.contains(name));
        let mut found = log.streams.iter().filter(|(name, _)| behind(name) && wanted(name));
        let streams = found
            .by_ref()
            .take(query.limit.get())
            .filter_map(|(name, positions)| log.info(name, positions))
            .collect();
        Ok(StreamsPage { streams, end: found.next().is_none() })
    }

    async fn event(&self, id: EventId) -> Result<Option<Recorded>, StoreError> {
        let log = self.log();
        Ok(log.ids.get(&id).and_then(|position| log.at(*position)).cloned())
    }

    async fn question(&self, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
        self.answer(question)
    }

    async fn save_snapshot(&self, stream: &StreamId, snapshot: Snapshot) -> Result<(), StoreError> {
        let mut log = self.log();
        let ahead = log.last_version(stream).is_none_or(|version| snapshot.version > version);
        let kept = log.snapshots.get(stream);
        let behind =
            kept.is_some_and(|kept| kept.schema == snapshot.schema && kept.version > snapshot.version);
        if !ahead && !behind && snapshot.state.len() <= SNAPSHOT_BYTES_MAX {
            log.snapshots.insert(stream.clone(), snapshot);
        }
        Ok(())
    }

    async fn snapshot(
        &self,
        stream: &StreamId,
        schema: SchemaNumber,
    ) -> Result<Option<Snapshot>, StoreError> {
        Ok(self.log().snapshots.get(stream).filter(|kept| kept.schema == schema).cloned())
    }

    async fn delete_snapshot(&self, stream: &StreamId) -> Result<(), StoreError> {
        self.log().snapshots.remove(stream);
        Ok(())
    }

    async fn secret(&self) -> Result<Secret, StoreError> {
        Ok(self.log().secret)
    }

    fn watch(&self) -> watch::Receiver<Position> {
        self.head.subscribe()
    }
}
