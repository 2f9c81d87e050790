//! Server-Sent Events: the log as a body that never ends. Knows no store.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_web::body::{BodySize, MessageBody};
use actix_web::http::header::{CACHE_CONTROL, HeaderMap, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::{HttpResponse, ResponseError as _};
use bytes::{Bytes, BytesMut};
use flightdeck_core::{Cursor, Ids as _, Position};
use flightdeck_store::ResetReason;
use flightdeck_store::system::SystemIds;
use futures_util::future::LocalBoxFuture;
use serde_json::json;
use tokio::sync::watch;
use tokio::time::Instant;

use super::ring::Frame;
use super::subscriber::{Step, Subscriber};
use crate::call::{Ended, Granted};
use crate::negotiate::{self, Representation};
use crate::problem::{Code, Problem};

/// The media type.
pub(crate) const MEDIA: &str = "text/event-stream";
/// About so much goes out at once: what a reader that has stalled has in the server's hands.
const PIECE_BYTES: usize = 16 * 1024;
/// After so long without anything something is sent, so that both ends, and those between, know that the other is there.
const SILENCE: Duration = Duration::from_secs(15);
/// How soon a client comes again when nothing is wrong, at the least and at the most: not all of them at once.
const RETRY_MS: (u64, u64) = (1_000, 5_000);
/// The same of those whom the server sends away.
const AWAY_MS: (u64, u64) = (500, 8_000);

/// What would have been answered to anybody else.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Refused(pub(crate) StatusCode);

/// A number between two, by chance.
pub(crate) fn jitter((least, most): (u64, u64), random: u128) -> u64 {
    least + u64::try_from(random % u128::from(most - least + 1)).unwrap_or(0)
}

/// An answer that is nothing but that: for who has to hear why in a way that `EventSource` can read.
fn short(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type(MEDIA).insert_header((CACHE_CONTROL, "no-store")).body(text)
}

/// The number is not good for this log.
pub(crate) fn reset(reason: &str, head: &Cursor) -> HttpResponse {
    short(reset_event(reason, head))
}

fn reset_event(reason: &str, head: &Cursor) -> String {
    let earliest = Cursor::new(head.epoch().clone(), Position::START);
    let told = json!({ "reason": reason, "earliest": earliest.to_string(), "head": head.to_string() });
    let retry = jitter(RETRY_MS, SystemIds::default().random());
    format!("retry: {retry}\nevent: reset\ndata: {told}\n\n")
}

/// How a problem is answered: `EventSource` comes again after a success alone, so what is only for now is told as one to whoever wants events.
pub(crate) fn answer(problem: &Problem, method: &Method, path: &str, headers: &HeaderMap) -> HttpResponse {
    let code = match problem.code() {
        Code::TooManyRequests => 4029,
        Code::Unavailable => 4001,
        _ => return problem.error_response(),
    };
    let is_read = matches!(*method, Method::GET | Method::HEAD) && path == "/api/events";
    match negotiate::representation(headers) {
        Ok(Representation::Events) if is_read => later(problem, code, SystemIds::default().random()),
        _ => problem.error_response(),
    }
}

fn later(problem: &Problem, code: u16, random: u128) -> HttpResponse {
    let told = json!({ "code": code, "type": problem.told().kind, "detail": problem.told().detail });
    let mut answer = short(format!("retry: {}\nevent: error\ndata: {told}\n\n", jitter(AWAY_MS, random)));
    problem.count(&mut answer);
    answer.extensions_mut().insert(Refused(problem.code().status()));
    answer
}

pub(crate) const fn word(reason: ResetReason) -> &'static str {
    match reason {
        ResetReason::Epoch => "epoch",
        ResetReason::Ahead => "ahead",
    }
}

/// What goes out, as it is asked for by the socket.
pub(crate) struct Body {
    follows: Subscriber,
    granted: Granted,
    looking: Option<LocalBoxFuture<'static, (Granted, Option<Ended>)>>,
    stopping: watch::Receiver<bool>,
    /// Up to there, itself included.
    until: Option<Position>,
    /// So many events more.
    left: Option<usize>,
    ready: VecDeque<Bytes>,
    /// When something was sent last.
    sent: Instant,
    random: u128,
    ended: bool,
}

/// How a body goes about it.
pub(crate) struct Terms {
    pub(crate) until: Option<Position>,
    pub(crate) left: Option<usize>,
    pub(crate) random: u128,
}

impl Body {
    pub(crate) fn new(
        follows: Subscriber,
        granted: Granted,
        stopping: watch::Receiver<bool>,
        terms: &Terms,
    ) -> Self {
        let Terms { until, left, random } = *terms;
        let retry = format!("retry: {}\n\n", jitter(RETRY_MS, random));
        let ready = VecDeque::from([Bytes::from(retry)]);
        let (looking, sent, ended) = (None, Instant::now(), false);
        Self { follows, granted, looking, stopping, until, left, ready, sent, random, ended }
    }

    /// The answer that it is the body of. What stands between passes it on as it comes.
    pub(crate) fn answer(self) -> HttpResponse {
        let mut answer = HttpResponse::Ok();
        answer.content_type(MEDIA).insert_header((CACHE_CONTROL, "no-store"));
        answer.insert_header(("x-accel-buffering", HeaderValue::from_static("no")));
        answer.body(self)
    }

    fn say(&mut self, text: String) {
        self.ready.push_back(text.into());
    }

