//! Blobs on their way in.

use bytes::Bytes;
use futures_util::Stream;
use metahub_oci::{Digest, RepositoryName};
use metahub_store::{AppendError, FinishError, Upload, UploadId};

use crate::access::pass_through::Request;
use crate::{Registry, RegistryError};

impl Registry {
    /// Begins an upload and gives its name.
    pub async fn start_upload(&self, name: &RepositoryName) -> Result<String, RegistryError> {
        Ok(self.store().start_upload(name).await?.to_string())
    }

    /// Makes a blob of the repository `from` this one's too, without its bytes travelling. Whether
    /// `from` has it. The caller may read `from`.
    pub async fn mount(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, RegistryError> {
        match self.authorised(from, Request::Blob(digest)).await {
            Ok(_) => Ok(self
                .store()
                .mount(&*self.storage_repository(from)?, name, digest)
                .await?),
            // As for what is not there: the client uploads instead.
            Err(error) => {
                tracing::debug!(%from, %digest, %error, "nothing is mounted");
                Ok(false)
            }
        }
    }

    /// The same out of any repository that `may_read` lets through.
    pub async fn mount_from_anywhere(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        may_read: &(dyn Fn(&RepositoryName) -> bool + Send + Sync),
    ) -> Result<bool, RegistryError> {
        for from in self.store().repositories_with_blob(digest).await? {
            if self.is_open(&from)
                && may_read(&from)
                && self.store().mount(&from, name, digest).await?
            {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// How many bytes of an upload have arrived.
    pub async fn upload_size(&self, name: &RepositoryName, id: &str) -> Result<u64, RegistryError> {
        Ok(self.upload(name, id).await?.size())
    }

    /// Appends bytes to an upload and gives its new size. `start` is where the sender believes
    /// the upload ends, `length` how much it announced.
    pub async fn append_upload<S>(
        &self,
        name: &RepositoryName,
        id: &str,
        start: Option<u64>,
        length: Option<u64>,
        content: S,
    ) -> Result<u64, RegistryError>
    where
        S: Stream<Item = Result<Bytes, std::io::Error>>,
    {
        let upload = self.upload(name, id).await?;
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
    pub async fn finish_upload(
        &self,
        name: &RepositoryName,
        id: &str,
        digest: &Digest,
    ) -> Result<(), RegistryError> {
        let upload = self.upload(name, id).await?;
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

    /// Gives an upload up.
    pub async fn cancel_upload(
        &self,
        name: &RepositoryName,
        id: &str,
    ) -> Result<(), RegistryError> {
        if self.upload(name, id).await?.cancel().await? {
            Ok(())
        } else {
            Err(RegistryError::UploadUnknown(id.to_owned()))
        }
    }

    async fn upload(&self, name: &RepositoryName, id: &str) -> Result<Upload, RegistryError> {
        let unknown = || RegistryError::UploadUnknown(id.to_owned());
        let id: UploadId = id.parse().map_err(|_| unknown())?;
        self.store().upload(name, &id).await?.ok_or_else(unknown)
    }
}
