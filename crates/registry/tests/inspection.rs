//! Inspection: what reading code shows decides what a login gets, as the operator wants it.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use metahub_catalog::Catalog;
use metahub_inspect::RULE_VERSION;
use metahub_oci::{Digest, MediaType, Reference, RepositoryName};
use metahub_registry::{Accepts, InspectionMode, InspectionSettings, Registry, Settings};
use metahub_store::{GcOptions, Store};
use metahub_testkit::program::{AVX512, PLAIN, layer, program};
use metahub_upstream::{Upstreams, UpstreamsConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

const REPOSITORY: &str = "lab/app";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

struct World {
    registry: Registry,
    _catalog: watch::Sender<Arc<Catalog>>,
}

/// What a login gets: the digest and the warning, or the refusal.
type Answer = Result<(String, Option<String>), String>;

impl World {
    async fn with(inspection: InspectionSettings) -> Self {
        let catalog = watch::Sender::new(Arc::new(Catalog::builtin()));
        let upstreams = Upstreams::new(&UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        });
        let settings = Settings {
            sparse: true,
            inspection,
            ..Settings::default()
        };
        let store = Store::temporary().await.unwrap();
        Self {
            registry: Registry::new(store, upstreams.unwrap(), catalog.subscribe(), settings),
            _catalog: catalog,
        }
    }

    async fn new(mode: InspectionMode) -> Self {
        Self::with(InspectionSettings {
            mode,
            ..InspectionSettings::default()
        })
        .await
    }

    fn name() -> RepositoryName {
        REPOSITORY.parse().unwrap()
    }

    async fn blob(&self, bytes: &[u8], media_type: &str) -> Value {
        let digest = Digest::sha256(bytes);
        let stored = Bytes::copy_from_slice(bytes);
        let store = self.registry.store();
        store
            .put_blob(&Self::name(), &digest, stored)
            .await
            .unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    async fn push(&self, document: &Value, tag: &str) -> Value {
        let bytes = serde_json::to_vec(document).unwrap();
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let media_type = document["mediaType"].as_str().unwrap();
        let kind: MediaType = media_type.parse().unwrap();
        let reference = Reference::Tag(tag.parse().unwrap());
        let (operator, name) = (self.registry.operator(), Self::name());
        let repository = operator.push(&name).unwrap();
        let pushed = repository.push_manifest(&reference, Some(&kind), bytes.into(), Vec::new());
        pushed.await.unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// An image of layers that are described, labelled for a target; its descriptor.
    async fn image_of(&self, tag: &str, target: Option<&str>, layers: Vec<Value>) -> Value {
        let labels = target.map(|target| json!({"io.archspec.cpu.target": target}));
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": {"Labels": labels, "tag": tag},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = config.to_string().into_bytes();
        let config = self.blob(&config, MediaType::OCI_CONFIG).await;
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
            "layers": layers,
        });
        self.push(&manifest, tag).await
    }

    /// An image with one program.
    async fn image(&self, tag: &str, target: Option<&str>, instructions: &[u8]) -> Value {
        let bytes = layer(&[("usr/bin/app", &program(instructions))]);
        let layer = self.blob(&bytes, LAYER).await;
        self.image_of(tag, target, vec![layer]).await
    }

    /// An image of which is recorded what its layer needs.
    async fn recorded(&self, tag: &str, target: Option<&str>, needs: &str) -> Value {
        let layer = self.blob(tag.as_bytes(), LAYER).await;
        let digest: Digest = layer["digest"].as_str().unwrap().parse().unwrap();
        let store = self.registry.store();
        let put = store.put_layer_needs(&digest, RULE_VERSION, needs.to_owned());
        assert!(put.await.unwrap());
        self.image_of(tag, target, vec![layer]).await
    }

    async fn index(&self, tag: &str, entries: &[(&Value, &str)]) {
        let manifests: Vec<Value> = entries
            .iter()
            .map(|(image, target)| {
                let mut entry = (*image).clone();
                let platform = json!({
                    "os": "linux", "architecture": "amd64", "features": [format!("arch:{target}")],
                });
                entry["platform"] = platform;
                entry
            })
            .collect();
        let index = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": manifests,
        });
        let _ = self.push(&index, tag).await;
    }

    async fn get(&self, tag: &str, login: &str) -> Answer {
        let catalog = self.registry.catalog();
        let profile = catalog.interpret(login, &|_| false).unwrap().profile;
        let (operator, name) = (self.registry.operator(), Self::name());
        let (repository, tag) = (operator.read(&name), tag.parse().unwrap());
        let answer = repository.tagged(&tag, &profile, Accepts::Index).await;
        answer
            .map(|served| (served.digest.to_string(), served.warning))
            .map_err(|error| error.to_string())
    }

    /// Until nothing more is read; what is queued by a push is read for sure.
    async fn until_inspected(&self, images: u64) {
        while self.registry.counts().images_inspected < images {
            tokio::task::yield_now().await;
        }
    }
}

