//! From collections to indexes.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod common;

use common::{attestation, digest, entry, profile};
use metahub_catalog::{Catalog, Collection};
use metahub_hardware::Statements;
use metahub_oci::{Descriptor, Document, MediaType, Platform};
use metahub_resolve::{
    IMAGE, LeftOut, Pointed, Unsure, collection_candidates, narrow, says_everything,
};

fn collection(text: &str) -> Collection {
    let loaded = Catalog::from_documents(&[("collection.yaml", text)]);
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    loaded.catalog.collections().next().unwrap().clone()
}

/// The slides' gromacs, with a fallback.
const GROMACS: &str = "
manifests:
  - name: gromacs
    tag: 2021.5
    annotations: {org.opencontainers.image.title: gromacs}
    manifests:
      - image: qnib/gromacs-2021.5_gcc-7.3.1:x86_64_v4
        platform:
          features: [arch:cascadeLake]
      - image: qnib/gromacs-2021.5_gcc-11.3.0:zen3
        weight: 5
        platform:
          features: [arch:zen3]
      - image: quay.io/gromacs/gromacs:2021.5
";

fn image(name: &str, platform: &str) -> Pointed {
    let descriptor = Descriptor::new(MediaType::oci_manifest(), digest(name), 7);
    let descriptor = descriptor.with_platform(&platform.parse().unwrap());
    Pointed::Image(descriptor, Statements::default())
}

/// The same with a label, and CUDA's variable.
fn labelled(name: &str, platform: &str, target: &str, cuda: &str) -> Pointed {
    let Pointed::Image(descriptor, mut statements) = image(name, platform) else {
        panic!("it is an image");
    };
    statements.add_labels([("io.archspec.cpu.target", target)]);
    statements.add_env([format!("NVIDIA_REQUIRE_CUDA={cuda}").as_str()]);
    Pointed::Image(descriptor, statements)
}

fn gromacs() -> [Pointed; 3] {
    let generic = entry("generic", "linux/amd64", &[]);
    [
        image("cascade", "linux/amd64"),
        image("zen3", "linux/amd64"),
        Pointed::Index(vec![
            generic.clone(),
            attestation(&generic),
            entry("arm", "linux/arm64/v8", &["cuda:12.4"]),
        ]),
    ]
}

#[test]
fn a_collection_is_an_index_of_what_its_entries_point_to() {
    let candidates = collection_candidates(&collection(GROMACS), &gromacs(), Unsure::Refuse);
    assert_eq!(candidates.left_out, []);
    insta::assert_json_snapshot!(candidates.index.as_json());
    let again = collection_candidates(&collection(GROMACS), &gromacs(), Unsure::Refuse);
    assert_eq!(candidates.index.digest(), again.index.digest());
}

#[test]
fn a_collections_index_goes_the_way_of_any_index() {
    let index = collection_candidates(&collection(GROMACS), &gromacs(), Unsure::Refuse).index;
    for (login, expected) in [
        ("zen3", vec!["zen3"]),
        ("cascadeLake", vec!["cascade"]),
        ("zen2", vec!["generic"]),
        ("", vec!["generic", "arm"]),
        ("neoverse_v1+cuda=12.4", vec!["arm"]),
    ] {
        let narrowed = narrow(&index, &profile(login)).unwrap();
        let found: Vec<_> = narrowed.chosen.iter().map(|d| d.digest().clone()).collect();
        let expected: Vec<_> = expected.into_iter().map(digest).collect();
        assert_eq!(found, expected, "{login}");
    }
    let narrowed = narrow(&index, &profile("zen3")).unwrap();
    let image = "qnib/gromacs-2021.5_gcc-11.3.0:zen3";
    assert!(
        narrowed
            .verdicts
            .get(1)
            .and_then(|verdict| verdict.image)
            .is_some_and(|i| i.contains(image))
    );
    let served = &narrowed.index.manifests()[0];
    assert!(served.annotation(IMAGE).is_some_and(|i| i.contains(image)));
    assert!(served.platform().unwrap().features.is_empty());
}

