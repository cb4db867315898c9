//! Makes the source index of a collection from its entries' images, as candidates. It is then
//! handled like any other index.

use metahub_catalog::{Collection, Entry, PlatformSpec};
use metahub_hardware::{Feature, Key, Statements, Unread};
use metahub_oci::{Descriptor, Index, JsonMap, Platform};
use serde_json::Value;

use crate::annotation::{EXCLUDED, IMAGE, WEIGHT};
use crate::own_statements::{as_listed, marked};
use crate::policy::Unsure;
use crate::rewrite::edited;

/// What a collection's entry points to.
#[derive(Clone, Debug)]
pub enum Pointed {
    /// A single image: its manifest's descriptor, with the platform that its configuration says
    /// ([`Descriptor::with_platform`]), and what manifest and configuration say it requires.
    Image(Descriptor, Statements),
    /// An index: its entries, those of indexes within it in their place.
    Index(Vec<Descriptor>),
    /// Nothing that could be read, and why.
    Missing(String),
}

/// A collection's source index.
#[derive(Clone, Debug)]
pub struct Candidates {
    /// One entry for each image, in the order of the collection, then of the index that an entry
    /// points to. `platform.features` is what the entry requires.
    pub index: Index,
    /// The entries of the collection that gave none.
    pub left_out: Vec<LeftOut>,
}

/// An entry of a collection that gave no candidate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// The image that it points to.
    pub image: String,
    /// Why, in words.
    pub reason: String,
}

/// The source index of `collection`, whose entries point to `pointed`, in their order.
///
/// The platform that an entry states wins: for a single image it replaces the image's own
/// statement, for an index it selects among the index's entries. Whatever the entry does not state
/// is taken from the image.
///
/// A single image has its entry's requirements, and for keys that the entry does not mention, the
/// image's own; an entry with `features: []` requires nothing, whatever its image says. An image of
/// an index has the entry's requirements and those that the index states for it: there one
/// statement of the entry is for many images, and cannot replace the statements that tell them
/// apart.
///
/// A single image of which something cannot be read is excluded, or marked where `unknown` lets
/// such be served; not where the entry says itself what could not be read.
#[must_use]
pub fn collection_candidates(
    collection: &Collection,
    pointed: &[Pointed],
    unknown: Unsure,
) -> Candidates {
    let mut manifests = Vec::new();
    let mut left_out = Vec::new();
    let nothing = Pointed::Missing("it was not looked up".to_owned());
    for (at, entry) in collection.entries.iter().enumerate() {
        match images(entry, pointed.get(at).unwrap_or(&nothing), unknown) {
            Ok(images) => manifests.extend(images),
            Err(reason) => left_out.push(LeftOut {
                image: entry.image.to_string(),
                reason,
            }),
        }
    }
    let mut index = Index::new(manifests);
    for (key, value) in &collection.annotations {
        index = index.with_annotation(key, value);
    }
    Candidates { index, left_out }
}

/// Whether a single image's own statements cannot change the result of [`collection_candidates`]
/// for `entry`: it names the machine, and says that nothing more is required. Then the image's
/// configuration and referrers need not be read.
#[must_use]
pub fn says_everything(entry: &Entry) -> bool {
    let Some(written) = entry.platform.as_ref() else {
        return false;
    };
    let names_the_machine = match written.os.as_deref() {
        // Windows chooses by the version of the system, too.
        Some("windows") => written.os_version.is_some(),
        Some(_) => true,
        None => false,
    };
    names_the_machine && written.architecture.is_some() && entry.requires_nothing
}

fn images(entry: &Entry, pointed: &Pointed, unknown: Unsure) -> Result<Vec<Descriptor>, String> {
    let nothing_written = PlatformSpec::default();
    let written = entry.platform.as_ref().unwrap_or(&nothing_written);
    match pointed {
        Pointed::Missing(reason) => Err(reason.clone()),
        Pointed::Image(descriptor, statements) => Ok(vec![single(
            entry, written, descriptor, statements, unknown,
        )]),
        Pointed::Index(entries) => {
            let images: Vec<Descriptor> = entries
                .iter()
                .filter(|descriptor| !descriptor.is_attestation())
                .filter(|descriptor| descriptor.media_type().is_manifest())
                .filter_map(|descriptor| {
                    let platform = descriptor.platform().unwrap_or_default();
                    let wanted = agrees(written, &platform);
                    wanted.then(|| candidate(entry, descriptor, overlay(written, &platform)))
                })
                .collect();
            if images.is_empty() {
                let has = entries.iter().filter_map(Descriptor::platform);
                let has: Vec<String> = has.map(|platform| platform.to_string()).collect();
                return Err(format!(
                    "its index has no image for the written platform; it has {}",
                    has.join(", ")
                ));
            }
            Ok(images)
        }
    }
}

