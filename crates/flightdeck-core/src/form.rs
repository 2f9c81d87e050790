//! A JSON object read field by field, so that whoever sent it hears of everything that is wrong with it at once.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Value};

use crate::edit::Edit;
use crate::json::Json;
use crate::limits::LEFT_OVER_MAX;

/// What is wrong with what came in, field by field: `title`, `tags[2]`, `content.text`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Invalid {
    /// Fields that must be there and are not.
    pub missing: Vec<String>,
    /// Fields that are there and wrong, each with what is wrong with it. The empty name is the whole.
    pub invalid: BTreeMap<String, String>,
}

impl Invalid {
    /// One field that is wrong.
    #[must_use]
    pub fn field(name: impl Into<String>, problem: impl Into<String>) -> Self {
        Self { missing: Vec::new(), invalid: BTreeMap::from([(name.into(), problem.into())]) }
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.invalid.is_empty()
    }

    /// The same, as what is wrong with a part of something larger. `path` is the part's name.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        let place = |name: String| match name.as_str() {
            "" => path.to_owned(),
            name if name.starts_with('[') => format!("{path}{name}"),
            name => format!("{path}.{name}"),
        };
        Self {
            missing: self.missing.into_iter().map(place).collect(),
            invalid: self.invalid.into_iter().map(|(name, problem)| (place(name), problem)).collect(),
        }
    }

    /// Adds what else is wrong.
    pub fn extend(&mut self, more: Self) {
        self.missing.extend(more.missing);
        self.invalid.extend(more.invalid);
    }

    /// `value`, unless something is wrong.
    ///
    /// # Errors
    /// With all that is wrong, or when there is no value.
    pub fn or<T>(self, value: Option<T>) -> Result<T, Self> {
        match value {
            Some(value) if self.is_empty() => Ok(value),
            _ => Err(self),
        }
    }
}

impl fmt::Display for Invalid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut between = "";
        for name in &self.missing {
            write!(f, "{between}{name} is missing")?;
            between = "; ";
        }
        for (name, problem) in &self.invalid {
            let colon = if name.is_empty() { "" } else { ": " };
            write!(f, "{between}{name}{colon}{problem}")?;
            between = "; ";
        }
        Ok(())
    }
}

impl std::error::Error for Invalid {}

/// A JSON object that is being read. Every reading method notes what is wrong and goes on; [`finish`](Form::finish) says it all.
///
/// ```
/// use flightdeck_core::{Form, Json, Tag};
///
/// let json = Json::new("{\"count\":\"many\",\"tag\":\"no tag\",\"other\":1}", 1024)?;
/// let mut form = Form::of(&json);
/// let name: Option<String> = form.required("name");
/// let count: Option<u32> = form.required("count");
/// let tag: Option<Tag> = form.optional("tag");
/// let wrong = form.finish(name.zip(count).zip(tag)).unwrap_err();
/// assert_eq!(wrong.missing, ["name"]);
/// assert_eq!(wrong.invalid["tag"], "tag is not of the form key:value");
/// assert_eq!(wrong.invalid["other"], "is not a field here");
/// assert_eq!(wrong.invalid.len(), 3);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug)]
pub struct Form {
    members: Map<String, Value>,
    wrong: Invalid,
}

impl Form {
    /// Begins to read.
    #[must_use]
    pub fn of(json: &Json) -> Self {
        let mut form = match json.parse() {
            Ok(value) => Self::of_value(value),
            Err(error) => Self::of_wrong(Invalid::field("", format!("can't be read: {error}"))),
        };
        // What is there twice is there with the last of its values; nobody can tell which one was meant.
        for name in twice(json) {
            form.refuse(&name, "is there twice");
        }
        form
    }

    fn of_wrong(wrong: Invalid) -> Self {
        Self { members: Map::new(), wrong }
    }

    /// Begins to read what is a part of something larger.
    #[must_use]
    pub fn of_value(value: Value) -> Self {
        match value {
            Value::Object(members) => Self { members, wrong: Invalid::default() },
            _ => Self::of_wrong(Invalid::field("", "is not a JSON object")),
        }
    }

