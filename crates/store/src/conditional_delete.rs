//! Deleting only what no tag that must stay needs: the check and the deletion are one transaction,
//! so that no tag comes between them.

use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;
use crate::encoding::digest_to_bytes;
use crate::store::Store;
use crate::writer::{Durability, Transaction};
use crate::{manifest, repository};

/// What became of a deletion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deletion {
    /// It is gone.
    Done,
    /// It was not there.
    Absent,
    /// It stays, because this tag must stay whole.
    Needed(Tag),
}

/// From whether it was there.
impl From<bool> for Deletion {
    fn from(deleted: bool) -> Self {
        if deleted { Self::Done } else { Self::Absent }
    }
}

impl Store {
    /// [`Store::delete_manifest`], unless a tag that `stays` names the manifest, or an index that
    /// needs it.
    pub async fn delete_manifest_unless<S>(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: S,
    ) -> Result<Deletion, StoreError>
    where
        S: Fn(&Tag) -> bool + Send + Sync + 'static,
    {
        let (repository, digest) = (repository.clone(), digest.clone());
        let writer = &self.inner.database.writer;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    if let Some(tag) = needing(transaction, &repository, &digest, &stays).await? {
                        return Ok(Deletion::Needed(tag));
                    }
                    let deleted = manifest::delete(transaction, repository, digest).await?;
                    Ok::<_, StoreError>(deleted.into())
                })
            })
            .await
    }

    /// [`Store::delete_blob`], unless a tag that `stays` names an image that needs the blob.
    pub async fn delete_blob_unless<S>(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: S,
    ) -> Result<Deletion, StoreError>
    where
        S: Fn(&Tag) -> bool + Send + Sync + 'static,
    {
        let (repository, digest) = (repository.clone(), digest.clone());
        let writer = &self.inner.database.writer;
        writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    if let Some(tag) = needing(transaction, &repository, &digest, &stays).await? {
                        return Ok(Deletion::Needed(tag));
                    }
                    let deleted = repository::unlink(transaction, repository, digest).await?;
                    Ok::<_, StoreError>(deleted.into())
                })
            })
            .await
    }
}

/// A tag of `repository` that `stays` and needs `digest`: it names it, or something that refers
/// to it at any depth. What a manifest is only attached to, its subject, it does not need.
async fn needing(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    digest: &Digest,
    stays: &(dyn Fn(&Tag) -> bool + Send + Sync),
) -> Result<Option<Tag>, StoreError> {
    let result = sqlx::query_scalar(
        "WITH RECURSIVE needing (id) AS (
             SELECT id FROM manifests WHERE digest = $1
             UNION
             SELECT manifest_id FROM refs WHERE digest = $1 AND kind <> 4
             UNION
             SELECT f.manifest_id FROM needing n
             JOIN manifests m ON m.id = n.id
             JOIN refs f ON f.digest = m.digest AND f.kind <> 4
         )
         SELECT t.name FROM needing n JOIN tags t ON t.manifest_id = n.id
         WHERE t.repository_id = (SELECT id FROM repositories WHERE name = $2)
         ORDER BY t.name",
    )
    .bind(digest_to_bytes(digest))
    .bind(repository.as_str())
    .fetch_all(&mut transaction.connection)
    .await;
    let tags: Vec<String> = result.map_err(|error| transaction.error(error))?;
    for tag in tags {
        let parsed = tag.parse();
        let tag = parsed.map_err(|_| transaction.corrupt(format!("tag '{tag}'")))?;
        if stays(&tag) {
            return Ok(Some(tag));
        }
    }
    Ok(None)
}
