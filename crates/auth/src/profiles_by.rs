//! Chooses the profile of a request whose login names no hardware, by what else the request shows:
//! a path prefix, a host name, the header `X-Meta-Profile`, a client certificate or the client's
//! network, in that order. It chooses among images and never adds a right.

use std::collections::BTreeMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use ipnet::IpNet;
use metahub_catalog::{Catalog, Composed, GrammarError, LoginError};
use metahub_oci::{Host, RepositoryName};
use schemars::JsonSchema;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _};

/// The header's name.
pub const PROFILE_HEADER: &str = "x-meta-profile";

/// Logins by properties of a request besides its own login. Each is a login without an account,
/// such as `zen4+cuda=12.4`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct ProfilesBy {
    /// By the first components of a repository's name, which are then removed: `HOST/gpu/app` is
    /// `HOST/app` under the login of `gpu`. The longest match counts. A prefix cannot be a host,
    /// since names below one are images of that registry.
    #[serde(deserialize_with = "prefixes")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub path: BTreeMap<RepositoryName, String>,
    /// By the name under which the client reached this server; with a port where one is written.
    #[schemars(with = "BTreeMap<String, String>")]
    pub host: BTreeMap<Host, String>,
    /// By a DNS name of the client's certificate (RFC 5280, subject alternative name).
    #[schemars(with = "BTreeMap<String, String>")]
    pub certificate: BTreeMap<DnsName, String>,
    /// By the network of the client's address. The smallest that has it counts.
    #[serde(deserialize_with = "networks")]
    #[schemars(with = "BTreeMap<String, String>")]
    pub network: BTreeMap<IpNet, String>,
}

/// A DNS name of a certificate, or `*.` and the end of one: lower case, without a dot at the end.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct DnsName(Box<str>);

impl<'de> Deserialize<'de> for DnsName {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = String::deserialize(from)?;
        let name = text.strip_prefix("*.").unwrap_or(&text);
        match name.parse::<Host>() {
            Ok(host) if !host.as_str().contains([':', '[']) => {
                Ok(Self(text.to_ascii_lowercase().into()))
            }
            _ => Err(D::Error::custom(format!(
                "'{text}' is no DNS name: expected one such as node7.example.org or *.example.org"
            ))),
        }
    }
}

impl DnsName {
    /// Whether it is `name`, or `name` with one label more than after `*.`.
    pub(crate) fn matches(&self, name: &str) -> bool {
        let name = name.trim_end_matches('.');
        match self.0.strip_prefix("*.") {
            Some(end) => name
                .split_once('.')
                .is_some_and(|(label, rest)| !label.is_empty() && rest.eq_ignore_ascii_case(end)),
            None => self.0.eq_ignore_ascii_case(name),
        }
    }
}

fn prefixes<'de, D: Deserializer<'de>>(
    from: D,
) -> Result<BTreeMap<RepositoryName, String>, D::Error> {
    let prefixes = BTreeMap::<RepositoryName, String>::deserialize(from)?;
    let host = prefixes.keys().find(|prefix| {
        let first = prefix.as_str().split('/').next().unwrap_or_default();
        Host::is_written_as_host(first)
    });
    match host {
        None => Ok(prefixes),
        Some(host) => Err(D::Error::custom(format!(
            "{host} begins with a host, and names below a host are images of that registry: \
             expected a prefix such as gpu or node/zen3"
        ))),
    }
}

fn networks<'de, D: Deserializer<'de>>(from: D) -> Result<BTreeMap<IpNet, String>, D::Error> {
    let written = BTreeMap::<String, String>::deserialize(from)?;
    let mut networks = BTreeMap::new();
    for (network, login) in written {
        let parsed = metahub_limits::parse_network(&network).map_err(D::Error::custom)?;
        if networks.insert(parsed.trunc(), login).is_some() {
            return Err(D::Error::custom(format!("{parsed} is there twice")));
        }
    }
    Ok(networks)
}

/// The properties of a request besides its login.
#[derive(Clone, Copy, Debug)]
pub struct Arrival<'a> {
    /// The prefix of [`ProfilesBy::path`] that was left out of the repository's name.
    pub path: Option<&'a RepositoryName>,
    /// The host name by which the client reached this server, with a port where it wrote one.
    pub host: Option<&'a Host>,
    /// The header `X-Meta-Profile`.
    pub header: Option<&'a str>,
    /// The DNS names of the client's certificate.
    pub certificate: &'a [String],
    /// The client's address, behind proxies that are trusted.
    pub client: IpAddr,
}

