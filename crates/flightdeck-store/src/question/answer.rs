//! How a store answers by its own reads: page by page, so that no read is long, and each event checked as at every read.

use std::collections::HashMap;

use async_trait::async_trait;
use flightdeck_core::{Cursor, Position, StreamId, Timestamp, Version};

use super::{Finding, LogAnswer, LogQuestion};
use crate::event::Recorded;
use crate::port::EventStore;
use crate::read::{Corruption, Limit, LogPage, LogQuery, StoreError};

/// What an answer reads of a store.
#[async_trait]
pub trait Reads: Send + Sync {
    /// Where the log ends.
    async fn end(&self) -> Result<Cursor, StoreError>;

    /// A page of the log.
    async fn page(&self, query: &LogQuery) -> Result<LogPage, StoreError>;

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
    while let Some((after, until)) = finding.next()? {
        let from = Cursor::new(head.epoch().clone(), after);
        let query = LogQuery { until: Some(until), ..LogQuery::after(from) };
        let page = reads.page(&query.matching(question.filter.clone())).await?;
        if page.scanned_to <= after {
            let what = "the log does not go on".to_owned();
            return Err(Corruption { position: Some(after.next()), what }.into());
        }
        if look_through(reads, &mut finding, &page.events).await? {
            finding.looked_to(page.scanned_to);
        }
    }
    Ok(finding.answer(head))
}

/// Shows the events of a page. `false`: not all of them were looked at.
async fn look_through(
    reads: &dyn Reads,
    finding: &mut Finding<'_>,
    events: &[Recorded],
) -> Result<bool, StoreError> {
    let mut last = HashMap::new();
    if finding.asks_for_the_last() {
        // Whatever has another event behind it on this page is not its stream's last one.
        let newest: HashMap<_, _> = events.iter().map(|event| (&event.stream, event.version)).collect();
        last = reads.last_versions(newest.into_keys().cloned().collect()).await?;
    }
    for event in events {
        let is_last = last.get(&event.stream) == Some(&event.version);
        if !finding.look_at(event, is_last)? {
            return Ok(false);
        }
    }
    Ok(true)
}

/// The position of the last event that was recorded before a moment. Times never go backwards, so the border is searched for.
async fn last_before(reads: &dyn Reads, head: &Cursor, moment: Timestamp) -> Result<Position, StoreError> {
    let (mut low, mut high) = (0, head.position().get());
    while low < high {
        let middle = low + (high - low + 1) / 2;
        let at = Position::new(middle).unwrap_or(head.position());
        let from = Cursor::new(head.epoch().clone(), at.previous());
        let query = LogQuery { until: Some(at), limit: Limit::new(1)?, ..LogQuery::after(from) };
        let page = reads.page(&query).await?;
        let missing = || Corruption { position: Some(at), what: "the event is missing".to_owned() };
        let event = page.events.first().ok_or_else(missing)?;
        if event.recorded_at < moment {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    Ok(Position::new(low).unwrap_or(head.position()))
}
