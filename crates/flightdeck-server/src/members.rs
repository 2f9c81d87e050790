//! The members of a JSON object, each with its bytes as they came, read one by one so that everything that is wrong is told at once.
//!
//! As [`Form`](flightdeck_core::Form), for objects of which parts are kept as they were sent.

use std::collections::HashSet;
use std::fmt::{self, Display};
use std::str::FromStr;

use flightdeck_core::limits::LEFT_OVER_MAX;
use flightdeck_core::{Further, Invalid, Json, JsonError};
use flightdeck_store::Outcome;
use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;

use crate::caps::{Cap, Caps, depth};
use crate::problem::{Code, Problem};

/// What is wrong with what came in, and how much of that is only that it is too much.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Wrong {
    invalid: Invalid,
    too_large: usize,
    met: Option<Cap>,
}

impl Wrong {
    /// One field that is wrong. The empty name is the whole.
    #[must_use]
    pub fn field(name: &str, problem: impl Into<String>) -> Self {
        Self { invalid: Invalid::field(name, problem), too_large: 0, met: None }
    }

    /// One field that has too much in it.
    #[must_use]
    pub fn too_large(name: &str, problem: impl Into<String>) -> Self {
        Self { invalid: Invalid::field(name, problem), too_large: 1, met: None }
    }

    /// The same, because a limit was met; the first that was counts.
    #[must_use]
    pub fn met(self, cap: Cap) -> Self {
        Self { met: self.met.or(Some(cap)), ..self }
    }

    /// The same, because a limit was met, if it is too much of anything.
    #[must_use]
    pub fn met_if_too_large(self, cap: Cap) -> Self {
        if self.too_large > 0 { self.met(cap) } else { self }
    }

    /// A field that must be there and is not.
    #[must_use]
    pub fn missing(name: &str) -> Self {
        Self { invalid: Invalid { missing: vec![name.to_owned()], ..Invalid::default() }, ..Self::default() }
    }

    /// What is wrong, field by field.
    #[must_use]
    pub const fn invalid(&self) -> &Invalid {
        &self.invalid
    }

    /// Whether nothing is wrong.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.invalid.is_empty()
    }

    /// The same, as what is wrong with a part of something larger.
    #[must_use]
    pub fn within(self, path: &str) -> Self {
        Self { invalid: self.invalid.within(path), ..self }
    }

    /// Adds what else is wrong.
    pub fn extend(&mut self, more: Self) {
        self.invalid.extend(more.invalid);
        self.too_large += more.too_large;
        self.met = self.met.or(more.met);
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

impl From<JsonError> for Wrong {
    fn from(error: JsonError) -> Self {
        match error {
            JsonError::TooLarge { .. } => Self::too_large("", error.to_string()),
            JsonError::Malformed(problem) => Self::field("", problem),
        }
    }
}

impl Display for Wrong {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.invalid.fmt(f)
    }
}

impl std::error::Error for Wrong {}

impl From<Wrong> for Problem {
    fn from(wrong: Wrong) -> Self {
        let Wrong { invalid, too_large, met } = wrong;
        let is_size_alone = invalid.missing.is_empty() && too_large == invalid.invalid.len();
        let problem = Self::from(invalid);
        let problem = if is_size_alone { problem.instead(Code::TooLarge) } else { problem };
        let problem = problem.outcome(Outcome::NotCommitted);
        met.into_iter().fold(problem, Problem::met)
    }
}

/// The members of an object that have not been read yet, in their order.
#[derive(Debug)]
pub(crate) struct Members<'j> {
    members: Vec<(String, &'j RawValue)>,
    wrong: Wrong,
    is_object: bool,
}

impl<'j> Members<'j> {
    /// Begins to read.
    pub(crate) fn of(json: &'j str) -> Self {
        let mut all = Self::of_whatever(json);
        let mut seen = HashSet::new();
        for (name, _) in &all.members {
            // Nobody can tell which one was meant.
            if !seen.insert(name.as_str()) && all.wrong.invalid.invalid.len() < LEFT_OVER_MAX {
                all.wrong.extend(Wrong::field(&cut(name), "is there twice"));
            }
        }
        all
    }