#[test]
fn what_is_written_of_a_platform_holds() {
    let text = "
manifests:
  - name: app
    manifests:
      - {image: 'a:1', platform: {architecture: arm64, variant: v8}}
      - {image: 'b:1', platform: {architecture: arm64}}
      - {image: 'c:1', platform: {os: windows}}
      - {image: 'd:1'}
      - {image: 'e:1'}
      - {image: 'f:1'}
";
    let index = || {
        Pointed::Index(vec![
            entry("x", "linux/amd64", &[]),
            entry("y", "linux/arm64/v8", &[]),
        ])
    };
    let pointed = [
        image("a", "linux/amd64"),
        index(),
        index(),
        index(),
        Pointed::Missing("no such image".to_owned()),
    ];
    let candidates = collection_candidates(&collection(text), &pointed, Unsure::Refuse);
    let platforms: Vec<String> = candidates
        .index
        .manifests()
        .iter()
        .map(|d| d.platform().as_ref().map(Platform::to_string).unwrap())
        .collect();
    let expected = [
        "linux/arm64/v8",
        "linux/arm64/v8",
        "linux/amd64",
        "linux/arm64/v8",
    ];
    assert_eq!(platforms, expected);
    let left_out = |LeftOut { image, reason }: &LeftOut| format!("{image}: {reason}");
    let left_out: Vec<String> = candidates.left_out.iter().map(left_out).collect();
    assert!(
        left_out[0].contains("c:1") && left_out[0].contains("it has linux/amd64, linux/arm64/v8")
    );
    assert!(left_out[1].contains("e:1") && left_out[1].contains("no such image"));
    assert!(left_out[2].contains("f:1") && left_out[2].contains("not looked up"));
}

#[test]
fn what_an_entry_leaves_open_its_image_says() {
    let text = "
manifests:
  - name: app
    manifests:
      - {image: 'a:1'}
      - {image: 'b:1', platform: {features: [arch:x86_64_v3]}}
      - {image: 'c:1', platform: {features: [driver:550, site:blue]}}
      - {image: 'd:1', platform: {features: []}}
      - {image: 'e:1'}
";
    let pointed = ["a", "b", "c", "d"]
        .map(|name| labelled(name, "linux/amd64/v2", "zen3", "cuda>=12.4"))
        .into_iter()
        .chain([Pointed::Index(vec![entry(
            "e",
            "linux/amd64/v2",
            &["arch:zen2"],
        )])]);
    let pointed: Vec<Pointed> = pointed.collect();
    let index = collection_candidates(&collection(text), &pointed, Unsure::Refuse).index;
    let features: Vec<String> = index
        .manifests()
        .iter()
        .map(|d| d.platform().unwrap().features.join(" "))
        .collect();
    assert_eq!(
        features,
        [
            "arch:zen3 nvidia-require:cuda>=12.4",
            "arch:x86_64_v3 nvidia-require:cuda>=12.4",
            "driver:550 site:blue arch:zen3",
            "",
            "arch:zen2",
        ]
    );
    // Not even by its variant does the fourth require anything.
    let choice = |login: &str| {
        let narrowed = narrow(&index, &profile(login)).unwrap();
        narrowed.chosen[0].digest().clone()
    };
    assert_eq!(choice("x86_64"), digest("d"));
    assert_eq!(choice("zen3"), digest("e"));
    assert_eq!(choice("zen3+driver=550"), digest("a"));
}

#[test]
fn of_an_image_whose_entry_says_everything_nothing_counts_that_the_image_says() {
    let entries = |platform: &str| {
        let text = format!(
            "manifests: [{{name: a, tag: 1, manifests: [{{image: b/c, platform: {{{platform}}}}}]}}]"
        );
        collection(&text)
    };
    let unread = Pointed::Image(
        Descriptor::new(MediaType::oci_manifest(), digest("x"), 7),
        Statements::default(),
    );
    let read = labelled("x", "linux/amd64/v3", "zen3", "cuda>=12.4");
    let index = |collection: &Collection, pointed: &Pointed| {
        let candidates =
            collection_candidates(collection, std::slice::from_ref(pointed), Unsure::Refuse);
        Document::from(candidates.index).bytes().clone()
    };
    for (platform, everything) in [
        ("os: linux, architecture: amd64, features: []", true),
        (
            "os: windows, architecture: amd64, os.version: 10.0.1, features: []",
            true,
        ),
        ("os: windows, architecture: amd64, features: []", false),
        (
            "os: linux, architecture: amd64, features: [arch:zen2]",
            false,
        ),
        ("os: linux, architecture: amd64", false),
        ("os: linux, features: []", false),
        ("features: []", false),
    ] {
        let collection = entries(platform);
        assert_eq!(
            says_everything(&collection.entries[0]),
            everything,
            "{platform}"
        );
        if everything {
            assert_eq!(
                index(&collection, &unread),
                index(&collection, &read),
                "{platform}"
            );
        }
    }
}
