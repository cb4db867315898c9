//! Manifests, tags, lists and referrers, through the store's public face.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use metahub_oci::{Digest, RepositoryName, Tag};
use metahub_store::{Deletion, DerivedOutcome, Origin, PutError, PutManifest, Store};
use rstest::rstest;
use support::{Kind, artifact, image, index, name, put, read, tag};

async fn whole(store: &Store, repository: &RepositoryName, digest: &Digest) -> Vec<u8> {
    read(store, repository, digest).await.unwrap().unwrap()
}

#[rstest]
#[tokio::test]
async fn a_derived_manifest_brings_the_blobs_of_the_repositories_it_was_made_from(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
    let (base, layer, derived) = (
        name("qnib/featuretest"),
        name("qnib/layer-awscli"),
        name("c"),
    );
    put(&store, &base, b"{}").await;
    put(&store, &layer, b"aws").await;
    let unrelated = put(&store, &layer, b"unrelated").await;
    let document = image(b"{}", &[b"aws"]);
    let options = PutManifest {
        mount_from: vec![base.clone(), layer.clone()],
        require_references: true,
        ..PutManifest::derived(["docker.io/qnib/featuretest:latest"])
    };
    store
        .put_manifest(&derived, &document, options)
        .await
        .unwrap();
    assert_eq!(
        whole(&store, &derived, &Digest::sha256(b"aws")).await,
        b"aws"
    );
    assert!(store.blob(&derived, &unrelated).await.unwrap().is_none());
    let key = Digest::sha256(b"inputs");
    let outcome = DerivedOutcome {
        key: key.clone(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        served: document.digest().clone(),
        bytes: 100,
    };
    store.put_outcome(&derived, outcome).await.unwrap();
    let found = store.derived(&key).await.unwrap().unwrap();
    assert_eq!(
        (&found.repository, &found.digest),
        (&derived, document.digest())
    );
    assert!(
        store
            .delete_manifest(&derived, document.digest())
            .await
            .unwrap()
    );
    assert!(store.derived(&key).await.unwrap().is_none());
}

#[rstest]
#[tokio::test]
async fn a_tag_moves_and_goes_with_its_manifest(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    let store = kind.temporary().await;
    let repository = name("a/b");
    put(&store, &repository, b"{}").await;
    put(&store, &repository, b"one").await;
    let (first, second) = (image(b"{}", &[]), image(b"{}", &[b"one"]));
    let latest = tag("latest");
    for document in [&first, &second] {
        let options = PutManifest::pushed(vec![latest.clone(), tag("other")]);
        store
            .put_manifest(&repository, document, options)
            .await
            .unwrap();
        let record = store.tag(&repository, &latest).await.unwrap().unwrap();
        assert_eq!(&record.digest, document.digest());
        assert_eq!(record.origin, Origin::Pushed);
        let stored = store
            .manifest(&repository, document.digest())
            .await
            .unwrap()
            .unwrap();
        assert_eq!(&stored.bytes, document.bytes());
        assert_eq!(&stored.media_type, document.media_type());
    }
    let fixed = PutManifest {
        fixed: vec![latest.clone()],
        ..PutManifest::pushed(vec![latest.clone()])
    };
    let refused = store.put_manifest(&repository, &first, fixed.clone()).await;
    assert!(matches!(refused, Err(PutError::TagExists { .. })));
    store
        .put_manifest(&repository, &second, fixed)
        .await
        .unwrap();
    assert!(store.delete_tag(&repository, &tag("other")).await.unwrap());
    assert!(
        store
            .tag(&repository, &tag("other"))
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .delete_manifest(&repository, second.digest())
            .await
            .unwrap()
    );
    assert!(
        !store
            .delete_manifest(&repository, second.digest())
            .await
            .unwrap()
    );
    assert!(store.tag(&repository, &latest).await.unwrap().is_none());
    assert!(
        store
            .manifest(&repository, second.digest())
            .await
            .unwrap()
            .is_none()
    );
    assert!(
        store
            .manifest(&repository, first.digest())
            .await
            .unwrap()
            .is_some()
    );
    assert!(
        store
            .manifest(&name("c"), first.digest())
            .await
            .unwrap()
            .is_none()
    );
}

#[rstest]
#[tokio::test]
async fn what_a_tag_that_stays_needs_is_not_deleted_and_what_it_does_not_need_is(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
    let repository = name("a/b");
    let config = put(&store, &repository, b"{}").await;
    let layer = put(&store, &repository, b"one").await;
    let other = put(&store, &repository, b"two").await;
    let (child, alone) = (image(b"{}", &[b"one"]), image(b"{}", &[b"two"]));
    let (whole, about) = (index(&[&child]), artifact(&child, "text/x"));
    let stays = |tag: &Tag| tag.as_str() == "v1";
    for (document, tags) in [
        (&child, vec![]),
        (&alone, vec![tag("latest")]),
        (&about, vec![tag("about")]),
        (&whole, vec![tag("v1"), tag("latest2")]),
    ] {
        let options = PutManifest::pushed(tags);
        let stored = store.put_manifest(&repository, document, options).await;
        stored.unwrap();
    }
    let kept = Deletion::Needed(tag("v1"));
    for document in [&whole, &child] {
        let digest = document.digest();
        let deletion = store
            .delete_manifest_unless(&repository, digest, stays)
            .await;
        assert_eq!(deletion.unwrap(), kept);
        assert!(store.manifest(&repository, digest).await.unwrap().is_some());
    }
    for blob in [&config, &layer] {
        let deletion = store.delete_blob_unless(&repository, blob, stays).await;
        assert_eq!(deletion.unwrap(), kept);
        assert!(store.blob(&repository, blob).await.unwrap().is_some());
    }
    // Another repository's tags say nothing about this one's content.
    let elsewhere = name("c");
    put(&store, &elsewhere, b"one").await;
    let deletion = store.delete_blob_unless(&elsewhere, &layer, stays).await;
    assert_eq!(deletion.unwrap(), Deletion::Done);

    for document in [&about, &alone] {
        let digest = document.digest();
        let deletion = store
            .delete_manifest_unless(&repository, digest, stays)
            .await;
        assert_eq!(deletion.unwrap(), Deletion::Done);
        assert!(store.manifest(&repository, digest).await.unwrap().is_none());
        let deletion = store
            .delete_manifest_unless(&repository, digest, stays)
            .await;
        assert_eq!(deletion.unwrap(), Deletion::Absent);
    }
    for expected in [Deletion::Done, Deletion::Absent] {
        let deletion = store.delete_blob_unless(&repository, &other, stays).await;
        assert_eq!(deletion.unwrap(), expected);
    }
}

#[rstest]
#[tokio::test]
async fn lists_come_in_pages_in_order(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    let store = kind.temporary().await;
    let document = image(b"{}", &[]);
    let tags: Vec<Tag> = ["Z", "a", "a1", "b", "z"].map(tag).to_vec();
    for repository in ["b", "a/a", "c"].map(name) {
        put(&store, &repository, b"{}").await;
        let options = PutManifest::pushed(tags.clone());
        store
            .put_manifest(&repository, &document, options)
            .await
            .unwrap();
    }
    put(&store, &name("holds/no/manifest"), b"{}").await;
    let page = store.repositories(None, 2).await.unwrap();
    assert_eq!(
        (page.items, page.more),
        (vec![name("a/a"), name("b")], true)
    );
    let page = store.repositories(Some("b"), 2).await.unwrap();
    assert_eq!((page.items, page.more), (vec![name("c")], false));
    let page = store.tags(&name("b"), Some("a"), 2).await.unwrap();
    assert_eq!((page.items, page.more), (vec![tag("a1"), tag("b")], true));
    let page = store.tags(&name("b"), Some("a"), 0).await.unwrap();
    assert_eq!((page.items, page.more), (vec![], true));
    let page = store.tags(&name("nobody"), None, 2).await.unwrap();
    assert_eq!((page.items, page.more), (vec![], false));
}

#[rstest]
#[tokio::test]
async fn referrers_are_found_by_subject_and_type(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    let store = kind.temporary().await;
    let repository = name("a");
    put(&store, &repository, b"{}").await;
    // The subject itself need not be there.
    let subject = image(b"{}", &[b"absent"]);
    let (sbom, signature) = (artifact(&subject, "a/sbom"), artifact(&subject, "a/sig"));
    for document in [&sbom, &signature] {
        let options = PutManifest::pushed(vec![]);
        store
            .put_manifest(&repository, document, options)
            .await
            .unwrap();
    }
    let all = store
        .referrers(&repository, subject.digest(), None, None, 10)
        .await
        .unwrap();
    assert_eq!(all.items.len(), 2);
    let found = store
        .referrers(&repository, subject.digest(), Some("a/sig"), None, 10)
        .await
        .unwrap();
    let descriptor = &found.items[0];
    assert_eq!(descriptor["digest"], signature.digest().as_str());
    assert_eq!(descriptor["artifactType"], "a/sig");
    assert_eq!(descriptor["annotations"]["a"], "b");
    let first = store
        .referrers(&repository, subject.digest(), None, None, 1)
        .await
        .unwrap();
    assert!(first.more);
    let last: Digest = first.items[0]["digest"].as_str().unwrap().parse().unwrap();
    let second = store
        .referrers(&repository, subject.digest(), None, Some(&last), 1)
        .await
        .unwrap();
    assert_eq!((second.items.len(), second.more), (1, false));
    let elsewhere = store
        .referrers(&name("b"), subject.digest(), None, None, 10)
        .await
        .unwrap();
    assert!(elsewhere.items.is_empty());
}
