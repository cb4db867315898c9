//! `multipart/byteranges` answers, RFC 9110 section 14.6.

use std::io;
use std::ops::Range;

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use metahub_store::BlobChunk;

/// Separates parts. It need not be unpredictable: the receiver knows each part's length from its
/// `Content-Range`.
const BOUNDARY: &str = "metahub-3f1c7a9e5b2d4860";

/// The `Content-Type` of such an answer.
pub(crate) fn content_type() -> String {
    format!("multipart/byteranges; boundary={BOUNDARY}")
}

fn head(range: &Range<u64>, size: u64) -> String {
    format!(
        "\r\n--{BOUNDARY}\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes {}-{}/{size}\r\n\r\n",
        range.start,
        range.end.saturating_sub(1),
    )
}

fn tail() -> String {
    format!("\r\n--{BOUNDARY}--\r\n")
}

/// The exact length in bytes of the answer with `ranges` of content of `size` bytes.
pub(crate) fn length(ranges: &[Range<u64>], size: u64) -> u64 {
    let parts: u64 = ranges
        .iter()
        .map(|r| head(r, size).len() as u64 + (r.end - r.start))
        .sum();
    parts + tail().len() as u64
}

/// The answer: each range preceded by its part header. `read` streams one range of the content.
pub(crate) fn body<R, S>(
    ranges: Vec<Range<u64>>,
    size: u64,
    read: R,
) -> impl Stream<Item = io::Result<BlobChunk>> + Send
where
    R: Fn(Range<u64>) -> S + Send + 'static,
    S: Stream<Item = io::Result<BlobChunk>> + Send + 'static,
{
    let parts = stream::iter(ranges).flat_map(move |range| {
        let head = Bytes::from(head(&range, size));
        stream::once(async move { Ok(head.into()) }).chain(read(range))
    });
    parts.chain(stream::once(async { Ok(Bytes::from(tail()).into()) }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_announced_length_is_the_length_sent() {
        let content = Bytes::from_static(b"0123456789");
        let ranges = vec![0..2, 5..10];
        let announced = length(&ranges, 10);
        let read = move |r: Range<u64>| {
            let part =
                content.slice(usize::try_from(r.start).unwrap()..usize::try_from(r.end).unwrap());
            stream::once(async move { Ok(BlobChunk::Bytes(part)) })
        };
        let sent: Vec<u8> = body(ranges, 10, read)
            .map(|chunk| match chunk.unwrap() {
                BlobChunk::Bytes(bytes) => bytes.to_vec(),
                BlobChunk::Window(_) => unreachable!("none was read"),
            })
            .concat()
            .await;
        assert_eq!(sent.len() as u64, announced);
        let text = String::from_utf8(sent).unwrap();
        assert!(text.contains("Content-Range: bytes 5-9/10\r\n\r\n56789\r\n--"));
        assert!(text.ends_with("--\r\n"));
    }
}
