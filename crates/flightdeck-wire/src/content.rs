//! Contents.

use flightdeck_core::{Edit, Timestamp, Version, edit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words;

/// A content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Content {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// By what part of a path it is found; absent when by none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slug: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Its text.
    pub content: String,
    /// What its text is written in.
    pub format: Format,
    /// Who may see it.
    pub status: Status,
    /// Who wrote it.
    pub author: String,
    /// By what it is found among others.
    pub tags: Vec<String>,
    /// How often something happened to it, as `ETag` and `If-Match` have it; absent in a list, which may lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
}

/// A page of the list of contents.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Contents {
    /// The contents.
    pub items: Vec<Content>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a text is written in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Format {
    /// Markdown.
    Markdown,
    /// HTML.
    Html,
    /// reStructuredText.
    ReStructuredText,
}

/// Who may see a content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Status {
    /// Only those who work on it.
    Draft,
    /// Everyone.
    Published,
    /// Nobody any more, but for those who look for it.
    Archived,
}

/// In which order contents are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum ContentSort {
    /// What changed least lately first.
    #[serde(rename = "updatedAt")]
    Updated,
    /// What changed last first. It is so when nobody says.
    #[default]
    #[serde(rename = "-updatedAt")]
    UpdatedLast,
}

/// Let there be a content. It is a draft.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// Whoever names the author is understood whoever asks.
#[schemars(deny_unknown_fields, extend("required" = ["author", "content", "title"]))]
pub struct NewContent {
    /// What it is called.
    #[schemars(schema_with = "words::title")]
    pub title: String,
    /// By what part of a path it is found. No two contents have the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::slug_or_null")]
    pub slug: Option<String>,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::description_or_null")]
    pub description: Option<String>,
    /// Its text.
    #[schemars(schema_with = "words::body")]
    pub content: String,
    /// What its text is written in: Markdown, when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub format: Option<Format>,
    /// Who wrote it: the caller, when nobody says. Needed while nobody in particular is asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::author")]
    pub author: Option<String>,
    /// By what it is found among others.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::labels_or_null")]
    pub tags: Option<Vec<String>>,
}

/// Change some of a content: what is absent is as it was, what is `null` is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct ContentPatch {
    /// What it is called from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::title")]
    pub title: Option<String>,
    /// By what part of a path it is found from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(schema_with = "words::slug_or_null")]
    pub slug: Edit<String>,
    /// What it is about from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(schema_with = "words::description_or_null")]
    pub description: Edit<String>,
    /// Its text from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::body")]
    pub content: Option<String>,
    /// What its text is written in from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Format")]
    pub format: Option<Format>,
    /// Who wrote it.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::author")]
    pub author: Option<String>,
    /// By what it is found among others from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(schema_with = "words::labels_or_null")]
    pub tags: Edit<Vec<String>>,
    /// Who may see it from here on. What was archived becomes a draft before it is published.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Status")]
    pub status: Option<Status>,
}
