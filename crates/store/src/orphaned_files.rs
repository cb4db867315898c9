//! The part of garbage collection that looks at files: those in `blobs` that no row names, which
//! interrupted work leaves. Nothing opens them.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use metahub_oci::{Algorithm, Digest};

use crate::StoreError;
use crate::gc::{Gc, GcReport};
use crate::layout::remove_file;
use crate::records::sqlite::encoding::{digest_from_bytes, digest_to_bytes, first_key};
use crate::store::blocking;

impl Gc<'_> {
    /// Removes files that have no row.
    pub(crate) async fn files(&self, report: &mut GcReport) -> Result<(), StoreError> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for first in 0..=u8::MAX {
                for (path, digest, size) in self.orphaned_files(algorithm, first).await? {
                    if self.dry_run || self.remove_orphaned(path, digest).await? {
                        report.files += 1;
                        report.file_bytes += size;
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of one folder that are old enough and have no row.
    pub(crate) async fn orphaned_files(
        &self,
        algorithm: Algorithm,
        first: u8,
    ) -> Result<Vec<(PathBuf, Option<Digest>, u64)>, StoreError> {
        let folder = self.store.inner.layout.fan_out(algorithm, first);
        let cutoff = self.cutoff;
        let files = blocking(move || {
            let list = |error| StoreError::io("list", &folder, error);
            let mut files = Vec::new();
            for entry in fs::read_dir(&folder).map_err(list)? {
                let entry = entry.map_err(list)?;
                let Ok(metadata) = entry.metadata() else {
                    continue;
                };
                let name = entry.file_name();
                let digest: Option<Digest> = name
                    .to_str()
                    .and_then(|name| format!("{algorithm}:{name}").parse().ok());
                if metadata.modified().is_ok_and(|modified| modified <= cutoff) {
                    files.push((entry.path(), digest, metadata.len()));
                }
            }
            Ok::<_, StoreError>(files)
        })
        .await?;
        if files.is_empty() {
            return Ok(files);
        }
        let (start, end) = first_key(algorithm, first);
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
        let is_orphaned =
            |digest: &Option<Digest>| digest.as_ref().is_none_or(|d| !known.contains(d));
        Ok(files
            .into_iter()
            .filter(|(_, digest, _)| is_orphaned(digest))
            .collect())
    }

    async fn remove_orphaned(
        &self,
        path: PathBuf,
        digest: Option<Digest>,
    ) -> Result<bool, StoreError> {
        let inner = &self.store.inner;
        let _guard = match &digest {
            Some(digest) => inner.guard(digest).await,
            None => None,
        };
        if let Some(digest) = &digest {
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
        blocking(move || remove_file(&path)).await
    }
}
