//! Why signing failed.

/// Why something could not be signed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the key cannot sign: {0}")]
pub struct SignError(pub String);
