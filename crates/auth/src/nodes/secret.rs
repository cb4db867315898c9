//! Tokens of nodes, and join tokens: 32 random bytes behind a prefix that names their kind. They
//! cannot be guessed, so their SHA-256 is what is stored.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use metahub_store::{Redacted, SecretHash};
use sha2::{Digest as _, Sha256};

/// What the token of a node begins with.
const NODE: &str = "mhn_";
/// What a join token begins with.
const JOIN: &str = "mhj_";
/// Hexadecimal digits of its hash in a join token's identifier.
const ID_DIGITS: usize = 12;

/// A token of a node, or a join token; prints as dots.
#[derive(Clone, PartialEq, Eq)]
pub struct NodeSecret(Box<str>);

impl NodeSecret {
    /// A new token for a node.
    #[must_use]
    pub fn for_node() -> Self {
        Self::random(NODE)
    }

    /// A new join token.
    #[must_use]
    pub fn for_joining() -> Self {
        Self::random(JOIN)
    }

    fn random(prefix: &str) -> Self {
        let bytes: [u8; 32] = rand::random();
        Self(format!("{prefix}{}", URL_SAFE_NO_PAD.encode(bytes)).into())
    }

    /// The token of a node, if `text` has the form of one.
    #[must_use]
    pub fn node(text: &str) -> Option<Self> {
        text.starts_with(NODE).then(|| Self(text.into()))
    }

    /// The join token, if `text` has the form of one.
    #[must_use]
    pub fn joining(text: &str) -> Option<Self> {
        text.starts_with(JOIN).then(|| Self(text.into()))
    }

    /// The token itself, to be shown or sent once.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }

    /// The hash that is stored.
    #[must_use]
    pub fn hash(&self) -> SecretHash {
        Redacted::new(Sha256::digest(self.0.as_bytes()).into())
    }
}

impl fmt::Debug for NodeSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NodeSecret(…)")
    }
}

/// The identifier of a join token, which reveals nothing about it.
#[must_use]
pub fn join_token_id(hash: &SecretHash) -> String {
    let digits = hash.expose().iter().map(|byte| format!("{byte:02x}"));
    let mut id: String = digits.collect();
    id.truncate(ID_DIGITS);
    id
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_says_what_it_is_and_never_prints_itself() {
        let (node, join) = (NodeSecret::for_node(), NodeSecret::for_joining());
        assert!(NodeSecret::node(node.expose()).is_some());
        assert!(NodeSecret::joining(node.expose()).is_none());
        assert!(NodeSecret::joining(join.expose()).is_some());
        assert_eq!(node.expose().len(), 47);
        assert_ne!(node, NodeSecret::for_node());
        let printed = format!("{node:?} {:?}", node.hash());
        assert_eq!(printed, "NodeSecret(…) (redacted)");
        assert_eq!(join_token_id(&join.hash()).len(), ID_DIGITS);
    }
}
