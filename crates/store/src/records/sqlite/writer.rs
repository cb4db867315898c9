//! The only writer of the database: one connection, one transaction at a time. Callers that wait
//! meanwhile share the next transaction, so that one disk flush serves many.
//!
//! Caches drop entries that a transaction changed, after it is durable and before any of its
//! callers gets a result. Work in the queue is done even if its caller has gone away. Work that
//! panics is rolled back and answered with an error, and the writer goes on; a broken connection is
//! opened anew.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection, SqliteConnection};
use tokio::sync::{mpsc, oneshot};

use crate::StoreError;
use crate::records::{ChangeSink, Clock};

use super::checkpoint::Checkpoints;
use super::transaction::{Durability, Fence, Transaction};

/// How many pieces of work share a transaction at most.
const BATCH: usize = 64;

statements! {
    BEGIN = "BEGIN IMMEDIATE";
    ROLLBACK = "ROLLBACK";
    // Work of one transaction that is undone without the others'.
    BEGIN_WORK = "SAVEPOINT work";
    UNDO_WORK = "ROLLBACK TO work";
    END_WORK = "RELEASE work";
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
        // No caller waits any more: the work is done all the same.
        let _ = self.reply.send(answer);
    }
}

enum Message {
    Work(Box<dyn Job>),
    Close(oneshot::Sender<()>),
}

/// A handle to the writer. It ends when the last handle is dropped.
#[derive(Clone)]
pub(super) struct Writer {
    queue: mpsc::Sender<Message>,
    /// It was asked to end.
    closing: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the writer on `connection`, which `options` opened and whose `synchronous` is FULL.
    pub(super) fn start(
        connection: SqliteConnection,
        options: SqliteConnectOptions,
        path: PathBuf,
        sink: Arc<dyn ChangeSink>,
        checkpoints: Checkpoints,
        fence: Arc<OnceLock<Fence>>,
        clock: Clock,
    ) -> Self {
        let (queue, messages) = mpsc::channel(4 * BATCH);
        let transaction = Transaction {
            connection,
            changes: Vec::new(),
            path,
            synchronous: Durability::Full,
            fence,
            clock,
        };
        tokio::spawn(serve(transaction, options, messages, sink, checkpoints));
        Self {
            queue,
            closing: Arc::default(),
        }
    }

    /// Why nothing is written any more.
    fn ended(&self) -> StoreError {
        if self.closing.load(Ordering::Acquire) {
            StoreError::Closed
        } else {
            StoreError::WriterEnded
        }
    }

    /// Whether it takes work.
    ///
    /// # Errors
    /// [`StoreError::WriterEnded`], or [`StoreError::Closed`] when it was asked to end.
    pub(super) fn takes_work(&self) -> Result<(), StoreError> {
        if self.queue.is_closed() {
            return Err(self.ended());
        }
        Ok(())
    }

    /// Runs `work` in a transaction and answers once that is committed.
    pub(super) async fn write<T, E, F>(&self, durability: Durability, work: F) -> Result<T, E>
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
            return Err(self.ended().into());
        }
        match answer.await {
            Ok(answer) => answer,
            // It was dropped by a panic, or left in the queue of a writer that ended.
            Err(_) => Err(match self.takes_work() {
                Ok(()) => StoreError::Aborted,
                Err(ended) => ended,
            }
            .into()),
        }
    }

    /// Finishes the queued work and closes the connection.
    pub(super) async fn close(&self) {
        let (done, closed) = oneshot::channel();
        self.closing.store(true, Ordering::Release);
        if self.queue.send(Message::Close(done)).await.is_ok() {
            let _ = closed.await;
        }
    }
}

