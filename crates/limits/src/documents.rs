//! The memory budget for manifests and indexes that are being read, parsed or derived from.
//!
//! Nearly all documents have a few KiB; they need no reservation and never wait. Larger ones
//! reserve memory first, from separate parts of one budget, so that one use never waits for
//! another:
//!
//! | part of the budget | for | counted with |
//! |---|---|---|
//! | 1/8 | bodies that clients send | their bytes |
//! | 1/8 | bodies that upstreams send | their bytes |
//! | 1/4 | parsed documents of up to 256 KiB | 48 times their bytes |
//! | 1/2 | larger parsed documents | 48 times their bytes |
//!
//! **One rule keeps this free of deadlocks**: a holder of a reservation for a parsed document
//! waits for no other reservation. A body that was read may wait to be parsed, not the other way
//! round. So hold a parsed document no longer than it takes to narrow it or to store it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Memory that a parsed document takes at most while it is worked on, in multiples of its bytes.
///
/// Measured by an allocator that counts (`crates/registry/tests/memory.rs`), on 64 bits: an index
/// takes 17 times its bytes while it is parsed (its JSON values, and each entry once more as a
/// descriptor), and 45 to 48 times while a login's choice among its entries is made, which keeps
/// lists of the entries and writes the index that is served.
pub const PARSED_FACTOR: u64 = 48;

/// Documents up to this size need no reservation, in bytes.
const FREE: u64 = 16 * 1024;
/// Parsed documents up to this size have a part of the budget to themselves, in bytes.
const MEDIUM: u64 = 256 * 1024;
/// Larger documents are parsed on a blocking thread, in bytes.
const INLINE: u64 = 64 * 1024;
/// The unit in which memory is counted, in bytes.
const UNIT: u64 = 1024;
/// How long a document waits for memory.
const PATIENCE: Duration = Duration::from_secs(20);
/// When to try again after that.
const RETRY_AFTER: Duration = Duration::from_secs(5);
/// The smallest budget, in bytes.
const LEAST: u64 = 1024 * 1024;

/// Why a document cannot be worked on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BudgetError {
    /// Others used the memory for as long as this one could wait.
    #[error(
        "too many large documents are being read at the moment: try again in {} seconds",
        .retry_after.as_secs()
    )]
    Busy {
        /// When to try again, for `Retry-After`.
        retry_after: Duration,
    },
    /// The thread that worked on it panicked. Its memory was released.
    #[error("a document could not be worked on: the thread that did so failed")]
    Failed,
}

/// What memory is reserved for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DocumentUse {
    /// A body that a client sends.
    FromClient,
    /// A body that an upstream sends.
    FromUpstream,
    /// A parsed document, and what is derived from it.
    Parsed,
}

/// The budget. Cheap to clone; clones share it.
#[derive(Clone, Debug)]
pub struct DocumentBudget(Arc<Parts>);

#[derive(Debug)]
struct Parts {
    clients: Part,
    upstreams: Part,
    medium: Part,
    large: Part,
    refused: AtomicU64,
    peak: AtomicU64,
}

#[derive(Debug)]
struct Part {
    free: Arc<Semaphore>,
    units: u32,
}

/// Memory that is reserved until this and its clones are dropped. Of a small document it is
/// nothing.
#[derive(Clone, Debug, Default)]
pub struct Reservation(Option<Arc<OwnedSemaphorePermit>>);

impl Reservation {
    /// How many bytes are reserved.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        let units = self.0.as_ref().map_or(0, |permit| permit.num_permits());
        units as u64 * UNIT
    }
}

impl Default for DocumentBudget {
    fn default() -> Self {
        Self::new(Self::DEFAULT)
    }
}

impl DocumentBudget {
    /// The usual size in bytes.
    pub const DEFAULT: u64 = 256 * 1024 * 1024;

    /// A budget of `bytes`, of at least a mebibyte. A document that is larger than its part
    /// reserves all of that, so it is worked on alone.
    #[must_use]
    pub fn new(bytes: u64) -> Self {
        let units = bytes.max(LEAST) / UNIT;
        Self(Arc::new(Parts {
            clients: Part::new(units / 8),
            upstreams: Part::new(units / 8),
            medium: Part::new(units / 4),
            large: Part::new(units / 2),
            refused: AtomicU64::new(0),
            peak: AtomicU64::new(0),
        }))
    }

