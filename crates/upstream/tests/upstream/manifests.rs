//! Manifests: what is taken, and what is not.

use bytes::Bytes;
use metahub_oci::{Digest, MediaType, Reference};
use metahub_upstream::{Freshness, Problem};

use crate::fake::*;

async fn rejected(answer: impl Fn() -> Answer + Send + Sync + 'static) -> (String, Problem) {
    let fake = Fake::start(move |_| answer()).await;
    let error = fake
        .upstream()
        .manifest(&name("a/b"), &tag("1"))
        .await
        .unwrap_err();
    let text = error.to_string();
    assert!(
        text.contains(&fake.address.to_string()),
        "names the upstream: {text}"
    );
    (text, error.problem().clone())
}

#[tokio::test]
async fn a_manifest_is_read_with_its_exact_bytes_and_validator() {
    let fake = Fake::start(|_| Answer::manifest(&manifest()).header("etag", "\"e1\"")).await;
    let fetched = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    let fetched = fetched.unwrap().unwrap();
    assert_eq!(fetched.document.bytes(), &manifest());
    assert_eq!(fetched.etag.as_deref(), Some("\"e1\""));
    let seen = &fake.seen()[0];
    assert_eq!(seen.path, "/v2/a/b/manifests/1");
    let accept = seen.header("accept").unwrap();
    for media_type in [
        MediaType::OCI_INDEX,
        MediaType::OCI_MANIFEST,
        MediaType::DOCKER_LIST,
        MediaType::DOCKER_MANIFEST,
    ] {
        assert!(accept.contains(media_type), "{accept}");
    }
    let agent = seen.header("user-agent").unwrap();
    assert!(agent.starts_with("metahub/"), "{agent}");
}

