//! Checks whether an upstream lets the caller read something, which authorises the caller for the
//! cached content. A status alone is not trusted: login pages are also answered with 200.

use http::Method;
use metahub_client::{Head, path};
use metahub_oci::{Digest, Reference, RepositoryName};

use crate::answer;
use crate::ask::Ask;
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

impl Upstream {
    /// Whether the caller may read a manifest: by a HEAD that states its digest or type, else by a
    /// GET.
    ///
    /// # Errors
    /// As [`UpstreamError`] says.
    pub async fn shows_manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<bool, UpstreamError> {
        match self.head(name, reference).await {
            Ok(None) => return Ok(false),
            Ok(Some(head)) if describes_a_manifest(&head) => return Ok(true),
            Ok(Some(_)) => {}
            // An upstream without HEAD.
            Err(error) if is_no_method(&error) => {}
            Err(error) => return Err(error),
        }
        Ok(self.manifest(name, reference).await?.is_some())
    }

    /// Whether the caller may read a blob: by a HEAD that states its digest, or that is at least no
    /// HTML page. Storage behind a redirect states no digests.
    ///
    /// # Errors
    /// As [`UpstreamError`] says.
    pub async fn shows_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<bool, UpstreamError> {
        let ask = Ask::new(self, Method::HEAD, name, &path::blob(name, digest));
        let Some(response) = self.ask(&ask).await? else {
            return Ok(false);
        };
        let named = Head::of(response.headers()).digest;
        Ok(match named {
            Some(named) => named == *digest,
            None => !answer::content_type(&response).contains("html"),
        })
    }
}

fn describes_a_manifest(head: &Head) -> bool {
    let of_a_manifest = head
        .media_type
        .as_ref()
        .is_some_and(|media_type| media_type.is_manifest() || media_type.is_index());
    head.digest.is_some() || of_a_manifest
}

fn is_no_method(error: &UpstreamError) -> bool {
    let status = match error.problem() {
        Problem::Status { status, .. } => *status,
        _ => return false,
    };
    matches!(status, 405 | 501)
}
