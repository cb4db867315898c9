//! The server: on the loopback, with a temporary store and the accounts alice (pusher), bob
//! (reader), carol (pusher) and root (admin).

use std::sync::Arc;
use std::time::Duration;

use metahub_auth::{
    Accounts, AnonymousAccess, AuthConfig, Authenticator, MemoryAccounts, Nodes, NodesConfig,
    Password, Role, SigningKey,
};
use metahub_catalog::Catalog;
use metahub_registry::{CacheSettings, Free, Registry, Settings};
use metahub_server::{
    Addresses, App, FollowedCatalogs, Limits, MetricsAccess, Proxies, SendBlobs, Server,
};
use metahub_store::Store;
use metahub_testkit::http::{Answer, Call, call};
use metahub_testkit::runtime;
use metahub_upstream::{AnyHost, Logins, UpstreamConfig, Upstreams, UpstreamsConfig};
use tokio::sync::watch;

/// The media types of manifests, as clients ask for them.
const ACCEPT: &str = "application/vnd.oci.image.index.v1+json, \
     application/vnd.oci.image.manifest.v1+json";

pub(crate) const ACCOUNTS: [(&str, Role); 4] = [
    ("alice", Role::Pusher),
    ("bob", Role::Reader),
    ("carol", Role::Pusher),
    ("root", Role::Admin),
];

/// How a site differs from the default.
#[derive(Default)]
pub(crate) struct With {
    pub(crate) anonymous: AnonymousAccess,
    pub(crate) read_only: bool,
    pub(crate) metrics: MetricsAccess,
    pub(crate) upstreams: Vec<UpstreamConfig>,
    /// Who accounts are at upstreams.
    pub(crate) logins: Option<Logins>,
    /// In which ways nodes prove who they are.
    pub(crate) nodes: NodesConfig,
}

pub(crate) struct Site {
    host: String,
    catalog: watch::Sender<Arc<Catalog>>,
    pub(crate) store: Store,
    pub(crate) nodes: Nodes,
}

impl Site {
    pub(crate) fn start(with: With) -> Self {
        runtime().block_on(Self::begin(with))
    }

    async fn begin(with: With) -> Self {
        let accounts = Arc::new(MemoryAccounts::default());
        for (name, role) in ACCOUNTS {
            let adding = Accounts::new(accounts.clone());
            let password = Password::new(password_of(name));
            let name = name.parse().unwrap();
            adding.add(&name, role, Some(password)).await.unwrap();
        }
        let catalog = watch::Sender::new(Arc::new(Catalog::builtin()));
        let upstreams = Upstreams::new(&UpstreamsConfig {
            upstreams: with.upstreams,
            allow_any_host: AnyHost::None,
            ..UpstreamsConfig::default()
        });
        let settings = Settings {
            logins: with.logins,
            // The disk that tests run on may be full by the measure of a server.
            cache: CacheSettings {
                keep_free: Free::Percent(0),
                ..CacheSettings::default()
            },
            ..Settings::default()
        };
        let store = Store::temporary().await.unwrap();
        let nodes = Nodes::new(store.clone(), with.nodes).unwrap();
        let registry = Registry::new(
            store.clone(),
            upstreams.unwrap(),
            catalog.subscribe(),
            settings,
        );
        let config = AuthConfig {
            anonymous: with.anonymous,
            // A change counts at once.
            recheck: Duration::ZERO,
            ..AuthConfig::default()
        };
        let key = SigningKey::new(&[1; 32]);
        let server = Server::bind("127.0.0.1:0".parse().unwrap()).await.unwrap();
        let host = server.address().to_string();
        let app = App {
            registry,
            curation: None,
            authenticator: Authenticator::new(accounts, catalog.subscribe(), config, key)
                .with_nodes(Some(nodes.clone())),
            addresses: Addresses {
                public_url: None,
                proxies: Proxies::None,
                fallback_host: host.clone(),
            },
            limits: Limits::default(),
            read_only: with.read_only,
            send_blobs: SendBlobs::default(),
            followed: FollowedCatalogs::default(),
            metrics: with.metrics,
        };
        tokio::spawn(server.run(app, std::future::pending()));
        Self {
            host,
            catalog,
            store,
            nodes,
        }
    }

    /// From now on these documents are in force.
    pub(crate) fn documents(&self, text: &str) {
        let loaded = Catalog::from_documents(&[("documents.yaml", text)]);
        assert!(!loaded.has_errors(), "{text}: {:?}", loaded.problems);
        self.catalog.send_replace(Arc::new(loaded.catalog));
    }

    /// A request by `user`, with any user name, such as `alice/zen3`.
    pub(crate) fn call_as(&self, user: &str, password: &str, path: &str) -> Call {
        self.ask_as("GET", user, password, path)
    }

    /// The same with another method.
    pub(crate) fn ask_as(&self, method: &str, user: &str, password: &str, path: &str) -> Call {
        let call = call(&self.host, method, path).header("Accept", ACCEPT);
        call.login(Some((user, password)))
    }

    /// A request of `who`: an account, `wrong` for one with a wrong password, or nobody.
    pub(crate) fn call(&self, who: &str, method: &str, path: &str) -> Call {
        let call = call(&self.host, method, path).header("Accept", ACCEPT);
        match who {
            "" => call,
            "wrong" => call.login(Some(("alice", "not her password"))),
            account => call.login(Some((account, &password_of(account)))),
        }
    }

    pub(crate) fn get(&self, who: &str, path: &str) -> Answer {
        self.call(who, "GET", path).send()
    }

    /// Pushes an image of one layer as root; the digests of its manifest and its layer.
    pub(crate) fn push(&self, name: &str, tag: &str, layer: &str) -> (String, String) {
        let blob = |bytes: &str| {
            let digest = metahub_testkit::http::digest_of(bytes.as_bytes());
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            let pushing = self.call("root", "POST", &path).body(bytes);
            let _ = pushing.send().expect(201);
            digest
        };
        let layer_digest = blob(layer);
        let config = format!(
            r#"{{"architecture":"amd64","os":"linux","rootfs":{{"type":"layers","diff_ids":["{layer_digest}"]}}}}"#
        );
        let config_digest = blob(&config);
        let manifest = format!(
            r#"{{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","config":{{"mediaType":"application/vnd.oci.image.config.v1+json","digest":"{config_digest}","size":{}}},"layers":[{{"mediaType":"application/vnd.oci.image.layer.v1.tar","digest":"{layer_digest}","size":{}}}]}}"#,
            config.len(),
            layer.len()
        );
        let answer = self
            .call("root", "PUT", &format!("/v2/{name}/manifests/{tag}"))
            .header("Content-Type", "application/vnd.oci.image.manifest.v1+json")
            .body(manifest.as_bytes())
            .send()
            .expect(201);
        let digest = answer.header("docker-content-digest").to_owned();
        (digest, layer_digest)
    }
}

pub(crate) fn password_of(account: &str) -> String {
    format!("{account} password")
}

/// Status and code of an answer: `200`, `404 MANIFEST_UNKNOWN`.
pub(crate) fn told(answer: &Answer) -> String {
    let body: serde_json::Value = serde_json::from_slice(&answer.body).unwrap_or_default();
    match body["errors"][0]["code"].as_str() {
        Some(code) => format!("{} {code}", answer.status),
        None => answer.status.to_string(),
    }
}
