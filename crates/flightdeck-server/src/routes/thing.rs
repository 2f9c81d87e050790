//! What contents, presentations and users have in common: one of them now, or as it was; its history; how commands to it are answered.
//!
//! One thing is folded from its own stream, so that it is never behind, whatever its view is.

use std::str::FromStr;

use actix_web::HttpResponse;
use actix_web::http::header::{self, HeaderValue};
use flightdeck_core::{Json, StreamId, Timestamp, Version, WordError};
use flightdeck_store::{
    After, Direction, HandleError, Handled, Handler, Limit, Outcome, Recorded, StreamQuery,
};
use flightdeck_views::history::{self, HISTORY_EVENTS_MAX, HistoryQuery, Moment};
use flightdeck_views::thing::Thing;
use flightdeck_wire::history::{Compared, History};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use crate::authorise::{Action, Object};
use crate::call::{Body, Call, Written, json, versioned};
use crate::desk::Desk;
use crate::operation::{Answer, JSON, Operation};
use crate::page::linked;
use crate::params::{LimitParam, Params, place};
use crate::problem::{Code, Problem};

/// A merge patch (RFC 7396).
pub(super) const MERGE_PATCH: &str = "application/merge-patch+json";

/// An aggregate whose things have routes of their own.
pub(super) trait Resource:
    Thing<Command: Clone, Error: Into<Problem> + std::error::Error + 'static>
{
    /// What names one of them.
    type Id: FromStr<Err = WordError> + std::fmt::Display;
    /// What is told of one.
    type Shown: Serialize;
    /// What one is called.
    const WHAT: &'static str;
    /// Where all of them are found.
    const PATH: &'static str;
    /// Whether some of them are public.
    const HAS_PUBLIC: bool = false;

    /// Where commands to them are handled.
    fn handler(desk: &Desk) -> &Handler<Self>
    where
        Self: Sized;

    /// What is told of one that is in that state; a problem when it is not there.
    fn shown(state: &Self::State, stamp: Stamp) -> Result<Self::Shown, Problem>;

    /// What everyone may see of it as it is, if it is public. What it was, and what happened to it, is for those who may read its stream.
    fn public(_: Self::State) -> Option<Self::State> {
        None
    }

    /// Whether an event is a change of the thing. The last one that is says when it changed.
    fn is_change(_: &Recorded) -> bool {
        true
    }
}

/// How far a thing is, and since when.
#[derive(Debug, Clone, Copy)]
pub(super) struct Stamp {
    pub(super) version: Version,
    pub(super) created: Timestamp,
    pub(super) updated: Timestamp,
}

/// A thing, as it is or was.
pub(super) struct Found<S> {
    pub(super) state: S,
    pub(super) stamp: Stamp,
}

/// A moment that one thing is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum At {
    Version(Version),
    Place(After),
    Time(Timestamp),
}

impl Params {
    /// A moment in the life of one thing.
    pub(super) fn moment(&mut self, name: &str) -> Option<At> {
        self.read(name, |text| {
            if let Some(version) = version(text) {
                return Ok(At::Version(version));
            }
            match (text.parse(), place(text)) {
                (Ok(time), _) => Ok(At::Time(time)),
                (Err(_), Ok(place)) => Ok(At::Place(place)),
                (Err(_), Err(_)) => Err(
                    "is neither a version such as v3, nor a cursor, nor a time such as 2026-11-21T09:30:00Z",
                ),
            }
        })
    }
}

fn version(text: &str) -> Option<Version> {
    let digits = text.strip_prefix('v').filter(|digits| !digits.starts_with(['0', '+', '-']))?;
    digits.parse().ok().and_then(|number| Version::new(number).ok())
}

/// Describes a moment in the life of one thing.
pub(super) struct MomentParam;

impl JsonSchema for MomentParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Moment".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "anyOf": [
            { "pattern": "^v[1-9][0-9]{0,14}$" },
            { "format": "date-time" },
            { "pattern": "^([a-z0-9]{1,12}-)?(0|[1-9][0-9]{0,14})$" },
        ] })
    }
}

