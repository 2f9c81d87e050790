//! JWTs: which keys, whose, and for whom. What a key was made for it is used for, and nothing in a JWT changes that.

use std::path::{Path, PathBuf};
use std::sync::Once;

use jsonwebtoken::crypto::{CryptoProvider, JwtVerifier, KeyUtils};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, JwkSet, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey, DecodingKeyKind, Validation, decode, decode_header, signature};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, RSA_PKCS1_2048_8192_SHA256, RsaPublicKeyComponents, UnparsedPublicKey,
};
use ring::{hmac, signature as ring_signature};
use serde::Deserialize;
use thiserror::Error;

use crate::problem::{Code, Problem};

/// A file of keys in bytes.
const FILE_BYTES_MAX: u64 = 64 * 1024;
/// Keys of one issuer.
const KEYS_MAX: usize = 50;
/// A secret for HS256 in bytes: a shorter one can be found out by trying.
const SECRET_BYTES_MIN: usize = 32;
/// How far the clocks of two machines may be apart, in seconds.
const LEEWAY_SECONDS: u64 = 60;
/// A JWT in bytes.
const JWT_BYTES_MAX: usize = 8 * 1024;

/// What a JWT says that counts here.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Claims {
    /// The user.
    pub sub: String,
    /// Until when it is good, in seconds since 1970.
    pub exp: i64,
}

/// The keys of an issuer, and what its JWTs have to say.
pub struct Keys {
    keys: Vec<Key>,
    issuer: String,
    audience: String,
}

struct Key {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// How JWTs are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signed {
    /// By RSA with SHA-256.
    Rs256,
    /// By ECDSA on P-256 with SHA-256.
    Es256,
    /// By a secret that both sides have.
    Hs256,
}

/// Why keys can't be used.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum KeysError {
    /// The file can't be read.
    #[error("can't read {0}")]
    Unreadable(PathBuf, #[source] std::io::Error),
    /// The file is larger than any file of keys.
    #[error("{0} has more than {FILE_BYTES_MAX} bytes")]
    TooLarge(PathBuf),
    /// There is nothing in it that could be used.
    #[error(
        "{0} has no key for {1:?} in it: a PEM of a public key or a JWK set is wanted; for Hs256 a secret of at least {SECRET_BYTES_MIN} bytes, which is nothing of the kind"
    )]
    NoKey(PathBuf, Signed),
    /// There are more keys than one issuer has.
    #[error("{0} has more than {KEYS_MAX} keys")]
    TooMany(PathBuf),
}

impl Keys {
    /// Reads keys from a file: a PEM of a public key or a JWK set; for HS256 the bytes of a secret. What the file is for is said, and
    /// never found out by looking: whoever took a public key for a secret would let everyone in.
    ///
    /// # Errors
    /// See [`KeysError`].
    pub fn read(path: &Path, signed: Signed, issuer: &str, audience: &str) -> Result<Self, KeysError> {
        let unreadable = |error| KeysError::Unreadable(path.to_owned(), error);
        if std::fs::metadata(path).map_err(unreadable)?.len() > FILE_BYTES_MAX {
            return Err(KeysError::TooLarge(path.to_owned()));
        }
        let bytes = std::fs::read(path).map_err(unreadable)?;
        let keys = match signed {
            Signed::Hs256 => of_secret(&bytes),
            Signed::Rs256 => of_set(&bytes, Algorithm::RS256).or_else(|| of_pem(&bytes, Algorithm::RS256)),
            Signed::Es256 => of_set(&bytes, Algorithm::ES256).or_else(|| of_pem(&bytes, Algorithm::ES256)),
        };
        let keys = keys.unwrap_or_default();
        match keys.len() {
            0 => return Err(KeysError::NoKey(path.to_owned(), signed)),
            1..=KEYS_MAX => {}
            _ => return Err(KeysError::TooMany(path.to_owned())),
        }
        Ok(Self { keys, issuer: issuer.to_owned(), audience: audience.to_owned() })
    }

