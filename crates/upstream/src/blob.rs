//! Streams blobs of an upstream: whole or by range, resumed after an interruption by the upstream.
//!
//! A body is never held in memory, and it is not verified here: a caller that stores it or passes
//! it on verifies it (the store's fill, or [`crate::verified()`]).

use std::ops::Range;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _, stream};
use http::header::{CONTENT_RANGE, RANGE};
use http::{Method, StatusCode};
use metahub_client::{content_length, content_range, path, printable, range_header};
use metahub_oci::{Digest, RepositoryName};
use reqwest::Response;

use crate::answer;
use crate::ask::Ask;
use crate::error::{Problem, UpstreamError};
use crate::pieces::Pieces;
use crate::upstream::Upstream;

/// Interruptions in a row, without a byte between them, after which a blob fails.
const MAX_FRUITLESS: u32 = 3;
/// Interruptions in all after which a blob fails: so many, and one more for each received MiB.
const MAX_BREAKS: u64 = 16;

/// A blob's bytes as they arrive.
pub struct BlobBody {
    /// The size of the whole blob, if the upstream states it.
    pub size: Option<u64>,
    /// The offset at which the stream begins. An upstream that ignores a range begins at 0;
    /// [`BlobBody::only`] handles that.
    pub start: u64,
    /// The offset at which the stream ends, if known.
    pub end: Option<u64>,
    /// The bytes from `start` to the end of the requested range, or to the end of the blob.
    pub stream: BlobStream,
}

impl std::fmt::Debug for BlobBody {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("BlobBody")
            .field("size", &self.size)
            .field("start", &self.start)
            .field("end", &self.end)
            .finish_non_exhaustive()
    }
}

/// The stream of a [`BlobBody`].
pub struct BlobStream(BoxStream<'static, Result<Bytes, UpstreamError>>);

impl BlobStream {
    pub(crate) fn new(
        stream: impl Stream<Item = Result<Bytes, UpstreamError>> + Send + 'static,
    ) -> Self {
        Self(stream.boxed())
    }
}

impl Stream for BlobStream {
    type Item = Result<Bytes, UpstreamError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        self.0.poll_next_unpin(cx)
    }
}

impl BlobBody {
    /// Exactly the bytes of `range`, whatever the upstream sends: bytes before it are dropped as
    /// they arrive, bytes after it are not read.
    #[must_use]
    pub fn only(self, range: Range<u64>) -> BlobStream {
        let state = (self.stream, self.start, range);
        let cut = stream::unfold(state, |(mut stream, mut at, range)| async move {
            loop {
                if at >= range.end {
                    return None;
                }
                let piece = match stream.next().await? {
                    Ok(piece) => piece,
                    error => return Some((error, (stream, u64::MAX, range))),
                };
                let wanted = part(&piece, at, &range);
                at = at.saturating_add(piece.len() as u64);
                if !wanted.is_empty() {
                    return Some((Ok(wanted), (stream, at, range)));
                }
            }
        });
        BlobStream::new(cut)
    }
}

/// The part of `piece`, at the offset `at`, that is in `range`.
fn part(piece: &Bytes, at: u64, range: &Range<u64>) -> Bytes {
    let length = piece.len() as u64;
    let from = range.start.saturating_sub(at).min(length);
    let to = range.end.saturating_sub(at).min(length).max(from);
    // Both are at most the piece's length, which is a usize.
    piece.slice(from as usize..to as usize)
}

impl Upstream {
    /// GET of a blob, or of its bytes `range` (an end of `u64::MAX` means its end). `None` if the
    /// upstream has no such blob.
    ///
    /// If the upstream closes the connection early or stalls, the rest is requested by range; only
    /// several interruptions without progress end the stream with an error.
    ///
    /// # Errors
    /// As [`UpstreamError`] says; [`Problem::RangeOutside`] for a range that the blob lacks.
    pub async fn blob(
        self: &Arc<Self>,
        name: &RepositoryName,
        digest: &Digest,
        range: Option<Range<u64>>,
    ) -> Result<Option<BlobBody>, UpstreamError> {
        let ask = Ask::new(self, Method::GET, name, &path::blob(name, digest));
        let Some(part) = self.open(&ask, range.as_ref()).await? else {
            return Ok(None);
        };
        let (size, start, end) = (part.size, part.start, part.end);
        let reading = Reading {
            upstream: Arc::clone(self),
            ask,
            at: start,
            skip_to: start,
            end,
            part: self.pieces(part.response),
            fruitless: 0,
            breaks: 0,
            received: 0,
        };
        let stream = stream::try_unfold(reading, |mut reading| async move {
            let piece = reading.next().await?;
            Ok(piece.map(|piece| (piece, reading)))
        });
        Ok(Some(BlobBody {
            size,
            start,
            end,
            stream: BlobStream::new(stream),
        }))
    }

