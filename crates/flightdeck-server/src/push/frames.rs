//! Frames of WebSocket (RFC 6455), as they go out and come in.
//!
//! What comes in is taken apart by the parser that actix-ws builds on, with one thing before it: a frame that says that it is larger than may be is
//! refused when its head is there. The message stream of actix-ws gathers all of it first, however long it says it is.

use std::task::{Context, Poll, ready};

use actix_http::ws::{OpCode, Parser};
use actix_web::dev::Payload;
use actix_web::web::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use tokio::time::Instant;

/// What the head of a frame takes at the most.
pub(crate) const HEAD_MAX: usize = 10;
/// How long what is said with a close, or a ping, may be.
const CONTROL_MAX: usize = 125;

/// Puts the head of a text there that is a whole message of so many bytes.
pub(crate) fn put_head(out: &mut Vec<u8>, bytes: usize) {
    out.push(0x81);
    match (u8::try_from(bytes), u16::try_from(bytes)) {
        (Ok(short @ 0..=125), _) => out.push(short),
        (_, Ok(middle)) => {
            out.push(126);
            out.extend_from_slice(&middle.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(bytes as u64).to_be_bytes());
        }
    }
}

/// A frame that says something about the connection.
pub(crate) fn control(kind: OpCode, told: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    Parser::write_message(&mut out, &told[..told.len().min(CONTROL_MAX)], kind, true, false);
    out.freeze()
}

