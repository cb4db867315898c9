//! Collections: named, tagged image indexes written as YAML, whose entries name images anywhere. In
//! MetaHub's own form and in the form that manifest-tool writes. The images themselves are not read
//! here.

use std::collections::BTreeMap;
use std::sync::Arc;

use metahub_hardware::Feature;
use metahub_oci::{ImageReference, RepositoryName, Tag};
use serde::Serialize;

use crate::about::{About, AboutCollection, AboutEntry};
use crate::features;
use crate::location::Location;
use crate::reader::Reader;
use crate::yaml::{Mark, Node, Value};

/// A named, tagged list of images.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Collection {
    /// The repository that it is pulled as.
    pub name: RepositoryName,
    /// The tag that it is pulled as.
    pub tag: Tag,
    /// The images, in the order of the file. Never empty.
    pub entries: Vec<Entry>,
    /// Annotations of the served index.
    pub annotations: BTreeMap<String, String>,
    /// The document's description of the application. Not serialized, like all descriptions: what
    /// is served does not depend on it.
    #[serde(skip)]
    pub application: Arc<About>,
    /// Its statements about itself.
    #[serde(skip)]
    pub about: AboutCollection,
    /// Where it was read.
    pub location: Location,
}

/// One image of a collection.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Entry {
    /// The image, in any registry.
    pub image: ImageReference,
    /// Its platform, as far as written; the image itself states the rest.
    pub platform: Option<PlatformSpec>,
    /// The features without which the image is not for a machine.
    pub requires: Vec<Feature>,
    /// Whether it states, by an empty list, that it runs on every machine: then its image's own
    /// statements do not count.
    pub requires_nothing: bool,
    /// Among entries that fit equally well, the one that weighs more is chosen.
    pub weight: i64,
    /// Its statements about its image.
    #[serde(skip)]
    pub about: AboutEntry,
    /// Where it was read. Not serialized: entries that say the same are the same anywhere.
    #[serde(skip)]
    pub location: Location,
}

/// An entry's statements about its image's platform.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct PlatformSpec {
    /// `GOOS`, such as `linux`.
    pub os: Option<String>,
    /// `GOARCH`, such as `amd64`.
    pub architecture: Option<String>,
    /// CPU variant, such as `v8`.
    pub variant: Option<String>,
    /// Operating system version, of Windows images.
    pub os_version: Option<String>,
    /// Required operating system features, of Windows images.
    pub os_features: Vec<String>,
}

impl PlatformSpec {
    /// Whether it is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}

pub(crate) const COLLECTION_KEYS: &[&str] = &["name", "tag", "manifests", "annotations", "about"];
pub(crate) const ENTRY_KEYS: &[&str] = &["image", "platform", "weight", "about"];
pub(crate) const PLATFORM_KEYS: &[&str] = &[
    "os",
    "architecture",
    "variant",
    "features",
    "os.version",
    "os.features",
];

const ENTRY_EXAMPLE: &str = "manifests: [{image: qnib/gromacs:zen3}]";

impl Collection {
    /// Reads one item of a `manifests:` list, and where its name stands.
    pub(crate) fn read(reader: &mut Reader<'_>, node: &Node) -> Option<(Self, Mark)> {
        let errors = reader.errors();
        let fields = reader.fields(node, "a collection", COLLECTION_KEYS)?;
        let name_node = fields.required(reader, "name", "gromacs");
        let name = name_node.and_then(|n| reader.parsed(n, "name", "bad-name", "name: gromacs"));
        let tag = match fields.get("tag") {
            Some(tag) => reader.parsed(tag, "tag", "bad-tag", "tag: 2021.5"),
            None => Some(Tag::latest()),
        };
        let annotations = fields.get("annotations").map(|n| annotations(reader, n));
        let about = fields.get("about");
        let about = about.and_then(|node| AboutCollection::read(reader, node));
        let entries = fields
            .required(reader, "manifests", "[{image: qnib/gromacs:zen3}]")
            .and_then(|n| entries(reader, n));
        let collection = Self {
            name: name?,
            tag: tag?,
            entries: entries?,
            annotations: annotations.unwrap_or_default(),
            application: Arc::default(),
            about: about.unwrap_or_default(),
            location: reader.location(fields.mark),
        };
        (errors == reader.errors()).then_some((collection, name_node?.mark))
    }