/// The property by which a profile was chosen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Channel {
    /// The first components of the repository's name.
    Path(RepositoryName),
    /// The host name that the client requested.
    Host(Host),
    /// The header `X-Meta-Profile`.
    Header,
    /// A name in the client's certificate.
    Certificate(DnsName),
    /// The client's network.
    Network(IpNet),
}

impl fmt::Display for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Path(prefix) => write!(f, "path {prefix}"),
            Self::Host(host) => write!(f, "host {}", host.as_str()),
            Self::Header => f.write_str("header X-Meta-Profile"),
            Self::Certificate(name) => write!(f, "certificate {}", name.0),
            Self::Network(network) => write!(f, "network {network}"),
        }
    }
}

/// An invalid login, and its channel.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{}: {error}", place(.channel))]
pub struct ChannelError {
    /// The channel.
    pub channel: Channel,
    /// What is wrong with it.
    pub error: LoginError,
}

fn place(channel: &Channel) -> String {
    match channel {
        Channel::Header => "X-Meta-Profile".to_owned(),
        other => format!("profiles_by in the registry's configuration, {other}"),
    }
}

impl ProfilesBy {
    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.all().next().is_none()
    }

    /// The longest prefix of `name`, and the name without it.
    #[must_use]
    pub fn prefix_of(&self, name: &RepositoryName) -> Option<(&RepositoryName, RepositoryName)> {
        let fitting = self.path.keys().filter_map(|prefix| {
            let rest = name.as_str().strip_prefix(prefix.as_str())?;
            Some((prefix, rest.strip_prefix('/')?))
        });
        let (prefix, rest) = fitting.max_by_key(|(prefix, _)| prefix.as_str().len())?;
        Some((prefix, rest.parse().ok()?))
    }

    /// Whether any profile is chosen by a host, so that the host is worth reading.
    #[must_use]
    pub fn by_host(&self) -> bool {
        !self.host.is_empty()
    }

    /// Whether `host`, with its port or without, is one by which a profile is chosen.
    #[must_use]
    pub fn has_host(&self, host: &Host) -> bool {
        self.of_host(host).is_some()
    }

    fn of_host(&self, host: &Host) -> Option<(&Host, &str)> {
        let without_port = || host.as_str().rsplit_once(':')?.0.parse::<Host>().ok();
        let found = self.host.get_key_value(host);
        let found = found.or_else(|| self.host.get_key_value(&without_port()?));
        found.map(|(host, login)| (host, login.as_str()))
    }

    fn all(&self) -> impl Iterator<Item = (Channel, &str)> {
        let path = self.path.iter();
        let path = path.map(|(prefix, login)| (Channel::Path(prefix.clone()), login.as_str()));
        let host = self.host.iter();
        let host = host.map(|(host, login)| (Channel::Host(host.clone()), login.as_str()));
        let certificate = self.certificate.iter();
        let certificate =
            certificate.map(|(name, login)| (Channel::Certificate(name.clone()), login.as_str()));
        let network = self.network.iter();
        let network = network.map(|(network, login)| (Channel::Network(*network), login.as_str()));
        path.chain(host).chain(certificate).chain(network)
    }

    /// The logins that mean nothing under `catalog`, or name an account.
    #[must_use]
    pub fn unreadable(&self, catalog: &Catalog) -> Vec<ChannelError> {
        self.all()
            .filter_map(|(channel, login)| compose(catalog, login, &channel).err())
            .collect()
    }

    /// The channels of `arrival` that lead to a login, in order of precedence.
    pub(crate) fn of<'a>(&'a self, arrival: &Arrival<'a>, header: bool) -> Vec<(Channel, &'a str)> {
        let mut found = Vec::new();
        if let Some(prefix) = arrival.path
            && let Some(login) = self.path.get(prefix)
        {
            found.push((Channel::Path(prefix.clone()), login.as_str()));
        }
        if let Some((host, login)) = arrival.host.and_then(|host| self.of_host(host)) {
            found.push((Channel::Host(host.clone()), login));
        }
        if let Some(login) = arrival.header.filter(|_| header) {
            found.push((Channel::Header, login));
        }
        let names = arrival.certificate.iter();
        let by_name = |pattern: &DnsName| names.clone().any(|name| pattern.matches(name));
        // A name counts before a pattern that it matches.
        let (patterns, exact): (Vec<_>, Vec<_>) = self
            .certificate
            .iter()
            .filter(|(pattern, _)| by_name(pattern))
            .partition(|(pattern, _)| pattern.0.starts_with("*."));
        if let Some((name, login)) = exact.first().or(patterns.first()) {
            found.push((Channel::Certificate((*name).clone()), login));
        }
        let client = arrival.client.to_canonical();
        let having = self.network.iter().filter(|(net, _)| net.contains(&client));
        if let Some((network, login)) = having.max_by_key(|(net, _)| net.prefix_len()) {
            found.push((Channel::Network(*network), login));
        }
        found
    }
}