    /// Checks a JWT: by which key it was signed, for whom, by whom, and whether it is good now.
    ///
    /// # Errors
    /// When it is not; whoever shows one that is wrong learns nothing else.
    pub(super) fn check(&self, text: &str) -> Result<Claims, Problem> {
        install();
        let refused = || Problem::new(Code::Unauthenticated, "The credential is not good, or not any more.");
        if text.len() > JWT_BYTES_MAX {
            return Err(refused());
        }
        let header = decode_header(text).map_err(|_| refused())?;
        let is_plain = header
            .typ
            .as_deref()
            .is_none_or(|kind| kind.eq_ignore_ascii_case("JWT") || kind.eq_ignore_ascii_case("at+jwt"));
        // Only among the keys that are here; a key that is named must be one of them.
        let fits = |key: &&Key| {
            let same = |known: &String, named: &String| known == named;
            key.algorithm == header.alg
                && header
                    .kid
                    .as_ref()
                    .is_none_or(|named| key.id.as_ref().is_none_or(|known| same(known, named)))
        };
        let key = self.keys.iter().find(fits).filter(|_| is_plain).ok_or_else(refused)?;
        let mut validation = Validation::new(key.algorithm);
        (validation.leeway, validation.validate_nbf) = (LEEWAY_SECONDS, true);
        validation.set_issuer(&[&self.issuer]);
        validation.set_audience(&[&self.audience]);
        validation.set_required_spec_claims(&["exp", "iss", "aud", "sub"]);
        match decode::<Claims>(text, &key.key, &validation) {
            Ok(checked) => Ok(checked.claims),
            Err(error) if matches!(error.kind(), ErrorKind::ExpiredSignature) => {
                Err(Problem::new(Code::Unauthenticated, "The credential has run out."))
            }
            Err(_) => Err(refused()),
        }
    }
}

fn of_set(bytes: &[u8], algorithm: Algorithm) -> Option<Vec<Key>> {
    let set: JwkSet = serde_json::from_slice(bytes).ok()?;
    let keys = set.keys.iter().filter_map(|key| {
        let own = match &key.algorithm {
            AlgorithmParameters::RSA(_) => Algorithm::RS256,
            AlgorithmParameters::EllipticCurve(params) if params.curve == EllipticCurve::P256 => {
                Algorithm::ES256
            }
            _ => return None,
        };
        let is_to_sign =
            key.common.public_key_use.as_ref().is_none_or(|made| *made == PublicKeyUse::Signature);
        let named = key.common.key_algorithm.map(|named| named.to_string());
        let is_named_so = named.is_none_or(|named| named == format!("{algorithm:?}"));
        let fits = own == algorithm && is_to_sign && is_named_so;
        let key =
            || Some(Key { id: key.common.key_id.clone(), algorithm, key: DecodingKey::from_jwk(key).ok()? });
        fits.then(key).flatten()
    });
    Some(keys.collect())
}

fn of_pem(bytes: &[u8], algorithm: Algorithm) -> Option<Vec<Key>> {
    let key = match algorithm {
        Algorithm::ES256 => DecodingKey::from_ec_pem(bytes).ok()?,
        _ => DecodingKey::from_rsa_pem(bytes).ok()?,
    };
    Some(vec![Key { id: None, algorithm, key }])
}

fn of_secret(bytes: &[u8]) -> Option<Vec<Key>> {
    // An editor ends a file with a line break, and nobody means that.
    let secret = bytes.trim_ascii_end();
    let begins = |other: &[u8]| secret.trim_ascii_start().starts_with(other);
    // A key that is known to all is no secret: a PEM, JSON, DER, or any of these behind a mark of its encoding.
    let is_a_key = begins(b"{")
        || begins(&[0x30]) && !secret.is_ascii()
        || begins(&[0xef, 0xbb, 0xbf])
        || secret.windows(11).any(|some| some == b"-----BEGIN ");
    let key = || Key { id: None, algorithm: Algorithm::HS256, key: DecodingKey::from_secret(secret) };
    (secret.len() >= SECRET_BYTES_MIN && !is_a_key).then(|| vec![key()])
}