    /// Reads the form that manifest-tool writes, where `image` names what is made: one
    /// collection for its tag and one for each of `tags`. A host in `image` says where
    /// manifest-tool would have pushed, and is left out.
    pub(crate) fn read_manifest_tool(
        reader: &mut Reader<'_>,
        image: &Node,
        tags: Option<&Node>,
        manifests: Option<&Node>,
        mark: Mark,
    ) -> Vec<Self> {
        const EXAMPLE: &str = "image: qnib/gromacs:2021.5";
        let errors = reader.errors();
        let reference: Option<ImageReference> = reader.parsed(image, "image", "bad-image", EXAMPLE);
        if reference
            .as_ref()
            .is_some_and(|image| image.digest().is_some())
        {
            reader.error(
                "bad-image",
                image.mark,
                "`image` names what the collection is pulled as, which has a tag and no digest",
                format!("write it as in `{EXAMPLE}`"),
            );
        }
        let mut all_tags: Vec<Tag> = Vec::new();
        if let Some(reference) = &reference {
            all_tags.push(reference.tag().cloned().unwrap_or_else(Tag::latest));
        }
        if let Some(tags) = tags
            && let Some(items) = reader.list(tags, "tags", "tags: [2021, latest]")
        {
            for item in items {
                let tag: Option<Tag> = reader.parsed(item, "tags", "bad-tag", "tags: [2021]");
                all_tags.extend(tag.filter(|tag| !all_tags.contains(tag)));
            }
        }
        let entries = match manifests {
            Some(manifests) => entries(reader, manifests),
            None => {
                let message = "a collection needs the key `manifests`";
                let help = format!("write `{ENTRY_EXAMPLE}`");
                reader.error("missing-key", mark, message, help);
                None
            }
        };
        let (Some(reference), Some(entries), true) =
            (reference, entries, errors == reader.errors())
        else {
            return Vec::new();
        };
        all_tags
            .into_iter()
            .map(|tag| Self {
                name: reference.name().clone(),
                tag,
                entries: entries.clone(),
                annotations: BTreeMap::new(),
                application: Arc::default(),
                about: AboutCollection::default(),
                location: reader.location(image.mark),
            })
            .collect()
    }
}

fn annotations(reader: &mut Reader<'_>, node: &Node) -> BTreeMap<String, String> {
    const EXAMPLE: &str = "annotations: {org.opencontainers.image.title: GROMACS}";
    let mut found = BTreeMap::new();
    let Value::Map(pairs) = &node.value else {
        let message = format!("`annotations` is a mapping, not {}", node.value.kind());
        let help = format!("write it as in `{EXAMPLE}`");
        reader.error("wrong-type", node.mark, message, help);
        return found;
    };
    for (key, value) in pairs {
        let key_text = reader.text(key, "annotations", EXAMPLE);
        let value_text = reader.text(value, "annotations", EXAMPLE);
        let (Some(name), Some(text)) = (key_text, value_text) else {
            continue;
        };
        if found.insert(name.to_owned(), text.to_owned()).is_some() {
            let message = format!("the annotation `{name}` is given twice");
            let help = "remove one of the two".to_owned();
            reader.error("duplicate-key", key.mark, message, help);
        }
    }
    found
}

fn entries(reader: &mut Reader<'_>, node: &Node) -> Option<Vec<Entry>> {
    let items = reader.list(node, "manifests", ENTRY_EXAMPLE)?;
    if items.is_empty() {
        reader.error(
            "empty-collection",
            node.mark,
            "a collection without images cannot be pulled",
            format!("list at least one, as in `{ENTRY_EXAMPLE}`"),
        );
        return None;
    }
    let found: Vec<Option<Entry>> = items.iter().map(|item| entry(reader, item)).collect();
    found.into_iter().collect()
}

fn entry(reader: &mut Reader<'_>, node: &Node) -> Option<Entry> {
    let fields = reader.fields(node, "an entry", ENTRY_KEYS)?;
    let image = fields
        .required(reader, "image", "qnib/gromacs:zen3")
        .and_then(|n| reader.parsed(n, "image", "bad-image", "image: qnib/gromacs:zen3"));
    let weight = match fields.get("weight") {
        Some(weight) => whole_number(reader, weight, "weight"),
        None => Some(0),
    };
    let (platform, features) = match fields.get("platform") {
        Some(platform) => read_platform(reader, platform)?,
        None => (PlatformSpec::default(), None),
    };
    let about = fields.get("about");
    let about = about.and_then(|node| AboutEntry::read(reader, node));
    Some(Entry {
        image: image?,
        platform: Some(platform).filter(|platform| !platform.is_empty()),
        requires_nothing: features.as_ref().is_some_and(Vec::is_empty),
        requires: features.unwrap_or_default(),
        weight: weight?,
        about: about.unwrap_or_default(),
        location: reader.location(fields.mark),
    })
}

/// A whole number, perhaps negative.
pub(crate) fn whole_number(reader: &mut Reader<'_>, node: &Node, what: &str) -> Option<i64> {
    let example = format!("{what}: 10");
    let text = reader.text(node, what, &example)?;
    let number = text.parse().ok();
    if number.is_none() {
        let message = format!("`{what}` is a whole number, not '{text}'");
        let help = format!("write it as in `{example}`");
        reader.error("wrong-type", node.mark, message, help);
    }
    number
}

/// What is written of a platform, and the list of features if there is one.
fn read_platform(
    reader: &mut Reader<'_>,
    node: &Node,
) -> Option<(PlatformSpec, Option<Vec<Feature>>)> {
    let fields = reader.fields(node, "`platform`", PLATFORM_KEYS)?;
    let mut word = |name: &'static str, example: &str| {
        let found = fields.get(name)?;
        let text = reader.text(found, name, example)?;
        platform_word(reader, found, name, text, example)
    };
    let mut spec = PlatformSpec {
        os: word("os", "os: linux"),
        architecture: word("architecture", "architecture: amd64"),
        variant: word("variant", "variant: v8"),
        os_version: word("os.version", "os.version: 10.0.14393.1066"),
        os_features: Vec::new(),
    };
    if let Some(list) = fields.get("os.features") {
        let example = "os.features: [win32k]";
        for item in reader
            .list(list, "os.features", example)
            .unwrap_or_default()
        {
            let text = reader.text(item, "os.features", example);
            spec.os_features.extend(text.map(str::to_owned));
        }
    }
    let requires = fields
        .get("features")
        .and_then(|n| features::read(reader, n));
    if let Some(os) = fields.get("os") {
        doubt_os(reader, os, &spec);
    }
    if let Some(architecture) = fields.get("architecture") {
        let requires = requires.as_deref().unwrap_or_default();
        doubt_architecture(reader, architecture, &spec, requires);
    }
    Some((spec, requires))
}

