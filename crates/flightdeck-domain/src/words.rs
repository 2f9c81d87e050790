//! The words of the domain: ids, titles, slugs, addresses. One that exists is legal.
//!
//! Stored events are read through these types. What they take may grow; what they took once they must take for ever.

use flightdeck_core::prose::{Layout, check, is_unseen};
use flightdeck_core::{WordError, id_word, prose_word, text_word, word_schema};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize};
use unicode_normalization::UnicodeNormalization as _;

id_word! {
    /// The id of a content.
    ContentId, "content id"
}
id_word! {
    /// The id of a presentation.
    PresentationId, "presentation id"
}
id_word! {
    /// The id of a slide within its presentation.
    SlideId, "slide id"
}
id_word! {
    /// The id of a user: what its credential says, such as the `sub` of a token.
    UserId, "user id"
}

prose_word! {
    /// What a content, a presentation or a slide is called.
    Title, "title", Line, 100
}
prose_word! {
    /// What a content or a presentation is about, in some sentences.
    Description, "description", Lines, 1_000
}
prose_word! {
    /// Who wrote something, as readers see it.
    Author, "author", Line, 200
}
prose_word! {
    /// A label by which contents are found.
    Label, "tag", Line, 50
}
prose_word! {
    /// What a presentation looks like: the name of a theme.
    Theme, "theme", Line, 50
}
prose_word! {
    /// What a slide says: a text, markdown or code.
    SlideText, "text", Lines, 16_000
}
prose_word! {
    /// What the speaker wants to remember.
    Notes, "notes", Lines, 10_000
}
prose_word! {
    /// What an image shows, for those who can't see it.
    Alternative, "alt", Line, 500
}
prose_word! {
    /// What a user wants to be called.
    DisplayName, "display name", Line, 100
}

/// Labels a content.
pub const LABELS_MAX: usize = 32;
/// Slides that a presentation may have at a time.
pub const SLIDES_MAX: usize = 1_000;

/// The slides of a presentation as they are in JSON, in bytes: a snapshot of it always fits.
pub const DECK_JSON_BYTES_MAX: usize = 1024 * 1024;

/// The labels of a content.
pub type Labels = AtMost<Label, LABELS_MAX>;

/// A list of at most so many.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize)]
#[serde(transparent)]
pub struct AtMost<T, const MOST: usize>(Vec<T>);

impl<T, const MOST: usize> AtMost<T, MOST> {
    /// The list, if it is not too long.
    ///
    /// # Errors
    /// When it is.
    pub fn new(items: Vec<T>) -> Result<Self, WordError> {
        match items.len() > MOST {
            true => Err(WordError::new("list", format!("has {} items, and {MOST} is the most", items.len()))),
            false => Ok(Self(items)),
        }
    }

    /// The items.
    #[must_use]
    pub fn as_slice(&self) -> &[T] {
        &self.0
    }
}

impl<T, const MOST: usize> Default for AtMost<T, MOST> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<'de, T: Deserialize<'de>, const MOST: usize> Deserialize<'de> for AtMost<T, MOST> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

impl<T: JsonSchema, const MOST: usize> JsonSchema for AtMost<T, MOST> {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        format!("AtMost{MOST}{}", T::schema_name()).into()
    }
    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let items = generator.subschema_for::<T>();
        json_schema!({ "type": "array", "items": items, "maxItems": MOST })
    }
}

/// A number of JSON, which knows one kind only, if it is a whole one: `1.0` is `1`.
pub(crate) fn whole(number: f64) -> Option<usize> {
    (number.fract() == 0.0 && (0.0..=4e9).contains(&number)).then_some(number as usize)
}

/// The place of a slide in its presentation: 1, 2, 3, without holes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
#[serde(transparent)]
pub struct SlideOrder(usize);

impl SlideOrder {
    /// The place of that number.
    ///
    /// # Errors
    /// When it is 0, or greater than a presentation can have slides.
    pub fn new(number: usize) -> Result<Self, WordError> {
        match number {
            1..=SLIDES_MAX => Ok(Self(number)),
            _ => Err(WordError::new("order", format!("is not between 1 and {SLIDES_MAX}"))),
        }
    }

    /// The place in a presentation of so many slides that is nearest to the one that was asked for.
    #[must_use]
    pub(crate) fn within(asked: usize, slides: usize) -> Self {
        Self(asked.clamp(1, slides.clamp(1, SLIDES_MAX)))
    }

    /// The number, from 1 on.
    #[must_use]
    pub const fn get(self) -> usize {
        self.0
    }
}

impl<'de> Deserialize<'de> for SlideOrder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let number = whole(f64::deserialize(deserializer)?).unwrap_or(0);
        Self::new(number).map_err(serde::de::Error::custom)
    }
}
word_schema! { SlideOrder, { "type": "integer", "minimum": 1, "maximum": SLIDES_MAX } }
/// The text of a content as it is in JSON, in bytes: it leaves room for the other fields within an event.
pub const BODY_JSON_BYTES_MAX: usize = 240 * 1024;

