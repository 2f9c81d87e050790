//! Events as text: a line of JSON for programs, a CloudEvent for other people's, and back.

use std::borrow::Cow;
use std::fmt::Display;
use std::io::{self, Write};

use bytes::Bytes;
use flightdeck_core::limits::EVENT_DATA_BYTES_MAX;
use flightdeck_core::{
    Cursor, EventId, EventType, Further, Json, Metadata, Reference, SchemaNumber, StreamId, Tag, Tags,
    Timestamp,
};
use flightdeck_store::archive::{self, Entry};
use flightdeck_store::chain::sha256;
use flightdeck_store::{Data, NewEvent, Recorded};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;
use uuid::Uuid;

/// What CloudEvents of ours say that they come from.
const SOURCE: &str = "urn:flightdeck";

/// JSON in one line: line ends can only be between its tokens.
fn one_line(json: &[u8]) -> Cow<'_, [u8]> {
    match json.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
        true => json.iter().map(|byte| if matches!(byte, b'\n' | b'\r') { b' ' } else { *byte }).collect(),
        false => Cow::Borrowed(json),
    }
}

fn members(metadata: &Metadata) -> Vec<(&'static str, String)> {
    let texts = [
        ("userId", &metadata.actor),
        ("correlationId", &metadata.correlation),
        ("causationId", &metadata.causation),
    ];
    let texts = texts.into_iter().filter_map(|(name, text)| Some((name, text.as_ref()?.to_string())));
    texts.chain(metadata.occurred.map(|occurred| ("occurredAt", occurred.to_string()))).collect()
}

/// Writes an event as the API gives it, in one line.
pub(crate) fn write_json(out: &mut dyn Write, event: &Recorded, cursor: &Cursor) -> io::Result<()> {
    write!(out, "{{\"cursor\":\"{cursor}\",\"position\":{},\"id\":\"{}\"", event.position, event.id)?;
    out.write_all(b",\"streamId\":")?;
    serde_json::to_writer(&mut *out, event.stream.as_str())?;
    write!(out, ",\"version\":{},\"eventType\":", event.version)?;
    serde_json::to_writer(&mut *out, event.event_type.as_str())?;
    write!(out, ",\"schema\":{},\"data\":", event.schema.get())?;
    out.write_all(&one_line(event.data_bytes()))?;
    out.write_all(b",\"metadata\":{")?;
    let mut comma = "";
    for (name, text) in members(&event.metadata) {
        write!(out, "{comma}\"{name}\":")?;
        serde_json::to_writer(&mut *out, &text)?;
        comma = ",";
    }
    if let Some(further) = &event.metadata.further {
        // The members of an object, without its braces.
        let inside = one_line(further.as_json().as_bytes()).trim_ascii().to_vec();
        let inside = inside[1..inside.len().saturating_sub(1)].trim_ascii();
        if !inside.is_empty() {
            out.write_all(comma.as_bytes())?;
            out.write_all(inside)?;
        }
    }
    out.write_all(b"},\"tags\":")?;
    serde_json::to_writer(&mut *out, &event.tags.iter().map(Tag::as_str).collect::<Vec<_>>())?;
    writeln!(out, ",\"recordedAt\":\"{}\",\"hash\":\"{}\"}}", event.recorded_at, event.hash)
}

/// Writes an event as a CloudEvent, in one line.
pub(crate) fn write_cloud_event(out: &mut dyn Write, event: &Recorded) -> io::Result<()> {
    let mut line = json!({
        "specversion": "1.0", "id": event.id.to_string(), "source": SOURCE, "type": event.event_type.as_str(),
        "subject": event.stream.as_str(), "time": event.recorded_at.to_string(), "sequence": event.position.to_string(),
        "streamversion": event.version.get(), "schemanumber": event.schema.get(),
    });
    for (name, text) in members(&event.metadata) {
        line[name.to_lowercase()] = json!(text);
    }
    if let Some(further) = &event.metadata.further {
        line["metadata"] = json!(String::from_utf8_lossy(further.as_json().as_bytes()));
    }
    if !event.tags.is_empty() {
        line["tags"] = json!(event.tags.iter().map(Tag::as_str).collect::<Vec<_>>().join(","));
    }
    let text = line.to_string();
    out.write_all(&text.as_bytes()[..text.len() - 1])?;
    // The data stands as its bytes are: a number need not be one that a double can hold.
    if let Some(data) = event.data.json() {
        out.write_all(b",\"datacontenttype\":\"application/json\",\"data\":")?;
        out.write_all(&one_line(data.as_bytes()))?;
    }
    out.write_all(b"}\n")
}

