//! Streams.

use flightdeck_core::{StreamId, Timestamp, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What is known of a stream.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Stream {
    /// Its name.
    pub stream_id: StreamId,
    /// The version of its last event.
    pub version: Version,
    /// When its first event was recorded.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
}

/// A page of the list of streams, by name in the order of bytes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Streams {
    /// The streams.
    pub items: Vec<Stream>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
