//! The view `user_activity`: what each visitor did in all, and on which pages.
//!
//! A visitor is what its stream is named after. Its rows are of its stream, so that who may read only that one sees only them.
//! What a visitor did one by one is its stream itself: see [`timeline`](timeline()).

use flightdeck_projections::{Projection, Reads};
use flightdeck_store::view::{
    Answers, Compare, FoldError, Key, Kind, Row, Rows, Table, Value, ViewError, ViewName, ViewPage, ViewQuery,
};
use flightdeck_store::{Recorded, StreamPattern};

use flightdeck_analytics::VisitorId;

use crate::Asked;
use crate::fact::{self, Fact};

mod timeline;

pub use self::timeline::{Done, Timeline, TimelineError, TimelinePage, timeline};

/// The name of the view, and of its first table.
pub const NAME: &str = "user_activity";
/// The table with the pages of each visitor.
pub const PAGES: &str = "user_activity_pages";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;

/// The projection of the view `user_activity`.
#[derive(Debug, Clone, Copy, Default)]
pub struct UserActivityView;

impl Projection for UserActivityView {
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
                .key("visitor", Kind::Text)
                .column("facts", Kind::Integer)
                .column("views", Kind::Integer)
                .column("clicks", Kind::Integer)
                .column("forms", Kind::Integer)
                .column("others", Kind::Integer)
                .column("pages", Kind::Integer)
                .column("first_active", Kind::Time)
                .column("last_active", Kind::Time)
                .index(&["facts"])
                .index(&["views"])
                .index(&["last_active"])
                .of_stream("visitor", "visitor"),
            Table::named(PAGES)
                .key("visitor", Kind::Text)
                .key("page", Kind::Text)
                .column("facts", Kind::Integer)
                .column("views", Kind::Integer)
                .column("clicks", Kind::Integer)
                .column("forms", Kind::Integer)
                .column("others", Kind::Integer)
                .column("first_active", Kind::Time)
                .column("last_active", Kind::Time)
                .of_stream("visitor", "visitor"),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let Some(fact) = Fact::of(event)? else { return Ok(vec![]) };
        let visitor = Value::from(fact.visitor);
        let mut keys = vec![Key::of(NAME, visitor.clone())];
        keys.extend(fact.page.map(|page| Key::all_of(PAGES, [visitor, page])));
        Ok(keys)
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let keys = rows.keys();
        let page = keys.get(1).map(|key| &key.values[1]);
        let Some(fact) = Fact::again(event, keys, page)? else { return Ok(()) };
        let visitor = keys.first().map_or_else(|| fact.visitor.into(), |key| key.values[0].clone());
        let at = Value::Time(fact.at);
        let counts = |more: usize| vec![Value::Integer(0); 5 + more];
        let mut new_pages = 0;
        if let Some(page) = fact.page.clone() {
            let key = [visitor.clone(), page];
            let new = || {
                new_pages = 1;
                [key.to_vec(), counts(0), vec![at.clone(), at.clone()]].concat()
            };
            fact::upsert(rows, PAGES, &key, new, |row| counted(row, &fact))?;
        }
        let new = || [vec![visitor.clone()], counts(1), vec![at.clone(), at.clone()]].concat();
        fact::upsert(rows, NAME, std::slice::from_ref(&visitor), new, |row| {
            row.set("pages", row.integer("pages").unwrap_or(0) + new_pages)?;
            counted(row, &fact)
        })
    }
}

fn counted(row: &mut Row, fact: &Fact<'_>) -> Result<(), FoldError> {
    fact::count(row, fact.kind)?;
    fact::widen(row, "first_active", "last_active", fact.at)
}

/// By what visitors are put in order: the largest, or the last, comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum By {
    /// How much they did.
    #[default]
    Facts,
    /// How often they looked at a page.
    Views,
    /// When they were last active.
    LastActive,
}

/// Visitors in an order, from an index.
///
/// # Errors
/// When the view can't be asked.
pub async fn most_active(
    views: &(impl Answers + ?Sized),
    by: By,
    asked: Asked,
) -> Result<ViewPage, ViewError> {
    let column = match by {
        By::Facts => "facts",
        By::Views => "views",
        By::LastActive => "last_active",
    };
    views.answer(&asked.of(ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME).sorted(column, true))).await
}

/// What a visitor did in all, if anything.
///
/// # Errors
/// When the view can't be asked.
pub async fn activity_of(
    views: &(impl Answers + ?Sized),
    visitor: &VisitorId,
    streams: Option<Vec<StreamPattern>>,
) -> Result<Option<Row>, ViewError> {
    let query = ViewQuery { streams, ..ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME) };
    Ok(views.answer(&query.filter("visitor", Compare::Equal(visitor.as_str().into()))).await?.rows.pop())
}

/// The pages of a visitor, by their names.
///
/// # Errors
/// When the view can't be asked.
pub async fn pages_of(
    views: &(impl Answers + ?Sized),
    visitor: &VisitorId,
    asked: Asked,
) -> Result<ViewPage, ViewError> {
    let query = asked.of(ViewQuery::of(ViewName::new(NAME)?, NUMBER, PAGES));
    views.answer(&query.filter("visitor", Compare::Equal(visitor.as_str().into()))).await
}

#[cfg(test)]
mod tests;
