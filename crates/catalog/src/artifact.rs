//! A catalog as an OCI artifact: a manifest with one layer for each document file, the form that
//! `oras push` writes and `oras pull` reads. No I/O: bytes and manifests in, bytes and manifests
//! out. A manifest is not trusted: file names cannot leave the folder that they are written to, and
//! everything is bounded.

use std::collections::HashSet;

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, MediaType};
use serde_json::json;

use crate::yaml::MAX_FILE_BYTES;

/// `artifactType` of a catalog.
pub const ARTIFACT_TYPE: &str = "application/vnd.metahub.catalog.v1";
/// The media type of a layer that is one file of documents.
pub const DOCUMENT_TYPE: &str = "application/vnd.metahub.document.v1+yaml";
/// The annotation of a layer that names its file.
pub const TITLE: &str = "org.opencontainers.image.title";
/// Most files of one catalog.
pub const MAX_FILES: usize = 10_000;
/// Most bytes of all files of one catalog.
pub const MAX_CATALOG_BYTES: u64 = 32 * 1024 * 1024;

const MAX_TITLE: usize = 512;
const MAX_COMPONENT: usize = 128;
const EMPTY: &[u8] = b"{}";

/// A file of a catalog, named by its path below the catalog's folder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CatalogFile {
    /// The path: components separated by `/`, none of them hidden, ending in `.yaml` or `.yml`.
    pub title: String,
    /// The YAML.
    pub bytes: Bytes,
}

/// A catalog, ready to be pushed.
#[derive(Clone, Debug)]
pub struct PackedCatalog {
    /// The manifest, the same for the same files.
    pub manifest: Document,
    /// Its blobs, each once.
    pub blobs: Vec<Bytes>,
}

/// A file as a manifest describes it.
#[derive(Clone, Debug)]
pub struct CatalogLayer {
    /// The file's path, which was checked.
    pub title: String,
    /// Its digest and size.
    pub descriptor: Descriptor,
}

/// Why something is no catalog.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ArtifactError {
    /// A manifest of something else.
    #[error("expected a manifest with the artifact type {ARTIFACT_TYPE}, and found {0}")]
    Type(String),
    /// A layer of another kind.
    #[error("expected layers of type {DOCUMENT_TYPE}, and found '{0}'")]
    LayerType(String),
    /// A layer without a name.
    #[error("a layer has no annotation {TITLE}, which names its file")]
    Untitled,
    /// A name that leads elsewhere or is no document's.
    #[error("'{title}' is no name for a file of a catalog: {problem}")]
    Title {
        /// The name, made fit for printing.
        title: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// No documents at all.
    #[error("it holds no documents")]
    Empty,
    /// More files than are read.
    #[error("it has {0} files, and at most {MAX_FILES} are read")]
    TooMany(usize),
    /// A file that is too large.
    #[error("'{title}' has {size} bytes, and at most {MAX_FILE_BYTES} are read")]
    FileTooLarge {
        /// The file.
        title: String,
        /// Its size in bytes.
        size: u64,
    },
    /// All files together are too large.
    #[error("its files have {0} bytes together, and at most {MAX_CATALOG_BYTES} are read")]
    TooLarge(u64),
    /// The manifest that would name them all is too large for registries.
    #[error("its manifest would be larger than registries take: use fewer files")]
    ManifestTooLarge,
}

impl PackedCatalog {
    /// Makes a catalog of files, in the order of their names.
    ///
    /// # Errors
    /// A name that is none, or a bound that is passed.
    pub fn of(mut files: Vec<CatalogFile>) -> Result<Self, ArtifactError> {
        files.sort_by(|a, b| a.title.cmp(&b.title));
        check(
            files
                .iter()
                .map(|file| (file.title.as_str(), file.bytes.len() as u64)),
        )?;
        let layers: Vec<_> = files
            .iter()
            .map(|file| {
                json!({
                    "mediaType": DOCUMENT_TYPE,
                    "digest": Digest::sha256(&file.bytes),
                    "size": file.bytes.len(),
                    "annotations": {TITLE: file.title},
                })
            })
            .collect();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": ARTIFACT_TYPE,
            "config": {
                "mediaType": MediaType::OCI_EMPTY,
                "digest": Digest::sha256(EMPTY),
                "size": EMPTY.len(),
            },
            "layers": layers,
        });
        let manifest = Document::parse(manifest.to_string().into(), None)
            .map_err(|_| ArtifactError::ManifestTooLarge)?;
        let mut seen = HashSet::new();
        let blobs = std::iter::once(Bytes::from_static(EMPTY))
            .chain(files.into_iter().map(|file| file.bytes))
            .filter(|bytes| seen.insert(Digest::sha256(bytes)))
            .collect();
        Ok(Self { manifest, blobs })
    }
}

