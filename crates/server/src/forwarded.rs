//! The client's address, and the address under which it reached this server, through proxies or
//! not.
//!
//! Forwarded headers count only from proxies that the configuration names: anybody can send them.

use std::net::{IpAddr, SocketAddr};
use std::str::FromStr;

use http::uri::Authority;
use http::{HeaderMap, HeaderName, HeaderValue, header};
use ipnet::IpNet;
use metahub_auth::ProfilesBy;
use metahub_limits::parse_network;
use metahub_oci::Host;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer};
use url::Url;

use crate::request::header as text;

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");

/// The address under which clients reach this server: `http://HOST[:PORT]` or `https://…`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicUrl {
    scheme: &'static str,
    host: Host,
}

/// Why a text is no public address.
#[derive(Debug, thiserror::Error)]
#[error(
    "'{0}' is not the address of a registry: expected http://HOST, https://HOST or the same with :PORT, and nothing behind it"
)]
pub struct PublicUrlError(String);

impl FromStr for PublicUrl {
    type Err = PublicUrlError;

    fn from_str(written: &str) -> Result<Self, PublicUrlError> {
        let wrong = || PublicUrlError(written.to_owned());
        let url: Url = written.parse().map_err(|_| wrong())?;
        let scheme = match url.scheme() {
            "http" => "http",
            "https" => "https",
            _ => return Err(wrong()),
        };
        let more = url.path() != "/"
            || url.query().is_some()
            || url.fragment().is_some()
            || !url.username().is_empty()
            || url.password().is_some();
        let host = url.host_str().filter(|_| !more).ok_or_else(wrong)?;
        let host = match url.port() {
            Some(port) => format!("{host}:{port}"),
            None => host.to_owned(),
        };
        let host = host.parse().map_err(|_| wrong())?;
        Ok(Self { scheme, host })
    }
}

impl PublicUrl {
    /// Whether clients speak TLS with it.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.scheme == "https"
    }

    /// `HOST` or `HOST:PORT`, as images are named.
    #[must_use]
    pub fn host(&self) -> &Host {
        &self.host
    }
}

impl<'de> Deserialize<'de> for PublicUrl {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        String::deserialize(from)?.parse().map_err(D::Error::custom)
    }
}

impl std::fmt::Display for PublicUrl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)
    }
}

/// Which peers are proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Proxies {
    /// None.
    #[default]
    None,
    /// Every peer. Only what the last proxy added is believed.
    Any,
    /// Those in these networks.
    In(Vec<IpNet>),
}

impl Proxies {
    fn has(&self, address: IpAddr) -> bool {
        match self {
            Self::None => false,
            Self::Any => true,
            Self::In(networks) => networks
                .iter()
                .any(|network| network.contains(&address.to_canonical())),
        }
    }
}

impl<'de> Deserialize<'de> for Proxies {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        #[derive(Deserialize)]
        #[serde(
            untagged,
            expecting = "expected true, false, or a list of networks such as 10.0.0.0/8"
        )]
        enum Written {
            Whether(bool),
            Networks(Vec<String>),
        }
        match Written::deserialize(from)? {
            Written::Whether(true) => Ok(Self::Any),
            Written::Whether(false) => Ok(Self::None),
            Written::Networks(networks) => networks
                .iter()
                .map(|written| parse_network(written).map_err(D::Error::custom))
                .collect::<Result<_, _>>()
                .map(Self::In),
        }
    }
}

/// How clients' addresses, and the address of this server, are found.
#[derive(Clone, Debug)]
pub struct Addresses {
    /// The address of this server for clients, if configured.
    pub public_url: Option<PublicUrl>,
    /// Trusted proxies.
    pub proxies: Proxies,
    /// The `HOST:PORT` for a client that names none.
    pub fallback_host: String,
}

/// The address under which the client reached this server. The host is computed on demand: most
/// answers do not contain it.
#[derive(Debug)]
pub(crate) struct Origin<'a> {
    scheme: &'static str,
    /// The configured address.
    public: Option<&'a Host>,
    named: Named<'a>,
    fallback: &'a str,
}

