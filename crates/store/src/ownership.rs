//! Whose a repository is: filled by pushes, or by what was read and derived.

use metahub_oci::RepositoryName;

use crate::StoreError;
use crate::manifest::Origin;
use crate::store::Store;

impl Store {
    /// Whether `repository` holds a manifest that somebody pushed: then its name is taken here,
    /// and no upstream's repository of that name may be mixed into it.
    pub async fn was_pushed(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        let cache = &self.inner.caches.pushed;
        if let Some(known) = cache.get(repository) {
            return Ok(known);
        }
        let ticket = cache.ticket(repository);
        let pushed: bool = sqlx::query_scalar(
            "SELECT EXISTS (SELECT 1 FROM repo_manifests
             WHERE repository_id = (SELECT id FROM repositories WHERE name = $1) AND origin = $2)",
        )
        .bind(repository.as_str())
        .bind(Origin::Pushed.number())
        .fetch_one(&self.inner.database.readers)
        .await
        .map_err(|error| self.inner.database.error(error))?;
        cache.fill(ticket, repository.clone(), pushed);
        Ok(pushed)
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Document, Index};

    use super::*;
    use crate::PutManifest;

    #[tokio::test]
    async fn a_name_is_taken_from_the_first_push_to_the_last_delete() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let document = Document::from(Index::new(Vec::new()));
        assert!(!store.was_pushed(&name).await.unwrap());
        let read = PutManifest::upstream(Vec::new(), "quay.io/alice/app:1");
        store.put_manifest(&name, &document, read).await.unwrap();
        assert!(!store.was_pushed(&name).await.unwrap());
        let push = PutManifest::pushed(Vec::new());
        store.put_manifest(&name, &document, push).await.unwrap();
        assert!(store.was_pushed(&name).await.unwrap());
        store
            .delete_manifest(&name, document.digest())
            .await
            .unwrap();
        assert!(!store.was_pushed(&name).await.unwrap());
    }

    #[tokio::test]
    async fn a_tag_that_was_not_there_is_found_once_it_is_pushed() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let tag: metahub_oci::Tag = "1".parse().unwrap();
        let document = Document::from(Index::new(Vec::new()));
        assert!(store.tag(&name, &tag).await.unwrap().is_none());
        let push = PutManifest::pushed(vec![tag.clone()]);
        store.put_manifest(&name, &document, push).await.unwrap();
        assert!(store.tag(&name, &tag).await.unwrap().is_some());
    }
}
