//! The laws, one row for each.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::{Algorithm, Digest};
use rstest::rstest;

use super::{Kind, Subject, bytes, digest, in_order};
use crate::content::Memory;
use crate::content::source::Opened;
use crate::content::traits::{
    Blobs as _, Content, Partition, Placing, Stage, Staging, WORTH_KEEPING,
};
use crate::{Damage, StoreError};

const LARGE: usize = 3_000_000;

async fn staged(content: &dyn Content, stage: Stage<'_>, bytes: &Bytes) -> Box<dyn Staging> {
    let mut staged = content.stage(stage);
    let middle = bytes.len() / 2;
    staged.append(vec![bytes.slice(..middle)]).await.unwrap();
    staged.append(vec![bytes.slice(middle..)]).await.unwrap();
    staged
}

async fn publish(content: &dyn Content, bytes: &Bytes) -> Digest {
    let mut staged = staged(content, Stage::Temporary, bytes).await;
    let digest = staged.digest(Algorithm::Sha256).await.unwrap();
    staged.settle().await.unwrap();
    staged.publish(&digest, Placing::default()).await.unwrap();
    digest
}

async fn open(content: &dyn Content, digest: &Digest, size: usize) -> Opened {
    content.open(digest, size as u64).await.unwrap()
}

async fn read(opened: &Opened, digest: &Digest, size: usize, start: u64, end: u64) -> Vec<u8> {
    let stream = opened.stream(digest, size as u64, start..end, &Arc::default());
    let parts: Vec<Bytes> = stream.try_collect().await.unwrap();
    parts.concat()
}

async fn published_bytes_are_read_back(content: &dyn Content) {
    let given = bytes(1, LARGE);
    let digest = publish(content, &given).await;
    assert_eq!(digest, super::digest(&given));
    let opened = open(content, &digest, LARGE).await;
    assert_eq!(read(&opened, &digest, LARGE, 0, LARGE as u64).await, given);
    assert_eq!(content.size(&digest).await.unwrap(), Some(LARGE as u64));
    assert_eq!(content.list_staged().await.unwrap(), []);
}

async fn publishing_twice_is_as_once(content: &dyn Content) {
    let given = bytes(2, 100_000);
    let digest = publish(content, &given).await;
    for replaces in [false, true] {
        let mut again = staged(content, Stage::Temporary, &given).await;
        again.settle().await.unwrap();
        let placing = Placing {
            replaces,
            reversible: false,
        };
        again.publish(&digest, placing).await.unwrap();
    }
    content.put(&digest, given.clone(), true).await.unwrap();
    let opened = open(content, &digest, given.len()).await;
    let all = read(&opened, &digest, given.len(), 0, given.len() as u64).await;
    assert_eq!(all, given);
    assert_eq!(listed(content).await, [(digest, 100_000)]);
}

async fn listed(content: &dyn Content) -> Vec<(Digest, u64)> {
    let mut found = Vec::new();
    for partition in Partition::all() {
        for listed in content.list(partition).await.unwrap() {
            let digest = listed.digest.unwrap();
            assert_eq!(digest.algorithm(), partition.algorithm);
            assert_eq!(digest.hex()[..2], format!("{:02x}", partition.first));
            assert!(
                listed
                    .modified
                    .elapsed()
                    .is_ok_and(|age| age.as_secs() < 3600)
            );
            found.push((digest, listed.size));
        }
    }
    found
}

async fn another_content_is_seen_by_its_digest(content: &dyn Content) {
    let mut staged = staged(content, Stage::Temporary, &bytes(3, 70_000)).await;
    let found = staged.digest(Algorithm::Sha256).await.unwrap();
    assert_ne!(found, digest(&bytes(4, 70_000)));
    let found = staged.digest(Algorithm::Sha512).await.unwrap();
    assert_eq!(found, Digest::of(Algorithm::Sha512, &bytes(3, 70_000)));
    staged.end().await;
    assert_eq!(listed(content).await, []);
    assert_eq!(content.list_staged().await.unwrap(), []);
}