/// The files that a manifest of a catalog names, in its order.
///
/// # Errors
/// A manifest of something else, names that lead elsewhere, or a bound that is passed.
pub fn layers(document: &Document) -> Result<Vec<CatalogLayer>, ArtifactError> {
    let Document::Manifest(manifest) = document else {
        return Err(ArtifactError::Type("an index".to_owned()));
    };
    match document.artifact_type() {
        Some(ARTIFACT_TYPE) => {}
        Some(other) => return Err(ArtifactError::Type(format!("'{}'", shown(other)))),
        None => return Err(ArtifactError::Type("none".to_owned())),
    }
    let layers = manifest.layers().iter().map(|layer| {
        let media_type = layer.media_type().as_str();
        if media_type != DOCUMENT_TYPE {
            return Err(ArtifactError::LayerType(shown(media_type)));
        }
        let title = layer.annotation(TITLE).ok_or(ArtifactError::Untitled)?;
        Ok(CatalogLayer {
            title: title.to_owned(),
            descriptor: layer.clone(),
        })
    });
    let layers: Vec<CatalogLayer> = layers.collect::<Result<_, _>>()?;
    check(
        layers
            .iter()
            .map(|layer| (layer.title.as_str(), layer.descriptor.size())),
    )?;
    Ok(layers)
}

/// Checks names and bounds of files.
fn check<'a>(files: impl ExactSizeIterator<Item = (&'a str, u64)>) -> Result<(), ArtifactError> {
    match files.len() {
        0 => return Err(ArtifactError::Empty),
        count if count > MAX_FILES => return Err(ArtifactError::TooMany(count)),
        _ => {}
    }
    let mut total = 0_u64;
    // On some file systems two names that differ in case only are one.
    let mut names = HashSet::new();
    let mut folders = HashSet::new();
    for (title, size) in files {
        let wrong = |problem| ArtifactError::Title {
            title: shown(title),
            problem,
        };
        check_title(title).map_err(wrong)?;
        let folded = title.to_lowercase();
        for (at, _) in folded.match_indices('/') {
            folders.insert(folded.get(..at).unwrap_or_default().to_owned());
        }
        if !names.insert(folded) {
            return Err(wrong("another file has it, too"));
        }
        if size > MAX_FILE_BYTES as u64 {
            let title = shown(title);
            return Err(ArtifactError::FileTooLarge { title, size });
        }
        total = total.saturating_add(size);
    }
    if let Some(both) = names.intersection(&folders).next() {
        return Err(ArtifactError::Title {
            title: shown(both),
            problem: "it is a folder, too",
        });
    }
    if total > MAX_CATALOG_BYTES {
        return Err(ArtifactError::TooLarge(total));
    }
    Ok(())
}

fn check_title(title: &str) -> Result<(), &'static str> {
    if title.is_empty() || title.len() > MAX_TITLE {
        return Err("expected 1 to 512 bytes");
    }
    if title.starts_with('/') {
        return Err("expected a path that does not start with /");
    }
    for component in title.split('/') {
        if component.is_empty() {
            return Err("a component is empty");
        }
        // Also `.` and `..`; the catalog reads no hidden files.
        if component.starts_with('.') {
            return Err("a component begins with a dot");
        }
        if component.len() > MAX_COMPONENT {
            return Err("a component has more than 128 bytes");
        }
        let allowed = |c: char| c.is_alphanumeric() || "-_.+@= ".contains(c);
        if !component.chars().all(allowed) {
            return Err("expected letters, digits, spaces and - _ . + @ = in its components");
        }
    }
    let (_, extension) = title.rsplit_once('.').unwrap_or_default();
    if !extension.eq_ignore_ascii_case("yaml") && !extension.eq_ignore_ascii_case("yml") {
        return Err("expected a name that ends in .yaml or .yml");
    }
    Ok(())
}

