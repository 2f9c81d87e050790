//! A WebSocket client for tests: strict about what a server sends, and free to send whatever it is told to. (RFC 6455)

use std::io::{ErrorKind, Read as _, Write as _};
use std::net::{Shutdown, TcpStream};
use std::time::{Duration, Instant};

use serde_json::Value;

/// The key of the RFC's example, and what is answered to it.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
/// What every payload here is masked with.
const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
/// A control frame holds so many bytes at the most.
const CONTROL_BYTES: usize = 125;

pub(super) const CONTINUATION: u8 = 0;
pub(super) const TEXT: u8 = 1;
pub(super) const BINARY: u8 = 2;
pub(super) const CLOSE: u8 = 8;
pub(super) const PING: u8 = 9;
pub(super) const PONG: u8 = 10;

/// What a server sent: a whole message, or a control frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Received {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
    /// A code, if there is one, and a reason.
    Close(Option<u16>, String),
}

/// A connection that is a WebSocket. What no server may send fails the test.
#[derive(Debug)]
pub(super) struct Socket {
    stream: TcpStream,
    /// What came, of which so many bytes are read already.
    came: Vec<u8>,
    read: usize,
    /// The message that is to be continued: its opcode, and what there is of it.
    begun: Option<(u8, Vec<u8>)>,
    patience: Duration,
    /// Whether a close frame came; nothing may come behind it.
    is_closed: bool,
    /// Whether this side sent one.
    has_closed: bool,
    /// Whether pings and close frames are left without an answer.
    pub(super) silent: bool,
    /// Whether the server closed the connection beneath.
    pub(super) is_over: bool,
    /// The subprotocol that was chosen.
    pub(super) protocol: Option<String>,
}

/// A frame as a client sends it: masked, its first byte (FIN, reserved bits, opcode) as it is given.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = declared(first, u64::try_from(payload.len()).unwrap());
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// What stands before the payload of a frame that says that it has so many bytes.
pub(super) fn declared(first: u8, length: u64) -> Vec<u8> {
    let mut head = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ ..=125), _) => head.push(0x80 | short),
        (_, Ok(middle)) => {
            head.push(0x80 | 126);
            head.extend(middle.to_be_bytes());
        }
        _ => {
            head.push(0x80 | 127);
            head.extend(length.to_be_bytes());
        }
    }
    head.extend(MASK);
    head
}

/// The payload of a close frame.
pub(super) fn farewell(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// The value of a header.
fn header<'a>(head: &'a str, name: &str) -> Option<&'a str> {
    let pairs = head.lines().filter_map(|line| line.split_once(':'));
    pairs.filter(|(own, _)| own.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
}

