//! What logins can make a registry keep: as much as there are outcomes, within a bound, whatever
//! the logins say. And what is served without deriving anything: what cannot run, and the one image
//! that is left of an index.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use metahub_catalog::Catalog;
use metahub_oci::{Digest, Document, MediaType, RepositoryName, Tag};
use metahub_registry::{Accepts, Registry, RegistryError, Served, Settings};
use metahub_store::{Mode, Store};
use metahub_upstream::{Upstreams, UpstreamsConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

const PROFILES: &str = "
profiles:
  - {name: one, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/one, repository: 'lab/.*'}}]}
  - {name: two, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/two, repository: 'lab/.*'}}]}
  - {name: three, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/three, repository: 'lab/.*'}}]}
  - {name: four, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/four, repository: 'lab/.*'}}]}
  - {name: absent, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/absent, repository: 'lab/.*'}}]}
";

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

struct World {
    registry: Registry,
    catalog: Arc<Catalog>,
}

impl World {
    async fn new() -> Self {
        Self::with(Store::temporary().await.unwrap(), Settings::default()).await
    }

    async fn with(store: Store, settings: Settings) -> Self {
        let loaded = Catalog::from_documents(&[("lab.yaml", PROFILES)]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let catalog = Arc::new(loaded.catalog);
        let (_sender, receiver) = watch::channel(Arc::clone(&catalog));
        let alone = UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        };
        let upstreams = Upstreams::new(&alone).unwrap();
        let registry = Registry::new(store, upstreams, receiver, settings);
        Self { registry, catalog }
    }

    /// The image, an index of several builds, and layer images.
    async fn filled(self) -> Self {
        for layer in ["one", "two", "three", "four"] {
            self.image(&format!("lab/{layer}"), "latest", "amd64", layer)
                .await;
        }
        let mut entries = Vec::new();
        for (build, architecture, requires) in [
            ("clx", "amd64", json!(["arch:cascadeLake"])),
            ("zen3", "amd64", json!(["arch:zen3", "cuda:12.4"])),
            ("zen2", "amd64", json!(["arch:zen2", "site:blue"])),
            ("base", "amd64", json!([])),
            ("arm", "arm64", json!([])),
        ] {
            let (digest, size) = self.image("lab/app", build, architecture, build).await;
            entries.push(json!({
                "mediaType": MediaType::OCI_MANIFEST, "digest": digest.as_str(), "size": size,
                "platform": {"os": "linux", "architecture": architecture, "features": requires}
            }));
        }
        self.index("lab/app", "latest", entries).await;
        self
    }

    async fn blob(&self, repository: &str, bytes: Vec<u8>) -> (Digest, usize) {
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let store = self.registry.store();
        store
            .put_blob(&name(repository), &digest, bytes.into())
            .await
            .unwrap();
        (digest, size)
    }

    async fn push(&self, repository: &str, tag: &str, document: &Value) -> (Digest, usize) {
        let bytes = Bytes::from(document.to_string());
        let size = bytes.len();
        let tag: Tag = tag.parse().unwrap();
        let (repository, reference) = (name(repository), tag.into());
        let repository = self.registry.operator().push(&repository).unwrap();
        let pushed = repository.push_manifest(&reference, None, bytes, vec![]);
        (pushed.await.unwrap().digest, size)
    }

    async fn image(
        &self,
        repository: &str,
        tag: &str,
        architecture: &str,
        content: &str,
    ) -> (Digest, usize) {
        let layer = self.blob(repository, content.as_bytes().to_vec()).await;
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": [layer.0.as_str()]}
        });
        let config = self.blob(repository, config.to_string().into_bytes()).await;
        let manifest = manifest(
            MediaType::OCI_CONFIG,
            &config,
            MediaType::OCI_LAYER_GZIP,
            &layer,
        );
        self.push(repository, tag, &manifest).await
    }

    async fn index(&self, repository: &str, tag: &str, entries: Vec<Value>) -> Digest {
        let index =
            json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
        self.push(repository, tag, &index).await.0
    }

    async fn pull_as(
        &self,
        login: &str,
        image: &str,
        accepts: Accepts,
    ) -> Result<Served, RegistryError> {
        let profile = self.catalog.interpret(login, &|_| false).unwrap().profile;
        let (repository, tag) = image.split_once(':').unwrap();
        let tag: Tag = tag.parse().unwrap();
        self.registry
            .operator()
            .read(&name(repository))
            .tagged(&tag, &profile, accepts)
            .await
    }

    async fn pull(&self, login: &str, image: &str) -> Served {
        self.pull_as(login, image, Accepts::Index).await.unwrap()
    }
}

