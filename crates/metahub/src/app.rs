//! Assembles a server from its parts, for `serve` and `demo` alike.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use metahub_auth::{Authenticator, Nodes, ProfilesBy, SigningKey, SlurmKeys};
use metahub_catalog::Catalog;
use metahub_limits::DocumentBudget;
use metahub_operations::Curation;
use metahub_registry::{DemandSettings, Registry, Settings};
use metahub_server::{
    Addresses, FollowedCatalogs, Limits, MetricsAccess, Proxies, PublicUrl, SendBlobs, Server,
};
use metahub_store::{Redacted, Store};
use metahub_upstream::{Logins, Upstreams};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use tokio::sync::watch;

use crate::config::Config;
use crate::exit::Exit;
use crate::keys;

/// The secret of the store that signs tokens, by its name there.
const TOKEN_SECRET: &str = "tokens";

/// The secret of the store for hashing nodes' names in demand records.
const DEMAND_SECRET: &str = "demand";

/// The time for closing the store at an immediate shutdown.
const CLOSING: Duration = Duration::from_secs(1);

/// Most names that are listed for one prefix.
const MOST_SHADOWED: usize = 20;

/// The folder of accounts' logins at upstreams, in the data folder.
const LOGINS: &str = "upstream-logins";

/// The accounts' logins at upstreams, of a data folder.
pub(crate) fn logins(config: &Config) -> Logins {
    Logins::new(config.data.join(LOGINS))
}

/// A MetaHub that does not listen yet.
pub(crate) struct App {
    registry: Registry,
    curation: Option<Curation>,
    authenticator: Authenticator,
    public_url: Option<PublicUrl>,
    proxies: Proxies,
    limits: Limits,
    read_only: bool,
    send_blobs: SendBlobs,
    metrics: MetricsAccess,
    followed: FollowedCatalogs,
}

impl App {
    /// A server over `store` with the current catalog.
    pub(crate) async fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        config: &Config,
    ) -> miette::Result<Self> {
        let documents = DocumentBudget::new(config.documents);
        let upstreams =
            Upstreams::within(&config.upstreams, documents.clone()).into_diagnostic()?;
        let secret = secret_of(&store, TOKEN_SECRET).await?;
        check_profiles(&config.auth.profiles_by, &catalog.borrow())?;
        let authenticator = Authenticator::new(
            Arc::new(store.clone()),
            catalog.clone(),
            config.auth.clone(),
            SigningKey::new(secret.expose()),
        )
        .with_nodes(nodes(&store, config)?);
        let demand = DemandSettings {
            secret: Some(secret_of(&store, DEMAND_SECRET).await?),
            ..config.registry.demand.clone()
        };
        let settings = Settings {
            demand,
            logins: Some(logins(config)),
            documents,
            signer: keys::signer(&config.signing)?,
            ..config.registry.clone()
        };
        let registry = Registry::new(store, upstreams, catalog, settings);
        tell_shadowed(&config.auth.profiles_by, &registry).await;
        Ok(Self {
            registry,
            curation: None,
            authenticator,
            public_url: config.public_url.clone(),
            proxies: config.trust_forwarded.clone(),
            limits: config.limits.clone(),
            read_only: config.read_only,
            send_blobs: config.send_blobs,
            metrics: config.metrics,
            followed: FollowedCatalogs::default(),
        })
    }

    /// The same with documents that clients may change.
    pub(crate) fn with_curation(self, curation: Curation) -> Self {
        Self {
            curation: Some(curation),
            ..self
        }
    }

    /// The same, with metrics of the catalogs that it follows.
    pub(crate) fn following(mut self, followed: FollowedCatalogs) -> Self {
        self.followed = followed;
        self
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Serves on `server` until `stop` completes, then drains running requests, unless `at_once`
    /// completes.
    pub(crate) async fn serve(
        self,
        server: Server,
        stop: impl Future<Output = ()>,
        at_once: impl Future<Output = ()>,
    ) -> Exit {
        let (registry, store) = (self.registry.clone(), self.registry.store().clone());
        let nodes = self.authenticator.nodes().cloned();
        let app = metahub_server::App {
            registry: self.registry,
            curation: self.curation,
            authenticator: self.authenticator,
            limits: self.limits,
            read_only: self.read_only,
            send_blobs: self.send_blobs,
            metrics: self.metrics,
            followed: self.followed,
            addresses: Addresses {
                public_url: self.public_url,
                proxies: self.proxies,
                fallback_host: server.address().to_string(),
            },
        };
        tokio::select! {
            () = server.run(app, stop) => {
                if let Some(nodes) = nodes {
                    nodes.write().await;
                }
                if let Err(error) = registry.write_demand().await {
                    tracing::warn!(%error, "what machines got last is not recorded");
                }
                store.close().await;
                Exit::Ok
            }
            () = at_once => {
                tracing::warn!("asked again to shut down: requests that still ran were cut off");
                // Nothing is lost if it takes longer: what was acknowledged is on disk.
                let _ = tokio::time::timeout(CLOSING, store.close()).await;
                Exit::Failure
            }
        }
    }
}

