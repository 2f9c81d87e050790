//! CloudEvents 1.0, for other people's programs: ours as theirs, and theirs as ours.
//!
//! The subject is the stream. An event of ours goes out and comes back as the same event. Of somebody else's, source and id
//! together name it once and for ever, and what we have no place for is kept in the metadata.

use flightdeck_core::{EventId, EventType, Further, Metadata, StreamId, Tag, Tags};
use flightdeck_store::chain::sha256;
use flightdeck_store::{NewEvent, Recorded};

use crate::caps::{Cap, Caps};
use crate::event::{Breaks, Source, put_number, put_text, put_time, references, schema};
use crate::members::{Members, Wrong, not_too_deep, text, value, word, word_within};

/// One event in JSON.
pub const ONE: &str = "application/cloudevents+json";
/// A list of events in JSON.
pub const BATCH: &str = "application/cloudevents-batch+json";
/// What events of ours say that they come from.
pub const SOURCE: &str = "urn:flightdeck";
/// The version of the specification.
const SPECVERSION: &str = "1.0";

/// Writes an event as a `CloudEvent`.
pub fn write(out: &mut Vec<u8>, event: &Recorded, breaks: Breaks) {
    let member = |out: &mut Vec<u8>, name: &str| {
        out.push(b',');
        put_text(out, name);
        out.push(b':');
    };
    out.extend_from_slice(b"{\"specversion\":\"1.0\",\"id\":\"");
    out.extend_from_slice(event.id.uuid().as_hyphenated().encode_lower(&mut [0; 36]).as_bytes());
    out.extend_from_slice(b"\",\"source\":");
    put_text(out, SOURCE);
    member(out, "type");
    put_text(out, event.event_type.as_str());
    member(out, "subject");
    put_text(out, event.stream.as_str());
    member(out, "time");
    put_time(out, event.recorded_at);
    member(out, "sequence");
    put_text(out, &event.position.to_string());
    member(out, "streamversion");
    put_number(out, event.version.get());
    member(out, "schemanumber");
    put_number(out, event.schema.get().into());
    for (name, reference) in references(&event.metadata) {
        if let Some(reference) = reference {
            member(out, &name.to_lowercase());
            put_text(out, reference.as_str());
        }
    }
    if let Some(occurred) = event.metadata.occurred {
        member(out, "occurredat");
        put_time(out, occurred);
    }
    if let Some(further) = &event.metadata.further {
        member(out, "metadata");
        put_text(out, &String::from_utf8_lossy(further.as_json().as_bytes()));
    }
    if !event.tags.is_empty() {
        // No tag has a comma in it.
        member(out, "tags");
        put_text(out, &event.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(","));
    }
    if let Some(data) = event.data.json() {
        out.extend_from_slice(b",\"datacontenttype\":\"application/json\",\"data\":");
        breaks.put(out, data.as_bytes());
    }
    out.push(b'}');
}

/// Whether a JSON object says of itself that it is a `CloudEvent`.
#[must_use]
pub fn is_one(json: &str) -> bool {
    Members::of_whatever(json).take("specversion").is_some_and(|version| text(version.get()).is_ok())
}

/// Reads an event that is to be appended, within the limits of whoever appends it.
///
/// # Errors
/// With all that is wrong with it, attribute by attribute.
pub fn read(json: &str, from: Source<'_>, caps: &Caps) -> Result<NewEvent, Wrong> {
    let mut members = Members::of(json);
    members.required("specversion", |json| match text(json)?.as_str() {
        SPECVERSION => Ok(()),
        _ => Err(Wrong::field("", "is not 1.0, which is what this program knows")),
    });
    let not_empty = |json| match text(json)? {
        text if text.is_empty() => Err(Wrong::field("", "is empty")),
        text => Ok(text),
    };
    let id = members.required("id", not_empty);
    let source = members.required("source", not_empty);
    let event_type =
        members.required("type", |json| word_within::<EventType>(json, caps, Cap::EventTypeBytes));
    let stream =
        members.required("subject", |json| word_within::<StreamId>(json, caps, Cap::StreamNameBytes));
    let content = members.optional("datacontenttype", text).unwrap_or_default();
    if !content.is_empty() && !content.contains("json") {
        members.note::<()>("datacontenttype", Err(Wrong::field("", "is not JSON, which data is in")));
    }
    let data = members.required("data", |json| value(json, caps, Cap::EventDataBytes));
    let ours = source.as_deref() == Some(SOURCE);
    // Of our own, the id alone names the event.
    let id = id.zip(source.as_deref()).and_then(|(id, source)| {
        let named = if ours {
            id.parse::<EventId>().map_err(|error| error.to_string())
        } else {
            named_by(source, &id)
        };
        members.note("id", named.map_err(|problem| Wrong::field("", problem)))
    });
    let known = id.zip(event_type).zip(stream).zip(data);
    let event =
        known.map(|(((id, event_type), stream), data)| NewEvent::new(stream, event_type, data).with_id(id));
    match (ours, source) {
        (true, _) => own(members, from, event, caps),
        (false, source) => {
            not_too_deep(json.as_bytes(), caps)?;
            foreign(members, source.as_deref(), event)
        }
    }
}

