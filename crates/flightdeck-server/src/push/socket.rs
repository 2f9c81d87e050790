//! The log on a WebSocket: every message an event, or the protocol of [`protocol`]. Knows no store: what is asked for is asked of a [`Desk`].
//!
//! One body does all of it, as the connection asks for more: it takes messages in, one operation after the other, and hands out what
//! comes next to each subscription in turn. Whoever takes nothing is not listened to either, so that nothing gathers.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use actix_http::ws::OpCode;
use actix_web::body::{BodySize, MessageBody};
use bytes::Bytes;
use flightdeck_core::{Cursor, Position};
use flightdeck_store::{Filter, ResetReason};
use flightdeck_wire::problem as wire;
use futures_util::future::LocalBoxFuture;
use serde_json::{Map, Value};
use tokio::time::Instant;

use super::body::PIECE_BYTES;
use super::frames::{self, Broken, Incoming, Incomings};
use super::protocol::{self, Op};
use super::registry::{Registry, Wait};
use super::ring::Segment;
use super::seat::Seat;
use super::stay::{Leave, SILENCE, Stay};
use super::subscriber::{Step, Subscriber};
use crate::caps::{Cap, Met};
use crate::problem::{Code, Problem};

/// How long it is waited for the other end to close as well.
const CLOSING: Duration = Duration::from_secs(2);
/// A connection that takes what it is handed asks for more sooner.
const TAKES: Duration = Duration::from_secs(1);
/// For how long a subscription needs no waking by the time: the socket sees to that.
const FAR: Duration = Duration::from_secs(24 * 3_600);

/// Where a subscription begins.
pub(crate) enum Started {
    /// There.
    At(Box<Subscriber>),
    /// Nowhere: what it brings is not good for this log.
    Reset(ResetReason, Cursor),
    /// That is ahead of the log: it is waited for it, and for nothing else.
    Later(Starting),
}

/// A subscription that begins.
pub(crate) type Starting = LocalBoxFuture<'static, Result<Started, Problem>>;

/// What does what is asked for.
pub(crate) trait Desk {
    /// Counts an operation.
    fn counts(&self) -> Result<(), Problem>;
    /// What is told of a problem, which is noted as one of a request would be.
    fn tells(&self, problem: &Problem) -> wire::Problem;
    /// Begins a subscription.
    fn subscribe(&self, after: Option<String>, filter: Filter) -> Starting;
    /// Appends, and says what a request would have been answered.
    fn append(
        &self,
        key: Option<String>,
        body: String,
    ) -> LocalBoxFuture<'static, Result<Map<String, Value>, Problem>>;
}

/// What is said on a socket.
pub(crate) enum Manner {
    /// Every message is an event, of what was asked for in the URL.
    Messages,
    /// The protocol.
    Protocol(Rc<dyn Desk>),
}

/// How much a socket may have.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// The bytes of a message.
    pub(crate) message: usize,
    /// Subscriptions at once.
    pub(crate) subscriptions: usize,
    /// What all of them together may name.
    pub(crate) patterns: usize,
    /// Frames about the connection, a second.
    pub(crate) controls: u32,
    /// How long a message may take to come, and a second more for so many bytes of it.
    pub(crate) whole: (Duration, usize),
}

/// A subscription.
struct Sub {
    name: String,
    /// How much it names.
    patterns: usize,
    follows: Follows,
    /// When something was sent last.
    sent: Instant,
}

enum Follows {
    Starting(Starting),
    There(Box<Subscriber>),
    Gone,
}

impl Follows {
    const fn there(&self) -> Option<&Subscriber> {
        match self {
            Self::There(follows) => Some(follows),
            Self::Starting(_) | Self::Gone => None,
        }
    }
}