/// A line that an event is made from: what a client writes, and what `read` gives. What only a store can know is left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line<'l> {
    stream_id: String,
    event_type: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'l RawValue>,
    schema: Option<u32>,
    id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(borrow, default)]
    metadata: Option<&'l RawValue>,
    #[serde(rename = "cursor")]
    _cursor: Option<String>,
    #[serde(rename = "position")]
    _position: Option<i64>,
    #[serde(rename = "version")]
    _version: Option<i64>,
    #[serde(rename = "recordedAt")]
    _recorded_at: Option<String>,
    #[serde(rename = "hash")]
    _hash: Option<String>,
}

/// The members of an object, in their order, each as its bytes are.
struct Members<'l>(Vec<(String, &'l RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members<'de>, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

impl<'l> Members<'l> {
    /// Takes out a member.
    fn take(&mut self, name: &str) -> Option<&'l RawValue> {
        let place = self.0.iter().position(|(own, _)| own == name)?;
        Some(self.0.remove(place).1)
    }

    /// Takes out a member that must be a text, if it is there.
    fn text(&mut self, name: &str) -> Result<Option<String>, String> {
        match self.take(name) {
            None => Ok(None),
            Some(raw) => serde_json::from_str(raw.get()).map_err(|_| format!("{name} is not a text")),
        }
    }

    /// Takes out a member that refers to something, if it is there.
    fn reference(&mut self, name: &str) -> Result<Option<Reference>, String> {
        self.text(name)?.map(Reference::new).transpose().map_err(text)
    }

    /// What is left, as an object; with where it came from in front, if that is worth keeping.
    fn rest(&self, source: Option<&str>) -> Result<Option<Further>, String> {
        let members = self.0.iter().map(|(name, value)| format!("{}:{}", json!(name), value.get()));
        let source = source.map(|source| format!("\"source\":{}", json!(source)));
        let members: Vec<String> = source.into_iter().chain(members).collect();
        if members.is_empty() {
            return Ok(None);
        }
        let object = format!("{{{}}}", members.join(","));
        Further::new(object).map(Some).map_err(text)
    }
}

/// A member that is there, also when it is `null`.
fn present<'de: 'l, 'l, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'l RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

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
    let mut members: Members<'_> = serde_json::from_str(line).map_err(text)?;
    match members.text("specversion") {
        Ok(Some(version)) => cloud_event(members, &version).map(Parsed::Event),
        _ => own(serde_json::from_str(line).map_err(text)?).map(Parsed::Event),
    }
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

fn own(line: Line<'_>) -> Result<NewEvent, String> {
    let Some(data) = line.data else { return Err("has no data".to_owned()) };
    let data = Bytes::copy_from_slice(data.get().as_bytes());
    let stream = StreamId::new(&line.stream_id).map_err(text)?;
    let event_type = EventType::new(&line.event_type).map_err(text)?;
    let mut event = NewEvent::new(stream, event_type, Json::new(data, EVENT_DATA_BYTES_MAX).map_err(text)?);
    if let Some(schema) = line.schema {
        event.schema = SchemaNumber::new(schema).map_err(text)?;
    }
    if let Some(metadata) = line.metadata {
        event.metadata = parse_metadata(metadata.get())?;
    }
    event.id = line.id.map(|id| event_id(&id)).transpose()?;
    event.tags = parse_tags(&line.tags)?;
    Ok(event)
}

pub(crate) fn event_id(id: &str) -> Result<EventId, String> {
    EventId::new(Uuid::parse_str(id).map_err(text)?).map_err(text)
}

pub(crate) fn parse_tags(tags: &[String]) -> Result<Tags, String> {
    Tags::new(tags.iter().map(Tag::new).collect::<Result<Vec<_>, _>>().map_err(text)?).map_err(text)
}

/// Metadata as clients see it: the server's members, and the client's beside them, kept as they came.
pub(crate) fn parse_metadata(json: &str) -> Result<Metadata, String> {
    let mut members: Members<'_> = serde_json::from_str(json).map_err(text)?;
    let before = members.0.len();
    let metadata = Metadata {
        actor: members.reference("userId")?,
        correlation: members.reference("correlationId")?,
        causation: members.reference("causationId")?,
        occurred: members.text("occurredAt")?.map(|at| at.parse::<Timestamp>()).transpose().map_err(text)?,
        further: None,
    };
    let further = match members.0.len() == before && before > 0 {
        true => Some(Further::new(json.trim().to_owned()).map_err(text)?),
        false => members.rest(None)?,
    };
    Ok(Metadata { further, ..metadata })
}