impl Socket {
    /// Asks for a WebSocket; a header that is given takes the place of the one that would be sent. What is no 101 comes as its status and its body.
    pub(super) fn open(
        url: &str,
        path: &str,
        protocol: Option<&str>,
        headers: &[(&str, &str)],
    ) -> Result<Self, (u16, String)> {
        let mut stream = TcpStream::connect(url.trim_start_matches("http://")).unwrap();
        // Bytes that are sent one by one are to come so.
        stream.set_nodelay(true).unwrap();
        stream.set_write_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        stream.write_all(request(path, protocol, headers).as_bytes()).unwrap();
        let mut head = Vec::new();
        // Byte by byte: what comes behind the head is no part of it.
        while !head.ends_with(b"\r\n\r\n") {
            let mut byte = [0];
            stream.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error}: {}", head.escape_ascii()));
            head.extend(byte);
        }
        let head = String::from_utf8(head).unwrap();
        let status = head[9..12].parse().unwrap();
        if status != 101 {
            let length = header(&head, "content-length").map_or(0, |length| length.parse().unwrap());
            let mut body = vec![0; length];
            stream.read_exact(&mut body).unwrap();
            return Err((status, String::from_utf8(body).unwrap()));
        }
        let is =
            |name: &str, value: &str| header(&head, name).is_some_and(|own| own.eq_ignore_ascii_case(value));
        assert!(is("upgrade", "websocket") && is("connection", "upgrade"), "{head}");
        assert_eq!(header(&head, "sec-websocket-accept"), Some(ACCEPT), "{head}");
        // There is none that this client speaks.
        assert_eq!(header(&head, "sec-websocket-extensions"), None, "{head}");
        let chosen = header(&head, "sec-websocket-protocol").map(str::to_owned);
        if let Some(chosen) = &chosen {
            let mut offered = protocol.unwrap_or_default().split(',').map(str::trim);
            assert!(offered.any(|offered| offered == chosen), "{head}");
        }
        Ok(Self {
            stream,
            came: Vec::new(),
            read: 0,
            begun: None,
            patience: Duration::from_secs(30),
            is_closed: false,
            has_closed: false,
            silent: false,
            is_over: false,
            protocol: chosen,
        })
    }

    /// How long `next` waits.
    pub(super) fn patience(&mut self, time: Duration) {
        self.patience = time;
    }

    pub(super) fn send_text(&mut self, text: &str) {
        self.send_frame(true, TEXT, text.as_bytes());
    }

    pub(super) fn send_frame(&mut self, fin: bool, opcode: u8, payload: &[u8]) {
        self.has_closed |= opcode == CLOSE;
        self.send_raw(&frame((u8::from(fin) << 7) | opcode, payload));
    }

    /// Sends bytes as they are. Whoever is cut off can't send them.
    pub(super) fn send_raw(&mut self, bytes: &[u8]) {
        drop(self.stream.write_all(bytes));
    }

    pub(super) fn close(&mut self, code: u16, reason: &str) {
        self.send_frame(true, CLOSE, &farewell(code, reason));
    }

    /// Sends nothing more. A server that waits for the other end need not wait any longer.
    pub(super) fn leave(&mut self) {
        drop(self.stream.shutdown(Shutdown::Write));
    }

    /// Subscribes in `flightdeck.v1`, with what `filter` has of `streams`, `types` and `tags`.
    pub(super) fn subscribe(&mut self, sub: &str, after: Option<&str>, mut filter: Value) {
        filter["op"] = "subscribe".into();
        filter["sub"] = sub.into();
        if let Some(after) = after {
            filter["after"] = after.into();
        }
        self.send_text(&filter.to_string());
    }

    /// The next message, which is JSON; pings may come before it.
    #[track_caller]
    pub(super) fn json(&mut self) -> Value {
        loop {
            match self.next() {
                Some(Received::Text(text)) => {
                    return serde_json::from_str(&text).unwrap_or_else(|error| panic!("{error}: {text}"));
                }
                Some(Received::Ping(_)) => {}
                other => panic!("a message was to come, and {other:?} did"),
            }
        }
    }

    /// What comes next; `None` at the end, or when nothing comes in time. Pings and close frames are answered, unless this is silent.
    #[track_caller]
    pub(super) fn next(&mut self) -> Option<Received> {
        let until = Instant::now() + self.patience;
        loop {
            let (fin, opcode, payload) = self.next_frame(until)?;
            if opcode >= CLOSE {
                assert!(fin && payload.len() <= CONTROL_BYTES, "{opcode} {fin} {}", payload.escape_ascii());
                return Some(self.control(opcode, payload));
            }
            let (kind, message) = match (opcode, self.begun.take()) {
                (CONTINUATION, Some((kind, mut message))) => {
                    message.extend(payload);
                    (kind, message)
                }
                (TEXT | BINARY, None) => (opcode, payload),
                (_, begun) => panic!("{opcode} came behind {begun:?}"),
            };
            if !fin {
                self.begun = Some((kind, message));
            } else if kind == TEXT {
                return Some(Received::Text(String::from_utf8(message).unwrap()));
            } else {
                return Some(Received::Binary(message));
            }
        }
    }

    /// Takes a control frame in, and answers it.
    fn control(&mut self, opcode: u8, payload: Vec<u8>) -> Received {
        match opcode {
            PING => {
                if !self.silent && !self.has_closed {
                    self.send_frame(true, PONG, &payload);
                }
                Received::Ping(payload)
            }
            PONG => Received::Pong(payload),
            CLOSE => {
                self.is_closed = true;
                let (code, reason) = match payload.split_at_checked(2) {
                    Some((code, reason)) => (Some(u16::from_be_bytes([code[0], code[1]])), reason),
                    None => (None, payload.as_slice()),
                };
                let may_be = code.is_none_or(|code| matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999));
                // One byte is neither a code nor nothing.
                assert!(
                    may_be && (code.is_some() || reason.is_empty()),
                    "{code:?} {}",
                    reason.escape_ascii()
                );
                let reason = String::from_utf8(reason.to_vec()).unwrap();
                if !self.silent && !self.has_closed {
                    self.send_frame(true, CLOSE, &payload);
                }
                Received::Close(code, reason)
            }
            other => panic!("{other} is no opcode"),
        }
    }

    /// The next frame: whether it is the last of its message, its opcode, and its payload.
    fn next_frame(&mut self, until: Instant) -> Option<(bool, u8, Vec<u8>)> {
        loop {
            let came = &self.came[self.read..];
            assert!(!self.is_closed || came.is_empty(), "behind a close frame: {}", came.escape_ascii());
            if let Some((head, length)) = measured(came)
                && let Some(payload) = came[head..].get(..length)
            {
                let (first, payload) = (came[0], payload.to_vec());
                self.read += head + length;
                return Some((first & 0x80 != 0, first & 0x0f, payload));
            }
            if !self.fill(until) {
                return None;
            }
        }
    }

    /// Waits for more bytes, and tells whether some came.
    fn fill(&mut self, until: Instant) -> bool {
        let left = until.saturating_duration_since(Instant::now());
        if self.is_over || left.is_zero() {
            return false;
        }
        self.came.drain(..self.read);
        self.read = 0;
        self.stream.set_read_timeout(Some(left)).unwrap();
        let mut some = [0; 16 * 1024];
        match self.stream.read(&mut some) {
            Ok(bytes) => {
                self.came.extend_from_slice(&some[..bytes]);
                self.is_over = bytes == 0;
                bytes > 0
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => false,
            // A server that leaves bytes unread resets the connection behind its last word.
            Err(_) => {
                self.is_over = true;
                false
            }
        }
    }
}

