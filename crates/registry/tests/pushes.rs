//! Pushes without HTTP: what a manifest says of the size of what it names.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::Catalog;
use metahub_oci::{Digest, ErrorCode, MediaType, RepositoryName};
use metahub_registry::{Registry, RegistryError, Settings};
use metahub_store::Store;
use metahub_upstream::{Upstreams, UpstreamsConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";
const FOREIGN: &str = "application/vnd.oci.image.layer.nondistributable.v1.tar";

struct World {
    registry: Registry,
    name: RepositoryName,
}

impl World {
    async fn new(sparse: bool) -> Self {
        let catalog = Arc::new(Catalog::builtin());
        let (_sender, receiver) = watch::channel(catalog);
        let alone = UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        };
        let settings = Settings {
            sparse,
            ..Settings::default()
        };
        let upstreams = Upstreams::new(&alone).unwrap();
        let store = Store::temporary().await.unwrap();
        Self {
            registry: Registry::new(store, upstreams, receiver, settings),
            name: "alice/app".parse().unwrap(),
        }
    }

    async fn blob(&self, text: &'static str) -> Value {
        let bytes = Bytes::from(text);
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let store = self.registry.store();
        store.put_blob(&self.name, &digest, bytes).await.unwrap();
        json!({"mediaType": LAYER, "digest": digest, "size": size})
    }

    async fn push(&self, document: &Value) -> Result<Value, RegistryError> {
        let media_type: MediaType = document["mediaType"].as_str().unwrap().parse().unwrap();
        let bytes = Bytes::from(document.to_string());
        let size = bytes.len();
        let tag = "1".parse::<metahub_oci::Tag>().unwrap().into();
        let repository = self.registry.operator().push(&self.name).unwrap();
        let pushed = repository.push_manifest(&tag, Some(&media_type), bytes, Vec::new());
        let digest = pushed.await?.digest;
        Ok(json!({"mediaType": media_type, "digest": digest, "size": size}))
    }

    /// A manifest of one layer.
    async fn manifest(&self) -> Value {
        let mut config = self.blob("{}").await;
        config["mediaType"] = json!(CONFIG);
        json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "config": config, "layers": [self.blob("a layer").await],
        })
    }
}

fn index(child: &Value) -> Value {
    json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": [child]})
}

/// Where sizes stand in a manifest, and in an index.
const SIZES: [&str; 4] = [
    "/config/size",
    "/layers/0/size",
    "/manifests/0/size",
    "/subject/size",
];

/// The error's code and words for each document that says one of `sizes`.
async fn refused(sparse: bool, sizes: &[Value]) -> Vec<(Value, ErrorCode, String)> {
    let world = World::new(sparse).await;
    let manifest = world.manifest().await;
    let child = world.push(&manifest).await.unwrap();
    let mut refused = Vec::new();
    for pointer in SIZES {
        let right = if pointer.starts_with("/manifests") {
            index(&child)
        } else {
            let mut manifest = manifest.clone();
            manifest["subject"] = child.clone();
            manifest
        };
        for size in sizes {
            let mut document = right.clone();
            *document.pointer_mut(pointer).unwrap() = size.clone();
            let error = world.push(&document).await.unwrap_err();
            refused.push((size.clone(), error.code(), error.to_string()));
        }
        world.push(&right).await.unwrap();
    }
    refused
}

#[tokio::test]
async fn a_size_that_the_content_does_not_have_is_refused() {
    for sparse in [false, true] {
        let sizes = [json!(0), json!(1), json!(i64::MAX)];
        for (size, code, said) in refused(sparse, &sizes).await {
            assert_eq!(code, ErrorCode::SizeInvalid, "{said}");
            let says = format!("has {size} bytes, and it has ");
            assert!(said.contains(&says), "{said}");
        }
    }
}

#[tokio::test]
async fn what_is_no_size_is_refused() {
    let sizes = [
        json!(9_223_372_036_854_775_808_u64),
        json!(u64::MAX),
        json!(-1),
        json!(2.0),
        json!(1e300),
        json!("2"),
        json!(null),
        json!([2]),
    ];
    for (size, code, said) in refused(false, &sizes).await {
        assert_eq!(code, ErrorCode::ManifestInvalid, "{size}: {said}");
        let says = "a whole number of bytes from 0 to 2^63 - 1";
        assert!(said.contains(says), "{said}");
    }
}

#[tokio::test]
async fn of_what_is_not_here_any_size_may_be_said() {
    let world = World::new(false).await;
    let mut manifest = world.manifest().await;
    let elsewhere = Digest::sha256(b"elsewhere");
    manifest["subject"] =
        json!({"mediaType": MediaType::OCI_MANIFEST, "digest": elsewhere, "size": 7});
    let layers = manifest["layers"].as_array_mut().unwrap();
    layers.push(json!({"mediaType": FOREIGN, "digest": elsewhere, "size": 7}));
    world.push(&manifest).await.unwrap();
}

#[tokio::test]
async fn two_sizes_of_one_layer_are_not_both_right() {
    let world = World::new(false).await;
    let mut manifest = world.manifest().await;
    let mut again = manifest["layers"][0].clone();
    again["size"] = json!(8);
    manifest["layers"].as_array_mut().unwrap().push(again);
    let error = world.push(&manifest).await.unwrap_err();
    assert_eq!(error.code(), ErrorCode::SizeInvalid, "{error}");
}
