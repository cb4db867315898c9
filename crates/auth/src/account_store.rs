//! The seam between this crate and the storage of accounts. Nothing here knows SQL, and no
//! implementation knows what a password is: it stores a hash as text.

use std::collections::BTreeMap;
use std::error::Error;
use std::future::{Future, ready};
use std::pin::Pin;
use std::sync::Arc;
use std::time::SystemTime;

use crate::{Account, AccountName, PasswordHash, Role, StoredAccount};

/// The store of accounts cannot be read or written.
#[derive(Clone, Debug, thiserror::Error)]
#[error("the accounts cannot be read or written: {0}")]
pub struct AccountStoreError(#[source] Arc<dyn Error + Send + Sync>);

impl AccountStoreError {
    /// Wraps what went wrong below.
    pub fn new(source: impl Error + Send + Sync + 'static) -> Self {
        Self(Arc::new(source))
    }
}

/// A future answer of a store.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, AccountStoreError>> + Send + 'a>>;

/// Stores accounts. Every operation is atomic, also between processes that share the store: the
/// command line adds accounts beside a running server.
pub trait AccountStore: Send + Sync + 'static {
    /// The account of this name, if there is one.
    fn get<'a>(&'a self, name: &'a AccountName) -> Answer<'a, Option<StoredAccount>>;
    /// All accounts, by name.
    fn list(&self) -> Answer<'_, Vec<StoredAccount>>;
    /// Adds an account; false, and nothing changed, if the name is taken.
    fn add<'a>(
        &'a self,
        name: &'a AccountName,
        role: Role,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool>;
    /// Gives an account another role; false if there is none.
    fn set_role<'a>(&'a self, name: &'a AccountName, role: Role) -> Answer<'a, bool>;
    /// Gives an account another password; false if there is none.
    fn set_password<'a>(
        &'a self,
        name: &'a AccountName,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool>;
    /// Removes an account; false if there was none.
    fn remove<'a>(&'a self, name: &'a AccountName) -> Answer<'a, bool>;
}

/// Accounts in memory, gone with the process: for tests, and for servers that need none to last.
#[derive(Debug, Default)]
pub struct MemoryAccounts(std::sync::Mutex<BTreeMap<AccountName, StoredAccount>>);

impl MemoryAccounts {
    /// Runs `work` on the map. Nothing panics while the lock is held, so a poisoned lock's
    /// content is whole.
    fn with<T: Send + 'static>(
        &self,
        work: impl FnOnce(&mut BTreeMap<AccountName, StoredAccount>) -> T,
    ) -> Answer<'_, T> {
        let mut accounts = self
            .0
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner);
        Box::pin(ready(Ok(work(&mut accounts))))
    }
}

impl AccountStore for MemoryAccounts {
    fn get<'a>(&'a self, name: &'a AccountName) -> Answer<'a, Option<StoredAccount>> {
        self.with(|accounts| accounts.get(name).cloned())
    }

    fn list(&self) -> Answer<'_, Vec<StoredAccount>> {
        self.with(|accounts| accounts.values().cloned().collect())
    }

    fn add<'a>(
        &'a self,
        name: &'a AccountName,
        role: Role,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool> {
        self.with(|accounts| {
            let free = !accounts.contains_key(name);
            if free {
                let account = Account {
                    name: name.clone(),
                    role,
                    created: SystemTime::now(),
                };
                let stored = StoredAccount {
                    account,
                    password: password.clone(),
                };
                accounts.insert(name.clone(), stored);
            }
            free
        })
    }

    fn set_role<'a>(&'a self, name: &'a AccountName, role: Role) -> Answer<'a, bool> {
        self.with(|accounts| {
            accounts
                .get_mut(name)
                .map(|stored| stored.account.role = role)
                .is_some()
        })
    }

    fn set_password<'a>(
        &'a self,
        name: &'a AccountName,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool> {
        self.with(|accounts| {
            accounts
                .get_mut(name)
                .map(|stored| stored.password = password.clone())
                .is_some()
        })
    }

    fn remove<'a>(&'a self, name: &'a AccountName) -> Answer<'a, bool> {
        self.with(|accounts| accounts.remove(name).is_some())
    }
}
