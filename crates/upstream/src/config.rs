//! The configuration of upstreams, as the configuration file states it. Secrets are never in it
//! (see `credentials`).
//!
//! Proxies come from the environment: `HTTP_PROXY`, `HTTPS_PROXY`, `ALL_PROXY` and `NO_PROXY` are
//! honoured.

use std::path::PathBuf;
use std::time::Duration;

use metahub_oci::{Host, RepositoryName};
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::address::ProxiedPrivate;
use crate::credentials::{Credentials, CredentialsConfig};
use crate::duration::duration;
use crate::lifetime::{Gone, Lifetime, TagLifetimes};
use crate::pace::Pace;
use crate::pass_through::{PassThrough, PassThroughError};
use crate::retry::RetryPolicy;
use crate::well_known;

/// Most requests at once for one blob, and most parts in memory for each upstream.
pub(crate) const MOST_PARALLEL: usize = 16;

/// Why the configuration of upstreams cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ConfigError {
    /// The URL of an upstream.
    #[error(
        "upstream {host}: '{url}' is no URL of a registry: expected http:// or https:// with a \
         host, without user name, query or fragment"
    )]
    Url {
        /// Which upstream.
        host: Host,
        /// The URL as written.
        url: String,
    },
    /// A URL with `http://` and no `plain_http`.
    #[error(
        "upstream {host}: the URL says http://; write plain_http: true if credentials and \
         content may travel unencrypted"
    )]
    PlainHttp {
        /// Which upstream.
        host: Host,
    },
    /// Credentials that cannot be used.
    #[error("upstream {host}: cannot take credentials from {place}: {problem}")]
    Credentials {
        /// Which upstream.
        host: Host,
        /// The file or the variable.
        place: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A pass-through upstream whose content others could see.
    #[error(transparent)]
    PassThrough(#[from] PassThroughError),
    /// A certificate file that cannot be read.
    #[error("upstream {host}: cannot read certificates from {}: {problem}", .file.display())]
    Certificate {
        /// Which upstream.
        host: Host,
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
}

/// All upstreams, in the order in which they are asked.
#[derive(Clone, Debug, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct UpstreamsConfig {
    /// The upstreams. Several for one host, or several defaults, are asked in this order until one
    /// has the content.
    pub upstreams: Vec<UpstreamConfig>,
    /// Whether a name may lead to a public host that is not listed here, such as `quay.io/x/y`.
    /// Hosts that resolve to private addresses must always be listed.
    pub allow_any_host: AnyHost,
    /// The policy for names that a forward proxy resolves.
    pub proxied_private: ProxiedPrivate,
    /// Ask no upstream.
    pub offline: bool,
}

/// Which hosts that are not listed a name may lead to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AnyHost {
    /// None: `false`.
    None,
    /// Well-known public registries ([`crate::REGISTRIES`]): `well-known`.
    #[default]
    WellKnown,
    /// Any public host: `true`. Everyone who may pull chooses which hosts this registry contacts.
    Any,
}

impl<'de> Deserialize<'de> for AnyHost {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Written {
            Bool(bool),
            Text(String),
        }
        match Written::deserialize(from)? {
            Written::Bool(true) => Ok(Self::Any),
            Written::Bool(false) => Ok(Self::None),
            Written::Text(text) if text == "well-known" => Ok(Self::WellKnown),
            Written::Text(text) => Err(serde::de::Error::custom(format!(
                "'{text}' says not which hosts: expected true, false or well-known"
            ))),
        }
    }
}

impl Default for UpstreamsConfig {
    fn default() -> Self {
        Self {
            upstreams: vec![UpstreamConfig::docker_hub()],
            allow_any_host: AnyHost::WellKnown,
            proxied_private: ProxiedPrivate::Allow,
            offline: false,
        }
    }
}

