//! What a store knows: which repository holds which content, what tags name, uploads, accounts.
//! One method for each intent, and each is atomic: all of it is there afterwards, or none.
//!
//! Two implementations say the same: SQLite, which survives a power cut, and memory. Nothing here
//! touches the files of blobs. SQL stands in [`sqlite`] alone.

mod blobs;
mod manifests;
mod new_manifest;
mod references;
mod repositories;
pub(crate) mod sqlite;
mod tags;
mod uploads;

use futures_util::future::BoxFuture;
use metahub_oci::{Digest, RepositoryName, Tag};

use crate::StoreError;

pub(crate) use blobs::{Access, BlobRecords, NewBlob, Right};
pub use manifests::{Deletion, Origin, StoredManifest};
pub(crate) use manifests::{ManifestRecords, Stays};
pub(crate) use new_manifest::NewManifest;
pub use new_manifest::{PutError, PutManifest};
pub(crate) use references::{Kind, Reference};
pub use repositories::Page;
pub(crate) use repositories::RepositoryRecords;
pub use tags::TagRecord;
pub(crate) use tags::TagRecords;
pub(crate) use uploads::UploadRecords;

/// What a method answers, once that is known. A change is made even if nobody waits for it.
pub(crate) type Answer<'a, T, E = StoreError> = BoxFuture<'a, Result<T, E>>;

/// Everything that a store knows.
pub(crate) trait Records:
    ManifestRecords + TagRecords + BlobRecords + UploadRecords + RepositoryRecords
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

/// Is told of each change after it is durable, and before the caller who made it is answered.
pub(crate) trait ChangeSink: Send + Sync {
    /// Takes note of one change.
    fn changed(&self, change: &Change);
}
