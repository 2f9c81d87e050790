//! Carrying a log from one store to another: events first, then what lies beside them.
//!
//! What was interrupted goes on where it stands, once the two logs are seen to be the same up to there.

use flightdeck_core::{Position, StreamId, Version};
use thiserror::Error;

use crate::read::{LogQuery, StoreError, StreamQuery};
use crate::verify::Watcher;
use crate::whole::{Fill, FillError, KeptSnapshot, Whole};
use crate::{Limit, Recorded};

/// Why a log was not carried over.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum TransferError {
    /// The source could not be read.
    #[error("the source can't be read")]
    Source(#[source] StoreError),
    /// The target could not take it in.
    #[error("the target did not take it in")]
    Target(#[source] FillError),
    /// What is in the target is not the beginning of this log.
    #[error("position {0} of the target is not what it is in the source: another log was begun there")]
    OtherLog(Position),
    /// The events end within an append.
    #[error("the source ends within an append, at position {0}")]
    Torn(Position),
    /// An event is not what its type says.
    #[error("the event at position {position} can't be carried over: {problem}")]
    Refused {
        /// The event.
        position: Position,
        /// What is wrong with it.
        problem: String,
    },
    /// The source has less than the target.
    #[error("the target has come to position {0}, which the source has not")]
    Ahead(Position),
}

/// Says of an event whether it may be carried over, and why not.
pub type Judge<'a> = &'a (dyn Fn(&Recorded) -> Result<(), String> + Send + Sync);

/// The judge who lets everything pass: for what was in a store of ours before.
///
/// # Errors
/// Never.
pub fn as_it_is(_: &Recorded) -> Result<(), String> {
    Ok(())
}

impl From<FillError> for TransferError {
    fn from(error: FillError) -> Self {
        Self::Target(error)
    }
}

/// Carries the events up to `until` over, from where the target stands, as far as the judge lets them pass.
///
/// # Errors
/// See [`TransferError`]. What was carried over before stays.
pub async fn events(
    from: &dyn Whole,
    to: &dyn Fill,
    until: Position,
    judge: Judge<'_>,
    watcher: &dyn Watcher,
) -> Result<(), TransferError> {
    let at = to.head().await.map_err(FillError::from)?;
    let begun = at.cursor.position();
    if begun > until {
        return Err(TransferError::Ahead(begun));
    }
    if begun > Position::START {
        let query = LogQuery { until: Some(begun), limit: Limit::MAX, ..LogQuery::after(begun.previous()) };
        let page = from.read_log(&query).await.map_err(TransferError::Source)?;
        if page.events.first().map(|event: &Recorded| event.hash) != Some(at.hash) {
            return Err(TransferError::OtherLog(begun));
        }
    }
    let total = u64::try_from(until.get()).unwrap_or(0);
    let mut query = Some(LogQuery { until: Some(until), ..LogQuery::after(begun) });
    let mut held = Vec::new();
    while let Some(asked) = query.filter(|asked| asked.after.position() < until) {
        let page = from.read_log(&asked).await.map_err(TransferError::Source)?;
        query = asked.next(&page);
        let done = u64::try_from(page.scanned_to.get()).unwrap_or(0);
        for event in &page.events {
            judge(event).map_err(|problem| TransferError::Refused { position: event.position, problem })?;
        }
        held.extend(page.events);
        // A page may end within an append; what is carried over never does.
        let last = held.iter().rposition(|event: &Recorded| event.append_end == event.position);
        if let Some(last) = last {
            let rest = held.split_off(last + 1);
            to.add_events(std::mem::replace(&mut held, rest)).await?;
        }
        watcher.at("events", done, total);
    }
    match held.last() {
        None => Ok(()),
        Some(event) => Err(TransferError::Torn(event.position)),
    }
}

/// Whether the last event that a snapshot has folded in stands at or below a position.
pub(crate) async fn is_within(
    from: &dyn Whole,
    kept: &KeptSnapshot,
    until: Position,
) -> Result<bool, StoreError> {
    let version = kept.snapshot.version;
    let before = Version::new(version.get() - 1).ok();
    let query = StreamQuery { after: before, to: Some(version), ..StreamQuery::of(kept.stream.clone()) };
    let page = from.read_stream(&query).await?;
    Ok(page.events.last().is_some_and(|event| event.version == version && event.position <= until))
}

/// Carries over what lies beside the events: what is remembered of requests, and snapshots.
///
/// # Errors
/// See [`TransferError`].
pub async fn beside(
    from: &dyn Whole,
    to: &dyn Fill,
    until: Position,
    watcher: &dyn Watcher,
) -> Result<(), TransferError> {
    let (mut after, mut done) = (None, 0);
    loop {
        let page = from.requests(after, Limit::MAX).await.map_err(TransferError::Source)?;
        let Some(last) = page.last() else { break };
        after = Some((last.caller.clone(), last.key.clone()));
        // What was done behind the end of the copy is not part of it.
        let part: Vec<_> = page.into_iter().filter(|request| request.done.last() <= until).collect();
        done += u64::try_from(part.len()).unwrap_or(0);
        to.add_requests(part).await?;
        watcher.at("requests", done, done);
    }
    let (mut after, mut done): (Option<StreamId>, _) = (None, 0);
    loop {
        let page = from.snapshots(after).await.map_err(TransferError::Source)?;
        let Some(last) = page.last() else { return Ok(()) };
        after = Some(last.stream.clone());
        let mut part = Vec::with_capacity(page.len());
        for kept in page {
            if is_within(from, &kept, until).await.map_err(TransferError::Source)? {
                part.push(kept);
            }
        }
        done += u64::try_from(part.len()).unwrap_or(0);
        to.add_snapshots(part).await?;
        watcher.at("snapshots", done, done);
    }
}
