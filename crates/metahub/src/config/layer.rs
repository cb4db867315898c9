//! One layer of settings, as the file, the environment and the flags give them: nothing is
//! required, and nothing that is unknown is taken.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use metahub_auth::{AnonymousAccess, ProfilePassword, ProfilesBy};
use metahub_hardware::Extension;
use metahub_registry::{Free, ImmutableTags, LocalContent, Unsure};
use metahub_server::{MetricsAccess, Proxies, PublicUrl, SendBlobs};
use metahub_upstream::{AnyHost, ProxiedPrivate};
use serde::Deserialize;

use super::environment::{Environment, path_variable, plain_variable, variable};
use super::values::{Count, DocumentMemory, ManifestSize, Percent, Rate, Size, Time, UpstreamList};
use super::warm::WarmConfig;
use super::yaml::{ConfigError, Problem, parse};

/// One layer of settings: the file, the environment, or the flags.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Layer {
    pub(crate) listen: Option<SocketAddr>,
    pub(crate) data: Option<PathBuf>,
    pub(crate) tls: TlsLayer,
    pub(crate) public_url: Option<PublicUrl>,
    pub(crate) trust_forwarded: Option<Proxies>,
    pub(crate) catalog: Option<Vec<PathBuf>>,
    pub(crate) reload_interval: Option<Time>,
    pub(crate) hardware: Option<Extension>,
    pub(crate) anonymous: Option<AnonymousAccess>,
    pub(crate) profile_password: Option<ProfilePassword>,
    pub(crate) profile_header: Option<bool>,
    pub(crate) profiles_by: Option<ProfilesBy>,
    pub(crate) token_lifetime: Option<Time>,
    pub(crate) metrics: Option<MetricsAccess>,
    pub(crate) limits: LimitsLayer,
    pub(crate) gc: GcLayer,
    pub(crate) scrub: ScrubLayer,
    pub(crate) read_only: Option<bool>,
    pub(crate) send_blobs: Option<SendBlobs>,
    pub(crate) delete: Option<bool>,
    pub(crate) immutable_tags: Option<ImmutableTags>,
    pub(crate) sparse: Option<bool>,
    pub(crate) tag_lifetime: Option<Time>,
    pub(crate) local: Option<LocalContent>,
    pub(crate) unstated: Option<Unsure>,
    pub(crate) unknown_requirements: Option<Unsure>,
    pub(crate) upstreams: Option<UpstreamList>,
    pub(crate) allow_any_host: Option<AnyHost>,
    pub(crate) proxied_private: Option<ProxiedPrivate>,
    pub(crate) offline: Option<bool>,
    pub(crate) warm: Option<Vec<WarmConfig>>,
    pub(crate) cache: CacheLayer,
}

/// The keys under `cache`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct CacheLayer {
    pub(crate) size: Option<Size>,
    pub(crate) keep_free: Option<Free>,
    pub(crate) largest_blob: Option<Size>,
    pub(crate) anonymous_share: Option<Percent>,
    pub(crate) pinned: Option<ImmutableTags>,
    pub(crate) spare: Option<Time>,
    pub(crate) derived: Option<Size>,
}

/// The keys under `tls`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TlsLayer {
    pub(crate) certificate: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
    pub(crate) client_authorities: Option<PathBuf>,
}

/// The keys under `gc`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct GcLayer {
    pub(crate) every: Option<Time>,
    pub(crate) grace: Option<Time>,
}

/// The keys under `scrub`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ScrubLayer {
    pub(crate) every: Option<Time>,
    pub(crate) rate: Option<Rate>,
}

/// The keys under `limits`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LimitsLayer {
    pub(crate) connections: Option<Count<1, 1_000_000>>,
    pub(crate) requests: Option<Count<1, 1_000_000>>,
    pub(crate) requests_per_client: Option<Count<1, 1_000_000>>,
    pub(crate) documents: Option<DocumentMemory>,
    pub(crate) header_timeout: Option<Time>,
    pub(crate) idle_timeout: Option<Time>,
    pub(crate) stall_timeout: Option<Time>,
    pub(crate) drain_timeout: Option<Time>,
    pub(crate) upload_idle: Option<Time>,
    pub(crate) manifest_size: Option<ManifestSize>,
    pub(crate) name_length: Option<Count<1, 255>>,
    pub(crate) page_size: Option<Count<1, 100_000>>,
}

impl LimitsLayer {
    fn from_environment(environment: Environment<'_>) -> Result<Self, ConfigError> {
        Ok(Self {
            connections: variable(environment, "METAHUB_LIMITS_CONNECTIONS")?,
            requests: variable(environment, "METAHUB_LIMITS_REQUESTS")?,
            requests_per_client: variable(environment, "METAHUB_LIMITS_REQUESTS_PER_CLIENT")?,
            documents: variable(environment, "METAHUB_LIMITS_DOCUMENTS")?,
            header_timeout: variable(environment, "METAHUB_LIMITS_HEADER_TIMEOUT")?,
            idle_timeout: variable(environment, "METAHUB_LIMITS_IDLE_TIMEOUT")?,
            stall_timeout: variable(environment, "METAHUB_LIMITS_STALL_TIMEOUT")?,
            drain_timeout: variable(environment, "METAHUB_LIMITS_DRAIN_TIMEOUT")?,
            upload_idle: variable(environment, "METAHUB_LIMITS_UPLOAD_IDLE")?,
            manifest_size: variable(environment, "METAHUB_LIMITS_MANIFEST_SIZE")?,
            name_length: variable(environment, "METAHUB_LIMITS_NAME_LENGTH")?,
            page_size: variable(environment, "METAHUB_LIMITS_PAGE_SIZE")?,
        })
    }
}

