//! The provenance of derived content as a referrer of it: making it, and finding it again.

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, DocumentError, MediaType};
use serde_json::{Value, json};

use crate::access::location::Location;
use crate::access::pass_through::shown;
use crate::access::repository::Authorised;
use crate::error::RegistryError;
use crate::pull::derivation::Derivation;
use crate::pull::derivation_document::{
    AddedImage, AppliedAction, AppliedProfile, ChangedManifest, DERIVATION, DerivationDocument,
    DerivationSource,
};
use crate::pull::outcome_store::{EMPTY_CONFIG, Made, Part};
use crate::pull::source::{Children, parse};

/// Most documents of one manifest: several outcomes may have the same bytes.
const MOST_DOCUMENTS: usize = 16;
/// Most referrers that are searched for them.
const MOST_REFERRERS: usize = 256;
/// The largest document that is read, in bytes. Real ones have a few KiB.
const MAX_BYTES: u64 = 1024 * 1024;

/// A document and the referrer by which it is found.
pub(crate) struct Provenance {
    pub(crate) document: Bytes,
    pub(crate) document_digest: Digest,
    pub(crate) referrer: Document,
}

impl Provenance {
    fn new(subject: &Document, document: &DerivationDocument) -> Result<Self, DocumentError> {
        #[expect(clippy::expect_used, reason = "texts and numbers always have a form")]
        let bytes = Bytes::from(serde_json::to_vec(document).expect("plain JSON"));
        let digest = Digest::sha256(&bytes);
        let described = |media_type: &str, digest: &Digest, size: usize| json!({"mediaType": media_type, "digest": digest, "size": size});
        let empty = Digest::sha256(EMPTY_CONFIG);
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": DERIVATION,
            "config": described(MediaType::OCI_EMPTY, &empty, EMPTY_CONFIG.len()),
            "layers": [described(DERIVATION, &digest, bytes.len())],
            "subject": subject.descriptor().as_json(),
        });
        Ok(Self {
            document: bytes,
            document_digest: digest,
            referrer: Document::parse(Bytes::from(manifest.to_string()), None)?,
        })
    }

    /// Its size in the database.
    pub(crate) fn bytes(&self) -> u64 {
        (self.document.len() + self.referrer.bytes().len() + EMPTY_CONFIG.len()) as u64
    }
}

impl Derivation<'_> {
    /// The provenance of a part; `None` for an unchanged one.
    pub(crate) fn provenance(
        &self,
        part: &Part,
        made: &Made,
    ) -> Result<Option<Provenance>, RegistryError> {
        let document = if matches!(part.document, Document::Index(_)) {
            self.of_index(made)
        } else if !part.steps.iter().any(|step| step.done) {
            return Ok(None);
        } else {
            self.of_image(part)
        };
        Ok(Some(Provenance::new(&part.document, &document)?))
    }

    fn of_index(&self, made: &Made) -> DerivationDocument {
        let changed = made.children.iter().filter_map(|child| {
            Some(ChangedManifest {
                digest: child.digest.clone(),
                derived_from: child.derived_from.clone()?,
                platform: child.platform.clone(),
            })
        });
        DerivationDocument {
            source: self.named(&self.source.stored.digest),
            layers: Vec::new(),
            profile: AppliedProfile::new(Vec::new()),
            actions: Vec::new(),
            changed: changed.collect(),
            metahub: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    fn of_image(&self, part: &Part) -> DerivationDocument {
        let source = match (&self.source.children, part.sources.first()) {
            // An entry of a collection is in another repository.
            (Children::Each(_), Some((location, digest))) => named_at(location, digest),
            (_, Some((_, digest))) => self.named(digest),
            (_, None) => self.named(&self.source.stored.digest),
        };
        let layers: Vec<AddedImage> = part
            .added
            .iter()
            .zip(part.sources.iter().skip(1))
            .map(|(added, (location, digest))| AddedImage {
                image: added.image.clone(),
                reference: location.image(digest).to_string(),
                digest: digest.clone(),
                platform: added.platform.clone(),
                layers: added.layers,
            })
            .collect();
        // Each action has its step.
        let done = || {
            let steps = part.steps.iter().zip(&self.changes.actions);
            steps.filter(|(step, _)| step.done)
        };
        let asked = done().map(|(_, action)| serde_json::to_value(action).unwrap_or_default());
        let did = done().map(|(step, _)| AppliedAction {
            name: step.action.clone(),
            did: step.what.clone(),
        });
        DerivationDocument {
            source,
            profile: AppliedProfile::new(asked.collect()),
            actions: did.collect(),
            layers,
            changed: Vec::new(),
            metahub: env!("CARGO_PKG_VERSION").to_owned(),
        }
    }

    /// A manifest of the requested repository: callers who may read the derived manifest may read
    /// it there, with its referrers. The target of a redirect is in another repository.
    fn named(&self, digest: &Digest) -> DerivationSource {
        if let Children::At(location) = &self.source.children
            && self.source.redirected.is_some()
        {
            return named_at(location, digest);
        }
        let repository = shown(self.repository.stored().name());
        DerivationSource {
            reference: format!("{repository}@{digest}"),
            repository: repository.to_string(),
            digest: digest.clone(),
        }
    }
}

fn named_at(location: &Location, digest: &Digest) -> DerivationSource {
    DerivationSource {
        reference: location.image(digest).to_string(),
        repository: shown(location.storage()).to_string(),
        digest: digest.clone(),
    }
}

impl Authorised<'_> {
    /// The documents that were stored here with a derived manifest, with the digests of their
    /// referrers. Pushed ones do not count.
    async fn derivation_referrers(
        &self,
        subject: &Digest,
    ) -> Result<Vec<(Digest, Descriptor)>, RegistryError> {
        let stored = self.stored();
        let found = stored.referrers(subject, Some(DERIVATION), None, MOST_REFERRERS);
        let mut documents = Vec::new();
        for entry in found.await?.items {
            let digest = entry.get("digest").and_then(Value::as_str);
            let Some(Ok(digest)) = digest.map(str::parse::<Digest>) else {
                continue;
            };
            let Some(manifest) = stored.manifest(&digest).await? else {
                continue;
            };
            if manifest.origin == metahub_store::Origin::Derived
                && let Document::Manifest(manifest) = parse(&manifest)?
                && let [layer] = manifest.layers()
            {
                documents.push((digest, layer.clone()));
            }
        }
        Ok(documents)
    }

    /// Whether the provenance of a manifest is stored already, or the maximum of others is.
    pub(crate) async fn has_provenance(
        &self,
        subject: &Digest,
        provenance: &Provenance,
    ) -> Result<bool, RegistryError> {
        let known = self.derivation_referrers(subject).await?;
        let same = |(digest, _): &(Digest, Descriptor)| digest == provenance.referrer.digest();
        Ok(known.len() >= MOST_DOCUMENTS || known.iter().any(same))
    }

    /// The derivation of a manifest, if it was derived here.
    pub(crate) async fn derivation_of(
        &self,
        digest: &Digest,
    ) -> Result<Option<DerivationDocument>, RegistryError> {
        for (_, layer) in self.derivation_referrers(digest).await? {
            let location = self.stored_location();
            let registry = self.registry();
            let bytes = registry.small_blob_at(&location, layer.digest(), MAX_BYTES);
            match serde_json::from_slice(&bytes.await?) {
                Ok(document) => return Ok(Some(document)),
                // One of another version.
                Err(error) => tracing::debug!(%digest, %error, "a derivation is not understood"),
            }
        }
        Ok(None)
    }
}
