//! The newest events of the log, encoded once for everybody who follows it.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Duration;

use bytes::Bytes;
use flightdeck_core::{Cursor, Epoch, EventType, Position, StreamId, Tags};
use flightdeck_store::{Filter, Recorded};
use tokio::sync::watch;
use tokio::time::Instant;

use super::frames::{self, HEAD_MAX};
use crate::event::{Breaks, put_number, write};

/// A segment has so many events at the most: as many as there are bits in [`Which`],
const SEGMENT_EVENTS: usize = 64;
/// or about so many bytes, so that what a stalled reader has in its hands is small.
const SEGMENT_BYTES: usize = 16 * 1024;
/// For how long an event is held, here and on pages: what is erased in the log is gone here after that as well.
pub(super) const AGE: Duration = Duration::from_secs(60);

/// An event as it goes out, with what filters look at.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) position: Position,
    pub(crate) stream: StreamId,
    pub(crate) event_type: EventType,
    pub(crate) tags: Tags,
    /// Where it stands in its segment, as Server-Sent Events have it: an id, one line of data, and an empty line.
    sse: Range<u32>,
    /// Where it stands there in JSON.
    json: Range<u32>,
}

impl Frame {
    /// Whether it passes a filter.
    pub(crate) fn passes(&self, filter: &Filter) -> bool {
        let Filter { streams, types, tags } = filter;
        (streams.is_empty() || streams.iter().any(|pattern| pattern.matches(&self.stream)))
            && (types.is_empty() || types.iter().any(|pattern| pattern.matches(&self.event_type)))
            && tags.iter().all(|tag| self.tags.contains(tag))
    }
}

/// Events that stand next to each other.
#[derive(Debug)]
pub(crate) struct Segment {
    /// Behind this.
    pub(crate) after: Position,
    /// Up to this, itself included.
    pub(crate) last: Position,
    pub(crate) frames: Vec<Frame>,
    /// Whether some are of streams of the system's own.
    pub(crate) has_system: bool,
    /// All of them together, as Server-Sent Events.
    pub(crate) sse: Bytes,
    /// The same as messages of a WebSocket, each an event in JSON: made when the first one wants them.
    messages: OnceLock<Bytes>,
}

impl Segment {
    /// All of them together, as messages of a WebSocket.
    pub(crate) fn messages(&self) -> &Bytes {
        self.messages.get_or_init(|| {
            let mut out = Vec::with_capacity(self.sse.len());
            for frame in &self.frames {
                let json = self.json_of(frame);
                frames::put_head(&mut out, json.len());
                out.extend_from_slice(json);
            }
            out.shrink_to_fit();
            out.into()
        })
    }

    /// One of them, as a Server-Sent Event.
    pub(crate) fn sse_of(&self, frame: &Frame) -> &[u8] {
        &self.sse[frame.sse.start as usize..frame.sse.end as usize]
    }

    /// One of them, in JSON.
    pub(crate) fn json_of(&self, frame: &Frame) -> &[u8] {
        &self.sse[frame.json.start as usize..frame.json.end as usize]
    }

    /// Those of them that are meant.
    pub(crate) fn some(&self, which: Which) -> impl Iterator<Item = &Frame> + Clone {
        self.frames.iter().enumerate().filter(move |(place, _)| which.has(*place)).map(|(_, frame)| frame)
    }

    /// What it takes, about, once both are made.
    pub(crate) fn weight(&self) -> usize {
        self.sse.len() * 2 + self.frames.len() * (size_of::<Frame>() + 64 + HEAD_MAX)
    }
}

/// Which events of a segment, by their places.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Which(u64);

impl Which {
    pub(crate) const fn has(self, place: usize) -> bool {
        self.0 >> place & 1 == 1
    }

    pub(crate) const fn add(&mut self, place: usize) {
        self.0 |= 1 << place;
    }

    pub(crate) const fn count(self) -> usize {
        self.0.count_ones() as usize
    }
}

