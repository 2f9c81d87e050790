//! What an update says of one field: nothing, that it is cleared, or its new value.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What an update says of a field that may be empty. In JSON: absent, `null`, or a value.
///
/// As a member of a struct it wants `#[serde(default, skip_serializing_if = "Edit::is_keep")]`.
///
/// ```
/// use flightdeck_core::Edit;
/// use serde::{Deserialize, Serialize};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct Update {
///     #[serde(default, skip_serializing_if = "Edit::is_keep")]
///     slug: Edit<String>,
/// }
/// for (json, slug) in [("{}", Edit::Keep), ("{\"slug\":null}", Edit::Clear), ("{\"slug\":\"a\"}", Edit::Set("a".into()))] {
///     let update: Update = serde_json::from_str(json)?;
///     assert_eq!(update, Update { slug });
///     assert_eq!(serde_json::to_string(&update)?, json);
/// }
/// # Ok::<(), serde_json::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Edit<T> {
    /// The field stays as it is.
    #[default]
    Keep,
    /// The field is empty from here on.
    Clear,
    /// The field has this value from here on.
    Set(T),
}

impl<T> Edit<T> {
    /// Whether the field stays as it is.
    #[must_use]
    pub const fn is_keep(&self) -> bool {
        matches!(self, Self::Keep)
    }

    /// The value that is set, if one is.
    #[must_use]
    pub const fn value(&self) -> Option<&T> {
        match self {
            Self::Set(value) => Some(value),
            Self::Keep | Self::Clear => None,
        }
    }

    /// For a field that is never empty, but can have nothing in it, such as a list: cleared is set to nothing.
    #[must_use]
    pub fn or_cleared(self) -> Option<T>
    where
        T: Default,
    {
        match self {
            Self::Keep => None,
            Self::Clear => Some(T::default()),
            Self::Set(value) => Some(value),
        }
    }

    /// Makes `field` as this says.
    pub fn make(&self, field: &mut Option<T>)
    where
        T: Clone,
    {
        match self {
            Self::Keep => {}
            Self::Clear => *field = None,
            Self::Set(value) => *field = Some(value.clone()),
        }
    }

    /// What of this is not so already: nothing, when the field is as it shall be.
    #[must_use]
    pub fn unless(self, field: &Option<T>) -> Self
    where
        T: PartialEq,
    {
        match (&self, field) {
            (Self::Clear, None) => Self::Keep,
            (Self::Set(value), Some(present)) if value == present => Self::Keep,
            _ => self,
        }
    }
}

impl<T: Serialize> Serialize for Edit<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            // Written, it would read as a field that is cleared.
            Self::Keep => Err(serde::ser::Error::custom("a field that stays as it is must be left out")),
            Self::Clear => serializer.serialize_none(),
            Self::Set(value) => serializer.serialize_some(value),
        }
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Edit<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(Option::deserialize(deserializer)?.map_or(Self::Clear, Self::Set))
    }
}

/// Reads a member that may be absent but not `null`: for `#[serde(default, deserialize_with = "edit::present")]`.
///
/// # Errors
/// When the value is not a `T`.
pub fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[cfg(test)]
mod tests {
    use super::Edit;

    #[test]
    fn an_edit_makes_a_field_as_it_says() {
        for (edit, after) in [(Edit::Keep, Some("old")), (Edit::Clear, None), (Edit::Set("new"), Some("new"))]
        {
            let mut field = Some("old");
            edit.make(&mut field);
            assert_eq!(field, after);
        }
    }

    #[test]
    fn a_field_that_stays_as_it_is_is_never_written() {
        assert!(serde_json::to_string(&Edit::<i32>::Keep).is_err());
        assert_eq!(serde_json::to_string(&Edit::<i32>::Clear).unwrap(), "null");
        assert_eq!(serde_json::to_string(&Edit::Set(1)).unwrap(), "1");
    }

    #[test]
    fn a_list_that_is_cleared_has_nothing_in_it() {
        assert_eq!(Edit::Keep.or_cleared(), None::<Vec<i32>>);
        assert_eq!(Edit::Clear.or_cleared(), Some(Vec::<i32>::new()));
        assert_eq!(Edit::Set(vec![1]).or_cleared(), Some(vec![1]));
    }

    #[test]
    fn what_is_so_already_is_no_edit() {
        assert_eq!(Edit::Set(1).unless(&Some(1)), Edit::Keep);
        assert_eq!(Edit::<i32>::Clear.unless(&None), Edit::Keep);
        assert_eq!(Edit::<i32>::Keep.unless(&Some(1)), Edit::Keep);
        assert_eq!(Edit::Set(2).unless(&Some(1)), Edit::Set(2));
        assert_eq!(Edit::Set(2).unless(&None), Edit::Set(2));
        assert_eq!(Edit::Clear.unless(&Some(1)), Edit::Clear);
    }
}
