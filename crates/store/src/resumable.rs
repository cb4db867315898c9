//! Going on with a fill that was interrupted. What there is of it is read and hashed before anybody
//! gets a byte of it.

use std::sync::Arc;

use metahub_oci::Digest;

use crate::StoreError;
use crate::fill::Fill;
use crate::interrupted::Mark;
use crate::staged::Staged;
use crate::store::{Inner, Store, blocking};

/// The beginning of a content, from a fill that was interrupted.
pub struct Begun {
    inner: Arc<Inner>,
    digest: Digest,
    staged: Staged,
    mark: Arc<Mark>,
}

impl Begun {
    /// How many bytes there are.
    #[must_use]
    pub fn received(&self) -> u64 {
        self.staged.len()
    }

    /// Goes on behind them, to `size` bytes in all if the source said so.
    #[must_use]
    pub fn go_on(self, size: Option<u64>) -> Fill {
        Fill::of(
            &self.inner,
            &self.digest,
            size,
            self.staged,
            Some(self.mark),
        )
    }

    /// Discards them: the source says that they cannot be right.
    pub fn discard(self) {
        self.staged.spoil();
    }
}

impl Store {
    /// What came of a fill from `source` that was interrupted, if there is anything and it is
    /// undamaged. Reads all of it. Nobody else gets it; dropped, it waits for the next who asks.
    pub async fn resumable_fill(
        &self,
        source: &str,
        digest: &Digest,
    ) -> Result<Option<Begun>, StoreError> {
        if !self.inner.interrupted.has(source, digest) {
            return Ok(None);
        }
        let (inner, source, digest) = (Arc::clone(&self.inner), source.to_owned(), digest.clone());
        blocking(move || {
            let taken = inner.interrupted.take(&source, &digest);
            Ok(taken.map(|beginning| Begun {
                inner,
                digest,
                mark: Arc::clone(&beginning.mark),
                staged: Staged::taken_up(beginning),
            }))
        })
        .await
    }
}
