//! Garbage collection, concurrent with pushes and pulls: removes content that nothing needs and
//! that is older than a grace period. Runs in the serving process, whose caches it keeps exact.
//!
//! Content is needed if a manifest of the repository refers to it. Manifests that were pushed or
//! fetched are never garbage: they are removed by name. In order: abandoned uploads, derived
//! manifests whose sources or records are gone, a repository's links to blobs that none of its
//! manifests names, blobs that no repository links, files without a row, repositories that hold
//! nothing. Every removal checks again, in its own transaction, that the item is still garbage.
//! Everything is read in pages, so that memory does not grow with the store.

use std::time::{Duration, SystemTime};

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use serde::{Deserialize, Serialize};

use crate::StoreError;
use crate::folder::lease::Shared;
use crate::folder::reserve;
use crate::records::{Cursor, UnlinkedBlob};
use crate::store::Store;
use crate::task::blocking;

/// Rows that are read at once.
const BATCH: u32 = 500;

/// Blobs that are removed side by side, so that they share commits.
const AT_ONCE: usize = 32;

/// Options of garbage collection.
#[derive(Clone, Debug)]
pub struct GcOptions {
    /// The grace period: newer or recently used content stays, since clients push blobs before the
    /// manifest that names them.
    pub grace: Duration,
    /// Only report what would be removed.
    pub dry_run: bool,
}

/// What was removed, or would be.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GcReport {
    /// Abandoned uploads.
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

impl Store {
    /// Collects garbage. Other work goes on meanwhile. A dry run does not count content that only
    /// removable derived manifests name.
    pub async fn collect_garbage(&self, options: &GcOptions) -> Result<GcReport, StoreError> {
        let cutoff = SystemTime::now()
            .checked_sub(options.grace)
            .unwrap_or(SystemTime::UNIX_EPOCH);
        let gc = Gc {
            store: self,
            grace: options.grace,
            cutoff,
            dry_run: options.dry_run,
        };
        let mut report = GcReport::default();
        if options.dry_run {
            self.check_in_place().await?;
            report.derived = gc.derived().await?;
            gc.count_blobs(&mut report).await?;
            gc.files(&mut report).await?;
        } else {
            // Not while a backup needs the present content.
            let _removing = self.inner.removing.lock().await;
            self.check_removable().await?;
            let reserve = self.inner.layout.reserve();
            let released = reserve.clone();
            blocking(move || reserve::release(&released)).await?;
            let outcome = gc.remove(&mut report).await;
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

/// One collection.
pub(crate) struct Gc<'s> {
    pub(crate) store: &'s Store,
    pub(crate) cutoff: SystemTime,
    pub(crate) dry_run: bool,
    grace: Duration,
}

impl<'s> Gc<'s> {
    /// One without a grace period.
    pub(crate) fn now(store: &'s Store) -> Self {
        let cutoff = SystemTime::now();
        Self {
            store,
            grace: Duration::ZERO,
            cutoff,
            dry_run: false,
        }
    }
}

impl Gc<'_> {
    async fn remove(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let records = &self.store.inner.records;
        let idle = self.store.inner.options.upload_idle.max(self.grace);
        report.uploads = self.store.sweep_uploads(idle).await? as u64;
        report.derived = self.derived().await?;
        self.links(report).await?;
        self.blobs(report).await?;
        self.files(report).await?;
        report.repositories = records.remove_empty_repositories(self.cutoff).await?;
        while records.give_back_space().await? {}
        Ok(())
    }

    /// Takes blobs from repositories none of whose manifests names them, and removes those that
    /// no other repository may read, so that space comes back from the beginning.
    async fn links(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let records = &self.store.inner.records;
        let mut after = Some(Cursor::default());
        while let Some(from) = after {
            let batch = records.unneeded_links(self.cutoff, from, BATCH).await?;
            after = batch.next;
            if batch.items.is_empty() {
                continue;
            }
            let removed = records.remove_links(batch.items, self.cutoff).await?;
            report.links += removed.len() as u64;
            self.remove_blobs(removed, report).await?;
        }
        Ok(())
    }

    /// Removes blobs that no repository may read.
    async fn blobs(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let records = &self.store.inner.records;
        let mut after = Some(Cursor::default());
        while let Some(from) = after {
            let batch = records.unlinked_blobs(self.cutoff, from, BATCH).await?;
            after = batch.next;
            self.remove_blobs(batch.items, report).await?;
        }
        Ok(())
    }

    async fn remove_blobs(
        &self,
        blobs: Vec<UnlinkedBlob>,
        report: &mut GcReport,
    ) -> Result<(), StoreError> {
        let removed: Vec<Option<u64>> = stream::iter(blobs)
            .map(|blob| async move {
                let removed = self.remove_blob(&blob).await?;
                Ok::<_, StoreError>(removed.then_some(blob.size))
            })
            .buffer_unordered(AT_ONCE)
            .try_collect()
            .await?;
        for size in removed.into_iter().flatten() {
            report.blobs += 1;
            report.blob_bytes += size;
        }
        Ok(())
    }

    /// Removes a blob unless a repository has it; returns whether it was removed.
    pub(crate) async fn remove_blob(&self, blob: &UnlinkedBlob) -> Result<bool, StoreError> {
        let inner = &self.store.inner;
        let digest = &blob.digest;
        // Until the file is gone the same content cannot be stored again.
        let _guard = inner.guard(digest).await;
        if !inner.records.remove_blob(digest, self.cutoff).await? {
            return Ok(false);
        }
        // Another process that took the folder over since may have stored the same content again.
        if let Some(lease) = inner.lease() {
            Shared::check(&lease, false).await?;
        }
        inner.content.delete(digest).await?;
        Ok(true)
    }

    /// Counts what would be removed: links first, then blobs without other links.
    async fn count_blobs(&self, report: &mut GcReport) -> Result<(), StoreError> {
        let garbage = self.store.inner.records.count_garbage(self.cutoff).await?;
        report.links = garbage.links;
        report.blobs = garbage.blobs;
        report.blob_bytes = garbage.bytes;
        Ok(())
    }
}
