//! Which tags need a piece of content, for conditional deletes.

use metahub_oci::{Digest, RepositoryName, Tag};

use super::encoding::digest_to_bytes;

use super::transaction::Transaction;
use crate::StoreError;
use crate::records::Stays;

statements! {
    TAGS_NEEDING =
        "WITH RECURSIVE needing (id) AS (
             SELECT id FROM manifests WHERE digest = $1
             UNION
             SELECT manifest_id FROM needed_refs WHERE digest = $1
             UNION
             SELECT f.manifest_id FROM needing n
             JOIN manifests m ON m.id = n.id
             JOIN needed_refs f ON f.digest = m.digest
         )
         SELECT t.name FROM needing n JOIN tags t ON t.manifest_id = n.id
         WHERE t.repository_id = (SELECT id FROM repositories WHERE name = $2)
         ORDER BY t.name";
}

/// A tag of `repository` that `stays` and needs `digest`: it names it, or something that refers
/// to it at any depth. What a manifest is only attached to, its subject, it does not need.
pub(super) async fn needing(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    digest: &Digest,
    stays: &Stays,
) -> Result<Option<Tag>, StoreError> {
    let result = sqlx::query_scalar(TAGS_NEEDING)
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
