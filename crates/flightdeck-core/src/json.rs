//! JSON as bytes that were checked once, at the door, and are kept as they came.

use std::borrow::Cow;
use std::fmt;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, Error as _, MapAccess, SeqAccess, Visitor};
use thiserror::Error;

use crate::limits::JSON_DEPTH_MAX;

/// Bytes that are one JSON value, kept exactly as they came in: order, spaces and duplicate keys included.
///
/// Checked when made: UTF-8, JSON, nested at most 64 deep, no NUL character in any string or key
/// (PostgreSQL's text can't hold one), no number beyond what a double can hold, no lone surrogates.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Json(Bytes);

/// Why bytes were refused as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum JsonError {
    /// More bytes than are allowed here.
    #[error("is {bytes} bytes, and {bytes_max} is the most")]
    TooLarge {
        /// How many there are.
        bytes: usize,
        /// How many may be there.
        bytes_max: usize,
    },
    /// Not JSON, or JSON that breaks one of the rules; the text says what and where.
    #[error("{0}")]
    Malformed(String),
}

impl Json {
    /// Checks `bytes` and keeps them as they are.
    ///
    /// # Errors
    /// When there are more than `bytes_max`, or they are not JSON by the rules of this type.
    pub fn new(bytes: impl Into<Bytes>, bytes_max: usize) -> Result<Self, JsonError> {
        let bytes = bytes.into();
        if bytes.len() > bytes_max {
            return Err(JsonError::TooLarge { bytes: bytes.len(), bytes_max });
        }
        check(&bytes)?;
        Ok(Self(bytes))
    }

    /// Takes bytes that were checked before: what a store reads back after its checksum held.
    #[must_use]
    pub const fn from_stored(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes, shared.
    #[must_use]
    pub fn to_bytes(&self) -> Bytes {
        self.0.clone()
    }

    /// How many bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: no JSON value is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Reads the value as a type.
    ///
    /// # Errors
    /// When the value does not have the shape of `T`.
    pub fn parse<'a, T: serde::Deserialize<'a>>(&'a self) -> Result<T, serde_json::Error> {
        serde_json::from_slice(&self.0)
    }
}

impl fmt::Debug for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Json({})", String::from_utf8_lossy(&self.0))
    }
}

fn check(bytes: &[u8]) -> Result<(), JsonError> {
    let malformed = |error: serde_json::Error| JsonError::Malformed(error.to_string());
    let mut deserializer = serde_json::Deserializer::from_slice(bytes);
    Value { depth: 0 }.deserialize(&mut deserializer).map_err(malformed)?;
    deserializer.end().map_err(malformed)
}

/// Walks one JSON value and keeps nothing of it.
#[derive(Clone, Copy)]
struct Value {
    depth: usize,
}

impl Value {
    fn deeper<E: serde::de::Error>(self) -> Result<Self, E> {
        if self.depth == JSON_DEPTH_MAX {
            return Err(E::custom(format!("nested more than {JSON_DEPTH_MAX} deep")));
        }
        Ok(Self { depth: self.depth + 1 })
    }
}

impl<'de> DeserializeSeed<'de> for Value {
    type Value = ();
    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value {
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
    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        if number.is_finite() { Ok(()) } else { Err(E::custom("number out of range")) }
    }
    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<(), E> {
        if text.contains('\0') { Err(E::custom("a text has a NUL character")) } else { Ok(()) }
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<(), A::Error> {
        let item = self.deeper()?;
        while items.next_element_seed(item)?.is_some() {}
        Ok(())
    }
    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<(), A::Error> {
        let mut first = true;
        while let Some(key) = members.next_key::<Cow<'de, str>>()? {
            // With serde_json's feature `arbitrary_precision`, which any crate of a program may turn on, a number that a
            // double can't hold comes as an object of this one member.
            if std::mem::take(&mut first) && key == "$serde_json::private::Number" {
                let number: Cow<'de, str> = members.next_value()?;
                self.visit_str::<A::Error>(&number)?;
                number.parse().map_or(Ok(()), |number| self.visit_f64(number))?;
                continue;
            }
            self.visit_str::<A::Error>(&key)?;
            members.next_value_seed(self.deeper()?)?;
        }
        // Depth counts for an object without members too.
        if first { self.deeper().map(|_| ()) } else { Ok(()) }
    }
}

