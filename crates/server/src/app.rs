//! The parts of a server, as its caller assembles them.

use metahub_auth::Authenticator;
use metahub_operations::Curation;
use metahub_registry::Registry;

use crate::followed::FollowedCatalogs;
use crate::forwarded::Addresses;
use crate::limits::Limits;
use crate::metrics::MetricsAccess;
use crate::send_blobs::SendBlobs;

/// The parts of a server, and how it behaves where sites differ.
pub struct App {
    /// The registry itself.
    pub registry: Registry,
    /// The documents of the API, where the server keeps any.
    pub curation: Option<Curation>,
    /// Tells who asks.
    pub authenticator: Authenticator,
    /// How clients reach this server.
    pub addresses: Addresses,
    /// How much one client may take.
    pub limits: Limits,
    /// Whether every change by a client is refused. What upstreams give is still kept.
    pub read_only: bool,
    /// How blobs are sent.
    pub send_blobs: SendBlobs,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// How it stands with the catalogs that this server follows.
    pub followed: FollowedCatalogs,
}