    /// A field that must be there.
    pub fn required<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        self.required_as(name, read)
    }

    /// A field that must be there, read by `read`.
    pub fn required_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        let wrong_already = self.wrong.invalid.contains_key("");
        match self.members.remove(name) {
            Some(value) => self.note(name, read(value)),
            // What is no object at all has no fields that could be missing.
            None if wrong_already => None,
            None => {
                self.wrong.missing.push(name.to_owned());
                None
            }
        }
    }

    /// A field that may be absent or `null`, which is the same here.
    pub fn optional<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        self.optional_as(name, read)
    }

    /// A field that may be absent or `null`, read by `read`.
    pub fn optional_as<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(Value) -> Result<T, Invalid>,
    ) -> Option<T> {
        match self.members.remove(name)? {
            Value::Null => None,
            value => self.note(name, read(value)),
        }
    }

    /// A field of an update that can't be cleared.
    pub fn change<T: DeserializeOwned>(&mut self, name: &str) -> Option<T> {
        self.change_as(name, read)
    }

    /// A field of an update that can't be cleared, read by `read`.
    pub fn change_as<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, Invalid>) -> Option<T> {
        match self.members.remove(name)? {
            Value::Null => self.note(name, Err(Invalid::field("", "can't be cleared"))),
            value => self.note(name, read(value)),
        }
    }

    /// A field of an update that can be cleared.
    pub fn edit<T: DeserializeOwned>(&mut self, name: &str) -> Edit<T> {
        self.edit_as(name, read)
    }

    /// A field of an update that can be cleared, read by `read`.
    pub fn edit_as<T>(&mut self, name: &str, read: impl FnOnce(Value) -> Result<T, Invalid>) -> Edit<T> {
        match self.members.remove(name) {
            None => Edit::Keep,
            Some(Value::Null) => Edit::Clear,
            Some(value) => self.note(name, read(value)).map_or(Edit::Keep, Edit::Set),
        }
    }

    /// Notes that a field is wrong, for a reason that only its reader knows.
    pub fn refuse(&mut self, name: &str, problem: impl Into<String>) {
        self.wrong.extend(Invalid::field(name, problem));
    }

    /// Ends it: `value`, when nothing was wrong and no field was left over.
    ///
    /// # Errors
    /// With all that is wrong.
    pub fn finish<T>(mut self, value: Option<T>) -> Result<T, Invalid> {
        let more = self.members.len().saturating_sub(LEFT_OVER_MAX);
        for (name, _) in self.members.into_iter().take(LEFT_OVER_MAX) {
            self.wrong.extend(Invalid::field(cut(&name), "is not a field here"));
        }
        if more > 0 {
            self.wrong.extend(Invalid::field("", format!("has {more} fields more that are none here")));
        }
        self.wrong.or(value)
    }

    /// Ends it where nobody can tell which fields there should have been: with what was noted so far.
    ///
    /// # Errors
    /// Always.
    pub fn give_up<T>(self) -> Result<T, Invalid> {
        Err(self.wrong)
    }

    fn note<T>(&mut self, name: &str, read: Result<T, Invalid>) -> Option<T> {
        read.map_err(|wrong| self.wrong.extend(wrong.within(name))).ok()
    }
}

/// Reads one value as a `T`.
///
/// # Errors
/// With what is wrong with it.
pub fn read<T: DeserializeOwned>(value: Value) -> Result<T, Invalid> {
    serde_json::from_value(value).map_err(|error| Invalid::field("", in_our_words(&error.to_string())))
}

/// What serde says of a value, without the names that types have in this program, and without the value, which may be long.
fn in_our_words(said: &str) -> String {
    let expected = said.rsplit_once(", expected ").map(|(_, expected)| expected);
    match (said.split_once(": "), expected) {
        (Some(("invalid type" | "invalid value", _)), Some(expected)) => match expected {
            "a string" | "a borrowed string" | "string or map" => "is not a text".to_owned(),
            "a boolean" => "is not true or false".to_owned(),
            "a sequence" => "is not a list".to_owned(),
            "a map" => "is not an object".to_owned(),
            "f32" | "f64" => "is not a number".to_owned(),
            "u8" | "u16" | "u32" | "u64" | "usize" | "i8" | "i16" | "i32" | "i64" | "isize" => {
                "is not a whole number, or is out of range".to_owned()
            }
            _ => "is not of the right kind".to_owned(),
        },
        _ if said.starts_with("unknown variant") => {
            let choices = expected.unwrap_or_default().trim_start_matches("one of ").replace('`', "");
            format!("is none of {choices}")
        }
        _ => cut(said),
    }
}