/// One upstream.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UpstreamConfig {
    /// The host that its images are written with: `quay.io`.
    #[schemars(with = "String")]
    pub host: Host,
    /// The URL of its API, up to `/v2`; by default `https://HOST` (and Docker Hub's own for
    /// `docker.io`).
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub url: Option<Url>,
    /// Whether names without a host lead here.
    #[serde(default)]
    pub default: bool,
    /// Speak HTTP without TLS, and follow redirects to such.
    #[serde(default)]
    pub plain_http: bool,
    /// Prefixes of names that lead here, rewritten.
    #[serde(default)]
    pub prefixes: Vec<Prefix>,
    /// Who we are there; anonymous by default.
    #[serde(default)]
    pub credentials: Option<CredentialsConfig>,
    /// Who we are there, given by the program itself; comes before `credentials`.
    #[serde(skip)]
    pub given_credentials: Option<Credentials>,
    /// Read it for each account under that account's own identity.
    #[serde(default)]
    pub pass_through: Option<PassThrough>,
    /// Further hosts, with their port where it is not the scheme's, whose token server may see
    /// the credentials.
    #[serde(default)]
    #[schemars(with = "Vec<String>")]
    pub realm_hosts: Vec<Host>,
    /// Follow redirects and realms to private, loopback and link-local addresses.
    #[serde(default)]
    pub allow_private: bool,
    /// PEM file of authorities to trust beside the system's.
    #[serde(default)]
    pub ca_file: Option<PathBuf>,
    /// The lifetime of its tags in the cache, unless `tags` sets one.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub tag_lifetime: Option<Lifetime>,
    /// The same by pattern; the first that matches counts.
    #[serde(default)]
    #[schemars(with = "Vec<crate::lifetime::Rule>")]
    pub tags: TagLifetimes,
    /// The policy for a tag that vanished there.
    #[serde(default)]
    pub gone: Gone,
    /// Concurrent requests for one large blob: one is enough where a connection can fill the line.
    #[serde(default = "one", deserialize_with = "parallel")]
    #[schemars(range(min = 1, max = 16))]
    pub parallel: usize,
    /// Timeouts.
    #[serde(default)]
    pub timeouts: Timeouts,
    /// The retry policy.
    #[serde(default)]
    pub retry: RetryPolicy,
    /// The bound of its content in the cache, in bytes. Not used in this crate, which caches
    /// nothing.
    #[serde(default, deserialize_with = "size")]
    #[schemars(with = "Option<String>")]
    pub cache_size: Option<u64>,
}

/// A size as people write it: `500 GiB`.
fn size<'de, D: Deserializer<'de>>(from: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(from)?;
    let size: Result<bytesize::ByteSize, _> = text.parse();
    size.map(|size| Some(size.as_u64())).map_err(|_| {
        serde::de::Error::custom(format!(
            "'{text}' is no size: expected bytes with a unit, such as 500 GiB"
        ))
    })
}

const fn one() -> usize {
    1
}

fn parallel<'de, D: Deserializer<'de>>(from: D) -> Result<usize, D::Error> {
    let number = usize::deserialize(from)?;
    if (1..=MOST_PARALLEL).contains(&number) {
        return Ok(number);
    }
    Err(serde::de::Error::custom(format!(
        "{number} requests at once for one blob: expected 1 to {MOST_PARALLEL}"
    )))
}

impl UpstreamConfig {
    /// An upstream with all defaults: TLS, anonymous, found by its host only.
    #[must_use]
    pub fn new(host: Host) -> Self {
        Self {
            host,
            url: None,
            default: false,
            plain_http: false,
            prefixes: Vec::new(),
            credentials: None,
            given_credentials: None,
            pass_through: None,
            realm_hosts: Vec::new(),
            allow_private: false,
            ca_file: None,
            tag_lifetime: None,
            tags: TagLifetimes::default(),
            gone: Gone::default(),
            parallel: one(),
            timeouts: Timeouts::default(),
            retry: RetryPolicy::default(),
            cache_size: None,
        }
    }

    /// Docker Hub, the default upstream, anonymous.
    #[must_use]
    pub fn docker_hub() -> Self {
        #[expect(clippy::expect_used, reason = "a constant, which a test parses")]
        let host = well_known::DOCKER_HUB.parse().expect("a host");
        Self {
            default: true,
            ..Self::new(host)
        }
    }

    /// The API's address: scheme, host, port and path before `/v2`, without a trailing slash.
    pub(crate) fn origin(&self) -> Result<Url, ConfigError> {
        let scheme = if self.plain_http { "http" } else { "https" };
        let text = match &self.url {
            Some(url) => url.as_str().to_owned(),
            None => format!("{scheme}://{}", well_known::api_host(self.host.as_str())),
        };
        let wrong = || ConfigError::Url {
            host: self.host.clone(),
            url: text.clone(),
        };
        let mut url = Url::parse(&text).map_err(|_| wrong())?;
        let bare = url.username().is_empty()
            && url.password().is_none()
            && url.query().is_none()
            && url.fragment().is_none();
        if !bare || !url.has_host() || !matches!(url.scheme(), "http" | "https") {
            // The URL may hold a password: it is not repeated.
            return Err(ConfigError::Url {
                host: self.host.clone(),
                url: format!("{}://…", url.scheme()),
            });
        }
        if url.scheme() == "http" && !self.plain_http {
            return Err(ConfigError::PlainHttp {
                host: self.host.clone(),
            });
        }
        let path = url.path().trim_end_matches('/');
        let path = path.strip_suffix("/v2").unwrap_or(path).to_owned();
        url.set_path(&path);
        Ok(url)
    }
}