/// Goes through the keys of an object, or says that the value is not one.
pub(crate) fn keys(json: &Json, visit: impl FnMut(&str) -> Result<(), String>) -> Result<(), JsonError> {
    struct Keys<F>(F);
    impl<'de, F: FnMut(&str) -> Result<(), String>> Visitor<'de> for Keys<F> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a JSON object")
        }
        fn visit_map<A: MapAccess<'de>>(mut self, mut members: A) -> Result<(), A::Error> {
            while let Some(key) = members.next_key::<Cow<'de, str>>()? {
                self.0(&key).map_err(A::Error::custom)?;
                members.next_value::<serde::de::IgnoredAny>()?;
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_slice(json.as_bytes())
        .deserialize_map(Keys(visit))
        .map_err(|error| JsonError::Malformed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::{any, prop_assert, proptest};

    use super::{Json, JsonError};

    #[track_caller]
    fn kept(text: &str) {
        assert_eq!(Json::new(text.to_owned(), 1 << 20).unwrap().as_bytes(), text.as_bytes());
    }

    #[track_caller]
    fn refused(bytes: &[u8], because: &str) {
        match Json::new(bytes.to_vec(), 1 << 20) {
            Err(JsonError::Malformed(text)) => assert!(text.contains(because), "{text:?}, not {because:?}"),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn odd_json_is_kept_as_it_came() {
        kept("{\"a\":1,\"a\":2}");
        kept("{\n  \"b\" : [ 1 , 2 ],\r\n\t\"a\": null }\n");
        kept("\"\u{1f680} \u{2028} \\ud83d\\ude80\"");
        kept("123456789012345678901234567890");
        kept("-0");
        kept("1e308");
        kept("\"\\\\u0000\"");
        kept("null");
    }

    #[test]
    fn what_one_of_the_databases_refuses_is_refused_at_the_door() {
        refused(b"\"\\u0000\"", "NUL");
        refused(b"{\"a\\u0000b\":1}", "NUL");
        refused(b"[1e400]", "number out of range");
        refused(b"-1e999", "number out of range");
        refused(b"\"\\ud800\"", "hex escape");
        refused(b"\"\\ud800x\"", "hex escape");
        refused(b"\"\\ud800\\u0041\"", "surrogate");
        refused(b"\"\xff\"", "unicode");
        refused(b"\"a\nb\"", "control character");
        refused(b"", "EOF");
        refused(b"{} {}", "trailing");
        refused(b"{\"a\":1,}", "trailing comma");
        refused(b"NaN", "expected");
        refused(b"\xef\xbb\xbf{}", "expected value");
    }

    /// What serde_json hands over for a number when a program has its feature `arbitrary_precision` on.
    #[test]
    fn a_number_that_comes_as_text_is_measured_as_well() {
        use serde::de::Visitor as _;
        use serde::de::value::{Error, MapDeserializer};
        let number = |text: &'static str| {
            let members = [("$serde_json::private::Number", text)].into_iter();
            super::Value { depth: 64 }.visit_map(MapDeserializer::<_, Error>::new(members))
        };
        assert!(number("123456789012345678901234567890.5").is_ok());
        assert_eq!(number("1e400").unwrap_err().to_string(), "number out of range");
    }

    #[test]
    fn depth_has_a_limit() {
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        kept(&nested(64));
        refused(nested(65).as_bytes(), "64 deep");
        refused("[".repeat(100_000).as_bytes(), "64 deep");
        refused("{\"a\":".repeat(65).as_bytes(), "64 deep");
    }

    #[test]
    fn size_has_a_limit() {
        assert!(Json::new("\"1234567\"", 9).is_ok());
        assert_eq!(Json::new("\"12345678\"", 9), Err(JsonError::TooLarge { bytes: 10, bytes_max: 9 }));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_door_panic_and_what_passes_parses(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            if Json::new(bytes.clone(), 1 << 20).is_ok() {
                prop_assert!(serde_json::from_slice::<serde_json::Value>(&bytes).is_ok());
            }
        }
    }
}
