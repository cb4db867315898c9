//! Which operation a request asks for: method and path, parsed once into types that cannot be
//! wrong. Knows nothing of who asks or of what is held.
//!
//! Operations are those of the distribution specification (`spec.md#endpoints`, named in the
//! comments by their `end-` numbers), the token endpoint, and MetaHub's own.

use http::Method;
use metahub_oci::{Digest, ErrorCode, Reference, RepositoryName, Tag};

use crate::error::HttpError;

/// One operation, with its parameters from the path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Route {
    /// end-1: `GET /v2/`.
    Base,
    /// `GET /v2/_catalog`.
    Repositories,
    /// end-2: `GET|HEAD /v2/<name>/blobs/<digest>`.
    GetBlob(RepositoryName, Digest),
    /// end-10: `DELETE /v2/<name>/blobs/<digest>`.
    DeleteBlob(RepositoryName, Digest),
    /// end-3: `GET|HEAD /v2/<name>/manifests/<reference>`.
    GetManifest(RepositoryName, Reference),
    /// end-7: `PUT /v2/<name>/manifests/<reference>`.
    PutManifest(RepositoryName, Reference),
    /// end-9: `DELETE /v2/<name>/manifests/<reference>`.
    DeleteManifest(RepositoryName, Reference),
    /// end-4, end-11: `POST /v2/<name>/blobs/uploads/`.
    StartUpload(RepositoryName),
    /// end-13: `GET /v2/<name>/blobs/uploads/<id>`.
    UploadStatus(RepositoryName, String),
    /// end-5: `PATCH /v2/<name>/blobs/uploads/<id>`.
    AppendUpload(RepositoryName, String),
    /// end-6: `PUT /v2/<name>/blobs/uploads/<id>`.
    FinishUpload(RepositoryName, String),
    /// end-14: `DELETE /v2/<name>/blobs/uploads/<id>`.
    CancelUpload(RepositoryName, String),
    /// end-8: `GET /v2/<name>/tags/list`.
    Tags(RepositoryName),
    /// `DELETE /v2/<name>/tags/<tag>`, as some registries offer it beside end-9.
    DeleteTag(RepositoryName, Tag),
    /// end-12: `GET /v2/<name>/referrers/<digest>`.
    Referrers(RepositoryName, Digest),
    /// `GET|POST /token`.
    Token,
    /// `GET /api/v1/resolve`.
    Resolve,
    /// `GET /healthz`.
    Health,
    /// `GET /`.
    Welcome,
}

