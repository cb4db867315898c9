//! Blob uploads: start (monolithic, mount or resumable), append, finish, status, cancel.

use futures_util::TryStreamExt;
use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use http_body_util::BodyStream;
use metahub_auth::{Denied, Identity, Right};
use metahub_oci::{Digest, ErrorCode, RepositoryName};
use metahub_registry::Registry;

use crate::body::Body;
use crate::error::HttpError;
use crate::request::{Pairs, header};
use crate::request_body::RequestBody;
use crate::respond::Answer;

const UPLOAD_UUID: HeaderName = HeaderName::from_static("docker-upload-uuid");

/// end-4 and end-11: starts an upload, takes a whole blob in one request (`?digest=`), or mounts
/// one from another repository (`?mount=`, with or without `from`).
pub(crate) async fn start(
    registry: &Registry,
    identity: &Identity,
    may_mount: &(dyn Fn(&RepositoryName) -> Result<bool, HttpError> + Send + Sync),
    query: &Pairs,
    headers: &HeaderMap,
    name: &RepositoryName,
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
            Some(from) => may_mount(&from)? && registry.mount(name, &digest, &from).await?,
            None => {
                // A client that names no source cannot have asked for a token that covers it, so
                // what the login may do decides, not what its token was asked for.
                let may_read = |repository: &RepositoryName| {
                    matches!(
                        identity.check(Right::Pull, repository),
                        Ok(()) | Err(Denied::Scope(_))
                    )
                };
                registry
                    .mount_from_anywhere(name, &digest, &may_read)
                    .await?
            }
        };
        if mounted {
            return Ok(created(name, &digest));
        }
        // As the specification asks, a mount that cannot be had becomes an ordinary upload.
    }
    let id = registry.start_upload(name).await?;
    if let Some(digest) = query.get("digest").filter(|_| query.get("mount").is_none()) {
        let digest: Digest = digest.parse()?;
        append_body(registry, name, &id, None, content_length(headers), body).await?;
        registry.finish_upload(name, &id, &digest).await?;
        return Ok(created(name, &digest));
    }
    Ok(progress(StatusCode::ACCEPTED, name, &id, 0))
}

/// end-5: appends a chunk. Without `Content-Range` the body is a stream that continues where the
/// upload stands.
pub(crate) async fn append(
    registry: &Registry,
    headers: &HeaderMap,
    name: &RepositoryName,
    id: &str,
    body: RequestBody,
) -> Result<Response<Body>, HttpError> {
    let chunk = chunk_of(headers)?;
    let size = append_body(registry, name, id, chunk.start, chunk.length, body).await?;
    Ok(progress(StatusCode::ACCEPTED, name, id, size))
}

/// end-6: takes the last bytes, if any, and checks the whole against `?digest=`.
pub(crate) async fn finish(
    registry: &Registry,
    query: &Pairs,
    headers: &HeaderMap,
    name: &RepositoryName,
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
        append_body(registry, name, id, chunk.start, chunk.length, body).await?;
    }
    registry.finish_upload(name, id, &digest).await?;
    Ok(created(name, &digest))
}

/// end-13.
pub(crate) async fn status(
    registry: &Registry,
    name: &RepositoryName,
    id: &str,
) -> Result<Response<Body>, HttpError> {
    let size = registry.upload_size(name, id).await?;
    Ok(progress(StatusCode::NO_CONTENT, name, id, size))
}

/// end-14.
pub(crate) async fn cancel(
    registry: &Registry,
    name: &RepositoryName,
    id: &str,
) -> Result<Response<Body>, HttpError> {
    registry.cancel_upload(name, id).await?;
    Ok(Answer::new(StatusCode::NO_CONTENT).empty())
}

async fn append_body(
    registry: &Registry,
    name: &RepositoryName,
    id: &str,
    start: Option<u64>,
    length: Option<u64>,
    mut body: RequestBody,
) -> Result<u64, HttpError> {
    let stream = BodyStream::new(&mut body)
        .try_filter_map(|frame| async move { Ok(frame.into_data().ok()) });
    let appended = registry
        .append_upload(name, id, start, length, stream)
        .await;
    appended.map_err(|error| body.stalled().unwrap_or_else(|| error.into()))
}

/// Where a chunk begins and how long it is, as far as the request says.
struct Chunk {
    start: Option<u64>,
    length: Option<u64>,
}

fn content_length(headers: &HeaderMap) -> Option<u64> {
    header(headers, header::CONTENT_LENGTH).and_then(|text| text.parse().ok())
}

/// Reads `Content-Range: START-END` as the distribution specification writes it, with or without
/// a `bytes ` before it and a `/TOTAL` behind.
fn chunk_of(headers: &HeaderMap) -> Result<Chunk, HttpError> {
    let length = content_length(headers);
    let Some(text) = header(headers, header::CONTENT_RANGE) else {
        return Ok(Chunk {
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
        _ => Ok(Chunk {
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
    // `0-0` also stands for nothing received: the form has no other way to say it.
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

    fn chunk(range: &str, length: &str) -> Result<Chunk, HttpError> {
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
