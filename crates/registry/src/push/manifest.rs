//! Manifests on their way in, and deleting what was pushed.

use bytes::Bytes;
use metahub_oci::{Digest, Document, MediaType, Reference, RepositoryName, Tag};
use metahub_store::{Deletion, PutBlobError, PutError, PutManifest};

use crate::{Registry, RegistryError};

/// What became of a pushed manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// The digest it is held under.
    pub digest: Digest,
    /// The manifest it refers to, if it has a subject.
    pub subject: Option<Digest>,
    /// The tags that were given beside a digest reference.
    pub tags: Vec<Tag>,
}

const DELETE_IS_OFF: &str =
    "deleting is switched off on this registry (delete: false in its configuration)";

impl Registry {
    /// Takes a manifest or index under `reference`, and under `tags` beside it.
    ///
    /// The bytes are kept exactly; what they refer to must be in this repository unless the
    /// configuration allows sparse manifests.
    pub async fn push_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
        content_type: Option<&MediaType>,
        bytes: Bytes,
        tags: Vec<Tag>,
    ) -> Result<Pushed, RegistryError> {
        let (asked, content_type) = (reference.clone(), content_type.cloned());
        let size = bytes.len() as u64;
        let parsing = self.documents().run(size, move || {
            parse_pushed(bytes, &asked, content_type.as_ref())
        });
        // The memory is held until the document is stored.
        let (document, _memory) = parsing.await?;
        let document = document?;
        self.check_subject(name, &document).await?;
        let mut all = tags.clone();
        if let Reference::Tag(tag) = reference {
            all.push(tag.clone());
        }
        let immutable = &self.settings().immutable_tags;
        let fixed = all.iter().filter(|tag| immutable.has(name, tag));
        let put = PutManifest {
            fixed: fixed.cloned().collect(),
            account: self.account().map(str::to_owned),
            require_references: !self.settings().sparse,
            ..PutManifest::pushed(all)
        };
        self.store()
            .put_manifest(name, &document, put)
            .await
            .map_err(put_error)?;
        if document.subject().is_some() && is_compatibility(&document) {
            self.judge_anew();
        }
        Ok(Pushed {
            digest: document.digest().clone(),
            subject: document.subject().map(|subject| subject.digest().clone()),
            tags,
        })
    }

    /// A subject need not be here; one that is has the size that its descriptor says.
    async fn check_subject(
        &self,
        name: &RepositoryName,
        document: &Document,
    ) -> Result<(), RegistryError> {
        let Some(subject) = document.subject() else {
            return Ok(());
        };
        let Some(held) = self.store().manifest(name, subject.digest()).await? else {
            return Ok(());
        };
        let (digest, stated, found) = (subject.digest(), subject.size(), held.bytes.len() as u64);
        if stated == found {
            return Ok(());
        }
        let digest = digest.clone();
        Err(put_error(PutError::Size {
            digest,
            stated,
            found,
        }))
    }

    /// Takes away a tag. The manifest it named stays.
    pub async fn delete_tag(&self, name: &RepositoryName, tag: &Tag) -> Result<(), RegistryError> {
        self.may_delete()?;
        if self.settings().immutable_tags.has(name, tag) {
            return Err(RegistryError::Immutable(format!(
                "the tag {name}:{tag} is immutable: it is not deleted"
            )));
        }
        let storage = self.storage_repository(name)?;
        if self.store().delete_tag(&storage, tag).await? {
            Ok(())
        } else {
            Err(RegistryError::unknown(name, tag.clone()))
        }
    }

    /// Takes away a manifest and every tag that names it.
    pub async fn delete_manifest(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.may_delete()?;
        let (store, storage) = (self.store(), self.storage_repository(name)?);
        let deletion = match self.staying_tags(name) {
            None => Deletion::from(store.delete_manifest(&storage, digest).await?),
            Some(stays) => {
                store
                    .delete_manifest_unless(&storage, digest, stays)
                    .await?
            }
        };
        self.judge_anew();
        let absent = || RegistryError::unknown(name, digest.clone());
        outcome(name, digest, deletion, absent)
    }

    /// Takes a blob out of a repository. Other repositories that have it keep it.
    pub async fn delete_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        self.may_delete()?;
        let (store, storage) = (self.store(), self.storage_repository(name)?);
        let deletion = match self.staying_tags(name) {
            None => Deletion::from(store.delete_blob(&storage, digest).await?),
            Some(stays) => store.delete_blob_unless(&storage, digest, stays).await?,
        };
        let absent = || RegistryError::BlobUnknown(name.clone(), digest.clone());
        outcome(name, digest, deletion, absent)
    }

    /// Forgets how images were judged lately: something that they are judged by has changed.
    fn judge_anew(&self) {
        self.inner.judged.forget();
        self.inner.collections.invalidate_all();
    }

    /// The one guard of every way to delete (CVE-2026-41888).
    fn may_delete(&self) -> Result<(), RegistryError> {
        if self.settings().delete {
            Ok(())
        } else {
            Err(RegistryError::Unsupported(DELETE_IS_OFF))
        }
    }

    /// Tells the tags of a repository that must stay whole; nothing where none can be.
    fn staying_tags(
        &self,
        name: &RepositoryName,
    ) -> Option<impl Fn(&Tag) -> bool + Send + Sync + 'static> {
        let immutable = self.settings().immutable_tags.clone();
        let name = name.clone();
        (!immutable.is_empty()).then_some(move |tag: &Tag| immutable.has(&name, tag))
    }
}

