//! Puts a server together from its parts, for `serve` and `demo` alike.

use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;

use metahub_auth::{Authenticator, SigningKey};
use metahub_catalog::Catalog;
use metahub_registry::Registry;
use metahub_server::{Addresses, Limits, Proxies, PublicUrl, Server};
use metahub_store::Store;
use metahub_upstream::Upstreams;
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::config::Config;

/// The secret of the store that signs tokens, by its name there.
const TOKEN_SECRET: &str = "tokens";

/// A MetaHub that listens nowhere yet.
pub(crate) struct App {
    registry: Registry,
    authenticator: Authenticator,
    public_url: Option<PublicUrl>,
    proxies: Proxies,
    limits: Limits,
    read_only: bool,
}

impl App {
    /// A server over `store` under whatever catalog is in force.
    pub(crate) async fn new(
        store: Store,
        catalog: watch::Receiver<Arc<Catalog>>,
        config: &Config,
    ) -> miette::Result<Self> {
        let upstreams = Upstreams::new(&config.upstreams).into_diagnostic()?;
        let secret = store
            .secret(TOKEN_SECRET)
            .await
            .into_diagnostic()
            .wrap_err("the key that signs tokens cannot be read")?;
        let authenticator = Authenticator::new(
            Arc::new(store.clone()),
            catalog.clone(),
            config.auth.clone(),
            SigningKey::new(secret.expose()),
        );
        let registry = Registry::new(store, upstreams, catalog, config.registry.clone());
        Ok(Self {
            registry,
            authenticator,
            public_url: config.public_url.clone(),
            proxies: config.trust_forwarded.clone(),
            limits: config.limits.clone(),
            read_only: config.read_only,
        })
    }

    pub(crate) fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Serves on `server` until `shutdown` completes, then ends cleanly.
    pub(crate) async fn serve(
        self,
        server: Server,
        shutdown: impl Future<Output = ()>,
    ) -> miette::Result<()> {
        let store = self.registry.store().clone();
        let app = metahub_server::App {
            registry: self.registry,
            authenticator: self.authenticator,
            limits: self.limits,
            read_only: self.read_only,
            addresses: Addresses {
                public_url: self.public_url,
                proxies: self.proxies,
                fallback_host: server.address().to_string(),
            },
        };
        server.run(app, shutdown).await;
        store.close().await;
        Ok(())
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

/// Completes when the process is told to end, by SIGTERM or Ctrl-C.
pub(crate) fn told_to_stop() -> miette::Result<impl Future<Output = ()>> {
    let mut terminate = signal(SignalKind::terminate()).into_diagnostic()?;
    let mut interrupt = signal(SignalKind::interrupt()).into_diagnostic()?;
    Ok(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
    })
}
