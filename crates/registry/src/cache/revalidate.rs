//! An upstream's tag: taken as it was last seen for its lifetime, then asked for again, once for
//! however many want it. An upstream that cannot be asked, or has the tag no more, is answered
//! for by the kept copy, which is never done silently. A digest is asked for until it is here, in
//! the same way once for all who want it at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use metahub_oci::{Digest, Reference, RepositoryName, Tag};
use metahub_store::{Origin, StoredManifest, TagRecord};
use metahub_upstream::{Freshness, Gone, Lifetime};
use moka::sync::Cache;
use parking_lot::Mutex;

use crate::Registry;
use crate::access::location::{UpstreamRepository, there};
use crate::access::pass_through::Caller;
use crate::access::stored::StoredRepository;
use crate::error::{RegistryError, is_offline};

/// How long an upstream that could not be asked for a tag is not asked for it again: a pull that
/// is served from what is kept should not wait for what just failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// A tag's manifest, and what to say with it.
type Kept = (Arc<StoredManifest>, Option<String>);

/// What came of asking. All who waited for it share it.
type Outcome = Result<Option<Kept>, Arc<RegistryError>>;

/// What asking came to the last time.
struct Last {
    ended: Instant,
    outcome: Outcome,
}

/// Held while a tag or a digest is asked for at its upstream.
type Recheck = Arc<tokio::sync::Mutex<Option<Last>>>;

/// What is asked, and by whom, where that makes a difference.
type Key = (RepositoryName, Reference, Option<Arc<str>>);

/// One lock per upstream tag or digest that is being asked for, so that many clients cause one
/// request. An entry goes with the last who waits for it, however that one ends: clients choose
/// what they ask for, and an outcome holds a whole manifest.
#[derive(Clone)]
pub(crate) struct Revalidations {
    running: Arc<Mutex<HashMap<Key, Recheck>>>,
    /// Tags that the kept copy stood in for lately, because their upstream failed, and why.
    failed: Cache<Key, Arc<str>>,
}

impl Default for Revalidations {
    fn default() -> Self {
        Self {
            running: Arc::default(),
            failed: Cache::builder()
                .max_capacity(1024)
                .time_to_live(AFTER_FAILURE)
                .build(),
        }
    }
}

impl Revalidations {
    fn wait(&self, name: &RepositoryName, reference: &Reference, caller: &Caller) -> Waiting {
        let key = (name.clone(), reference.clone(), caller.coalescing_key(name));
        let lock = Arc::clone(self.running.lock().entry(key.clone()).or_default());
        Waiting {
            running: Arc::clone(&self.running),
            key,
            lock,
        }
    }
}

/// Somebody who asks, or waits for who does.
struct Waiting {
    running: Arc<Mutex<HashMap<Key, Recheck>>>,
    key: Key,
    lock: Recheck,
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut running = self.running.lock();
        // Counted under the lock: the map's, and ours.
        if Arc::strong_count(&self.lock) <= 2 {
            running.remove(&self.key);
        }
    }
}

impl Registry {
    /// What `tag` names at an upstream, with a warning if that is not what the upstream says now.
    pub(crate) async fn upstream_tag(
        &self,
        from: &UpstreamRepository,
        tag: &Tag,
    ) -> Result<Option<Kept>, RegistryError> {
        let usual = Lifetime::For(self.settings().tag_lifetime);
        let lifetime = from.upstream().tag_lifetime(from.name(), tag);
        let lifetime = lifetime.unwrap_or(usual);
        if let Some(stored) = fresh(from.stored(), tag, lifetime).await? {
            self.counters().tags_kept.inc();
            return Ok(Some((stored, None)));
        }
        let came = Instant::now();
        let revalidations = &self.inner.revalidations;
        let waiting = revalidations.wait(from.storage(), &tag.clone().into(), &self.caller);
        let mut last = waiting.lock.lock().await;
        if let Some(last) = &*last
            && last.ended >= came
        {
            match &last.outcome {
                Ok(Some((_, Some(_)))) => &self.counters().tags_stale,
                _ => &self.counters().tags_kept,
            }
            .inc();
            return last.outcome.clone().map_err(RegistryError::Shared);
        }
        if let Some(warning) = revalidations.failed.get(&waiting.key)
            && let Some((_, stored)) = cached_tag(from.stored(), tag).await?
        {
            self.counters().tags_stale.inc();
            return Ok(Some((stored, Some(warning.to_string()))));
        }
        self.counters().tags_asked.inc();
        let outcome = match self.recheck(from, tag).await {
            Ok((found, stale)) => {
                if stale && let Some((_, Some(warning))) = &found {
                    let warning = warning.as_str().into();
                    revalidations.failed.insert(waiting.key.clone(), warning);
                }
                Ok(found)
            }
            Err(error) => Err(Arc::new(error)),
        };
        *last = Some(Last {
            ended: Instant::now(),
            outcome: outcome.clone(),
        });
        outcome.map_err(RegistryError::Shared)
    }

