//! Events in JSON, as the API gives and takes them. What was sent as data and metadata stands in it as its bytes are.

use bytes::Bytes;
use flightdeck_core::limits::EVENT_METADATA_BYTES_MAX;
use flightdeck_core::{
    Epoch, EventId, EventType, Further, Metadata, Reference, SchemaNumber, StreamId, Tag, Tags, Timestamp,
};
use flightdeck_store::{NewEvent, Recorded};

use crate::caps::{Cap, Caps};
use crate::members::{Members, Wrong, list, not_too_deep, number, text, value, word, word_within};

/// What becomes of line ends, which can only be between the tokens of what was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Breaks {
    /// They stay as they were sent.
    Kept,
    /// Each becomes a space, so that the whole is one line.
    Spaces,
}

impl Breaks {
    /// Puts JSON there, with its line ends so.
    pub(crate) fn put(self, out: &mut Vec<u8>, json: &[u8]) {
        let from = out.len();
        out.extend_from_slice(json);
        if self == Self::Spaces {
            for byte in &mut out[from..] {
                if matches!(*byte, b'\n' | b'\r') {
                    *byte = b' ';
                }
            }
        }
    }
}

/// Writes an event as the API gives it. It is what readers of the whole log wait for, so nothing is made on the way but the bytes.
pub fn write(out: &mut Vec<u8>, event: &Recorded, epoch: &Epoch, breaks: Breaks) {
    out.reserve(512 + event.data_bytes().len());
    out.extend_from_slice(b"{\"cursor\":\"");
    out.extend_from_slice(epoch.as_str().as_bytes());
    out.push(b'-');
    put_number(out, event.position.get());
    out.extend_from_slice(b"\",\"position\":");
    put_number(out, event.position.get());
    out.extend_from_slice(b",\"id\":\"");
    out.extend_from_slice(event.id.uuid().as_hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"streamId\":");
    put_text(out, event.stream.as_str());
    out.extend_from_slice(b",\"version\":");
    put_number(out, event.version.get());
    out.extend_from_slice(b",\"eventType\":");
    put_text(out, event.event_type.as_str());
    out.extend_from_slice(b",\"schema\":");
    put_number(out, event.schema.get().into());
    out.extend_from_slice(b",\"data\":");
    breaks.put(out, event.data_bytes());
    out.extend_from_slice(b",\"metadata\":");
    put_metadata(out, &event.metadata, breaks);
    out.extend_from_slice(b",\"tags\":");
    put_tags(out, &event.tags);
    out.extend_from_slice(b",\"recordedAt\":");
    put_time(out, event.recorded_at);
    out.extend_from_slice(b",\"hash\":\"");
    put_hex(out, event.hash.as_bytes());
    out.extend_from_slice(b"\"}");
}

/// Writes an event that is to be appended as a request about any streams has it.
pub fn write_new(out: &mut Vec<u8>, event: &NewEvent) {
    out.extend_from_slice(b"{\"streamId\":");
    put_text(out, event.stream.as_str());
    if let Some(id) = event.id {
        out.extend_from_slice(b",\"id\":");
        put_text(out, &id.to_string());
    }
    out.extend_from_slice(b",\"eventType\":");
    put_text(out, event.event_type.as_str());
    out.extend_from_slice(b",\"schema\":");
    put_number(out, event.schema.get().into());
    out.extend_from_slice(b",\"data\":");
    out.extend_from_slice(event.data.as_bytes());
    out.extend_from_slice(b",\"metadata\":");
    put_metadata(out, &event.metadata, Breaks::Kept);
    out.extend_from_slice(b",\"tags\":");
    put_tags(out, &event.tags);
    out.push(b'}');
}

fn put_tags(out: &mut Vec<u8>, tags: &Tags) {
    out.push(b'[');
    for (place, tag) in tags.iter().enumerate() {
        if place > 0 {
            out.push(b',');
        }
        put_text(out, tag.as_str());
    }
    out.push(b']');
}