/// A prefix of names that leads to an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Prefix {
    /// The first path components of the name: `hub` for `hub/library/debian`.
    #[schemars(with = "String")]
    pub prefix: RepositoryName,
    /// Their replacement in requests to the upstream; none by default.
    #[serde(default)]
    #[schemars(with = "Option<String>")]
    pub to: Option<RepositoryName>,
}

/// How long to wait for an upstream.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Timeouts {
    /// For connecting, including name resolution and TLS.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub connect: Duration,
    /// From the request to the head of the answer.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub answer: Duration,
    /// Between two pieces of a body.
    #[serde(deserialize_with = "duration")]
    #[schemars(with = "String")]
    pub between_bytes: Duration,
    /// Bytes per second, measured over `between_bytes`, below which a body counts as stalled. 0 for
    /// no limit.
    pub slowest_rate: u64,
}

impl Timeouts {
    pub(crate) fn pace(&self) -> Pace {
        Pace {
            between_bytes: self.between_bytes,
            slowest_rate: self.slowest_rate,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            connect: Duration::from_secs(10),
            answer: Duration::from_secs(30),
            between_bytes: Duration::from_secs(30),
            slowest_rate: 1024,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(json: &str) -> Result<UpstreamsConfig, String> {
        serde_json::from_str(json).map_err(|e| e.to_string())
    }

    fn one(json: &str) -> UpstreamConfig {
        serde_json::from_str(json).unwrap()
    }

    #[test]
    fn without_configuration_docker_hub_is_the_default() {
        let config = UpstreamsConfig::default();
        let hub = &config.upstreams[0];
        assert!(hub.default && !config.offline);
        assert_eq!(config.allow_any_host, AnyHost::WellKnown);
        assert_eq!(
            hub.origin().unwrap().as_str(),
            "https://registry-1.docker.io/"
        );
    }

    #[test]
    fn unknown_keys_and_wrong_durations_are_refused() {
        for json in [
            r#"{"upstream": []}"#,
            r#"{"allow_any_host": "some"}"#,
            r#"{"upstreams": [{"host": "quay.io", "user": "x"}]}"#,
            r#"{"upstreams": [{"host": "quay.io", "timeouts": {"connect": "soon"}}]}"#,
            r#"{"upstreams": [{"host": "quay.io", "timeouts": {"connect": "-1s"}}]}"#,
            r#"{"upstreams": [{"host": "quay.io", "credentials": {"password": "x"}}]}"#,
        ] {
            assert!(config(json).is_err(), "{json}");
        }
        let timeouts = one(r#"{"host": "quay.io", "timeouts": {"connect": "1m 30s"}}"#).timeouts;
        assert_eq!(timeouts.connect, Duration::from_secs(90));
        assert_eq!(timeouts.answer, Duration::from_secs(30));
    }

    #[test]
    fn an_origin_is_a_plain_url_without_v2() {
        let origin = |json| one(json).origin().map(|url| url.to_string());
        assert_eq!(
            origin(r#"{"host": "x.org", "url": "https://x.org/api/hub/v2/"}"#).unwrap(),
            "https://x.org/api/hub"
        );
        assert_eq!(
            origin(r#"{"host": "x.org:5000", "plain_http": true}"#).unwrap(),
            "http://x.org:5000/"
        );
        for json in [
            r#"{"host": "x.org", "url": "ftp://x.org"}"#,
            r#"{"host": "x.org", "url": "https://a:hunter2@x.org"}"#,
            r#"{"host": "x.org", "url": "https://x.org?a=b"}"#,
            r#"{"host": "x.org", "url": "http://x.org"}"#,
        ] {
            let error = origin(json).unwrap_err();
            assert!(!error.to_string().contains("hunter2"), "{error}");
        }
    }
}
