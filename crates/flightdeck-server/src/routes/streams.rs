//! `/api/streams`: which streams there are, and what is known of one.

use flightdeck_core::{Category, StreamId};
use flightdeck_store::{StreamInfo, StreamsQuery};
use flightdeck_wire::stream::{Stream, Streams};

use crate::authorise::{Action, Object};
use crate::call::{Call, json, versioned};
use crate::operation::{Answer, Operation};
use crate::problem::Problem;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/api/streams", "listStreams", "The streams, by name.")
            .query::<String>("category", "Only streams of this category.")
            .page()
            .answers::<Streams>(200, "A page of them.")
            .with(&["Link"])
            .to(list),
        Operation::get("/api/streams/{streamId}", "getStream", "What is known of a stream.")
            .path::<StreamId>("streamId", "Its name.")
            .answers::<Stream>(200, "It is there.")
            .with(&["ETag"])
            .refuses(&[404])
            .to(get),
    ]
}

fn told(info: StreamInfo) -> Stream {
    let StreamInfo { stream, version, created, updated } = info;
    Stream { stream_id: stream, version, created_at: created, updated_at: updated }
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let query = StreamsQuery {
        category: params.read("category", |text| Category::new(text)),
        after: params.parse("after"),
        limit: params.limit(),
    };
    params.finish()?;
    call.may(Action::Read, Object::Log)?;
    let page = call.store.streams(&query).await?;
    let next = page.streams.last().filter(|_| !page.end).map(|last| last.stream.to_string());
    // The system's own are for those who name them.
    let is_shown = |info: &StreamInfo| query.category.is_some() || !info.stream.is_system();
    let items = page.streams.into_iter().filter(is_shown).map(told).collect();
    Ok(json(200, &Streams { items, next }))
}

async fn get(call: Call) -> Answer {
    call.no_params()?;
    let stream: StreamId = call.path("streamId")?;
    call.may(Action::Read, Object::Stream(&stream))?;
    let info = call.store.stream(&stream).await?.ok_or_else(|| Problem::not_found("stream"))?;
    Ok(versioned(200, Some(info.version), &told(info)))
}
