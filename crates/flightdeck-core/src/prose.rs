//! Words for what people write, and for the ids of things: texts with a limit that describe themselves as JSON Schema.

use crate::event::{EventId, EventType, SchemaNumber};
use crate::limits::{INTEGER_MAX, TAG_BYTES_MAX};
use crate::metadata::Reference;
use crate::place::{Cursor, Position, Version};
use crate::stream::StreamId;
use crate::tag::Tag;
use crate::time::Timestamp;
use crate::words::WordError;

/// The characters that nobody sees: what [`is_unseen`] says, as they stand in a regular expression,
/// but for those beyond the first 65,536, which not every program can name in one.
macro_rules! unseen {
    () => {
        r"\s\u0085\u00AD\u034F\u061C\u115F\u1160\u17B4\u17B5\u180B-\u180F\u200B-\u200F\u202A-\u202E\u2060-\u206F\u2800\u3164\uFE00-\uFE0F\uFEFF\uFFA0\uFFF0-\uFFF8"
    };
}

/// The characters that no text of a layout has.
macro_rules! illegal {
    (Line) => {
        r"\u0000-\u001F\u007F-\u009F\u2028-\u202E\u2066-\u2069"
    };
    (Lines) => {
        r"\u0000-\u0008\u000B\u000C\u000E-\u001F\u007F-\u009F"
    };
}

/// A text of a layout with something to be seen in it, which is looked for ahead.
macro_rules! looked_for {
    ($layout:ident) => {
        concat!(r"^(?=[\s\S]*[^", unseen!(), "])[^", illegal!($layout), "]*$")
    };
}

/// The same, letter by letter.
macro_rules! spelt {
    ($layout:ident) => {
        concat!(
            "^[^",
            illegal!($layout),
            "]*[^",
            illegal!($layout),
            unseen!(),
            "][^",
            illegal!($layout),
            "]*$"
        )
    };
}

/// Whether nobody sees that a character is there: white space, what only joins or parts others, and what turns their direction.
#[must_use]
pub const fn is_unseen(c: char) -> bool {
    c.is_whitespace()
        || matches!(
            c,
            '\u{ad}' | '\u{34f}' | '\u{61c}' | '\u{115f}' | '\u{1160}' | '\u{17b4}' | '\u{17b5}'
                | '\u{180b}'..='\u{180f}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}' | '\u{2800}'
                | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}'
                | '\u{ffa0}' | '\u{fff0}'..='\u{fff8}'
                | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}' | '\u{e0000}'..='\u{e0fff}'
        )
}

/// How a text is laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    /// One line: no control characters, nothing that breaks a line, and nothing that turns the direction of what follows.
    Line,
    /// Any number of lines: no control characters but line breaks and tabs.
    Lines,
}

impl Layout {
    /// What a text of this layout is, as a regular expression. It stands in the shapes of stored events, which never change.
    #[must_use]
    pub const fn pattern(self) -> &'static str {
        match self {
            Self::Line => looked_for!(Line),
            Self::Lines => looked_for!(Lines),
        }
    }

    /// The same without looking ahead, so that programs that make up texts can follow it.
    #[must_use]
    pub const fn spelt(self) -> &'static str {
        match self {
            Self::Line => spelt!(Line),
            Self::Lines => spelt!(Lines),
        }
    }
}

/// Checks that a text is not blank, has at most `most` characters, and is laid out like that.
///
/// # Errors
/// With what is wrong with it.
pub fn check(what: &'static str, text: &str, most: usize, layout: Layout) -> Result<(), WordError> {
    if text.chars().all(is_unseen) {
        return Err(WordError::new(what, "is empty"));
    }
    // A text has no more characters than bytes, so most need not be counted.
    if text.len() > most && text.chars().count() > most {
        return Err(WordError::new(what, format!("is longer than {most} characters")));
    }
    let legal = |c: char| match layout {
        Layout::Line => !c.is_control() && !matches!(c, '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}'),
        Layout::Lines => !c.is_control() || matches!(c, '\n' | '\r' | '\t'),
    };
    match text.chars().find(|c| !legal(*c)) {
        Some(bad) => Err(WordError::new(what, format!("has the control character {bad:?}"))),
        None => Ok(()),
    }
}

/// What an id of a thing is, as a regular expression.
pub const ID_PATTERN: &str = r"^(?!\.{1,2}$)[A-Za-z0-9_.~@|:+-]{1,128}$";

/// Checks an id of a thing: 1 to 128 ASCII letters, digits and `_.~@|:+-`, so that it can stand in the name of a stream and in a path.
///
/// # Errors
/// With what is wrong with it.
pub fn check_id(what: &'static str, text: &str) -> Result<(), WordError> {
    crate::words::check_length(what, text, 128)?;
    if let Some(bad) = text.chars().find(|c| !(c.is_ascii_alphanumeric() || "_.~@|:+-".contains(*c))) {
        return Err(WordError::new(what, format!("has {bad:?}, which is not allowed")));
    }
    match text {
        "." | ".." => Err(WordError::new(what, "can't be a path's `.` or `..`")),
        _ => Ok(()),
    }
}

