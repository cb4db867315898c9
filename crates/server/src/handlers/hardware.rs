//! `GET /api/v1/hardware`: the CPU targets that this registry knows, for nodes that may be newer.
//! Open to all: a node asks before it can know which login this registry understands.

use http::{HeaderValue, Response, StatusCode, header};
use metahub_registry::Registry;
use serde_json::json;

use crate::body::Body;
use crate::respond::Answer;

/// Answers with `{"targets": [...]}`, each target after its ancestors.
pub(crate) fn get(registry: &Registry) -> Response<Body> {
    let catalog = registry.catalog();
    let targets: Vec<&str> = catalog
        .graph()
        .iter()
        .map(|entry| entry.target().as_str())
        .collect();
    Answer::new(StatusCode::OK)
        .header(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"))
        .json(&json!({ "targets": targets }))
}
