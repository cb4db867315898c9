//! One repository of the store, with read access granted.
//!
//! Only `access` makes a [`StoredRepository`], after it checked that it may be read. Content that
//! was fetched or derived is cached through it; what clients push and delete goes through
//! [`PushAccess`](crate::access::change::PushAccess) and
//! [`DeleteAccess`](crate::access::change::DeleteAccess).

use std::sync::Arc;
use std::time::SystemTime;

use metahub_oci::{Descriptor, Digest, Document, JsonMap, RepositoryName, Tag};
use metahub_store::{
    Blob, DerivedOutcome, Deriving, Fill, FillError, Page, PutError, PutManifest, ResumableFill,
    Store, StoreError, StoredManifest, TagRecord,
};

/// A repository of the store that may be read.
#[derive(Clone)]
pub(crate) struct StoredRepository {
    store: Store,
    name: RepositoryName,
}

impl std::fmt::Debug for StoredRepository {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("StoredRepository").field(&self.name).finish()
    }
}

impl StoredRepository {
    /// For `access` alone, which checks first.
    pub(super) fn new(store: &Store, name: RepositoryName) -> Self {
        Self {
            store: store.clone(),
            name,
        }
    }

    #[cfg(test)]
    pub(crate) fn for_tests(store: &Store, name: &str) -> Self {
        Self::new(store, name.parse().unwrap())
    }

    #[cfg(test)]
    pub(crate) async fn put_for_tests(&self, digest: &Digest, bytes: bytes::Bytes) {
        let put = self.store.put_blob(&self.name, digest, bytes);
        put.await.unwrap();
    }

    /// Its name in the store.
    pub(crate) fn name(&self) -> &RepositoryName {
        &self.name
    }