/// Encodes events, which stand next to each other in the log or passed the same filter, in segments.
pub(crate) fn encode(events: &[Recorded], epoch: &Epoch, mut after: Position) -> Vec<Arc<Segment>> {
    let mut segments = Vec::new();
    let mut left = events;
    while !left.is_empty() {
        let (mut out, mut frames) = (Vec::new(), Vec::new());
        for event in left {
            frames.push(put(&mut out, event, epoch));
            if frames.len() == SEGMENT_EVENTS || out.len() >= SEGMENT_BYTES {
                break;
            }
        }
        out.shrink_to_fit();
        let last = frames.last().map_or(after, |frame| frame.position);
        let has_system = frames.iter().any(|frame| frame.stream.is_system());
        left = &left[frames.len()..];
        let messages = OnceLock::new();
        segments.push(Arc::new(Segment { after, last, frames, has_system, sse: out.into(), messages }));
        after = last;
    }
    segments
}

/// Puts an event there, and says where it stands.
fn put(out: &mut Vec<u8>, event: &Recorded, epoch: &Epoch) -> Frame {
    // A segment ends soon behind its bytes, and an event has far less than 4 GiB.
    let place = |out: &Vec<u8>| u32::try_from(out.len()).unwrap_or(u32::MAX);
    let begin = place(out);
    out.extend_from_slice(b"id: ");
    out.extend_from_slice(epoch.as_str().as_bytes());
    out.push(b'-');
    put_number(out, event.position.get());
    out.extend_from_slice(b"\ndata: ");
    let json = place(out);
    write(out, event, epoch, Breaks::Spaces);
    let json = json..place(out);
    out.extend_from_slice(b"\n\n");
    Frame {
        position: event.position,
        stream: event.stream.clone(),
        event_type: event.event_type.clone(),
        tags: event.tags.clone(),
        sse: begin..place(out),
        json,
    }
}

/// What somebody at a position finds.
#[derive(Debug)]
pub(crate) enum Found {
    /// The log began another epoch than the one that it knows.
    OtherEpoch(Cursor),
    /// It is before all that is held.
    Behind,
    /// Nothing is held yet; it begins in a moment, and rings then.
    NotYet,
    /// It has everything.
    Nothing,
    /// What comes can't be read.
    Failed,
    /// The segment that begins behind it, or has it within.
    Segment(Arc<Segment>),
}

/// The ring.
#[derive(Debug)]
pub(crate) struct Ring {
    held: RwLock<Held>,
    bytes_max: usize,
    /// Rings when there is something new: up to where.
    bell: watch::Sender<Position>,
    /// How many follow. While nobody does, nothing is read and held.
    following: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Held {
    /// The epoch that it is of; `None` before anything was read.
    epoch: Option<Epoch>,
    segments: VecDeque<(Instant, Arc<Segment>)>,
    bytes: usize,
    /// Everything behind this is held,
    base: Position,
    /// up to this.
    head: Position,
    /// What is behind that can't be read.
    failed: bool,
}

impl Held {
    fn forget(&mut self, bytes_max: usize, now: Instant) {
        while let Some((since, first)) = self.segments.front() {
            if self.bytes <= bytes_max && now.duration_since(*since) <= AGE {
                break;
            }
            let (weight, last) = (first.weight(), first.last);
            (self.bytes, self.base) = (self.bytes - weight, last);
            self.segments.pop_front();
        }
    }
}

impl Ring {
    pub(crate) fn new(bytes_max: usize) -> Self {
        let (bell, following) = (watch::Sender::new(Position::START), watch::Sender::new(0));
        Self { held: RwLock::default(), bytes_max, bell, following }
    }

    /// Rings when there is something new, of whichever epoch.
    pub(crate) fn bell(&self) -> watch::Receiver<Position> {
        self.bell.subscribe()
    }

