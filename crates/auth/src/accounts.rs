//! Manages accounts: add, list, change, remove. The command line and the API call it; it hashes
//! passwords and returns a generated one exactly once.

use std::sync::Arc;

use crate::password::HashCost;
use crate::{Account, AccountName, AccountStore, AccountStoreError, Password, PasswordHash, Role};

/// Why an account could not be managed.
#[derive(Debug, thiserror::Error)]
pub enum AccountError {
    /// The name is taken.
    #[error("there is an account {0} already: set its password or role instead, or remove it")]
    Exists(AccountName),
    /// There is no such account.
    #[error("there is no account {0}: list the accounts to see which there are")]
    Unknown(AccountName),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] AccountStoreError),
    /// The password could not be hashed.
    #[error("the password could not be hashed: {0}")]
    Hash(String),
}

/// The accounts of a store. Cheap to clone.
#[derive(Clone)]
pub struct Accounts {
    store: Arc<dyn AccountStore>,
    cost: HashCost,
}

impl std::fmt::Debug for Accounts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Accounts")
    }
}

impl Accounts {
    /// Manages the accounts that `store` keeps.
    #[must_use]
    pub fn new(store: Arc<dyn AccountStore>) -> Self {
        Self {
            store,
            cost: HashCost::STANDARD,
        }
    }

    #[cfg(test)]
    pub(crate) fn cheap(store: Arc<dyn AccountStore>) -> Self {
        Self {
            store,
            cost: HashCost::CHEAP,
        }
    }

    /// Adds an account with the password given (see [`Password::chosen`]), or a generated one,
    /// which is returned: to be shown once, and never again.
    ///
    /// # Errors
    /// The name is taken, or the store failed.
    pub async fn add(
        &self,
        name: &AccountName,
        role: Role,
        password: Option<Password>,
    ) -> Result<Option<Password>, AccountError> {
        let exists = || AccountError::Exists(name.clone());
        if self.store.get(name).await?.is_some() {
            // Before the work of hashing; the store decides again below.
            return Err(exists());
        }
        let (hash, generated) = self.hash_or_generate(password).await?;
        if self.store.add(name, role, &hash).await? {
            Ok(generated)
        } else {
            Err(exists())
        }
    }

    /// All accounts, by name.
    ///
    /// # Errors
    /// The store failed.
    pub async fn list(&self) -> Result<Vec<Account>, AccountError> {
        let mut accounts: Vec<_> = self
            .store
            .list()
            .await?
            .into_iter()
            .map(|stored| stored.account)
            .collect();
        accounts.sort_by(|a, b| a.name.cmp(&b.name));
        Ok(accounts)
    }

    /// Removes an account. Its tokens stop working within the time that
    /// [`AuthConfig::recheck`](crate::AuthConfig::recheck) names; its repositories stay.
    ///
    /// # Errors
    /// There is no such account, or the store failed.
    pub async fn remove(&self, name: &AccountName) -> Result<(), AccountError> {
        known(name, self.store.remove(name).await?)
    }

    /// Gives an account another role.
    ///
    /// # Errors
    /// There is no such account, or the store failed.
    pub async fn set_role(&self, name: &AccountName, role: Role) -> Result<(), AccountError> {
        known(name, self.store.set_role(name, role).await?)
    }

    /// Gives an account another password, generated if none is given and then returned. Tokens
    /// issued for the old one stop working.
    ///
    /// # Errors
    /// There is no such account, or the store failed.
    pub async fn set_password(
        &self,
        name: &AccountName,
        password: Option<Password>,
    ) -> Result<Option<Password>, AccountError> {
        let (hash, generated) = self.hash_or_generate(password).await?;
        known(name, self.store.set_password(name, &hash).await?)?;
        Ok(generated)
    }

    async fn hash_or_generate(
        &self,
        given: Option<Password>,
    ) -> Result<(PasswordHash, Option<Password>), AccountError> {
        let generate = given.is_none();
        let password = given.unwrap_or_else(Password::generate);
        let (to_hash, cost) = (password.clone(), self.cost);
        let hash = tokio::task::spawn_blocking(move || PasswordHash::compute(&to_hash, cost))
            .await
            .map_err(|error| AccountError::Hash(error.to_string()))?
            .map_err(|error| AccountError::Hash(error.to_string()))?;
        Ok((hash, generate.then_some(password)))
    }
}

fn known(name: &AccountName, found: bool) -> Result<(), AccountError> {
    if found {
        Ok(())
    } else {
        Err(AccountError::Unknown(name.clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::MemoryAccounts;

    fn accounts() -> (Accounts, Arc<MemoryAccounts>) {
        let store = Arc::new(MemoryAccounts::default());
        (Accounts::cheap(store.clone()), store)
    }

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn a_generated_password_is_returned_once_and_only_its_hash_is_kept() {
        let (accounts, store) = accounts();
        let password = accounts
            .add(&name("alice"), Role::Pusher, None)
            .await
            .unwrap()
            .unwrap();
        let stored = store.get(&name("alice")).await.unwrap().unwrap();
        assert!(stored.password.matches(&password));
        assert!(!stored.password.as_str().contains(password.expose()));
        assert!(stored.password.as_str().starts_with("$argon2id$"));
    }

    #[tokio::test]
    async fn a_given_password_is_not_returned() {
        let (accounts, _) = accounts();
        let given = Password::chosen("long enough").unwrap();
        let generated = accounts
            .add(&name("alice"), Role::Reader, Some(given))
            .await
            .unwrap();
        assert!(generated.is_none());
    }

    #[tokio::test]
    async fn a_taken_name_keeps_its_password_and_role() {
        let (accounts, store) = accounts();
        let first = accounts
            .add(&name("alice"), Role::Reader, None)
            .await
            .unwrap();
        let again = accounts.add(&name("alice"), Role::Admin, None).await;
        assert!(matches!(again, Err(AccountError::Exists(_))));
        let stored = store.get(&name("alice")).await.unwrap().unwrap();
        assert_eq!(stored.account.role, Role::Reader);
        assert!(stored.password.matches(&first.unwrap()));
    }

    #[tokio::test]
    async fn accounts_are_listed_changed_and_removed() {
        let (accounts, store) = accounts();
        for (text, role) in [("bob", Role::Reader), ("alice", Role::Pusher)] {
            accounts.add(&name(text), role, None).await.unwrap();
        }
        accounts.set_role(&name("bob"), Role::Admin).await.unwrap();
        let listed: Vec<_> = accounts
            .list()
            .await
            .unwrap()
            .into_iter()
            .map(|account| (account.name.to_string(), account.role))
            .collect();
        assert_eq!(
            listed,
            [
                ("alice".to_owned(), Role::Pusher),
                ("bob".to_owned(), Role::Admin)
            ]
        );

        let password = accounts
            .set_password(&name("bob"), None)
            .await
            .unwrap()
            .unwrap();
        assert!(
            store
                .get(&name("bob"))
                .await
                .unwrap()
                .unwrap()
                .password
                .matches(&password)
        );

        accounts.remove(&name("bob")).await.unwrap();
        for unknown in [
            accounts.remove(&name("bob")).await,
            accounts.set_role(&name("bob"), Role::Reader).await,
            accounts.set_password(&name("bob"), None).await.map(|_| ()),
        ] {
            assert!(matches!(unknown, Err(AccountError::Unknown(_))));
        }
    }
}
