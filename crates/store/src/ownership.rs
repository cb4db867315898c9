//! Whose a repository is: filled by pushes, or by what was read and derived.

use metahub_oci::RepositoryName;

use crate::StoreError;
use crate::manifest::Origin;
use crate::store::Store;

impl Store {
    /// Whether `repository` holds a manifest that somebody pushed: then its name is taken here,
    /// and no upstream's repository of that name may be mixed into it.
    pub async fn was_pushed(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM repo_manifests
             WHERE repository_id = (SELECT id FROM repositories WHERE name = $1) AND origin = $2)",
        )
        .bind(repository.as_str())
        .bind(Origin::Pushed.number())
        .fetch_one(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))
    }
}
