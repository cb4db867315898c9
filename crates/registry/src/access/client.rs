//! Clients without an account, distinguished by network address: content that only one of them
//! asked for has a bounded share of the cache.

use std::net::IpAddr;

use metahub_oci::Digest;

use crate::Registry;

impl Registry {
    /// The registry for a client without an account at `address`. Accounts, and nodes that proved
    /// their identity, are not limited.
    pub(super) fn of_client(&self, address: IpAddr) -> Self {
        Self {
            client: number(address),
            ..self.clone()
        }
    }
}

/// A number for an address, never 0. For IPv6 it is that of the network (the first 64 bits): one
/// machine has all the addresses in it.
fn number(address: IpAddr) -> i64 {
    let digest = match address.to_canonical() {
        IpAddr::V4(v4) => Digest::sha256(&v4.octets()),
        IpAddr::V6(v6) => Digest::sha256(v6.octets().get(..8).unwrap_or_default()),
    };
    let number = digest
        .hex()
        .get(..15)
        .and_then(|hex| i64::from_str_radix(hex, 16).ok());
    number.unwrap_or(1).max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(text: &str) -> i64 {
        number(text.parse().unwrap())
    }

    #[test]
    fn a_client_is_its_address_or_its_network() {
        assert_eq!(of("192.0.2.1"), of("::ffff:192.0.2.1"));
        assert_ne!(of("192.0.2.1"), of("192.0.2.2"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::ffff:1"));
        assert_ne!(of("2001:db8::1"), of("2001:db8:0:1::1"));
        assert!(of("0.0.0.0") > 0 && of("::") > 0);
    }
}