async fn the_empty_blob_is_a_blob(content: &dyn Content) {
    let digest = publish(content, &Bytes::new()).await;
    let opened = open(content, &digest, 0).await;
    assert!(read(&opened, &digest, 0, 0, 0).await.is_empty());
    assert_eq!(listed(content).await, [(digest, 0)]);
}

async fn a_range_is_exactly_its_bytes(content: &dyn Content) {
    let given = bytes(5, LARGE);
    let digest = publish(content, &given).await;
    let opened = open(content, &digest, LARGE).await;
    let end = LARGE as u64;
    for (start, end) in [
        (0, 0),
        (0, 1),
        (end - 1, end),
        (end, end),
        (7, 1_048_577),
        (1_048_575, 1_048_577),
    ] {
        let part = read(&opened, &digest, LARGE, start, end).await;
        assert!(
            part == given[start as usize..end as usize],
            "{start}..{end}"
        );
    }
}

async fn what_is_open_is_read_to_its_end_after_a_deletion(content: &dyn Content) {
    let given = bytes(6, LARGE);
    let digest = publish(content, &given).await;
    let opened = open(content, &digest, LARGE).await;
    assert!(content.delete(&digest).await.unwrap());
    assert!(!content.delete(&digest).await.unwrap());
    assert_eq!(read(&opened, &digest, LARGE, 0, LARGE as u64).await, given);
    assert!(content.open_now(&digest, LARGE as u64).is_none());
    assert_eq!(content.size(&digest).await.unwrap(), None);
}

async fn what_is_missing_or_of_another_size_is_damaged(content: &dyn Content) {
    let digest = digest(b"never published");
    let missing = content.open(&digest, 15).await.unwrap_err();
    assert!(
        matches!(&missing, StoreError::Damaged { problem, .. } if *problem == Damage::Missing),
        "{missing}"
    );
    let digest = publish(content, &bytes(7, 70_000)).await;
    for size in [0, 69_999, 70_001] {
        let other = content.open(&digest, size).await.unwrap_err();
        assert!(
            matches!(&other, StoreError::Damaged { problem, .. } if *problem != Damage::Missing),
            "{other}"
        );
    }
}

async fn what_is_quarantined_is_found_by_nobody(content: &dyn Content) {
    let digest = publish(content, &bytes(8, 70_000)).await;
    content.quarantine(&digest).await.unwrap();
    content.quarantine(&digest).await.unwrap();
    assert_eq!(content.size(&digest).await.unwrap(), None);
    assert_eq!(listed(content).await, []);
}

async fn nothing_is_put_in_place_of_another_store(content: &dyn Content) {
    content.belongs_to("store");
    let (store, epoch) = ("another".to_owned(), 2);
    let mark = crate::content::Marker { store, epoch };
    content.mark(mark).await.unwrap();
    let given = bytes(9, 70_000);
    let digest = digest(&given);
    let absent = |error: &StoreError| matches!(error, StoreError::ContentAbsent { .. });
    let put = content.put(&digest, given.clone(), false).await;
    assert!(put.is_err_and(|error| absent(&error)));
    let mut staged = staged(content, Stage::Temporary, &given).await;
    staged.settle().await.unwrap();
    let published = staged.publish(&digest, Placing::default()).await;
    assert!(published.is_err_and(|error| absent(&error)));
    let opened = content.open(&digest, 70_000).await;
    assert!(opened.is_err_and(|error| absent(&error)));
    let checked = content.check_in_place().await;
    assert!(checked.is_err_and(|error| absent(&error)));
    assert_eq!(listed(content).await, []);
}

