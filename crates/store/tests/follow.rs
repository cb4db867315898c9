//! Content that is received from elsewhere: following it, and parts that come ahead.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod support;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::Digest;
use metahub_store::FillError;
use rstest::rstest;
use support::{Kind, name};

#[rstest]
#[tokio::test]
async fn followers_read_a_fill_while_it_comes_but_get_its_end_only_when_it_is_right(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
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

#[rstest]
#[tokio::test]
async fn a_range_that_came_ahead_becomes_part_of_the_fill_and_is_read_before_it(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
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

#[rstest]
#[tokio::test]
async fn a_range_with_other_bytes_spoils_the_fill(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    let store = kind.temporary().await;
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

#[rstest]
#[tokio::test]
async fn after_a_range_that_brought_nothing_none_is_tried_again(
    #[values(Kind::Files, Kind::Memory)] kind: Kind,
) {
    let store = kind.temporary().await;
    let fill = store.fill(&Digest::sha256(b"x"), Some(60_000_000));
    let follower = fill.follower().unwrap();
    drop(follower.claim(20_000_000..21_000_000, 4).unwrap());
    assert!(follower.claim(30_000_000..31_000_000, 4).is_none());
}
