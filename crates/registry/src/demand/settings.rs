//! The settings of demand records, and the client of a recorded pull.

use std::net::IpAddr;
use std::time::Duration;

use metahub_store::Redacted;

/// Settings of demand records.
#[derive(Clone, Debug)]
pub struct DemandSettings {
    /// Most combinations of image, kind of machine and result; 0 records none.
    pub limit: u64,
    /// How long records are kept.
    pub keep: Duration,
    /// The key for hashing nodes' names; without it nodes are not counted.
    pub secret: Option<Redacted<[u8; 32]>>,
}

impl Default for DemandSettings {
    fn default() -> Self {
        Self {
            limit: 10_000,
            keep: Duration::from_hours(90 * 24),
            secret: None,
        }
    }
}

/// The client of a pull, as far as that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Puller<'a> {
    /// Whether the request is a `HEAD`, which clients send before they pull.
    pub is_head: bool,
    /// The client's address.
    pub address: IpAddr,
    /// The client's `User-Agent`.
    pub agent: &'a str,
    /// Whether it has an account.
    pub has_account: bool,
    /// The node, if it proved its identity.
    pub node: Option<&'a str>,
}
