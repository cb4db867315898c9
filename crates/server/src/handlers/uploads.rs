//! Blob uploads: start (monolithic, mount or resumable), append, finish, status, cancel.

use std::net::IpAddr;

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyStream;
use metahub_auth::{Authenticator, Identity};
use metahub_oci::{Digest, ErrorCode, RepositoryName};
use metahub_registry::{Push, Registry, Repository};

use crate::access;
use crate::body::Body;
use crate::error::HttpError;
use crate::forwarded::Origin;
use crate::request::{Pairs, header};
use crate::request_body::RequestBody;
use crate::respond::Answer;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// The repositories from which a client may mount blobs.
pub(crate) struct Mounts<'a> {
    pub(crate) registry: &'a Registry,
    pub(crate) authenticator: &'a Authenticator,
    pub(crate) identity: &'a Identity,
    pub(crate) origin: &'a Origin<'a>,
    pub(crate) client: IpAddr,
}

impl Mounts<'_> {
    /// Mounts a blob of a repository that the client names. Returns whether it did.
    async fn mount(
        &self,
        into: &Repository<'_, Push>,
        digest: &Digest,
        from: &RepositoryName,
    ) -> Result<bool, HttpError> {
        let (authenticator, identity) = (self.authenticator, self.identity);
        let granted = access::may_mount(authenticator, identity, self.origin, from, into.name())?;
        let Some(granted) = granted else {
            return Ok(false);
        };
        let from = self.registry.read(&granted, self.client)?;
        Ok(into.mount(digest, &from).await?)
    }
}

/// end-4 and end-11: starts an upload, takes a whole blob in one request (`?digest=`), or mounts
/// one from another repository (`?mount=`, with or without `from`).
pub(crate) async fn start(
    repository: &Repository<'_, Push>,
    mounts: &Mounts<'_>,
    query: &Pairs,
    headers: &HeaderMap,
    body: RequestBody,
) -> Result<Response<Body>, HttpError> {
    if let Some(digest) = query.get("mount") {
        let digest: Digest = digest.parse()?;
        let from = query
            .get("from")
            .map(|from| {
                from.parse::<RepositoryName>().map_err(|error| {
                    HttpError::code(ErrorCode::NameInvalid, format!("from: {error}"))
                })
            })
            .transpose()?;
        let mounted = match from {
            Some(from) => mounts.mount(repository, &digest, &from).await?,
            None => {
                // A client that names no source cannot have requested a token that covers it, so
                // the login's rights decide, not the token's scopes.
                let may_read = |from: &RepositoryName| mounts.identity.check_mount_from(from);
                repository.mount_from_anywhere(&digest, &may_read).await?
            }
        };
        if mounted {
            return Ok(created(repository.name(), &digest));
        }
        // As the specification demands, a failed mount becomes an ordinary upload.
    }
    let id = repository.start_upload().await?;
    if let Some(digest) = query.get("digest").filter(|_| query.get("mount").is_none()) {
        let digest: Digest = digest.parse()?;
        append_body(repository, &id, None, content_length(headers), body).await?;
        repository.finish_upload(&id, &digest).await?;
        return Ok(created(repository.name(), &digest));
    }
    Ok(progress(StatusCode::ACCEPTED, repository.name(), &id, 0))
}

/// end-5: appends a chunk. Without `Content-Range` the body is a stream that continues at the
/// upload's offset.
pub(crate) async fn append(
    repository: &Repository<'_, Push>,
    headers: &HeaderMap,
    id: &str,
    body: RequestBody,
) -> Result<Response<Body>, HttpError> {
    let chunk = chunk_of(headers)?;
    let size = append_body(repository, id, chunk.start, chunk.length, body).await?;
    Ok(progress(StatusCode::ACCEPTED, repository.name(), id, size))
}

/// end-6: appends the last bytes, if any, and verifies the whole against `?digest=`.
pub(crate) async fn finish(
    repository: &Repository<'_, Push>,
    query: &Pairs,
    headers: &HeaderMap,
    id: &str,
    body: RequestBody,
) -> Result<Response<Body>, HttpError> {
    let digest = query.get("digest").ok_or_else(|| {
        HttpError::code(
            ErrorCode::DigestInvalid,
            "an upload ends with ?digest=ALGORITHM:HEX of the whole blob",
        )
    })?;
    let digest: Digest = digest.parse()?;
    let chunk = chunk_of(headers)?;
    if chunk.length != Some(0) || !http_body::Body::is_end_stream(&body) {
        append_body(repository, id, chunk.start, chunk.length, body).await?;
    }
    repository.finish_upload(id, &digest).await?;
    Ok(created(repository.name(), &digest))
}

