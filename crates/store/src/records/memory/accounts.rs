//! Accounts and secrets.

use super::MemoryRecords;
use crate::StoreError;
use crate::records::{AccountRecord, AccountRecords, Answer, Redacted};

impl MemoryRecords {
    /// Changes an account. Returns whether it exists.
    fn change_account(
        &self,
        name: &str,
        change: impl FnOnce(&mut AccountRecord),
    ) -> Answer<'_, bool> {
        self.write(|state| {
            let account = state.accounts.get_mut(name);
            Ok::<_, StoreError>(account.map(change).is_some())
        })
    }
}

impl AccountRecords for MemoryRecords {
    fn add_account(
        &self,
        name: &str,
        role: &str,
        password_hash: Redacted<String>,
    ) -> Answer<'_, bool> {
        self.write(|state| {
            if state.accounts.contains_key(name) {
                return Ok(false);
            }
            let account = AccountRecord {
                name: name.to_owned(),
                role: role.to_owned(),
                password_hash,
                created_at: state.now(),
            };
            state.accounts.insert(name.to_owned(), account);
            Ok::<_, StoreError>(true)
        })
    }

    fn account(&self, name: &str) -> Answer<'_, Option<AccountRecord>> {
        self.read(|state| Ok(state.accounts.get(name).cloned()))
    }

    fn accounts(&self) -> Answer<'_, Vec<AccountRecord>> {
        self.read(|state| Ok(state.accounts.values().cloned().collect()))
    }

    fn set_password(&self, name: &str, password_hash: Redacted<String>) -> Answer<'_, bool> {
        self.change_account(name, |account| account.password_hash = password_hash)
    }

    fn set_role(&self, name: &str, role: &str) -> Answer<'_, bool> {
        self.change_account(name, |account| role.clone_into(&mut account.role))
    }

    fn remove_account(&self, name: &str) -> Answer<'_, bool> {
        self.write(|state| Ok(state.accounts.remove(name).is_some()))
    }

    fn secret(&self, name: &str, fresh: Redacted<[u8; 32]>) -> Answer<'_, Redacted<[u8; 32]>> {
        self.write(|state| {
            let secrets = &mut state.secrets;
            Ok(secrets.entry(name.to_owned()).or_insert(fresh).clone())
        })
    }
}
