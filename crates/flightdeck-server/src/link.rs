//! Link codes: by one, another device goes on with the stream of a visitor, once and within ten minutes.
//!
//! A code is 128 bits of chance, and only its digest is stored: as the name of a stream of its own, in which stands for whom it was
//! offered, and behind it, that it was taken. Who takes it appends that to a stream that must have exactly the one event, so that of
//! many who try, on however many nodes, one gets it. What is in the log holds across restarts.

use flightdeck_analytics::VisitorId;
use flightdeck_core::{EventType, Json, Metadata, Reference, StreamId, Timestamp, Version};
use flightdeck_store::chain::sha256;
use flightdeck_store::{Append, AppendError, Appended, Expected, Limit, NewEvent, RequestKey, StreamQuery};
use serde::{Deserialize, Serialize};

use crate::host::Host;
use crate::problem::{Code, Problem};
use crate::visitor::hex;

/// How long a code is good, in minutes.
const MINUTES: i64 = 10;
const OFFERED: &str = "VisitorLinkOffered";
const TAKEN: &str = "VisitorLinkTaken";
/// What the secret of the log is used for here.
const PURPOSE: &str = "link code";

/// For whom a code was offered.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Offered {
    visitor_id: VisitorId,
}

/// A code that was offered.
pub(crate) struct LinkCode {
    pub(crate) code: String,
    pub(crate) expires_at: Timestamp,
    /// That it was written down, now or before under the same request key.
    pub(crate) appended: Appended,
}

/// The stream of a code.
fn stream(code: &str) -> Result<StreamId, Problem> {
    Ok(StreamId::new(format!("$link-{}", hex(&sha256(code.as_bytes()))))?)
}

fn event(stream: StreamId, name: &str, data: &str, correlation: &Reference) -> Result<NewEvent, Problem> {
    let metadata = Metadata { correlation: Some(correlation.clone()), ..Metadata::default() };
    Ok(NewEvent::new(stream, EventType::new(name)?, Json::from_stored(data.to_owned().into()))
        .with_metadata(metadata))
}

/// Offers a code to whoever goes on as this visitor. The same request gets the same code again: it is made of the key then, by the secret
/// of the log.
///
/// # Errors
/// When the store can't do it.
pub(crate) async fn offer(
    host: &Host,
    visitor: &VisitorId,
    request: Option<RequestKey>,
    correlation: &Reference,
) -> Result<LinkCode, Problem> {
    let code = match &request {
        None => format!("{:032x}", host.ids.random()),
        Some(request) => {
            let of = [request.caller(), request.key()].map(|part| sha256(part.as_bytes())).concat();
            let bytes = [&of[..], request.fingerprint()].concat();
            hex(&host.store.secret().await?.mac(PURPOSE, &bytes)[..16])
        }
    };
    let stream = stream(&code)?;
    let offered = Offered { visitor_id: visitor.clone() };
    let data = serde_json::to_string(&offered).unwrap_or_default();
    let append = Append::of([event(stream.clone(), OFFERED, &data, correlation)?])
        .expecting(stream.clone(), Expected::NoStream);
    let appended = host.store.append(Append { request, ..append }).await?;
    let (_, at) = look(host, &stream).await?.ok_or_else(refused)?;
    Ok(LinkCode { code, expires_at: expiry(at)?, appended })
}

/// For whom a code was offered, and when.
async fn look(host: &Host, stream: &StreamId) -> Result<Option<(VisitorId, Timestamp)>, Problem> {
    let query = StreamQuery { limit: Limit::new(1).unwrap_or_default(), ..StreamQuery::of(stream.clone()) };
    let page = host.store.read_stream(&query).await?;
    let Some(first) = page.events.first() else { return Ok(None) };
    let offered: Option<Offered> = serde_json::from_slice(first.data_bytes()).ok();
    Ok(offered.map(|offered| (offered.visitor_id, first.recorded_at)))
}

fn expiry(offered: Timestamp) -> Result<Timestamp, Problem> {
    Ok(Timestamp::from_micros(offered.micros().saturating_add(MINUTES * 60 * 1_000_000))?)
}

/// One answer for all that is wrong with a code: who tries some learns nothing.
fn refused() -> Problem {
    let detail = "The link code was used, has run out, or never was; without `ref` it goes on in the visitor's own stream.";
    Problem::new(Code::Refused, detail).outcome(flightdeck_store::Outcome::NotCommitted)
}

/// The visitor that a code was offered for, whether it is still good or not.
///
/// # Errors
/// When it never was offered.
pub(crate) async fn offered(host: &Host, code: &str) -> Result<VisitorId, Problem> {
    look(host, &stream(code)?).await?.map(|(visitor, _)| visitor).ok_or_else(refused)
}

/// Takes a code: whoever does may go on as the visitor. The same request, repeated, has taken it already.
///
/// # Errors
/// When the code was taken by another, or has run out.
pub(crate) async fn take(
    host: &Host,
    code: &str,
    request: Option<&RequestKey>,
    correlation: &Reference,
) -> Result<(), Problem> {
    let stream = stream(code)?;
    let (_, at) = look(host, &stream).await?.ok_or_else(refused)?;
    // The facts that come with it are stored under the key itself, and this under one beside it.
    let request = request.map(|request| {
        RequestKey::new(&format!("{}-link", request.caller()), request.key(), *request.fingerprint())
    });
    let request = request.transpose().map_err(AppendError::Invalid)?;
    let was_taken = match &request {
        Some(request) => host.store.outcome_of(request).await?.is_some(),
        None => false,
    };
    if was_taken {
        return Ok(());
    }
    if host.clock.now() >= expiry(at)? {
        return Err(refused());
    }
    let append = Append::of([event(stream.clone(), TAKEN, "{}", correlation)?])
        .expecting(stream, Expected::Exactly(Version::new(1)?));
    match host.store.append(Append { request, ..append }).await {
        Ok(_) => Ok(()),
        Err(AppendError::Conflict(_)) => Err(refused()),
        Err(error) => Err(error.into()),
    }
}
