//! Configurations of images, changed by profiles.

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, ImageConfig, Manifest, MediaType};

use super::{image, words};
use crate::Target;

pub(super) const TARGET: Target = Target {
    name: "configs",
    files: &[
        "crates/resolve/tests/documents/docker_config.json",
        "crates/resolve/tests/documents/oci_config.json",
    ],
    cases: 60_000,
    most_bytes: 32 * 1024,
    words: &[
        "\"architecture\":",
        "\"os\":",
        "\"config\":{",
        "\"rootfs\":{",
        "\"diff_ids\":[",
        "\"type\":\"layers\"",
        "\"history\":[",
        "\"created_by\":\"x\"",
        "\"empty_layer\":true",
        "\"Env\":[\"",
        "PATH=",
        "\"Entrypoint\":[\"/a\"]",
        "\"Entrypoint\":\"text\"",
        "\"Cmd\":",
        "\"Labels\":{",
        "\"ExposedPorts\":",
        "\"Volumes\":",
        "\"User\":",
        "\"WorkingDir\":",
        "\"variant\":\"v8\"",
        "\"os.version\":",
        "\"os.features\":[\"",
        "amd64",
        "arm64",
        "linux",
        "windows",
        "null",
        "{",
        "}",
        "[",
        "]",
        ",",
        ":",
        "sha256:",
    ],
    read,
};

fn read(input: &[u8]) -> String {
    let config = match ImageConfig::parse(Bytes::copy_from_slice(input)) {
        Ok(config) => config,
        Err(error) => return words(&error),
    };
    assert_eq!(config.digest(), &Digest::sha256(input));
    let zstd: MediaType = "application/vnd.oci.image.layer.v1.tar+zstd"
        .parse()
        .unwrap();
    let layers = config.diff_ids().iter();
    let layers = layers
        .map(|id| Descriptor::new(zstd.clone(), id.clone(), 7))
        .collect();
    let kind: MediaType = "application/vnd.oci.image.config.v1+json".parse().unwrap();
    let descriptor = Descriptor::new(kind, config.digest().clone(), input.len() as u64);
    let platform = config.platform();
    let outcome = image::changed(&Manifest::new(descriptor, layers), &config);
    format!("{} {outcome}", platform.os.is_empty())
}
