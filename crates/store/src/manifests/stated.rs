//! The size of a blob that is not stored yet, as manifests of its repository state it.

use metahub_oci::{Digest, RepositoryName};
use serde::Deserialize;

use crate::StoreError;
use crate::store::Store;
use crate::task::blocking;

/// Most manifests that are read: images of one repository share their layers, and state the same
/// about them.
const MANIFESTS: u32 = 4;

/// The descriptors of a manifest or an index.
#[derive(Deserialize)]
struct Document {
    config: Option<Named>,
    #[serde(default)]
    layers: Vec<Named>,
    #[serde(default)]
    manifests: Vec<Named>,
}

#[derive(Deserialize)]
struct Named {
    digest: String,
    size: u64,
}

impl Store {
    /// The sizes in bytes that the latest manifests of `repository` which name the blob `digest`
    /// state for it, each once. Empty where none names it.
    pub async fn stated_sizes(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<u64>, StoreError> {
        let records = &self.inner.records;
        let bodies = records
            .manifests_naming(repository, digest, MANIFESTS)
            .await?;
        if bodies.is_empty() {
            return Ok(Vec::new());
        }
        let digest = digest.to_string();
        blocking(move || {
            let mut sizes: Vec<u64> = bodies
                .iter()
                .filter_map(|body| serde_json::from_slice::<Document>(body).ok())
                .flat_map(|document| {
                    let named = document.config.into_iter().chain(document.layers);
                    named.chain(document.manifests).collect::<Vec<_>>()
                })
                .filter(|named| named.digest == digest)
                .map(|named| named.size)
                .collect();
            sizes.sort_unstable();
            sizes.dedup();
            Ok(sizes)
        })
        .await
    }
}
