//! Raises the limit on open files and connections to the operating system's maximum: by default it
//! is less than a busy registry needs.

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// Beside connections: the database, the listener, the log, and blobs that are kept open.
const OTHERS: u64 = 192;
/// A connection, and the file that it sends.
const PER_CONNECTION: u64 = 2;

/// Raises the limit to the maximum, and warns if `connections` could need more.
pub(crate) fn raise_limit(connections: usize) {
    let before = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: before.maximum,
        maximum: before.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::debug!(%error, "the limit of open files could not be raised");
    }
    let most = getrlimit(Resource::Nofile).current;
    let needed = u64::try_from(connections)
        .unwrap_or(u64::MAX)
        .saturating_mul(PER_CONNECTION)
        .saturating_add(OTHERS);
    if most.is_some_and(|most| most < needed) {
        tracing::warn!(
            files = most,
            connections,
            "the operating system allows fewer open files than limits.connections may need: raise \
             it (ulimit -n, LimitNOFILE=), or lower limits.connections"
        );
    }
}