/// The frame that closes, with a reason that is cut where it would not fit.
pub(crate) fn close(code: Option<u16>, reason: &str) -> Bytes {
    let Some(code) = code else { return control(OpCode::Close, &[]) };
    let mut end = reason.len().min(CONTROL_MAX - 2);
    while !reason.is_char_boundary(end) {
        end -= 1;
    }
    let told = [&code.to_be_bytes()[..], &reason.as_bytes()[..end]].concat();
    control(OpCode::Close, &told)
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Incoming {
    /// A whole message of text.
    Text(String),
    Ping(Bytes),
    Pong,
    /// The other end closes, with that code.
    Close(Option<u16>),
}

/// Why nothing more is taken in: the code to close with, and what was wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Broken(pub(crate) u16, pub(crate) &'static str);

const PROTOCOL: Broken = Broken(1002, "that is no frame of WebSocket");
const BINARY: Broken = Broken(1003, "messages are text");
const NO_TEXT: Broken = Broken(1007, "a text is UTF-8");
pub(crate) const TOO_LARGE: Broken = Broken(1009, "the message is larger than may be");

/// The messages that come in.
pub(crate) struct Incomings {
    payload: Payload,
    bytes: BytesMut,
    /// The fragments of a message of which the last has not come.
    begun: Option<Vec<u8>>,
    most: usize,
    /// Whether something came that was not asked about yet.
    has_come: bool,
    /// Since when a message is not whole.
    unfinished: Option<Instant>,
}

impl Incomings {
    /// Out of the body of a request; each has so many bytes at the most.
    pub(crate) fn new(payload: Payload, most: usize) -> Self {
        Self { payload, bytes: BytesMut::new(), begun: None, most, has_come: false, unfinished: None }
    }

    /// The next message; `None` when the other end is gone. What is beyond it is not read before it is asked for.
    pub(crate) fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<Result<Incoming, Broken>>> {
        loop {
            match self.decode() {
                Ok(Some(incoming)) => {
                    self.unfinished = None;
                    return Poll::Ready(Some(Ok(incoming)));
                }
                Ok(None) if self.bytes.is_empty() && self.begun.is_none() => {}
                Ok(None) => drop(self.unfinished.get_or_insert_with(Instant::now)),
                Err(broken) => return Poll::Ready(Some(Err(broken))),
            }
            let more = ready!(self.payload.poll_next_unpin(cx));
            self.has_come = true;
            match more {
                Some(Ok(more)) if self.bytes.is_empty() => self.bytes = BytesMut::from(more),
                Some(Ok(more)) => self.bytes.extend_from_slice(&more),
                // A connection that breaks is as gone as one that ends.
                Some(Err(_)) | None => return Poll::Ready(None),
            }
        }
    }

    /// Whether something came since this was asked last, if only a part of a message.
    pub(crate) const fn has_come(&mut self) -> bool {
        std::mem::replace(&mut self.has_come, false)
    }

    /// Since when a message is not whole, and how much of it is there.
    pub(crate) fn unfinished(&self) -> Option<(Instant, usize)> {
        self.unfinished.map(|since| (since, self.bytes.len() + self.begun.as_ref().map_or(0, Vec::len)))
    }

    /// Waits for the other end to go; what comes until then is nobody's.
    pub(crate) fn poll_end(&mut self, cx: &mut Context<'_>) -> Poll<()> {
        self.bytes = BytesMut::new();
        while let Some(Ok(_)) = ready!(self.payload.poll_next_unpin(cx)) {}
        Poll::Ready(())
    }

    /// A message of what has come, if one is whole.
    fn decode(&mut self) -> Result<Option<Incoming>, Broken> {
        loop {
            let held = self.begun.as_ref().map_or(0, Vec::len);
            match declared(&self.bytes) {
                Some((true, bytes)) if bytes > CONTROL_MAX as u64 => return Err(PROTOCOL),
                Some((false, bytes)) if bytes > (self.most - held) as u64 => return Err(TOO_LARGE),
                _ => {}
            }
            // What a frame about the connection may have is less.
            let parsed = Parser::parse(&mut self.bytes, true, self.most.max(CONTROL_MAX));
            let Some((is_last, kind, told)) = parsed.map_err(|_| PROTOCOL)? else { return Ok(None) };
            let told = told.unwrap_or_default();
            let incoming = match (kind, is_last) {
                (OpCode::Text | OpCode::Continue, _) => self.text(kind, is_last, &told)?,
                (OpCode::Binary, _) => return Err(BINARY),
                (OpCode::Ping, true) => Some(Incoming::Ping(Bytes::copy_from_slice(&told))),
                (OpCode::Pong, true) => Some(Incoming::Pong),
                (OpCode::Close, true) => Some(Incoming::Close(code(&told)?)),
                (OpCode::Ping | OpCode::Pong | OpCode::Close | OpCode::Bad, _) => return Err(PROTOCOL),
            };
            if self.bytes.is_empty() {
                // What it is a part of is let go of.
                self.bytes = BytesMut::new();
            }
            if incoming.is_some() {
                return Ok(incoming);
            }
        }
    }

    /// Takes in a text, or a part of one.
    fn text(&mut self, kind: OpCode, is_last: bool, told: &[u8]) -> Result<Option<Incoming>, Broken> {
        if (kind == OpCode::Continue) != self.begun.is_some() {
            return Err(PROTOCOL);
        }
        let mut all = self.begun.take().unwrap_or_default();
        all.extend_from_slice(told);
        if !is_last {
            self.begun = Some(all);
            return Ok(None);
        }
        String::from_utf8(all).map(|text| Some(Incoming::Text(text))).map_err(|_| NO_TEXT)
    }
}

/// What the head of a frame says, as soon as it is there: whether it is about the connection, and how long it is.
fn declared(bytes: &[u8]) -> Option<(bool, u64)> {
    let (first, rest) = bytes.split_first()?;
    let length = match rest.first()? & 0x7F {
        126 => u16::from_be_bytes(*rest.get(1..)?.first_chunk()?).into(),
        127 => u64::from_be_bytes(*rest.get(1..)?.first_chunk()?),
        short => short.into(),
    };
    Some((first & 0x0F >= 8, length))
}

/// The code that a frame that closes has, if any.
fn code(told: &[u8]) -> Result<Option<u16>, Broken> {
    match Parser::try_parse_close_payload(told) {
        Ok(reason) => Ok(reason.map(|reason| reason.code.into())),
        Err(_) if told.get(2..).is_some_and(|reason| std::str::from_utf8(reason).is_err()) => Err(NO_TEXT),
        Err(_) => Err(PROTOCOL),
    }
}

#[cfg(test)]
mod tests {
    use std::task::{Context, Poll, Waker};

    use actix_http::BoxedPayloadStream;
    use actix_web::dev::Payload;
    use actix_web::error::PayloadError;
    use actix_web::web::Bytes;
    use futures_util::stream;

    use super::{BINARY, Broken, Incoming, Incomings, NO_TEXT, PROTOCOL, TOO_LARGE, close, put_head};

    /// A frame as a client sends it: masked.
    fn frame(first: u8, told: &[u8]) -> Vec<u8> {
        let mut out = vec![first];
        match told.len() {
            short @ 0..=125 => out.push(0x80 | u8::try_from(short).unwrap()),
            long => {
                out.push(0x80 | 126);
                out.extend_from_slice(&u16::try_from(long).unwrap().to_be_bytes());
            }
        }
        let mask = [1, 2, 3, 4];
        out.extend_from_slice(&mask);
        out.extend(told.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        out
    }

    /// What comes in of these bytes, whole and then octet by octet.
    #[track_caller]
    fn check(bytes: &[u8], expected: &[Result<Incoming, Broken>]) {
        for most in [bytes.len().max(1), 1] {
            let pieces: Vec<Result<Bytes, PayloadError>> =
                bytes.chunks(most).map(|piece| Ok(Bytes::copy_from_slice(piece))).collect();
            let payload = Payload::from(Box::pin(stream::iter(pieces)) as BoxedPayloadStream);
            let (mut all, mut told) = (Incomings::new(payload, 300), Vec::new());
            while let Poll::Ready(Some(next)) = all.poll_next(&mut Context::from_waker(Waker::noop())) {
                told.push(next);
                if told.last().is_some_and(Result::is_err) {
                    break;
                }
            }
            assert_eq!(told, expected);
        }
    }

    fn text(text: &str) -> Result<Incoming, Broken> {
        Ok(Incoming::Text(text.to_owned()))
    }

    #[test]
    fn messages_come_as_they_were_sent() {
        check(&frame(0x81, b"abc"), &[text("abc")]);
        check(&frame(0x81, b""), &[text("")]);
        let long = "x".repeat(300);
        check(&frame(0x81, long.as_bytes()), &[text(&long)]);
        let parts =
            [frame(0x01, b"a\xC3"), frame(0x89, b"?"), frame(0x00, b""), frame(0x80, b"\xA4b")].concat();
        check(&parts, &[Ok(Incoming::Ping(Bytes::from_static(b"?"))), text("a\u{e4}b")]);
        check(&frame(0x88, &[3, 232, b'x']), &[Ok(Incoming::Close(Some(1000)))]);
        check(&frame(0x88, b""), &[Ok(Incoming::Close(None))]);
    }

    #[test]
    fn what_is_wrong_has_its_code() {
        check(&frame(0x82, b"abc"), &[Err(BINARY)]);
        check(&frame(0x81, b"\xFF"), &[Err(NO_TEXT)]);
        check(&frame(0x88, &[3, 232, 0xFF]), &[Err(NO_TEXT)]);
        for wrong in
            [frame(0x88, &[3]), frame(0x88, &[3, 237]), frame(0xC1, b""), frame(0x83, b""), frame(0x09, b"")]
        {
            check(&wrong, &[Err(PROTOCOL)]);
        }
        check(&frame(0x80, b"a"), &[Err(PROTOCOL)]);
        check(&[frame(0x01, b"a"), frame(0x81, b"b")].concat(), &[Err(PROTOCOL)]);
        check(&[0x81, 0x01, b'a'], &[Err(PROTOCOL)]);
        let long = [b'x'; 301];
        check(&frame(0x81, &long), &[Err(TOO_LARGE)]);
        check(&[frame(0x01, &long[..200]), frame(0x80, &long[..101])].concat(), &[Err(TOO_LARGE)]);
        // What it says is enough: nothing of it has come.
        check(&[0x81, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0], &[Err(TOO_LARGE)]);
        check(&[0x89, 0xFF, 0, 0, 0, 0, 0x40, 0, 0, 0], &[Err(PROTOCOL)]);
    }

    #[test]
    fn a_reason_is_cut_where_it_does_not_fit() {
        let told = close(Some(4001), &"\u{e4}".repeat(100));
        assert_eq!((told.len(), told[1]), (2 + 2 + 122, 124));
        assert!(std::str::from_utf8(&told[4..]).is_ok());
        let mut out = Vec::new();
        put_head(&mut out, 70_000);
        assert_eq!(out, [0x81, 127, 0, 0, 0, 0, 0, 1, 0x11, 0x70]);
    }
}