    /// Somebody follows from now on.
    pub(crate) fn come(&self) {
        self.following.send_modify(|following| *following += 1);
    }

    /// Somebody does not any more.
    pub(crate) fn go(&self) {
        self.following.send_modify(|following| *following -= 1);
    }

    /// How many follow.
    pub(crate) fn following(&self) -> usize {
        *self.following.borrow()
    }

    /// Waits until somebody follows, and holds nothing until then: whoever comes first waits for it to begin.
    pub(crate) async fn wanted(&self) {
        if self.following() == 0 {
            *self.held.write().unwrap_or_else(PoisonError::into_inner) = Held::default();
            // The sender is this ring's own.
            drop(self.following.subscribe().wait_for(|following| *following > 0).await);
        }
    }

    /// Begins anew, at that head.
    pub(crate) fn begin(&self, head: &Cursor) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let (epoch, at) = (Some(head.epoch().clone()), head.position());
        *held = Held { epoch, base: at, head: at, ..Held::default() };
        drop(held);
        self.bell.send_replace(at);
    }

    /// Takes in what is behind its head.
    pub(crate) fn take_in(&self, segments: Vec<Arc<Segment>>) {
        let now = Instant::now();
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.failed = false;
        for segment in segments {
            assert_eq!(segment.after, held.head, "what is taken in stands behind what is held");
            held.bytes += segment.weight();
            held.head = segment.last;
            held.segments.push_back((now, segment));
        }
        held.forget(self.bytes_max, now);
        let head = held.head;
        drop(held);
        self.bell.send_replace(head);
    }

