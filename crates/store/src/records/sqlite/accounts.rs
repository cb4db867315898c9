//! Accounts and secrets.

use super::SqliteRecords;
use super::encoding::time_from_millis;
use super::transaction::Durability;
use crate::StoreError;
use crate::records::{AccountRecord, AccountRecords, Answer, Redacted};

statements! {
    ADD =
        "INSERT OR IGNORE INTO accounts (name, role, password_hash, created_at)
         VALUES ($1, $2, $3, $4)";
    ONE = "SELECT name, role, password_hash, created_at FROM accounts WHERE name = $1";
    ALL = "SELECT name, role, password_hash, created_at FROM accounts ORDER BY name";
    SET_PASSWORD = "UPDATE accounts SET password_hash = $2 WHERE name = $1";
    SET_ROLE = "UPDATE accounts SET role = $2 WHERE name = $1";
    REMOVE = "DELETE FROM accounts WHERE name = $1";
    KEEP_SECRET = "INSERT OR IGNORE INTO secrets (name, value) VALUES ($1, $2)";
    SECRET = "SELECT value FROM secrets WHERE name = $1";
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

impl SqliteRecords {
    /// Runs one statement; whether it changed a row.
    fn change(
        &self,
        statement: &'static str,
        values: Vec<String>,
        is_new: bool,
    ) -> Answer<'_, bool> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let mut query = sqlx::query(statement);
                for value in values {
                    query = query.bind(value);
                }
                if is_new {
                    query = query.bind(transaction.now());
                }
                let result = query.execute(&mut transaction.connection).await;
                let done = result.map_err(|error| transaction.error(error))?;
                Ok::<_, StoreError>(done.rows_affected() > 0)
            })
        })
    }
}

impl AccountRecords for SqliteRecords {
    fn add_account(
        &self,
        name: &str,
        role: &str,
        password_hash: Redacted<String>,
    ) -> Answer<'_, bool> {
        let values = vec![
            name.to_owned(),
            role.to_owned(),
            password_hash.into_exposed(),
        ];
        self.change(ADD, values, true)
    }

    fn account(&self, name: &str) -> Answer<'_, Option<AccountRecord>> {
        let query = sqlx::query_as(ONE).bind(name.to_owned());
        Box::pin(async move {
            let row = self.read(query.fetch_optional(&self.readers)).await?;
            Ok(row.map(record))
        })
    }

    fn accounts(&self) -> Answer<'_, Vec<AccountRecord>> {
        Box::pin(async move {
            let query = sqlx::query_as(ALL);
            let rows: Vec<Row> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(rows.into_iter().map(record).collect())
        })
    }

    fn set_password(&self, name: &str, password_hash: Redacted<String>) -> Answer<'_, bool> {
        let values = vec![name.to_owned(), password_hash.into_exposed()];
        self.change(SET_PASSWORD, values, false)
    }

    fn set_role(&self, name: &str, role: &str) -> Answer<'_, bool> {
        self.change(SET_ROLE, vec![name.to_owned(), role.to_owned()], false)
    }

    fn remove_account(&self, name: &str) -> Answer<'_, bool> {
        self.change(REMOVE, vec![name.to_owned()], false)
    }

    fn secret(&self, name: &str, fresh: Redacted<[u8; 32]>) -> Answer<'_, Redacted<[u8; 32]>> {
        let name = name.to_owned();
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(KEEP_SECRET)
                    .bind(name.as_str())
                    .bind(fresh.expose().to_vec())
                    .execute(&mut transaction.connection)
                    .await;
                result.map_err(|error| transaction.error(error))?;
                let result = sqlx::query_scalar(SECRET)
                    .bind(name.as_str())
                    .fetch_one(&mut transaction.connection)
                    .await;
                let value: Vec<u8> = result.map_err(|error| transaction.error(error))?;
                <[u8; 32]>::try_from(value)
                    .map(Redacted::new)
                    .map_err(|_| transaction.corrupt(format!("secret '{name}'")))
            })
        })
    }
}