fn manifest(
    config_type: &str,
    config: &(Digest, usize),
    layer_type: &str,
    layer: &(Digest, usize),
) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
        "config": {"mediaType": config_type, "digest": config.0.as_str(), "size": config.1},
        "layers": [{"mediaType": layer_type, "digest": layer.0.as_str(), "size": layer.1}]
    })
}

fn is_index(served: &Served) -> bool {
    served.media_type.is_index()
}

#[tokio::test]
async fn ten_thousand_invented_logins_leave_as_many_records_as_there_are_outcomes() {
    let world = World::new().await.filled().await;
    for number in 0..2500 {
        for login in [
            format!("zen3+site=x{number}"),
            format!("zen3+cuda=12.4.{number}"),
            format!("zen2+invented{number}=1"),
            format!("cascadelake+driver=550.{number}+one"),
        ] {
            let served = world
                .pull_as(&login, "lab/app:latest", Accepts::IndexOnly)
                .await
                .unwrap();
            assert!(is_index(&served), "{login}");
        }
    }
    // The base, zen3's, cascadelake's, and each of those with the layer of `one` if it was asked
    // for: of four kinds of logins.
    let total = world.registry.store().derived_total().await.unwrap();
    assert!(total.records <= 5, "{total:?}");
    assert!(total.bytes < 64 * 1024, "{total:?}");
    assert_eq!(world.registry.counts().derived_made, total.records);
}

/// Numbers that are the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

#[tokio::test]
async fn random_logins_never_pass_the_bound_and_the_same_choice_always_has_the_same_bytes() {
    const BOUND: u64 = 40_000;
    let mut settings = Settings::default();
    settings.cache.derived = BOUND;
    let store = Store::temporary().await.unwrap();
    let world = World::with(store, settings).await.filled().await;
    let mut random = Random(0x9e37_79b9_7f4a_7c15);
    let mut seen: std::collections::HashMap<String, Digest> = std::collections::HashMap::new();
    let mut evicted_and_back = 0;
    for number in 0..1500 {
        // What decides the bytes: the CPU, and the layers in their order.
        let cpu = ["zen3", "zen2", "cascadelake", "cpu=x86_64_v3"][random.below(4)];
        let mut layers = vec!["one", "two", "three", "four"];
        let mut parts = vec![cpu.to_owned()];
        for _ in 0..random.below(4) {
            parts.push(layers.swap_remove(random.below(layers.len())).to_owned());
        }
        let decides = parts.join("+");
        parts.push(match random.below(3) {
            0 => format!("note{number}=1"),
            1 => format!("glibc=2.{}", random.below(1_000_000)),
            _ => format!("kernel=5.14.{number}"),
        });
        let login = parts.join("+");
        let served = world
            .pull_as(&login, "lab/app:latest", Accepts::IndexOnly)
            .await
            .unwrap();
        assert!(served.digest.matches(&served.bytes));
        if let Some(before) = seen.insert(decides.clone(), served.digest.clone()) {
            assert_eq!(before, served.digest, "{login}");
            evicted_and_back += 1;
        }
        let total = world.registry.store().derived_total().await.unwrap();
        assert!(total.bytes <= BOUND, "{login}: {total:?}");
    }
    assert!(evicted_and_back > 500 && world.registry.counts().derived_evicted > 100);
    // Nothing of what went is left behind: every manifest and configuration belongs to a record.
    let store = world.registry.store();
    store.evict_derived(0).await.unwrap();
    let now = metahub_store::GcOptions {
        grace: std::time::Duration::ZERO,
        dry_run: false,
    };
    let report = world.registry.collect_garbage(&now).await.unwrap();
    assert_eq!((report.derived, report.blobs), (0, 0), "{report:?}");
}

async fn open(folder: &Path) -> World {
    let store = Store::open(folder, Mode::Serve).await.unwrap();
    World::with(store, Settings::default()).await
}

#[tokio::test]
async fn a_registry_that_starts_again_finds_what_was_derived_before() {
    let folder = tempfile::tempdir().unwrap();
    let world = open(folder.path()).await.filled().await;
    let before = world.pull("zen3+one", "lab/app:latest").await;
    assert_eq!(world.registry.counts().derived_made, 1);
    world.registry.store().close().await;
    drop(world);
    let world = open(folder.path()).await;
    let after = world.pull("zen3+one+site=other", "lab/app:latest").await;
    assert_eq!(after.digest, before.digest);
    assert_eq!(world.registry.counts().derived_made, 0);
}

