//! The store's main paths, through its public face.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use metahub_oci::{Algorithm, Digest, RepositoryName, Tag};
use metahub_store::{
    AppendError, Deletion, FillError, FinishError, Mode, Origin, PutBlobError, PutError,
    PutManifest, Redacted, Store,
};
use support::{artifact, chunks, image, index, name, put, read, tag};

async fn whole(store: &Store, repository: &RepositoryName, digest: &Digest) -> Vec<u8> {
    read(store, repository, digest).await.unwrap().unwrap()
}

#[tokio::test]
async fn a_chunked_upload_gives_the_same_bytes_back() {
    let store = Store::temporary().await.unwrap();
    let content: Vec<u8> = (0..3_000_000u32).map(|i| (i * 7 % 251) as u8).collect();
    let repository = name("qnib/featuretest");
    for algorithm in [Algorithm::Sha256, Algorithm::Sha512] {
        let id = store.start_upload(&repository).await.unwrap();
        assert!(store.upload(&name("other"), &id).await.unwrap().is_none());
        let upload = store.upload(&repository, &id).await.unwrap().unwrap();
        let (first, second) = content.split_at(1_000_001);
        let size = upload.append(Some(0), chunks(first, 10_000)).await.unwrap();
        assert_eq!(size, 1_000_001);
        let wrong = upload.append(Some(5), chunks(second, 10_000)).await;
        assert!(matches!(
            wrong,
            Err(AppendError::WrongOffset {
                size: 1_000_001,
                start: 5
            })
        ));
        upload
            .append(Some(size), chunks(second, 70_000))
            .await
            .unwrap();
        let digest = Digest::of(algorithm, &content);
        let blob = upload.finish(&digest).await.unwrap();
        assert_eq!(blob.size(), 3_000_000);
        assert_eq!(whole(&store, &repository, &digest).await, content);
        let over = upload.append(None, chunks(b"x", 1)).await;
        assert!(matches!(over, Err(AppendError::Gone)));
        assert!(store.upload(&repository, &id).await.unwrap().is_none());
    }
    assert_eq!(
        std::fs::read_dir(store.folder().join("staging"))
            .unwrap()
            .count(),
        0
    );
}

#[tokio::test]
async fn content_that_is_not_its_digests_is_refused_and_leaves_nothing() {
    let store = Store::temporary().await.unwrap();
    let repository = name("a");
    let other = Digest::sha256(b"other");
    let put = store
        .put_blob(&repository, &other, Bytes::from_static(b"x"))
        .await;
    assert!(matches!(put, Err(PutBlobError::Mismatch { .. })));
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    upload.append(None, chunks(b"x", 1)).await.unwrap();
    let finished = upload.finish(&other).await;
    assert!(matches!(finished, Err(FinishError::Mismatch { .. })));
    let mut fill = store.fill(&other, Some(5));
    fill.write(Bytes::from_static(b"xxxxx")).await.unwrap();
    let filled = fill.commit(Some(&repository)).await;
    assert!(matches!(filled, Err(FillError::Mismatch { .. })));
    let fill = store.fill(&other, Some(5));
    let short = fill.commit(Some(&repository)).await;
    assert!(matches!(
        short,
        Err(FillError::WrongSize {
            expected: 5,
            found: 0
        })
    ));
    assert!(store.blob_anywhere(&other).await.unwrap().is_none());
}

#[tokio::test]
async fn an_upload_that_broke_off_goes_on_after_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let repository = name("a");
    let content = vec![7; 2_000_000];
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    let broken = chunks(&content[..1_500_000], 1000)
        .map_err(|never| match never {})
        .chain(stream::once(async { Err(std::io::Error::other("gone")) }));
    assert!(matches!(
        upload.append(None, broken).await,
        Err(AppendError::Stream(_))
    ));
    assert_eq!(upload.size(), 1_500_000);
    drop(upload);
    store.close().await;
    drop(store);
    let store = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    assert_eq!(upload.size(), 1_500_000);
    upload
        .append(Some(1_500_000), chunks(&content[1_500_000..], 1000))
        .await
        .unwrap();
    upload.finish(&Digest::sha256(&content)).await.unwrap();
}

#[tokio::test]
async fn an_empty_upload_is_the_empty_blob() {
    let store = Store::temporary().await.unwrap();
    let repository = name("a");
    let id = store.start_upload(&repository).await.unwrap();
    let upload = store.upload(&repository, &id).await.unwrap().unwrap();
    upload.finish(&Digest::sha256(b"")).await.unwrap();
    assert!(
        whole(&store, &repository, &Digest::sha256(b""))
            .await
            .is_empty()
    );
}

