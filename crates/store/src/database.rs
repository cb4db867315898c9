//! The SQLite database: opening it, bringing its schema up to date, reading from it.
//!
//! Write-ahead log, so that reads never wait for a write; `synchronous` FULL, so that a commit
//! survives a power cut. SQL stands in the modules named by their nouns.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use sqlx::migrate::{MigrateError, Migrator};
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};
use sqlx::{ConnectOptions, Connection, SqliteConnection};

use crate::StoreError;
use crate::cache::Caches;
use crate::checkpoint::Checkpoints;
use crate::layout::Layout;
use crate::lock::{FolderLock, Locking};
use crate::store::blocking;
use crate::writer::{Fence, Writer};

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// How often, and after which pauses, a command waits for a server that is just starting.
const ATTEMPTS: u32 = 20;
const ATTEMPT_EVERY: Duration = Duration::from_millis(100);

/// Connections that read. They are idle most of the time: hot data is in memory.
const READERS: u32 = 4;

/// The open database.
pub(crate) struct Database {
    path: PathBuf,
    pub(crate) readers: SqlitePool,
    pub(crate) writer: Writer,
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Before the first table: garbage collection gives pages back to the disk.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .busy_timeout(BUSY_TIMEOUT)
        // The log shrinks to this after a checkpoint.
        .pragma("journal_size_limit", "33554432")
        // Checkpoints are made beside the writer; this is for when those fail.
        .pragma("wal_autocheckpoint", "16384")
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

impl Database {
    /// Opens the database of a data folder, creating it and bringing its schema up to date.
    /// `serving` says that this process holds the folder: no other's schema is changed.
    pub(crate) async fn open(
        layout: &Layout,
        caches: Arc<Caches>,
        fence: Arc<OnceLock<Fence>>,
        serving: bool,
    ) -> Result<Self, StoreError> {
        let path = layout.database();
        let fail = |error| StoreError::database(&path, error);
        let mut connection = options(&path).connect().await.map_err(fail)?;
        bring_up_to_date(layout, &mut connection, serving).await?;
        // Opening a connection here checks that reading works before anything is promised.
        let readers = SqlitePoolOptions::new()
            .max_connections(READERS)
            // All of them now: one that is opened while the disk is full needs a little space, and
            // reading is to go on without any.
            .min_connections(READERS)
            .test_before_acquire(false)
            .idle_timeout(None)
            .max_lifetime(None)
            .connect_with(
                options(&path)
                    .create_if_missing(false)
                    .pragma("query_only", "ON"),
            )
            .await
            .map_err(fail)?;
        let beside = options(&path).connect().await.map_err(fail)?;
        let checkpoints = Checkpoints::start(beside, &path);
        let anew = options(&path).create_if_missing(false);
        let writer = Writer::start(connection, anew, path.clone(), caches, checkpoints, fence);
        Ok(Self {
            path,
            readers,
            writer,
        })
    }

    /// The error for what SQLite said.
    pub(crate) fn error(&self, error: sqlx::Error) -> StoreError {
        StoreError::database(&self.path, error)
    }

    /// The error for a row that this program never writes.
    pub(crate) fn corrupt(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            problem: problem.into(),
        }
    }

    /// Finishes what is queued and closes every connection.
    pub(crate) async fn close(&self) {
        self.readers.close().await;
        self.writer.close().await;
    }
}

/// Brings the schema up to date: beside a server, only if nobody else can be using the database.
async fn bring_up_to_date(
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

/// Whether the schema lacks what this version brings.
async fn is_outdated(connection: &mut SqliteConnection, path: &Path) -> Result<bool, StoreError> {
    let applied = versions(connection)
        .await
        .map_err(|error| StoreError::database(path, error))?;
    let mut known = MIGRATIONS.iter().map(|migration| migration.version);
    Ok(known.any(|version| !applied.contains(&version)))
}

/// The versions of the schema that a database has; none, if it is empty.
async fn versions(connection: &mut SqliteConnection) -> Result<Vec<i64>, sqlx::Error> {
    let made: bool = sqlx::query_scalar(
        "SELECT EXISTS (SELECT 1 FROM sqlite_master WHERE name = '_sqlx_migrations')",
    )
    .fetch_one(&mut *connection)
    .await?;
    if !made {
        return Ok(Vec::new());
    }
    sqlx::query_scalar("SELECT version FROM _sqlx_migrations")
        .fetch_all(connection)
        .await
}

/// Opens a database that nobody uses, such as a backup's, and fails if a later version wrote it.
/// Changes nothing.
pub(crate) async fn open_snapshot(path: &Path) -> Result<SqliteConnection, StoreError> {
    let fail = |error| StoreError::database(path, error);
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
    let fail = |error| StoreError::database(path, error);
    let mut connection = options(path)
        .create_if_missing(false)
        .connect()
        .await
        .map_err(fail)?;
    let copied = sqlx::query("VACUUM INTO $1")
        .bind(target.to_string_lossy().into_owned())
        .execute(&mut connection)
        .await;
    let closed = connection.close().await;
    // What SQLite says of a disk that is full, it says of the target's.
    copied.map_err(|error| StoreError::database(target, error))?;
    closed.map_err(fail)
}

async fn migrate(connection: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    connection
        .ping()
        .await
        .map_err(|error| StoreError::database(path, error))?;
    match MIGRATIONS.run(&mut *connection).await {
        Ok(()) => Ok(()),
        Err(MigrateError::VersionMissing(version)) => Err(StoreError::Newer(version)),
        Err(MigrateError::Execute(error) | MigrateError::ExecuteMigration(error, _)) => {
            Err(StoreError::database(path, error))
        }
        Err(other) => Err(StoreError::Corrupt {
            path: path.to_owned(),
            problem: other.to_string(),
        }),
    }
}
