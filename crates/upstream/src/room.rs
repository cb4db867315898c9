//! The memory budget for documents from upstreams. Ordinary ones need no reservation; only a few
//! larger ones of one upstream are read at a time, and all upstreams share one budget, so that
//! upstreams with manifests of the greatest size cannot fill this registry's memory.
//!
//! It bounds documents that are read whole. Blobs stream, and have bounds of their own.

use std::time::Duration;

use metahub_limits::{BudgetError, DocumentBudget, DocumentUse, Reservation};
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::error::Problem;

/// A document up to this size needs no reservation: nearly all manifests have a few KiB.
const ORDINARY: u64 = 64 * 1024;
/// Larger documents of one upstream that are read at once.
const MOST_LARGE: usize = 2;

/// How long a large document waits for others of its upstream, and the time to retry after that.
const PATIENCE: Duration = Duration::from_secs(20);
const RETRY_AFTER: Duration = Duration::from_secs(5);

/// The memory of one upstream.
#[derive(Debug)]
pub(crate) struct Room {
    large: Semaphore,
    documents: DocumentBudget,
}

/// Memory for one document, while it is held.
#[derive(Debug)]
pub(crate) struct Place<'a> {
    _large: Option<SemaphorePermit<'a>>,
    memory: Reservation,
}

impl Place<'_> {
    /// The memory alone, once the document was read: its upstream may send the next one.
    pub(crate) fn into_memory(self) -> Reservation {
        self.memory
    }
}

impl Room {
    pub(crate) fn new(documents: DocumentBudget) -> Self {
        Self {
            large: Semaphore::new(MOST_LARGE),
            documents,
        }
    }

    /// The budget that all upstreams share.
    pub(crate) fn documents(&self) -> &DocumentBudget {
        &self.documents
    }

    /// A place for one document of `bytes`.
    pub(crate) async fn for_bytes(&self, bytes: u64) -> Result<Place<'_>, Problem> {
        let large = if bytes <= ORDINARY {
            None
        } else {
            let place = tokio::time::timeout(PATIENCE, self.large.acquire()).await;
            let place = place.ok().and_then(Result::ok).ok_or(Problem::Busy {
                retry_after: RETRY_AFTER,
            })?;
            Some(place)
        };
        let memory = self.documents.reserve(DocumentUse::FromUpstream, bytes);
        Ok(Place {
            _large: large,
            memory: memory.await?,
        })
    }
}

impl From<BudgetError> for Problem {
    fn from(error: BudgetError) -> Self {
        match error {
            BudgetError::Busy { retry_after } => Self::Busy { retry_after },
            BudgetError::Failed => Self::BadAnswer(error.to_string()),
        }
    }
}
