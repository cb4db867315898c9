//! The router: method and path, parsed once into types that cannot be wrong. Knows nothing of
//! identities or of content.
//!
//! Operations are those of the distribution specification (`spec.md#endpoints`, named in the
//! comments by their `end-` numbers), the token endpoint, and MetaHub's own.

use http::Method;
use metahub_oci::{ErrorCode, Reference, RepositoryName};
use metahub_operations::DocumentKind;

use crate::error::HttpError;
use crate::operation::Operation;
use crate::path::decode;

/// The route of a request, with its parameters from the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// end-1: `GET /v2/`.
    Base,
    /// `GET /v2/_catalog`.
    Repositories,
    /// Everything under `/v2/<name>/`.
    In(RepositoryName, Operation),
    /// `GET|POST /token`.
    Token,
    /// `GET /api/v1/resolve`.
    Resolve,
    /// `GET /api/v1/demand`.
    Demand,
    /// `GET /api/v1/hardware`.
    Hardware,
    /// `POST /api/v1/nodes/join`.
    JoinNode,
    /// `POST /api/v1/nodes/report`.
    ReportNode,
    /// `GET /api/v1/openapi.json`.
    OpenApi,
    /// Everything under `/api/v1/profiles`, `/api/v1/collections` and `/api/v1/history/`.
    Curated(DocumentKind, Curated),
    /// `GET /healthz`.
    Health,
    /// `GET /readyz`.
    Ready,
    /// `GET /metrics`.
    Metrics,
    /// `GET /`.
    Welcome,
}

/// A request for documents of the API. Names are as in the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Curated {
    /// `GET /api/v1/<kind>`.
    List,
    /// `GET /api/v1/<kind>/<name>`.
    Show(String),
    /// `PUT /api/v1/<kind>/<name>`.
    Put(String),
    /// `DELETE /api/v1/<kind>/<name>`.
    Delete(String),
    /// `GET /api/v1/history/<kind>/<name>`.
    History(String),
}

