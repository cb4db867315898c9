//! The guards of every push and deletion.
//!
//! These methods apply immutable tags, the switch for deletions and ownership of names, so that no
//! caller has to remember them. Whether the repository may be changed at all was checked when the
//! handle was made.

use metahub_oci::{Digest, Document, RepositoryName, Tag};
use metahub_store::{Deletion, PutManifest, Store, Upload, UploadId};

use crate::access::stored::StoredRepository;
use crate::error::{Immutable, RegistryError};
use crate::push::immutable::ImmutableTags;

/// A repository that a client may push to.
pub(crate) struct PushAccess<'r> {
    store: &'r Store,
    stored: StoredRepository,
    immutable: &'r ImmutableTags,
    account: Option<&'r str>,
}

impl<'r> PushAccess<'r> {
    /// For `access` alone, which checks first.
    pub(super) fn new(
        store: &'r Store,
        stored: StoredRepository,
        immutable: &'r ImmutableTags,
        account: Option<&'r str>,
    ) -> Self {
        Self {
            store,
            stored,
            immutable,
            account,
        }
    }

    fn name(&self) -> &RepositoryName {
        self.stored.name()
    }

    /// The repository for reading what was pushed to it.
    pub(crate) fn stored(&self) -> &StoredRepository {
        &self.stored
    }

    /// Stores a manifest under `tags`. With `require_references` all that it refers to must be in
    /// this repository.
    ///
    /// # Errors
    /// A reference that is missing or of another size, an immutable tag that names another
    /// manifest, or the store's.
    pub(crate) async fn put_manifest(
        &self,
        document: &Document,
        tags: Vec<Tag>,
        require_references: bool,
    ) -> Result<(), RegistryError> {
        let fixed = tags
            .iter()
            .filter(|tag| self.immutable.has(self.name(), tag));
        let put = PutManifest {
            fixed: fixed.cloned().collect(),
            account: self.account.map(str::to_owned),
            require_references,
            ..PutManifest::pushed(tags)
        };
        Ok(self.store.put_manifest(self.name(), document, put).await?)
    }

    /// Refuses to move `tag` to `digest` if it is immutable and names another manifest. A check
    /// before content is accepted; [`put_manifest`](Self::put_manifest) decides.
    pub(crate) async fn check_tag(
        &self,
        tag: &Tag,
        digest: Option<&Digest>,
    ) -> Result<(), RegistryError> {
        if !self.immutable.has(self.name(), tag) {
            return Ok(());
        }
        match self.stored.tag(tag).await? {
            Some(there) if Some(&there.digest) != digest => Err(Immutable::NamesAnother {
                name: self.name().clone(),
                tag: tag.clone(),
                names: there.digest.clone(),
            }
            .into()),
            _ => Ok(()),
        }
    }

    /// Mounts a blob of `from`. Returns whether `from` has it.
    pub(crate) async fn mount(
        &self,
        from: &StoredRepository,
        digest: &Digest,
    ) -> Result<bool, RegistryError> {
        Ok(self.stored.mount(from, digest).await?)
    }

    pub(crate) async fn start_upload(&self) -> Result<UploadId, RegistryError> {
        Ok(self.store.start_upload(self.name()).await?)
    }

    /// An upload of this repository.
    ///
    /// # Errors
    /// [`RegistryError::UploadUnknown`] if none is called `id`.
    pub(crate) async fn upload(&self, id: &str) -> Result<Upload, RegistryError> {
        let unknown = || RegistryError::UploadUnknown(id.to_owned());
        let id: UploadId = id.parse().map_err(|_| unknown())?;
        let upload = self.store.upload(self.name(), &id).await?;
        upload.ok_or_else(unknown)
    }
}

/// A repository that a client may delete from (CVE-2026-41888: one guard for every way to delete).
pub(crate) struct DeleteAccess<'r> {
    store: &'r Store,
    /// The name for clients, which patterns for immutable tags match.
    name: &'r RepositoryName,
    /// The repository in the store, which has another name for a copy of an upstream's.
    stored: StoredRepository,
    immutable: &'r ImmutableTags,
}

impl<'r> DeleteAccess<'r> {
    /// For `access` alone, which checks first.
    pub(super) fn new(
        store: &'r Store,
        name: &'r RepositoryName,
        stored: StoredRepository,
        immutable: &'r ImmutableTags,
    ) -> Self {
        Self {
            store,
            name,
            stored,
            immutable,
        }
    }

    /// Deletes a tag. The manifest that it names stays.
    pub(crate) async fn tag(&self, tag: &Tag) -> Result<(), RegistryError> {
        if self.immutable.has(self.name, tag) {
            let (name, tag) = (self.name.clone(), tag.clone());
            return Err(Immutable::TagStays { name, tag }.into());
        }
        if self.store.delete_tag(self.stored.name(), tag).await? {
            Ok(())
        } else {
            Err(RegistryError::unknown(self.name, tag.clone()))
        }
    }

    /// Deletes a manifest and every tag that names it, unless an immutable tag needs it.
    pub(crate) async fn manifest(&self, digest: &Digest) -> Result<(), RegistryError> {
        let (store, stored) = (self.store, self.stored.name());
        let deletion = match self.staying_tags() {
            None => Deletion::from(store.delete_manifest(stored, digest).await?),
            Some(stays) => store.delete_manifest_unless(stored, digest, stays).await?,
        };
        self.outcome(digest, deletion, || {
            RegistryError::unknown(self.name, digest.clone())
        })
    }

    /// Deletes a blob from this repository, unless an immutable tag needs it.
    pub(crate) async fn blob(&self, digest: &Digest) -> Result<(), RegistryError> {
        let (store, stored) = (self.store, self.stored.name());
        let deletion = match self.staying_tags() {
            None => Deletion::from(store.delete_blob(stored, digest).await?),
            Some(stays) => store.delete_blob_unless(stored, digest, stays).await?,
        };
        self.outcome(digest, deletion, || {
            RegistryError::BlobUnknown(self.name.clone(), digest.clone())
        })
    }

    /// Whether a tag of this repository is immutable; `None` where no tag can be.
    fn staying_tags(&self) -> Option<impl Fn(&Tag) -> bool + Send + Sync + 'static> {
        let (immutable, name) = (self.immutable.clone(), self.name.clone());
        (!immutable.is_empty()).then_some(move |tag: &Tag| immutable.has(&name, tag))
    }

    fn outcome(
        &self,
        digest: &Digest,
        deletion: Deletion,
        absent: impl FnOnce() -> RegistryError,
    ) -> Result<(), RegistryError> {
        match deletion {
            Deletion::Done => Ok(()),
            Deletion::Absent => Err(absent()),
            Deletion::Needed(tag) => Err(Immutable::TagNeeds {
                name: self.name.clone(),
                tag,
                digest: digest.clone(),
            }
            .into()),
        }
    }
}
