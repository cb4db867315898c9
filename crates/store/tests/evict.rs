//! Giving back what upstreams gave: what goes, in which order, and what must stay.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::TryStreamExt as _;
use metahub_oci::{Digest, Document, RepositoryName};
use metahub_store::{Candidate, CandidatesAfter, DerivedOutcome, PutManifest, Store, Use, Which};

mod support;
use support::{artifact, content, image, index, name, put, read, tag};

/// Larger than what lies in the database.
const LAYER: usize = 100_000;

/// Keeps an image of an upstream with its blobs; the digests of manifest and layer.
async fn keep(
    store: &Store,
    kept: &RepositoryName,
    seed: u64,
    tags: &[&str],
) -> (Document, Digest) {
    let (config, layer) = (content(seed, 500), content(seed + 1000, LAYER));
    keep_of(store, kept, &config, &[&layer], tags).await
}

async fn keep_of(
    store: &Store,
    kept: &RepositoryName,
    config: &[u8],
    layers: &[&[u8]],
    tags: &[&str],
) -> (Document, Digest) {
    put(store, kept, config).await;
    let mut last = Digest::sha256(config);
    for layer in layers {
        last = put(store, kept, layer).await;
    }
    let document = image(config, layers);
    keep_manifest(store, kept, &document, tags).await;
    (document, last)
}

async fn keep_manifest(store: &Store, kept: &RepositoryName, document: &Document, tags: &[&str]) {
    let tags = tags.iter().map(|text| tag(text)).collect();
    let source = format!("{kept}@{}", document.digest());
    let read = PutManifest::upstream(tags, source);
    store.put_manifest(kept, document, read).await.unwrap();
}

fn size(document: &Document) -> u64 {
    document.bytes().len() as u64
}

async fn candidates(store: &Store, host: Option<&str>) -> Vec<Candidate> {
    let first = CandidatesAfter::default();
    let which = Which {
        host,
        ..Which::default()
    };
    store.candidates(which, first, 100).await.unwrap().0
}

fn digests(candidates: &[Candidate]) -> Vec<&Digest> {
    candidates
        .iter()
        .map(|candidate| &candidate.digest)
        .collect()
}

async fn touch(store: &Store, kept: &RepositoryName, digest: &Digest, seconds: u64) {
    let at = SystemTime::now() + Duration::from_secs(seconds);
    let used = Use {
        repository: kept.clone(),
        digest: digest.clone(),
        at,
        by: 0,
    };
    store.record_use(vec![used]).await.unwrap();
}

/// Evicts whatever was used in the next hundred seconds or before.
async fn evict(store: &Store, kept: &RepositoryName, digest: &Digest) -> Option<(u64, u64)> {
    let since = SystemTime::now() + Duration::from_secs(100);
    let evicted = store.evict(kept, digest, since).await.unwrap();
    evicted.map(|evicted| (evicted.blobs, evicted.bytes))
}

#[tokio::test]
async fn what_was_used_least_recently_is_first_and_only_what_upstreams_gave() {
    let store = Store::temporary().await.unwrap();
    let (quay, ghcr) = (name("quay.io/x/app"), name("ghcr.io/y"));
    let (a, _) = keep(&store, &quay, 1, &["a"]).await;
    let (b, _) = keep(&store, &quay, 2, &["b", "also"]).await;
    let (c, _) = keep(&store, &ghcr, 3, &[]).await;
    let own = name("own/app");
    put(&store, &own, &content(7, 500)).await;
    put(&store, &own, &content(8, LAYER)).await;
    let pushed = image(&content(7, 500), &[&content(8, LAYER)]);
    let push = PutManifest::pushed(vec![tag("1")]);
    store.put_manifest(&own, &pushed, push).await.unwrap();
    touch(&store, &quay, a.digest(), 20).await;
    touch(&store, &ghcr, c.digest(), 10).await;
    let found = candidates(&store, None).await;
    assert_eq!(digests(&found), [b.digest(), c.digest(), a.digest()]);
    let tags = store.tags_of(&found[0]).await.unwrap();
    assert_eq!(tags, [tag("also"), tag("b")]);
    let of_quay = candidates(&store, Some("quay.io")).await;
    assert_eq!(digests(&of_quay), [b.digest(), a.digest()]);
    let (first, after) = store
        .candidates(Which::default(), CandidatesAfter::default(), 1)
        .await
        .unwrap();
    let (second, _) = store.candidates(Which::default(), after, 1).await.unwrap();
    assert_eq!(digests(&first), [b.digest()]);
    assert_eq!(digests(&second), [c.digest()]);
    let bytes = store.cached_bytes().await.unwrap();
    let blobs = (LAYER + 500) as u64;
    let expected = [
        ("ghcr.io".to_owned(), blobs + size(&c)),
        ("quay.io".to_owned(), 2 * blobs + size(&a) + size(&b)),
    ];
    assert_eq!(bytes.into_iter().collect::<Vec<_>>(), expected);
}

