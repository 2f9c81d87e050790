//! The threshold: what happens to every request before anybody looks at it, and to every answer until it is out.
//!
//! A connection on which a request is answered is busy, and one that is not for long is cut off. What nobody reads of a body is kept as long as its
//! answer is on the way. Whoever has more connections than may be hears so, and no more.

use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, BoxBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{ConnectionType, Method};
use actix_web::middleware::Next;
use actix_web::web::Data;
use actix_web::{Error, HttpMessage as _};
use bytes::Bytes;
use flightdeck_store::Outcome;

use crate::call::Unread;
use crate::caller;
use crate::caps::Cap;
use crate::connections::{Busy, Open};
use crate::host::Host;
use crate::problem::{Code, Problem};
use crate::push::sse;

/// Lets a request come to whoever looks at it.
pub(crate) async fn threshold<B: MessageBody + 'static>(
    mut request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<impl MessageBody>, Error> {
    let busy = request.conn_data::<Open>().map(Open::begins);
    let unread = Unread::of(request.take_payload());
    request.extensions_mut().insert(unread.clone());
    let answer = match turned_away(&request) {
        None => next.call(request).await?.map_into_boxed_body(),
        Some(problem) => {
            let is_crowded = problem.is_met(Cap::CallerConnections);
            let answer = sse::answer(&problem, request.method(), request.path(), request.headers());
            let mut answer = request.into_response(answer);
            if is_crowded {
                answer.response_mut().head_mut().set_connection_type(ConnectionType::Close);
            }
            answer
        }
    };
    Ok(answer.map_body(|_, body| Kept { body, _unread: unread.take(), _busy: busy }))
}

/// Why a request is not even looked at.
fn turned_away(request: &ServiceRequest) -> Option<Problem> {
    let host = request.app_data::<Data<Host>>()?;
    let too_many = |text: &str| Problem::new(Code::TooManyRequests, text).outcome(Outcome::NotCommitted);
    if request.conn_data::<Open>().is_some_and(Open::is_crowded) {
        let problem = too_many("That is more connections than one caller may have.");
        return Some(problem.retry_after(1).met(Cap::CallerConnections));
    }
    // What a browser asks beforehand is answered before it is asked who that is.
    let is_preflight = *request.method() == Method::OPTIONS;
    let called = || caller::named(request.peer_addr(), request.headers(), &host.options.trusted_proxies);
    is_preflight.then(|| host.rates.count(called).err()).flatten()
}

/// The body of an answer, and with it what lasts until it is out.
struct Kept {
    body: BoxBody,
    _unread: Option<Payload>,
    _busy: Option<Busy>,
}

impl MessageBody for Kept {
    type Error = <BoxBody as MessageBody>::Error;

    fn size(&self) -> BodySize {
        self.body.size()
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        Pin::new(&mut self.body).poll_next(cx)
    }
}