#[derive(Debug)]
enum Named<'a> {
    Uri(&'a Authority),
    Header(Option<&'a HeaderValue>),
}

impl Origin<'_> {
    /// `http` or `https`.
    #[cfg(test)]
    pub(crate) fn scheme(&self) -> &'static str {
        self.scheme
    }

    /// `HOST` or `HOST:PORT`. A host that a client names is used only if it is well-formed, since
    /// it ends up in a challenge.
    pub(crate) fn host(&self) -> String {
        let host = self.public.cloned().or_else(|| self.asked_host());
        host.map_or_else(|| self.fallback.to_owned(), String::from)
    }

    /// The host that the client requested, if it is well-formed.
    pub(crate) fn asked_host(&self) -> Option<Host> {
        let named = match self.named {
            Named::Uri(authority) => Some(authority.as_str()),
            Named::Header(value) => value.and_then(|value| value.to_str().ok()),
        };
        named.and_then(|host| host.trim().parse().ok())
    }

    /// The token endpoint: on the registry's own host, where Enroot looks netrc up.
    pub(crate) fn realm(&self) -> String {
        format!("{}://{}/token", self.scheme, self.host())
    }
}

impl Addresses {
    /// The address under which the client of `request` reached this server; `tls`: whether `peer`
    /// used TLS. A host by which `profiles` chooses one takes precedence over the public address.
    pub(crate) fn origin<'a>(
        &'a self,
        request: &'a http::request::Parts,
        peer: SocketAddr,
        tls: bool,
        profiles: &ProfilesBy,
    ) -> Origin<'a> {
        let headers = &request.headers;
        let proxied = self.proxies.has(peer.ip());
        let scheme = match text(headers, FORWARDED_PROTO).filter(|_| proxied) {
            Some(list) if last(list).eq_ignore_ascii_case("https") => "https",
            Some(list) if last(list).eq_ignore_ascii_case("http") => "http",
            _ if tls => "https",
            _ => "http",
        };
        let forwarded = headers.get(FORWARDED_HOST).filter(|_| proxied);
        let named = match (forwarded, request.uri.authority()) {
            (Some(host), _) => Named::Header(Some(host)),
            (None, Some(authority)) => Named::Uri(authority),
            (None, None) => Named::Header(headers.get(header::HOST)),
        };
        let mut origin = Origin {
            scheme,
            public: None,
            named,
            fallback: &self.fallback_host,
        };
        if let Some(PublicUrl { scheme, host }) = &self.public_url {
            origin.scheme = scheme;
            let own = profiles.by_host()
                && origin
                    .asked_host()
                    .is_some_and(|own| profiles.has_host(&own));
            origin.public = (!own).then_some(host);
        }
        origin
    }

    /// The client's own address: the last one in `X-Forwarded-For` that is no proxy of ours.
    pub(crate) fn client(&self, headers: &HeaderMap, peer: SocketAddr) -> IpAddr {
        let mut client = peer.ip().to_canonical();
        if !self.proxies.has(client) {
            return client;
        }
        let mut hops = headers
            .get_all(FORWARDED_FOR)
            .iter()
            .rev()
            .flat_map(|value| value.to_str().unwrap_or("").rsplit(','));
        while let Some(hop) = hops.next().and_then(address) {
            client = hop;
            if self.proxies == Proxies::Any || !self.proxies.has(client) {
                break;
            }
        }
        client
    }
}

/// What the nearest proxy added to a list.
fn last(list: &str) -> &str {
    list.rsplit(',').next().unwrap_or("").trim()
}