/// Where something stands in a JSON value: a step, and where that was taken. It is made a text only when it has to be told, for a
/// long name with much in it would be copied for all of that.
#[derive(Clone, Copy)]
struct Place<'a> {
    up: Option<&'a Place<'a>>,
    step: Step<'a>,
}

#[derive(Clone, Copy)]
enum Step<'a> {
    Member(&'a str),
    Item(usize),
}

impl fmt::Display for Place<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(up) = self.up {
            up.fmt(f)?;
        }
        match (self.step, self.up) {
            (Step::Member(name), None) => f.write_str(&cut(name)),
            (Step::Member(name), Some(_)) => write!(f, ".{}", cut(name)),
            (Step::Item(number), _) => write!(f, "[{number}]"),
        }
    }
}

/// The members that an object, or one within it, has more than once, by their place: some of them, where there are very many.
fn twice(json: &Json) -> BTreeSet<String> {
    const MOST: usize = 100;
    struct Walk<'a> {
        at: Option<&'a Place<'a>>,
        found: &'a mut BTreeSet<String>,
    }
    impl<'de> DeserializeSeed<'de> for Walk<'_> {
        type Value = ();
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
            deserializer.deserialize_any(self)
        }
    }
    impl<'de> Visitor<'de> for Walk<'_> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON value")
        }
        fn visit_unit<E>(self) -> Result<(), E> {
            Ok(())
        }
        fn visit_bool<E>(self, _: bool) -> Result<(), E> {
            Ok(())
        }
        fn visit_i64<E>(self, _: i64) -> Result<(), E> {
            Ok(())
        }
        fn visit_u64<E>(self, _: u64) -> Result<(), E> {
            Ok(())
        }
        fn visit_f64<E>(self, _: f64) -> Result<(), E> {
            Ok(())
        }
        fn visit_str<E>(self, _: &str) -> Result<(), E> {
            Ok(())
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
            for number in 0.. {
                let place = Place { up: self.at, step: Step::Item(number) };
                let walk = Walk { at: Some(&place), found: &mut *self.found };
                if items.next_element_seed(walk)?.is_none() {
                    break;
                }
            }
            Ok(())
        }
        fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
            let mut seen = BTreeSet::new();
            while let Some(key) = members.next_key::<String>()? {
                let place = Place { up: self.at, step: Step::Member(&key) };
                if seen.contains(&key) && self.found.len() < MOST {
                    self.found.insert(place.to_string());
                }
                members.next_value_seed(Walk { at: Some(&place), found: &mut *self.found })?;
                seen.insert(key);
            }
            Ok(())
        }
    }
    let mut found = BTreeSet::new();
    let mut deserializer = serde_json::Deserializer::from_slice(json.as_bytes());
    // What can't be read has been told already.
    drop(Walk { at: None, found: &mut found }.deserialize(&mut deserializer));
    found
}

/// The beginning of a text that may be long.
fn cut(text: &str) -> String {
    const MOST: usize = 200;
    match text.char_indices().nth(MOST) {
        Some((end, _)) => format!("{}…", &text[..end]),
        None => text.to_owned(),
    }
}

/// Reads a list of at most `most`, each item by `read`, so that every wrong one is told by its place.
///
/// # Errors
/// With all that is wrong.
pub fn list<T>(
    value: Value,
    most: usize,
    read: impl Fn(Value) -> Result<T, Invalid>,
) -> Result<Vec<T>, Invalid> {
    let Value::Array(items) = value else {
        return Err(Invalid::field("", "is not a list"));
    };
    if items.len() > most {
        return Err(Invalid::field("", format!("has {} items, and {most} is the most", items.len())));
    }
    let (mut list, mut wrong) = (Vec::with_capacity(items.len()), Invalid::default());
    for (place, item) in items.into_iter().enumerate() {
        match read(item) {
            Ok(item) => list.push(item),
            Err(error) => wrong.extend(error.within(&format!("[{place}]"))),
        }
    }
    wrong.or(Some(list))
}

#[cfg(test)]
mod tests;
