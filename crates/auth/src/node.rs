//! Nodes: their names, the ways in which one proves its identity, and the reasons for refusing one.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest name of a node, in bytes.
const MAX_NAME_BYTES: usize = 128;

/// Why a text is not the name of a node.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is no name of a node: expected its host name, of at most 128 letters, digits, '.', '-' \
     and '_', beginning with a letter or digit"
)]
pub struct NodeNameError(String);

/// The name of a node: its host name, in lower case.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct NodeName(Arc<str>);

impl NodeName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for NodeName {
    type Err = NodeNameError;

    fn from_str(text: &str) -> Result<Self, NodeNameError> {
        let is_part = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        let first = text.chars().next();
        if text.len() <= MAX_NAME_BYTES
            && first.is_some_and(|c| c.is_ascii_alphanumeric())
            && text.chars().all(is_part)
        {
            return Ok(Self(text.to_ascii_lowercase().into()));
        }
        Err(NodeNameError(text.chars().take(64).collect()))
    }
}

impl TryFrom<String> for NodeName {
    type Error = NodeNameError;

    fn try_from(text: String) -> Result<Self, NodeNameError> {
        text.parse()
    }
}

impl From<NodeName> for String {
    fn from(name: NodeName) -> Self {
        name.as_str().to_owned()
    }
}

impl fmt::Display for NodeName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The way in which a node proves its identity.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NodeWay {
    /// The token that it got for a join token.
    Token,
    /// A credential of MUNGE.
    Munge,
    /// A client certificate.
    Certificate,
    /// A JSON Web Token of Slurm.
    SlurmJwt,
}

impl NodeWay {
    /// Its name in the store and in output.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Token => "token",
            Self::Munge => "munge",
            Self::Certificate => "certificate",
            Self::SlurmJwt => "slurm-jwt",
        }
    }
}

impl fmt::Display for NodeWay {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// A node that proved its identity.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Node {
    /// Its name.
    pub name: NodeName,
    /// The way in which it did.
    pub way: NodeWay,
}

/// Why a node's credential is refused. The texts are for the client and the log: they hold no
/// secret.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NodeRefused {
    /// No node has this token.
    #[error(
        "no node has this token: it was replaced or removed, or is of another registry. Join anew \
         with metahub-node join"
    )]
    Unknown,
    /// The node is revoked.
    #[error("node {0} is revoked here: the operator of this registry can let it in again")]
    Revoked(NodeName),
    /// Its lifetime is over.
    #[error(
        "what proves which node this is has expired: have it made anew, and compare the clocks"
    )]
    Expired,
    /// It is from the future.
    #[error("what proves which node this is was made in the future: compare the clocks")]
    OfTheFuture,
    /// It was not made by this site, or cannot be read.
    #[error("what proves which node this is was not made with this site's key, or is damaged")]
    Foreign,
    /// A user made it.
    #[error("only root speaks for a node, and this credential is of the user with the ID {0}")]
    NotRoot(u32),
    /// Its user may not speak for nodes.
    #[error("this token is of '{0}', who does not speak for nodes here (nodes.slurm_jwt.users)")]
    NotForNodes(String),
    /// It was made for something else.
    #[error("this credential was made for something else, and names no node")]
    OtherPurpose,
    /// A node's credential came with an account's name.
    #[error("the password is a node's, and '{0}' names an account: log in under a profile alone")]
    WithAccount(String),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_nodes_name_is_a_host_name_in_lower_case() {
        for (text, name) in [
            ("node7", Some("node7")),
            ("Node-7.Cluster.example", Some("node-7.cluster.example")),
            ("0", Some("0")),
            ("", None),
            ("-a", None),
            ("a b", None),
            ("a/b", None),
            ("ä", None),
            ("a\n", None),
            (&"a".repeat(129), None),
        ] {
            let parsed = text.parse::<NodeName>().ok();
            assert_eq!(parsed.as_ref().map(NodeName::as_str), name, "{text}");
        }
    }
}
