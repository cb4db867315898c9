//! Publishes a blob: moves staged content with a verified digest into place, and only then commits
//! it to the database.
//!
//! Small content goes into the database itself, in the same commit. A crash in between leaves at
//! most content without a row, which nothing opens and which garbage collection removes.

use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};

use crate::StoreError;
use crate::blobs::blob::{Blob, INLINE};
use crate::content::{Placing, Staging};
use crate::records::{Access, NewBlob};
use crate::store::{Inner, Store};
use crate::task::{blocking, joined};
use crate::uploads::upload_id::UploadId;

/// How a staged object is published.
pub(crate) struct Publish {
    pub(crate) digest: Digest,
    /// The repository that may read it. Without one, none may until it is linked.
    pub(crate) repository: Option<RepositoryName>,
    /// Whether it was fetched from that repository's upstream.
    pub(crate) given: bool,
    /// The upload that is completed by it.
    pub(crate) upload: Option<UploadId>,
}

impl Inner {
    /// Publishes a staged object. Runs to its end even if the caller goes away.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        mut staged: Box<dyn Staging>,
        publish: Publish,
    ) -> Result<Blob, StoreError> {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            if staged.len() <= INLINE {
                let bytes = staged.read().await?;
                let blob = this.enter(publish, Source::Bytes(bytes)).await?;
                staged.remove().await?;
                return Ok(blob);
            }
            staged.settle().await?;
            let guard = this.guard(&publish.digest).await;
            let outcome = if publish.upload.is_some() {
                this.publish_upload(staged, publish).await
            } else {
                this.publish_staged(staged, publish).await
            };
            drop(guard);
            outcome
        });
        joined(task.await)
    }

    /// Puts a staged object in place and commits it.
    async fn publish_staged(
        self: &Arc<Self>,
        staged: Box<dyn Staging>,
        publish: Publish,
    ) -> Result<Blob, StoreError> {
        let size = staged.len();
        let placing = Placing {
            replaces: self.records.is_stored(&publish.digest).await?,
            reversible: false,
        };
        staged.publish(&publish.digest, placing).await?;
        self.options.steps.before("enter", self.layout.root())?;
        self.enter_placed(publish, size).await
    }

    /// The same for an upload: if it does not become a blob, its acknowledged bytes are staged
    /// again.
    async fn publish_upload(
        self: &Arc<Self>,
        staged: Box<dyn Staging>,
        publish: Publish,
    ) -> Result<Blob, StoreError> {
        let (name, digest, size) = (
            staged.name().to_owned(),
            publish.digest.clone(),
            staged.len(),
        );
        let placing = Placing {
            replaces: self.records.is_stored(&digest).await?,
            reversible: true,
        };
        let outcome = async {
            staged.publish(&digest, placing).await?;
            self.options.steps.before("enter", self.layout.root())?;
            self.enter(publish, Source::Placed(size)).await
        }
        .await;
        let ended = if outcome.is_ok() {
            self.content.keep_published(&name).await
        } else {
            self.take_back(&name, &digest).await
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "an upload that was interrupted goes on after the next start");
        }
        outcome
    }

    /// Restores an upload's staging object after a failed publication. If this fails, the next
    /// start does it. To be called under the digest's guard.
    async fn take_back(&self, name: &str, digest: &Digest) -> Result<(), StoreError> {
        let stored = self.records.stored_blob(digest).await?;
        let named = stored.is_some_and(|access| access.body.is_none());
        self.content.take_back(name, digest, named).await
    }

    /// Restores the uploads whose publication a kill interrupted. To be done before staging is
    /// swept.
    pub(crate) async fn take_interrupted_back(
        &self,
        uploads: &[UploadId],
    ) -> Result<(), StoreError> {
        let names = uploads.iter().map(UploadId::to_string).collect();
        for (upload, digest) in self.content.interrupted_publishes(names).await? {
            let _guard = self.guard(&digest).await;
            self.take_back(&upload, &digest).await?;
            tracing::info!(%upload, "an upload goes on that a kill interrupted");
        }
        Ok(())
    }

    /// Publishes bytes that were made here, with a verified digest.
    pub(crate) async fn publish_made(
        self: &Arc<Self>,
        repository: &RepositoryName,
        digest: Digest,
        bytes: Bytes,
    ) -> Result<(), StoreError> {
        let publish = Publish {
            digest,
            repository: Some(repository.clone()),
            given: false,
            upload: None,
        };
        self.publish_bytes(bytes, publish).await.map(drop)
    }

    /// Publishes bytes that are at hand. One visit to a blocking thread for all file work.
    async fn publish_bytes(
        self: &Arc<Self>,
        bytes: Bytes,
        publish: Publish,
    ) -> Result<Blob, StoreError> {
        if bytes.len() as u64 <= INLINE {
            return self.enter(publish, Source::Bytes(bytes)).await;
        }
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            let size = bytes.len() as u64;
            let guard = this.guard(&publish.digest).await;
            let replaces = this.records.is_stored(&publish.digest).await?;
            this.content.put(&publish.digest, bytes, replaces).await?;
            let blob = this.enter_placed(publish, size).await;
            drop(guard);
            blob
        });
        joined(task.await)
    }

    /// Commits content that is in place. If that fails and no row names it, its space is freed. To
    /// be called under the digest's guard.
    async fn enter_placed(
        self: &Arc<Self>,
        publish: Publish,
        size: u64,
    ) -> Result<Blob, StoreError> {
        let digest = publish.digest.clone();
        let entered = self.enter(publish, Source::Placed(size)).await;
        // The database decides: a commit may have happened though it seemed to fail.
        if entered.is_err() && matches!(self.records.is_stored(&digest).await, Ok(false)) {
            self.content.delete(&digest).await?;
        }
        entered
    }

    /// Commits content to the database: content in place, or bytes.
    async fn enter(self: &Arc<Self>, publish: Publish, source: Source) -> Result<Blob, StoreError> {
        let Publish {
            digest,
            repository,
            given,
            upload,
        } = publish;
        let access = match &source {
            Source::Placed(size) => Access {
                size: *size,
                body: None,
            },
            Source::Bytes(bytes) => Access {
                size: bytes.len() as u64,
                body: Some(bytes.clone()),
            },
        };
        let new = NewBlob {
            digest: digest.clone(),
            access: access.clone(),
            repository: repository.clone(),
            given,
            upload,
        };
        self.records.publish_blob(new).await?;
        Ok(Blob::new(Arc::clone(self), digest, access, repository))
    }
}