    /// Reserves memory for a document of `bytes`.
    ///
    /// # Errors
    /// [`BudgetError::Busy`] after 20 seconds without enough memory.
    pub async fn reserve(&self, of: DocumentUse, bytes: u64) -> Result<Reservation, BudgetError> {
        if bytes <= FREE {
            return Ok(Reservation::default());
        }
        let parts = &*self.0;
        let (part, cost) = match of {
            DocumentUse::FromClient => (&parts.clients, bytes),
            DocumentUse::FromUpstream => (&parts.upstreams, bytes),
            DocumentUse::Parsed if bytes <= MEDIUM => (&parts.medium, bytes * PARSED_FACTOR),
            DocumentUse::Parsed => (&parts.large, bytes.saturating_mul(PARSED_FACTOR)),
        };
        let reserved = tokio::time::timeout(PATIENCE, part.reserve(cost)).await;
        parts.peak.fetch_max(self.used(), Ordering::Relaxed);
        reserved.ok().flatten().ok_or_else(|| {
            parts.refused.fetch_add(1, Ordering::Relaxed);
            BudgetError::Busy {
                retry_after: RETRY_AFTER,
            }
        })
    }

    /// Does `work` on a document of `bytes`: with memory for it parsed, and on a blocking thread if
    /// it is large. The reservation is for what `work` returns: keep it as long as that. If the
    /// caller is dropped, the memory is released when the work ends.
    ///
    /// # Errors
    /// [`BudgetError::Busy`] as of [`reserve`](Self::reserve), [`BudgetError::Failed`] if `work`
    /// panics on a blocking thread.
    pub async fn run<T: Send + 'static>(
        &self,
        bytes: u64,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<(T, Reservation), BudgetError> {
        let reserved = self.reserve(DocumentUse::Parsed, bytes).await?;
        if bytes <= INLINE {
            return Ok((work(), reserved));
        }
        tokio::task::spawn_blocking(move || (work(), reserved))
            .await
            .map_err(|_| BudgetError::Failed)
    }

    /// Memory that is reserved now, in bytes.
    #[must_use]
    pub fn used(&self) -> u64 {
        self.0.all().map(Part::used).sum()
    }

    /// The most memory that was reserved at once so far, in bytes.
    #[must_use]
    pub fn peak(&self) -> u64 {
        self.0.peak.load(Ordering::Relaxed)
    }

    /// The most that is ever reserved, in bytes.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.0.all().map(|part| u64::from(part.units) * UNIT).sum()
    }

    /// How many documents were refused because there was no memory for them in time.
    #[must_use]
    pub fn refused(&self) -> u64 {
        self.0.refused.load(Ordering::Relaxed)
    }
}

impl Parts {
    fn all(&self) -> impl Iterator<Item = &Part> {
        [&self.clients, &self.upstreams, &self.medium, &self.large].into_iter()
    }
}

impl Part {
    fn new(units: u64) -> Self {
        let most = Semaphore::MAX_PERMITS.min(u32::MAX as usize);
        let units = u32::try_from(units)
            .unwrap_or(u32::MAX)
            .clamp(1, u32::try_from(most).unwrap_or(u32::MAX));
        Self {
            free: Arc::new(Semaphore::new(units as usize)),
            units,
        }
    }

    /// None only if the semaphore were closed, which it never is.
    async fn reserve(&self, bytes: u64) -> Option<Reservation> {
        let units = u32::try_from(bytes.div_ceil(UNIT)).unwrap_or(u32::MAX);
        let units = units.min(self.units);
        let permit = Arc::clone(&self.free).acquire_many_owned(units).await;
        Some(Reservation(Some(Arc::new(permit.ok()?))))
    }

