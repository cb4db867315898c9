//! Accounts and secrets. The meaning of names and roles, and how passwords are hashed, is not known
//! here.

use std::fmt;
use std::time::SystemTime;

use super::shared::Answer;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, where it is really needed.
    pub const fn expose(&self) -> &T {
        &self.0
    }

    /// The value itself.
    pub(crate) fn into_exposed(self) -> T {
        self.0
    }
}

impl<T> fmt::Debug for Redacted<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("(redacted)")
    }
}

/// An account as it is stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AccountRecord {
    /// Its name.
    pub name: String,
    /// Its role, as text.
    pub role: String,
    /// Its password's hash, as text.
    pub password_hash: Redacted<String>,
    /// When it was added.
    pub created_at: SystemTime,
}

/// Accounts and secrets. Another process may change them: nothing of this is ever cached.
pub(crate) trait AccountRecords: Send + Sync {
    /// Adds an account, durably. Returns whether the name was free; if not, nothing changes.
    fn add_account(
        &self,
        name: &str,
        role: &str,
        password_hash: Redacted<String>,
    ) -> Answer<'_, bool>;

    /// The account `name`.
    fn account(&self, name: &str) -> Answer<'_, Option<AccountRecord>>;

    /// All accounts, by name.
    fn accounts(&self) -> Answer<'_, Vec<AccountRecord>>;

    /// Changes an account's password, durably. Returns whether it exists.
    fn set_password(&self, name: &str, password_hash: Redacted<String>) -> Answer<'_, bool>;

    /// Changes an account's role, durably. Returns whether it exists.
    fn set_role(&self, name: &str, role: &str) -> Answer<'_, bool>;

    /// Removes an account, durably. Returns whether it existed.
    fn remove_account(&self, name: &str) -> Answer<'_, bool>;

    /// The secret `name`, which is `fresh` from now on if there was none. Durably.
    fn secret(&self, name: &str, fresh: Redacted<[u8; 32]>) -> Answer<'_, Redacted<[u8; 32]>>;
}
