//! Signatures of manifests by ECDSA P-256 keys, in the forms that cosign writes and reads: a
//! Sigstore bundle as a referrer, and the older tag `sha256-….sig`. No certificates, no
//! transparency log: a key signs, and that key verifies.
//!
//! No I/O. Signing is deterministic (RFC 6979): the same key and manifest give the same bytes.
//! A private key never shows in an error or a debug print.

mod bundle;
mod envelope;
mod key;
mod referrer;
mod sealed_key;
mod sign_error;
mod simple;

pub use bundle::{BUNDLE_TYPE, sign, verify_bundle};
pub use key::{KeyError, PrivateKey, PublicKey};
pub use referrer::{EMPTY_CONFIG, Referrer, Signer};
pub use sign_error::SignError;
pub use simple::{SIGNATURE_ANNOTATION, SIMPLE_SIGNING_TYPE, signature_tag, verify_simple};

/// Why a signature does not verify a manifest.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unverified {
    /// It is not in the form that was expected.
    #[error("it is no signature of a known form: {0}")]
    Form(&'static str),
    /// It was made by another key, or the signed content was changed.
    #[error("the key did not make it")]
    Key,
    /// It signs another manifest.
    #[error("it signs something else")]
    Subject,
}
