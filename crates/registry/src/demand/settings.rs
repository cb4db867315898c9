//! The settings of demand records, and the client of a recorded pull.

use std::net::IpAddr;
use std::time::Duration;

use metahub_store::Redacted;

/// How much is recorded of what machines got.
#[derive(Clone, Debug)]
pub struct DemandSettings {
    /// Most combinations of image, kind of machine and what it got; none are recorded at 0.
    pub limit: u64,
    /// How long.
    pub keep: Duration,
    /// What nodes' names are hashed with; without it nodes are not told apart.
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

/// Who pulls, as far as that is counted.
#[derive(Clone, Copy, Debug)]
pub struct Puller<'a> {
    /// Whether the request only asks what the tag is, which clients do before they pull.
    pub is_head: bool,
    /// Where the request comes from.
    pub address: IpAddr,
    /// The program that asks, as it calls itself.
    pub agent: &'a str,
    /// Whether it is an account's.
    pub has_account: bool,
    /// The node, if one has shown who it is.
    pub node: Option<&'a str>,
}
