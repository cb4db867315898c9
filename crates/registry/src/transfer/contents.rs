//! The contents of an image that is fetched in full: its manifests with everything that they lead
//! to, and their referrers, by the referrers API or by tag.
//!
//! Blobs are only listed here; they are fetched together, when the list is complete.

use std::collections::HashSet;
use std::sync::Arc;

use futures_util::future;
use metahub_oci::{Descriptor, Digest, Document, Tag};
use metahub_store::StoredManifest;
use serde_json::Value;

use crate::access::location::Location;
use crate::error::{RegistryError, is_offline};
use crate::pull::image::missing;
use crate::pull::source::parse;
use crate::transfer::inventory::InventoryContent;
use crate::transfer::walk::{Extent, ImageWalk, Need, Select, entry_of};

/// Most referrers of one manifest that are fetched.
const MAX_REFERRERS: usize = 1000;
/// On an attestation's entry: the manifest that it is about (as BuildKit writes it).
const ATTESTED: &str = "vnd.docker.reference.digest";

impl ImageWalk<'_> {
    /// A manifest or index with what it leads to.
    pub(crate) async fn document(
        &mut self,
        location: &Location,
        stored: &Arc<StoredManifest>,
        select: &Select,
    ) -> Result<Extent, RegistryError> {
        let content = InventoryContent {
            digest: stored.digest.clone(),
            size: stored.bytes.len() as u64,
            repository: location.storage().clone(),
            manifest: true,
        };
        self.manifests.insert(stored.digest.clone(), content);
        let mut is_image = false;
        let extent = match parse(stored)? {
            Document::Index(index) => self.children(location, index.manifests(), select).await?,
            Document::Manifest(manifest) => {
                is_image = manifest.is_image();
                let wanted = match select {
                    Select::Chosen => true,
                    Select::Only(chosen) => chosen.contains(&stored.digest),
                    Select::ByPlatform if manifest.is_image() => {
                        let image = self.registry.image_at(location, manifest.clone()).await?;
                        self.runs_on(&image.config.platform())
                    }
                    Select::ByPlatform => true,
                };
                let layers = manifest.layers().iter().filter(|_| wanted);
                for blob in manifest.config().into_iter().chain(layers) {
                    self.blob(location, blob);
                }
                Extent {
                    whole: wanted,
                    some: wanted,
                }
            }
        };
        if self
            .seen
            .insert((location.storage().clone(), stored.digest.clone()))
        {
            self.referrers(location, &stored.digest).await?;
            if is_image && extent.some {
                // So that it can be judged while its upstream is down. A failure is among the
                // warnings already: the same upstream was just asked for the same.
                let _ = self.registry.compatibility(location, &stored.digest).await;
            }
            self.by_tag(location, &stored.digest).await?;
        }
        Ok(extent)
    }

    async fn children(
        &mut self,
        location: &Location,
        entries: &[Descriptor],
        select: &Select,
    ) -> Result<Extent, RegistryError> {
        let mut extent = Extent {
            whole: true,
            some: false,
        };
        let mut taken = HashSet::new();
        let (attestations, images): (Vec<_>, Vec<_>) =
            entries.iter().partition(|entry| entry.is_attestation());
        for entry in images {
            let runs = entry.platform().is_none_or(|p| self.runs_on(&p));
            let chosen = match select {
                Select::Only(chosen) => chosen.contains(entry.digest()),
                Select::ByPlatform | Select::Chosen => true,
            };
            if !(runs && chosen) {
                extent.whole = false;
                continue;
            }
            let Some(of) = self.image_child(location, entry).await else {
                extent.whole = false;
                continue;
            };
            extent.whole &= of.whole;
            extent.some |= of.some;
            taken.insert(entry.digest().to_string());
        }
        for entry in attestations {
            let about_taken = entry
                .annotation(ATTESTED)
                .is_some_and(|of| taken.contains(of));
            if !about_taken {
                extent.whole = false;
                continue;
            }
            let mut part = self.begin();
            let known = self.holds(entry.digest());
            let outcome = part.child(location, entry.digest(), known).await;
            let what = || format!("the attestation {}", entry.digest());
            extent.whole &= self.end(part, outcome, what).is_some();
        }
        Ok(extent)
    }

    /// An entry of an index that is no attestation; `None` if it cannot be fetched. A runnable
    /// image is required, and its absence a failure; anything else is optional.
    async fn image_child(&mut self, location: &Location, entry: &Descriptor) -> Option<Extent> {
        let known = self.holds(entry.digest());
        let mut part = self.begin();
        let outcome = part.child(location, entry.digest(), known).await;
        if !can_run(entry) {
            return self.end(part, outcome, || format!("the artifact {}", entry.digest()));
        }
        let platform = entry
            .platform()
            .map_or_else(String::new, |p| format!("{p}, "));
        match outcome {
            Ok(extent) => {
                self.absorb(part);
                Some(extent)
            }
            Err(error) => {
                self.seen = part.seen;
                self.lost_child(
                    &format!("{platform}{}", location.image(entry.digest())),
                    error,
                );
                None
            }
        }
    }

    /// A manifest that an index names; `known`: whether it was collected before.
    async fn child(
        &mut self,
        location: &Location,
        digest: &Digest,
        known: bool,
    ) -> Result<Extent, RegistryError> {
        let found = self.registry.manifest_at(location, digest).await?;
        if found.is_none() && known {
            // A derived index also names unchanged manifests, which were collected at their source.
            return Ok(Extent {
                whole: true,
                some: true,
            });
        }
        let found = found.ok_or_else(|| missing(location.storage(), digest))?;
        Box::pin(self.document(location, &found, &Select::Chosen)).await
    }

    fn blob(&mut self, location: &Location, descriptor: &Descriptor) {
        // Non-distributable layers stay with their publisher.
        if descriptor.media_type().is_foreign_layer() {
            return;
        }
        let need = || Need {
            location: location.clone(),
            size: descriptor.size(),
        };
        self.blobs
            .entry(descriptor.digest().clone())
            .or_insert_with(need);
    }

    /// Signatures, compatibility artifacts and the like, which belong to the image.
    async fn referrers(
        &mut self,
        location: &Location,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let mut found: Vec<Descriptor> = Vec::new();
        let mut more = true;
        while more && found.len() < MAX_REFERRERS {
            let after = found.last().map(Descriptor::digest);
            let page = location
                .stored()
                .referrers(digest, None, after, MAX_REFERRERS)
                .await?;
            let held = page.items.into_iter().map(Value::Object);
            let before = found.len();
            found.extend(held.filter_map(|map| Descriptor::from_json(&map).ok()));
            more = page.more && found.len() > before;
        }
        if let Location::Upstream(from) = location {
            match self.registry.upstream_referrers(from, digest).await? {
                Ok(more) => found.extend(more.descriptors.iter().cloned()),
                Err(error) if is_offline(&error) => {}
                Err(error) => self
                    .inventory
                    .warnings
                    .push(format!("what refers to {digest} is not known: {error}")),
            }
        }
        for referrer in found {
            let mut part = self.begin();
            let collected = part.referrer(location, referrer.digest()).await;
            self.end(part, collected, || {
                format!("{}, which refers to {digest},", referrer.digest())
            });
        }
        Ok(())
    }

    async fn referrer(
        &mut self,
        location: &Location,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let Some(stored) = self.registry.manifest_at(location, digest).await? else {
            return Ok(());
        };
        let extent = Box::pin(self.document(location, &stored, &Select::Chosen)).await?;
        let image = location.named(stored.digest.clone().into());
        let unnamed = Extent {
            some: false,
            ..extent
        };
        self.entry(image, &stored, stored.origin.into(), unnamed);
        Ok(())
    }

    /// The same by tag names, as cosign writes them at registries without the referrers API. No
    /// list has them, so each is requested.
    async fn by_tag(&mut self, location: &Location, digest: &Digest) -> Result<(), RegistryError> {
        let registry = self.registry;
        let tags: Vec<Tag> = signature_tags(digest).collect();
        let found = tags.iter().map(|tag| registry.tag_at(location, tag));
        let found = future::join_all(found).await;
        for (tag, found) in tags.into_iter().zip(found) {
            let image = location.named(tag.into());
            let source = match found {
                Ok(Some(source)) => source,
                Ok(None) => continue,
                Err(error) if error.is_upstreams() => {
                    let warning = format!("what signs {digest} by tag is not known: {error}");
                    self.inventory.warnings.push(warning);
                    continue;
                }
                Err(error) => return Err(error),
            };
            self.inventory.warnings.extend(source.warning);
            let stored = &source.stored;
            let mut part = self.begin();
            let collected = Box::pin(part.document(location, stored, &Select::Chosen)).await;
            let collected = collected.map(|extent| {
                let (name, origin) = (Some(image.to_string()), stored.origin.into());
                let entry = entry_of(name, image.clone(), stored, origin, extent);
                part.beside.push(entry);
            });
            self.end(part, collected, || image.to_string());
        }
        Ok(())
    }
}

/// Whether an entry of an index is runnable, as far as the index tells.
fn can_run(entry: &Descriptor) -> bool {
    let media_type = entry.media_type();
    let known = |name: &str| !name.is_empty() && name != "unknown";
    let machine = entry
        .platform()
        .is_none_or(|p| known(&p.os) && known(&p.architecture));
    let artifact = entry.as_json().contains_key("artifactType");
    (media_type.is_index() || media_type.is_manifest()) && machine && !artifact
}

/// The tags of cosign's attachments of a manifest: `sha256-HEX.sig` and the like.
fn signature_tags(digest: &Digest) -> impl Iterator<Item = Tag> {
    let stem = digest.as_str().replacen(':', "-", 1);
    let tags = ["sig", "att", "sbom"].map(|kind| format!("{stem}.{kind}").parse().ok());
    tags.into_iter().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_have_the_tags_that_cosign_gives_them() {
        let tags: Vec<String> = signature_tags(&Digest::sha256(b""))
            .map(|tag| tag.to_string())
            .collect();
        let stem = "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        let expected = ["sig", "att", "sbom"].map(|kind| format!("{stem}.{kind}"));
        assert_eq!(tags, expected);
    }
}
