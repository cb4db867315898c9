//! Migrates the schema of a database, and refuses one that a later version wrote.

use std::path::Path;
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::{Connection, SqliteConnection};

use super::errors::failed;
use crate::StoreError;
use crate::folder::layout::Layout;
use crate::folder::lock::{FolderLock, Locking};
use crate::task::blocking;

pub(super) static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How often, and after which pauses, a command waits for a server that is just starting.
const ATTEMPTS: u32 = 20;
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

statements! {
    HAS_VERSIONS = "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')";
    VERSIONS = "SELECT version FROM _sqlx_migrations";
}

/// Brings the schema up to date: without being the server, only if no other process can be using
/// the database.
pub(super) async fn bring_up_to_date(
    layout: &Layout,
    connection: &mut SqliteConnection,
    serving: bool,
) -> Result<(), StoreError> {
    let path = layout.database();
    // A server that starts at this moment holds the folder and is about to do the same.
    for attempt in 0..=ATTEMPTS {
        let lock_path = layout.migration_lock();
        let migrating = blocking(move || FolderLock::take(&lock_path)).await?;
        if serving || !is_outdated(connection, &path).await? {
            return migrate(connection, &path).await;
        }
        let lock_path = layout.lock();
        let holding = blocking(move || FolderLock::try_take(&lock_path, Locking::System)).await?;
        let lease_path = layout.lease();
        let leased = blocking(move || Ok::<_, StoreError>(lease_path.exists())).await?;
        if let Some(holding) = holding
            && !leased
        {
            let migrated = migrate(connection, &path).await;
            drop(holding);
            return migrated;
        }
        drop(migrating);
        if attempt < ATTEMPTS {
            tokio::time::sleep(ATTEMPT_EVERY).await;
        }
    }
    Err(StoreError::OlderServer(layout.root().to_owned()))
}

/// Whether migrations of this version are missing.
async fn is_outdated(connection: &mut SqliteConnection, path: &Path) -> Result<bool, StoreError> {
    let applied = versions(connection)
        .await
        .map_err(|error| failed(path, error))?;
    let mut known = MIGRATIONS.iter().map(|migration| migration.version);
    Ok(known.any(|version| !applied.contains(&version)))
}

/// The versions of the schema that a database has; none, if it is empty.
pub(super) async fn versions(connection: &mut SqliteConnection) -> Result<Vec<i64>, sqlx::Error> {
    let made: bool = sqlx::query_scalar(HAS_VERSIONS)
        .fetch_one(&mut *connection)
        .await?;
    if !made {
        return Ok(Vec::new());
    }
    sqlx::query_scalar(VERSIONS).fetch_all(connection).await
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection
        .ping()
        .await
        .map_err(|error| failed(path, error))?;
    match MIGRATIONS.run(&mut *connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(StoreError::Newer(version)),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(failed(path, error))
        }
        Err(other) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            problem: other.to_string(),
        }),
    }
}
