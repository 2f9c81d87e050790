//! The door: what happens to every request before its route, and to every answer behind it.

use std::time::Duration;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{ServiceRequest, ServiceResponse};
use actix_web::http::header::{self, HeaderMap, HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _, HttpRequest, HttpResponse};
use flightdeck_core::{Ids as _, Reference};
use flightdeck_store::Outcome;
use flightdeck_store::system::SystemIds;
use futures_util::future::LocalBoxFuture;

use crate::authorise::{Principal, Shown};
use crate::call::{Behind, CORRELATION, Correlation, header_of};
use crate::caller;
use crate::connections::Open;
use crate::host::Host;
use crate::measure::word_of;
use crate::negotiate::{self, Representation, offered};
use crate::params::Params;
use crate::problem::{Code, Problem};
use crate::push::protocol;
use crate::push::sse::{self, Refused};
use crate::ticket::{self, TICKET};
use crate::trace::{Parent, Requested};

/// How long whoever asks too often waits to hear so, in milliseconds: not all of its connections for the same time, or they would come back at once.
const PAUSE_MS: std::ops::Range<u64> = 150..350;

/// Lets a request in: it belongs to something, and its body is not packed. What goes out says what it belongs to, and is taken by
/// nobody for anything but what it is.
pub(crate) async fn door<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let (correlation, wrong) = match correlation(request.headers()) {
        Ok(correlation) => (correlation, None),
        Err(problem) => (made(), Some(problem)),
    };
    request.extensions_mut().insert(Correlation(correlation.clone()));
    let traces = request.app_data::<Data<Host>>().is_some_and(|host| host.options.traces);
    let span = traces.then(|| Requested::begin(&request, &correlation));
    let method = word_of(request.method());
    let answered = let_in(request, next, wrong, span.as_ref());
    let mut answer = answered.await?;
    if let Some(span) = span {
        span.end(method, answer.request().match_pattern(), answer.status());
    }
    let refused = answer.response().extensions().get::<Refused>().map(|refused| refused.0);
    note(answer.request(), refused.unwrap_or(answer.status()));
    finish(answer.headers_mut(), &correlation);
    let tag = answer.headers().get(header::ETAG).filter(|_| may_be_kept(answer.headers())).cloned();
    let known = answer.request().headers().get(header::IF_NONE_MATCH);
    let is_known = known.zip(tag).is_some_and(|(known, tag)| is_among(known, &tag));
    if is_read && is_known && answer.status() == StatusCode::OK {
        let mut unchanged = HttpResponse::build(StatusCode::NOT_MODIFIED).finish();
        for (name, value) in answer.headers().iter().filter(|(name, _)| **name != header::CONTENT_TYPE) {
            unchanged.headers_mut().insert(name.clone(), value.clone());
        }
        return Ok(answer.into_response(unchanged).map_into_right_body());
    }
    Ok(answer.map_into_left_body())
}

/// Lets it in unless something is wrong with it, or with who makes it. Whatever is wrong, it is counted first.
async fn let_in<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
    wrong: Option<Problem>,
    span: Option<&Requested>,
) -> Result<ServiceResponse<EitherBody<B>>, Error> {
    let is_read = matches!(*request.method(), Method::GET | Method::HEAD);
    let who = match span {
        Some(span) => span.within(who(&request)).await,
        None => who(&request).await,
    };
    let refused = match who {
        Err(problem) if problem.code() == Code::TooManyRequests => {
            // Whoever does not care is answered on each of its connections only so often.
            let chance = u64::try_from(SystemIds::default().random() % 1_000).unwrap_or(0);
            let pause = PAUSE_MS.start + chance * (PAUSE_MS.end - PAUSE_MS.start) / 1_000;
            tokio::time::sleep(Duration::from_millis(pause)).await;
            Some(problem)
        }
        who => {
            let packed = || not_packed(request.headers()).err();
            wrong.or_else(packed).or_else(|| of_this_site(&request, is_read).err()).or(who.err())
        }
    };
    if let Some(problem) = refused {
        let problem = if is_read { problem } else { problem.outcome(Outcome::NotCommitted) };
        let answer = sse::answer(&problem, request.method(), request.path(), request.headers());
        return Ok(request.into_response(answer).map_into_right_body());
    }
    let called = next.call(request);
    let called: LocalBoxFuture<'static, _> = match span {
        Some(span) => Box::pin(span.within(called)),
        None => Box::pin(called),
    };
    let answer = match is_read {
        true => called.await?,
        // Whoever goes away leaves no write half done: it comes to its end without them.
        false => actix_web::rt::spawn(called).await.map_err(|panic| {
            let problem = Problem::new(Code::Internal, "The server failed; its log says why.");
            problem.outcome(Outcome::Unknown).because(&panic)
        })??,
    };
    Ok(answer.map_into_left_body())
}