impl Route {
    /// Parses a request line. The error is the answer to give.
    pub(crate) fn parse(method: &Method, path: &str) -> Result<Self, HttpError> {
        match path {
            "/" => return only(method, &[Method::GET, Method::HEAD], Self::Welcome),
            "/v2" | "/v2/" => return only(method, &[Method::GET, Method::HEAD], Self::Base),
            "/v2/_catalog" => return only(method, &[Method::GET], Self::Repositories),
            "/token" => return only(method, &[Method::GET, Method::POST], Self::Token),
            "/api/v1/resolve" => return only(method, &[Method::GET], Self::Resolve),
            "/healthz" => return only(method, &[Method::GET, Method::HEAD], Self::Health),
            _ => {}
        }
        let Some(rest) = path.strip_prefix("/v2/") else {
            return Err(HttpError::not_found(
                "there is nothing at this path; the registry is at /v2/",
            ));
        };
        Self::parse_in_repository(method, rest)
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
                    Method::GET | Method::HEAD => Ok(Self::GetBlob(name, digest)),
                    Method::DELETE => Ok(Self::DeleteBlob(name, digest)),
                    _ => Err(HttpError::method("GET, HEAD, DELETE")),
                };
            }
            if let Some(name) = name.strip_suffix("/manifests") {
                let (name, reference) = (repository(name)?, reference(last)?);
                return match *method {
                    Method::GET | Method::HEAD => Ok(Self::GetManifest(name, reference)),
                    Method::PUT => Ok(Self::PutManifest(name, reference)),
                    Method::DELETE => Ok(Self::DeleteManifest(name, reference)),
                    _ => Err(HttpError::method("GET, HEAD, PUT, DELETE")),
                };
            }
            if let Some(name) = name.strip_suffix("/tags") {
                if last == "list" && *method != Method::DELETE {
                    return only(
                        method,
                        &[Method::GET, Method::HEAD],
                        Self::Tags(repository(name)?),
                    );
                }
                let tag = last
                    .parse()
                    .map_err(|error| HttpError::code(ErrorCode::TagInvalid, format!("{error}")))?;
                return only(
                    method,
                    &[Method::DELETE],
                    Self::DeleteTag(repository(name)?, tag),
                );
            }
            if let Some(name) = name.strip_suffix("/referrers") {
                let route = Self::Referrers(repository(name)?, last.parse()?);
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
            return only(method, &[Method::POST], Self::StartUpload(name));
        }
        let id = id.to_owned();
        match *method {
            Method::GET | Method::HEAD => Ok(Self::UploadStatus(name, id)),
            Method::PATCH => Ok(Self::AppendUpload(name, id)),
            Method::PUT => Ok(Self::FinishUpload(name, id)),
            Method::DELETE => Ok(Self::CancelUpload(name, id)),
            _ => Err(HttpError::method("GET, PATCH, PUT, DELETE")),
        }
    }

    /// The repository that the operation works in, if it works in one.
    pub(crate) fn repository(&self) -> Option<&RepositoryName> {
        match self {
            Self::GetBlob(name, _)
            | Self::DeleteBlob(name, _)
            | Self::GetManifest(name, _)
            | Self::PutManifest(name, _)
            | Self::DeleteManifest(name, _)
            | Self::StartUpload(name)
            | Self::UploadStatus(name, _)
            | Self::AppendUpload(name, _)
            | Self::FinishUpload(name, _)
            | Self::CancelUpload(name, _)
            | Self::Tags(name)
            | Self::DeleteTag(name, _)
            | Self::Referrers(name, _) => Some(name),
            Self::Base
            | Self::Repositories
            | Self::Token
            | Self::Resolve
            | Self::Health
            | Self::Welcome => None,
        }
    }

    /// The tag, digest or upload that the operation names, for the log.
    pub(crate) fn reference(&self) -> String {
        match self {
            Self::GetBlob(_, digest) | Self::DeleteBlob(_, digest) | Self::Referrers(_, digest) => {
                digest.to_string()
            }
            Self::GetManifest(_, reference)
            | Self::PutManifest(_, reference)
            | Self::DeleteManifest(_, reference) => reference.to_string(),
            Self::UploadStatus(_, id)
            | Self::AppendUpload(_, id)
            | Self::FinishUpload(_, id)
            | Self::CancelUpload(_, id) => id.clone(),
            Self::DeleteTag(_, tag) => tag.to_string(),
            _ => String::new(),
        }
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
        for (method, path, route) in [
            ("GET", "/v2/", Route::Base),
            (
                "HEAD",
                &format!("/v2/a/b/blobs/{DIGEST}"),
                Route::GetBlob(name.clone(), digest.clone()),
            ),
            (
                "DELETE",
                &format!("/v2/a/b/blobs/{DIGEST}"),
                Route::DeleteBlob(name.clone(), digest.clone()),
            ),
            (
                "GET",
                "/v2/a/b/manifests/v1",
                Route::GetManifest(name.clone(), tag.clone().into()),
            ),
            (
                "PUT",
                "/v2/a/b/manifests/v1",
                Route::PutManifest(name.clone(), tag.clone().into()),
            ),
            (
                "POST",
                "/v2/a/b/blobs/uploads/",
                Route::StartUpload(name.clone()),
            ),
            (
                "POST",
                "/v2/a/b/blobs/uploads",
                Route::StartUpload(name.clone()),
            ),
            (
                "PATCH",
                "/v2/a/b/blobs/uploads/x",
                Route::AppendUpload(name.clone(), "x".into()),
            ),
            ("GET", "/v2/a/b/tags/list", Route::Tags(name.clone())),
            (
                "DELETE",
                "/v2/a/b/tags/v1",
                Route::DeleteTag(name.clone(), tag),
            ),
            (
                "GET",
                &format!("/v2/a/b/referrers/{DIGEST}"),
                Route::Referrers(name, digest),
            ),
        ] {
            assert_eq!(parse(method, path).unwrap(), route, "{method} {path}");
        }
    }

    #[test]
    fn a_name_may_look_like_an_endpoint() {
        let route = parse("GET", "/v2/blobs/manifests/manifests/latest").unwrap();
        assert_eq!(route.repository().unwrap().as_str(), "blobs/manifests");
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