/// The stream of the thing that the path names.
fn stream_of<R: Resource>(call: &Call) -> Result<StreamId, Problem> {
    let id: R::Id = call.path("id")?;
    Ok(StreamId::new(format!("{}-{id}", R::CATEGORY))?)
}

/// The stream of the thing that the path names, once it is known that the caller may do that to it.
pub(super) fn named<R: Resource>(call: &Call, action: Action) -> Result<StreamId, Problem> {
    let stream = stream_of::<R>(call)?;
    call.may(action, Object::Stream(&stream))?;
    // A command is answered with what the thing is then.
    call.may(Action::Read, Object::Stream(&stream))?;
    Ok(stream)
}

/// The stream of a thing that does not exist yet, once it is known that the caller may make it.
pub(super) fn unnamed<R: Resource>(call: &Call) -> Result<(R::Id, StreamId), Problem> {
    let id = new_id(call);
    let stream = StreamId::new(format!("{}-{id}", R::CATEGORY))?;
    call.may(Action::Write, Object::Stream(&stream))?;
    Ok((id.parse()?, stream))
}

/// An id that no thing has had before.
pub(super) fn new_id(call: &Call) -> String {
    call.ids.event_id(call.clock.now()).to_string()
}

/// A thing as it is, or as it was at a moment.
pub(super) async fn find<R: Resource>(
    call: &Call,
    stream: &StreamId,
    at: Option<At>,
) -> Result<Found<R::State>, Problem> {
    call.wait_for_log().await?;
    let known = call.store.stream(stream).await?.ok_or_else(|| Problem::not_found(R::WHAT))?;
    let (state, version) = match at {
        None => {
            let loaded = R::handler(&call.desk).load(stream).await.map_err(unread::<R>)?;
            (loaded.state, loaded.version.unwrap_or(known.version))
        }
        Some(at) => {
            let moment = moment(at);
            let then = history::as_of::<R>(&*call.store, stream, moment).await?;
            (then.state, then.stand.version)
        }
    };
    let updated = last_change::<R>(call, stream, version).await?.unwrap_or(known.created);
    Ok(Found { state, stamp: Stamp { version, created: known.created, updated } })
}

/// What can't be read says nothing of a write.
fn unread<R: Resource>(error: HandleError<R::Error>) -> Problem {
    Problem::from(error).with(|told| told.outcome = None)
}

/// A moment in the life of a thing.
pub(super) fn moment(at: At) -> Moment {
    match at {
        At::Version(version) => Moment::Version(version),
        At::Time(time) => Moment::Time(time),
        At::Place(After::Position(position)) => Moment::Position(position),
        At::Place(After::Cursor(cursor)) => Moment::Cursor(cursor),
    }
}

/// When a thing last changed, of all that had happened to it at that version.
async fn last_change<R: Resource>(
    call: &Call,
    stream: &StreamId,
    version: Version,
) -> Result<Option<Timestamp>, Problem> {
    let mut query = StreamQuery {
        to: Some(version),
        direction: Direction::Backward,
        limit: Limit::new(1).unwrap_or_default(),
        ..StreamQuery::of(stream.clone())
    };
    loop {
        let page = call.store.read_stream(&query).await?;
        if let Some(event) = page.events.iter().find(|event| R::is_change(event)) {
            return Ok(Some(event.recorded_at));
        }
        let Some(next) = query.next(&page) else { return Ok(None) };
        query = StreamQuery { limit: Limit::default(), ..next };
    }
}

/// `GET` of one thing.
pub(super) async fn get<R: Resource>(call: Call) -> Answer {
    let mut params = call.params();
    let at = params.moment("at");
    params.finish()?;
    let found = seen::<R>(&call, at).await?;
    answer::<R>(&found)
}

/// The thing that the path names, as far as the caller may see it.
pub(super) async fn seen<R: Resource>(call: &Call, at: Option<At>) -> Result<Found<R::State>, Problem> {
    let stream = stream_of::<R>(call)?;
    match (call.may(Action::Read, Object::Stream(&stream)), at) {
        (Ok(()), at) => find::<R>(call, &stream, at).await,
        // What others may see of it has the same versions, and is not the same.
        (Err(_), None) if R::HAS_PUBLIC => public::<R>(call, &stream).await,
        (Err(refused), _) => Err(refused),
    }
}

