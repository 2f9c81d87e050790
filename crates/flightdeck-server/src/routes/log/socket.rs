//! The log on a WebSocket: with what was asked for in the URL, or with `flightdeck.v1`.

use std::rc::Rc;
use std::sync::Arc;

use actix_http::ws::{HandshakeError, verify_handshake};
use actix_web::dev::Payload;
use actix_web::http::header::{CACHE_CONTROL, CONTENT_LENGTH, HeaderValue, TRANSFER_ENCODING, UPGRADE};
use actix_web::http::{StatusCode, Version};
use actix_web::{FromRequest as _, HttpResponse, web};
use flightdeck_store::{Filter, ResetReason};
use flightdeck_wire::problem as wire;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};

use crate::asker::Asker;
use crate::authorise::{Action, Object};
use crate::call::{Body, Call};
use crate::caps::Cap;
use crate::negotiate::{Representation, offered};
use crate::operation::Answer;
use crate::problem::{Code, Problem};
use crate::push::frames::Incomings;
use crate::push::protocol::{self, BEARER};
use crate::push::registry::Registry;
use crate::push::seat::{Seat, Told, Transport};
use crate::push::socket::{Bounds, Desk, Parts, Socket, Started, Starting};
use crate::push::sse::word;
use crate::push::subscriber::{Begun, Subscriber, begin};
use crate::routes::append;
use crate::ticket::TICKET;

use super::asked::Asked;

pub(super) async fn opened(call: &Call, body: Body) -> Answer {
    verify_handshake(call.request().head()).map_err(no_handshake)?;
    is_all_of_it(call)?;
    call.may_follow()?;
    let protocols = offered(call.request().headers())?;
    let is_protocol = protocols.contains(&protocol::NAME);
    if !is_protocol && !protocols.is_empty() {
        let problem = format!("has {} alone, with {BEARER} beside it at the most", protocol::NAME);
        return Err(Problem::field("Sec-WebSocket-Protocol", problem));
    }
    call.may(Action::Read, Object::Log).or_else(|problem| match is_protocol {
        // Whoever may only write has something to say there as well.
        true => call.may(Action::Write, Object::Log).map_err(|_| problem),
        false => Err(problem),
    })?;
    if is_protocol {
        let mut params = call.params();
        params.text(TICKET);
        params.finish()?;
        let (parts, has_seat) = seated(call, body, Transport::Protocol);
        let desk = At { asker: Rc::new(call.asker()), caller: call.caller(), name: call.name() };
        return switched(call, || match has_seat {
            true => Socket::protocol(Rc::new(desk), parts),
            false => crowded(parts),
        })
        .await;
    }
    let asked = Asked::read(call.params(), Representation::Messages, call.caps())?;
    let asked = asked.placed(call).await?;
    let begun = begin(&*call.store, &asked.after()).await?;
    let (parts, has_seat) = seated(call, body, Transport::Messages);
    switched(call, || {
        if !has_seat {
            return crowded(parts);
        }
        let reset = |reason: ResetReason, head| {
            format!("The cursor is not good for this log ({}); it is at {head}", word(reason))
        };
        match begun {
            Begun::At(cursor, _) if !asked.until_is_of(cursor.epoch()) => {
                Socket::closed(parts, 4501, &reset(ResetReason::Epoch, cursor))
            }
            Begun::Reset(reason, head) => Socket::closed(parts, 4501, &reset(reason, head)),
            Begun::At(cursor, history) => {
                let begun = (cursor, history);
                let follows =
                    Subscriber::new(&call.push, &call.stopping, begun, asked.shown(), asked.terms());
                Socket::messages(follows, parts)
            }
        }
    })
    .await
}

fn no_handshake(error: HandshakeError) -> Problem {
    Problem::field("Upgrade", format!("is no handshake of WebSocket, version 13: {error}"))
}

/// Sees to it that whatever comes behind the head is the socket's, as those between have it who let it through: with anything else in the
/// head it would be read as another request.
fn is_all_of_it(call: &Call) -> Result<(), Problem> {
    let request = call.request();
    let upgrade = request.headers().get_all(UPGRADE).collect::<Vec<_>>();
    let is_alone = matches!(upgrade[..], [upgrade] if upgrade.as_bytes().eq_ignore_ascii_case(b"websocket"));
    let has_body =
        [TRANSFER_ENCODING, CONTENT_LENGTH].iter().any(|name| request.headers().contains_key(name));
    match is_alone && !has_body && request.version() == Version::HTTP_11 {
        true => Ok(()),
        false => {
            Err(Problem::field("Upgrade", "is `websocket` alone, of a request of HTTP/1.1 without a body"))
        }
    }
}

