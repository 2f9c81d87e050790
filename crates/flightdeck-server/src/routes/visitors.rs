//! What visitors do and answer: `POST /api/events`, `/api/consent`, `/api/stream`.

use flightdeck_analytics::VisitorId;
use flightdeck_analytics::visitor::{self, Batch, Command, Consent, NoBatch, Record, Visitor};
use flightdeck_core::{Decider as _, Json};
use flightdeck_store::{Handled, Handler, RequestKey};
use flightdeck_wire::visitor as wire;

use crate::authorise::{Action, Object};
use crate::call::{Body, Call, Written, json, unkept, versioned};
use crate::caps::{Cap, Caps};
use crate::members::{Wrong, list, not_deep};
use crate::operation::{Answer, JSON, Operation};
use crate::problem::{Code, Problem};
use crate::{link, visitor as cookie};

/// What `navigator.sendBeacon` sends.
const TEXT: &str = "text/plain";

pub(super) fn operations() -> Vec<Operation> {
    const WRITTEN: &[&str] = &["ETag", "FlightDeck-Position", "FlightDeck-Duplicate", "Set-Cookie"];
    vec![
        Operation::post("/api/events", "recordFacts", "Records what a visitor did. Who it is says its cookie, which is made when it is not there.")
            .query::<CodeParam>("ref", "A link code: the facts, and all that follow, go to the stream that it was made for.")
            .if_match()
            .takes::<wire::Facts>(JSON)
            .takes::<wire::Facts>(TEXT)
            .answers::<wire::Recorded>(202, "They are stored, or not, as the visitor wants.")
            .with(WRITTEN)
            .to(record),
        Operation::post("/api/consent", "giveConsent", "Records what a visitor answers when it is asked whether it may be recorded.")
            .if_match()
            .takes::<wire::GiveConsent>(JSON)
            .answers::<wire::Consented>(200, "What it answered.")
            .with(WRITTEN)
            .to(consent),
        Operation::get("/api/stream/current", "getCurrentStream", "The stream of the visitor who asks.")
            .answers::<wire::CurrentStream>(200, "It is there.")
            .with(&["ETag", "Cache-Control"])
            .refuses(&[404])
            .to(current),
        Operation::post("/api/stream/link", "linkStream", "Makes a code by which another device goes on with the visitor's stream, once and within ten minutes.")
            .answers::<wire::LinkCode>(201, "The code.")
            .with(&["FlightDeck-Position", "FlightDeck-Duplicate"])
            .refuses(&[404])
            .to(offer),
    ]
}

impl From<std::convert::Infallible> for Problem {
    fn from(never: std::convert::Infallible) -> Self {
        match never {}
    }
}

/// Who a request is of, and how that came about.
struct Who {
    id: VisitorId,
    /// Whether the browser knows that already.
    is_known: bool,
    /// By what a repetition is known: keys are the visitor's, so that nobody tries those of others.
    request: Option<RequestKey>,
}

async fn who(call: &Call, body: &[u8], code: Option<&str>) -> Result<Who, Problem> {
    let known = cookie::known(call).await?;
    let offered = match code {
        Some(code) => Some(link::offered(call.host(), code).await?),
        None => None,
    };
    let owner = offered.as_ref().or(known.as_ref());
    let request = match owner {
        Some(owner) => call.key_of(&format!("visitor {owner}"), body)?,
        None => call.key(body)?,
    };
    if let (Some(code), Some(offered)) = (code, &offered)
        // A page that is loaded again sends the code again.
        && known.as_ref() != Some(offered)
    {
        link::take(call.host(), code, request.as_ref(), call.correlation()).await?;
    }
    let is_known = owner.is_some() && owner == known.as_ref();
    let id = match owner {
        Some(owner) => owner.clone(),
        None => cookie::new(call.host())?,
    };
    Ok(Who { id, is_known, request })
}

async fn handle(
    call: &Call,
    handler: &Handler<Visitor>,
    who: &Who,
    command: Command,
) -> Result<Handled<Consent>, Problem> {
    let stream = who.id.stream(Visitor::CATEGORY)?;
    call.handle_as(handler, &stream, command, who.request.clone(), Into::into).await
}

/// Whether the browser is to be told who it is: when something of it is kept, and it is not another's. A repetition of a request
/// without a cookie is answered with what was done then, for a visitor that whoever repeats it need not be.
fn is_told(who: &Who, handled: &Handled<Consent>) -> bool {
    let is_own = who.id.stream(Visitor::CATEGORY).is_ok_and(|stream| stream == handled.stream);
    !who.is_known && is_own && handled.version.is_some()
}

async fn record(call: Call, body: Body) -> Answer {
    let mut params = call.params();
    let code = params.read("ref", code);
    params.finish()?;
    call.may(Action::Capture, Object::Category(Visitor::CATEGORY))?;
    let caps = call.caps();
    // Its facts, and what stands between them.
    let most = (caps.get(Cap::Facts) + 1) * caps.get(Cap::FactBytes);
    let bytes = body.bytes_of(&call, &[JSON, TEXT], most, Cap::Facts).await?;
    let facts = not_deep(Json::new(bytes.clone(), most), &bytes, caps)?;
    few_and_small(&bytes, caps)?;
    let batch = Batch::read(&facts).map_err(|NoBatch { wrong, is_too_much }| {
        let problem = Problem::from(wrong);
        if is_too_much { problem.instead(Code::TooLarge) } else { problem }
    })?;
    let who = who(&call, &bytes, code.as_deref()).await?;
    let record =
        Record { visitor_id: who.id.clone(), batch, policy: call.options.consent, at: call.clock.now() };
    let mut answer = match handle(&call, &call.desk.visitors, &who, Command::Record(record)).await {
        Ok(handled) => {
            let mut answer = recorded(&call, &handled).await?;
            if code.is_none() {
                if is_told(&who, &handled) {
                    cookie::remember(&call, &who.id, &mut answer).await?;
                }
                return Ok(answer);
            }
            answer
        }
        Err(problem) if code.is_none() => return Err(problem),
        Err(problem) => actix_web::ResponseError::error_response(&problem),
    };
    // The code is taken: whatever became of the facts, the browser goes on as the other visitor.
    if !who.is_known {
        cookie::remember(&call, &who.id, &mut answer).await?;
    }
    Ok(answer)
}

