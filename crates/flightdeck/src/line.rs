//! Lines of files: what each comes to, be it of an export, of ours, or a CloudEvent.

use flightdeck_core::{EventId, Tag, Tags};
use flightdeck_server::Caps;
use flightdeck_server::cloud_event;
use flightdeck_server::event::{self, Source};
use flightdeck_store::archive::{self, Entry};
use flightdeck_store::{Data, NewEvent, Recorded};
use uuid::Uuid;

/// What a file of events is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// One that `export` has made.
    Export,
    /// Lines that are each an event.
    Lines,
}

impl Kind {
    /// What a file is, by its first line.
    pub(crate) fn of(first: &[u8]) -> Self {
        match archive::entry(first) {
            Ok(Entry::Begin(_)) => Self::Export,
            _ => Self::Lines,
        }
    }
}

/// What a line of a file comes to.
pub(crate) enum Parsed {
    /// An event to be appended.
    Event(NewEvent),
    /// Something of an export that lies beside the events.
    Beside,
    /// The end of an export, behind so many events.
    End(u64),
}

/// Understands a line that an event is to be made from.
pub(crate) fn parse(line: &[u8], kind: Kind) -> Result<Parsed, String> {
    if kind == Kind::Export {
        return Ok(match archive::entry(line)? {
            Entry::Event(event) => Parsed::Event(again(*event)?),
            Entry::End(contents) => Parsed::End(contents.events),
            Entry::Begin(_) | Entry::Request(_) | Entry::Snapshot(_) => Parsed::Beside,
        });
    }
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    let read = if cloud_event::is_one(line) { cloud_event::read } else { event::read };
    read(line, Source::File, Caps::built_in()).map(Parsed::Event).map_err(|wrong| wrong.to_string())
}

/// A recorded event, to be appended afresh.
fn again(event: Recorded) -> Result<NewEvent, String> {
    let Data::Json(data) = event.data else {
        return Err("has lost its data, which was erased: it can't be appended afresh".to_owned());
    };
    Ok(NewEvent {
        stream: event.stream,
        id: Some(event.id),
        event_type: event.event_type,
        schema: event.schema,
        data,
        metadata: event.metadata,
        tags: event.tags,
    })
}

pub(crate) fn event_id(id: &str) -> Result<EventId, String> {
    let uuid = Uuid::parse_str(id).map_err(|error| error.to_string())?;
    EventId::new(uuid).map_err(|error| error.to_string())
}

pub(crate) fn parse_tags(tags: &[String]) -> Result<Tags, String> {
    let tags = tags.iter().map(Tag::new).collect::<Result<Vec<_>, _>>();
    tags.and_then(Tags::new).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use flightdeck_store::NewEvent;

    use super::{Kind, Parsed, parse};

    fn event(line: &str) -> Result<NewEvent, String> {
        match parse(line.as_bytes(), Kind::Lines)? {
            Parsed::Event(event) => Ok(event),
            _ => Err("is beside".to_owned()),
        }
    }

    #[track_caller]
    fn refused(line: &str, why: &str) {
        let error = event(line).unwrap_err();
        assert!(error.contains(why), "{line}: {error}");
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_reason() {
        refused("{}", "streamId is missing");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\"}", "data is missing");
        refused("{\"streamId\":\"a b\",\"eventType\":\"A\",\"data\":1}", "stream");
        refused(
            "{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":1,\"dat\":2}",
            "dat: is not a field here",
        );
        refused(
            "{\"end\":1,\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":1}",
            "end: is not a field here",
        );
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":{\"a\":}}", "expected value");
        refused(
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"x\",\"type\":\"A\",\"data\":1}",
            "subject is missing",
        );
        refused("{\"specversion\":\"2.0\",\"id\":\"1\",\"source\":\"x\",\"type\":\"A\",\"data\":1}", "1.0");
    }

    #[test]
    fn what_was_read_from_a_log_is_an_event_with_who_did_it() {
        let line = "{\"cursor\":\"e-1\",\"position\":1,\"version\":1,\"recordedAt\":\"\",\"hash\":\"\",\"streamId\":\"a-1\",\
                    \"eventType\":\"A\",\"data\":1,\"metadata\":{\"userId\":\"ada\"}}";
        assert_eq!(event(line).unwrap().metadata.actor.unwrap().as_str(), "ada");
    }
}