fn platform_word(
    reader: &mut Reader<'_>,
    node: &Node,
    name: &str,
    text: &str,
    example: &str,
) -> Option<String> {
    let plain = !text.is_empty()
        && text
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
    if !plain {
        reader.error(
            "bad-platform",
            node.mark,
            format!("`{name}` is one word of letters, digits, '.', '_' and '-', not '{text}'"),
            format!("write it as in `{example}`"),
        );
    }
    plain.then(|| text.to_owned())
}

/// Warns of an operating system in another naming than OCI's.
fn doubt_os(reader: &mut Reader<'_>, node: &Node, spec: &PlatformSpec) {
    let Some(written) = spec.os.as_deref() else {
        return;
    };
    let lower = written.to_ascii_lowercase();
    let meant = match lower.as_str() {
        "macos" | "osx" => "darwin",
        "win" | "win32" | "win64" => "windows",
        other => other,
    };
    if meant != written {
        reader.warn(
            "odd-os",
            node.mark,
            format!("no client asks for the operating system '{written}'"),
            format!("write `os: {meant}`, as OCI names it"),
        );
    }
}

/// Warns of an architecture in another naming than OCI's, and of a target that no machine of
/// that architecture is.
fn doubt_architecture(
    reader: &mut Reader<'_>,
    node: &Node,
    spec: &PlatformSpec,
    requires: &[Feature],
) {
    let Some(written) = spec.architecture.as_deref() else {
        return;
    };
    let lower = written.to_ascii_lowercase();
    let meant = match lower.as_str() {
        "x86_64" | "x86-64" | "x64" => "amd64",
        "aarch64" | "armv8" => "arm64",
        "i386" | "i686" | "x86" => "386",
        "ppc64el" => "ppc64le",
        other => other,
    };
    if meant != written {
        reader.warn(
            "odd-architecture",
            node.mark,
            format!("no client asks for the architecture '{written}'"),
            format!("write `architecture: {meant}`, as OCI names it"),
        );
        return;
    }
    let graph = reader.graph();
    for feature in requires {
        let Some(target) = feature.target() else {
            continue;
        };
        let of_target = graph.oci_platform(target).architecture;
        if of_target != written {
            reader.warn(
                "odd-architecture",
                node.mark,
                format!("`{feature}` is {of_target}, and the entry says {written}"),
                format!("write `architecture: {of_target}`, or name a target of {written}"),
            );
        }
    }
}
