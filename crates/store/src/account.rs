//! Accounts and secrets. Never cached: another process may change them while this one serves.
//!
//! What names and roles mean, and how passwords are hashed, is not known here.

use std::fmt;
use std::time::SystemTime;

use rand::RngExt as _;

use crate::StoreError;
use crate::records::sqlite::encoding::{now, time_from_millis};
use crate::records::sqlite::writer::Durability;
use crate::store::Store;

/// A value that is never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct Redacted<T>(T);

impl<T> Redacted<T> {
    /// Wraps a value.
    pub const fn new(value: T) -> Self {
        Self(value)
    }

    /// The value, for whoever must have it.
    pub const fn expose(&self) -> &T {
        &self.0
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

type Row = (String, String, String, i64);

fn record((name, role, password_hash, created_at): Row) -> AccountRecord {
    AccountRecord {
        name,
        role,
        password_hash: Redacted::new(password_hash),
        created_at: time_from_millis(created_at),
    }
}

impl Store {
    /// Adds an account. Whether the name was free; if not, nothing changes.
    pub async fn add_account(
        &self,
        name: &str,
        role: &str,
        password_hash: Redacted<String>,
    ) -> Result<bool, StoreError> {
        const ADD: &str = "INSERT OR IGNORE INTO accounts (name, role, password_hash, created_at)
                           VALUES ($1, $2, $3, $4)";
        let values = vec![name.to_owned(), role.to_owned(), password_hash.0];
        self.change(ADD, values, Some(now())).await
    }

    /// The account `name`.
    pub async fn account(&self, name: &str) -> Result<Option<AccountRecord>, StoreError> {
        const ONE: &str =
            "SELECT name, role, password_hash, created_at FROM accounts WHERE name = $1";
        sqlx::query_as::<_, Row>(ONE)
            .bind(name)
            .fetch_optional(&self.inner.database.readers)
            .await
            .map(|row| row.map(record))
            .map_err(|error| self.inner.database.error(error))
    }

    /// All accounts, by name.
    pub async fn accounts(&self) -> Result<Vec<AccountRecord>, StoreError> {
        const ALL: &str =
            "SELECT name, role, password_hash, created_at FROM accounts ORDER BY name";
        sqlx::query_as::<_, Row>(ALL)
            .fetch_all(&self.inner.database.readers)
            .await
            .map(|rows| rows.into_iter().map(record).collect())
            .map_err(|error| self.inner.database.error(error))
    }

    /// Gives an account another password. Whether it exists.
    pub async fn set_password(
        &self,
        name: &str,
        password_hash: Redacted<String>,
    ) -> Result<bool, StoreError> {
        const SET: &str = "UPDATE accounts SET password_hash = $2 WHERE name = $1";
        let values = vec![name.to_owned(), password_hash.0];
        self.change(SET, values, None).await
    }

    /// Gives an account another role. Whether it exists.
    pub async fn set_role(&self, name: &str, role: &str) -> Result<bool, StoreError> {
        const SET: &str = "UPDATE accounts SET role = $2 WHERE name = $1";
        self.change(SET, vec![name.to_owned(), role.to_owned()], None)
            .await
    }

    /// Removes an account. Whether it existed.
    pub async fn remove_account(&self, name: &str) -> Result<bool, StoreError> {
        const REMOVE: &str = "DELETE FROM accounts WHERE name = $1";
        self.change(REMOVE, vec![name.to_owned()], None).await
    }

    /// Runs one statement; whether it changed a row.
    async fn change(
        &self,
        statement: &'static str,
        values: Vec<String>,
        time: Option<i64>,
    ) -> Result<bool, StoreError> {
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let mut query = sqlx::query(statement);
                    for value in values {
                        query = query.bind(value);
                    }
                    if let Some(time) = time {
                        query = query.bind(time);
                    }
                    let result = query.execute(&mut transaction.connection).await;
                    let done = result.map_err(|error| transaction.error(error))?;
                    Ok::<_, StoreError>(done.rows_affected() > 0)
                })
            })
            .await
    }

    /// The secret `name`: 32 random bytes, made at the first call and the same ever after.
    pub async fn secret(&self, name: &str) -> Result<Redacted<[u8; 32]>, StoreError> {
        let name = name.to_owned();
        let fresh: [u8; 32] = rand::rng().random();
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result =
                        sqlx::query("INSERT OR IGNORE INTO secrets (name, value) VALUES ($1, $2)")
                            .bind(name.as_str())
                            .bind(fresh.to_vec())
                            .execute(&mut transaction.connection)
                            .await;
                    result.map_err(|error| transaction.error(error))?;
                    let result = sqlx::query_scalar("SELECT value FROM secrets WHERE name = $1")
                        .bind(name.as_str())
                        .fetch_one(&mut transaction.connection)
                        .await;
                    let value: Vec<u8> = result.map_err(|error| transaction.error(error))?;
                    <[u8; 32]>::try_from(value)
                        .map(Redacted::new)
                        .map_err(|_| transaction.corrupt(format!("secret '{name}'")))
                })
            })
            .await
    }
}
