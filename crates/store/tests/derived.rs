//! Records of derived content are a bounded cache; what was used least recently goes, with what was
//! made for it alone.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

use std::time::{Duration, SystemTime};

use metahub_oci::{Descriptor, Digest, Document, Index, Manifest, MediaType, RepositoryName, Tag};
use metahub_store::{DerivedOutcome, GcOptions, Origin, PutManifest, Store, TagRecord, Use};

const NOW: GcOptions = GcOptions {
    grace: Duration::ZERO,
    dry_run: false,
};

fn name(text: &str) -> RepositoryName {
    text.parse().unwrap()
}

/// An image whose configuration is `config`, and which was made from the image `source`.
async fn child(store: &Store, repository: &RepositoryName, config: &str) -> Document {
    let bytes = config.as_bytes().to_vec();
    let digest = Digest::sha256(&bytes);
    let size = bytes.len() as u64;
    store
        .put_blob(repository, &digest, bytes.into())
        .await
        .unwrap();
    let config = Descriptor::new(MediaType::OCI_CONFIG.parse().unwrap(), digest, size);
    let document = Document::from(Manifest::new(config, Vec::new()));
    let put = PutManifest::derived(["lab/app"]);
    store
        .put_manifest(repository, &document, put)
        .await
        .unwrap();
    document
}

/// A derived index of `children` with its record, which says that it takes 1,000 bytes.
async fn index(
    store: &Store,
    repository: &RepositoryName,
    children: &[&Document],
    note: &str,
) -> Document {
    let children = children.iter().map(|child| child.descriptor()).collect();
    let document = Document::from(Index::new(children).with_annotation("note", note));
    let outcome = DerivedOutcome {
        key: key(note),
        blobs: Vec::new(),
        manifests: vec![(document.clone(), PutManifest::derived([note]))],
        served: document.digest().clone(),
        bytes: 1000,
    };
    store.put_outcome(repository, outcome).await.unwrap();
    document
}

fn key(note: &str) -> Digest {
    Digest::sha256(note.as_bytes())
}

async fn has(store: &Store, repository: &RepositoryName, document: &Document) -> bool {
    let found = store.manifest(repository, document.digest()).await.unwrap();
    found.is_some()
}

async fn used(store: &Store, repository: &RepositoryName, document: &Document, after: u64) {
    let at = SystemTime::now() + Duration::from_secs(after);
    let used = vec![Use {
        repository: repository.clone(),
        digest: document.digest().clone(),
        at,
        by: 0,
    }];
    store.record_use(used).await.unwrap();
}

#[tokio::test]
async fn what_was_used_least_recently_goes_with_all_that_was_made_for_it_alone() {
    let store = Store::temporary().await.unwrap();
    let repository = name("lab/app");
    let shared = child(&store, &repository, r#"{"shared":true}"#).await;
    let mut made = Vec::new();
    for note in ["a", "b", "c", "d"] {
        let own = child(&store, &repository, &format!(r#"{{"own":"{note}"}}"#)).await;
        let index = index(&store, &repository, &[&shared, &own], note).await;
        made.push((own, index));
    }
    assert_eq!(store.derived_total().await.unwrap().records, 4);
    // The first was pulled again; the second is tagged by somebody.
    for (at, (_, index)) in made.iter().enumerate() {
        used(&store, &repository, index, [9, 1, 2, 3][at]).await;
    }
    let record = TagRecord {
        digest: made[1].1.digest().clone(),
        origin: Origin::Pushed,
        checked_at: SystemTime::now(),
        etag: None,
    };
    let tag: Tag = "pinned".parse().unwrap();
    assert!(store.set_tag(&repository, &tag, record).await.unwrap());
    assert_eq!(store.evict_derived(4000).await.unwrap().records, 0);
    let evicted = store.evict_derived(1000).await.unwrap();
    assert_eq!(
        (evicted.records, evicted.manifests, evicted.blobs),
        (4, 6, 3)
    );
    assert_eq!(store.derived_total().await.unwrap().bytes, 0);
    let there: Vec<bool> = {
        let mut there = Vec::new();
        for (own, index) in &made {
            there.push(has(&store, &repository, own).await);
            there.push(has(&store, &repository, index).await);
        }
        there
    };
    assert_eq!(
        there,
        [false, false, true, true, false, false, false, false]
    );
    assert!(
        has(&store, &repository, &shared).await,
        "the tagged index lists it"
    );
    assert!(store.derived(&key("a")).await.unwrap().is_none());
}

#[tokio::test]
async fn any_number_of_records_is_kept_within_the_bound_in_order_of_use() {
    let store = Store::temporary().await.unwrap();
    let repository = name("lab/app");
    let own = child(&store, &repository, "{}").await;
    let mut indexes = Vec::new();
    for number in 0..130 {
        let note = format!("n{number}");
        let document = index(&store, &repository, &[&own], &note).await;
        used(&store, &repository, &document, number).await;
        indexes.push(document);
    }
    // More than one batch goes.
    let evicted = store.evict_derived(10_000).await.unwrap();
    assert_eq!(evicted.records, 121);
    let total = store.derived_total().await.unwrap();
    assert_eq!((total.records, total.bytes), (9, 9000));
    for (number, document) in indexes.iter().enumerate() {
        assert_eq!(
            has(&store, &repository, document).await,
            number >= 121,
            "{number}"
        );
    }
    assert!(has(&store, &repository, &own).await);
}

#[tokio::test]
async fn nothing_is_evicted_while_somebody_stores_what_shares_parts_with_it() {
    let store = Store::temporary().await.unwrap();
    let repository = name("lab/app");
    let own = child(&store, &repository, "{}").await;
    index(&store, &repository, &[&own], "old").await;
    let storing = store.deriving().await;
    let evicting = tokio::spawn({
        let store = store.clone();
        async move { store.evict_derived(0).await.unwrap() }
    });
    tokio::task::yield_now().await;
    assert!(!evicting.is_finished());
    let later = index(&store, &repository, &[&own], "new").await;
    assert!(has(&store, &repository, &own).await && has(&store, &repository, &later).await);
    drop(storing);
    assert_eq!(evicting.await.unwrap().records, 2);
}

#[tokio::test]
async fn many_pages_of_derived_content_without_a_record_are_collected_and_counted_alike() {
    let store = Store::temporary().await.unwrap();
    let repository = name("lab/app");
    let kept = child(&store, &repository, "{}").await;
    let with_record = index(&store, &repository, &[&kept], "kept").await;
    for number in 0..450 {
        // As an interrupted derivation leaves them.
        let note = format!("o{number}");
        let orphan =
            Document::from(Index::new(vec![kept.descriptor()]).with_annotation("note", &note));
        let put = PutManifest::derived([note]);
        store.put_manifest(&repository, &orphan, put).await.unwrap();
    }
    let would = GcOptions {
        dry_run: true,
        ..NOW
    };
    assert_eq!(store.collect_garbage(&would).await.unwrap().derived, 450);
    let young = GcOptions {
        grace: Duration::from_secs(3600),
        ..NOW
    };
    assert_eq!(store.collect_garbage(&young).await.unwrap().derived, 0);
    assert_eq!(store.collect_garbage(&NOW).await.unwrap().derived, 450);
    assert!(has(&store, &repository, &kept).await && has(&store, &repository, &with_record).await);
    assert_eq!(store.collect_garbage(&NOW).await.unwrap().derived, 0);
}
