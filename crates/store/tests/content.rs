//! Blobs and uploads, through the store's public face, with content in files and in memory.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use bytes::Bytes;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use metahub_oci::{Algorithm, Digest, RepositoryName};
use metahub_store::{
    AppendError, FillError, FinishError, Mode, PutBlobError, PutError, PutManifest, Store,
};
use rstest::rstest;
use support::{Kind, chunks, image, name, put, read, tag};

async fn whole(store: &Store, repository: &RepositoryName, digest: &Digest) -> Vec<u8> {
    read(store, repository, digest).await.unwrap().unwrap()
}

#[rstest]
#[tokio::test]
async fn a_chunked_upload_gives_the_same_bytes_back(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
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

#[rstest]
#[tokio::test]
async fn content_that_is_not_its_digests_is_refused_and_leaves_nothing(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
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

#[rstest]
#[tokio::test]
async fn an_empty_upload_is_the_empty_blob(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    let store = kind.temporary().await;
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

#[rstest]
#[tokio::test]
async fn knowing_a_digest_opens_nothing(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    let store = kind.temporary().await;
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
