//! The identity of the open store, once it is settled.

use std::sync::OnceLock;

/// The store's identity while it is open to serve.
#[derive(Debug, Default)]
pub(crate) struct Identity {
    pub(crate) store: OnceLock<String>,
    pub(crate) suspect: parking_lot::Mutex<Option<String>>,
}

impl Identity {
    /// The store's identifier, once it is settled.
    pub(crate) fn store(&self) -> Option<&str> {
        self.store.get().map(String::as_str)
    }

    /// Why the folder of blobs and the database do not seem to be of the same time.
    pub(crate) fn suspect(&self) -> Option<String> {
        self.suspect.lock().clone()
    }
}
