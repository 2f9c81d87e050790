//! The view `log_streams`: every stream, with how much is in it and when something last was.
//!
//! It is about the log, so what counts is when an event was recorded. The system's own streams (`$…`) are not in it: who may see
//! everything may not see those. Its rows are of streams of many categories, so they are for who may read all.

use std::time::Duration;

use flightdeck_core::{Category, Timestamp};
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{
    Answers, Compare, FoldError, Key, Kind, Rows, Table, Value, ViewError, ViewName, ViewPage, ViewQuery,
};

use crate::{Asked, LOG_GATHER, fact};

/// The name of the view, and of its one table.
pub const NAME: &str = "log_streams";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;

/// The projection of the view `log_streams`.
#[derive(Debug, Clone, Copy, Default)]
pub struct LogStreamsView;

impl Projection for LogStreamsView {
    fn name(&self) -> &'static str {
        NAME
    }

    fn number(&self) -> u32 {
        NUMBER
    }

    fn reads(&self) -> Reads {
        Reads::everything()
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::named(NAME)
                .key("stream", Kind::Text)
                .column("category", Kind::Text)
                .column("events", Kind::Integer)
                .column("first_at", Kind::Time)
                .column("last_at", Kind::Time)
                .column("last_type", Kind::Text)
                .index(&["last_at"])
                .index(&["category", "last_at"]),
        ]
    }

    fn gather(&self) -> Option<Duration> {
        Some(LOG_GATHER)
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let counted = !event.stream.is_system();
        Ok(counted.then(|| Key::of(NAME, event.stream.as_str())).into_iter().collect())
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        if event.stream.is_system() {
            return Ok(());
        }
        let stream = Value::from(event.stream.as_str());
        let (at, last_type) = (Value::Time(event.recorded_at), Value::from(event.event_type.as_str()));
        let new = || {
            let category = event.stream.category_str().into();
            vec![stream.clone(), category, 0.into(), at.clone(), at.clone(), last_type.clone()]
        };
        fact::upsert(rows, NAME, std::slice::from_ref(&stream), new, |row| {
            fact::widen(row, "first_at", "last_at", event.recorded_at)?;
            row.set("last_type", last_type.clone())?;
            fact::add_one(row, "events")
        })
    }
}

/// Which streams, and in which order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Streams {
    /// Those in which something happened last come first.
    Active,
    /// Only those in which nothing has happened since then; the longest first.
    InactiveSince(Timestamp),
}

/// Streams by when something last happened in them, of one category or of all, from an index.
///
/// # Errors
/// When the view can't be asked.
pub async fn streams(
    views: &(impl Answers + ?Sized),
    which: Streams,
    category: Option<&Category>,
    asked: Asked,
) -> Result<ViewPage, ViewError> {
    let mut query = ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME);
    if let Some(category) = category {
        query = query.filter("category", Compare::Equal(category.as_str().into()));
    }
    query = match which {
        Streams::Active => query.sorted("last_at", true),
        Streams::InactiveSince(since) => {
            query.filter("last_at", Compare::Less(since.into())).sorted("last_at", false)
        }
    };
    views.answer(&asked.of(query)).await
}

#[cfg(test)]
mod tests;
