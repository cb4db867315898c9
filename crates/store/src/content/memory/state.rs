//! The content in memory.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::sync::Arc;
use std::time::SystemTime;

use bytes::Bytes;
use metahub_oci::Digest;

use crate::StoreError;
use crate::content::marker::Marker;
use crate::content::memory::bytes::Growing;
use crate::content::traits::StagedEntry;

#[derive(Debug, Default)]
pub(super) struct State {
    pub(super) blobs: HashMap<Digest, Blob>,
    pub(super) quarantine: HashMap<Digest, Blob>,
    pub(super) staged: HashMap<String, Object>,
    /// Staging objects that another fill may go on with.
    pub(super) resumable: HashMap<(String, Digest), Resumable>,
    /// The reversible publishings that have not ended.
    pub(super) publishing: BTreeMap<String, Digest>,
    pub(super) mark: Option<Marker>,
    pub(super) store: Option<String>,
}

#[derive(Clone, Debug)]
pub(super) struct Blob {
    pub(super) bytes: Bytes,
    pub(super) modified: SystemTime,
}

/// A staging object.
#[derive(Clone, Debug)]
pub(super) struct Object {
    pub(super) bytes: Arc<Growing>,
    /// How many of them were appended; the rest is prefetched.
    pub(super) len: u64,
    pub(super) modified: SystemTime,
}

/// What another fill may go on with.
#[derive(Debug)]
pub(super) struct Resumable {
    pub(super) bytes: Vec<u8>,
    pub(super) since: SystemTime,
}

impl State {
    pub(super) fn check_in_place(&self) -> Result<(), StoreError> {
        match (&self.store, &self.mark) {
            (None, _) => Ok(()),
            (Some(store), Some(mark)) if mark.store == *store => Ok(()),
            _ => Err(StoreError::ContentAbsent {
                folder: location().to_owned(),
                problem: "it is not marked as this store's".to_owned(),
            }),
        }
    }

    pub(super) fn put(&mut self, digest: Digest, bytes: Bytes) -> Result<(), StoreError> {
        self.check_in_place()?;
        let modified = SystemTime::now();
        self.blobs.insert(digest, Blob { bytes, modified });
        Ok(())
    }
}

pub(super) fn location() -> &'static Path {
    Path::new("memory")
}

impl Object {
    pub(super) fn entry(&self, name: &str) -> StagedEntry {
        StagedEntry {
            name: name.to_owned(),
            size: self.len,
            modified: self.modified,
        }
    }
}