/// What an operation came to.
enum Done {
    Subscribed(String, usize, Result<Started, Problem>),
    Appended(Option<String>, Result<Map<String, Value>, Problem>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Open,
    /// It was said that it closes, and is waited for the other end to say so; whether that is still listened to.
    Closing(Instant, bool),
    Ended,
}

/// What goes out, as it is asked for by the connection; and what comes in.
pub(crate) struct Socket {
    manner: Manner,
    incomings: Incomings,
    bounds: Bounds,
    stay: Stay,
    seat: Seat,
    registry: Registry,
    subs: Vec<Sub>,
    /// Which is asked first.
    turn: usize,
    working: Option<LocalBoxFuture<'static, Done>>,
    state: State,
    ready: VecDeque<Bytes>,
    bytes: usize,
    /// When something came in last.
    heard: Instant,
    /// Since when a ping is not answered.
    pinged: Option<Instant>,
    /// When events were handed out last, or it was seen that some were taken.
    sent: Instant,
    /// When anything was handed out, until more is asked for.
    handed: Option<Instant>,
    met: Arc<Met>,
    /// Frames about the connection, since then.
    controls: (Instant, u32),
    timer: Option<Wait>,
}

/// What a socket is made of, beside what is said on it.
pub(crate) struct Parts {
    pub(crate) incomings: Incomings,
    pub(crate) bounds: Bounds,
    pub(crate) stay: Stay,
    pub(crate) seat: Seat,
    pub(crate) registry: Registry,
    pub(crate) met: Arc<Met>,
}

impl Socket {
    fn new(manner: Manner, parts: Parts, subs: Vec<Sub>) -> Self {
        let Parts { incomings, bounds, stay, seat, registry, met } = parts;
        let now = Instant::now();
        seat.told.follows(subs.len());
        Self {
            manner,
            incomings,
            bounds,
            stay,
            seat,
            registry,
            subs,
            turn: 0,
            working: None,
            state: State::Open,
            ready: VecDeque::new(),
            bytes: 0,
            heard: now,
            pinged: None,
            sent: now,
            handed: None,
            met,
            controls: (now, 0),
            timer: None,
        }
    }

    /// One on which every message is an event of these.
    pub(crate) fn messages(follows: Subscriber, parts: Parts) -> Self {
        let (follows, sent) = (Follows::There(Box::new(follows)), Instant::now());
        Self::new(Manner::Messages, parts, vec![Sub { name: String::new(), patterns: 0, follows, sent }])
    }

    /// One on which the protocol is said.
    pub(crate) fn protocol(desk: Rc<dyn Desk>, parts: Parts) -> Self {
        Self::new(Manner::Protocol(desk), parts, Vec::new())
    }

    /// One that only says why there is none.
    pub(crate) fn closed(parts: Parts, code: u16, why: &str) -> Self {
        let mut socket = Self::new(Manner::Messages, parts, Vec::new());
        socket.close(code, why);
        socket
    }

    fn put(&mut self, bytes: impl Into<Bytes>) {
        let bytes = bytes.into();
        self.bytes += bytes.len();
        self.ready.push_back(bytes);
    }

    /// Says something about what is asked for; nothing but events is said otherwise.
    fn say(&mut self, told: &Value) {
        if let Manner::Protocol(_) = self.manner {
            self.put(protocol::message(told));
        }
    }

    /// Closes: whoever follows goes on from where it is, which stands last in the reason.
    fn close(&mut self, code: u16, why: &str) {
        for place in 0..self.subs.len() {
            self.tells_how_far(place);
        }
        let furthest_behind = self.subs.iter().filter_map(|sub| sub.follows.there());
        let at = furthest_behind.map(Subscriber::cursor).min_by_key(|cursor| cursor.position());
        let reason = at.map_or_else(|| why.to_owned(), |at| format!("{why} {at}"));
        self.subs.clear();
        self.seat.told.follows(0);
        (self.working, self.state) = (None, State::Closing(Instant::now() + CLOSING, true));
        self.put(frames::close(Some(code), &reason));
    }

    fn leave(&mut self, Leave(code, why): Leave) {
        self.close(code, why);
    }

    /// What came can't be understood: nothing more of it is listened to.
    fn breaks(&mut self, Broken(code, why): Broken) {
        if code == frames::TOO_LARGE.0 {
            self.met.note(Cap::SocketMessageBytes);
        }
        self.close(code, why);
        self.state = State::Closing(Instant::now() + CLOSING, false);
    }

    /// Takes in what came, and does what is asked for, one after the other.
    fn poll_incomings(&mut self, cx: &mut Context<'_>) {
        while self.bytes < PIECE_BYTES && self.state != State::Ended {
            if let Some(working) = &mut self.working {
                let Poll::Ready(done) = working.as_mut().poll(cx) else { return };
                self.working = None;
                self.done(done);
                continue;
            }
            let listens = !matches!(self.state, State::Closing(_, false));
            let next = if listens {
                self.incomings.poll_next(cx)
            } else {
                self.incomings.poll_end(cx).map(|()| None)
            };
            match next {
                Poll::Pending => return,
                Poll::Ready(None) => (self.state, self.working) = (State::Ended, None),
                Poll::Ready(Some(incoming)) => self.take(incoming),
            }
        }
    }

