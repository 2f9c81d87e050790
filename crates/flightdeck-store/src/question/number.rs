//! Numbers of JSON, compared as the numbers that they are.

use std::fmt;

use flightdeck_core::WordError;

/// A number of JSON by its decimal value, whatever its size: `1`, `1.0` and `10e-1` are the same one, `-0` is `0`, and no two
/// that differ in a digit are. Nothing is rounded to a double.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// Without zeros at either end; empty for zero.
    digits: Box<str>,
    /// How many places the digits stand before the point: `120` is `12` with 1.
    exponent: i64,
}

impl Number {
    const ZERO: &'static str = "";

    /// The number that a text of JSON stands for.
    ///
    /// # Errors
    /// When the text is no number of JSON, or its exponent has more than 18 digits.
    pub fn parse(text: &str) -> Result<Self, WordError> {
        let wrong = |problem: &str| WordError::new("number", problem);
        let is_number = text.starts_with(|first: char| first == '-' || first.is_ascii_digit());
        if !is_number || serde_json::from_str::<&serde_json::value::RawValue>(text).is_err() {
            return Err(wrong("is none of JSON"));
        }
        Self::of(text.trim_end()).ok_or_else(|| wrong("has an exponent without end"))
    }

    /// The number of a text that is one. `None`: its exponent is beyond what a question can name.
    pub(super) fn of(text: &str) -> Option<Self> {
        let (negative, size) = text.strip_prefix('-').map_or((false, text), |size| (true, size));
        let (mantissa, exponent) = size.split_once(['e', 'E']).unwrap_or((size, "0"));
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let all = [whole, fraction].concat();
        let digits = all.trim_end_matches('0');
        if digits.is_empty() {
            return Some(Self { negative: false, digits: Self::ZERO.into(), exponent: 0 });
        }
        let exponent: i64 = exponent.parse().ok()?;
        let moved = i64::try_from(all.len() - digits.len()).ok()? - i64::try_from(fraction.len()).ok()?;
        Some(Self {
            negative,
            digits: digits.trim_start_matches('0').into(),
            exponent: exponent.checked_add(moved)?,
        })
    }
}

impl From<i64> for Number {
    fn from(number: i64) -> Self {
        Self::of(&number.to_string()).unwrap_or(Self {
            negative: false,
            digits: Self::ZERO.into(),
            exponent: 0,
        })
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        match (&*self.digits, self.exponent) {
            (Self::ZERO, _) => f.write_str("0"),
            (digits, 0) => write!(f, "{sign}{digits}"),
            (digits, exponent) => write!(f, "{sign}{digits}e{exponent}"),
        }
    }
}
