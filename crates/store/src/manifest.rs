//! Manifests and indexes: reading them, and what is said about them. Storing is `put_manifest`.

use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, MediaType, RepositoryName};

use crate::StoreError;
use crate::cache::Change;
use crate::encoding::digest_to_bytes;
use crate::store::{Store, blocking};
use crate::writer::{Durability, Transaction};

/// Larger bodies are hashed off the asynchronous workers.
const HASH_INLINE: usize = 128 * 1024;

/// How a manifest or a tag came to be here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Origin {
    /// Somebody pushed it.
    Pushed = 1,
    /// It was read from an upstream.
    Upstream = 2,
    /// It was computed here.
    Derived = 3,
}

impl Origin {
    /// As it is written in the database.
    pub(crate) fn number(self) -> i64 {
        self as i64
    }

    pub(crate) fn from_number(number: i64) -> Option<Self> {
        match number {
            1 => Some(Self::Pushed),
            2 => Some(Self::Upstream),
            3 => Some(Self::Derived),
            _ => None,
        }
    }
}

/// A manifest or index as it is served.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StoredManifest {
    /// What the bytes hash to.
    pub digest: Digest,
    /// The type to serve it with.
    pub media_type: MediaType,
    /// The exact bytes.
    pub bytes: Bytes,
    /// How it came into this repository.
    pub origin: Origin,
    /// The image that it was read from, if it came from elsewhere.
    pub source: Option<String>,
}

impl Store {
    /// The manifest or index `digest`, if `repository` holds it. Its bytes are verified when they
    /// come from the disk.
    pub async fn manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        let key = (repository.clone(), digest.clone());
        let manifests = &self.inner.caches.manifests;
        if let Some(manifest) = manifests.get(&key) {
            return Ok(Some(manifest));
        }
        let ticket = manifests.ticket(&key);
        let row: Option<(String, i64, Option<String>, Vec<u8>)> = sqlx::query_as(
            "SELECT l.media_type, l.origin, l.source, m.body
             FROM repo_manifests l
             JOIN manifests m ON m.id = l.manifest_id
             WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $1)
               AND m.digest = $2",
        )
        .bind(repository.as_str())
        .bind(digest_to_bytes(digest))
        .fetch_optional(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        let Some((media_type, origin, source, body)) = row else {
            return Ok(None);
        };
        let corrupt = |what: &str| {
            let problem = format!("the {what} of manifest {digest} in {repository}");
            self.inner.database.corrupt(problem)
        };
        let manifest = Arc::new(StoredManifest {
            digest: digest.clone(),
            media_type: media_type.parse().map_err(|_| corrupt("media type"))?,
            origin: Origin::from_number(origin).ok_or_else(|| corrupt("origin"))?,
            source,
            bytes: Bytes::from(body),
        });
        verify(&manifest).await?;
        manifests.fill(ticket, key, Arc::clone(&manifest));
        Ok(Some(manifest))
    }

    /// Removes a manifest or index from `repository`, with the tags that name it. Whether it was
    /// there. What it referred to stays.
    pub async fn delete_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, StoreError> {
        let (repository, digest) = (repository.clone(), digest.clone());
        self.inner
            .database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move { delete(transaction, repository, digest).await })
            })
            .await
    }

    /// The images that the manifests of `repository` which refer to `digest` were read from:
    /// where to look for a blob that is not here yet.
    pub async fn sources_of_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<String>, StoreError> {
        sqlx::query_scalar(
            "SELECT l.source FROM refs f
             JOIN repo_manifests l ON l.manifest_id = f.manifest_id
             WHERE f.digest = $1 AND f.kind IN (1, 2) AND l.source IS NOT NULL
               AND l.repository_id = (SELECT id FROM repositories WHERE name = $2)
             GROUP BY l.source ORDER BY max(l.pushed_at) DESC, l.source",
        )
        .bind(digest_to_bytes(digest))
        .bind(repository.as_str())
        .fetch_all(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))
    }
}

async fn verify(manifest: &Arc<StoredManifest>) -> Result<(), StoreError> {
    let right = if manifest.bytes.len() <= HASH_INLINE {
        manifest.digest.matches(&manifest.bytes)
    } else {
        let manifest = Arc::clone(manifest);
        blocking(move || Ok::<_, StoreError>(manifest.digest.matches(&manifest.bytes))).await?
    };
    if right {
        return Ok(());
    }
    tracing::error!(digest = %manifest.digest, "a stored manifest is damaged");
    Err(StoreError::Damaged {
        digest: manifest.digest.clone(),
        problem: "its bytes hash to something else".to_owned(),
    })
}

/// Removes a manifest from a repository, and its body if no other repository holds it.
pub(crate) async fn delete(
    transaction: &mut Transaction,
    repository: RepositoryName,
    digest: Digest,
) -> Result<bool, StoreError> {
    let result = sqlx::query_as(
        "SELECT l.repository_id, l.manifest_id FROM repo_manifests l
         JOIN manifests m ON m.id = l.manifest_id
         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2",
    )
    .bind(repository.as_str())
    .bind(digest_to_bytes(&digest))
    .fetch_optional(&mut transaction.connection)
    .await;
    let ids: Option<(i64, i64)> = result.map_err(|error| transaction.error(error))?;
    let Some((repository_id, manifest_id)) = ids else {
        return Ok(false);
    };
    let result = sqlx::query_scalar(
        "DELETE FROM tags WHERE repository_id = $1 AND manifest_id = $2 RETURNING name",
    )
    .bind(repository_id)
    .bind(manifest_id)
    .fetch_all(&mut transaction.connection)
    .await;
    let tags: Vec<String> = result.map_err(|error| transaction.error(error))?;
    for tag in tags {
        let parsed = tag.parse();
        let tag = parsed.map_err(|_| transaction.corrupt(format!("tag '{tag}'")))?;
        transaction.changed(Change::Tag(repository.clone(), tag));
    }
    crate::derived::delete_of(transaction, repository_id, manifest_id).await?;
    for statement in [
        "DELETE FROM repo_manifests WHERE manifest_id = $1 AND repository_id = $2",
        "DELETE FROM refs WHERE manifest_id = $1
             AND NOT EXISTS (SELECT 1 FROM repo_manifests WHERE manifest_id = $1)",
        "DELETE FROM manifests WHERE id = $1
             AND NOT EXISTS (SELECT 1 FROM repo_manifests WHERE manifest_id = $1)",
    ] {
        let mut query = sqlx::query(statement).bind(manifest_id);
        if statement.contains("$2") {
            query = query.bind(repository_id);
        }
        let result = query.execute(&mut transaction.connection).await;
        result.map_err(|error| transaction.error(error))?;
    }
    transaction.changed(Change::Pushed(repository.clone()));
    transaction.changed(Change::Manifest(repository, digest));
    Ok(true)
}
