//! Which upstream a name belongs to, and what it is called there.

use std::borrow::Cow;
use std::collections::VecDeque;
use std::net::IpAddr;
use std::sync::Arc;

use metahub_client::printable;
use metahub_limits::DocumentBudget;
use metahub_oci::{Host, ImageReference, NameError, Reference, RepositoryName};
use parking_lot::Mutex;

use crate::address::{ProxiedPrivate, Reach};
use crate::config::{AnyHost, ConfigError, Prefix, UpstreamsConfig};
use crate::pass_through;
use crate::upstream::Upstream;
use crate::well_known;

/// Hosts that nobody configured are remembered up to this number: their names are chosen by
/// the caller.
const MAX_ANY_HOSTS: usize = 64;

/// All upstreams, and the way to them.
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

/// Where a name is read from.
#[derive(Clone, Debug)]
pub struct Route {
    /// The upstream.
    pub upstream: Arc<Upstream>,
    /// What the repository is called there.
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

/// Why a `ns` parameter leads nowhere.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NamespaceError {
    /// It is no host.
    #[error("ns={0}: expected the host of a registry, such as docker.io or quay.io")]
    Malformed(String),
    /// Nothing is read from there.
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
    /// Upstreams as configured. Reads secrets from their files and the environment; asks nobody.
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
        pass_through::check(&config.upstreams).map_err(|(_, error)| error)?;
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

    /// What the repository is called here that a client calls `name` on the registry `ns`: the
    /// distribution specification's parameter of that name ("Registry Proxying").
    ///
    /// # Errors
    /// A text that is no host, or the host of a registry that nothing is read from.
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

    /// Whether names without a host are looked for on `host`.
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

    /// Whether any upstream is read under the identity of the caller.
    #[must_use]
    pub fn pass_through(&self) -> bool {
        self.passes_through
    }

    /// Where a name leads, if that is an upstream that is read under the identity of the caller.
    /// It leads nowhere else then.
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

    /// The configured upstreams, in order, and those that were asked lately without being.
    #[must_use]
    pub fn known(&self) -> Vec<Arc<Upstream>> {
        let mut known: Vec<_> = self.configured().map(Arc::clone).collect();
        known.extend(self.any_hosts.lock().iter().map(Arc::clone));
        known
    }

    /// Whether nobody is ever asked.
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

/// What `name` is called on `host`: Docker Hub has its official images in `library/`.
fn in_library_of(host: &Host, name: &RepositoryName) -> RepositoryName {
    if well_known::canonical(host.as_str()) == well_known::DOCKER_HUB {
        name.in_library()
    } else {
        name.clone()
    }
}

/// A host as the first component of a repository's name, which has no colon: the port stands
/// behind `_`.
#[must_use]
pub fn named_host(host: &Host) -> String {
    host.as_str().replace(':', "_").replace(['[', ']'], "")
}

/// The opposite for a host that is not listed: no public host's name ends in `_` and digits.
fn with_port(component: &str) -> Cow<'_, str> {
    match component.rsplit_once('_') {
        Some((host, port))
            if port.bytes().all(|b| b.is_ascii_digit())
                && port.parse::<u16>().is_ok_and(|port| port > 0) =>
        {
            Cow::Owned(format!("{host}:{port}"))
        }
        _ => Cow::Borrowed(component),
    }
}

/// `name` with `prefix` replaced, if it begins with it.
fn rewrite(name: &RepositoryName, prefix: &Prefix) -> Option<RepositoryName> {
    let rest = name.as_str().strip_prefix(prefix.prefix.as_str())?;
    let rest = rest.strip_prefix('/')?;
    match &prefix.to {
        Some(to) => format!("{to}/{rest}").parse().ok(),
        None => rest.parse().ok(),
    }
}

