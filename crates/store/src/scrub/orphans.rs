//! The part of scrubbing for files without a row: a pushed manifest may name them, or the database
//! may be older than they are.

use std::sync::Arc;

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::blobs::blob::Blob;
use crate::content::Partition;
use crate::gc::collect::Gc;
use crate::records::{Access, NewBlob};
use crate::scrub::blobs::check;
use crate::scrub::run::Scrub;

impl Scrub<'_> {
    /// Restores the row of a blob that a manifest pushed to `repository` names and whose file is
    /// there and right: the row was removed while the file was missing. Returns whether the
    /// repository holds the blob now.
    pub(crate) async fn adopt(
        &mut self,
        digest: &Digest,
        repository: &RepositoryName,
    ) -> Result<bool, StoreError> {
        if self.options.dry_run {
            return Ok(false);
        }
        let inner = Arc::clone(&self.store.inner);
        let _guard = inner.guard(digest).await;
        let known = inner.records.is_stored(digest).await?;
        // One that this scrub added a moment ago also goes to the other repositories that name it.
        if known && !self.report.adopted.contains(digest) {
            return Ok(false);
        }
        let Some(size) = inner.content.size(digest).await? else {
            return Ok(false);
        };
        let access = Access { size, body: None };
        let blob = Blob::new(Arc::clone(&inner), digest.clone(), access.clone(), None);
        if !known && check(&blob).await?.is_some() {
            return Ok(false);
        }
        let new = NewBlob {
            digest: digest.clone(),
            access,
            repository: Some(repository.clone()),
            given: false,
            upload: None,
        };
        inner.records.publish_blob(new).await?;
        tracing::info!(%digest, %repository, "a blob is back that was missing");
        if !known {
            self.report.adopted.push(digest.clone());
        }
        Ok(true)
    }

    /// Counts the files that no row and no pushed manifest names.
    pub(crate) async fn orphans(&mut self) -> Result<(), StoreError> {
        let gc = Gc::now(self.store);
        for partition in Partition::all() {
            self.report.orphans += gc.orphaned_files(partition).await?.len() as u64;
        }
        Ok(())
    }

    /// Says whether the database and the blobs are of the same time, or settles that they are.
    pub(crate) async fn settle(&mut self) -> Result<(), StoreError> {
        let Some(problem) = self.store.suspect() else {
            return Ok(());
        };
        let report = &mut self.report;
        let settled = self.options.accept_loss
            || (report.blobs.is_empty() && report.missing.is_empty() && report.orphans == 0);
        if settled && !self.options.dry_run {
            return self.store.trust().await;
        }
        report.notes.push(format!(
            "{problem}; {} files are missing and {} are named by no row: restore the other half, \
             or take what is here as it is with --accept-loss",
            report.absent, report.orphans
        ));
        Ok(())
    }
}
