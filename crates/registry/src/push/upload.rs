//! Pushes of blobs.

use bytes::Bytes;
use futures_util::Stream;
use metahub_auth::Granted;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{AppendError, FinishError};

use crate::access::pass_through::Request;
use crate::access::repository::{Push, Read, Repository};
use crate::error::RegistryError;

impl Repository<'_, Push> {
    /// Begins an upload and returns its identifier.
    pub async fn start_upload(&self) -> Result<String, RegistryError> {
        Ok(self.pushes().start_upload().await?.to_string())
    }

    /// Mounts a blob of the repository `from`, without transferring its bytes. Returns whether
    /// `from` has it.
    pub async fn mount(
        &self,
        digest: &Digest,
        from: &Repository<'_, Read>,
    ) -> Result<bool, RegistryError> {
        match from.authorise(Request::Blob(digest)).await {
            Ok(from) => self.pushes().mount(from.stored(), digest).await,
            // As for a missing blob: the client uploads instead.
            Err(error) => {
                tracing::debug!(from = %from.name(), %digest, %error, "nothing is mounted");
                Ok(false)
            }
        }
    }

    /// The same from any repository that `may_read` grants, except those of pass-through upstreams.
    pub async fn mount_from_anywhere(
        &self,
        digest: &Digest,
        may_read: &(dyn Fn(&RepositoryName) -> Option<Granted> + Send + Sync),
    ) -> Result<bool, RegistryError> {
        let pushes = self.pushes();
        for from in self.registry().open_repositories_with(digest).await? {
            let granted = may_read(&from);
            let Some(granted) = granted.filter(|granted| *granted.repository() == from) else {
                continue;
            };
            let from = self.registry().open_to(&granted)?;
            if pushes.mount(&from, digest).await? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many bytes of an upload have arrived.
    pub async fn upload_size(&self, id: &str) -> Result<u64, RegistryError> {
        Ok(self.pushes().upload(id).await?.size())
    }

    /// Appends bytes to an upload and returns its new size. `start` is the offset that the client
    /// sent, `length` the announced length.
    pub async fn append_upload<S>(
        &self,
        id: &str,
        start: Option<u64>,
        length: Option<u64>,
        content: S,
    ) -> Result<u64, RegistryError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>>,
    {
        let upload = self.pushes().upload(id).await?;
        let before = upload.size();
        let after = upload
            .append(start, content)
            .await
            .map_err(|error| match error {
                AppendError::WrongOffset { size, start } => RegistryError::UploadOffset {
                    expected: size,
                    found: start,
                },
                AppendError::Gone => RegistryError::UploadUnknown(id.to_owned()),
                AppendError::Store(error) => RegistryError::Store(error),
                other @ (AppendError::Busy | AppendError::Stream(_)) => {
                    RegistryError::UploadInvalid(other.to_string())
                }
            })?;
        let received = after.saturating_sub(before);
        match length {
            Some(length) if length != received => Err(RegistryError::Size(format!(
                "{length} bytes were announced and {received} arrived"
            ))),
            _ => Ok(after),
        }
    }

    /// Ends an upload: its bytes must hash to `digest`.
    pub async fn finish_upload(&self, id: &str, digest: &Digest) -> Result<(), RegistryError> {
        let upload = self.pushes().upload(id).await?;
        upload
            .finish(digest)
            .await
            .map(drop)
            .map_err(|error| match error {
                FinishError::Mismatch { expected, found } => {
                    RegistryError::DigestMismatch { expected, found }
                }
                FinishError::Gone => RegistryError::UploadUnknown(id.to_owned()),
                FinishError::Store(error) => RegistryError::Store(error),
                FinishError::Busy => RegistryError::UploadInvalid(error.to_string()),
            })
    }

    /// Cancels an upload.
    pub async fn cancel_upload(&self, id: &str) -> Result<(), RegistryError> {
        if self.pushes().upload(id).await?.cancel().await? {
            Ok(())
        } else {
            Err(RegistryError::UploadUnknown(id.to_owned()))
        }
    }
}
