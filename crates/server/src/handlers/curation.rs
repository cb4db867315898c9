//! `/api/v1/profiles`, `/api/v1/collections` and their history: the documents of the API.
//! `operations::Curation` makes all decisions.

use http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header};
use metahub_catalog::Problem;
use metahub_oci::ErrorCode;
use metahub_operations::{
    Curation, CurationError, DocumentKind, Expects, MAX_DOCUMENT_BYTES, Shown,
};
use metahub_registry::RegistryError;
use serde_json::json;

use crate::body::Body;
use crate::error::HttpError;
use crate::request::{self, Pairs};
use crate::request_body::RequestBody;
use crate::respond::Answer;
use crate::route::Curated;

/// The API as OpenAPI 3.1 describes it.
const OPENAPI: &str = include_str!("../../openapi.json");

/// Most entity tags of one `If-Match` that are read.
const MOST_TAGS: usize = 16;

/// The request, as the handler needs it.
pub(crate) struct Request<'r> {
    pub(crate) kind: DocumentKind,
    pub(crate) account: &'r str,
    pub(crate) headers: &'r HeaderMap,
    pub(crate) query: &'r Pairs,
}

/// Answers with the description of the API.
pub(crate) fn openapi() -> Response<Body> {
    Answer::new(StatusCode::OK)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .text(header::CONTENT_TYPE, "application/json")
        .bytes(OPENAPI.into())
}

/// Answers a request.
pub(crate) async fn answer(
    curation: &Curation,
    request: &Request<'_>,
    asked: &Curated,
    body: RequestBody,
) -> Result<Response<Body>, HttpError> {
    let kind = request.kind;
    match asked {
        Curated::List => {
            let listed = curation.list(kind).await?;
            Ok(fresh().json(&json!({ kind.plural(): listed })))
        }
        Curated::History(name) => {
            let versions = curation.history(kind, name).await?;
            Ok(fresh().json(&json!({ "versions": versions })))
        }
        Curated::Show(name) => show(curation, request, name).await,
        Curated::Put(name) => put(curation, request, name, body).await,
        Curated::Delete(name) => {
            let expects = expects(request.headers)?;
            curation
                .delete(kind, name, request.account, expects)
                .await?;
            Ok(Answer::new(StatusCode::NO_CONTENT).empty())
        }
    }
}

async fn show(
    curation: &Curation,
    request: &Request<'_>,
    name: &str,
) -> Result<Response<Body>, HttpError> {
    let version = request.query.get("version").map(|text| {
        text.parse().map_err(|_| {
            let message = format!("version={text}: expected a number, such as version=3");
            HttpError::code(ErrorCode::NameInvalid, message)
        })
    });
    let Shown { text, etag } = curation
        .show(request.kind, name, version.transpose()?)
        .await?;
    let known = header_text(request.headers, &header::IF_NONE_MATCH)?;
    let tags = known.map(tags).transpose()?;
    let answer = fresh().text(header::ETAG, &format!("\"{etag}\""));
    if tags.is_some_and(|tags| tags.contains(&etag)) {
        return Ok(answer.status(StatusCode::NOT_MODIFIED).empty());
    }
    Ok(answer
        .text(header::CONTENT_TYPE, "application/yaml")
        .bytes(text.into()))
}

async fn put(
    curation: &Curation,
    request: &Request<'_>,
    name: &str,
    body: RequestBody,
) -> Result<Response<Body>, HttpError> {
    // Errors in the head are found before the body is read.
    let expects = expects(request.headers)?.ok_or(CurationError::NoPrecondition)?;
    let bytes = request::read(body, MAX_DOCUMENT_BYTES, "the document").await?;
    let text = String::from_utf8(bytes.into()).map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        let message = format!("the document is not UTF-8 text: byte {at} is not");
        HttpError::code(ErrorCode::DocumentInvalid, message)
    })?;
    let changed = curation.put(request.kind, name, text, request.account, Some(expects));
    let changed = changed.await?;
    let status = if changed.created {
        StatusCode::CREATED
    } else {
        StatusCode::OK
    };
    let etag = changed.version.etag.clone().unwrap_or_default();
    Ok(fresh()
        .status(status)
        .text(header::ETAG, &format!("\"{etag}\""))
        .json(&changed))
}

