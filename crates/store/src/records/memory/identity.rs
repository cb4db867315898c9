//! The identity of the store. No other process can change these records, so there is no other
//! writer to refuse.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use metahub_oci::Digest;

use super::MemoryRecords;
use crate::StoreError;
use crate::content::Known;
use crate::folder::lease;
use crate::records::{Answer, IdentityRecords, SnapshotRecords};

impl IdentityRecords for MemoryRecords {
    fn claim(&self, _: Arc<lease::Shared>) -> Answer<'_, ()> {
        self.read(|_| Ok(()))
    }

    fn identity(&self) -> Answer<'_, Option<Known>> {
        self.read(|state| Ok(state.identity.clone()))
    }

    fn suspect(&self) -> Answer<'_, Option<String>> {
        self.read(|state| Ok(state.suspect.clone()))
    }

    fn set_suspect(&self, suspect: Option<String>) -> Answer<'_, ()> {
        self.write(|state| {
            state.suspect = suspect;
            Ok::<_, StoreError>(())
        })
    }

    fn begin_epoch(&self, store: String, epoch: i64, suspect: Option<String>) -> Answer<'_, ()> {
        self.write(|state| {
            state.suspect = suspect;
            state.identity = Some(Known {
                store,
                epoch: state.identity.as_ref().map_or(0, |known| known.epoch),
                next: Some(epoch),
            });
            Ok::<_, StoreError>(())
        })
    }

    fn finish_epoch(&self, epoch: i64) -> Answer<'_, ()> {
        self.write(|state| {
            if let Some(known) = &mut state.identity {
                known.epoch = epoch;
                known.next = None;
            }
            Ok::<_, StoreError>(())
        })
    }

    fn holds_anything(&self) -> Answer<'_, bool> {
        self.read(|state| {
            Ok(!(state.blobs.is_empty()
                && state.bodies.is_empty()
                && state.repositories.is_empty()
                && state.uploads.is_empty()))
        })
    }

    fn sample_of_files(&self) -> Answer<'_, Vec<Digest>> {
        self.read(|state| {
            // In order, so that the first of each folder is the least.
            let mut sample = BTreeMap::new();
            for (digest, blob) in &state.blobs {
                if blob.body.is_none() {
                    let folder = (digest.algorithm(), digest.hex().get(..2));
                    sample.entry(folder).or_insert_with(|| digest.clone());
                }
            }
            Ok(sample.into_values().collect())
        })
    }
}

impl SnapshotRecords for MemoryRecords {
    fn snapshot_to(&self, _: &Path) -> Answer<'_, ()> {
        self.read(|_| Err(StoreError::NotSupported("a backup")))
    }
}
