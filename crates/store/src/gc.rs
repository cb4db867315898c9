//! Garbage collection, beside pushes and pulls: removes what nothing needs and what is older than
//! a grace period. Runs in the process that serves, whose caches it keeps exact.
//!
//! Needed is whatever a manifest of the repository refers to. Manifests that were pushed or read
//! are never garbage: they are removed by name. In order: uploads that nobody continued, derived
//! manifests whose sources or records are gone, a repository's right to blobs that none of its
//! manifests names, blobs that no repository may read, files without a row, repositories that hold
//! nothing. Every removal checks again, in the transaction that removes, that the thing is still
//! garbage. Everything is read in pages, so that memory does not grow with what is held.

use std::time::{Duration, SystemTime};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use metahub_oci::RepositoryName;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::lease::Shared;
use crate::records::Change;
use crate::records::sqlite::encoding::{digest_from_bytes, time_to_millis};
use crate::records::sqlite::writer::Durability;
use crate::reserve;
use crate::stale::{Held, MadeFrom};
use crate::store::Store;
use crate::task::blocking;

/// Rows that are looked at at once.
const BATCH: i64 = 500;

/// Blobs that are removed side by side, so that they share commits.
const AT_ONCE: usize = 32;

/// How garbage is collected.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// What came or was used less than this ago stays: clients push blobs before the manifest
    /// that names them.
    pub grace: Duration,
    /// Only say what would go.
    pub dry_run: bool,
}

/// What went, or would go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GcReport {
    /// Uploads that nobody continued.
    pub uploads: u64,
    /// Derived manifests whose sources are gone, or that no record leads to.
    pub derived: u64,
    /// Rights of a repository to read a blob that none of its manifests names.
    pub links: u64,
    /// Blobs.
    pub blobs: u64,
    /// Bytes of those blobs.
    pub blob_bytes: u64,
    /// Files without a row, which interrupted work leaves.
    pub files: u64,
    /// Bytes of those files.
    pub file_bytes: u64,
    /// Repositories that hold nothing.
    pub repositories: u64,
}

/// Whether a link `l` to blob `b` is garbage at the cut-off `$1`.
macro_rules! unneeded_link {
    () => {
        "l.linked_at <= $1 AND NOT EXISTS (
             SELECT 1 FROM refs f JOIN repo_manifests h ON h.manifest_id = f.manifest_id
             WHERE f.digest = b.digest AND f.kind <> 4 AND h.repository_id = l.repository_id)"
    };
}

impl Store {
    /// Collects garbage, derived manifests left aside. Other work goes on meanwhile.
    pub async fn collect_garbage(&self, options: &GcOptions) -> Result<GcReport, StoreError> {
        self.collect_garbage_and_derived(options, |_| Vec::new())
            .await
    }

    /// Collects garbage, and derived manifests of which a source is gone. A dry run does not
    /// count what only such a manifest names.
    pub async fn collect_garbage_and_derived(
        &self,
        options: &GcOptions,
        made_from: MadeFrom,
    ) -> Result<GcReport, StoreError> {
        let cutoff = SystemTime::now()
            .checked_sub(options.grace)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let gc = Gc {
            store: self,
            grace: options.grace,
            cutoff,
            cutoff_millis: time_to_millis(cutoff),
            dry_run: options.dry_run,
            held: Mutex::default(),
        };
        let mut report = GcReport::default();
        if options.dry_run {
            self.check_in_place().await?;
            report.derived = gc.derived(made_from).await?;
            gc.count_blobs(&mut report).await?;
            gc.files(&mut report).await?;
        } else {
            // Not while a backup needs what is here.
            let _removing = self.inner.removing.lock().await;
            self.check_removable().await?;
            let reserve = self.inner.layout.reserve();
            let released = reserve.clone();
            blocking(move || reserve::release(&released)).await?;
            let outcome = gc.remove(&mut report, made_from).await;
            blocking(move || {
                reserve::keep(&reserve);
                Ok::<_, StoreError>(())
            })
            .await?;
            outcome?;
        }
        tracing::info!(?report, dry_run = options.dry_run, "collected garbage");
        Ok(report)
    }
}

/// A blob's row, its digest and its size.
type Removable = (i64, Vec<u8>, i64);

/// One collection.
pub(crate) struct Gc<'s> {
    pub(crate) store: &'s Store,
    pub(crate) cutoff: SystemTime,
    pub(crate) dry_run: bool,
    grace: Duration,
    pub(crate) cutoff_millis: i64,
    /// Sources of derived manifests that were looked for lately.
    pub(crate) held: Mutex<Held>,
}

