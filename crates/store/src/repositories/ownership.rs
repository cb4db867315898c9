//! Local names: names that a manifest was pushed to. A name is local from its first push until an
//! admin releases it, whatever is deleted meanwhile, because an upstream's repository of the same
//! name belongs to another owner.

use metahub_oci::RepositoryName;

use crate::StoreError;
use crate::records::{LocalName, Page, Release};
use crate::store::Store;

impl Store {
    /// Whether a manifest was pushed to `repository` and the name was not released since: then no
    /// upstream's repository of that name may be mixed into it.
    pub async fn was_pushed(&self, repository: &RepositoryName) -> Result<bool, StoreError> {
        let cache = &self.inner.caches.pushed;
        if let Some(known) = cache.get(repository) {
            return Ok(known);
        }
        let ticket = cache.ticket(repository);
        let pushed = self.inner.records.is_local(repository).await?;
        cache.fill(ticket, repository.clone(), pushed);
        Ok(pushed)
    }

    /// The local names after `after`, in lexical order, at most `limit`.
    pub async fn local_names(
        &self,
        after: Option<&RepositoryName>,
        limit: usize,
    ) -> Result<Page<LocalName>, StoreError> {
        self.inner.records.local_names(after, limit).await
    }

    /// Releases the name, so that `repository` can be found at upstreams again. A name that holds
    /// pushed manifests stays local: they are deleted first.
    pub async fn release_name(&self, repository: &RepositoryName) -> Result<Release, StoreError> {
        self.inner.records.release_name(repository).await
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Document, Index};

    use super::*;
    use crate::{GcOptions, PutManifest};

    fn pushed(account: &str) -> PutManifest {
        PutManifest {
            account: Some(account.to_owned()),
            ..PutManifest::pushed(Vec::new())
        }
    }

    #[tokio::test]
    async fn a_name_is_local_from_the_first_push_until_it_is_released() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let document = Document::from(Index::new(Vec::new()));
        let digest = document.digest();
        assert!(!store.was_pushed(&name).await.unwrap());
        let read = PutManifest::upstream(Vec::new(), "quay.io/alice/app:1");
        store.put_manifest(&name, &document, read).await.unwrap();
        assert!(!store.was_pushed(&name).await.unwrap());
        let push = pushed("alice");
        store.put_manifest(&name, &document, push).await.unwrap();
        assert!(store.was_pushed(&name).await.unwrap());
        let held = store.release_name(&name).await.unwrap();
        assert_eq!(held, Release::Holds(1));
        assert!(store.delete_manifest(&name, digest).await.unwrap());
        assert!(store.was_pushed(&name).await.unwrap());
        let now = GcOptions {
            grace: std::time::Duration::ZERO,
            dry_run: false,
        };
        store.collect_garbage(&now).await.unwrap();
        assert!(store.was_pushed(&name).await.unwrap());
        // A later push by another account does not take the name over.
        let again = pushed("bob");
        store.put_manifest(&name, &document, again).await.unwrap();
        store.delete_manifest(&name, digest).await.unwrap();
        let names = store.local_names(None, 10).await.unwrap();
        assert!(!names.more);
        let [found] = names.items.as_slice() else {
            panic!("{names:?}");
        };
        assert_eq!(found.name, name);
        assert_eq!(found.account.as_deref(), Some("alice"));
        assert_eq!(found.manifests, 0);
        assert_eq!(store.release_name(&name).await.unwrap(), Release::Done);
        assert!(!store.was_pushed(&name).await.unwrap());
        let again = store.release_name(&name).await.unwrap();
        assert_eq!(again, Release::NotLocal);
    }

    #[tokio::test]
    async fn a_push_that_is_refused_makes_no_name_local() {
        let store = Store::temporary().await.unwrap();
        let name: RepositoryName = "alice/app".parse().unwrap();
        let child = Document::from(Index::new(Vec::new())).descriptor();
        let document = Document::from(Index::new(vec![child]));
        let refused = store.put_manifest(&name, &document, pushed("alice")).await;
        assert!(refused.is_err());
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