/// The server's members of metadata, by the names that clients see.
pub(crate) fn references(metadata: &Metadata) -> [(&'static str, Option<&Reference>); 3] {
    [
        ("userId", metadata.actor.as_ref()),
        ("correlationId", metadata.correlation.as_ref()),
        ("causationId", metadata.causation.as_ref()),
    ]
}

fn put_metadata(out: &mut Vec<u8>, metadata: &Metadata, breaks: Breaks) {
    out.push(b'{');
    let begun = out.len();
    let name = |out: &mut Vec<u8>, name: &str| {
        if out.len() > begun {
            out.push(b',');
        }
        put_text(out, name);
        out.push(b':');
    };
    for (own, reference) in references(metadata) {
        if let Some(reference) = reference {
            name(out, own);
            put_text(out, reference.as_str());
        }
    }
    if let Some(occurred) = metadata.occurred {
        name(out, "occurredAt");
        put_time(out, occurred);
    }
    if let Some(further) = &metadata.further {
        // The members of an object, without its braces.
        let object = further.as_json().as_bytes().trim_ascii();
        let inside = object.get(1..object.len().saturating_sub(1)).unwrap_or_default().trim_ascii();
        if !inside.is_empty() {
            if out.len() > begun {
                out.push(b',');
            }
            breaks.put(out, inside);
        }
    }
    out.push(b'}');
}

/// Puts a text there, in quotes.
pub(crate) fn put_text(out: &mut Vec<u8>, text: &str) {
    let is_plain = |byte: u8| byte >= b' ' && byte != b'"' && byte != b'\\';
    if text.bytes().all(is_plain) {
        out.push(b'"');
        out.extend_from_slice(text.as_bytes());
        out.push(b'"');
    } else {
        // Writing into memory does not fail, and a text is always JSON.
        drop(serde_json::to_writer(out, text));
    }
}

/// Puts a number there.
pub(crate) fn put_number(out: &mut Vec<u8>, number: i64) {
    let (mut digits, mut at, mut left) = ([0; 20], 20, number.unsigned_abs());
    loop {
        at -= 1;
        digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
        left /= 10;
        if left == 0 {
            break;
        }
    }
    if number < 0 {
        out.push(b'-');
    }
    out.extend_from_slice(&digits[at..]);
}

/// Puts a moment there, in quotes.
pub(crate) fn put_time(out: &mut Vec<u8>, moment: Timestamp) {
    let time = moment.to_time();
    let mut padded = |number: i64, width: u32, behind: u8| {
        for place in (0..width).rev() {
            let digit = number / 10_i64.pow(place) % 10;
            out.push(b'0' + u8::try_from(digit).unwrap_or(0));
        }
        out.push(behind);
    };
    let (year, month, day) = time.to_calendar_date();
    let (hour, minute, second, micros) = time.to_hms_micro();
    padded(0, 0, b'"');
    padded(year.into(), 4, b'-');
    padded(u8::from(month).into(), 2, b'-');
    padded(day.into(), 2, b'T');
    padded(hour.into(), 2, b':');
    padded(minute.into(), 2, b':');
    padded(second.into(), 2, b'.');
    padded(micros.into(), 6, b'Z');
    padded(0, 0, b'"');
}

fn put_hex(out: &mut Vec<u8>, bytes: &[u8]) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        out.push(DIGITS[usize::from(byte >> 4)]);
        out.push(DIGITS[usize::from(byte & 15)]);
    }
}

/// Where an event that is to be appended is written down, and so what it may say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source<'s> {
    /// In a request about this stream: it does not name one. Who did it is the server's to know.
    Stream(&'s StreamId),
    /// In a request about any streams: it names its own. Who did it is the server's to know.
    Request,
    /// In a file of an administrator's, which may have come out of a log: what only a store can know is left out, and who did it is
    /// as it says.
    File,
}

/// What only a store can know of an event.
const OF_THE_STORE: [&str; 5] = ["cursor", "position", "version", "recordedAt", "hash"];