    /// The server or somebody's right comes to an end: whoever follows comes again, or not, from where it is.
    fn leave(&mut self, code: u16, why: &str) {
        let told = json!({ "code": code, "detail": why, "at": self.follows.cursor().to_string() });
        let retry = jitter(AWAY_MS, self.random);
        self.say(format!("retry: {retry}\nevent: error\ndata: {told}\n\n"));
        self.ended = true;
    }

    /// Looks whether it may go on: the server is not stopping, and what was granted still is. `Pending` while that is asked.
    fn poll_may_go_on(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        if *self.stopping.borrow() {
            self.leave(4001, "The server is going away.");
            return Poll::Ready(());
        }
        if self.looking.is_none() && Instant::now() >= self.granted.look_at() {
            let mut granted = self.granted.clone();
            self.looking = Some(Box::pin(async move {
                let ended = granted.ended().await;
                (granted, ended)
            }));
        }
        let Some(looking) = &mut self.looking else { return Poll::Ready(()) };
        let (granted, ended) = std::task::ready!(looking.as_mut().poll(cx));
        (self.granted, self.looking) = (granted, None);
        match ended {
            None => {}
            Some(Ended::RanOut) => self.leave(4010, "The credential has run out."),
            Some(Ended::TakenBack) => self.leave(4503, "What was granted is not, any more."),
            Some(Ended::Unknown) => {
                self.leave(4001, "It can't be found out whether what was granted still is.")
            }
        }
        Poll::Ready(())
    }

    /// Puts an event there, if it is still asked for.
    fn put(&mut self, frame: &Frame, out: &mut BytesMut) {
        if self.until.is_some_and(|until| frame.position > until) || self.left == Some(0) {
            self.ended = true;
            return;
        }
        out.extend_from_slice(&frame.sse);
        self.left = self.left.map(|left| left - 1);
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Whole(segment) if self.until.is_none() && self.left.is_none() => {
                self.ready.push_back(segment.sse.clone());
            }
            Step::Whole(segment) => self.put_all(&segment.frames),
            Step::Some(frames) => self.put_all(&frames),
            Step::CaughtUp(at) => self.say(format!("event: caught-up\nid: {at}\ndata:\n\n")),
            Step::Checkpoint(at) => self.say(format!("event: checkpoint\nid: {at}\ndata:\n\n")),
            Step::FellBehind => {}
            Step::Reset(reason, head) => {
                self.say(reset_event(word(reason), &head));
                self.ended = true;
            }
            Step::Failed => {
                self.leave(1011, "The log can't be read; the server's log says why.");
            }
        }
        self.ended |= self.is_past() || self.left == Some(0);
    }

    /// Whether all that is asked for was looked at.
    fn is_past(&self) -> bool {
        let cursor = self.follows.cursor().position();
        self.until.is_some_and(|until| cursor >= until)
    }

    /// Breaks a silence: with how far it is, if that is new.
    fn is_heard(&mut self) {
        match self.follows.checkpoint() {
            Some(at) => self.say(format!("event: checkpoint\nid: {at}\ndata:\n\n")),
            None => self.say(": \n\n".to_owned()),
        }
    }

    fn put_all(&mut self, frames: &[Frame]) {
        let mut out = BytesMut::with_capacity(frames.iter().map(|frame| frame.sse.len()).sum());
        for frame in frames {
            self.put(frame, &mut out);
        }
        if !out.is_empty() {
            self.ready.push_back(out.freeze());
        }
    }

    /// Gathers what there is, up to a piece.
    fn poll_ready(&mut self, cx: &mut Context<'_>) {
        let mut bytes = self.ready.iter().map(Bytes::len).sum::<usize>();
        while bytes < PIECE_BYTES && !self.ended {
            // Woken then at the latest: to be heard, and to look whether it may go on.
            self.follows.wake_at((self.sent + SILENCE).min(self.granted.look_at()));
            match self.follows.poll_step(cx) {
                Poll::Ready(step) => self.take(step),
                Poll::Pending => {
                    // It has come past that without a step, for nothing was for it.
                    self.ended |= self.is_past();
                    if bytes == 0 && !self.ended && self.sent.elapsed() >= SILENCE {
                        self.is_heard();
                    }
                    return;
                }
            }
            bytes = self.ready.iter().map(Bytes::len).sum();
        }
    }
}

impl MessageBody for Body {
    type Error = std::convert::Infallible;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Bytes, Self::Error>>> {
        let this = &mut *self;
        if !this.ended {
            match this.poll_may_go_on(cx) {
                Poll::Ready(()) => this.poll_ready(cx),
                // Meanwhile it is to be heard as well.
                Poll::Pending if this.sent.elapsed() >= SILENCE => this.is_heard(),
                Poll::Pending => {}
            }
            if this.ready.is_empty() && !this.ended {
                this.follows.wake_at(this.sent + SILENCE);
                this.follows.wait_for_its_time(cx);
            }
        }
        let piece = match this.ready.len() {
            0 if this.ended => return Poll::Ready(None),
            0 => return Poll::Pending,
            1 => this.ready.pop_front().unwrap_or_default(),
            _ => {
                let mut all = BytesMut::with_capacity(this.ready.iter().map(Bytes::len).sum());
                this.ready.drain(..).for_each(|some| all.extend_from_slice(&some));
                all.freeze()
            }
        };
        this.sent = Instant::now();
        Poll::Ready(Some(Ok(piece)))
    }
}
