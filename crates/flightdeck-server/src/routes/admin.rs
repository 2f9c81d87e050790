//! `/api/admin`: the views, the store and the connections, for whoever runs the server.

use flightdeck_core::{Cursor, Position, Reference};
use flightdeck_projections::{AdminError, By};
use flightdeck_store::view::{GenerationState, HaltKind, ViewName};
use flightdeck_store::{Appended, Limit, StreamQuery};
use flightdeck_wire::admin as wire;

use crate::authorise::{Action, Object};
use crate::call::{Body, Call, Written, json};
use crate::connections::Listed;
use crate::host::StoreFacts;
use crate::operation::{Answer, Operation};
use crate::page::linked;
use crate::problem::Problem;
use crate::push::seat::{Told, Transport};

pub(super) fn operations() -> Vec<Operation> {
    let act = |path, id, about| {
        Operation::post(path, id, about)
            .path::<NameParam>("name", "The projection.")
            .answers::<wire::Acted>(202, "It is written down, and done soon.")
            .with(&["FlightDeck-Position", "FlightDeck-Duplicate"])
            .refuses(&[404])
    };
    vec![
        Operation::get(
            "/api/admin/projections",
            "listProjections",
            "How far every projection is, and why one does not go on.",
        )
        .answers::<wire::Projections>(200, "Every generation of every projection.")
        .to(projections),
        act(
            "/api/admin/projections/{name}/rebuild",
            "rebuildProjection",
            "Builds a view anew, beside the one in use, which it then takes the place of.",
        )
        .to(rebuild),
        act("/api/admin/projections/{name}/pause", "pauseProjection", "Lets a projection wait.").to(pause),
        act(
            "/api/admin/projections/{name}/resume",
            "resumeProjection",
            "Lets a projection go on, also one that has come to a halt.",
        )
        .to(resume),
        act(
            "/api/admin/projections/{name}/skip",
            "skipEvent",
            "Has a projection leave out, for good, the event that it has come to a halt before.",
        )
        .to(skip),
        Operation::get("/api/admin/store", "getStore", "What is known of the store.")
            .answers::<wire::Store>(200, "Its size, and how far it is.")
            .to(store),
        Operation::get("/api/admin/connections", "listConnections", "The connections that are open.")
            .page()
            .answers::<wire::Connections>(200, "A page of them.")
            .with(&["Link"])
            .to(connections),
    ]
}

fn told(state: &GenerationState, head: Position) -> wire::Projection {
    let word = match state {
        GenerationState { halt: Some(_), .. } => wire::ProjectionState::Halted,
        GenerationState { paused: true, .. } => wire::ProjectionState::Paused,
        GenerationState { serving: true, .. } => wire::ProjectionState::Serving,
        GenerationState { ready: true, .. } => wire::ProjectionState::Ready,
        _ => wire::ProjectionState::Building,
    };
    let halt = state.halt.as_ref().map(|halt| wire::Halt {
        kind: match halt.kind {
            HaltKind::Poison => wire::HaltKind::Poison,
            HaltKind::NeedsUpgrade => wire::HaltKind::NeedsUpgrade,
            HaltKind::Corrupt => wire::HaltKind::Corrupt,
            HaltKind::Diverged => wire::HaltKind::Diverged,
            HaltKind::Refused => wire::HaltKind::Refused,
        },
        position: halt.position,
        event_id: halt.event,
        error: halt.error.clone(),
    });
    wire::Projection {
        name: state.of.view.to_string(),
        number: state.of.number,
        build: state.of.build,
        state: word,
        ready: state.ready,
        running: state.holder.is_some(),
        position: state.checkpoint.position,
        lag: (head.get() - state.checkpoint.position.get()).max(0),
        halt,
        skips: state.skips.clone(),
    }
}

async fn projections(call: Call) -> Answer {
    call.no_params()?;
    call.may(Action::Administer, Object::Server)?;
    let (head, all) = call.admin.list().await?;
    let items = all.iter().map(|state| told(state, head.position())).collect();
    Ok(json(200, &wire::Projections { head, items }))
}

/// A projection that is named in a path.
fn name(call: &Call) -> Result<ViewName, Problem> {
    let text: String = call.request().match_info().query("name").to_owned();
    // What can't be one is none.
    ViewName::new(&text).map_err(|_| Problem::not_found("projection"))
}

async fn begin(call: &Call, body: Body) -> Result<(ViewName, By), Problem> {
    call.no_params()?;
    let name = name(call)?;
    call.may(Action::Administer, Object::Server)?;
    call.no_if_match()?;
    body.nothing(call).await?;
    let by = By {
        name: call.principal().actor.as_ref().map_or("nobody", Reference::as_str).to_owned(),
        correlation: Some(call.correlation().clone()),
        request: call.key(b"")?,
    };
    Ok((name, by))
}

