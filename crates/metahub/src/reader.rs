//! A registry of this process's own, for commands that read images without a server: what it
//! fetches is kept in a temporary folder and gone at the end. It serves nobody.

use std::sync::Arc;

use metahub_catalog::Catalog;
use metahub_oci::Host;
use metahub_registry::Registry;
use metahub_store::Store;
use metahub_upstream::{UpstreamConfig, Upstreams};
use miette::{IntoDiagnostic as _, WrapErr as _, miette};
use tokio::sync::watch;
use url::Url;

use crate::config::Config;

/// Reads images as a server with this configuration would. `server`, a running MetaHub, is asked
/// first for names without a host, which may have been pushed there.
pub(crate) async fn registry(
    config: &Config,
    catalog: Catalog,
    server: Option<&Url>,
) -> miette::Result<Registry> {
    let mut upstreams = config.upstreams.clone();
    if let Some(server) = server {
        upstreams.upstreams.insert(0, upstream(server)?);
    }
    let upstreams = Upstreams::new(&upstreams).into_diagnostic()?;
    let store = Store::temporary()
        .await
        .into_diagnostic()
        .wrap_err("no temporary folder can be made")?;
    let catalog = watch::Sender::new(Arc::new(catalog)).subscribe();
    let settings = config.registry.clone();
    Ok(Registry::new(store, upstreams, catalog, settings))
}

fn upstream(server: &Url) -> miette::Result<UpstreamConfig> {
    let host: Host = server
        .host_str()
        .map(|host| match server.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
        .and_then(|host| host.parse().ok())
        .ok_or_else(|| miette!("{server} names no host: expected http://HOST or https://HOST"))?;
    Ok(UpstreamConfig {
        url: Some(server.clone()),
        default: true,
        plain_http: server.scheme() == "http",
        allow_private: true,
        ..UpstreamConfig::new(host)
    })
}
