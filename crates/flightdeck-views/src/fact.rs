//! What a visitor did, as the views that count it see it.

use std::borrow::Cow;
use std::fmt::Write as _;
use std::sync::Arc;

use flightdeck_analytics::visitor::{Event, Visitor};
use flightdeck_core::{SchemaNumber, StoredEvents, Timestamp};
use flightdeck_projections::Reads;
use flightdeck_store::chain::sha256;
use flightdeck_store::view::{FoldError, Key, Row, Rows, Value};
use flightdeck_store::{Data, Recorded};
use serde::Deserialize;

/// Bytes of a page in a key: with a visitor's id and what else is in one it fits into every index.
const PAGE_BYTES_MAX: usize = 1_000;
/// What is kept of a longer one; a digest of all of it follows.
const PAGE_BYTES_KEPT: usize = 900;

/// What was done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    View,
    Click,
    Form,
    Other,
}

impl Kind {
    /// Of what kind an event is that is known to be a fact. Its data need not be read for that.
    pub(crate) fn of(fact: &Recorded) -> Self {
        match fact.event_type.as_str() {
            "PageViewed" => Self::View,
            "ButtonClicked" => Self::Click,
            "FormSubmitted" => Self::Form,
            _ => Self::Other,
        }
    }

    /// The column in which such facts are counted.
    const fn column(self) -> &'static str {
        match self {
            Self::View => "views",
            Self::Click => "clicks",
            Self::Form => "forms",
            Self::Other => "others",
        }
    }
}

/// Something that a visitor did.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Fact<'e> {
    /// Who: what its stream is named after, whatever its data says.
    pub(crate) visitor: &'e str,
    pub(crate) kind: Kind,
    /// When the server heard of it. When the log took it in is a little later, and not what the fact says.
    pub(crate) at: Timestamp,
    /// Where, as it stands in keys.
    pub(crate) page: Option<Value>,
    pub(crate) title: Option<Cow<'e, str>>,
    pub(crate) referrer: Option<Cow<'e, str>>,
}

/// What a view looks at of a fact of the first shape, whichever it is. Only views of pages say the last two.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Glance<'e> {
    timestamp: Timestamp,
    #[serde(borrow)]
    page_id: Option<Text<'e>>,
    #[serde(borrow)]
    title: Option<Text<'e>>,
    #[serde(borrow)]
    referrer: Option<Text<'e>>,
}

/// A text that is copied only where it is written with escapes.
#[derive(Deserialize)]
struct Text<'e>(#[serde(borrow)] Cow<'e, str>);

/// The events among which facts are: all of a visitor's.
pub(crate) fn reads() -> Reads {
    Reads::events_of::<Visitor>()
}

impl<'e> Fact<'e> {
    /// The fact that an event is. An answer to whether it may be recorded is none, and neither is one whose data is gone.
    pub(crate) fn of(event: &'e Recorded) -> Result<Option<Self>, FoldError> {
        let Some(visitor) = visitor(event) else { return Ok(None) };
        if matches!(event.data, Data::Tombstone(_)) {
            return Ok(None);
        }
        let read = Event::from_stored(event.event_type.as_str(), event.schema, event.data_bytes())?;
        let (at, page, title, referrer) = match read {
            Some(Event::PageViewed(fact)) => {
                let title = fact.title.map(|title| title.as_str().to_owned().into());
                let referrer = fact.referrer.map(|referrer| referrer.as_str().to_owned().into());
                (fact.timestamp, Some(fact.page_id), title, referrer)
            }
            Some(Event::ButtonClicked(fact)) => (fact.timestamp, fact.page_id, None, None),
            Some(Event::FormSubmitted(fact)) => (fact.timestamp, fact.page_id, None, None),
            Some(Event::ElementInteraction(fact)) => (fact.timestamp, fact.page_id, None, None),
            Some(Event::SystemEvent(fact)) => (fact.timestamp, fact.page_id, None, None),
            Some(Event::ConsentAccepted(_) | Event::ConsentDeclined(_) | Event::ConsentReset(_)) | None => {
                return Ok(None);
            }
        };
        let page = page.map(|page| page_key(page.as_str()));
        Ok(Some(Self { visitor, kind: Kind::of(event), at, page, title, referrer }))
    }

    /// The fact that an event is whose keys were worked out before: what was checked then is not checked again, and of its data nothing
    /// is copied; `page` is how the page stands in the keys, if it does. An event that has no keys is no fact to the view that asks.
    pub(crate) fn again(
        event: &'e Recorded,
        keys: &[Key],
        page: Option<&Value>,
    ) -> Result<Option<Self>, FoldError> {
        if keys.is_empty() {
            return Ok(None);
        }
        if event.schema != SchemaNumber::FIRST {
            return Self::of(event);
        }
        let Some(visitor) = visitor(event) else { return Ok(None) };
        let Glance { timestamp: at, page_id, title, referrer } = serde_json::from_slice(event.data_bytes())?;
        let page = page.cloned().or_else(|| page_id.map(|page| page_key(&page.0)));
        let text = |text: Option<Text<'e>>| text.map(|text| text.0);
        let (title, referrer) = (text(title), text(referrer));
        Ok(Some(Self { visitor, kind: Kind::of(event), at, page, title, referrer }))
    }
}

/// Who did something: what its stream is named after.
pub(crate) fn visitor(event: &Recorded) -> Option<&str> {
    event.stream.as_str().split_once('-').map(|(_, visitor)| visitor)
}

/// A page as it stands in keys: what is too long for an index is cut, with a digest of all of it behind.
pub(crate) fn page_key(page: &str) -> Value {
    if page.len() <= PAGE_BYTES_MAX {
        return page.into();
    }
    let mut key = page[..page.floor_char_boundary(PAGE_BYTES_KEPT)].to_owned();
    key.push('…');
    for byte in &sha256(page.as_bytes())[..16] {
        // Writing to a text can't fail.
        let _written = write!(key, "{byte:02x}");
    }
    Value::Text(Arc::from(key))
}

/// Changes the row with that key; where there is none, the one that `new` gives is changed like any other.
pub(crate) fn upsert(
    rows: &mut Rows<'_>,
    table: &str,
    key: &[Value],
    new: impl FnOnce() -> Vec<Value>,
    change: impl FnOnce(&mut Row) -> Result<(), FoldError>,
) -> Result<(), FoldError> {
    let mut row = match rows.find(table, key).cloned() {
        Some(row) => row,
        None => rows.make(table, new())?,
    };
    change(&mut row)?;
    rows.put_row(row)
}

/// One more fact of that kind: in all, and in the column of its kind if the table has one.
pub(crate) fn count(row: &mut Row, kind: Kind) -> Result<(), FoldError> {
    add_one(row, "facts")?;
    match row.integer(kind.column()) {
        Some(_) => add_one(row, kind.column()),
        None => Ok(()),
    }
}

/// One more in a column of numbers.
pub(crate) fn add_one(row: &mut Row, column: &str) -> Result<(), FoldError> {
    let before = row.integer(column).unwrap_or(0);
    row.set(column, before + 1)
}

/// Widens a span of time to hold a moment. Facts come in the order of the log, and a clock may have gone back.
pub(crate) fn widen(row: &mut Row, first: &str, last: &str, at: Timestamp) -> Result<(), FoldError> {
    if row.time(first).is_none_or(|before| at < before) {
        row.set(first, at)?;
    }
    if row.time(last).is_none_or(|before| at > before) {
        row.set(last, at)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
