//! Streams: the ordered events of one thing, named `category-id`.

use crate::limits::STREAM_NAME_BYTES_MAX;
use crate::words::{WordError, check_length, text_word};

text_word! {
    /// The name of a stream: `category-id`, for example `content-0192f3a4`.
    ///
    /// 1 to 200 bytes of visible ASCII without `,` `*` `?` `#` `%` `"` `\`. A `$` may only stand
    /// first: it marks the system's own streams ([`is_system`](StreamId::is_system)). The names
    /// `.` and `..` are refused, for no URL path can carry them. The part before the first `-`
    /// is the [category](StreamId::category), and is never empty; a name without `-` is a category by itself.
    StreamId, check_stream
}

text_word! {
    /// What a stream is one of: the part of its name before the first `-`.
    Category, check_category
}

impl StreamId {
    /// The part before the first `-`; the whole name when there is none.
    #[must_use]
    pub fn category(&self) -> Category {
        Category(self.category_str().into())
    }

    /// The category, borrowed.
    #[must_use]
    pub fn category_str(&self) -> &str {
        self.as_str().split_once('-').map_or(self.as_str(), |(category, _)| category)
    }

    /// Whether the stream is the system's own (`$token-…`): a `*` never matches it.
    #[must_use]
    pub fn is_system(&self) -> bool {
        self.as_str().starts_with('$')
    }
}

impl Category {
    /// Whether `stream` is one of this category.
    #[must_use]
    pub fn contains(&self, stream: &StreamId) -> bool {
        stream.category_str() == self.as_str()
    }
}

/// A character of a stream's name, as a regular expression.
macro_rules! named {
    () => {
        r"[!&'()+./0-9:;<=>@A-Z\[\]^_`a-z{|}~-]"
    };
}

/// What names streams, one or many, as a regular expression: `order-7`, `order-*`, `or*`, `*`, `$*`.
pub const PATTERN: &str = concat!(
    r"^(\$?\*|(?!\$?-)(\$",
    named!(),
    "{1,198}|",
    named!(),
    r"{1,199})\*|(?!\.{1,2}$)(?!\$?-)(\$",
    named!(),
    "{1,199}|",
    named!(),
    "{1,200}))$"
);

fn check_stream(name: &str) -> Result<(), WordError> {
    const WHAT: &str = "stream name";
    check_length(WHAT, name, STREAM_NAME_BYTES_MAX)?;
    for (place, character) in name.char_indices() {
        let legal = match character {
            ',' | '*' | '?' | '#' | '%' | '"' | '\\' => false,
            '$' => place == 0,
            '!'..='~' => true,
            _ => false,
        };
        if !legal {
            return Err(WordError::new(
                WHAT,
                format!("has {character:?} at byte {place}, which is not allowed"),
            ));
        }
    }
    match name {
        "." | ".." => Err(WordError::new(WHAT, "can't be a path's `.` or `..`")),
        _ if name.starts_with('-') || name.starts_with("$-") || name == "$" => {
            Err(WordError::new(WHAT, "has an empty category"))
        }
        _ => Ok(()),
    }
}

fn check_category(name: &str) -> Result<(), WordError> {
    if name.contains('-') {
        return Err(WordError::new("category", "has a `-`, which ends a category"));
    }
    check_stream(name).map_err(|error| WordError::new("category", error.problem()))
}

#[cfg(test)]
mod tests {
    use super::{Category, StreamId};

    #[track_caller]
    fn refused(name: &str, because: &str) {
        let error = StreamId::new(name).expect_err("an illegal name");
        assert!(error.problem().contains(because), "{name:?}: {error}");
    }

    #[test]
    fn a_name_has_a_category() {
        for (name, category) in [
            ("content-1", "content"),
            ("content-a-b", "content"),
            ("$token-x", "$token"),
            ("$audit", "$audit"),
            ("a/b-c", "a/b"),
        ] {
            assert_eq!(StreamId::new(name).unwrap().category(), Category::new(category).unwrap());
        }
    }

    #[test]
    fn a_category_contains_its_streams_and_no_longer_names() {
        let content = Category::new("content").unwrap();
        assert!(content.contains(&StreamId::new("content-1").unwrap()));
        assert!(content.contains(&StreamId::new("content").unwrap()));
        assert!(!content.contains(&StreamId::new("contents-1").unwrap()));
    }

    #[test]
    fn illegal_names_are_refused() {
        refused("", "empty");
        refused(&"x".repeat(201), "longer than 200");
        for bad in [",", "*", "?", "#", "%", "\"", "\\", " ", "\n", "\0", "é", "a$"] {
            refused(&format!("content-{bad}"), "not allowed");
        }
        refused("-1", "empty category");
        refused("$", "empty category");
        refused("$-1", "empty category");
        refused("..", "path");
        assert!(Category::new("a-b").is_err());
    }

    #[test]
    fn the_longest_name_is_taken() {
        assert!(StreamId::new("x".repeat(200)).is_ok());
    }

    #[test]
    fn serde_keeps_the_rules() {
        assert_eq!(serde_json::from_str::<StreamId>("\"content-1\"").unwrap().as_str(), "content-1");
        assert!(serde_json::from_str::<StreamId>("\"a b\"").is_err());
        assert!(serde_json::from_str::<StreamId>("7").is_err());
    }
}
