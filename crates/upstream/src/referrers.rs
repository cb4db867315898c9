//! The referrers of a manifest at an upstream: signatures, attestations, bills of materials.
//!
//! By the referrers API where the upstream has it, else by the tag schema that clients maintain for
//! registries without it (distribution specification, "Referrers Tag Schema").

use http::header::ACCEPT;
use http::{HeaderValue, Method};
use metahub_client::path;
use metahub_oci::{Descriptor, Digest, MediaType, Reference, RepositoryName};

use crate::answer;
use crate::ask::Ask;
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// Referrers read at most.
const MAX_REFERRERS: usize = 100_000;

/// An upstream's answer about the referrers of a manifest.
#[derive(Clone, Debug, Default)]
pub struct Referring {
    /// The descriptors; empty if there are none.
    pub descriptors: Vec<Descriptor>,
    /// Whether it refused the referrers API (400, 405, 406, 410, 501).
    pub refused: bool,
}

impl Upstream {
    /// Descriptors of all manifests that refer to `digest`, all pages read. An upstream without
    /// the API (404, 400, 405, 406, 410, 501, or a page that is no list) is asked for the
    /// referrers tag instead.
    ///
    /// # Errors
    /// As [`UpstreamError`] says: one that [`UpstreamError::is_refusal`] means that the upstream
    /// shows none to us (401, 403), one that [`UpstreamError::is_transient`] that it is not known
    /// whether there are any (429, 5xx, time-out).
    pub async fn referrers(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Referring, UpstreamError> {
        let mut ask = Ask::new(self, Method::GET, name, &path::referrers(name, digest));
        ask.headers
            .insert(ACCEPT, HeaderValue::from_static(MediaType::OCI_INDEX));
        let mut found: Vec<Descriptor> = Vec::new();
        let by_api = self
            .pages(ask, |page| {
                let before = found.len();
                let list = metahub_client::referrers(&page.body).ok_or_else(|| {
                    Problem::BadAnswer(format!(
                        "a list of referrers of content type '{}' that begins \"{}\"",
                        page.content_type,
                        answer::first_words(&page.body)
                    ))
                })?;
                found.extend(list);
                if found.len() > MAX_REFERRERS {
                    let limit = MAX_REFERRERS;
                    return Err(Problem::BadAnswer(format!("more than {limit} referrers")));
                }
                Ok(found.len() > before)
            })
            .await;
        let refused = match by_api {
            Ok(true) => {
                return Ok(Referring {
                    descriptors: found,
                    refused: false,
                });
            }
            Ok(false) => false,
            Err(error) if lacks_the_api(error.problem()) => error.is_refusal(),
            Err(error) => return Err(error),
        };
        Ok(Referring {
            descriptors: self.referrers_by_tag(name, digest).await?,
            refused,
        })
    }

    async fn referrers_by_tag(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Vec<Descriptor>, UpstreamError> {
        let Some(tag) = path::referrers_tag(digest) else {
            return Ok(Vec::new());
        };
        let fetched = self.manifest(name, &Reference::Tag(tag)).await?;
        Ok(fetched
            .and_then(|fetched| metahub_client::referrers(fetched.document.bytes()))
            .unwrap_or_default())
    }
}

/// The answers, besides 404, of registries that do not know the path. A web application behind a
/// wildcard route sends a page that is no list.
fn lacks_the_api(problem: &Problem) -> bool {
    match problem {
        Problem::Status { status, .. } => matches!(status, 400 | 405 | 406 | 410 | 501),
        Problem::BadAnswer(_) => true,
        _ => false,
    }
}
