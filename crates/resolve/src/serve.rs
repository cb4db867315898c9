//! Which fields of an entry a derived index shows: none that clients interpret differently.

use std::collections::HashMap;

use metahub_oci::{Descriptor, Digest, Index, Platform};

use crate::annotation::{EXCLUDED, READ, UNKNOWN, WEIGHT};
use crate::rewrite::{edited, remove_annotation, with_entries};

/// The entry as it is served: its platform is operating system and architecture (and the system's
/// version, by which Windows machines pick), without `variant`, `features` and `os.features`,
/// since containerd rejects, Podman ignores and Apptainer skips over what they say.
#[must_use]
pub fn served_descriptor(descriptor: &Descriptor) -> Descriptor {
    let served = edited(descriptor, |map| {
        for ours in [WEIGHT, EXCLUDED, UNKNOWN, READ] {
            remove_annotation(map, ours);
        }
    });
    match descriptor.platform() {
        None => served,
        Some(platform) => served.with_platform(&Platform {
            os_version: platform.os_version,
            ..Platform::new(&platform.os, &platform.architecture)
        }),
    }
}

/// The index with derived children in the place of those that they were derived from. Each pair
/// is the digest of a child and the descriptor of what takes its place: media type, digest and
/// size are taken, platform and annotations stay.
#[must_use]
pub fn replace_children(index: &Index, children: &[(Digest, Descriptor)]) -> Index {
    let children: HashMap<&Digest, &Descriptor> =
        children.iter().map(|(from, to)| (from, to)).collect();
    let entries = index
        .manifests()
        .iter()
        .map(|entry| match children.get(entry.digest()) {
            Some(to) if to.digest() != entry.digest() => {
                entry.with_content(to.media_type().clone(), to.digest().clone(), to.size())
            }
            _ => entry.clone(),
        });
    with_entries(index, entries.collect())
}
