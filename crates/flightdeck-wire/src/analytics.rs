//! What visitors did, counted: the site in a time, each visitor, each page.

use flightdeck_core::{Position, Timestamp, Version};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// What happened on the site: ever, and in a time, bucket by bucket.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Site {
    /// How long a bucket is.
    pub grain: Grain,
    /// The zone whose hours, days, weeks and months they are.
    pub zone: String,
    /// What happened ever.
    pub totals: Counts,
    /// The buckets in their order, also those in which nothing happened.
    pub series: Vec<Bucket>,
}

/// How long a bucket of a series is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Grain {
    /// An hour on the clock.
    Hour,
    /// A day: 23 or 25 hours when the clock is changed.
    #[default]
    Day,
    /// A week, from Monday on.
    Week,
    /// A month.
    Month,
}

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Counts {
    /// Pages that were looked at.
    pub views: i64,
    /// Buttons that were clicked.
    pub clicks: i64,
    /// Forms that were sent.
    pub forms: i64,
    /// These, and all else that visitors did.
    pub facts: i64,
    /// How many different visitors did that.
    pub visitors: i64,
    /// Whether the number of visitors is exact, and no estimate.
    pub visitors_exact: bool,
}

/// What happened in a time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Bucket {
    /// When it begins.
    pub start: Timestamp,
    /// When the next one begins.
    pub end: Timestamp,
    /// What was counted in it.
    pub counts: Counts,
}

/// By what visitors are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum VisitorsBy {
    /// Who did most comes first.
    #[default]
    Active,
    /// Who looked at most pages.
    Views,
    /// Who was active last.
    Recent,
}

/// What a visitor did in all.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Visitor {
    /// Its id.
    pub visitor_id: String,
    /// All that it did.
    pub facts: i64,
    /// How often it looked at a page.
    pub views: i64,
    /// How often it clicked a button.
    pub clicks: i64,
    /// How many forms it sent.
    pub forms: i64,
    /// What else it did.
    pub others: i64,
    /// How many pages it did something on.
    pub pages: i64,
    /// When it did something first.
    pub first_active: Timestamp,
    /// When it did something last.
    pub last_active: Timestamp,
}

/// A page of the list of visitors.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Visitors {
    /// The visitors.
    pub items: Vec<Visitor>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// One visitor: what it did in all, where, when in one go, and one by one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct VisitorDetails {
    /// What it did in all; absent when it did nothing that is counted, or that is not counted yet.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub activity: Option<Visitor>,
    /// The pages that it did something on, by their names.
    pub pages: VisitorPages,
    /// What it did in one go, the last first.
    pub sessions: Sessions,
    /// What it did one by one, the last first.
    pub timeline: Timeline,
}

/// What a visitor did on pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct VisitorPages {
    /// The pages.
    pub items: Vec<VisitorPage>,
    /// What to ask for next, as `pagesAfter`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a visitor did on one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct VisitorPage {
    /// The page.
    pub page_id: String,
    /// All that it did there.
    pub facts: i64,
    /// How often it looked at it.
    pub views: i64,
    /// How often it clicked a button there.
    pub clicks: i64,
    /// How many forms it sent there.
    pub forms: i64,
    /// What else it did there.
    pub others: i64,
    /// When it did something there first.
    pub first_active: Timestamp,
    /// When it did something there last.
    pub last_active: Timestamp,
}

/// What a visitor did in one go, time after time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Sessions {
    /// The sessions.
    pub items: Vec<Session>,
    /// What to ask for next, as `sessionsAfter`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a visitor did in one go: with no half hour in between in which it did nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Session {
    /// Which of its sessions, from 1 on.
    pub number: i64,
    /// When it began.
    pub started_at: Timestamp,
    /// When the last fact of it came.
    pub ended_at: Timestamp,
    /// The first version of it in the visitor's stream.
    pub first_version: i64,
    /// The last version of it in the visitor's stream.
    pub last_version: i64,
    /// All that the visitor did.
    pub facts: i64,
    /// How often it looked at a page.
    pub views: i64,
    /// The page that it looked at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry_page: Option<String>,
    /// The page that it looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub exit_page: Option<String>,
    /// Where it came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub referrer: Option<String>,
}

/// What a visitor did, one by one.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Timeline {
    /// What it did.
    pub items: Vec<Done>,
    /// What to ask for next, as `timelineBefore`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<Version>,
}

/// Something that a visitor did, or answered.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Done {
    /// Its place in the visitor's stream.
    pub version: Version,
    /// Its place in the log.
    pub position: Position,
    /// What kind of event it is.
    pub event_type: String,
    /// When it was recorded.
    pub recorded_at: Timestamp,
    /// What is known of it; absent when that is gone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<Value>")]
    pub data: Option<Box<RawValue>>,
}

/// By what pages are put in order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum PagesBy {
    /// What was looked at most comes first.
    #[default]
    Views,
    /// Where most happened.
    Active,
    /// What was looked at last.
    Recent,
}

/// What happened on one page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Page {
    /// The page. A very long one stands here shortened, with a digest behind.
    pub page_id: String,
    /// What it was called when it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What was counted on it.
    pub counts: Counts,
    /// When it was looked at first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub first_viewed: Option<Timestamp>,
    /// When it was looked at last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_viewed: Option<Timestamp>,
}

/// A page of the list of pages.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Pages {
    /// The pages.
    pub items: Vec<Page>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
