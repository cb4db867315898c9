//! The one way into `blobs`: a staged file whose digest is known to be right is moved into place,
//! it and its folder are made durable, and only then it is entered in the database.
//!
//! Small content goes into the database itself, in the same commit. A crash in between leaves at most a file without a row, which nothing opens and which garbage
//! collection removes. A file that is there already is replaced: if it was damaged, it is no more.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use metahub_oci::{Digest, RepositoryName};
use rand::RngExt as _;

use crate::StoreError;
use crate::blob::{Blob, INLINE};
use crate::layout::{remove_file, sync_folder};
use crate::open_blob::Stamp;
use crate::publishing::Publishing;
use crate::records::{Access, NewBlob};
use crate::staged::Staged;
use crate::steps::Steps;
use crate::store::{Inner, Store, blocking, joined};
use crate::upload_id::UploadId;

/// Files up to this size, in bytes, are flushed together with their folder. Larger ones are
/// flushed before, so that nobody waits for them at the digest's guard.
const TOGETHER: u64 = 8 * 1024 * 1024;

/// What becomes of a staged file.
pub(crate) struct Publish {
    pub(crate) digest: Digest,
    /// Who may read it from now on. Without one, nobody may until it is linked.
    pub(crate) repository: Option<RepositoryName>,
    /// Whether that repository's upstream gave it.
    pub(crate) given: bool,
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
                staged.stays_readable();
                let blob = this.enter(publish, Source::Bytes(bytes)).await?;
                blocking(move || remove_file(&path)).await?;
                return Ok(blob);
            }
            let (file, size) = (staged.settle().await?, staged.len());
            if size > TOGETHER {
                staged.sync().await?;
            }
            let guard = this.guard(&publish.digest).await;
            let place = this.place(&publish.digest, size).await?;
            let publishing = match &publish.upload {
                Some(_) => Some(this.begin_publishing(&staged, &publish.digest).await?),
                None => None,
            };
            let outcome = this.publish_at(place, (file, size), staged, publish).await;
            if let Some(publishing) = publishing {
                this.end_publishing(publishing, outcome.is_ok()).await;
            }
            drop(guard);
            outcome
        });
        joined(task.await)
    }

    async fn begin_publishing(
        &self,
        staged: &Staged,
        digest: &Digest,
    ) -> Result<Publishing, StoreError> {
        let (path, digest) = (staged.path().to_owned(), digest.clone());
        let steps = self.options.steps.clone();
        blocking(move || {
            steps.before("note that it is published", &path)?;
            Publishing::begin(&path, &digest)
        })
        .await
    }

    /// What was acknowledged of an upload that did not become a blob is there again afterwards.
    async fn end_publishing(self: &Arc<Self>, publishing: Publishing, published: bool) {
        let ended = if published {
            let steps = self.options.steps.clone();
            let staging = self.layout.staging();
            blocking(move || {
                steps.before("remove the note", &staging)?;
                publishing.end();
                Ok(())
            })
            .await
        } else {
            self.put_back(publishing).await
        };
        if let Err(error) = ended {
            tracing::warn!(%error, "an upload that was interrupted is taken up at the next start");
        }
    }

    /// Moves a staged file to its place and enters it.
    async fn publish_at(
        self: &Arc<Self>,
        place: Place,
        (file, size): (Arc<File>, u64),
        staged: Staged,
        publish: Publish,
    ) -> Result<Blob, StoreError> {
        let (this, keep) = (Arc::clone(self), publish.upload.is_some());
        let stamp = blocking(move || {
            this.check_in_place_now()?;
            let stamp = place.take(&file, staged.path(), &this.options.steps, keep)?;
            staged.moved();
            Ok::<_, StoreError>(stamp)
        })
        .await?;
        self.options.steps.before("enter", self.layout.root())?;
        if keep {
            return self.enter(publish, Source::File(size, stamp)).await;
        }
        self.enter_file(publish, size, stamp).await
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
            let place = this.place(&publish.digest, size).await?;
            let from = this.layout.staged(&Self::staging_name("put"));
            let inner = Arc::clone(&this);
            let stamp = blocking(move || {
                inner.check_in_place_now()?;
                let steps = &inner.options.steps;
                let taken =
                    write(&from, &bytes).and_then(|file| place.take(&file, &from, steps, false));
                if taken.is_err() {
                    let _ = remove_file(&from);
                }
                taken
            })
            .await?;
            let blob = this.enter_file(publish, size, stamp).await;
            drop(guard);
            blob
        });
        joined(task.await)
    }

    /// Enters a file that is in place. If that fails and no row names the file, its space is free
    /// again. To be called under the digest's guard.
    async fn enter_file(
        self: &Arc<Self>,
        publish: Publish,
        size: u64,
        stamp: Stamp,
    ) -> Result<Blob, StoreError> {
        let digest = publish.digest.clone();
        let entered = self.enter(publish, Source::File(size, stamp)).await;
        // What the database says counts: a commit may have been done though it seemed to fail.
        if entered.is_err() && matches!(self.records.is_stored(&digest).await, Ok(false)) {
            let path = self.blob_path(&digest);
            blocking(move || remove_file(&path)).await?;
        }
        entered
    }

    /// Enters content in the database: a file that is in place, or bytes.
    async fn enter(self: &Arc<Self>, publish: Publish, source: Source) -> Result<Blob, StoreError> {
        let Publish {
            digest,
            repository,
            given,
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
        let new = NewBlob {
            digest: digest.clone(),
            access: access.clone(),
            repository: repository.clone(),
            given,
            upload,
        };
        self.records.publish_blob(new).await?;
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

fn write(path: &Path, bytes: &[u8]) -> Result<File, StoreError> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;
    fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(bytes)?;
            Ok(file)
        })
        .map_err(|error| StoreError::io("write", path, error))
}

