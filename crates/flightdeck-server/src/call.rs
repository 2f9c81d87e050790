//! A request, as a route sees it: who makes it, what comes with it, and how it is answered.

use std::borrow::Cow;
use std::cell::Cell;
use std::future::{Ready, ready};
use std::ops::Deref;
use std::rc::Rc;
use std::str::FromStr;
use std::sync::Arc;

use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::web::Data;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, HttpResponse, HttpResponseBuilder};
use bytes::{Bytes, BytesMut};
use flightdeck_core::{
    Cursor, Decider, Json, Metadata, Reference, StoredEvents, StreamId, Version, WordError,
};
use flightdeck_projections::Defined;
use flightdeck_store::chain::sha256;
use flightdeck_store::{After, Appended, Context, Expected, Handled, Handler, Outcome, RequestKey};
use futures_util::StreamExt as _;
use percent_encoding::percent_decode_str;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use tokio::time::{Instant, timeout_at};

use crate::asker::{Asker, Granted};
use crate::authorise::{Action, Object, Principal};
use crate::caller;
use crate::caps::Cap;
use crate::connections::Open;
use crate::host::Host;
use crate::members;
use crate::operation::JSON;
use crate::params::{self, Params};
use crate::problem::{Code, Problem};
use crate::push::seat::{Seat, Transport};
use crate::push::stay::Stay;
use crate::trace;

/// What a write answers: up to where the log has to be read to see it.
pub const POSITION: &str = "FlightDeck-Position";
/// What a read waits for.
pub const MIN_POSITION: &str = "FlightDeck-Min-Position";
/// What a request belongs to.
pub const CORRELATION: &str = "FlightDeck-Correlation-Id";
/// That an answer was given before.
pub const DUPLICATE: &str = "FlightDeck-Duplicate";
/// By what a repetition of a request is known.
const KEY: &str = "Idempotency-Key";

/// The same as the store knows it, whoever makes the request: of the command line, which goes by the server's socket or past the server,
/// and must be known either way. Taken at that socket alone.
pub const LOCAL_KEY: &str = "FlightDeck-Request-Key";

/// Writes a key of a request for [`LOCAL_KEY`].
#[must_use]
pub fn write_key(key: &RequestKey) -> String {
    let digits = key.fingerprint().iter().map(|byte| format!("{byte:02x}"));
    format!("{} {} {}", key.caller(), key.key(), digits.collect::<String>())
}

fn read_key(text: &str) -> Option<RequestKey> {
    let [caller, key, digits] = text.split(' ').collect::<Vec<_>>().try_into().ok()?;
    let mut fingerprint = [0; 32];
    if digits.len() != 64 || !digits.is_ascii() {
        return None;
    }
    for (place, byte) in fingerprint.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digits[2 * place..2 * place + 2], 16).ok()?;
    }
    RequestKey::new(caller, key, fingerprint).ok()
}

/// A request, with who makes it. Whoever takes one has a route that asks `may` before anything else.
pub struct Call {
    request: HttpRequest,
    asker: Asker,
}

impl FromRequest for Call {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(Self::of(request))
    }
}

impl Call {
    fn of(request: &HttpRequest) -> Result<Self, Problem> {
        let host = request.app_data::<Data<Host>>().map(|host| Arc::clone(host));
        let host = host.ok_or_else(|| Problem::new(Code::Internal, "The server was not put together."))?;
        let correlation = request.extensions().get::<Correlation>().map(|known| known.0.clone());
        let correlation = correlation
            .ok_or_else(|| Problem::new(Code::Internal, "The request came past the door of the server."))?;
        let principal = request.extensions().get::<Principal>().cloned().unwrap_or_default();
        let is_local = request.conn_data::<Open>().is_some_and(Open::is_local);
        let asker = Asker { host, principal, correlation, is_local };
        Ok(Self { request: request.clone(), asker })
    }

    /// The head of the request.
    #[must_use]
    pub const fn request(&self) -> &HttpRequest {
        &self.request
    }

    /// What its answer rests on, for one that goes on for long.
    pub(crate) fn granted(&self) -> Granted {
        // Whoever came by a ticket may as much of it as the one who was given it may still.
        let behind = self.request.extensions().get::<Behind>().map(|behind| behind.0.clone());
        Granted::to(&self.asker, behind.unwrap_or_else(|| self.principal().clone()))
    }

