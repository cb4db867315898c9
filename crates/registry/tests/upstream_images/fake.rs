//! An upstream registry in this process: what it holds and how it answers look-ups of referrers
//! is the test's to say. It remembers what it was asked for.

use std::collections::HashMap;
use std::sync::Arc;

use metahub_catalog::{Catalog, Composed};
use metahub_oci::{Digest, MediaType};
use metahub_registry::{
    Accepts, CacheSettings, Free, Policy, Registry, RegistryError, Served, Settings,
};
use metahub_store::Store;
use metahub_upstream::{
    AnyHost, RetryPolicy, Timeouts, UpstreamConfig, Upstreams, UpstreamsConfig,
};
use parking_lot::Mutex;
use serde_json::{Value, json};
use std::time::Duration;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

use crate::faults::{self, Fault};

/// The only repository.
pub(crate) const REPOSITORY: &str = "lab/app";
/// The artifact type of image compatibility specifications.
const COMPATIBILITY: &str = "application/vnd.nfd.image-compatibility.v1alpha1";

/// How a look-up of referrers by the API is answered.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Referrers {
    Status(u16),
    /// The connection ends before an answer.
    Close,
    /// Nothing comes.
    Never,
}

struct Script {
    content: HashMap<String, (String, Vec<u8>)>,
    referrers: Referrers,
    asked: Vec<String>,
    /// How requests for a path are answered instead, and how many there were.
    faults: HashMap<String, (Fault, usize)>,
}

/// The upstream. It ends with the test's runtime.
pub(crate) struct Fake {
    port: u16,
    script: Arc<Mutex<Script>>,
}

impl Fake {
    pub(crate) async fn start(referrers: Referrers) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let script = Arc::new(Mutex::new(Script {
            content: HashMap::new(),
            referrers,
            asked: Vec::new(),
            faults: HashMap::new(),
        }));
        let shared = Arc::clone(&script);
        tokio::spawn(async move {
            while let Ok((socket, _)) = listener.accept().await {
                tokio::spawn(connection(socket, Arc::clone(&shared)));
            }
        });
        Self { port, script }
    }

    pub(crate) fn answer_referrers_with(&self, referrers: Referrers) {
        self.script.lock().referrers = referrers;
    }

    /// How many requests so far had `part` in their path, and forgets all.
    pub(crate) fn asked_for(&self, part: &str) -> usize {
        let asked = std::mem::take(&mut self.script.lock().asked);
        asked.iter().filter(|path| path.contains(part)).count()
    }

    /// Answers requests for a blob that was put like this from now on.
    pub(crate) fn answer_blob_with(&self, digest: &Digest, fault: Fault) {
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        self.script.lock().faults.insert(path, (fault, 0));
    }

    fn put(&self, path: String, media_type: &str, bytes: Vec<u8>) {
        let content = (media_type.to_owned(), bytes);
        self.script.lock().content.insert(path, content);
    }

    pub(crate) fn blob(&self, bytes: Vec<u8>, media_type: &str) -> Value {
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let path = format!("/v2/{REPOSITORY}/blobs/{digest}");
        self.put(path, "application/octet-stream", bytes);
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Puts a manifest or an index under its digest and the tags.
    pub(crate) fn document(&self, document: &Value, tags: &[&str]) -> Value {
        let bytes = serde_json::to_vec(document).unwrap();
        let media_type = document["mediaType"].as_str().unwrap();
        let digest = Digest::sha256(&bytes);
        for reference in tags.iter().copied().chain([digest.as_str()]) {
            let path = format!("/v2/{REPOSITORY}/manifests/{reference}");
            self.put(path, media_type, bytes.clone());
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
            url: Some(format!("http://127.0.0.1:{}", self.port).parse().unwrap()),
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

/// Answers requests on one connection, one after the other.
async fn connection(mut socket: TcpStream, script: Arc<Mutex<Script>>) {
    let mut read = Vec::new();
    loop {
        let end = loop {
            if let Some(at) = read.windows(4).position(|four| four == b"\r\n\r\n") {
                break at + 4;
            }
            let mut some = [0; 4096];
            match socket.read(&mut some).await {
                Ok(0) | Err(_) => return,
                Ok(count) => read.extend_from_slice(&some[..count]),
            }
        };
        let head = String::from_utf8_lossy(&read[..end]).into_owned();
        read.drain(..end);
        let mut words = head.split(' ');
        let (method, path) = (words.next().unwrap(), words.next().unwrap());
        let (content, referrers, fault) = {
            let mut script = script.lock();
            script.asked.push(path.to_owned());
            let content = script.content.get(path).cloned();
            let fault = script.faults.get_mut(path).map(|(fault, tried)| {
                // A question costs none of the answers that it is about.
                *tried += usize::from(method != "HEAD");
                (*fault, tried.saturating_sub(1))
            });
            (content, script.referrers, fault)
        };
        if let (Some((_, truth)), Some((fault, tried))) = (&content, fault) {
            let range = range(&head);
            if faults::answer(&mut socket, &fault, tried, method, range, truth).await {
                continue;
            }
            return;
        }
        let (status, media_type, body) = match (content, referrers) {
            (Some((media_type, body)), _) => (200, media_type, body),
            (None, Referrers::Close) if path.contains("/referrers/") => return,
            (None, Referrers::Never) if path.contains("/referrers/") => {
                std::future::pending().await
            }
            (None, Referrers::Status(status)) if path.contains("/referrers/") => {
                (status, "text/plain".to_owned(), b"no".to_vec())
            }
            (None, _) => (404, "text/plain".to_owned(), b"not here".to_vec()),
        };
        let head = format!(
            "HTTP/1.1 {status} Said\r\ncontent-type: {media_type}\r\ncontent-length: {}\r\n\r\n",
            body.len()
        );
        let mut answer = head.into_bytes();
        if method != "HEAD" {
            answer.extend(body);
        }
        if socket.write_all(&answer).await.is_err() {
            return;
        }
    }
}

/// The bytes that a request asks for, if not for all.
fn range(head: &str) -> Option<std::ops::Range<usize>> {
    let line = head.lines().find_map(|line| {
        line.to_ascii_lowercase()
            .strip_prefix("range: bytes=")
            .map(str::to_owned)
    })?;
    let (first, last) = line.split_once('-')?;
    let end = last
        .trim()
        .parse::<usize>()
        .map_or(usize::MAX, |last| last + 1);
    Some(first.parse().ok()?..end)
}
