//! The part of garbage collection that looks at files: those in `blobs` that no row names, which
//! interrupted work leaves. Nothing opens them.

use std::collections::HashSet;

use metahub_oci::Digest;

use crate::StoreError;
use crate::content::{Listed, Partition};
use crate::gc::{Gc, GcReport};
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes, first_key};

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
        let (start, end) = first_key(partition.algorithm, partition.first);
        let known: Vec<Vec<u8>> = sqlx::query_scalar(
            // What a pushed manifest names was not left by interrupted work: its row went when its
            // file was missing, and now that the file is back scrub enters it again.
            "SELECT digest FROM blobs WHERE digest >= $1 AND digest <= $2 AND body IS NULL
             UNION SELECT f.digest FROM refs f
                 JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                 WHERE f.digest >= $1 AND f.digest <= $2 AND f.kind IN (1, 2) AND h.origin = 1",
        )
        .bind(start)
        .bind(end)
        .fetch_all(&self.store.inner.database.readers)
        .await
        .map_err(|error| self.error(error))?;
        let known: HashSet<Digest> = known.iter().filter_map(|d| digest_from_bytes(d)).collect();
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
        {
            let known: bool = sqlx::query_scalar(
                "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $1 AND body IS NULL)
                     OR EXISTS (SELECT 1 FROM refs f
                         JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                         WHERE f.digest = $1 AND f.kind IN (1, 2) AND h.origin = 1)",
            )
            .bind(digest_to_bytes(digest))
            .fetch_one(&inner.database.readers)
            .await
            .map_err(|error| self.error(error))?;
            if known {
                return Ok(false);
            }
        }
        inner.content.delete(digest).await
    }
}
