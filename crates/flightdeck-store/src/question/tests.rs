//! Paths, values, days and mixes by themselves; what a store makes of them is the contract's to say.

use bytes::Bytes;
use flightdeck_core::limits::QUESTION_STREAMS_MAX;
use flightdeck_core::{Json, Metadata, Position, StreamId, Timestamp};
use std::time::Duration;

use super::{Budget, Day, Finding, LogQuestion, Number, Part, Pointer, Scalar, TooMuch, scalar};
use crate::chain::Hash;
use crate::{Data, EventStore as _, MemoryStore, NewEvent, Recorded, StoreError};

#[track_caller]
fn at(json: &str, path: &str, expected: Option<&str>) {
    let found = Pointer::parse(path).unwrap();
    assert_eq!(found.find(json.as_bytes()), expected, "{path} in {json}");
}

#[test]
fn a_path_leads_where_rfc_6901_says() {
    // The examples of the RFC's section 5.
    let json =
        r##"{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\j":5,"k\"l":6," ":7,"m~n":8}"##;
    for (path, expected) in [
        ("", json),
        ("/foo", r#"["bar","baz"]"#),
        ("/foo/0", r#""bar""#),
        ("/", "0"),
        ("/a~1b", "1"),
        ("/c%d", "2"),
        ("/e^f", "3"),
        ("/g|h", "4"),
        ("/i\\j", "5"),
        ("/k\"l", "6"),
        ("/ ", "7"),
        ("/m~0n", "8"),
    ] {
        at(json, path, Some(expected));
    }
    for path in
        ["/foo/2", "/foo/-", "/foo/00", "/foo/0/x", "/fo", "/foo/bar", "/a/b", "/foo/18446744073709551616"]
    {
        at(json, path, None);
    }
    at(r#"{"a":{"1":[10,[20,{"b":null}]]},"z":1}"#, "/a/1/1/1/b", Some("null"));
    at(r#"{"01":1,"-":2}"#, "/01", Some("1"));
    at(r#"{"01":1,"-":2}"#, "/-", Some("2"));
    at(r#"{"~1":1}"#, "/~01", Some("1"));
    at(r#"{"a":1,"b":2,"a":{"c":3}}"#, "/a/c", Some("3"));
    at(r#"{"a":{"c":3},"a":1}"#, "/a/c", None);
    at(" [ 1 , 2.50 ] ", "/1", Some("2.50"));
}

#[test]
fn a_path_that_leads_nowhere_is_refused() {
    let (long, deep) = ("/a".repeat(501), "/a".repeat(65));
    for bad in ["a", "a/b", " /a", "/~", "/~2", "/a~", "/~1~a", &long, &deep] {
        assert!(Pointer::parse(bad).is_err(), "{bad:?} was taken");
    }
    assert!(Pointer::parse(&"/a".repeat(64)).is_ok());
    assert_eq!(Pointer::member("a/~b").unwrap().as_str(), "/a~1~0b");
}

#[track_caller]
fn alike(one: &str, other: &str, same: bool) {
    assert_eq!(Number::parse(one).unwrap() == Number::parse(other).unwrap(), same, "{one} and {other}");
}

#[test]
fn numbers_are_the_same_by_their_decimal_value() {
    for (one, other) in [
        ("1", "1.0"),
        ("1", "10e-1"),
        ("1", "0.1E+1"),
        ("-0", "0"),
        ("0e999999999999999999999", "0.000"),
        ("120", "1.2e2"),
        ("-1.50", "-15e-1"),
        ("100000000000000000000000", "1e23"),
        ("0.001", "1e-3"),
    ] {
        alike(one, other, true);
    }
    for (one, other) in [
        ("1", "-1"),
        ("9007199254740993", "9007199254740992"),
        ("0.1", "0.1000000000000000055"),
        ("1e23", "99999999999999990000000"),
        ("1", "10"),
        ("1e-400", "0"),
        ("1e400", "1e401"),
    ] {
        alike(one, other, false);
    }
    for bad in ["", "+1", "01", "1.", ".5", "1e", "NaN", "\"1\"", "1 2", "0x1", "1e99999999999999999999"] {
        assert!(Number::parse(bad).is_err(), "{bad:?} was taken");
    }
    for (text, shown) in [("1.50", "15e-1"), ("-120", "-12e1"), ("0.0", "0"), ("7", "7")] {
        assert_eq!(Number::parse(text).unwrap().to_string(), shown);
    }
    assert_eq!(Number::from(i64::MIN), Number::parse("-9223372036854775808").unwrap());
}

#[test]
fn a_value_is_read_from_json() {
    for (json, value) in [
        ("null", Scalar::Null),
        ("true", true.into()),
        (" 12 ", 12.into()),
        (r#""a\u00e9\n""#, "aé\n".into()),
        (r#""""#, "".into()),
    ] {
        assert_eq!(Scalar::from_json(json).unwrap(), value, "{json}");
    }
    let long = format!("\"{}\"", "x".repeat(4_096));
    for bad in ["", "{}", "[1]", "nul", "\"\\u0000\"", "'a'", "1e999", &long] {
        assert!(Scalar::from_json(bad).is_err(), "{bad:?} was taken");
    }
}

fn recorded(data: Data, metadata: Metadata) -> Recorded {
    let event = event("a-1", "Happened");
    Recorded {
        position: Position::new(1).unwrap(),
        stream: event.stream,
        version: flightdeck_core::Version::FIRST,
        id: flightdeck_core::EventId::new(uuid::Uuid::from_u128(0xc0_4774_c700_0000_8000_0000_0000_0001))
            .unwrap(),
        event_type: event.event_type,
        schema: event.schema,
        data,
        metadata,
        tags: event.tags,
        recorded_at: Timestamp::from_micros(0).unwrap(),
        append_end: Position::new(1).unwrap(),
        key: None,
        hash: Hash::GENESIS,
    }
}

#[test]
fn data_that_is_gone_has_no_values() {
    let null = |data| {
        scalar::has(
            &recorded(data, Metadata::default()),
            Part::Data,
            &Pointer::parse("").unwrap(),
            &Scalar::Null,
        )
    };
    assert!(null(Data::Json(Json::from_stored(Bytes::from_static(b"null")))));
    assert!(!null(Data::Tombstone([7; 32])), "a read shows null there, but there is nothing");
}

#[test]
fn a_day_is_one_of_utc() {
    let day: Day = "2026-11-21".parse().unwrap();
    assert_eq!(day.to_string(), "2026-11-21");
    assert_eq!(Day::of("2026-11-21T23:59:59.999999Z".parse().unwrap()), day);
    assert_eq!(Day::of("2026-11-21T00:30:00+01:00".parse().unwrap()).next(), Some(day));
    assert_eq!(Day::of(Timestamp::from_micros(-1).unwrap()).to_string(), "1969-12-31");
    assert_eq!("9999-12-31".parse::<Day>().unwrap().next(), None);
    assert_eq!("0001-01-01".parse::<Day>().unwrap().begins().to_string(), "0001-01-01T00:00:00.000000Z");
    for bad in ["2026-1-1", "2026-02-30", "", "2026-11-21T00"] {
        assert!(bad.parse::<Day>().is_err(), "{bad:?} was taken");
    }
    let asked = LogQuestion::by_day(day, day);
    assert_eq!((asked.from, asked.to), (Some(day.begins()), day.next().map(Day::begins)));
}

#[test]
fn a_budget_is_at_least_one_event_and_at_most_what_there_is() {
    assert!(Budget::new(0, Duration::MAX).is_err());
    assert_eq!(Budget::new(i64::MAX, Duration::MAX).unwrap(), Budget::MAX);
}

fn event(stream: &str, of: &str) -> NewEvent {
    let data = Json::from_stored(Bytes::from_static(b"{}"));
    NewEvent::new(StreamId::new(stream).unwrap(), flightdeck_core::EventType::new(of).unwrap(), data)
}

#[tokio::test]
async fn a_value_without_end_is_refused() {
    let text = Scalar::Text("x".repeat(4_097).into());
    let asked = LogQuestion::with_data(Pointer::parse("/a").unwrap(), text);
    assert!(matches!(MemoryStore::new().question(&asked).await, Err(StoreError::Invalid(_))));
}

#[test]
fn only_so_many_streams_and_types_are_compared() {
    let data = || Data::Json(Json::new("{}", 2).unwrap());
    let one = |stream: String, event_type: String| {
        let event_type = flightdeck_core::EventType::new(event_type).unwrap();
        Recorded {
            stream: StreamId::new(stream).unwrap(),
            event_type,
            ..recorded(data(), Metadata::default())
        }
    };
    let question = LogQuestion::alike(StreamId::new("a-1").unwrap());
    let until = Position::new(1_000).unwrap();
    let streams = |number: usize| one(format!("a-{number}"), "Happened".to_owned());
    let types = |number: usize| one("a-1".to_owned(), format!("Happened{number}"));
    let each: [(&dyn Fn(usize) -> Recorded, usize); 2] =
        [(&streams, QUESTION_STREAMS_MAX), (&types, QUESTION_STREAMS_MAX / 10)];
    for (event, most) in each {
        let mut finding = Finding::begin(&question, Position::START, until).unwrap();
        for number in 0..most {
            assert!(finding.look_at(&event(number), false).unwrap());
        }
        assert!(finding.look_at(&event(0), false).unwrap(), "one that is known is no further one");
        let refused = finding.look_at(&event(most), false);
        assert_eq!(refused, Err(TooMuch::Rows { rows_max: QUESTION_STREAMS_MAX }));
    }
}
