//! The only writer of the database: one connection, one transaction at a time, and everyone who
//! waits meanwhile shares the next one, so that a disk flush is paid once for many.
//!
//! Caches forget what a transaction changed after it is durable and before anyone who waits for
//! it hears of it. Work that entered the queue is done even if the caller has gone away.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use futures_util::future::BoxFuture;
use sqlx::{Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use crate::cache::{Caches, Change};
use crate::checkpoint::Checkpoints;
use crate::lease;

/// How many pieces of work share a transaction at most.
const BATCH: usize = 64;

/// Whether a commit must survive a power cut before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Durability {
    /// It must: SQLite flushes its log before the commit returns.
    Full,
    /// It survives the end of the process, but a power cut may undo it: staging and freshness.
    Relaxed,
}

/// An open transaction, as work sees it.
pub(crate) struct Transaction {
    /// Where statements run.
    pub(crate) connection: SqliteConnection,
    changes: Vec<Change>,
    path: PathBuf,
    synchronous: Durability,
    fence: Arc<OnceLock<Fence>>,
}

/// What keeps a server from writing that lost the folder to another one: the lease, and the
/// owner that the database names. The owner is read within the transaction, so that it cannot
/// change before the commit.
pub(crate) struct Fence {
    pub(crate) lease: Arc<lease::Shared>,
    pub(crate) owner: String,
}

impl Transaction {
    /// Notes what caches must forget once this is durable.
    pub(crate) fn changed(&mut self, change: Change) {
        self.changes.push(change);
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

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement)
            .execute(&mut self.connection)
            .await
            .map(|_| ())
            .map_err(|error| self.error(error))
    }

    /// Fails if another process has taken over the folder.
    async fn check_owner(&mut self) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.fence);
        let Some(fence) = shared.get() else {
            return Ok(());
        };
        lease::Shared::check(&fence.lease, false).await?;
        let result = sqlx::query_scalar("SELECT value FROM store WHERE name = 'owner'")
            .fetch_optional(&mut self.connection)
            .await;
        let owner: Option<String> = result.map_err(|error| self.error(error))?;
        if owner.as_ref() == Some(&fence.owner) {
            return Ok(());
        }
        Err(fence.lease.lose())
    }

    async fn set_durability(&mut self, durability: Durability) -> Result<(), StoreError> {
        if self.synchronous != durability {
            self.run(match durability {
                Durability::Full => "PRAGMA synchronous = FULL",
                Durability::Relaxed => "PRAGMA synchronous = NORMAL",
            })
            .await?;
            self.synchronous = durability;
        }
        Ok(())
    }
}

/// Work of any result type.
trait Job: Send {
    fn durability(&self) -> Durability;
    /// Runs within the transaction; whether it succeeded.
    fn run<'t>(&'t mut self, transaction: &'t mut Transaction) -> BoxFuture<'t, bool>;
    /// Answers the caller.
    fn finish(self: Box<Self>, committed: Result<(), StoreError>);
}

struct Typed<T, E, F> {
    durability: Durability,
    work: Option<F>,
    outcome: Option<Result<T, E>>,
    reply: oneshot::Sender<Result<T, E>>,
}

impl<T, E, F> Job for Typed<T, E, F>
where
    T: Send + 'static,
    E: From<StoreError> + Send + 'static,
    F: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
{
    fn durability(&self) -> Durability {
        self.durability
    }

    fn run<'t>(&'t mut self, transaction: &'t mut Transaction) -> BoxFuture<'t, bool> {
        Box::pin(async move {
            if let Some(work) = self.work.take() {
                self.outcome = Some(work(transaction).await);
            }
            matches!(self.outcome, Some(Ok(_)))
        })
    }

    fn finish(self: Box<Self>, committed: Result<(), StoreError>) {
        let answer = match (self.outcome, committed) {
            (Some(Err(error)), _) => Err(error),
            (Some(Ok(value)), Ok(())) => Ok(value),
            (_, Err(error)) => Err(error.into()),
            (None, Ok(())) => Err(StoreError::Closed.into()),
        };
        // Nobody waits any more: the work is done all the same.
        let _ = self.reply.send(answer);
    }
}

