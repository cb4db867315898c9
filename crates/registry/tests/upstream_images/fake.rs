//! An upstream registry in this process: what it holds and how it answers look-ups of referrers
//! is the test's to say. It remembers what it was asked for.

use std::sync::Arc;

use metahub_catalog::{Catalog, Composed};
use metahub_oci::{Digest, MediaType};
use metahub_registry::{
    Accepts, CacheSettings, Free, Policy, Registry, RegistryError, Served, Settings,
};
use metahub_store::Store;
pub(crate) use metahub_testkit::wire::Referrers;
use metahub_testkit::wire::{Fault, WireRegistry};
use metahub_upstream::{
    AnyHost, RetryPolicy, Timeouts, UpstreamConfig, Upstreams, UpstreamsConfig,
};
use serde_json::{Value, json};
use std::time::Duration;
use tokio::sync::watch;

/// The only repository.
pub(crate) const REPOSITORY: &str = "lab/app";
/// The artifact type of image compatibility specifications.
const COMPATIBILITY: &str = "application/vnd.nfd.image-compatibility.v1alpha1";

/// The upstream. It ends with the test's runtime.
pub(crate) struct Fake(WireRegistry);

impl Fake {
    pub(crate) async fn start(referrers: Referrers) -> Self {
        Self(WireRegistry::start(referrers).await)
    }

    pub(crate) fn answer_referrers_with(&self, referrers: Referrers) {
        self.0.answer_referrers_with(referrers);
    }

    /// How many requests so far had `part` in their path, and forgets all.
    pub(crate) fn asked_for(&self, part: &str) -> usize {
        self.0.asked_for(part)
    }

    /// Answers requests for a blob that was put like this from now on.
    pub(crate) fn answer_blob_with(&self, digest: &Digest, fault: Fault) {
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        self.0.answer_with(path, fault);
    }

    pub(crate) fn blob(&self, bytes: Vec<u8>, media_type: &str) -> Value {
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        self.0.put(path, "application/octet-stream", bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Puts a manifest or an index under its digest and the tags.
    pub(crate) fn document(&self, document: &Value, tags: &[&str]) -> Value {
        let bytes = serde_json::to_vec(document).unwrap();
        let media_type = document["mediaType"].as_str().unwrap();
        let digest = Digest::sha256(&bytes);
        for reference in tags.iter().copied().chain([digest.as_str()]) {
            let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
            self.0.put(path, media_type, bytes.clone());
        }
        json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
    }

    /// Puts an image and returns its descriptor. Images differ by `text`.
    pub(crate) fn image(&self, text: &str, labels: &Value, tags: &[&str]) -> Value {
        let config = json!({
            "os": "linux", "architecture": "amd64", "config": {"Labels": labels, "n": text},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        self.image_of(&config, tags)
    }

    pub(crate) fn image_of(&self, config: &Value, tags: &[&str]) -> Value {
        let config = self.blob(config.to_string().into_bytes(), MediaType::OCI_CONFIG);
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
            "layers": [],
        });
        self.document(&manifest, tags)
    }

    /// Says by the referrers tag that an image requires AVX-512.
    pub(crate) fn requires_avx512(&self, image: &Value) {
        let specification = "version: v1alpha1\ncompatibilities:\n- rules:\n  - name: cpu\n    \
             matchFeatures:\n    - feature: cpu.cpuid\n      \
             matchExpressions: {AVX512F: {op: Exists}}\n";
        let specification = self.blob(specification.into(), "text/yaml");
        let empty = self.blob(b"{}".to_vec(), MediaType::OCI_EMPTY);
        let mut artifact = self.document(
            &json!({
                "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
                "artifactType": COMPATIBILITY, "config": empty, "layers": [specification],
                "subject": image,
            }),
            &[],
        );
        artifact["artifactType"] = COMPATIBILITY.into();
        let tag = image["digest"].as_str().unwrap().replace(':', "-");
        self.document(&index(&[artifact]), &[&tag]);
    }

    /// A registry that reads from here, with the catalog document `catalog`.
    pub(crate) async fn registry(&self, policy: Policy, catalog: &str) -> World {
        let store = Store::temporary().await.unwrap();
        self.registry_on(store, policy, catalog)
    }

    pub(crate) fn registry_on(&self, store: Store, policy: Policy, catalog: &str) -> World {
        let timeouts = Timeouts {
            answer: Duration::from_secs(2),
            ..Timeouts::default()
        };
        let settings = Settings {
            tag_lifetime: Duration::from_hours(1),
            policy,
            // The disk that tests run on may be full by the measure of a server.
            cache: CacheSettings {
                keep_free: Free::Percent(0),
                ..CacheSettings::default()
            },
            ..Settings::default()
        };
        self.registry_with(store, settings, timeouts, catalog)
    }

    pub(crate) fn registry_with(
        &self,
        store: Store,
        settings: Settings,
        timeouts: Timeouts,
        catalog: &str,
    ) -> World {
        let upstream = UpstreamConfig {
            url: Some(
                format!("http://127.0.0.1:{}", self.0.port())
                    .parse()
                    .unwrap(),
            ),
            default: true,
            plain_http: true,
            retry: RetryPolicy {
                attempts: 1,
                ..RetryPolicy::default()
            },
            timeouts,
            ..UpstreamConfig::new("up.test".parse().unwrap())
        };
        let upstreams = Upstreams::new(&UpstreamsConfig {
            upstreams: vec![upstream],
            allow_any_host: AnyHost::None,
            ..UpstreamsConfig::default()
        });
        let loaded = Catalog::from_documents(&[("test.yaml", catalog.to_owned())]);
        assert!(
            loaded.problems.iter().all(|problem| !problem.is_error()),
            "{:?}",
            loaded.problems
        );
        let sender = watch::Sender::new(Arc::new(loaded.catalog));
        World {
            registry: Registry::new(store, upstreams.unwrap(), sender.subscribe(), settings),
            _sender: sender,
        }
    }
}

/// An index of these entries.
pub(crate) fn index(entries: &[Value]) -> Value {
    json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries})
}

/// A registry before a [`Fake`].
pub(crate) struct World {
    pub(crate) registry: Registry,
    _sender: watch::Sender<Arc<Catalog>>,
}

impl World {
    pub(crate) fn profile(&self, login: &str) -> Arc<Composed> {
        let catalog = self.registry.catalog();
        catalog.interpret(login, &|_| false).unwrap().profile
    }

    pub(crate) async fn pull(&self, image: &str, login: &str) -> Result<Served, RegistryError> {
        let (name, tag) = image.split_once(':').unwrap();
        let (name, tag) = (name.parse().unwrap(), tag.parse().unwrap());
        let profile = self.profile(login);
        self.registry
            .operator()
            .read(&name)
            .tagged(&tag, &profile, Accepts::Index)
            .await
    }
}

/// The digests that an answer leads to: its own, or those of its entries.
pub(crate) fn leads_to(served: &Served) -> Vec<String> {
    let json: Value = serde_json::from_slice(&served.bytes).unwrap();
    match json["manifests"].as_array() {
        None => vec![served.digest.to_string()],
        Some(entries) => entries
            .iter()
            .map(|entry| entry["digest"].as_str().unwrap().to_owned())
            .collect(),
    }
}
