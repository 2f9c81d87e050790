//! Events, as clients see them.

use std::collections::BTreeMap;

use flightdeck_core::{
    Cursor, EventId, EventType, Position, Reference, SchemaNumber, StreamId, Tag, Timestamp, Version,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// An event of the log.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Event {
    /// What to keep, and to go on from behind it.
    pub cursor: Cursor,
    /// Its place in the log, for people: it is not good in another epoch.
    pub position: Position,
    /// Its id.
    pub id: EventId,
    /// The stream that it is in.
    pub stream_id: StreamId,
    /// Its place in the stream.
    pub version: Version,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape the data has.
    pub schema: SchemaNumber,
    /// The data, as it was sent; `null` when it was erased since.
    #[schemars(with = "Value")]
    pub data: Box<RawValue>,
    /// Who, because of what, when, and what the client said further.
    pub metadata: Metadata,
    /// Its labels.
    pub tags: Vec<Tag>,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// Its link of the chain: SHA-256, in hexadecimal digits.
    #[schemars(regex(pattern = r"^[0-9a-f]{64}$"))]
    pub hash: String,
}

/// What is known of an event beside its data: what the server says of it, and what the client said further.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Metadata {
    /// Who did it, by their credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Reference>,
    /// What it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Reference>,
    /// What caused it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Reference>,
    /// When it happened where it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// What the client said further.
    #[serde(flatten)]
    pub further: BTreeMap<String, Value>,
}

/// A page of events, of the log or of a part of it.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Events {
    /// The events, in the order that was asked for.
    pub events: Vec<Event>,
    /// How far was looked, whether events came of it or not: good as `after` for whoever goes on reading the log.
    pub scanned_to: Cursor,
    /// The head of the log.
    pub head: Cursor,
    /// Whether everything that was asked for has come, as far as the log goes now.
    pub caught_up: bool,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// An event of ours as a CloudEvent 1.0.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(deny_unknown_fields)]
pub struct CloudEvent {
    /// The version of the specification.
    pub specversion: Specversion,
    /// The id.
    pub id: EventId,
    /// What it comes from: `urn:flightdeck`.
    pub source: String,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The stream.
    pub subject: StreamId,
    /// When it was recorded.
    pub time: Timestamp,
    /// Its place in the log.
    pub sequence: String,
    /// Its place in the stream.
    #[serde(rename = "streamversion")]
    pub stream_version: Version,
    /// Which shape the data has.
    #[serde(rename = "schemanumber")]
    pub schema_number: SchemaNumber,
    /// Who did it.
    #[serde(rename = "userid", default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Reference>,
    /// What it belongs to.
    #[serde(rename = "correlationid", default, skip_serializing_if = "Option::is_none")]
    pub correlation_id: Option<Reference>,
    /// What caused it.
    #[serde(rename = "causationid", default, skip_serializing_if = "Option::is_none")]
    pub causation_id: Option<Reference>,
    /// When it happened where it happened.
    #[serde(rename = "occurredat", default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// What the client said further, as JSON in a text.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<String>,
    /// Its labels, with commas between them.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tags: Option<String>,
    /// What the data is in; absent when it was erased since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub datacontenttype: Option<String>,
    /// The data, as it was sent; absent when it was erased since.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub data: Option<Box<RawValue>>,
}

/// A version of CloudEvents.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Specversion {
    /// 1.0.
    #[serde(rename = "1.0")]
    One,
}
