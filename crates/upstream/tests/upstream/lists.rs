//! Tags and referrers, page by page.

use metahub_oci::{Digest, MediaType};
use metahub_upstream::Problem;

use crate::fake::*;

#[tokio::test]
async fn all_pages_of_tags_are_read() {
    let fake = Fake::start(|seen| match seen.query.as_str() {
        "" => Answer::new(200, r#"{"name":"a/b","tags":["1","2","not a tag"]}"#)
            .header("link", r#"</v2/a/b/tags/list?last=2&n=2>; rel="next""#),
        "last=2&n=2" => Answer::new(200, r#"{"name":"a/b","tags":["3"]}"#),
        other => panic!("{other}"),
    })
    .await;
    let tags = fake.upstream().tags(&name("a/b")).await.unwrap().unwrap();
    let tags: Vec<_> = tags.iter().map(|tag| tag.as_str()).collect();
    assert_eq!(tags, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_repository_without_tags_has_an_empty_list() {
    let fake = Fake::start(|_| Answer::new(200, r#"{"name":"a/b","tags":null}"#)).await;
    let tags = fake.upstream().tags(&name("a/b")).await.unwrap();
    assert_eq!(tags, Some(vec![]));
}

#[tokio::test]
async fn a_list_in_a_circle_ends_and_one_that_leads_elsewhere_is_refused() {
    let fake = Fake::start(|_| {
        Answer::new(200, r#"{"tags":["1"]}"#).header("link", r#"</v2/a/b/tags/list>; rel=next"#)
    })
    .await;
    let tags = fake.upstream().tags(&name("a/b")).await.unwrap();
    assert_eq!(tags.unwrap().len(), 1);

    let fake = Fake::start(|_| {
        Answer::new(200, r#"{"tags":["1"]}"#).header("link", "<http://example.org/x>; rel=next")
    })
    .await;
    let error = fake.upstream().tags(&name("a/b")).await.unwrap_err();
    assert!(matches!(error.problem(), Problem::Refused(_)), "{error}");
}

#[tokio::test]
async fn a_list_that_is_none_is_a_clear_error() {
    let fake =
        Fake::start(|_| Answer::new(200, "<html>").header("content-type", "text/html")).await;
    let error = fake.upstream().tags(&name("a/b")).await.unwrap_err();
    assert!(error.to_string().contains("text/html"), "{error}");
}

fn index(count: usize) -> String {
    let entry = format!(
        r#"{{"mediaType":"{}","digest":"{}","size":2,"artifactType":"application/sig","annotations":{{"k":"v"}}}}"#,
        MediaType::OCI_MANIFEST,
        Digest::sha256(b"{}"),
    );
    let entries = vec![entry; count].join(",");
    let media_type = MediaType::OCI_INDEX;
    format!(r#"{{"schemaVersion":2,"mediaType":"{media_type}","manifests":[{entries}]}}"#)
}

#[tokio::test]
async fn referrers_come_by_the_api() {
    let fake = Fake::start(|seen| match seen.query.as_str() {
        "" => Answer::new(200, index(2))
            .header("content-type", MediaType::OCI_INDEX)
            .header("link", r#"<?page=2>; rel="next""#),
        _ => Answer::new(200, index(1)).header("content-type", MediaType::OCI_INDEX),
    })
    .await;
    let digest = Digest::sha256(b"subject");
    let found = fake
        .upstream()
        .referrers(&name("a/b"), &digest)
        .await
        .unwrap();
    assert_eq!(found.descriptors.len(), 3);
    assert_eq!(found.descriptors[0].annotation("k"), Some("v"));
    assert!(!found.refused);
    assert_eq!(fake.seen()[0].path, format!("/v2/a/b/referrers/{digest}"));
}

#[tokio::test]
async fn referrers_come_by_the_tag_schema_where_there_is_no_api() {
    let digest = Digest::sha256(b"subject");
    let fallback = format!("/v2/a/b/manifests/sha256-{}", digest.hex());
    for (status, body) in [(404, ""), (405, ""), (200, "<html>")] {
        let fallback = fallback.clone();
        let fake = Fake::start(move |seen| {
            if seen.path == fallback {
                Answer::new(200, index(2)).header("content-type", MediaType::OCI_INDEX)
            } else {
                Answer::new(status, body)
            }
        })
        .await;
        let found = fake
            .upstream()
            .referrers(&name("a/b"), &digest)
            .await
            .unwrap();
        assert_eq!(found.descriptors.len(), 2, "{status}");
        assert_eq!(found.refused, status == 405, "{status}");
    }
    let nothing = Fake::start(|_| Answer::not_found()).await;
    let found = nothing
        .upstream()
        .referrers(&name("a/b"), &digest)
        .await
        .unwrap();
    assert!(found.descriptors.is_empty() && !found.refused);
}

#[tokio::test]
async fn referrers_of_an_upstream_that_fails_are_an_error() {
    let fake = Fake::start(|_| Answer::new(500, "")).await;
    let digest = Digest::sha256(b"subject");
    let result = fake.upstream().referrers(&name("a/b"), &digest).await;
    assert!(result.is_err());
}