#[tokio::test]
async fn what_is_not_there_is_none() {
    let fake = Fake::start(|_| Answer::not_found()).await;
    let upstream = fake.upstream();
    assert!(
        upstream
            .manifest(&name("a/b"), &tag("1"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        upstream
            .head(&name("a/b"), &tag("1"))
            .await
            .unwrap()
            .is_none()
    );
    let digest = Digest::sha256(b"x");
    assert!(
        upstream
            .blob(&name("a/b"), &digest, None)
            .await
            .unwrap()
            .is_none()
    );
    assert!(upstream.tags(&name("a/b")).await.unwrap().is_none());
    assert_eq!(fake.seen().len(), 4, "404 is not tried again");
}

#[tokio::test]
async fn a_digest_that_lies_is_found_out() {
    // By the upstream's own header.
    let (_, problem) = rejected(|| {
        Answer::new(200, manifest())
            .header("content-type", MediaType::OCI_MANIFEST)
            .header("docker-content-digest", Digest::sha256(b"other"))
    })
    .await;
    assert!(
        matches!(problem, Problem::DigestMismatch { .. }),
        "{problem:?}"
    );

    // By the digest that was asked for, with a header that agrees with the lie.
    let fake = Fake::start(|_| Answer::manifest(&manifest())).await;
    let asked = Reference::Digest(Digest::sha256(b"other"));
    let upstream = fake.upstream();
    let error = upstream.manifest(&name("a/b"), &asked).await.unwrap_err();
    assert!(
        matches!(error.problem(), Problem::DigestMismatch { .. }),
        "{error}"
    );
    let error = upstream.head(&name("a/b"), &asked).await.unwrap_err();
    assert!(
        matches!(error.problem(), Problem::DigestMismatch { .. }),
        "{error}"
    );
}

#[tokio::test]
async fn a_web_page_in_place_of_a_manifest_is_named_as_such() {
    let (text, problem) = rejected(|| {
        Answer::new(200, "<!doctype html>\n<title>Sign\tin</title>")
            .header("content-type", "text/html; charset=utf-8")
    })
    .await;
    assert!(matches!(problem, Problem::BadAnswer(_)));
    assert!(text.contains("text/html; charset=utf-8"), "{text}");
    assert!(text.contains("begins \"Sign in\""), "{text}");
    assert!(text.contains("web page"), "{text}");
}

#[tokio::test]
async fn other_types_broken_json_and_ambiguous_documents_are_refused() {
    let both = r#"{"schemaVersion":2,"manifests":[],"layers":[],"config":{}}"#;
    for (content_type, body) in [
        (
            "application/vnd.docker.distribution.manifest.v1+prettyjws",
            "{}",
        ),
        ("application/pdf", "%PDF"),
        (MediaType::OCI_MANIFEST, "{\"schemaVersion\":2,"),
        (MediaType::OCI_MANIFEST, "[]"),
        (MediaType::OCI_INDEX, both),
        (
            MediaType::OCI_INDEX,
            r#"{"schemaVersion":1,"manifests":[]}"#,
        ),
        ("application/json", "{}"),
        ("", ""),
    ] {
        let (text, problem) =
            rejected(move || Answer::new(200, body).header("content-type", content_type)).await;
        assert!(
            matches!(problem, Problem::BadAnswer(_)),
            "{content_type}: {text}"
        );
    }
}

#[tokio::test]
async fn a_vague_content_type_is_made_up_for_by_the_document() {
    for content_type in ["application/json", "text/plain; charset=utf-8"] {
        let fake =
            Fake::start(move |_| Answer::new(200, manifest()).header("content-type", content_type))
                .await;
        let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
        let document = found.unwrap().unwrap().document;
        assert_eq!(document.media_type().as_str(), MediaType::OCI_MANIFEST);
    }
}

#[tokio::test]
async fn a_huge_manifest_is_not_read_to_its_end() {
    const MIB: usize = 1024 * 1024;
    // Announced.
    let (_, problem) = rejected(|| Answer::new(200, vec![b' '; 5 * MIB])).await;
    assert!(matches!(problem, Problem::TooLarge { .. }), "{problem:?}");
    // Not announced, and without an end.
    let (_, problem) = rejected(|| {
        let mut pieces: Vec<Piece> = (0..80)
            .map(|_| Piece::Bytes(Bytes::from(vec![b' '; MIB / 16])))
            .collect();
        pieces.push(Piece::Stall);
        Answer::streamed(200, pieces).header("content-type", MediaType::OCI_MANIFEST)
    })
    .await;
    assert!(matches!(problem, Problem::TooLarge { .. }), "{problem:?}");
}

#[tokio::test]
async fn a_manifest_without_a_length_is_read() {
    let fake = Fake::start(|_| {
        let bytes = manifest();
        let (start, end) = (bytes.slice(..50), bytes.slice(50..));
        Answer::streamed(200, vec![Piece::Bytes(start), Piece::Bytes(end)])
            .header("content-type", MediaType::OCI_MANIFEST)
    })
    .await;
    let found = fake.upstream().manifest(&name("a/b"), &tag("1")).await;
    assert_eq!(found.unwrap().unwrap().document.bytes(), &manifest());
}

#[tokio::test]
async fn a_head_tells_what_the_upstream_says() {
    let fake = Fake::start(|_| Answer::manifest(&manifest()).header("etag", "\"e\"")).await;
    let head = fake
        .upstream()
        .head(&name("a/b"), &tag("1"))
        .await
        .unwrap()
        .unwrap();
    assert_eq!(head.digest, Some(Digest::sha256(&manifest())));
    assert_eq!(head.size, Some(manifest().len() as u64));
    assert_eq!(head.etag.as_deref(), Some("\"e\""));
    assert_eq!(head.media_type.unwrap().as_str(), MediaType::OCI_MANIFEST);
}

#[tokio::test]
async fn an_unchanged_tag_costs_one_head() {
    let fake = Fake::start(
        |seen| match (seen.path.as_str(), seen.header("if-none-match")) {
            ("/v2/a/b/manifests/etag", Some("\"e\"")) => {
                Answer::new(304, "").header("etag", "\"e\"")
            }
            ("/v2/a/b/manifests/no-digest", _) => Answer::new(200, "").header("etag", "\"e\""),
            ("/v2/a/b/manifests/digest", _) => Answer::manifest(&manifest()),
            ("/v2/a/b/manifests/no-head", _) => Answer::new(405, ""),
            ("/v2/a/b/manifests/moved", _) => Answer::manifest(&Bytes::from("{}")),
            _ => Answer::not_found(),
        },
    )
    .await;
    let upstream = fake.upstream();
    let digest = Digest::sha256(&manifest());
    let check = async |tag: &str| {
        let tag = tag.parse().unwrap();
        let result = upstream
            .revalidate(&name("a/b"), &tag, &digest, Some("\"e\""))
            .await;
        result.unwrap()
    };
    let etag = Some("\"e\"".to_owned());
    assert_eq!(
        check("etag").await,
        Freshness::Unchanged { etag: etag.clone() }
    );
    assert_eq!(
        check("no-digest").await,
        Freshness::Unchanged { etag: etag.clone() }
    );
    assert_eq!(check("digest").await, Freshness::Unchanged { etag });
    assert_eq!(check("no-head").await, Freshness::Changed { digest: None });
    let moved = Some(Digest::sha256(b"{}"));
    assert_eq!(check("moved").await, Freshness::Changed { digest: moved });
    assert_eq!(check("gone").await, Freshness::Gone);
    assert_eq!(fake.seen().len(), 6);
}
