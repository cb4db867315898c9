//! The answers of a misbehaving upstream: correct ones, and each fault. Counts the bytes that
//! clients take.

use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;

use ::http::{Response, StatusCode};
use axum::body::Body;
use bytes::Bytes;
use futures_util::stream::{self, Stream, StreamExt as _};
use serde_json::json;

use super::fault::Fault;
use super::state::State;
use crate::http::digest_of;

/// Counts what of a body is taken.
pub(super) fn counted(body: Body, state: Arc<State>, path: String) -> Body {
    Body::from_stream(body.into_data_stream().inspect(move |bytes| {
        if let Ok(bytes) = bytes {
            let mut sent = state.sent.lock().expect("no handler panics");
            *sent.entry(path.clone()).or_default() += bytes.len() as u64;
        }
    }))
}

/// The bytes of a part, in pieces as a network has them; `cut` after so many.
fn pieces(bytes: &Bytes, cut: usize) -> impl Stream<Item = Bytes> + use<> {
    let bytes = bytes.slice(..cut.min(bytes.len()));
    stream::iter((0..bytes.len()).step_by(16 * 1024))
        .map(move |at| bytes.slice(at..bytes.len().min(at + 16 * 1024)))
}

/// An answer to a request for a blob, which may be one for a part.
fn part(
    state: &Arc<State>,
    media_type: &str,
    bytes: &Bytes,
    range: Option<&str>,
    fault: Option<&Fault>,
) -> Response<Body> {
    let asked = range.and_then(|range| {
        let (first, last) = range.strip_prefix("bytes=")?.split_once('-')?;
        let first: usize = first.parse().ok()?;
        let end = last
            .parse()
            .map_or(bytes.len(), |last: usize| (last + 1).min(bytes.len()));
        Some(first..end)
    });
    let asked = match (asked, fault) {
        (_, Some(Fault::CutIgnoringRange(_))) => None,
        (Some(range), Some(Fault::CutAnotherRange(_))) => Some(range.start + 1..range.end),
        (asked, _) => asked,
    };
    let served = asked.clone().unwrap_or(0..bytes.len());
    let mut response = match &asked {
        Some(range) => Response::builder()
            .status(StatusCode::PARTIAL_CONTENT)
            .header(
                "Content-Range",
                format!("bytes {}-{}/{}", range.start, range.end - 1, bytes.len()),
            ),
        None => Response::builder(),
    };
    response = response
        .header("Content-Type", media_type)
        .header("Content-Length", served.len());
    let content = match (&asked, fault) {
        (Some(_), Some(Fault::CutThenOther(_))) => other(bytes).slice(served),
        _ => bytes.slice(served),
    };
    let body = match fault {
        Some(
            Fault::CutEvery(cut)
            | Fault::CutIgnoringRange(cut)
            | Fault::CutAnotherRange(cut)
            | Fault::CutThenOther(cut),
        ) if *cut < content.len() => {
            let error = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut on purpose"))
            });
            Body::from_stream(pieces(&content, *cut).map(Ok).chain(error))
        }
        Some(Fault::Pause(pause)) => paused(state, &content, *pause),
        Some(Fault::StallAt(at)) if asked.is_none() => {
            let begin = pieces(&content, *at).map(Ok::<_, Infallible>);
            Body::from_stream(begin.chain(stream::pending()))
        }
        Some(Fault::Drip(piece)) => dripping(content, *piece),
        Some(Fault::PauseBehind(at)) if asked.as_ref().is_some_and(|part| part.start >= *at) => {
            paused(state, &content, 0)
        }
        Some(Fault::PauseWhole(pause)) if asked.is_none() => paused(state, &content, *pause),
        _ => Body::from_stream(pieces(&content, usize::MAX).map(Ok::<_, Infallible>)),
    };
    response.body(body).expect("the header fields are valid")
}

/// So many bytes, and the rest when it is mended.
fn paused(state: &Arc<State>, content: &Bytes, pause: usize) -> Body {
    let pause = pause.min(content.len());
    let state = Arc::clone(state);
    let rest = content.slice(pause..);
    let rest = stream::once(async move {
        loop {
            let mended = state.mended.notified();
            if state.faults.lock().expect("no handler panics").is_empty() {
                return pieces(&rest, usize::MAX);
            }
            mended.await;
        }
    });
    Body::from_stream(
        pieces(content, pause)
            .chain(rest.flatten())
            .map(Ok::<_, Infallible>),
    )
}

/// Everything, a piece at a time.
fn dripping(content: Bytes, piece: usize) -> Body {
    let pace = tokio::time::interval(Duration::from_millis(100));
    Body::from_stream(stream::unfold(
        (content, pace),
        move |(mut rest, mut pace)| async move {
            if rest.is_empty() {
                return None;
            }
            pace.tick().await;
            let piece = rest.split_to(piece.min(rest.len()));
            Some((Ok::<_, Infallible>(piece), (rest, pace)))
        },
    ))
}

