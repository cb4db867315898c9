//! The part of garbage collection that looks at files: those in `blobs` that no row names, which
//! interrupted work leaves. Nothing opens them.

use std::collections::HashSet;
use std::fs;
use std::path::PathBuf;

use metahub_oci::{Algorithm, Digest};

use crate::StoreError;
use crate::encoding::{digest_from_bytes, digest_to_bytes};
use crate::gc::{Gc, GcReport};
use crate::layout::remove_file;
use crate::store::blocking;

impl Gc<'_> {
    /// Removes files that have no row.
    pub(crate) async fn files(&self, report: &mut GcReport) -> Result<(), StoreError> {
        for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
            for first in 0..=u8::MAX {
                for (path, digest, size) in self.strays(algorithm, first).await? {
                    if self.dry_run || self.remove_stray(path, digest).await? {
                        report.files += 1;
                        report.file_bytes += size;
                    }
                }
            }
        }
        Ok(())
    }

    /// The files of one folder that are old enough and have no row.
    async fn strays(
        &self,
        algorithm: Algorithm,
        first: u8,
    ) -> Result<Vec<(PathBuf, Option<Digest>, u64)>, StoreError> {
        let folder = self.store.inner.layout.blobs(algorithm);
        let folder = folder.join(format!("{first:02x}"));
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
        let start = match algorithm {
            Algorithm::Sha256 => vec![1, first],
            Algorithm::Sha512 => vec![2, first],
        };
        let mut end = start.clone();
        // Longer than any digest that begins so.
        end.extend([0xff; 65]);
        let known: Vec<Vec<u8>> = sqlx::query_scalar(
            "SELECT digest FROM blobs WHERE digest >= $1 AND digest <= $2 AND body IS NULL",
        )
        .bind(start)
        .bind(end)
        .fetch_all(&self.store.inner.database.readers)
        .await
        .map_err(|error| self.error(error))?;
        let known: HashSet<Digest> = known.iter().filter_map(|d| digest_from_bytes(d)).collect();
        let is_stray = |digest: &Option<Digest>| digest.as_ref().is_none_or(|d| !known.contains(d));
        Ok(files
            .into_iter()
            .filter(|(_, digest, _)| is_stray(digest))
            .collect())
    }

    async fn remove_stray(
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
                "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $1 AND body IS NULL)",
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
