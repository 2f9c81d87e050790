//! Whether the server is there, and what it can be asked: `/health`, the OpenAPI document.

use actix_web::HttpResponse;
use flightdeck_wire::health::{Health, Status};

use crate::authorise::{Action, Object};
use crate::call::{Call, json};
use crate::operation::{Answer, JSON, Operation};
use crate::problem::{Code, Problem};

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::get("/health/live", "isLive", "Whether the server runs.")
            .answers::<Health>(200, "It runs.")
            .to(is_live),
        Operation::get(
            "/health/ready",
            "isReady",
            "Whether the server takes requests: its store answers, and it is not stopping.",
        )
        .answers::<Health>(200, "It does.")
        .to(is_ready),
        Operation::get("/api/openapi.json", "getOpenapi", "This document.")
            .answers::<serde_json::Map<String, serde_json::Value>>(200, "OpenAPI 3.1.")
            .to(document),
    ]
}

fn health(status: Status) -> Health {
    Health { status, version: env!("CARGO_PKG_VERSION").to_owned() }
}

async fn is_live(call: Call) -> Answer {
    call.no_params()?;
    Ok(json(200, &health(Status::Live)))
}

async fn is_ready(call: Call) -> Answer {
    call.no_params()?;
    if call.is_stopping() {
        return Err(Problem::new(Code::Unavailable, "The server is going away.").retry_after(5));
    }
    call.store.head().await?;
    Ok(json(200, &health(Status::Ready)))
}

async fn document(call: Call) -> Answer {
    call.no_params()?;
    call.may(Action::Read, Object::Server)?;
    Ok(HttpResponse::Ok().content_type(JSON).body(call.document.clone()))
}