pub(super) async fn answer(
    state: &Arc<State>,
    line: String,
    range: Option<&str>,
) -> Response<Body> {
    let (method, path) = line.split_once(' ').unwrap_or_default();
    let (is_head, path) = (method == "HEAD", path.to_owned());
    let path = path.as_str();
    if let Some(range) = range {
        let part = (path.to_owned(), range.to_owned());
        state.parts.lock().expect("no handler panics").push(part);
    }
    state.asked.lock().expect("no handler panics").push(line);
    if path == "/v2/" {
        return reply(StatusCode::OK, "application/json", Body::from("{}"));
    }
    let Some((media_type, bytes)) = state.content.get(path) else {
        return unknown();
    };
    let fault = state
        .faults
        .lock()
        .expect("no handler panics")
        .get(path)
        .cloned();
    let half = bytes.slice(..bytes.len() / 2);
    let ok = |body: Body| (StatusCode::OK, media_type.as_str(), body);
    let (status, kind, body) = match fault {
        None
        | Some(
            Fault::Pause(_)
            | Fault::PauseWhole(_)
            | Fault::PauseBehind(_)
            | Fault::StallAt(_)
            | Fault::Drip(_)
            | Fault::CutEvery(_)
            | Fault::CutIgnoringRange(_)
            | Fault::CutAnotherRange(_)
            | Fault::CutThenOther(_),
        ) => return part(state, media_type, bytes, range, fault.as_ref()),
        Some(fault @ (Fault::NoHead | Fault::OtherHead | Fault::HeadOnly)) => {
            return match (is_head, fault) {
                (true, Fault::NoHead) => empty(StatusCode::METHOD_NOT_ALLOWED),
                (true, Fault::OtherHead) => announced(media_type, bytes.len() + 1, Body::empty()),
                (false, Fault::HeadOnly) => unknown(),
                _ => part(state, media_type, bytes, range, None),
            };
        }
        Some(Fault::Short) => ok(Body::from(bytes.slice(..bytes.len() - 1))),
        Some(Fault::Long) => ok(Body::from([bytes, &b"!"[..]].concat())),
        Some(Fault::OtherBytes) => ok(Body::from(other(bytes))),
        Some(Fault::WrongDigestHeader) => {
            let mut response = reply(StatusCode::OK, media_type, Body::from(bytes.clone()));
            let wrong = digest_of(b"something else")
                .parse()
                .expect("a digest is a header value");
            response
                .headers_mut()
                .insert("docker-content-digest", wrong);
            return response;
        }
        Some(Fault::Cut) => {
            // One turn between the two, or the server drops the first half with the second.
            let cut = stream::once(async {
                tokio::task::yield_now().await;
                Err(std::io::Error::other("cut on purpose"))
            });
            let body = Body::from_stream(stream::iter([Ok(half)]).chain(cut));
            return announced(media_type, bytes.len(), body);
        }
        Some(Fault::StallInside) => {
            let body = stream::iter([Ok::<_, Infallible>(half)]).chain(stream::pending());
            return announced(media_type, bytes.len(), Body::from_stream(body));
        }
        Some(Fault::Silence) => std::future::pending().await,
        Some(Fault::Html) => (StatusCode::OK, "text/html", Body::from(HTML)),
        Some(Fault::ServerError) => (
            StatusCode::INTERNAL_SERVER_ERROR,
            "text/html",
            Body::from(HTML),
        ),
        Some(Fault::TooMany) => (
            StatusCode::TOO_MANY_REQUESTS,
            "text/plain",
            Body::from("slow"),
        ),
        Some(Fault::Endless) => {
            let blanks = stream::repeat(Ok::<_, Infallible>(Bytes::from_static(&[b' '; 65536])));
            ok(Body::from_stream(blanks))
        }
        Some(Fault::NotAManifest) => ok(Body::from("{\"schemaVersion\": 2}")),
    };
    reply(status, kind, body)
}

const HTML: &str = "<!DOCTYPE html><html><body><h1>Please log in to the Wi-Fi</h1></body></html>";

fn reply(status: StatusCode, media_type: &str, body: Body) -> Response<Body> {
    Response::builder()
        .status(status)
        .header("Content-Type", media_type)
        .body(body)
        .expect("status and media type are valid")
}

fn unknown() -> Response<Body> {
    let error = json!({"errors": [{"code": "NAME_UNKNOWN", "message": "no such thing here"}]});
    let body = Body::from(error.to_string());
    reply(StatusCode::NOT_FOUND, "application/json", body)
}

fn empty(status: StatusCode) -> Response<Body> {
    reply(status, "text/plain", Body::empty())
}

fn announced(media_type: &str, length: usize, body: Body) -> Response<Body> {
    Response::builder()
        .header("Content-Type", media_type)
        .header("Content-Length", length)
        .body(body)
        .expect("media type and length are valid")
}

fn other(bytes: &Bytes) -> Bytes {
    let mut other = bytes.to_vec();
    if let Some(last) = other.last_mut() {
        *last ^= 1;
    }
    Bytes::from(other)
}
