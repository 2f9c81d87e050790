//! What goes over a socket: how each way to follow begins, and how whole events are counted in what comes, wherever it is cut.

/// A way to follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transport {
    /// The floor's: nothing but what is new.
    Raw,
    Sse,
    /// With a filter that everything passes.
    SseFiltered,
    /// Every text message is an event.
    WebSocket,
    /// `flightdeck.v1`, with one subscription.
    Protocol,
}

/// Those of the server.
pub(crate) const SERVED: [Transport; 4] =
    [Transport::Sse, Transport::SseFiltered, Transport::WebSocket, Transport::Protocol];
/// Those that differ in more than a filter.
pub(crate) const DIFFERENT: [Transport; 3] = [Transport::Sse, Transport::WebSocket, Transport::Protocol];

impl Transport {
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Raw => "raw tokio",
            Self::Sse => "SSE",
            Self::SseFiltered => "SSE, filtered",
            Self::WebSocket => "WebSocket, plain",
            Self::Protocol => "WebSocket, flightdeck.v1",
        }
    }

    pub(crate) const fn is_websocket(self) -> bool {
        matches!(self, Self::WebSocket | Self::Protocol)
    }

    /// What is asked for, to follow behind the head. `None` when whoever connects follows.
    pub(crate) fn request(self, host: &str) -> Option<String> {
        let filter = if self == Self::SseFiltered { "&streams=a-*" } else { "" };
        let more = match self {
            Self::Raw => return None,
            Self::Sse | Self::SseFiltered => "Accept: text/event-stream\r\n",
            Self::WebSocket => UPGRADE,
            Self::Protocol => {
                return Some(format!(
                    "GET /api/events HTTP/1.1\r\nHost: {host}\r\n{UPGRADE}Sec-WebSocket-Protocol: flightdeck.v1\r\n\r\n"
                ));
            }
        };
        Some(format!("GET /api/events?after=head{filter} HTTP/1.1\r\nHost: {host}\r\n{more}\r\n"))
    }

    /// The status of an answer that lets somebody follow.
    pub(crate) const fn status(self) -> &'static str {
        if self.is_websocket() { "101" } else { "200" }
    }

    /// What is sent behind the handshake.
    pub(crate) fn subscribe(self) -> Option<Vec<u8>> {
        (self == Self::Protocol).then(|| masked(0x1, br#"{"op":"subscribe","sub":"a","after":"head"}"#))
    }

    /// What comes once it follows. With none, it does as soon as it is answered.
    pub(crate) const fn ready(self) -> Option<&'static str> {
        match self {
            Self::Raw => Some(GREETING),
            Self::WebSocket => None,
            Self::Sse | Self::SseFiltered => Some("event: caught-up"),
            Self::Protocol => Some("\"k\":\"caught-up\""),
        }
    }
}

/// What the floor says behind a head of its own once somebody follows.
pub(crate) const GREETING: &str = "ready\n\n";

/// The key is the one of RFC 6455: nobody looks at what comes of it.
const UPGRADE: &str = "Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A short frame of a client. Masked with zeros, it is what it was.
pub(crate) fn masked(opcode: u8, payload: &[u8]) -> Vec<u8> {
    let length = u8::try_from(payload.len()).unwrap();
    assert!(length < 126);
    let mut frame = vec![0x80 | opcode, 0x80 | length, 0, 0, 0, 0];
    frame.extend_from_slice(payload);
    frame
}

/// Counts the events in what comes.
pub(crate) enum Counter {
    Lines(Lines),
    Frames(Box<Frames>),
}

impl Counter {
    pub(crate) fn new(of: Transport) -> Self {
        match of {
            Transport::Raw | Transport::Sse | Transport::SseFiltered => Self::Lines(Lines::default()),
            Transport::WebSocket | Transport::Protocol => {
                Self::Frames(Box::new(Frames { is_protocol: of == Transport::Protocol, ..Frames::default() }))
            }
        }
    }

    /// Takes in what has come: how many events more are whole enough to be counted.
    pub(crate) fn take_in(&mut self, bytes: &[u8]) -> u64 {
        match self {
            Self::Lines(lines) => lines.take_in(bytes),
            Self::Frames(frames) => frames.take_in(bytes),
        }
    }

    /// What is to be sent back.
    pub(crate) fn reply(&mut self) -> Option<Vec<u8>> {
        match self {
            Self::Lines(_) => None,
            Self::Frames(frames) => frames.reply.take(),
        }
    }
}

