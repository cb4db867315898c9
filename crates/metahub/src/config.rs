//! The settings of a server: defaults, then the configuration file, then environment variables,
//! then flags. Every key of the file has a variable `METAHUB_KEY`. An unknown key, a key given
//! twice and a wrong type are errors with file, line and column. No setting is a secret itself.
//! A key within another, such as `tls: {key: …}`, has the variable `METAHUB_TLS_KEY`.

mod environment;
mod layer;
mod values;
mod warm;
mod yaml;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use metahub_auth::AuthConfig;
use metahub_hardware::{Extension, ExtensionError, Microarchitectures};
use metahub_limits::DocumentBudget;
use metahub_registry::{Free, Settings};
use metahub_server::{Limits, MetricsAccess, Proxies, PublicUrl, SendBlobs};
use metahub_upstream::UpstreamsConfig;

use self::environment::Environment;
pub(crate) use self::layer::Layer;
use self::layer::{CacheLayer, GcLayer, LimitsLayer, ScrubLayer, TlsLayer};
pub(crate) use self::values::Time;
use self::values::UpstreamList;
pub(crate) use self::warm::WarmConfig;
pub(crate) use self::yaml::ConfigError;

/// Settings that are complete and well-formed. Whether a file or an address exists is found out
/// by whoever uses it.
#[derive(Clone, Debug)]
pub(crate) struct Config {
    pub(crate) listen: SocketAddr,
    pub(crate) data: PathBuf,
    pub(crate) tls: Option<TlsFiles>,
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) trust_forwarded: Proxies,
    pub(crate) catalog: Vec<PathBuf>,
    pub(crate) reload_interval: Duration,
    pub(crate) hardware: Extension,
    pub(crate) auth: AuthConfig,
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

/// Where a certificate chain, its private key and the authorities of clients are, all PEM.
#[derive(Clone, Debug)]
pub(crate) struct TlsFiles {
    pub(crate) certificate: PathBuf,
    pub(crate) key: PathBuf,
    pub(crate) client_authorities: Option<PathBuf>,
}

/// When the server looks after its content by itself. An interval of zero is never.
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

impl Default for Config {
    fn default() -> Self {
        let mut registry = Settings::default();
        registry.cache.keep_free = KEEP_FREE;
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 5000),
            data: PathBuf::from("metahub-data"),
            tls: None,
            public_url: None,
            trust_forwarded: Proxies::None,
            catalog: Vec::new(),
            reload_interval: Duration::from_secs(2),
            hardware: Extension::default(),
            auth: AuthConfig::default(),
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

impl Config {
    /// Joins all layers. `file` is what `--config` says; the environment is asked if it says
    /// nothing.
    pub(crate) fn load(
        file: Option<&Path>,
        environment: Environment<'_>,
        flags: Layer,
    ) -> Result<Self, ConfigError> {
        let named = environment("METAHUB_CONFIG").filter(|name| !name.is_empty());
        let file = file.map(Path::to_path_buf).or(named.map(PathBuf::from));
        let mut layers = Vec::new();
        if let Some(file) = file {
            layers.push(Layer::read(&file)?);
        }
        layers.push(Layer::from_environment(environment)?);
        layers.push(flags);
        Self::of(layers)
    }

    /// The defaults with each layer over them, the last one on top.
    fn of(layers: Vec<Layer>) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        // Two keys that mean nothing one without the other, and may come from two layers.
        let mut tls = TlsLayer::default();
        let mut cache = CacheLayer::default();
        for mut layer in layers {
            tls.certificate = layer.tls.certificate.take().or(tls.certificate);
            tls.key = layer.tls.key.take().or(tls.key);
            let authorities = layer.tls.client_authorities.take();
            tls.client_authorities = authorities.or(tls.client_authorities);
            let over = std::mem::take(&mut layer.cache);
            cache.size = over.size.or(cache.size);
            cache.keep_free = over.keep_free.or(cache.keep_free);
            cache.largest_blob = over.largest_blob.or(cache.largest_blob);
            cache.anonymous_share = over.anonymous_share.or(cache.anonymous_share);
            cache.pinned = over.pinned.or(cache.pinned);
            cache.spare = over.spare.or(cache.spare);
            cache.derived = over.derived.or(cache.derived);
            config.apply(layer);
        }
        config.bound(cache);
        config.tls = match (tls.certificate, tls.key) {
            (Some(certificate), Some(key)) => Some(TlsFiles {
                certificate,
                key,
                client_authorities: tls.client_authorities,
            }),
            (None, None) if tls.client_authorities.is_some() => {
                return Err(ConfigError::Alone(
                    "tls.client_authorities",
                    "tls.certificate",
                ));
            }
            (None, None) => None,
            (Some(_), None) => return Err(ConfigError::Alone("tls.certificate", "tls.key")),
            (None, Some(_)) => return Err(ConfigError::Alone("tls.key", "tls.certificate")),
        };
        Ok(config)
    }

    /// The CPU targets that this site knows: archspec's and its own.
    pub(crate) fn graph(&self) -> Result<Arc<Microarchitectures>, ExtensionError> {
        let builtin = Microarchitectures::builtin();
        if self.hardware == Extension::default() {
            return Ok(builtin);
        }
        builtin.extend(&self.hardware).map(Arc::new)
    }

