//! Revalidates an upstream's tag: the cached answer counts for its lifetime, then the upstream is
//! asked again, once for all concurrent callers. If the upstream cannot be asked, or has lost the
//! tag, the cached copy is served, and never silently. A digest is requested until it is here, also
//! once for all concurrent callers.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metahub_oci::{Digest, Reference, RepositoryName, Tag};
use metahub_store::{Origin, StoredManifest, TagRecord};
use metahub_upstream::{Freshness, Gone, Lifetime};
use moka::sync::Cache;

use crate::Registry;
use crate::access::location::{UpstreamRepository, there};
use crate::access::stored::StoredRepository;
use crate::cache::single_flight::{Limits, SingleFlight};
use crate::error::{RegistryError, is_offline};

/// How long a tag is not requested again after its upstream failed: a pull that is served from the
/// cache should not wait for what just failed.
const AFTER_FAILURE: Duration = Duration::from_secs(10);

/// A tag's manifest, and a warning.
type Cached = (Arc<StoredManifest>, Option<String>);

/// The result of a request, shared by all concurrent callers.
type Outcome = Result<Option<Cached>, Arc<RegistryError>>;

/// The request, and its caller where that makes a difference.
type Key = (RepositoryName, Reference, Option<Arc<str>>);

/// The running requests for upstream tags and digests, so that many clients cause one request.
pub(crate) struct Revalidations {
    running: SingleFlight<Key, Outcome>,
    /// Tags that were recently served from the cache because their upstream failed, and why.
    failed: Cache<Key, Arc<str>>,
}

impl Default for Revalidations {
    fn default() -> Self {
        let weigh = |outcome: &Outcome| match outcome {
            Ok(Some((stored, _))) => stored.bytes.len() as u64,
            Ok(None) | Err(_) => 0,
        };
        Self {
            running: SingleFlight::new(Limits::default(), weigh),
            failed: Cache::builder()
                .max_capacity(1024)
                .time_to_live(AFTER_FAILURE)
                .build(),
        }
    }
}

impl Registry {
    /// The manifest of `tag` at an upstream, with a warning if it is not confirmed by the upstream.
    pub(crate) async fn upstream_tag(
        &self,
        from: &UpstreamRepository,
        tag: &Tag,
    ) -> Result<Option<Cached>, RegistryError> {
        let usual = Lifetime::For(self.settings().tag_lifetime);
        let lifetime = from.upstream().tag_lifetime(from.name(), tag);
        let lifetime = lifetime.unwrap_or(usual);
        if let Some(stored) = fresh(from.stored(), tag, lifetime).await? {
            self.counters().tags_kept.inc();
            return Ok(Some((stored, None)));
        }
        let key = self.revalidation_key(from, tag.clone().into());
        let work = self.revalidate(from, tag, lifetime, &key);
        let landed = self.inner.revalidations.running.run(key.clone(), work);
        let landed = landed.await?;
        if !landed.led {
            match &landed.value {
                Ok(Some((_, Some(_)))) => self.counters().tags_stale.inc(),
                _ => self.counters().tags_kept.inc(),
            };
        }
        landed.value.map_err(RegistryError::Shared)
    }

    fn revalidation_key(&self, from: &UpstreamRepository, reference: Reference) -> Key {
        let storage = from.storage();
        let caller = self.caller.coalescing_key(storage);
        (storage.clone(), reference, caller)
    }

    /// Revalidates the tag, unless its upstream failed a moment ago.
    async fn revalidate(
        &self,
        from: &UpstreamRepository,
        tag: &Tag,
        lifetime: Lifetime,
        key: &Key,
    ) -> Outcome {
        // Another caller may have revalidated it since the caller looked.
        let stored = fresh(from.stored(), tag, lifetime).await;
        if let Some(stored) = stored.map_err(Arc::new)? {
            self.counters().tags_kept.inc();
            return Ok(Some((stored, None)));
        }
        let failed = &self.inner.revalidations.failed;
        if let Some(warning) = failed.get(key)
            && let Some((_, stored)) = cached_tag(from.stored(), tag).await.map_err(Arc::new)?
        {
            self.counters().tags_stale.inc();
            return Ok(Some((stored, Some(warning.to_string()))));
        }
        self.counters().tags_asked.inc();
        let (found, stale) = self.recheck(from, tag).await.map_err(Arc::new)?;
        if stale && let Some((_, Some(warning))) = &found {
            failed.insert(key.clone(), warning.as_str().into());
        }
        Ok(found)
    }

    /// Fetches the manifest `digest`, which is not stored, from an upstream.
    pub(crate) async fn upstream_digest(
        &self,
        from: &UpstreamRepository,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let reference = Reference::Digest(digest.clone());
        let key = self.revalidation_key(from, reference.clone());
        let work = async {
            // It may have been fetched since the caller looked.
            let stored = from.stored().manifest(digest).await;
            let found = match stored.map_err(|error| Arc::new(error.into()))? {
                Some(stored) => Some(stored),
                None => self.fetch(from, &reference).await.map_err(Arc::new)?,
            };
            Ok(found.map(|stored| (stored, None)))
        };
        let landed = self.inner.revalidations.running.run(key, work).await?;
        let found = landed.value.map_err(RegistryError::Shared)?;
        Ok(found.map(|(stored, _)| stored))
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

    /// Asks the upstream for the tag's current digest. An unchanged tag costs one `HEAD`; if the
    /// upstream cannot be asked, the cached copy is served with a warning. Also returns whether the
    /// upstream failed.
    async fn recheck(
        &self,
        from: &UpstreamRepository,
        tag: &Tag,
    ) -> Result<(Option<Cached>, bool), RegistryError> {
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
