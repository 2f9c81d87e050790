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
use flightdeck_store::chain::sha256;
use flightdeck_store::{NewEvent, Recorded};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
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
    write!(out, ",\"streamId\":{}", json!(event.stream.as_str()))?;
    write!(out, ",\"version\":{},\"eventType\":{}", event.version, json!(event.event_type.as_str()))?;
    write!(out, ",\"schema\":{},\"data\":", event.schema.get())?;
    out.write_all(&one_line(event.data_bytes()))?;
    out.write_all(b",\"metadata\":{")?;
    let mut comma = "";
    for (name, text) in members(&event.metadata) {
        write!(out, "{comma}\"{name}\":{}", json!(text))?;
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
    let tags: Vec<&str> = event.tags.iter().map(Tag::as_str).collect();
    writeln!(
        out,
        "}},\"tags\":{},\"recordedAt\":\"{}\",\"hash\":\"{}\"}}",
        json!(tags),
        event.recorded_at,
        event.hash
    )
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

/// A line that an event is made from: what a client writes, what `read` and `export` give. What only a store can know is left out.
#[derive(Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line<'l> {
    stream_id: String,
    event_type: String,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'l RawValue>,
    data_text: Option<String>,
    schema: Option<u32>,
    id: Option<String>,
    #[serde(default)]
    tags: Vec<String>,
    #[serde(borrow, default)]
    metadata: Option<&'l RawValue>,
    #[serde(borrow, default)]
    further: Option<&'l RawValue>,
    further_text: Option<String>,
    #[serde(rename = "cursor")]
    _cursor: Option<String>,
    #[serde(rename = "position")]
    _position: Option<i64>,
    #[serde(rename = "version")]
    _version: Option<i64>,
    #[serde(rename = "recordedAt")]
    _recorded_at: Option<String>,
    #[serde(rename = "appendEnd")]
    _append_end: Option<i64>,
    #[serde(rename = "hash")]
    _hash: Option<String>,
    #[serde(rename = "tombstone")]
    _tombstone: Option<String>,
}

#[derive(Deserialize)]
struct CloudEvent<'l> {
    id: String,
    source: String,
    #[serde(rename = "type")]
    event_type: String,
    subject: Option<String>,
    time: Option<String>,
    #[serde(borrow, default, deserialize_with = "present")]
    data: Option<&'l RawValue>,
    data_base64: Option<String>,
    schemanumber: Option<u32>,
    tags: Option<String>,
    metadata: Option<String>,
    userid: Option<String>,
    correlationid: Option<String>,
    causationid: Option<String>,
    occurredat: Option<String>,
}

/// A member that is there, also when it is `null`.
fn present<'de: 'l, 'l, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'l RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

fn text(error: impl Display) -> String {
    error.to_string()
}

/// Whether a line is one of an export that holds no event.
fn is_beside(line: &str) -> bool {
    let rest = line.trim_start_matches('{').trim_start();
    ["\"export\"", "\"request\"", "\"snapshot\"", "\"end\""].iter().any(|name| rest.starts_with(name))
}

/// Understands a line that an event is to be made from; `None` for a line of an export that holds none.
pub(crate) fn parse(line: &[u8]) -> Result<Option<NewEvent>, String> {
    let line = std::str::from_utf8(line).map_err(|_| "is not UTF-8".to_owned())?;
    if is_beside(line) {
        return Ok(None);
    }
    match line.contains("\"specversion\"") && serde_json::from_str::<CloudEvent<'_>>(line).is_ok() {
        true => cloud_event(serde_json::from_str(line).map_err(text)?).map(Some),
        false => own(serde_json::from_str(line).map_err(text)?).map(Some),
    }
}

