//! Reads a catalog that is an OCI artifact from another registry. Everything is bounded, verified
//! against its digest and, if a key is given, against a signature; nothing is written.

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::artifact::{self, CatalogFile};
use metahub_oci::{Digest, Document, ImageReference, Reference, RepositoryName};
use metahub_signature::PublicKey;
use metahub_upstream::{
    ConfigError, Freshness, Upstream, UpstreamConfig, Upstreams, UpstreamsConfig,
};

use crate::catalog_blob::blob;
use crate::catalog_error::{CatalogError, LONGEST};
use crate::catalog_signatures;

/// A catalog of another registry.
#[derive(Clone, Debug)]
pub struct FetchedCatalog {
    /// The digest of its manifest.
    pub digest: Digest,
    /// The registry's validator of the tag.
    pub etag: Option<String>,
    /// Its files; each is UTF-8 text.
    pub files: Vec<CatalogFile>,
    /// The key that signed it, by the digest of its DER form, if one was required.
    pub verified_by: Option<Digest>,
}

/// The result of checking a catalog for changes.
#[derive(Debug)]
pub enum CatalogState {
    /// It is the same.
    Unchanged {
        /// The validator to store.
        etag: Option<String>,
    },
    /// It is, or may be, another one.
    Changed {
        /// Its digest, if the registry states it.
        digest: Option<Digest>,
    },
}

/// Reads one catalog.
#[derive(Debug)]
pub struct CatalogReader {
    upstream: Arc<Upstream>,
    name: RepositoryName,
    reference: Reference,
    key: Option<PublicKey>,
}

impl CatalogReader {
    /// A reader of `image` at the registry that `registry` describes. With a key, only catalogs
    /// signed by it are read. `general` states whether upstreams are asked at all (`offline`).
    ///
    /// # Errors
    /// A secret or a certificate that cannot be read.
    pub fn new(
        image: &ImageReference,
        registry: &UpstreamConfig,
        general: &UpstreamsConfig,
        key: Option<PublicKey>,
    ) -> Result<Self, ConfigError> {
        Ok(Self {
            upstream: Upstreams::one(registry, general)?,
            name: image.name().clone(),
            reference: image.reference(),
            key,
        })
    }

    /// The key that has to have signed the catalog.
    #[must_use]
    pub fn key(&self) -> Option<&PublicKey> {
        self.key.as_ref()
    }

    /// Whether the catalog that was fetched with `digest` and `etag` is unchanged: one HEAD.
    ///
    /// # Errors
    /// A registry that cannot be asked, or that has no such catalog any more.
    pub async fn state(
        &self,
        digest: &Digest,
        etag: Option<&str>,
    ) -> Result<CatalogState, CatalogError> {
        let Reference::Tag(tag) = &self.reference else {
            // A catalog that is followed by digest never changes.
            let etag = etag.map(str::to_owned);
            return Ok(CatalogState::Unchanged { etag });
        };
        let asked = self.upstream.revalidate(&self.name, tag, digest, etag);
        Ok(match asked.await? {
            Freshness::Unchanged { etag } => CatalogState::Unchanged { etag },
            Freshness::Changed { digest } => CatalogState::Changed { digest },
            Freshness::Gone => return Err(CatalogError::Missing(self.shown(&self.reference))),
        })
    }

    /// Fetches the catalog, or the one with `digest`, if the tag's digest is known.
    ///
    /// # Errors
    /// As [`CatalogError`] says.
    pub async fn fetch(&self, digest: Option<Digest>) -> Result<FetchedCatalog, CatalogError> {
        let reference = digest.map_or_else(|| self.reference.clone(), Reference::Digest);
        let fetched = tokio::time::timeout(LONGEST, self.fetch_all(&reference)).await;
        fetched.unwrap_or(Err(CatalogError::Slow))
    }

    async fn fetch_all(&self, reference: &Reference) -> Result<FetchedCatalog, CatalogError> {
        let fetched = self.upstream.manifest(&self.name, reference).await?;
        let fetched = fetched.ok_or_else(|| CatalogError::Missing(self.shown(reference)))?;
        let digest = fetched.document.digest().clone();
        let files = self.files(&fetched.document).await;
        Ok(FetchedCatalog {
            files: files.map_err(|error| error.of(&digest))?,
            digest,
            etag: fetched.etag,
            verified_by: self.key.as_ref().map(|key| key.fingerprint().clone()),
        })
    }

    /// The files of a manifest, which is verified before any of them is fetched.
    async fn files(&self, manifest: &Document) -> Result<Vec<CatalogFile>, CatalogError> {
        if let Some(key) = &self.key {
            let digest = manifest.digest();
            catalog_signatures::verify(&self.upstream, &self.name, digest, key).await?;
        }
        let layers = artifact::layers(manifest)?;
        let mut blobs: HashMap<Digest, Bytes> = HashMap::new();
        let mut files = Vec::with_capacity(layers.len());
        for layer in layers {
            let known = blobs.get(layer.descriptor.digest()).cloned();
            let bytes = match known {
                Some(bytes) if bytes.len() as u64 == layer.descriptor.size() => bytes,
                Some(_) => return Err(CatalogError::Mismatch(layer.title)),
                None => blob(&self.upstream, &self.name, &layer.descriptor, &layer.title).await?,
            };
            if std::str::from_utf8(&bytes).is_err() {
                return Err(CatalogError::Text(layer.title));
            }
            blobs.insert(layer.descriptor.digest().clone(), bytes.clone());
            files.push(CatalogFile {
                title: layer.title,
                bytes,
            });
        }
        Ok(files)
    }

    fn shown(&self, reference: &Reference) -> String {
        let at = match reference {
            Reference::Tag(_) => ':',
            Reference::Digest(_) => '@',
        };
        format!("{}/{}{at}{reference}", self.upstream.host(), self.name)
    }
}