/// Not plainly this machine or a private network. Names are judged again when they resolve.
fn may_be_public(host: &Host) -> bool {
    let text = host.as_str();
    let name = match text.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|b| b.is_ascii_digit()) => name,
        _ => text,
    };
    let address = name.trim_matches(['[', ']']).parse::<IpAddr>();
    match address {
        Ok(address) => Reach::of(address) == Reach::Public,
        // Public names have a dot and end in letters, so that no number is taken for one.
        Err(_) => {
            let last = name.rsplit('.').next().unwrap_or("");
            name.contains('.')
                && last.bytes().any(|b| b.is_ascii_alphabetic())
                && !matches!(last, "localhost" | "local" | "internal" | "localdomain")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::UpstreamConfig;
    use crate::well_known::REGISTRIES;

    fn upstreams(json: &str) -> Upstreams {
        let config: UpstreamsConfig = serde_json::from_str(json).unwrap();
        Upstreams::new(&config).unwrap()
    }

    fn name(text: &str) -> RepositoryName {
        text.parse().unwrap()
    }

    fn found(upstreams: &Upstreams, text: &str) -> Vec<String> {
        let (host, rest) = upstreams.split(&name(text));
        let routes = upstreams.routes(host.as_ref(), &rest);
        routes
            .iter()
            .map(|route| format!("{}/{}", route.upstream.host(), route.name))
            .collect()
    }

    #[test]
    fn bare_names_go_to_docker_hub_and_its_library() {
        let builtin = Upstreams::builtin().unwrap();
        assert_eq!(found(&builtin, "debian"), ["docker.io/library/debian"]);
        assert_eq!(found(&builtin, "qnib/x"), ["docker.io/qnib/x"]);
        assert_eq!(
            found(&builtin, "docker.io/debian"),
            ["docker.io/library/debian"]
        );
        assert_eq!(
            found(&builtin, "index.docker.io/debian"),
            ["docker.io/library/debian"]
        );
    }

    #[test]
    fn a_host_in_the_name_leads_to_that_host() {
        let builtin = Upstreams::builtin().unwrap();
        assert_eq!(found(&builtin, "quay.io/x/y"), ["quay.io/x/y"]);
        let strict = upstreams(r#"{"upstreams": [{"host": "ghcr.io"}], "allow_any_host": false}"#);
        assert_eq!(found(&strict, "ghcr.io/x/y"), ["ghcr.io/x/y"]);
        assert!(found(&strict, "quay.io/x/y").is_empty());
        assert!(found(&strict, "debian").is_empty(), "no default");
    }

    #[test]
    fn by_default_only_well_known_registries_are_read_without_being_listed() {
        let builtin = Upstreams::builtin().unwrap();
        for host in REGISTRIES {
            assert_eq!(
                found(&builtin, &format!("{host}/x/y")),
                [format!("{host}/x/y")]
            );
            let parsed: Host = host.parse().unwrap();
            assert!(may_be_public(&parsed), "{host}");
        }
        for host in [
            "evil.example.org",
            "quay.io.example.org",
            "x.quay.io",
            "1.1.1.1",
        ] {
            let parsed: Host = host.parse().unwrap();
            assert!(
                builtin.route(Some(&parsed), &name("x/y")).is_none(),
                "{host}"
            );
            assert!(builtin.namespaced(host, &name("x/y")).is_err(), "{host}");
            // What looks like a host is a name of the default upstream then, as any other.
            let as_name = format!("{host}/x/y");
            assert_eq!(found(&builtin, &as_name), [format!("docker.io/{as_name}")]);
        }
        let other_port: Host = "quay.io:8443".parse().unwrap();
        assert!(builtin.route(Some(&other_port), &name("x/y")).is_none());
        let usual_port: Host = "quay.io:443".parse().unwrap();
        let route = builtin.route(Some(&usual_port), &name("x/y")).unwrap();
        assert_eq!(route.upstream.host().as_str(), "quay.io");
    }

    #[test]
    fn a_host_with_a_port_is_found_again_by_the_name_that_clients_use() {
        let open = upstreams(r#"{"allow_any_host": true}"#);
        for (ns, named, leads) in [
            (
                "r.example.org:5000",
                "r.example.org_5000/a/b",
                "r.example.org:5000/a/b",
            ),
            ("1.1.1.1:5000", "1.1.1.1_5000/a/b", "1.1.1.1:5000/a/b"),
            ("r.example.org", "r.example.org/a/b", "r.example.org/a/b"),
            (
                "r.example.org:443",
                "r.example.org/a/b",
                "r.example.org/a/b",
            ),
            (
                "a_b.example.org",
                "a_b.example.org/a/b",
                "a_b.example.org/a/b",
            ),
        ] {
            let here = open.namespaced(ns, &name("a/b")).unwrap();
            assert_eq!(here.as_str(), named);
            assert_eq!(found(&open, named), [leads], "{named}");
            let image: ImageReference = format!("{ns}/a/b:1").parse().unwrap();
            let route = open.route(image.host(), image.name()).unwrap();
            assert_eq!(format!("{}/{}", route.upstream.host(), route.name), leads);
        }
        // A port of nothing is a part of a name, and private hosts must be listed.
        for text in [
            "localhost_5000/x",
            "127.0.0.1_5000/x",
            "r.example.org_0/x",
            "10.0.0.1_80/x",
        ] {
            let (host, rest) = open.split(&name(text));
            let private = host.as_ref().is_some_and(|host| !may_be_public(host));
            assert!(!private, "{text} {host:?} {rest}");
        }
        let listed =
            upstreams(r#"{"upstreams": [{"host": "localhost:5001", "plain_http": true}]}"#);
        assert_eq!(found(&listed, "localhost_5001/x"), ["localhost:5001/x"]);
        let image: ImageReference = "localhost:5001/x:1".parse().unwrap();
        assert!(listed.route(image.host(), image.name()).is_some());
    }

    #[test]
    fn hosts_of_this_machine_and_its_network_must_be_listed() {
        let builtin = upstreams(r#"{"allow_any_host": true}"#);
        for host in [
            "localhost",
            "127.0.0.1",
            "10.0.0.1",
            "registry.local",
            "1.2",
            "192.168.0.1",
        ] {
            let host: Host = host.parse().unwrap();
            assert!(builtin.route(Some(&host), &name("x")).is_none(), "{host}");
        }
        let listed =
            upstreams(r#"{"upstreams": [{"host": "127.0.0.1:5000", "plain_http": true}]}"#);
        let host: Host = "127.0.0.1:5000".parse().unwrap();
        assert!(listed.route(Some(&host), &name("x")).is_some());
    }

    #[test]
    fn prefixes_are_rewritten_and_the_longest_wins() {
        let config = upstreams(
            r#"{"upstreams": [
                {"host": "docker.io", "default": true, "prefixes": [{"prefix": "hub"}]},
                {"host": "quay.io", "prefixes": [{"prefix": "hub/q", "to": "org"}]}
            ]}"#,
        );
        assert_eq!(found(&config, "hub/debian"), ["docker.io/library/debian"]);
        assert_eq!(found(&config, "hub/q/app"), ["quay.io/org/app"]);
        assert_eq!(found(&config, "hubble/app"), ["docker.io/hubble/app"]);
        assert_eq!(found(&config, "hub"), ["docker.io/library/hub"]);
    }

    #[test]
    fn several_upstreams_are_asked_in_order() {
        let config = upstreams(
            r#"{"upstreams": [
                {"host": "a.org", "default": true},
                {"host": "b.org"},
                {"host": "docker.io", "default": true},
                {"host": "docker.io", "url": "https://mirror.org"}
            ]}"#,
        );
        assert_eq!(found(&config, "x"), ["a.org/x", "docker.io/library/x"]);
        assert_eq!(found(&config, "docker.io/x").len(), 2);
    }

    #[test]
    fn a_namespace_names_the_repository_by_its_host() {
        let config = upstreams(
            r#"{"upstreams": [{"host": "docker.io"}, {"host": "127.0.0.1:5000", "plain_http": true}],
                "allow_any_host": false}"#,
        );
        let here = |ns: &str, text: &str| config.namespaced(ns, &name(text)).map(|n| n.to_string());
        assert_eq!(
            here("docker.io", "debian").unwrap(),
            "docker.io/library/debian"
        );
        assert_eq!(here("index.docker.io", "a/b").unwrap(), "docker.io/a/b");
        assert_eq!(here("127.0.0.1:5000", "a/b").unwrap(), "127.0.0.1_5000/a/b");
        assert_eq!(found(&config, "127.0.0.1_5000/a/b"), ["127.0.0.1:5000/a/b"]);
        assert_eq!(
            here("quay.io", "a/b"),
            Err(NamespaceError::NotServed("quay.io".parse().unwrap()))
        );
        for wrong in ["", "a b", "https://quay.io", "quay.io/x", "-"] {
            let error = here(wrong, "a/b").unwrap_err();
            assert!(
                matches!(error, NamespaceError::Malformed(_)),
                "{wrong}: {error}"
            );
        }
        let open = Upstreams::builtin().unwrap();
        assert!(open.namespaced("quay.io", &name("a/b")).is_ok());
        assert!(open.namespaced("localhost", &name("a/b")).is_err());
        assert!(open.namespaced("10.0.0.1:5000", &name("a/b")).is_err());
    }

    #[test]
    fn hosts_named_by_callers_are_remembered_within_bounds() {
        let builtin = upstreams(r#"{"allow_any_host": true}"#);
        let host = |number: usize| format!("r{number}.example.org").parse::<Host>().unwrap();
        let first = builtin.route(Some(&host(0)), &name("x")).unwrap();
        let again = builtin.route(Some(&host(0)), &name("x")).unwrap();
        assert!(Arc::ptr_eq(&first.upstream, &again.upstream));
        for number in 0..200 {
            assert!(builtin.route(Some(&host(number)), &name("x")).is_some());
        }
        assert_eq!(builtin.any_hosts.lock().len(), MAX_ANY_HOSTS);
    }

    #[test]
    fn the_example_of_docker_hub_is_a_valid_host() {
        assert_eq!(UpstreamConfig::docker_hub().host.as_str(), "docker.io");
    }
}