#[tokio::test]
async fn a_manifest_counts_once_for_its_upstream_and_is_free_when_the_last_repository_lets_it_go() {
    let store = Store::temporary().await.unwrap();
    let (kept, other) = (name("quay.io/x/app"), name("quay.io/y/app"));
    let (a, _) = keep(&store, &kept, 1, &[]).await;
    let (same, _) = keep(&store, &other, 1, &[]).await;
    let all = index(&[&a]);
    keep_manifest(&store, &kept, &all, &["1"]).await;
    let blobs = (LAYER + 500) as u64;
    let bytes = store.cached_bytes().await.unwrap();
    assert_eq!(bytes["quay.io"], blobs + size(&a) + size(&all));
    // The index goes with the last that it leads to.
    let freed = evict(&store, &kept, a.digest()).await;
    assert_eq!(freed, Some((0, size(&all))));
    let freed = evict(&store, &other, same.digest()).await;
    assert_eq!(freed, Some((2, blobs + size(&a))));
    assert!(store.cached_bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn an_image_goes_with_its_tags_and_blobs_and_other_images_keep_what_they_share() {
    let store = Store::temporary().await.unwrap();
    let (kept, other) = (name("quay.io/x/app"), name("quay.io/y/app"));
    let base = content(1, LAYER);
    let (config_a, config_b) = (content(2, 100), content(3, 100));
    let own = content(4, LAYER);
    let (a, _) = keep_of(&store, &kept, &config_a, &[&base, &own], &["a"]).await;
    let (b, shared) = keep_of(&store, &kept, &config_b, &[&base], &["b"]).await;
    // Another repository of the upstream has the same layer of its own.
    let (c, _) = keep_of(&store, &other, &config_b, &[&own], &["c"]).await;
    let freed = evict(&store, &kept, a.digest()).await;
    let config = 100 + size(&a);
    assert_eq!(freed, Some((1, config)), "the layers are needed elsewhere");
    assert!(store.tag(&kept, &tag("a")).await.unwrap().is_none());
    assert!(store.manifest(&kept, a.digest()).await.unwrap().is_none());
    let gone = read(&store, &kept, &Digest::sha256(&own)).await.unwrap();
    assert!(
        gone.is_none(),
        "only a repository that names a blob gives it out"
    );
    assert_eq!(read(&store, &kept, &shared).await.unwrap().unwrap(), base);
    assert_eq!(evict(&store, &kept, a.digest()).await, None, "it is gone");
    assert_eq!(
        evict(&store, &kept, b.digest()).await,
        Some((1, LAYER as u64 + size(&b)))
    );
    let both = (2, (LAYER + 100) as u64 + size(&c));
    assert_eq!(evict(&store, &other, c.digest()).await, Some(both));
    assert!(store.cached_bytes().await.unwrap().is_empty());
}

#[tokio::test]
async fn what_was_used_meanwhile_or_pushed_stays() {
    let store = Store::temporary().await.unwrap();
    let kept = name("quay.io/x/app");
    let (a, layer) = keep(&store, &kept, 1, &["a"]).await;
    touch(&store, &kept, a.digest(), 1000).await;
    assert_eq!(evict(&store, &kept, a.digest()).await, None, "it was used");
    // The same layer belongs to an image that somebody pushed.
    let (b, shared) = keep(&store, &kept, 2, &["b"]).await;
    let own = name("own/app");
    store.mount(&kept, &own, &shared).await.unwrap();
    put(&store, &own, &content(2, 500)).await;
    let push = PutManifest::pushed(vec![tag("1")]);
    store.put_manifest(&own, &b, push).await.unwrap();
    assert_eq!(evict(&store, &kept, b.digest()).await, Some((0, 0)));
    assert_eq!(
        read(&store, &own, &shared).await.unwrap().unwrap(),
        content(1002, LAYER)
    );
    // Nothing goes from a repository that somebody pushed to.
    let (c, _) = keep(&store, &kept, 3, &[]).await;
    let push = PutManifest {
        require_references: false,
        ..PutManifest::pushed(Vec::new())
    };
    store.put_manifest(&kept, &index(&[]), push).await.unwrap();
    assert!(candidates(&store, None).await.is_empty());
    assert_eq!(evict(&store, &kept, c.digest()).await, None);
    assert!(store.cached_bytes().await.unwrap().is_empty());
    let _ = layer;
}

#[tokio::test]
async fn an_index_counts_as_use_of_what_it_leads_to_and_goes_with_the_last_of_it() {
    let store = Store::temporary().await.unwrap();
    let kept = name("quay.io/x/app");
    let (a, _) = keep(&store, &kept, 1, &[]).await;
    let (b, _) = keep(&store, &kept, 2, &[]).await;
    let (c, _) = keep(&store, &kept, 3, &["c"]).await;
    let all = index(&[&a, &b]);
    keep_manifest(&store, &kept, &all, &["1"]).await;
    let about = artifact(&a, "text/x");
    put(&store, &kept, b"{}").await;
    keep_manifest(&store, &kept, &about, &[]).await;
    touch(&store, &kept, c.digest(), 10).await;
    touch(&store, &kept, about.digest(), 11).await;
    touch(&store, &kept, all.digest(), 20).await;
    let found = candidates(&store, None).await;
    let mut last = [a.digest(), b.digest()];
    last.sort_by_key(|digest| found.iter().position(|c| c.digest == **digest));
    assert_eq!(
        digests(&found),
        [c.digest(), about.digest(), last[0], last[1]]
    );
    let tags = store.tags_of(&found[2]).await.unwrap();
    assert_eq!(tags, [tag("1")], "the tag leads to it");
    assert!(evict(&store, &kept, a.digest()).await.is_some());
    assert!(store.tag(&kept, &tag("1")).await.unwrap().is_some());
    assert!(evict(&store, &kept, b.digest()).await.is_some());
    assert!(store.tag(&kept, &tag("1")).await.unwrap().is_none());
    assert!(store.manifest(&kept, all.digest()).await.unwrap().is_none());
}

#[tokio::test]
async fn what_derived_images_took_over_goes_too_and_what_they_made_stays() {
    let store = Store::temporary().await.unwrap();
    let (kept, derived) = (name("quay.io/x/app"), name("app"));
    let (source, layer) = keep(&store, &kept, 1, &["1"]).await;
    let made = content(50, 300);
    put(&store, &derived, &made).await;
    let document = image(&made, &[&content(1001, LAYER)]);
    let put = PutManifest {
        mount_from: vec![kept.clone()],
        ..PutManifest::derived([format!("{kept}@{}", source.digest())])
    };
    store.put_manifest(&derived, &document, put).await.unwrap();
    assert!(read(&store, &derived, &layer).await.unwrap().is_some());
    assert!(evict(&store, &kept, source.digest()).await.unwrap().1 >= LAYER as u64);
    assert!(read(&store, &derived, &layer).await.unwrap().is_none());
    let own = read(&store, &derived, &Digest::sha256(&made))
        .await
        .unwrap();
    assert_eq!(own.unwrap(), made);
    assert_eq!(
        store.sources_of_blob(&derived, &layer).await.unwrap(),
        [format!("{kept}@{}", source.digest())],
        "from there it comes again"
    );
}

#[tokio::test]
async fn whoever_reads_a_blob_reads_it_to_its_end() {
    let store = Store::temporary().await.unwrap();
    let kept = name("quay.io/x/app");
    let layer = content(9, 8 * 1024 * 1024);
    let (document, digest) = keep_of(&store, &kept, b"{}", &[&layer], &["1"]).await;
    let blob = store.blob(&kept, &digest).await.unwrap().unwrap();
    let open = blob.open().await.unwrap();
    let mut stream = open.stream(0..u64::MAX);
    let mut bytes: Vec<Bytes> = stream.try_next().await.unwrap().into_iter().collect();
    assert!(evict(&store, &kept, document.digest()).await.unwrap().1 >= layer.len() as u64);
    assert!(store.blob(&kept, &digest).await.unwrap().is_none());
    bytes.extend(stream.try_collect::<Vec<_>>().await.unwrap());
    assert!(bytes.concat() == layer);
    // It comes again as if it had never been here.
    keep_of(&store, &kept, b"{}", &[&layer], &["1"]).await;
    assert!(read(&store, &kept, &digest).await.unwrap().unwrap() == layer);
}

#[tokio::test]
async fn what_one_client_brought_is_told_apart_until_another_or_an_account_uses_it() {
    let store = Store::temporary().await.unwrap();
    let kept = name("quay.io/x/app");
    let layer = content(1, LAYER);
    let document = image(b"{}", &[&layer]);
    let bring = |by| PutManifest {
        brought_by: by,
        ..PutManifest::upstream(vec![tag("1")], "quay.io/x/app:1")
    };
    let used = |by| Use {
        repository: kept.clone(),
        digest: document.digest().clone(),
        at: SystemTime::now(),
        by,
    };
    let whole = (LAYER + 2) as u64 + size(&document);
    for (first, uses, established) in [
        (7, vec![], false),
        (7, vec![7, 7], false),
        (7, vec![7, 8], true),
        (7, vec![0, 7], true),
        (7, vec![8, 7], true),
        (0, vec![7], true),
    ] {
        store
            .put_manifest(&kept, &document, bring(first))
            .await
            .unwrap();
        put(&store, &kept, b"{}").await;
        put(&store, &kept, &layer).await;
        let uses: Vec<Use> = uses.into_iter().map(used).collect();
        store.record_use(uses.clone()).await.unwrap();
        let bytes = store.bytes_of_one_client().await.unwrap();
        assert_eq!(
            bytes,
            if established { 0 } else { whole },
            "{first} {uses:?}"
        );
        let which = Which {
            host: None,
            of_one_client: true,
        };
        let after = CandidatesAfter::default();
        let (found, _) = store.candidates(which, after, 10).await.unwrap();
        assert_eq!(found.is_empty(), established, "{first} {uses:?}");
        evict(&store, &kept, document.digest()).await.unwrap();
    }
    // Fetched again by another, it is not that one's alone either.
    store
        .put_manifest(&kept, &document, bring(7))
        .await
        .unwrap();
    store
        .put_manifest(&kept, &document, bring(8))
        .await
        .unwrap();
    assert_eq!(store.bytes_of_one_client().await.unwrap(), 0);
}

#[tokio::test]
async fn the_empty_configuration_of_a_referrer_that_was_made_here_stays() {
    let store = Store::temporary().await.unwrap();
    let (upstream, here) = (name("quay.io/x/app"), name("lab/app"));
    let empty = Digest::sha256(b"{}");
    // An artifact of the upstream, and one that was made here, of one configuration.
    for repository in [&upstream, &here] {
        put(&store, repository, b"{}").await;
    }
    let (base, _) = keep(&store, &upstream, 1, &[]).await;
    let theirs = artifact(&base, "application/x-signature");
    keep_manifest(&store, &upstream, &theirs, &[]).await;
    put(&store, &here, b"a configuration").await;
    let derived = image(b"a configuration", &[]);
    let source = || PutManifest::derived([format!("{upstream}@{}", base.digest())]);
    let made = artifact(&derived, "application/x-derivation");
    for document in [&derived, &made] {
        store.put_manifest(&here, document, source()).await.unwrap();
    }
    let outcome = DerivedOutcome {
        key: empty.clone(),
        blobs: Vec::new(),
        manifests: Vec::new(),
        served: derived.digest().clone(),
        bytes: 1000,
    };
    store.put_outcome(&here, outcome).await.unwrap();
    assert!(evict(&store, &upstream, theirs.digest()).await.is_some());
    assert!(store.blob(&here, &empty).await.unwrap().is_some());
    // It goes with what it was made for.
    let evicted = store.evict_derived(0).await.unwrap();
    assert_eq!((evicted.manifests, evicted.blobs), (2, 2));
    assert!(store.blob(&here, &empty).await.unwrap().is_none());
}