fn digest(image: &Value) -> String {
    image["digest"].as_str().unwrap().to_owned()
}

#[tokio::test]
async fn an_image_whose_code_needs_more_than_the_login_is_not_served_where_that_is_enforced() {
    let world = World::new(InspectionMode::Enforce).await;
    let lying = world.image("lying", Some("x86_64_v2"), AVX512).await;
    let plain = world.image("plain", None, PLAIN).await;
    world
        .index("all", &[(&lying, "x86_64_v2"), (&plain, "x86_64")])
        .await;
    world.index("only", &[(&lying, "x86_64_v2")]).await;
    // The next that fits.
    let (served, warning) = world.get("all", "x86_64_v2").await.unwrap();
    assert_eq!((served, warning), (digest(&plain), None));
    for tag in ["only", "lying"] {
        let refused = world.get(tag, "x86_64_v2").await.unwrap_err();
        assert!(
            refused.contains("no image fits") && refused.contains("usr/bin/app requires x86_64_v4"),
            "{tag}: {refused}"
        );
    }
    // Who has what it needs gets it.
    for tag in ["all", "only", "lying"] {
        let (served, warning) = world.get(tag, "zen4").await.unwrap();
        assert_eq!((served, warning), (digest(&lying), None), "{tag}");
    }
    assert_eq!(
        world.registry.counts().layers_inspected,
        2,
        "each layer once"
    );
}

#[tokio::test]
async fn such_an_image_is_served_with_a_warning_where_that_is_wanted() {
    let world = World::new(InspectionMode::Warn).await;
    let lying = world.image("lying", Some("x86_64_v2"), AVX512).await;
    let plain = world.image("plain", None, PLAIN).await;
    world
        .index("all", &[(&lying, "x86_64_v2"), (&plain, "x86_64")])
        .await;
    // What was chosen before it was known is chosen anew.
    let _ = world.get("all", "x86_64_v2").await.unwrap();
    world.until_inspected(2).await;
    let warned = loop {
        let (served, warning) = world.get("all", "x86_64_v2").await.unwrap();
        assert_eq!(served, digest(&lying));
        match warning {
            Some(warning) => break warning,
            None => tokio::task::yield_now().await,
        }
    };
    assert!(
        warned.contains("requires more than the login has")
            && warned.contains("usr/bin/app requires x86_64_v4"),
        "{warned}"
    );
    let single = world.get("lying", "x86_64_v2").await.unwrap().1.unwrap();
    assert!(single.contains("usr/bin/app"), "{single}");
    assert_eq!(
        world.get("all", "zen4").await.unwrap(),
        (digest(&lying), None)
    );
    assert_eq!(world.get("plain", "x86_64_v2").await.unwrap().1, None);
    let counts = world.registry.counts();
    assert_eq!(
        (counts.layers_inspected, counts.inspections_refused),
        (2, 0)
    );
}

#[tokio::test]
async fn nothing_is_read_where_labels_are_trusted() {
    let world = World::new(InspectionMode::TrustLabels).await;
    let lying = world.image("lying", Some("x86_64_v2"), AVX512).await;
    let (served, warning) = world.get("lying", "x86_64_v2").await.unwrap();
    assert_eq!((served, warning), (digest(&lying), None));
    let bytes = layer(&[("usr/bin/app", &program(AVX512))]);
    let store = world.registry.store();
    let known = store
        .layer_needs(&Digest::sha256(&bytes), RULE_VERSION)
        .await;
    assert_eq!(known.unwrap(), None);
    let counts = world.registry.counts();
    assert_eq!((counts.layers_inspected, counts.inspections_absent), (0, 0));
}

const JIT: &str = r#"{"files": {"lib/jit.so": {
    "sha256": "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855",
    "unknown": [{"why": "it makes code when it runs"}]}}}"#;