#[tokio::test]
async fn knowing_a_digest_opens_nothing() {
    let store = Store::temporary().await.unwrap();
    let (private, mine) = (name("private/a"), name("mine/a"));
    let secret = put(&store, &private, b"secret").await;
    let config = put(&store, &mine, b"{}").await;
    assert!(store.blob(&mine, &secret).await.unwrap().is_none());
    let stolen = image(b"{}", &[b"secret"]);
    let refused = store
        .put_manifest(&mine, &stolen, PutManifest::pushed(vec![tag("x")]))
        .await;
    let Err(PutError::Missing { blobs, manifests }) = refused else {
        panic!("{refused:?}");
    };
    assert_eq!((blobs, manifests), (vec![secret.clone()], vec![]));
    assert!(!store.has_repository(&name("nobody")).await.unwrap());
    assert!(store.tag(&mine, &tag("x")).await.unwrap().is_none());
    // Not even a manifest that is stored without its blobs lets anybody read them.
    let sparse = PutManifest::upstream(vec![], "evil.example/a:1");
    store.put_manifest(&mine, &stolen, sparse).await.unwrap();
    assert!(store.blob(&mine, &secret).await.unwrap().is_none());
    assert_eq!(
        store.sources_of_blob(&mine, &secret).await.unwrap(),
        ["evil.example/a:1"]
    );
    assert!(!store.mount(&name("nobody"), &mine, &secret).await.unwrap());
    assert!(store.mount(&private, &mine, &secret).await.unwrap());
    assert_eq!(whole(&store, &mine, &secret).await, b"secret");
    assert!(store.delete_blob(&mine, &secret).await.unwrap());
    assert!(!store.delete_blob(&mine, &secret).await.unwrap());
    assert!(store.blob(&mine, &secret).await.unwrap().is_none());
    assert!(store.blob(&private, &secret).await.unwrap().is_some());
    assert!(store.blob(&mine, &config).await.unwrap().is_some());
}

