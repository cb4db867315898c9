//! Documents: what is refused, and that rewriting loses nothing.

#![allow(clippy::unwrap_used, reason = "tests assert by panicking")]

use bytes::Bytes;
use metahub_oci::{Descriptor, Digest, Document, DocumentError, Index, MediaType};

const EMPTY: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

fn parse(text: &str, content_type: Option<&str>) -> Result<Document, DocumentError> {
    let content_type = content_type.map(|t| t.parse().unwrap());
    Document::parse(Bytes::from(text.to_owned()), content_type.as_ref())
}

#[test]
fn ambiguous_or_malformed_documents_are_refused() {
    let index = MediaType::OCI_INDEX;
    let manifest = MediaType::OCI_MANIFEST;
    for (text, content_type, expected) in [
        ("", Some(index), "not valid"),
        ("<html>", Some(manifest), "not valid"),
        ("[]", Some(index), "not a list"),
        (r#"{"schemaVersion":2}"#, None, "needs a media type"),
        (
            r#"{"schemaVersion":2}"#,
            Some("text/html"),
            "unsupported manifest media type",
        ),
        (
            r#"{"schemaVersion":2}"#,
            Some(index),
            "'manifests' is missing",
        ),
        (
            r#"{"schemaVersion":2}"#,
            Some(manifest),
            "'config' is missing",
        ),
        ("{}", Some(index), "expected 2"),
        (r#"{"schemaVersion":1}"#, Some(manifest), "expected 2"),
        (
            r#"{"schemaVersion":2,"manifests":[],"layers":[]}"#,
            Some(index),
            "not both",
        ),
        (
            r#"{"schemaVersion":2,"manifests":[],"config":{}}"#,
            Some(index),
            "not both",
        ),
        (
            r#"{"schemaVersion":2,"manifests":{}}"#,
            Some(index),
            "list of descriptors",
        ),
        (
            r#"{"schemaVersion":2,"manifests":[{"digest":"x"}]}"#,
            Some(index),
            "manifests[0]",
        ),
        (
            r#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.manifest.v1+json","manifests":[]}"#,
            Some(index),
            "they must agree",
        ),
    ] {
        let error = parse(text, content_type).unwrap_err().to_string();
        assert!(error.contains(expected), "{text}: {error}");
    }
    let large = " ".repeat(metahub_oci::MAX_MANIFEST_BYTES + 1);
    assert!(matches!(
        parse(&large, Some(index)),
        Err(DocumentError::TooLarge(_))
    ));
}

#[test]
fn deeply_nested_json_is_an_error_and_not_a_crash() {
    let text = "[".repeat(100_000);
    assert!(matches!(
        parse(&text, Some(MediaType::OCI_INDEX)),
        Err(DocumentError::NotJson(_))
    ));
}

#[test]
fn rewriting_an_index_keeps_unknown_fields_and_their_order() {
    let text = format!(
        r#"{{"x-first":1,"schemaVersion":2,"mediaType":"{}","manifests":[{{"mediaType":"{}","digest":"{EMPTY}","size":0,"x-kept":true,"platform":{{"os":"linux","architecture":"amd64","os.version":"1"}}}}],"z":{{"b":1,"a":2}}}}"#,
        MediaType::OCI_INDEX,
        MediaType::OCI_MANIFEST
    );
    let Document::Index(index) = parse(&text, None).unwrap() else {
        panic!("an index")
    };
    let again = Document::from(index.with_manifests(index.manifests().to_vec()));
    assert_eq!(again.bytes(), text.as_bytes());
    assert_eq!(again.digest(), index.digest());
    assert_eq!(
        index.manifests()[0]
            .platform()
            .unwrap()
            .os_version
            .as_deref(),
        Some("1")
    );
}

#[test]
fn replacing_content_drops_the_embedded_copy_of_the_old() {
    let old = Descriptor::from_json(&serde_json::json!({
        "mediaType": "a/b", "digest": EMPTY, "size": 0, "data": "", "annotations": {"k": "v"}
    }))
    .unwrap();
    let new = old.with_content("c/d".parse().unwrap(), Digest::sha256(b"x"), 1);
    assert!(!new.as_json().contains_key("data"));
    assert_eq!(new.annotation("k"), Some("v"));
    assert_eq!(new.size(), 1);
}

#[test]
fn a_new_index_parses_as_itself() {
    let index = Index::new(Vec::new());
    let document = Document::from(index);
    let parsed = Document::parse(document.bytes().clone(), None).unwrap();
    assert_eq!(parsed.digest(), document.digest());
}
