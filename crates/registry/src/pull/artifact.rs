//! The compatibility artifact of Node Feature Discovery that refers to an image: looked up here or
//! at the image's upstream, and parsed.

use jiff::Timestamp;
use metahub_hardware::nfd;
use metahub_oci::{Descriptor, Digest, Document};
use serde_json::Value;

use crate::Registry;
use crate::access::location::Location;
use crate::error::{RegistryError, unreadable};

/// Most referrers of one image that are read.
const MAX_ARTIFACTS: usize = 100;
/// Largest compatibility specification, in bytes.
const MAX_SPECIFICATION: u64 = 64 * 1024;
/// When an artifact was made (image specification, `annotations.md`).
pub(crate) const CREATED: &str = "org.opencontainers.image.created";

/// The newest compatibility artifact of an image.
pub(crate) enum Compatibility {
    /// There is none.
    None,
    /// A specification, as JSON.
    Specification(String),
    /// There is, or may be, one that cannot be read.
    Unreadable(String),
}

impl Registry {
    /// What the newest compatibility artifact of an image says.
    ///
    /// # Errors An upstream that cannot be asked, without a former answer.
    pub(crate) async fn compatibility(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Compatibility, RegistryError> {
        let artifacts = match self.artifacts(location, digest).await? {
            Ok(artifacts) => artifacts,
            Err(reason) => return Ok(Compatibility::Unreadable(reason)),
        };
        let Some(artifact) = newest(artifacts) else {
            return Ok(Compatibility::None);
        };
        let said = match self.specification(location, artifact.digest()).await {
            Ok(said) => said,
            Err(error) => Err(unreadable(error)?),
        };
        Ok(match said {
            Ok(json) => Compatibility::Specification(json),
            Err(problem) => {
                tracing::warn!(repository = %location.storage(), %digest, problem,
                    "a compatibility artifact cannot be read");
                Compatibility::Unreadable(problem)
            }
        })
    }

    /// The specification in an artifact, as JSON; or why it cannot be read.
    async fn specification(
        &self,
        location: &Location,
        artifact: &Digest,
    ) -> Result<Result<String, String>, RegistryError> {
        let Some(stored) = self.manifest_at(location, artifact).await? else {
            return Ok(Err("its manifest is not there".to_owned()));
        };
        let Document::Manifest(manifest) = crate::pull::source::parse(&stored)? else {
            return Ok(Err("it is an index".to_owned()));
        };
        let Some(layer) = manifest.layers().first() else {
            return Ok(Err("it holds no specification".to_owned()));
        };
        let bytes = self.small_blob_at(location, layer.digest(), MAX_SPECIFICATION);
        Ok(json(&bytes.await?))
    }

    /// The compatibility artifacts of an image, stored here or at its upstream; or why they cannot
    /// be listed.
    async fn artifacts(
        &self,
        location: &Location,
        digest: &Digest,
    ) -> Result<Result<Vec<Descriptor>, String>, RegistryError> {
        let kind = Some(nfd::ARTIFACT_TYPE);
        let held = location
            .stored()
            .referrers(digest, kind, None, MAX_ARTIFACTS)
            .await?;
        if held.more {
            let problem = format!("more than {MAX_ARTIFACTS} compatibility artifacts refer to it");
            return Ok(Err(problem));
        }
        let mut found: Vec<Descriptor> = held
            .items
            .into_iter()
            .filter_map(|map| Descriptor::from_json(&Value::Object(map)).ok())
            .collect();
        let Location::Upstream(from) = location else {
            return Ok(Ok(found));
        };
        match self.upstream_artifact(from, digest).await? {
            Ok(more) => found.extend(more),
            Err(reason) => return Ok(Err(reason)),
        }
        Ok(Ok(found))
    }
}

/// The artifact with the latest time of creation; of several, the one with the greatest digest, so
/// that every replica takes the same.
pub(crate) fn newest(artifacts: Vec<Descriptor>) -> Option<Descriptor> {
    artifacts.into_iter().max_by_key(|artifact| {
        let created = artifact.annotation(CREATED);
        let created: Option<Timestamp> = created.and_then(|text| text.parse().ok());
        (created, artifact.digest().as_str().to_owned())
    })
}

/// A specification, which is YAML, as JSON. Aliases and depth are bounded by the parser.
fn json(specification: &[u8]) -> Result<String, String> {
    let text = std::str::from_utf8(specification).map_err(|error| error.to_string())?;
    let value: Value = serde_saphyr::from_str(text).map_err(|error| error.to_string())?;
    Ok(value.to_string())
}

#[cfg(test)]
mod tests {
    use metahub_hardware::Statements;
    use metahub_oci::MediaType;

    use super::*;

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
        let mut add = |text: &str| -> Result<(), String> {
            let added = statements.add_compatibility(&json(text.as_bytes())?);
            added.map_err(|error| error.to_string())
        };
        for bad in ["compatibilities: 3", "a: [", "\u{0}"] {
            assert!(add(bad).is_err(), "{bad}");
        }
        add(yaml).unwrap();
        assert_eq!(statements.requirements.len(), 1);
        let feature = statements.requirements[0].feature.brief().to_string();
        assert_eq!(feature, "nfd:rules cpu");
    }
}
