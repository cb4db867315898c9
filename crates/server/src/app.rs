//! The parts of a server, as its caller assembles them.

use metahub_auth::Authenticator;
use metahub_operations::Curation;
use metahub_registry::Registry;

use crate::followed::FollowedCatalogs;
use crate::forwarded::Addresses;
use crate::limits::Limits;
use crate::metrics::MetricsAccess;
use crate::send_blobs::SendBlobs;

/// The parts and the settings of a server.
pub struct App {
    /// The registry itself.
    pub registry: Registry,
    /// The documents of the API, if the server has any.
    pub curation: Option<Curation>,
    /// Authenticates clients.
    pub authenticator: Authenticator,
    /// How clients reach this server.
    pub addresses: Addresses,
    /// Limits per client.
    pub limits: Limits,
    /// Whether every change by a client is refused. Upstream content is still cached.
    pub read_only: bool,
    /// How blobs are sent.
    pub send_blobs: SendBlobs,
    /// Who may read `/metrics`.
    pub metrics: MetricsAccess,
    /// The state of the catalogs that this server follows.
    pub followed: FollowedCatalogs,
}