impl Route {
    /// Parses a request line. The error is the answer to give.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, HttpError> {
        let path = &*decode(path)?;
        match path {
            "/" => return only(method, &[Method::GET, Method::HEAD], Self::Welcome),
            "/v2" | "/v2/" => return only(method, &[Method::GET, Method::HEAD], Self::Base),
            "/v2/_catalog" => return only(method, &[Method::GET], Self::Repositories),
            "/token" => return only(method, &[Method::GET, Method::POST], Self::Token),
            "/api/v1/resolve" => return only(method, &[Method::GET], Self::Resolve),
            "/api/v1/demand" => return only(method, &[Method::GET], Self::Demand),
            "/api/v1/hardware" => return only(method, &[Method::GET], Self::Hardware),
            "/api/v1/nodes/join" => return only(method, &[Method::POST], Self::JoinNode),
            "/api/v1/nodes/report" => return only(method, &[Method::POST], Self::ReportNode),
            "/api/v1/openapi.json" => return only(method, &[Method::GET], Self::OpenApi),
            "/healthz" => return only(method, &[Method::GET, Method::HEAD], Self::Health),
            "/readyz" => return only(method, &[Method::GET, Method::HEAD], Self::Ready),
            "/metrics" => return only(method, &[Method::GET], Self::Metrics),
            _ => {}
        }
        if let Some(rest) = path.strip_prefix("/api/v1/")
            && let Some(route) = Self::curated(method, rest)?
        {
            return Ok(route);
        }
        let Some(rest) = path.strip_prefix("/v2/") else {
            return Err(HttpError::not_found(
                "there is nothing at this path; the registry is at /v2/",
            ));
        };
        Self::parse_in_repository(method, rest)
    }

    /// A path below `/api/v1/` that is about documents.
    fn curated(method: &Method, rest: &str) -> Result<Option<Self>, HttpError> {
        let (past, rest) = match rest.strip_prefix("history/") {
            Some(rest) => (true, rest),
            None => (false, rest),
        };
        let (kind, name) = rest.split_once('/').unwrap_or((rest, ""));
        let kinds = [DocumentKind::Profile, DocumentKind::Collection];
        let Some(kind) = kinds.into_iter().find(|one| one.plural() == kind) else {
            return Ok(None);
        };
        let name = name.to_owned();
        let asked = match (past, name.is_empty(), method) {
            (true, false, &Method::GET) => Curated::History(name),
            (false, true, &Method::GET) => Curated::List,
            (false, false, &Method::GET) => Curated::Show(name),
            (false, false, &Method::PUT) => Curated::Put(name),
            (false, false, &Method::DELETE) => Curated::Delete(name),
            (true, true, _) => return Ok(None),
            (true, ..) | (false, true, _) => return Err(HttpError::method("GET")),
            (false, false, _) => return Err(HttpError::method("GET, PUT, DELETE")),
        };
        Ok(Some(Self::Curated(kind, asked)))
    }

    fn parse_in_repository(method: &Method, rest: &str) -> Result<Self, HttpError> {
        // Names may themselves contain components such as `blobs`, so the path is read from its end.
        if let Some((name, last)) = rest.rsplit_once('/') {
            if let Some(name) = name.strip_suffix("/blobs/uploads") {
                return Self::upload(method, name, last);
            }
            if let Some(name) = name.strip_suffix("/blobs") {
                if last == "uploads" {
                    return Self::upload(method, name, "");
                }
                let (name, digest) = (repository(name)?, last.parse()?);
                return match *method {
                    Method::GET | Method::HEAD => Ok(Self::In(name, Operation::GetBlob(digest))),
                    Method::DELETE => Ok(Self::In(name, Operation::DeleteBlob(digest))),
                    _ => Err(HttpError::method("GET, HEAD, DELETE")),
                };
            }
            if let Some(name) = name.strip_suffix("/manifests") {
                let (name, reference) = (repository(name)?, reference(last)?);
                return match *method {
                    Method::GET | Method::HEAD => {
                        Ok(Self::In(name, Operation::GetManifest(reference)))
                    }
                    Method::PUT => Ok(Self::In(name, Operation::PutManifest(reference))),
                    Method::DELETE => Ok(Self::In(name, Operation::DeleteManifest(reference))),
                    _ => Err(HttpError::method("GET, HEAD, PUT, DELETE")),
                };
            }
            if let Some(name) = name.strip_suffix("/tags") {
                if last == "list" && *method != Method::DELETE {
                    return only(
                        method,
                        &[Method::GET, Method::HEAD],
                        Self::In(repository(name)?, Operation::Tags),
                    );
                }
                let tag = last
                    .parse()
                    .map_err(|error| HttpError::code(ErrorCode::TagInvalid, format!("{error}")))?;
                return only(
                    method,
                    &[Method::DELETE],
                    Self::In(repository(name)?, Operation::DeleteTag(tag)),
                );
            }
            if let Some(name) = name.strip_suffix("/referrers") {
                let route = Self::In(repository(name)?, Operation::Referrers(last.parse()?));
                return only(method, &[Method::GET, Method::HEAD], route);
            }
        }
        Err(HttpError::not_found(
            "no such endpoint: expected /v2/NAME/ followed by manifests/, blobs/, tags/list or referrers/",
        ))
    }

    fn upload(method: &Method, name: &str, id: &str) -> Result<Self, HttpError> {
        let name = repository(name)?;
        if id.is_empty() {
            return only(
                method,
                &[Method::POST],
                Self::In(name, Operation::StartUpload),
            );
        }
        let id = id.to_owned();
        let operation = match *method {
            Method::GET | Method::HEAD => Operation::UploadStatus(id),
            Method::PATCH => Operation::AppendUpload(id),
            Method::PUT => Operation::FinishUpload(id),
            Method::DELETE => Operation::CancelUpload(id),
            _ => return Err(HttpError::method("GET, PATCH, PUT, DELETE")),
        };
        Ok(Self::In(name, operation))
    }
}

fn only(method: &Method, allowed: &[Method], route: Route) -> Result<Route, HttpError> {
    if allowed.contains(method) {
        return Ok(route);
    }
    let names: Vec<&str> = allowed.iter().map(Method::as_str).collect();
    Err(HttpError::method(&names.join(", ")))
}

fn repository(name: &str) -> Result<RepositoryName, HttpError> {
    name.parse()
        .map_err(|error| HttpError::code(ErrorCode::NameInvalid, format!("{error}")))
}

fn reference(text: &str) -> Result<Reference, HttpError> {
    text.parse().map_err(|error| {
        let code = match error {
            metahub_oci::ReferenceError::Digest(_) => ErrorCode::DigestInvalid,
            // The specification gives a tag that cannot exist the same answer as one that does not.
            metahub_oci::ReferenceError::Tag(_) => ErrorCode::TagInvalid,
        };
        HttpError::code(code, format!("{error}"))
    })
}