/// An answer that must not be cached: it may change, and is for this account.
fn fresh() -> Answer {
    Answer::new(StatusCode::OK)
        .header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        )
        .header(header::VARY, HeaderValue::from_static("Authorization"))
}

/// What the preconditions of a request expect (RFC 9110, section 13.1).
fn expects(headers: &HeaderMap) -> Result<Option<Expects>, HttpError> {
    let matching = header_text(headers, &header::IF_MATCH)?;
    let nothing = header_text(headers, &header::IF_NONE_MATCH)?;
    match (matching.map(str::trim), nothing.map(str::trim)) {
        (None, None) => Ok(None),
        (Some("*"), None) => Ok(Some(Expects::Anything)),
        (Some(matching), None) => Ok(Some(Expects::Tags(tags(matching)?))),
        (None, Some("*")) => Ok(Some(Expects::Nothing)),
        _ => Err(bad(
            "expected either `If-Match: ETAG` or `If-None-Match: *`".to_owned(),
        )),
    }
}

/// The strong entity tags of a header, without quotes. A weak one matches nothing here.
fn tags(text: &str) -> Result<Vec<String>, HttpError> {
    let mut found = Vec::new();
    for tag in text.split(',').map(str::trim).take(MOST_TAGS) {
        if tag.starts_with("W/") || tag == "*" {
            continue;
        }
        let bare = tag.strip_prefix('"').and_then(|tag| tag.strip_suffix('"'));
        let wrong = || {
            bad(format!(
                "'{tag}' is no entity tag: expected it in double quotes"
            ))
        };
        found.push(bare.ok_or_else(wrong)?.to_owned());
    }
    Ok(found)
}

fn header_text<'h>(
    headers: &'h HeaderMap,
    name: &HeaderName,
) -> Result<Option<&'h str>, HttpError> {
    let value = headers.get(name).map(HeaderValue::to_str).transpose();
    value.map_err(|_| bad(format!("the header {name} is not text")))
}

fn bad(message: String) -> HttpError {
    HttpError::code(ErrorCode::PreconditionFailed, message).with_status(StatusCode::BAD_REQUEST)
}

impl From<CurationError> for HttpError {
    fn from(error: CurationError) -> Self {
        let message = error.to_string();
        let detail = |problems: &[Problem]| json!({ "problems": problems });
        match error {
            CurationError::Name(_) => Self::code(ErrorCode::NameInvalid, message),
            CurationError::Missing(_) => Self::code(ErrorCode::NameUnknown, message),
            CurationError::NoPrecondition => Self::code(ErrorCode::PreconditionFailed, message)
                .with_status(StatusCode::PRECONDITION_REQUIRED),
            CurationError::Otherwise(current) => {
                let error = Self::code(ErrorCode::PreconditionFailed, message);
                match current {
                    Some(etag) => error.with_header(header::ETAG, &format!("\"{etag}\"")),
                    None => error,
                }
            }
            CurationError::Invalid(problems) => {
                Self::code(ErrorCode::DocumentInvalid, message).with_detail(detail(&problems))
            }
            CurationError::Defines { .. } => Self::code(ErrorCode::DocumentInvalid, message),
            CurationError::Breaks(problems) => {
                Self::code(ErrorCode::Conflict, message).with_detail(detail(&problems))
            }
            CurationError::InFile { file, .. } => {
                Self::code(ErrorCode::Conflict, message).with_detail(json!({ "file": file }))
            }
            CurationError::Full => Self::code(ErrorCode::Conflict, message)
                .with_status(StatusCode::INSUFFICIENT_STORAGE),
            CurationError::Store(error) => RegistryError::from(error).into(),
            CurationError::Stopped => Self::internal(&CurationError::Stopped),
        }
    }
}
