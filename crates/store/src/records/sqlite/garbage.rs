//! Garbage: links that no manifest needs, blobs that no repository links, repositories that hold
//! nothing.

use std::collections::HashSet;
use std::time::SystemTime;

use metahub_oci::{Algorithm, Digest};

use super::SqliteRecords;
use super::encoding::{digest_from_bytes, digest_to_bytes, first_key, time_to_millis};
use super::repositories::unlink;
use super::transaction::Durability;
use crate::StoreError;
use crate::records::{Answer, Batch, Cursor, Garbage, GarbageRecords, Link, UnlinkedBlob};

/// Whether a link `l` to blob `b` is garbage at the cut-off `$1`.
macro_rules! unneeded_link {
    () => {
        "l.linked_at <= $1 AND NOT EXISTS (
             SELECT 1 FROM needed_refs f
             CROSS JOIN repo_manifests h ON h.manifest_id = f.manifest_id
                 AND h.repository_id = l.repository_id
             WHERE f.digest = b.digest)"
    };
}

statements! {
    UNNEEDED_LINKS = concat!(
        "SELECT l.repository_id, l.blob_id, r.name, b.digest
         FROM repo_blobs l JOIN blobs b ON b.id = l.blob_id
         JOIN repositories r ON r.id = l.repository_id
         WHERE (l.repository_id, l.blob_id) > ($2, $3) AND ",
        unneeded_link!(),
        " ORDER BY l.repository_id, l.blob_id LIMIT $4"
    );
    SIZE_IF_UNNEEDED = concat!(
        "SELECT b.size FROM repo_blobs l JOIN blobs b ON b.id = l.blob_id
         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $2)
           AND b.digest = $3 AND ",
        unneeded_link!()
    );
    UNLINKED_BLOBS =
        "SELECT id, digest, size FROM blobs b WHERE id > $1 AND used_at <= $2
             AND NOT EXISTS (SELECT 1 FROM repo_blobs l WHERE l.blob_id = b.id)
         ORDER BY id LIMIT $3";
    REMOVE_BLOB =
        "DELETE FROM blobs WHERE digest = $1 AND used_at <= $2
         AND NOT EXISTS (SELECT 1 FROM repo_blobs l WHERE l.blob_id = blobs.id)";
    COUNT_LINKS = concat!(
        "SELECT count(*) FROM repo_blobs l JOIN blobs b ON b.id = l.blob_id WHERE ",
        unneeded_link!()
    );
    COUNT_BLOBS = concat!(
        "SELECT count(*), coalesce(sum(b.size), 0) FROM blobs b
         WHERE b.used_at <= $1 AND NOT EXISTS (
             SELECT 1 FROM repo_blobs l WHERE l.blob_id = b.id AND NOT (",
        unneeded_link!(),
        "))"
    );
    REMOVE_REPOSITORIES =
        "DELETE FROM repositories AS r WHERE created_at <= $1
         AND NOT EXISTS (SELECT 1 FROM repo_manifests WHERE repository_id = r.id)
         AND NOT EXISTS (SELECT 1 FROM repo_blobs WHERE repository_id = r.id)";
    FILES_NAMED =
        "SELECT digest FROM blobs WHERE digest >= $1 AND digest <= $2 AND body IS NULL
         UNION SELECT f.digest FROM blob_refs f
             CROSS JOIN pushed_manifests h ON h.manifest_id = f.manifest_id
             WHERE f.digest >= $1 AND f.digest <= $2";
    IS_FILE_NAMED =
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $1 AND body IS NULL)
             OR EXISTS (SELECT 1 FROM blob_refs f
                 CROSS JOIN pushed_manifests h ON h.manifest_id = f.manifest_id
                 WHERE f.digest = $1)";
    FREE_PAGES = "PRAGMA freelist_count";
    // A few megabytes at once: others write in between.
    SHRINK = "PRAGMA incremental_vacuum(1024)";
}

