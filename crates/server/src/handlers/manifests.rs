//! Manifests and indexes: `GET`, `HEAD`, `PUT`, `DELETE`.

use bytes::Bytes;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, header};
use metahub_catalog::Composed;
use metahub_oci::{ErrorCode, MediaType, Reference, Tag};
use metahub_registry::{Accepts, Delete, Puller, Push, Read, Repository};

use crate::body::Body;
use crate::error::HttpError;
use crate::request::{Pairs, header};
use crate::respond::{Answer, matches_etag};

const OCI_SUBJECT: HeaderName = HeaderName::from_static("oci-subject");
const OCI_TAG: HeaderName = HeaderName::from_static("oci-tag");

/// end-3. By tag, the answer depends on the login's profile; by digest it never does.
pub(crate) async fn get(
    repository: &Repository<'_, Read>,
    method: &Method,
    headers: &HeaderMap,
    profile: &Composed,
    reference: &Reference,
    puller: &Puller<'_>,
) -> Result<Response<Body>, HttpError> {
    let served = match reference {
        Reference::Digest(digest) => repository.manifest(digest).await?,
        Reference::Tag(tag) => repository
            .pulled(tag, profile, accepts(headers), puller)
            .await
            .map_err(|error| HttpError::from(error).with_remarks(profile.remarks()))?,
    };
    let mut answer = Answer::new(StatusCode::OK)
        .media_type(&served.media_type)
        .content(&served.digest);
    answer = match reference {
        Reference::Digest(_) => answer.immutable(),
        Reference::Tag(_) => answer.depends_on_login(),
    };
    let remarks = match reference {
        Reference::Digest(_) => &[],
        Reference::Tag(_) => profile.remarks(),
    };
    let warnings: Vec<&str> = served
        .warning
        .as_deref()
        .into_iter()
        .chain(remarks.iter().map(String::as_str))
        .collect();
    if !warnings.is_empty() {
        answer = answer.warning(Some(&warnings.join("; ")));
    }
    if matches_etag(header(headers, header::IF_NONE_MATCH), &served.digest) {
        return Ok(answer.status(StatusCode::NOT_MODIFIED).empty());
    }
    if method == Method::HEAD {
        return Ok(answer.head(served.bytes.len() as u64));
    }
    Ok(answer.bytes(served.bytes))
}

/// The forms that the client accepts. A client that names none (Enroot's `HEAD`), or anything,
/// accepts an index; one that names only manifest types gets the manifest itself, and one that
/// names only index types an index.
fn accepts(headers: &HeaderMap) -> Accepts {
    let (mut named_any, mut index, mut anything) = (false, false, false);
    for value in headers.get_all(header::ACCEPT) {
        for item in value.to_str().unwrap_or("").split(',') {
            let essence = item.split(';').next().unwrap_or("").trim();
            if essence.is_empty() {
                continue;
            }
            named_any = true;
            index |= matches!(essence, MediaType::OCI_INDEX | MediaType::DOCKER_LIST);
            anything |= matches!(essence, "*/*" | "application/*");
        }
    }
    // A client that names no manifest type at all (application/json, say) is no image client.
    let manifest = headers.get_all(header::ACCEPT).iter().any(|value| {
        let text = value.to_str().unwrap_or("");
        text.contains(MediaType::OCI_MANIFEST) || text.contains(MediaType::DOCKER_MANIFEST)
    });
    match (manifest, index, anything) {
        (_, _, true) | (true, true, _) => Accepts::Index,
        (false, true, false) => Accepts::IndexOnly,
        (true, false, false) if named_any => Accepts::ManifestOnly,
        (_, false, false) => Accepts::Index,
    }
}

/// end-7, with `?tag=`, once or several times, for a digest reference.
pub(crate) async fn put(
    repository: &Repository<'_, Push>,
    headers: &HeaderMap,
    query: &Pairs,
    reference: &Reference,
    bytes: Bytes,
) -> Result<Response<Body>, HttpError> {
    let content_type = match header(headers, header::CONTENT_TYPE) {
        None => None,
        Some(text) => Some(text.parse::<MediaType>().map_err(|error| {
            HttpError::code(ErrorCode::ManifestInvalid, format!("Content-Type: {error}"))
        })?),
    };
    let tags = query
        .all("tag")
        .map(|tag| {
            tag.parse::<Tag>()
                .map_err(|error| HttpError::code(ErrorCode::TagInvalid, format!("{error}")))
        })
        .collect::<Result<Vec<_>, _>>()?;
    let name = repository.name();
    let pushed = repository
        .push_manifest(reference, content_type.as_ref(), bytes, tags)
        .await?;
    let mut answer = Answer::new(StatusCode::CREATED)
        .digest(&pushed.digest)
        .location(&format!("/v2/{name}/manifests/{}", pushed.digest));
    if let Some(subject) = &pushed.subject {
        answer = answer.text(OCI_SUBJECT, subject.as_str());
    }
    let mut response = answer.empty();
    for tag in &pushed.tags {
        if let Ok(value) = HeaderValue::from_str(tag.as_str()) {
            response.headers_mut().append(OCI_TAG, value);
        }
    }
    Ok(response)
}

/// end-9: by tag, deletes the tag; by digest, the manifest and all its tags.
pub(crate) async fn delete(
    repository: &Repository<'_, Delete>,
    reference: &Reference,
) -> Result<Response<Body>, HttpError> {
    match reference {
        Reference::Tag(tag) => repository.delete_tag(tag).await?,
        Reference::Digest(digest) => repository.delete_manifest(digest).await?,
    }
    Ok(Answer::new(StatusCode::ACCEPTED).empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_client_that_names_manifests_and_no_index_gets_the_manifest_itself() {
        for (accept, expected) in [
            (vec![], Accepts::Index),
            (vec!["*/*"], Accepts::Index),
            (vec![MediaType::OCI_MANIFEST], Accepts::ManifestOnly),
            (
                vec![MediaType::OCI_MANIFEST, MediaType::OCI_INDEX],
                Accepts::Index,
            ),
            (
                vec!["application/vnd.docker.distribution.manifest.v2+json;q=0.9"],
                Accepts::ManifestOnly,
            ),
            (vec!["application/json"], Accepts::Index),
            (
                vec![MediaType::OCI_INDEX, MediaType::DOCKER_LIST],
                Accepts::IndexOnly,
            ),
            (vec![MediaType::OCI_INDEX, "*/*;q=0.1"], Accepts::Index),
            (
                vec!["application/vnd.docker.distribution.manifest.v2+json, */*"],
                Accepts::Index,
            ),
        ] {
            let mut headers = HeaderMap::new();
            for value in &accept {
                headers.append(header::ACCEPT, HeaderValue::from_str(value).unwrap());
            }
            assert_eq!(accepts(&headers), expected, "{accept:?}");
        }
    }
}