fn own(line: Line<'_>) -> Result<NewEvent, String> {
    let data = match (line.data, line.data_text) {
        (Some(data), None) => Bytes::copy_from_slice(data.get().as_bytes()),
        (None, Some(data)) => data.into(),
        _ => return Err("has no data".to_owned()),
    };
    let stream = StreamId::new(&line.stream_id).map_err(text)?;
    let event_type = EventType::new(&line.event_type).map_err(text)?;
    let mut event = NewEvent::new(stream, event_type, Json::new(data, EVENT_DATA_BYTES_MAX).map_err(text)?);
    if let Some(schema) = line.schema {
        event.schema = SchemaNumber::new(schema).map_err(text)?;
    }
    if let Some(metadata) = line.metadata {
        event.metadata = parse_metadata(metadata.get())?;
    }
    let further = line.further.map(|further| further.get().to_owned()).or(line.further_text);
    if let Some(further) = further {
        event.metadata.further = Some(Further::new(further).map_err(text)?);
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

/// Metadata as clients see it: the server's members, and the client's beside them.
pub(crate) fn parse_metadata(json: &str) -> Result<Metadata, String> {
    let mut members: Map<String, Value> = serde_json::from_str(json).map_err(text)?;
    let mut take = |name: &str| match members.remove(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(_) => Err(format!("{name} is not a text")),
    };
    let reference = |text: Option<String>| text.map(Reference::new).transpose();
    let metadata = Metadata {
        actor: reference(take("userId")?).map_err(text)?,
        correlation: reference(take("correlationId")?).map_err(text)?,
        causation: reference(take("causationId")?).map_err(text)?,
        occurred: take("occurredAt")?.map(|at| at.parse::<Timestamp>()).transpose().map_err(text)?,
        further: None,
    };
    let further = (!members.is_empty()).then(|| Further::new(Value::Object(members).to_string()));
    Ok(Metadata { further: further.transpose().map_err(text)?, ..metadata })
}

fn cloud_event(line: CloudEvent<'_>) -> Result<NewEvent, String> {
    let Some(subject) = line.subject else {
        return Err("has no subject, which names the stream".to_owned());
    };
    let Some(data) = line.data.filter(|_| line.data_base64.is_none()) else {
        return Err("has no data in JSON".to_owned());
    };
    let stream = StreamId::new(&subject).map_err(text)?;
    let event_type = EventType::new(&line.event_type).map_err(text)?;
    let data =
        Json::new(Bytes::copy_from_slice(data.get().as_bytes()), EVENT_DATA_BYTES_MAX).map_err(text)?;
    let mut event = NewEvent::new(stream, event_type, data);
    if let Some(schema) = line.schemanumber {
        event.schema = SchemaNumber::new(schema).map_err(text)?;
    }
    let ours = line.source == SOURCE;
    event.id = Some(match event_id(&line.id) {
        Ok(id) => id,
        // Source and id together name an event, once and for ever.
        Err(_) => named_by(&line.source, &line.id)?,
    });
    let reference = |text: Option<String>| text.map(Reference::new).transpose();
    let occurred = line.occurredat.or(line.time.filter(|_| !ours));
    let further = match line.metadata {
        Some(further) => Some(further),
        None if ours => None,
        None => Some(json!({ "source": line.source }).to_string()),
    };
    event.metadata = Metadata {
        actor: reference(line.userid).map_err(text)?,
        correlation: reference(line.correlationid).map_err(text)?,
        causation: reference(line.causationid).map_err(text)?,
        occurred: occurred.map(|at| at.parse::<Timestamp>()).transpose().map_err(text)?,
        further: further.map(Further::new).transpose().map_err(text)?,
    };
    // No tag has a comma in it.
    let tags: Vec<String> = line.tags.iter().flat_map(|tags| tags.split(',')).map(str::to_owned).collect();
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
    use super::{parse, parse_metadata};

    #[track_caller]
    fn refused(line: &str, why: &str) {
        let error = parse(line.as_bytes()).unwrap_err();
        assert!(error.contains(why), "{line}: {error}");
    }

    #[test]
    fn what_is_no_event_is_refused_with_the_reason() {
        refused("{}", "streamId");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\"}", "has no data");
        refused("{\"streamId\":\"a b\",\"eventType\":\"A\",\"data\":1}", "stream");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":1,\"dat\":2}", "unknown field `dat`");
        refused("{\"streamId\":\"a-1\",\"eventType\":\"A\",\"data\":{\"a\":}}", "expected value");
        refused(
            "{\"specversion\":\"1.0\",\"id\":\"1\",\"source\":\"x\",\"type\":\"A\",\"data\":1}",
            "no subject",
        );
        assert_eq!(parse(b"{\"end\":{}}"), Ok(None));
    }

    #[test]
    fn a_cloud_event_of_someone_else_has_the_same_id_each_time() {
        let line = b"{\"specversion\":\"1.0\",\"id\":\"17\",\"source\":\"/shop\",\"type\":\"Sold\",\"subject\":\"order-1\",\"data\":null}";
        let (one, other) = (parse(line).unwrap().unwrap(), parse(line).unwrap().unwrap());
        assert_eq!(one, other);
        assert!(one.id.is_some() && one.data.as_bytes() == b"null");
    }

    #[test]
    fn metadata_is_told_apart_into_the_servers_members_and_the_clients() {
        let metadata = parse_metadata("{\"userId\":\"me\",\"mood\":\"good\"}").unwrap();
        assert_eq!(metadata.actor.unwrap().as_str(), "me");
        assert_eq!(metadata.further.unwrap().as_json().as_bytes(), b"{\"mood\":\"good\"}");
    }
}