    /// The manifest `digest`, which is not here, from an upstream.
    pub(crate) async fn upstream_digest(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let came = Instant::now();
        let reference = Reference::Digest(digest.clone());
        let waiting = self
            .inner
            .revalidations
            .wait(from.storage(), &reference, &self.caller);
        let mut last = waiting.lock.lock().await;
        // Only a failure is remembered, for those who waited: what was found is in the store.
        if let Some(last) = &*last
            && last.ended >= came
        {
            let found = last.outcome.clone().map_err(RegistryError::Shared)?;
            return Ok(found.map(|(stored, _)| stored));
        }
        if let Some(stored) = from.stored().manifest(digest).await? {
            return Ok(Some(stored));
        }
        let outcome = self.fetch(from, &reference).await.map_err(Arc::new);
        *last = match &outcome {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(None)),
            Err(error) => Some(Err(Arc::clone(error))),
        }
        .map(|outcome| Last {
            ended: Instant::now(),
            outcome,
        });
        outcome.map_err(RegistryError::Shared)
    }

    async fn fetch(
        &self,
        from: &UpstreamRepository,
        reference: &Reference,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let answer = there(from.upstream().manifest(from.name(), reference).await);
        match self.note_refusal(from, answer).await? {
            Some(fetched) => {
                let stored = self.cache_manifest(from, &fetched, Vec::new());
                stored.await.map(Some)
            }
            None => Ok(None),
        }
    }

    /// Asks the upstream what the tag names now. An unchanged tag costs one `HEAD`; an upstream
    /// that cannot be asked is answered for by the kept copy, with a warning. Says with it whether
    /// the upstream failed.
    async fn recheck(
        &self,
        from: &UpstreamRepository,
        tag: &Tag,
    ) -> Result<(Option<Kept>, bool), RegistryError> {
        let known = cached_tag(from.stored(), tag).await?;
        let answer = self.ask(from, tag, known.as_ref()).await;
        let (why, failed) = match (answer, &known) {
            (Ok(Some(stored)), _) => return Ok((Some((stored, None)), false)),
            (Ok(None), Some(_)) if from.upstream().gone() == Gone::Keep => (
                format!(
                    "upstream {}: it has no such tag any more",
                    from.upstream().host()
                ),
                false,
            ),
            (Ok(None), _) => return Ok((None, false)),
            (Err(RegistryError::Upstream(error)), None) if is_offline(&error) => {
                return Ok((None, false));
            }
            (Err(RegistryError::Upstream(error)), Some((_, stored))) if is_offline(&error) => {
                return Ok((Some((Arc::clone(stored), None)), false));
            }
            (Err(RegistryError::Upstream(error)), Some(_)) => (error.to_string(), true),
            (Err(error), _) => return Err(error),
        };
        self.counters().tags_stale.inc();
        tracing::warn!(repository = %from.storage(), %tag, error = why, "served the cached copy");
        let warning = format!("the kept copy is served: {why}");
        Ok((known.map(|(_, stored)| (stored, Some(warning))), failed))
    }

    async fn ask(
        &self,
        from: &UpstreamRepository,
        tag: &Tag,
        known: Option<&(Arc<TagRecord>, Arc<StoredManifest>)>,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        if let Some((record, stored)) = known {
            let answer = from
                .upstream()
                .revalidate(from.name(), tag, &record.digest, record.etag.as_deref())
                .await;
            match self.note_refusal(from, answer).await? {
                Freshness::Unchanged { etag } => {
                    from.stored().touch_tag(tag, &record.digest, etag).await?;
                    return Ok(Some(Arc::clone(stored)));
                }
                Freshness::Gone => return Ok(None),
                Freshness::Changed { .. } => {}
            }
        }
        let reference = Reference::Tag(tag.clone());
        let answer = from.upstream().manifest(from.name(), &reference).await;
        let Some(fetched) = self.note_refusal(from, answer).await? else {
            return Ok(None);
        };
        let stored = self.cache_manifest(from, &fetched, vec![tag.clone()]);
        stored.await.map(Some)
    }
}

/// The cached record of an upstream's tag.
async fn cached_tag(
    stored: &StoredRepository,
    tag: &Tag,
) -> Result<Option<(Arc<TagRecord>, Arc<StoredManifest>)>, RegistryError> {
    let Some(record) = stored.tag(tag).await? else {
        return Ok(None);
    };
    let manifest = stored.manifest(&record.digest).await?;
    Ok(manifest.map(|manifest| (record, manifest)))
}

/// The cached content of an upstream's tag, if it was checked within `lifetime`.
async fn fresh(
    stored: &StoredRepository,
    tag: &Tag,
    lifetime: Lifetime,
) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
    let Some(record) = stored.tag(tag).await? else {
        return Ok(None);
    };
    let age = SystemTime::now()
        .duration_since(record.checked_at)
        .unwrap_or_default();
    if record.origin == Origin::Upstream && lifetime.is_over(age) {
        return Ok(None);
    }
    Ok(stored.manifest(&record.digest).await?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_entry_goes_with_the_last_who_waits_also_when_that_one_panics_or_leaves() {
        let revalidations = Revalidations::default();
        let (name, tag): (RepositoryName, Tag) = ("a/b".parse().unwrap(), "1".parse().unwrap());
        let wait = || revalidations.wait(&name, &tag.clone().into(), &Caller::Nobody);
        let (one, other) = (wait(), wait());
        let held = Arc::clone(&one.lock).lock_owned().await;
        assert!(other.lock.try_lock().is_err(), "one asks at a time");
        drop(other);
        assert_eq!(revalidations.running.lock().len(), 1);
        let task = tokio::spawn(async move {
            let (_one, _held) = (one, held);
            panic!("on purpose");
        });
        assert!(task.await.unwrap_err().is_panic());
        // The guard that was held counts until it is dropped; both are now.
        drop(wait());
        assert_eq!(revalidations.running.lock().len(), 0);
    }
}
