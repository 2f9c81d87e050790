//! The history of a thing, and the difference between what it was at two moments.

use flightdeck_core::{EventId, EventType, Position, Reference, SchemaNumber, Timestamp, Version, edit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

/// A page of the history of a thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields, rename = "History")]
pub struct History<E = HistoryEntry> {
    /// What happened, in the order that was asked for.
    pub items: Vec<E>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// Something that happened to a thing, and what it changed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct HistoryEntry {
    /// Its place in the life of the thing.
    pub version: Version,
    /// Its place in the log.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// The id of the event.
    pub id: EventId,
    /// What kind of event it is.
    pub event_type: EventType,
    /// Which shape its data has.
    pub schema: SchemaNumber,
    /// Who did it; absent when that is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<Reference>,
    /// When it happened, if whoever told of it said so.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<Timestamp>,
    /// Its data, as it was sent; absent when it is gone.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Value")]
    pub data: Option<Value>,
    /// The fields that it changed; absent when that is not known, because its data, or that of one before it, is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<FieldChange>")]
    pub changes: Option<Vec<FieldChange>>,
    /// The slides that it changed, if some; those that are gone come last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slides: Vec<SlideChange>,
}

/// What is not the same at two moments in the life of a thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Compared {
    /// The last event before the one moment.
    pub from: Stand,
    /// The last event before the other.
    pub to: Stand,
    /// The fields that differ, in their usual order.
    pub changes: Vec<FieldChange>,
    /// The slides that differ, if some, as they stand afterwards; those that are gone come last, as they stood.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub slides: Vec<SlideChange>,
}

/// Where an event stands, and when it was recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Stand {
    /// Its place in the life of the thing.
    pub version: Version,
    /// Its place in the log.
    pub position: Position,
    /// When it was recorded.
    pub recorded_at: Timestamp,
}

/// A field that differs. One that has nothing in it has `null`; one that the thing does not have is absent.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct FieldChange {
    /// The field.
    pub field: String,
    /// What was in it; absent when it was not there.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Value")]
    pub before: Option<Value>,
    /// What is in it; absent when it is not there.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Value")]
    pub after: Option<Value>,
    /// Of prose that was there and is: what was kept, removed and added, in order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Vec<Piece>")]
    pub words: Option<Vec<Piece>>,
    /// Of a list that was there and is: what was added, removed and moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "ListChange")]
    pub items: Option<ListChange>,
}

/// A piece of the difference between two texts: `{"kept":"Hello "}`. Those that were kept or removed make up the text before, those
/// that were kept or added the one after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Piece {
    /// It is in both.
    Kept(String),
    /// It is in the one before only.
    Removed(String),
    /// It is in the one after only.
    Added(String),
}

/// What is not the same in two lists.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ListChange {
    /// What came in, in the order afterwards.
    pub added: Vec<String>,
    /// What is gone, in the order before.
    pub removed: Vec<String>,
    /// What is in both and stands elsewhere among the others.
    pub moved: Vec<String>,
}

/// A slide that differs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SlideChange {
    /// The slide.
    pub slide_id: String,
    /// What became of it.
    pub what: Became,
    /// Where it stood, from 1 on; absent when it was not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub place_before: Option<u32>,
    /// Where it stands, from 1 on; absent when it is not there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "u32")]
    pub place_after: Option<u32>,
    /// The fields that differ.
    pub changes: Vec<FieldChange>,
}

/// What became of a slide.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum Became {
    /// It was not there, and is.
    Added,
    /// It was there, and is not.
    Removed,
    /// It is not as it was.
    Changed,
}