    /// Begins to read what is kept as it came, and may have members that are there twice.
    pub(crate) fn of_whatever(json: &'j str) -> Self {
        match serde_json::from_str(json) {
            Ok(Object { members, count }) if count == members.len() => {
                Self { members, wrong: Wrong::default(), is_object: true }
            }
            Ok(Object { count, .. }) => {
                let problem = format!("has {count} members, and {MEMBERS_MAX} is the most");
                Self { members: Vec::new(), wrong: Wrong::too_large("", problem), is_object: false }
            }
            Err(error) => {
                let problem = match error.classify() {
                    serde_json::error::Category::Data => "is not a JSON object".to_owned(),
                    _ => format!("can't be read: {error}"),
                };
                Self { members: Vec::new(), wrong: Wrong::field("", problem), is_object: false }
            }
        }
    }

    /// Takes out a member, if it is there.
    pub(crate) fn take(&mut self, name: &str) -> Option<&'j RawValue> {
        let place = self.members.iter().position(|(own, _)| own == name)?;
        Some(self.members.remove(place).1)
    }

    /// Takes out a member that must be there.
    pub(crate) fn take_required(&mut self, name: &str) -> Option<&'j RawValue> {
        let taken = self.take(name);
        // What is no object at all has no members that could be missing.
        if taken.is_none() && self.is_object {
            self.wrong.extend(Wrong::missing(name));
        }
        taken
    }

    /// Takes out a member, read by `read`; one that is `null` counts as absent.
    pub(crate) fn optional<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'j str) -> Result<T, Wrong>,
    ) -> Option<T> {
        match self.take(name)?.get() {
            "null" => None,
            json => self.note(name, read(json)),
        }
    }

    /// Takes out a member that must be there, read by `read`.
    pub(crate) fn required<T>(
        &mut self,
        name: &str,
        read: impl FnOnce(&'j str) -> Result<T, Wrong>,
    ) -> Option<T> {
        let json = self.take_required(name)?.get();
        self.note(name, read(json))
    }

    /// How many members are left.
    pub(crate) fn len(&self) -> usize {
        self.members.len()
    }

    /// All that is left, by name.
    pub(crate) fn rest(&mut self) -> Vec<(String, &'j RawValue)> {
        std::mem::take(&mut self.members)
    }

    /// Puts what is left into an object of its own, as it came; `None` when nothing is. `first` is put in front.
    pub(crate) fn rest_as_object(&mut self, first: Option<(&str, &str)>) -> Result<Option<Further>, Wrong> {
        let members = self.rest();
        let members = members.iter().map(|(name, value)| format!("{}:{}", json!(name), value.get()));
        let first = first.map(|(name, value)| format!("{}:{}", json!(name), json!(value)));
        let members: Vec<String> = first.into_iter().chain(members).collect();
        if members.is_empty() {
            return Ok(None);
        }
        Ok(Some(Further::new(format!("{{{}}}", members.join(",")))?))
    }

    /// Notes what reading a member came to.
    pub(crate) fn note<T>(&mut self, name: &str, read: Result<T, Wrong>) -> Option<T> {
        read.map_err(|wrong| self.wrong.extend(wrong.within(name))).ok()
    }

    /// Ends it: `value`, when nothing was wrong and no member was left over.
    ///
    /// # Errors
    /// With all that is wrong.
    pub(crate) fn finish<T>(mut self, value: Option<T>) -> Result<T, Wrong> {
        let rest = self.rest();
        for (name, _) in rest.iter().take(LEFT_OVER_MAX) {
            self.wrong.extend(Wrong::field(&cut(name), "is not a field here"));
        }
        if let more @ 1.. = rest.len().saturating_sub(LEFT_OVER_MAX) {
            self.wrong.extend(Wrong::field("", format!("has {more} fields more that are none here")));
        }
        self.wrong.or(value)
    }
}

