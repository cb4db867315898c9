//! The documents of the slides and of 2019 load as they are written, and logins find them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_catalog::{Args, Catalog, Event, Loaded};

const COLLECTION: &str = "\
manifests:
  - name: gromacs
    tag: 2021.5
    manifests:
      - image: qnib/gromacs-2021.5_gcc-7.3.1:x86_64_v4
        platform:
          features: [arch:cascadeLake]
      - image: qnib/gromacs-2021.5_gcc-11.3.0:zen3
        platform:
          features: [arch:zen3]
";
const CASCADE_LAKE: &str = "\
profile:
  name: library/cascadeLake:latest
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args:
        select: .manifests .[] .platform .features
        value: arch:cascadeLake
";
const AWS_CLI: &str = "\
profile:
  name: aws/cli:latest
  actions:
    - name: manifest-add
      event: post-manifest-get
      args:
        layerRepository: qnib/layer-awscli
        # That should become a RegEx
        repository: qnib/featuretest
";

fn load(text: &str) -> Loaded {
    let loaded = Catalog::from_documents(&[("slides.yaml", text)]);
    assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
    loaded
}

fn slides() -> Catalog {
    load(&[COLLECTION, CASCADE_LAKE, AWS_CLI].join("---\n")).catalog
}

#[test]
fn a_collection_has_its_images_under_the_tag_as_it_is_written() {
    let catalog = slides();
    let name = "gromacs".parse().unwrap();
    let collection = catalog
        .collection(&name, &"2021.5".parse().unwrap())
        .unwrap();
    let entries: Vec<String> = collection
        .entries
        .iter()
        .map(|entry| format!("{} {:?}", entry.image, entry.requires))
        .collect();
    assert_eq!(
        entries,
        [
            "qnib/gromacs-2021.5_gcc-7.3.1:x86_64_v4 [Feature(arch:cascadeLake)]",
            "qnib/gromacs-2021.5_gcc-11.3.0:zen3 [Feature(arch:zen3)]",
        ]
    );
    assert_eq!(
        collection.entries[1].location.to_string(),
        "slides.yaml:8:9"
    );
    assert_eq!(catalog.collection_tags(&name), [&"2021.5".parse().unwrap()]);
}

#[test]
fn a_filter_has_its_program_and_value() {
    let catalog = slides();
    let login = catalog.interpret("cascadeLake", &|_| false).unwrap();
    assert_eq!(login.account, None);
    assert_eq!(login.profile.to_string(), "cascadeLake");
    let [action] = login.profile.actions() else {
        panic!("{:?}", login.profile.actions());
    };
    let Args::ManifestFilter(filter) = &action.args else {
        panic!("{action:?}");
    };
    assert_eq!(filter.select.source(), ".manifests .[] .platform .features");
    assert_eq!(filter.value.as_deref(), Some("arch:cascadeLake"));
    assert_eq!(action.event(), Event::PostManifestListGet);
}

#[test]
fn an_addition_has_its_layers_and_its_repositories() {
    let catalog = slides();
    let login = catalog.interpret("aws/cli", &|_| false).unwrap();
    let [action] = login.profile.actions() else {
        panic!("{:?}", login.profile.actions());
    };
    let Args::ManifestAdd(add) = &action.args else {
        panic!("{action:?}");
    };
    let [layer] = add.layers.as_slice() else {
        panic!("{add:?}");
    };
    assert_eq!(layer.to_string(), "qnib/layer-awscli");
    let pattern = add.repository.as_ref().unwrap();
    assert!(pattern.matches(&"qnib/featuretest".parse().unwrap()));
    assert!(!pattern.matches(&"qnib/featuretest2".parse().unwrap()));
}

#[test]
fn a_file_of_2019_is_a_collection_for_each_of_its_tags() {
    let text = "\
image: docker.io/qnib/uplain-zlib:2018
tags: [2019.10, latest]
manifests:
  -
    image: docker.io/qnib/uplain-zlib:skylake
    platform:
      architecture: amd64
      os: linux
      features:
        - cpu:skylake
  -
    image: docker.io/qnib/uplain-zlib:armv8
    platform: {architecture: arm64, os: linux, variant: v8}
";
    let catalog = load(text).catalog;
    let name = "qnib/uplain-zlib".parse().unwrap();
    let tags: Vec<&str> = catalog
        .collection_tags(&name)
        .iter()
        .map(|tag| tag.as_str())
        .collect();
    assert_eq!(tags, ["2018", "2019.10", "latest"]);
    let collection = catalog
        .collection(&name, &"2019.10".parse().unwrap())
        .unwrap();
    let [skylake, arm] = collection.entries.as_slice() else {
        panic!("{collection:?}")
    };
    assert_eq!(
        skylake.image.to_string(),
        "docker.io/qnib/uplain-zlib:skylake"
    );
    assert_eq!(skylake.requires[0].target().unwrap().as_str(), "skylake");
    let platform = arm.platform.as_ref().unwrap();
    assert_eq!(platform.variant.as_deref(), Some("v8"));
    assert!(arm.requires.is_empty());
}

#[test]
fn one_document_may_hold_collections_and_profiles() {
    let catalog = load(
        "profile: {name: a, features: [arch:zen3]}\n\
         profiles: [{name: b, features: [arch:zen3]}]\n\
         manifests: [{name: app, manifests: [{image: x}]}]\n",
    )
    .catalog;
    assert!(catalog.profile(&"a".parse().unwrap()).is_some());
    assert!(catalog.profile(&"b".parse().unwrap()).is_some());
    assert_eq!(catalog.collections().count(), 1);
}