    fn take(&mut self, incoming: Result<Incoming, Broken>) {
        let is_open = self.state == State::Open;
        match incoming {
            Ok(Incoming::Close(code)) => {
                if is_open {
                    self.put(frames::close(code, ""));
                }
                (self.state, self.working) = (State::Ended, None);
                self.subs.clear();
            }
            Err(broken) if is_open => self.breaks(broken),
            // What comes behind the close is nothing any more, and what can't be read is not read again.
            Err(_) => self.state = State::Closing(Instant::now() + CLOSING, false),
            _ if !is_open => {}
            Ok(Incoming::Ping(told)) => {
                if self.is_one_more() {
                    self.put(frames::control(OpCode::Pong, &told));
                }
            }
            Ok(Incoming::Pong) => {
                self.is_one_more();
            }
            Ok(Incoming::Text(text)) => self.asked(&text),
        }
    }

    /// Counts what is said about the connection; closes it when that is too much.
    fn is_one_more(&mut self) -> bool {
        let (since, count) = &mut self.controls;
        if since.elapsed() >= Duration::from_secs(1) {
            (*since, *count) = (Instant::now(), 0);
        }
        *count += 1;
        let is_too_much = *count > self.bounds.controls;
        if is_too_much {
            self.met.note(Cap::SocketControls);
            self.close(1008, "Too many pings.");
        }
        !is_too_much
    }

    /// Does what a message asks for.
    fn asked(&mut self, text: &str) {
        let Manner::Protocol(desk) = &self.manner else {
            return self.close(4501, "Nothing is asked for here but in the URL.");
        };
        let desk = Rc::clone(desk);
        if let Err(problem) = desk.counts() {
            desk.tells(&problem);
            let code = if problem.code() == Code::TooManyRequests { 4029 } else { 1011 };
            return self.close(code, "That is more than one caller may ask for in that time.");
        }
        match protocol::read(text) {
            Err(refused) => self.say(&protocol::refused(refused)),
            Ok(Op::Ping { id }) => self.say(&protocol::done("pong", id.as_deref(), Map::new())),
            Ok(Op::Unsubscribe { sub }) => {
                let before = self.subs.len();
                self.subs.retain(|one| one.name != sub);
                self.seat.told.follows(self.subs.len());
                self.say(&match self.subs.len() < before {
                    true => protocol::of_sub("unsubscribed", &sub),
                    false => protocol::sub_error(&sub, "not-subscribed", "There is no such subscription."),
                });
            }
            Ok(Op::Subscribe { sub, after, filter }) => self.subscribe(&*desk, sub, after, filter),
            Ok(Op::Append { id, key, body }) => {
                let appended = desk.append(key, body);
                self.working = Some(Box::pin(async move { Done::Appended(id, appended.await) }));
            }
        }
    }

    fn subscribe(&mut self, desk: &dyn Desk, sub: String, after: Option<String>, filter: Filter) {
        let most = self.bounds.subscriptions;
        if self.subs.iter().any(|one| one.name == sub) {
            let told = "There is a subscription of that name.";
            return self.say(&protocol::sub_error(&sub, "already-subscribed", told));
        }
        let patterns = filter.streams.len() + filter.types.len() + filter.tags.len();
        if self.subs.iter().map(|one| one.patterns).sum::<usize>() + patterns > self.bounds.patterns {
            self.met.note(Cap::SubscriptionPatterns);
            let told =
                format!("That is more than {} patterns in all subscriptions together.", self.bounds.patterns);
            return self.say(&protocol::sub_error(&sub, "too-many-patterns", &told));
        }
        if self.subs.len() >= most {
            self.met.note(Cap::Subscriptions);
            let told = format!("That is more than {most} subscriptions.");
            return self.say(&protocol::sub_error(&sub, "too-many-subscriptions", &told));
        }
        let starting = desk.subscribe(after, filter);
        self.working = Some(Box::pin(async move { Done::Subscribed(sub, patterns, starting.await) }));
    }

    fn done(&mut self, done: Done) {
        match done {
            Done::Appended(id, Ok(told)) => self.say(&protocol::done("appended", id.as_deref(), told)),
            Done::Appended(id, Err(problem)) => {
                let told = self.tells(&problem);
                self.say(&protocol::problem(id.as_deref(), problem.code(), &told));
            }
            Done::Subscribed(sub, _, Err(problem)) => self.refuse(&sub, &problem),
            Done::Subscribed(sub, patterns, Ok(started)) => {
                self.say(&protocol::of_sub("subscribed", &sub));
                let follows = self.started(&sub, Ok(started));
                if !matches!(follows, Follows::Gone) {
                    self.subs.push(Sub { name: sub, patterns, follows, sent: Instant::now() });
                }
                self.seat.told.follows(self.subs.len());
            }
        }
    }