impl Layer {
    /// Reads a configuration file. Relative paths in it start at the file's own folder.
    pub(super) fn read(file: &Path) -> Result<Self, ConfigError> {
        let text = std::fs::read_to_string(file).map_err(|source| ConfigError::Unreadable {
            file: file.to_owned(),
            source,
        })?;
        let mut layer: Self = parse(&text).map_err(|problem| problem.in_file(file, &text))?;
        if let Some((location, why)) = layer.upstreams.as_ref().and_then(UpstreamList::misfit) {
            let problem = Problem::new(why, Some(location), &text);
            return Err(problem.in_file(file, &text));
        }
        let folder = file.parent().unwrap_or(Path::new(""));
        let paths = layer
            .data
            .iter_mut()
            .chain(&mut layer.tls.certificate)
            .chain(&mut layer.tls.key)
            .chain(&mut layer.tls.client_authorities)
            .chain(layer.catalog.iter_mut().flatten());
        for path in paths {
            *path = folder.join(&*path);
        }
        Ok(layer)
    }

    pub(super) fn from_environment(environment: Environment<'_>) -> Result<Self, ConfigError> {
        let upstreams: Option<UpstreamList> = variable(environment, "METAHUB_UPSTREAMS")?;
        if let Some((_, message)) = upstreams.as_ref().and_then(UpstreamList::misfit) {
            let variable = "METAHUB_UPSTREAMS";
            return Err(ConfigError::Variable { variable, message });
        }
        Ok(Self {
            listen: plain_variable(
                environment,
                "METAHUB_LISTEN",
                "ADDRESS:PORT, such as 127.0.0.1:5000",
            )?,
            data: path_variable(environment, "METAHUB_DATA"),
            tls: TlsLayer {
                certificate: path_variable(environment, "METAHUB_TLS_CERTIFICATE"),
                key: path_variable(environment, "METAHUB_TLS_KEY"),
                client_authorities: path_variable(environment, "METAHUB_TLS_CLIENT_AUTHORITIES"),
            },
            public_url: plain_variable(
                environment,
                "METAHUB_PUBLIC_URL",
                "http://HOST[:PORT] or https://HOST[:PORT]",
            )?,
            trust_forwarded: variable(environment, "METAHUB_TRUST_FORWARDED")?,
            catalog: path_variable(environment, "METAHUB_CATALOG")
                .map(|paths| std::env::split_paths(&paths).collect()),
            reload_interval: variable(environment, "METAHUB_RELOAD_INTERVAL")?,
            hardware: variable(environment, "METAHUB_HARDWARE")?,
            anonymous: plain_variable(environment, "METAHUB_ANONYMOUS", "none, read or write")?,
            profile_password: variable(environment, "METAHUB_PROFILE_PASSWORD")?,
            profile_header: variable(environment, "METAHUB_PROFILE_HEADER")?,
            profiles_by: variable(environment, "METAHUB_PROFILES_BY")?,
            token_lifetime: variable(environment, "METAHUB_TOKEN_LIFETIME")?,
            metrics: variable(environment, "METAHUB_METRICS")?,
            send_blobs: variable(environment, "METAHUB_SEND_BLOBS")?,
            limits: LimitsLayer::from_environment(environment)?,
            gc: GcLayer {
                every: variable(environment, "METAHUB_GC_EVERY")?,
                grace: variable(environment, "METAHUB_GC_GRACE")?,
            },
            scrub: ScrubLayer {
                every: variable(environment, "METAHUB_SCRUB_EVERY")?,
                rate: variable(environment, "METAHUB_SCRUB_RATE")?,
            },
            read_only: variable(environment, "METAHUB_READ_ONLY")?,
            delete: variable(environment, "METAHUB_DELETE")?,
            immutable_tags: variable(environment, "METAHUB_IMMUTABLE_TAGS")?,
            sparse: variable(environment, "METAHUB_SPARSE")?,
            tag_lifetime: variable(environment, "METAHUB_TAG_LIFETIME")?,
            local: variable(environment, "METAHUB_LOCAL")?,
            unstated: variable(environment, "METAHUB_UNSTATED")?,
            unknown_requirements: variable(environment, "METAHUB_UNKNOWN_REQUIREMENTS")?,
            upstreams,
            allow_any_host: variable(environment, "METAHUB_ALLOW_ANY_HOST")?,
            proxied_private: variable(environment, "METAHUB_PROXIED_PRIVATE")?,
            offline: variable(environment, "METAHUB_OFFLINE")?,
            warm: variable(environment, "METAHUB_WARM")?,
            cache: CacheLayer {
                size: variable(environment, "METAHUB_CACHE_SIZE")?,
                keep_free: variable(environment, "METAHUB_CACHE_KEEP_FREE")?,
                largest_blob: variable(environment, "METAHUB_CACHE_LARGEST_BLOB")?,
                anonymous_share: variable(environment, "METAHUB_CACHE_ANONYMOUS_SHARE")?,
                pinned: variable(environment, "METAHUB_CACHE_PINNED")?,
                spare: variable(environment, "METAHUB_CACHE_SPARE")?,
                derived: variable(environment, "METAHUB_CACHE_DERIVED")?,
            },
        })
    }
}
