//! Tickets: what a page puts into the URL of a socket in place of its credential, once and within half a minute.
//!
//! A ticket says for whom it was made, and bears a mark that only those make who share the log; none is written down. That it was taken is:
//! a stream of its own must not be there before, so that of many who try, on however many nodes, one gets in. Whoever came by one may
//! what the one may for whom it was made, as long as that one may.

use actix_web::http::header::{HeaderMap, ORIGIN};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flightdeck_core::{EventType, Json, Reference, StreamId, Timestamp};
use flightdeck_domain::TokenId;
use flightdeck_store::{Append, AppendError, Expected, NewEvent, StreamPattern};
use serde::{Deserialize, Serialize};

use crate::authorise::{Grants, Principal, Streams};
use crate::call::{Call, header_of};
use crate::host::Host;
use crate::problem::{Code, Problem};

/// The parameter that it comes as.
pub(crate) const TICKET: &str = "ticket";
/// How long one is good.
const SECONDS: i64 = 30;
const TAKEN: &str = "TicketTaken";
/// What the secret of the log is used for here.
const PURPOSE: &str = "ticket";
/// No ticket is longer.
const BYTES_MAX: usize = 8 * 1024;

/// What stands in a ticket.
#[derive(Debug, Serialize, Deserialize)]
struct Ticket {
    /// By what it is known, by chance.
    #[serde(rename = "i")]
    id: String,
    /// Until when it is good, in microseconds.
    #[serde(rename = "x")]
    until: i64,
    /// The token for which it was made.
    #[serde(rename = "t", default, skip_serializing_if = "Option::is_none")]
    token: Option<String>,
    /// Or the user.
    #[serde(rename = "u", default, skip_serializing_if = "Option::is_none")]
    actor: Option<String>,
    /// Until when their credential is good, in microseconds.
    #[serde(rename = "e", default, skip_serializing_if = "Option::is_none")]
    ends: Option<i64>,
    /// The page that it is for.
    #[serde(rename = "o", default, skip_serializing_if = "Option::is_none")]
    origin: Option<String>,
    /// The streams that it is for, and for nothing else.
    #[serde(rename = "s", default, skip_serializing_if = "Option::is_none")]
    streams: Option<Vec<String>>,
}

/// Who came by a ticket.
pub(crate) struct Holder {
    /// With what was granted to them.
    pub(crate) principal: Principal,
    /// For whom it was made.
    pub(crate) behind: Principal,
}

/// Makes one for whoever asks, for these streams alone if any are named; and says until when it is good.
///
/// # Errors
/// When the store does not answer.
pub(crate) async fn make(call: &Call, streams: Option<Vec<String>>) -> Result<(String, Timestamp), Problem> {
    let principal = call.principal();
    let until = call.clock.now().micros().saturating_add(SECONDS * 1_000_000);
    let ticket = Ticket {
        id: format!("{:032x}", call.ids.random()),
        until,
        token: principal.token.as_ref().map(ToString::to_string),
        actor: principal.actor.as_ref().map(ToString::to_string),
        ends: principal.until.map(Timestamp::micros),
        origin: header_of(call.request().headers(), ORIGIN.as_str())?.map(str::to_owned),
        streams,
    };
    let told = serde_json::to_vec(&ticket).unwrap_or_default();
    let mac = call.store.secret().await?.mac(PURPOSE, &told);
    let text = format!("{}.{}", URL_SAFE_NO_PAD.encode(&told), URL_SAFE_NO_PAD.encode(mac));
    Ok((text, Timestamp::from_micros(until)?))
}

/// One answer for all that is wrong with a ticket: who tries some learns nothing.
fn refused() -> Problem {
    Problem::new(Code::Unauthenticated, "The ticket was used, has run out, is another page's, or never was.")
}

/// Takes one that a request came with: nobody comes by it again.
///
/// # Errors
/// When it is not good.
pub(crate) async fn take(
    host: &Host,
    text: &str,
    headers: &HeaderMap,
    correlation: &Reference,
) -> Result<Holder, Problem> {
    let ticket = read(host, text).await?.ok_or_else(refused)?;
    let now = host.clock.now().micros();
    if now >= ticket.until || ticket.ends.is_some_and(|ends| now >= ends) {
        return Err(refused());
    }
    // A browser says which page asks, but of a page of this very site.
    let origin = header_of(headers, ORIGIN.as_str())?;
    if origin.zip(ticket.origin.as_deref()).is_some_and(|(one, other)| !one.eq_ignore_ascii_case(other)) {
        return Err(refused());
    }
    let before = Principal {
        actor: ticket.actor.map(Reference::new).transpose()?,
        grants: Grants::default(),
        until: ticket.ends.map(Timestamp::from_micros).transpose()?,
        token: ticket.token.map(TokenId::new).transpose()?,
    };
    let behind = host.identify.again(&before).await?;
    let stream = StreamId::new(format!("$ticket-{}", ticket.id))?;
    let taken =
        NewEvent::new(stream.clone(), EventType::new(TAKEN)?, Json::from_stored("{}".to_owned().into()));
    let metadata = flightdeck_core::Metadata { correlation: Some(correlation.clone()), ..Default::default() };
    let append = Append::of([taken.with_metadata(metadata)]).expecting(stream, Expected::NoStream);
    match host.store.append(append).await {
        Ok(_) => {}
        Err(AppendError::Conflict(_)) => return Err(refused()),
        Err(error) => return Err(error.into()),
    }
    let principal = match ticket.streams {
        None => behind.clone(),
        Some(streams) => narrowed(&behind, &streams),
    };
    Ok(Holder { principal, behind })
}

/// What stands in a ticket that was made here.
async fn read(host: &Host, text: &str) -> Result<Option<Ticket>, Problem> {
    let decoded = || {
        let (told, mac) = Some(text).filter(|text| text.len() <= BYTES_MAX)?.split_once('.')?;
        URL_SAFE_NO_PAD.decode(told).ok().zip(URL_SAFE_NO_PAD.decode(mac).ok())
    };
    let Some((told, mac)) = decoded() else { return Ok(None) };
    let is_ours = host.store.secret().await?.is_mac(PURPOSE, &told, &mac);
    Ok(if is_ours { serde_json::from_slice(&told).ok() } else { None })
}

/// The same, who may read some streams and do nothing else.
fn narrowed(principal: &Principal, streams: &[String]) -> Principal {
    let asked: Vec<StreamPattern> = streams.iter().filter_map(|one| StreamPattern::parse(one).ok()).collect();
    let reads = match principal.readable() {
        Some(readable) => StreamPattern::among(&asked, &readable),
        // All but the system's own, unless it is an administrator.
        None if principal.grants.admin => asked,
        None => StreamPattern::among(&asked, &[StreamPattern::Prefix("".into())]),
    };
    Principal { grants: Grants { reads: Streams::of(reads), ..Grants::default() }, ..principal.clone() }
}
