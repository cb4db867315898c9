//! The network that counts as one client: an IPv4 address, or the /64 network of an IPv6 address.

use std::net::{IpAddr, Ipv4Addr};

use ipnet::IpNet;

/// A client network. One IPv6 customer has a whole /64, so all of its addresses count as one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Network(IpAddr);

impl Network {
    /// All clients whose address is not known.
    pub const UNKNOWN: Self = Self(IpAddr::V4(Ipv4Addr::UNSPECIFIED));

    /// The network of `address`. An IPv4 address that is mapped into IPv6 counts as IPv4.
    #[must_use]
    pub fn of(address: IpAddr) -> Self {
        Self(match address.to_canonical() {
            IpAddr::V6(address) => {
                let network = u128::from(address) & !u128::from(u64::MAX);
                IpAddr::V6(network.into())
            }
            address @ IpAddr::V4(_) => address,
        })
    }
}

impl From<Option<IpAddr>> for Network {
    fn from(address: Option<IpAddr>) -> Self {
        address.map_or(Self::UNKNOWN, Self::of)
    }
}

/// Reads a network such as `10.0.0.0/8`, or one address as a network of its own.
///
/// # Errors
/// A text that says what was expected.
pub fn parse_network(written: &str) -> Result<IpNet, String> {
    written
        .parse()
        .or_else(|_| written.parse::<IpAddr>().map(IpNet::from))
        .map_err(|_| format!("'{written}' is not a network: expected one such as 10.0.0.0/8"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_one_network_count_as_one() {
        let network = |address: &str| Network::of(address.parse().unwrap());
        assert_eq!(network("2001:db8::1"), network("2001:db8::ffff"));
        assert_ne!(network("2001:db8::1"), network("2001:db8:0:1::1"));
        assert_eq!(network("::ffff:192.0.2.1"), network("192.0.2.1"));
        assert_ne!(network("192.0.2.1"), network("192.0.2.2"));
    }
}
