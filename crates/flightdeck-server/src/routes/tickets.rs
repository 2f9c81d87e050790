//! `/api/tickets`: what a page takes to a socket in place of its credential.

use flightdeck_core::limits::FILTER_STREAMS_MAX;
use flightdeck_store::StreamPattern;
use flightdeck_wire::token as wire;

use crate::authorise::{Action, Object};
use crate::call::{Body, Call, json};
use crate::members::{Members, Wrong, list, text};
use crate::operation::{Answer, JSON, Operation};
use crate::problem::{Code, Problem};
use crate::ticket;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post(
            "/api/tickets",
            "createTicket",
            "Makes a ticket for one EventSource or WebSocket at `/api/events`, as `?ticket=`: what a page has in place of a header.",
        )
        .takes::<wire::NewTicket>(JSON)
        .answers::<wire::Ticket>(201, "The ticket: good once, and for half a minute.")
        .to(create),
    ]
}

async fn create(call: Call, body: Body) -> Answer {
    call.no_params()?;
    call.no_if_match()?;
    // Whoever may only write has something to say on a socket as well.
    call.may(Action::Read, Object::Log)
        .or_else(|problem| call.may(Action::Write, Object::Log).map_err(|_| problem))?;
    let body = body.json(&call).await?;
    // JSON is UTF-8.
    let mut members = Members::of(std::str::from_utf8(body.as_bytes()).unwrap_or_default());
    let read = |json| {
        let text = text(json)?;
        match StreamPattern::parse(&text) {
            Ok(pattern) => Ok((text, pattern)),
            Err(error) => Err(Wrong::field("", error.to_string())),
        }
    };
    let streams = members.optional("streams", |json| list(json, FILTER_STREAMS_MAX, read));
    let streams = members.finish(Some(streams))?;
    if streams.as_ref().is_some_and(Vec::is_empty) {
        let problem = Problem::field("streams", "has no items, and one is the least");
        return Err(problem.instead(Code::Refused));
    }
    for (_, pattern) in streams.iter().flatten() {
        call.may(Action::Read, Object::Some(pattern))?;
    }
    let streams = streams.map(|all| all.into_iter().map(|(text, _)| text).collect());
    let (ticket, expires_at) = ticket::make(&call, streams).await?;
    Ok(json(201, &wire::Ticket { ticket, expires_at }))
}