/// Reads an event that is to be appended, within the limits of whoever appends it.
///
/// # Errors
/// With all that is wrong with it, field by field.
pub fn read(json: &str, source: Source<'_>, caps: &Caps) -> Result<NewEvent, Wrong> {
    let mut members = Members::of(json);
    let stream = match source {
        Source::Stream(stream) => Some(stream.clone()),
        Source::Request | Source::File => {
            members.required("streamId", |json| word_within(json, caps, Cap::StreamNameBytes))
        }
    };
    let event_type = members.required("eventType", |json| word_within(json, caps, Cap::EventTypeBytes));
    let data = members.required("data", |json| value(json, caps, Cap::EventDataBytes));
    let schema = members.optional("schema", schema).unwrap_or(SchemaNumber::FIRST);
    let id = members.optional("id", |json| match source {
        Source::File => any_uuid(json),
        Source::Stream(_) | Source::Request => word(json),
    });
    let tags = members.optional("tags", |json| tags(json, caps)).unwrap_or_default();
    let metadata = members.optional("metadata", |json| metadata(json, source, caps)).unwrap_or_default();
    if source == Source::File {
        for name in OF_THE_STORE {
            members.take(name);
        }
    }
    let known = stream.zip(event_type).zip(data);
    let event = known.map(|((stream, event_type), data): ((StreamId, EventType), _)| NewEvent {
        stream,
        id,
        event_type,
        schema,
        data,
        metadata,
        tags,
    });
    members.finish(event)
}

/// Reads an id that other programs may have written in their way.
fn any_uuid(json: &str) -> Result<EventId, Wrong> {
    let wrong = |problem: String| Wrong::field("", problem);
    let uuid = uuid::Uuid::try_parse(&text(json)?).map_err(|_| wrong("is not a UUID".to_owned()))?;
    EventId::new(uuid).map_err(|error| wrong(error.to_string()))
}

pub(crate) fn schema(json: &str) -> Result<SchemaNumber, Wrong> {
    let number = u32::try_from(number(json)?).unwrap_or(0);
    SchemaNumber::new(number).map_err(|_| Wrong::field("", "is not between 1 and 2^31 - 1"))
}

fn tags(json: &str, caps: &Caps) -> Result<Tags, Wrong> {
    let tags = list(json, caps.get(Cap::Tags), |json| word_within::<Tag>(json, caps, Cap::TagBytes));
    let tags = tags.map_err(|wrong| wrong.met_if_too_large(Cap::Tags))?;
    Tags::new(tags).map_err(|error| Wrong::field("", error.to_string()))
}

/// Reads metadata as clients see it: the server's members, and the client's beside them, kept as they came.
///
/// # Errors
/// With all that is wrong with it.
pub fn metadata(json: &str, source: Source<'_>, caps: &Caps) -> Result<Metadata, Wrong> {
    not_too_deep(json.as_bytes(), caps)?;
    if json.len() > EVENT_METADATA_BYTES_MAX {
        let problem = format!("is {} bytes, and {EVENT_METADATA_BYTES_MAX} is the most", json.len());
        return Err(Wrong::too_large("", problem));
    }
    let mut members = Members::of_whatever(json);
    let before = members.len();
    let actor = match source {
        Source::File => members.optional("userId", word::<Reference>),
        // Whatever it says, and of whatever kind it is.
        Source::Stream(_) | Source::Request => {
            members.take("userId");
            None
        }
    };
    let metadata = Metadata {
        actor,
        correlation: members.optional("correlationId", word),
        causation: members.optional("causationId", word),
        occurred: members.optional("occurredAt", word),
        further: None,
    };
    let further = match members.len() == before && before > 0 {
        true => {
            let whole = Further::new(Bytes::copy_from_slice(json.trim_ascii().as_bytes()));
            members.rest();
            whole.map(Some).map_err(Wrong::from)
        }
        false => members.rest_as_object(None),
    };
    let further = members.note("", further).flatten();
    members.finish(Some(Metadata { further, ..metadata }))
}

#[cfg(test)]
pub(crate) mod tests;
