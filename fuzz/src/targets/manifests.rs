//! Manifests as registries send and clients push them; those of images are changed.

use bytes::Bytes;
use metahub_oci::{Digest, Document, ImageConfig, Manifest, MediaType};
use serde_json::json;

use super::{image, words};
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "manifests",
    files: &[],
    cases: 30_000,
    most_bytes: 32 * 1024,
    words: &[
        "\"schemaVersion\":2",
        "\"mediaType\":",
        "\"config\":",
        "\"layers\":[",
        "\"digest\":",
        "\"size\":",
        "\"annotations\":{",
        "\"subject\":",
        "\"artifactType\":",
        "\"urls\":[\"",
        "\"manifests\":[]",
        "application/vnd.oci.image.manifest.v1+json",
        "application/vnd.docker.distribution.manifest.v2+json",
        "application/vnd.oci.image.index.v1+json",
        "application/vnd.oci.image.config.v1+json",
        "application/vnd.oci.image.layer.v1.tar+gzip",
        "application/vnd.oci.image.layer.v1.tar+zstd",
        "application/vnd.docker.image.rootfs.diff.tar.gzip",
        "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip",
        "application/vnd.docker.container.image.v1+json",
        "sha256:",
        "sha512:",
        "33735bd63cf84d7e388d9f6d297d348c523c044410f553bd878c6d7829612735",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "null",
    ],
    read,
};

fn read(input: &[u8]) -> String {
    let bytes = Bytes::copy_from_slice(input);
    let mut outcome = String::new();
    for content_type in [None, Some(MediaType::oci_manifest())] {
        let document = Document::parse(bytes.clone(), content_type.as_ref());
        outcome += &match document {
            Err(error) => words(&error),
            Ok(Document::Index(_)) => "index".to_owned(),
            Ok(Document::Manifest(manifest)) => {
                assert_eq!(manifest.digest(), &Digest::sha256(input));
                match manifest.is_image() {
                    // As it is, and with about as many layers as an image may have.
                    true => format!("{} {}", changed(&manifest, 1), changed(&manifest, 62)),
                    false => "no image".to_owned(),
                }
            }
        };
        outcome.push('/');
    }
    outcome
}

/// What profiles make of the image with its layers `times` over.
fn changed(manifest: &Manifest, times: usize) -> String {
    let Some(descriptor) = manifest.config() else {
        return "no configuration".to_owned();
    };
    let layers: Vec<_> = std::iter::repeat_n(manifest.layers(), times)
        .flatten()
        .cloned()
        .collect();
    let ids: Vec<Digest> = (0..layers.len())
        .map(|n| Digest::sha256(n.to_string().as_bytes()))
        .collect();
    let config = json!({
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": ids},
    });
    let config = ImageConfig::parse(Bytes::from(config.to_string())).unwrap();
    let manifest = match times {
        1 => manifest.clone(),
        _ => manifest.with_image(descriptor.clone(), layers),
    };
    image::changed(&manifest, &config)
}