/// Where published content is.
enum Source {
    /// In place, of so many bytes.
    Placed(u64),
    /// At hand, and small.
    Bytes(Bytes),
}

/// Why bytes were not stored under a digest.
#[derive(Debug, thiserror::Error)]
pub enum PutBlobError {
    /// They hash to something else.
    #[error(
        "the content hashes to {found}, not to {expected}: it was damaged on the way, or the digest is another content's"
    )]
    Mismatch {
        /// The expected digest.
        expected: Digest,
        /// What the bytes hash to.
        found: Digest,
    },
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Store {
    /// Stores bytes that are at hand, verified, and lets `repository` read them.
    pub async fn put_blob(
        &self,
        repository: &RepositoryName,
        digest: &Digest,
        bytes: Bytes,
    ) -> Result<Blob, PutBlobError> {
        let algorithm = digest.algorithm();
        let content = bytes.clone();
        let found = blocking(move || Ok::<_, StoreError>(Digest::of(algorithm, &content))).await?;
        if found != *digest {
            return Err(PutBlobError::Mismatch {
                expected: digest.clone(),
                found,
            });
        }
        let publish = Publish {
            digest: found,
            repository: Some(repository.clone()),
            given: false,
            upload: None,
        };
        Ok(self.inner.publish_bytes(bytes, publish).await?)
    }
}