/// Refuses more facts than may come in one request, and larger ones than may be.
fn few_and_small(json: &[u8], caps: &Caps) -> Result<(), Wrong> {
    let (most, bytes_max) = (caps.get(Cap::Facts), caps.get(Cap::FactBytes));
    let text = std::str::from_utf8(json).unwrap_or_default().trim_ascii();
    let small = |json: &str| match json.len() {
        bytes if bytes > bytes_max => {
            let problem = format!("is {bytes} bytes, and {bytes_max} is the most");
            Err(Wrong::too_large("", problem).met(Cap::FactBytes))
        }
        _ => Ok(()),
    };
    match text.starts_with('[') {
        true => list(text, most, small).map(drop).map_err(|wrong| wrong.met_if_too_large(Cap::Facts)),
        false => small(text),
    }
}

async fn recorded(call: &Call, handled: &Handled<Consent>) -> Answer {
    let appended = handled.appended.as_ref();
    let first = appended.and_then(|appended| appended.streams.first().zip(appended.range));
    let Some((stream, (from, to))) = first else {
        return Ok(json(202, &wire::Recorded::default()));
    };
    let told = wire::Recorded {
        stored: true,
        from_version: Some(stream.from),
        version: Some(stream.version),
        from_position: Some(from),
        position: Some(to),
    };
    Ok(Written::of(call, Some(stream.version), appended).await?.json(202, &told))
}

async fn consent(call: Call, body: Body) -> Answer {
    call.no_params()?;
    call.may(Action::Capture, Object::Category(Visitor::CATEGORY))?;
    let json = body.json(&call).await?;
    let mut form = flightdeck_core::Form::of(&json);
    let answer = form.required("answer");
    let answer: wire::Answer = form.finish(answer)?;
    let who = who(&call, json.as_bytes(), None).await?;
    let given = visitor::Answer { visitor_id: who.id.clone(), at: call.clock.now() };
    let command = match answer {
        wire::Answer::Accept => Command::AcceptConsent(given),
        wire::Answer::Decline => Command::DeclineConsent(given),
        wire::Answer::Reset => Command::ResetConsent(given),
    };
    let handled = handle(&call, &call.desk.consents, &who, command).await?;
    let told = wire::Consented { consent: told(handled.state) };
    let mut answer = match &handled.appended {
        None => crate::call::json(200, &told),
        appended => Written::of(&call, handled.version, appended.as_ref()).await?.json(200, &told),
    };
    if is_told(&who, &handled) {
        cookie::remember(&call, &who.id, &mut answer).await?;
    }
    Ok(answer)
}

const fn told(consent: Consent) -> wire::Consent {
    match consent {
        Consent::Unanswered => wire::Consent::Unanswered,
        Consent::Accepted => wire::Consent::Accepted,
        Consent::Declined => wire::Consent::Declined,
    }
}

async fn current(call: Call) -> Answer {
    call.no_params()?;
    call.may(Action::Capture, Object::Category(Visitor::CATEGORY))?;
    let visitor = cookie::known(&call).await?.ok_or_else(nobody)?;
    let stream = visitor.stream(Visitor::CATEGORY)?;
    let info = call.store.stream(&stream).await?.ok_or_else(nobody)?;
    let consent = told(call.desk.visitors.load(&stream).await?.state);
    let told = wire::CurrentStream {
        stream_id: info.stream,
        version: info.version,
        created_at: info.created,
        updated_at: info.updated,
        consent,
    };
    Ok(unkept(versioned(200, Some(info.version), &told)))
}

fn nobody() -> Problem {
    Problem::new(Code::NotFound, "Nothing is kept of this visitor, so it has no stream.")
}

async fn offer(call: Call, body: Body) -> Answer {
    call.no_params()?;
    call.may(Action::Capture, Object::Category(Visitor::CATEGORY))?;
    call.no_if_match()?;
    body.nothing(&call).await?;
    let visitor = cookie::known(&call).await?.ok_or_else(nobody)?;
    call.store.stream(&visitor.stream(Visitor::CATEGORY)?).await?.ok_or_else(nobody)?;
    let request = call.key_of(&format!("visitor {visitor}"), b"")?;
    let offered = link::offer(call.host(), &visitor, request, call.correlation()).await?;
    let told = wire::LinkCode { code: offered.code, expires_at: offered.expires_at };
    Ok(Written::of(&call, None, Some(&offered.appended)).await?.json(201, &told))
}

/// Reads a link code.
fn code(text: &str) -> Result<String, &'static str> {
    let is_one = text.len() == 32 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'));
    if is_one { Ok(text.to_owned()) } else { Err("is no link code: 32 digits of 0-9 and a-f") }
}

/// Describes a link code.
struct CodeParam;

impl schemars::JsonSchema for CodeParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "LinkCode".into()
    }
    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({ "type": "string", "pattern": "^[0-9a-f]{32}$" })
    }
}