/// end-13.
pub(crate) async fn status(
    repository: &Repository<'_, Push>,
    id: &str,
) -> Result<Response<Body>, HttpError> {
    let size = repository.upload_size(id).await?;
    Ok(progress(
        StatusCode::NO_CONTENT,
        repository.name(),
        id,
        size,
    ))
}

/// end-14.
pub(crate) async fn cancel(
    repository: &Repository<'_, Push>,
    id: &str,
) -> Result<Response<Body>, HttpError> {
    repository.cancel_upload(id).await?;
    Ok(Answer::new(StatusCode::NO_CONTENT).empty())
}

async fn append_body(
    repository: &Repository<'_, Push>,
    id: &str,
    start: Option<u64>,
    length: Option<u64>,
    mut body: RequestBody,
) -> Result<u64, HttpError> {
    let stream = BodyStream::new(&mut body)
        .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) });
    let appended = repository.append_upload(id, start, length, stream).await;
    appended.map_err(|error| body.stalled().unwrap_or_else(|| error.into()))
}

/// The offset and the length of a chunk, as far as the request states them.
struct ChunkRange {
    start: Option<u64>,
    length: Option<u64>,
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
}

/// Reads `Content-Range: START-END` as the distribution specification writes it, with or without
/// a `bytes ` before it and a `/TOTAL` behind.
fn chunk_of(headers: &HeaderMap) -> Result<ChunkRange, HttpError> {
    let length = content_length(headers);
    let Some(text) = header(headers, header::CONTENT_RANGE) else {
        return Ok(ChunkRange {
            start: None,
            length,
        });
    };
    let malformed = || {
        HttpError::code(
            ErrorCode::BlobUploadInvalid,
            format!("Content-Range '{text}' is malformed: expected START-END in bytes, inclusive"),
        )
        .with_status(StatusCode::RANGE_NOT_SATISFIABLE)
    };
    let range = text
        .trim_start_matches("bytes ")
        .split('/')
        .next()
        .unwrap_or("");
    let (start, end) = range.split_once('-').ok_or_else(malformed)?;
    let start: u64 = start.trim().parse().map_err(|_| malformed())?;
    let end: u64 = end.trim().parse().map_err(|_| malformed())?;
    let in_range = end
        .checked_sub(start)
        .and_then(|n| n.checked_add(1))
        .ok_or_else(malformed)?;
    match length {
        Some(length) if length != in_range => Err(HttpError::code(
            ErrorCode::SizeInvalid,
            format!(
                "Content-Range names {in_range} bytes, Content-Length {length}: they must agree"
            ),
        )),
        _ => Ok(ChunkRange {
            start: Some(start),
            length: Some(in_range),
        }),
    }
}

fn created(name: &RepositoryName, digest: &Digest) -> Response<Body> {
    Answer::new(StatusCode::CREATED)
        .digest(digest)
        .location(&format!("/v2/{name}/blobs/{digest}"))
        .empty()
}

fn progress(status: StatusCode, name: &RepositoryName, id: &str, size: u64) -> Response<Body> {
    // `0-0` also means that nothing was received: the form has no other way to say it.
    Answer::new(status)
        .location(&format!("/v2/{name}/blobs/uploads/{id}"))
        .text(header::RANGE, &format!("0-{}", size.saturating_sub(1)))
        .text(UPLOAD_UUID, id)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(range: &str, length: &str) -> Result<ChunkRange, HttpError> {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_RANGE, HeaderValue::from_str(range).unwrap());
        headers.insert(
            header::CONTENT_LENGTH,
            HeaderValue::from_str(length).unwrap(),
        );
        chunk_of(&headers)
    }

    #[test]
    fn a_chunks_range_and_length_must_agree() {
        assert_eq!(chunk("0-9", "10").ok().and_then(|c| c.start), Some(0));
        assert_eq!(
            chunk("bytes 5-9/10", "5").ok().and_then(|c| c.start),
            Some(5)
        );
        for (range, length) in [
            ("0-9", "9"),
            ("9-0", "1"),
            ("a-b", "1"),
            ("5", "1"),
            ("0-18446744073709551615", "1"),
        ] {
            assert!(chunk(range, length).is_err(), "{range} {length}");
        }
    }
}
