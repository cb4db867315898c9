//! Queries of a scrub.

use std::collections::BTreeSet;

use metahub_oci::{Digest, RepositoryName};

use super::MemoryRecords;
use super::garbage::batch;
use super::state::{NEEDED, Repository, State};
use crate::StoreError;
use crate::records::{
    Affected, Answer, Batch, Cursor, InspectionRecords, Kind, Origin, StoredBody,
};

/// The names of the repositories that `hold`.
fn holders(state: &State, hold: impl Fn(&Repository) -> bool) -> Vec<RepositoryName> {
    let repositories = state.repositories.iter();
    repositories
        .filter(|(_, repository)| hold(repository))
        .map(|(name, _)| name.clone())
        .collect()
}

impl InspectionRecords for MemoryRecords {
    fn count_content(&self) -> Answer<'_, u64> {
        self.read(|state| Ok((state.blobs.len() + state.bodies.len()) as u64))
    }

    fn check_integrity(&self) -> Answer<'_, Vec<String>> {
        self.read(|_| Ok(Vec::new()))
    }

    fn all_blobs(&self, after: Cursor, limit: u32) -> Answer<'_, Batch<Result<Digest, String>>> {
        self.read(|state| {
            let blobs = state.blobs.iter();
            let blobs = blobs.map(|(digest, blob)| (Cursor([blob.id, 0]), Ok(digest.clone())));
            Ok(batch(blobs.collect(), after, limit))
        })
    }

    fn all_manifests(&self, after: Cursor, limit: u32) -> Answer<'_, Batch<StoredBody>> {
        self.read(|state| {
            let bodies = state.bodies.iter().map(|(digest, body)| {
                let stored = StoredBody {
                    digest: Ok(digest.clone()),
                    bytes: body.bytes.clone(),
                };
                (Cursor([body.id, 0]), stored)
            });
            Ok(batch(bodies.collect(), after, limit))
        })
    }

    fn affected_by_blob(&self, digest: &Digest) -> Answer<'_, Affected> {
        self.read(|state| {
            let any = [Kind::Config, Kind::Layer, Kind::Child, Kind::Subject];
            let repositories = state.repositories.values();
            let sources: BTreeSet<_> = repositories
                .flat_map(|repository| state.manifests(repository))
                .filter(|(_, _, body)| body.names(digest, &any))
                .flat_map(|(_, held, _)| held.sources.iter().cloned())
                .collect();
            Ok(Affected {
                repositories: holders(state, |r| r.blobs.contains_key(digest)),
                sources: sources.into_iter().collect(),
            })
        })
    }

    fn affected_by_manifest(&self, digest: &Digest) -> Answer<'_, Affected> {
        self.read(|state| {
            let repositories = state.repositories.values();
            let sources: BTreeSet<_> = repositories
                .filter_map(|repository| repository.manifests.get(digest))
                .flat_map(|held| held.sources.iter().cloned())
                .collect();
            Ok(Affected {
                repositories: holders(state, |r| r.manifests.contains_key(digest)),
                sources: sources.into_iter().collect(),
            })
        })
    }

    fn missing_references(&self, limit: u32) -> Answer<'_, Vec<(Digest, RepositoryName)>> {
        self.read(|state| {
            let mut missing = BTreeSet::new();
            for (name, repository) in &state.repositories {
                for (_, held, body) in state.manifests(repository) {
                    let needed = body.digests(NEEDED).filter(|digest| {
                        held.origin == Origin::Pushed
                            && !repository.blobs.contains_key(digest)
                            && !repository.manifests.contains_key(digest)
                    });
                    missing.extend(needed.map(|digest| (digest.clone(), name.clone())));
                }
            }
            Ok(missing.into_iter().take(limit as usize).collect())
        })
    }

    fn forget_blob(&self, digest: &Digest) -> Answer<'_, ()> {
        self.write(|state| {
            for name in holders(state, |r| r.blobs.contains_key(digest)) {
                state.unlink(&name, digest);
            }
            state.blobs.remove(digest);
            Ok::<_, StoreError>(())
        })
    }
}
