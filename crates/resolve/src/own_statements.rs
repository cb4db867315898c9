//! Adds what an image states about itself to what its index states about it: both count.

use metahub_hardware::{Statements, from_platform};
use metahub_oci::{Descriptor, Platform};

use crate::annotation::{EXCLUDED, READ, UNKNOWN};
use crate::policy::Unsure;
use crate::rewrite::{edited, remove_annotation};

/// The candidate with its image's own statements: `platform` of its configuration, and
/// `statements`. They count in addition to the index's.
///
/// The platform is filled in where the index states none. An image for another operating system
/// or architecture than the index says is excluded, and so is one with statements that cannot be
/// read, unless `unknown` lets such be served.
#[must_use]
pub fn with_own(
    candidate: &Descriptor,
    platform: &Platform,
    statements: &Statements,
    unknown: Unsure,
) -> Descriptor {
    let listed = candidate.platform().unwrap_or_default();
    if let Some(reason) = contradiction(&listed, platform) {
        return excluded(candidate, &reason);
    }
    let or = |listed: String, own: &str| {
        if listed.is_empty() {
            own.to_owned()
        } else {
            listed
        }
    };
    let mut all = statements.clone();
    all.add_platform(
        &platform.os,
        &platform.architecture,
        platform.variant.as_deref(),
        &platform.os_features,
    );
    let mut features = listed.features;
    let own = all
        .requirements
        .iter()
        .map(|stated| stated.feature.to_string());
    add(&mut features, own);
    let read = candidate.with_platform(&Platform {
        os: or(listed.os, &platform.os),
        architecture: or(listed.architecture, &platform.architecture),
        // Variants of 32-bit Arm are no features, and have no other place.
        variant: listed.variant.or_else(|| {
            let own = platform.variant.clone();
            own.filter(|_| platform.architecture == "arm")
        }),
        features,
        os_version: listed.os_version.or_else(|| platform.os_version.clone()),
        os_features: listed.os_features,
    });
    marked(&read, statements, unknown)
}

/// An entry of an index that `outer`, an entry of another index, leads to: what `outer` states
/// counts for all entries, in addition to the index's own statements.
#[must_use]
pub fn below(outer: &Descriptor, entry: &Descriptor) -> Descriptor {
    let entry = unmarked(entry);
    let Some(above) = outer.platform() else {
        return entry;
    };
    let own = entry.platform().unwrap_or_default();
    if entry.is_attestation() {
        return entry;
    }
    if let Some(reason) = contradiction(&above, &own) {
        return excluded(&entry, &reason);
    }
    let or = |own: String, above: &str| {
        if own.is_empty() {
            above.to_owned()
        } else {
            own
        }
    };
    let mut features = own.features;
    let variant = from_platform(&above.architecture, above.variant.as_deref());
    add(&mut features, above.features.into_iter());
    add(&mut features, variant.iter().map(ToString::to_string));
    let mut os_features = own.os_features;
    add(&mut os_features, above.os_features.into_iter());
    entry.with_platform(&Platform {
        os: or(own.os, &above.os),
        architecture: or(own.architecture, &above.architecture),
        variant: own.variant,
        features,
        os_version: own.os_version.or(above.os_version),
        os_features,
    })
}

fn add(to: &mut Vec<String>, more: impl Iterator<Item = String>) {
    for text in more {
        if !to.contains(&text) {
            to.push(text);
        }
    }
}

/// The candidate, excluded or marked if some of `statements` cannot be read.
pub(crate) fn marked(
    candidate: &Descriptor,
    statements: &Statements,
    unknown: Unsure,
) -> Descriptor {
    let read = annotated(candidate, READ, "yes");
    let unread: Vec<String> = statements.unread.iter().map(ToString::to_string).collect();
    match (unread.as_slice(), unknown) {
        ([], _) => read,
        (unread, Unsure::Serve) => annotated(&read, UNKNOWN, &unread.join("; ")),
        (unread, Unsure::Refuse) => {
            let reason = format!("what it requires cannot be read: {}", unread.join("; "));
            excluded(&read, &reason)
        }
    }
}

/// The candidate, never to be chosen for a reason.
#[must_use]
pub fn excluded(candidate: &Descriptor, reason: &str) -> Descriptor {
    annotated(&annotated(candidate, READ, "yes"), EXCLUDED, reason)
}

/// The candidate as read, with no statements of its image to add.
pub(crate) fn as_listed(candidate: &Descriptor) -> Descriptor {
    annotated(candidate, READ, "yes")
}

/// An entry of a foreign index, without annotations that only MetaHub sets.
#[must_use]
pub fn unmarked(entry: &Descriptor) -> Descriptor {
    if [EXCLUDED, UNKNOWN, READ]
        .iter()
        .all(|ours| entry.annotation(ours).is_none())
    {
        return entry.clone();
    }
    edited(entry, |map| {
        for ours in [EXCLUDED, UNKNOWN, READ] {
            remove_annotation(map, ours);
        }
    })
}

fn annotated(candidate: &Descriptor, key: &str, value: &str) -> Descriptor {
    edited(candidate, |map| {
        let annotations = map
            .entry("annotations")
            .or_insert_with(|| metahub_oci::JsonMap::new().into());
        if !annotations.is_object() {
            *annotations = metahub_oci::JsonMap::new().into();
        }
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(key.to_owned(), value.into());
        }
    })
}

/// Why an index and an image's configuration cannot both be right, if so.
fn contradiction(listed: &Platform, own: &Platform) -> Option<String> {
    let differ = |a: &str, b: &str| !a.is_empty() && !b.is_empty() && a != b;
    (differ(&listed.os, &own.os) || differ(&listed.architecture, &own.architecture)).then(|| {
        format!(
            "it is for {}/{}, and the index says {}/{}",
            own.os, own.architecture, listed.os, listed.architecture
        )
    })
}
