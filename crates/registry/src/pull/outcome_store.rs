//! Stores what a derivation made: the children before the index that names them, and last the
//! record by which the outcome is found again.

use metahub_oci::{Digest, Document, ImageConfig};

use crate::access::location::Location;
use crate::access::stored::StoredRepository;
use crate::error::RegistryError;
use crate::pull::derivation::Derivation;
use crate::pull::explanation::{AddedLayers, Child};
use crate::pull::outcome::Held;
use crate::pull::source::as_stored;

/// What a record costs in the database beside the documents, in bytes, roughly.
const RECORD: u64 = 1024;

/// An outcome in memory.
#[derive(Default)]
pub(crate) struct Made {
    /// What is stored, in this order; the last is served.
    pub(crate) parts: Vec<Part>,
    /// What is served leads to these.
    pub(crate) children: Vec<Child>,
    pub(crate) added: Vec<AddedLayers>,
}

/// One document that is stored in the repository that clients ask for.
pub(crate) struct Part {
    pub(crate) document: Document,
    /// The configuration, where it was made as well.
    pub(crate) config: Option<ImageConfig>,
    /// The images that it was made from, and where they lie.
    pub(crate) sources: Vec<(Location, Digest)>,
    /// Whether its blobs are found where the sources lie.
    pub(crate) has_blobs: bool,
}

impl Derivation<'_> {
    /// The last step: stores what was made under the name that clients ask for, with its
    /// provenance, and records it.
    pub(crate) async fn store(&self, key: &Digest, made: Made) -> Result<Held, RegistryError> {
        let repository = self.repository.stored();
        // What another outcome shares with this one is not evicted before the record is there.
        let _deriving = repository.deriving().await;
        let (mut bytes, mut served) = (RECORD, None);
        for part in &made.parts {
            bytes += part.bytes();
            if let Some(config) = &part.config {
                repository.put_config(config).await?;
            }
            let (sources, mount_from) = part.provenance();
            repository
                .put_derived(&part.document, sources, &mount_from)
                .await?;
            served = Some(as_stored(repository, &part.document).await?);
        }
        let served = served.ok_or_else(|| self.unknown())?;
        repository
            .record_derived(key, &served.digest, bytes)
            .await?;
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
    fn bytes(&self) -> u64 {
        let config = self
            .config
            .as_ref()
            .map_or(0, |config| config.bytes().len());
        (self.document.bytes().len() + config) as u64
    }

    /// The images that it was made from, and the repositories whose blobs it takes.
    fn provenance(&self) -> (Vec<String>, Vec<&StoredRepository>) {
        let images = self.sources.iter();
        let images = images.map(|(location, digest)| location.image(digest).to_string());
        // What the sources hold already is readable through the derived name at once; the rest is
        // fetched from where it came when somebody asks for it.
        let mount_from = self.sources.iter().filter(|_| self.has_blobs);
        let mount_from = mount_from.map(|(location, _)| location.stored()).collect();
        (images.collect(), mount_from)
    }
}