/// What else an event of ours says.
fn own(
    mut members: Members<'_>,
    from: Source<'_>,
    event: Option<NewEvent>,
    caps: &Caps,
) -> Result<NewEvent, Wrong> {
    let schema = members.optional("schemanumber", schema);
    let actor = members.optional("userid", word);
    let metadata = Metadata {
        actor: actor.filter(|_| from == Source::File),
        correlation: members.optional("correlationid", word),
        causation: members.optional("causationid", word),
        occurred: members.optional("occurredat", word),
        further: members.optional("metadata", |json| {
            let text = text(json)?;
            not_too_deep(text.as_bytes(), caps)?;
            Ok(Further::new(text)?)
        }),
    };
    let tags = members.optional("tags", |json| {
        let text = text(json)?;
        let tags: Vec<&str> = text.split(',').filter(|tag| !tag.is_empty()).collect();
        let (most, bytes_max) = (caps.get(Cap::Tags), caps.get(Cap::TagBytes));
        if tags.len() > most {
            let problem = format!("has {} items, and {most} is the most", tags.len());
            return Err(Wrong::too_large("", problem).met(Cap::Tags));
        }
        if tags.iter().any(|tag| tag.len() > bytes_max) {
            let problem = format!("has a tag of more than {bytes_max} bytes");
            return Err(Wrong::field("", problem).met(Cap::TagBytes));
        }
        let tags = tags.into_iter().map(Tag::new).collect::<Result<Vec<_>, _>>();
        tags.and_then(Tags::new).map_err(|error| Wrong::field("", error.to_string()))
    });
    // What only a store can know.
    members.rest();
    let event = event.map(|event| NewEvent {
        schema: schema.unwrap_or(event.schema),
        metadata,
        tags: tags.unwrap_or_default(),
        ..event
    });
    members.finish(event)
}

/// What else an event of somebody else's says.
fn foreign(
    mut members: Members<'_>,
    source: Option<&str>,
    event: Option<NewEvent>,
) -> Result<NewEvent, Wrong> {
    let occurred = members.optional("time", word);
    let further = members.rest_as_object(source.map(|source| ("source", source)));
    let further = members.note("", further).flatten();
    let metadata = Metadata { occurred, further, ..Metadata::default() };
    members.finish(event.map(|event| event.with_metadata(metadata)))
}

fn named_by(source: &str, id: &str) -> Result<EventId, String> {
    let hash = sha256(format!("{source}\n{id}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    EventId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid()).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use flightdeck_wire::event as wire;

    use super::{Breaks, Caps, NewEvent, Source, Wrong, write};

    fn read(json: &str, source: Source<'_>) -> Result<NewEvent, Wrong> {
        super::read(json, source, Caps::built_in())
    }

    #[tokio::test]
    async fn an_event_of_ours_is_what_the_type_of_the_api_says_and_comes_back_as_it_was() {
        let (event, _) = crate::event::tests::odd().await;
        let mut out = Vec::new();
        write(&mut out, &event, Breaks::Kept);
        let text = String::from_utf8(out).unwrap();
        let told: wire::CloudEvent = serde_json::from_str(&text).unwrap();
        assert_eq!((&told.subject, told.id), (&event.stream, event.id));
        assert_eq!(told.sequence, event.position.to_string());
        let value = |text: &str| serde_json::from_str::<serde_json::Value>(text).unwrap();
        assert_eq!(value(&serde_json::to_string(&told).unwrap()), value(&text));
        let again = read(&text, Source::File).unwrap();
        assert_eq!(
            (&again.stream, &again.event_type, again.id),
            (&event.stream, &event.event_type, Some(event.id))
        );
        assert_eq!((again.data.as_bytes(), &again.tags), (event.data_bytes(), &event.tags));
        assert_eq!((again.schema, &again.metadata), (event.schema, &event.metadata));
        // Who did it is nothing that a request may say.
        assert_eq!(read(&text, Source::Request).unwrap().metadata.actor, None);
    }

    #[test]
    fn one_of_somebody_else_has_the_same_id_each_time_and_loses_nothing() {
        let line = "{\"request\":\"r-7\",\"specversion\":\"1.0\",\"id\":\"17\",\"source\":\"/shop\",\"type\":\"Sold\",\"subject\":\"order-1\",\"data\":null,\"partitionkey\":\"p\"}";
        let (one, other) = (read(line, Source::Request).unwrap(), read(line, Source::Request).unwrap());
        assert_eq!(one, other);
        assert!(one.id.is_some() && one.data.as_bytes() == b"null");
        let kept = one.metadata.further.unwrap();
        let further = "{\"source\":\"/shop\",\"request\":\"r-7\",\"partitionkey\":\"p\"}";
        assert_eq!(kept.as_json().as_bytes(), further.as_bytes());
        let elsewhere = read(&line.replace("/shop", "/other"), Source::Request).unwrap();
        assert_ne!(elsewhere.id, one.id);
    }

    #[test]
    fn what_is_none_is_refused_attribute_by_attribute() {
        let wrong = read(
            "{\"specversion\":\"2.0\",\"id\":\"\",\"type\":\"a b\",\"datacontenttype\":\"text/plain\"}",
            Source::Request,
        );
        let wrong = wrong.unwrap_err();
        assert_eq!(wrong.invalid().missing, ["source", "subject", "data"]);
        let told: Vec<&str> = wrong.invalid().invalid.keys().map(String::as_str).collect();
        assert_eq!(told, ["datacontenttype", "id", "specversion", "type"]);
    }
}