    /// What comes can't be read: whoever has everything else hears so.
    pub(crate) fn fail(&self) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.failed = true;
        let head = held.head;
        drop(held);
        self.bell.send_replace(head);
    }

    /// Forgets what was held for long enough.
    pub(crate) fn forget_old(&self) {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        held.failed = false;
        held.forget(self.bytes_max, Instant::now());
    }

    /// What somebody finds who has everything up to there.
    pub(crate) fn behind(&self, epoch: &Epoch, after: Position) -> Found {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        match &held.epoch {
            None => return if held.failed { Found::Failed } else { Found::NotYet },
            Some(own) if own != epoch => return Found::OtherEpoch(Cursor::new(own.clone(), held.head)),
            Some(_) => {}
        }
        if after < held.base {
            return Found::Behind;
        }
        let place = held.segments.partition_point(|(_, segment)| segment.last <= after);
        match held.segments.get(place) {
            Some((_, segment)) => Found::Segment(Arc::clone(segment)),
            None if held.failed => Found::Failed,
            None => Found::Nothing,
        }
    }

    /// The head of what is held, once something was read.
    pub(crate) fn head(&self) -> Option<Cursor> {
        let held = self.held.read().unwrap_or_else(PoisonError::into_inner);
        held.epoch.clone().map(|epoch| Cursor::new(epoch, held.head))
    }

    /// What is held, in bytes.
    pub(crate) fn bytes(&self) -> usize {
        self.held.read().unwrap_or_else(PoisonError::into_inner).bytes
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::sync::Arc;

    use flightdeck_core::{Cursor, EventType, Json, Position, StreamId};
    use flightdeck_store::{Append, EventStore as _, Filter, LogQuery, MemoryStore, NewEvent, Recorded};

    use super::{Found, Ring, encode};

    /// So many events in so many streams.
    pub(crate) async fn events(count: usize) -> (Vec<Recorded>, Cursor) {
        let store = MemoryStore::new();
        for number in 0..count {
            let stream = StreamId::new(format!("a-{}", number % 3)).unwrap();
            let data = Json::new(format!("{{\"number\":{number}}}"), 100).unwrap();
            let event = NewEvent::new(stream, EventType::new("A").unwrap(), data);
            store.append(Append::of([event])).await.unwrap();
        }
        let page = store.read_log(&LogQuery::default()).await.unwrap();
        (page.events, page.head)
    }

    fn at(position: i64) -> Position {
        Position::new(position).unwrap()
    }

    #[tokio::test]
    async fn whoever_is_on_the_ring_finds_what_is_behind_it() {
        let (events, head) = events(200).await;
        let ring = Ring::new(1 << 20);
        let epoch = head.epoch();
        assert!(matches!(ring.behind(epoch, at(0)), Found::NotYet));
        ring.begin(&Cursor::new(epoch.clone(), at(10)));
        ring.take_in(encode(&events[10..], epoch, at(10)));
        assert!(matches!(ring.behind(epoch, at(9)), Found::Behind));
        assert!(matches!(ring.behind(epoch, at(200)), Found::Nothing));
        let (mut cursor, mut seen) = (at(10), Vec::new());
        while let Found::Segment(segment) = ring.behind(epoch, cursor) {
            assert!(segment.frames.len() <= 64 && segment.after <= cursor);
            seen.extend(
                segment.frames.iter().map(|frame| frame.position).filter(|position| *position > cursor),
            );
            cursor = segment.last;
        }
        assert_eq!(seen, (11..=200).map(at).collect::<Vec<_>>());
        // In the middle of a segment as well.
        let Found::Segment(segment) = ring.behind(epoch, at(15)) else { panic!("nothing") };
        assert!(segment.after < at(15) && segment.last > at(15));
        let other = "other".parse().unwrap();
        assert!(matches!(ring.behind(&other, at(15)), Found::OtherEpoch(cursor) if cursor == head));
    }

    #[tokio::test(start_paused = true)]
    async fn the_ring_forgets_what_is_beyond_its_bytes_and_what_is_old() {
        let (events, head) = events(300).await;
        let ring = Ring::new(20_000);
        ring.begin(&Cursor::new(head.epoch().clone(), at(0)));
        for (place, event) in events.iter().enumerate() {
            let after = at(i64::try_from(place).unwrap());
            ring.take_in(encode(std::slice::from_ref(event), head.epoch(), after));
            assert!(ring.bytes() <= 20_000);
        }
        assert!(matches!(ring.behind(head.epoch(), at(100)), Found::Behind));
        assert!(matches!(ring.behind(head.epoch(), at(299)), Found::Segment(_)));
        tokio::time::advance(std::time::Duration::from_secs(61)).await;
        ring.forget_old();
        assert!(matches!(ring.behind(head.epoch(), at(299)), Found::Behind));
        assert!(matches!(ring.behind(head.epoch(), at(300)), Found::Nothing));
    }

    #[tokio::test]
    async fn an_event_is_one_id_and_one_line() {
        let (event, epoch) = crate::event::tests::odd().await;
        let segments = encode(&[event], &epoch, at(0));
        let text = String::from_utf8(segments[0].sse.to_vec()).unwrap();
        let lines: Vec<&str> = text.split('\n').collect();
        assert_eq!(lines[0], format!("id: {epoch}-1"));
        let told: serde_json::Value = serde_json::from_str(lines[1].strip_prefix("data: ").unwrap()).unwrap();
        let segment = &segments[0];
        let frame = &segment.frames[0];
        assert_eq!((&told["position"], segment.sse_of(frame)), (&serde_json::json!(1), text.as_bytes()));
        assert_eq!(segment.json_of(frame), lines[1].strip_prefix("data: ").unwrap().as_bytes());
        // And one message.
        let message = segment.messages();
        let length = u16::from_be_bytes([message[2], message[3]]);
        assert_eq!((&message[..2], usize::from(length)), (&[0x81, 126][..], segment.json_of(frame).len()));
        assert_eq!(&message[4..], segment.json_of(frame));
        assert_eq!((&lines[2..], text.contains('\r')), (&["", ""][..], false));
        assert!(segments[0].frames[0].passes(&Filter::ALL));
        assert_eq!(Arc::strong_count(&segments[0]), 1);
    }
}
