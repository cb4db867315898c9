//! What workers push: images and blobs that are the same in every run.

use metahub_e2e::http::digest_of;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, descriptor};
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::json;

/// Content with its digest: made once, since much is compared with it.
pub(crate) struct Content {
    pub(crate) bytes: Vec<u8>,
    pub(crate) digest: String,
}

impl Content {
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let digest = digest_of(&bytes);
        Self { bytes, digest }
    }
}

pub(crate) struct Image {
    pub(crate) config: Content,
    pub(crate) layer: Content,
    pub(crate) manifest: Content,
}

pub(crate) fn content(seed: u64, size: usize) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = vec![0; size];
    random.fill(&mut bytes[..]);
    bytes
}

/// Every third image has a layer that all workers push; one is large enough to be cut in the
/// middle.
pub(crate) fn image(worker: u64, image: u64) -> Image {
    let own = worker * 100 + image;
    let config = json!({ "os": "linux", "architecture": "amd64", "own": own,
                         "rootfs": { "type": "layers", "diff_ids": [] } });
    let config = serde_json::to_vec(&config).unwrap();
    let layer = match image {
        0 => content(own, 3_000_000),
        shared if shared.is_multiple_of(3) => content(50_000 + shared, 300_000),
        _ => content(own, 70_000 + usize::try_from(image).unwrap() * 40_000),
    };
    let manifest = json!({
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": descriptor(CONFIG, &config),
        "layers": [descriptor(LAYER, &layer)],
    });
    Image {
        config: Content::new(config),
        layer: Content::new(layer),
        manifest: Content::new(serde_json::to_vec(&manifest).unwrap()),
    }
}
