//! `GET /api/events`: the log, in every representation that there is.

pub(super) mod asked;
mod events;
mod lines;
pub(in crate::routes) mod page;
mod socket;

use actix_web::HttpResponse;
use actix_web::http::header;
use flightdeck_core::Tag;
use flightdeck_store::Filter;
use flightdeck_wire::event::{CloudEvent, Event, Events};

use crate::authorise::{Action, Object};
use crate::call::{Body, Call};
use crate::cloud_event;
use crate::negotiate::{Representation, representation};
use crate::operation::{Answer, NDJSON, Operation};
use crate::push::sse;

use self::asked::{AfterParam, Asked, PatternsParam, TagsParam, TicketParam, WaitParam};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/events", "readLog", "The log, or what passes of it, as it is asked for in `Accept`.")
            .query::<AfterParam>("after", "Behind this, itself excluded: a cursor, a position, `head` for only what comes, or the `next` of a page.")
            .query::<PatternsParam>("streams", "Any of these streams: `content-7`, `content-*` (a category), `con*` (a beginning), with commas between them.")
            .query::<PatternsParam>("types", "Any of these types: `ContentCreated`, `Content*`, with commas between them.")
            .query::<TagsParam>("tags", "All of these tags, with commas between them.")
            .query::<crate::params::LimitParam>("limit", "How many at most; lines come to the head when it is not given.")
            .query::<bool>("backward", "Newest first. Only of pages.")
            .query::<crate::params::PlaceParam>("until", "Up to this, itself included.")
            .query::<WaitParam>("wait", "How long a page waits for something to come when there is nothing: `20s`.")
            .query::<bool>("follow", "Goes on with what comes, for ever. Only of lines.")
            .query::<TicketParam>("ticket", "In place of a credential: from `POST /api/tickets`, good once. Only where a page follows.")
            .answers::<Events>(200, "A page of it; every event a line, up to the head; a page as CloudEvents; or every event as it comes, for ever.")
            .answers_as::<Event>(200, NDJSON, "")
            .answers_as::<Vec<CloudEvent>>(200, cloud_event::BATCH, "")
            .answers_as::<String>(200, sse::MEDIA, "")
            .with(&["Link"])
            .refuses(&[406, 410, 422])
            .to(read),
        Operation::get("/api/tags/{tag}", "readTag", "The events with a tag.")
            .path::<Tag>("tag", "The tag, `key:value`.")
            .query::<AfterParam>("after", "Behind this, itself excluded: a cursor, a position, or the `next` of a page.")
            .query::<crate::params::LimitParam>("limit", "How many at most.")
            .query::<bool>("backward", "Newest first.")
            .query::<crate::params::PlaceParam>("until", "Up to this, itself included.")
            .answers::<Events>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[410])
            .to(read_tag),
    ]
}

async fn read(call: Call, body: Body) -> Answer {
    let representation = representation(call.request().headers())?;
    if representation == Representation::Messages {
        return vary(socket::opened(&call, body).await?);
    }
    if representation == Representation::Events {
        let followed = events::following(&call).await;
        let request = call.request();
        let refused = |problem| sse::answer(&problem, request.method(), request.path(), request.headers());
        return vary(followed.unwrap_or_else(refused));
    }
    let asked = Asked::read(call.params(), representation, call.caps())?;
    call.may(Action::Read, Object::Log)?;
    let asked = asked.placed(&call).await?;
    vary(match representation {
        Representation::CloudEvents => page::cloud_events(&call, asked).await,
        Representation::Lines if asked.follow => lines::following(&call, asked).await,
        Representation::Lines => lines::to_the_head(&call, asked).await,
        Representation::Page | Representation::Events | Representation::Messages => {
            page::json(&call, asked).await
        }
    }?)
}

/// The answer, which depends on what is asked for.
fn vary(mut answer: HttpResponse) -> Answer {
    answer.headers_mut().insert(header::VARY, header::HeaderValue::from_static("accept"));
    Ok(answer)
}

async fn read_tag(call: Call) -> Answer {
    let tag: Tag = call.path("tag")?;
    let mut params = call.params();
    let asked = Asked::part(&mut params, Filter::tagged(tag));
    params.finish()?;
    call.may(Action::Read, Object::Log)?;
    let asked = asked.placed(&call).await?;
    page::json(&call, asked).await
}
