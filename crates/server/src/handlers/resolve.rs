//! `GET /api/v1/resolve?image=NAME:TAG[&platform=os/arch]`: what the caller's login gets, and why.

use std::sync::Arc;

use http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use metahub_auth::Identity;
use metahub_oci::{ErrorCode, ImageReference, Platform};
use metahub_operations::Resolve;
use metahub_registry::{Read, Repository};

use crate::body::Body;
use crate::error::HttpError;
use crate::request::Pairs;
use crate::respond::Answer;

/// The image of a request.
pub(crate) fn image(query: &Pairs) -> Result<ImageReference, HttpError> {
    let text = query.get("image").ok_or_else(|| {
        bad("expected ?image=NAME:TAG, for example ?image=qnib/featuretest:latest")
    })?;
    text.parse().map_err(|error| bad(format!("image: {error}")))
}

/// Answers with the resolution as JSON.
pub(crate) async fn get(
    repository: &Repository<'_, Read>,
    identity: &Arc<Identity>,
    _headers: &HeaderMap,
    query: &Pairs,
    image: &ImageReference,
) -> Result<Response<Body>, HttpError> {
    let platform: Option<Platform> = query
        .get("platform")
        .map(str::parse)
        .transpose()
        .map_err(|error| bad(format!("platform: {error}")))?;
    let profile = identity.profile();
    let request = Resolve {
        image: image.clone(),
        platform,
    };
    let mut resolution = request
        .run(repository, profile)
        .await
        .map_err(|error| HttpError::from(error).with_remarks(profile.remarks()))?;
    resolution.profile_by = identity.profile_by().map(str::to_owned);
    Ok(Answer::new(StatusCode::OK)
        .header(
            header::CACHE_CONTROL,
            HeaderValue::from_static("private, no-cache"),
        )
        .header(header::VARY, HeaderValue::from_static("Authorization"))
        .json(&resolution))
}

fn bad(message: impl Into<String>) -> HttpError {
    HttpError::code(ErrorCode::NameInvalid, message).with_status(StatusCode::BAD_REQUEST)
}
