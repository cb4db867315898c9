//! The network addresses that a redirect or a token server may lead to.
//!
//! An upstream that we query on behalf of others must not make us connect to our own neighbourhood:
//! the loopback, the site's private network, a cloud's metadata service (CVE-2020-15157). Resolved
//! addresses are checked, in the resolver that the connection itself uses, so a name cannot change
//! between check and use.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use reqwest::dns::{Addrs, Name, Resolve, Resolving};
use schemars::JsonSchema;
use serde::Deserialize;
use tokio::sync::OnceCell;
use url::Url;

/// The network from which an address can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Reach {
    /// The internet.
    Public,
    /// One site: RFC 1918, unique local, shared (carrier) space.
    Private,
    /// One link, and clouds' metadata services.
    LinkLocal,
    /// This machine.
    Loopback,
    /// No address of a registry: unspecified, multicast, reserved, tunnels.
    Special,
}

impl Reach {
    /// The reach of one address. Addresses that carry another one are judged by that.
    pub(crate) fn of(address: IpAddr) -> Self {
        match address {
            IpAddr::V4(v4) => Self::of_v4(v4),
            IpAddr::V6(v6) => Self::of_v6(v6),
        }
    }

    fn of_v4(address: Ipv4Addr) -> Self {
        let [a, b, c, _] = address.octets();
        match (a, b, c) {
            (127, _, _) => Self::Loopback,
            (169, 254, _) => Self::LinkLocal,
            (10, _, _)
            | (172, 16..=31, _)
            | (192, 168, _)
            | (100, 64..=127, _)
            | (198, 18..=19, _) => Self::Private,
            (0 | 224..=255, _, _)
            | (192, 0, 0 | 2)
            | (192, 88, 99)
            | (198, 51, 100)
            | (203, 0, 113) => Self::Special,
            _ => Self::Public,
        }
    }

    fn of_v6(address: Ipv6Addr) -> Self {
        let segments = address.segments();
        let [a, b, c, d, e, f, g, h] = segments;
        let embedded = |high: u16, low: u16| {
            let [w, x] = high.to_be_bytes();
            let [y, z] = low.to_be_bytes();
            Self::of_v4(Ipv4Addr::new(w, x, y, z))
        };
        match (a, b) {
            _ if address.is_loopback() => Self::Loopback,
            _ if address.is_unspecified() => Self::Special,
            // IPv4-mapped, and NAT64's well-known prefix.
            (0, 0) if [c, d, e, f] == [0, 0, 0, 0xffff] => embedded(g, h),
            (0x64, 0xff9b) if [c, d, e, f] == [0; 4] => embedded(g, h),
            // 6to4.
            (0x2002, _) => embedded(b, c),
            (0xfc00..=0xfdff, _) | (0xfec0..=0xfeff, _) => Self::Private,
            (0xfe80..=0xfebf, _) => Self::LinkLocal,
            (0x2001, 0x0db8) | (0x2001, 0) => Self::Special,
            (0x2000..=0x3fff, _) => Self::Public,
            _ => Self::Special,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Public => "public",
            Self::Private => "private",
            Self::LinkLocal => "link-local",
            Self::Loopback => "loopback",
            Self::Special => "reserved",
        }
    }
}

/// A host that must not be contacted, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Forbidden {
    host: String,
    reach: &'static str,
}

impl fmt::Display for Forbidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "'{}' has a {} address, which this upstream must not lead to; list it as an upstream \
             of its own, or set allow_private: true for this one",
            self.host, self.reach
        )
    }
}

impl std::error::Error for Forbidden {}

/// The policy for names that a forward proxy resolves for us, whose addresses we do not see.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ProxiedPrivate {
    /// They go to the proxy, whose own rules count.
    #[default]
    Allow,
    /// They are resolved here as well, and refused unless all their addresses are allowed.
    Refuse,
}

/// The addresses that one upstream may lead to. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Guard(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    allow_private: bool,
    /// The upstream's own host and port: what is in its own reach is allowed.
    home: Option<(String, u16)>,
    home_reach: OnceCell<Vec<Reach>>,
    /// Proxies from the environment are resolved by the same resolver, and are our own choice.
    proxies: Vec<String>,
    proxied: ProxiedPrivate,
}

impl Guard {
    /// Public addresses only: for hosts that are not configured.
    pub(crate) fn public_only(proxied: ProxiedPrivate) -> Self {
        Self::new(None, false, proxied)
    }

    /// Public addresses, and addresses of the same reach as those of `home`: a registry on the
    /// site's network may redirect to storage on that network.
    pub(crate) fn beside(home: &Url, allow_private: bool, proxied: ProxiedPrivate) -> Self {
        let host = home.host_str().map(|host| {
            let port = home.port_or_known_default().unwrap_or(443);
            (unbracketed(host).to_owned(), port)
        });
        Self::new(host, allow_private, proxied)
    }

