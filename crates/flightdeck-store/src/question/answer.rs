//! How a store answers by its own reads: page by page, so that no read is long, and each event checked as at every read.

use std::collections::{HashMap, VecDeque};

use async_trait::async_trait;
use flightdeck_core::limits::{PAGE_EVENTS_MAX, PAGE_SCAN_EVENTS_MAX};
use flightdeck_core::{Cursor, Position, StreamId, Timestamp, Version};

use futures_util::future::BoxFuture;
use futures_util::stream::{FuturesOrdered, StreamExt as _};

use super::{Finding, LogAnswer, LogQuestion};
use crate::event::Recorded;
use crate::port::EventStore;
use crate::read::{Corruption, Filter, Limit, LogPage, LogQuery, StoreError};

/// Ends of streams that are kept in mind at the most: some 6 MB.
const ENDS_MAX: usize = 65_536;
/// Damaged events that are passed over when a moment is looked for: each is a read of its own.
const DAMAGED_MAX: usize = 1_000;

/// What an answer reads of a store.
#[async_trait]
pub trait Reads: Send + Sync {
    /// Where the log ends.
    async fn end(&self) -> Result<Cursor, StoreError>;

    /// A page of the log.
    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError>;

    /// How many pages may be read at once.
    fn at_once(&self) -> usize {
        1
    }

    /// The last versions of streams that have events, by their names.
    async fn last_versions(&self, streams: Vec<StreamId>) -> Result<HashMap<StreamId, Version>, StoreError>;
}

/// Any store, whose streams are looked up one by one.
#[derive(Debug)]
pub struct OneByOne<'s, S: ?Sized>(pub &'s S);

#[async_trait]
impl<S: EventStore + ?Sized> Reads for OneByOne<'_, S> {
    async fn end(&self) -> Result<Cursor, StoreError> {
        Ok(self.0.head().await?.cursor)
    }

    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        self.0.read_log(query).await
    }

    async fn last_versions(&self, streams: Vec<StreamId>) -> Result<HashMap<StreamId, Version>, StoreError> {
        let mut versions = HashMap::new();
        for stream in streams {
            if let Some(info) = self.0.stream(&stream).await? {
                versions.insert(stream, info.version);
            }
        }
        Ok(versions)
    }
}

/// Answers a question by reading.
///
/// # Errors
/// See [`EventStore::question`].
pub async fn answer(reads: &dyn Reads, question: &LogQuestion) -> Result<LogAnswer, StoreError> {
    question.check()?;
    let head = reads.end().await?;
    if !question.after.is_of(head.epoch()) {
        return Err(StoreError::EpochChanged { head });
    }
    let mut after = question.after.position();
    if let Some(from) = question.from {
        after = after.max(last_before(reads, &head, from).await?);
    }
    let mut until = question.until.unwrap_or(head.position()).min(head.position());
    if let Some(to) = question.to {
        until = until.min(last_before(reads, &head, to).await?);
    }
    let mut finding = Finding::begin(question, after, until)?;
    let mut ahead = Ahead {
        reads,
        head: &head,
        filter: &question.filter,
        pieces: VecDeque::new(),
        coming: FuturesOrdered::new(),
    };
    // Also of an answer that is not given, what was begun is read to its end.
    let found = find(&mut finding, &mut ahead).await;
    ahead.finish().await;
    found?;
    Ok(finding.answer(head))
}

/// Shows a finding one page after the other, until it has seen enough.
async fn find(finding: &mut Finding<'_>, ahead: &mut Ahead<'_>) -> Result<(), StoreError> {
    ahead.cut(finding.next()?);
    let mut ends = Ends::default();
    while finding.next()?.is_some() {
        let Some(page) = ahead.next().await? else { break };
        if finding.asks_for_the_last() {
            ends.look_up(ahead.reads, &page.events).await?;
        }
        let mut all = true;
        for event in &page.events {
            if !finding.look_at(event, ends.is_last(event))? {
                all = false;
                break;
            }
        }
        if all {
            finding.looked_to(page.scanned_to);
        }
    }
    Ok(())
}

/// Pages in the order of the log, of which some are read ahead.
struct Ahead<'a> {
    reads: &'a dyn Reads,
    head: &'a Cursor,
    filter: &'a Filter,
    /// Stretches that nobody has begun to read.
    pieces: VecDeque<(Position, Position)>,
    coming: FuturesOrdered<BoxFuture<'a, Result<(LogPage, Position), StoreError>>>,
}

