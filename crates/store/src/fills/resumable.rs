//! Resumes an interrupted fill. The bytes that exist are read and hashed before anybody gets one of
//! them.

use std::sync::Arc;

use metahub_oci::Digest;

use crate::StoreError;
use crate::content::Staging;
use crate::fills::fill::Fill;
use crate::store::{Inner, Store};

/// The beginning of a content, from a fill that was interrupted.
pub struct ResumableFill {
    inner: Arc<Inner>,
    digest: Digest,
    staged: Box<dyn Staging>,
}

impl ResumableFill {
    /// How many bytes there are.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.staged.durable()
    }

    /// Goes on behind them, to `size` bytes in all if the source said so.
    #[must_use]
    pub fn go_on(self, size: Option<u64>) -> Fill {
        Fill::of(&self.inner, &self.digest, size, self.staged)
    }

    /// Discards them: the source says that they cannot be right.
    pub fn discard(self) {
        if let Some(resumption) = self.staged.resumption() {
            resumption.spoil();
        }
    }
}

impl Store {
    /// What came of a fill from `source` that was interrupted, if there is anything and it is
    /// undamaged. Reads all of it. Nobody else gets it; dropped, it waits for the next who asks.
    pub async fn resumable_fill(
        &self,
        source: &str,
        digest: &Digest,
    ) -> Result<Option<ResumableFill>, StoreError> {
        let content = &self.inner.content;
        if !content.can_resume(source, digest) {
            return Ok(None);
        }
        let staged = content.resume(source, digest).await?;
        Ok(staged.map(|staged| ResumableFill {
            inner: Arc::clone(&self.inner),
            digest: digest.clone(),
            staged,
        }))
    }
}
