//! Resumes an interrupted fill. The existing bytes are read and hashed before any of them is
//! served.

use std::sync::Arc;

use metahub_oci::Digest;

use crate::StoreError;
use crate::content::Staging;
use crate::fills::fill::Fill;
use crate::store::{Inner, Store};

/// The prefix of an interrupted fill.
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

    /// Resumes the fill, to `size` bytes in all if the source stated a size.
    #[must_use]
    pub fn go_on(self, size: Option<u64>) -> Fill {
        Fill::of(&self.inner, &self.digest, size, self.staged)
    }

    /// Discards the prefix, because the source contradicts it.
    pub fn discard(self) {
        if let Some(resumption) = self.staged.resumption() {
            resumption.spoil();
        }
    }
}

impl Store {
    /// The prefix of an interrupted fill from `source`, if it exists and is intact. Reads all of
    /// it. No other caller gets it; if dropped, it waits for the next one.
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