/// Writes down that somebody was refused.
fn note(request: &HttpRequest, status: StatusCode) {
    let is_refused =
        matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS);
    let Some(host) = request.app_data::<Data<Host>>().filter(|_| is_refused) else { return };
    let actor = request.extensions().get::<Principal>().and_then(|principal| principal.actor.clone());
    let caller = match actor {
        Some(actor) => actor.to_string(),
        None => caller::named(request.peer_addr(), request.headers(), &host.options.trusted_proxies),
    };
    // Whoever thinks up paths is not written down with them.
    let route = request.match_pattern().unwrap_or_default();
    host.audit.denied(&caller, status.as_u16(), word_of(request.method()), &route);
}

/// Refuses what the page of another site has a browser send: where everyone may everything it would do whatever that page likes.
fn of_this_site(request: &ServiceRequest, is_read: bool) -> Result<(), Problem> {
    let Some(host) = request.app_data::<Data<Host>>() else { return Ok(()) };
    if request.conn_data::<Open>().is_some_and(Open::is_local) {
        return Ok(());
    }
    // CORS keeps no page from a WebSocket.
    if !is_read || negotiate::upgraded(request.headers()).is_some() {
        caller::check_origin(request.headers(), &host.options.origins)?;
    }
    // A name that its owner has lead here is a page of the owner's.
    match host.options.any_host || !host.identify.is_open() {
        true => Ok(()),
        false => caller::check_host(request.headers(), &host.options.origins),
    }
}

/// Finds out who makes a request, and puts that beside it: whoever reaches the socket of the machine may do to the store what the
/// server may.
async fn who(request: &ServiceRequest) -> Result<(), Problem> {
    if request.conn_data::<Open>().is_some_and(Open::is_local) {
        request.extensions_mut().insert(Principal::open());
        return Ok(());
    }
    let Some(host) = request.app_data::<Data<Host>>().cloned() else { return Ok(()) };
    let shown = match header_of(request.headers(), header::AUTHORIZATION.as_str()) {
        Ok(Some(text)) => bearer(text).map(Some),
        Ok(None) => Ok(None),
        Err(problem) => Err(problem),
    };
    let who = match shown {
        Ok(None) => beside(request, &host).await,
        Ok(bearer) => host.identify.who(Shown { bearer }).await,
        Err(problem) => Err(problem),
    };
    // Whoever tries credentials is counted by where that comes from, and so is nobody in particular.
    let known = who.as_ref().ok().and_then(|principal| principal.actor.clone());
    let refused = match who {
        // Who it is, is known also of what is refused for another reason.
        Ok(principal) => {
            request.extensions_mut().insert(principal);
            None
        }
        Err(problem) => Some(problem),
    };
    host.rates.count(|| match &known {
        Some(actor) => actor.to_string(),
        None => caller::named(request.peer_addr(), request.headers(), &host.options.trusted_proxies),
    })?;
    if let Some(actor) = &known {
        host.audit.used(actor.as_str());
    }
    refused.map_or(Ok(()), Err)
}

