//! What is asked of an append: JSON of ours, or CloudEvents, with all that is wrong told by its place.

use std::cell::Cell;
use std::collections::BTreeSet;

use flightdeck_core::limits::{APPEND_EXPECTED_MAX, CONDITION_ITEMS_MAX, TAGS_MAX, TYPES_MAX};
use flightdeck_core::{StreamId, Version};
use flightdeck_store::{After, Condition, ConditionItem, Expected, NewEvent};

use crate::caps::{Cap, Caps};
use crate::cloud_event;
use crate::event::{self, Source};
use crate::members::{Members, Wrong, list, number, text, word};
use crate::params::place;
use crate::problem::Problem;

/// What is to be appended, and under which terms.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) events: Vec<NewEvent>,
    pub(super) expected: Vec<(StreamId, Expected)>,
    pub(super) condition: Option<Condition>,
}

impl Asked {
    /// Of one stream.
    pub(super) fn of_stream(body: &[u8], stream: &StreamId, caps: &Caps) -> Result<Self, Problem> {
        let mut members = Members::of(utf8(body)?);
        let read = |one: &str| event::read(one, Source::Stream(stream), caps);
        let events = members.required("events", |json| events(json, caps, read));
        let expected = members.optional("expected", state);
        let events = members.finish(events)?;
        let expected = expected.map(|expected| (stream.clone(), expected)).into_iter().collect();
        Ok(Self { events, expected, condition: None })
    }

    /// Of any streams.
    pub(super) fn of_any(body: &[u8], caps: &Caps) -> Result<Self, Problem> {
        let mut members = Members::of(utf8(body)?);
        let read = |one: &str| event::read(one, Source::Request, caps);
        let events = members.required("events", |json| events(json, caps, read));
        let expected = members.optional("expected", states).unwrap_or_default();
        let condition = members.optional("condition", condition);
        let events = members.finish(events)?;
        Ok(Self { events, expected, condition })
    }

    /// One `CloudEvent`.
    pub(super) fn cloud_event(body: &[u8], caps: &Caps) -> Result<Self, Problem> {
        Ok(Self::plain(vec![cloud_event::read(utf8(body)?, Source::Request, caps)?]))
    }

    /// A batch of `CloudEvents`.
    pub(super) fn cloud_events(body: &[u8], caps: &Caps) -> Result<Self, Problem> {
        let read = |one: &str| cloud_event::read(one, Source::Request, caps);
        Ok(Self::plain(events(utf8(body)?, caps, read)?))
    }

    const fn plain(events: Vec<NewEvent>) -> Self {
        Self { events, expected: Vec::new(), condition: None }
    }

    /// The streams that receive something.
    pub(super) fn streams(&self) -> BTreeSet<&StreamId> {
        self.events.iter().map(|event| &event.stream).collect()
    }
}

fn utf8(body: &[u8]) -> Result<&str, Wrong> {
    std::str::from_utf8(body)
        .map_err(|error| Wrong::field("", format!("is not UTF-8 behind byte {}", error.valid_up_to())))
}

fn events(
    json: &str,
    caps: &Caps,
    read: impl Fn(&str) -> Result<NewEvent, Wrong>,
) -> Result<Vec<NewEvent>, Wrong> {
    let (bytes_max, bytes) = (caps.get(Cap::AppendBytes), Cell::new(0));
    let read = |json: &str| {
        let event = read(json)?;
        bytes.set(bytes.get() + event.bytes());
        Ok(event)
    };
    let events = list(json, caps.get(Cap::AppendEvents), read);
    let events = events.map_err(|wrong| wrong.met_if_too_large(Cap::AppendEvents))?;
    if events.is_empty() {
        return Err(Wrong::field("", "has no items, and one is the least"));
    }
    if bytes.get() > bytes_max {
        let problem = format!("have {} bytes together, and {bytes_max} is the most", bytes.get());
        return Err(Wrong::too_large("", problem).met(Cap::AppendBytes));
    }
    Ok(events)
}

/// Reads `"any"`, `"none"`, `"exists"`, `3`.
fn state(json: &str) -> Result<Expected, Wrong> {
    let wrong = || Wrong::field("", "is not any, none, exists or a version, of which 1 is the first");
    if let Ok(name) = text(json) {
        return match name.as_str() {
            "any" => Ok(Expected::Any),
            "none" => Ok(Expected::NoStream),
            "exists" => Ok(Expected::Exists),
            _ => Err(wrong()),
        };
    }
    let version = number(json).ok().and_then(|number| Version::new(number).ok());
    version.map(Expected::Exactly).ok_or_else(wrong)
}

