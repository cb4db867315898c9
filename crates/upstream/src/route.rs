//! Routes a name to its upstream, and gives its name there.

use std::collections::VecDeque;
use std::sync::Arc;

use metahub_client::printable;
use metahub_limits::DocumentBudget;
use metahub_oci::{Host, ImageReference, NameError, Reference, RepositoryName};
use parking_lot::Mutex;

use crate::address::ProxiedPrivate;
use crate::config::{AnyHost, ConfigError, Prefix, UpstreamConfig, UpstreamsConfig};
use crate::exclusive_names;
use crate::names::{in_library_of, may_be_public, named_host, rewrite, with_port};
use crate::upstream::Upstream;
use crate::well_known;

/// Most hosts without configuration that are remembered: clients choose their names.
const MAX_ANY_HOSTS: usize = 64;

/// All upstreams, and the routing to them.
#[derive(Debug)]
pub struct Upstreams {
    configured: Vec<Configured>,
    allow_any_host: AnyHost,
    proxied: ProxiedPrivate,
    offline: bool,
    passes_through: bool,
    /// Public hosts that were asked for by name, the latest last.
    any_hosts: Mutex<VecDeque<Arc<Upstream>>>,
    documents: DocumentBudget,
}

#[derive(Debug)]
struct Configured {
    upstream: Arc<Upstream>,
    /// Its host in a repository's name.
    named: Box<str>,
    default: bool,
    prefixes: Vec<Prefix>,
}

/// A repository at an upstream.
#[derive(Clone, Debug)]
pub struct Route {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// Its name there.
    pub name: RepositoryName,
}

impl Route {
    /// `reference` of this repository, written with its host: where content came from.
    #[must_use]
    pub fn image(&self, reference: Reference) -> ImageReference {
        ImageReference::new(
            Some(self.upstream.host().clone()),
            self.name.clone(),
            reference,
        )
    }
}

/// Why a `ns` parameter is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// It is no host.
    #[error("ns={0}: expected the host of a registry, such as docker.io or quay.io")]
    Malformed(String),
    /// It is no upstream.
    #[error(
        "ns={0}: this registry does not read from {0}; list it under upstreams, or set \
         allow_any_host: true for all public hosts"
    )]
    NotServed(Host),
    /// Host and name together are no name.
    #[error("ns={0}: no repository can be called that: {1}")]
    Name(Host, NameError),
}

impl Upstreams {
    /// Upstreams as configured. Reads secrets from their files and the environment; makes no
    /// request.
    ///
    /// # Errors
    /// A URL that is none, a secret or certificate that cannot be read.
    pub fn new(config: &UpstreamsConfig) -> Result<Self, ConfigError> {
        Self::within(config, DocumentBudget::default())
    }

    /// The same, with the memory for documents that they send taken from `documents`.
    ///
    /// # Errors
    /// As of [`Upstreams::new`].
    pub fn within(
        config: &UpstreamsConfig,
        documents: DocumentBudget,
    ) -> Result<Self, ConfigError> {
        exclusive_names::check(&config.upstreams).map_err(|(_, error)| error)?;
        let environment = |name: &str| std::env::var(name).ok();
        let configured: Vec<Configured> = config
            .upstreams
            .iter()
            .map(|one| {
                let proxied = config.proxied_private;
                let upstream =
                    Upstream::configured(one, config.offline, proxied, &environment, &documents)?;
                Ok(Configured {
                    named: named_host(upstream.host()).into(),
                    upstream: Arc::new(upstream),
                    default: one.default,
                    prefixes: one.prefixes.clone(),
                })
            })
            .collect::<Result<_, ConfigError>>()?;
        Ok(Self {
            passes_through: configured
                .iter()
                .any(|one| one.upstream.pass_through().is_some()),
            configured,
            allow_any_host: config.allow_any_host,
            proxied: config.proxied_private,
            offline: config.offline,
            any_hosts: Mutex::new(VecDeque::new()),
            documents,
        })
    }