    /// What becomes of a subscription that has begun, or not.
    fn started(&mut self, sub: &str, started: Result<Started, Problem>) -> Follows {
        match started {
            Ok(Started::At(follows)) => return Follows::There(follows),
            Ok(Started::Later(starting)) => return Follows::Starting(starting),
            Ok(Started::Reset(reason, head)) => self.say(&protocol::reset(sub, reason, &head)),
            Err(problem) => self.refuse(sub, &problem),
        }
        Follows::Gone
    }

    fn tells(&self, problem: &Problem) -> wire::Problem {
        match &self.manner {
            Manner::Protocol(desk) => desk.tells(problem),
            Manner::Messages => problem.tell(),
        }
    }

    fn refuse(&mut self, sub: &str, problem: &Problem) {
        let told = self.tells(problem);
        self.say(&protocol::sub_problem(sub, problem.code(), &told));
    }

    /// Hands out what comes next to each subscription in turn, up to a piece.
    fn poll_subs(&mut self, cx: &mut Context<'_>) {
        let count = self.subs.len();
        for offset in 0..count {
            let place = (self.turn + offset) % count;
            self.poll_sub(place, cx);
            if self.state != State::Open {
                return;
            }
            if self.bytes >= PIECE_BYTES {
                // Whoever has much to come lets the others have theirs first.
                self.turn = (place + 1) % count;
                break;
            }
        }
        self.subs.retain(|sub| !matches!(sub.follows, Follows::Gone));
        if self.subs.len() < count {
            self.seat.told.follows(self.subs.len());
        }
    }

    fn poll_sub(&mut self, place: usize, cx: &mut Context<'_>) {
        if let Follows::Starting(starting) = &mut self.subs[place].follows {
            let Poll::Ready(started) = starting.as_mut().poll(cx) else { return };
            let name = self.subs[place].name.clone();
            self.subs[place].follows = self.started(&name, started);
        }
        let is_silent = self.subs[place].sent.elapsed() >= SILENCE;
        while self.bytes < PIECE_BYTES && self.state == State::Open {
            let Follows::There(follows) = &mut self.subs[place].follows else { return };
            // Nothing has come for it, and it need not say how far it is.
            if follows.waits() && !is_silent {
                return;
            }
            follows.wake_at(Instant::now() + FAR);
            match follows.poll_step(cx) {
                Poll::Ready(step) => self.step(place, step),
                Poll::Pending if is_silent => return self.tells_how_far(place),
                Poll::Pending => return,
            }
        }
    }

    /// Says how far a subscription is, if that is not known.
    fn tells_how_far(&mut self, place: usize) {
        let sub = &mut self.subs[place];
        sub.sent = Instant::now();
        let Follows::There(follows) = &mut sub.follows else { return };
        if let Some(at) = follows.checkpoint() {
            let told = protocol::at("checkpoint", &sub.name, &at);
            self.say(&told);
        }
    }

    fn step(&mut self, place: usize, step: Step) {
        let sub = &mut self.subs[place];
        sub.sent = Instant::now();
        if matches!(step, Step::Whole(_) | Step::Some(..)) {
            self.sent = sub.sent;
        }
        let is_protocol = matches!(self.manner, Manner::Protocol(_));
        let told = match step {
            Step::Whole(segment) if !is_protocol => return self.put(segment.messages().clone()),
            Step::Whole(segment) => {
                let out = events(&segment, segment.frames.iter(), Some(&sub.name));
                return self.put(out);
            }
            Step::Some(segment, which) => {
                let name = is_protocol.then_some(sub.name.as_str());
                let out = events(&segment, segment.some(which), name);
                return self.put(out);
            }
            Step::CaughtUp(at) => protocol::at("caught-up", &sub.name, &at),
            Step::Checkpoint(at) => protocol::at("checkpoint", &sub.name, &at),
            Step::FellBehind => protocol::of_sub("fell-behind", &sub.name),
            Step::Reset(reason, head) if is_protocol => {
                sub.follows = Follows::Gone;
                protocol::reset(&sub.name, reason, &head)
            }
            Step::Reset(_, head) => {
                sub.follows = Follows::Gone;
                return self.close(4501, &format!("The log has begun anew; it is at {head} now."));
            }
            Step::Ended if is_protocol => {
                sub.follows = Follows::Gone;
                return;
            }
            Step::Ended => return self.close(1000, "That is all that was asked for."),
            Step::Failed => return self.leave(Leave::FAILED),
        };
        self.say(&told);
    }

