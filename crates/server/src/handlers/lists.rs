//! Lists: tags, repositories, referrers. All are paged by the last item seen.

use http::{Response, StatusCode, header};
use metahub_auth::Identity;
use metahub_catalog::Composed;
use metahub_oci::{Digest, ErrorCode, MediaType, RepositoryName};
use metahub_registry::{ListPage, Read, Registry, Repository, TagList};
use serde_json::json;

use crate::body::Body;
use crate::error::HttpError;
use crate::request::Pairs;
use crate::respond::Answer;

/// How a request pages: at most so many items after this one.
struct Paging {
    limit: usize,
    last: Option<String>,
}

/// `max` bounds `n` (CVE-2023-2253: `n` must not size an allocation).
fn paging(query: &Pairs, max: usize) -> Result<Paging, HttpError> {
    let limit = match query.get("n") {
        None => max,
        Some(text) => text.parse::<u64>().map_or_else(
            |_| {
                Err(HttpError::code(
                    ErrorCode::PaginationNumberInvalid,
                    format!("n={text}: expected a whole number of items, not negative"),
                ))
            },
            |n| Ok(usize::try_from(n).unwrap_or(max).min(max)),
        )?,
    };
    let last = query
        .get("last")
        .filter(|last| !last.is_empty())
        .map(str::to_owned);
    Ok(Paging { limit, last })
}

/// Adds the `Link` to the next page, if there is one.
fn with_next(
    answer: Answer,
    path: &str,
    limit: usize,
    page: &ListPage,
    ns: Option<&str>,
) -> Answer {
    match page.after.as_ref().or(page.items.last()) {
        Some(last) if page.more => linked(answer, path, limit, last, &[("ns", ns)]),
        _ => answer,
    }
}

/// Adds the `Link` to the page after `last`, with the other parameters of the request.
fn linked(
    answer: Answer,
    path: &str,
    limit: usize,
    last: &str,
    kept: &[(&str, Option<&str>)],
) -> Answer {
    let encode =
        |text: &str| -> String { url::form_urlencoded::byte_serialize(text.as_bytes()).collect() };
    let mut next = format!("<{path}?n={limit}&last={}", encode(last));
    for (key, value) in kept {
        if let Some(value) = value {
            next = format!("{next}&{key}={}", encode(value));
        }
    }
    answer.text(header::LINK, &format!("{next}>; rel=\"next\""))
}

/// end-8. `asked` is the client's name of the repository, with its `ns` if it gave one.
pub(crate) async fn tags(
    repository: &Repository<'_, Read>,
    profile: &Composed,
    query: &Pairs,
    max: usize,
    asked: &RepositoryName,
) -> Result<Response<Body>, HttpError> {
    let Paging { limit, last } = paging(query, max)?;
    let TagList { page, warning } = repository.tags(profile, last.as_deref(), limit).await?;
    let answer = Answer::new(StatusCode::OK)
        .warning(warning.as_deref())
        .depends_on_login();
    let answer = with_next(
        answer,
        &format!("/v2/{asked}/tags/list"),
        limit,
        &page,
        query.get("ns"),
    );
    Ok(answer.json(&json!({ "name": asked.as_str(), "tags": page.items })))
}

/// `_catalog`: only what the caller may read.
pub(crate) async fn repositories(
    registry: &Registry,
    identity: &Identity,
    query: &Pairs,
    max: usize,
) -> Result<Response<Body>, HttpError> {
    let Paging { limit, last } = paging(query, max)?;
    let may_read = |name: &RepositoryName| identity.may_see(name);
    let page = registry
        .repositories(last.as_deref(), limit, &may_read)
        .await?;
    let answer = with_next(
        Answer::new(StatusCode::OK),
        "/v2/_catalog",
        limit,
        &page,
        None,
    );
    Ok(answer.json(&json!({ "repositories": page.items })))
}

/// end-12a and end-12b.
pub(crate) async fn referrers(
    repository: &Repository<'_, Read>,
    query: &Pairs,
    max: usize,
    asked: &RepositoryName,
    subject: &Digest,
) -> Result<Response<Body>, HttpError> {
    let artifact_type = query.get("artifactType").filter(|t| !t.is_empty());
    let Paging { limit, last } = paging(query, max)?;
    let after = last.map(|last| last.parse::<Digest>()).transpose()?;
    let found = repository
        .referrers(subject, artifact_type, after.as_ref(), limit)
        .await?;
    let mut answer = Answer::new(StatusCode::OK).warning(found.warning.as_deref());
    if artifact_type.is_some() {
        answer = answer.text(
            http::HeaderName::from_static("oci-filters-applied"),
            "artifactType",
        );
    }
    if let Some(next) = &found.next {
        let path = format!("/v2/{asked}/referrers/{subject}");
        let kept = [("artifactType", artifact_type), ("ns", query.get("ns"))];
        answer = linked(answer, &path, limit, next.as_str(), &kept);
    }
    let index = json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OCI_INDEX,
        "manifests": found.manifests,
    });
    let bytes = index.to_string().into_bytes();
    Ok(answer
        .text(header::CONTENT_TYPE, MediaType::OCI_INDEX)
        .bytes(bytes.into()))
}