/// A thing that everyone may see. Whether there is one that not everyone may see is nobody's to know who may not.
pub(super) async fn public<R: Resource>(call: &Call, stream: &StreamId) -> Result<Found<R::State>, Problem> {
    let hidden = || Problem::not_found(R::WHAT);
    match find::<R>(call, stream, None).await {
        Ok(Found { state, stamp }) => R::public(state).map(|state| Found { state, stamp }).ok_or_else(hidden),
        Err(problem) if problem.code() == Code::NotFound => Err(hidden()),
        Err(problem) => Err(problem),
    }
}

/// Answers with one thing.
pub(super) async fn show<R: Resource>(call: &Call, stream: &StreamId, at: Option<At>) -> Answer {
    let found = find::<R>(call, stream, at).await?;
    answer::<R>(&found)
}

/// Answers with a thing that was found.
pub(super) fn answer<R: Resource>(Found { state, stamp }: &Found<R::State>) -> Answer {
    let told = R::shown(state, *stamp).map_err(|problem| problem.at_version(Some(stamp.version)))?;
    Ok(versioned(200, Some(stamp.version), &told))
}

/// `GET` of what happened to one thing.
pub(super) async fn history<R: Resource>(call: Call) -> Answer {
    let mut params = call.params();
    let wrong = "is not the `next` of such a list";
    let after = params.read("after", |text| version(text).ok_or(wrong));
    let (limit, backward) = (params.limit(), params.flag("backward"));
    params.finish()?;
    let stream = named::<R>(&call, Action::Read)?;
    call.wait_for_log().await?;
    let limit = limit.get().min(HISTORY_EVENTS_MAX);
    let query = match (backward, after) {
        (false, after) => HistoryQuery { after, limit, ..HistoryQuery::default() },
        // Before the first there is nothing, and no version to name it by.
        (true, Some(Version::FIRST)) => {
            return Ok(json(200, &History::<()> { items: Vec::new(), next: None }));
        }
        (true, after) => {
            let to = after.and_then(|after| Version::new(after.get() - 1).ok());
            HistoryQuery { to, limit, direction: Direction::Backward, ..HistoryQuery::default() }
        }
    };
    let page = history::history::<R>(&*call.store, &stream, &query).await?;
    let more = query.next(&page).is_some();
    let next = page.entries.last().filter(|_| more).map(|last| format!("v{}", last.stand.version));
    let told = History { items: page.entries, next };
    let mut answer = linked(&call, told.next.as_deref(), &told);
    tag(&mut answer, page.version);
    Ok(answer)
}

/// `GET` of what differs between two moments in the life of one thing.
pub(super) async fn diff<R: Resource>(call: Call) -> Answer {
    let mut params = call.params();
    let (from, to) = (params.moment("from"), params.moment("to"));
    params.finish()?;
    let stream = named::<R>(&call, Action::Read)?;
    call.wait_for_log().await?;
    let from = moment(from.unwrap_or(At::Version(Version::FIRST)));
    let to = match to {
        Some(to) => moment(to),
        None => Moment::Cursor(call.store.head().await?.cursor),
    };
    Ok(json(200, &history::compare::<R>(&*call.store, &stream, from, to).await?))
}

/// Handles a command that makes something new, and says where it is found.
pub(super) async fn create<R: Resource>(
    call: &Call,
    stream: &StreamId,
    command: R::Command,
    body: &Json,
) -> Answer {
    let handled = call.handle(R::handler(&call.desk), stream, command, body.as_bytes()).await?;
    // Done before, it was another id that it was done with.
    let id = handled.stream.as_str().split_once('-').map_or("", |(_, id)| id);
    let location = format!("{}/{id}", R::PATH);
    let (written, found) = done::<R>(call, handled).await?;
    let told = R::shown(&found.state, found.stamp).map_err(unknown)?;
    Ok(written.at(location).json(201, &told))
}

