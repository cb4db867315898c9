//! A registry whose content is in a folder, and what tests put into it.

use super::*;

pub(crate) const PROFILES: &str = "
profiles:
  - {name: one, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/one, repository: 'lab/.*'}}]}
  - {name: two, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/two, repository: 'lab/.*'}}]}
  - {name: three, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/three, repository: 'lab/.*'}}]}
  - {name: four, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/four, repository: 'lab/.*'}}]}
  - {name: absent, actions: [{name: manifest-add, event: post-manifest-get, args: {layerRepository: lab/absent, repository: 'lab/.*'}}]}
";

pub(crate) fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

pub(crate) struct World {
    pub(crate) registry: Registry,
    pub(crate) catalog: Arc<Catalog>,
    documents: watch::Sender<Arc<Catalog>>,
}

impl World {
    pub(crate) async fn new() -> Self {
        Self::with(Store::temporary().await.unwrap(), Settings::default()).await
    }

    pub(crate) async fn with(store: Store, settings: Settings) -> Self {
        Self::of(store, settings, PROFILES)
    }

    pub(crate) async fn of_documents(documents: &str) -> Self {
        let store = Store::temporary().await.unwrap();
        Self::of(store, Settings::default(), documents)
    }

    pub(crate) fn of(store: Store, settings: Settings, documents: &str) -> Self {
        let loaded = Catalog::from_documents(&[("lab.yaml", documents)]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        let catalog = Arc::new(loaded.catalog);
        let (sender, receiver) = watch::channel(Arc::clone(&catalog));
        let alone = UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        };
        let upstreams = Upstreams::new(&alone).unwrap();
        let registry = Registry::new(store, upstreams, receiver, settings);
        Self {
            registry,
            catalog,
            documents: sender,
        }
    }

    /// Other documents take effect.
    pub(crate) fn now_reads(&mut self, documents: &str) {
        let loaded = Catalog::from_documents(&[("lab.yaml", documents)]);
        assert!(loaded.problems.is_empty(), "{:?}", loaded.problems);
        self.catalog = Arc::new(loaded.catalog);
        self.documents.send_replace(Arc::clone(&self.catalog));
    }

    /// The image, an index of several builds, and layer images.
    pub(crate) async fn filled(self) -> Self {
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

    pub(crate) async fn blob(&self, repository: &str, bytes: Vec<u8>) -> (Digest, usize) {
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let store = self.registry.store();
        store
            .put_blob(&name(repository), &digest, bytes.into())
            .await
            .unwrap();
        (digest, size)
    }

    pub(crate) async fn push(
        &self,
        repository: &str,
        tag: &str,
        document: &Value,
    ) -> (Digest, usize) {
        let bytes = Bytes::from(document.to_string());
        let size = bytes.len();
        let tag: Tag = tag.parse().unwrap();
        let (repository, reference) = (name(repository), tag.into());
        let repository = self.registry.operator().push(&repository).unwrap();
        let pushed = repository.push_manifest(&reference, None, bytes, vec![]);
        (pushed.await.unwrap().digest, size)
    }

    pub(crate) async fn image(
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

    /// A single image with the label `site`.
    pub(crate) async fn labelled(&self, repository: &str, site: &str) -> Digest {
        let layer = self.blob(repository, site.as_bytes().to_vec()).await;
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": {"site": site}},
            "rootfs": {"type": "layers", "diff_ids": [layer.0.as_str()]}
        });
        let config = self.blob(repository, config.to_string().into_bytes()).await;
        let manifest = manifest(
            MediaType::OCI_CONFIG,
            &config,
            MediaType::OCI_LAYER_GZIP,
            &layer,
        );
        self.push(repository, "latest", &manifest).await.0
    }

    pub(crate) async fn index(&self, repository: &str, tag: &str, entries: Vec<Value>) -> Digest {
        let index =
            json!({"schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries});
        self.push(repository, tag, &index).await.0
    }

    pub(crate) async fn pull_as(
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

    pub(crate) async fn pull(&self, login: &str, image: &str) -> Served {
        self.pull_as(login, image, Accepts::Index).await.unwrap()
    }
}

pub(crate) fn manifest(
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

pub(crate) fn is_index(served: &Served) -> bool {
    served.media_type.is_index()
}
