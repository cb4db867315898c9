//! A cache of parsed documents, each parsed once for all concurrent callers. Heavy work on them
//! runs on blocking threads within the document budget, so that it delays no other request.

use std::sync::Arc;
use std::time::Duration;

use metahub_limits::BudgetError;
use metahub_oci::{Digest, Document, DocumentError, MediaType};
use metahub_store::StoredManifest;
use moka::future::Cache;
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio::time::timeout;

use crate::Registry;
use crate::cache::coalesced::Coalesced;
use crate::error::RegistryError;
use crate::pull::source::parse;

/// Documents of up to this many bytes are handled by the calling task: about a millisecond.
const SMALL: usize = 32 * 1024;
/// What a parsed document takes in memory, as a multiple of its text.
const PARSED: usize = 16;
/// Bytes of parsed documents that are cached in memory.
const CACHED: u64 = 96 * 1024 * 1024;
/// Choices among the entries of large documents that are made at once. Each holds lists of all
/// entries from its first look-up to its end.
const LARGE_CHOICES: usize = 2;
/// How long a choice waits for its turn, and the time to retry after that.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// Recently parsed documents.
pub(crate) struct Documents {
    parsed: Coalesced<(Digest, MediaType), Arc<Document>>,
    choices: Semaphore,
}

impl Default for Documents {
    fn default() -> Self {
        let size = |document: &Arc<Document>| document.bytes().len().saturating_mul(PARSED);
        let cache = Cache::builder()
            .weigher(move |_, document| u32::try_from(size(document)).unwrap_or(u32::MAX))
            .max_capacity(CACHED)
            .build();
        Self {
            parsed: Coalesced::new(cache, move |document| size(document) as u64),
            choices: Semaphore::new(LARGE_CHOICES),
        }
    }
}

impl Registry {
    /// The parsed document of a stored manifest.
    pub(crate) async fn document(
        &self,
        stored: &Arc<StoredManifest>,
    ) -> Result<Arc<Document>, RegistryError> {
        if stored.bytes.len() <= SMALL {
            return Ok(Arc::new(parse(stored)?));
        }
        let key = (stored.digest.clone(), stored.media_type.clone());
        let documents = &self.inner.documents.parsed;
        if let Some(known) = documents.get(&key).await {
            return Ok(known);
        }
        let work = async {
            let stored = Arc::clone(stored);
            let parsed = self.on_document(stored.bytes.len(), move || parse(&stored));
            let parsed = parsed.await.map_err(Arc::new)?;
            Ok(Arc::new(parsed.map_err(|error| Arc::new(error.into()))?))
        };
        let parsed = documents.get_or(key, work).await?.value;
        parsed.map_err(|error| match error.document_error() {
            Some(error) => error.into(),
            None => RegistryError::Shared(error),
        })
    }

    /// A turn to choose among the entries of a document of `bytes` bytes, to be held until the
    /// lists of them are gone. A small document needs none.
    ///
    /// # Errors
    /// [`BudgetError::Busy`] after 20 seconds.
    pub(crate) async fn turn_to_choose(
        &self,
        bytes: usize,
    ) -> Result<Option<SemaphorePermit<'_>>, RegistryError> {
        if bytes <= SMALL {
            return Ok(None);
        }
        match timeout(PATIENCE, self.inner.documents.choices.acquire()).await {
            Ok(Ok(turn)) => Ok(Some(turn)),
            Ok(Err(_)) | Err(_) => Err(RegistryError::Documents(BudgetError::Busy {
                retry_after: RETRY_AFTER,
            })),
        }
    }

    /// Runs `work` on a document of `bytes` bytes: at once if it is small, else with memory of the
    /// document budget, which is returned when the work ends. The cache bounds the results that are
    /// kept.
    ///
    /// # Errors
    /// The budget's: too many documents at once, or work that panics.
    pub(crate) async fn on_document<T: Send + 'static>(
        &self,
        bytes: usize,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, RegistryError> {
        if bytes <= SMALL {
            return Ok(work());
        }
        let (result, _memory) = self.documents().run(bytes as u64, work).await?;
        Ok(result)
    }
}

impl RegistryError {
    /// The error of a document, if it is one.
    fn document_error(&self) -> Option<DocumentError> {
        match self {
            Self::Document(error) => Some(error.clone()),
            _ => None,
        }
    }
}