async fn a_given_up_fill_is_resumed_once_where_it_stood(content: &dyn Content) {
    let given = bytes(10, LARGE);
    let digest = digest(&given);
    let half = given.slice(..LARGE / 2);
    let (source, digest) = ("quay.io", &digest);
    let stage = Stage::Resumable { source, digest };
    let staged_half = staged(content, stage, &half).await;
    assert_eq!(staged_half.len(), half.len() as u64);
    staged_half.give_up().await;
    assert!(content.can_resume(source, digest));
    assert_eq!(content.list_staged().await.unwrap(), []);
    assert!(!content.can_resume("ghcr.io", digest));
    assert_eq!(
        content.resumable_bytes().get(source),
        Some(&(half.len() as u64))
    );
    let mut resumed = content.resume(source, digest).await.unwrap().unwrap();
    assert_eq!(resumed.len(), half.len() as u64);
    assert_eq!(resumed.durable(), half.len() as u64);
    assert!(content.resume(source, digest).await.unwrap().is_none());
    resumed
        .append(vec![given.slice(LARGE / 2..)])
        .await
        .unwrap();
    assert_eq!(&resumed.digest(Algorithm::Sha256).await.unwrap(), digest);
    resumed.settle().await.unwrap();
    resumed.publish(digest, Placing::default()).await.unwrap();
    assert!(!content.can_resume(source, digest));
    let opened = open(content, digest, LARGE).await;
    assert_eq!(read(&opened, digest, LARGE, 0, LARGE as u64).await, given);
}

async fn a_resumed_fill_that_is_dropped_leaves_its_durable_part(content: &dyn Content) {
    let given = bytes(11, LARGE);
    let digest = &digest(&given);
    let source = "quay.io";
    let stage = Stage::Resumable { source, digest };
    let half = given.slice(..LARGE / 2);
    staged(content, stage, &half).await.give_up().await;
    let mut resumed = content.resume(source, digest).await.unwrap().unwrap();
    resumed
        .append(vec![given.slice(LARGE / 2..)])
        .await
        .unwrap();
    drop(resumed);
    let resumed = content.resume(source, digest).await.unwrap().unwrap();
    assert_eq!(resumed.len(), half.len() as u64);
    resumed.resumption().unwrap().spoil();
    resumed.end().await;
    assert!(!content.can_resume(source, digest));
    assert_eq!(content.list_staged().await.unwrap(), []);
}

async fn little_or_spoiled_is_not_resumed(content: &dyn Content) {
    let given = bytes(12, LARGE);
    let digest = &digest(&given);
    let source = "quay.io";
    let stage = Stage::Resumable { source, digest };
    let little = usize::try_from(WORTH_KEEPING).unwrap() - 1;
    staged(content, stage, &given.slice(..little))
        .await
        .give_up()
        .await;
    assert!(!content.can_resume(source, digest));
    let spoiled = staged(content, stage, &given).await;
    spoiled.resumption().unwrap().spoil();
    spoiled.give_up().await;
    assert!(!content.can_resume(source, digest));
    staged(content, stage, &given).await.give_up().await;
    assert_eq!(
        content
            .sweep_resumable(Duration::from_hours(1))
            .await
            .unwrap(),
        0
    );
    assert_eq!(
        content.sweep_resumable(Duration::ZERO).await.unwrap(),
        LARGE as u64
    );
    assert!(!content.can_resume(source, digest));
}

async fn bytes_that_came_ahead_are_taken_in(content: &dyn Content) {
    let given = bytes(13, 300_000);
    let mut staged = content.stage(Stage::Temporary);
    let ahead = staged.bytes().await.unwrap();
    ahead.write_at(&given[100_000..200_000], 100_000).unwrap();
    staged.append(vec![given.slice(..100_000)]).await.unwrap();
    staged.absorb(200_000).await.unwrap();
    staged.append(vec![given.slice(200_000..)]).await.unwrap();
    assert_eq!(
        staged.digest(Algorithm::Sha256).await.unwrap(),
        digest(&given)
    );
    assert!(staged.absorb(300_001).await.is_err());
    let parts: Vec<Bytes> = ahead
        .stream(1..299_999, &Arc::default())
        .try_collect()
        .await
        .unwrap();
    assert!(parts.concat() == given[1..299_999]);
}

async fn a_kept_object_goes_on_after_a_drop(content: &dyn Content) {
    let given = bytes(14, 300_000);
    let (name, len) = ("upload", 0);
    let kept = staged(content, Stage::Kept { name, len }, &given.slice(..200_000)).await;
    drop(kept);
    let entry = content.staged(name).await.unwrap().unwrap();
    assert_eq!((entry.name.as_str(), entry.size), (name, 200_000));
    assert_eq!(content.list_staged().await.unwrap().len(), 1);
    let len = entry.size;
    let mut again = content.stage(Stage::Kept { name, len });
    again.append(vec![given.slice(200_000..)]).await.unwrap();
    again.rest();
    assert_eq!(
        again.digest(Algorithm::Sha256).await.unwrap(),
        digest(&given)
    );
    assert_eq!(again.read().await.unwrap(), given);
    drop(again);
    assert!(content.discard(name).await.unwrap());
    assert!(!content.discard(name).await.unwrap());
    assert_eq!(content.staged(name).await.unwrap(), None);
}

