//! Blobs, and which repository may read which.

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};

use super::encoding::digest_to_bytes;
use super::needs::needing;
use super::repositories::{ensure, unlink};
use super::transaction::{Durability, Transaction};
use super::{SqliteRecords, uploads};
use crate::StoreError;
use crate::records::{Access, Answer, BlobRecords, Change, Deletion, NewBlob, Right, Stays};

/// Whether a repository of the host in the parameter has the row `blobs` from its upstream.
macro_rules! given {
    ($host:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM repo_blobs g JOIN repositories s ON s.id = g.repository_id
                 WHERE g.blob_id = blobs.id AND g.given AND s.host = ",
            $host,
            ")"
        )
    };
}

statements! {
    BLOB =
        "SELECT b.size, b.body FROM blobs b
         JOIN repo_blobs l ON l.blob_id = b.id
         WHERE b.digest = $1
           AND l.repository_id = (SELECT id FROM repositories WHERE name = $2)";
    STORED_BLOB = "SELECT size, body FROM blobs WHERE digest = $1";
    IS_STORED = "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $1)";
    ENTER =
        "INSERT INTO blobs (digest, size, created_at, used_at, body) VALUES ($1, $2, $3, $3, $4)
         ON CONFLICT (digest) DO UPDATE SET
             size = excluded.size, used_at = excluded.used_at, body = excluded.body
         RETURNING id";
    LINK =
        "INSERT INTO repo_blobs (repository_id, blob_id, linked_at, given) VALUES ($1, $2, $3, $4)
         ON CONFLICT (repository_id, blob_id) DO UPDATE SET
             linked_at = excluded.linked_at, given = max(given, excluded.given)";
    IS_GIVEN = concat!(
        "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $2 AND ",
        given!("$1"),
        ")"
    );
    USE_IF_ALLOWED = concat!(
        "UPDATE blobs SET used_at = $1 WHERE digest = $2
         AND ($3 IS NULL OR EXISTS (
             SELECT 1 FROM repo_blobs l JOIN repositories r ON r.id = l.repository_id
             WHERE l.blob_id = blobs.id AND r.name = $3))
         AND ($4 IS NULL OR ",
        given!("$4"),
        ")
         RETURNING id"
    );
    HOLDERS =
        "SELECT r.name FROM repo_blobs l JOIN repositories r ON r.id = l.repository_id
         WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1)
         ORDER BY l.linked_at DESC, r.name LIMIT $2";
}

type Row = (i64, Option<Vec<u8>>);

impl SqliteRecords {
    fn access(&self, digest: &Digest, row: Option<Row>) -> Result<Option<Access>, StoreError> {
        let Some((size, body)) = row else {
            return Ok(None);
        };
        let size = u64::try_from(size);
        Ok(Some(Access {
            size: size.map_err(|_| self.corrupt(format!("size of {digest}")))?,
            body: body.map(Bytes::from),
        }))
    }
}

impl BlobRecords for SqliteRecords {
    fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, Option<Access>> {
        let query = sqlx::query_as(BLOB)
            .bind(digest_to_bytes(digest))
            .bind(repository.to_string());
        let digest = digest.clone();
        Box::pin(async move {
            let row = self.read(query.fetch_optional(&self.readers)).await?;
            self.access(&digest, row)
        })
    }

    fn stored_blob(&self, digest: &Digest) -> Answer<'_, Option<Access>> {
        let query = sqlx::query_as(STORED_BLOB).bind(digest_to_bytes(digest));
        let digest = digest.clone();
        Box::pin(async move {
            let row = self.read(query.fetch_optional(&self.readers)).await?;
            self.access(&digest, row)
        })
    }

    fn is_stored(&self, digest: &Digest) -> Answer<'_, bool> {
        let query = sqlx::query_scalar(IS_STORED).bind(digest_to_bytes(digest));
        self.read(query.fetch_one(&self.readers))
    }

    fn publish_blob(&self, new: NewBlob) -> Answer<'_, ()> {
        self.write(Durability::Full, move |transaction| {
            Box::pin(publish(transaction, new))
        })
    }

    fn link_blob(&self, right: Right, to: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        let (to, digest) = (to.clone(), digest_to_bytes(digest));
        let (from, giver) = match right {
            Right::Vouched => (None, None),
            Right::Of(from) => (Some(String::from(from)), None),
            Right::Given(host) => (None, Some(host)),
        };
        let given = giver.is_some();
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                let result = sqlx::query_scalar(USE_IF_ALLOWED)
                    .bind(transaction.now())
                    .bind(digest)
                    .bind(from)
                    .bind(giver)
                    .fetch_optional(&mut transaction.connection)
                    .await;
                let blob: Option<i64> = result.map_err(|error| transaction.error(error))?;
                let Some(blob) = blob else {
                    return Ok(false);
                };
                let repository = ensure(transaction, &to, given).await?;
                link(transaction, repository, blob, given).await?;
                Ok::<_, StoreError>(true)
            })
        })
    }

    fn is_given(&self, host: &str, digest: &Digest) -> Answer<'_, bool> {
        let query = sqlx::query_scalar(IS_GIVEN)
            .bind(host.to_owned())
            .bind(digest_to_bytes(digest));
        self.read(query.fetch_one(&self.readers))
    }

    fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Answer<'_, Vec<RepositoryName>> {
        let query = sqlx::query_scalar(HOLDERS)
            .bind(digest_to_bytes(digest))
            .bind(limit);
        Box::pin(async move {
            let names: Vec<String> = self.read(query.fetch_all(&self.readers)).await?;
            Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
        })
    }

    fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(unlink(transaction, repository, digest))
        })
    }

    fn delete_blob_unless(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: Stays,
    ) -> Answer<'_, Deletion> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.write(Durability::Full, move |transaction| {
            Box::pin(async move {
                if let Some(tag) = needing(transaction, &repository, &digest, &stays).await? {
                    return Ok(Deletion::Needed(tag));
                }
                let deleted = unlink(transaction, repository, digest).await?;
                Ok::<_, StoreError>(deleted.into())
            })
        })
    }
}

/// Enters a blob, lets its repository read it, and ends the upload that it was.
pub(super) async fn publish(transaction: &mut Transaction, new: NewBlob) -> Result<(), StoreError> {
    let blob = enter(transaction, &new.digest, new.access).await?;
    if let Some(name) = new.repository {
        let repository = ensure(transaction, &name, new.given).await?;
        link(transaction, repository, blob, new.given).await?;
        // The cache may have the damaged content that this replaces.
        transaction.changed(Change::Blob(name, new.digest));
    }
    if let Some(upload) = new.upload {
        uploads::remove(transaction, &upload).await?;
    }
    Ok(())
}

/// Inserts or replaces a blob's row; returns its id.
async fn enter(
    transaction: &mut Transaction,
    digest: &Digest,
    access: Access,
) -> Result<i64, StoreError> {
    let result = sqlx::query_scalar(ENTER)
        .bind(digest_to_bytes(digest))
        .bind(i64::try_from(access.size).unwrap_or(i64::MAX))
        .bind(transaction.now())
        .bind(access.body.map(Vec::from))
        .fetch_one(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}

/// Links a blob to a repository; `given` if its upstream has it.
async fn link(
    transaction: &mut Transaction,
    repository: i64,
    blob: i64,
    given: bool,
) -> Result<(), StoreError> {
    let result = sqlx::query(LINK)
        .bind(repository)
        .bind(blob)
        .bind(transaction.now())
        .bind(given)
        .execute(&mut transaction.connection)
        .await;
    result.map(|_| ()).map_err(|error| transaction.error(error))
}