/// Handles a command to a thing, and answers with what it is then.
pub(super) async fn change<R: Resource>(
    call: &Call,
    stream: &StreamId,
    command: R::Command,
    body: &[u8],
) -> Answer {
    let handled = call.handle(R::handler(&call.desk), stream, command, body).await?;
    let (written, found) = done::<R>(call, handled).await?;
    let told = R::shown(&found.state, found.stamp).map_err(unknown)?;
    Ok(written.json(200, &told))
}

/// Handles a command that comes without a body to the thing that the path names, and answers with what it is then.
pub(super) async fn order<R: Resource>(call: Call, body: Body, command: R::Command) -> Answer {
    call.no_params()?;
    let stream = named::<R>(&call, Action::Write)?;
    body.nothing(&call).await?;
    change::<R>(&call, &stream, command, &[]).await
}

/// Handles a command to the thing that the path names after which there is nothing to tell.
pub(super) async fn delete<R: Resource>(call: Call, body: Body, command: R::Command) -> Answer {
    call.no_params()?;
    let stream = named::<R>(&call, Action::Write)?;
    body.nothing(&call).await?;
    let handled = call.handle(R::handler(&call.desk), &stream, command, &[]).await?;
    let written = Written::of(&call, handled.version, handled.appended.as_ref()).await.map_err(unknown)?;
    Ok(written.nothing(204))
}

/// What was done, with all that is told of it.
pub(super) async fn done<R: Resource>(
    call: &Call,
    handled: Handled<R::State>,
) -> Result<(Written, Found<R::State>), Problem> {
    let told = async {
        let Handled { stream, state, version, appended } = handled;
        let nowhere = || Problem::new(Code::Internal, "What was done is nowhere.");
        let known = call.store.stream(&stream).await?.ok_or_else(nowhere)?;
        let version = version.ok_or_else(nowhere)?;
        let updated = last_change::<R>(call, &stream, version).await?.unwrap_or(known.created);
        let written = Written::of(call, Some(version), appended.as_ref()).await?;
        Ok((written, Found { state, stamp: Stamp { version, created: known.created, updated } }))
    };
    told.await.map_err(unknown)
}

/// What was done and can't be told: the same request again tells it.
pub(super) fn unknown(problem: Problem) -> Problem {
    problem.outcome(Outcome::Unknown)
}

/// Puts the version of a thing beside an answer about it.
pub(super) fn tag(answer: &mut HttpResponse, version: Version) {
    if let Ok(tag) = HeaderValue::from_str(&format!("\"{version}\"")) {
        answer.headers_mut().insert(header::ETAG, tag);
    }
}

/// Describes a route by which the history of a thing is read.
pub(super) fn history_of(path: &'static str, id: &'static str) -> Operation {
    let about =
        "What happened, event by event, with who, when, and what each changed; also of what was deleted.";
    Operation::get(path, id, about)
        .query::<LimitParam>("limit", "How many at most; no page has more than 200.")
        .query::<AfterParam>("after", "Behind where the page before ended: its `next`.")
        .query::<bool>("backward", "The last first.")
        .min_position()
        .answers::<History>(200, "A page of it.")
        .with(&["ETag", "Link"])
        .refuses(&[404, 422])
}

/// Describes a route by which two moments in the life of a thing are compared.
pub(super) fn diff_of(path: &'static str, id: &'static str) -> Operation {
    Operation::get(path, id, "What differs between two moments, field by field; also of what was deleted.")
        .query::<MomentParam>("from", "The one moment: a version such as `v3`, a cursor, or a time. The first version when nobody says.")
        .query::<MomentParam>("to", "The other; it may as well be the earlier one. Now when nobody says.")
        .min_position()
        .answers::<Compared>(200, "What differs.")
        .refuses(&[404, 410, 422])
}

/// Describes where a page of a history ended.
pub(super) struct AfterParam;

impl JsonSchema for AfterParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "HistoryAfter".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^v[1-9][0-9]{0,14}$" })
    }
}

/// Reads a merge patch.
pub(super) async fn patch(call: &Call, body: Body) -> Result<Json, Problem> {
    body.json_of(call, &[MERGE_PATCH, JSON]).await
}

#[cfg(test)]
mod tests;
