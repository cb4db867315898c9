//! Stores a derivation: the children before the index that names them, and last the record by which
//! the outcome is found again.

use std::collections::BTreeSet;

use metahub_oci::{Digest, Document, ImageConfig};
use metahub_resolve::Step;
use metahub_store::{DerivedOutcome, PutManifest};

use crate::access::location::Location;
use crate::error::RegistryError;
use crate::pull::derivation::Derivation;
use crate::pull::derivation_signature::Unsigned;
use crate::pull::explanation::{AddedLayers, Child};
use crate::pull::outcome::Held;
use crate::pull::source::as_stored;

/// What a record costs in the database beside the documents, in bytes, roughly.
const RECORD: u64 = 1024;

/// The content of an empty configuration (image specification, "Guidance for an Empty Descriptor").
pub(crate) const EMPTY_CONFIG: &[u8] = b"{}";

/// An outcome in memory.
#[derive(Default)]
pub(crate) struct Made {
    /// The parts, in the order of storing; the last is served.
    pub(crate) parts: Vec<Part>,
    /// The children of the served part.
    pub(crate) children: Vec<Child>,
    pub(crate) added: Vec<AddedLayers>,
    /// The actions on images.
    pub(crate) steps: Vec<Step>,
}

/// One document to be stored in the requested repository.
pub(crate) struct Part {
    pub(crate) document: Document,
    /// The configuration, if it was changed.
    pub(crate) config: Option<ImageConfig>,
    /// The images that it was derived from, and their locations.
    pub(crate) sources: Vec<(Location, Digest)>,
    /// Whether its blobs are at those locations.
    pub(crate) has_blobs: bool,
    /// The layer images that were added: they are its sources after the first.
    pub(crate) added: Vec<AddedLayers>,
    /// The results of the profile's actions.
    pub(crate) steps: Vec<Step>,
}

impl Derivation<'_> {
    /// The last step: stores the documents in the requested repository, with their provenance, and
    /// records the outcome. `unsigned` is its key if nothing is signed.
    pub(crate) async fn store(&self, unsigned: &Digest, made: Made) -> Result<Held, RegistryError> {
        let repository = self.repository.stored();
        // Content that another outcome shares with this one is not evicted before the record
        // exists.
        let _deriving = repository.deriving().await;
        let mut bytes = RECORD;
        let (mut blobs, mut manifests, mut referrers) = (Vec::new(), Vec::new(), Vec::new());
        let mut derived = Vec::new();
        for part in &made.parts {
            bytes += part.bytes();
            if let Some(config) = &part.config {
                blobs.push((config.digest().clone(), config.bytes().clone()));
            }
            manifests.push((part.document.clone(), part));
            let Some(provenance) = self.provenance(part, &made)? else {
                continue;
            };
            bytes += provenance.bytes();
            if part.is_derived() {
                derived.push(part);
            }
            let subject = part.document.digest();
            if self.repository.has_provenance(subject, &provenance).await? {
                continue;
            }
            blobs.push((provenance.document_digest, provenance.document));
            referrers.push((provenance.referrer, part));
        }
        let subjects = derived.iter().map(|part| part.document.descriptor());
        let subjects = subjects.collect();
        let signatures = self.registry().signatures(subjects).await;
        let key = match &signatures {
            Ok(_) => self.registry().signed_key(unsigned),
            // So that signing is retried when this process no longer caches the outcome.
            Err(Unsigned) => unsigned.clone(),
        };
        for (signature, part) in signatures.unwrap_or_default().into_iter().zip(derived) {
            bytes += signature.bytes();
            blobs.push((signature.bundle_digest, signature.bundle));
            referrers.push((signature.referrer, part));
        }
        if !referrers.is_empty() {
            blobs.push((Digest::sha256(EMPTY_CONFIG), EMPTY_CONFIG.into()));
        }
        let manifests = manifests.into_iter().chain(referrers);
        let brought_by = self.registry().client;
        let manifests = manifests.map(|(document, part)| {
            let options = PutManifest {
                brought_by,
                ..part.options()
            };
            (document, options)
        });
        let served = made.parts.last().ok_or_else(|| self.unknown())?;
        let outcome = DerivedOutcome {
            key,
            blobs,
            manifests: manifests.collect(),
            served: served.document.digest().clone(),
            bytes,
        };
        repository.put_outcome(outcome).await?;
        let served = as_stored(repository, &served.document).await?;
        tracing::info!(
            repository = %self.repository.name(), tag = %self.tag, profile = %self.profile,
            digest = %served.digest, "derived"
        );
        Ok(Held {
            repository: repository.clone(),
            digest: served.digest.clone(),
        })
    }
}

impl Part {
    /// Whether it was changed here: an unchanged document is not signed.
    pub(crate) fn is_derived(&self) -> bool {
        let own = self.document.digest();
        !self.sources.iter().any(|(_, digest)| digest == own)
    }

    /// An unchanged document.
    pub(crate) fn as_it_is(document: Document, location: &Location) -> Self {
        let sources = vec![(location.clone(), document.digest().clone())];
        Self {
            document,
            config: None,
            sources,
            has_blobs: true,
            added: Vec::new(),
            steps: Vec::new(),
        }
    }

    fn bytes(&self) -> u64 {
        let config = self
            .config
            .as_ref()
            .map_or(0, |config| config.bytes().len());
        (self.document.bytes().len() + config) as u64
    }

    /// How it is stored: with its sources, and the repositories whose blobs it mounts.
    fn options(&self) -> PutManifest {
        let images = self.sources.iter();
        let images = images.map(|(location, digest)| location.image(digest).to_string());
        // Blobs that the sources hold already are readable through the derived name at once; others
        // are fetched from their upstream on demand.
        let mount_from = self.sources.iter().filter(|_| self.has_blobs);
        // Many layer images are in one repository.
        let mount_from: BTreeSet<_> = mount_from
            .map(|(location, _)| location.stored().name())
            .collect();
        PutManifest {
            mount_from: mount_from.into_iter().cloned().collect(),
            ..PutManifest::derived(images)
        }
    }
}
