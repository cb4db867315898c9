//! Blobs: whole, in part, cut, stalled and resumed.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::Digest;
use metahub_upstream::{Problem, Upstream, UpstreamError, VerifyError, verified};

use crate::fake::*;

const CONTENT: &[u8] = b"0123456789abcdefghij";

async fn read(
    upstream: &Arc<Upstream>,
    range: Option<Range<u64>>,
) -> Result<(u64, Option<u64>, Bytes), UpstreamError> {
    let digest = Digest::sha256(CONTENT);
    let body = upstream
        .blob(&name("a/b"), &digest, range)
        .await?
        .expect("the blob");
    let (start, size) = (body.start, body.size);
    let pieces: Vec<Bytes> = body.stream.try_collect().await?;
    Ok((start, size, pieces.concat().into()))
}

/// The range of a request, as first and last byte.
fn asked(seen: &Seen) -> Option<(usize, usize)> {
    let range = seen.header("range")?.strip_prefix("bytes=")?;
    let (first, last) = range.split_once('-')?;
    let last = last
        .parse()
        .unwrap_or(CONTENT.len() - 1)
        .min(CONTENT.len() - 1);
    Some((first.parse().ok()?, last))
}

/// What a sound registry answers.
fn sound(seen: &Seen) -> Answer {
    match asked(seen) {
        None => Answer::new(200, CONTENT),
        Some((first, last)) => Answer::new(206, &CONTENT[first..=last]).header(
            "content-range",
            format!("bytes {first}-{last}/{}", CONTENT.len()),
        ),
    }
}

/// The answer with its body ending after `count` bytes in `end`.
fn broken(seen: &Seen, count: usize, end: Piece) -> Answer {
    let (first, last) = asked(seen).unwrap_or((0, CONTENT.len() - 1));
    let bytes = Bytes::from(&CONTENT[first..(first + count).min(last + 1)]);
    let status = if asked(seen).is_some() { 206 } else { 200 };
    Answer::streamed(status, vec![Piece::Bytes(bytes), end])
        .header("content-length", last + 1 - first)
        .header(
            "content-range",
            format!("bytes {first}-{last}/{}", CONTENT.len()),
        )
}

#[tokio::test]
async fn a_blob_streams_whole() {
    let fake = Fake::start(sound).await;
    let (start, size, bytes) = read(&fake.upstream(), None).await.unwrap();
    assert_eq!((start, size), (0, Some(20)));
    assert_eq!(bytes, CONTENT);
    assert_eq!(fake.seen()[0].header("range"), None);
    assert_eq!(fake.seen()[0].header("accept-encoding"), Some("identity"));
}

#[tokio::test]
async fn a_blob_without_a_length_streams_whole() {
    let fake = Fake::start(|_| Answer::streamed(200, vec![Piece::Bytes(CONTENT.into())])).await;
    let (_, size, bytes) = read(&fake.upstream(), None).await.unwrap();
    assert_eq!(size, None);
    assert_eq!(bytes, CONTENT);
}

#[tokio::test]
async fn a_range_is_asked_for_and_checked() {
    let fake = Fake::start(sound).await;
    let upstream = fake.upstream();
    let (start, size, bytes) = read(&upstream, Some(5..8)).await.unwrap();
    assert_eq!((start, size, &bytes[..]), (5, Some(20), &b"567"[..]));
    let (_, _, bytes) = read(&upstream, Some(15..u64::MAX)).await.unwrap();
    assert_eq!(bytes, "fghij");
    let headers: Vec<_> = fake
        .seen()
        .iter()
        .map(|s| s.header("range").map(str::to_owned))
        .collect();
    assert_eq!(
        headers,
        [Some("bytes=5-7".into()), Some("bytes=15-".into())]
    );
}

#[tokio::test]
async fn an_upstream_that_ignores_ranges_is_made_up_for() {
    let fake = Fake::start(|_| Answer::new(200, CONTENT)).await;
    let upstream = fake.upstream();
    let (start, _, bytes) = read(&upstream, Some(5..8)).await.unwrap();
    assert_eq!((start, &bytes[..]), (0, CONTENT), "it says where it begins");
    let digest = Digest::sha256(CONTENT);
    let body = upstream
        .blob(&name("a/b"), &digest, Some(5..8))
        .await
        .unwrap();
    let pieces: Vec<Bytes> = body.unwrap().only(5..8).try_collect().await.unwrap();
    assert_eq!(pieces.concat(), b"567");
}

#[tokio::test]
async fn wrong_ranges_are_bad_answers() {
    for content_range in [
        "bytes 0-2/20",
        "bytes 5-9/20",
        "bytes 5-7/6",
        "",
        "bytes */20",
    ] {
        let fake =
            Fake::start(move |_| Answer::new(206, "567").header("content-range", content_range))
                .await;
        let error = read(&fake.upstream(), Some(5..8)).await.unwrap_err();
        assert!(
            matches!(error.problem(), Problem::BadAnswer(_)),
            "{content_range}: {error}"
        );
    }
    let fake = Fake::start(|_| Answer::new(416, "")).await;
    let error = read(&fake.upstream(), Some(50..80)).await.unwrap_err();
    assert_eq!(error.problem(), &Problem::RangeOutside);
}

