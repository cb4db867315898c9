//! The image of a misbehaving upstream: reproducible bytes, so that a test knows the right ones.

use serde_json::json;

use crate::answer::MANIFEST_TYPE;
use crate::http::digest_of;

/// The one image that a [`Faulty`](super::Faulty) serves: `team/app:1.0`.
#[derive(Debug, Clone)]
pub struct Image {
    /// The manifest's bytes.
    pub manifest: Vec<u8>,
    /// The config's bytes.
    pub config: Vec<u8>,
    /// The layer's bytes (a gzip stream).
    pub layer: Vec<u8>,
}

impl Image {
    /// The manifest's path under its tag.
    pub const TAG: &'static str = "/v2/team/app/manifests/1.0";

    /// An image of one layer of about 200 kB that does not compress.
    #[must_use]
    pub fn new() -> Self {
        Self::of_size(200_000)
    }

    /// The same with a layer of so many bytes, a multiple of eight.
    ///
    /// # Panics
    /// Never.
    #[must_use]
    pub fn of_size(size: usize) -> Self {
        // Not a tar stream: no server has a reason to look inside a layer that it passes on.
        let mut layer = Vec::with_capacity(size);
        let mut state = 0x2545_f491_4f6c_dd1d_u64;
        while layer.len() < size {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            layer.extend(state.to_le_bytes());
        }
        let config = json!({
            "architecture": "amd64",
            "os": "linux",
            "config": {},
            "rootfs": { "type": "layers", "diff_ids": [digest_of(&layer)] },
        });
        let config = serde_json::to_vec(&config).expect("it is plain JSON");
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST_TYPE,
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": digest_of(&config),
                "size": config.len(),
            },
            "layers": [{
                "mediaType": "application/vnd.oci.image.layer.v1.tar",
                "digest": digest_of(&layer),
                "size": layer.len(),
            }],
        });
        let manifest = serde_json::to_vec(&manifest).expect("it is plain JSON");
        Self {
            manifest,
            config,
            layer,
        }
    }

    /// The path of one of its blobs.
    #[must_use]
    pub fn blob(bytes: &[u8]) -> String {
        Self::blob_in("team/app", bytes)
    }

    /// The same in another repository.
    #[must_use]
    pub fn blob_in(repository: &str, bytes: &[u8]) -> String {
        format!("/v2/{repository}/blobs/{}", digest_of(bytes))
    }

    /// The manifest's path under its digest.
    #[must_use]
    pub fn by_digest(&self) -> String {
        format!("/v2/team/app/manifests/{}", digest_of(&self.manifest))
    }
}

impl Default for Image {
    fn default() -> Self {
        Self::new()
    }
}