#[tokio::test]
async fn what_was_pulled_lately_stays_pullable_by_its_digest() {
    let world = World::new().await.filled().await;
    let pinned = world.pull("zen3+one", "lab/app:latest").await;
    let other = world.pull("zen3+two", "lab/app:latest").await;
    let app = name("lab/app");
    world.registry.write_usage().await.unwrap();
    // Uses are told apart by the millisecond.
    let before = std::time::Instant::now();
    while before.elapsed().as_millis() < 2 {}
    // By its digest only: a cluster that pinned it.
    world
        .registry
        .operator()
        .read(&app)
        .manifest(&pinned.digest)
        .await
        .unwrap();
    world.registry.write_usage().await.unwrap();
    let store = world.registry.store();
    let half = store.derived_total().await.unwrap().bytes * 3 / 4;
    store.evict_derived(half).await.unwrap();
    assert!(
        world
            .registry
            .operator()
            .read(&app)
            .manifest(&pinned.digest)
            .await
            .is_ok()
    );
    assert!(
        world
            .registry
            .operator()
            .read(&app)
            .manifest(&other.digest)
            .await
            .is_err()
    );
    // A client that asks for the tag gets the same again, with all that it names.
    let again = world.pull("zen3+two", "lab/app:latest").await;
    assert_eq!(again.digest, other.digest);
    let Document::Index(index) = Document::parse(again.bytes, None).unwrap() else {
        panic!("an index")
    };
    for child in index.manifests() {
        let child = world
            .registry
            .operator()
            .read(&app)
            .manifest(child.digest())
            .await
            .unwrap();
        let Document::Manifest(child) = Document::parse(child.bytes, None).unwrap() else {
            panic!("a manifest")
        };
        let config = child.config().unwrap().digest();
        assert!(
            world
                .registry
                .operator()
                .read(&app)
                .blob_size(config)
                .await
                .is_ok()
        );
    }
}

const COSIGN: &str = "application/vnd.dev.cosign.simplesigning.v1+json";

/// What cannot run, by tag: the media types of its configuration and of its layer.
const KINDS: [(&str, &str, &str); 9] = [
    // A signature of cosign has an image's configuration.
    ("sig", MediaType::OCI_CONFIG, COSIGN),
    ("sbom", MediaType::OCI_CONFIG, "text/spdx+json"),
    (
        "attestation",
        MediaType::OCI_CONFIG,
        "application/vnd.in-toto+json",
    ),
    (
        "ollama",
        MediaType::DOCKER_CONFIG,
        "application/vnd.ollama.image.model",
    ),
    (
        "model",
        "application/vnd.cncf.model.config.v1+json",
        "application/vnd.cncf.model.weight.v1.tar",
    ),
    (
        "chart",
        "application/vnd.cncf.helm.config.v1+json",
        "application/vnd.cncf.helm.chart.content.v1.tar+gzip",
    ),
    (
        "cache",
        "application/vnd.buildkit.cacheconfig.v0",
        MediaType::OCI_LAYER_GZIP,
    ),
    ("artifact", MediaType::OCI_EMPTY, MediaType::OCI_LAYER_GZIP),
    (
        "wasm",
        "application/vnd.wasm.config.v0+json",
        "application/wasm",
    ),
];