/// An address with or without a port.
fn address(hop: &str) -> Option<IpAddr> {
    let hop = hop.trim();
    let bare = hop.trim_start_matches('[').trim_end_matches(']');
    bare.parse()
        .ok()
        .or_else(|| hop.parse().ok().map(|socket: SocketAddr| socket.ip()))
        .map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(proxies: &str) -> Addresses {
        Addresses {
            public_url: None,
            proxies: serde_json::from_str(proxies).unwrap(),
            fallback_host: "127.0.0.1:5000".to_owned(),
        }
    }

    fn request(headers: &[(&str, &str)]) -> http::request::Parts {
        let mut request = http::Request::builder().uri("/v2/");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        request.body(()).unwrap().into_parts().0
    }

    fn peer(address: &str) -> SocketAddr {
        SocketAddr::new(address.parse().unwrap(), 1234)
    }

    #[test]
    fn the_realm_is_where_the_client_came_in() {
        for (proxies, tls, headers, realm) in [
            (
                "false",
                false,
                &[("host", "a:5000")][..],
                "http://a:5000/token",
            ),
            ("false", true, &[("host", "a")], "https://a/token"),
            ("false", true, &[], "https://127.0.0.1:5000/token"),
            (
                "false",
                false,
                &[("host", "a\" b")],
                "http://127.0.0.1:5000/token",
            ),
            (
                "false",
                false,
                &[
                    ("host", "a"),
                    ("x-forwarded-proto", "https"),
                    ("x-forwarded-host", "b"),
                ],
                "http://a/token",
            ),
            (
                "true",
                false,
                &[("host", "a"), ("x-forwarded-proto", "https")],
                "https://a/token",
            ),
            (
                "[\"10.0.0.0/8\"]",
                false,
                &[
                    ("host", "a"),
                    ("x-forwarded-proto", "http, https"),
                    ("x-forwarded-host", "b"),
                ],
                "https://b/token",
            ),
            (
                "[\"192.168.0.0/16\"]",
                false,
                &[("host", "a"), ("x-forwarded-proto", "https")],
                "http://a/token",
            ),
            (
                "true",
                true,
                &[("host", "a"), ("x-forwarded-proto", "gopher")],
                "https://a/token",
            ),
        ] {
            let request = request(headers);
            let addresses = addresses(proxies);
            let origin = addresses.origin(&request, peer("10.1.2.3"), tls, &ProfilesBy::default());
            assert_eq!(origin.realm(), realm, "{proxies} {tls} {headers:?}");
        }
    }

    #[test]
    fn a_public_address_is_named_whatever_the_request_says() {
        let mut addresses = addresses("true");
        addresses.public_url = Some("https://hub.example.org".parse().unwrap());
        let request = request(&[("host", "inside:5000"), ("x-forwarded-proto", "http")]);
        let none = ProfilesBy::default();
        let origin = addresses.origin(&request, peer("10.1.2.3"), false, &none);
        assert_eq!(origin.realm(), "https://hub.example.org/token");
        assert_eq!(origin.scheme(), "https");
        // But not to who asked a host by which a profile is chosen.
        let text = r#"{"host": {"inside": "zen3"}}"#;
        let inside: ProfilesBy = serde_json::from_str(text).unwrap();
        let origin = addresses.origin(&request, peer("10.1.2.3"), false, &inside);
        assert_eq!(origin.realm(), "https://inside:5000/token");
    }

    #[test]
    fn a_public_address_is_a_scheme_and_a_host() {
        for (text, right) in [
            ("https://hub.example.org", true),
            ("https://hub.example.org/", true),
            ("http://hub.example.org:5000", true),
            ("https://[2001:db8::1]:5000", true),
            ("hub.example.org", false),
            ("ftp://hub.example.org", false),
            ("https://hub.example.org/registry", false),
            ("https://user@hub.example.org", false),
            ("https://hub.example.org?x", false),
        ] {
            assert_eq!(text.parse::<PublicUrl>().is_ok(), right, "{text}");
        }
    }

    #[test]
    fn the_client_is_the_last_address_that_is_no_proxy() {
        for (proxies, list, client) in [
            ("false", "1.1.1.1", "10.0.0.9"),
            ("true", "", "10.0.0.9"),
            ("true", "1.1.1.1", "1.1.1.1"),
            ("true", "6.6.6.6, 1.1.1.1", "1.1.1.1"),
            ("[\"10.0.0.0/8\"]", "6.6.6.6, 1.1.1.1, 10.0.0.3", "1.1.1.1"),
            ("[\"10.0.0.0/8\"]", "1.1.1.1:99", "1.1.1.1"),
            (
                "[\"10.0.0.0/8\"]",
                "[2001:db8::7]:99, 10.0.0.3:1",
                "2001:db8::7",
            ),
            ("[\"10.0.0.0/8\"]", "2001:db8::7", "2001:db8::7"),
            ("[\"10.0.0.0/8\"]", "6.6.6.6, nonsense", "10.0.0.9"),
            ("[\"10.0.0.0/8\"]", "10.0.0.3", "10.0.0.3"),
            ("[\"10.0.0.9\"]", "1.1.1.1", "1.1.1.1"),
            ("[\"10.0.0.1\"]", "1.1.1.1", "10.0.0.9"),
        ] {
            let request = request(&[("x-forwarded-for", list)]);
            let addresses = addresses(proxies);
            let found = addresses.client(&request.headers, peer("::ffff:10.0.0.9"));
            assert_eq!(found, client.parse::<IpAddr>().unwrap(), "{proxies} {list}");
        }
    }

    #[test]
    fn what_is_no_network_is_told() {
        let error = serde_json::from_str::<Proxies>("[\"10.0.0.0/33\"]").unwrap_err();
        assert!(error.to_string().contains("10.0.0.0/33"), "{error}");
        let error = serde_json::from_str::<Proxies>("\"proxy\"").unwrap_err();
        assert!(error.to_string().contains("true, false"), "{error}");
    }
}
