//! Tags: labels on events, for the rules that cross streams (a slug, an address, a role).

use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::limits::{TAG_BYTES_MAX, TAGS_MAX};
use crate::words::{WordError, check_length, text_word};

text_word! {
    /// A label `key:value` on an event, for example `slug:hello`.
    ///
    /// 1 to 200 bytes of UTF-8. The key is letters, digits, `_`, `.` and `-`; the value is anything
    /// but control characters and commas, and has no white space at its ends.
    Tag, check_tag
}

impl Tag {
    /// The part before the first `:`.
    #[must_use]
    pub fn key(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(key, _)| key)
    }

    /// The part after the first `:`.
    #[must_use]
    pub fn value(&self) -> &str {
        self.as_str().split_once(':').map_or("", |(_, value)| value)
    }
}

fn check_tag(text: &str) -> Result<(), WordError> {
    const WHAT: &str = "tag";
    check_length(WHAT, text, TAG_BYTES_MAX)?;
    let Some((key, value)) = text.split_once(':') else {
        return Err(WordError::new(WHAT, "is not of the form key:value"));
    };
    if key.is_empty() || value.is_empty() {
        return Err(WordError::new(WHAT, "has an empty key or value"));
    }
    if !key.chars().all(|c| c.is_ascii_alphanumeric() || "_.-".contains(c)) {
        return Err(WordError::new(WHAT, "has a key of other than letters, digits, `_`, `.` and `-`"));
    }
    if value.contains(|c: char| c.is_control() || c == ',') {
        return Err(WordError::new(WHAT, "has a comma or a control character"));
    }
    if value.trim() != value {
        return Err(WordError::new(WHAT, "has white space at the end of its value"));
    }
    Ok(())
}

/// The tags of one event: a set of at most 16, in the order of their bytes.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Tags(Option<Arc<[Tag]>>);

impl Tags {
    /// No tags.
    pub const NONE: Self = Self(None);

    /// The set of `tags`; one given twice counts once.
    ///
    /// # Errors
    /// When there are more than 16.
    pub fn new(tags: impl IntoIterator<Item = Tag>) -> Result<Self, WordError> {
        let mut tags: Vec<Tag> = tags.into_iter().collect();
        tags.sort_unstable();
        tags.dedup();
        match tags.len() {
            0 => Ok(Self::NONE),
            1..=TAGS_MAX => Ok(Self(Some(tags.into()))),
            more => Err(WordError::new("tags", format!("are {more}, and {TAGS_MAX} is the most"))),
        }
    }

    /// The tags, in the order of their bytes.
    #[must_use]
    pub fn as_slice(&self) -> &[Tag] {
        self.0.as_deref().unwrap_or_default()
    }

    /// Goes through the tags, in the order of their bytes.
    pub fn iter(&self) -> std::slice::Iter<'_, Tag> {
        self.as_slice().iter()
    }

    /// Whether `tag` is one of them.
    #[must_use]
    pub fn contains(&self, tag: &Tag) -> bool {
        self.as_slice().binary_search(tag).is_ok()
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.as_slice().len()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

impl<'a> IntoIterator for &'a Tags {
    type Item = &'a Tag;
    type IntoIter = std::slice::Iter<'a, Tag>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Serialize for Tags {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self)
    }
}

impl<'de> Deserialize<'de> for Tags {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::{Tag, Tags};

    fn tag(text: &str) -> Tag {
        Tag::new(text).unwrap()
    }

    #[test]
    fn a_tag_is_a_key_and_a_value() {
        assert_eq!((tag("slug:a:b").key(), tag("slug:a:b").value()), ("slug", "a:b"));
        for bad in ["", "slug", ":a", "slug:", "sl ug:a", "slug:a,b", "slug:a\n", "slug: a", "slug:a ", "é:a"]
        {
            assert!(Tag::new(bad).is_err(), "{bad:?} was taken");
        }
        assert!(Tag::new(format!("k:{}", "x".repeat(199))).is_err());
        assert!(Tag::new("author:Zoë Ångström").is_ok());
    }

    #[test]
    fn tags_are_a_small_set() {
        let tags = Tags::new([tag("b:1"), tag("a:1"), tag("b:1")]).unwrap();
        assert_eq!(tags.as_slice(), [tag("a:1"), tag("b:1")]);
        assert!(tags.contains(&tag("b:1")) && !tags.contains(&tag("c:1")));
        assert!(Tags::new((0..16).map(|n| tag(&format!("k:{n}")))).is_ok());
        assert!(Tags::new((0..17).map(|n| tag(&format!("k:{n}")))).is_err());
        assert_eq!(Tags::new([]).unwrap(), Tags::default());
    }
}
