//! The content, the faults and the recorded requests of a misbehaving upstream.

use std::collections::HashMap;
use std::sync::Mutex;

use bytes::Bytes;

use super::fault::Fault;

#[derive(Debug)]
pub(super) struct State {
    pub(super) content: HashMap<String, (String, Bytes)>,
    pub(super) faults: Mutex<HashMap<String, Fault>>,
    pub(super) asked: Mutex<Vec<String>>,
    /// The paths of which ranges were requested, and the ranges.
    pub(super) parts: Mutex<Vec<(String, String)>>,
    /// Bytes of answers' bodies that were taken from here, for each path.
    pub(super) sent: Mutex<HashMap<String, u64>>,
    pub(super) mended: tokio::sync::Notify,
}
