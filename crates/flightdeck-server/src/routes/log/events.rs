//! The log as Server-Sent Events: from where a client is, through history, to what comes, for as long as it stays.

use actix_web::http::Method;
use actix_web::http::header::HeaderName;
use actix_web::{HttpResponse, web};
use flightdeck_store::ResetReason;

use crate::authorise::{Action, Object};
use crate::call::Call;
use crate::caps::Cap;
use crate::negotiate::Representation;
use crate::operation::Answer;
use crate::params::place;
use crate::problem::{Code, Problem};
use crate::push::body::Body;
use crate::push::seat::Transport;
use crate::push::sse::{self, Events};
use crate::push::subscriber::{Begun, Subscriber, begin};

use super::asked::{Asked, is_start};

/// By what a browser says where it is when it comes again.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// There are as many who follow as one caller may have.
pub(super) fn too_many() -> Problem {
    let detail = "That is more than may follow the log at once of one caller.";
    Problem::new(Code::TooManyRequests, detail).retry_after(5).met(Cap::CallerFollowers)
}

pub(super) async fn following(call: &Call) -> Answer {
    let mut params = call.params();
    // What a browser adds when it comes again stands beside what the page asked for at first, which is older.
    let last = call.request().headers().get(LAST_EVENT_ID).filter(|last| !last.is_empty());
    let told = match last {
        Some(last) => {
            // Up to where the page asked for stands there as well.
            if params.peek("after").is_some_and(|text| !is_start(text)) {
                params.text("after");
            }
            Some(last.to_str().ok().and_then(|text| place(text).ok()))
        }
        None if params.peek("after").is_some_and(|text| !is_start(text)) => {
            params.text("after");
            Some(None)
        }
        None => None,
    };
    let asked = Asked::read(params, Representation::Events, call.caps())?;
    call.may(Action::Read, Object::Log)?;
    call.may_follow()?;
    let asked = match &told {
        Some(Some(after)) => asked.behind(after.clone()),
        Some(None) => {
            let head = call.store.head().await?.cursor;
            return Ok(sse::reset("malformed", &head));
        }
        None => asked,
    };
    // Whoever comes again behind all that it asked for stays away by itself.
    if last.is_some() && asked.until().is_some_and(|until| asked.after().position() >= until) {
        return Ok(HttpResponse::NoContent().finish());
    }
    let asked = asked.placed(call).await?;
    if *call.request().method() == Method::HEAD {
        return Ok(HttpResponse::Ok().content_type(sse::MEDIA).body(web::Bytes::new()));
    }
    let begun = match begin(&*call.store, &asked.after()).await? {
        Begun::At(cursor, history) if asked.until_is_of(cursor.epoch()) => (cursor, history),
        Begun::At(cursor, _) => return Ok(sse::reset(sse::word(ResetReason::Epoch), &cursor)),
        Begun::Reset(reason, head) => return Ok(sse::reset(sse::word(reason), &head)),
    };
    let Some(seat) = call.seat(Transport::Events) else { return Err(too_many()) };
    let follows = Subscriber::new(&call.push, &call.stopping, begun, asked.shown(), asked.terms());
    Ok(sse::answered(Body::new(Events, follows, call.stay(), seat)))
}