    /// Asks whether the other end is there when nothing was heard of it for long, and gives it up when it does not say so.
    fn poll_silence(&mut self) {
        let now = Instant::now();
        if self.incomings.has_come() {
            (self.heard, self.pinged) = (now, None);
        }
        let (most, rate) = self.bounds.whole;
        let is_slow = self
            .incomings
            .unfinished()
            .is_some_and(|(since, bytes)| now - since > most + Duration::from_secs((bytes / rate) as u64));
        if is_slow {
            self.met.note(Cap::BodySeconds);
            return self.close(1008, "The message came too slowly.");
        }
        match self.pinged {
            Some(pinged) => {
                // Events that were handed out before may still be on their way to whoever is slow.
                let is_gone = now - pinged >= SILENCE && now - self.sent >= 2 * SILENCE;
                if is_gone {
                    self.close(4008, "Nothing was heard for long.");
                    self.state = State::Ended;
                }
            }
            None if now - self.heard >= SILENCE => {
                self.pinged = Some(now);
                self.put(frames::control(OpCode::Ping, b""));
            }
            None => {}
        }
    }

    /// When it is to be looked at again although nothing comes.
    fn due(&self) -> Instant {
        let silent = self.pinged.map_or(self.heard, |pinged| pinged) + SILENCE;
        let silences = self.subs.iter().map(|sub| sub.sent + SILENCE);
        let closes = match self.state {
            State::Closing(until, _) => Some(until),
            State::Open | State::Ended => None,
        };
        silences.chain(closes).chain([self.stay.look_at()]).fold(silent, Instant::min)
    }

    fn turn(&mut self, cx: &mut Context<'_>) {
        // More is asked for long after the last was handed out: it was taken just now.
        if self.handed.take().is_some_and(|handed| handed.elapsed() > TAKES) {
            self.sent = Instant::now();
        }
        let may_go_on = match self.state {
            State::Open => self.stay.poll(cx, self.registry.followers()),
            State::Closing(..) | State::Ended => Poll::Ready(None),
        };
        match may_go_on {
            // Nothing is asked for and nothing is told until that is known.
            Poll::Pending => {}
            Poll::Ready(leave) => {
                leave.into_iter().for_each(|leave| self.leave(leave));
                self.poll_incomings(cx);
                if self.state == State::Open {
                    self.poll_subs(cx);
                }
            }
        }
        match self.state {
            State::Open => self.poll_silence(),
            State::Closing(until, _) if Instant::now() >= until => self.state = State::Ended,
            State::Closing(..) | State::Ended => {}
        }
        let all = || self.subs.iter().filter_map(|sub| sub.follows.there());
        let at = all().map(|follows| follows.cursor().position()).min().unwrap_or(Position::START);
        self.seat.told.is_at(at, all().all(Subscriber::is_live), all().all(Subscriber::waits));
    }

    fn waits(&mut self, cx: &Context<'_>) {
        let due = self.due();
        match self.timer.as_ref().filter(|timer| timer.is_there()) {
            Some(timer) => timer.due_at(due),
            None => self.timer = Some(self.registry.wait_until(due, cx.waker().clone())),
        }
    }
}

/// Some events of a segment as messages, with the name of the subscription that they are for.
fn events<'s>(
    segment: &'s Segment,
    frames: impl Iterator<Item = &'s super::ring::Frame> + Clone,
    sub: Option<&str>,
) -> Vec<u8> {
    let (before, behind) = sub.map(protocol::around).unwrap_or_default();
    let each = frames::HEAD_MAX + before.len() + behind.len();
    let bytes = frames.clone().map(|frame| segment.json_of(frame).len() + each).sum();
    let mut out = Vec::with_capacity(bytes);
    for frame in frames {
        let json = segment.json_of(frame);
        frames::put_head(&mut out, before.len() + json.len() + behind.len());
        out.extend_from_slice(before.as_bytes());
        out.extend_from_slice(json);
        out.extend_from_slice(behind.as_bytes());
    }
    out
}

impl MessageBody for Socket {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let this = &mut *self;
        if this.state != State::Ended {
            this.turn(cx);
        }
        if this.ready.is_empty() {
            if this.state == State::Ended {
                return Poll::Ready(None);
            }
            this.waits(cx);
            return Poll::Pending;
        }
        let piece = match this.ready.len() {
            1 => this.ready.pop_front().unwrap_or_default(),
            _ => this
                .ready
                .drain(..)
                .fold(Vec::with_capacity(this.bytes), |mut all, some| {
                    all.extend_from_slice(&some);
                    all
                })
                .into(),
        };
        (this.bytes, this.handed) = (0, Some(Instant::now()));
        this.seat.told.handed_out(piece.len());
        Poll::Ready(Some(Ok(piece)))
    }
}