/// A foreign text, made short and printable.
fn shown(text: &str) -> String {
    const MAX: usize = 80;
    let mut shown: String = text
        .chars()
        .take(MAX)
        .map(|c| if c.is_control() { '\u{fffd}' } else { c })
        .collect();
    if text.chars().nth(MAX).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn file(title: &str, text: &str) -> CatalogFile {
        CatalogFile {
            title: title.to_owned(),
            bytes: Bytes::from(text.to_owned()),
        }
    }

    fn packed(titles: &[&str]) -> Result<PackedCatalog, ArtifactError> {
        PackedCatalog::of(titles.iter().map(|title| file(title, title)).collect())
    }

    /// What `layers` says of a manifest that was changed.
    fn changed(change: impl FnOnce(&mut Value)) -> Result<Vec<CatalogLayer>, ArtifactError> {
        let packed = packed(&["a.yaml", "b/c.yml"]).unwrap();
        let mut value: Value = serde_json::from_slice(packed.manifest.bytes()).unwrap();
        change(&mut value);
        let bytes = serde_json::to_vec(&value).unwrap();
        layers(&Document::parse(bytes.into(), None).unwrap())
    }

    #[test]
    fn what_is_packed_is_read_again_and_the_order_of_files_does_not_count() {
        let one = packed(&["b/c.yml", "a.yaml"]).unwrap();
        let other = packed(&["a.yaml", "b/c.yml"]).unwrap();
        assert_eq!(one.manifest.digest(), other.manifest.digest());
        let read = layers(&one.manifest).unwrap();
        let titles: Vec<&str> = read.iter().map(|layer| layer.title.as_str()).collect();
        assert_eq!(titles, ["a.yaml", "b/c.yml"]);
        assert_eq!(one.blobs.len(), 3);
        assert_eq!(read[0].descriptor.digest(), &Digest::sha256(b"a.yaml"));
    }

    #[test]
    fn equal_files_are_one_blob() {
        let files = vec![file("a.yaml", "x"), file("b.yaml", "x")];
        let packed = PackedCatalog::of(files).unwrap();
        assert_eq!(packed.blobs.len(), 2);
        assert_eq!(layers(&packed.manifest).unwrap().len(), 2);
    }

    #[test]
    fn names_that_lead_elsewhere_are_refused_when_packed_and_when_read() {
        for title in [
            "/etc/a.yaml",
            "../a.yaml",
            "a/../../b.yaml",
            "a/./b.yaml",
            ".hidden.yaml",
            "a//b.yaml",
            "",
            "a.yaml/",
            "a.json",
            "yaml",
            "C:\\a.yaml",
            "a\\..\\b.yaml",
            "a\u{0}.yaml",
            "a\n.yaml",
            "a\u{202e}.yaml",
            &format!("{}.yaml", "x".repeat(200)),
            &format!("{}.yaml", "x/".repeat(300)),
        ] {
            let error = packed(&[title]).unwrap_err();
            assert!(matches!(error, ArtifactError::Title { .. }), "{title:?}");
            let read = changed(|m| m["layers"][0]["annotations"][TITLE] = title.into());
            assert!(
                matches!(read, Err(ArtifactError::Title { .. })),
                "{title:?}"
            );
        }
        for both in [
            ["a.yaml", "A.yaml"],
            ["a.yaml", "a.yaml/b.yaml"],
            ["a.yaml", "a.yaml"],
        ] {
            assert!(packed(&both).is_err(), "{both:?}");
        }
        assert!(packed(&["Käse 1/a_b-c+d@e=f.YAML"]).is_ok());
    }

    #[test]
    fn manifests_of_something_else_are_refused() {
        let kind = |read: Result<_, ArtifactError>| read.unwrap_err();
        assert!(matches!(
            kind(changed(|m| m["artifactType"] = "application/x".into())),
            ArtifactError::Type(_)
        ));
        assert!(matches!(
            kind(changed(
                |m| m["layers"][1]["mediaType"] = MediaType::OCI_LAYER_GZIP.into()
            )),
            ArtifactError::LayerType(_)
        ));
        assert_eq!(
            kind(changed(|m| {
                m["layers"][1]
                    .as_object_mut()
                    .unwrap()
                    .remove("annotations");
            })),
            ArtifactError::Untitled
        );
        assert_eq!(
            kind(changed(|m| m["layers"] = Value::Array(Vec::new()))),
            ArtifactError::Empty
        );
        let index = r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","artifactType":"application/vnd.metahub.catalog.v1","manifests":[]}"#;
        let index = Document::parse(index.into(), None).unwrap();
        assert!(matches!(kind(layers(&index)), ArtifactError::Type(_)));
    }

    #[test]
    fn sizes_are_bounded_before_anything_is_fetched() {
        let size = MAX_FILE_BYTES as u64 + 1;
        let read = changed(|m| m["layers"][0]["size"] = size.into());
        assert!(matches!(read, Err(ArtifactError::FileTooLarge { .. })));
        let read = changed(|m| {
            let layer = m["layers"][0].clone();
            let many = (0..20).map(|number| {
                let mut layer = layer.clone();
                layer["annotations"][TITLE] = format!("{number}.yaml").into();
                layer["size"] = MAX_FILE_BYTES.into();
                layer
            });
            m["layers"] = many.collect();
        });
        assert!(matches!(read, Err(ArtifactError::TooLarge(_))));
    }

    proptest! {
        #[test]
        fn a_name_that_is_taken_stays_below_its_folder(title in "[./a-z\\\\\u{0}: ]{0,12}\\.yaml") {
            if let Ok(packed) = packed(&[&title]) {
                let read = layers(&packed.manifest).unwrap();
                let path = std::path::Path::new(&read[0].title);
                let plain = path
                    .components()
                    .all(|c| matches!(c, std::path::Component::Normal(_)));
                prop_assert!(plain && path.is_relative(), "{}", title);
            }
        }
    }
}
