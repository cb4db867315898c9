//! The data folder's state that all its blob files share.

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};

use rand::RngExt as _;

use crate::StoreError;
use crate::content::files::interrupted::Interrupted;
use crate::content::files::marks;
use crate::content::files::verified::Verified;
use crate::folder::layout::Layout;
use crate::steps::Steps;

/// What everything that works on the files of blobs needs.
#[derive(Debug)]
pub(crate) struct Folder {
    pub(crate) layout: Layout,
    /// The folder `blobs`, for messages.
    pub(crate) blobs: PathBuf,
    /// Called at each step that must survive an interruption.
    pub(crate) steps: Steps,
    /// Files whose content is verified, by their metadata.
    pub(crate) verified: Arc<Verified>,
    /// Fills that ended before their end.
    pub(crate) interrupted: Arc<Interrupted>,
    /// The store that the folders of blobs are marked with, once that is settled.
    pub(crate) store: OnceLock<String>,
}

impl Folder {
    pub(crate) fn new(layout: Layout, steps: Steps) -> Self {
        Self {
            blobs: layout.root().join("blobs"),
            layout,
            steps,
            verified: Arc::new(Verified::new()),
            interrupted: Arc::default(),
            store: OnceLock::new(),
        }
    }

    /// Fails unless the folders of blobs are marked as the store's. Blocks.
    pub(crate) fn check_in_place(&self) -> Result<(), StoreError> {
        match self.store.get() {
            Some(store) => marks::check(&self.layout, store),
            None => Ok(()),
        }
    }

    /// A fresh path in staging for content that is no upload.
    pub(crate) fn fresh(&self, kind: &str) -> PathBuf {
        let name = format!("{kind}-{:032x}", rand::rng().random::<u128>());
        self.layout.staged(&name)
    }
}
