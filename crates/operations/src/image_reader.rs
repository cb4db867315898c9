//! A private, temporary registry in this process, for operations that read images without a server:
//! what it fetches is stored in a temporary folder and removed at the end. It serves no client.

use std::sync::Arc;

use metahub_catalog::Catalog;
use metahub_oci::Host;
use metahub_registry::{Free, InspectionMode, Registry, Settings};
use metahub_store::Store;
use metahub_upstream::{UpstreamConfig, Upstreams, UpstreamsConfig};
use tokio::sync::watch;
use url::Url;

use crate::error::OperationError;

/// How images are read.
#[derive(Clone, Debug)]
pub struct ImageReader {
    /// The upstreams.
    pub upstreams: UpstreamsConfig,
    /// The settings of a server with this configuration.
    pub settings: Settings,
    /// A running MetaHub, which is asked first for names without a host: they may have been
    /// pushed there.
    pub server: Option<Url>,
}

impl ImageReader {
    /// The registries, as a server with this configuration reads them.
    pub(crate) fn upstreams(&self) -> Result<Upstreams, OperationError> {
        let mut upstreams = self.upstreams.clone();
        if let Some(server) = &self.server {
            upstreams.upstreams.insert(0, upstream(server)?);
        }
        Ok(Upstreams::new(&upstreams)?)
    }

    /// A registry that reads images as a server with these documents would.
    pub(crate) async fn open(&self, catalog: Catalog) -> Result<Registry, OperationError> {
        let upstreams = self.upstreams()?;
        let store = Store::temporary()
            .await
            .map_err(OperationError::NoTemporaryFolder)?;
        let catalog = watch::Sender::new(Arc::new(catalog)).subscribe();
        let mut settings = self.settings.clone();
        // The content is small and temporary: it fits even where a server would fetch no more.
        settings.cache.keep_free = Free::Bytes(0);
        // Only a server inspects code in the background.
        settings.inspection.mode = InspectionMode::TrustLabels;
        Ok(Registry::new(store, upstreams, catalog, settings))
    }
}

fn upstream(server: &Url) -> Result<UpstreamConfig, OperationError> {
    let host: Host = server
        .host_str()
        .map(|host| match server.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        })
        .and_then(|host| host.parse().ok())
        .ok_or_else(|| OperationError::NoHost(server.clone()))?;
    Ok(UpstreamConfig {
        url: Some(server.clone()),
        default: true,
        plain_http: server.scheme() == "http",
        allow_private: true,
        ..UpstreamConfig::new(host)
    })
}