/// Composes a login without an account.
pub(crate) fn compose(
    catalog: &Catalog,
    login: &str,
    channel: &Channel,
) -> Result<Arc<Composed>, ChannelError> {
    let read = catalog
        .interpret(login, &|_| false)
        .and_then(|read| match read.account {
            None => Ok(read.profile),
            Some(_) => Err(GrammarError::Selector(login.to_owned()).into()),
        });
    read.map_err(|error| ChannelError {
        channel: channel.clone(),
        error,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn maps(text: &str) -> Result<ProfilesBy, String> {
        serde_json::from_str(text).map_err(|error| error.to_string())
    }

    #[test]
    fn what_is_no_map_of_logins_is_told_with_what_was_expected() {
        for (text, says) in [
            (r#"{"paths": {}}"#, "unknown field `paths`"),
            (r#"{"path": {"GPU": "zen4"}}"#, "GPU"),
            (r#"{"path": {"quay.io": "zen4"}}"#, "begins with a host"),
            (r#"{"host": {"a b": "zen4"}}"#, "a b"),
            (r#"{"network": {"10.0.0.0/33": "zen4"}}"#, "10.0.0.0/8"),
            (
                r#"{"network": {"10.0.0.1/8": "zen4", "10.0.0.0/8": "zen3"}}"#,
                "twice",
            ),
            (r#"{"certificate": {"*.": "zen4"}}"#, "*.example.org"),
            (r#"{"certificate": {"a:5000": "zen4"}}"#, "no DNS name"),
        ] {
            let error = maps(text).unwrap_err();
            assert!(error.contains(says), "{text}: {error}");
        }
    }

    #[test]
    fn what_a_request_shows_is_found_in_order_and_the_nearest_of_each_kind() {
        let maps = maps(
            r#"{"path": {"gpu": "p1", "gpu/h100": "p2"},
                "host": {"zen3.example": "h1", "zen3.example:444": "h2"},
                "certificate": {"*.example": "c1", "node7.example": "c2"},
                "network": {"10.0.0.0/8": "n1", "10.2.0.0/16": "n2", "2001:db8::/32": "n3"}}"#,
        )
        .unwrap();
        let prefix = |name: &str| {
            let (prefix, rest) = maps.prefix_of(&name.parse().unwrap())?;
            Some(format!("{prefix} {rest}"))
        };
        assert_eq!(prefix("gpu/app").as_deref(), Some("gpu app"));
        assert_eq!(
            prefix("gpu/h100/team/app").as_deref(),
            Some("gpu/h100 team/app")
        );
        assert_eq!(prefix("gpux/app"), None);
        assert_eq!(prefix("gpu"), None);
        let gpu = "gpu".parse().unwrap();
        for (path, host, header, names, client, expected) in [
            (None, "other", None, "", "192.0.2.1", ""),
            (
                Some(&gpu),
                "ZEN3.example",
                Some("x"),
                "node7.example",
                "10.2.3.4",
                "p1 h1 x c2 n2",
            ),
            (
                None,
                "zen3.example:444",
                None,
                "node8.example",
                "10.9.0.1",
                "h2 c1 n1",
            ),
            (
                None,
                "zen3.example:9",
                None,
                "a.node8.example",
                "::ffff:10.2.0.1",
                "h1 n2",
            ),
            (None, "", None, "NODE7.example.", "2001:db8::7", "c2 n3"),
        ] {
            let names = [names.to_owned()];
            let asked = host.parse().ok();
            let arrival = Arrival {
                path,
                host: asked.as_ref(),
                header,
                certificate: &names,
                client: client.parse().unwrap(),
            };
            let found: Vec<&str> = maps.of(&arrival, true).iter().map(|(_, l)| *l).collect();
            assert_eq!(found.join(" "), expected, "{host} {client}");
        }
    }

    #[test]
    fn logins_that_mean_nothing_are_named_with_their_place() {
        let maps = maps(
            r#"{"path": {"gpu": "zen4", "x": "nonsuch"}, "network": {"10.0.0.0/8": "bob/zen3"}}"#,
        )
        .unwrap();
        let wrong: Vec<String> = maps
            .unreadable(&Catalog::builtin())
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(wrong.len(), 2, "{wrong:?}");
        assert!(
            wrong[0].contains("path x: no profile is called 'nonsuch'"),
            "{wrong:?}"
        );
        assert!(wrong[1].contains("network 10.0.0.0/8"), "{wrong:?}");
    }
}
