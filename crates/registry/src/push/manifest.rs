//! Pushes of manifests.

use bytes::Bytes;
use metahub_oci::{Digest, Document, MediaType, Reference, Tag};
use metahub_store::PutError;

use crate::Registry;
use crate::access::location::Location;
use crate::access::repository::{Push, Repository};
use crate::error::RegistryError;

/// The result of pushing a manifest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pushed {
    /// Its digest.
    pub digest: Digest,
    /// The manifest it refers to, if it has a subject.
    pub subject: Option<Digest>,
    /// The tags that were given with a digest reference.
    pub tags: Vec<Tag>,
}

impl Repository<'_, Push> {
    /// Stores a manifest or index under `reference`, and under `tags` as well.
    ///
    /// The bytes are stored exactly; everything that they refer to must be in this repository
    /// unless the configuration allows sparse manifests.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        content_type: Option<&MediaType>,
        bytes: Bytes,
        tags: Vec<Tag>,
    ) -> Result<Pushed, RegistryError> {
        let (asked, content_type) = (reference.clone(), content_type.cloned());
        let size = bytes.len() as u64;
        let registry = self.registry();
        let parsing = registry.documents().run(size, move || {
            parse_pushed(bytes, &asked, content_type.as_ref())
        });
        // The memory is held until the document is stored.
        let (document, _memory) = parsing.await?;
        let document = document?;
        self.check_subject(&document).await?;
        let mut all = tags.clone();
        if let Reference::Tag(tag) = reference {
            all.push(tag.clone());
        }
        let require_references = !registry.settings().sparse;
        self.pushes()
            .put_manifest(&document, all, require_references)
            .await?;
        if let Document::Manifest(manifest) = &document
            && manifest.is_image()
            && manifest.subject().is_none()
        {
            let location = Location::Local(self.pushes().stored().clone());
            registry.offer_inspection(&location, document.digest());
        }
        if document.subject().is_some() && is_compatibility(&document) {
            registry.judge_anew();
        }
        Ok(Pushed {
            digest: document.digest().clone(),
            subject: document.subject().map(|subject| subject.digest().clone()),
            tags,
        })
    }

    /// A subject need not be stored; one that is must have the size in its descriptor.
    async fn check_subject(&self, document: &Document) -> Result<(), RegistryError> {
        let Some(subject) = document.subject() else {
            return Ok(());
        };
        let held = self.pushes().stored().manifest(subject.digest()).await?;
        let Some(held) = held else {
            return Ok(());
        };
        let (digest, stated, found) = (subject.digest(), subject.size(), held.bytes.len() as u64);
        if stated == found {
            return Ok(());
        }
        let digest = digest.clone();
        Err(PutError::Size {
            digest,
            stated,
            found,
        }
        .into())
    }
}

impl Registry {
    /// Drops cached judgements of images, because of a new finding.
    pub(crate) fn judge_anew(&self) {
        self.inner.judged.forget();
        self.inner.answers.forget();
        self.inner.collections.cache().invalidate_all();
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
