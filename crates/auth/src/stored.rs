//! Accounts and the signing secret in `metahub-store`.

use metahub_store::{AccountRecord, Redacted, Store, StoreError};

use crate::{
    Account, AccountName, AccountStore, AccountStoreError, Answer, PasswordHash, Role, SigningKey,
    StoredAccount,
};

/// The name of the secret that tokens are signed with.
const SIGNING_SECRET: &str = "token-signing";

impl SigningKey {
    /// The key that all servers on this store share; made at the first call.
    ///
    /// # Errors
    /// The store cannot be read or written.
    pub async fn from_store(store: &Store) -> Result<Self, StoreError> {
        Ok(Self::new(store.secret(SIGNING_SECRET).await?.expose()))
    }
}

/// A record that this crate would not have written.
#[derive(Debug, thiserror::Error)]
#[error("the account '{name}' is stored wrongly: {why}")]
struct BadRecord {
    name: String,
    why: String,
}

fn account(record: &AccountRecord) -> Result<StoredAccount, AccountStoreError> {
    let bad = |why: &dyn std::fmt::Display| {
        AccountStoreError::new(BadRecord {
            name: record.name.clone(),
            why: why.to_string(),
        })
    };
    Ok(StoredAccount {
        account: Account {
            name: record.name.parse().map_err(|error| bad(&error))?,
            role: record.role.parse().map_err(|error| bad(&error))?,
            created: record.created_at,
        },
        password: PasswordHash::parse(record.password_hash.expose())
            .map_err(|error| bad(&error))?,
    })
}

impl AccountStore for Store {
    fn get<'a>(&'a self, name: &'a AccountName) -> Answer<'a, Option<StoredAccount>> {
        Box::pin(async move {
            let record = self
                .account(name.as_str())
                .await
                .map_err(AccountStoreError::new)?;
            record.as_ref().map(account).transpose()
        })
    }

    fn list(&self) -> Answer<'_, Vec<StoredAccount>> {
        Box::pin(async move {
            let records = self.accounts().await.map_err(AccountStoreError::new)?;
            records.iter().map(account).collect()
        })
    }

    fn add<'a>(
        &'a self,
        name: &'a AccountName,
        role: Role,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool> {
        let hash = Redacted::new(password.as_str().to_owned());
        Box::pin(async move {
            let added = self.add_account(name.as_str(), role.as_str(), hash).await;
            added.map_err(AccountStoreError::new)
        })
    }

    fn set_role<'a>(&'a self, name: &'a AccountName, role: Role) -> Answer<'a, bool> {
        Box::pin(async move {
            let set = Self::set_role(self, name.as_str(), role.as_str()).await;
            set.map_err(AccountStoreError::new)
        })
    }

    fn set_password<'a>(
        &'a self,
        name: &'a AccountName,
        password: &'a PasswordHash,
    ) -> Answer<'a, bool> {
        let hash = Redacted::new(password.as_str().to_owned());
        Box::pin(async move {
            let set = Self::set_password(self, name.as_str(), hash).await;
            set.map_err(AccountStoreError::new)
        })
    }

    fn remove<'a>(&'a self, name: &'a AccountName) -> Answer<'a, bool> {
        Box::pin(async move {
            self.remove_account(name.as_str())
                .await
                .map_err(AccountStoreError::new)
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;
    use crate::{AccountError, Accounts};

    fn name(text: &str) -> AccountName {
        text.parse().unwrap()
    }

    #[tokio::test]
    async fn accounts_in_a_store_are_added_read_changed_and_removed() {
        let store = Store::temporary().await.unwrap();
        let accounts = Accounts::cheap(Arc::new(store.clone()));
        let first = accounts
            .add(&name("alice"), Role::Pusher, None)
            .await
            .unwrap()
            .unwrap();
        let stored = store.get(&name("alice")).await.unwrap().unwrap();
        assert_eq!(stored.account.role, Role::Pusher);
        assert!(stored.password.matches(&first));
        assert!(matches!(
            accounts.add(&name("alice"), Role::Admin, None).await,
            Err(AccountError::Exists(_))
        ));

        accounts
            .set_role(&name("alice"), Role::Admin)
            .await
            .unwrap();
        let second = accounts
            .set_password(&name("alice"), None)
            .await
            .unwrap()
            .unwrap();
        let stored = store.get(&name("alice")).await.unwrap().unwrap();
        assert_eq!(stored.account.role, Role::Admin);
        assert!(stored.password.matches(&second) && !stored.password.matches(&first));
        assert_eq!(accounts.list().await.unwrap(), [stored.account]);

        accounts.remove(&name("alice")).await.unwrap();
        assert!(store.get(&name("alice")).await.unwrap().is_none());
        assert!(matches!(
            accounts.set_role(&name("alice"), Role::Reader).await,
            Err(AccountError::Unknown(_))
        ));
    }

    #[tokio::test]
    async fn a_record_that_makes_no_sense_is_an_error_and_no_account() {
        let store = Store::temporary().await.unwrap();
        let hash = || Redacted::new("plain text".to_owned());
        store.add_account("odd", "owner", hash()).await.unwrap();
        store.add_account("plain", "admin", hash()).await.unwrap();
        for text in ["odd", "plain"] {
            let error = store.get(&name(text)).await.unwrap_err().to_string();
            assert!(
                error.contains(text) && !error.contains("plain text"),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn all_servers_on_a_store_sign_with_one_key() {
        let store = Store::temporary().await.unwrap();
        let hash = crate::password::nobodys_hash();
        let one = SigningKey::from_store(&store)
            .await
            .unwrap()
            .version_of(&hash)
            .unwrap();
        let two = SigningKey::from_store(&store)
            .await
            .unwrap()
            .version_of(&hash)
            .unwrap();
        assert_eq!(one, two);
    }
}