impl<'s> Gc<'s> {
    /// One that spares nothing for being young.
    pub(crate) fn now(store: &'s Store) -> Self {
        let cutoff = SystemTime::now();
        Self {
            store,
            grace: Duration::ZERO,
            cutoff,
            cutoff_millis: time_to_millis(cutoff),
            dry_run: false,
            held: Mutex::default(),
        }
    }
}

impl Gc<'_> {
    pub(crate) fn error(&self, error: sqlx::Error) -> StoreError {
        self.store.inner.database.error(error)
    }

    async fn remove(&self, report: &mut GcReport, made_from: MadeFrom) -> Result<(), StoreError> {
        let idle = self.store.inner.options.upload_idle.max(self.grace);
        report.uploads = self.store.sweep_uploads(idle).await? as u64;
        report.derived = self.derived(made_from).await?;
        self.links(report).await?;
        self.blobs(report).await?;
        self.files(report).await?;
        report.repositories = self.repositories().await?;
        self.shrink().await
    }

    /// Takes blobs from repositories none of whose manifests names them, and removes those that
    /// no other repository may read, so that space comes back from the beginning.
    async fn links(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let mut after = (0, 0);
        loop {
            let found: Vec<(i64, i64)> = sqlx::query_as(concat!(
                "SELECT l.repository_id, l.blob_id
                 FROM repo_blobs l JOIN blobs b ON b.id = l.blob_id
                 WHERE (l.repository_id, l.blob_id) > ($2, $3) AND ",
                unneeded_link!(),
                " ORDER BY l.repository_id, l.blob_id LIMIT $4"
            ))
            .bind(self.cutoff_millis)
            .bind(after.0)
            .bind(after.1)
            .bind(BATCH)
            .fetch_all(&self.store.inner.database.readers)
            .await
            .map_err(|error| self.error(error))?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = *last;
            let removed = self.remove_links(found).await?;
            report.links += removed.len() as u64;
            self.remove_blobs(removed, report).await?;
        }
    }

    /// The blobs whose links were removed.
    async fn remove_links(&self, links: Vec<(i64, i64)>) -> Result<Vec<Removable>, StoreError> {
        let cutoff = self.cutoff_millis;
        let writer = &self.store.inner.database.writer;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let mut removed = Vec::new();
                    for (repository, blob) in links {
                        let result = sqlx::query_as(concat!(
                            "SELECT r.name, b.digest, b.size FROM repo_blobs l
                             JOIN blobs b ON b.id = l.blob_id
                             JOIN repositories r ON r.id = l.repository_id
                             WHERE l.repository_id = $2 AND l.blob_id = $3 AND ",
                            unneeded_link!()
                        ))
                        .bind(cutoff)
                        .bind(repository)
                        .bind(blob)
                        .fetch_optional(&mut transaction.connection)
                        .await;
                        let row: Option<(String, Vec<u8>, i64)> =
                            result.map_err(|error| transaction.error(error))?;
                        let Some((name, digest, size)) = row else {
                            continue;
                        };
                        let result = sqlx::query(
                            "DELETE FROM repo_blobs WHERE repository_id = $1 AND blob_id = $2",
                        )
                        .bind(repository)
                        .bind(blob)
                        .execute(&mut transaction.connection)
                        .await;
                        result.map_err(|error| transaction.error(error))?;
                        let name: Option<RepositoryName> = name.parse().ok();
                        if let (Some(name), Some(digest)) = (name, digest_from_bytes(&digest)) {
                            transaction.changed(Change::Blob(name, digest));
                        }
                        removed.push((blob, digest, size));
                    }
                    Ok::<_, StoreError>(removed)
                })
            })
            .await
    }

    /// Removes blobs that no repository may read.
    async fn blobs(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let mut after = 0;
        loop {
            let found: Vec<Removable> = sqlx::query_as(
                "SELECT id, digest, size FROM blobs b WHERE id > $1 AND used_at <= $2
                     AND NOT EXISTS (SELECT 1 FROM repo_blobs l WHERE l.blob_id = b.id)
                 ORDER BY id LIMIT $3",
            )
            .bind(after)
            .bind(self.cutoff_millis)
            .bind(BATCH)
            .fetch_all(&self.store.inner.database.readers)
            .await
            .map_err(|error| self.error(error))?;
            let Some(last) = found.last() else {
                return Ok(());
            };
            after = last.0;
            self.remove_blobs(found, report).await?;
        }
    }

    async fn remove_blobs(
        &self,
        blobs: Vec<Removable>,
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        let removed: Vec<Option<u64>> = stream::iter(blobs)
            .map(|blob| self.remove_blob(blob))
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for size in removed.into_iter().flatten() {
            report.blobs += 1;
            report.blob_bytes += size;
        }
        Ok(())
    }

    /// Removes a blob unless somebody may read it; its size if it went.
    pub(crate) async fn remove_blob(
        &self,
        (id, digest, size): Removable,
    ) -> Result<Option<u64>, StoreError> {
        let inner = &self.store.inner;
        let Some(digest) = digest_from_bytes(&digest) else {
            return Err(inner.database.corrupt(format!("the digest of blob {id}")));
        };
        // Until the file is gone nobody puts the same content there again.
        let _guard = inner.guard(&digest).await;
        let cutoff = self.cutoff_millis;
        let removed = inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(
                        "DELETE FROM blobs WHERE id = $1 AND used_at <= $2
                         AND NOT EXISTS (SELECT 1 FROM repo_blobs l WHERE l.blob_id = blobs.id)",
                    )
                    .bind(id)
                    .bind(cutoff)
                    .execute(&mut transaction.connection)
                    .await;
                    result
                        .map(|done| done.rows_affected() > 0)
                        .map_err(|error| transaction.error(error))
                })
            })
            .await?;
        if !removed {
            return Ok(None);
        }
        // Another process that took the folder over since may have stored the same content again.
        if let Some(lease) = inner.lease() {
            Shared::check(&lease, false).await?;
        }
        inner.content.delete(&digest).await?;
        Ok(Some(u64::try_from(size).unwrap_or(0)))
    }

    /// What would go: links first, then blobs that have no other.
    async fn count_blobs(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let readers = &self.store.inner.database.readers;
        let links: i64 = sqlx::query_scalar(concat!(
            "SELECT count(*) FROM repo_blobs l JOIN blobs b ON b.id = l.blob_id WHERE ",
            unneeded_link!()
        ))
        .bind(self.cutoff_millis)
        .fetch_one(readers)
        .await
        .map_err(|error| self.error(error))?;
        let (blobs, bytes): (i64, i64) = sqlx::query_as(concat!(
            "SELECT count(*), coalesce(sum(b.size), 0) FROM blobs b
             WHERE b.used_at <= $1 AND NOT EXISTS (
                 SELECT 1 FROM repo_blobs l WHERE l.blob_id = b.id AND NOT (",
            unneeded_link!(),
            "))"
        ))
        .bind(self.cutoff_millis)
        .fetch_one(readers)
        .await
        .map_err(|error| self.error(error))?;
        report.links = u64::try_from(links).unwrap_or(0);
        report.blobs = u64::try_from(blobs).unwrap_or(0);
        report.blob_bytes = u64::try_from(bytes).unwrap_or(0);
        Ok(())
    }

    /// Removes repositories that hold nothing.
    async fn repositories(&self) -> Result<u64, StoreError> {
        let cutoff = self.cutoff_millis;
        let writer = &self.store.inner.database.writer;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(
                        "DELETE FROM repositories AS r WHERE created_at <= $1
                         AND NOT EXISTS (SELECT 1 FROM repo_manifests WHERE repository_id = r.id)
                         AND NOT EXISTS (SELECT 1 FROM repo_blobs WHERE repository_id = r.id)",
                    )
                    .bind(cutoff)
                    .execute(&mut transaction.connection)
                    .await;
                    result
                        .map(|done| done.rows_affected())
                        .map_err(|error| transaction.error(error))
                })
            })
            .await
    }

    /// Gives the database's free pages back to the disk.
    async fn shrink(&self) -> Result<(), StoreError> {
        let database = &self.store.inner.database;
        loop {
            let free: i64 = sqlx::query_scalar("PRAGMA freelist_count")
                .fetch_one(&database.readers)
                .await
                .map_err(|error| self.error(error))?;
            if free == 0 {
                return Ok(());
            }
            // A few megabytes at once: others write in between.
            let shrunk = database.writer.write(Durability::Relaxed, |transaction| {
                Box::pin(async move {
                    let result = sqlx::query("PRAGMA incremental_vacuum(1024)")
                        .fetch_all(&mut transaction.connection)
                        .await;
                    result.map(drop).map_err(|error| transaction.error(error))
                })
            });
            shrunk.await?;
        }
    }
}
