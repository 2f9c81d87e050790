//! A place in JSON: a JSON Pointer (RFC 6901), and what stands there.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use flightdeck_core::WordError;
use flightdeck_core::limits::{JSON_DEPTH_MAX, QUESTION_PATH_BYTES_MAX};
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// A place in JSON, as RFC 6901 has it: `/items/0/name`; the empty text is the whole value. `~1` stands for a slash within a name
/// and `~0` for a tilde. A number names an item of a list (without zeros before it) or a member of an object, whichever is there.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Pointer {
    text: Box<str>,
    steps: Vec<Step>,
}

/// One step down.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Step {
    name: Box<str>,
    /// The item of a list that it names, if it can name one.
    item: Option<usize>,
}

impl Pointer {
    /// Reads a pointer.
    ///
    /// # Errors
    /// When it does not begin with a slash, has a `~` before anything but `0` or `1`, or is longer or deeper than can be asked for.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let wrong = |problem: &str| WordError::new("path", problem);
        if text.len() > QUESTION_PATH_BYTES_MAX {
            return Err(wrong(&format!("is longer than {QUESTION_PATH_BYTES_MAX} bytes")));
        }
        let mut names = text.split('/');
        if names.next() != Some("") {
            return Err(wrong("does not begin with a slash"));
        }
        let steps: Vec<Step> = names.map(Step::parse).collect::<Result<_, _>>().map_err(wrong)?;
        if steps.len() > JSON_DEPTH_MAX {
            return Err(wrong(&format!("goes more than {JSON_DEPTH_MAX} deep")));
        }
        Ok(Self { text: text.into(), steps })
    }

    /// The pointer to a member of an object at the top.
    ///
    /// # Errors
    /// When the name is too long.
    pub fn member(name: &str) -> Result<Self, WordError> {
        Self::parse(&format!("/{}", name.replace('~', "~0").replace('/', "~1")))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The name of its only step, when it has but one.
    pub(super) fn only(&self) -> Option<&str> {
        match &*self.steps {
            [step] => Some(&step.name),
            _ => None,
        }
    }

    /// What stands there in JSON that was checked before. Of members that have the same name the last one counts.
    pub(super) fn find<'j>(&self, json: &'j [u8]) -> Option<&'j str> {
        let mut json = serde_json::Deserializer::from_slice(json);
        Down(&self.steps).deserialize(&mut json).ok().flatten().map(RawValue::get)
    }
}

impl Step {
    fn parse(text: &str) -> Result<Self, &'static str> {
        let mut tildes = text.split('~').skip(1);
        if tildes.any(|behind| !behind.starts_with(['0', '1'])) {
            return Err("has a tilde before neither 0 nor 1");
        }
        let is_item =
            text == "0" || (!text.starts_with('0') && text.bytes().all(|byte| byte.is_ascii_digit()));
        let item = if is_item { text.parse().ok() } else { None };
        Ok(Self { name: text.replace("~1", "/").replace("~0", "~").into(), item })
    }
}

impl FromStr for Pointer {
    type Err = WordError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pointer({})", self.text)
    }
}

/// Goes down the steps that are left, and keeps nothing of what it passes.
struct Down<'p>(&'p [Step]);

impl<'de> DeserializeSeed<'de> for Down<'_> {
    type Value = Option<&'de RawValue>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        if self.0.is_empty() {
            return serde::Deserialize::deserialize(deserializer).map(Some);
        }
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Down<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a JSON value")
    }
    fn visit_unit<E>(self) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_bool<E>(self, _: bool) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_i64<E>(self, _: i64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_u64<E>(self, _: u64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_f64<E>(self, _: f64) -> Result<Self::Value, E> {
        Ok(None)
    }
    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        if let Some((Step { item: Some(item), .. }, rest)) = self.0.split_first() {
            for _ in 0..*item {
                if items.next_element::<IgnoredAny>()?.is_none() {
                    return Ok(None);
                }
            }
            found = items.next_element_seed(Down(rest))?.flatten();
        }
        while items.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let Some((step, rest)) = self.0.split_first() else { return Ok(None) };
        let mut found = None;
        while let Some(is_it) = members.next_key_seed(Is(&step.name))? {
            if is_it {
                found = members.next_value_seed(Down(rest))?;
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Whether a member has that name.
struct Is<'p>(&'p str);

impl<'de> DeserializeSeed<'de> for Is<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<bool, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Is<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }
    fn visit_str<E>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// The text that a string of JSON stands for.
pub(super) fn text(raw: &str) -> Option<Cow<'_, str>> {
    let inside = raw.strip_prefix('"')?.strip_suffix('"')?;
    match inside.contains('\\') {
        false => Some(Cow::Borrowed(inside)),
        true => serde_json::from_str(raw).ok().map(Cow::Owned),
    }
}
