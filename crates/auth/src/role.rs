//! Rights, the roles of accounts, and the rights without an account. `grants::Grants::allows` joins
//! them.

use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A right that a request needs. Every HTTP method of a route needs exactly one, so that no right
/// grants more than intended (a right to push never deletes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Add manifests, blobs and tags.
    Push,
    /// Remove manifests, blobs and tags.
    Delete,
    /// Change profiles and collections.
    Curate,
    /// Change what the registry as a whole does.
    Admin,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
            Self::Curate => "curate",
            Self::Admin => "admin",
        })
    }
}

/// Why a text is not a role or an access level.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("'{found}' is not {kind}: expected {expected}")]
pub struct UnknownName {
    kind: &'static str,
    expected: &'static str,
    found: String,
}

/// The role of an account.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Pull everywhere.
    Reader,
    /// Pull everywhere; push and delete in the namespace that has the account's name.
    Pusher,
    /// Pull everywhere; change profiles and collections.
    Curator,
    /// Everything.
    Admin,
}

impl Role {
    /// Its name as configuration, store and command line write it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Pusher => "pusher",
            Self::Curator => "curator",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "reader" => Ok(Self::Reader),
            "pusher" => Ok(Self::Pusher),
            "curator" => Ok(Self::Curator),
            "admin" => Ok(Self::Admin),
            other => Err(UnknownName {
                kind: "a role",
                expected: "reader, pusher, curator or admin",
                found: other.to_owned(),
            }),
        }
    }
}

/// The rights of everyone, with or without an account.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum AnonymousAccess {
    /// Nothing: every request needs an account.
    None,
    /// Pull everywhere.
    #[default]
    Read,
    /// Pull, push and delete everywhere. For labs.
    Write,
}

impl FromStr for AnonymousAccess {
    type Err = UnknownName;

    fn from_str(text: &str) -> Result<Self, UnknownName> {
        match text {
            "none" => Ok(Self::None),
            "read" => Ok(Self::Read),
            "write" => Ok(Self::Write),
            other => Err(UnknownName {
                kind: "an access level",
                expected: "none, read or write",
                found: other.to_owned(),
            }),
        }
    }
}

impl fmt::Display for AnonymousAccess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::None => "none",
            Self::Read => "read",
            Self::Write => "write",
        })
    }
}