    fn new(home: Option<(String, u16)>, allow_private: bool, proxied: ProxiedPrivate) -> Self {
        Self(Arc::new(Inner {
            allow_private,
            home,
            home_reach: OnceCell::new(),
            proxies: proxies(),
            proxied,
        }))
    }

    async fn allows(&self, address: IpAddr) -> Result<(), Reach> {
        let reach = Reach::of(address);
        if reach == Reach::Public || self.0.allow_private {
            return Ok(());
        }
        match reach != Reach::Special && self.home_reach().await.contains(&reach) {
            true => Ok(()),
            false => Err(reach),
        }
    }

    async fn home_reach(&self) -> &[Reach] {
        let Some((host, port)) = &self.0.home else {
            return &[];
        };
        let found = self
            .0
            .home_reach
            .get_or_try_init(|| async {
                let addresses = tokio::net::lookup_host((host.as_str(), *port)).await?;
                std::io::Result::Ok(addresses.map(|a| Reach::of(a.ip())).collect())
            })
            .await;
        found.map_or(&[], Vec::as_slice)
    }

    /// Checks what the resolver does not see: addresses in the URL itself, and our own proxies.
    pub(crate) async fn check(&self, url: &Url) -> Result<(), Forbidden> {
        let forbidden = |reach: &'static str| Forbidden {
            host: url.host_str().unwrap_or("").to_owned(),
            reach,
        };
        let address = match url.host() {
            Some(url::Host::Ipv4(v4)) => IpAddr::V4(v4),
            Some(url::Host::Ipv6(v6)) => IpAddr::V6(v6),
            Some(url::Host::Domain(name)) => {
                let is_proxy = self.0.proxies.iter().any(|p| p.eq_ignore_ascii_case(name));
                return if is_proxy && !self.0.allow_private {
                    Err(forbidden("private"))
                } else if self.0.proxied == ProxiedPrivate::Refuse && !self.0.proxies.is_empty() {
                    self.check_name(name, url.port_or_known_default().unwrap_or(443))
                        .await
                        .map_err(forbidden)
                } else {
                    Ok(())
                };
            }
            None => return Err(forbidden("reserved")),
        };
        self.allows(address)
            .await
            .map_err(|reach| forbidden(reach.name()))
    }
}

impl Guard {
    /// Resolves a name that a proxy would resolve for us. All its addresses must be allowed, since
    /// the proxy may use any.
    async fn check_name(&self, name: &str, port: u16) -> Result<(), &'static str> {
        let found = tokio::net::lookup_host((name, port)).await;
        let mut found = found.map_err(|_| "unknown")?.peekable();
        if found.peek().is_none() {
            return Err("unknown");
        }
        for address in found {
            self.allows(address.ip()).await.map_err(Reach::name)?;
        }
        Ok(())
    }
}

impl Resolve for Guard {
    fn resolve(&self, name: Name) -> Resolving {
        let guard = self.clone();
        Box::pin(async move {
            let name = name.as_str();
            let found: Vec<SocketAddr> = tokio::net::lookup_host((name, 0)).await?.collect();
            if guard.0.proxies.iter().any(|p| p.eq_ignore_ascii_case(name)) {
                return Ok(Box::new(found.into_iter()) as Addrs);
            }
            let mut allowed = Vec::with_capacity(found.len());
            let mut refused = None;
            for address in found {
                match guard.allows(address.ip()).await {
                    Ok(()) => allowed.push(address),
                    Err(reach) => refused = Some(reach),
                }
            }
            match refused {
                Some(reach) if allowed.is_empty() => Err(Box::new(Forbidden {
                    host: name.to_owned(),
                    reach: reach.name(),
                })
                    as Box<dyn std::error::Error + Send + Sync>),
                _ => Ok(Box::new(allowed.into_iter()) as Addrs),
            }
        })
    }
}

/// An IPv6 address as a resolver takes it.
fn unbracketed(host: &str) -> &str {
    host.strip_prefix('[')
        .and_then(|host| host.strip_suffix(']'))
        .unwrap_or(host)
}