    /// HEAD of a blob: its size, if the upstream states it. `None` if the upstream has no such
    /// blob.
    ///
    /// # Errors
    /// As [`UpstreamError`] says.
    pub async fn blob_size(
        &self,
        name: &RepositoryName,
        digest: &Digest,
    ) -> Result<Option<Option<u64>>, UpstreamError> {
        let ask = Ask::new(self, Method::HEAD, name, &path::blob(name, digest));
        let response = self.ask(&ask).await?;
        Ok(response.map(|response| content_length(response.headers())))
    }

    /// Whether the upstream has a blob, and its size, if the upstream states it in any way: by
    /// `HEAD`, or if that is refused or states no size, by a `GET` of the first byte, whose body is
    /// not read. `None` if it has no such blob. Takes at most `limit`, if one is given.
    ///
    /// # Errors
    /// As [`UpstreamError`] says.
    pub async fn find_blob(
        &self,
        name: &RepositoryName,
        digest: &Digest,
        limit: Option<Duration>,
    ) -> Result<Option<Option<u64>>, UpstreamError> {
        let mut ask = Ask::new(self, Method::HEAD, name, &path::blob(name, digest));
        ask.limit = limit;
        match self.ask(&ask).await {
            Ok(None) => return Ok(None),
            Ok(Some(response)) => {
                let size = content_length(response.headers());
                if size.is_some() {
                    return Ok(Some(size));
                }
            }
            // 401 and 403 concern the blob, these the method.
            Err(error) if matches!(error.status(), Some(400 | 405 | 406 | 501)) => {}
            Err(error) => return Err(error),
        }
        ask.method = Method::GET;
        match self.open(&ask, Some(&(0..1))).await {
            Ok(part) => Ok(part.map(|part| part.size)),
            // It is there, and has no first byte.
            Err(error) if *error.problem() == Problem::RangeOutside => Ok(Some(Some(0))),
            Err(error) => Err(error),
        }
    }

    fn pieces(&self, response: Response) -> Pieces {
        Pieces::new(response, self.shared.connections.timeouts().pace())
    }

    async fn open(
        &self,
        ask: &Ask,
        range: Option<&Range<u64>>,
    ) -> Result<Option<Part>, UpstreamError> {
        let mut ask = ask.clone();
        if let Some(range) = range {
            if range.is_empty() {
                return Err(self.error(Problem::RangeOutside));
            }
            ask.headers.insert(RANGE, range_header(range));
        }
        let Some(response) = self.ask(&ask).await? else {
            return Ok(None);
        };
        let part = Part::of(response, range).map_err(|problem| self.error(problem))?;
        Ok(Some(part))
    }
}

/// An answer with bytes of a blob.
struct Part {
    response: Response,
    size: Option<u64>,
    /// The offset of its first byte.
    start: u64,
    /// Its end in the blob, if known.
    end: Option<u64>,
}

impl Part {
    fn of(response: Response, asked: Option<&Range<u64>>) -> Result<Self, Problem> {
        let bad = |why: String| Err(Problem::BadAnswer(why));
        let content_type = answer::content_type(&response);
        if content_type.contains("text/html") {
            return bad("a web page in place of a blob; check the upstream's URL".to_owned());
        }
        let length = content_length(response.headers());
        match (response.status(), asked) {
            (StatusCode::PARTIAL_CONTENT, Some(asked)) => {
                let header = response.headers().get(CONTENT_RANGE);
                let text = header.and_then(|value| value.to_str().ok()).unwrap_or("");
                let Some((served, size)) = content_range(text) else {
                    let shown = printable(text, 60);
                    return bad(format!("a part of a blob with the Content-Range '{shown}'"));
                };
                let as_asked = served.start == asked.start && served.end <= asked.end;
                let whole = served.end - served.start;
                if !as_asked || length.is_some_and(|length| length != whole) {
                    return bad(format!(
                        "bytes {}-{} where {}-{} were asked for",
                        served.start,
                        served.end - 1,
                        asked.start,
                        asked.end - 1
                    ));
                }
                // A server may send less than requested; the rest is requested later.
                let end = size.map_or(served.end, |size| size.min(asked.end));
                Ok(Self {
                    response,
                    size,
                    start: served.start,
                    end: Some(end),
                })
            }
            (StatusCode::OK, _) => Ok(Self {
                response,
                size: length,
                start: 0,
                end: length,
            }),
            (status, _) => bad(format!(
                "status {} to a request for a blob",
                status.as_u16()
            )),
        }
    }
}

