//! What refers to a manifest of an upstream: signatures, attestations, bills of materials.
//!
//! By the referrers API where the upstream has it, else by the tag schema that clients keep
//! for registries without it (distribution specification, "Referrers Tag Schema").

use bytes::Bytes;
use http::header::ACCEPT;
use http::{HeaderValue, Method};
use metahub_oci::{Descriptor, Digest, MediaType, Reference, RepositoryName, Tag};
use serde_json::Value;

use crate::answer;
use crate::ask::Ask;
use crate::error::{Problem, UpstreamError};
use crate::upstream::Upstream;

/// Referrers read at most.
const MAX_REFERRERS: usize = 100_000;

/// What an upstream says refers to a manifest.
#[derive(Clone, Debug, Default)]
pub struct Referring {
    /// The descriptors; empty if there are none.
    pub descriptors: Vec<Descriptor>,
    /// Whether it answered that it does not offer the referrers API (400, 405, 406, 410, 501).
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
        let mut ask = Ask::new(self, Method::GET, name, &format!("referrers/{digest}"));
        ask.headers
            .insert(ACCEPT, HeaderValue::from_static(MediaType::OCI_INDEX));
        let mut found: Vec<Descriptor> = Vec::new();
        let by_api = self
            .pages(ask, |page| {
                let before = found.len();
                let list = descriptors(&page.body).ok_or_else(|| {
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
        let Some(tag) = fallback_tag(digest) else {
            return Ok(Vec::new());
        };
        let fetched = self.manifest(name, &Reference::Tag(tag)).await?;
        Ok(fetched
            .and_then(|fetched| descriptors(fetched.document.bytes()))
            .unwrap_or_default())
    }
}

/// What registries that do not know the path answer, besides 404. A page that is no list is
/// what a web application behind a wildcard route sends.
fn lacks_the_api(problem: &Problem) -> bool {
    match problem {
        Problem::Status { status, .. } => matches!(status, 400 | 405 | 406 | 410 | 501),
        Problem::BadAnswer(_) => true,
        _ => false,
    }
}

/// The descriptors of an index; those that are ill-formed are left out.
fn descriptors(bytes: &Bytes) -> Option<Vec<Descriptor>> {
    let value: Value = serde_json::from_slice(bytes).ok()?;
    let list = value.get("manifests")?.as_array()?;
    Some(
        list.iter()
            .filter_map(|item| Descriptor::from_json(item).ok())
            .collect(),
    )
}

/// `sha256-HEX`, algorithm and value cut as the specification says.
fn fallback_tag(digest: &Digest) -> Option<Tag> {
    let hex = digest.hex();
    let hex = hex.get(..64).unwrap_or(hex);
    format!("{}-{hex}", digest.algorithm()).parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use metahub_oci::Algorithm;

    #[test]
    fn the_fallback_tag_is_the_digest_cut_to_the_limits_of_a_tag() {
        let tag = |algorithm| {
            fallback_tag(&Digest::of(algorithm, b""))
                .unwrap()
                .to_string()
        };
        assert_eq!(
            tag(Algorithm::Sha256),
            "sha256-e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
        );
        assert_eq!(tag(Algorithm::Sha512).len(), "sha512-".len() + 64);
    }
}
