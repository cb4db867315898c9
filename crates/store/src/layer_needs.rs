//! What a layer's code needs, as inspection found it: a small text recorded with its blob.

use metahub_oci::Digest;

use crate::StoreError;
use crate::store::Store;

impl Store {
    /// Records what a blob needs by a version of the rule; returns whether the blob is stored. The
    /// record is removed with the blob.
    pub async fn put_layer_needs(
        &self,
        digest: &Digest,
        rule: u32,
        needs: String,
    ) -> Result<bool, StoreError> {
        self.inner
            .records
            .put_layer_needs(digest, rule, needs)
            .await
    }

    /// What a blob needs by that version of the rule, if it is known.
    pub async fn layer_needs(
        &self,
        digest: &Digest,
        rule: u32,
    ) -> Result<Option<String>, StoreError> {
        self.inner.records.layer_needs(digest, rule).await
    }
}
