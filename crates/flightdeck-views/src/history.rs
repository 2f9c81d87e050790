//! The history of one thing: what happened to it, event by event, and what each event changed; and what it was at any moment.
//!
//! All of it is folded from the thing's own stream when it is asked, by its decider's fold, and nothing is kept. So it needs no view, and
//! is as far as the log is. Who may read the stream may read this; nothing here is told that is not in the events.

use std::collections::VecDeque;
use std::marker::PhantomData;

use flightdeck_core::registry::RegistryError;
use flightdeck_core::{
    Cursor, EventId, EventType, Position, Reference, SchemaNumber, StoredEvents, StreamId, Timestamp, Version,
};
use flightdeck_store::{Direction, EventStore, Recorded, StoreError, StreamQuery};
use serde::Serialize;
use serde_json::value::RawValue;
use thiserror::Error;

use crate::diff::{Difference, WORDS_MAX};
use crate::thing::{Face, Thing};

/// Events of one page of a history.
pub const HISTORY_EVENTS_MAX: usize = 200;
/// What one page of a history tells, in bytes of JSON, about; a page always has at least one event when there is one.
pub const HISTORY_BYTES_MAX: usize = 1024 * 1024;
/// Words that are compared at most to tell what one event changed: fewer than [`WORDS_MAX`], for a page has many of them.
pub const HISTORY_WORDS_MAX: usize = 2_000;
/// Events of one stream that are folded to answer one question.
pub const FOLDED_EVENTS_MAX: usize = 100_000;

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum HistoryError {
    /// There is no such thing, and there never was.
    #[error("there is nothing in the stream {0}, and there never was")]
    NeverWas(StreamId),
    /// The stream is of things of another kind.
    #[error("the stream {stream} is not of the category {category}")]
    WrongStream {
        /// The stream.
        stream: StreamId,
        /// What it should be of.
        category: &'static str,
    },
    /// The thing has not come so far.
    #[error("the stream has no version {asked} yet: its last one is {last}")]
    Ahead {
        /// The version that was asked for.
        asked: Version,
        /// The last one there is.
        last: Version,
    },
    /// The log has not come so far.
    #[error("the log has not come to position {asked} yet: its head is {head}")]
    NotYet {
        /// The position that was asked for.
        asked: Position,
        /// The head.
        head: Cursor,
    },
    /// The thing had not begun then.
    #[error("the stream had not begun then")]
    Before,
    /// What happened is not known any more: the data of an event was erased or archived.
    #[error("the data of version {0} is gone, and with it what the thing was from there on")]
    Gone(Version),
    /// An event can't be understood.
    #[error("the event at position {position} can't be read: {source}")]
    Unreadable {
        /// The event.
        position: Position,
        /// Why.
        source: RegistryError,
    },
    /// More would have to be folded than may be for one answer.
    #[error("that means folding more than {0} events")]
    TooMany(usize),
    /// The stream can't be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A moment in the life of a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Moment {
    /// After that event of its stream.
    Version(Version),
    /// When the log had come to that position, and no further.
    Position(Position),
    /// The same, in that life of the log and in no other.
    Cursor(Cursor),
    /// What had been recorded by then.
    Time(Timestamp),
}

impl Moment {
    /// Whether an event had happened then. Once one had not, neither had any that follow.
    fn covers(&self, event: &Recorded) -> bool {
        match self {
            Self::Version(version) => event.version <= *version,
            Self::Position(position) => event.position <= *position,
            Self::Cursor(cursor) => event.position <= cursor.position(),
            Self::Time(time) => event.recorded_at <= *time,
        }
    }

    /// Checks that the log has come there, in the life that is meant.
    async fn check(&self, store: &dyn EventStore) -> Result<(), HistoryError> {
        let (asked, epoch) = match self {
            Self::Version(_) | Self::Time(_) => return Ok(()),
            Self::Position(position) => (*position, None),
            Self::Cursor(cursor) => (cursor.position(), Some(cursor.epoch())),
        };
        let head = store.head().await?.cursor;
        if epoch.is_some_and(|epoch| epoch != head.epoch()) {
            return Err(StoreError::EpochChanged { head }.into());
        }
        match asked > head.position() {
            true => Err(HistoryError::NotYet { asked, head }),
            false => Ok(()),
        }
    }
}