    fn used(&self) -> u64 {
        let free = self.free.available_permits() as u64;
        u64::from(self.units).saturating_sub(free) * UNIT
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    const MIB: u64 = 1024 * 1024;

    fn busy<T>(outcome: &Result<T, BudgetError>) -> bool {
        matches!(outcome, Err(BudgetError::Busy { .. }))
    }

    #[tokio::test(start_paused = true)]
    async fn large_documents_never_reserve_more_than_the_budget() {
        let budget = DocumentBudget::new(256 * MIB);
        let most = Arc::new(AtomicU64::new(0));
        let pushes = (0..64).map(|_| {
            let (budget, most) = (budget.clone(), Arc::clone(&most));
            tokio::spawn(async move {
                let _read = budget.reserve(DocumentUse::FromClient, 4 * MIB).await?;
                tokio::task::yield_now().await;
                let (used, _parsed) = budget
                    .run(4 * MIB, {
                        let budget = budget.clone();
                        move || budget.used()
                    })
                    .await?;
                most.fetch_max(used, Ordering::Relaxed);
                Ok::<_, BudgetError>(())
            })
        });
        let mut done = 0;
        for push in pushes.collect::<Vec<_>>() {
            push.await.unwrap().unwrap();
            done += 1;
        }
        assert_eq!(done, 64);
        assert_eq!(budget.used(), 0);
        let most = most.load(Ordering::Relaxed);
        assert!((64 * MIB..=budget.size()).contains(&most), "{most}");
    }

    #[tokio::test(start_paused = true)]
    async fn small_documents_never_wait_behind_large_ones() {
        let budget = DocumentBudget::new(64 * MIB);
        let _all = budget.reserve(DocumentUse::Parsed, 4 * MIB).await.unwrap();
        let waiting = tokio::spawn({
            let budget = budget.clone();
            async move { budget.reserve(DocumentUse::Parsed, 4 * MIB).await }
        });
        tokio::task::yield_now().await;
        let before = tokio::time::Instant::now();
        let small = budget
            .reserve(DocumentUse::Parsed, 10 * UNIT)
            .await
            .unwrap();
        assert_eq!(small.bytes(), 0, "nothing is counted");
        let medium = budget.reserve(DocumentUse::Parsed, MEDIUM).await.unwrap();
        assert_eq!(medium.bytes(), MEDIUM * PARSED_FACTOR);
        budget.reserve(DocumentUse::FromClient, MIB).await.unwrap();
        budget
            .reserve(DocumentUse::FromUpstream, MIB)
            .await
            .unwrap();
        assert_eq!(before.elapsed(), Duration::ZERO);
        // Waiting ends, with a time to come back.
        assert!(busy(&waiting.await.unwrap()));
        assert_eq!(budget.refused(), 1);
    }

    #[tokio::test]
    async fn a_panic_and_a_client_that_leaves_give_the_memory_back() {
        let budget = DocumentBudget::new(64 * MIB);
        let panicked = budget.run::<()>(4 * MIB, || panic!("on purpose")).await;
        assert_eq!(panicked.unwrap_err(), BudgetError::Failed);
        assert_eq!(budget.used(), 0);

        let (ran, runs) = (
            Arc::new(AtomicUsize::new(0)),
            std::sync::mpsc::channel::<()>(),
        );
        let (go, goes) = runs;
        let working = tokio::spawn({
            let (budget, ran) = (budget.clone(), Arc::clone(&ran));
            async move {
                let work = move || {
                    ran.store(1, Ordering::SeqCst);
                    let _ = goes.recv();
                };
                budget.run(4 * MIB, work).await.map(drop)
            }
        });
        while ran.load(Ordering::SeqCst) == 0 {
            tokio::task::yield_now().await;
        }
        working.abort();
        assert!(working.await.is_err());
        assert!(budget.used() > 0, "the thread still works on it");
        go.send(()).unwrap();
        budget.reserve(DocumentUse::Parsed, 4 * MIB).await.unwrap();
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn a_document_larger_than_its_part_is_worked_on_alone() {
        let budget = DocumentBudget::new(0);
        let alone = budget.reserve(DocumentUse::Parsed, 4 * MIB).await.unwrap();
        assert_eq!(alone.bytes(), LEAST / 2);
        assert!(budget.used() <= budget.size());
    }
}
