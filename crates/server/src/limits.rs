//! Limits on what one client may use of the server: connections, time, and sizes.

use std::time::Duration;

use metahub_oci::MAX_MANIFEST_BYTES;

/// Limits of the server.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections open at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Most requests answered at once, over all connections; others are refused with a time to
    /// retry.
    pub requests: usize,
    /// The same of one client: an IPv4 address, or the /64 network of an IPv6 address.
    pub requests_per_client: usize,
    /// Time for a client to send a request's headers, and for a TLS handshake.
    pub header_timeout: Duration,
    /// How long a connection may be idle between two requests.
    pub idle_timeout: Duration,
    /// How long a client may stall: send nothing of a request's body, or take nothing of an answer.
    pub stall_timeout: Duration,
    /// Time for running requests to end at shutdown.
    pub drain_timeout: Duration,
    /// Largest manifest or index that may be pushed, in bytes. More than
    /// [`MAX_MANIFEST_BYTES`] are never taken.
    pub manifest_size: usize,
    /// Longest name of a repository, in characters.
    pub name_length: usize,
    /// Most items in one page of a list.
    pub page_size: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            requests: 4096,
            requests_per_client: 2048,
            header_timeout: Duration::from_secs(15),
            idle_timeout: Duration::from_secs(75),
            stall_timeout: Duration::from_secs(60),
            drain_timeout: Duration::from_secs(30),
            manifest_size: MAX_MANIFEST_BYTES,
            name_length: 255,
            page_size: 1000,
        }
    }
}
