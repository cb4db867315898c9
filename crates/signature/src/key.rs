//! Keys in PEM files. ECDSA over P-256 only, which is what `cosign generate-key-pair` makes.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use metahub_oci::Digest;
use p256::SecretKey;
use p256::ecdsa::signature::{Signer as _, Verifier as _};
use p256::ecdsa::{DerSignature, SigningKey, VerifyingKey};
use p256::pkcs8::{DecodePrivateKey as _, DecodePublicKey as _, EncodePublicKey as _};

use crate::sealed_key;
use crate::sign_error::SignError;

const PRIVATE: &str = "a PEM file with an ECDSA P-256 private key: BEGIN PRIVATE KEY (PKCS #8), \
                       BEGIN EC PRIVATE KEY (SEC 1) or BEGIN ENCRYPTED SIGSTORE PRIVATE KEY (as \
                       cosign generate-key-pair writes it)";
const PUBLIC: &str = "a PEM file with an ECDSA P-256 public key (BEGIN PUBLIC KEY)";

/// Why a text is no key. Never quotes it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    /// It is something else.
    #[error("expected {expected}; found {found}")]
    Form {
        /// What a key looks like.
        expected: &'static str,
        /// What was found in its place.
        found: String,
    },
    /// It is encrypted, and there is no password.
    #[error("the key is encrypted, and no password is given for it")]
    PasswordMissing,
    /// It is encrypted with another password.
    #[error("the key is encrypted, and the password does not open it")]
    WrongPassword,
}

/// A key that signs. Prints the digest of its public key only.
#[derive(Clone)]
pub struct PrivateKey {
    key: SigningKey,
    public: PublicKey,
}

/// A key that verifies.
#[derive(Clone)]
pub struct PublicKey {
    key: VerifyingKey,
    fingerprint: Digest,
}

impl PrivateKey {
    /// Reads a key. `password` is for keys that cosign has encrypted; others have none.
    ///
    /// # Errors
    /// A text that is no such key, or a password that is missing or wrong.
    pub fn from_pem(text: &str, password: Option<&str>) -> Result<Self, KeyError> {
        let wrong = |found: String| KeyError::Form {
            expected: PRIVATE,
            found,
        };
        // OpenSSL writes the parameters of the curve before the key.
        let block = blocks(text).find(|block| block.label.ends_with("PRIVATE KEY"));
        let Some(block) = block else {
            return Err(wrong(described(text)));
        };
        let unread = || {
            wrong(format!(
                "BEGIN {} of another algorithm or damaged",
                block.label
            ))
        };
        let key = match block.label {
            "PRIVATE KEY" => SigningKey::from_pkcs8_pem(block.text).map_err(|_| unread())?,
            "EC PRIVATE KEY" => SecretKey::from_sec1_pem(block.text)
                .map(|key| SigningKey::from(&key))
                .map_err(|_| unread())?,
            "ENCRYPTED SIGSTORE PRIVATE KEY" | "ENCRYPTED COSIGN PRIVATE KEY" => {
                let body = block.body().ok_or_else(unread)?;
                let sealed = sealed_key::parse(&body).ok_or_else(unread)?;
                let password = password.ok_or(KeyError::PasswordMissing)?;
                let der = sealed.open(password).ok_or(KeyError::WrongPassword)?;
                SigningKey::from_pkcs8_der(&der).map_err(|_| unread())?
            }
            label => return Err(wrong(format!("BEGIN {label}"))),
        };
        let public = PublicKey::of(*key.verifying_key()).ok_or_else(unread)?;
        Ok(Self { key, public })
    }

    /// The key that verifies what this one signs.
    #[must_use]
    pub fn public(&self) -> &PublicKey {
        &self.public
    }

    /// The signature of `message` (ECDSA with SHA-256, RFC 6979, DER).
    pub(crate) fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let signature: Result<DerSignature, _> = self.key.try_sign(message);
        let signature = signature.map_err(|error| SignError(error.to_string()))?;
        Ok(signature.as_bytes().to_vec())
    }
}

impl fmt::Debug for PrivateKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PrivateKey(of {})", self.public.fingerprint)
    }
}

impl PublicKey {
    /// Reads a key.
    ///
    /// # Errors
    /// A text that is no such key.
    pub fn from_pem(text: &str) -> Result<Self, KeyError> {
        let wrong = |found: String| KeyError::Form {
            expected: PUBLIC,
            found,
        };
        let block = blocks(text).find(|block| block.label == "PUBLIC KEY");
        let Some(block) = block else {
            return Err(wrong(described(text)));
        };
        VerifyingKey::from_public_key_pem(block.text)
            .ok()
            .and_then(Self::of)
            .ok_or_else(|| wrong("a public key of another algorithm or a damaged one".to_owned()))
    }

    fn of(key: VerifyingKey) -> Option<Self> {
        let der = key.to_public_key_der().ok()?;
        let fingerprint = Digest::sha256(der.as_bytes());
        Some(Self { key, fingerprint })
    }

