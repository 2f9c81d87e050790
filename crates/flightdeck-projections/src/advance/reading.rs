//! The pages that a generation is folded from: of the log or of its tail, and the next one read ahead while nobody appends.

use std::sync::Arc;

use flightdeck_core::{Cursor, Position};
use flightdeck_store::{LogPage, LogQuery, Reason, Recorded, StoreError};
use tokio::task::{JoinError, JoinHandle};

use super::{Advance, Broke, Hold};
use crate::batch::{Batch, Current};

/// The events of a page.
pub(super) enum Events {
    /// As they were read.
    Raw(Vec<Recorded>),
    /// It is known which of them are read, and what rows they are about.
    Looked(Batch),
}

impl Events {
    pub(super) fn is_empty(&self) -> bool {
        matches!(self, Self::Raw(events) if events.is_empty())
    }
}

/// A page of the log for a generation.
pub(super) struct Page {
    pub(super) events: Events,
    pub(super) scanned_to: Position,
    pub(super) head: Cursor,
    pub(super) end: bool,
}

impl From<LogPage> for Page {
    fn from(page: LogPage) -> Self {
        Self { events: Events::Raw(page.events), scanned_to: page.scanned_to, head: page.head, end: page.end }
    }
}

/// The page behind a position, which is being read and looked at.
pub(super) struct Ahead {
    from: Position,
    reading: JoinHandle<Result<Page, StoreError>>,
    current: Current,
}

impl Advance {
    /// The next page; nothing if it took too long to look at it.
    pub(super) async fn page(&self, hold: &mut Hold) -> Result<Option<Page>, Broke> {
        let after = hold.folded_to.position;
        if let Some(Ahead { reading, current, .. }) = hold.ahead.take_if(|ahead| ahead.from == after) {
            return Ok(self.in_time(hold, current, reading).await?.transpose()?);
        }
        hold.ahead = None;
        let until = hold.stand.as_ref().map(|halt| halt.position.previous());
        let query = self.query(after, until);
        // One that is built anew is to be what the log is now, to the last event. And the tail may not know yet of another epoch.
        let fits = |page: &LogPage| hold.state.ready && hold.epoch.as_ref() == Some(page.head.epoch());
        let page = match self.tail.page(&query).filter(fits) {
            Some(page) => page,
            None => self.store.read_log(&query).await?,
        };
        Ok(Some(page.into()))
    }

    fn query(&self, after: Position, until: Option<Position>) -> LogQuery {
        let filter = self.defined.filter.clone();
        LogQuery { until, limit: self.options.page, ..LogQuery::after(after).matching(filter) }
    }

    /// Reads the next page while this one is folded, and looks at it. Not while others append: they are not to share what they work
    /// with with two of ours at once.
    pub(super) fn read_ahead(&self, hold: &mut Hold, page: &Page) {
        hold.grows = std::mem::replace(&mut hold.head, page.head.position()) != page.head.position();
        let held = hold.state.ready && self.tail.holds(page.scanned_to);
        if page.end || hold.grows || hold.stand.is_some() || held {
            return;
        }
        let (store, query) = (Arc::clone(&self.store), self.query(page.scanned_to, None));
        let (defined, skips, current) = (self.defined.clone(), hold.state.skips.clone(), Current::default());
        let noted = Arc::clone(&current);
        let reading = tokio::spawn(async move {
            let page = store.read_log(&query).await?;
            let LogPage { events, scanned_to, head, end } = page;
            let look = move || Batch::of(&defined, &skips, (events, scanned_to), &noted);
            let looked = tokio::task::spawn_blocking(look).await;
            // A fault of ours, or the end of the program.
            let gone =
                |broke: JoinError| StoreError::Failed { reason: Reason::Stopped, source: Some(broke.into()) };
            let events = Events::Looked(looked.map_err(gone)?);
            Ok(Page { events, scanned_to, head, end })
        });
        hold.ahead = Some(Ahead { from: page.scanned_to, reading, current });
    }
}
