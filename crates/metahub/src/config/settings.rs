//! The settings of a server, complete and well-formed.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::time::Duration;

use metahub_auth::{AuthConfig, NodesConfig};
use metahub_hardware::Extension;
use metahub_limits::DocumentBudget;
use metahub_registry::{Free, InspectionMode, Settings};
use metahub_server::{Limits, MetricsAccess, Proxies, PublicUrl, SendBlobs};
use metahub_upstream::UpstreamsConfig;

use super::catalog::CatalogEntry;
use super::warm::WarmConfig;
use super::yaml::ConfigError;

/// How much of the disk the cache leaves free by default.
const KEEP_FREE: Free = Free::Percent(10);

/// Complete and well-formed settings. Whether a file or an address exists is found out where it is
/// used.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) tls: TlsSettings,
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) trust_forwarded: Proxies,
    pub(crate) catalog: Vec<CatalogEntry>,
    pub(crate) signing: SigningSettings,
    pub(crate) reload_interval: Duration,
    pub(crate) hardware: Extension,
    pub(crate) auth: AuthConfig,
    pub(crate) nodes: NodesConfig,
    pub(crate) metrics: MetricsAccess,
    pub(crate) limits: Limits,
    pub(crate) upload_idle: Duration,
    /// Memory for manifests and indexes at work, in bytes.
    pub(crate) documents: u64,
    pub(crate) upkeep: Upkeep,
    pub(crate) read_only: bool,
    pub(crate) send_blobs: SendBlobs,
    pub(crate) registry: Settings,
    pub(crate) upstreams: UpstreamsConfig,
    pub(crate) warm: Vec<WarmConfig>,
}

/// Settings of TLS. A certificate and a key need each other.
#[derive(Clone, Debug, Default)]
pub(crate) struct TlsSettings {
    pub(super) certificate: Option<PathBuf>,
    pub(super) key: Option<PathBuf>,
    pub(super) client_authorities: Option<PathBuf>,
}

/// With which key derived manifests are signed.
#[derive(Clone, Debug, Default)]
pub(crate) struct SigningSettings {
    pub(crate) key: Option<PathBuf>,
    pub(crate) password_file: Option<PathBuf>,
}

impl SigningSettings {
    pub(super) fn check(&self) -> Result<(), ConfigError> {
        if self.password_file.is_some() && self.key.is_none() {
            return Err(ConfigError::Alone("signing.password_file", "signing.key"));
        }
        Ok(())
    }
}

/// Where a certificate chain, its private key and the authorities of clients are, all PEM.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_authorities: Option<PathBuf>,
}

impl TlsSettings {
    /// The files, if TLS is to be spoken.
    pub(crate) fn files(&self) -> Option<TlsFiles> {
        Some(TlsFiles {
            certificate: self.certificate.clone()?,
            key: self.key.clone()?,
            client_authorities: self.client_authorities.clone(),
        })
    }

    pub(super) fn check(&self) -> Result<(), ConfigError> {
        match (&self.certificate, &self.key, &self.client_authorities) {
            (Some(_), None, _) => Err(ConfigError::Alone("tls.certificate", "tls.key")),
            (None, Some(_), _) => Err(ConfigError::Alone("tls.key", "tls.certificate")),
            (None, None, Some(_)) => Err(ConfigError::Alone(
                "tls.client_authorities",
                "tls.certificate",
            )),
            _ => Ok(()),
        }
    }
}

/// The schedule of upkeep. An interval of zero means never.
#[derive(Clone, Debug)]
pub(crate) struct Upkeep {
    pub(crate) gc_every: Duration,
    pub(crate) gc_grace: Duration,
    pub(crate) scrub_every: Duration,
    /// Bytes a second at most.
    pub(crate) scrub_rate: u64,
}

impl Default for Upkeep {
    fn default() -> Self {
        Self {
            gc_every: Duration::from_hours(24),
            gc_grace: Duration::from_hours(24),
            scrub_every: Duration::ZERO,
            scrub_rate: 32 * 1024 * 1024,
        }
    }
}

impl Config {
    /// Names of certificates need client authorities.
    pub(super) fn check_nodes(&self) -> Result<(), ConfigError> {
        if !self.nodes.certificate.is_empty() && self.tls.client_authorities.is_none() {
            return Err(ConfigError::Alone(
                "nodes.certificate",
                "tls.client_authorities",
            ));
        }
        Ok(())
    }
}

impl Default for Config {
    fn default() -> Self {
        let mut registry = Settings::default();
        registry.cache.keep_free = KEEP_FREE;
        registry.inspection.mode = InspectionMode::Warn;
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000),
            data: PathBuf::from("metahub-data"),
            tls: TlsSettings::default(),
            public_url: None,
            trust_forwarded: Proxies::None,
            catalog: Vec::new(),
            signing: SigningSettings::default(),
            reload_interval: Duration::from_secs(2),
            hardware: Extension::default(),
            auth: AuthConfig::default(),
            nodes: NodesConfig::default(),
            metrics: MetricsAccess::default(),
            limits: Limits::default(),
            upload_idle: Duration::from_hours(24),
            documents: DocumentBudget::DEFAULT,
            upkeep: Upkeep::default(),
            read_only: false,
            send_blobs: SendBlobs::default(),
            registry,
            upstreams: UpstreamsConfig::default(),
            warm: Vec::new(),
        }
    }
}
