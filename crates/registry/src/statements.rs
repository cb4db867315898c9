//! What an image says of itself: its platform, and what it requires, read from its manifest,
//! its configuration and the compatibility artifact that refers to it.
//!
//! Only single images are read. What an index says of its entries stands in the index.

use bytes::Bytes;
use jiff::Timestamp;
use metahub_hardware::{Statements, nfd};
use metahub_oci::{
    Descriptor, Digest, Document, ImageReference, Index, JsonMap, Platform, RepositoryName, Tag,
};
use serde_json::Value;

use crate::images::Image;
use crate::place::{Place, is_offline};
use crate::source::Children;
use crate::{Registry, RegistryError};

/// Referrers of one image that are looked at.
const MAX_ARTIFACTS: usize = 100;
/// Largest compatibility specification, in bytes.
const MAX_SPECIFICATION: u64 = 64 * 1024;
/// When an artifact was made (image specification, `annotations.md`).
const CREATED: &str = "org.opencontainers.image.created";

/// What an image says of itself.
#[derive(Clone, Debug)]
pub struct ImageSays {
    /// The platform of its configuration.
    pub platform: Platform,
    /// What it requires.
    pub statements: Statements,
    /// Why its compatibility artifact could not be looked for, if so.
    pub incomplete: Option<String>,
}

impl Registry {
    /// What a single image says of itself. `None` when `image` names an index or an artifact.
    pub async fn image_says(
        &self,
        image: &ImageReference,
    ) -> Result<Option<ImageSays>, RegistryError> {
        let source = self.image_source(image).await?;
        let source =
            source.ok_or_else(|| RegistryError::unknown(image.name(), image.reference()))?;
        let Children::At(place) = &source.children else {
            return Ok(None);
        };
        match source.document()? {
            Document::Manifest(manifest) if manifest.is_image() => {
                let image = self.image_at(place, manifest).await?;
                Ok(Some(self.says(place, &image).await))
            }
            _ => Ok(None),
        }
    }

    /// The entries that `tag` of `name` has before any event runs, as an index: a collection's, an
    /// index's own, or a single image's one. With it, what could not be read.
    pub async fn entries(
        &self,
        name: &RepositoryName,
        tag: &Tag,
    ) -> Result<(Index, Option<String>), RegistryError> {
        let source = self.source(name, tag).await?;
        let index = match source.document()? {
            Document::Index(index) => index,
            Document::Manifest(manifest) => {
                let descriptor = Document::from(manifest.clone()).descriptor();
                let platform = match source.place_of(manifest.digest()) {
                    Some(place) if manifest.is_image() => {
                        Some(self.image_at(place, manifest).await?.config.platform())
                    }
                    _ => None,
                };
                Index::new(vec![match platform {
                    Some(platform) => descriptor.with_platform(&platform),
                    None => descriptor,
                }])
            }
        };
        Ok((index, source.warning))
    }

    /// What the image at `place` says of itself.
    pub(crate) async fn says(&self, place: &Place, image: &Image) -> ImageSays {
        let mut statements = Statements::default();
        statements.add_annotations(texts(image.manifest.as_json().get("annotations")));
        let labels = image.config.as_json().get("config");
        statements.add_labels(texts(labels.and_then(|config| config.get("Labels"))));
        statements.add_env(image.config.env());
        let digest = image.manifest.digest();
        let incomplete = match self.compatibility(place, digest).await {
            Ok(None) => None,
            Ok(Some(specification)) => {
                if let Err(problem) = add(&mut statements, &specification) {
                    tracing::warn!(
                        repository = %place.kept(), %digest, problem,
                        "a compatibility artifact cannot be read, and requires something unknown"
                    );
                }
                None
            }
            Err(error) => Some(error.to_string()),
        };
        ImageSays {
            platform: image.config.platform(),
            statements,
            incomplete,
        }
    }

    /// The specification of the newest compatibility artifact of an image, if it has one.
    async fn compatibility(
        &self,
        place: &Place,
        digest: &Digest,
    ) -> Result<Option<Bytes>, RegistryError> {
        let Some(artifact) = newest(self.artifacts(place, digest).await?) else {
            return Ok(None);
        };
        let Some(stored) = self.manifest_at(place, artifact.digest()).await? else {
            return Ok(None);
        };
        let Document::Manifest(manifest) = crate::source::parse(&stored)? else {
            return Ok(None);
        };
        match manifest.layers().first() {
            Some(layer) => self
                .small_blob_at(place, layer.digest(), MAX_SPECIFICATION)
                .await
                .map(Some),
            None => Ok(None),
        }
    }

