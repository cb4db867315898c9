//! Checkpoints SQLite's write-ahead log concurrently with the writer, so that no commit waits for
//! it: a checkpoint's writes and flushes cost as much as dozens of commits.
//!
//! A concurrent checkpoint never reaches the end of a growing log. So when the log is long, the
//! writer does the small rest itself, after which the log starts anew.

use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use sqlx::{Connection as _, SqliteConnection};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::errors::failed;

statements! {
    CHECKPOINT = "PRAGMA wal_checkpoint(PASSIVE)";
}

/// Transactions between two checkpoints.
const EVERY: u32 = 64;

/// From how many pages on, of 4 KiB, the log is to start anew.
const LONG: i64 = 4096;

/// The writer's end.
pub(super) struct Checkpoints {
    transactions: u32,
    due: mpsc::Sender<()>,
    long: Arc<AtomicBool>,
    task: JoinHandle<()>,
}

impl Checkpoints {
    /// Starts checkpointing on a connection of its own.
    pub(super) fn start(connection: SqliteConnection, path: &Path) -> Self {
        let (due, mut asked) = mpsc::channel(1);
        let long = Arc::new(AtomicBool::new(false));
        let (path, says_long) = (path.to_owned(), Arc::clone(&long));
        let task = tokio::spawn(async move {
            let mut connection = connection;
            while asked.recv().await.is_some() {
                let done = AssertUnwindSafe(checkpoint(&mut connection)).catch_unwind();
                let Ok(done) = done.await else {
                    tracing::error!("a checkpoint panicked: the next one tries again");
                    continue;
                };
                match done {
                    Ok(pages) => says_long.store(pages >= LONG, Ordering::Relaxed),
                    Err(error) => {
                        // The next one tries again; until then the log grows.
                        let error = failed(&path, error);
                        tracing::warn!(%error, "a checkpoint failed");
                    }
                }
            }
            let _ = connection.close().await;
        });
        Self {
            transactions: 0,
            due,
            long,
            task,
        }
    }

    /// Closes the connection.
    pub(super) async fn end(self) {
        drop(self.due);
        let _ = self.task.await;
    }

    /// To be called between transactions, on the writer's connection.
    pub(super) async fn after_transaction(&mut self, connection: &mut SqliteConnection) {
        if self.long.swap(false, Ordering::Relaxed)
            && let Err(error) = checkpoint(connection).await
        {
            tracing::warn!(%error, "a checkpoint failed");
        }
        self.transactions += 1;
        // Full while one is at work: asked again after the next transaction.
        if self.transactions >= EVERY && self.due.try_send(()).is_ok() {
            self.transactions = 0;
        }
    }
}

/// Moves all pages that can be moved without waiting. Returns how many pages the log has.
async fn checkpoint(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    let (_, pages, _): (i64, i64, i64) = sqlx::query_as(CHECKPOINT).fetch_one(connection).await?;
    Ok(pages)
}
