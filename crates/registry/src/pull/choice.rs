//! Choices and outcomes: which images logins get from sources, in memory, and what was made from
//! them, in the store.
//!
//! A login's wording is up to the client, so nothing that is stored depends on it: a choice, which
//! does, expires and is in bounded memory; an outcome depends only on what was chosen, and any
//! number of logins that choose the same share one.

use std::sync::Arc;
use std::time::Duration;

use metahub_oci::Digest;
use metahub_store::StoredManifest;
use moka::future::Cache;

use crate::Registry;
use crate::access::stored::StoredRepository;
use crate::cache::coalesced::Coalesced;
use crate::error::RegistryError;
use crate::pull::derivation::Derivation;
use crate::pull::outcome::{Chosen, Held};

/// Bytes of choices that are cached in memory: some twenty thousand choices.
const CHOICES: u64 = 16 * 1024 * 1024;
/// What a choice takes beside its warnings, in bytes, roughly.
const CHOICE: usize = 768;
/// How long a choice is cached: an image's statements may be pushed later than the image.
const LIFETIME: Duration = Duration::from_secs(600);
/// Most outcomes whose place in the store is cached.
const OUTCOMES: u64 = 4096;

/// Recent choices and outcomes. Concurrent requests do the work once.
pub(crate) struct Derivations {
    choices: Coalesced<Digest, Arc<Chosen>>,
    outcomes: Coalesced<Digest, Held>,
}

impl Default for Derivations {
    fn default() -> Self {
        let size = |chosen: &Arc<Chosen>| {
            let warnings: usize = chosen.warnings.iter().map(String::len).sum();
            CHOICE + warnings
        };
        let choices = Cache::builder()
            .weigher(move |_: &Digest, chosen| u32::try_from(size(chosen)).unwrap_or(u32::MAX))
            .max_capacity(CHOICES)
            .time_to_live(LIFETIME)
            .build();
        let outcomes = Cache::builder().max_capacity(OUTCOMES).build();
        Self {
            choices: Coalesced::new(choices, move |chosen| size(chosen) as u64),
            outcomes: Coalesced::new(outcomes, |_| CHOICE as u64),
        }
    }
}

/// The content that a login gets.
pub(crate) struct CachedChoice {
    pub(crate) stored: Arc<StoredManifest>,
    pub(crate) chosen: Arc<Chosen>,
    /// Whether it was cached.
    pub(crate) again: bool,
}

impl Derivations {
    /// Drops all choices, because of a new finding.
    pub(crate) fn choose_anew(&self) {
        self.choices.cache().invalidate_all();
    }
}

impl Registry {
    /// The content that the login gets, with warnings: from the cache, or chosen now. An outcome
    /// that the store does not hold any more is derived again, to the same bytes.
    pub(crate) async fn chosen(
        &self,
        work: &Derivation<'_>,
    ) -> Result<CachedChoice, RegistryError> {
        let choices = &self.inner.derivations.choices;
        let key = work.key();
        for _ in 0..2 {
            let known = choices.get(&key).await;
            let again = known.is_some();
            let chosen = match known {
                Some(chosen) => {
                    self.counters().derived_known.inc();
                    chosen
                }
                // Boxed: the state of choosing holds whole documents, and should not enlarge a warm
                // pull's.
                None => {
                    let chosen = choices.get_or_ask(key.clone(), || work.run());
                    Box::pin(chosen).await?
                }
            };
            // Noted before the look-up, so that it is not evicted in between.
            self.used_derived(chosen.held.repository.name(), &chosen.held.digest);
            if let Some(stored) = chosen.held.manifest().await? {
                return Ok(CachedChoice {
                    stored,
                    chosen,
                    again,
                });
            }
            choices.cache().invalidate(&key).await;
        }
        Err(RegistryError::unknown(
            work.repository.name(),
            work.tag.clone(),
        ))
    }

    /// Where the outcome `key` is stored: cached, or made by `make`, once for all concurrent
    /// callers.
    pub(crate) async fn outcome_of(
        &self,
        key: &Digest,
        repository: &StoredRepository,
        make: impl Future<Output = Result<Held, RegistryError>>,
    ) -> Result<Held, RegistryError> {
        let outcomes = &self.inner.derivations.outcomes;
        if let Some(held) = outcomes.get(key).await {
            if held.manifest().await?.is_some() {
                self.counters().derived_known.inc();
                return Ok(held);
            }
            outcomes.cache().invalidate(key).await;
        }
        let find_or_make = async {
            if let Some(digest) = repository.derived(key).await? {
                let repository = repository.clone();
                let held = Held { repository, digest };
                if held.manifest().await?.is_some() {
                    self.counters().derived_known.inc();
                    return Ok(held);
                }
            }
            let held = make.await?;
            self.counters().derived_made.inc();
            Ok(held)
        };
        outcomes.get_or_share(key.clone(), find_or_make).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn any_number_of_logins_and_outcomes_takes_bounded_memory() {
        let store = metahub_store::Store::temporary().await.unwrap();
        let derivations = Derivations::default();
        let held = Held {
            repository: StoredRepository::for_tests(&store, "lab/app"),
            digest: Digest::sha256(b"one"),
        };
        for number in 0..100_000_u32 {
            let key = Digest::sha256(&number.to_le_bytes());
            let warnings = vec!["w".repeat(usize::try_from(number % 300).unwrap())];
            let chosen = Chosen {
                held: held.clone(),
                got: None,
                warnings,
            };
            derivations
                .choices
                .cache()
                .insert(key.clone(), Arc::new(chosen))
                .await;
            derivations.outcomes.cache().insert(key, held.clone()).await;
        }
        derivations.choices.cache().run_pending_tasks().await;
        derivations.outcomes.cache().run_pending_tasks().await;
        assert!(derivations.choices.cache().weighted_size() <= CHOICES);
        assert!(derivations.outcomes.cache().entry_count() <= OUTCOMES);
    }
}
