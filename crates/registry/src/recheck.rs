//! An upstream's tag: taken as it was last seen for its lifetime, then asked for again, once for
//! however many want it. An upstream that cannot be asked, or has the tag no more, is answered
//! for by the kept copy, which is never done silently. A digest is asked for until it is here, in
//! the same way once for all who want it at a time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use metahub_oci::{Digest, Reference, RepositoryName, Tag};
use metahub_store::{Origin, StoredManifest, TagRecord};
use metahub_upstream::{Freshness, Gone, Lifetime, Route};
use parking_lot::Mutex;

use crate::enter::Caller;
use crate::place::{is_offline, there};
use crate::{Registry, RegistryError};

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
    /// Whether the upstream failed, and the kept copy stood in for it.
    stale: bool,
}

/// Held while a tag or a digest is asked for at its upstream.
type Recheck = Arc<tokio::sync::Mutex<Option<Last>>>;

/// What is asked, and by whom, where that makes a difference.
type Key = (RepositoryName, Reference, Option<Arc<str>>);

/// One lock per upstream tag or digest, so that many clients cause one request.
#[derive(Default)]
pub(crate) struct Rechecks(Mutex<HashMap<Key, Recheck>>);

impl Rechecks {
    fn lock(&self, name: &RepositoryName, reference: &Reference, caller: &Caller) -> Recheck {
        let mut locks = self.0.lock();
        // What nobody holds or waits for is dropped before the map grows large.
        if locks.len() > 1024 {
            locks.retain(|_, lock| Arc::strong_count(lock) > 1);
        }
        let key = (name.clone(), reference.clone(), caller.apart(name));
        Arc::clone(locks.entry(key).or_default())
    }
}

impl Registry {
    /// What `tag` names at an upstream, with a warning if that is not what the upstream says now.
    pub(crate) async fn upstream_tag(
        &self,
        route: &Route,
        kept: &RepositoryName,
        tag: &Tag,
    ) -> Result<Option<Kept>, RegistryError> {
        let usual = Lifetime::For(self.settings().tag_lifetime);
        let lifetime = route.upstream.tag_lifetime(&route.name, tag);
        let lifetime = lifetime.unwrap_or(usual);
        if let Some(stored) = self.fresh(kept, tag, lifetime).await? {
            self.counters().tags_kept.one_more();
            return Ok(Some((stored, None)));
        }
        let came = Instant::now();
        let lock = self
            .inner
            .rechecks
            .lock(kept, &tag.clone().into(), &self.caller);
        let mut last = lock.lock().await;
        if let Some(last) = &*last
            && (last.ended >= came || (last.stale && last.ended.elapsed() < AFTER_FAILURE))
        {
            match &last.outcome {
                Ok(Some((_, Some(_)))) => self.counters().tags_stale.one_more(),
                _ => self.counters().tags_kept.one_more(),
            }
            return last.outcome.clone().map_err(RegistryError::Shared);
        }
        self.counters().tags_asked.one_more();
        let (outcome, stale) = match self.recheck(route, kept, tag).await {
            Ok((found, stale)) => (Ok(found), stale),
            Err(error) => (Err(Arc::new(error)), false),
        };
        *last = Some(Last {
            ended: Instant::now(),
            outcome: outcome.clone(),
            stale,
        });
        outcome.map_err(RegistryError::Shared)
    }

    /// The manifest `digest`, which is not here, from an upstream.
    pub(crate) async fn upstream_digest(
        &self,
        route: &Route,
        kept: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let came = Instant::now();
        let reference = Reference::Digest(digest.clone());
        let lock = self.inner.rechecks.lock(kept, &reference, &self.caller);
        let mut last = lock.lock().await;
        // Only a failure is remembered, for those who waited: what was found is in the store.
        if let Some(last) = &*last
            && last.ended >= came
        {
            let found = last.outcome.clone().map_err(RegistryError::Shared)?;
            return Ok(found.map(|(stored, _)| stored));
        }
        if let Some(stored) = self.store().manifest(kept, digest).await? {
            return Ok(Some(stored));
        }
        let outcome = self.fetch(route, kept, &reference).await.map_err(Arc::new);
        *last = match &outcome {
            Ok(Some(_)) => None,
            Ok(None) => Some(Ok(None)),
            Err(error) => Some(Err(Arc::clone(error))),
        }
        .map(|outcome| Last {
            ended: Instant::now(),
            outcome,
            stale: false,
        });
        outcome.map_err(RegistryError::Shared)
    }