    /// What it is called by where callers are told apart.
    pub(crate) fn name(&self) -> String {
        match &self.principal().actor {
            Some(actor) => actor.to_string(),
            None => {
                let (peer, headers) = (self.request.peer_addr(), self.request.headers());
                caller::named(peer, headers, &self.options.trusted_proxies)
            }
        }
    }

    /// Who makes it, for what goes on for long: without the request, whose head takes what it came in.
    pub(crate) fn asker(&self) -> Asker {
        self.asker.clone()
    }

    /// What looks whether whoever makes it may go on following.
    pub(crate) fn stay(&self) -> Stay {
        Stay::new(self.granted(), self.stopping.clone(), self.caps())
    }

    /// Whose requests they are, where that is counted.
    pub(crate) fn caller(&self) -> Option<String> {
        (!self.is_local && !self.identify.is_open()).then(|| self.name())
    }

    /// A seat for whoever follows the log, by that. `None`: the caller has as many as may be.
    pub(crate) fn seat(&self, transport: Transport) -> Option<Seat> {
        let most = self.caps().get(Cap::CallerFollowers);
        let seat = self.push.seats.take(self.caller(), most, transport);
        match (&seat, self.request.conn_data::<Open>()) {
            (Some(seat), Some(open)) => open.follows(&seat.told),
            (None, _) => self.met.note(Cap::CallerFollowers),
            (Some(_), None) => {}
        }
        seat
    }

    /// The parameters.
    #[must_use]
    pub fn params(&self) -> Params {
        Params::of(self.request.query_string()).at_most(self.caps().get(Cap::PageEvents))
    }

    /// Ends the parameters of a route that has none.
    ///
    /// # Errors
    /// When there are some.
    pub fn no_params(&self) -> Result<(), Problem> {
        self.params().finish()
    }

    /// A part of the path.
    ///
    /// # Errors
    /// When it can't be one.
    pub fn path<T: FromStr<Err = WordError>>(&self, name: &str) -> Result<T, Problem> {
        self.part(name)?.parse().map_err(|error: WordError| Problem::field(name, error.problem()))
    }

    /// The stream of the aggregate's thing that a part of the path names.
    ///
    /// # Errors
    /// When nothing can be named so.
    pub fn stream<D: Decider>(&self, name: &str) -> Result<StreamId, Problem> {
        let stream = StreamId::new(format!("{}-{}", D::CATEGORY, self.part(name)?));
        stream.map_err(|error| Problem::field(name, error.problem()))
    }

