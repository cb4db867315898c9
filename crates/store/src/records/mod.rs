//! Records: which repository holds which content, what tags name, uploads, accounts. One method for
//! each intent, and each is atomic.
//!
//! Two implementations give the same answers: SQLite, which survives a power cut, and memory.
//! Nothing here touches the files of blobs. SQL is in [`sqlite`] alone.

mod accounts;
mod blobs;
mod cached;
mod clock;
mod demand;
mod derived;
mod documents;
mod garbage;
mod identity;
mod inspection;
mod layer_needs;
mod manifests;
pub(crate) mod memory;
mod new_manifest;
mod nodes;
mod origin;
mod ownership;
mod pins;
mod references;
mod repositories;
mod shared;
mod snapshots;
pub(crate) mod sqlite;
mod tags;
mod uploads;

#[cfg(test)]
mod tests;

use futures_util::future::BoxFuture;
use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;

pub(crate) use accounts::AccountRecords;
pub use accounts::{AccountRecord, Redacted};
pub(crate) use blobs::{Access, BlobRecords, NewBlob, Right, UnlinkedBlob};
pub(crate) use cached::{CacheRecords, EvictedManifest};
pub use cached::{Candidate, CandidatesAfter, Use, Which};
pub(crate) use clock::Clock;
pub(crate) use demand::DemandRecords;
pub use demand::{DemandBounds, DemandCount, DemandGot, DemandKey, DemandRecord};
pub use derived::{Derived, DerivedTotal};
pub(crate) use derived::{DerivedEviction, DerivedRecords, EvictedRecords, NewOutcome};
pub(crate) use documents::DocumentRecords;
pub use documents::{
    DocumentBounds, DocumentChange, DocumentOutcome, DocumentVersion, Precondition,
};
pub(crate) use garbage::{Garbage, GarbageRecords, Link};
pub(crate) use identity::IdentityRecords;
pub(crate) use inspection::{Affected, InspectionRecords, StoredBody};
pub(crate) use layer_needs::LayerNeedsRecords;
pub use manifests::{Deletion, StoredManifest};
pub(crate) use manifests::{ManifestRecords, Stays};
pub(crate) use new_manifest::{NewManifest, digest_of, host_of};
pub use new_manifest::{PutError, PutManifest};
pub(crate) use nodes::NodeRecords;
pub use nodes::{
    Join, JoinToken, Joining, MOST_NODE_IMAGES, NodeFacts, NodeImage, NodeNote, NodeRecord,
    SecretHash,
};
pub use origin::Origin;
pub(crate) use ownership::OwnershipRecords;
pub use ownership::{LocalName, Release};
pub(crate) use pins::PinRecords;
pub use pins::{Pin, Pinning};
pub(crate) use references::{Kind, Reference};
pub use repositories::Page;
pub(crate) use repositories::RepositoryRecords;
pub(crate) use shared::{Answer, Batch, Cursor};
pub(crate) use snapshots::SnapshotRecords;
pub use tags::TagRecord;
pub(crate) use tags::TagRecords;
pub(crate) use uploads::UploadRecords;

/// Everything that a store knows.
pub(crate) trait Records:
    ManifestRecords
    + TagRecords
    + BlobRecords
    + UploadRecords
    + RepositoryRecords
    + OwnershipRecords
    + DerivedRecords
    + PinRecords
    + CacheRecords
    + GarbageRecords
    + InspectionRecords
    + LayerNeedsRecords
    + AccountRecords
    + DemandRecords
    + NodeRecords
    + DocumentRecords
    + IdentityRecords
    + SnapshotRecords
{
    /// Whether changes are taken.
    ///
    /// # Errors
    /// [`StoreError::WriterEnded`], or [`StoreError::Closed`] after [`Records::close`].
    fn ready(&self) -> Result<(), StoreError>;

    /// Finishes the changes that have begun, and takes no others.
    fn close(&self) -> BoxFuture<'_, ()>;
}

/// Something that changed.
#[derive(Clone, Debug)]
pub(crate) enum Change {
    /// A tag was set, rechecked or deleted.
    Tag(RepositoryName, Tag),
    /// A manifest of a repository was deleted, or its origin changed.
    Manifest(RepositoryName, Digest),
    /// A repository no longer holds a blob, or its content was replaced.
    Blob(RepositoryName, Digest),
    /// A repository has one more or one less manifest that was pushed.
    Pushed(RepositoryName),
    /// A derived record was replaced or deleted.
    Derived(Digest),
}

/// Is called twice for each change: before any reader can see it, and after it is durable but
/// before its method returns. A change that fails after the first call is reported like a
/// successful one.
pub(crate) trait ChangeSink: Send + Sync {
    /// From now on some readers may see the change and others not.
    fn changing(&self, change: &Change);

    /// From now on all readers see the change. Called once for each [`ChangeSink::changing`].
    fn changed(&self, change: &Change);
}

/// Changes that readers may see from now on, and that are over when this is dropped.
pub(crate) struct Announced<'s> {
    sink: &'s dyn ChangeSink,
    changes: Vec<Change>,
}

impl<'s> Announced<'s> {
    pub(crate) fn new(sink: &'s dyn ChangeSink, changes: Vec<Change>) -> Self {
        for change in &changes {
            sink.changing(change);
        }
        Self { sink, changes }
    }
}

impl Drop for Announced<'_> {
    fn drop(&mut self) {
        for change in &self.changes {
            self.sink.changed(change);
        }
    }
}
