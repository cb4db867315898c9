//! What stands in an index beside images for hardware: WebAssembly, artifacts, entries that lead
//! nowhere or do not say what they are for.

use metahub_oci::{Digest, MediaType};
use metahub_registry::{Policy, RegistryError};
use serde_json::{Value, json};

use crate::fake::{Fake, Referrers, World, index, leads_to};

struct Kinds {
    fake: Fake,
    amd64: Value,
    wasm: Value,
    absent: Value,
    model: Value,
}

impl Kinds {
    async fn start() -> Self {
        let fake = Fake::start(Referrers::Status(404)).await;
        let amd64 = fake.image("amd64", &json!({}), &["amd64"]);
        let wasm = fake.image_of(
            &json!({"os": "wasi", "architecture": "wasm", "config": {}}),
            &["wasm"],
        );
        let absent = json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": Digest::sha256(b"absent"), "size": 7,
        });
        let config = fake.blob(b"{}".to_vec(), "application/vnd.example.model.v1+json");
        let model = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [],
        });
        let model = fake.document(&model, &["model"]);
        Self {
            fake,
            amd64,
            wasm,
            absent,
            model,
        }
    }

    /// What a haswell is led to by an index of these entries.
    async fn chosen(&self, entries: &[Value]) -> Result<Vec<String>, String> {
        self.fake.document(&index(entries), &["index"]);
        let world = self.fake.registry(Policy::default(), "").await;
        chosen(&world, "lab/app:index").await
    }
}

async fn chosen(world: &World, image: &str) -> Result<Vec<String>, String> {
    match world.pull(image, "haswell").await {
        Ok(served) => Ok(leads_to(&served)),
        Err(error) if matches!(error.root(), RegistryError::NothingFits { .. }) => {
            Err(error.to_string())
        }
        Err(error) => panic!("{error}"),
    }
}

fn on(entry: &Value, os: &str, architecture: &str) -> Value {
    let mut entry = entry.clone();
    entry["platform"] = json!({"os": os, "architecture": architecture});
    entry
}

fn digest(entry: &Value) -> Vec<String> {
    vec![entry["digest"].as_str().unwrap().to_owned()]
}

#[tokio::test]
async fn webassembly_is_chosen_only_where_nothing_is_for_hardware() {
    let kinds = Kinds::start().await;
    let wasm = on(&kinds.wasm, "wasi", "wasm");
    let amd64 = on(&kinds.amd64, "linux", "amd64");
    let arm64 = on(&kinds.absent, "linux", "arm64");
    let own = Ok(digest(&kinds.amd64));
    assert_eq!(kinds.chosen(&[wasm.clone(), amd64.clone()]).await, own);
    assert_eq!(kinds.chosen(&[amd64, wasm.clone()]).await, own);
    assert_eq!(
        kinds.chosen(std::slice::from_ref(&wasm)).await,
        Ok(digest(&kinds.wasm))
    );
    let refused = kinds.chosen(&[wasm, arm64]).await.unwrap_err();
    assert!(refused.contains("no image fits"), "{refused}");
}

#[tokio::test]
async fn webassembly_in_a_collection_gives_way_too_and_alone_is_served() {
    let kinds = Kinds::start().await;
    let catalog = "
manifests:
  - name: site/both
    tag: latest
    manifests: [{image: 'up.test/lab/app:wasm'}, {image: 'up.test/lab/app:amd64'}]
  - name: site/wasm
    tag: latest
    manifests: [{image: 'up.test/lab/app:wasm'}]
";
    let world = kinds.fake.registry(Policy::default(), catalog).await;
    let both = chosen(&world, "site/both:latest").await;
    assert_eq!(both, Ok(digest(&kinds.amd64)));
    let wasm = chosen(&world, "site/wasm:latest").await;
    assert_eq!(wasm, Ok(digest(&kinds.wasm)));
    let single = chosen(&world, "lab/app:wasm").await;
    assert_eq!(single, Ok(digest(&kinds.wasm)));
}