/// The beginning of a name that may be long.
fn cut(name: &str) -> String {
    name.chars().take(80).collect()
}

/// Members of one object that are looked at, more than any object here has room for: whoever sends more takes none.
const MEMBERS_MAX: usize = 5_000;

/// The members of an object, in their order; those beyond the most are only counted.
struct Object<'j> {
    members: Vec<(String, &'j RawValue)>,
    count: usize,
}

impl<'de> Deserialize<'de> for Object<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Walk;
        impl<'de> Visitor<'de> for Walk {
            type Value = Object<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Object<'de>, A::Error> {
                let mut all = Object { members: Vec::new(), count: 0 };
                while all.members.len() < MEMBERS_MAX
                    && let Some(member) = map.next_entry()?
                {
                    all.members.push(member);
                }
                all.count = all.members.len();
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {
                    all.count += 1;
                }
                Ok(all)
            }
        }
        deserializer.deserialize_map(Walk)
    }
}

/// The items of a list, of which those beyond the most are only counted.
struct Items<'j> {
    items: Vec<&'j RawValue>,
    count: usize,
}

impl<'j> Items<'j> {
    fn read(json: &'j str, most: usize) -> Result<Self, serde_json::Error> {
        struct Walk(usize);
        impl<'de> Visitor<'de> for Walk {
            type Value = Items<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Items<'de>, A::Error> {
                let mut all = Items { items: Vec::new(), count: 0 };
                while let Some(item) = seq.next_element()? {
                    all.count += 1;
                    if all.count <= self.0 {
                        all.items.push(item);
                    }
                }
                Ok(all)
            }
        }
        let mut deserializer = serde_json::Deserializer::from_str(json);
        let items = deserializer.deserialize_seq(Walk(most))?;
        deserializer.end()?;
        Ok(items)
    }
}

/// Reads a text.
pub(crate) fn text(json: &str) -> Result<String, Wrong> {
    serde_json::from_str(json).map_err(|_| Wrong::field("", "is not a text"))
}

/// Reads a text that says itself what may be in it.
pub(crate) fn word<T: FromStr<Err: Display>>(json: &str) -> Result<T, Wrong> {
    text(json)?.parse().map_err(|error: T::Err| Wrong::field("", error.to_string()))
}

/// Reads a whole number; to JSON, `3.0` is the same as `3`.
pub(crate) fn number(json: &str) -> Result<i64, Wrong> {
    let only_zeros =
        |(_, parts): &(&str, &str)| !parts.is_empty() && parts.bytes().all(|digit| digit == b'0');
    let whole = json.split_once('.').filter(only_zeros).map_or(json, |(whole, _)| whole);
    whole.parse().map_err(|_| Wrong::field("", "is not a whole number, or is out of range"))
}

/// Reads a word of at most so many bytes.
pub(crate) fn word_within<T: FromStr<Err: Display>>(json: &str, caps: &Caps, cap: Cap) -> Result<T, Wrong> {
    let (text, most) = (text(json)?, caps.get(cap));
    let is_long = text.len() > most;
    let read = text.parse().map_err(|error: T::Err| Wrong::field("", error.to_string()));
    match read {
        Ok(_) if is_long => Err(Wrong::field("", format!("is longer than {most} bytes")).met(cap)),
        Err(wrong) if is_long => Err(wrong.met(cap)),
        read => read,
    }
}

/// Reads a value whole, of at most so many bytes.
pub(crate) fn value(json: &str, caps: &Caps, cap: Cap) -> Result<Json, Wrong> {
    let (bytes, bytes_max) = (json.len(), caps.get(cap));
    if bytes > bytes_max {
        return Err(Wrong::from(JsonError::TooLarge { bytes, bytes_max }).met(cap));
    }
    not_deep(Json::new(bytes::Bytes::copy_from_slice(json.as_bytes()), bytes_max), json.as_bytes(), caps)
}