    fn part(&self, name: &str) -> Result<Cow<'_, str>, Problem> {
        // The router has decoded all but what would have parted the path otherwise.
        let part = self.request.match_info().get(name).unwrap_or_default();
        percent_decode_str(part).decode_utf8().map_err(|_| Problem::field(name, "is not UTF-8"))
    }

    /// The media type of the body, in lower case and without parameters.
    #[must_use]
    pub fn media_type(&self) -> String {
        media_type(self.request.headers())
    }

    fn header(&self, name: &str) -> Result<Option<&str>, Problem> {
        header_of(self.request.headers(), name)
    }

    /// Has a command handled that came with `body`: with who makes it, what it expects, and its key.
    ///
    /// # Errors
    /// When a header can't be understood, or the command is not done.
    pub async fn handle<D>(
        &self,
        handler: &Handler<D>,
        stream: &StreamId,
        command: D::Command,
        body: &[u8],
    ) -> Result<Handled<D::State>, Problem>
    where
        D: Decider<Event: StoredEvents, Command: Clone, Error: Into<Problem> + std::error::Error + 'static>,
    {
        self.handle_or(handler, stream, command, body, Into::into).await
    }

    /// The same, with what becomes of a refusal.
    ///
    /// # Errors
    /// As [`handle`](Self::handle).
    pub async fn handle_or<D>(
        &self,
        handler: &Handler<D>,
        stream: &StreamId,
        command: D::Command,
        body: &[u8],
        refused: impl FnOnce(D::Error) -> Problem,
    ) -> Result<Handled<D::State>, Problem>
    where
        D: Decider<Event: StoredEvents, Command: Clone>,
    {
        self.handle_as(handler, stream, command, self.key(body)?, refused).await
    }

    /// The same, of a request that is known by that key.
    pub(crate) async fn handle_as<D>(
        &self,
        handler: &Handler<D>,
        stream: &StreamId,
        command: D::Command,
        request: Option<RequestKey>,
        refused: impl FnOnce(D::Error) -> Problem,
    ) -> Result<Handled<D::State>, Problem>
    where
        D: Decider<Event: StoredEvents, Command: Clone>,
    {
        let metadata = Metadata {
            actor: self.principal().actor.clone(),
            correlation: Some(self.correlation.clone()),
            ..Metadata::default()
        };
        let context = Context { metadata, expected: self.if_match()?, request };
        let done = trace::part("command", handler.handle(stream, command, &context)).await;
        done.map_err(|error| {
            let problem = Problem::from(error.map_refused(refused)).with(|told| {
                // Who has it is for those to know who may read that.
                told.owner = told.owner.take().filter(|owner| {
                    let stream = StreamId::new(format!("{}-{owner}", D::CATEGORY));
                    stream.is_ok_and(|stream| self.may(Action::Read, Object::Stream(&stream)).is_ok())
                });
            });
            match (problem.code(), context.expected) {
                (Code::VersionConflict, Expected::Exactly(_) | Expected::Exists) => {
                    problem.instead(Code::PreconditionFailed)
                }
                _ => problem,
            }
        })
    }

    /// What `If-Match` expects.
    ///
    /// # Errors
    /// When it is not `*` or one version in quotes.
    pub fn if_match(&self) -> Result<Expected, Problem> {
        let Some(text) = self.header("If-Match")? else { return Ok(Expected::Any) };
        if text.trim() == "*" {
            return Ok(Expected::Exists);
        }
        let version = text.trim().strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        let version = version.and_then(|text| text.parse().ok()).and_then(|number| Version::new(number).ok());
        let wrong = || Problem::field("If-Match", "is not `*` or one version in quotes, as `ETag` has it");
        version.map(Expected::Exactly).ok_or_else(|| wrong().outcome(Outcome::NotCommitted))
    }

    /// Refuses `If-Match` where there is no version that could match.
    pub(crate) fn no_if_match(&self) -> Result<(), Problem> {
        match self.if_match()? {
            Expected::Any => Ok(()),
            _ => Err(Problem::field("If-Match", "is about a thing's version, and this has none")
                .instead(Code::Refused)),
        }
    }

    /// By what a repetition of the request is known, if it says so.
    ///
    /// # Errors
    /// When the key is none.
    pub fn key(&self, body: &[u8]) -> Result<Option<RequestKey>, Problem> {
        self.key_of(&self.principal().key(), body)
    }

    /// The same, of somebody who is known by something else than credentials.
    ///
    /// # Errors
    /// When the key is none.
    pub fn key_of(&self, caller: &str, body: &[u8]) -> Result<Option<RequestKey>, Problem> {
        if let Some(told) = self.header(LOCAL_KEY)?
            && self.is_local
        {
            return read_key(told)
                .map(Some)
                .ok_or_else(|| Problem::field(LOCAL_KEY, "is no key of a request"));
        }
        let Some(key) = self.header(KEY)? else { return Ok(None) };
        let (method, uri) = (self.request.method().as_str(), self.request.uri());
        let told =
            |name: HeaderName| self.request.headers().get(name).map_or(&b""[..], HeaderValue::as_bytes);
        let (kind, condition) = (told(header::CONTENT_TYPE), told(header::IF_MATCH));
        let query = uri.query().unwrap_or_default().as_bytes();
        key_of([caller, method, uri.path()], key, [query, kind, condition, body], KEY).map(Some)
    }

    /// Until when the rest of a body may take to come, of which so much is there: so much time, and a second more for so much each.
    fn body_until(&self, begun: Instant, bytes: usize) -> Instant {
        let caps = self.caps();
        let more = u64::try_from(bytes / caps.get(Cap::BodyBytesPerSecond)).unwrap_or(u64::MAX);
        begun + caps.time(Cap::BodySeconds) + std::time::Duration::from_secs(more)
    }

    /// What `FlightDeck-Min-Position` asks to be there.
    fn min_position(&self) -> Result<Option<After>, Problem> {
        let read = |text: &str| params::place(text).map_err(|problem| Problem::field(MIN_POSITION, problem));
        self.header(MIN_POSITION)?.map(read).transpose()
    }

    /// Waits until a view is where `FlightDeck-Min-Position` asks it to be.
    ///
    /// # Errors
    /// When it does not come there in time, or never will.
    pub async fn wait_for(&self, view: &Defined) -> Result<(), Problem> {
        let Some(position) = self.min_position()? else { return Ok(()) };
        let (plan, most) = (view.plan(), self.caps().time(Cap::PositionWaitSeconds));
        let waited = self.watcher.wait_for(plan.view(), plan.number(), position, most).await;
        waited.map(drop).map_err(|error| self.without_the_head(waited_in_vain(error.into())))
    }

    /// Waits until the log is where `FlightDeck-Min-Position` asks it to be: for what is read from the log itself.
    ///
    /// # Errors
    /// When it does not come there in time, or never will.
    pub async fn wait_for_log(&self) -> Result<(), Problem> {
        self.has_come().await.map_err(|problem| self.without_the_head(problem))
    }

    /// How far the log is, is for those who may read some of it.
    fn without_the_head(&self, problem: Problem) -> Problem {
        match self.may(Action::Read, Object::Log) {
            Ok(()) => problem,
            Err(_) => problem.with(|told| (told.head, told.position) = (None, None)),
        }
    }

    async fn has_come(&self) -> Result<(), Problem> {
        let Some(position) = self.min_position()? else { return Ok(()) };
        let until = Instant::now() + self.caps().time(Cap::PositionWaitSeconds);
        let mut changes = self.store.watch();
        loop {
            changes.mark_unchanged();
            let head = self.store.head().await?.cursor;
            if !position.is_of(head.epoch()) {
                return Err(flightdeck_projections::NotThere::OtherEpoch { head }.into());
            }
            if head.position() >= position.position() {
                return Ok(());
            }
            if timeout_at(until, changes.changed()).await.is_err() {
                let problem =
                    Problem::new(Code::NotReached, "The log did not come to that position in time.");
                let problem = waited_in_vain(problem.retry_after(1));
                return Err(problem.with(|told| told.position = Some(head.position())));
            }
        }
    }
}

