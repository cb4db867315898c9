//! The SQLite database: opening it, bringing its schema up to date, reading from it.
//!
//! Write-ahead log, so that reads never wait for a write; `synchronous` FULL, so that a commit
//! survives a power cut. SQL stands in the modules named by their nouns.

use std::path::{Path, PathBuf};
use std::sync::Arc;
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
use crate::lock::FolderLock;
use crate::writer::Writer;

static MIGRATIONS: Migrator = sqlx::migrate!("./migrations");

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

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
    pub(crate) async fn open(layout: &Layout, caches: Arc<Caches>) -> Result<Self, StoreError> {
        let path = layout.database();
        let lock_path = layout.migration_lock();
        let lock = tokio::task::spawn_blocking(move || FolderLock::take(&lock_path))
            .await
            .map_err(|_| StoreError::Closed)??;
        let fail = |error| StoreError::database(&path, error);
        let mut connection = options(&path).connect().await.map_err(fail)?;
        migrate(&mut connection, &path).await?;
        drop(lock);
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
        let writer = Writer::start(connection, path.clone(), caches, checkpoints);
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
