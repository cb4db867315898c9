//! Reads a body piece by piece from an upstream that may stall or trickle.

use std::time::Instant;

use bytes::Bytes;
use reqwest::Response;

use crate::chain::chain;
use crate::error::{Problem, Waiting};
use crate::pace::{Meter, Pace};

/// The rest of a body.
#[derive(Debug)]
pub(crate) struct Pieces {
    response: Response,
    pace: Pace,
    meter: Meter,
}

impl Pieces {
    pub(crate) fn new(response: Response, pace: Pace) -> Self {
        Self {
            response,
            pace,
            meter: Meter::default(),
        }
    }

    /// The next piece; `None` at the end.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, Problem> {
        let between_bytes = self.pace.between_bytes;
        let timeout = Problem::Timeout {
            waiting: Waiting::Bytes,
            after: between_bytes,
        };
        let started = Instant::now();
        match tokio::time::timeout(between_bytes, self.response.chunk()).await {
            Ok(Ok(Some(piece))) => {
                let waited = started.elapsed();
                if self
                    .meter
                    .is_too_slow(piece.len() as u64, waited, self.pace)
                {
                    return Err(timeout);
                }
                Ok(Some(piece))
            }
            Ok(Ok(None)) => Ok(None),
            Ok(Err(error)) => {
                let why = chain(&error.without_url());
                Err(Problem::Unreachable(format!("its answer broke off: {why}")))
            }
            Err(_) => Err(timeout),
        }
    }
}
