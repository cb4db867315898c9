//! What layers need.

use metahub_oci::Digest;

use super::MemoryRecords;
use crate::StoreError;
use crate::records::{Answer, LayerNeedsRecords};

impl LayerNeedsRecords for MemoryRecords {
    fn put_layer_needs(&self, digest: &Digest, rule: u32, needs: String) -> Answer<'_, bool> {
        self.write(|state| {
            let Some(blob) = state.blobs.get_mut(digest) else {
                return Ok::<_, StoreError>(false);
            };
            blob.needs = Some((rule, needs));
            Ok(true)
        })
    }

    fn layer_needs(&self, digest: &Digest, rule: u32) -> Answer<'_, Option<String>> {
        self.read(|state| {
            let known = state.blobs.get(digest).and_then(|blob| blob.needs.as_ref());
            let known = known.filter(|(by, _)| *by == rule);
            Ok::<_, StoreError>(known.map(|(_, needs)| needs.clone()))
        })
    }
}