/// Writes down that somebody was refused something on a socket, if that status is a refusal.
fn denied(asker: &Asker, name: &str, status: StatusCode) {
    if matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::TOO_MANY_REQUESTS) {
        asker.audit.denied(name, status.as_u16(), "GET", "/api/events");
    }
}

fn crowded(parts: Parts) -> Socket {
    Socket::closed(parts, 4505, "That is more than may follow the log at once of one caller.")
}

/// What a socket is made of, and whether its caller may have one more.
fn seated(call: &Call, body: Body, transport: Transport) -> (Parts, bool) {
    let caps = call.caps();
    let bounds = Bounds {
        message: caps.get(Cap::SocketMessageBytes),
        subscriptions: caps.get(Cap::Subscriptions),
        patterns: caps.get(Cap::SubscriptionPatterns),
        whole: (caps.time(Cap::BodySeconds), caps.get(Cap::BodyBytesPerSecond)),
        controls: u32::try_from(caps.get(Cap::SocketControls)).unwrap_or(u32::MAX),
    };
    let incomings = Incomings::new(body.into_payload(), bounds.message);
    let (stay, registry) = (call.stay(), Registry::of(&call.push.ring, &call.stopping));
    let met = Arc::clone(&call.met);
    let parts = |seat| Parts { incomings, bounds, stay, seat, registry, met };
    match call.seat(transport) {
        Some(seat) => (parts(seat), true),
        None => {
            denied(call, &call.name(), StatusCode::TOO_MANY_REQUESTS);
            (parts(Seat::of_nobody(Told::new(transport))), false)
        }
    }
}

/// The answer that changes the connection, with what is said on it from then on.
async fn switched(call: &Call, socket: impl FnOnce() -> Socket) -> Answer {
    // What comes in is read by the socket itself, and what goes out is its body.
    let nothing = web::Payload::from_request(call.request(), &mut Payload::None).await;
    let nothing = nothing.map_err(|error| Problem::field("", error.to_string()))?;
    let handshake = actix_ws::handle_with_protocols(call.request(), nothing, &[protocol::NAME]);
    let (answer, _, _) = handshake.map_err(|error| Problem::field("Upgrade", error.to_string()))?;
    let mut answer: HttpResponse = answer.map_body(|_, _| actix_web::body::BoxBody::new(socket()));
    answer.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(answer)
}

/// Does what is asked for on a socket, as whoever opened it.
struct At {
    asker: Rc<Asker>,
    /// Whose operations they are, where that is counted.
    caller: Option<String>,
    name: String,
}

impl Desk for At {
    fn counts(&self) -> Result<(), Problem> {
        match &self.caller {
            Some(caller) => self.asker.rates.count(|| caller.clone()),
            None => Ok(()),
        }
    }

    fn tells(&self, problem: &Problem) -> wire::Problem {
        problem.cap().into_iter().for_each(|cap| self.asker.met.note(cap));
        denied(&self.asker, &self.name, problem.code().status());
        problem.tell()
    }

    fn subscribe(&self, after: Option<String>, filter: Filter) -> Starting {
        let call = Rc::clone(&self.asker);
        Box::pin(async move {
            call.may(Action::Read, Object::Log)?;
            let asked = Asked::following(after.as_deref(), filter)?.placed(&call).await?;
            let head = call.store.head().await?.cursor;
            let after = asked.after();
            if after.is_of(head.epoch()) && after.position() > head.position() {
                // Nothing that is asked for behind it waits for that.
                let later = async move { Ok(started(&call, &asked, begin(&*call.store, &after).await?)) };
                return Ok(Started::Later(Box::pin(later)));
            }
            Ok(started(&call, &asked, begin(&*call.store, &after).await?))
        })
    }

    fn append(
        &self,
        key: Option<String>,
        body: String,
    ) -> LocalBoxFuture<'static, Result<Map<String, Value>, Problem>> {
        let call = Rc::clone(&self.asker);
        // Whoever goes away leaves no write half done: it comes to its end without them.
        let done = actix_web::rt::spawn(async move { append::on_a_socket(&call, key, body).await });
        Box::pin(async move {
            done.await.unwrap_or_else(|panic| {
                let problem = Problem::new(Code::Internal, "The server failed; its log says why.");
                Err(problem.outcome(flightdeck_store::Outcome::Unknown).because(&panic))
            })
        })
    }
}

fn started(call: &Asker, asked: &Asked, begun: Begun) -> Started {
    match begun {
        Begun::At(cursor, _) if !asked.until_is_of(cursor.epoch()) => {
            Started::Reset(ResetReason::Epoch, cursor)
        }
        Begun::Reset(reason, head) => Started::Reset(reason, head),
        Begun::At(cursor, history) => {
            let begun = (cursor, history);
            Started::At(Box::new(Subscriber::new(
                &call.push,
                &call.stopping,
                begun,
                asked.shown(),
                asked.terms(),
            )))
        }
    }
}