/// What is told of a position that was not reached.
fn waited_in_vain(problem: Problem) -> Problem {
    match problem.code() {
        Code::NotReached => problem.met(Cap::PositionWaitSeconds),
        _ => problem,
    }
}

/// Who was given the ticket that a request came with, put beside it at the door.
pub(crate) struct Behind(pub(crate) Principal);

/// What a request belongs to, put beside it at the door.
#[derive(Clone)]
pub(crate) struct Correlation(pub(crate) Reference);

/// A header as text, if it is there.
pub(crate) fn header_of<'h>(headers: &'h HeaderMap, name: &str) -> Result<Option<&'h str>, Problem> {
    let mut all = headers.get_all(name);
    let Some(value) = all.next() else { return Ok(None) };
    if all.next().is_some() {
        return Err(Problem::field(name, "is there twice"));
    }
    value.to_str().map(Some).map_err(|_| Problem::field(name, "is not visible ASCII"))
}

/// A key of a caller, a method and a path, for what is asked there.
pub(crate) fn key_of(
    scope: [&str; 3],
    key: &str,
    asked: [&[u8]; 4],
    field: &str,
) -> Result<RequestKey, Problem> {
    // Callers, methods and paths of any length, and none of them meet.
    let scope = digest(scope.map(str::as_bytes));
    let scope = scope.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
    let wrong = |_| Problem::field(field, "is not 1 to 200 characters of visible ASCII");
    RequestKey::new(&scope, key, digest(asked)).map_err(wrong)
}

/// A digest of parts, of which none can be taken for another.
fn digest<const N: usize>(parts: [&[u8]; N]) -> [u8; 32] {
    let all: Vec<u8> = parts.iter().flat_map(|part| sha256(part)).collect();
    sha256(&all)
}

/// What nobody has read of a body. As long as it is there, the connection is closed behind the answer; without it, actix would go on
/// taking whatever comes in chunks, for as long as it comes.
#[derive(Clone, Default)]
pub(crate) struct Unread(Rc<Cell<Option<Payload>>>);

impl Unread {
    pub(crate) fn of(body: Payload) -> Self {
        Self(Rc::new(Cell::new(Some(body))))
    }

    /// What there is, if there was anything to be read.
    pub(crate) fn take(&self) -> Option<Payload> {
        self.0.take().filter(|body| !matches!(body, Payload::None))
    }
}

