//! Manifests and indexes of an upstream: whether one exists, whether it is unchanged, and its
//! content.

use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, IF_NONE_MATCH};
use http::{HeaderValue, Method, StatusCode};
use metahub_client::{Head, MANIFESTS, path};
use metahub_limits::Reservation;
use metahub_oci::{
    Digest, Document, MAX_MANIFEST_BYTES, MediaType, Reference, RepositoryName, Tag,
};

use crate::answer;
use crate::ask::{Ask, Whole};
use crate::error::{Problem, UpstreamError};
use crate::pause::Lane;
use crate::upstream::Upstream;

/// The timeout of a revalidation, for callers with a cached copy.
const REVALIDATION: Duration = Duration::from_secs(5);
/// Types that servers give to JSON whose own type they do not know.
const VAGUE: [&str; 5] = [
    "application/json",
    "text/json",
    "text/plain",
    "application/octet-stream",
    "binary/octet-stream",
];

/// A manifest that was read and verified.
#[derive(Clone, Debug)]
pub struct Fetched {
    /// The document, with its exact bytes.
    pub document: Document,
    /// The upstream's validator, for [`Upstream::revalidate`].
    pub etag: Option<String>,
    /// The memory reserved for the parsed document. Its holder waits for no other reservation.
    pub memory: Reservation,
}

/// The result of revalidating a tag.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Freshness {
    /// It still names the same manifest.
    Unchanged {
        /// The validator to store.
        etag: Option<String>,
    },
    /// It names, or may name, another one.
    Changed {
        /// Its digest, if the upstream states it.
        digest: Option<Digest>,
    },
    /// The tag vanished.
    Gone,
}