/// Whether a document is a compatibility artifact of Node Feature Discovery.
fn is_compatibility(document: &Document) -> bool {
    let Document::Manifest(manifest) = document else {
        return false;
    };
    let kind = manifest
        .as_json()
        .get("artifactType")
        .and_then(|kind| kind.as_str());
    let config = manifest.config().map(|config| config.media_type().as_str());
    kind.or(config) == Some(metahub_hardware::nfd::ARTIFACT_TYPE)
}

/// The document that was pushed under `reference`, verified if that is a digest.
fn parse_pushed(
    bytes: Bytes,
    reference: &Reference,
    content_type: Option<&MediaType>,
) -> Result<Document, RegistryError> {
    let Reference::Digest(expected) = reference else {
        return Ok(Document::parse(bytes, content_type)?);
    };
    let found = Digest::of(expected.algorithm(), &bytes);
    if found != *expected {
        return Err(RegistryError::DigestMismatch {
            expected: expected.clone(),
            found,
        });
    }
    Ok(Document::parse_as(bytes, found, content_type)?)
}

fn outcome(
    name: &RepositoryName,
    digest: &Digest,
    deletion: Deletion,
    absent: impl FnOnce() -> RegistryError,
) -> Result<(), RegistryError> {
    match deletion {
        Deletion::Done => Ok(()),
        Deletion::Absent => Err(absent()),
        Deletion::Needed(tag) => Err(RegistryError::Immutable(format!(
            "the immutable tag {name}:{tag} needs {digest}: it is not deleted"
        ))),
    }
}

pub(crate) fn put_blob_error(error: PutBlobError) -> RegistryError {
    match error {
        PutBlobError::Mismatch { expected, found } => {
            RegistryError::DigestMismatch { expected, found }
        }
        PutBlobError::Store(error) => RegistryError::Store(error),
    }
}

pub(crate) fn put_error(error: PutError) -> RegistryError {
    match error {
        PutError::Missing { .. } => RegistryError::MissingReference(error.to_string()),
        PutError::Size { .. } => RegistryError::Size(error.to_string()),
        PutError::TagExists { .. } => RegistryError::Immutable(error.to_string()),
        PutError::Store(error) => RegistryError::Store(error),
    }
}
