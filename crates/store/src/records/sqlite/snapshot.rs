//! Copies of the database: a backup's.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use super::schema::{MIGRATIONS, versions};
use super::{failed, options};
use crate::StoreError;

statements! {
    COPY = "VACUUM INTO $1";
}

/// Opens a database that nobody uses, such as a backup's, and fails if a later version wrote it.
/// Changes nothing.
pub(crate) async fn open_snapshot(path: &Path) -> Result<SqliteConnection, StoreError> {
    let fail = |error| failed(path, error);
    let mut connection = SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(false)
        .disable_statement_logging()
        .connect()
        .await
        .map_err(fail)?;
    let found = versions(&mut connection).await.map_err(fail)?;
    let known = |version: &i64| MIGRATIONS.iter().any(|known| known.version == *version);
    match found.iter().find(|version| !known(version)) {
        Some(version) => Err(StoreError::Newer(*version)),
        None => Ok(connection),
    }
}

/// Writes a copy of the database as it is now to `target`, which must not exist. Others read and
/// write meanwhile.
pub(crate) async fn snapshot(path: &Path, target: &Path) -> Result<(), StoreError> {
    let fail = |error| failed(path, error);
    let mut connection = options(path)
        .create_if_missing(false)
        .connect()
        .await
        .map_err(fail)?;
    let copied = sqlx::query(COPY)
        .bind(target.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    // What SQLite says of a disk that is full, it says of the target's.
    copied.map_err(|error| failed(target, error))?;
    closed.map_err(fail)
}