/// Who shows something where a page has no headers: beside the protocol of a WebSocket, or as a ticket in the URL.
async fn beside(request: &ServiceRequest, host: &Host) -> Result<Principal, Problem> {
    let nobody = || host.identify.who(Shown { bearer: None });
    let is_followed = *request.method() == Method::GET && request.path() == "/api/events";
    let representation = is_followed.then(|| negotiate::representation(request.headers()).ok()).flatten();
    let Some(of_a_page) = representation.filter(|representation| representation.is_of_a_page()) else {
        return nobody().await;
    };
    if of_a_page == Representation::Messages {
        let protocols = offered(request.headers())?;
        if let Some(bearer) = protocols.iter().find_map(|offered| offered.strip_prefix(protocol::BEARER)) {
            return host.identify.who(Shown { bearer: Some(bearer) }).await;
        }
    }
    let params = Params::of(request.query_string());
    let Some(ticket) = params.peek(TICKET) else { return nobody().await };
    // Whoever tries some is counted before the log is asked.
    host.rates
        .count(|| caller::named(request.peer_addr(), request.headers(), &host.options.trusted_proxies))?;
    let correlation = request.extensions().get::<Correlation>().map(|known| known.0.clone());
    let holder = ticket::take(host, ticket, request.headers(), &correlation.unwrap_or_else(made)).await?;
    request.extensions_mut().insert(Behind(holder.behind));
    Ok(holder.principal)
}

fn bearer(text: &str) -> Result<&str, Problem> {
    let shown = text.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let shown = shown.map(|(_, shown)| shown.trim());
    shown.filter(|shown| !shown.is_empty()).ok_or_else(|| {
        Problem::new(Code::Unauthenticated, "The credential goes into `Authorization: Bearer …`.")
    })
}

/// What every answer says.
fn finish(headers: &mut HeaderMap, correlation: &Reference) {
    if let Ok(value) = HeaderValue::from_str(correlation.as_str()) {
        headers.insert(HeaderName::from_static("flightdeck-correlation-id"), value);
    }
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.append(header::VARY, HeaderValue::from_static("authorization"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    if !headers.contains_key(header::REFERRER_POLICY) {
        headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("no-referrer"));
    }
    // What is asked for may be another one's, or another thing a moment later.
    let cache = if headers.contains_key(header::ETAG) { "private, no-cache" } else { "no-store" };
    if !headers.contains_key(header::CACHE_CONTROL) {
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    }
}

/// Whether it may be said of an answer that it is the same as before. Where the URL names no thing for good, its version says nothing.
fn may_be_kept(headers: &HeaderMap) -> bool {
    headers.get(header::CACHE_CONTROL).is_none_or(|said| said != "no-store")
}

fn not_packed(headers: &HeaderMap) -> Result<(), Problem> {
    match headers.contains_key(header::CONTENT_ENCODING) {
        true => {
            let detail = "A body comes as it is, and in no `Content-Encoding`.";
            Err(Problem::new(Code::UnsupportedMediaType, detail))
        }
        false => Ok(()),
    }
}

fn made() -> Reference {
    let made = uuid::Uuid::from_u128(SystemIds::default().random()).to_string();
    // What a UUID is written with may stand in a reference.
    Reference::new(made).unwrap_or_else(|_| unreachable!("a UUID is a reference"))
}

/// What a request belongs to: what it says, the trace that it is part of, or nothing that was there before.
fn correlation(headers: &HeaderMap) -> Result<Reference, Problem> {
    if let Some(text) = header_of(headers, CORRELATION)? {
        let wrong = |_| Problem::field(CORRELATION, "is not 1 to 200 characters of visible ASCII");
        return Reference::new(text).map_err(wrong);
    }
    let traced = headers.get("traceparent").and_then(|value| value.to_str().ok()).and_then(Parent::read);
    traced.map_or_else(|| Ok(made()), |parent| Ok(Reference::new(parent.trace)?))
}

/// Whether a tag is among those of `If-None-Match`, where weak ones count as well.
fn is_among(known: &HeaderValue, tag: &HeaderValue) -> bool {
    let (Ok(known), Ok(tag)) = (known.to_str(), tag.to_str()) else { return false };
    known
        .split(',')
        .map(str::trim)
        .any(|known| known == "*" || known.strip_prefix("W/").unwrap_or(known) == tag)
}