/// The nodes that prove their identity, if any way is configured.
fn nodes(store: &Store, config: &Config) -> miette::Result<Option<Nodes>> {
    if !config.nodes.is_on() {
        return Ok(None);
    }
    if let Some(slurm) = &config.nodes.slurm_jwt
        && let SlurmKeys::Shared(file) = &slurm.keys
    {
        tracing::warn!(
            file = %file.display(),
            "nodes prove themselves by Slurm's shared key: anyone who has it can make tokens for \
             anybody, this server included. A set of public keys (nodes.slurm_jwt.jwks_file) cannot"
        );
    }
    let nodes = Nodes::new(store.clone(), config.nodes.clone());
    let nodes = nodes
        .into_diagnostic()
        .wrap_err("the keys of nodes.slurm_jwt cannot be used")?;
    tokio::spawn(nodes.clone().keep());
    Ok(Some(nodes))
}

/// A secret of the store, made on first use.
async fn secret_of(store: &Store, name: &str) -> miette::Result<Redacted<[u8; 32]>> {
    let secret = store.secret(name).await.into_diagnostic();
    secret.wrap_err_with(|| format!("the secret of the store for {name} cannot be read"))
}

/// Refuses a configuration with invalid logins for requests.
fn check_profiles(profiles: &ProfilesBy, catalog: &Catalog) -> miette::Result<()> {
    let wrong = profiles.unreadable(catalog);
    if wrong.is_empty() {
        return Ok(());
    }
    let wrong: Vec<String> = wrong.iter().map(ToString::to_string).collect();
    Err(miette!(
        help = "each is a login without an account, such as zen4+cuda=12.4",
        "{}",
        wrong.join("\n")
    ))
}

/// Warns about local names below a prefix that chooses a profile: they keep their meaning, while
/// others below it mean something else.
async fn tell_shadowed(profiles: &ProfilesBy, registry: &Registry) {
    for prefix in profiles.path.keys() {
        match registry.names_below(prefix, MOST_SHADOWED).await {
            Ok(names) => {
                for name in names {
                    tracing::warn!(
                        repository = %name, %prefix,
                        "this name is held here, so it is not taken for one below a prefix that \
                         chooses a profile (profiles_by.path)"
                    );
                }
            }
            Err(error) => tracing::warn!(%prefix, %error, "names below it cannot be listed"),
        }
    }
}

/// Binds an address.
pub(crate) async fn bind(address: SocketAddr) -> miette::Result<Server> {
    Server::bind(address).await.map_err(|error| {
        miette!(
            help = "choose another address with --listen; port 0 takes a free one",
            "cannot listen on {address}: {error}"
        )
    })
}
