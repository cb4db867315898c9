//! Blobs: `GET`, `HEAD` with ranges and conditions, and `DELETE`.

use http::{HeaderValue, Method, Response, StatusCode, header};
use metahub_oci::{Digest, ErrorCode};
use metahub_registry::{BlobRead, Delete, Read, Repository};

use super::multipart;
use crate::body::Body;
use crate::error::HttpError;
use crate::range::{self, Asked};
use crate::request::header;
use crate::respond::{Answer, matches_etag};

/// Properties of a request for a blob.
#[derive(Clone, Copy)]
pub(crate) struct Manner {
    /// Whether the connection can send parts of its file.
    pub(crate) sendfile: bool,
    /// Whether the client is about to push to the repository.
    pub(crate) pushes: bool,
}

/// end-2.
pub(crate) async fn get(
    repository: &Repository<'_, Read>,
    method: &Method,
    headers: &http::HeaderMap,
    digest: &Digest,
    Manner { sendfile, pushes }: Manner,
) -> Result<Response<Body>, HttpError> {
    let answer = Answer::new(StatusCode::OK)
        .content(digest)
        .immutable()
        .header(header::ACCEPT_RANGES, HeaderValue::from_static("bytes"))
        .header(
            header::CONTENT_TYPE,
            HeaderValue::from_static("application/octet-stream"),
        );
    if matches_etag(header(headers, header::IF_NONE_MATCH), digest) {
        repository.find_blob(digest).await?;
        return Ok(answer.status(StatusCode::NOT_MODIFIED).empty());
    }
    if method == Method::HEAD {
        if pushes {
            return Ok(answer.head(repository.pushed_blob_size(digest).await?));
        }
        return Ok(match repository.find_blob(digest).await? {
            Some(size) => answer.head(size),
            None => answer.empty(),
        });
    }
    let blob = repository.blob(digest).await?;
    let size = blob.size();
    // If-Range with another validator requests the whole content instead.
    let range_header = match header(headers, header::IF_RANGE) {
        Some(validator) if !matches_etag(Some(validator), digest) => None,
        _ => header(headers, header::RANGE),
    };
    Ok(match range::parse(range_header, size) {
        Asked::Whole => answer.body(Body::stream(size, blob.chunks(0..size, sendfile))),
        Asked::One(range) => answer
            .status(StatusCode::PARTIAL_CONTENT)
            .text(
                header::CONTENT_RANGE,
                &format!(
                    "bytes {}-{}/{size}",
                    range.start,
                    range.end.saturating_sub(1)
                ),
            )
            .body(Body::stream(
                range.end - range.start,
                blob.chunks(range, sendfile),
            )),
        Asked::Several(ranges) => {
            let length = multipart::length(&ranges, size);
            let stream = multipart::body(ranges, size, move |range| blob.chunks(range, sendfile));
            answer
                .status(StatusCode::PARTIAL_CONTENT)
                .text(header::CONTENT_TYPE, &multipart::content_type())
                .body(Body::stream(length, stream))
        }
        Asked::Unsatisfiable => return Err(unsatisfiable(&blob)),
    })
}

fn unsatisfiable(blob: &BlobRead) -> HttpError {
    let size = blob.size();
    HttpError::code(
        ErrorCode::RangeInvalid,
        format!("the blob has {size} bytes: expected a range that begins within it"),
    )
    .with_header(header::CONTENT_RANGE, &format!("bytes */{size}"))
}

/// end-10.
pub(crate) async fn delete(
    repository: &Repository<'_, Delete>,
    digest: &Digest,
) -> Result<Response<Body>, HttpError> {
    repository.delete_blob(digest).await?;
    Ok(Answer::new(StatusCode::ACCEPTED).digest(digest).empty())
}
