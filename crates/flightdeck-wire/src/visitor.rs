//! What visitors do, and what they answer when they are asked whether it may be recorded.

use flightdeck_core::prose::Layout;
use flightdeck_core::{Position, StreamId, Timestamp, Version};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Text of one line with so many characters at most.
fn line<const MOST: usize>(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "string", "minLength": 1, "maxLength": MOST, "pattern": Layout::Line.spelt() })
}

/// One fact, or up to 20 in their order, as `navigator.sendBeacon` sends them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(untagged)]
pub enum Facts {
    /// One.
    One(Fact),
    /// Several.
    Several(#[schemars(length(min = 1, max = 20))] Vec<Fact>),
}

/// What a visitor did. A fact has 16 KiB at most.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type")]
pub enum Fact {
    /// It looked at a page.
    PageViewed(PageViewed),
    /// It clicked a button.
    ButtonClicked(ButtonClicked),
    /// It sent a form.
    FormSubmitted(FormSubmitted),
    /// It did something to some other element.
    ElementInteraction(ElementInteraction),
    /// Something happened by itself while it was there.
    SystemEvent(SystemEvent),
}

/// A kind of fact, with what all have in common.
macro_rules! fact {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase")]
        #[schemars(deny_unknown_fields)]
        pub struct $name {
            $($(#[$field_doc])* pub $field: $type,)*
            /// When it happened, as the visitor's own clock says.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub visitor_timestamp: Option<Timestamp>,
            /// What else the site says of it.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            pub metadata: Map<String, Value>,
        }
    };
}

fact! {
    /// A visitor looked at a page.
    PageViewed {
        /// The page: its path, as a rule.
        #[schemars(schema_with = "line::<2000>")]
        page_id: String,
        /// What the page is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "line::<300>")]
        title: Option<String>,
        /// Where the visitor came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "line::<2000>")]
        referrer: Option<String>,
    }
}
fact! {
    /// A visitor clicked a button.
    ButtonClicked {
        /// The button, as the site calls it.
        #[schemars(schema_with = "line::<200>")]
        button_id: String,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "line::<2000>")]
        page_id: Option<String>,
    }
}
fact! {
    /// A visitor sent a form.
    FormSubmitted {
        /// The form, as the site calls it.
        #[schemars(schema_with = "line::<200>")]
        form_id: String,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "line::<2000>")]
        page_id: Option<String>,
        /// What the site passes on of what was filled in.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        fields: Map<String, Value>,
    }
}
fact! {
    /// A visitor did something to an element.
    ElementInteraction {
        /// The element, as the site calls it.
        #[schemars(schema_with = "line::<200>")]
        element_id: String,
        /// What it did: `click`, `visible`, `hover`.
        #[schemars(schema_with = "line::<50>")]
        interaction: String,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "line::<2000>")]
        page_id: Option<String>,
    }
}
fact! {
    /// Something happened by itself while a visitor was there.
    SystemEvent {
        /// What: an error, a measurement.
        #[schemars(schema_with = "line::<100>")]
        name: String,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "line::<2000>")]
        page_id: Option<String>,
    }
}

/// What became of facts.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Recorded {
    /// Whether they are in the log. `false`: the visitor declined, or did not consent where the site asks first, and nothing is kept.
    pub stored: bool,
    /// The version of the first of them in the visitor's stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_version: Option<Version>,
    /// The version of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// The position of the first of them in the log.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub from_position: Option<Position>,
    /// The position of the last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub position: Option<Position>,
}

/// What a visitor answers when it is asked whether it may be recorded.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct GiveConsent {
    /// The answer.
    pub answer: Answer,
}

/// An answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Answer {
    /// It may be recorded.
    Accept,
    /// It may not.
    Decline,
    /// It takes its answer back, whichever it was.
    Reset,
}

/// What is known of a visitor's answer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Consented {
    /// What it answered.
    pub consent: Consent,
}

/// What a visitor answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
pub enum Consent {
    /// Nothing yet, or it took its answer back.
    Unanswered,
    /// It may be recorded.
    Accepted,
    /// It may not.
    Declined,
}

/// The stream of the visitor who asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct CurrentStream {
    /// Its name.
    pub stream_id: StreamId,
    /// The version of its last event.
    pub version: Version,
    /// When its first event was recorded.
    pub created_at: Timestamp,
    /// When its last event was recorded.
    pub updated_at: Timestamp,
    /// What the visitor answered when it was asked whether it may be recorded.
    pub consent: Consent,
}

/// A code by which another device goes on with the visitor's stream, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct LinkCode {
    /// The code, for `?ref=`.
    pub code: String,
    /// When it is good no more.
    pub expires_at: Timestamp,
}
