//! The one way into `blobs`: a staged file whose digest is known to be right is made durable,
//! moved into place, made durable there, and only then entered in the database.
//!
//! Small content goes into the database itself, in the same commit. A crash in between leaves at most a file without a row, which nothing opens and which garbage
//! collection removes. A file that is there already is replaced: if it was damaged, it is no more.

use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};
use rand::RngExt as _;

use crate::blob::{Access, Blob, INLINE};
use crate::cache::Change;
use crate::encoding::{digest_to_bytes, now};
use crate::layout::{remove_file, sync_folder};
use crate::open_blob::Stamp;
use crate::staged::Staged;
use crate::store::{Inner, Store, blocking};
use crate::upload::UploadId;
use crate::writer::{Durability, Transaction};
use crate::{StoreError, repository};

/// What becomes of a staged file.
pub(crate) struct Publish {
    pub(crate) digest: Digest,
    /// Who may read it from now on. Without one, nobody may until it is linked.
    pub(crate) repository: Option<RepositoryName>,
    /// The upload that it was, which ends.
    pub(crate) upload: Option<UploadId>,
}

impl Inner {
    /// A fresh name in staging for content that is no upload.
    pub(crate) fn staging_name(kind: &str) -> String {
        format!("{kind}-{:032x}", rand::rng().random::<u128>())
    }

    /// Publishes a staged file. Runs to its end even if the caller goes away.
    pub(crate) async fn publish(
        self: &Arc<Self>,
        mut staged: Staged,
        publish: Publish,
    ) -> Result<Blob, StoreError> {
        let this = Arc::clone(self);
        let task = tokio::spawn(async move {
            if staged.len() <= INLINE {
                let path = staged.path().to_owned();
                let bytes = staged.read().await?;
                let blob = this.enter(publish, Source::Bytes(bytes)).await?;
                blocking(move || remove_file(&path)).await?;
                return Ok(blob);
            }
            staged.sync().await?;
            let size = staged.len();
            let guard = this.guard(&publish.digest).await;
            let path = this.blob_path(&publish.digest);
            let stamp = blocking(move || {
                let stamp = move_into_place(staged.path(), &path)?;
                staged.moved();
                Ok::<_, StoreError>(stamp)
            })
            .await?;
            let blob = this.enter(publish, Source::File(size, stamp)).await;
            drop(guard);
            blob
        });
        task.await.unwrap_or(Err(StoreError::Closed))
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
            let path = this.blob_path(&publish.digest);
            let from = this.layout.staged(&Self::staging_name("put"));
            let stamp = blocking(move || {
                let moved =
                    write_durably(&from, &bytes).and_then(|()| move_into_place(&from, &path));
                if moved.is_err() {
                    let _ = remove_file(&from);
                }
                moved
            })
            .await?;
            let blob = this.enter(publish, Source::File(size, stamp)).await;
            drop(guard);
            blob
        });
        task.await.unwrap_or(Err(StoreError::Closed))
    }

    /// Enters content in the database: a file that is in place, or bytes.
    async fn enter(self: &Arc<Self>, publish: Publish, source: Source) -> Result<Blob, StoreError> {
        let Publish {
            digest,
            repository,
            upload,
        } = publish;
        let access = match &source {
            Source::File(size, _) => Access {
                size: *size,
                body: None,
            },
            Source::Bytes(bytes) => Access {
                size: bytes.len() as u64,
                body: Some(bytes.clone()),
            },
        };
        let (key, entered, holder) = (digest.clone(), access.clone(), repository.clone());
        self.database
            .writer
            .write(Durability::Full, move |transaction| {
                Box::pin(async move {
                    let blob = enter_blob(transaction, &key, entered).await?;
                    if let Some(name) = holder {
                        let repository = repository::ensure(transaction, &name).await?;
                        link(transaction, repository, blob).await?;
                        // What was cached may have been the damaged content that this replaces.
                        transaction.changed(Change::Blob(name, key));
                    }
                    if let Some(upload) = upload {
                        upload.remove_row(transaction).await?;
                    }
                    Ok::<_, StoreError>(())
                })
            })
            .await?;
        if let Source::File(_, stamp) = source {
            self.verified.insert(digest.clone(), stamp);
        }
        Ok(Blob::new(Arc::clone(self), digest, access, repository))
    }
}

/// Where published content is.
enum Source {
    /// In its file, of so many bytes.
    File(u64, Stamp),
    /// At hand, and small.
    Bytes(Bytes),
}

fn write_durably(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            file.sync_data()
        })
        .map_err(|error| StoreError::io("write", path, error))
}

/// Moves a durable file to where it is found by its digest, durably.
fn move_into_place(from: &Path, to: &Path) -> Result<Stamp, StoreError> {
    fs::rename(from, to).map_err(|error| StoreError::io("move a blob to", to, error))?;
    if let Some(folder) = to.parent() {
        sync_folder(folder)?;
    }
    File::open(to)
        .and_then(|file| Stamp::of(&file))
        .map_err(|error| StoreError::io("look at", to, error))
}

async fn enter_blob(
    transaction: &mut Transaction,
    digest: &Digest,
    access: Access,
) -> Result<i64, StoreError> {
    let result = sqlx::query_scalar(
        "INSERT INTO blobs (digest, size, created_at, used_at, body) VALUES ($1, $2, $3, $3, $4)
         ON CONFLICT (digest) DO UPDATE SET
             size = excluded.size, used_at = excluded.used_at, body = excluded.body
         RETURNING id",
    )
    .bind(digest_to_bytes(digest))
    .bind(i64::try_from(access.size).unwrap_or(i64::MAX))
    .bind(now())
    .bind(access.body.map(Vec::from))
    .fetch_one(&mut transaction.connection)
    .await;
    result.map_err(|error| transaction.error(error))
}

/// Lets a repository read a blob.
pub(crate) async fn link(
    transaction: &mut Transaction,
    repository: i64,
    blob: i64,
) -> Result<(), StoreError> {
    let result = sqlx::query(
        "INSERT INTO repo_blobs (repository_id, blob_id, linked_at) VALUES ($1, $2, $3)
         ON CONFLICT (repository_id, blob_id) DO UPDATE SET linked_at = excluded.linked_at",
    )
    .bind(repository)
    .bind(blob)
    .bind(now())
    .execute(&mut transaction.connection)
    .await;
    result.map(|_| ()).map_err(|error| transaction.error(error))
}

/// Why bytes were not stored under a digest.
#[derive(Debug, thiserror::Error)]
pub enum PutBlobError {
    /// They hash to something else.
    #[error(
        "the content hashes to {found}, not to {expected}: it was damaged on the way, or the digest is another content's"
    )]
    Mismatch {
        /// The digest that was given.
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
            upload: None,
        };
        Ok(self.inner.publish_bytes(bytes, publish).await?)
    }
}
