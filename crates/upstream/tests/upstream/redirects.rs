//! Following an upstream elsewhere, and refusing to.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::Digest;
use metahub_upstream::{Problem, Upstream, UpstreamConfig, UpstreamError};

use crate::fake::*;

async fn read(upstream: &Arc<Upstream>) -> Result<Bytes, UpstreamError> {
    let digest = Digest::sha256(b"content");
    let body = upstream.blob(&name("a/b"), &digest, None).await?;
    let pieces: Vec<Bytes> = body.expect("the blob").stream.try_collect().await?;
    Ok(pieces.concat().into())
}

async fn refusal(upstream: &Arc<Upstream>) -> String {
    match read(upstream).await.unwrap_err().problem() {
        Problem::Refused(why) => why.clone(),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn credentials_stay_behind_when_a_redirect_leads_to_another_host() {
    let storage = Fake::start(|_| Answer::new(200, "content")).await;
    let location = storage.url("/signed?signature=s3cr3t");
    let fake = Fake::start(move |seen| match seen.header("authorization") {
        Some(_) => Answer::redirect(&location),
        None => Answer::challenge("Basic realm=x"),
    })
    .await;
    let upstream = fake.upstream_of_alice();
    assert_eq!(read(&upstream).await.unwrap(), "content");
    let seen = &storage.seen()[0];
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(seen.query, "signature=s3cr3t");
}

#[tokio::test]
async fn credentials_stay_with_a_redirect_on_the_same_host() {
    let fake = Fake::start(
        |seen| match (seen.header("authorization"), seen.path.as_str()) {
            (None, _) => Answer::challenge("Basic realm=x"),
            (Some(_), "/elsewhere") => Answer::new(200, "content"),
            (Some(_), _) => Answer::redirect("/elsewhere"),
        },
    )
    .await;
    assert_eq!(read(&fake.upstream_of_alice()).await.unwrap(), "content");
    let seen = fake.seen_at("/elsewhere");
    assert_eq!(seen[0].header("authorization"), Some(ALICE_BASIC));
}

#[tokio::test]
async fn credentials_do_not_return_when_a_redirect_leads_back() {
    let home = Arc::new(parking_lot::Mutex::new(String::new()));
    let back = Arc::clone(&home);
    let storage = Fake::start(move |_| Answer::redirect(&format!("{}/back", back.lock()))).await;
    let away = storage.url("/away");
    let fake = Fake::start(
        move |seen| match (seen.header("authorization"), seen.path.as_str()) {
            (_, "/back") => Answer::new(200, "content"),
            (None, _) => Answer::challenge("Basic realm=x"),
            (Some(_), _) => Answer::redirect(&away),
        },
    )
    .await;
    *home.lock() = fake.url("");
    assert_eq!(read(&fake.upstream_of_alice()).await.unwrap(), "content");
    assert_eq!(fake.seen_at("/back")[0].header("authorization"), None);
}

#[tokio::test]
async fn a_challenge_from_where_a_redirect_leads_gets_no_answer() {
    let storage = Fake::start(|_| Answer::challenge("Basic realm=x")).await;
    let location = storage.url("/");
    let fake = Fake::start(move |_| Answer::redirect(&location)).await;
    let error = read(&fake.upstream_of_alice()).await.unwrap_err();
    assert!(matches!(
        error.problem(),
        Problem::Denied { status: 401, .. }
    ));
    assert_eq!(storage.seen().len(), 1);
}

#[tokio::test]
async fn redirects_into_other_private_networks_are_refused() {
    for inside in [
        "http://169.254.169.254/latest/meta-data/?signature=s3cr3t",
        "http://10.0.0.1/",
        "http://[fd00::1]/",
        "http://0.0.0.0:5000/",
        "//192.168.1.1/x",
    ] {
        let fake = Fake::start(move |_| Answer::redirect(inside)).await;
        let why = refusal(&fake.upstream()).await;
        assert!(why.contains("allow_private"), "{why}");
        assert!(!why.contains("s3cr3t"), "{why}");
    }
}

#[tokio::test]
async fn redirects_that_no_registry_sends_are_refused() {
    for location in [
        "file:///etc/passwd",
        "ftp://127.0.0.1/x",
        "http://alice:hunter2@127.0.0.1/",
        "javascript:alert(1)",
    ] {
        let fake = Fake::start(move |_| Answer::redirect(location)).await;
        let why = refusal(&fake.upstream()).await;
        assert!(!why.contains("hunter2"), "{why}");
    }
}

#[tokio::test]
async fn redirects_in_a_circle_end() {
    let fake = Fake::start(|_| Answer::redirect("/again")).await;
    let why = refusal(&fake.upstream()).await;
    assert!(why.contains("redirects"), "{why}");
    assert_eq!(fake.seen().len(), 6);
}

#[tokio::test]
async fn a_redirect_without_a_place_is_a_bad_answer() {
    let fake = Fake::start(|_| Answer::new(302, "")).await;
    let error = read(&fake.upstream()).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::BadAnswer(_)), "{error}");
}

#[tokio::test]
async fn private_networks_may_be_allowed() {
    // Nothing listens there, so the attempt itself is what shows the permission.
    let fake = Fake::start(|_| Answer::redirect("http://0.0.0.0:9/")).await;
    let upstream = upstream(UpstreamConfig {
        allow_private: true,
        ..fake.config()
    });
    let error = read(&upstream).await.unwrap_err();
    assert!(
        matches!(error.problem(), Problem::Unreachable(_)),
        "{error}"
    );
}
