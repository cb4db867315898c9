//! The words for what somebody may do: rights, the roles that accounts have, and what those
//! without an account may do. The table that joins them is [`Grants::allows`].

use std::fmt;
use std::str::FromStr;

use metahub_oci::RepositoryName;
use serde::{Deserialize, Serialize};

use crate::AccountName;

/// What a request needs. Every HTTP method of a route needs exactly one of these, so that no
/// right opens a door that was not meant (a right to push never deletes).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Right {
    /// Read manifests, blobs, tags and referrers.
    Pull,
    /// Add manifests, blobs and tags.
    Push,
    /// Remove manifests, blobs and tags.
    Delete,
    /// Change what the registry as a whole does: accounts, profiles, collections.
    Admin,
}

impl fmt::Display for Right {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Pull => "pull",
            Self::Push => "push",
            Self::Delete => "delete",
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

/// What an account may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// Pull everywhere.
    Reader,
    /// Pull everywhere; push and delete in the namespace that has the account's name.
    Pusher,
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
            "admin" => Ok(Self::Admin),
            other => Err(UnknownName {
                kind: "a role",
                expected: "reader, pusher or admin",
                found: other.to_owned(),
            }),
        }
    }
}

/// What everybody may do, with an account or without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// Where somebody's rights come from: what everybody may do, and the account's role if there
/// is an account.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Grants {
    pub(crate) anonymous: AnonymousAccess,
    pub(crate) account: Option<(AccountName, Role)>,
}

impl Grants {
    /// The one table of rights. `repository` is `None` for what belongs to no repository.
    pub(crate) fn allows(&self, right: Right, repository: Option<&RepositoryName>) -> bool {
        let everybody = match self.anonymous {
            AnonymousAccess::None => false,
            AnonymousAccess::Read => right == Right::Pull,
            AnonymousAccess::Write => matches!(right, Right::Pull | Right::Push | Right::Delete),
        };
        let own = |name: &AccountName| {
            repository.is_some_and(|repository| repository.namespace() == name.as_str())
        };
        let account = match &self.account {
            None => false,
            Some((_, Role::Admin)) => true,
            Some((_, Role::Reader)) => right == Right::Pull,
            Some((name, Role::Pusher)) => match right {
                Right::Pull => true,
                Right::Push | Right::Delete => own(name),
                Right::Admin => false,
            },
        };
        everybody || account
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rstest::rstest;

    const ALL: [Right; 4] = [Right::Pull, Right::Push, Right::Delete, Right::Admin];

    /// Columns: pull, push, delete, admin in `alice/x`; then the same in `bob/x`.
    #[rstest]
    #[case("none", None, "---- ----")]
    #[case("read", None, "p--- p---")]
    #[case("write", None, "ppp- ppp-")]
    #[case("none", Some(Role::Reader), "p--- p---")]
    #[case("read", Some(Role::Reader), "p--- p---")]
    #[case("write", Some(Role::Reader), "ppp- ppp-")]
    #[case("none", Some(Role::Pusher), "ppp- p---")]
    #[case("read", Some(Role::Pusher), "ppp- p---")]
    #[case("write", Some(Role::Pusher), "ppp- ppp-")]
    #[case("none", Some(Role::Admin), "pppp pppp")]
    #[case("read", Some(Role::Admin), "pppp pppp")]
    #[case("write", Some(Role::Admin), "pppp pppp")]
    fn the_table_of_rights(
        #[case] anonymous: &str,
        #[case] role: Option<Role>,
        #[case] expected: &str,
    ) {
        let grants = Grants {
            anonymous: anonymous.parse().unwrap(),
            account: role.map(|role| ("alice".parse().unwrap(), role)),
        };
        let row = ["alice/x", "bob/x"].map(|name| {
            let name = name.parse().unwrap();
            ALL.map(|right| {
                if grants.allows(right, Some(&name)) {
                    'p'
                } else {
                    '-'
                }
            })
            .iter()
            .collect::<String>()
        });
        assert_eq!(row.join(" "), expected);
    }

    #[rstest]
    #[case("alice", true)]
    #[case("alice/a/b", true)]
    #[case("alice2/x", false)]
    #[case("bob/alice/x", false)]
    #[case("alic", false)]
    fn a_pusher_pushes_only_under_its_own_name(#[case] repository: &str, #[case] allowed: bool) {
        let grants = Grants {
            anonymous: AnonymousAccess::Read,
            account: Some(("alice".parse().unwrap(), Role::Pusher)),
        };
        let name = repository.parse().unwrap();
        assert_eq!(grants.allows(Right::Push, Some(&name)), allowed);
        assert!(!grants.allows(Right::Push, None));
    }

    #[test]
    fn roles_and_access_levels_read_what_they_print() {
        for role in [Role::Reader, Role::Pusher, Role::Admin] {
            assert_eq!(role.to_string().parse::<Role>(), Ok(role));
        }
        assert_eq!(
            "owner".parse::<Role>().unwrap_err().to_string(),
            "'owner' is not a role: expected reader, pusher or admin"
        );
        assert!("yes".parse::<AnonymousAccess>().is_err());
    }
}