    /// One registry on its own, with the general settings of `config`: offline, and the policy for
    /// names that a forward proxy resolves.
    ///
    /// # Errors
    /// As of [`Upstreams::new`].
    pub fn one(
        registry: &UpstreamConfig,
        config: &UpstreamsConfig,
    ) -> Result<Arc<Upstream>, ConfigError> {
        let environment = |name: &str| std::env::var(name).ok();
        let (offline, proxied) = (config.offline, config.proxied_private);
        let documents = DocumentBudget::default();
        let upstream = Upstream::configured(registry, offline, proxied, &environment, &documents)?;
        Ok(Arc::new(upstream))
    }

    /// Docker Hub as the default, and well-known public registries by their names.
    ///
    /// # Errors
    /// None in practice; the type is that of [`Upstreams::new`].
    pub fn builtin() -> Result<Self, ConfigError> {
        Self::new(&UpstreamsConfig::default())
    }

    /// Parts a name as clients ask us for it into the host that it names, if it does, and the
    /// name there: `quay.io/x/y` is `x/y` on `quay.io`. A port is spelled as [`named_host`] does.
    #[must_use]
    pub fn split(&self, name: &RepositoryName) -> (Option<Host>, RepositoryName) {
        let whole = || (None, name.clone());
        let (first, Some(rest)) = (name.namespace(), name.without_namespace()) else {
            return whole();
        };
        if let Some(listed) = self.configured.iter().find(|one| *one.named == *first) {
            return (Some(listed.upstream.host().clone()), rest);
        }
        if !Host::is_written_as_host(first) {
            return whole();
        }
        match with_port(first).parse::<Host>() {
            Ok(host) if self.serves(&host) => (Some(host), rest),
            _ => whole(),
        }
    }

    /// The name here of a client's repository `name` on the registry `ns`: the distribution
    /// specification's parameter of that name ("Registry Proxying").
    ///
    /// # Errors A text that is no host, or a host that is no upstream.
    pub fn namespaced(
        &self,
        ns: &str,
        name: &RepositoryName,
    ) -> Result<RepositoryName, NamespaceError> {
        let host: Host = ns
            .parse()
            .map_err(|_| NamespaceError::Malformed(printable(ns, 80)))?;
        let canonical = well_known::canonical(host.as_str());
        let host = canonical.parse().unwrap_or(host);
        if !self.serves(&host) {
            return Err(NamespaceError::NotServed(host));
        }
        let name = in_library_of(&host, name);
        format!("{}/{name}", named_host(&host))
            .parse()
            .map_err(|error| NamespaceError::Name(host, error))
    }

    /// Whether names without a host lead to `host`.
    #[must_use]
    pub fn is_default(&self, host: &Host) -> bool {
        self.by_host(host).any(|one| one.default)
    }

    /// The upstreams to read `name` from, in the order in which to ask them: the first that has
    /// it wins. `host` is the one that the reference names, if any (see [`Upstreams::split`]).
    /// Empty if none is configured for it.
    #[must_use]
    pub fn routes(&self, host: Option<&Host>, name: &RepositoryName) -> Vec<Route> {
        match host {
            Some(host) => self.routes_by_host(host, name),
            None => {
                let by_prefix = self.routes_by_prefix(name);
                if by_prefix.is_empty() {
                    let defaults = self.configured.iter().filter(|one| one.default);
                    defaults.map(|one| one.route(name)).collect()
                } else {
                    by_prefix
                }
            }
        }
    }

    /// The first of [`Upstreams::routes`].
    #[must_use]
    pub fn route(&self, host: Option<&Host>, name: &RepositoryName) -> Option<Route> {
        self.routes(host, name).into_iter().next()
    }

    /// Whether any upstream is a pass-through upstream.
    #[must_use]
    pub fn pass_through(&self) -> bool {
        self.passes_through
    }