enum Message {
    Work(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A handle to the writer. It ends when the last handle is dropped.
#[derive(Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the writer on `connection`, whose `synchronous` is FULL.
    pub(crate) fn start(
        connection: SqliteConnection,
        path: PathBuf,
        caches: Arc<Caches>,
        checkpoints: Checkpoints,
        fence: Arc<OnceLock<Fence>>,
    ) -> Self {
        let (queue, messages) = mpsc::channel(4 * BATCH);
        let transaction = Transaction {
            connection,
            changes: Vec::new(),
            path,
            synchronous: Durability::Full,
            fence,
        };
        tokio::spawn(serve(transaction, messages, caches, checkpoints));
        Self { queue }
    }

    /// Runs `work` in a transaction and answers once that is committed.
    pub(crate) async fn write<T, E, F>(&self, durability: Durability, work: F) -> Result<T, E>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        F: for<'t> FnOnce(&'t mut Transaction) -> BoxFuture<'t, Result<T, E>> + Send + 'static,
    {
        let (reply, answer) = oneshot::channel();
        let job = Box::new(Typed {
            durability,
            work: Some(work),
            outcome: None,
            reply,
        });
        if self.queue.send(Message::Work(job)).await.is_err() {
            return Err(StoreError::Closed.into());
        }
        match answer.await {
            Ok(answer) => answer,
            Err(_) => Err(StoreError::Closed.into()),
        }
    }

    /// Finishes what is queued and closes the connection.
    pub(crate) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

async fn serve(
    mut transaction: Transaction,
    mut messages: mpsc::Receiver<Message>,
    caches: Arc<Caches>,
    mut checkpoints: Checkpoints,
) {
    let mut closing = Vec::new();
    while let Some(message) = messages.recv().await {
        let mut batch = Vec::new();
        let mut next = Some(message);
        while let Some(message) = next {
            match message {
                Message::Work(job) => batch.push(job),
                Message::Close(done) => {
                    messages.close();
                    closing.push(done);
                }
            }
            next = (batch.len() < BATCH)
                .then(|| messages.try_recv().ok())
                .flatten();
        }
        if !batch.is_empty() {
            process(&mut transaction, batch, &caches).await;
            checkpoints
                .after_transaction(&mut transaction.connection)
                .await;
        }
    }
    checkpoints.end().await;
    if let Err(error) = transaction.connection.close().await {
        tracing::warn!(%error, "closing the database failed");
    }
    for done in closing {
        let _ = done.send(());
    }
}

/// Runs a batch in one transaction and answers everyone in it.
async fn process(transaction: &mut Transaction, mut batch: Vec<Box<dyn Job>>, caches: &Caches) {
    transaction.changes.clear();
    let outcome = commit(transaction, &mut batch).await;
    if let Err(error) = &outcome {
        tracing::warn!(%error, "a transaction failed");
        // Fails when SQLite has rolled back by itself already.
        let _ = transaction.run("ROLLBACK").await;
    } else {
        for change in transaction.changes.drain(..) {
            caches.forget(&change);
        }
    }
    for job in batch {
        job.finish(match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(error.again()),
        });
    }
}

async fn commit(
    transaction: &mut Transaction,
    batch: &mut [Box<dyn Job>],
) -> Result<(), StoreError> {
    let full = batch.iter().any(|job| job.durability() == Durability::Full);
    transaction
        .set_durability(if full {
            Durability::Full
        } else {
            Durability::Relaxed
        })
        .await?;
    transaction.run("BEGIN IMMEDIATE").await?;
    transaction.check_owner().await?;
    if let [only] = batch {
        let succeeded = only.run(transaction).await;
        return if succeeded {
            transaction.run("COMMIT").await
        } else {
            transaction.changes.clear();
            // Not an error of the transaction: the caller gets the work's own.
            let _ = transaction.run("ROLLBACK").await;
            Ok(())
        };
    }
    let mut any = false;
    for job in batch {
        transaction.run("SAVEPOINT job").await?;
        let changes = transaction.changes.len();
        if job.run(transaction).await {
            any = true;
        } else {
            transaction.changes.truncate(changes);
            // This fails when a full disk made SQLite roll back everything: then nobody's work
            // in this batch was done.
            transaction.run("ROLLBACK TO job").await?;
        }
        transaction.run("RELEASE job").await?;
    }
    transaction
        .run(if any { "COMMIT" } else { "ROLLBACK" })
        .await
}
