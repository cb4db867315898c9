//! What a worker has begun and not ended when its server is killed.

use std::time::Instant;

use crate::client::Reply;

/// A blob that no manifest names.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Loose {
    Unknown,
    Gone,
    /// Its push was acknowledged, and began then.
    Pushed(Instant),
}

/// An upload that goes on after a kill.
pub(crate) struct Partial {
    pub(crate) path: String,
    pub(crate) acknowledged: usize,
    pub(crate) content: Vec<u8>,
}

/// An upload whose end was asked for and not yet acknowledged.
pub(crate) struct Ending {
    pub(crate) path: String,
    /// What was acknowledged before, in bytes.
    pub(crate) acknowledged: usize,
    pub(crate) digest: String,
    pub(crate) began: Instant,
}

pub(crate) fn index(image: u64) -> usize {
    usize::try_from(image).unwrap()
}

pub(crate) fn expect(reply: &Reply, statuses: &[u16], what: &str) {
    let text = String::from_utf8_lossy(&reply.body);
    assert!(
        statuses.contains(&reply.status),
        "{what}: {} {text}",
        reply.status
    );
}
