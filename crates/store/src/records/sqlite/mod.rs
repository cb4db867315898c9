//! Records in SQLite: opening the database, reading from it, and queueing changes of it.
//!
//! Write-ahead log, so that reads never wait for a write; `synchronous` FULL, so that a commit
//! survives a power cut. Each module has the statements of its subject, declared with
//! `statements!`, so that a test prepares all of them against the schema.

/// Declares SQL statements, and lists them for the test that prepares each.
macro_rules! statements {
    ($($(#[$doc:meta])* $name:ident = $sql:expr;)+) => {
        $($(#[$doc])* const $name: &str = $sql;)+
        #[cfg(test)]
        pub(super) const STATEMENTS: &[(&str, &str)] = &[$((stringify!($name), $name)),+];
    };
}

/// In `brought_by`: an account, the registry itself or more than one client requested it.
macro_rules! shared {
    () => {
        "0"
    };
}

mod accounts;
mod blobs;
mod cached;
mod checkpoint;
mod demand;
mod derived;
mod derived_eviction;
mod derived_rows;
mod documents;
mod encoding;
mod errors;
mod eviction;
mod eviction_rules;
mod garbage;
mod identity;
mod inspection;
mod layer_needs;
mod manifest_rows;
mod manifests;
mod needs;
mod nodes;
mod ownership;
mod pins;
mod publish_manifest;
mod repositories;
mod schema;
pub(crate) mod snapshot;
mod stale;
mod tags;
#[cfg(test)]
mod tests;
mod transaction;
mod uploads;
mod writer;

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use sqlx::ConnectOptions;
use sqlx::sqlite::{
    SqliteAutoVacuum, SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions,
    SqliteSynchronous,
};

use super::{Answer, ChangeSink, Clock, Records};
use crate::StoreError;
use crate::folder::layout::Layout;
use checkpoint::Checkpoints;
use errors::failed;
use transaction::{Durability, Fence, Transaction};
use writer::Writer;

/// How long a statement waits for another process that writes.
const BUSY_TIMEOUT: Duration = Duration::from_secs(10);

/// Connections that read. They are idle most of the time: hot data is in memory.
const READERS: u32 = 4;

/// Records in a SQLite database.
pub(crate) struct SqliteRecords {
    path: PathBuf,
    readers: SqlitePool,
    writer: Writer,
    fence: Arc<OnceLock<Fence>>,
}

fn options(path: &Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(path)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        // Must be set before the first table: garbage collection returns pages to the disk.
        .auto_vacuum(SqliteAutoVacuum::Incremental)
        .busy_timeout(BUSY_TIMEOUT)
        // The log shrinks to this after a checkpoint.
        .pragma("journal_size_limit", "33554432")
        // Checkpoints run concurrently with the writer; this is for when those fail.
        .pragma("wal_autocheckpoint", "16384")
        .pragma("temp_store", "memory")
        .disable_statement_logging()
}

impl SqliteRecords {
    /// Opens the database of a data folder, creating it and bringing its schema up to date.
    /// `serving` says that this process holds the folder: the schema of another process's folder is
    /// not changed.
    pub(crate) async fn open(
        layout: &Layout,
        changes: Arc<dyn ChangeSink>,
        clock: Clock,
        serving: bool,
    ) -> Result<Self, StoreError> {
        let path = layout.database();
        let fail = |error| failed(&path, error);
        let mut connection = options(&path).connect().await.map_err(fail)?;
        schema::bring_up_to_date(layout, &mut connection, serving).await?;
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
        let fence: Arc<OnceLock<Fence>> = Arc::default();
        let fenced = Arc::clone(&fence);
        let writer = Writer::start(
            connection,
            anew,
            path.clone(),
            changes,
            checkpoints,
            fenced,
            clock,
        );
        Ok(Self {
            path,
            readers,
            writer,
            fence,
        })
    }

    /// The error for what SQLite said.
    fn error(&self, error: sqlx::Error) -> StoreError {
        failed(&self.path, error)
    }

    /// The error for a row that this program never writes.
    fn corrupt(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            problem: problem.into(),
        }
    }

    /// The result of a query on a reader.
    fn read<'a, T: Send + 'a>(
        &'a self,
        query: impl Future<Output = Result<T, sqlx::Error>> + Send + 'a,
    ) -> Answer<'a, T> {
        Box::pin(async move { query.await.map_err(|error| self.error(error)) })
    }

    /// Runs `work` in a transaction and answers once that is committed.
    fn write<T, E, F>(&self, durability: Durability, work: F) -> Answer<'_, T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        Box::pin(self.writer.write(durability, work))
    }
}

impl Records for SqliteRecords {
    fn ready(&self) -> Result<(), StoreError> {
        self.writer.takes_work()
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(async move {
            self.readers.close().await;
            self.writer.close().await;
        })
    }
}

/// The `LIMIT` that shows whether another page follows.
fn limit_and_one(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}