/// Where an event stands, and when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Stand {
    /// In its stream.
    pub version: Version,
    /// In the log.
    pub position: Position,
    /// When.
    pub recorded_at: Timestamp,
}

impl Stand {
    const fn of(event: &Recorded) -> Self {
        Self { version: event.version, position: event.position, recorded_at: event.recorded_at }
    }
}

/// A thing as it was at some moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AsOf<S> {
    /// What it was, as its decider knows it.
    pub state: S,
    /// The last event that had happened to it.
    pub stand: Stand,
}

/// An event of a history.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Where it stands, and when it was recorded.
    #[serde(flatten)]
    pub stand: Stand,
    /// Its id.
    pub id: EventId,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape its data has.
    pub schema: SchemaNumber,
    /// Who did it, if that is known.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Reference>,
    /// When it happened, if whoever told of it said so.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// Its data; absent when it is gone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
    /// What it changed; absent when that is not known, because its data, or that of one before it, is gone.
    #[serde(flatten)]
    pub difference: Option<Difference>,
}

impl Entry {
    fn bytes(&self) -> usize {
        let data = self.data.as_ref().map_or(0, |data| data.get().len());
        256 + data + self.difference.as_ref().map_or(0, Difference::bytes)
    }
}

/// The fold of a thing's events, one by one: pure, and the same whoever reads the stream.
///
/// ```
/// use flightdeck_domain::content::Content;
/// use flightdeck_store::Recorded;
/// use flightdeck_views::history::{Chronicle, Entry, HistoryError};
///
/// fn entries(events: &[Recorded]) -> Result<Vec<Entry>, HistoryError> {
///     let mut chronicle = Chronicle::<Content>::default();
///     events.iter().map(|event| chronicle.tell(event)).collect()
/// }
/// ```
pub struct Chronicle<T: Thing> {
    /// What it is; or from which version on that is not known.
    state: Result<T::State, Version>,
    stand: Option<Stand>,
    /// What the thing is like, if it was looked at since the last event.
    face: Option<Option<Face>>,
    of: PhantomData<fn() -> T>,
}

impl<T: Thing> Default for Chronicle<T> {
    fn default() -> Self {
        Self { state: Ok(T::initial()), stand: None, face: None, of: PhantomData }
    }
}

impl<T: Thing> Chronicle<T> {
    /// Takes an event in.
    ///
    /// Of a type that is not known nothing is known that it would change. From an event on that is of a known one and whose data is
    /// gone, nothing is known at all.
    ///
    /// # Errors
    /// When it is not of its shape, or of a newer one than is known.
    pub fn fold(&mut self, event: &Recorded) -> Result<(), HistoryError> {
        // As a command has it: of whatever type it is not, nothing was ever known.
        let is_known = T::Event::TYPES.iter().any(|stored| stored.name == event.event_type.as_str());
        let happened = match event.data.json() {
            None if is_known => Err(event.version),
            None => Ok(None),
            Some(data) => {
                let read = T::Event::from_stored(event.event_type.as_str(), event.schema, data.as_bytes());
                Ok(read.map_err(|source| HistoryError::Unreadable { position: event.position, source })?)
            }
        };
        let before = std::mem::replace(&mut self.state, Ok(T::initial()));
        self.state = before.and_then(|state| match happened? {
            Some(happened) => Ok(T::evolve(state, &happened)),
            None => Ok(state),
        });
        (self.stand, self.face) = (Some(Stand::of(event)), None);
        Ok(())
    }

    /// Takes an event in, and tells what it changed.
    ///
    /// # Errors
    /// As [`fold`](Self::fold).
    pub fn tell(&mut self, event: &Recorded) -> Result<Entry, HistoryError> {
        let before = self.face().ok();
        self.fold(event)?;
        let after = self.face().ok();
        let difference = before
            .as_ref()
            .zip(after.as_ref())
            .map(|(before, after)| Difference::between(before.as_ref(), after.as_ref(), HISTORY_WORDS_MAX));
        self.face = after;
        let data = event.data.json().map(|data| String::from_utf8_lossy(data.as_bytes()).into_owned());
        Ok(Entry {
            stand: Stand::of(event),
            id: event.id,
            event_type: event.event_type.clone(),
            schema: event.schema,
            user_id: event.metadata.actor.clone(),
            occurred_at: event.metadata.occurred,
            data: data.and_then(|data| RawValue::from_string(data).ok()),
            difference,
        })
    }

