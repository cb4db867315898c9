//! What the code of layers needs, as inspection found it.

use metahub_oci::Digest;

use super::shared::Answer;

/// What layers need: one text for a blob that is stored, by a version of the rule. It goes with
/// its blob.
pub(crate) trait LayerNeedsRecords: Send + Sync {
    /// Records what a blob needs, replacing an earlier record; returns whether the blob is stored.
    /// A power cut may undo it.
    fn put_layer_needs(&self, digest: &Digest, rule: u32, needs: String) -> Answer<'_, bool>;

    /// What a blob needs by that version of the rule, if it is known.
    fn layer_needs(&self, digest: &Digest, rule: u32) -> Answer<'_, Option<String>>;
}
