//! What upstreams answered about the compatibility artifact that refers to an image: asked at most
//! every ten minutes, and stored, so that the last answer counts while the upstream cannot be
//! asked.

use std::time::Instant;

use jiff::Timestamp;
use metahub_hardware::nfd;
use metahub_oci::{Descriptor, Digest, Document, RepositoryName};
use metahub_upstream::UpstreamError;
use serde_json::{Value, json};

use crate::Registry;
use crate::access::location::UpstreamRepository;
use crate::access::stored::StoredRepository;
use crate::error::{RegistryError, is_offline, unreadable};
use crate::pull::artifact::{CREATED, newest};
use crate::pull::candidates::LIFETIME;

/// Recent answers of upstreams, and their times; the descriptors are [`reduced`].
pub(crate) type CompatibilityArtifacts =
    moka::future::Cache<(RepositoryName, Digest), (Instant, Option<Descriptor>)>;

impl Registry {
    /// The newest compatibility artifact among an image's referrers at an upstream; or why it is
    /// unknown.
    ///
    /// # Errors An upstream that cannot be asked, without a former answer.
    pub(crate) async fn upstream_artifact(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Result<Option<Descriptor>, String>, RegistryError> {
        let key = (from.storage().clone(), digest.clone());
        if let Some((asked, artifact)) = self.inner.compatibility.get(&key).await
            && asked.elapsed() < LIFETIME
        {
            return Ok(Ok(artifact));
        }
        let artifact = match self.upstream_referrers(from, digest).await? {
            Ok(all) => {
                if all.refused {
                    self.counters().referrers_refused.inc();
                }
                newest(all.descriptors.iter().filter_map(reduced).collect())
            }
            // A refusal counts as having none.
            Err(error) if error.is_refusal() => {
                self.counters().referrers_refused.inc();
                None
            }
            Err(error) => return self.told_last(from.stored(), key, error).await,
        };
        write_down(from.stored(), digest, artifact.as_ref()).await;
        let now = (Instant::now(), artifact.clone());
        self.inner.compatibility.insert(key, now).await;
        Ok(Ok(artifact))
    }

    /// The last answer of an upstream that fails with `error`.
    async fn told_last(
        &self,
        stored: &StoredRepository,
        key: (RepositoryName, Digest),
        error: UpstreamError,
    ) -> Result<Result<Option<Descriptor>, String>, RegistryError> {
        let offline = is_offline(&error);
        let error = match unreadable(RegistryError::Upstream(error)) {
            Ok(reason) if !offline => {
                return Ok(Err(format!("what refers to it cannot be told: {reason}")));
            }
            Ok(_) => None,
            Err(error) => Some(error),
        };
        let (storage, digest) = &key;
        let last = match self.inner.compatibility.get(&key).await {
            Some((_, artifact)) => Some(artifact),
            None => stored.compatibility(digest).await?,
        };
        match (last, error) {
            (Some(artifact), Some(error)) => {
                tracing::warn!(repository = %storage, %digest, %error, "the last answer counts");
                Ok(Ok(artifact))
            }
            (Some(artifact), None) => Ok(Ok(artifact)),
            (None, Some(error)) => Err(error),
            // Offline, only stored content counts.
            (None, None) => Ok(Ok(None)),
        }
    }
}

/// Stores an answer. A failing store does not fail a pull.
async fn write_down(stored: &StoredRepository, digest: &Digest, artifact: Option<&Descriptor>) {
    let known = stored.compatibility(digest).await;
    if matches!(&known, Ok(Some(known)) if known.as_ref() == artifact) {
        return;
    }
    if let Err(error) = stored.set_compatibility(digest, artifact).await {
        tracing::warn!(repository = %stored.name(), %digest, %error,
            "what refers to an image is not written down for when its upstream is away");
    }
}

/// Records the referrers in a bundle as all referrers of an upstream's image, unless the upstream
/// itself was asked before.
///
/// # Errors
/// If the store fails.
pub(crate) async fn note_from_bundle(
    stored: &StoredRepository,
    document: &Document,
) -> Result<(), RegistryError> {
    let Document::Manifest(image) = document else {
        return Ok(());
    };
    let digest = image.digest();
    if !image.is_image() || stored.compatibility(digest).await?.is_some() {
        return Ok(());
    }
    let kind = Some(nfd::ARTIFACT_TYPE);
    let held = stored.referrers(digest, kind, None, 100).await?;
    let held = held.items.into_iter().map(Value::Object);
    let held = held.filter_map(|map| reduced(&Descriptor::from_json(&map).ok()?));
    let artifact = newest(held.collect());
    Ok(stored.set_compatibility(digest, artifact.as_ref()).await?)
}

/// A compatibility artifact's descriptor, reduced to what finding the newest needs: annotations may
/// be as large as a manifest. `None` for another type.
fn reduced(descriptor: &Descriptor) -> Option<Descriptor> {
    let kind = descriptor.as_json().get("artifactType");
    if kind.and_then(Value::as_str) != Some(nfd::ARTIFACT_TYPE) {
        return None;
    }
    let created = descriptor.annotation(CREATED);
    let created: Option<Timestamp> = created.and_then(|text| text.parse().ok());
    let mut json = json!({
        "mediaType": descriptor.media_type().as_str(),
        "digest": descriptor.digest().as_str(),
        "size": descriptor.size(),
        "artifactType": nfd::ARTIFACT_TYPE,
    });
    if let (Some(created), Some(map)) = (created, json.as_object_mut()) {
        map.insert("annotations".into(), json!({CREATED: created.to_string()}));
    }
    Descriptor::from_json(&json).ok()
}

#[cfg(test)]
mod tests {
    use metahub_oci::MediaType;

    use super::*;

    #[test]
    fn of_an_artifact_only_what_tells_the_newest_is_kept() {
        let mut map = Descriptor::new(MediaType::oci_manifest(), Digest::sha256(b"a"), 7)
            .as_json()
            .clone();
        let large = "x".repeat(1_000_000);
        let created = "2025-03-27T08:08:08+02:00";
        map.insert(
            "annotations".into(),
            json!({CREATED: created, "large": large}),
        );
        let of = |map| reduced(&Descriptor::from_json(&Value::Object(map)).unwrap());
        assert!(of(map.clone()).is_none(), "no compatibility artifact");
        map.insert("artifactType".into(), nfd::ARTIFACT_TYPE.into());
        let small = of(map.clone()).unwrap();
        assert_eq!(small.annotation(CREATED), Some("2025-03-27T06:08:08Z"));
        assert!(Value::Object(small.as_json().clone()).to_string().len() < 500);
        assert_eq!(reduced(&small), Some(small));
        map.insert("annotations".into(), json!({CREATED: large}));
        assert_eq!(of(map).unwrap().annotation(CREATED), None);
    }
}