impl Upstream {
    /// HEAD of a manifest. `None` if the upstream has no such manifest.
    ///
    /// # Errors As [`UpstreamError`] says; a digest header other than the requested digest is one.
    pub async fn head(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Head>, UpstreamError> {
        let ask = self.ask_manifest(Method::HEAD, name, reference);
        let Some(response) = self.ask(&ask).await? else {
            return Ok(None);
        };
        let head = Head::of(response.headers());
        match (reference, &head.digest) {
            (Reference::Digest(asked), Some(said)) if differ(asked, said) => {
                Err(self.error(Problem::DigestMismatch {
                    expected: asked.clone(),
                    found: said.clone(),
                }))
            }
            _ => Ok(Some(head)),
        }
    }

    /// Whether `tag`, which named `digest` when it was read with `etag`, still does: one HEAD,
    /// which public registries do not count against their limits. The caller this has a copy,
    /// so it takes no longer than five seconds, whatever the upstream asks us to wait.
    ///
    /// # Errors
    /// As [`UpstreamError`] says.
    pub async fn revalidate(
        &self,
        name: &RepositoryName,
        tag: &Tag,
        digest: &Digest,
        etag: Option<&str>,
    ) -> Result<Freshness, UpstreamError> {
        let mut ask = self.ask_manifest(Method::HEAD, name, &Reference::Tag(tag.clone()));
        ask.limit = Some(REVALIDATION);
        if let Some(value) = etag.and_then(|etag| HeaderValue::from_str(etag).ok()) {
            ask.headers.insert(IF_NONE_MATCH, value);
        }
        let response = match self.ask(&ask).await {
            Ok(Some(response)) => response,
            Ok(None) => return Ok(Freshness::Gone),
            // An upstream without HEAD: only reading it tells.
            Err(error)
                if matches!(
                    error.problem(),
                    Problem::Status {
                        status: 405 | 501,
                        ..
                    }
                ) =>
            {
                return Ok(Freshness::Changed { digest: None });
            }
            Err(error) => return Err(error),
        };
        let head = Head::of(response.headers());
        let not_modified = response.status() == StatusCode::NOT_MODIFIED;
        let same_digest = head.digest.as_ref() == Some(digest);
        let same_etag =
            head.digest.is_none() && head.etag.is_some() && head.etag.as_deref() == etag;
        if not_modified || same_digest || same_etag {
            Ok(Freshness::Unchanged {
                etag: head.etag.or_else(|| etag.map(str::to_owned)),
            })
        } else {
            Ok(Freshness::Changed {
                digest: head.digest,
            })
        }
    }

    /// GET of a manifest, verified against the requested digest and against the digest that the
    /// upstream announces. `None` if the upstream has no such manifest.
    ///
    /// # Errors
    /// As [`UpstreamError`] says; more than 4 MiB, another type or an ill-formed document too.
    pub async fn manifest(
        &self,
        name: &RepositoryName,
        reference: &Reference,
    ) -> Result<Option<Fetched>, UpstreamError> {
        let ask = self.ask_manifest(Method::GET, name, reference);
        let whole = self
            .ask_whole(&ask, "a manifest", MAX_MANIFEST_BYTES)
            .await?;
        let Some(whole) = whole else {
            return Ok(None);
        };
        let head = Head::of(&whole.headers);
        let (announced, asked) = (head.digest, reference.clone());
        let Whole {
            body,
            content_type,
            memory: _until_parsed,
            ..
        } = whole;
        let documents = self.shared.connections.room().documents();
        let reading = documents.run(body.len() as u64, move || {
            read(&body, &asked, announced.as_ref(), &content_type)
        });
        let (document, memory) = reading.await.map_err(|error| self.error(error.into()))?;
        Ok(Some(Fetched {
            document: document.map_err(|problem| self.error(problem))?,
            etag: head.etag,
            memory,
        }))
    }

    fn ask_manifest(&self, method: Method, name: &RepositoryName, reference: &Reference) -> Ask {
        let mut ask = Ask::new(self, method, name, &path::manifest(name, reference));
        if ask.method == Method::GET {
            ask.lane = Lane::Manifest;
        }
        ask.headers
            .insert(ACCEPT, HeaderValue::from_static(MANIFESTS));
        ask
    }
}

/// Whether two digests of one algorithm differ. Digests of different algorithms cannot be compared.
fn differ(one: &Digest, other: &Digest) -> bool {
    one.algorithm() == other.algorithm() && one != other
}

/// Verifies the bytes first, then reads them.
fn read(
    bytes: &Bytes,
    reference: &Reference,
    announced: Option<&Digest>,
    content_type: &str,
) -> Result<Document, Problem> {
    let asked = match reference {
        Reference::Digest(digest) => Some(digest),
        Reference::Tag(_) => None,
    };
    let bad = |why: &str| {
        let words = answer::first_words(bytes);
        Problem::BadAnswer(format!(
            "a manifest of content type '{content_type}' that begins \"{words}\": {why}"
        ))
    };
    let media_type = known_type(content_type).map_err(bad)?;
    for expected in asked.into_iter().chain(announced) {
        let found = Digest::of(expected.algorithm(), bytes);
        if found != *expected {
            return Err(Problem::DigestMismatch {
                expected: expected.clone(),
                found,
            });
        }
    }
    let digest = match asked.or(announced) {
        Some(digest) => digest.clone(),
        None => Digest::sha256(bytes),
    };
    Document::parse_as(bytes.clone(), digest, media_type.as_ref())
        .map_err(|error| bad(&error.to_string()))
}

/// The type that the header names; none if it only says that it is data.
fn known_type(content_type: &str) -> Result<Option<MediaType>, &'static str> {
    if content_type.is_empty() {
        return Ok(None);
    }
    let Ok(media_type) = content_type.parse::<MediaType>() else {
        return Err("that is no media type");
    };
    let text = media_type.as_str();
    if media_type.is_index() || media_type.is_manifest() {
        Ok(Some(media_type))
    } else if VAGUE.contains(&text) {
        Ok(None)
    } else if text.starts_with("application/vnd.docker.distribution.manifest.v1") {
        Err("Docker's schema 1 is not supported; push the image anew with a current client")
    } else if text.contains("html") {
        Err("that is a web page; check the upstream's URL and what stands before it")
    } else {
        Err("expected an OCI or Docker schema 2 manifest or index")
    }
}
