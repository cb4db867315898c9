//! Repositories: what there is, page by page, and linking blobs between them.

use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::blob::Blob;
use crate::cache::Change;
use crate::encoding::{digest_to_bytes, now};
use crate::store::Store;
use crate::writer::{Durability, Transaction};

/// One page of a list that is read in order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Page<T> {
    /// The page's items.
    pub items: Vec<T>,
    /// Whether others follow: ask again with the last item as `after`.
    pub more: bool,
}

impl<T> Page<T> {
    /// The page of at most `limit` items out of `limit + 1` that were read.
    pub(crate) fn cut(mut items: Vec<T>, limit: usize) -> Self {
        let more = items.len() > limit;
        items.truncate(limit);
        Self { items, more }
    }
}

/// Why a repository may be linked to a blob.
enum Right {
    /// The caller vouches for it.
    Vouched,
    /// This repository may read it.
    Of(RepositoryName),
    /// The upstream of this host gave it for one of its repositories.
    Given(String),
}

/// Whether a repository whose name begins with the parameter has the row `blobs` from its
/// upstream.
macro_rules! given {
    ($start:literal) => {
        concat!(
            "EXISTS (SELECT 1 FROM repo_blobs g JOIN repositories s ON s.id = g.repository_id
                 WHERE g.blob_id = blobs.id AND g.given = 1
                     AND substr(s.name, 1, length(",
            $start,
            ")) = ",
            $start,
            ")"
        )
    };
}

/// What `LIMIT` is given to know whether another page follows.
pub(crate) fn limit_and_one(limit: usize) -> i64 {
    i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1)
}

/// The row of a repository, made if it is missing.
pub(crate) async fn ensure(
    transaction: &mut Transaction,
    name: &RepositoryName,
) -> Result<i64, StoreError> {
    if let Some(id) = find(transaction, name).await? {
        return Ok(id);
    }
    let result = sqlx::query_scalar(
        "INSERT INTO repositories (name, created_at) VALUES ($1, $2) RETURNING id",
    )
    .bind(name.as_str())
    .bind(now())
    .fetch_one(&mut transaction.connection)
    .await;
    result.map_err(|error| transaction.error(error))
}

/// The row of a repository.
pub(crate) async fn find(
    transaction: &mut Transaction,
    name: &RepositoryName,
) -> Result<Option<i64>, StoreError> {
    let result = sqlx::query_scalar("SELECT id FROM repositories WHERE name = $1")
        .bind(name.as_str())
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}

impl Store {
    /// Repositories that hold a manifest, in order of their names.
    pub async fn repositories(
        &self,
        after: Option<&str>,
        limit: usize,
    ) -> Result<Page<RepositoryName>, StoreError> {
        let rows: Vec<String> = sqlx::query_scalar(
            "SELECT name FROM repositories r
             WHERE name > $1
               AND EXISTS (SELECT 1 FROM repo_manifests m WHERE m.repository_id = r.id)
             ORDER BY name LIMIT $2",
        )
        .bind(after.unwrap_or(""))
        .bind(limit_and_one(limit))
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let names = rows.iter().map(|name| {
            name.parse()
                .map_err(|_| self.inner.database.corrupt(format!("repository '{name}'")))
        });
        Ok(Page::cut(names.collect::<Result<_, _>>()?, limit))
    }

    /// Whether anything was ever stored in `repository` and not collected since.
    pub async fn has_repository(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        sqlx::query_scalar("SELECT EXISTS (SELECT 1 FROM repositories WHERE name = $1)")
            .bind(repository.as_str())
            .fetch_one(&self.inner.database.readers)
            .await
            .map_err(|error| self.inner.database.error(error))
    }

    /// Repositories that may read the blob `digest`, those it came to last first; not all of
    /// them, if there are very many. For mounting without a source: whether the caller may read
    /// one of them is not known here.
    pub async fn repositories_with_blob(
        &self,
        digest: &Digest,
    ) -> Result<Vec<RepositoryName>, StoreError> {
        let names: Vec<String> = sqlx::query_scalar(
            "SELECT r.name FROM repo_blobs l JOIN repositories r ON r.id = l.repository_id
             WHERE l.blob_id = (SELECT id FROM blobs WHERE digest = $1)
             ORDER BY l.linked_at DESC LIMIT 1000",
        )
        .bind(digest_to_bytes(digest))
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        Ok(names.iter().filter_map(|name| name.parse().ok()).collect())
    }

    /// Lets `to` read the blob `digest` if `from` may. Whether it may.
    pub async fn mount(
        &self,
        from: &RepositoryName,
        to: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.blob(from, digest).await?.is_none() {
            return Ok(false);
        }
        self.link_where(Right::Of(from.clone()), to.clone(), digest)
            .await
    }

    /// Lets `repository` read a blob that is stored already. The caller vouches for its right to.
    /// Whether the blob is stored.
    pub async fn link(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.blob_anywhere(digest).await?.is_none() {
            return Ok(false);
        }
        self.link_where(Right::Vouched, repository.clone(), digest)
            .await
    }

    /// Lets `repository`, of the upstream `host` as repositories' names have it, read a blob that
    /// this upstream gave for another of its repositories. The caller has seen that the upstream
    /// gives it for this one, too. Whether it is stored, and came from there.
    pub async fn link_given(
        &self,
        host: &str,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        if self.given_blob(host, digest).await?.is_none() {
            return Ok(false);
        }
        self.link_where(Right::Given(host.to_owned()), repository.clone(), digest)
            .await
    }

    /// The blob `digest`, if the upstream `host` gave it for one of its repositories. Never for an
    /// answer to a client, as [`Store::blob_anywhere`].
    pub async fn given_blob(
        &self,
        host: &str,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        let given: bool = sqlx::query_scalar(concat!(
            "SELECT EXISTS (SELECT 1 FROM blobs WHERE digest = $2 AND ",
            given!("$1"),
            ")"
        ))
        .bind(format!("{host}/"))
        .bind(digest_to_bytes(digest))
        .fetch_one(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        if given {
            self.blob_anywhere(digest).await
        } else {
            Ok(None)
        }
    }

    /// Lets `to` read the blob `digest` if it is stored and `right` holds. Whether that is so.
    async fn link_where(
        &self,
        right: Right,
        to: RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let digest = digest_to_bytes(digest);
        let writer = &self.inner.database.writer;
        let (from, giver) = match right {
            Right::Vouched => (None, None),
            Right::Of(from) => (Some(String::from(from)), None),
            Right::Given(host) => (None, Some(format!("{host}/"))),
        };
        let given = giver.is_some();
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let result = sqlx::query_scalar(concat!(
                        "UPDATE blobs SET used_at = $1 WHERE digest = $2
                         AND ($3 IS NULL OR EXISTS (
                             SELECT 1 FROM repo_blobs l JOIN repositories r
                                 ON r.id = l.repository_id
                             WHERE l.blob_id = blobs.id AND r.name = $3))
                         AND ($4 IS NULL OR ",
                        given!("$4"),
                        ")
                         RETURNING id",
                    ))
                    .bind(now())
                    .bind(digest)
                    .bind(from)
                    .bind(giver)
                    .fetch_optional(&mut transaction.connection)
                    .await;
                    let blob: Option<i64> = result.map_err(|error| transaction.error(error))?;
                    let Some(blob) = blob else {
                        return Ok(false);
                    };
                    let repository = ensure(transaction, &to).await?;
                    crate::publish::link(transaction, repository, blob, given).await?;
                    Ok::<_, StoreError>(true)
                })
            })
            .await
    }

    /// Takes the blob `digest` from `repository`. Whether it held it. Other repositories keep it,
    /// and so does this one's manifest that names it, whose blob then cannot be read: that is what
    /// registries do. The file goes when garbage is collected.
    pub async fn delete_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        let writer = &self.inner.database.writer;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move { unlink(transaction, repository, digest).await })
            })
            .await
    }
}

/// Takes a blob out of a repository. Whether it was there.
pub(crate) async fn unlink(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
) -> Result<bool, StoreError> {
    let result = sqlx::query(
        "DELETE FROM repo_blobs
         WHERE repository_id = (SELECT id FROM repositories WHERE name = $1)
           AND blob_id = (SELECT id FROM blobs WHERE digest = $2)",
    )
    .bind(repository.as_str())
    .bind(digest_to_bytes(&digest))
    .execute(&mut transaction.connection)
    .await;
    let deleted = result.map_err(|error| transaction.error(error))?;
    transaction.changed(Change::Blob(repository, digest));
    Ok(deleted.rows_affected() > 0)
}
