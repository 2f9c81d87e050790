//! Appending events as they are, to streams that belong to no aggregate: to one stream, or in one order over many.

mod asked;

use flightdeck_core::limits::APPEND_EVENTS_MAX;
use flightdeck_core::registry::NotYours;
use flightdeck_core::{Invalid, Metadata, Position, StreamId};
use flightdeck_store::chain::sha256;
use flightdeck_store::{Append, AppendError, Appended, Expected, Outcome, RequestKey};
use flightdeck_wire::append as wire;
use serde_json::{Map, Value};

use crate::asker::Asker;
use crate::authorise::{Action, Object};
use crate::call::{Body, Call, Written};
use crate::caps::{Cap, Caps};
use crate::cloud_event;
use crate::operation::{Answer, JSON, Operation};
use crate::problem::{Code, Problem};
use crate::trace;

use self::asked::Asked;

pub(super) fn operations() -> Vec<Operation> {
    vec![
        Operation::post(
            "/api/streams/{streamId}/events",
            "appendToStream",
            "Appends events to a stream that belongs to no aggregate.",
        )
        .path::<StreamId>("streamId", "Its name.")
        .if_match()
        .takes::<wire::StreamAppend>(JSON)
        .answers::<wire::StreamAppended>(201, "They are in the log, on stable storage.")
        .with(&["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"])
        .answers::<wire::StreamAppended>(
            200,
            "All of their ids were seen before, with the same events: this is what was done then.",
        )
        .with(&["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"])
        .to(to_stream),
        Operation::post(
            "/api/append",
            "append",
            "Appends events in one order to streams that belong to no aggregate: all of them, or none.",
        )
        .takes::<wire::Append>(JSON)
        .takes::<wire::CloudEvent>(cloud_event::ONE)
        .takes::<CloudEvents>(cloud_event::BATCH)
        .answers::<wire::Appended>(201, "They are in the log, on stable storage.")
        .with(&["FlightDeck-Position", "FlightDeck-Duplicate"])
        .answers::<wire::Appended>(
            200,
            "All of their ids were seen before, with the same events: this is what was done then.",
        )
        .with(&["FlightDeck-Position", "FlightDeck-Duplicate"])
        .to(append),
    ]
}

/// Describes a batch of `CloudEvents`.
struct CloudEvents;

impl schemars::JsonSchema for CloudEvents {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "CloudEvents".into()
    }
    fn json_schema(generator: &mut schemars::SchemaGenerator) -> schemars::Schema {
        let event = generator.subschema_for::<wire::CloudEvent>();
        schemars::json_schema!({ "type": "array", "items": event, "minItems": 1, "maxItems": APPEND_EVENTS_MAX })
    }
}

async fn to_stream(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream: StreamId = call.path("streamId")?;
    call.may(Action::Write, Object::Stream(&stream))?;
    let if_match = call.if_match()?;
    let body = body.bytes(&call, &[JSON], Cap::AppendBodyBytes).await?;
    let caps = call.caps();
    fits(&stream, caps)?;
    let mut asked = Asked::of_stream(&body, &stream, caps)?;
    if if_match != Expected::Any {
        if !asked.expected.is_empty() {
            let twice = "is there together with If-Match, and one of them is enough";
            return Err(Problem::field("expected", twice)
                .instead(Code::Refused)
                .outcome(Outcome::NotCommitted));
        }
        asked.expected.push((stream.clone(), if_match));
    }
    let done = done(&call, asked, call.key(&body)?).await.map_err(|problem| match problem.code() {
        Code::VersionConflict if if_match != Expected::Any => problem.instead(Code::PreconditionFailed),
        _ => problem,
    })?;
    let (from_position, position) = done.range()?;
    let of_stream = done.appended.streams.first().ok_or_else(nothing_appended)?;
    let told = wire::StreamAppended {
        stream_id: of_stream.stream.clone(),
        from_version: of_stream.from,
        version: of_stream.version,
        from_position,
        position,
        duplicate: done.seen_before,
    };
    Ok(done.written(Some(of_stream.version)).json(done.status(), &told))
}

/// Refuses a stream whose name is longer than it may be here.
fn fits(stream: &StreamId, caps: &Caps) -> Result<(), Problem> {
    let most = caps.get(Cap::StreamNameBytes);
    match stream.as_str().len() <= most {
        true => Ok(()),
        false => {
            let problem = Problem::field("streamId", format!("is longer than {most} bytes"));
            Err(problem.met(Cap::StreamNameBytes).outcome(Outcome::NotCommitted))
        }
    }
}

async fn append(call: Call, body: Body) -> Answer {
    call.no_params()?;
    if call.if_match()? != Expected::Any {
        let problem =
            Problem::field("If-Match", "is about one stream; `expected` says what is expected of many");
        return Err(problem.instead(Code::Refused).outcome(Outcome::NotCommitted));
    }
    // Before anything of it is read.
    call.may(Action::Write, Object::Log)?;
    let kind = call.media_type();
    let media = [JSON, cloud_event::ONE, cloud_event::BATCH];
    let body = body.bytes(&call, &media, Cap::AppendBodyBytes).await?;
    let caps = call.caps();
    let asked = match kind.as_str() {
        cloud_event::ONE => Asked::cloud_event(&body, caps)?,
        cloud_event::BATCH => Asked::cloud_events(&body, caps)?,
        _ => Asked::of_any(&body, caps)?,
    };
    may(&call, &asked)?;
    let done = done(&call, asked, call.key(&body)?).await?;
    Ok(done.written(None).json(done.status(), &done.told()?))
}

