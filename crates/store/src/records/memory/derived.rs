//! Records of derived content.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};

use super::state::{BLOBS, Outcome, State};
use super::{MemoryRecords, blobs, manifests};
use crate::records::{
    Answer, Batch, Change, Cursor, Derived, DerivedEviction, DerivedRecords, DerivedTotal,
    EvictedRecords, Kind, NewManifest, NewOutcome, Origin, PutError, digest_of,
};

impl DerivedRecords for MemoryRecords {
    fn derived(&self, key: &Digest) -> Answer<'_, Option<Derived>> {
        self.read(|state| {
            let outcome = state.outcomes.get(key);
            Ok(outcome.map(|outcome| Derived {
                repository: outcome.repository.clone(),
                digest: outcome.digest.clone(),
            }))
        })
    }

    fn publish_outcome(&self, new: NewOutcome) -> Answer<'_, (), PutError> {
        self.write(|state| {
            // Only a push, and a tag that must not move, can be refused.
            let can_fail = |manifest: &NewManifest| {
                manifest.options.origin == Origin::Pushed || !manifest.options.fixed.is_empty()
            };
            let before = new.manifests.iter().any(can_fail).then(|| state.clone());
            for blob in new.blobs {
                blobs::publish(state, blob);
            }
            for manifest in new.manifests {
                if let Err(error) = manifests::publish(state, manifest) {
                    if let Some(before) = before {
                        *state = before;
                    }
                    return Err(error);
                }
            }
            record(state, &new.key, &new.repository, &new.served, new.bytes);
            Ok(())
        })
    }

    fn derived_total(&self) -> Answer<'_, DerivedTotal> {
        self.read(|state| Ok(total(state)))
    }

    fn derived_of_one_client(&self) -> Answer<'_, u64> {
        self.read(|state| {
            let theirs = evictable(state).filter(|(_, one)| is_of_one_client(state, one));
            Ok(theirs.map(|(_, one)| one.bytes).sum())
        })
    }

    fn evict_derived(&self, eviction: DerivedEviction, limit: u32) -> Answer<'_, EvictedRecords> {
        self.write(|state| Ok(evict(state, eviction, limit)))
    }

    fn stale_derived(
        &self,
        unused_since: SystemTime,
        after: Cursor,
        limit: u32,
    ) -> Answer<'_, Batch<Derived>> {
        self.read(|state| Ok(stale(state, unused_since, after, limit)))
    }

    fn remove_stale(&self, candidates: Vec<Derived>, unused_since: SystemTime) -> Answer<'_, u64> {
        self.write(|state| Ok(remove_stale(state, candidates, unused_since)))
    }

    fn count_stale(&self, unused_since: SystemTime) -> Answer<'_, u64> {
        self.read(|state| {
            let mut state = state.clone();
            let mut removed = 0;
            loop {
                let found = stale(&state, unused_since, Cursor::default(), u32::MAX);
                let gone = remove_stale(&mut state, found.items, unused_since);
                if gone == 0 {
                    return Ok(removed);
                }
                removed += gone;
            }
        })
    }
}

/// Records an outcome, if the repository holds its manifest.
fn record(
    state: &mut State,
    key: &Digest,
    repository: &RepositoryName,
    digest: &Digest,
    bytes: u64,
) {
    if state.held(repository, digest).is_some() {
        let outcome = Outcome {
            repository: repository.clone(),
            digest: digest.clone(),
            bytes,
            used_at: state.now(),
        };
        state.outcomes.insert(key.clone(), outcome);
    }
    state.changed(Change::Derived(key.clone()));
}

/// The records that may be evicted.
fn evictable(state: &State) -> impl Iterator<Item = (&Digest, &Outcome)> {
    let outcomes = state.outcomes.iter();
    outcomes.filter(|(_, outcome)| !state.is_pinned(&outcome.repository, &outcome.digest))
}

fn total(state: &State) -> DerivedTotal {
    DerivedTotal {
        records: evictable(state).count() as u64,
        bytes: evictable(state).map(|(_, outcome)| outcome.bytes).sum(),
    }
}

/// Whether only one client without an account requested an outcome's content.
fn is_of_one_client(state: &State, outcome: &Outcome) -> bool {
    let held = state.held(&outcome.repository, &outcome.digest);
    held.is_some_and(|held| held.brought_by != 0)
}

/// Whether a record leads to a manifest.
fn is_recorded(state: &State, name: &RepositoryName, digest: &Digest) -> bool {
    let mut outcomes = state.outcomes.values();
    outcomes.any(|outcome| outcome.repository == *name && outcome.digest == *digest)
}

/// Whether a manifest was derived in that repository and no tag or index there refers to it, nor a
/// referrer but those that were made with it.
fn is_free(state: &State, name: &RepositoryName, digest: &Digest) -> bool {
    let Some(repository) = state.repositories.get(name) else {
        return false;
    };
    let held = repository.manifests.get(digest);
    let is_tagged = repository.tags.values().any(|tag| tag.digest == *digest);
    let is_named = state.manifests(repository).any(|(_, held, body)| {
        let made_with_it = held.origin == Origin::Derived;
        body.names(digest, &[Kind::Child]) || !made_with_it && body.names(digest, &[Kind::Subject])
    });
    let is_pinned = state.is_pinned(name, digest);
    held.is_some_and(|held| held.origin == Origin::Derived) && !is_tagged && !is_pinned && !is_named
}

/// Whether any repository holds an image. A copy that was itself derived in `name` does not count.
fn is_held(state: &State, name: &RepositoryName, image: &Digest) -> bool {
    let mut repositories = state.repositories.iter();
    repositories.any(|(other, repository)| {
        let held = repository.manifests.get(image);
        held.is_some_and(|held| other != name || held.origin != Origin::Derived)
    })
}