/// Where a blob's file belongs. To be made and used under the digest's guard.
struct Place {
    path: PathBuf,
    /// Whether what is there must not be touched before its successor is durable.
    careful: bool,
}

impl Inner {
    async fn place(&self, digest: &Digest, size: u64) -> Result<Place, StoreError> {
        let known = self.records.is_stored(digest).await?;
        Ok(Place {
            path: self.blob_path(digest),
            careful: known || size > TOGETHER,
        })
    }
}

impl Place {
    /// Moves `file`, which is at `from`, to where it is found by its digest, durably. Blocks.
    ///
    /// A file that no row names is opened by nobody. So if there is no row yet, the file is moved
    /// first and then flushed together with its folder's entry: file systems that keep a journal
    /// write that once for both. After a failure the file is gone, unless the caller says that it
    /// is to `keep` it where it is then.
    fn take(
        &self,
        file: &File,
        from: &Path,
        steps: &Steps,
        keep: bool,
    ) -> Result<Stamp, StoreError> {
        let durable = || {
            file.sync_data()
                .map_err(|error| StoreError::io("make durable", from, error))
        };
        if self.careful {
            durable()?;
        }
        steps.before("move a blob to", &self.path)?;
        fs::rename(from, &self.path)
            .map_err(|error| StoreError::io("move a blob to", &self.path, error))?;
        let file_settled = steps
            .before("make durable", &self.path)
            .and_then(|()| if self.careful { Ok(()) } else { durable() });
        let settled = file_settled.and_then(|()| self.path.parent().map_or(Ok(()), sync_folder));
        if settled.is_err() && !self.careful && !keep {
            let _ = remove_file(&self.path);
        }
        settled?;
        Stamp::of(file).map_err(|error| StoreError::io("look at", &self.path, error))
    }
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
            given: false,
            upload: None,
        };
        Ok(self.inner.publish_bytes(bytes, publish).await?)
    }
}
