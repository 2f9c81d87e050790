//! Whoever appends: over one connection, at a rate or as fast as can be, and notes when it did.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

/// Events an append, at the most.
pub(crate) const BATCH: u64 = 1_000;
/// Bytes of text in an event, so that it is one of about 400 bytes where it arrives.
const TEXT_BYTES: usize = 60;

/// One request.
pub(crate) struct Written {
    pub(crate) events: u64,
    /// Just before it was written.
    pub(crate) begun: Instant,
    /// When the answer was there.
    pub(crate) answered: Instant,
}

/// What was written, when, event by event.
pub(crate) fn times(all: &[Written]) -> impl Iterator<Item = (Instant, Instant)> {
    all.iter().flat_map(|one| (0..one.events).map(|_| (one.begun, one.answered)))
}

pub(crate) fn events(all: &[Written]) -> u64 {
    all.iter().map(|one| one.events).sum()
}

/// A connection over which events are appended.
pub(crate) struct Writer {
    stream: TcpStream,
    host: SocketAddr,
    next: u64,
    answer: Vec<u8>,
    /// The last cursor that was answered.
    cursor: String,
}

impl Writer {
    pub(crate) fn new(host: SocketAddr) -> Self {
        let stream = TcpStream::connect(host).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        Self { stream, host, next: 0, answer: Vec::new(), cursor: String::new() }
    }

    /// The epoch of the log, and the position of the last event.
    pub(crate) fn cursor(&self) -> (&str, u64) {
        let (epoch, position) = self.cursor.rsplit_once('-').expect("something was appended");
        (epoch, position.parse().unwrap())
    }

    /// Appends so many events in one request.
    pub(crate) fn append(&mut self, events: u64) -> Written {
        let request = self.request(events);
        let begun = Instant::now();
        self.stream.write_all(&request).unwrap();
        self.read_answer();
        Written { events, begun, answered: Instant::now() }
    }

    /// One event after the other so many times a second, for a while. Behind its time, it appends together what should be there.
    pub(crate) fn steadily(&mut self, rate: u64, time: Duration, events_max: u64) -> Vec<Written> {
        let (begun, mut done, mut all) = (Instant::now(), 0, Vec::new());
        while begun.elapsed() < time {
            let due = (begun.elapsed().as_secs_f64() * rate as f64) as u64;
            if due <= done {
                let next = Duration::from_secs_f64((done + 1) as f64 / rate as f64);
                std::thread::sleep(next.saturating_sub(begun.elapsed()).max(Duration::from_micros(50)));
                continue;
            }
            let written = self.append((due - done).min(events_max));
            done += written.events;
            all.push(written);
        }
        all
    }

    /// So many events as fast as can be, in batches.
    pub(crate) fn burst(&mut self, events: u64) -> Vec<Written> {
        let batches = (0..events).step_by(usize::try_from(BATCH).unwrap());
        batches.map(|first| self.append((events - first).min(BATCH))).collect()
    }

    fn request(&mut self, events: u64) -> Vec<u8> {
        let text = "x".repeat(TEXT_BYTES);
        let mut body = String::from("{\"events\":[");
        for place in 0..events {
            let number = self.next + place;
            let comma = if place == 0 { "" } else { "," };
            let stream = number % 100;
            body.push_str(&format!(
                "{comma}{{\"streamId\":\"a-{stream}\",\"eventType\":\"Measured\",\"data\":{{\"number\":{number},\"text\":\"{text}\"}}}}"
            ));
        }
        body.push_str("]}");
        self.next += events;
        let request = format!(
            "POST /api/append HTTP/1.1\r\nHost: {}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.host,
            body.len()
        );
        request.into_bytes()
    }

    fn read_answer(&mut self) {
        self.answer.clear();
        let mut piece = [0; 16 * 1024];
        loop {
            let more = self.stream.read(&mut piece).unwrap();
            assert!(more > 0, "the server has closed the connection of whoever appends");
            self.answer.extend_from_slice(&piece[..more]);
            let Some(head) = self.answer.windows(4).position(|end| end == b"\r\n\r\n") else { continue };
            let told = std::str::from_utf8(&self.answer[..head]).unwrap();
            let length: usize = told
                .lines()
                .find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok())
                .unwrap();
            if self.answer.len() < head + 4 + length {
                continue;
            }
            assert_eq!(&told[9..12], "201", "{}", String::from_utf8_lossy(&self.answer));
            let body = std::str::from_utf8(&self.answer[head + 4..]).unwrap();
            let (_, cursor) = body.split_once("\"cursor\":\"").unwrap();
            cursor.split('"').next().unwrap().clone_into(&mut self.cursor);
            return;
        }
    }
}