    /// The route of a name that leads to a pass-through upstream, and then to no other.
    #[must_use]
    pub fn pass_through_route(&self, host: Option<&Host>, name: &RepositoryName) -> Option<Route> {
        if !self.passes_through {
            return None;
        }
        let route = match host {
            Some(host) => self.by_host(host).next().map(|one| one.route(name)),
            None => self.routes_by_prefix(name).into_iter().next(),
        };
        route.filter(|route| route.upstream.pass_through().is_some())
    }

    /// The configured upstreams, in order.
    pub fn configured(&self) -> impl Iterator<Item = &Arc<Upstream>> {
        self.configured.iter().map(|one| &one.upstream)
    }

    /// The configured upstreams, in order, and other recently used ones.
    #[must_use]
    pub fn known(&self) -> Vec<Arc<Upstream>> {
        let mut known: Vec<_> = self.configured().map(Arc::clone).collect();
        known.extend(self.any_hosts.lock().iter().map(Arc::clone));
        known
    }

    /// Whether no upstream is ever asked.
    #[must_use]
    pub fn offline(&self) -> bool {
        self.offline
    }

    fn serves(&self, host: &Host) -> bool {
        self.by_host(host).next().is_some() || self.serves_unlisted(host)
    }

    /// Whether names may lead to `host`, which is not listed.
    fn serves_unlisted(&self, host: &Host) -> bool {
        match self.allow_any_host {
            AnyHost::None => false,
            AnyHost::WellKnown => well_known::is_well_known(host.as_str()),
            AnyHost::Any => may_be_public(host),
        }
    }

    fn by_host(&self, host: &Host) -> impl Iterator<Item = &Configured> {
        let wanted = well_known::canonical(host.as_str()).to_owned();
        self.configured
            .iter()
            .filter(move |one| well_known::canonical(one.upstream.host().as_str()) == wanted)
    }

    fn routes_by_host(&self, host: &Host, name: &RepositoryName) -> Vec<Route> {
        let configured: Vec<Route> = self.by_host(host).map(|one| one.route(name)).collect();
        if !configured.is_empty() {
            return configured;
        }
        let any = self.any_host(host);
        any.map(|upstream| route_to(&upstream, name))
            .into_iter()
            .collect()
    }

    /// Longest prefix first; all upstreams that have it, in order.
    fn routes_by_prefix(&self, name: &RepositoryName) -> Vec<Route> {
        let matching = || {
            self.configured.iter().flat_map(|one| {
                one.prefixes.iter().filter_map(move |prefix| {
                    let rewritten = rewrite(name, prefix)?;
                    Some((prefix.prefix.as_str().len(), one, rewritten))
                })
            })
        };
        let longest = matching().map(|(length, _, _)| length).max();
        matching()
            .filter(|(length, _, _)| Some(*length) == longest)
            .map(|(_, one, name)| one.route(&name))
            .collect()
    }

    fn any_host(&self, host: &Host) -> Option<Arc<Upstream>> {
        if !self.serves_unlisted(host) {
            return None;
        }
        let host: Host = well_known::canonical(host.as_str()).parse().ok()?;
        let mut known = self.any_hosts.lock();
        let found = known.iter().position(|upstream| *upstream.host() == host);
        let upstream = match found.and_then(|place| known.remove(place)) {
            Some(upstream) => upstream,
            None => {
                let any = Upstream::any_host(host, self.offline, self.proxied, &self.documents);
                Arc::new(any.ok()?)
            }
        };
        known.push_back(Arc::clone(&upstream));
        if known.len() > MAX_ANY_HOSTS {
            known.pop_front();
        }
        Some(upstream)
    }
}

impl Configured {
    fn route(&self, name: &RepositoryName) -> Route {
        route_to(&self.upstream, name)
    }
}

fn route_to(upstream: &Arc<Upstream>, name: &RepositoryName) -> Route {
    Route {
        upstream: Arc::clone(upstream),
        name: in_library_of(upstream.host(), name),
    }
}

#[cfg(test)]
mod tests;