impl GarbageRecords for SqliteRecords {
    fn unneeded_links(
        &self,
        cutoff: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Link>> {
        let query = sqlx::query_as(UNNEEDED_LINKS)
            .bind(time_to_millis(cutoff))
            .bind(after.0[0])
            .bind(after.0[1])
            .bind(limit);
        Box::pin(async move {
            let rows: Vec<(i64, i64, String, Vec<u8>)> =
                self.read(query.fetch_all(&self.readers)).await?;
            let next = rows.last().map(|row| Cursor([row.0, row.1]));
            let items = rows.into_iter().map(|(_, id, name, digest)| {
                let corrupt = || self.corrupt(format!("the blob {id} of '{name}'"));
                Ok(Link {
                    repository: name.parse().map_err(|_| corrupt())?,
                    digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                })
            });
            let items = items.collect::<Result<_, StoreError>>()?;
            Ok(Batch { items, next })
        })
    }

    fn remove_links(&self, links: Vec<Link>, cutoff: SystemTime) -> Answer<'_, Vec<UnlinkedBlob>> {
        let cutoff = time_to_millis(cutoff);
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let mut blobs = Vec::new();
                for Link { repository, digest } in links {
                    let result = sqlx::query_scalar(SIZE_IF_UNNEEDED)
                        .bind(cutoff)
                        .bind(repository.as_str())
                        .bind(digest_to_bytes(&digest))
                        .fetch_optional(&mut transaction.connection)
                        .await;
                    let size: Option<i64> = result.map_err(|error| transaction.error(error))?;
                    if let Some(size) = size {
                        unlink(transaction, repository, digest.clone()).await?;
                        let size = u64::try_from(size).unwrap_or(0);
                        blobs.push(UnlinkedBlob { digest, size });
                    }
                }
                Ok::<_, StoreError>(blobs)
            })
        })
    }

    fn unlinked_blobs(
        &self,
        cutoff: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<UnlinkedBlob>> {
        let query = sqlx::query_as(UNLINKED_BLOBS)
            .bind(after.0[0])
            .bind(time_to_millis(cutoff))
            .bind(limit);
        Box::pin(async move {
            let rows: Vec<(i64, Vec<u8>, i64)> = self.read(query.fetch_all(&self.readers)).await?;
            let next = rows.last().map(|row| Cursor([row.0, 0]));
            let items = rows.into_iter().map(|(id, digest, size)| {
                let corrupt = || self.corrupt(format!("the digest of blob {id}"));
                Ok(UnlinkedBlob {
                    digest: digest_from_bytes(&digest).ok_or_else(corrupt)?,
                    size: u64::try_from(size).unwrap_or(0),
                })
            });
            let items = items.collect::<Result<_, StoreError>>()?;
            Ok(Batch { items, next })
        })
    }

    fn remove_blob(&self, digest: &Digest, cutoff: SystemTime) -> Answer<'_, bool> {
        let (digest, cutoff) = (digest_to_bytes(digest), time_to_millis(cutoff));
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(REMOVE_BLOB)
                    .bind(digest)
                    .bind(cutoff)
                    .execute(&mut transaction.connection)
                    .await;
                result
                    .map(|done| done.rows_affected() > 0)
                    .map_err(|error| transaction.error(error))
            })
        })
    }

    fn count_garbage(&self, cutoff: SystemTime) -> Answer<'_, Garbage> {
        let cutoff = time_to_millis(cutoff);
        Box::pin(async move {
            let links = sqlx::query_scalar(COUNT_LINKS).bind(cutoff);
            let links: i64 = self.read(links.fetch_one(&self.readers)).await?;
            let blobs = sqlx::query_as(COUNT_BLOBS).bind(cutoff);
            let (blobs, bytes): (i64, i64) = self.read(blobs.fetch_one(&self.readers)).await?;
            Ok(Garbage {
                links: u64::try_from(links).unwrap_or(0),
                blobs: u64::try_from(blobs).unwrap_or(0),
                bytes: u64::try_from(bytes).unwrap_or(0),
            })
        })
    }

    fn remove_empty_repositories(&self, cutoff: SystemTime) -> Answer<'_, u64> {
        let cutoff = time_to_millis(cutoff);
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query(REMOVE_REPOSITORIES)
                    .bind(cutoff)
                    .execute(&mut transaction.connection)
                    .await;
                result
                    .map(|done| done.rows_affected())
                    .map_err(|error| transaction.error(error))
            })
        })
    }

    fn files_named(&self, algorithm: Algorithm, first: u8) -> Answer<'_, HashSet<Digest>> {
        let (start, end) = first_key(algorithm, first);
        let query = sqlx::query_scalar(FILES_NAMED).bind(start).bind(end);
        Box::pin(async move {
            let rows: Vec<Vec<u8>> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(rows.iter().filter_map(|d| digest_from_bytes(d)).collect())
        })
    }

    fn is_file_named(&self, digest: &Digest) -> Answer<'_, bool> {
        let query = sqlx::query_scalar(IS_FILE_NAMED).bind(digest_to_bytes(digest));
        self.read(query.fetch_one(&self.readers))
    }

    fn give_back_space(&self) -> Answer<'_, bool> {
        Box::pin(async move {
            let free = sqlx::query_scalar(FREE_PAGES);
            let free: i64 = self.read(free.fetch_one(&self.readers)).await?;
            if free == 0 {
                return Ok(false);
            }
            self.write(Durability::Relaxed, |transaction| {
                Box::pin(async move {
                    let result = sqlx::query(SHRINK)
                        .fetch_all(&mut transaction.connection)
                        .await;
                    result
                        .map(|_| true)
                        .map_err(|error| transaction.error(error))
                })
            })
            .await
        })
    }
}