text_word! {
    /// The text of a content, in its format: not empty, at most 240 KiB in JSON.
    Body, check_body
}
word_schema! { Body, {
    "type": "string", "minLength": 1, "maxLength": BODY_JSON_BYTES_MAX, "pattern": Layout::Lines.pattern(),
} }

fn check_body(text: &str) -> Result<(), WordError> {
    check("content", text, BODY_JSON_BYTES_MAX, Layout::Lines)?;
    match json_bytes(text) > BODY_JSON_BYTES_MAX {
        true => Err(WordError::new("content", format!("takes more than {BODY_JSON_BYTES_MAX} bytes"))),
        false => Ok(()),
    }
}

/// How many bytes a text takes in JSON. Line breaks, tabs, quotes and backslashes take two there; no word here has other control characters.
pub(crate) fn json_bytes(text: &str) -> usize {
    let escaped = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\' | b'\n' | b'\r' | b'\t')).count();
    text.len() + escaped + 2
}

text_word! {
    /// The part of a path by which a content is found: `[a-z0-9-]`, at most 100.
    Slug, check_slug
}
word_schema! { Slug, { "type": "string", "pattern": "^[a-z0-9-]{1,100}$" } }

fn check_slug(text: &str) -> Result<(), WordError> {
    let legal = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    match text.len() {
        0 => Err(WordError::new("slug", "is empty")),
        101.. => Err(WordError::new("slug", "is longer than 100 characters")),
        _ if !text.chars().all(legal) => {
            Err(WordError::new("slug", "has other than small letters a to z, digits and `-`"))
        }
        _ => Ok(()),
    }
}

text_word! {
    /// The language that code is written in, for whoever colours it: letters, digits and `+#._-`, at most 40.
    Language, check_language
}
word_schema! { Language, { "type": "string", "pattern": "^[A-Za-z0-9+#._-]{1,40}$" } }

fn check_language(text: &str) -> Result<(), WordError> {
    let legal = |c: char| c.is_ascii_alphanumeric() || "+#._-".contains(c);
    match (1..=40).contains(&text.len()) && text.chars().all(legal) {
        true => Ok(()),
        false => Err(WordError::new("language", "is not 1 to 40 letters, digits and `+#._-`")),
    }
}

text_word! {
    /// Where an image lies: an `https` or `http` address, or a path from the root of the site. Nothing that a browser would run.
    ImageUrl, check_image_url
}
word_schema! { ImageUrl, {
    "type": "string", "maxLength": 2_000, "pattern": r#"^(https?://|/(?![/\\]))[^\s\u0000-\u001F\u007F-\u009F"<>\\]+$"#,
} }

fn check_image_url(text: &str) -> Result<(), WordError> {
    const WHAT: &str = "url";
    let behind = ["https://", "http://", "/"].iter().find_map(|start| text.strip_prefix(start));
    let behind = behind.ok_or_else(|| WordError::new(WHAT, "begins with none of https://, http:// and /"))?;
    if text.chars().count() > 2_000 {
        return Err(WordError::new(WHAT, "is longer than 2000 characters"));
    }
    let illegal = |c: char| c.is_whitespace() || c.is_control() || "\"<>\\".contains(c);
    match behind.is_empty() || text.starts_with("//") || behind.contains(illegal) {
        true => Err(WordError::new(WHAT, "is no address")),
        false => Ok(()),
    }
}

/// A character of an address, as a regular expression.
macro_rules! seen {
    () => {
        r"[^\s\u0000-\u001F\u007F-\u009F\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u2800\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8@]"
    };
}

text_word! {
    /// An e-mail address, as its owner writes it: at most 254 bytes, one `@`, nothing that nobody sees.
    Email, check_email
}
word_schema! { Email, { "type": "string", "maxLength": 254, "pattern": EMAIL_PATTERN } }

const EMAIL_PATTERN: &str = concat!("^", seen!(), "{1,64}@", seen!(), "+$");

fn check_email(text: &str) -> Result<(), WordError> {
    const WHAT: &str = "email";
    let Some((local, domain)) = text.split_once('@') else {
        return Err(WordError::new(WHAT, "has no @"));
    };
    let wrong = if text.len() > 254 || local.len() > 64 {
        "is longer than an address can be"
    } else if domain.contains('@') {
        "has more than one @"
    } else if text.contains(|c: char| is_unseen(c) || c.is_control()) {
        "has white space, or something that nobody sees"
    } else if local.is_empty() || domain.split('.').any(str::is_empty) {
        "lacks a part"
    } else {
        return Ok(());
    };
    Err(WordError::new(WHAT, wrong))
}

