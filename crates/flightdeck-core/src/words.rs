//! What all words share: the error of a refused text, and the text-shaped conversions.

use thiserror::Error;

/// Why a value is not one of the words.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{what} {problem}")]
pub struct WordError {
    what: &'static str,
    problem: String,
}

impl WordError {
    /// That a word of the kind `what` was refused, for that problem.
    #[must_use]
    pub fn new(what: &'static str, problem: impl Into<String>) -> Self {
        Self { what, problem: problem.into() }
    }

    /// The kind of word that was asked for, for example `stream name`.
    #[must_use]
    pub fn what(&self) -> &'static str {
        self.what
    }

    /// What is wrong with it, as a clause: `is longer than 200 bytes`.
    #[must_use]
    pub fn problem(&self) -> &str {
        &self.problem
    }
}

/// Makes a word of a text: a type over `Arc<str>` that can't hold what its check refuses, with `new`, `as_str`, `Display`,
/// `FromStr` and serde.
///
/// ```
/// use flightdeck_core::{WordError, text_word};
///
/// text_word! {
///     /// A colour, in lower case.
///     Colour, check_colour
/// }
/// fn check_colour(text: &str) -> Result<(), WordError> {
///     match text {
///         "red" | "green" | "blue" => Ok(()),
///         _ => Err(WordError::new("colour", "is none of ours")),
///     }
/// }
/// assert_eq!(Colour::new("red")?.as_str(), "red");
/// assert!(serde_json::from_str::<Colour>("\"pink\"").is_err());
/// # Ok::<(), WordError>(())
/// ```
#[macro_export]
macro_rules! text_word {
    ($(#[$doc:meta])* $name:ident, $check:path) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
        pub struct $name(std::sync::Arc<str>);

        impl $name {
            /// Takes a text that is legal, or says what is wrong with it.
            ///
            /// # Errors
            /// When the text breaks a rule of this word.
            pub fn new(text: impl AsRef<str>) -> Result<Self, $crate::WordError> {
                let text = text.as_ref();
                $check(text)?;
                Ok(Self(text.into()))
            }

            /// The text.
            #[must_use]
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl std::fmt::Debug for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                write!(f, "{}({})", stringify!($name), self.0)
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::WordError;
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Self::new(text)
            }
        }

        impl AsRef<str> for $name {
            fn as_ref(&self) -> &str {
                &self.0
            }
        }

        impl $crate::serde::Serialize for $name {
            fn serialize<S: $crate::serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.0)
            }
        }

        impl<'de> $crate::serde::Deserialize<'de> for $name {
            fn deserialize<D: $crate::serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = <std::borrow::Cow<'de, str> as $crate::serde::Deserialize<'de>>::deserialize(deserializer)?;
                Self::new(text).map_err($crate::serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use crate::text_word;

/// Refuses an empty text and one of more than `bytes_max` bytes.
pub(crate) fn check_length(what: &'static str, text: &str, bytes_max: usize) -> Result<(), WordError> {
    if text.is_empty() {
        return Err(WordError::new(what, "is empty"));
    }
    if text.len() > bytes_max {
        return Err(WordError::new(what, format!("is longer than {bytes_max} bytes")));
    }
    Ok(())
}
