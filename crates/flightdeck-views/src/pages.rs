//! The view `pages`: what happened on each page of a site.

use flightdeck_projections::{Projection, Reads};
use flightdeck_store::view::{
    Answers, FoldError, Key, Kind, Rows, Table, Value, ViewError, ViewName, ViewPage, ViewQuery,
};
use flightdeck_store::{Recorded, StreamPattern};

use crate::Asked;
use crate::fact::{self, Fact};
use crate::site_analytics::{EXACT_MAX, seen};
use crate::visitors::{self, Mark};

/// The name of the view, and of its one table.
pub const NAME: &str = "pages";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;

/// The projection of the view `pages`: one row for each page that something happened on.
///
/// Visitors of a page are told apart exactly up to 1,000, and estimated beyond. Its title is what it was called when it was looked at
/// last, by the server's clock. A page whose name is longer than 1,000 bytes stands there shortened, with a digest behind.
#[derive(Debug, Clone, Copy, Default)]
pub struct PagesView;

impl Projection for PagesView {
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
                .key("page", Kind::Text)
                .nullable("title", Kind::Text)
                .column("facts", Kind::Integer)
                .column("views", Kind::Integer)
                .column("clicks", Kind::Integer)
                .column("forms", Kind::Integer)
                .column("visitors", Kind::Integer)
                .column("visitors_exact", Kind::Boolean)
                .column("visitor_set", Kind::Text)
                .nullable("first_viewed", Kind::Time)
                .nullable("last_viewed", Kind::Time)
                .nullable("titled_at", Kind::Time)
                .index(&["views"])
                .index(&["facts"])
                .index(&["last_viewed"]),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let page = Fact::of(event)?.and_then(|fact| fact.page);
        Ok(page.map(|page| Key::all_of(NAME, [page])).into_iter().collect())
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let keys = rows.keys();
        let page = keys.first().map(|key| &key.values[0]);
        let Some(fact) = Fact::again(event, keys, page)? else { return Ok(()) };
        let Some(page) = page.cloned() else { return Ok(()) };
        let new = || {
            let none = || Value::Integer(0);
            let (never, nobody) = (|| Value::Null, visitors::NOBODY.into());
            let counts = [none(), none(), none(), none(), none(), true.into(), nobody];
            [vec![page.clone(), Value::Null], counts.into(), vec![never(), never(), never()]].concat()
        };
        fact::upsert(rows, NAME, std::slice::from_ref(&page), new, |row| {
            fact::count(row, fact.kind)?;
            seen(row, Mark::of(fact.visitor), EXACT_MAX)?;
            if fact.kind == fact::Kind::View {
                fact::widen(row, "first_viewed", "last_viewed", fact.at)?;
            }
            if let Some(title) = &fact.title
                && row.time("titled_at").is_none_or(|before| before <= fact.at)
            {
                row.set("titled_at", fact.at)?;
                row.set("title", &**title)?;
            }
            Ok(())
        })
    }
}

/// By what pages are put in order: the largest, or the last, comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum By {
    /// How often they were looked at.
    #[default]
    Views,
    /// How much happened on them.
    Facts,
    /// When they were last looked at.
    LastViewed,
}

/// Pages in an order, from an index.
///
/// # Errors
/// When the view can't be asked.
pub async fn top_pages(views: &(impl Answers + ?Sized), by: By, asked: Asked) -> Result<ViewPage, ViewError> {
    let column = match by {
        By::Views => "views",
        By::Facts => "facts",
        By::LastViewed => "last_viewed",
    };
    views.answer(&asked.of(ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME).sorted(column, true))).await
}

/// One page, if something happened on it.
///
/// # Errors
/// When the view can't be asked.
pub async fn page(
    views: &(impl Answers + ?Sized),
    page: &str,
    streams: Option<Vec<StreamPattern>>,
) -> Result<Option<flightdeck_store::view::Row>, ViewError> {
    let query = ViewQuery { streams, ..ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME) };
    let only = flightdeck_store::view::Compare::Equal(fact::page_key(page));
    Ok(views.answer(&query.filter("page", only)).await?.rows.pop())
}

#[cfg(test)]
mod tests;