impl Ahead<'_> {
    /// Cuts a stretch into pieces of which each is likely to be one page: one that is filtered looks further than it brings.
    fn cut(&mut self, stretch: Option<(Position, Position)>) {
        let Some((mut after, until)) = stretch else { return };
        let events = if self.filter.is_all() { PAGE_EVENTS_MAX as i64 } else { PAGE_SCAN_EVENTS_MAX };
        while after < until {
            let to = Position::new(after.get() + events).unwrap_or(until).min(until);
            self.pieces.push_back((after, to));
            after = to;
        }
    }

    /// The next page; `None` behind the last one.
    async fn next(&mut self) -> Result<Option<LogPage>, StoreError> {
        while self.coming.len() < self.reads.at_once().max(1)
            && let Some(piece) = self.pieces.pop_front()
        {
            self.coming.push_back(Box::pin(read(self.reads, self.head, self.filter, piece)));
        }
        let Some(read_ahead) = self.coming.next().await else { return Ok(None) };
        let (page, until) = read_ahead?;
        if page.scanned_to < until {
            // The rest of the piece comes before what is read ahead.
            let rest = (page.scanned_to, until);
            self.coming.push_front(Box::pin(read(self.reads, self.head, self.filter, rest)));
        }
        Ok(Some(page))
    }

    /// Waits for what was read ahead in vain: a connection that owes an answer would have to be thrown away.
    async fn finish(mut self) {
        while self.coming.next().await.is_some() {}
    }
}

/// The first page of a stretch, and where that ends.
async fn read(
    reads: &dyn Reads,
    head: &Cursor,
    filter: &Filter,
    (after, until): (Position, Position),
) -> Result<(LogPage, Position), StoreError> {
    let from = Cursor::new(head.epoch().clone(), after);
    let query = LogQuery { until: Some(until), ..LogQuery::after(from) };
    let page = reads.page(&query.matching(filter.clone())).await?;
    if page.scanned_to <= after {
        let what = "the log does not go on".to_owned();
        return Err(Corruption { position: Some(after.next()), what }.into());
    }
    Ok((page, until))
}

/// Where streams end, as far as it had to be looked up. What has another event behind it, that one says.
#[derive(Default)]
struct Ends(HashMap<StreamId, Version>);

impl Ends {
    async fn look_up(&mut self, reads: &dyn Reads, events: &[Recorded]) -> Result<(), StoreError> {
        if self.0.len() > ENDS_MAX {
            self.0.clear();
        }
        let newest: HashMap<_, _> = events.iter().map(|event| (&event.stream, event.version)).collect();
        let is_unknown =
            |(stream, version): &(&StreamId, Version)| self.0.get(stream).is_none_or(|end| end < version);
        let unknown: Vec<StreamId> =
            newest.into_iter().filter(is_unknown).map(|(stream, _)| stream.clone()).collect();
        if !unknown.is_empty() {
            self.0.extend(reads.last_versions(unknown).await?);
        }
        Ok(())
    }

    fn is_last(&self, event: &Recorded) -> bool {
        self.0.get(&event.stream) == Some(&event.version)
    }
}

/// The position of the last event up to `head` that was recorded before a moment. Times never go backwards, so the border is
/// searched for. An event that can't be read is passed over, and its neighbours say where the border is; when they don't,
/// it counts as recorded later.
///
/// # Errors
/// When the log can't be read, or began a new epoch since; or when too many events in a row are damaged.
pub async fn last_before(
    reads: &dyn Reads,
    head: &Cursor,
    moment: Timestamp,
) -> Result<Position, StoreError> {
    let (mut low, mut high) = (0, head.position().get());
    while low < high {
        let middle = low + (high - low + 1) / 2;
        // Down to what is known to be before the moment, and then up to what is known not to be.
        let neighbours = (low + 1..=middle).rev().chain(middle + 1..=high);
        let mut found = None;
        for (passed, at) in neighbours.enumerate() {
            let at = Position::new(at).unwrap_or(head.position());
            match recorded_at(reads, head, at).await {
                Ok(recorded_at) => {
                    found = Some((at.get(), recorded_at));
                    break;
                }
                Err(StoreError::Corrupt(damage)) if damage.position == Some(at) && passed < DAMAGED_MAX => {}
                Err(error) => return Err(error),
            }
        }
        match found {
            Some((at, recorded_at)) if recorded_at < moment => low = at,
            // All between is damaged: nothing there can be seen to be before the moment.
            Some((at, _)) if at > middle => high = low,
            Some((at, _)) => high = at - 1,
            None => high = low,
        }
    }
    Ok(Position::new(low).unwrap_or(head.position()))
}

/// When the event at a position was recorded.
async fn recorded_at(reads: &dyn Reads, head: &Cursor, at: Position) -> Result<Timestamp, StoreError> {
    let from = Cursor::new(head.epoch().clone(), at.previous());
    let query = LogQuery { until: Some(at), limit: Limit::new(1)?, ..LogQuery::after(from) };
    let page = reads.page(&query).await?;
    let missing = || Corruption { position: Some(at), what: "the event is missing".to_owned() };
    Ok(page.events.first().ok_or_else(missing)?.recorded_at)
}
