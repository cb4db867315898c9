//! Documents that are written again read as the same.
#![allow(clippy::unwrap_used, reason = "a test")]

use metahub_catalog::{Catalog, Loaded};

const DOCUMENTS: &str = r#"
about:
  description: "yes"
  homepage: https://www.example.org/
  license: LGPL-2.1-or-later OR MIT
  keywords: [chemistry, "1.10"]
manifests:
  - name: gromacs
    tag: 2021.5
    annotations: {org.opencontainers.image.title: "yes"}
    about: {no_generic: "nobody builds one: see there"}
    manifests:
      - image: qnib/gromacs-2021.5_gcc-7.3.1:x86_64_v4
        platform:
          features: [arch:cascadeLake]
      - image: localhost:5000/x/gromacs:1e3
        weight: -3
        platform: {os: windows, architecture: amd64, os.version: 10.0.17763, os.features: [win32k]}
      - image: x/plain@sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855
        platform: {os: linux, architecture: arm64, variant: v8, features: []}
      - image: x/y
        about: {documented: "https://www.example.org/?a=b#c", certainty: medium, moving: true, fat: true}
        platform: {features: ["cuda:12.4", "arch:zen3"]}
---
image: site/tool:1.0
tags: [latest]
manifests:
  - image: x/tool:zen
    platform: {architecture: amd64, os: linux, features: ["cpu:zen3"]}
---
profile:
  name: library/cascadeLake:latest
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args:
        select: .manifests .[] .platform .features     # jq, blanks and all
        value: arch:cascadeLake
---
profiles:
  - name: aws/cli:1.5
    features: [net:efa]
    actions:
      - name: manifest-add
        event: post-manifest-get
        args:
          layerRepository: qnib/layer-awscli
          repository: qnib/featuretest|x/.*
  - name: site/grace
    features: [arch:neoverse_v2, "mpi:mpich"]
    fallback: [neoverse_n1]
    actions:
      - name: manifest-select
        event: post-manifest-list-get
        args: {fallback: [neoverse_v1], minimum_weight: -2, none_fits: generic, override: ["cuda:12.0"]}
  - name: site/everything
    actions:
      - {name: deny, event: pre-manifest-get, when: {repository: closed/.*, not: {features: [site:in]}}, args: {message: "not on this cluster", tag: v.*}}
      - {name: redirect, event: pre-manifest-get, args: {repository: lab/old, to: "quay.io:443/lab/new:1.10"}}
      - name: manifest-add
        event: post-manifest-get
        when: {platform: linux/amd64, label: {site: "here|there"}}
        args: {layers: [site/layer-a, "site/layer-b:1.10"], position: before}
      - name: config-set
        event: post-manifest-get
        when: {annotation: {org.example.kind: release}, jq: ".layers | length > 1", tag: "1e3"}
        args:
          entrypoint: exec "$@"
          cmd: []
          wrap: [/usr/bin/launch, --]
          env: {set: {SIMD: AVX2, YES: "yes", NUMBER: 0x10}, append: {PATH: ":/opt/bin"}, prepend: {A: "b:"}, unset: [DEBUG]}
          working_dir: /work
          user: 1000
          labels: {site: here, empty: ""}
          exposed_ports: [8080, 53/udp]
          volumes: [/scratch]
          stop_signal: 9
      - {name: annotate, event: post-manifest-get, args: {annotations: {org.example.site: here, note: "a: b # c"}}}
      - {name: tags-filter, event: post-tags-list-get, args: {keep: v.*, drop: ".*-debug", add: [stable, 1.10], repository: lab/.*}}
"#;

fn right(loaded: Loaded) -> Catalog {
    let problems: Vec<String> = loaded.problems.iter().map(ToString::to_string).collect();
    assert!(!loaded.has_errors(), "{problems:#?}");
    loaded.catalog
}

/// What a document says, wherever it stands.
fn meaning(document: impl serde::Serialize) -> serde_json::Value {
    let mut value = serde_json::to_value(document).unwrap();
    value.as_object_mut().unwrap().remove("location");
    value
}

#[test]
fn a_document_that_is_written_again_reads_as_the_same() {
    let first = right(Catalog::from_documents(&[("first", DOCUMENTS)]));
    let collections = first.collections().map(|c| c.to_document());
    let own = first.profiles().filter(|p| p.location.is_some());
    let texts: Vec<(String, String)> = collections
        .chain(own.map(|p| p.to_document()))
        .enumerate()
        .map(|(n, text)| (format!("{n}"), text))
        .collect();
    assert_eq!(texts.len(), 7);
    let again = right(Catalog::from_documents(&texts));
    for collection in first.collections() {
        let found = again.collection(&collection.name, &collection.tag).unwrap();
        assert_eq!(meaning(found), meaning(collection));
        // What people are told is not part of what is served.
        assert_eq!(found.application, collection.application);
        assert_eq!(found.about, collection.about);
        for (found, entry) in found.entries.iter().zip(&collection.entries) {
            assert_eq!(found.about, entry.about);
        }
    }
    for profile in first.profiles() {
        let found = again.profile(&profile.name).unwrap();
        assert_eq!(meaning(found), meaning(profile), "{texts:#?}");
    }
}