async fn serve(
    mut transaction: Transaction,
    options: SqliteConnectOptions,
    mut messages: mpsc::Receiver<Message>,
    sink: Arc<dyn ChangeSink>,
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
            let work = AssertUnwindSafe(process(&mut transaction, batch, &*sink));
            let failed = match work.catch_unwind().await {
                Ok(committed) => !committed,
                Err(_) => {
                    tracing::error!("work on the database panicked: its transaction is undone");
                    transaction.changes.clear();
                    // Fails when it had not begun.
                    let _ = transaction.run(ROLLBACK).await;
                    true
                }
            };
            if failed {
                heal(&mut transaction, &options).await;
            }
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

/// Opens the connection anew if it is of no use any more. Where that fails, it is tried again
/// after the next failure.
async fn heal(transaction: &mut Transaction, options: &SqliteConnectOptions) {
    if transaction.connection.ping().await.is_ok() {
        return;
    }
    match options.connect().await {
        Ok(connection) => {
            tracing::warn!("the writer's connection to the database broke and was opened anew");
            transaction.connection = connection;
            transaction.synchronous = Durability::Full;
        }
        Err(error) => tracing::error!(%error, "the database cannot be opened anew"),
    }
}

/// Runs a batch in one transaction and answers all its callers. Returns whether it was committed,
/// or rolled back because its work requested that.
async fn process(
    transaction: &mut Transaction,
    mut batch: Vec<Box<dyn Job>>,
    sink: &dyn ChangeSink,
) -> bool {
    transaction.changes.clear();
    let outcome = commit(transaction, &mut batch, sink).await;
    if let Err(error) = &outcome {
        tracing::warn!(%error, "a transaction failed");
        // Fails when SQLite has rolled back by itself already.
        let _ = transaction.run(ROLLBACK).await;
    }
    for job in batch {
        job.finish(match &outcome {
            Ok(()) => Ok(()),
            Err(error) => Err(error.again()),
        });
    }
    outcome.is_ok()
}

async fn commit(
    transaction: &mut Transaction,
    batch: &mut [Box<dyn Job>],
    sink: &dyn ChangeSink,
) -> Result<(), StoreError> {
    let full = batch.iter().any(|job| job.durability() == Durability::Full);
    transaction
        .set_durability(if full {
            Durability::Full
        } else {
            Durability::Relaxed
        })
        .await?;
    transaction.run(BEGIN).await?;
    transaction.check_owner().await?;
    if let [only] = batch {
        let succeeded = only.run(transaction).await;
        return if succeeded {
            transaction.commit(sink).await
        } else {
            transaction.changes.clear();
            // Not an error of the transaction: the caller gets the work's own.
            let _ = transaction.run(ROLLBACK).await;
            Ok(())
        };
    }
    let mut any = false;
    for job in batch {
        transaction.run(BEGIN_WORK).await?;
        let changes = transaction.changes.len();
        if job.run(transaction).await {
            any = true;
        } else {
            transaction.changes.truncate(changes);
            // This fails when a full disk made SQLite roll back everything: then no work of this
            // batch was done.
            transaction.run(UNDO_WORK).await?;
        }
        transaction.run(END_WORK).await?;
    }
    if any {
        transaction.commit(sink).await
    } else {
        transaction.run(ROLLBACK).await
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Digest, RepositoryName};

    use super::super::SqliteRecords;
    use super::super::tests::temporary;
    use super::*;
    use crate::records::{Access, BlobRecords as _, NewBlob, Records as _, RepositoryRecords as _};

    async fn panicking(records: &SqliteRecords) -> Result<(), StoreError> {
        records
            .writer
            .write(Durability::Full, |transaction| {
                Box::pin(async move {
                    sqlx::query("DELETE FROM repositories")
                        .execute(&mut transaction.connection)
                        .await
                        .unwrap();
                    panic!("on purpose")
                })
            })
            .await
    }

    fn blob(name: &RepositoryName, bytes: &'static [u8]) -> NewBlob {
        NewBlob {
            digest: Digest::sha256(bytes),
            access: Access {
                size: bytes.len() as u64,
                body: Some(bytes.into()),
            },
            repository: Some(name.clone()),
            given: false,
            upload: None,
        }
    }

    #[tokio::test]
    async fn work_that_panics_is_undone_and_the_writer_goes_on() {
        let (_folder, records) = temporary().await;
        let name: RepositoryName = "lab/app".parse().unwrap();
        for bytes in [b"1", b"2", b"3"] {
            let new = blob(&name, bytes);
            // The other work, in the same transaction or another, is reported or done.
            let (panicked, put) =
                tokio::join!(panicking(&records), records.publish_blob(new.clone()));
            assert!(matches!(panicked, Err(StoreError::Aborted)), "{panicked:?}");
            if put.is_err() {
                records.publish_blob(new.clone()).await.unwrap();
            }
            let there = records.has_repository(&name).await.unwrap();
            assert!(there, "it was undone");
            let found = records.blob(&name, &new.digest).await.unwrap();
            assert_eq!(found, Some(new.access));
            records.ready().unwrap();
        }
        records.close().await;
        assert!(matches!(records.ready(), Err(StoreError::Closed)));
    }

    #[tokio::test]
    async fn a_writer_that_ended_by_itself_is_told_of() {
        let (_folder, records) = temporary().await;
        let (done, closed) = oneshot::channel();
        // As if its task had ended without the store being closed.
        let queue = &records.writer.queue;
        queue.send(Message::Close(done)).await.ok();
        closed.await.unwrap();
        let name: RepositoryName = "lab/app".parse().unwrap();
        let refused = records.publish_blob(blob(&name, b"x")).await;
        let text = refused.unwrap_err().to_string();
        assert!(text.contains("restart metahub"), "{text}");
        assert!(matches!(records.ready(), Err(StoreError::WriterEnded)));
    }
}
