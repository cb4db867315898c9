//! The part of garbage collection for files: orphaned files in `blobs`, without a row, that
//! interrupted work left. Nothing opens them.

use crate::StoreError;
use crate::content::{Listed, Partition};
use crate::gc::collect::{Gc, GcReport};

impl Gc<'_> {
    /// Removes files that have no row.
    pub(crate) async fn files(&self, report: &mut GcReport) -> Result<(), StoreError> {
        for partition in Partition::all() {
            for listed in self.orphaned_files(partition).await? {
                let size = listed.size;
                if self.dry_run || self.remove_orphaned(partition, listed).await? {
                    report.files += 1;
                    report.file_bytes += size;
                }
            }
        }
        Ok(())
    }

    /// The files of one folder that are old enough and have no row.
    pub(crate) async fn orphaned_files(
        &self,
        partition: Partition,
    ) -> Result<Vec<Listed>, StoreError> {
        let mut files = self.store.inner.content.list(partition).await?;
        files.retain(|listed| listed.modified <= self.cutoff);
        if files.is_empty() {
            return Ok(files);
        }
        // What a pushed manifest names was not left by interrupted work: its row went when its
        // file was missing, and now that the file is back scrub enters it again.
        let records = &self.store.inner.records;
        let known = records
            .files_named(partition.algorithm, partition.first)
            .await?;
        files.retain(|listed| listed.digest.as_ref().is_none_or(|d| !known.contains(d)));
        Ok(files)
    }

    async fn remove_orphaned(
        &self,
        partition: Partition,
        listed: Listed,
    ) -> Result<bool, StoreError> {
        let inner = &self.store.inner;
        let Some(digest) = &listed.digest else {
            return inner.content.delete_other(partition, &listed.name).await;
        };
        let _guard = inner.guard(digest).await;
        if inner.records.is_file_named(digest).await? {
            return Ok(false);
        }
        inner.content.delete(digest).await
    }
}
