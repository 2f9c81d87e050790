//! Whether a server is there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// How a server is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Health {
    /// How it is, in a word.
    pub status: Status,
    /// The version of the program.
    pub version: String,
}

/// How a server is, in a word.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Status {
    /// It runs.
    Live,
    /// It takes requests.
    Ready,
}
