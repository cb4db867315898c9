//! The compatibility artifact of an image, as last fetched from its upstream. It is requested with
//! every image that is chosen for a login, and a choice must not depend on whether the upstream is
//! up.

use metahub_oci::{Descriptor, Digest, RepositoryName};

use crate::StoreError;
use crate::store::Store;

impl Store {
    /// The last answer about the compatibility artifact of `image`: its descriptor, or that there
    /// is none. `None` if no upstream was ever asked.
    ///
    /// # Errors
    /// If the database cannot be read, or its row cannot.
    pub async fn compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
    ) -> Result<Option<Option<Descriptor>>, StoreError> {
        self.inner.records.compatibility(repository, image).await
    }

    /// Records an answer about the compatibility artifact of `image`, if `repository` holds that
    /// image.
    ///
    /// # Errors
    /// If the database cannot be written.
    pub async fn set_compatibility(
        &self,
        repository: &RepositoryName,
        image: &Digest,
        artifact: Option<&Descriptor>,
    ) -> Result<(), StoreError> {
        let records = &self.inner.records;
        records.set_compatibility(repository, image, artifact).await
    }
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Document, Index, MediaType};

    use super::*;
    use crate::PutManifest;

    #[tokio::test]
    async fn what_was_told_last_is_kept_as_long_as_the_image() {
        let store = Store::temporary().await.unwrap();
        let [here, other]: [RepositoryName; 2] =
            ["quay.io/team/app", "quay.io/team/other"].map(|name| name.parse().unwrap());
        let document = Document::from(Index::new(Vec::new()));
        let image = document.digest();
        let told = async |name: &RepositoryName| store.compatibility(name, image).await.unwrap();
        // An image that is not cached has no row.
        store.set_compatibility(&here, image, None).await.unwrap();
        assert_eq!(told(&here).await, None);
        let put = || PutManifest::upstream(Vec::new(), "quay.io/team/app:1");
        store.put_manifest(&here, &document, put()).await.unwrap();
        store.put_manifest(&other, &document, put()).await.unwrap();
        assert_eq!(told(&here).await, None);
        store.set_compatibility(&here, image, None).await.unwrap();
        assert_eq!(told(&here).await, Some(None));
        let artifact = Descriptor::new(MediaType::oci_manifest(), Digest::sha256(b"a"), 1);
        let some = Some(&artifact);
        store.set_compatibility(&here, image, some).await.unwrap();
        assert_eq!(told(&here).await, Some(Some(artifact)));
        assert_eq!(told(&other).await, None, "another repository's upstream");
        // Put again, it stays; deleted, it goes.
        store.put_manifest(&here, &document, put()).await.unwrap();
        assert!(told(&here).await.is_some());
        store.delete_manifest(&here, image).await.unwrap();
        store.put_manifest(&here, &document, put()).await.unwrap();
        assert_eq!(told(&here).await, None);
    }
}