impl Email {
    /// The address as it is compared: without case, and the same however its letters are composed.
    ///
    /// Stored for ever (in a tag, hidden), so it never changes what it gives for letters that exist today. Every letter
    /// goes through its capital, so that `ß` and `SS`, `ς` and `σ`, and `ı` and `i` are the same: whoever could tell them apart
    /// by eye only might be lured.
    #[must_use]
    pub fn folded(&self) -> String {
        let small = self.as_str().nfkc().flat_map(char::to_lowercase);
        small.flat_map(char::to_uppercase).flat_map(char::to_lowercase).nfkc().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::{BODY_JSON_BYTES_MAX, Body, Email, ImageUrl, Language, Slug};

    #[test]
    fn a_slug_is_part_of_a_path() {
        for good in ["a", "hello-world", "2026", "-", &"x".repeat(100)] {
            assert!(Slug::new(good).is_ok(), "{good}");
        }
        for bad in ["", "Hello", "a b", "a_b", "é", "a/b", "a\n", &"x".repeat(101)] {
            assert!(Slug::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_body_fits_into_an_event_whatever_it_says() {
        for (text, times) in
            [("x", BODY_JSON_BYTES_MAX - 2), ("\"", 122_879), ("é", 122_879), ("\n\tx", 49_151)]
        {
            let (fits, fits_not) = (text.repeat(times), text.repeat(times + 1));
            assert!(serde_json::to_string(&fits).unwrap().len() <= BODY_JSON_BYTES_MAX);
            assert!(Body::new(&fits).is_ok(), "{text:?}");
            assert!(serde_json::to_string(&fits_not).unwrap().len() > BODY_JSON_BYTES_MAX, "{text:?}");
            assert!(Body::new(&fits_not).is_err(), "{text:?}");
        }
        assert!(Body::new(" \n ").is_err());
        assert!(Body::new("\u{1b}[31m").is_err());
    }

    #[test]
    fn an_image_is_fetched_and_never_run() {
        for good in ["https://example.org/a.png?b=1#c", "http://localhost:1/x", "/images/ä.png", "/x"] {
            assert!(ImageUrl::new(good).is_ok(), "{good}");
        }
        let long = format!("/{}", "x".repeat(2_000));
        for bad in [
            "",
            "/",
            "https://",
            "x.png",
            "javascript:alert(1)",
            "data:image/png;base64,AA",
            "//example.org/x",
            "/\\example.org/x",
            "https://a b",
            "/a\"b",
            "/a<b",
            " /x",
            "HTTPS://EXAMPLE.ORG/x",
            &long,
        ] {
            assert!(ImageUrl::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn a_language_is_a_short_name() {
        for good in ["rust", "c++", "c#", "objective-c", ".net", "VB_6"] {
            assert!(Language::new(good).is_ok(), "{good}");
        }
        for bad in ["", "a b", "é", &"x".repeat(41)] {
            assert!(Language::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_address_has_two_parts() {
        for good in ["a@b", "ada.lovelace+x@example.org", "Ä@Ö.example", &format!("{}@x", "a".repeat(64))] {
            assert!(Email::new(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "a",
            "@",
            "a@",
            "@b",
            "a@b@c",
            "a b@c",
            "a@b c",
            "a@b\n",
            "a@.b",
            "a@b.",
            "a@b..c",
            "a@b\u{85}",
            &format!("{}@x", "a".repeat(65)),
            &format!("a@{}", "b".repeat(253)),
        ] {
            assert!(Email::new(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn addresses_are_compared_without_case() {
        let same =
            |one: &str, other: &str| Email::new(one).unwrap().folded() == Email::new(other).unwrap().folded();
        assert!(same("Ada@Example.org", "ada@example.ORG"));
        assert!(same("strasse@x", "STRASSE@X") && same("straße@x", "STRASSE@x"));
        assert!(same("ΟΔΟΣ@x", "οδος@x") && same("οδοσ@x", "οδος@x"));
        assert!(same("e\u{301}@x", "\u{e9}@x") && same("E\u{301}@x", "\u{e9}@x"));
        assert!(same("m\u{131}ke@x", "mike@x") && same("\u{212a}@x", "k@x") && same("\u{ff41}@x", "a@x"));
        // What nobody sees can't tell two apart, for it is refused.
        for unseen in
            ["\u{200b}", "\u{ad}", "\u{200d}", "\u{202e}", "\u{2028}", "\u{fe0f}", "\u{feff}", "\u{e0041}"]
        {
            assert!(Email::new(format!("ada{unseen}@x")).is_err(), "{unseen:?}");
        }
        assert!(!same("ada@x", "ida@x") && !same("a.b@x", "ab@x"));
        assert_eq!(Email::new("Ada@Example.org").unwrap().folded(), "ada@example.org");
    }

    #[test]
    fn folding_once_is_folding_for_good() {
        let odd = "\u{130}\u{149}\u{1f0}\u{390}\u{587}\u{1e96}\u{fb03}\u{1fb7}\u{345}\u{3f9}\u{1e9e}";
        let once = Email::new(format!("{odd}@x")).unwrap().folded();
        assert_eq!(Email::new(&once).unwrap().folded(), once);
    }
}