#[tokio::test]
async fn what_cannot_run_passes_untouched_under_every_profile() {
    let world = World::new().await.filled().await;
    let mut all = Vec::new();
    let mut listed = Vec::new();
    for (tag, config_type, layer_type) in KINDS {
        let config = world.blob("lab/app", b"{}".to_vec()).await;
        let layer = world.blob("lab/app", tag.as_bytes().to_vec()).await;
        let document = manifest(config_type, &config, layer_type, &layer);
        let (digest, size) = world.push("lab/app", tag, &document).await;
        let entry =
            json!({"mediaType": MediaType::OCI_MANIFEST, "digest": digest.as_str(), "size": size});
        listed.push(entry);
        all.push((tag, digest));
    }
    // The referrers tag, which says what each is; an index that says nothing; and none at all.
    let said = listed.iter().map(|entry| {
        let mut entry = entry.clone();
        entry["artifactType"] = json!(COSIGN);
        entry
    });
    all.push((
        "sha256-00",
        world.index("lab/app", "sha256-00", said.collect()).await,
    ));
    all.push(("silent", world.index("lab/app", "silent", listed).await));
    all.push(("none", world.index("lab/app", "none", Vec::new()).await));
    // A build cache of BuildKit is an index of layers.
    let layer = world.blob("lab/app", b"a cached layer".to_vec()).await;
    let cached = json!({"mediaType": MediaType::OCI_LAYER_GZIP, "digest": layer.0.as_str(), "size": layer.1});
    all.push((
        "buildcache",
        world.index("lab/app", "buildcache", vec![cached]).await,
    ));
    for (tag, digest) in &all {
        for login in [
            "one",
            "zen3",
            "zen3+one",
            "absent",
            "zen3+absent",
            "one+cuda=12.4",
        ] {
            for accepts in [Accepts::Index, Accepts::IndexOnly] {
                let served = world
                    .pull_as(login, &format!("lab/app:{tag}"), accepts)
                    .await;
                let served = served.unwrap_or_else(|error| panic!("{tag} as {login}: {error}"));
                assert_eq!(served.digest, *digest, "{tag} as {login}");
            }
        }
    }
    let total = world.registry.store().derived_total().await.unwrap();
    assert_eq!(total.records, 0);
    // An image gets its layer all the same, and its lack is told.
    assert_ne!(
        world.pull("one", "lab/app:base").await.digest,
        world.pull("zen3", "lab/app:base").await.digest
    );
    assert!(
        world
            .pull_as("absent", "lab/app:base", Accepts::Index)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_one_image_that_is_left_is_served_itself_with_its_own_signature() {
    let world = World::new().await.filled().await;
    let source = world.pull("one", "lab/one:latest").await;
    assert!(!is_index(&source));
    let app = name("lab/app");
    let own = world
        .pull_as("zen3+cuda=12.4", "lab/app:latest", Accepts::Index)
        .await
        .unwrap();
    assert!(own.media_type.is_manifest());
    let zen3: Tag = "zen3".parse().unwrap();
    let pushed = world
        .registry
        .store()
        .tag(&app, &zen3)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(own.digest, pushed.digest, "byte for byte what was pushed");
    // A signature of it, as a referrer.
    let empty = world.blob("lab/app", b"{}".to_vec()).await;
    let mut signature = manifest(
        MediaType::OCI_EMPTY,
        &empty,
        "application/x-signature",
        &empty,
    );
    signature["artifactType"] = json!("application/x-signature");
    signature["subject"] = json!({"mediaType": MediaType::OCI_MANIFEST, "digest": own.digest.as_str(), "size": own.bytes.len()});
    let (signature, _) = world.push("lab/app", "signature", &signature).await;
    let listed = world
        .registry
        .operator()
        .read(&app)
        .referrers(&own.digest, None, None, 10)
        .await
        .unwrap();
    let digests: Vec<&Value> = listed
        .manifests
        .iter()
        .map(|entry| &entry["digest"])
        .collect();
    assert_eq!(digests, [signature.as_str()]);
    // One that is derived has no referrers of its own.
    let layered = world.pull("zen3+cuda=12.4+one", "lab/app:latest").await;
    let listed = world
        .registry
        .operator()
        .read(&app)
        .referrers(&layered.digest, None, None, 10)
        .await
        .unwrap();
    assert!(listed.manifests.is_empty());
    // The source stays pullable under the same name, the caller.
    let nobody = metahub_catalog::Composed::none();
    let latest: Tag = "latest".parse().unwrap();
    let whole = world
        .registry
        .operator()
        .read(&app)
        .tagged(&latest, &nobody, Accepts::Index)
        .await
        .unwrap();
    let again = world
        .registry
        .operator()
        .read(&app)
        .manifest(&whole.digest)
        .await
        .unwrap();
    assert_eq!(again.bytes, whole.bytes);
    // Nothing was stored for it but what was derived.
    assert!(
        world
            .registry
            .store()
            .derived_total()
            .await
            .unwrap()
            .records
            <= 2
    );
}

#[tokio::test]
async fn an_index_stays_one_where_a_client_needs_it() {
    let world = World::new().await.filled().await;
    for (login, accepts, expected) in [
        ("zen3", Accepts::Index, false),
        ("zen3", Accepts::ManifestOnly, false),
        // It takes nothing else.
        ("zen3", Accepts::IndexOnly, true),
        // The machine may be of either architecture.
        ("cuda=12.4", Accepts::Index, true),
        ("cuda=12.4", Accepts::ManifestOnly, false),
        // The child is not what was pushed.
        ("zen3+one", Accepts::Index, true),
    ] {
        let served = world
            .pull_as(login, "lab/app:latest", accepts)
            .await
            .unwrap();
        assert_eq!(is_index(&served), expected, "{login} {accepts:?}");
    }
    // Both forms lead to the same image.
    let image = world
        .pull_as("zen3", "lab/app:latest", Accepts::Index)
        .await
        .unwrap();
    let index = world
        .pull_as("zen3", "lab/app:latest", Accepts::IndexOnly)
        .await
        .unwrap();
    let Document::Index(index) = Document::parse(index.bytes, None).unwrap() else {
        panic!("an index")
    };
    assert_eq!(*index.manifests()[0].digest(), image.digest);
}