/// The body of a request, not yet read.
pub struct Body {
    payload: Payload,
    unread: Unread,
    is_read: bool,
}

impl FromRequest for Body {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let unread = request.extensions().get::<Unread>().cloned().unwrap_or_default();
        let payload = unread.0.take().unwrap_or(Payload::None);
        ready(Ok(Self { payload, unread, is_read: false }))
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if !self.is_read {
            self.unread.0.set(Some(std::mem::replace(&mut self.payload, Payload::None)));
        }
    }
}

impl Body {
    /// All that comes behind the head, as it comes.
    pub(crate) fn into_payload(mut self) -> Payload {
        self.is_read = true;
        std::mem::replace(&mut self.payload, Payload::None)
    }

    /// Reads the body, of one of these media types, up to a limit.
    ///
    /// # Errors
    /// When it is too large or too slow, is of another type, or does not come whole.
    pub async fn bytes(self, call: &Call, media: &[&str], cap: Cap) -> Result<Bytes, Problem> {
        self.bytes_of(call, media, call.caps().get(cap), cap).await
    }

    /// The same, up to so many bytes, which come from that limit.
    pub(crate) async fn bytes_of(
        mut self,
        call: &Call,
        media: &[&str],
        most: usize,
        cap: Cap,
    ) -> Result<Bytes, Problem> {
        let kind = media_type(call.request.headers());
        if !media.iter().any(|media| media.eq_ignore_ascii_case(&kind)) {
            let detail = format!("The route takes {}.", media.join(", "));
            return Err(Problem::new(Code::UnsupportedMediaType, detail).outcome(Outcome::NotCommitted));
        }
        let too_large = || {
            Problem::new(Code::TooLarge, format!("The body may have {most} bytes."))
                .outcome(Outcome::NotCommitted)
                .met(cap)
        };
        let told =
            header_of(call.request.headers(), "Content-Length")?.and_then(|text| text.parse::<usize>().ok());
        if told.is_some_and(|told| told > most) {
            return Err(too_large());
        }
        let (begun, mut body) = (Instant::now(), BytesMut::new());
        loop {
            let rate = call.caps().get(Cap::BodyBytesPerSecond);
            // What comes, and too slowly, has met the rate.
            let cap = if body.len() < rate { Cap::BodySeconds } else { Cap::BodyBytesPerSecond };
            let next = timeout_at(call.body_until(begun, body.len()), self.payload.next()).await;
            match next.map_err(|_| slow(cap))? {
                None => {
                    self.is_read = true;
                    return Ok(body.freeze());
                }
                Some(Ok(bytes)) if body.len() + bytes.len() > most => return Err(too_large()),
                Some(Ok(bytes)) => body.extend_from_slice(&bytes),
                Some(Err(_)) => return Err(Problem::field("", "did not come whole")),
            }
        }
    }

    /// Reads a body of JSON.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and when it is no JSON.
    pub async fn json(self, call: &Call) -> Result<Json, Problem> {
        self.json_of(call, &[JSON]).await
    }

    /// Reads a body of JSON that is sent as one of these media types.
    ///
    /// # Errors
    /// As [`bytes`](Self::bytes), and when it is no JSON.
    pub async fn json_of(self, call: &Call, media: &[&str]) -> Result<Json, Problem> {
        let bytes = self.bytes(call, media, Cap::BodyBytes).await?;
        let read = Json::new(bytes.clone(), usize::MAX);
        Ok(members::not_deep(read, &bytes, call.caps())?)
    }

    /// Sees to it that there is no body.
    ///
    /// # Errors
    /// When there is one, or its end does not come in time.
    pub async fn nothing(mut self, call: &Call) -> Result<(), Problem> {
        let until = call.body_until(Instant::now(), 0);
        while let Some(bytes) =
            timeout_at(until, self.payload.next()).await.map_err(|_| slow(Cap::BodySeconds))?
        {
            if bytes.is_ok_and(|bytes| !bytes.is_empty()) {
                return Err(
                    Problem::field("", "has a body, and none is wanted").outcome(Outcome::NotCommitted)
                );
            }
        }
        self.is_read = true;
        Ok(())
    }
}

fn slow(cap: Cap) -> Problem {
    let problem = Problem::new(Code::Malformed, "The body came too slowly.");
    problem.outcome(Outcome::NotCommitted).met(cap)
}

