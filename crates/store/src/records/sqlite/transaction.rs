//! An open transaction: runs statements, collects the changes that it announces, and knows its
//! durability.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use sqlx::SqliteConnection;

use super::encoding::time_to_millis;
use super::errors::failed;
use crate::StoreError;
use crate::folder::lease;
use crate::records::{Announced, Change, ChangeSink, Clock};

statements! {
    OWNER = "SELECT value FROM store WHERE name = 'owner'";
    COMMIT = "COMMIT";
    FLUSH_EACH_COMMIT = "PRAGMA synchronous = FULL";
    FLUSH_LATER = "PRAGMA synchronous = NORMAL";
}

/// Whether a commit must survive a power cut before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Durability {
    /// It must: SQLite flushes its log before the commit returns.
    Full,
    /// It survives the end of the process, but a power cut may undo it: staging and freshness.
    Relaxed,
}

/// An open transaction, as work sees it.
pub(super) struct Transaction {
    /// Where statements run.
    pub(super) connection: SqliteConnection,
    pub(super) changes: Vec<Change>,
    pub(super) path: PathBuf,
    pub(super) synchronous: Durability,
    pub(super) fence: Arc<OnceLock<Fence>>,
    pub(super) clock: Clock,
}

/// What keeps a server from writing that lost the folder to another one: the lease, and the
/// owner that the database names. The owner is read within the transaction, so that it cannot
/// change before the commit.
pub(super) struct Fence {
    pub(super) lease: Arc<lease::Shared>,
    pub(super) owner: String,
}

impl Transaction {
    /// The time.
    pub(super) fn clock(&self) -> &Clock {
        &self.clock
    }

    /// Now, in milliseconds since 1970.
    pub(super) fn now(&self) -> i64 {
        time_to_millis(self.clock.now())
    }

    /// Notes what caches must forget once this is durable.
    pub(super) fn changed(&mut self, change: Change) {
        self.changes.push(change);
    }

    /// How much was noted so far.
    pub(super) fn noted(&self) -> usize {
        self.changes.len()
    }

    /// Forgets changes noted since, by work that will be rolled back: they would only take memory.
    pub(super) fn forget_noted(&mut self, since: usize) {
        self.changes.truncate(since);
    }

    /// The error for what SQLite said.
    pub(super) fn error(&self, error: sqlx::Error) -> StoreError {
        failed(&self.path, error)
    }

    /// The error for a row that this program never writes.
    pub(super) fn corrupt(&self, problem: impl Into<String>) -> StoreError {
        StoreError::Corrupt {
            path: self.path.clone(),
            problem: problem.into(),
        }
    }

    /// Runs a statement that takes and answers nothing.
    pub(super) async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|error| self.error(error))
    }

    /// Commits, and tells `sink` before and after what changes.
    pub(super) async fn commit(&mut self, sink: &dyn ChangeSink) -> Result<(), StoreError> {
        let _announced = Announced::new(sink, std::mem::take(&mut self.changes));
        self.run(COMMIT).await
    }

    /// Fails if another process has taken over the folder.
    pub(super) async fn check_owner(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.fence);
        let Some(fence) = shared.get() else {
            return Ok(());
        };
        lease::Shared::check(&fence.lease, false).await?;
        let result = sqlx::query_scalar(OWNER)
            .fetch_optional(&mut self.connection)
            .await;
        let owner: Option<String> = result.map_err(|error| self.error(error))?;
        if owner.as_ref() == Some(&fence.owner) {
            return Ok(());
        }
        Err(fence.lease.lose())
    }

    /// How durable the next transaction is to be.
    pub(super) async fn set_durability(
        &mut self,
        durability: Durability,
    ) -> Result<(), StoreError> {
        if self.synchronous != durability {
            self.run(match durability {
                Durability::Full => FLUSH_EACH_COMMIT,
                Durability::Relaxed => FLUSH_LATER,
            })
            .await?;
            self.synchronous = durability;
        }
        Ok(())
    }
}