/// A single image as a candidate. Of a matter that the entry's features name, its own statements
/// do not count, its variant and `os.features` included.
fn single(
    entry: &Entry,
    written: &PlatformSpec,
    descriptor: &Descriptor,
    statements: &Statements,
    unknown: Unsure,
) -> Descriptor {
    let mut found = descriptor.platform().unwrap_or_default();
    if entry.requires_nothing {
        found.variant = None;
        found.os_features.clear();
        return as_listed(&candidate(entry, descriptor, overlay(written, &found)));
    }
    let names = |key: &Key| entry.requires.iter().any(|own| own.key() == key);
    // Variants of 32-bit Arm are no CPU targets.
    if names(&Key::Arch) && found.architecture != "arm" {
        found.variant = None;
    }
    let named = |word: &String| Feature::parse(word).is_ok_and(|feature| names(feature.key()));
    found.os_features.retain(|word| !named(word));
    let own = statements.beside(&entry.requires);
    found.features.extend(own.map(ToString::to_string));
    let image = candidate(entry, descriptor, overlay(written, &found));
    let open = Statements {
        requirements: Vec::new(),
        unread: statements
            .unread
            .iter()
            .filter(|unread| !speaks_of(entry, unread))
            .cloned()
            .collect(),
    };
    marked(&image, &open, unknown)
}

/// Whether the entry says itself what could not be read of its image.
fn speaks_of(entry: &Entry, unread: &Unread) -> bool {
    let at = unread.at.as_str();
    let nvidia = at.contains("variable ");
    entry.requires.iter().any(|own| match own.key() {
        Key::Arch => at.contains(".cpu."),
        Key::Cuda => at.contains("cuda") || nvidia,
        Key::Driver => at.contains("driver") || nvidia,
        Key::Cc => at.contains("gpu.architecture") || nvidia,
        Key::Gfx => at.contains("gpu.architecture"),
        Key::Mpi => at.contains("mpi"),
        Key::NvidiaRequire => nvidia,
        Key::Nfd => at.contains("compatibility artifact"),
        _ => false,
    })
}

/// Whether an entry of an index is for the platform that is written.
fn agrees(written: &PlatformSpec, found: &Platform) -> bool {
    let same = |written: &Option<String>, found: &str| {
        // What an index leaves open, the collection may say.
        written
            .as_deref()
            .is_none_or(|w| w == found || found.is_empty())
    };
    let variant = found.variant.as_deref().unwrap_or("");
    let version = found.os_version.as_deref().unwrap_or("");
    same(&written.os, &found.os)
        && same(&written.architecture, &found.architecture)
        && same(&written.variant, variant)
        && same(&written.os_version, version)
}

/// The entry's statements, over the image's.
fn overlay(written: &PlatformSpec, found: &Platform) -> Platform {
    let text =
        |written: &Option<String>, found: &str| written.clone().unwrap_or_else(|| found.to_owned());
    Platform {
        os: text(&written.os, &found.os),
        architecture: text(&written.architecture, &found.architecture),
        variant: written.variant.clone().or_else(|| found.variant.clone()),
        features: found.features.clone(),
        os_version: written
            .os_version
            .clone()
            .or_else(|| found.os_version.clone()),
        os_features: if written.os_features.is_empty() {
            found.os_features.clone()
        } else {
            written.os_features.clone()
        },
    }
}

fn candidate(entry: &Entry, image: &Descriptor, platform: Platform) -> Descriptor {
    let mut features: Vec<String> = entry.requires.iter().map(ToString::to_string).collect();
    for own in platform.features {
        if !features.contains(&own) {
            features.push(own);
        }
    }
    let platform = Platform {
        features,
        ..platform
    };
    let mut annotations = JsonMap::new();
    annotations.insert(IMAGE.into(), entry.image.to_string().into());
    // What indexes within indexes contradict stays left out.
    if let Some(reason) = image.annotation(EXCLUDED) {
        annotations.insert(EXCLUDED.into(), reason.into());
    }
    if entry.weight != 0 {
        annotations.insert(WEIGHT.into(), entry.weight.to_string().into());
    }
    let plain = Descriptor::new(
        image.media_type().clone(),
        image.digest().clone(),
        image.size(),
    );
    edited(&plain.with_platform(&platform), |map| {
        map.insert("annotations".into(), Value::Object(annotations));
    })
}
