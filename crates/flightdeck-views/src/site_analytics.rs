//! The view `site_analytics`: how much happened on a site, by quarter of an hour, hour, day and month in UTC.
//!
//! A fact is counted in one row of each grain. A quarter of an hour is the finest, because the offsets of all zones are multiples of it:
//! whatever a day is somewhere, it is a sum of rows (see [`series`]). Answers about consent are not counted. What happened on each
//! page is in the view [`pages`](crate::pages): its hours would be about as many rows as there are facts.
//!
//! What counts is when the server heard of a fact (its `timestamp`), so that an import or a copy changes no picture.
//!
//! Visitors are told apart exactly up to [`EXACT_HOUR`] in a row of an hour or a quarter of one, and up to [`EXACT_MAX`] in all
//! others; beyond, `visitors` is an estimate. No row has an id of theirs; what can be told from one all the same stands in [`visitors`].

use std::sync::LazyLock;

use flightdeck_core::Timestamp;
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, Key, Kind, Rows, Table, Value};

use crate::fact::{self, Fact};
use crate::visitors::{self, Mark};

mod cover;
mod series;

pub use self::series::{Bucket, Series, SeriesError, Totals, series, totals};
pub use crate::pages::top_pages;
pub use crate::user_activity::most_active;

use self::cover::Grain;

/// The name of the view, and of its one table.
pub const NAME: &str = "site_analytics";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;
/// Up to how many visitors of an hour, or of a quarter of one, are told apart exactly.
pub const EXACT_HOUR: usize = 200;
/// Up to how many visitors of a day, a month, or of all time are told apart exactly.
pub const EXACT_MAX: usize = 1_000;

/// The projection of the view `site_analytics`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SiteAnalyticsView;

impl Projection for SiteAnalyticsView {
    fn name(&self) -> &'static str {
        NAME
    }

    fn number(&self) -> u32 {
        NUMBER
    }

    fn reads(&self) -> Reads {
        fact::reads()
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::named(NAME)
                .key("grain", Kind::Text)
                .key("start", Kind::Time)
                .column("facts", Kind::Integer)
                .column("views", Kind::Integer)
                .column("clicks", Kind::Integer)
                .column("forms", Kind::Integer)
                .column("visitors", Kind::Integer)
                .column("visitors_exact", Kind::Boolean)
                .column("visitor_set", Kind::Text),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(Fact::of(event)?.as_ref().map(keys).unwrap_or_default())
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        // All that is to be known of a fact stands in its keys, in the name of its stream and in its type: its data is read once.
        let (keys, Some(visitor)) = (rows.keys(), fact::visitor(event)) else { return Ok(()) };
        if keys.is_empty() {
            return Ok(());
        }
        let (kind, mark) = (fact::Kind::of(event), Mark::of(visitor));
        // A visitor that is the first of a row makes the same set in every one of them.
        let alone =
            LazyLock::new(|| visitors::with(visitors::NOBODY, mark, 1).map_or(Value::Null, Value::from));
        for key in keys {
            match rows.find(NAME, &key.values).cloned() {
                Some(mut row) => {
                    fact::count(&mut row, kind)?;
                    seen(&mut row, mark, Grain::exact_max_of(&key.values[0]))?;
                    rows.put_row(row)?;
                }
                None => rows.put(NAME, first(&key.values, kind, alone.clone()))?,
            }
        }
        Ok(())
    }
}

/// A row in which one fact of one visitor is counted.
fn first(key: &[Value], kind: fact::Kind, alone: Value) -> Vec<Value> {
    let one_of = |counted: fact::Kind| i64::from(kind == counted).into();
    let (views, clicks, forms) =
        (one_of(fact::Kind::View), one_of(fact::Kind::Click), one_of(fact::Kind::Form));
    let counted = [1.into(), views, clicks, forms, 1.into(), true.into(), alone];
    let mut row = Vec::with_capacity(key.len() + counted.len());
    row.extend_from_slice(key);
    row.extend(counted);
    row
}

/// Adds a visitor to the set of a row, and counts it if that is new.
pub(crate) fn seen(
    row: &mut flightdeck_store::view::Row,
    mark: Mark,
    exact_max: usize,
) -> Result<(), FoldError> {
    let set = row.text("visitor_set").unwrap_or(visitors::NOBODY);
    let Some(set) = visitors::with(set, mark, exact_max) else { return Ok(()) };
    let (many, exact) = visitors::count(&set);
    row.set("visitors", many)?;
    row.set("visitors_exact", exact)?;
    row.set("visitor_set", set)
}

/// The rows in which a fact is counted.
fn keys(fact: &Fact<'_>) -> Vec<Key> {
    let seconds = fact.at.micros().div_euclid(1_000_000);
    let key = |grain: Grain| Key::all_of(NAME, [grain.value(), time(grain.floor(seconds))]);
    Grain::EACH.into_iter().map(key).collect()
}

/// A second as the rows have it. All seconds here are of times that were times before.
fn time(seconds: i64) -> Value {
    Timestamp::from_micros(seconds.saturating_mul(1_000_000)).map_or(Value::Null, Value::Time)
}

#[cfg(test)]
mod tests;
