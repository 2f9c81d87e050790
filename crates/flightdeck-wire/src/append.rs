//! Appending events, as they are, to streams that belong to no aggregate.

use std::collections::BTreeMap;

use flightdeck_core::limits::{
    APPEND_EVENTS_MAX, APPEND_EXPECTED_MAX, CONDITION_ITEMS_MAX, TAGS_MAX, TYPES_MAX,
};
use flightdeck_core::{
    Cursor, EventId, EventType, Position, SchemaNumber, StreamId, Tag, Timestamp, Version,
};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::event::{Metadata, Specversion};
use crate::problem::State;

/// An event that is to be appended to the stream that the request is about.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct NewEvent {
    /// Its id. An id is appended once: the same event again is answered with what was done then. The server makes one when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape the data has; 1 when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaNumber>,
    /// The data: any JSON, kept as it was sent.
    #[schemars(with = "Value")]
    pub data: Box<RawValue>,
    /// Because of what, when, and whatever else. A `userId` is left out: who did it is known by the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Said>")]
    pub metadata: Option<Metadata>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Tag>>", length(max = TAGS_MAX))]
    pub tags: Vec<Tag>,
}

/// What a client says of an event beside its data.
#[derive(JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
#[expect(dead_code, reason = "it is only described")]
struct Said {
    /// What it belongs to; that of the request when it is not given.
    #[serde(default)]
    correlation_id: Option<flightdeck_core::Reference>,
    /// What caused it.
    #[serde(default)]
    causation_id: Option<flightdeck_core::Reference>,
    /// When it happened where it happened.
    #[serde(default)]
    occurred_at: Option<Timestamp>,
    /// Whatever else.
    #[serde(flatten)]
    further: BTreeMap<String, Value>,
}

/// Events for one stream.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct StreamAppend {
    /// The state that the stream must be in; any when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<State>,
    /// The events, in their order.
    #[schemars(length(min = 1, max = APPEND_EVENTS_MAX))]
    pub events: Vec<NewEvent>,
}

/// An event that is to be appended, with the stream that it goes to.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct NewEventOf {
    /// The stream that it goes to.
    pub stream_id: StreamId,
    /// Its id. An id is appended once: the same event again is answered with what was done then. The server makes one when none is given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<EventId>,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape the data has; 1 when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schema: Option<SchemaNumber>,
    /// The data: any JSON, kept as it was sent.
    #[schemars(with = "Value")]
    pub data: Box<RawValue>,
    /// Because of what, when, and whatever else. A `userId` is left out: who did it is known by the credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Said>")]
    pub metadata: Option<Metadata>,
    /// Its labels.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Tag>>", length(max = TAGS_MAX))]
    pub tags: Vec<Tag>,
}

/// Events in one order, over one or more streams: all of them, or none.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Append {
    /// The events, in their order.
    #[schemars(length(min = 1, max = APPEND_EVENTS_MAX))]
    pub events: Vec<NewEventOf>,
    /// The state that streams must be in, also such that receive nothing. One that is not named may be in any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<ExpectedStreams>")]
    pub expected: Option<BTreeMap<StreamId, State>>,
    /// What must not have happened since this was decided.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub condition: Option<Condition>,
}

/// Describes which state is expected of which stream.
struct ExpectedStreams;

impl JsonSchema for ExpectedStreams {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ExpectedStreams".into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (name, state) = (generator.subschema_for::<StreamId>(), generator.subschema_for::<State>());
        json_schema!({
            "type": "object", "propertyNames": name, "additionalProperties": state, "maxProperties": APPEND_EXPECTED_MAX,
        })
    }
}

/// No event beyond `after` matches any of the items.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Condition {
    /// How far the log had been read when this was decided: a cursor or a position; the beginning when it is not given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub after: Option<Place>,
    /// The items.
    #[schemars(length(max = CONDITION_ITEMS_MAX))]
    pub any: Vec<ConditionItem>,
}

/// A place in the log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Place {
    /// A cursor, which is good in its own epoch only.
    Cursor(Cursor),
    /// A bare position, which is good in every epoch.
    Position(Position),
}

/// One kind of event: it has all of the tags, and is of one of the types. A list that is not given lets all through.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ConditionItem {
    /// All of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<Tag>>", length(max = TAGS_MAX))]
    pub tags: Vec<Tag>,
    /// One of these.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(with = "Option<Vec<EventType>>", length(max = TYPES_MAX))]
    pub types: Vec<EventType>,
}

/// What an append to one stream did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct StreamAppended {
    /// The stream.
    pub stream_id: StreamId,
    /// The version of the first of the events.
    pub from_version: Version,
    /// The version of the last of them.
    pub version: Version,
    /// The position of the first of them.
    pub from_position: Position,
    /// The position of the last of them.
    pub position: Position,
    /// Whether it was done before, and nothing was done now.
    pub duplicate: bool,
}

/// What an append did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Appended {
    /// The streams that received events, in the order of their first one.
    pub streams: Vec<Received>,
    /// The position of the first of the events.
    pub from_position: Position,
    /// The position of the last of them.
    pub position: Position,
    /// Whoever has read up to here sees what was appended.
    pub cursor: Cursor,
    /// Whether it was done before, and nothing was done now.
    pub duplicate: bool,
}

/// What one stream received.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Received {
    /// The stream.
    pub stream_id: StreamId,
    /// The version of the first of its events.
    pub from_version: Version,
    /// The version of the last of them.
    pub version: Version,
}

/// A CloudEvent 1.0 that is to be appended. Its subject names the stream; source and id together name the event, once and for ever. Further
/// attributes are kept in the metadata.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct CloudEvent {
    /// The version of the specification.
    pub specversion: Specversion,
    /// What the event is called by its source.
    #[schemars(length(min = 1, max = 200))]
    pub id: String,
    /// What it comes from.
    #[schemars(length(min = 1, max = 200))]
    pub source: String,
    /// What kind of event it is.
    #[serde(rename = "type")]
    pub kind: EventType,
    /// The stream.
    pub subject: StreamId,
    /// When it happened.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time: Option<Timestamp>,
    /// What the data is in: JSON, also when it is not said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(regex(pattern = "^application/json$"))]
    pub datacontenttype: Option<String>,
    /// The data: any JSON. It is kept as it was sent.
    pub data: Value,
    /// Further attributes.
    #[serde(flatten)]
    pub further: BTreeMap<String, Value>,
}