#[cfg(test)]
mod tests {
    use metahub_oci::{Digest, Tag};

    use super::*;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn parse(method: &str, path: &str) -> Result<Route, HttpError> {
        Route::parse(&method.parse().unwrap(), path)
    }

    #[test]
    fn every_endpoint_of_the_specification_is_found() {
        let name: RepositoryName = "a/b".parse().unwrap();
        let digest: Digest = DIGEST.parse().unwrap();
        let tag: Tag = "v1".parse().unwrap();
        for (method, path, operation) in [
            (
                "HEAD",
                &*format!("/v2/a/b/blobs/{DIGEST}"),
                Operation::GetBlob(digest.clone()),
            ),
            (
                "DELETE",
                &format!("/v2/a/b/blobs/{DIGEST}"),
                Operation::DeleteBlob(digest.clone()),
            ),
            (
                "GET",
                "/v2/a/b/manifests/v1",
                Operation::GetManifest(tag.clone().into()),
            ),
            (
                "PUT",
                "/v2/a/b/manifests/v1",
                Operation::PutManifest(tag.clone().into()),
            ),
            ("POST", "/v2/a/b/blobs/uploads/", Operation::StartUpload),
            ("POST", "/v2/a/b/blobs/uploads", Operation::StartUpload),
            (
                "PATCH",
                "/v2/a/b/blobs/uploads/x",
                Operation::AppendUpload("x".into()),
            ),
            ("GET", "/v2/a/b/tags/list", Operation::Tags),
            ("DELETE", "/v2/a/b/tags/v1", Operation::DeleteTag(tag)),
            (
                "GET",
                &format!("/v2/a/b/referrers/{DIGEST}"),
                Operation::Referrers(digest),
            ),
        ] {
            assert_eq!(
                parse(method, path).unwrap(),
                Route::In(name.clone(), operation),
                "{method} {path}"
            );
        }
        assert_eq!(parse("GET", "/v2/").unwrap(), Route::Base);
    }

    #[test]
    fn a_name_may_look_like_an_endpoint() {
        let route = parse("GET", "/v2/blobs/manifests/manifests/latest").unwrap();
        let Route::In(name, _) = route else {
            panic!("{route:?}");
        };
        assert_eq!(name.as_str(), "blobs/manifests");
    }

    #[test]
    fn a_percent_encoded_path_means_what_the_plain_one_means() {
        let plain = format!("/v2/a/b/manifests/{DIGEST}");
        let expected = parse("GET", &plain).unwrap();
        for encoded in [
            plain.replace(':', "%3A"),
            plain.replace(':', "%3a"),
            plain.replace("a/b", "a%2Fb"),
            plain.replace("a/b", "%61/%62"),
            plain.replace("manifests", "%6danifests"),
        ] {
            assert_eq!(parse("GET", &encoded).unwrap(), expected, "{encoded}");
        }
        for refused in [
            plain.replace(':', "%253A"),
            plain.replace("a/b", "a%252Fb"),
            plain.replace("a/b", "a%2F..%2Fb"),
            plain.replace("a/b", "%2e%2e/b"),
            plain.replace("a/b", "a%2F%2Fb"),
            plain.replace("a/b", "a%00b"),
            plain.replace("a/b", "a%2"),
        ] {
            let error = parse("GET", &refused).unwrap_err();
            assert_eq!(error.status().as_u16(), 400, "{refused}: {error}");
        }
    }

    #[test]
    fn malformed_paths_get_the_specifications_code() {
        for (method, path, status) in [
            ("GET", "/v2/UPPER/manifests/latest", 400),
            ("GET", "/v2/a/../b/manifests/latest", 400),
            ("GET", "/v2/a/manifests/sha256:zz", 400),
            ("GET", "/v2/a/blobs/nonsense", 400),
            ("GET", "/v2/a/manifests/.bad", 400),
            ("PATCH", "/v2/a/manifests/latest", 405),
            ("POST", "/v2/", 405),
            ("GET", "/v2/a", 404),
            ("GET", "/elsewhere", 404),
        ] {
            let error = parse(method, path).unwrap_err();
            assert_eq!(error.status().as_u16(), status, "{method} {path}: {error}");
        }
    }
}