#[tokio::test]
async fn a_blob_that_breaks_off_is_resumed_where_it_broke() {
    let fake = Fake::start(|seen| match seen.before {
        0 => broken(seen, 7, Piece::Cut),
        1 => broken(seen, 5, Piece::Cut),
        _ => sound(seen),
    })
    .await;
    let (_, _, bytes) = read(&fake.upstream(), None).await.unwrap();
    assert_eq!(bytes, CONTENT);
    let ranges: Vec<_> = fake.seen().iter().map(asked).collect();
    assert_eq!(ranges, [None, Some((7, 19)), Some((12, 19))]);
}

#[tokio::test]
async fn a_blob_that_breaks_off_at_an_upstream_without_ranges_is_read_past_what_is_known() {
    let fake = Fake::start(|seen| match seen.before {
        0 => broken(seen, 7, Piece::Cut),
        _ => Answer::new(200, CONTENT),
    })
    .await;
    let (_, _, bytes) = read(&fake.upstream(), None).await.unwrap();
    assert_eq!(bytes, CONTENT);
}

#[tokio::test]
async fn a_range_served_in_parts_is_put_together() {
    let fake = Fake::start(|seen| {
        let (first, last) = asked(seen).unwrap();
        let last = last.min(first + 3);
        Answer::new(206, &CONTENT[first..=last])
            .header("content-range", format!("bytes {first}-{last}/20"))
    })
    .await;
    let (_, _, bytes) = read(&fake.upstream(), Some(2..17)).await.unwrap();
    assert_eq!(bytes, &CONTENT[2..17]);
}

#[tokio::test]
async fn a_stall_is_noticed_and_resumed() {
    let fake = Fake::start(|seen| match seen.before {
        0 => broken(seen, 7, Piece::Stall),
        _ => sound(seen),
    })
    .await;
    let (_, _, bytes) = read(&fake.hasty_upstream(), None).await.unwrap();
    assert_eq!(bytes, CONTENT);
}

#[tokio::test]
async fn a_blob_that_never_gets_further_is_given_up() {
    let fake = Fake::start(|seen| match asked(seen) {
        None => broken(seen, 7, Piece::Cut),
        Some(_) => broken(seen, 0, Piece::Cut),
    })
    .await;
    let error = read(&fake.upstream(), None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(fake.seen().len() <= 5, "{}", fake.seen().len());
}

#[tokio::test]
async fn a_blob_that_comes_in_crumbs_is_given_up() {
    let fake = Fake::start(|seen| broken(seen, 1, Piece::Cut)).await;
    let error = read(&fake.upstream(), None).await.unwrap_err();
    assert!(error.is_transient(), "{error}");
    assert!(fake.seen().len() <= 18, "{}", fake.seen().len());
}

#[tokio::test]
async fn a_blob_that_vanishes_midway_ends_in_an_error() {
    let fake = Fake::start(|seen| match seen.before {
        0 => broken(seen, 7, Piece::Cut),
        _ => Answer::not_found(),
    })
    .await;
    let error = read(&fake.upstream(), None).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::BadAnswer(_)), "{error}");
}

#[tokio::test]
async fn more_bytes_than_announced_are_not_passed_on() {
    // A raw answer: HTTP libraries refuse to write one.
    let fake = Fake::start(|_| {
        Answer::streamed(206, vec![Piece::Bytes(CONTENT.into())])
            .header("content-range", "bytes 0-4/5")
    })
    .await;
    let (_, _, bytes) = read(&fake.upstream(), Some(0..u64::MAX)).await.unwrap();
    assert_eq!(bytes, "01234");
}

#[tokio::test]
async fn wrong_content_fails_when_verified() {
    let fake = Fake::start(|_| Answer::new(200, "0123456789abcdefghiX")).await;
    let upstream = fake.upstream();
    let digest = Digest::sha256(CONTENT);
    let body = upstream
        .blob(&name("a/b"), &digest, None)
        .await
        .unwrap()
        .unwrap();
    let result: Result<Vec<Bytes>, _> = verified(body.stream, digest).try_collect().await;
    assert!(matches!(result, Err(VerifyError::Mismatch { .. })));
}

#[tokio::test]
async fn a_web_page_in_place_of_a_blob_is_refused() {
    let fake =
        Fake::start(|_| Answer::new(200, "<html>").header("content-type", "text/html")).await;
    let error = read(&fake.upstream(), None).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::BadAnswer(_)), "{error}");
}

#[tokio::test]
async fn the_size_of_a_blob_costs_a_head() {
    let fake = Fake::start(sound).await;
    let digest = Digest::sha256(CONTENT);
    let size = fake
        .upstream()
        .blob_size(&name("a/b"), &digest)
        .await
        .unwrap();
    assert_eq!(size, Some(Some(20)));
    assert_eq!(fake.seen()[0].method, http::Method::HEAD);
}
