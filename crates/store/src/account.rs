//! Accounts and secrets. Never cached: another process may change them while this one serves.
//!
//! The meaning of names and roles, and how passwords are hashed, is not known here.

use rand::RngExt as _;

use crate::StoreError;
use crate::records::{AccountRecord, Redacted};
use crate::store::Store;

impl Store {
    /// Adds an account. Returns whether the name was free; if not, nothing changes.
    pub async fn add_account(
        &self,
        name: &str,
        role: &str,
        password_hash: Redacted<String>,
    ) -> Result<bool, StoreError> {
        let records = &self.inner.records;
        records.add_account(name, role, password_hash).await
    }

    /// The account `name`.
    pub async fn account(&self, name: &str) -> Result<Option<AccountRecord>, StoreError> {
        self.inner.records.account(name).await
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<AccountRecord>, StoreError> {
        self.inner.records.accounts().await
    }

    /// Changes an account's password. Returns whether it exists.
    pub async fn set_password(
        &self,
        name: &str,
        password_hash: Redacted<String>,
    ) -> Result<bool, StoreError> {
        self.inner.records.set_password(name, password_hash).await
    }

    /// Changes an account's role. Returns whether it exists.
    pub async fn set_role(&self, name: &str, role: &str) -> Result<bool, StoreError> {
        self.inner.records.set_role(name, role).await
    }

    /// Removes an account. Returns whether it existed.
    pub async fn remove_account(&self, name: &str) -> Result<bool, StoreError> {
        self.inner.records.remove_account(name).await
    }

    /// The secret `name`: 32 random bytes, made at the first call and the same ever after.
    pub async fn secret(&self, name: &str) -> Result<Redacted<[u8; 32]>, StoreError> {
        let fresh = Redacted::new(rand::rng().random());
        self.inner.records.secret(name, fresh).await
    }
}
