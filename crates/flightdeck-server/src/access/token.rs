//! A token as its owner has it: `fdt_`, and behind it its id and its secret. Of the secret only a digest is stored.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flightdeck_core::Ids;
use flightdeck_domain::TokenId;
use flightdeck_domain::token::SecretDigest;
use flightdeck_store::chain::sha256;
use uuid::Uuid;

use crate::visitor::hex;

/// By what a token is known, also to those who look for secrets where none should be.
const PREFIX: &str = "fdt_";
const ID_BYTES: usize = 16;
const SECRET_BYTES: usize = 32;

/// A secret of 256 bits of chance.
pub type Secret = [u8; SECRET_BYTES];

/// A new secret.
#[must_use]
pub fn secret(ids: &dyn Ids) -> Secret {
    let mut secret = [0; SECRET_BYTES];
    for half in secret.chunks_exact_mut(16) {
        half.copy_from_slice(&ids.random().to_be_bytes());
    }
    secret
}

/// Writes a token.
#[must_use]
pub fn write(id: Uuid, secret: &Secret) -> String {
    let bytes = [&id.as_bytes()[..], &secret[..]].concat();
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(bytes))
}

/// Reads a token. `None`: it is none of ours.
pub(super) fn read(text: &str) -> Option<(TokenId, Secret)> {
    let bytes = URL_SAFE_NO_PAD.decode(text.strip_prefix(PREFIX)?).ok()?;
    let (id, secret) = bytes.split_at_checked(ID_BYTES)?;
    let id = TokenId::new(Uuid::from_slice(id).ok()?.to_string()).ok()?;
    Some((id, secret.try_into().ok()?))
}

/// What is stored of a secret: of 256 bits of chance a digest is enough.
#[must_use]
pub fn digest(secret: &Secret) -> String {
    hex(&sha256(secret))
}

/// Whether that is the secret, found out in the same time whatever is shown.
pub(super) fn is_secret_of(digest: &SecretDigest, shown: &[u8]) -> bool {
    let shown = hex(&sha256(shown));
    let (known, shown) = (digest.as_str().as_bytes(), shown.as_bytes());
    known.len() == shown.len()
        && known.iter().zip(shown).fold(0, |differs, (one, other)| differs | (one ^ other)) == 0
}

#[cfg(test)]
mod tests {
    use uuid::Uuid;

    use super::{SecretDigest, digest, is_secret_of, read, write};

    #[test]
    fn a_token_is_read_as_it_was_written() {
        let (id, secret) = (Uuid::from_u128(7), [9; 32]);
        let text = write(id, &secret);
        assert_eq!(text.len(), 4 + 64);
        assert_eq!(read(&text), Some((id.to_string().parse().unwrap(), secret)));
        for bad in ["", "fdt_", &text[4..], &text[..text.len() - 1], &format!("{text}a"), "fdt_é", "fdt_+/=="]
        {
            assert_eq!(read(bad), None, "{bad}");
        }
    }

    #[test]
    fn only_the_secret_has_its_digest() {
        let known = SecretDigest::new(digest(&[9; 32])).unwrap();
        assert!(is_secret_of(&known, &[9; 32]));
        for other in [&[8; 32][..], &[9; 31], &[]] {
            assert!(!is_secret_of(&known, other));
        }
    }
}
