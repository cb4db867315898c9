//! Pins.

use metahub_oci::{Digest, RepositoryName};

use super::MemoryRecords;
use crate::StoreError;
use crate::records::{Answer, Pin, PinRecords, Pinning};

impl PinRecords for MemoryRecords {
    fn pin(&self, repository: &RepositoryName, digest: &Digest, most: u64) -> Answer<'_, Pinning> {
        self.write(|state| {
            let pin = (repository.clone(), digest.clone());
            if state.held(repository, digest).is_none() {
                return Ok::<_, StoreError>(Pinning::Absent);
            }
            if !state.pins.contains_key(&pin) {
                if state.pins.len() as u64 >= most {
                    return Ok(Pinning::Full);
                }
                let now = state.now();
                state.pins.insert(pin, now);
            }
            Ok(Pinning::Done)
        })
    }

    fn unpin(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        self.write(|state| {
            let pin = (repository.clone(), digest.clone());
            Ok::<_, StoreError>(state.pins.remove(&pin).is_some())
        })
    }

    fn pins(&self) -> Answer<'_, Vec<Pin>> {
        self.read(|state| {
            let pins = state.pins.iter();
            let pins = pins.map(|((repository, digest), pinned_at)| Pin {
                repository: repository.clone(),
                digest: digest.clone(),
                pinned_at: *pinned_at,
            });
            Ok::<_, StoreError>(pins.collect())
        })
    }
}
