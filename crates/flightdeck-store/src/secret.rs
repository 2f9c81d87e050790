//! The secret of a log: what hides the values of tags that nobody may read.

use std::fmt;

use flightdeck_core::{Mark, Tag, WordError};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

/// 32 bytes that a log is born with and keeps for ever, wherever it is carried. Whoever may append may have them.
///
/// ```
/// use flightdeck_core::Mark;
/// use flightdeck_store::Secret;
///
/// let secret = Secret::from_bytes([7; 32]);
/// let tag = secret.tag(&Mark::hidden("email", "ada@example.org"))?;
/// assert_eq!(tag.key(), "email");
/// assert!(!tag.value().contains("ada"));
/// assert_eq!(tag, secret.tag(&Mark::hidden("email", "ada@example.org"))?);
/// assert_ne!(tag, Secret::from_bytes([8; 32]).tag(&Mark::hidden("email", "ada@example.org"))?);
/// # Ok::<(), flightdeck_core::WordError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Secret([u8; 32]);

impl Secret {
    /// The secret that consists of these bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn bytes(&self) -> [u8; 32] {
        self.0
    }

    /// The tag that a mark is stored as. A hidden value becomes its HMAC-SHA256, in hexadecimal: two equal values give the
    /// same tag, and nobody without the secret can tell which value it was, or try some.
    ///
    /// # Errors
    /// When the mark's key is none that a tag can have.
    pub fn tag(&self, mark: &Mark) -> Result<Tag, WordError> {
        let (key, value) = match mark {
            Mark::Open(tag) => return Ok(tag.clone()),
            Mark::Hidden { key, value } => (key, value),
        };
        // Stored for ever: the same value under another key must not give the same bytes, nor may another use of the secret.
        let hidden = self.hmac(&["flightdeck tag", key, value].map(str::as_bytes)).finalize().into_bytes();
        let hidden = hidden.iter().fold(String::new(), |text, byte| format!("{text}{byte:02x}"));
        Tag::new(format!("{key}:{hidden}"))
    }

    /// The HMAC-SHA256 of some bytes for a purpose: nobody without the secret can make it, and one for another purpose is another.
    #[must_use]
    pub fn mac(&self, purpose: &str, bytes: &[u8]) -> [u8; 32] {
        self.hmac(&[b"flightdeck mac", purpose.as_bytes(), bytes]).finalize().into_bytes().into()
    }

    /// Whether that is the [`mac`](Self::mac) of these bytes. It takes as long, however much of it is right.
    #[must_use]
    pub fn is_mac(&self, purpose: &str, bytes: &[u8], mac: &[u8]) -> bool {
        self.hmac(&[b"flightdeck mac", purpose.as_bytes(), bytes]).verify_slice(mac).is_ok()
    }

    /// The HMAC of parts, of which none can be taken for another.
    fn hmac(&self, parts: &[&[u8]]) -> Hmac<Sha256> {
        #[expect(clippy::expect_used, reason = "an HMAC takes keys of any length")]
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.0).expect("a key of 32 bytes");
        for part in parts {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        mac
    }
}

/// Says nothing of the bytes.
impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(…)")
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_core::Mark;

    use super::Secret;

    #[test]
    fn a_hidden_value_is_the_same_for_ever() {
        // Computed with another program: printf of the three parts, each behind its length in 8 bytes, through `openssl dgst -hmac`.
        let secret = Secret::from_bytes(*b"0123456789abcdef0123456789abcdef");
        let tag = secret.tag(&Mark::hidden("email", "ada@example.org")).unwrap();
        assert_eq!(tag.as_str(), "email:ae7fd0f630c2e0779d731e032a980991b1d323f449362c04c8a1033751ad3da7");
    }

    #[test]
    fn a_mac_is_for_one_purpose_and_one_secret() {
        let secret = Secret::from_bytes([7; 32]);
        let mac = secret.mac("visitor", b"7f3a");
        assert!(secret.is_mac("visitor", b"7f3a", &mac));
        assert!(!secret.is_mac("visito", b"r7f3a", &mac));
        assert!(!secret.is_mac("link", b"7f3a", &mac));
        assert!(!secret.is_mac("visitor", b"7f3b", &mac));
        assert!(!secret.is_mac("visitor", b"7f3a", &mac[..31]));
        assert!(!Secret::from_bytes([8; 32]).is_mac("visitor", b"7f3a", &mac));
    }

    #[test]
    fn values_keys_and_open_marks_are_told_apart() {
        let secret = Secret::from_bytes([1; 32]);
        let hidden = |key, value: &str| secret.tag(&Mark::hidden(key, value)).unwrap().value().to_owned();
        assert_ne!(hidden("email", "a"), hidden("email", "b"));
        assert_ne!(hidden("email", "a"), hidden("phone", "a"));
        assert_ne!(hidden("ab", "c"), hidden("a", "bc"));
        let open = Mark::open("slug", "hello").unwrap();
        assert_eq!(secret.tag(&open).unwrap().as_str(), "slug:hello");
        assert!(secret.tag(&Mark::hidden("no key", "a")).is_err());
        assert_eq!(format!("{secret:?}"), "Secret(…)");
    }
}