/// Answers with what was done, now or before.
async fn end<T>(
    call: &Call,
    name: &ViewName,
    act: wire::Act,
    done: Result<T, AdminError>,
    position: impl Fn(&T) -> Option<Position>,
) -> Answer {
    let (appended, position) = match done {
        Ok(done) => (None, position(&done)),
        Err(AdminError::DoneBefore(appended)) => {
            let position = left_out(call, &appended).await?;
            (Some(appended), position)
        }
        Err(error) => return Err(error.into()),
    };
    let told = wire::Acted { projection: name.to_string(), act, position };
    Ok(Written::of(call, None, appended.as_ref()).await?.json(202, &told))
}

/// Which event was left out, as it is written down.
async fn left_out(call: &Call, appended: &Appended) -> Result<Option<Position>, Problem> {
    let Some(audit) = appended.streams.first() else { return Ok(None) };
    let query = StreamQuery {
        after: flightdeck_core::Version::new(audit.from.get() - 1).ok(),
        limit: Limit::new(1).unwrap_or_default(),
        ..StreamQuery::of(audit.stream.clone())
    };
    let page = call.store.read_stream(&query).await?;
    let data = page.events.first().and_then(|event| serde_json::from_slice(event.data_bytes()).ok());
    let position = data.as_ref().and_then(|data: &serde_json::Value| data.get("position")?.as_i64());
    Ok(position.and_then(|position| Position::new(position).ok()))
}

async fn rebuild(call: Call, body: Body) -> Answer {
    let (name, by) = begin(&call, body).await?;
    let defined = call.projection(name.as_str()).ok_or_else(|| Problem::not_found("projection"))?;
    let done = call.admin.rebuild(defined.plan(), by).await;
    end(&call, &name, wire::Act::Rebuild, done, |_| None).await
}

async fn pause(call: Call, body: Body) -> Answer {
    let (name, by) = begin(&call, body).await?;
    end(&call, &name, wire::Act::Pause, call.admin.pause(&name, by).await, |()| None).await
}

async fn resume(call: Call, body: Body) -> Answer {
    let (name, by) = begin(&call, body).await?;
    end(&call, &name, wire::Act::Resume, call.admin.resume(&name, by).await, |()| None).await
}

async fn skip(call: Call, body: Body) -> Answer {
    let (name, by) = begin(&call, body).await?;
    end(&call, &name, wire::Act::Skip, call.admin.skip(&name, by).await, |position| Some(*position)).await
}

async fn store(call: Call) -> Answer {
    call.no_params()?;
    call.may(Action::Administer, Object::Server)?;
    let facts = match &call.store_facts {
        Some(ask) => ask().await?,
        None => StoreFacts::default(),
    };
    let head = call.store.head().await?.cursor;
    let StoreFacts { kind, size_bytes, wal_bytes, durability, groups: _ } = facts;
    let told = wire::Store {
        kind,
        size_bytes,
        wal_bytes,
        durability,
        epoch: head.epoch().to_string(),
        events: head.position(),
        head,
    };
    Ok(json(200, &told))
}

async fn connections(call: Call) -> Answer {
    let mut params = call.params();
    let limit = params.limit();
    let after = params.read("after", |text| text.parse().map_err(|_| "is not the `next` of this list"));
    params.finish()?;
    call.may(Action::Administer, Object::Server)?;
    let (open, accepted) = call.connections.count();
    let (some, more) = call.connections.list(after.unwrap_or(0), limit.get());
    let next = some.last().filter(|_| more).map(|listed| listed.number.to_string());
    let head = call.push.ring.head();
    let told = |Listed { number, connection, follows }: Listed| wire::Connection {
        number,
        follows: follows.map(|told| follower(&told, head.as_ref())),
        kind: if connection.peer.is_some() {
            wire::ConnectionKind::Http
        } else {
            wire::ConnectionKind::Local
        },
        peer: connection.peer,
        since: connection.since,
    };
    let items = some.into_iter().map(told).collect();
    Ok(linked(&call, next.clone().as_deref(), &wire::Connections { open, accepted, items, next }))
}

/// What is told of somebody who follows the log.
fn follower(told: &Told, head: Option<&Cursor>) -> wire::Follower {
    let position = told.position();
    wire::Follower {
        by: match told.transport {
            Transport::Events => wire::Transport::Events,
            Transport::Lines => wire::Transport::Lines,
            Transport::Messages => wire::Transport::Messages,
            Transport::Protocol => wire::Transport::Protocol,
        },
        subscriptions: told.subscriptions(),
        mode: if told.is_live() { wire::FollowMode::Live } else { wire::FollowMode::CatchUp },
        position,
        lag: head.map_or(0, |head| told.lag(head.position())),
        bytes: told.bytes(),
    }
}

/// Describes the name of a projection.
struct NameParam;

impl schemars::JsonSchema for NameParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ProjectionName".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[a-z][a-z0-9_]{0,39}$", "examples": ["content", "site_analytics"] })
    }
}
