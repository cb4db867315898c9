//! `GET /api/v1/demand?days=30&image=PATTERN`: which builds are missing. For admins, since it names
//! the images of every repository.

use http::{Response, StatusCode};
use metahub_oci::ErrorCode;
use metahub_operations::{Operation as _, OperationError, ShowDemand};
use metahub_registry::Registry;

use crate::body::Body;
use crate::error::HttpError;
use crate::request::Pairs;
use crate::respond::Answer;

const DAY: u64 = 24 * 60 * 60;
/// The default period.
const DAYS: u64 = 30;

/// Answers with the missing builds.
pub(crate) async fn get(registry: &Registry, query: &Pairs) -> Result<Response<Body>, HttpError> {
    let days = match query.get("days") {
        None => DAYS,
        Some(text) => text
            .parse()
            .map_err(|_| bad(format!("days: expected a whole number, found '{text}'")))?,
    };
    let request = ShowDemand {
        seconds: u64::saturating_mul(days, DAY),
        image: query.get("image").map(str::to_owned),
    };
    let demand = request.carry_out(registry, |_| {}).await;
    let demand = demand.map_err(|error| match error {
        OperationError::Pattern(error) => bad(format!("image: {error}")),
        OperationError::Registry(error) => error.into(),
        error => HttpError::code(ErrorCode::Unknown, error.to_string()),
    })?;
    Ok(Answer::new(StatusCode::OK).json(&demand))
}

fn bad(message: String) -> HttpError {
    HttpError::code(ErrorCode::NameInvalid, message).with_status(StatusCode::BAD_REQUEST)
}