impl std::fmt::Debug for Keys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Keys")
            .field("issuer", &self.issuer)
            .field("audience", &self.audience)
            .finish_non_exhaustive()
    }
}

/// Has signatures checked by ring, which is here for TLS anyway. A program around this server may have chosen something else before.
fn install() {
    static PROVIDER: CryptoProvider = CryptoProvider {
        signer_factory: |_, _| Err(ErrorKind::InvalidAlgorithm.into()),
        verifier_factory: |algorithm, key| Ok(Box::new(Verifier { algorithm: *algorithm, key: key.clone() })),
        key_utils: KeyUtils::new_unimplemented(),
    };
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let _chosen_before = PROVIDER.install_default();
    });
}

struct Verifier {
    algorithm: Algorithm,
    key: DecodingKey,
}

impl JwtVerifier for Verifier {
    fn algorithm(&self) -> Algorithm {
        self.algorithm
    }
}

impl signature::Verifier<Vec<u8>> for Verifier {
    fn verify(&self, message: &[u8], signed: &Vec<u8>) -> Result<(), signature::Error> {
        let with = |algorithm: &'static dyn ring_signature::VerificationAlgorithm, key: &[u8]| {
            UnparsedPublicKey::new(algorithm, key).verify(message, signed)
        };
        let verified = match (self.algorithm, self.key.kind()) {
            (Algorithm::HS256, DecodingKeyKind::SecretOrDer(secret)) => {
                hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, secret), message, signed)
            }
            (Algorithm::RS256, DecodingKeyKind::SecretOrDer(key)) => with(&RSA_PKCS1_2048_8192_SHA256, key),
            (Algorithm::RS256, DecodingKeyKind::RsaModulusExponent { n, e }) => {
                RsaPublicKeyComponents { n, e }.verify(&RSA_PKCS1_2048_8192_SHA256, message, signed)
            }
            (Algorithm::ES256, DecodingKeyKind::SecretOrDer(key)) => with(&ECDSA_P256_SHA256_FIXED, key),
            _ => Err(ring::error::Unspecified),
        };
        verified.map_err(|_| signature::Error::new())
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use super::{Keys, KeysError, Signed};

    fn read(bytes: &[u8], signed: Signed) -> Result<Keys, KeysError> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(bytes).unwrap();
        Keys::read(file.path(), signed, "issuer", "audience")
    }

    const SET: &str = r#"{"keys":[{"kty":"EC","crv":"P-256","x":"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU","y":"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0"}]}"#;

    #[test]
    fn what_is_known_to_all_is_never_a_secret() {
        read(SET.as_bytes(), Signed::Es256).unwrap();
        let alone = &SET[9..SET.len() - 2];
        let pem = "Bag Attributes\n-----BEGIN PUBLIC KEY-----\nMFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAE\n-----END PUBLIC KEY-----\n";
        for public in [SET, alone, pem, &format!("\u{feff}{SET}"), &format!("  {SET}")] {
            assert!(matches!(read(public.as_bytes(), Signed::Hs256), Err(KeysError::NoKey(..))), "{public}");
        }
        let der = [&[0x30, 0x82, 0x01, 0x0a][..], &[0xff; 64]].concat();
        assert!(read(&der, Signed::Hs256).is_err());
        for secret in ["short", &"x".repeat(31)] {
            assert!(read(secret.as_bytes(), Signed::Hs256).is_err(), "{secret}");
        }
        read("x".repeat(32).as_bytes(), Signed::Hs256).unwrap();
        // And a secret is no key of another kind.
        for signed in [Signed::Rs256, Signed::Es256] {
            assert!(read("x".repeat(32).as_bytes(), signed).is_err());
        }
        assert!(read(SET.as_bytes(), Signed::Rs256).is_err());
        let oct = r#"{"keys":[{"kty":"oct","k":""}]}"#;
        assert!(read(oct.as_bytes(), Signed::Es256).is_err() && read(oct.as_bytes(), Signed::Hs256).is_err());
        let to_encrypt = SET.replace("\"kty\"", "\"use\":\"enc\",\"kty\"");
        assert!(read(to_encrypt.as_bytes(), Signed::Es256).is_err());
    }
}
