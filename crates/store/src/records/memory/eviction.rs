//! Removing content that came from upstreams.

use std::time::SystemTime;

use metahub_oci::{Digest, RepositoryName};

use super::state::{BLOBS, State};
use crate::records::{EvictedManifest, Kind, Origin, UnlinkedBlob};

/// Whether a manifest came from an upstream, the name is not local, it is not pinned, and it leads
/// to no other manifest that its repository holds.
pub(super) fn is_evictable(state: &State, name: &RepositoryName, digest: &Digest) -> bool {
    let Some(held) = state.held(name, digest) else {
        return false;
    };
    held.origin == Origin::Upstream
        && !state.local_names.contains_key(name)
        && !state.is_pinned(name, digest)
        && !held_children(state, name, digest).any(|_| true)
}

/// The children of an index that its repository holds.
fn held_children<'s>(
    state: &'s State,
    name: &'s RepositoryName,
    digest: &Digest,
) -> impl Iterator<Item = &'s Digest> {
    let body = state.bodies.get(digest).into_iter();
    body.flat_map(|body| body.digests(&[Kind::Child]))
        .filter(|child| state.held(name, child).is_some())
}

/// When a manifest, or one of its repository that leads to it, was used.
pub(super) fn last_used(state: &State, name: &RepositoryName, digest: &Digest) -> SystemTime {
    let own = state.held(name, digest).map(|held| held.last_used());
    let leading = state.manifests_of(name);
    let leading = leading.filter(|(_, _, body)| body.names(digest, &[Kind::Child]));
    let used = leading.map(|(_, held, _)| held.last_used());
    used.chain(own).max().unwrap_or(SystemTime::UNIX_EPOCH)
}

/// Takes out a manifest and what only it needs.
pub(super) fn evict(state: &mut State, name: &RepositoryName, digest: &Digest) -> EvictedManifest {
    let body = state.bodies.get(digest).into_iter();
    let blobs = body.flat_map(|body| body.digests(BLOBS).cloned().collect::<Vec<_>>());
    let blobs: Vec<Digest> = blobs.collect();
    // Indexes from the upstream that lead to it and to nothing else that is here.
    let parents = state.manifests_of(name).filter(|(parent, held, body)| {
        held.origin == Origin::Upstream
            && body.names(digest, &[Kind::Child])
            && held_children(state, name, parent).all(|child| child == digest)
    });
    let mut gone: Vec<Digest> = parents.map(|(parent, _, _)| parent.clone()).collect();
    gone.insert(0, digest.clone());
    let mut evicted = EvictedManifest::default();
    for manifest in gone {
        let size = state.bodies.get(&manifest).map_or(0, |b| b.bytes.len());
        state.delete_manifest(name, &manifest);
        if !state.bodies.contains_key(&manifest) {
            evicted.bytes += size as u64;
        }
    }
    for blob in blobs {
        let holders = state.repositories.iter();
        let holders = holders.filter(|(_, repository)| repository.blobs.contains_key(&blob));
        let holders: Vec<_> = holders.map(|(holder, _)| holder.clone()).collect();
        for holder in holders {
            // In other repositories, a blob that no manifest names may belong to a push in
            // progress.
            let stays = state.is_needed_by_original(&holder, &blob)
                || holder != *name && !state.is_needed(&holder, &blob);
            if !stays {
                evicted.blobs.extend(state.take(&holder, &blob));
            }
        }
    }
    evicted.blobs.sort_unstable();
    evicted.blobs.dedup();
    evicted
}

/// Takes blobs that no manifest names out of upstreams' repositories.
pub(super) fn evict_unreferenced(
    state: &mut State,
    linked_before: SystemTime,
    given_before: SystemTime,
    limit: u32,
) -> Vec<UnlinkedBlob> {
    let mut found = Vec::new();
    for (name, repository) in &state.repositories {
        if state.upstream(name).is_none() {
            continue;
        }
        for (digest, link) in &repository.blobs {
            let old =
                link.linked_at <= linked_before || link.given && link.linked_at <= given_before;
            let id = state.blobs.get(digest).map_or(0, |blob| blob.id);
            if old && !state.is_needed(name, digest) {
                found.push(((repository.id, id), name.clone(), digest.clone()));
            }
        }
    }
    found.sort();
    found.truncate(limit as usize);
    let taken = found.into_iter();
    let mut taken: Vec<_> = taken
        .filter_map(|(_, name, digest)| state.take(&name, &digest))
        .collect();
    taken.sort_unstable();
    taken.dedup();
    taken
}
