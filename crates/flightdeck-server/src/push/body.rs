//! The log as a body that never ends: what somebody who follows is handed, in whichever form. Knows no store.

use std::collections::VecDeque;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use actix_web::body::{BodySize, MessageBody};
use bytes::{Bytes, BytesMut};
use flightdeck_core::Cursor;
use flightdeck_store::ResetReason;
use tokio::time::Instant;

use super::ring::{Frame, Segment, Which};
use super::seat::Seat;
use super::stay::{Leave, SILENCE, Stay};
use super::subscriber::{Step, Subscriber};

/// So much is enough to go out at once. A segment is up to twice as much, and goes out as it is.
pub(crate) const PIECE_BYTES: usize = 8 * 1024;

/// How what comes next is told. What is not told in a form is `None`; an error cuts the body off, so that nobody takes it for a whole one.
pub(crate) trait Form: Copy + Unpin + 'static {
    /// What stands first.
    fn begins(self) -> Option<String> {
        None
    }
    /// All events of a segment.
    fn whole(self, segment: &Segment) -> Bytes {
        let mut out = Vec::with_capacity(segment.sse.len());
        let all = segment.frames.iter().flat_map(|frame| self.one(segment, frame));
        all.for_each(|part| out.extend_from_slice(part));
        out.into()
    }
    /// One of them, in two parts.
    fn one<'s>(self, segment: &'s Segment, frame: &Frame) -> [&'s [u8]; 2];
    /// History has ended.
    fn caught_up(self, _at: &Cursor) -> Option<String> {
        None
    }
    /// How far it is.
    fn checkpoint(self, _at: &Cursor) -> Option<String> {
        None
    }
    /// What breaks a silence.
    fn beat(self) -> Option<String> {
        None
    }
    /// The number is not good for this log.
    fn reset(self, reason: ResetReason, head: &Cursor) -> io::Result<String>;
    /// Whoever follows is sent away.
    fn leave(self, leave: Leave, at: &Cursor) -> io::Result<String>;
}

/// What goes out, as it is asked for by the socket.
pub(crate) struct Body<F> {
    form: F,
    follows: Subscriber,
    stay: Stay,
    seat: Seat,
    ready: VecDeque<Bytes>,
    /// When something was sent last.
    sent: Instant,
    ended: bool,
    /// By what it is cut off, at its end.
    cut: Option<io::Error>,
}

impl<F: Form> Body<F> {
    pub(crate) fn new(form: F, follows: Subscriber, stay: Stay, seat: Seat) -> Self {
        let ready = form.begins().into_iter().map(Bytes::from).collect();
        seat.told.follows(1);
        Self { form, follows, stay, seat, ready, sent: Instant::now(), ended: false, cut: None }
    }

    fn say(&mut self, text: Option<String>) {
        self.ready.extend(text.filter(|text| !text.is_empty()).map(Bytes::from));
    }

    /// Says the last.
    fn end(&mut self, said: io::Result<String>) {
        self.ended = true;
        match said {
            Ok(text) => self.say(Some(text)),
            Err(error) => self.cut = Some(error),
        }
    }

    fn leave(&mut self, leave: Leave) {
        self.end(self.form.leave(leave, self.follows.cursor()));
    }

    fn take(&mut self, step: Step) {
        match step {
            Step::Whole(segment) => self.ready.push_back(self.form.whole(&segment)),
            Step::Some(segment, which) => self.some(&segment, which),
            Step::CaughtUp(at) => self.say(self.form.caught_up(&at)),
            Step::Checkpoint(at) => self.say(self.form.checkpoint(&at)),
            Step::FellBehind => {}
            Step::Reset(reason, head) => self.end(self.form.reset(reason, &head)),
            Step::Failed => self.leave(Leave::FAILED),
            Step::Ended => self.ended = true,
        }
    }

    fn some(&mut self, segment: &Segment, which: Which) {
        let mut out = Vec::new();
        for part in segment.some(which).flat_map(|frame| self.form.one(segment, frame)) {
            out.extend_from_slice(part);
        }
        self.ready.push_back(out.into());
    }

    /// Breaks a silence: with how far it is, if that is new.
    fn is_heard(&mut self) {
        let said = match self.follows.checkpoint() {
            Some(at) => self.form.checkpoint(&at),
            None => self.form.beat(),
        };
        self.say(said);
        // Also where nothing is said.
        self.sent = Instant::now();
    }

    /// Gathers what there is, up to a piece.
    fn poll_ready(&mut self, cx: &mut Context<'_>) {
        let mut bytes = self.ready.iter().map(Bytes::len).sum::<usize>();
        while bytes < PIECE_BYTES && !self.ended {
            // Woken then at the latest: to be heard, and to look whether it may go on.
            self.follows.wake_at((self.sent + SILENCE).min(self.stay.look_at()));
            match self.follows.poll_step(cx) {
                Poll::Ready(step) => self.take(step),
                Poll::Pending => {
                    if bytes == 0 && self.sent.elapsed() >= SILENCE {
                        self.is_heard();
                    }
                    return;
                }
            }
            bytes = self.ready.iter().map(Bytes::len).sum();
        }
    }
}

impl<F: Form> MessageBody for Body<F> {
    type Error = io::Error;

    fn size(&self) -> BodySize {
        BodySize::Stream
    }

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<io::Result<Bytes>>> {
        let this = &mut *self;
        if !this.ended {
            match this.stay.poll(cx, this.follows.followers()) {
                Poll::Ready(None) => this.poll_ready(cx),
                Poll::Ready(Some(leave)) => this.leave(leave),
                // Meanwhile it is to be heard as well.
                Poll::Pending if this.sent.elapsed() >= SILENCE => this.is_heard(),
                Poll::Pending => {}
            }
            if this.ready.is_empty() && !this.ended {
                this.follows.wake_at((this.sent + SILENCE).min(this.stay.look_at()));
                this.follows.wait_for_its_time(cx);
            }
            let (at, is_live) = (this.follows.cursor().position(), this.follows.is_live());
            this.seat.told.is_at(at, is_live, this.follows.waits());
        }
        let piece = match this.ready.len() {
            0 if this.ended => return Poll::Ready(this.cut.take().map(Err)),
            0 => return Poll::Pending,
            1 => this.ready.pop_front().unwrap_or_default(),
            _ => {
                let mut all = BytesMut::with_capacity(this.ready.iter().map(Bytes::len).sum());
                this.ready.drain(..).for_each(|some| all.extend_from_slice(&some));
                all.freeze()
            }
        };
        this.sent = Instant::now();
        this.seat.told.handed_out(piece.len());
        Poll::Ready(Some(Ok(piece)))
    }
}
