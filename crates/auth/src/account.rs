//! Accounts: their names, and their data with and without the secret.

use std::fmt;
use std::str::FromStr;
use std::time::SystemTime;

use metahub_catalog::Catalog;
use metahub_oci::RepositoryName;
use serde::{Deserialize, Serialize};

use crate::{PasswordHash, Role};

/// Longest account name, in bytes. Short enough for a namespace and a column of a table.
const MAX_NAME_BYTES: usize = 64;

/// Why a text is not an account name.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "'{0}' is not an account name: expected at most 64 lower-case letters and digits, joined by \
     single '.', one or two '_', or any number of '-' (it is also the namespace that the account \
     pushes to)"
)]
pub struct AccountNameError(String);

/// An account's name: one path component of a repository name, at most 64 bytes, so that it can
/// be a namespace.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct AccountName(Box<str>);

impl AccountName {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this name alone, sent as user name, means a profile of `catalog` and not the
    /// account. Such an account logs in only as `ACCOUNT/PROFILE`: warn the admin who adds it.
    #[must_use]
    pub fn is_profile_in(&self, catalog: &Catalog) -> bool {
        let login = catalog.interpret(self.as_str(), &|name| name == self.as_str());
        login.is_ok_and(|login| login.account.is_none())
    }
}

impl FromStr for AccountName {
    type Err = AccountNameError;

    fn from_str(text: &str) -> Result<Self, AccountNameError> {
        let one_component = text.len() <= MAX_NAME_BYTES
            && !text.contains('/')
            && text.parse::<RepositoryName>().is_ok();
        if one_component {
            Ok(Self(text.into()))
        } else {
            let shown: String = text.chars().take(MAX_NAME_BYTES).collect();
            Err(AccountNameError(shown))
        }
    }
}

impl TryFrom<String> for AccountName {
    type Error = AccountNameError;

    fn try_from(text: String) -> Result<Self, AccountNameError> {
        text.parse()
    }
}

impl From<AccountName> for String {
    fn from(name: AccountName) -> Self {
        name.0.into()
    }
}

impl fmt::Display for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for AccountName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// An account without its secret, as people list it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Account {
    /// Its name, and its namespace.
    pub name: AccountName,
    /// What it may do.
    pub role: Role,
    /// When it was added.
    pub created: SystemTime,
}

/// An account as a store keeps it.
#[derive(Clone, Debug)]
pub struct StoredAccount {
    /// What may be shown.
    pub account: Account,
    /// The hash of its password; prints as dots.
    pub password: PasswordHash,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_account_name_is_one_component_of_a_repository_name() {
        for name in ["alice", "a", "0", "a.b", "a__b", "a---b", &"a".repeat(64)] {
            assert_eq!(name.parse::<AccountName>().unwrap().as_str(), name);
        }
        for name in [
            "",
            "Alice",
            "a/b",
            "a b",
            "a+b",
            "a=b",
            "a#b",
            "-a",
            "a-",
            "..",
            "ä",
            "a:b",
            "a@b",
            &"a".repeat(65),
        ] {
            assert!(name.parse::<AccountName>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_name_that_a_profile_has_is_told() {
        let catalog = Catalog::builtin();
        assert!(
            "zen3"
                .parse::<AccountName>()
                .unwrap()
                .is_profile_in(&catalog)
        );
        assert!(
            !"alice"
                .parse::<AccountName>()
                .unwrap()
                .is_profile_in(&catalog)
        );
    }

    #[test]
    fn a_long_wrong_name_is_cut_in_the_message() {
        let message = "x/"
            .repeat(10_000)
            .parse::<AccountName>()
            .unwrap_err()
            .to_string();
        assert!(message.len() < 400, "{}", message.len());
    }
}
