//! Limits, sums and texts of appends.

use flightdeck_core::{Cursor, Epoch, EventId, EventType, Json, Position, StreamId, Version};
use uuid::Uuid;

use super::{Append, Appended, Conflict, Expected, InvalidAppend, RequestKey};
use crate::event::NewEvent;

fn stream(name: &str) -> StreamId {
    StreamId::new(name).unwrap()
}

fn event(data: String) -> NewEvent {
    NewEvent::new(stream("a-1"), EventType::new("A").unwrap(), Json::new(data, 1 << 20).unwrap())
}

#[test]
fn counts_and_sizes_have_limits() {
    assert!(Append::of(vec![event("1".into()); 1_000]).check().is_ok());
    let found = Append::of(vec![event("1".into()); 1_001]).check();
    assert_eq!(found, Err(InvalidAppend::TooMany { what: "events", found: 1_001, most: 1_000 }));
    let large = |bytes: usize| event(format!("\"{}\"", "x".repeat(bytes - 2)));
    assert!(Append::of(vec![large(256 * 1024); 16]).check().is_ok());
    assert!(Append::of(vec![large(256 * 1024); 17]).check().is_err());
    assert!(Append::of([large(256 * 1024 + 1)]).check().is_err());
}

#[test]
fn nothing_is_said_twice() {
    let id = EventId::new(Uuid::from_u128(1)).unwrap();
    let twice = Append::of([event("1".into()).with_id(id), event("2".into()).with_id(id)]);
    assert_eq!(twice.check(), Err(InvalidAppend::IdTwice { id }));
    let twice =
        Append::of([]).expecting(stream("a-1"), Expected::Any).expecting(stream("a-1"), Expected::Exists);
    assert_eq!(twice.check(), Err(InvalidAppend::ExpectedTwice { stream: stream("a-1") }));
}

#[test]
fn a_conflict_reads_as_a_sentence() {
    let at = |number| Version::new(number).unwrap();
    let conflict =
        Conflict { stream: stream("a-1"), expected: Expected::Exactly(at(3)), actual: Some(at(5)) };
    assert_eq!(conflict.to_string(), "stream a-1: expected version 3, but current version is 5");
    let conflict = Conflict { stream: stream("a-1"), expected: Expected::Exists, actual: None };
    assert_eq!(conflict.to_string(), "stream a-1: expected an existing stream, but there is no such stream");
}

#[test]
fn a_sum_names_each_stream_once() {
    let (a, b) = (stream("a-1"), stream("b-1"));
    let cursor = |at| Cursor::new(Epoch::new("e").unwrap(), Position::new(at).unwrap());
    let event = |stream, version, position| {
        (stream, Version::new(version).unwrap(), Position::new(position).unwrap())
    };
    let sum = Appended::sum_up([event(&a, 3, 7), event(&b, 1, 8), event(&a, 4, 9)], cursor(0), false);
    assert_eq!(
        sum.streams.iter().map(|s| (s.stream.as_str(), s.from.get(), s.version.get())).collect::<Vec<_>>(),
        [("a-1", 3, 4), ("b-1", 1, 1)]
    );
    assert_eq!(
        (sum.range, sum.cursor),
        (Some((Position::new(7).unwrap(), Position::new(9).unwrap())), cursor(9))
    );
    assert_eq!(Appended::sum_up([], cursor(6), true).cursor, cursor(6));
}

#[test]
fn request_keys_are_short_and_visible() {
    assert!(RequestKey::new("me", "k", [0; 32]).is_ok());
    for (caller, key) in
        [("", "k"), ("me", ""), ("me", "a b"), ("me", "a\n"), ("m\0", "k"), ("me", &"x".repeat(201))]
    {
        assert!(RequestKey::new(caller, key, [0; 32]).is_err(), "{caller:?} {key:?}");
    }
}