    /// The digest of its DER form (SubjectPublicKeyInfo).
    #[must_use]
    pub fn fingerprint(&self) -> &Digest {
        &self.fingerprint
    }

    /// Whether this key made `signature` (DER) of `message`.
    pub(crate) fn verifies(&self, message: &[u8], signature: &[u8]) -> bool {
        DerSignature::try_from(signature)
            .is_ok_and(|signature| self.key.verify(message, &signature).is_ok())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "PublicKey({})", self.fingerprint)
    }
}

/// One block of a PEM file (RFC 7468).
struct Block<'a> {
    label: &'a str,
    /// The block with its first and last line.
    text: &'a str,
}

impl Block<'_> {
    /// What its base64 lines say.
    fn body(&self) -> Option<Vec<u8>> {
        let lines = self.text.lines().filter(|line| !line.starts_with("-----"));
        let base64: String = lines.map(str::trim).collect();
        STANDARD.decode(base64).ok()
    }
}

fn blocks(text: &str) -> impl Iterator<Item = Block<'_>> {
    let starts = text.match_indices("-----BEGIN ");
    starts.filter_map(|(at, begin)| {
        let rest = text.get(at..)?;
        let (label, _) = rest.get(begin.len()..)?.split_once("-----")?;
        let end = format!("-----END {label}-----");
        let length = rest.find(&end)? + end.len();
        Some(Block {
            label,
            text: rest.get(..length)?,
        })
    })
}

/// What a text is that has no key of the kind that was looked for; says nothing of its content.
fn described(text: &str) -> String {
    match blocks(text).next() {
        // Labels are upper-case words; any other text is not repeated.
        Some(block)
            if block.label.len() < 60
                && block
                    .label
                    .chars()
                    .all(|c| c == ' ' || c.is_ascii_uppercase()) =>
        {
            format!("BEGIN {}", block.label)
        }
        _ if text.trim().is_empty() => "nothing".to_owned(),
        _ => "no PEM block".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLAIN: &str = include_str!("../tests/keys/plain.pem");
    const PUBLIC: &str = include_str!("../tests/keys/plain.pub");
    /// Made by `cosign generate-key-pair` with the password `hunter2`.
    const SEALED: &str = include_str!("../tests/keys/cosign.key");
    const SEALED_PUBLIC: &str = include_str!("../tests/keys/cosign.pub");

    #[test]
    fn every_form_of_a_private_key_gives_its_public_key() {
        let sec1 = include_str!("../tests/keys/sec1.pem");
        let with_parameters = format!(
            "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n{sec1}"
        );
        for (private, password, public) in [
            (PLAIN, None, PUBLIC),
            (sec1, None, PUBLIC),
            (&with_parameters, None, PUBLIC),
            (SEALED, Some("hunter2"), SEALED_PUBLIC),
        ] {
            let private = PrivateKey::from_pem(private, password).unwrap();
            let public = PublicKey::from_pem(public).unwrap();
            assert_eq!(private.public().fingerprint(), public.fingerprint());
            let signature = private.sign(b"message").unwrap();
            assert_eq!(
                signature,
                private.sign(b"message").unwrap(),
                "deterministic"
            );
            assert!(public.verifies(b"message", &signature));
            assert!(!public.verifies(b"massage", &signature));
        }
    }

    #[test]
    fn what_is_no_key_is_named_and_never_quoted() {
        let other_curve = include_str!("../tests/keys/other-curve.pem");
        let cut = PLAIN.get(..100).unwrap();
        for (text, found) in [
            ("", "found nothing"),
            ("hunter2", "found no PEM block"),
            (PUBLIC, "found BEGIN PUBLIC KEY"),
            (cut, "found no PEM block"),
            (other_curve, "of another algorithm"),
            (
                "-----BEGIN hunter2-----\n-----END hunter2-----",
                "found no PEM block",
            ),
        ] {
            let error = PrivateKey::from_pem(text, None).unwrap_err().to_string();
            assert!(error.contains(found), "{error}");
            assert!(error.contains("BEGIN EC PRIVATE KEY"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        let error = PublicKey::from_pem(PLAIN).unwrap_err().to_string();
        assert!(error.contains("found BEGIN PRIVATE KEY"), "{error}");
        assert_eq!(
            PrivateKey::from_pem(SEALED, None).unwrap_err(),
            KeyError::PasswordMissing
        );
        assert_eq!(
            PrivateKey::from_pem(SEALED, Some("hunter3")).unwrap_err(),
            KeyError::WrongPassword
        );
    }

    #[test]
    fn a_private_key_does_not_print_itself() {
        let key = PrivateKey::from_pem(PLAIN, None).unwrap();
        let shown = format!("{key:?}");
        assert_eq!(
            shown,
            format!("PrivateKey(of {})", key.public().fingerprint())
        );
    }
}