/// The media type of a body, in lower case and without parameters.
fn media_type(headers: &HeaderMap) -> String {
    let text = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase()
}

/// An answer in JSON.
#[must_use]
pub fn json<T: Serialize + ?Sized>(status: u16, value: &T) -> HttpResponse {
    finish(&mut answer(status), value)
}

/// An answer in JSON that others can tell from what it was before: by its version.
#[must_use]
pub fn versioned<T: Serialize + ?Sized>(status: u16, version: Option<Version>, value: &T) -> HttpResponse {
    let mut answer = answer(status);
    tag(&mut answer, version);
    finish(&mut answer, value)
}

/// The same answer, of what its URL does not name for good: what is there the next time is another thing, perhaps at the same version.
pub(crate) fn unkept(mut answer: HttpResponse) -> HttpResponse {
    answer.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}

fn answer(status: u16) -> HttpResponseBuilder {
    HttpResponse::build(StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR))
}

fn finish<T: Serialize + ?Sized>(answer: &mut HttpResponseBuilder, value: &T) -> HttpResponse {
    match serde_json::to_vec(value) {
        Ok(body) => answer.content_type(JSON).body(body),
        Err(error) => {
            let problem = Problem::new(Code::Internal, "The answer can't be written.").because(&error);
            actix_web::ResponseError::error_response(&problem)
        }
    }
}

fn tag(answer: &mut HttpResponseBuilder, version: Option<Version>) {
    if let Some(version) = version {
        answer.insert_header((header::ETAG, format!("\"{version}\"")));
    }
}

/// How a write is answered: the version, the position, and whether it was done before.
#[derive(Debug, Clone)]
pub struct Written {
    /// The version of the thing after it.
    pub version: Option<Version>,
    /// Up to where the log has to be read to see it.
    pub cursor: Cursor,
    /// Whether it was done before.
    pub duplicate: bool,
    /// Where what was made is found.
    pub location: Option<String>,
}

impl Written {
    /// What a command did; one that had nothing to do and no key is answered with the head.
    ///
    /// # Errors
    /// When the store can't be asked.
    pub async fn of(
        call: &Call,
        version: Option<Version>,
        appended: Option<&Appended>,
    ) -> Result<Self, Problem> {
        let (cursor, duplicate) = match appended {
            Some(appended) => {
                call.measured.appended(appended);
                (appended.cursor.clone(), appended.duplicate)
            }
            None => (call.store.head().await?.cursor, false),
        };
        Ok(Self { version, cursor, duplicate, location: None })
    }

    /// The same, of something that was made and is found there.
    #[must_use]
    pub fn at(self, location: String) -> Self {
        Self { location: Some(location), ..self }
    }

    /// The answer, with a body.
    #[must_use]
    pub fn json<T: Serialize + ?Sized>(&self, status: u16, value: &T) -> HttpResponse {
        finish(&mut self.head(status), value)
    }

    /// The answer, without a body.
    #[must_use]
    pub fn nothing(&self, status: u16) -> HttpResponse {
        self.head(status).finish()
    }

    fn head(&self, status: u16) -> HttpResponseBuilder {
        let mut answer = answer(status);
        tag(&mut answer, self.version);
        answer.insert_header((POSITION, self.cursor.to_string()));
        if self.duplicate {
            answer.insert_header((DUPLICATE, "true"));
        }
        if let Some(location) = &self.location {
            answer.insert_header((header::LOCATION, location.as_str()));
        }
        answer
    }
}

impl Deref for Call {
    type Target = Asker;

    fn deref(&self) -> &Asker {
        &self.asker
    }
}

/// Describes a header by a pattern.
macro_rules! header_schema {
    ($(#[$doc:meta])* $name:ident, $pattern:literal) => {
        $(#[$doc])*
        pub struct $name;

        impl JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}

header_schema! {
    /// Describes `Idempotency-Key`.
    KeyHeader, "^[!-~]{1,200}$"
}
/// Describes `If-Match`.
pub struct TagHeader;

impl JsonSchema for TagHeader {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> Cow<'static, str> {
        "TagHeader".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "anyOf": [{ "const": "*" }, { "pattern": "^\"[1-9][0-9]{0,14}\"$" }],
            "examples": ["*"],
        })
    }
}