fn states(json: &str) -> Result<Vec<(StreamId, Expected)>, Wrong> {
    let mut members = Members::of(json);
    let all = members.rest();
    if all.len() > APPEND_EXPECTED_MAX {
        let problem = format!("has {} members, and {APPEND_EXPECTED_MAX} is the most", all.len());
        return Err(Wrong::too_large("", problem));
    }
    let mut states = Vec::with_capacity(all.len());
    for (name, json) in all {
        let stream = StreamId::new(&name).map_err(|error| Wrong::field("", error.to_string()));
        let place: String = name.chars().take(80).collect();
        if let Some((stream, state)) =
            members.note(&place, stream.and_then(|stream| Ok((stream, state(json.get())?))))
        {
            states.push((stream, state));
        }
    }
    members.finish(Some(states))
}

fn condition(json: &str) -> Result<Condition, Wrong> {
    let mut members = Members::of(json);
    let after = members.optional("after", |json| {
        let read = |text: &str| place(text).map_err(|problem| Wrong::field("", problem));
        if json.starts_with('"') { read(&text(json)?) } else { read(json) }
    });
    let any = members.required("any", |json| list(json, CONDITION_ITEMS_MAX, item));
    let after: After = after.unwrap_or_default();
    members.finish(any.map(|any| Condition { after, any }))
}

fn item(json: &str) -> Result<ConditionItem, Wrong> {
    let mut members = Members::of(json);
    let tags = members.optional("tags", |json| list(json, TAGS_MAX, word)).unwrap_or_default();
    let types = members.optional("types", |json| list(json, TYPES_MAX, word)).unwrap_or_default();
    members.finish(Some(ConditionItem { tags, types }))
}

#[cfg(test)]
mod tests {
    use flightdeck_core::StreamId;
    use flightdeck_store::Expected;

    use super::{Asked, Caps, state};
    use crate::problem::Code;

    #[test]
    fn an_expected_state_is_a_name_or_a_version() {
        for (json, expected) in
            [("\"any\"", Expected::Any), ("\"none\"", Expected::NoStream), ("\"exists\"", Expected::Exists)]
        {
            assert_eq!(state(json).unwrap(), expected);
        }
        for json in ["3", "3.0"] {
            assert!(matches!(state(json), Ok(Expected::Exactly(version)) if version.get() == 3));
        }
        for bad in ["0", "-1", "1.5", "1.", "\"3\"", "\"None\"", "null", "[]", "9007199254740992", "1e0"] {
            assert!(state(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn all_that_is_wrong_with_an_append_is_told_by_its_place() {
        let body = br#"{"events":[{"streamId":"a-1","eventType":"A","data":1},{"streamId":"a-1","eventType":"1","x":2}],
            "expected":{"b b":1,"b-1":0,"b-2":"none"},"condition":{"after":"x","any":[{"tags":["t"]},{"type":["A"]}]},"if":1}"#;
        let problem = Asked::of_any(body, Caps::built_in()).unwrap_err();
        assert_eq!(problem.told().missing, ["events[1].data"]);
        let told: Vec<&str> = problem.told().invalid.keys().map(String::as_str).collect();
        let places = [
            "condition.after",
            "condition.any[0].tags[0]",
            "condition.any[1].type",
            "events[1].eventType",
            "events[1].x",
            "expected.b b",
            "expected.b-1",
            "if",
        ];
        assert_eq!(told, places);
    }

    #[test]
    fn an_append_has_one_event_and_no_more_than_a_thousand() {
        let stream = StreamId::new("a-1").unwrap();
        let event = r#"{"eventType":"A","data":1}"#;
        let body = |count: usize| format!("{{\"events\":[{}]}}", vec![event; count].join(","));
        assert!(Asked::of_stream(body(1000).as_bytes(), &stream, Caps::built_in()).is_ok());
        assert_eq!(
            Asked::of_stream(body(1001).as_bytes(), &stream, Caps::built_in()).unwrap_err().code(),
            Code::TooLarge
        );
        assert_eq!(
            Asked::of_stream(body(0).as_bytes(), &stream, Caps::built_in()).unwrap_err().code(),
            Code::Malformed
        );
        assert_eq!(Asked::of_stream(b"\xff", &stream, Caps::built_in()).unwrap_err().code(), Code::Malformed);
    }
}