    /// Bounds of what is kept. Offline there are none: what went could not be fetched again.
    fn bound(&mut self, cache: CacheLayer) {
        if let Some(pinned) = cache.pinned {
            self.registry.cache.pinned = pinned;
        }
        set(
            &mut self.registry.cache.spare,
            cache.spare.map(Time::duration),
        );
        let bounds = &mut self.registry.cache;
        set(&mut bounds.keep_free, cache.keep_free);
        set(
            &mut bounds.largest_blob,
            cache.largest_blob.map(|size| size.0),
        );
        set(
            &mut bounds.anonymous_share,
            cache.anonymous_share.map(|percent| percent.0),
        );
        set(&mut bounds.derived, cache.derived.map(|size| size.0));
        if self.upstreams.offline {
            bounds.keep_free = Free::Bytes(0);
            return;
        }
        self.registry.cache.size = cache.size.map(|size| size.0);
        let sized = self.upstreams.upstreams.iter();
        self.registry.cache.sizes = sized
            .filter_map(|one| Some((one.host.clone(), one.cache_size?)))
            .collect();
    }

    fn apply(&mut self, layer: Layer) {
        set(&mut self.listen, layer.listen);
        set(&mut self.data, layer.data);
        self.public_url = layer.public_url.or(self.public_url.take());
        set(&mut self.trust_forwarded, layer.trust_forwarded);
        set(&mut self.catalog, layer.catalog);
        set(
            &mut self.reload_interval,
            layer.reload_interval.map(Time::duration),
        );
        set(&mut self.hardware, layer.hardware);
        set(&mut self.auth.anonymous, layer.anonymous);
        set(&mut self.auth.profile_password, layer.profile_password);
        set(&mut self.auth.profile_header, layer.profile_header);
        set(&mut self.auth.profiles_by, layer.profiles_by);
        set(
            &mut self.auth.token_lifetime,
            layer.token_lifetime.map(Time::duration),
        );
        set(&mut self.metrics, layer.metrics);
        self.apply_limits(&layer.limits);
        self.upkeep.apply(&layer.gc, &layer.scrub);
        set(&mut self.read_only, layer.read_only);
        set(&mut self.send_blobs, layer.send_blobs);
        set(&mut self.registry.delete, layer.delete);
        set(&mut self.registry.immutable_tags, layer.immutable_tags);
        set(&mut self.registry.sparse, layer.sparse);
        set(
            &mut self.registry.tag_lifetime,
            layer.tag_lifetime.map(Time::duration),
        );
        set(&mut self.registry.local, layer.local);
        let policy = &mut self.registry.policy;
        set(&mut policy.unstated, layer.unstated);
        set(&mut policy.unknown, layer.unknown_requirements);
        set(
            &mut self.upstreams.upstreams,
            layer.upstreams.map(UpstreamList::into_upstreams),
        );
        set(&mut self.upstreams.allow_any_host, layer.allow_any_host);
        set(&mut self.upstreams.proxied_private, layer.proxied_private);
        set(&mut self.upstreams.offline, layer.offline);
        set(&mut self.warm, layer.warm);
    }

    fn apply_limits(&mut self, layer: &LimitsLayer) {
        let limits = &mut self.limits;
        set(&mut limits.connections, layer.connections.map(|n| n.0));
        set(&mut limits.requests, layer.requests.map(|n| n.0));
        let per_client = layer.requests_per_client.map(|n| n.0);
        set(&mut limits.requests_per_client, per_client);
        set(&mut self.documents, layer.documents.map(|size| size.0));
        set(
            &mut limits.header_timeout,
            layer.header_timeout.map(Time::duration),
        );
        set(
            &mut limits.idle_timeout,
            layer.idle_timeout.map(Time::duration),
        );
        set(
            &mut limits.stall_timeout,
            layer.stall_timeout.map(Time::duration),
        );
        set(
            &mut limits.drain_timeout,
            layer.drain_timeout.map(Time::duration),
        );
        set(&mut limits.manifest_size, layer.manifest_size.map(|n| n.0));
        set(&mut limits.name_length, layer.name_length.map(|n| n.0));
        set(&mut limits.page_size, layer.page_size.map(|n| n.0));
        set(&mut self.upload_idle, layer.upload_idle.map(Time::duration));
    }
}

impl Upkeep {
    fn apply(&mut self, gc: &GcLayer, scrub: &ScrubLayer) {
        set(&mut self.gc_every, gc.every.map(Time::duration));
        set(&mut self.gc_grace, gc.grace.map(Time::duration));
        set(&mut self.scrub_every, scrub.every.map(Time::duration));
        set(&mut self.scrub_rate, scrub.rate.map(|rate| rate.0));
    }
}

fn set<T>(setting: &mut T, value: Option<T>) {
    if let Some(value) = value {
        *setting = value;
    }
}

#[cfg(test)]
mod tests;

/// What of the disk the cache leaves free where nothing is said.
const KEEP_FREE: Free = Free::Percent(10);