    /// What the thing is like now; `None` when it is not there.
    ///
    /// # Errors
    /// When that is not known any more.
    pub fn face(&mut self) -> Result<Option<Face>, HistoryError> {
        match self.face.take() {
            Some(face) => Ok(face),
            None => self.state.as_ref().map(T::face).map_err(|version| HistoryError::Gone(*version)),
        }
    }
}

/// Which part of a history is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HistoryQuery {
    /// Behind this version, itself excluded; `None` is the beginning.
    pub after: Option<Version>,
    /// Up to this version, itself included; `None` is the end.
    pub to: Option<Version>,
    /// In which order.
    pub direction: Direction,
    /// How many events at most: up to [`HISTORY_EVENTS_MAX`], and at least one.
    pub limit: usize,
}

impl Default for HistoryQuery {
    fn default() -> Self {
        Self { after: None, to: None, direction: Direction::Forward, limit: HISTORY_EVENTS_MAX }
    }
}

impl HistoryQuery {
    /// The query for the page behind `page`; `None` when that was the last one there is now.
    #[must_use]
    pub fn next(&self, page: &HistoryPage) -> Option<Self> {
        let last = page.entries.last().filter(|_| !page.end)?.stand.version;
        match self.direction {
            Direction::Forward => Some(Self { after: Some(last), ..*self }),
            Direction::Backward => Some(Self { to: Some(Version::new(last.get() - 1).ok()?), ..*self }),
        }
    }

    /// What the page is about, of a stream with that last version: behind the one, up to the other; and whether that is all.
    fn span(&self, last: Version) -> (i64, i64, bool) {
        let limit = i64::try_from(self.limit.clamp(1, HISTORY_EVENTS_MAX)).unwrap_or(1);
        let (after, until) = (Version::count(self.after), self.to.map_or(last, |to| to.min(last)).get());
        let (from, to) = match self.direction {
            Direction::Forward => (after, until.min(after.saturating_add(limit))),
            Direction::Backward => (after.max(until - limit), until),
        };
        (from, to, from == after && to == until)
    }
}

/// A part of the history of a thing.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HistoryPage {
    /// The version of the thing when it was asked.
    pub version: Version,
    /// What happened, in the order that was asked for.
    pub entries: Vec<Entry>,
    /// Whether everything that was asked for has come.
    pub end: bool,
}

/// What is not the same at two moments in the life of a thing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Compared {
    /// The last event before the one moment.
    pub from: Stand,
    /// The last event before the other.
    pub to: Stand,
    /// What differs.
    #[serde(flatten)]
    pub difference: Difference,
}

/// A page of the history of a thing. To tell what an event changed, all that stand before it are folded as well.
///
/// # Errors
/// See [`HistoryError`].
pub async fn history<T: Thing>(
    store: &dyn EventStore,
    stream: &StreamId,
    query: &HistoryQuery,
) -> Result<HistoryPage, HistoryError> {
    let version = last::<T>(store, stream).await?;
    let (from, to, mut end) = query.span(version);
    let (mut entries, mut bytes) = (VecDeque::new(), 0);
    let mut events =
        Events::of(store, stream, Version::new(to).ok().filter(|_| from < to), FOLDED_EVENTS_MAX);
    let mut chronicle = Chronicle::<T>::default();
    while let Some(event) = events.next().await? {
        if event.version.get() <= from {
            chronicle.fold(&event)?;
            continue;
        }
        let entry = chronicle.tell(&event)?;
        bytes += entry.bytes();
        if bytes > HISTORY_BYTES_MAX && query.direction == Direction::Forward && !entries.is_empty() {
            end = false;
            break;
        }
        entries.push_back(entry);
        // Backwards the newest count, and they come last.
        while bytes > HISTORY_BYTES_MAX && entries.len() > 1 {
            bytes -= entries.pop_front().as_ref().map_or(0, Entry::bytes);
            end = false;
        }
    }
    let mut entries = Vec::from(entries);
    if query.direction == Direction::Backward {
        entries.reverse();
    }
    Ok(HistoryPage { version, entries, end })
}

