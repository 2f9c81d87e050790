//! Tokens: what is asked for, what is told of one, and the token itself, once.

use flightdeck_core::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words;

/// What may be done with a token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(inline)]
pub enum Scope {
    /// Read the streams it names, and what is folded from them.
    Read,
    /// Write the streams it names.
    Write,
    /// Everything, on every stream.
    Admin,
    /// Record what visitors do.
    Capture,
}

/// A token to be made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewToken {
    /// What it is for.
    #[schemars(schema_with = "words::title")]
    pub name: String,
    /// What may be done with it.
    #[schemars(length(min = 1, max = 4))]
    pub scopes: Vec<Scope>,
    /// The streams that may be read: `order-7`, `order-*`, `or*`, `*` (all but the system's own). Needed with the scope `read`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::streams_or_null")]
    pub reads: Option<Vec<String>>,
    /// The streams that may be written; likewise, with the scope `write`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::streams_or_null")]
    pub writes: Option<Vec<String>>,
    /// The user for whom it stands: events say that it did what was done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::id_or_null")]
    pub user_id: Option<String>,
    /// Until when it is good; for ever when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::moment_or_null")]
    pub expires_at: Option<Timestamp>,
}

/// A token, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Token {
    /// Its id.
    pub id: String,
    /// What it is for.
    pub name: String,
    /// What may be done with it.
    pub scopes: Vec<Scope>,
    /// The streams that may be read.
    pub reads: Vec<String>,
    /// The streams that may be written.
    pub writes: Vec<String>,
    /// The user for whom it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub user_id: Option<String>,
    /// Until when it is good.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<Timestamp>,
    /// Whether it was revoked: it is good for nothing then.
    pub revoked: bool,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A token that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct MadeToken {
    /// The token itself. It is told once, and stored nowhere: absent when the same request has made it before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "String")]
    pub secret: Option<String>,
    /// What is known of it.
    pub token: Token,
}

impl std::fmt::Debug for MadeToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("MadeToken").field("token", &self.token).finish_non_exhaustive()
    }
}

/// A ticket to be made.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct NewTicket {
    /// The streams that it is for, and for nothing else: `order-7`, `order-*`, `or*`. Whatever its maker may, when it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::streams_or_null")]
    pub streams: Option<Vec<String>>,
}

/// A ticket that was made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Ticket {
    /// The ticket itself, for `?ticket=`.
    pub ticket: String,
    /// Until when it is good.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Ticket").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// A page of tokens.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Tokens {
    /// The tokens, the oldest first.
    pub items: Vec<Token>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
