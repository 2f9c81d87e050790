//! Whole routes for aggregates and views that are added: a command to one thing, and the rows of a view, with no handler to write.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::Arc;

use flightdeck_core::{Decider, StoredEvents};
use flightdeck_store::view::{Row, Value, ViewQuery};
use flightdeck_store::{Handler, Outcome};
use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::ser::{Error as _, SerializeMap as _};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::authorise::{Action, Object};
use crate::call::{Body, Call, Written};
use crate::operation::{Answer, JSON, Operation};
use crate::page::{self, ListMoment, Listed};
use crate::problem::{Code, Problem, sentence};

impl Operation {
    /// A whole route: a command to the thing of an aggregate that the path names as `{id}`. The body is the command as JSON; keys and
    /// `If-Match` work as everywhere. What the decider refuses is answered with 422, in its own words: other codes, and an answer with
    /// a body, are for a handler that takes a [`Call`] and asks [`Call::handle`].
    #[must_use]
    pub fn command<D>(path: &'static str, id: &'static str, about: &'static str) -> Self
    where
        D: Decider<Event: StoredEvents, Command: Clone + DeserializeOwned + JsonSchema, Error: Display>
            + 'static,
    {
        Self::post(path, id, about)
            .path::<String>("id", "Its id.")
            .takes::<D::Command>(JSON)
            .if_match()
            .answers_nothing(204, "It is done.")
            .with(&["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"])
            .refuses(&[410])
            .to(commanded::<D>)
    }

    /// A whole route: the rows of a table of a view, by their key and page by page, as they are or were; each is an object with a member
    /// a column, called as the view calls it.
    #[must_use]
    pub fn rows(
        path: &'static str,
        id: &'static str,
        about: &'static str,
        view: &'static str,
        table: &'static str,
    ) -> Self {
        Self::get(path, id, about)
            .query::<ListMoment>("at", "As they were: at a cursor, or a time.")
            .page()
            .min_position()
            .answers::<RowsPage>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[410, 422])
            .to(move |call: Call| listed(call, view, table))
    }
}

async fn commanded<D>(call: Call, body: Body) -> Answer
where
    D: Decider<Event: StoredEvents, Command: Clone + DeserializeOwned + JsonSchema, Error: Display> + 'static,
{
    call.no_params()?;
    let stream = call.stream::<D>("id")?;
    call.may(Action::Write, Object::Stream(&stream))?;
    let body = body.json(&call).await?;
    let unread = |error: serde_json::Error| Problem::field("", format!("can't be read: {error}"));
    let command: D::Command = body.parse().map_err(unread)?;
    let handler = Handler::<D>::new(Arc::clone(&call.store));
    let refused = |refusal: D::Error| Problem::new(Code::Refused, sentence(&refusal));
    let done = call.handle_or(&handler, &stream, command, body.as_bytes(), refused).await?;
    let written = Written::of(&call, done.version, done.appended.as_ref()).await;
    Ok(written.map_err(|problem| problem.outcome(Outcome::Unknown))?.nothing(204))
}

/// A page of the rows of a view.
#[derive(Serialize, JsonSchema)]
struct RowsPage {
    /// The rows: a member for each column.
    #[schemars(with = "Vec<BTreeMap<String, serde_json::Value>>")]
    items: Vec<Shown>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

/// A row, as it is told: column by column.
struct Shown(Row);

impl Serialize for Shown {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(row) = self;
        let mut members = serializer.serialize_map(Some(row.values().len()))?;
        for (column, value) in row.table().columns().iter().zip(row.values()) {
            let name = column.name.as_str();
            match value {
                Value::Null => members.serialize_entry(name, &())?,
                Value::Boolean(value) => members.serialize_entry(name, value)?,
                Value::Integer(number) => members.serialize_entry(name, number)?,
                Value::Time(moment) => members.serialize_entry(name, moment)?,
                Value::Text(text) => members.serialize_entry(name, &**text)?,
                Value::List(texts) => members.serialize_entry(name, &**texts)?,
                Value::Json(text) => {
                    let json: &RawValue = serde_json::from_str(text).map_err(S::Error::custom)?;
                    members.serialize_entry(name, json)?;
                }
            }
        }
        members.end()
    }
}

async fn listed(call: Call, view: &'static str, table: &'static str) -> Answer {
    let mut params = call.params();
    let (at, after, limit) = (params.list_moment(), params.list_cursor(), params.limit());
    params.finish()?;
    let plan = call.view(view)?.plan();
    let category = plan.table(table).and_then(|(_, table)| table.stream()).map(|(category, _)| category);
    call.may(Action::Read, category.map_or(Object::Log, Object::Category))?;
    let query = ViewQuery { after, limit, ..call.query(view, plan.number(), table)? };
    let Listed { rows, next } = page::list(&call, query, at.as_ref()).await?;
    let told = RowsPage { items: rows.into_iter().map(Shown).collect(), next };
    Ok(page::linked(&call, told.next.as_deref(), &told))
}
