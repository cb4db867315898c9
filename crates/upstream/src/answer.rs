//! Reads answers: bounded bodies, and errors for statuses other than success.
//!
//! All text from an upstream passes through [`printable`] before it reaches an error.

use bytes::{Bytes, BytesMut};
use http::header::{CONTENT_TYPE, RETRY_AFTER};
use jiff::Timestamp;
use metahub_client::{ErrorBody, printable};
use reqwest::Response;

use crate::error::Problem;
use crate::pace::Pace;
use crate::pieces::Pieces;
use crate::retry::retry_after;
use crate::room::{Place, Room};
use crate::secret::Secret;

/// Most bytes of an error body that are read.
const MAX_ERROR_BYTES: usize = 16 * 1024;
/// Most characters of an upstream's own words in an error.
const MAX_WORDS: usize = 200;
/// Most characters of an unexpected page in an error.
const FIRST_WORDS: usize = 80;

/// Reads a whole small body, of at most `limit` bytes.
pub(crate) async fn body(
    response: Response,
    what: &'static str,
    limit: usize,
    pace: Pace,
) -> Result<Bytes, Problem> {
    let announced = announced(&response, what, limit)?.unwrap_or(0);
    let mut read = BytesMut::with_capacity(announced as usize);
    let mut pieces = Pieces::new(response, pace);
    while let Some(piece) = pieces.next().await? {
        if read.len() + piece.len() > limit {
            return Err(Problem::TooLarge { what, limit });
        }
        read.extend_from_slice(&piece);
    }
    Ok(read.freeze())
}

/// The announced length of an answer, if there is one.
fn announced(
    response: &Response,
    what: &'static str,
    limit: usize,
) -> Result<Option<u64>, Problem> {
    let announced = response.content_length();
    if announced.is_some_and(|length| length > limit as u64) {
        return Err(Problem::TooLarge { what, limit });
    }
    Ok(announced)
}

/// The same for a larger body, with memory reserved for it: for the announced length, or for the
/// limit as soon as an answer without a length exceeds a small size.
pub(crate) async fn document<'r>(
    response: Response,
    what: &'static str,
    limit: usize,
    pace: Pace,
    room: &'r Room,
) -> Result<(Bytes, Place<'r>), Problem> {
    /// Bytes of an answer without a length that are read without a reservation.
    const UNANNOUNCED: usize = 16 * 1024;
    let announced = announced(&response, what, limit)?;
    let mut place = room.for_bytes(announced.unwrap_or(0)).await?;
    let mut reserved = announced.map_or(UNANNOUNCED, |length| length as usize);
    let mut read = BytesMut::with_capacity(announced.unwrap_or(0) as usize);
    let mut pieces = Pieces::new(response, pace);
    while let Some(piece) = pieces.next().await? {
        let length = read.len() + piece.len();
        if length > limit {
            return Err(Problem::TooLarge { what, limit });
        }
        if length > reserved {
            reserved = limit;
            place = room.for_bytes(limit as u64).await?;
        }
        read.extend_from_slice(&piece);
    }
    Ok((read.freeze(), place))
}

/// The content type as sent, cleaned; empty if there is none.
pub(crate) fn content_type(response: &Response) -> String {
    let value = response.headers().get(CONTENT_TYPE);
    value.map_or_else(String::new, |value| {
        printable(&String::from_utf8_lossy(value.as_bytes()), 100)
    })
}

/// The first words of a body that is not what it should be.
pub(crate) fn first_words(bytes: &[u8]) -> String {
    let start = bytes.get(..400).unwrap_or(bytes);
    printable(&String::from_utf8_lossy(start), FIRST_WORDS)
}

/// The error for an answer without success. Reads its body for the upstream's own words, and masks
/// any of the `secrets` that it repeats.
pub(crate) async fn failure(
    response: Response,
    with_credentials: bool,
    secrets: &[Secret],
    pace: Pace,
) -> Problem {
    let status = response.status().as_u16();
    let asked_to_wait = response
        .headers()
        .get(RETRY_AFTER)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| retry_after(value, Timestamp::now()));
    let is_html = content_type(&response).contains("html");
    let bytes = body(response, "an error", MAX_ERROR_BYTES, pace)
        .await
        .unwrap_or_default();
    let (code, message) = own_words(&bytes, is_html, secrets);
    match status {
        401 | 403 => Problem::Denied {
            status,
            code,
            message,
            with_credentials,
        },
        429 => Problem::RateLimited {
            retry_after: asked_to_wait,
            message,
        },
        503 if asked_to_wait.is_some() => Problem::RateLimited {
            retry_after: asked_to_wait,
            message,
        },
        _ => Problem::Status {
            status,
            code,
            message,
        },
    }
}

/// Code and message of an error body: OCI's form, or what else registries and proxies send.
fn own_words(bytes: &[u8], is_html: bool, secrets: &[Secret]) -> (Option<String>, Option<String>) {
    let shown = |text: &str, limit: usize| {
        let covered = secrets
            .iter()
            .fold(text.to_owned(), |text, secret| secret.scrub(&text));
        printable(&covered, limit)
    };
    let text_of = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let Some(said) = ErrorBody::parse(bytes) else {
        let words = match (bytes.is_empty(), is_html) {
            (true, _) => None,
            (false, true) => Some(format!(
                "an HTML page: {}",
                shown(&text_of(bytes), FIRST_WORDS)
            )),
            (false, false) => Some(shown(&text_of(bytes), MAX_WORDS)),
        };
        return (None, words);
    };
    let shown = |text: Option<String>| {
        let text = shown(&text?, MAX_WORDS);
        Some(text).filter(|text| !text.is_empty())
    };
    (shown(said.code), shown(said.message))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_upstreams_own_words_are_found_and_cleaned() {
        let words = |text: &str| own_words(text.as_bytes(), false, &[]);
        assert_eq!(
            words(r#"{"errors":[{"code":"DENIED","message":"no\r\nX: \u001b[31mred"}]}"#),
            (Some("DENIED".into()), Some("no X: [31mred".into()))
        );
        assert_eq!(
            words(r#"{"details":"incorrect username or password"}"#).1,
            Some("incorrect username or password".into())
        );
        assert_eq!(words(r#"{"errors":[]}"#), (None, None));
        assert_eq!(words(""), (None, None));
        assert_eq!(
            own_words(b"<html><body>Sign in", true, &[]).1,
            Some("an HTML page: Sign in".into())
        );
    }

    #[test]
    fn a_secret_is_covered_before_the_words_are_cut() {
        let secret = Secret::new("s".repeat(500));
        let text = format!(r#"{{"message":"got {}"}}"#, secret.reveal());
        let (_, message) = own_words(text.as_bytes(), false, &[secret]);
        assert_eq!(message.as_deref(), Some("got ***"));
    }
}