/// Of Server-Sent Events, the line that holds the data. The chunks of HTTP never begin within one of these.
#[derive(Default)]
pub(crate) struct Lines {
    matched: usize,
    /// So much of an event is certain to come before the next begins.
    skip: usize,
}

impl Lines {
    const NEEDLE: &[u8] = b"\ndata: {";
    /// An event has more than that behind its beginning, whatever it says: its names alone, its id and its hash.
    const EVENT_BYTES_MIN: usize = 200;

    fn take_in(&mut self, mut left: &[u8]) -> u64 {
        let mut events = 0;
        loop {
            let step = self.skip.min(left.len());
            (self.skip, left) = (self.skip - step, &left[step..]);
            if self.matched == 0 {
                let Some(found) = left.iter().position(|byte| *byte == b'\n') else { return events };
                (self.matched, left) = (1, &left[found + 1..]);
            }
            let Some((next, rest)) = left.split_first() else { return events };
            if *next == Self::NEEDLE[self.matched] {
                (self.matched, left) = (self.matched + 1, rest);
            } else {
                // It may be where the next begins, and is looked at again.
                self.matched = 0;
            }
            if self.matched == Self::NEEDLE.len() {
                (self.matched, self.skip) = (0, Self::EVENT_BYTES_MIN);
                events += 1;
            }
        }
    }
}

/// Of WebSocket, the frames.
pub(crate) struct Frames {
    is_protocol: bool,
    head: [u8; 10],
    /// So much of a head is there.
    has: usize,
    /// So much of the payload is still to come.
    left: u64,
    /// How it begins; all of it where it is short.
    begins: [u8; 125],
    begun: usize,
    /// What is to be sent back.
    reply: Option<Vec<u8>>,
}

impl Default for Frames {
    fn default() -> Self {
        Self { is_protocol: false, head: [0; 10], has: 0, left: 0, begins: [0; 125], begun: 0, reply: None }
    }
}

impl Frames {
    const EVENT: &[u8] = b"{\"k\":\"event\"";

    fn take_in(&mut self, mut bytes: &[u8]) -> u64 {
        let mut events = 0;
        while let Some((next, rest)) = bytes.split_first() {
            if self.has == 0 || self.has < self.wants() {
                self.head[self.has] = *next;
                (self.has, bytes) = (self.has + 1, rest);
                if self.has < self.wants() {
                    continue;
                }
                (self.left, self.begun) = (self.length(), 0);
            } else {
                let step = bytes.len().min(usize::try_from(self.left).unwrap());
                // Of a long one its beginning says enough.
                let is_control = self.head[0] & 0x8 != 0;
                let room = if is_control { self.begins.len() } else { Self::EVENT.len() } - self.begun;
                let some = step.min(room);
                self.begins[self.begun..self.begun + some].copy_from_slice(&bytes[..some]);
                (self.begun, self.left, bytes) = (self.begun + some, self.left - step as u64, &bytes[step..]);
            }
            if self.left == 0 {
                events += u64::from(self.ends());
                self.has = 0;
            }
        }
        events
    }

    /// How long its head is, as far as is known.
    fn wants(&self) -> usize {
        match (self.has, self.head[1]) {
            (0 | 1, _) => 2,
            (_, 126) => 4,
            (_, 127) => 10,
            (_, short) => {
                assert!(short < 126, "a frame of the server is masked");
                2
            }
        }
    }

    fn length(&self) -> u64 {
        match self.head[1] {
            126 => u16::from_be_bytes([self.head[2], self.head[3]]).into(),
            127 => u64::from_be_bytes(self.head[2..].try_into().unwrap()),
            short => short.into(),
        }
    }

    /// A frame is whole: whether it is an event.
    fn ends(&mut self) -> bool {
        let begins = &self.begins[..self.begun];
        match self.head[0] {
            0x81 => !self.is_protocol || begins.starts_with(Self::EVENT),
            0x89 => {
                self.reply = Some(masked(0xA, begins));
                false
            }
            0x8A => false,
            0x88 => {
                let code = begins.first_chunk().map(|code| u16::from_be_bytes(*code));
                let why = String::from_utf8_lossy(begins.get(2..).unwrap_or_default());
                panic!("the server has closed a WebSocket: {code:?} {why}");
            }
            other => panic!("a frame that begins with {other:#x} is none that was expected"),
        }
    }
}
