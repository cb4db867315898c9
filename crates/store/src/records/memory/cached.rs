//! Content cached from upstreams.

use std::collections::BTreeMap;
use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName, Tag};

use super::MemoryRecords;
use super::eviction::{evict, evict_unreferenced, is_evictable, last_used};
use super::state::{NEEDED, State};
use crate::StoreError;
use crate::records::{
    Answer, CacheRecords, Candidate, CandidatesAfter, EvictedManifest, Kind, Origin, UnlinkedBlob,
    Use, Which, host_of,
};

fn cached_bytes(state: &State) -> BTreeMap<String, u64> {
    // By host and digest, so that each counts once; a blob and a manifest are two things.
    let mut content = BTreeMap::new();
    for (name, repository) in &state.repositories {
        let Some(host) = state.upstream(name) else {
            continue;
        };
        for digest in repository.blobs.keys() {
            let size = state.blobs.get(digest).map_or(0, |blob| blob.size);
            content.insert((host, false, digest), size);
        }
        for (digest, held, body) in state.manifests(repository) {
            if held.origin == Origin::Upstream {
                content.insert((host, true, digest), body.bytes.len() as u64);
            }
        }
    }
    let mut bytes = BTreeMap::new();
    for ((host, _, _), size) in content {
        *bytes.entry(host.to_owned()).or_default() += size;
    }
    bytes.retain(|_, bytes| *bytes > 0);
    bytes
}

fn bytes_of_one_client(state: &State) -> u64 {
    let mut content = BTreeMap::new();
    for (name, repository) in &state.repositories {
        if state.upstream(name).is_some() {
            for digest in repository.blobs.keys() {
                let shared = state
                    .manifests(repository)
                    .any(|(_, held, body)| held.brought_by == 0 && body.names(digest, NEEDED));
                let size = state.blobs.get(digest).map_or(0, |blob| blob.size);
                if !shared {
                    content.insert((false, digest), size);
                }
            }
        }
        for (digest, held, body) in state.manifests(repository) {
            if held.brought_by != 0 && held.origin != Origin::Derived {
                content.insert((true, digest), body.bytes.len() as u64);
            }
        }
    }
    content.into_values().sum()
}

/// Milliseconds since 1970, the unit of the cursor in a list of candidates.
fn millis(time: SystemTime) -> i64 {
    let since = time.duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| i64::try_from(since.as_millis()).unwrap_or(0))
}

impl CacheRecords for MemoryRecords {
    fn record_use(&self, used: Vec<Use>) -> Answer<'_, ()> {
        self.write(|state| {
            for one in used {
                let repository = state.repositories.get_mut(&one.repository);
                if let Some(held) = repository.and_then(|r| r.manifests.get_mut(&one.digest)) {
                    held.used_at = held.used_at.max(one.at);
                    if held.brought_by != one.by {
                        held.brought_by = 0;
                    }
                }
                let outcomes = state.outcomes.values_mut();
                for outcome in outcomes.filter(|outcome| outcome.repository == one.repository) {
                    let body = state.bodies.get(&outcome.digest);
                    let leads = body.is_some_and(|body| body.names(&one.digest, &[Kind::Child]));
                    if outcome.digest == one.digest || leads {
                        outcome.used_at = outcome.used_at.max(one.at);
                    }
                }
            }
            Ok::<_, StoreError>(())
        })
    }

    fn cached_bytes(&self) -> Answer<'_, BTreeMap<String, u64>> {
        self.read(|state| Ok(cached_bytes(state)))
    }

    fn recounted_bytes(&self) -> Answer<'_, BTreeMap<String, u64>> {
        self.cached_bytes()
    }

    fn bytes_of_one_client(&self) -> Answer<'_, u64> {
        self.read(|state| Ok(bytes_of_one_client(state)))
    }

    fn eviction_candidates(
        &self,
        which: Which<'_>,
        after: CandidatesAfter,
        limit: usize,
    ) -> Answer<'_, (Vec<Candidate>, CandidatesAfter)> {
        self.read(|state| {
            let mut found = Vec::new();
            for (name, repository) in &state.repositories {
                if which.host.is_some_and(|host| host_of(name) != Some(host)) {
                    continue;
                }
                for (digest, held, body) in state.manifests(repository) {
                    let wanted = !which.of_one_client || held.brought_by != 0;
                    if wanted && is_evictable(state, name, digest) {
                        let used_at = last_used(state, name, digest);
                        let candidate = Candidate {
                            repository: name.clone(),
                            digest: digest.clone(),
                            used_at,
                        };
                        found.push(((millis(used_at), repository.id, body.id), candidate));
                    }
                }
            }
            found.sort_by_key(|(place, _)| *place);
            let from = (after.used_at, after.repository, after.manifest);
            let found = found.into_iter().filter(|(place, _)| *place > from);
            let found: Vec<_> = found.take(limit).collect();
            let last = found
                .last()
                .map_or(after, |((used, repository, id), _)| CandidatesAfter {
                    used_at: *used,
                    repository: *repository,
                    manifest: *id,
                });
            Ok((found.into_iter().map(|(_, one)| one).collect(), last))
        })
    }

    fn tags_leading_to(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
    ) -> Answer<'_, Vec<Tag>> {
        self.read(|state| {
            let tags = state.repositories.get(repository).into_iter();
            let tags = tags.flat_map(|repository| &repository.tags);
            let leading = tags.filter(|(_, record)| {
                let body = state.bodies.get(&record.digest);
                record.digest == *digest
                    || body.is_some_and(|body| body.names(digest, &[Kind::Child]))
            });
            Ok(leading.map(|(tag, _)| tag.clone()).collect())
        })
    }

    fn evict_manifest(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        unused_since: SystemTime,
    ) -> Answer<'_, Option<EvictedManifest>> {
        self.write(|state| {
            let is_candidate = is_evictable(state, repository, digest)
                && last_used(state, repository, digest) <= unused_since;
            Ok::<_, StoreError>(is_candidate.then(|| evict(state, repository, digest)))
        })
    }

    fn evict_unreferenced(
        &self,
        linked_before: SystemTime,
        given_before: SystemTime,
        limit: u32,
    ) -> Answer<'_, Vec<UnlinkedBlob>> {
        self.write(|state| {
            Ok(evict_unreferenced(
                state,
                linked_before,
                given_before,
                limit,
            ))
        })
    }
}