/// A blob that is being received.
struct Reading {
    upstream: Arc<Upstream>,
    ask: Ask,
    /// The offset of the next byte of `part`.
    at: u64,
    /// Bytes before this offset were passed on already.
    skip_to: u64,
    /// The end of the requested range, if known.
    end: Option<u64>,
    part: Pieces,
    fruitless: u32,
    breaks: u64,
    received: u64,
}

impl Reading {
    async fn next(&mut self) -> Result<Option<Bytes>, UpstreamError> {
        loop {
            if self.end.is_some_and(|end| self.skip_to >= end) {
                return Ok(None);
            }
            let problem = match self.part.next().await {
                Ok(Some(piece)) => match self.take(&piece) {
                    Some(piece) => return Ok(Some(piece)),
                    None => continue,
                },
                Ok(None) => match self.end {
                    None => return Ok(None),
                    Some(expected) => Problem::Cut {
                        received: self.at,
                        expected,
                    },
                },
                Err(problem) => problem,
            };
            self.resume(problem).await?;
        }
    }

    /// Counts a piece, and returns its new part, if any.
    fn take(&mut self, piece: &Bytes) -> Option<Bytes> {
        let wanted = self.skip_to..self.end.unwrap_or(u64::MAX);
        let new = part(piece, self.at, &wanted);
        self.at = self.at.saturating_add(piece.len() as u64);
        if new.is_empty() {
            return None;
        }
        self.skip_to = self.at.min(wanted.end);
        self.fruitless = 0;
        self.received += new.len() as u64;
        Some(new)
    }

    /// Requests the rest after `problem`.
    async fn resume(&mut self, problem: Problem) -> Result<(), UpstreamError> {
        self.fruitless += 1;
        self.breaks += 1;
        let error = self.upstream.error(problem);
        let too_many = self.breaks > MAX_BREAKS + self.received / (1024 * 1024);
        if too_many || self.fruitless > MAX_FRUITLESS || !error.is_transient() {
            return Err(error);
        }
        tracing::debug!(upstream = %self.upstream.host(), at = self.skip_to, %error, "resuming a blob");
        let missing = self.skip_to..self.end.unwrap_or(u64::MAX);
        let part = self.upstream.open(&self.ask, Some(&missing)).await?;
        let Some(part) = part else {
            let gone = "the blob is gone in the middle of its transfer".to_owned();
            return Err(self.upstream.error(Problem::BadAnswer(gone)));
        };
        self.at = part.start;
        self.part = self.upstream.pieces(part.response);
        self.end = self.end.or(part.end);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_piece_is_cut_to_the_range() {
        let piece = Bytes::from("0123456789");
        assert_eq!(part(&piece, 0, &(2..5)), "234");
        assert_eq!(part(&piece, 100, &(0..u64::MAX)), "0123456789");
        assert_eq!(part(&piece, 100, &(105..200)), "56789");
        assert_eq!(part(&piece, 100, &(0..50)), "");
        assert_eq!(part(&piece, 0, &(50..60)), "");
    }

    #[tokio::test]
    async fn only_a_range_is_read_even_if_the_upstream_sends_all() {
        let pieces = ["0123", "4567", "89"].map(|p| Ok(Bytes::from(p)));
        let body = BlobBody {
            size: Some(10),
            start: 0,
            end: Some(10),
            stream: BlobStream::new(stream::iter(pieces)),
        };
        let read: Vec<_> = body.only(3..6).map(Result::unwrap).collect().await;
        assert_eq!(read, ["3", "45"]);
    }
}
