//! The view `sessions`: what each visitor did in one go.
//!
//! A session is a run of facts of a visitor, in the order of the log, with no more than [`GAP_MINUTES`] between them by the server's
//! clock. Should that clock go back, a fact that lies within the session, or no further than that from either end of it, still is of
//! the session, which then begins or ends with it; one that lies further off begins another session, which then may
//! lie before the one before it.
//!
//! The session that a visitor is in has to be found from the event alone, before any row is known. So the last session of a visitor always
//! has 0 in `closed_by`; when another begins, it gets the version of the fact that did that, which is known then.

use std::time::Duration;

use flightdeck_analytics::VisitorId;
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{
    Answers, Compare, FoldError, Key, Kind, Row, Rows, Table, Value, ViewError, ViewName, ViewPage, ViewQuery,
};

use crate::Asked;
use crate::fact::{self, Fact};

/// The name of the view, and of its one table.
pub const NAME: &str = "sessions";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;
/// How long a visitor may do nothing and still be in the same session.
pub const GAP_MINUTES: u64 = 30;

const GAP_MICROS: u64 = Duration::from_secs(60 * GAP_MINUTES).as_micros() as u64;

/// What stands in `closed_by` of a visitor's last session.
const LAST: i64 = 0;

/// The projection of the view `sessions`.
#[derive(Debug, Clone, Copy, Default)]
pub struct SessionsView;

impl Projection for SessionsView {
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
                .key("closed_by", Kind::Integer)
                .column("number", Kind::Integer)
                .column("started_at", Kind::Time)
                .column("ended_at", Kind::Time)
                .column("first_version", Kind::Integer)
                .column("last_version", Kind::Integer)
                .column("facts", Kind::Integer)
                .column("views", Kind::Integer)
                .nullable("entry_page", Kind::Text)
                .nullable("exit_page", Kind::Text)
                .nullable("referrer", Kind::Text)
                .index(&["visitor", "number"])
                .index(&["started_at"])
                .index(&["ended_at"])
                .of_stream("visitor", "visitor"),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        let Some(fact) = Fact::of(event)? else { return Ok(vec![]) };
        let of = |closed_by: i64| Key::all_of(NAME, [fact.visitor.into(), closed_by.into()]);
        Ok(vec![of(LAST), of(event.version.get())])
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let Some(fact) = Fact::again(event, rows.keys(), None)? else { return Ok(()) };
        let (visitor, version) = (Value::from(fact.visitor), Value::Integer(event.version.get()));
        let key = [visitor.clone(), LAST.into()];
        let last = rows.find(NAME, &key).cloned();
        let goes_on = last.as_ref().is_some_and(|session| is_near(session, &fact));
        if !goes_on {
            let before = last.as_ref().and_then(|session| session.integer("number")).unwrap_or(0);
            if let Some(session) = last {
                let mut values = session.values().to_vec();
                values[1] = version.clone();
                rows.put(NAME, values)?;
            }
            let at = Value::Time(fact.at);
            let (none, zero) = (Value::Null, Value::Integer(0));
            let number = Value::Integer(before + 1);
            let known =
                [visitor, LAST.into(), number, at.clone(), at, version.clone(), version, zero.clone()];
            rows.put(NAME, [known.to_vec(), vec![zero, none.clone(), none.clone(), none]].concat())?;
        }
        let Some(mut session) = rows.find(NAME, &key).cloned() else { return Ok(()) };
        take_in(&mut session, &fact, event.version.get())?;
        rows.put_row(session)
    }
}

fn take_in(session: &mut Row, fact: &Fact<'_>, version: i64) -> Result<(), FoldError> {
    fact::widen(session, "started_at", "ended_at", fact.at)?;
    session.set("last_version", version)?;
    if let (fact::Kind::View, Some(page)) = (fact.kind, &fact.page) {
        if session.integer("views") == Some(0) {
            session.set("entry_page", page.clone())?;
            session.set("referrer", fact.referrer.as_deref())?;
        }
        session.set("exit_page", page.clone())?;
    }
    fact::count(session, fact.kind)
}

fn is_near(session: &Row, fact: &Fact<'_>) -> bool {
    let (Some(start), Some(end)) = (session.time("started_at"), session.time("ended_at")) else {
        return false;
    };
    let near = fact.at.clamp(start, end);
    near.micros().abs_diff(fact.at.micros()) <= GAP_MICROS
}

/// The sessions of a visitor, the last first.
///
/// # Errors
/// When the view can't be asked.
pub async fn sessions_of(
    views: &(impl Answers + ?Sized),
    visitor: &VisitorId,
    asked: Asked,
) -> Result<ViewPage, ViewError> {
    let query = ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME).sorted("number", true);
    views.answer(&asked.of(query.filter("visitor", Compare::Equal(visitor.as_str().into())))).await
}

/// The sessions of all visitors, the one that ended last first.
///
/// # Errors
/// When the view can't be asked.
pub async fn last_sessions(views: &(impl Answers + ?Sized), asked: Asked) -> Result<ViewPage, ViewError> {
    let query = ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME).sorted("ended_at", true);
    views.answer(&asked.of(query)).await
}

#[cfg(test)]
mod tests;