    async fn fetch(
        &self,
        route: &Route,
        kept: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let answer = there(route.upstream.manifest(&route.name, reference).await);
        match self.heed(kept, answer).await? {
            Some(fetched) => self.keep(route, kept, &fetched, Vec::new()).await.map(Some),
            None => Ok(None),
        }
    }

    /// The kept content of an upstream's tag, if it was checked within `lifetime`.
    async fn fresh(
        &self,
        kept: &RepositoryName,
        tag: &Tag,
        lifetime: Lifetime,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        let Some(record) = self.store().tag(kept, tag).await? else {
            return Ok(None);
        };
        let age = SystemTime::now()
            .duration_since(record.checked_at)
            .unwrap_or_default();
        if record.origin == Origin::Upstream && lifetime.is_over(age) {
            return Ok(None);
        }
        Ok(self.store().manifest(kept, &record.digest).await?)
    }

    /// Asks the upstream what the tag names now. An unchanged tag costs one `HEAD`; an upstream
    /// that cannot be asked is answered for by the kept copy, with a warning. Says with it whether
    /// the upstream failed.
    async fn recheck(
        &self,
        route: &Route,
        kept: &RepositoryName,
        tag: &Tag,
    ) -> Result<(Option<Kept>, bool), RegistryError> {
        let known = self.store().tag(kept, tag).await?;
        let known = match &known {
            Some(record) => {
                let stored = self.store().manifest(kept, &record.digest).await?;
                stored.map(|stored| (record, stored))
            }
            None => None,
        };
        let answer = self.ask(route, kept, tag, known.as_ref()).await;
        let (why, failed) = match (answer, &known) {
            (Ok(Some(stored)), _) => return Ok((Some((stored, None)), false)),
            (Ok(None), Some(_)) if route.upstream.gone() == Gone::Keep => (
                format!(
                    "upstream {}: it has no such tag any more",
                    route.upstream.host()
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
        self.counters().tags_stale.one_more();
        tracing::warn!(repository = %kept, %tag, error = why, "served the kept copy");
        let warning = format!("the kept copy is served: {why}");
        let kept = known.map(|(_, stored)| (stored, Some(warning)));
        Ok((kept, failed))
    }

    async fn ask(
        &self,
        route: &Route,
        kept: &RepositoryName,
        tag: &Tag,
        known: Option<&(&Arc<TagRecord>, Arc<StoredManifest>)>,
    ) -> Result<Option<Arc<StoredManifest>>, RegistryError> {
        if let Some((record, stored)) = known {
            let answer = route
                .upstream
                .revalidate(&route.name, tag, &record.digest, record.etag.as_deref())
                .await;
            match self.heed(kept, answer).await? {
                Freshness::Unchanged { etag } => {
                    self.store()
                        .touch_tag(kept, tag, &record.digest, SystemTime::now(), etag)
                        .await?;
                    return Ok(Some(Arc::clone(stored)));
                }
                Freshness::Gone => return Ok(None),
                Freshness::Changed { .. } => {}
            }
        }
        let reference = Reference::Tag(tag.clone());
        let answer = route.upstream.manifest(&route.name, &reference).await;
        let Some(fetched) = self.heed(kept, answer).await? else {
            return Ok(None);
        };
        self.keep(route, kept, &fetched, vec![tag.clone()])
            .await
            .map(Some)
    }
}