#[tokio::test]
async fn what_is_not_known_restricts_only_where_that_is_enforced_and_an_operator_lifts_it() {
    let hash = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
    for (mode, lifted, served) in [
        (InspectionMode::Enforce, None, false),
        (InspectionMode::Enforce, Some(hash), true),
        (InspectionMode::Warn, None, true),
    ] {
        let world = World::with(InspectionSettings {
            mode,
            lifted: lifted
                .into_iter()
                .map(|hash| (hash.to_owned(), None))
                .collect(),
            ..InspectionSettings::default()
        })
        .await;
        let jit = world.recorded("jit", Some("x86_64_v3"), JIT).await;
        match world.get("jit", "zen4").await {
            Ok(answer) => assert_eq!((served, answer), (true, (digest(&jit), None))),
            Err(refused) => {
                assert!(!served, "{refused}");
                assert!(
                    refused.contains("what lib/jit.so requires is not known"),
                    "{refused}"
                );
            }
        }
    }
}

#[tokio::test]
async fn logins_without_a_processor_and_other_content_are_not_judged() {
    let world = World::new(InspectionMode::Enforce).await;
    let jit = world.recorded("jit", None, JIT).await;
    for login in ["any", "cuda=12.4"] {
        let (served, _) = world.get("jit", login).await.unwrap();
        assert_eq!(served, digest(&jit), "{login}");
    }
    // A chart: no image, so nothing of it is read.
    let config = world
        .blob(b"{}", "application/vnd.cncf.helm.config.v1+json")
        .await;
    let content = world
        .blob(
            b"a chart",
            "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
        )
        .await;
    let chart = json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
        "layers": [content],
    });
    let chart = world.push(&chart, "chart").await;
    assert_eq!(world.get("chart", "zen2").await.unwrap().0, digest(&chart));
    assert_eq!(world.registry.counts().layers_inspected, 0);
}

#[tokio::test]
async fn an_image_whose_layers_cannot_be_had_is_not_known() {
    let world = World::new(InspectionMode::Enforce).await;
    let absent = json!({"mediaType": LAYER, "digest": Digest::sha256(b"absent"), "size": 6});
    let _ = world.image_of("absent", None, vec![absent]).await;
    let refused = world.get("absent", "zen2").await.unwrap_err();
    assert!(refused.contains("its layers are not here"), "{refused}");
    // A layer that is damaged for good is recorded as such.
    let damaged = world.blob(&[0x1f, 0x8b, 8, 0, 1, 2, 3], LAYER).await;
    let _ = world.image_of("damaged", None, vec![damaged]).await;
    let refused = world.get("damaged", "zen2").await.unwrap_err();
    assert!(refused.contains("is not known (layer sha256:"), "{refused}");
}

#[tokio::test]
async fn each_layer_is_read_once_and_what_it_needs_goes_with_it() {
    let world = World::new(InspectionMode::Warn).await;
    let bytes = layer(&[("usr/bin/app", &program(AVX512))]);
    let shared = world.blob(&bytes, LAYER).await;
    let own = world.blob(&layer(&[("etc/text", b"text")]), LAYER).await;
    let mut images = Vec::new();
    for (tag, layers) in [
        ("a", vec![shared.clone()]),
        ("b", vec![shared.clone(), own.clone()]),
        ("c", vec![own, shared.clone()]),
    ] {
        images.push(world.image_of(tag, None, layers).await);
    }
    world.until_inspected(3).await;
    assert_eq!(world.registry.counts().layers_inspected, 2);
    let (store, digest) = (world.registry.store(), Digest::sha256(&bytes));
    let needs = store.layer_needs(&digest, RULE_VERSION).await.unwrap();
    assert!(needs.unwrap().contains("x86_64_v4"));
    // Another version of the rule reads it again.
    assert_eq!(
        store.layer_needs(&digest, RULE_VERSION + 1).await.unwrap(),
        None
    );

    let (operator, name) = (world.registry.operator(), World::name());
    let repository = operator.delete(&name).unwrap();
    for image in &images {
        let image = image["digest"].as_str().unwrap().parse().unwrap();
        repository.delete_manifest(&image).await.unwrap();
    }
    let now = GcOptions {
        grace: Duration::ZERO,
        dry_run: false,
    };
    world.registry.collect_garbage(&now).await.unwrap();
    assert_eq!(
        store.layer_needs(&digest, RULE_VERSION).await.unwrap(),
        None
    );
    // It is not there any more, so nothing is recorded of it.
    let put = store.put_layer_needs(&digest, RULE_VERSION, "{}".to_owned());
    assert!(!put.await.unwrap());
}
