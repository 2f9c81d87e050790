//! What may stand in the fields of a request, so that the document says of each field what the server takes.
//!
//! The words themselves are the domain's, which is not known here; a test of the server holds these against them.

use flightdeck_core::prose::{ID_PATTERN, Layout};
use schemars::{Schema, SchemaGenerator, json_schema};

/// Describes words, each alone and as one that may be cleared.
macro_rules! words {
    ($($(#[$doc:meta])* $name:ident, $or_null:ident, { $($schema:tt)+ };)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub fn $name(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": "string", $($schema)+ })
            }

            $(#[$doc])*
            /// Or `null`.
            #[must_use]
            pub fn $or_null(_: &mut SchemaGenerator) -> Schema {
                json_schema!({ "type": ["string", "null"], $($schema)+ })
            }
        )*
    };
}

/// A character of an address, as a regular expression.
macro_rules! seen {
    () => {
        r"[^\s\u0000-\u001F\u007F-\u009F\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u2800\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8@]"
    };
}

words! {
    /// The id of a thing.
    id, id_or_null, { "pattern": ID_PATTERN };
    /// What something is called.
    title, title_or_null, { "minLength": 1, "maxLength": 100, "pattern": Layout::Line.spelt() };
    /// What something is about.
    description, description_or_null, { "minLength": 1, "maxLength": 1_000, "pattern": Layout::Lines.spelt() };
    /// Who wrote something.
    author, author_or_null, { "minLength": 1, "maxLength": 200, "pattern": Layout::Line.spelt() };
    /// A label.
    label, label_or_null, { "minLength": 1, "maxLength": 50, "pattern": Layout::Line.spelt() };
    /// The name of a theme.
    theme, theme_or_null, { "minLength": 1, "maxLength": 50, "pattern": Layout::Line.spelt() };
    /// What a slide says.
    slide_text, slide_text_or_null, { "minLength": 1, "maxLength": 16_000, "pattern": Layout::Lines.spelt() };
    /// What the speaker wants to remember.
    notes, notes_or_null, { "minLength": 1, "maxLength": 10_000, "pattern": Layout::Lines.spelt() };
    /// What an image shows.
    alternative, alternative_or_null, { "minLength": 1, "maxLength": 500, "pattern": Layout::Line.spelt() };
    /// What a user wants to be called.
    display_name, display_name_or_null, { "minLength": 1, "maxLength": 100, "pattern": Layout::Line.spelt() };
    /// The text of a content.
    body, body_or_null, { "minLength": 1, "maxLength": 245_760, "pattern": Layout::Lines.spelt() };
    /// The part of a path by which a content is found.
    slug, slug_or_null, { "pattern": "^[a-z0-9-]{1,100}$" };
    /// The language that code is written in.
    language, language_or_null, { "pattern": "^[A-Za-z0-9+#._-]{1,40}$" };
    /// Where an image lies.
    image_url, image_url_or_null, {
        "maxLength": 2_000, "pattern": r#"^(https?://|/(?![/\\]))[^\s\u0000-\u001F\u007F-\u009F"<>\\]+$"#
    };
    /// An e-mail address.
    email, email_or_null, {
        "maxLength": 254,
        "pattern": concat!("^", seen!(), "{1,64}@", seen!(), "+$")
    };
}

/// Labels, each once.
#[must_use]
pub fn labels(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": label(generator), "maxItems": 32 })
}

/// Labels, or `null` for none.
#[must_use]
pub fn labels_or_null(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["array", "null"], "items": label(generator), "maxItems": 32 })
}

/// Streams that are named, one or many at a time; or `null` for none.
#[must_use]
pub fn streams_or_null(_: &mut SchemaGenerator) -> Schema {
    let items = json_schema!({ "type": "string", "pattern": flightdeck_core::stream::PATTERN });
    json_schema!({ "type": ["array", "null"], "items": items, "maxItems": 32 })
}

/// A moment, or `null` for none.
#[must_use]
pub fn moment_or_null(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": ["string", "null"], "format": "date-time" })
}

/// Slides in an order.
#[must_use]
pub fn slide_ids(generator: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "array", "items": id(generator), "maxItems": 1_000 })
}

/// The place of a slide; one that is behind the last is the last.
#[must_use]
pub fn place(_: &mut SchemaGenerator) -> Schema {
    json_schema!({ "type": "integer", "minimum": 1, "maximum": 4_000_000_000_u32 })
}
