//! Pushes blobs and manifests (distribution specification, "Pushing"): small ones from memory,
//! layers as a stream.

use bytes::Bytes;
use http::StatusCode;
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, LOCATION};
use metahub_oci::{Digest, Document, Reference};
use url::Url;

use super::{Session, SessionError, expect_success};
use crate::path;

impl Session<'_> {
    /// Pushes a blob, unless the repository has it.
    ///
    /// # Errors
    /// When the server refuses, or sends elsewhere.
    pub async fn push_blob(&self, bytes: &Bytes) -> Result<(), SessionError> {
        let digest = Digest::sha256(bytes);
        if self.has_blob(&digest).await? {
            return Ok(());
        }
        let length = bytes.len() as u64;
        self.upload_blob(&digest, length, bytes.clone().into())
            .await
    }

    /// Whether the repository has a blob.
    ///
    /// # Errors
    /// When the server cannot be reached.
    pub async fn has_blob(&self, digest: &Digest) -> Result<bool, SessionError> {
        let there = self.client.url(&path::blob(&self.name, digest))?;
        let ask = self.authorized(self.client.http.head(there));
        Ok(self.client.send(ask).await?.status().is_success())
    }

    /// Pushes a blob of any length in one request. `body` is read once, and the server verifies it
    /// against `digest`.
    ///
    /// # Errors
    /// When the server refuses, or sends elsewhere.
    pub async fn upload_blob(
        &self,
        digest: &Digest,
        length: u64,
        body: reqwest::Body,
    ) -> Result<(), SessionError> {
        let begin = self.client.url(&path::uploads(&self.name))?;
        let ask = self.authorized(self.client.http.post(begin.clone()));
        let answer = expect_success(self.client.send(ask).await?).await?;
        let mut upload = self.upload(&begin, &answer)?;
        upload
            .query_pairs_mut()
            .append_pair("digest", digest.as_str());
        let ask = self.client.http.put(upload);
        let ask = ask.header(CONTENT_TYPE, "application/octet-stream");
        let ask = ask.header(CONTENT_LENGTH, length);
        let ask = self.authorized(ask).body(body);
        expect_success(self.client.send(ask).await?).await?;
        Ok(())
    }

    /// Pushes a manifest whose blobs are there. Says whether the server knows its subject, that
    /// is, keeps the list of referrers itself.
    ///
    /// # Errors
    /// When the server refuses.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        document: &Document,
    ) -> Result<bool, SessionError> {
        let url = self.client.url(&path::manifest(&self.name, reference))?;
        let ask = self.client.http.put(url);
        let ask = ask.header(CONTENT_TYPE, document.media_type().as_str());
        let ask = self.authorized(ask).body(document.bytes().clone());
        let answer = self.client.send(ask).await?;
        let knows_subject = answer.headers().contains_key("oci-subject");
        let answer = expect_success(answer).await?;
        if answer.status() == StatusCode::CREATED {
            Ok(knows_subject)
        } else {
            let status = answer.status();
            let said = format!("{status} to a manifest, where 201 was expected");
            Err(SessionError::BadAnswer(said))
        }
    }

    /// The location at which an upload continues: at the same server only, because the login is
    /// sent along.
    fn upload(&self, begin: &Url, answer: &reqwest::Response) -> Result<Url, SessionError> {
        let location = answer.headers().get(LOCATION);
        let location = location.and_then(|value| value.to_str().ok());
        let upload = location.and_then(|location| begin.join(location).ok());
        let upload = upload.ok_or_else(|| {
            SessionError::BadAnswer("an upload without a readable Location".to_owned())
        })?;
        if upload.origin() == self.client.server.origin() {
            Ok(upload)
        } else {
            Err(SessionError::BadAnswer(format!(
                "an upload elsewhere, at {}",
                upload.origin().ascii_serialization()
            )))
        }
    }
}
