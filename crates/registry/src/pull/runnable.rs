//! Which entries of an index can run. Only those are chosen from and changed: an index of
//! signatures, of charts or of a build cache is served unchanged under every profile.

use metahub_oci::{Descriptor, Document, Index};

use crate::Registry;
use crate::error::RegistryError;
use crate::pull::source::{Children, Source, parse};

/// Most entries of an index without platforms that are read.
const MAX_LOOKED_AT: usize = 16;

impl Registry {
    /// Whether `index`, which is the source's document, leads to anything that can run. Entries
    /// that do not tell are judged by their manifests; one that cannot be read may be an image.
    pub(crate) async fn can_run(
        &self,
        source: &Source,
        index: &Index,
    ) -> Result<bool, RegistryError> {
        let Children::At(location) = &source.children else {
            return Ok(true);
        };
        let artifact = index.as_json().get("artifactType").and_then(|t| t.as_str());
        if artifact.is_some_and(|kind| !kind.is_empty()) {
            return Ok(false);
        }
        let entries: Vec<&Descriptor> = index
            .manifests()
            .iter()
            .filter(|entry| may_be_image(entry))
            .collect();
        if entries.is_empty() {
            return Ok(false);
        }
        let states_a_machine = |entry: &Descriptor| {
            let platform = entry.platform_view();
            platform.is_some_and(|p| !p.os.is_empty() || !p.architecture.is_empty())
        };
        if index.manifests().iter().any(states_a_machine) {
            return Ok(true);
        }
        for entry in entries.iter().take(MAX_LOOKED_AT) {
            let Some(stored) = self.manifest_at(location, entry.digest()).await? else {
                return Ok(true);
            };
            match parse(&stored)? {
                Document::Manifest(manifest) if !manifest.is_image() => {}
                _ => return Ok(true),
            }
        }
        Ok(entries.len() > MAX_LOOKED_AT)
    }
}

/// Whether an entry may lead to an image, by its descriptor.
fn may_be_image(entry: &Descriptor) -> bool {
    let media_type = entry.media_type();
    let kind = entry.as_json().get("artifactType").and_then(|t| t.as_str());
    (media_type.is_manifest() || media_type.is_index())
        && !entry.is_attestation()
        && kind.is_none_or(|kind| kind.is_empty() || kind.parse().is_ok_and(is_image_config))
}

#[expect(clippy::needless_pass_by_value, reason = "it was parsed for this")]
fn is_image_config(kind: metahub_oci::MediaType) -> bool {
    kind.is_image_config()
}