    pub(crate) async fn manifest(
        &self,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, StoreError> {
        self.store.manifest(&self.name, digest).await
    }

    /// What a layer's code needs, as found by that version of the rule.
    pub(crate) async fn layer_needs(
        &self,
        layer: &Digest,
        rule: u32,
    ) -> Result<Option<String>, StoreError> {
        self.store.layer_needs(layer, rule).await
    }

    /// Records what a layer needs. Returns whether the layer is stored.
    pub(crate) async fn put_layer_needs(
        &self,
        layer: &Digest,
        rule: u32,
        needs: String,
    ) -> Result<bool, StoreError> {
        self.store.put_layer_needs(layer, rule, needs).await
    }

    pub(crate) async fn tag(&self, tag: &Tag) -> Result<Option<Arc<TagRecord>>, StoreError> {
        self.store.tag(&self.name, tag).await
    }

    /// The tags after `last`, at most `limit`.
    pub(crate) async fn tags(
        &self,
        last: Option<&str>,
        limit: usize,
    ) -> Result<Page<Tag>, StoreError> {
        self.store.tags(&self.name, last, limit).await
    }

    pub(crate) async fn blob(&self, digest: &Digest) -> Result<Option<Blob>, StoreError> {
        self.store.blob(&self.name, digest).await
    }

    /// Whether its name is local, because it was pushed to.
    pub(crate) async fn was_pushed(&self) -> Result<bool, StoreError> {
        self.store.was_pushed(&self.name).await
    }

    /// Whether the store knows it at all.
    pub(crate) async fn exists(&self) -> Result<bool, StoreError> {
        self.store.has_repository(&self.name).await
    }

    /// The referrers of `subject` after `after`, at most `limit`.
    pub(crate) async fn referrers(
        &self,
        subject: &Digest,
        artifact_type: Option<&str>,
        after: Option<&Digest>,
        limit: usize,
    ) -> Result<Page<JsonMap>, StoreError> {
        self.store
            .referrers(&self.name, subject, artifact_type, after, limit)
            .await
    }

    /// The sizes that its manifests state of a blob.
    pub(crate) async fn stated_sizes(&self, digest: &Digest) -> Result<Vec<u64>, StoreError> {
        self.store.stated_sizes(&self.name, digest).await
    }

    /// The provenance of its manifests that lead to a blob.
    pub(crate) async fn sources_of_blob(&self, digest: &Digest) -> Result<Vec<String>, StoreError> {
        self.store.sources_of_blob(&self.name, digest).await
    }

    /// The compatibility artifact of an image, as its upstream last named it.
    pub(crate) async fn compatibility(
        &self,
        image: &Digest,
    ) -> Result<Option<Option<Descriptor>>, StoreError> {
        self.store.compatibility(&self.name, image).await
    }

    pub(crate) async fn set_compatibility(
        &self,
        image: &Digest,
        artifact: Option<&Descriptor>,
    ) -> Result<(), StoreError> {
        self.store
            .set_compatibility(&self.name, image, artifact)
            .await
    }

    /// Caches a manifest of its upstream image `source`.
    pub(crate) async fn put_fetched(
        &self,
        document: &Document,
        source: String,
        fetched: FetchedManifest,
    ) -> Result<(), PutError> {
        let put = PutManifest {
            etag: fetched.etag,
            brought_by: fetched.brought_by,
            ..PutManifest::upstream(fetched.tags, source)
        };
        self.store.put_manifest(&self.name, document, put).await
    }

    /// Held while derived content is stored: what it shares with other derived content is not
    /// evicted meanwhile.
    pub(crate) async fn deriving(&self) -> Deriving {
        self.store.deriving().await
    }

    /// Stores the outcome of a derivation atomically.
    pub(crate) async fn put_outcome(&self, outcome: DerivedOutcome) -> Result<(), PutError> {
        self.store.put_outcome(&self.name, outcome).await
    }

    /// The outcome of the derivation `key`, if it is stored here.
    pub(crate) async fn derived(&self, key: &Digest) -> Result<Option<Digest>, StoreError> {
        let known = self.store.derived(key).await?;
        let known = known.filter(|known| known.repository == self.name);
        Ok(known.map(|known| known.digest.clone()))
    }

    /// Records that the upstream confirmed that `tag` names `digest`.
    pub(crate) async fn touch_tag(
        &self,
        tag: &Tag,
        digest: &Digest,
        etag: Option<String>,
    ) -> Result<(), StoreError> {
        self.store
            .touch_tag(&self.name, tag, digest, SystemTime::now(), etag)
            .await
    }

    /// Mounts a blob of `from`. Returns whether `from` has it.
    pub(crate) async fn mount(&self, from: &Self, digest: &Digest) -> Result<bool, StoreError> {
        self.store.mount(&from.name, &self.name, digest).await
    }

    /// Links a blob that was fetched from `host` for another of its repositories. Returns whether
    /// there is one. The caller has the upstream's proof that this repository has it.
    pub(crate) async fn link_given(&self, host: &str, digest: &Digest) -> Result<bool, StoreError> {
        self.store.link_given(host, &self.name, digest).await
    }

    /// Links a blob that an import stored without a repository. Returns whether it is there.
    pub(crate) async fn link_imported(&self, digest: &Digest) -> Result<bool, StoreError> {
        self.store.link(&self.name, digest).await
    }

    /// A complete blob that was fetched from `host` for any of its repositories.
    pub(crate) async fn given_blob(
        &self,
        host: &str,
        digest: &Digest,
    ) -> Result<Option<Blob>, StoreError> {
        self.store.given_blob(host, digest).await
    }

    /// A fetch of a blob from `host` that was interrupted.
    pub(crate) async fn resumable_fill(
        &self,
        host: &str,
        digest: &Digest,
    ) -> Result<Option<ResumableFill>, StoreError> {
        self.store.resumable_fill(host, digest).await
    }

    /// Begins a fetch of a blob from `host`; [`commit`](Self::commit) ends it.
    pub(crate) fn fill_from(&self, host: &str, digest: &Digest, size: Option<u64>) -> Fill {
        self.store.fill_from(host, digest, size)
    }

    /// Ends a fetch of a blob that this repository's upstream gave.
    pub(crate) async fn commit(&self, fill: Fill) -> Result<Blob, FillError> {
        fill.commit(Some(&self.name)).await
    }
}

/// The metadata of a fetched manifest.
#[derive(Default)]
pub(crate) struct FetchedManifest {
    /// The tags that name it.
    pub(crate) tags: Vec<Tag>,
    /// The validator that the upstream gave with the tag.
    pub(crate) etag: Option<String>,
    /// The client without an account that had it fetched, as
    /// [`Registry::of_client`](crate::Registry) numbers them; else 0.
    pub(crate) brought_by: i64,
}
