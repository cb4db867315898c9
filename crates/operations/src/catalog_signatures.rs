//! Finds a signature of a manifest at another registry: as a bundle among its referrers, else under
//! the tag that cosign used before. A registry can offer any number of either; a few are tried.

use std::sync::Arc;

use metahub_oci::{Descriptor, Digest, Document, Reference, RepositoryName};
use metahub_signature::{
    BUNDLE_TYPE, PublicKey, SIGNATURE_ANNOTATION, SIMPLE_SIGNING_TYPE, signature_tag,
    verify_bundle, verify_simple,
};
use metahub_upstream::Upstream;
use serde_json::Value;

use crate::catalog_blob::blob;
use crate::catalog_error::CatalogError;

/// Most signatures that are tried, of each of the two kinds.
const MOST: usize = 32;
/// Largest signature, in bytes. Those of keys have about 1 KiB.
const LARGEST: u64 = 256 * 1024;

/// Verifies that `key` has signed the manifest `digest`.
///
/// # Errors [`CatalogError::Unsigned`] without such a signature; otherwise why that is unknown.
pub(crate) async fn verify(
    upstream: &Arc<Upstream>,
    name: &RepositoryName,
    digest: &Digest,
    key: &PublicKey,
) -> Result<(), CatalogError> {
    let search = Search {
        upstream,
        name,
        digest,
        key,
    };
    let mut why = "there is none at all".to_owned();
    if search.bundles(&mut why).await? || search.simple(&mut why).await? {
        return Ok(());
    }
    let key = key.fingerprint().clone();
    Err(CatalogError::Unsigned { key, why })
}

struct Search<'a> {
    upstream: &'a Arc<Upstream>,
    name: &'a RepositoryName,
    digest: &'a Digest,
    key: &'a PublicKey,
}

impl Search<'_> {
    /// Whether a bundle among the referrers verifies.
    async fn bundles(&self, why: &mut String) -> Result<bool, CatalogError> {
        let referring = self.upstream.referrers(self.name, self.digest).await?;
        let bundles = referring.descriptors.iter().filter(|one| is_bundle(one));
        for found in bundles.take(MOST) {
            let reference = Reference::Digest(found.digest().clone());
            let Some(fetched) = self.upstream.manifest(self.name, &reference).await? else {
                continue;
            };
            let Some(layer) = layers(&fetched.document).first() else {
                continue;
            };
            let Some(bundle) = self.signature(layer, why).await? else {
                continue;
            };
            match verify_bundle(&bundle, self.digest, self.key) {
                Ok(()) => return Ok(true),
                Err(error) => *why = error.to_string(),
            }
        }
        Ok(false)
    }

    /// Whether a signature under the tag `sha256-….sig` verifies.
    async fn simple(&self, why: &mut String) -> Result<bool, CatalogError> {
        let Some(tag) = signature_tag(self.digest) else {
            return Ok(false);
        };
        let fetched = self.upstream.manifest(self.name, &tag.into()).await?;
        let Some(fetched) = fetched else {
            return Ok(false);
        };
        let signed = layers(&fetched.document).iter().filter_map(|layer| {
            let simple = layer.media_type().as_str() == SIMPLE_SIGNING_TYPE;
            let signature = layer.annotation(SIGNATURE_ANNOTATION)?;
            simple.then_some((layer, signature))
        });
        for (layer, signature) in signed.take(MOST) {
            let Some(payload) = self.signature(layer, why).await? else {
                continue;
            };
            match verify_simple(&payload, signature, self.digest, self.key) {
                Ok(()) => return Ok(true),
                Err(error) => *why = error.to_string(),
            }
        }
        Ok(false)
    }

    /// The blob that `layer` describes; `None`, and a reason in `why`, if it cannot be a signature.
    async fn signature(
        &self,
        layer: &Descriptor,
        why: &mut String,
    ) -> Result<Option<bytes::Bytes>, CatalogError> {
        if layer.size() > LARGEST {
            *why = format!("it has more than {LARGEST} bytes");
            return Ok(None);
        }
        match blob(self.upstream, self.name, layer, "a signature").await {
            Ok(bytes) => Ok(Some(bytes)),
            Err(error) if error.is_away() => Err(error),
            Err(error) => {
                *why = error.to_string();
                Ok(None)
            }
        }
    }
}

/// Whether a referrer may hold a bundle. Registries without the field say nothing.
fn is_bundle(descriptor: &Descriptor) -> bool {
    let kind = descriptor.as_json().get("artifactType");
    kind.and_then(Value::as_str)
        .is_none_or(|kind| kind == BUNDLE_TYPE)
}

fn layers(document: &Document) -> &[Descriptor] {
    match document {
        Document::Manifest(manifest) => manifest.layers(),
        Document::Index(_) => &[],
    }
}