/// A thing as it was at some moment. After it was deleted, its state says so.
///
/// # Errors
/// See [`HistoryError`].
pub async fn as_of<T: Thing>(
    store: &dyn EventStore,
    stream: &StreamId,
    moment: Moment,
) -> Result<AsOf<T::State>, HistoryError> {
    let last = last::<T>(store, stream).await?;
    moment.check(store).await?;
    let to = until(&moment, last)?;
    let mut events = Events::of(store, stream, Some(to), FOLDED_EVENTS_MAX);
    let mut chronicle = Chronicle::<T>::default();
    while let Some(event) = events.next().await? {
        if !moment.covers(&event) {
            break;
        }
        chronicle.fold(&event)?;
    }
    let stand = chronicle.stand.ok_or(HistoryError::Before)?;
    Ok(AsOf { state: chronicle.state.map_err(HistoryError::Gone)?, stand })
}

/// What is not the same at two moments in the life of a thing; the first may as well be the later one.
///
/// # Errors
/// See [`HistoryError`].
pub async fn compare<T: Thing>(
    store: &dyn EventStore,
    stream: &StreamId,
    from: Moment,
    to: Moment,
) -> Result<Compared, HistoryError> {
    let last = last::<T>(store, stream).await?;
    from.check(store).await?;
    to.check(store).await?;
    let both = until(&from, last)?.max(until(&to, last)?);
    let mut events = Events::of(store, stream, Some(both), FOLDED_EVENTS_MAX);
    let mut chronicle = Chronicle::<T>::default();
    let (mut before, mut after) = (None, None);
    while let Some(event) = events.next().await? {
        for (moment, seen) in [(&from, &mut before), (&to, &mut after)] {
            if seen.is_none() && !moment.covers(&event) {
                *seen = Some(chronicle.look()?);
            }
        }
        if before.is_some() && after.is_some() {
            break;
        }
        chronicle.fold(&event)?;
    }
    let mut seen = |seen: Option<Seen>| seen.map_or_else(|| chronicle.look(), Ok);
    let ((from, before), (to, after)) = (seen(before)?, seen(after)?);
    Ok(Compared { from, to, difference: Difference::between(before.as_ref(), after.as_ref(), WORDS_MAX) })
}

/// What a thing was like, and the last event before that.
type Seen = (Stand, Option<Face>);

impl<T: Thing> Chronicle<T> {
    fn look(&mut self) -> Result<Seen, HistoryError> {
        Ok((self.stand.ok_or(HistoryError::Before)?, self.face()?))
    }
}

/// The last version of a stream of such things.
async fn last<T: Thing>(store: &dyn EventStore, stream: &StreamId) -> Result<Version, HistoryError> {
    if stream.category_str() != T::CATEGORY {
        return Err(HistoryError::WrongStream { stream: stream.clone(), category: T::CATEGORY });
    }
    let known = store.stream(stream).await?;
    known.map(|known| known.version).ok_or_else(|| HistoryError::NeverWas(stream.clone()))
}

/// Up to where a stream has to be read to know what was so at some moment.
fn until(moment: &Moment, last: Version) -> Result<Version, HistoryError> {
    match moment {
        Moment::Version(asked) if *asked > last => Err(HistoryError::Ahead { asked: *asked, last }),
        Moment::Version(asked) => Ok(*asked),
        Moment::Position(_) | Moment::Cursor(_) | Moment::Time(_) => Ok(last),
    }
}

/// The events of a stream up to a version, one by one, and a page at a time in memory.
struct Events<'s> {
    store: &'s dyn EventStore,
    next: Option<StreamQuery>,
    page: std::vec::IntoIter<Recorded>,
    most: usize,
    left: usize,
}

impl<'s> Events<'s> {
    /// Up to `to`; none at all without it.
    fn of(store: &'s dyn EventStore, stream: &StreamId, to: Option<Version>, most: usize) -> Self {
        let next = to.map(|to| StreamQuery { to: Some(to), ..StreamQuery::of(stream.clone()) });
        Self { store, next, page: Vec::new().into_iter(), most, left: most }
    }

    async fn next(&mut self) -> Result<Option<Recorded>, HistoryError> {
        loop {
            if let Some(event) = self.page.next() {
                self.left = self.left.checked_sub(1).ok_or(HistoryError::TooMany(self.most))?;
                return Ok(Some(event));
            }
            let Some(query) = self.next.take() else { return Ok(None) };
            let page = self.store.read_stream(&query).await?;
            self.next = query.next(&page);
            self.page = page.events.into_iter();
        }
    }
}

#[cfg(test)]
mod tests;
