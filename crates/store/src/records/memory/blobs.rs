//! Blobs and uploads.

use metahub_oci::{Digest, RepositoryName};

use super::MemoryRecords;
use super::manifests::needing;
use super::state::{Blob, State};
use crate::StoreError;
use crate::records::{
    Access, Answer, BlobRecords, Change, Deletion, NewBlob, Right, Stays, UploadRecords, host_of,
};
use crate::uploads::upload_id::UploadId;

fn access(blob: &Blob) -> Access {
    Access {
        size: blob.size,
        body: blob.body.clone(),
    }
}

/// Whether the upstream `host` gave a blob for one of its repositories.
fn is_given(state: &State, host: &str, digest: &Digest) -> bool {
    let mut repositories = state.repositories.iter();
    repositories.any(|(name, repository)| {
        let link = repository.blobs.get(digest);
        host_of(name) == Some(host) && link.is_some_and(|link| link.given)
    })
}

impl BlobRecords for MemoryRecords {
    fn blob(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, Option<Access>> {
        self.read(|state| {
            let repository = state.repositories.get(repository);
            let linked = repository.is_some_and(|r| r.blobs.contains_key(digest));
            let blob = state.blobs.get(digest).filter(|_| linked);
            Ok(blob.map(access))
        })
    }

    fn stored_blob(&self, digest: &Digest) -> Answer<'_, Option<Access>> {
        self.read(|state| Ok(state.blobs.get(digest).map(access)))
    }

    fn is_stored(&self, digest: &Digest) -> Answer<'_, bool> {
        self.read(|state| Ok(state.blobs.contains_key(digest)))
    }

    fn publish_blob(&self, new: NewBlob) -> Answer<'_, ()> {
        self.write(|state| {
            publish(state, new);
            Ok::<_, StoreError>(())
        })
    }

    fn link_blob(&self, right: Right, to: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        self.write(|state| {
            let allowed = match &right {
                Right::Vouched => true,
                Right::Of(from) => {
                    let from = state.repositories.get(from);
                    from.is_some_and(|from| from.blobs.contains_key(digest))
                }
                Right::Given(host) => is_given(state, host, digest),
            };
            let now = state.now();
            let Some(blob) = state.blobs.get_mut(digest).filter(|_| allowed) else {
                return Ok(false);
            };
            blob.used_at = now;
            state.link(to, digest, matches!(right, Right::Given(_)));
            Ok::<_, StoreError>(true)
        })
    }

    fn is_given(&self, host: &str, digest: &Digest) -> Answer<'_, bool> {
        self.read(|state| Ok(is_given(state, host, digest)))
    }

    fn repositories_with_blob(
        &self,
        digest: &Digest,
        limit: u32,
    ) -> Answer<'_, Vec<RepositoryName>> {
        self.read(|state| {
            let repositories = state.repositories.iter();
            let mut holders: Vec<_> = repositories
                .filter_map(|(name, repository)| Some((name, repository.blobs.get(digest)?)))
                .collect();
            holders.sort_by(|(a, a_link), (b, b_link)| {
                (b_link.linked_at, a).cmp(&(a_link.linked_at, b))
            });
            holders.truncate(limit as usize);
            Ok(holders.into_iter().map(|(name, _)| name.clone()).collect())
        })
    }

    fn delete_blob(&self, repository: &RepositoryName, digest: &Digest) -> Answer<'_, bool> {
        self.write(|state| Ok(state.unlink(repository, digest)))
    }

    fn delete_blob_unless(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        stays: Stays,
    ) -> Answer<'_, Deletion> {
        self.write(|state| {
            Ok(match needing(state, repository, digest, &stays) {
                Some(tag) => Deletion::Needed(tag),
                None => state.unlink(repository, digest).into(),
            })
        })
    }
}

/// Enters a blob, lets its repository read it, and ends the upload that it was.
pub(super) fn publish(state: &mut State, new: NewBlob) {
    let next = 1 + state.blobs.values().map(|b| b.id).max().unwrap_or(0);
    let known = state.blobs.get(&new.digest);
    let blob = Blob {
        id: known.map_or(next, |known| known.id),
        size: new.access.size,
        body: new.access.body,
        used_at: state.now(),
        needs: known.and_then(|known| known.needs.clone()),
    };
    state.blobs.insert(new.digest.clone(), blob);
    if let Some(name) = new.repository {
        state.link(&name, &new.digest, new.given);
        // What was cached may have been the damaged content that this replaces.
        state.changed(Change::Blob(name, new.digest));
    }
    if let Some(upload) = new.upload {
        state.uploads.remove(upload.as_str());
    }
}

impl UploadRecords for MemoryRecords {
    fn begin_upload(&self, id: &UploadId, repository: &RepositoryName) -> Answer<'_, ()> {
        self.write(|state| {
            let upload = (id.clone(), repository.clone());
            state.uploads.insert(id.to_string(), upload);
            Ok::<_, StoreError>(())
        })
    }

    fn upload(&self, id: &UploadId) -> Answer<'_, Option<RepositoryName>> {
        self.read(|state| {
            let upload = state.uploads.get(id.as_str());
            Ok(upload.map(|(_, repository)| repository.clone()))
        })
    }

    fn uploads(&self) -> Answer<'_, Vec<UploadId>> {
        self.read(|state| {
            let uploads = state.uploads.values();
            Ok(uploads.map(|(id, _)| id.clone()).collect())
        })
    }

    fn end_upload(&self, id: &UploadId) -> Answer<'_, ()> {
        self.write(|state| {
            state.uploads.remove(id.as_str());
            Ok::<_, StoreError>(())
        })
    }
}
