//! `/api/v1/nodes/…`: a node joins, and reports what it is. `auth` decides which node it is.

use std::net::IpAddr;

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use metahub_auth::{Identity, JoinError, NodeName, Nodes};
use metahub_oci::ErrorCode;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::json;

use crate::body::Body;
use crate::error::HttpError;
use crate::respond::Answer;

/// Largest body accepted, in bytes.
pub(crate) const MAX_BYTES: usize = 64 * 1024;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Join {
    name: String,
    token: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Report {
    features: Vec<String>,
    version: String,
}

/// Exchanges a join token for the token of a node.
pub(crate) async fn join(
    nodes: Option<&Nodes>,
    body: &Bytes,
    from: IpAddr,
) -> Result<Response<Body>, HttpError> {
    let nodes = nodes.ok_or_else(|| refused(&JoinError::Off))?;
    let Join { name, token } = parse(body, r#"{"name": HOST, "token": JOIN_TOKEN}"#)?;
    let name: NodeName = name.parse().map_err(|error| malformed(&error))?;
    let secret = nodes.join(&name, &token).await.map_err(|error| {
        tracing::info!(node = %name, %from, %error, "a node could not join");
        refused(&error)
    })?;
    tracing::info!(node = %name, %from, "a node joined");
    Ok(Answer::new(StatusCode::CREATED)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-store"))
        .json(&json!({ "name": name, "token": secret.expose() })))
}

/// Records a node's report about itself.
pub(crate) fn report(
    nodes: Option<&Nodes>,
    identity: &Identity,
    body: &Bytes,
) -> Result<Response<Body>, HttpError> {
    let (Some(nodes), Some(node)) = (nodes, identity.node()) else {
        let message = "this is for nodes only: log in with what proves which node it is";
        return Err(HttpError::code(ErrorCode::Denied, message));
    };
    let Report { features, version } = parse(body, r#"{"features": [...], "version": "0.1.0"}"#)?;
    if !nodes.reported(node, features, version) {
        return Err(malformed(&"more or longer features than a node has"));
    }
    Ok(Answer::new(StatusCode::ACCEPTED).json(&json!({ "name": node.name })))
}

fn parse<T: DeserializeOwned>(body: &Bytes, expected: &str) -> Result<T, HttpError> {
    // The parser's message may repeat the input, which may be a token.
    serde_json::from_slice(body).map_err(|_| malformed(&format!("expected {expected}")))
}

fn malformed(what: &dyn std::fmt::Display) -> HttpError {
    HttpError::code(
        ErrorCode::Unsupported,
        format!("the body cannot be read: {what}"),
    )
    .with_status(StatusCode::BAD_REQUEST)
}

fn refused(error: &JoinError) -> HttpError {
    let message = error.to_string();
    match error {
        JoinError::Off => HttpError::not_found(message),
        JoinError::NoToken | JoinError::Revoked(_) => {
            HttpError::code(ErrorCode::Denied, message).with_status(StatusCode::FORBIDDEN)
        }
        JoinError::Taken(_) => {
            HttpError::code(ErrorCode::Denied, message).with_status(StatusCode::CONFLICT)
        }
        JoinError::Full => HttpError::code(ErrorCode::Denied, message)
            .with_status(StatusCode::INSUFFICIENT_STORAGE),
        JoinError::Store(error) => HttpError::internal(error),
    }
}
