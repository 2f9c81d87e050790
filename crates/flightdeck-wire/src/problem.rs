//! What is answered when something could not be done (RFC 9457).

use std::collections::BTreeMap;

use flightdeck_core::{Cursor, Position, StreamId};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Why it was not done: a type that programs go by, and sentences for people.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Problem {
    /// What kind of problem it is: `/problems/` and a code, such as `/problems/version-conflict`. It never changes.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind, in words.
    pub title: String,
    /// The status, as in the head of the answer.
    pub status: u16,
    /// What is the matter this time, and what helps.
    pub detail: String,
    /// By what the log of the server tells of this very answer.
    pub instance: String,
    /// For what was to be written: whether it may be in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The stream that is not where it was expected to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stream_id: Option<StreamId>,
    /// Where it was expected to be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<State>,
    /// Where it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual: Option<State>,
    /// Fields that must be there and are not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub missing: Vec<String>,
    /// Fields that are wrong, each with what is wrong with it. The empty name is the whole.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub invalid: BTreeMap<String, String>,
    /// The limit that was met, by the name that it has in the settings.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub limit: Option<String>,
    /// The position in the log that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
    /// The head of the log in its present epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub head: Option<Cursor>,
    /// The id of the thing that has already what was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub owner: Option<String>,
    /// The view that it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub view: Option<String>,
}

/// What is certain of a write that was not answered by a success.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Outcome {
    /// Nothing of it is in the log, and nothing of it will be.
    NotCommitted,
    /// It may be in the log. The same request again, with the same ids or the same `Idempotency-Key`, settles it.
    Unknown,
}

/// What a stream is, or is expected to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum State {
    /// At that version.
    Version(flightdeck_core::Version),
    /// In a state that has a name.
    Named(Named),
}

/// States of a stream that have a name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Named {
    /// Any state.
    Any,
    /// There is no such stream.
    None,
    /// There is one, at whatever version.
    Exists,
}