/// The names of proxies that the environment sends our requests through.
fn proxies() -> Vec<String> {
    ["http_proxy", "https_proxy", "all_proxy"]
        .iter()
        .flat_map(|name| [(*name).to_owned(), name.to_ascii_uppercase()])
        .filter_map(|name| std::env::var(name).ok())
        .filter_map(|value| {
            let url = Url::parse(&value)
                .ok()
                .filter(Url::has_host)
                .or_else(|| Url::parse(&format!("http://{value}")).ok())?;
            url.host_str().map(str::to_owned)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(text: &str) -> Reach {
        Reach::of(text.parse().unwrap())
    }

    #[test]
    fn addresses_are_judged_by_where_they_can_be_reached_from() {
        for (address, expected) in [
            ("1.1.1.1", Reach::Public),
            ("172.15.0.1", Reach::Public),
            ("172.32.0.1", Reach::Public),
            ("2606:4700::1111", Reach::Public),
            ("10.1.2.3", Reach::Private),
            ("172.16.0.1", Reach::Private),
            ("192.168.1.1", Reach::Private),
            ("100.64.0.1", Reach::Private),
            ("fd00::1", Reach::Private),
            ("169.254.169.254", Reach::LinkLocal),
            ("fe80::1", Reach::LinkLocal),
            ("127.0.0.1", Reach::Loopback),
            ("127.9.9.9", Reach::Loopback),
            ("::1", Reach::Loopback),
            ("0.0.0.0", Reach::Special),
            ("::", Reach::Special),
            ("224.0.0.1", Reach::Special),
            ("255.255.255.255", Reach::Special),
            ("ff02::1", Reach::Special),
        ] {
            assert_eq!(reach(address), expected, "{address}");
        }
    }

    #[test]
    fn an_address_inside_another_is_found() {
        assert_eq!(reach("::ffff:127.0.0.1"), Reach::Loopback);
        assert_eq!(reach("::ffff:1.1.1.1"), Reach::Public);
        assert_eq!(reach("64:ff9b::a9fe:a9fe"), Reach::LinkLocal);
        assert_eq!(reach("2002:7f00:1::"), Reach::Loopback);
        assert_eq!(reach("::7f00:1"), Reach::Special, "deprecated form");
    }

    #[tokio::test]
    async fn an_upstream_may_lead_to_its_own_kind_of_network_only() {
        let url = |text: &str| Url::parse(text).unwrap();
        let public = Guard::public_only(ProxiedPrivate::Allow);
        assert!(public.check(&url("http://1.1.1.1/")).await.is_ok());
        for inside in [
            "http://127.0.0.1/",
            "http://2130706433/",
            "http://0x7f.1/",
            "http://[::1]/",
            "http://[::ffff:10.0.0.1]/",
            "http://169.254.169.254/latest/meta-data/",
            "http://0.0.0.0/",
        ] {
            assert!(public.check(&url(inside)).await.is_err(), "{inside}");
        }
        let local = Guard::beside(&url("http://127.0.0.1:5000"), false, ProxiedPrivate::Allow);
        assert!(local.check(&url("http://127.0.0.1:9000/")).await.is_ok());
        assert!(local.check(&url("http://10.0.0.1/")).await.is_err());
        assert!(local.check(&url("http://169.254.169.254/")).await.is_err());
        let any = Guard::beside(&url("https://1.1.1.1"), true, ProxiedPrivate::Allow);
        assert!(any.check(&url("http://10.0.0.1/")).await.is_ok());
    }

    #[tokio::test]
    async fn a_name_that_resolves_to_this_machine_is_refused() {
        let name: Name = "localhost".parse().unwrap();
        let Err(error) = Guard::public_only(ProxiedPrivate::Allow)
            .resolve(name)
            .await
        else {
            panic!("localhost is not public");
        };
        assert!(error.downcast_ref::<Forbidden>().is_some());
    }

    #[tokio::test]
    async fn behind_a_proxy_names_are_judged_here_where_that_is_wanted() {
        let url = Url::parse("http://localhost/").unwrap();
        for (proxied, behind, refused) in [
            (ProxiedPrivate::Allow, true, false),
            (ProxiedPrivate::Refuse, true, true),
            // Without a proxy the resolver of the connection checks addresses.
            (ProxiedPrivate::Refuse, false, false),
        ] {
            let mut guard = Guard::public_only(proxied);
            let inner = Arc::get_mut(&mut guard.0).unwrap();
            inner.proxies = behind
                .then(|| "proxy.test".to_owned())
                .into_iter()
                .collect();
            assert_eq!(
                guard.check(&url).await.is_err(),
                refused,
                "{proxied:?} {behind}"
            );
        }
        let mut guard = Guard::public_only(ProxiedPrivate::Refuse);
        Arc::get_mut(&mut guard.0).unwrap().proxies = vec!["proxy.test".to_owned()];
        let unknown = Url::parse("http://no-such-host.invalid/").unwrap();
        let error = guard.check(&unknown).await.unwrap_err().to_string();
        assert!(error.contains("unknown"), "{error}");
    }
}
