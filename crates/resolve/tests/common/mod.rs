//! What these tests build documents and profiles of.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]
#![allow(dead_code, unreachable_pub, reason = "each test uses a part")]

use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::{Catalog, Composed};
use metahub_hardware::{Feature, Provided};
use metahub_oci::{
    Descriptor, Digest, Document, ImageConfig, Index, Manifest, MediaType, Platform,
};
use serde_json::{Value, json};

/// The digest of a text, to stand for content.
pub fn digest(of: &str) -> Digest {
    Digest::sha256(of.as_bytes())
}

pub fn index(value: &Value) -> Index {
    let bytes = Bytes::from(value.to_string());
    match Document::parse(bytes, None).unwrap() {
        Document::Index(index) => index,
        Document::Manifest(_) => panic!("expected an index"),
    }
}

pub fn manifest(value: &Value) -> Manifest {
    let bytes = Bytes::from(value.to_string());
    match Document::parse(bytes, None).unwrap() {
        Document::Manifest(manifest) => manifest,
        Document::Index(_) => panic!("expected a manifest"),
    }
}

pub fn config(value: &Value) -> ImageConfig {
    ImageConfig::parse(Bytes::from(value.to_string())).unwrap()
}

/// An entry called `name`, for `platform`, which requires `features`.
pub fn entry(name: &str, platform: &str, features: &[&str]) -> Descriptor {
    let platform = Platform {
        features: features.iter().map(ToString::to_string).collect(),
        ..platform.parse().unwrap()
    };
    Descriptor::new(MediaType::oci_manifest(), digest(name), 500).with_platform(&platform)
}

pub fn attestation(of: &Descriptor) -> Descriptor {
    Descriptor::from_json(&json!({
        "mediaType": MediaType::OCI_MANIFEST,
        "digest": digest("attestation"),
        "size": 566,
        "annotations": {
            "vnd.docker.reference.digest": of.digest(),
            "vnd.docker.reference.type": "attestation-manifest",
        },
        "platform": {"architecture": "unknown", "os": "unknown"},
    }))
    .unwrap()
}

pub fn provided(features: &[&str]) -> Provided {
    Provided::new(features.iter().map(|f| Feature::parse(f).unwrap()))
}

/// The slides' documents, and some of their kind.
pub const DOCUMENTS: &str = "
profile:
  name: library/cascadeLake:latest
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args:
        select: .manifests .[] .platform .features
        value: arch:cascadeLake
---
profile:
  name: aws/cli:latest
  actions:
    - name: manifest-add
      event: post-manifest-get
      args:
        layerRepository: qnib/layer-awscli
        repository: qnib/featuretest
---
profile:
  name: tools
  actions:
    - name: manifest-add
      event: post-manifest-get
      args: {layerRepository: 'qnib/layer-tools:2', repository: 'qnib/.*'}
---
profile:
  name: glow-extended:1.5.0
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args:
        select: '.manifests[].annotations[\"glow\"]'
        value: '1.5.0'
---
profile:
  name: endless
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args:
        select: '.manifests[] | \"x\" * 1000000000'
        value: x
---
profile:
  name: failing
  actions:
    - name: manifest-filter
      event: post-manifest-list-get
      args:
        select: .manifests[].platform.features[]
        value: 'arch:zen3'
";

pub fn catalog() -> Catalog {
    let loaded = Catalog::from_documents(&[("documents.yaml", DOCUMENTS)]);
    assert!(!loaded.has_errors(), "{:?}", loaded.problems);
    loaded.catalog
}

/// What `login` comes to; the empty profile for the empty login.
pub fn profile(login: &str) -> Arc<Composed> {
    if login.is_empty() {
        return Arc::new(Composed::none());
    }
    let login = catalog().interpret(login, &|_| false).unwrap();
    login.profile
}