#[tokio::test]
async fn a_derived_manifest_brings_the_blobs_of_the_repositories_it_was_made_from() {
    let store = Store::temporary().await.unwrap();
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
    assert!(
        store
            .put_derived(&key, &derived, document.digest(), 100)
            .await
            .unwrap()
    );
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

#[tokio::test]
async fn a_tag_moves_and_goes_with_its_manifest() {
    let store = Store::temporary().await.unwrap();
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

#[tokio::test]
async fn what_a_tag_that_stays_needs_is_not_deleted_and_what_it_does_not_need_is() {
    let store = Store::temporary().await.unwrap();
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

#[tokio::test]
async fn lists_come_in_pages_in_order() {
    let store = Store::temporary().await.unwrap();
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

#[tokio::test]
async fn referrers_are_found_by_subject_and_type() {
    let store = Store::temporary().await.unwrap();
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

#[tokio::test]
async fn followers_read_a_fill_while_it_comes_but_get_its_end_only_when_it_is_right() {
    let store = Store::temporary().await.unwrap();
    let content: Vec<u8> = (0..2_000_000u32).map(|i| (i % 253) as u8).collect();
    for good in [true, false] {
        let digest = if good {
            Digest::sha256(&content)
        } else {
            Digest::sha256(b"something else")
        };
        let mut fill = store.fill(&digest, Some(content.len() as u64));
        let all = tokio::spawn(
            fill.follower()
                .unwrap()
                .stream(0..u64::MAX)
                .try_collect::<Vec<_>>(),
        );
        let some = tokio::spawn(
            fill.follower()
                .unwrap()
                .stream(10..500)
                .try_collect::<Vec<_>>(),
        );
        for part in content.chunks(100_000) {
            fill.write(Bytes::copy_from_slice(part)).await.unwrap();
        }
        // A range that has come is readable before the rest is.
        assert_eq!(some.await.unwrap().unwrap().concat(), content[10..500]);
        let committed = fill.commit(Some(&name("a"))).await;
        assert_eq!(committed.is_ok(), good);
        let read = all.await.unwrap();
        if good {
            assert_eq!(read.unwrap().concat(), content);
        } else {
            assert!(read.is_err());
        }
    }
}

#[tokio::test]
async fn accounts_are_shared_with_a_process_beside() {
    let folder = tempfile::tempdir().unwrap();
    let serving = Store::open(folder.path(), Mode::Serve).await.unwrap();
    let beside = Store::open(folder.path(), Mode::Beside).await.unwrap();
    let hash = || Redacted::new("hash".to_owned());
    assert!(beside.add_account("alice", "pusher", hash()).await.unwrap());
    assert!(!beside.add_account("alice", "admin", hash()).await.unwrap());
    let alice = serving.account("alice").await.unwrap().unwrap();
    assert_eq!(alice.role, "pusher");
    assert!(!format!("{alice:?}").contains("hash\""));
    assert!(
        serving
            .set_password("alice", Redacted::new("new".into()))
            .await
            .unwrap()
    );
    assert!(serving.set_role("alice", "admin").await.unwrap());
    let alice = beside.account("alice").await.unwrap().unwrap();
    assert_eq!(alice.password_hash.expose(), "new");
    assert_eq!(beside.accounts().await.unwrap(), [alice]);
    assert_eq!(
        serving.secret("token").await.unwrap(),
        beside.secret("token").await.unwrap()
    );
    assert!(serving.remove_account("alice").await.unwrap());
    assert!(!serving.remove_account("alice").await.unwrap());
    let second = Store::open(folder.path(), Mode::Serve).await;
    assert!(
        second
            .unwrap_err()
            .to_string()
            .contains("in use by another")
    );
}

#[tokio::test]
async fn a_range_that_came_ahead_becomes_part_of_the_fill_and_is_read_before_it() {
    let store = Store::temporary().await.unwrap();
    let repository = name("a");
    let content: Vec<u8> = (0..=250_u8).cycle().take(12_000_000).collect();
    let whole = Bytes::from(content);
    let digest = Digest::sha256(&whole);
    let size = whole.len() as u64;
    let mut fill = store.fill(&digest, Some(size));
    let follower = fill.follower().unwrap();
    assert!(follower.claim(1_000..2_000, 4).is_none(), "it is not far");
    let mut broken = follower.claim(6_000_000..9_000_000, 4).unwrap();
    assert!(
        follower.claim(7_000_000..8_000_000, 4).is_none(),
        "it comes"
    );
    let mut behind = follower.claim(7_000_000..9_500_000, 4).unwrap();
    assert_eq!(behind.range(), 9_000_000..9_500_000);
    behind
        .write(whole.slice(9_000_000..9_500_000))
        .await
        .unwrap();
    drop(behind);
    let mut tail = follower.claim(11_000_000..u64::MAX, 4).unwrap();
    assert!(
        follower.claim(10_000_000..10_500_000, 2).is_none(),
        "two are under way"
    );
    broken
        .write(whole.slice(6_000_000..7_000_000))
        .await
        .unwrap();
    let read: Vec<Bytes> = follower
        .stream(6_100_000..6_900_000)
        .try_collect()
        .await
        .unwrap();
    assert_eq!(read.concat(), whole[6_100_000..6_900_000]);
    // Up to a range that is still under way everything is read.
    let begin = async {
        let read: Vec<Bytes> = follower.stream(0..6_000_000).try_collect().await.unwrap();
        assert_eq!(read.concat(), whole[..6_000_000]);
        drop(broken);
    };
    let (written, ()) = tokio::join!(fill.write_at(0, whole.slice(..6_500_000)), begin);
    written.unwrap();
    assert!(
        tail.write(whole.slice(..2_000_000)).await.is_err(),
        "too much"
    );
    tail.write(whole.slice(11_000_000..)).await.unwrap();
    drop(tail);
    assert_eq!(fill.received(), 7_000_000);
    fill.write_at(6_500_000, whole.slice(6_500_000..11_000_000))
        .await
        .unwrap();
    let blob = fill.commit(Some(&repository)).await.unwrap();
    assert_eq!(blob.size(), size);
    assert_eq!(blob.read(size).await.unwrap(), whole);
}

#[tokio::test]
async fn a_range_with_other_bytes_spoils_the_fill() {
    let store = Store::temporary().await.unwrap();
    let whole = Bytes::from(vec![1; 6_000_000]);
    let digest = Digest::sha256(&whole);
    let mut fill = store.fill(&digest, Some(6_000_000));
    let mut tail = fill
        .follower()
        .unwrap()
        .claim(5_000_000..6_000_000, 1)
        .unwrap();
    tail.write(Bytes::from(vec![2; 1_000_000])).await.unwrap();
    drop(tail);
    fill.write_at(0, whole).await.unwrap();
    let filled = fill.commit(None).await;
    assert!(matches!(filled, Err(FillError::Mismatch { .. })));
    assert!(store.blob_anywhere(&digest).await.unwrap().is_none());
}

#[tokio::test]
async fn after_a_range_that_brought_nothing_none_is_tried_again() {
    let store = Store::temporary().await.unwrap();
    let fill = store.fill(&Digest::sha256(b"x"), Some(60_000_000));
    let follower = fill.follower().unwrap();
    drop(follower.claim(20_000_000..21_000_000, 4).unwrap());
    assert!(follower.claim(30_000_000..31_000_000, 4).is_none());
}