/// Makes a word for what people write: its name, what it is called, its [`Layout`], and how many characters it may have.
///
/// ```
/// flightdeck_core::prose_word! {
///     /// What a book is called.
///     BookTitle, "title", Line, 80
/// }
/// assert!(BookTitle::new("Sketch of the Analytical Engine").is_ok());
/// assert_eq!(BookTitle::new(" ").unwrap_err().to_string(), "title is empty");
/// ```
#[macro_export]
macro_rules! prose_word {
    ($(#[$doc:meta])* $name:ident, $what:literal, $layout:ident, $most:expr) => {
        $crate::text_word! { $(#[$doc])* $name, $name::check }

        impl $name {
            fn check(text: &str) -> Result<(), $crate::WordError> {
                $crate::prose::check($what, text, $most, $crate::prose::Layout::$layout)
            }
        }

        $crate::word_schema! { $name, {
            "type": "string",
            "minLength": 1,
            "maxLength": $most,
            "pattern": $crate::prose::Layout::$layout.pattern(),
        } }
    };
}

/// Makes a word for the id of a thing, which is told apart from the ids of other things: its name, and what it is called.
///
/// ```
/// flightdeck_core::id_word! {
///     /// The id of a book.
///     BookId, "book id"
/// }
/// let id = BookId::new("0192f3a4-7b1c-7def-8123-456789abcdef")?;
/// assert_eq!(id.stream("book")?.as_str(), "book-0192f3a4-7b1c-7def-8123-456789abcdef");
/// assert_eq!(BookId::of(&id.stream("book")?, "book"), Some(id));
/// assert!(BookId::new("a/b").is_err());
/// # Ok::<(), flightdeck_core::WordError>(())
/// ```
#[macro_export]
macro_rules! id_word {
    ($(#[$doc:meta])* $name:ident, $what:literal) => {
        $crate::text_word! { $(#[$doc])* $name, $name::check }

        impl $name {
            fn check(text: &str) -> Result<(), $crate::WordError> {
                $crate::prose::check_id($what, text)
            }

            /// The stream of the thing that has this id.
            ///
            /// # Errors
            /// When the category is none, or so long that no id fits behind it.
            pub fn stream(&self, category: &str) -> Result<$crate::StreamId, $crate::WordError> {
                $crate::Category::new(category)?;
                $crate::StreamId::new(format!("{category}-{self}"))
            }

            /// The id of the thing whose stream that is, if it is one of the category.
            #[must_use]
            pub fn of(stream: &$crate::StreamId, category: &str) -> Option<Self> {
                let id = stream.as_str().strip_prefix(category)?.strip_prefix('-')?;
                Self::new(id).ok()
            }
        }

        $crate::word_schema! { $name, { "type": "string", "pattern": $crate::prose::ID_PATTERN } }
    };
}

/// Has a word describe itself as JSON Schema.
#[macro_export]
macro_rules! word_schema {
    ($name:ident, $($schema:tt)+) => {
        impl $crate::schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut $crate::schemars::SchemaGenerator) -> $crate::schemars::Schema {
                $crate::schemars::json_schema!($($schema)+)
            }
        }
    };
}

word_schema! { Timestamp, { "type": "string", "format": "date-time" } }
word_schema! { EventId, { "type": "string", "format": "uuid", "pattern": "^[0-9a-f-]{36}$" } }
word_schema! { EventType, { "type": "string", "pattern": "^[A-Za-z][A-Za-z0-9_.:-]{0,63}$" } }
word_schema! { SchemaNumber, { "type": "integer", "minimum": 1, "maximum": i32::MAX } }
word_schema! { Position, { "type": "integer", "minimum": 0, "maximum": INTEGER_MAX } }
word_schema! { Version, { "type": "integer", "minimum": 1, "maximum": INTEGER_MAX } }
word_schema! { Cursor, { "type": "string", "pattern": "^[a-z0-9]{1,12}-(0|[1-9][0-9]{0,15})$" } }
word_schema! { Reference, { "type": "string", "pattern": "^[!-~]{1,200}$" } }
word_schema! { StreamId, {
    "type": "string",
    "pattern": r"^(?!\.{1,2}$)(?!\$?-)(?!\$$)[!$&'()+./0-9:;<=>@A-Z\[\]^_`a-z{|}~-][!&'()+./0-9:;<=>@A-Z\[\]^_`a-z{|}~-]{0,199}$",
} }
word_schema! { Tag, {
    "type": "string",
    "maxLength": TAG_BYTES_MAX,
    "pattern": r"^[A-Za-z0-9_.-]+:[^\s,\x00-\x1f\x7f-\x9f]([^,\x00-\x1f\x7f-\x9f]*[^\s,\x00-\x1f\x7f-\x9f])?$",
} }

#[cfg(test)]
mod tests {
    use super::{Layout, check, check_id};

    #[test]
    fn prose_has_a_length_and_a_layout() {
        assert!(check("t", &"ä".repeat(10), 10, Layout::Line).is_ok());
        assert!(check("t", &"ä".repeat(11), 10, Layout::Line).is_err());
        assert!(check("t", "a\tb", 10, Layout::Line).is_err());
        assert!(check("t", "a\tb\r\nc\u{2028}", 10, Layout::Lines).is_ok());
        for bad in ["a\u{2028}b", "a\u{202e}b", "a\u{2067}b"] {
            assert!(check("t", bad, 10, Layout::Line).is_err(), "{bad:?}");
        }
        assert!(check("t", "\u{2764}\u{fe0f} \u{645}\u{6cc}\u{200c}\u{62e}", 10, Layout::Line).is_ok());
        let unseen = "\u{200b}\u{feff}\u{ad}\u{fe0f} \u{2800}\u{e0041}";
        for bad in ["", " ", "\n", "\u{a0}", "a\0", "a\u{7f}", "a\u{85}", "a\u{b}", unseen] {
            assert!(check("t", bad, 10, Layout::Lines).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn an_id_fits_into_a_path_and_a_stream() {
        for good in
            ["a", "0192f3a4-7b1c-7def-8123-456789abcdef", "auth0|6", "ada@example.org", &"x".repeat(128)]
        {
            assert!(check_id("id", good).is_ok(), "{good}");
        }
        for bad in ["", ".", "..", "a/b", "a b", "é", "a*", "$a", &"x".repeat(129)] {
            assert!(check_id("id", bad).is_err(), "{bad}");
        }
    }
}