/// What was read, unless it nests too deep.
pub(crate) fn not_deep(read: Result<Json, JsonError>, json: &[u8], caps: &Caps) -> Result<Json, Wrong> {
    match read {
        Ok(read) => not_too_deep(json, caps).map(|()| read),
        Err(error) if depth(json) > caps.get(Cap::JsonDepth) => Err(Wrong::from(error).met(Cap::JsonDepth)),
        Err(error) => Err(error.into()),
    }
}

/// Refuses JSON that nests deeper than it may here. Deeper than it ever may is refused by whoever reads it.
pub(crate) fn not_too_deep(json: &[u8], caps: &Caps) -> Result<(), Wrong> {
    let most = caps.get(Cap::JsonDepth);
    match most < Cap::JsonDepth.default() && depth(json) > most {
        true => Err(Wrong::field("", format!("is nested more than {most} deep")).met(Cap::JsonDepth)),
        false => Ok(()),
    }
}

/// Reads a list of at most `most`, each item by `read`, so that every wrong one is told by its place.
pub(crate) fn list<'j, T>(
    json: &'j str,
    most: usize,
    read: impl Fn(&'j str) -> Result<T, Wrong>,
) -> Result<Vec<T>, Wrong> {
    let Items { items, count } = Items::read(json, most).map_err(|_| Wrong::field("", "is not a list"))?;
    if count > most {
        return Err(Wrong::too_large("", format!("has {count} items, and {most} is the most")));
    }
    let (mut list, mut wrong) = (Vec::with_capacity(items.len()), Wrong::default());
    for (place, item) in items.into_iter().enumerate() {
        match read(item.get()) {
            Ok(item) => list.push(item),
            Err(error) => wrong.extend(error.within(&format!("[{place}]"))),
        }
    }
    wrong.or(Some(list))
}

#[cfg(test)]
mod tests {
    use flightdeck_core::Json;

    use super::{Code, Members, Problem, Wrong, list, number, text};

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut members = Members::of("{\"a\":1,\"b\":[1,\"x\"],\"c\":0,\"c\":0,\"d\":null}");
        let a = members.optional("a", text);
        let b = members.required("b", |json| list(json, 2, number));
        let e = members.required("e", text);
        assert_eq!(members.optional("d", text), None);
        let wrong = members.finish(a.zip(b).zip(e)).unwrap_err();
        assert_eq!(wrong.invalid().missing, ["e"]);
        let told: Vec<(&str, &str)> =
            wrong.invalid().invalid.iter().map(|(name, problem)| (name.as_str(), problem.as_str())).collect();
        let numbered = "is not a whole number, or is out of range";
        // Of what is there twice and not known here, the second word stands.
        assert_eq!(told, [("a", "is not a text"), ("b[1]", numbered), ("c", "is not a field here")]);
    }

    #[test]
    fn what_is_no_object_misses_nothing() {
        for (json, problem) in [("[1]", "is not a JSON object"), ("{\"a\"", "can't be read")] {
            let mut members = Members::of(json);
            let a = members.required("a", text);
            let wrong = members.finish(a).unwrap_err();
            assert!(
                wrong.invalid().missing.is_empty() && wrong.invalid().invalid[""].contains(problem),
                "{wrong}"
            );
        }
    }

    #[test]
    fn too_much_is_told_apart_from_what_is_wrong() {
        let large = || Wrong::from(Json::new("\"123456\"", 4).unwrap_err()).within("a");
        assert_eq!(Problem::from(large()).code(), Code::TooLarge);
        assert_eq!(Problem::from(large()).told().invalid["a"], "is 8 bytes, and 4 is the most");
        let mut wrong = large();
        wrong.extend(Wrong::missing("b"));
        assert_eq!(Problem::from(wrong).code(), Code::Malformed);
    }
}
