//! Finding the rows of a manifest that a repository holds.

use metahub_oci::{Digest, RepositoryName};

use super::encoding::digest_to_bytes;

use super::transaction::Transaction;
use crate::StoreError;

statements! {
    ROWS =
        "SELECT l.repository_id, l.manifest_id FROM repo_manifests l
         JOIN manifests m ON m.id = l.manifest_id
         WHERE l.repository_id = (SELECT id FROM repositories WHERE name = $1) AND m.digest = $2";
}

/// The row of `repository` and that of the manifest `digest`, if the repository holds it.
pub(super) async fn find(
    transaction: &mut Transaction,
    repository: &RepositoryName,
    digest: &Digest,
) -> Result<Option<(i64, i64)>, StoreError> {
    let result = sqlx::query_as(ROWS)
        .bind(repository.as_str())
        .bind(digest_to_bytes(digest))
        .fetch_optional(&mut transaction.connection)
        .await;
    result.map_err(|error| transaction.error(error))
}