/// How many bytes the head and the payload of the frame have with which these bytes begin, once its head is there.
fn measured(came: &[u8]) -> Option<(usize, usize)> {
    let [first, second, rest @ ..] = came else { return None };
    assert_eq!(first & 0x70, 0, "reserved bits: {first:#x}");
    assert_eq!(second & 0x80, 0, "a server masks nothing");
    let (head, length) = match second {
        126 => (4, u64::from(u16::from_be_bytes(*rest.first_chunk()?))),
        127 => (10, u64::from_be_bytes(*rest.first_chunk()?)),
        short => (2, u64::from(*short)),
    };
    let is_short = match head {
        2 => true,
        4 => length > 125,
        _ => length > u64::from(u16::MAX),
    };
    assert!(is_short, "{length} in a head of {head} bytes");
    Some((head, usize::try_from(length).unwrap()))
}

/// The request for a WebSocket.
fn request(path: &str, protocol: Option<&str>, headers: &[(&str, &str)]) -> String {
    let own = [
        ("Host", "127.0.0.1"),
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", KEY),
    ];
    let is_given = |name: &str| headers.iter().any(|(given, _)| given.eq_ignore_ascii_case(name));
    let own = own.into_iter().filter(|(name, _)| !is_given(name));
    let protocol = protocol.map(|protocol| ("Sec-WebSocket-Protocol", protocol));
    let all = own.chain(protocol).chain(headers.iter().copied());
    let lines: String = all.map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    format!("GET {path} HTTP/1.1\r\n{lines}\r\n")
}