/// What a client on a socket has appended: the same as by a request, with its key in it.
pub(in crate::routes) async fn on_a_socket(
    call: &Asker,
    key: Option<String>,
    body: String,
) -> Result<Map<String, Value>, Problem> {
    call.may(Action::Write, Object::Log)?;
    let asked = Asked::of_any(body.as_bytes(), call.caps())?;
    may(call, &asked)?;
    let key = key.map(|key| call.key_named("POST", "/api/append", &key, body.as_bytes())).transpose()?;
    let done = done(call, asked, key).await?;
    match serde_json::to_value(done.told()?) {
        Ok(Value::Object(told)) => Ok(told),
        _ => Err(nothing_appended()),
    }
}

/// Whether whoever asks for it may have that appended.
fn may(call: &Asker, asked: &Asked) -> Result<(), Problem> {
    let receiving = asked.streams();
    receiving.iter().try_for_each(|stream| call.may(Action::Write, Object::Stream(stream)))?;
    // Whether an expectation holds says what a stream is.
    let expected = asked.expected.iter().map(|(stream, _)| stream);
    let mut only_read = expected.filter(|stream| !receiving.contains(stream));
    only_read.try_for_each(|stream| call.may(Action::Read, Object::Stream(stream)))?;
    // And whether a condition holds says what all of them have.
    match asked.condition {
        Some(_) => call.may(Action::Read, Object::Every),
        None => Ok(()),
    }
}
/// What an append came to.
struct Done {
    appended: Appended,
    /// Whether it was the ids of the events by which it was known that they are in the log.
    seen_before: bool,
}

impl Done {
    /// A request that is repeated with its key is answered as it was at first.
    const fn status(&self) -> u16 {
        if self.seen_before { 200 } else { 201 }
    }

    fn told(&self) -> Result<wire::Appended, Problem> {
        let (from_position, position) = self.range()?;
        let received = |stream: &flightdeck_store::AppendedStream| wire::Received {
            stream_id: stream.stream.clone(),
            from_version: stream.from,
            version: stream.version,
        };
        Ok(wire::Appended {
            streams: self.appended.streams.iter().map(received).collect(),
            from_position,
            position,
            cursor: self.appended.cursor.clone(),
            duplicate: self.seen_before,
        })
    }

    fn range(&self) -> Result<(Position, Position), Problem> {
        self.appended.range.ok_or_else(nothing_appended)
    }

    fn written(&self, version: Option<flightdeck_core::Version>) -> Written {
        let (cursor, duplicate) = (self.appended.cursor.clone(), self.appended.duplicate);
        Written { version, cursor, duplicate, location: None }
    }
}

fn nothing_appended() -> Problem {
    Problem::new(Code::Internal, "The store says nothing of what it appended.")
}

/// Appends what was asked for, in one piece: whoever goes away meanwhile leaves all of it or nothing.
async fn done(call: &Asker, asked: Asked, request: Option<RequestKey>) -> Result<Done, Problem> {
    let Asked { mut events, expected, condition } = asked;
    let mut wrong = Invalid::default();
    for (place, event) in events.iter_mut().enumerate() {
        let what = (&event.event_type, event.schema, &event.data);
        match call.registry.may_be_written(&event.stream, &event.tags, what) {
            Ok(()) => {}
            Err(NotYours::Data(error)) => {
                wrong.extend(Invalid::field(format!("events[{place}].data"), error.to_string()))
            }
            Err(owned) => {
                let detail = format!("events[{place}]: {owned}.");
                return Err(Problem::new(Code::OwnedCategory, detail).outcome(Outcome::NotCommitted));
            }
        }
        let said = std::mem::take(&mut event.metadata);
        let correlation = said.correlation.or_else(|| Some(call.correlation().clone()));
        event.metadata = Metadata { actor: call.principal().actor.clone(), correlation, ..said };
    }
    if !wrong.is_empty() {
        return Err(Problem::from(wrong).instead(Code::Refused));
    }
    let append = Append { events, expected, condition, request };
    let done = trace::part("append", once(call, append)).await?;
    call.measured.appended(&done.appended);
    Ok(done)
}

/// Appends; and says, also when the same request comes again with its key, by what a repetition was known: a request whose events had been
/// in the log before it is remembered as such.
async fn once(call: &Asker, append: Append) -> Result<Done, AppendError> {
    let store = &call.store;
    let id = append.events.iter().find_map(|event| event.id);
    let (Some(request), Some(id)) = (append.request.clone(), id) else {
        let by_ids = append.request.is_none();
        let appended = store.append(append).await?;
        return Ok(Done { seen_before: by_ids && appended.duplicate, appended });
    };
    let is_known = store.event(id).await.map_err(flightdeck_store::settle::unknown)?.is_some();
    if !is_known {
        let appended = store.append(append).await?;
        return Ok(Done { seen_before: false, appended });
    }
    match store.append(append.with_request(of_known(&request)?)).await {
        Ok(appended) => Ok(Done { seen_before: true, appended }),
        // They are there because this request has put them there.
        Err(AppendError::KeyReused) => match store.outcome_of(&request).await? {
            Some(appended) => Ok(Done { seen_before: false, appended }),
            None => Err(AppendError::KeyReused),
        },
        Err(error) => Err(error),
    }
}

/// The same key, of a request whose events were in the log before it.
fn of_known(request: &RequestKey) -> Result<RequestKey, AppendError> {
    let mut fingerprint = request.fingerprint().to_vec();
    fingerprint.extend_from_slice(b"known");
    Ok(RequestKey::new(request.caller(), request.key(), sha256(&fingerprint))?)
}
