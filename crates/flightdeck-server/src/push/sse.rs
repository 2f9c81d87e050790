//! Server-Sent Events: how what comes next is told to `EventSource`. Knows no store.

use std::io;

use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError as _};
use bytes::Bytes;
use flightdeck_core::{Cursor, Ids as _, Position};
use flightdeck_store::ResetReason;
use flightdeck_store::system::SystemIds;
use serde_json::json;

use super::body::{Body, Form};
use super::ring::{Frame, Segment};
use super::stay::Leave;
use crate::negotiate::{self, Representation};
use crate::problem::{Code, Problem};

/// The media type.
pub(crate) const MEDIA: &str = "text/event-stream";
/// How soon a client comes again when nothing is wrong, at the least and at the most: not all of them at once.
const RETRY_MS: (u64, u64) = (1_000, 5_000);
/// The same of those whom the server sends away.
const AWAY_MS: (u64, u64) = (500, 8_000);

/// What would have been answered to anybody else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) StatusCode);

/// A number between two, by chance.
pub(crate) fn jitter((least, most): (u64, u64), random: u128) -> u64 {
    least + u64::try_from(random % u128::from(most - least + 1)).unwrap_or(0)
}

/// An answer that is nothing but that: for who has to hear why in a way that `EventSource` can read.
fn short(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type(MEDIA).insert_header((CACHE_CONTROL, "no-store")).body(text)
}

/// The number is not good for this log.
pub(crate) fn reset(reason: &str, head: &Cursor) -> HttpResponse {
    short(reset_event(reason, head))
}

fn reset_event(reason: &str, head: &Cursor) -> String {
    let earliest = Cursor::new(head.epoch().clone(), Position::START);
    let told = json!({ "reason": reason, "earliest": earliest.to_string(), "head": head.to_string() });
    let retry = jitter(RETRY_MS, SystemIds::default().random());
    format!("retry: {retry}\nevent: reset\ndata: {told}\n\n")
}

/// How a problem is answered: `EventSource` comes again after a success alone, so what is only for now is told as one to whoever wants events.
pub(crate) fn answer(problem: &Problem, method: &Method, path: &str, headers: &HeaderMap) -> HttpResponse {
    let code = match problem.code() {
        Code::TooManyRequests => 4029,
        Code::Unavailable => 4001,
        _ => return problem.error_response(),
    };
    let is_read = matches!(*method, Method::GET | Method::HEAD) && path == "/api/events";
    match negotiate::representation(headers) {
        Ok(Representation::Events) if is_read => later(problem, code, SystemIds::default().random()),
        _ => problem.error_response(),
    }
}

fn later(problem: &Problem, code: u16, random: u128) -> HttpResponse {
    let told = json!({ "code": code, "type": problem.told().kind, "detail": problem.told().detail });
    let mut answer = short(format!("retry: {}\nevent: error\ndata: {told}\n\n", jitter(AWAY_MS, random)));
    problem.count(&mut answer);
    answer.extensions_mut().insert(Refused(problem.code().status()));
    answer
}

pub(crate) const fn word(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::Epoch => "epoch",
        ResetReason::Ahead => "ahead",
    }
}

/// Server-Sent Events.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Events;

impl Form for Events {
    fn begins(self) -> Option<String> {
        Some(format!("retry: {}\n\n", jitter(RETRY_MS, SystemIds::default().random())))
    }

    fn whole(self, segment: &Segment) -> Bytes {
        segment.sse.clone()
    }

    fn one<'s>(self, segment: &'s Segment, frame: &Frame) -> [&'s [u8]; 2] {
        [segment.sse_of(frame), b""]
    }

    fn caught_up(self, at: &Cursor) -> Option<String> {
        Some(format!("event: caught-up\nid: {at}\ndata:\n\n"))
    }

    fn checkpoint(self, at: &Cursor) -> Option<String> {
        Some(format!("event: checkpoint\nid: {at}\ndata:\n\n"))
    }

    fn beat(self) -> Option<String> {
        Some(": \n\n".to_owned())
    }

    fn reset(self, reason: ResetReason, head: &Cursor) -> io::Result<String> {
        Ok(reset_event(word(reason), head))
    }

    fn leave(self, Leave(code, why): Leave, at: &Cursor) -> io::Result<String> {
        let told = json!({ "code": code, "detail": why, "at": at.to_string() });
        let retry = jitter(AWAY_MS, SystemIds::default().random());
        Ok(format!("retry: {retry}\nevent: error\ndata: {told}\n\n"))
    }
}

/// The answer that has this body. What stands between passes it on as it comes.
pub(crate) fn answered(body: Body<Events>) -> HttpResponse {
    let mut answer = HttpResponse::Ok();
    answer.content_type(MEDIA).insert_header((CACHE_CONTROL, "no-store, no-transform"));
    answer.insert_header(("x-accel-buffering", HeaderValue::from_static("no")));
    answer.body(body)
}
