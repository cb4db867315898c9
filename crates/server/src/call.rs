//! One parsed request.

use std::net::IpAddr;

use crate::forwarded::Origin;
use crate::request::Pairs;

/// A request while it is answered: its head, and the values parsed from that.
pub(crate) struct Call<'a> {
    pub(crate) head: &'a http::request::Parts,
    pub(crate) query: Pairs,
    pub(crate) origin: Origin<'a>,
    pub(crate) client: IpAddr,
    /// The names in the client's certificate.
    pub(crate) certificate: &'a [String],
    /// Whether the answer may leave parts of files to the connection.
    pub(crate) sendfile: bool,
}