/// A `CloudEvent`: what we have no place for is kept in the metadata.
fn cloud_event(mut members: Members<'_>, version: &str) -> Result<NewEvent, String> {
    if version != "1.0" {
        return Err(format!("is a CloudEvent of specversion {version}, and 1.0 is what this program knows"));
    }
    let missing = |name: &str| format!("has no {name}");
    let (id, source) = (members.text("id")?, members.text("source")?);
    let id = id.ok_or_else(|| missing("id"))?;
    let source = source.ok_or_else(|| missing("source"))?;
    let event_type = members.text("type")?.ok_or_else(|| missing("type"))?;
    let subject = members.text("subject")?.ok_or_else(|| missing("subject, which names the stream"))?;
    let content = members.text("datacontenttype")?.unwrap_or_default();
    let is_json = content.is_empty() || content.contains("json");
    let data = members.take("data").filter(|_| is_json).ok_or_else(|| missing("data in JSON"))?;
    let data =
        Json::new(Bytes::copy_from_slice(data.get().as_bytes()), EVENT_DATA_BYTES_MAX).map_err(text)?;
    let stream = StreamId::new(&subject).map_err(text)?;
    let mut event = NewEvent::new(stream, EventType::new(&event_type).map_err(text)?, data);
    // Source and id together name an event, once and for ever; of our own, the id alone does.
    let ours = source == SOURCE;
    event.id = Some(if ours { event_id(&id)? } else { named_by(&source, &id)? });
    let time = members.text("time")?;
    if !ours {
        event.metadata.occurred = time.map(|at| at.parse::<Timestamp>()).transpose().map_err(text)?;
        event.metadata.further = members.rest(Some(&source))?;
        return Ok(event);
    }
    if let Some(schema) = members.take("schemanumber") {
        let schema = schema.get().parse().map_err(|_| "schemanumber is not a number".to_owned())?;
        event.schema = SchemaNumber::new(schema).map_err(text)?;
    }
    event.metadata = Metadata {
        actor: members.reference("userid")?,
        correlation: members.reference("correlationid")?,
        causation: members.reference("causationid")?,
        occurred: members.text("occurredat")?.map(|at| at.parse::<Timestamp>()).transpose().map_err(text)?,
        further: members.text("metadata")?.map(Further::new).transpose().map_err(text)?,
    };
    // No tag has a comma in it.
    let tags = members.text("tags")?.unwrap_or_default();
    let tags: Vec<String> = tags.split(',').filter(|tag| !tag.is_empty()).map(str::to_owned).collect();
    event.tags = parse_tags(&tags)?;
    Ok(event)
}

fn named_by(source: &str, id: &str) -> Result<EventId, String> {
    let hash = sha256(format!("{source}\n{id}").as_bytes());
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&hash[..16]);
    EventId::new(uuid::Builder::from_custom_bytes(bytes).into_uuid()).map_err(text)
}

#[cfg(test)]
mod tests {
    use flightdeck_store::NewEvent;

    use super::{Kind, Parsed, parse, parse_metadata};

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
        refused("{}", "streamId");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\"}", "has no data");
        refused("{\"streamId\":\"a b\",\"eventType\":\"A\",\"data\":1}", "stream");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":1,\"dat\":2}", "unknown field `dat`");
        refused("{\"end\":1,\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":1}", "unknown field `end`");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":{\"a\":}}", "expected value");
        refused(
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"x\",\"type\":\"A\",\"data\":1}",
            "no subject",
        );
        refused("{\"specversion\":\"2.0\",\"id\":\"1\",\"source\":\"x\",\"type\":\"A\",\"data\":1}", "2.0");
    }

    #[test]
    fn a_cloud_event_of_someone_else_has_the_same_id_each_time_and_loses_nothing() {
        let line = "{\"request\":\"r-7\",\"specversion\":\"1.0\",\"id\":\"17\",\"source\":\"/shop\",\"type\":\"Sold\",\"subject\":\"order-1\",\"data\":null,\"partitionkey\":\"p\"}";
        let (one, other) = (event(line).unwrap(), event(line).unwrap());
        assert_eq!(one, other);
        assert!(one.id.is_some() && one.data.as_bytes() == b"null");
        let kept = one.metadata.further.unwrap();
        assert_eq!(
            kept.as_json().as_bytes(),
            b"{\"source\":\"/shop\",\"request\":\"r-7\",\"partitionkey\":\"p\"}"
        );
    }

    #[test]
    fn metadata_is_told_apart_and_what_is_the_clients_stays_as_it_came() {
        let metadata =
            parse_metadata("{\"z\":12345678901234567890123,\"userId\":\"me\",\"a\":2.50}").unwrap();
        assert_eq!(metadata.actor.unwrap().as_str(), "me");
        assert_eq!(
            metadata.further.unwrap().as_json().as_bytes(),
            b"{\"z\":12345678901234567890123,\"a\":2.50}"
        );
        let metadata = parse_metadata("{ \"z\": 1 }").unwrap();
        assert_eq!(metadata.further.unwrap().as_json().as_bytes(), b"{ \"z\": 1 }");
        assert_eq!(parse_metadata("{}").unwrap(), super::Metadata::default());
    }
}
