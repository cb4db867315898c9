//! What the demo images are: complete, consistent, and the same bytes everywhere.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::Read as _;

use metahub_demo::{AWSCLI, DemoImage, Expected, FEATURETEST, LOGINS, TARGET_LABEL, images};
use metahub_oci::{Digest, Document, ImageConfig, ImageReference, Manifest};

fn image(reference: &str) -> DemoImage {
    images()
        .unwrap()
        .into_iter()
        .find(|image| format!("{}:{}", image.repository, image.tag) == reference)
        .unwrap()
}

fn manifests(image: &DemoImage) -> Vec<Manifest> {
    let manifest = |document: &Document| match document {
        Document::Manifest(manifest) => Some(manifest.clone()),
        Document::Index(_) => None,
    };
    image.documents.iter().filter_map(manifest).collect()
}

fn config_of(image: &DemoImage, manifest: &Manifest) -> ImageConfig {
    let digest = manifest.config().unwrap().digest();
    let (_, bytes) = image.blobs.iter().find(|(d, _)| d == digest).unwrap();
    ImageConfig::parse(bytes.clone()).unwrap()
}

/// Whoever changes an image sees here what changed; nothing else may change these.
#[test]
fn the_same_version_makes_the_same_bytes_on_every_machine() {
    let digests: Vec<String> = images()
        .unwrap()
        .iter()
        .map(|image| {
            let root = image.root().unwrap().digest();
            format!("{}:{} {root}", image.repository, image.tag)
        })
        .collect();
    insta::assert_snapshot!(digests.join("\n"));
}

#[test]
fn everything_that_an_image_refers_to_comes_with_it_before_what_refers_to_it() {
    for image in images().unwrap() {
        for (digest, bytes) in &image.blobs {
            assert!(digest.matches(bytes));
        }
        let distinct: BTreeSet<&Digest> = image.blobs.iter().map(|(digest, _)| digest).collect();
        assert_eq!(distinct.len(), image.blobs.len(), "each blob once");
        let has_blob = |digest: &Digest, size: u64| {
            image
                .blobs
                .iter()
                .any(|(d, bytes)| d == digest && bytes.len() as u64 == size)
        };
        let mut seen: Vec<&Digest> = Vec::new();
        for document in &image.documents {
            match document {
                Document::Manifest(manifest) => {
                    for part in manifest.config().into_iter().chain(manifest.layers()) {
                        assert!(has_blob(part.digest(), part.size()), "{}", part.digest());
                    }
                }
                Document::Index(index) => {
                    for entry in index.manifests() {
                        assert!(seen.contains(&entry.digest()), "{}", entry.digest());
                    }
                }
            }
            assert!(document.digest().matches(document.bytes()));
            seen.push(document.digest());
        }
    }
}

#[test]
fn a_configuration_agrees_with_its_layers_and_its_index_entry() {
    for image in images().unwrap() {
        for manifest in manifests(&image) {
            let config = config_of(&image, &manifest);
            let unpacked: Vec<Digest> = manifest
                .layers()
                .iter()
                .map(|layer| {
                    let (_, blob) = image
                        .blobs
                        .iter()
                        .find(|(digest, _)| digest == layer.digest())
                        .unwrap();
                    let mut archive = Vec::new();
                    flate2::read::GzDecoder::new(&blob[..])
                        .read_to_end(&mut archive)
                        .unwrap();
                    Digest::sha256(&archive)
                })
                .collect();
            assert_eq!(config.diff_ids(), unpacked);
            let history = config.as_json()["history"].as_array().unwrap();
            assert_eq!(history.len(), unpacked.len());
            let settings = &config.as_json()["config"];
            assert!(settings.get("Entrypoint").is_none());
            assert!(settings["Cmd"].is_array());
        }
        if let Some(Document::Index(index)) = image.root() {
            for (entry, manifest) in index.manifests().iter().zip(manifests(&image)) {
                assert_eq!(entry.digest(), manifest.digest());
                let platform = entry.platform().unwrap();
                let config = config_of(&image, &manifest);
                assert!(platform.same_machine(&config.platform()));
                let label = config.as_json()["config"]["Labels"].get(TARGET_LABEL);
                let features: Vec<&str> = label.and_then(|l| l.as_str()).into_iter().collect();
                assert_eq!(platform.features, features);
            }
        }
    }
}

#[test]
fn featuretest_lists_generic_builds_first_and_then_one_per_target() {
    let image = image(FEATURETEST);
    let Some(Document::Index(index)) = image.root() else {
        panic!("featuretest is an index");
    };
    let entries: Vec<String> = index
        .manifests()
        .iter()
        .map(|entry| {
            let platform = entry.platform().unwrap();
            format!("{platform} {}", platform.features.join(","))
        })
        .collect();
    assert_eq!(
        entries,
        [
            "linux/amd64 ",
            "linux/arm64 ",
            "linux/amd64 arch:x86_64_v2",
            "linux/amd64 arch:x86_64_v4",
            "linux/amd64 arch:cascadeLake",
            "linux/amd64 arch:zen3",
            "linux/arm64 arch:neoverse_v1",
        ]
    );
}

#[test]
fn all_builds_share_their_base_layer_so_that_clients_have_it_already() {
    let image = image(FEATURETEST);
    let bases: BTreeSet<String> = manifests(&image)
        .iter()
        .map(|manifest| manifest.layers()[0].digest().to_string())
        .collect();
    assert_eq!(bases.len(), 1);
}

#[test]
fn the_aws_image_brings_three_layers_of_which_machines_share_two() {
    let image = image(AWSCLI);
    let [amd64, arm64] = &manifests(&image)[..] else {
        panic!("two machines");
    };
    let digests = |manifest: &Manifest| -> Vec<Digest> {
        let layers = manifest.layers().iter();
        layers.map(|layer| layer.digest().clone()).collect()
    };
    assert_eq!(digests(amd64).len(), 3);
    assert_ne!(digests(amd64)[0], digests(arm64)[0]);
    assert_eq!(digests(amd64)[1..], digests(arm64)[1..]);
}

#[test]
fn the_expectations_name_builds_and_layers_that_exist() {
    let images = images().unwrap();
    let known: BTreeSet<String> = images
        .iter()
        .flat_map(|image| {
            manifests(image)
                .into_iter()
                .map(|manifest| config_of(image, &manifest))
        })
        .filter_map(|config| {
            let label = config.as_json()["config"]["Labels"].get(TARGET_LABEL)?;
            let architecture = config.platform().architecture;
            Some(format!("{architecture} {}", label.as_str()?))
        })
        .collect();
    for login in LOGINS {
        for expected in [login.featuretest, login.gromacs] {
            if let Expected::Target(target, _) = expected {
                let wanted = format!("{} {target}", login.architecture);
                assert!(known.contains(&wanted), "{wanted}");
            }
        }
    }
}

#[test]
fn the_catalog_points_at_images_that_exist() {
    let tagged: BTreeSet<String> = images()
        .unwrap()
        .iter()
        .map(|image| format!("{}:{}", image.repository, image.tag))
        .collect();
    for (file, text) in metahub_demo::catalog() {
        let values = |key: &'static str| {
            text.lines().filter_map(move |line| {
                let line = line.trim().trim_start_matches("- ");
                line.strip_prefix(key).map(str::trim)
            })
        };
        for reference in values("image:").chain(values("layerRepository:")) {
            let reference: ImageReference = reference.parse().unwrap();
            let full = format!("{}:{}", reference.name(), reference.reference());
            assert!(tagged.contains(&full), "{file}: {full}");
        }
    }
}
