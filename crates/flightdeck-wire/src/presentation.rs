//! Presentations and their slides.

use std::borrow::Cow;

use flightdeck_core::{Edit, Timestamp, Version, edit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};

use crate::words;

/// A presentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Presentation {
    /// Its id.
    pub id: String,
    /// What it is called.
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Who made it.
    pub author: String,
    /// What it looks like.
    pub theme: String,
    /// Whether everyone may see it.
    pub is_public: bool,
    /// How many slides it has.
    pub slide_count: u32,
    /// Its slides, in their order; absent in a list.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub slides: Option<Vec<Slide>>,
    /// How often something happened to it or its slides, as `ETag` and `If-Match` have it; absent in a list, which may lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// When it came to be.
    pub created_at: Timestamp,
    /// When it or one of its slides last changed.
    pub updated_at: Timestamp,
}

/// A page of the list of presentations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Presentations {
    /// The presentations.
    pub items: Vec<Presentation>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// A slide.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Slide {
    /// Its id.
    pub id: String,
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// What it shows.
    pub content: SlideContent,
    /// What the speaker wants to remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub notes: Option<String>,
    /// Its place: 1, 2, 3, without holes.
    #[schemars(schema_with = "words::place")]
    pub order: u32,
}

/// A page of the slides of a presentation, in their order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Slides {
    /// The slides.
    pub items: Vec<Slide>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a slide shows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub enum SlideContent {
    /// A text as it is.
    Text {
        /// The text.
        #[schemars(schema_with = "words::slide_text")]
        text: String,
    },
    /// A text in Markdown.
    Markdown {
        /// The text.
        #[schemars(schema_with = "words::slide_text")]
        text: String,
    },
    /// Code.
    Code {
        /// The language that it is written in.
        #[schemars(schema_with = "words::language")]
        language: String,
        /// The code.
        #[schemars(schema_with = "words::slide_text")]
        text: String,
    },
    /// An image.
    Image {
        /// Where it lies.
        #[schemars(schema_with = "words::image_url")]
        url: String,
        /// What it shows, for those who can't see it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        #[schemars(schema_with = "words::alternative_or_null")]
        alt: Option<String>,
    },
}

/// A kind of what slides show.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(inline)]
pub enum SlideKind {
    /// A text as it is.
    Text,
    /// A text in Markdown.
    Markdown,
    /// Code.
    Code,
    /// An image.
    Image,
}

/// In which order presentations are listed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum PresentationSort {
    /// What changed least lately first.
    #[serde(rename = "updatedAt")]
    Updated,
    /// What changed last first. It is so when nobody says.
    #[default]
    #[serde(rename = "-updatedAt")]
    UpdatedLast,
}

/// Let there be a presentation. It has no slides yet.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
// Whoever names the author is understood whoever asks.
#[schemars(deny_unknown_fields, extend("required" = ["author", "title"]))]
pub struct NewPresentation {
    /// What it is called.
    #[schemars(schema_with = "words::title")]
    pub title: String,
    /// What it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::description_or_null")]
    pub description: Option<String>,
    /// Who made it: the caller, when nobody says. Needed while nobody in particular is asking.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::author")]
    pub author: Option<String>,
    /// What it looks like: `default`, when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::theme_or_null")]
    pub theme: Option<String>,
    /// Whether everyone may see it. Nobody may, when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub is_public: Option<bool>,
}

/// Change some of a presentation: what is absent is as it was, what is `null` is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct PresentationPatch {
    /// What it is called from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::title")]
    pub title: Option<String>,
    /// What it is about from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(schema_with = "words::description_or_null")]
    pub description: Edit<String>,
    /// Who made it.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::author")]
    pub author: Option<String>,
    /// What it looks like from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::theme")]
    pub theme: Option<String>,
    /// Whether everyone may see it from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "bool")]
    pub is_public: Option<bool>,
}

/// Put a slide into a presentation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct NewSlide {
    /// What it is called.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::title_or_null")]
    pub title: Option<String>,
    /// What it shows.
    pub content: SlideContent,
    /// What the speaker wants to remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::notes_or_null")]
    pub notes: Option<String>,
    /// Its place: the last, when nobody says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::place")]
    pub order: Option<u32>,
}

/// Change some of a slide: what is absent is as it was, what is `null` is cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SlidePatch {
    /// What it is called from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(schema_with = "words::title_or_null")]
    pub title: Edit<String>,
    /// What changes about what it shows.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "SlideContentPatch")]
    pub content: Option<SlideContentPatch>,
    /// What the speaker wants to remember from here on.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    #[schemars(schema_with = "words::notes_or_null")]
    pub notes: Edit<String>,
}

/// Change some of what a slide shows: with a `type`, it shows all of that instead. What is of another kind than the slide is of is refused.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SlideContentPatch {
    /// The kind, if it shall be another one.
    #[serde(
        default,
        rename = "type",
        deserialize_with = "edit::present",
        skip_serializing_if = "Option::is_none"
    )]
    pub kind: Option<SlideKind>,
    /// The text, for all kinds but images.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub text: Edit<String>,
    /// The language, for code.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub language: Edit<String>,
    /// Where the image lies.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub url: Edit<String>,
    /// What the image shows.
    #[serde(default, skip_serializing_if = "Edit::is_keep")]
    pub alt: Edit<String>,
}

impl JsonSchema for SlideContentPatch {
    fn schema_name() -> Cow<'static, str> {
        "SlideContentPatch".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let whole = generator.subschema_for::<SlideContent>();
        let parts = json_schema!({
            "type": "object",
            "properties": {
                "text": words::slide_text_or_null(generator),
                "language": words::language_or_null(generator),
                "url": words::image_url_or_null(generator),
                "alt": words::alternative_or_null(generator),
            },
            "additionalProperties": false,
        });
        json_schema!({ "anyOf": [whole, parts] })
    }
}

/// Put all slides in an order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SlidesInOrder {
    /// All slides of the presentation, each once.
    #[schemars(schema_with = "words::slide_ids")]
    pub slide_ids: Vec<String>,
}

/// Move a slide to another place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct SlidePlace {
    /// Its place, from 1 on; one that is behind the last is the last.
    #[schemars(schema_with = "words::place")]
    pub order: u32,
}
