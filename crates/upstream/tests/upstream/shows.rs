//! What counts as an upstream's word that somebody may read something there.

use http::Method;
use metahub_oci::Digest;

use crate::fake::*;

const LOGIN_PAGE: &str = "<html><body>Please log in</body></html>";

fn page() -> Answer {
    Answer::new(200, LOGIN_PAGE).header("content-type", "text/html; charset=utf-8")
}

#[tokio::test]
async fn a_head_that_describes_a_manifest_shows_it() {
    let fake = Fake::start(|_| Answer::manifest(&manifest())).await;
    let shown = fake
        .upstream()
        .shows_manifest(&name("a/b"), &tag("1"))
        .await;
    assert!(shown.unwrap());
    let methods: Vec<_> = fake.seen().into_iter().map(|seen| seen.method).collect();
    assert_eq!(methods, [Method::HEAD]);
}

#[tokio::test]
async fn a_page_for_people_shows_neither_manifest_nor_blob() {
    let fake = Fake::start(|_| page()).await;
    let upstream = fake.upstream();
    let shown = upstream.shows_manifest(&name("a/b"), &tag("1")).await;
    assert!(shown.is_err(), "{shown:?}");
    let blob = Digest::sha256(b"blob");
    assert!(!upstream.shows_blob(&name("a/b"), &blob).await.unwrap());
}

#[tokio::test]
async fn where_a_head_says_nothing_the_manifest_itself_does() {
    for status in [200, 405, 501] {
        let fake = Fake::start(move |seen| {
            if seen.method == Method::HEAD {
                Answer::new(status, "").header("content-type", "application/json")
            } else {
                Answer::manifest(&manifest())
            }
        })
        .await;
        let shown = fake
            .upstream()
            .shows_manifest(&name("a/b"), &tag("1"))
            .await;
        assert!(shown.unwrap(), "{status}");
    }
}

#[tokio::test]
async fn a_blob_is_shown_by_its_name_or_by_storage_that_knows_no_names() {
    let blob = Digest::sha256(b"blob");
    for (said, shown) in [
        (Some(blob.to_string()), true),
        (Some(Digest::sha256(b"another").to_string()), false),
        (None, true),
    ] {
        let answer = said.clone();
        let fake = Fake::start(move |_| {
            let plain = Answer::new(200, "").header("content-type", "application/octet-stream");
            match &answer {
                Some(digest) => plain.header("docker-content-digest", digest),
                None => plain,
            }
        })
        .await;
        let found = fake.upstream().shows_blob(&name("a/b"), &blob).await;
        assert_eq!(found.unwrap(), shown, "{said:?}");
    }
    let fake = Fake::start(|_| Answer::not_found()).await;
    let upstream = fake.upstream();
    assert!(!upstream.shows_blob(&name("a/b"), &blob).await.unwrap());
    assert!(
        !upstream
            .shows_manifest(&name("a/b"), &tag("1"))
            .await
            .unwrap()
    );
}