async fn a_reversible_publishing_is_undone(content: &dyn Content) {
    let given = bytes(15, 300_000);
    let digest = &digest(&given);
    let name = "upload";
    let names = HashSet::from([name.to_owned()]);
    for named in [false, true] {
        let mut kept = staged(content, Stage::Kept { name, len: 0 }, &given).await;
        kept.settle().await.unwrap();
        let placing = Placing {
            replaces: named,
            reversible: true,
        };
        kept.publish(digest, placing).await.unwrap();
        assert_eq!(content.staged(name).await.unwrap(), None);
        let interrupted = content.interrupted_publishes(names.clone()).await.unwrap();
        assert_eq!(interrupted, [(name.to_owned(), digest.clone())]);
        content.take_back(name, digest, named).await.unwrap();
        content.take_back(name, digest, named).await.unwrap();
        let interrupted = content.interrupted_publishes(names.clone()).await.unwrap();
        assert_eq!(interrupted, []);
        assert_eq!(content.staged(name).await.unwrap().unwrap().size, 300_000);
        assert_eq!(
            content.size(digest).await.unwrap(),
            named.then_some(300_000)
        );
    }
    let mut kept = content.stage(Stage::Kept { name, len: 300_000 });
    kept.settle().await.unwrap();
    let placing = Placing {
        replaces: true,
        reversible: true,
    };
    kept.publish(digest, placing).await.unwrap();
    content.keep_published(name).await.unwrap();
    assert_eq!(content.interrupted_publishes(names).await.unwrap(), []);
    assert_eq!(content.size(digest).await.unwrap(), Some(300_000));
    assert_eq!(content.list_staged().await.unwrap(), []);
}

#[rstest]
fn laws(#[values(Kind::Files, Kind::Memory)] kind: Kind) {
    macro_rules! each {
        ($($law:ident),* $(,)?) => {$(
            in_order().block_on(async {
                let subject = Subject::new(kind).await;
                let law = tokio::time::timeout(Duration::from_secs(120), $law(&*subject.content));
                assert!(law.await.is_ok(), "{} does not end", stringify!($law));
            });
        )*};
    }
    each!(
        published_bytes_are_read_back,
        publishing_twice_is_as_once,
        another_content_is_seen_by_its_digest,
        the_empty_blob_is_a_blob,
        a_range_is_exactly_its_bytes,
        what_is_open_is_read_to_its_end_after_a_deletion,
        what_is_missing_or_of_another_size_is_damaged,
        what_is_quarantined_is_found_by_nobody,
        nothing_is_put_in_place_of_another_store,
        a_given_up_fill_is_resumed_once_where_it_stood,
        a_resumed_fill_that_is_dropped_leaves_its_durable_part,
        little_or_spoiled_is_not_resumed,
        bytes_that_came_ahead_are_taken_in,
        a_kept_object_goes_on_after_a_drop,
        a_reversible_publishing_is_undone,
    );
}

#[tokio::test]
async fn a_redirect_is_told_and_never_read_as_bytes() {
    let content = Memory::redirecting("https://objects.example");
    let given = bytes(16, 70_000);
    let digest = digest(&given);
    content.put(&digest, given, false).await.unwrap();
    let mut opened = content.open(&digest, 70_000).await.unwrap();
    let Opened::Redirect(url) = &opened else {
        panic!("{opened:?}");
    };
    assert_eq!(*url, format!("https://objects.example/{digest}"));
    assert!(!opened.trusted());
    assert!(opened.verify(&digest, 70_000).await.is_err());
    let mut stream = opened.stream(&digest, 70_000, 0..70_000, &Arc::default());
    let error = stream.try_next().await.unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::Unsupported);
}