#[tokio::test]
async fn what_the_upstream_has_not_is_no_candidate() {
    let kinds = Kinds::start().await;
    let amd64 = on(&kinds.amd64, "linux", "amd64");
    let mut near = on(&kinds.absent, "linux", "amd64");
    near["platform"]["features"] = json!(["arch:haswell"]);
    let own = Ok(digest(&kinds.amd64));
    assert_eq!(kinds.chosen(&[near.clone(), amd64]).await, own);
    let refused = kinds.chosen(&[near]).await.unwrap_err();
    assert!(refused.contains("it is not there"), "{refused}");
}

#[tokio::test]
async fn an_entry_that_does_not_say_what_it_is_for_is_what_its_image_says() {
    let kinds = Kinds::start().await;
    let own = Ok(digest(&kinds.amd64));
    for platform in [
        json!({}),
        json!({"os": "", "architecture": ""}),
        Value::Null,
    ] {
        let mut entry = kinds.amd64.clone();
        if !platform.is_null() {
            entry["platform"] = platform.clone();
        }
        let beside = [kinds.model.clone(), entry.clone()];
        assert_eq!(kinds.chosen(&[entry]).await, own, "{platform}");
        assert_eq!(kinds.chosen(&beside).await, own, "{platform}");
    }
    let arm = json!({"os": "linux", "architecture": "arm64", "config": {}});
    let arm = kinds.fake.image_of(&arm, &[]);
    assert_eq!(kinds.chosen(&[arm.clone(), kinds.amd64.clone()]).await, own);
    let refused = kinds.chosen(&[arm]).await.unwrap_err();
    assert!(refused.contains("linux/arm64"), "{refused}");
}

#[tokio::test]
async fn an_artifact_is_never_taken_for_the_image() {
    let kinds = Kinds::start().await;
    let own = Ok(digest(&kinds.amd64));
    let amd64 = on(&kinds.amd64, "linux", "amd64");
    let bare = kinds.model.clone();
    let placed = on(&bare, "linux", "amd64");
    let mut typed = placed.clone();
    typed["artifactType"] = "application/vnd.example.model".into();
    for artifact in [bare, placed, typed] {
        let mut nearer = artifact.clone();
        if nearer.get("platform").is_some() {
            nearer["platform"]["features"] = json!(["arch:haswell"]);
        }
        assert_eq!(kinds.chosen(&[artifact, amd64.clone()]).await, own);
        assert_eq!(kinds.chosen(&[nearer, amd64.clone()]).await, own);
    }
}

#[tokio::test]
async fn an_index_within_the_index_is_followed_and_the_nearest_in_it_chosen() {
    let kinds = Kinds::start().await;
    let mut absent = on(&kinds.absent, "linux", "amd64");
    absent["platform"]["features"] = json!(["arch:zen4"]);
    let amd64 = on(&kinds.amd64, "linux", "amd64");
    let inner = kinds.fake.document(&index(&[absent, amd64]), &[]);
    let chosen = kinds.chosen(&[kinds.model.clone(), inner]).await;
    assert_eq!(chosen, Ok(digest(&kinds.amd64)));
}

#[tokio::test]
async fn what_an_entry_requires_and_the_variants_of_its_index_both_count() {
    let kinds = Kinds::start().await;
    let mut entries = Vec::new();
    for variant in [Some("v4"), Some("v3"), None] {
        let image = kinds.fake.image(&format!("{variant:?}"), &json!({}), &[]);
        let mut entry = on(&image, "linux", "amd64");
        if let Some(variant) = variant {
            entry["platform"]["variant"] = variant.into();
        }
        entries.push(entry);
    }
    kinds.fake.document(&index(&entries), &["levels"]);
    let catalog = "
manifests:
  - name: site/levels
    tag: latest
    manifests: [{image: 'up.test/lab/app:levels', platform: {features: ['arch:x86_64']}}]
";
    let world = kinds.fake.registry(Policy::default(), catalog).await;
    let chosen = chosen(&world, "site/levels:latest").await;
    assert_eq!(chosen, Ok(digest(&entries[1])), "haswell runs v3, not v4");
}
