//! How much of the server one client may take: connections and time.

use std::time::Duration;

/// Limits of the listener.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Most connections open at once; more wait in the kernel's queue.
    pub connections: usize,
    /// Time for a client to send a request's headers, and for a TLS handshake.
    pub header_timeout: Duration,
    /// Time for running requests to end after the listener was told to stop.
    pub drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            connections: 4096,
            header_timeout: Duration::from_secs(15),
            drain: Duration::from_secs(30),
        }
    }
}