    /// The compatibility artifacts of an image that are held here or at its upstream.
    async fn artifacts(
        &self,
        place: &Place,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, RegistryError> {
        let kind = Some(nfd::ARTIFACT_TYPE);
        let held = self
            .store()
            .referrers(place.kept(), digest, kind, None, MAX_ARTIFACTS)
            .await?;
        let mut found: Vec<Descriptor> = held
            .items
            .into_iter()
            .filter_map(|map| Descriptor::from_json(&Value::Object(map)).ok())
            .collect();
        if let Place::Upstream { route, .. } = place {
            match route.upstream.referrers(&route.name, digest).await {
                Ok(more) => found.extend(more.into_iter().filter(is_compatibility)),
                // What was seen before is better than nothing.
                Err(error) if is_offline(&error) || !found.is_empty() => {}
                Err(error) => return Err(error.into()),
            }
        }
        Ok(found)
    }
}

fn is_compatibility(descriptor: &Descriptor) -> bool {
    let kind = descriptor.as_json().get("artifactType");
    kind.and_then(Value::as_str) == Some(nfd::ARTIFACT_TYPE)
}

/// The artifact that says it was made last; of several such, the one whose digest is greatest,
/// so that every replica takes the same.
fn newest(artifacts: Vec<Descriptor>) -> Option<Descriptor> {
    artifacts.into_iter().max_by_key(|artifact| {
        let created = artifact.annotation(CREATED);
        let created: Option<Timestamp> = created.and_then(|text| text.parse().ok());
        (created, artifact.digest().as_str().to_owned())
    })
}

/// Adds a specification, which is YAML, or that there is one which cannot be read, and why.
/// Aliases and depth are bounded by the parser.
fn add(statements: &mut Statements, specification: &[u8]) -> Result<(), String> {
    let read = || -> Result<Value, String> {
        let text = std::str::from_utf8(specification).map_err(|error| error.to_string())?;
        serde_saphyr::from_str(text).map_err(|error| error.to_string())
    };
    match read() {
        Ok(value) => statements
            .add_compatibility(&value.to_string())
            .map_err(|error| error.to_string()),
        Err(problem) => {
            statements.add_unread_compatibility(&problem);
            Err(problem)
        }
    }
}

/// The texts of a JSON object, in its order.
fn texts(map: Option<&Value>) -> impl Iterator<Item = (&str, &str)> {
    let map: Option<&JsonMap> = map.and_then(Value::as_object);
    map.into_iter()
        .flatten()
        .filter_map(|(key, value)| Some((key.as_str(), value.as_str()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use metahub_oci::MediaType;

    fn artifact(name: &str, created: Option<&str>) -> Descriptor {
        let digest = Digest::sha256(name.as_bytes());
        let mut json = Descriptor::new(MediaType::oci_manifest(), digest, 7)
            .as_json()
            .clone();
        if let Some(created) = created {
            json.insert("annotations".into(), serde_json::json!({CREATED: created}));
        }
        Descriptor::from_json(&Value::Object(json)).unwrap()
    }

    #[test]
    fn the_newest_artifact_counts_in_whatever_order_they_are_listed() {
        let all = [
            artifact("undated", None),
            artifact("new", Some("2025-03-27T08:08:08+02:00")),
            artifact("old", Some("2024-03-27T08:08:08Z")),
            artifact("odd", Some("yesterday")),
        ];
        let new = Digest::sha256(b"new");
        for turn in 0..all.len() {
            let mut turned = all.to_vec();
            turned.rotate_left(turn);
            assert_eq!(newest(turned).unwrap().digest(), &new);
        }
        assert!(newest(Vec::new()).is_none());
    }

    #[test]
    fn a_specification_is_read_from_yaml() {
        let yaml = "
version: v1alpha1
compatibilities:
- description: needs AVX2
  rules:
  - name: cpu
    matchFeatures:
    - feature: cpu.cpuid
      matchExpressions:
        AVX2: {op: Exists}
";
        let mut statements = Statements::default();
        add(&mut statements, yaml.as_bytes()).unwrap();
        assert_eq!(statements.requirements.len(), 1);
        let feature = statements.requirements[0].feature.brief().to_string();
        assert_eq!(feature, "nfd:rules cpu");
        for bad in ["compatibilities: 3", "a: [", "\u{0}"] {
            let mut statements = Statements::default();
            assert!(add(&mut statements, bad.as_bytes()).is_err(), "{bad}");
            assert_eq!(statements.unread.len(), 1, "{bad}");
        }
    }
}