fn is_stale(
    state: &State,
    name: &RepositoryName,
    digest: &Digest,
    unused_since: SystemTime,
) -> bool {
    let (Some(held), Some(body)) = (state.held(name, digest), state.bodies.get(digest)) else {
        return false;
    };
    let mut subjects = body.subject.iter();
    if subjects.any(|subject| state.held(name, subject).is_some()) {
        return false;
    }
    let sources = held.sources.iter();
    let mut sources = sources.filter_map(|image| digest_of(image));
    held.last_used() <= unused_since
        && is_free(state, name, digest)
        && (!is_recorded(state, name, digest)
            || sources.any(|source| !is_held(state, name, &source)))
}

fn stale(state: &State, unused_since: SystemTime, after: Cursor, limit: u32) -> Batch<Derived> {
    let mut found = Vec::new();
    for (name, repository) in &state.repositories {
        for (digest, _, body) in state.manifests(repository) {
            if is_stale(state, name, digest, unused_since) {
                let derived = Derived {
                    repository: name.clone(),
                    digest: digest.clone(),
                };
                found.push((Cursor([repository.id, body.id]), derived));
            }
        }
    }
    super::garbage::batch(found, after, limit)
}

fn remove_stale(state: &mut State, candidates: Vec<Derived>, unused_since: SystemTime) -> u64 {
    let mut removed = 0;
    for Derived { repository, digest } in candidates {
        if is_stale(state, &repository, &digest, unused_since) {
            removed += u64::from(state.delete_manifest(&repository, &digest));
        }
    }
    removed
}

fn evict(state: &mut State, eviction: DerivedEviction, limit: u32) -> EvictedRecords {
    let mut bytes = total(state).bytes;
    let mut oldest: Vec<_> = evictable(state)
        .map(|(key, one)| {
            let others = !is_of_one_client(state, one);
            (one.used_at, key.clone(), one.clone(), others)
        })
        .collect();
    oldest.sort_by(|a, b| (a.0, &a.1).cmp(&(b.0, &b.1)));
    let first: Vec<_> = oldest
        .iter()
        .filter(|one| !one.3)
        .take(limit as usize)
        .cloned()
        .collect();
    oldest.truncate(limit as usize);
    let mut evicted = EvictedRecords::default();
    let mut blobs = Vec::new();
    for (_, key, outcome, _) in first {
        if bytes <= eviction.bytes || evicted.of_one_client >= eviction.of_one_client {
            break;
        }
        bytes = bytes.saturating_sub(outcome.bytes);
        evicted.of_one_client += outcome.bytes;
        forget(state, &key, &outcome, &mut evicted, &mut blobs);
    }
    for (used_at, key, outcome, _) in oldest {
        if evicted.records >= u64::from(limit)
            || bytes <= eviction.bytes && used_at > eviction.unused_since
        {
            break;
        }
        if !state.outcomes.contains_key(&key) {
            continue;
        }
        bytes = bytes.saturating_sub(outcome.bytes);
        forget(state, &key, &outcome, &mut evicted, &mut blobs);
    }
    for (name, blob) in blobs {
        if !state.is_needed(&name, &blob) {
            evicted.blobs.extend(state.take(&name, &blob));
        }
    }
    evicted
}

/// Removes a record, and its manifest if nothing else leads to that.
fn forget(
    state: &mut State,
    key: &Digest,
    outcome: &Outcome,
    evicted: &mut EvictedRecords,
    blobs: &mut Vec<(RepositoryName, Digest)>,
) {
    evicted.records += 1;
    state.outcomes.remove(key);
    state.changed(Change::Derived(key.clone()));
    let name = &outcome.repository;
    if !is_recorded(state, name, &outcome.digest) && is_free(state, name, &outcome.digest) {
        evicted.manifests += remove(state, outcome, blobs);
    }
}

/// Removes the manifest of a record that went, those of its children that only it needed, and the
/// referrers that were made with those; how many. Adds the blobs that were made for them.
fn remove(state: &mut State, outcome: &Outcome, blobs: &mut Vec<(RepositoryName, Digest)>) -> u64 {
    let name = &outcome.repository;
    let children = named(state, &outcome.digest, &[Kind::Child]);
    let mut removed = 0;
    let mut gone = vec![(outcome.digest.clone(), &[Kind::Config] as &[Kind])];
    while let Some((digest, made)) = gone.pop() {
        let made = named(state, &digest, made);
        blobs.extend(made.into_iter().map(|blob| (name.clone(), blob)));
        let first = removed == 0;
        removed += u64::from(state.delete_manifest(name, &digest));
        let referrers = state.manifests_of(name);
        let referrers = referrers.filter(|(_, _, body)| body.subject.as_ref() == Some(&digest));
        let referrers: Vec<Digest> = referrers.map(|(digest, _, _)| digest.clone()).collect();
        let free =
            |digest: &Digest| !is_recorded(state, name, digest) && is_free(state, name, digest);
        let free_referrers = referrers.into_iter().filter(|referrer| free(referrer));
        gone.extend(free_referrers.map(|referrer| (referrer, BLOBS)));
        if first {
            // A child is free only once its index is gone.
            let children = children.iter().filter(|child| free(child));
            gone.extend(children.map(|child| (child.clone(), &[Kind::Config] as &[Kind])));
        }
    }
    removed
}

fn named(state: &State, digest: &Digest, kinds: &[Kind]) -> Vec<Digest> {
    let body = state.bodies.get(digest).into_iter();
    body.flat_map(|body| body.digests(kinds).cloned().collect::<Vec<_>>())
        .collect()
}
