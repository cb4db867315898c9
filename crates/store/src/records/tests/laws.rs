//! Laws that are easy to get wrong, one by one.

use std::time::Duration;

use super::world::{World, outcome};
use super::{Subject, Watch};
use crate::records::{
    CandidatesAfter, Cursor, DocumentBounds, DocumentChange, DocumentOutcome, NewBlob, NewManifest,
    Origin, Precondition, PutError, PutManifest, Records, Release, Right, Which,
};

/// Runs a law against both implementations.
pub(super) async fn each(law: impl AsyncFn(Subject, Watch)) {
    let watch = Watch::default();
    law(Subject::sqlite(&watch).await, watch).await;
    let watch = Watch::default();
    law(Subject::memory(&watch), watch).await;
}

async fn put(
    records: &dyn Records,
    world: &World,
    repository: usize,
    document: usize,
    options: PutManifest,
) -> Result<(), PutError> {
    let document = &world.documents[document];
    let new = NewManifest::new(&world.repositories[repository], document, options);
    records.publish_manifest(new).await
}

fn upstream() -> PutManifest {
    PutManifest::upstream(Vec::new(), "quay.io/a:1")
}

/// A push that may lack what it refers to.
fn pushed() -> PutManifest {
    PutManifest {
        require_references: false,
        ..PutManifest::pushed(Vec::new())
    }
}

fn derived() -> PutManifest {
    PutManifest::derived(["quay.io/a:1"])
}

async fn blob(records: &dyn Records, world: &World, repository: usize, at: usize, given: bool) {
    let (digest, access) = world.blobs[at].clone();
    let new = NewBlob {
        digest,
        access,
        repository: Some(world.repositories[repository].clone()),
        given,
        upload: None,
    };
    records.publish_blob(new).await.unwrap();
}

#[tokio::test]
async fn the_first_of_pushed_upstream_and_derived_wins() {
    each(async |subject: Subject, _| {
        let (records, world) = (&*subject.records, World::new());
        let origin = async || {
            let found = records
                .manifest(&world.repositories[0], world.digest(2))
                .await;
            found.unwrap().unwrap().origin
        };
        put(records, &world, 0, 2, derived()).await.unwrap();
        assert_eq!(origin().await, Origin::Derived);
        put(records, &world, 0, 2, upstream()).await.unwrap();
        assert_eq!(origin().await, Origin::Upstream);
        put(records, &world, 0, 2, pushed()).await.unwrap();
        put(records, &world, 0, 2, upstream()).await.unwrap();
        assert_eq!(origin().await, Origin::Pushed);
        // Who does not say where it came from leaves that as it is.
        put(records, &world, 0, 2, pushed()).await.unwrap();
        let found = records
            .manifest(&world.repositories[0], world.digest(2))
            .await;
        assert_eq!(found.unwrap().unwrap().sources, ["quay.io/a:1"]);
    })
    .await;
}

#[tokio::test]
async fn a_name_belongs_to_who_pushed_first_until_it_is_released_empty() {
    each(async |subject: Subject, _| {
        let (records, world) = (&*subject.records, World::new());
        let name = &world.repositories[4];
        for account in ["alice", "bob"] {
            let options = PutManifest {
                account: Some(account.to_owned()),
                ..pushed()
            };
            put(records, &world, 4, 2, options).await.unwrap();
        }
        let names = records.local_names(None, 10).await.unwrap().items;
        assert_eq!(names[0].account.as_deref(), Some("alice"));
        let held = records.release_name(name).await.unwrap();
        assert_eq!(held, Release::Holds(1));
        assert!(
            records
                .delete_manifest(name, world.digest(2))
                .await
                .unwrap()
        );
        assert!(records.is_local(name).await.unwrap());
        assert_eq!(records.release_name(name).await.unwrap(), Release::Done);
        let again = records.release_name(name).await.unwrap();
        assert_eq!(again, Release::NotLocal);
    })
    .await;
}

#[tokio::test]
async fn an_immutable_tag_keeps_what_it_names_and_a_refused_push_leaves_nothing() {
    each(async |subject: Subject, _| {
        let (records, world) = (&*subject.records, World::new());
        let tags = vec![world.tags[0].clone()];
        let options = PutManifest {
            tags: tags.clone(),
            fixed: tags.clone(),
            ..pushed()
        };
        put(records, &world, 4, 2, options.clone()).await.unwrap();
        let refused = put(records, &world, 4, 4, options.clone()).await;
        assert!(
            matches!(refused, Err(PutError::TagExists { .. })),
            "{refused:?}"
        );
        let name = &world.repositories[4];
        assert!(
            records
                .manifest(name, world.digest(4))
                .await
                .unwrap()
                .is_none()
        );
        // The same again is no change.
        put(records, &world, 4, 2, options).await.unwrap();
        // Nor does a push that lacks something make a repository, or its name local.
        let refused = put(records, &world, 3, 0, PutManifest::pushed(Vec::new())).await;
        assert!(
            matches!(refused, Err(PutError::Missing { .. })),
            "{refused:?}"
        );
        assert!(
            !records
                .has_repository(&world.repositories[3])
                .await
                .unwrap()
        );
        assert!(!records.is_local(&world.repositories[3]).await.unwrap());
    })
    .await;
}

#[tokio::test]
async fn a_blob_is_linked_by_who_has_a_right_to_it() {
    each(async |subject: Subject, _| {
        let (records, world) = (&*subject.records, World::new());
        let digest = &world.blobs[2].0;
        let [a, b, other, ..] = &world.repositories[..] else {
            panic!("repositories");
        };
        blob(records, &world, 0, 2, true).await;
        let link = async |right, to| records.link_blob(right, to, digest).await.unwrap();
        assert!(!link(Right::Of(b.clone()), other).await);
        assert!(!link(Right::Given("ghcr.io".to_owned()), other).await);
        assert!(link(Right::Given("quay.io".to_owned()), b).await);
        assert!(link(Right::Of(a.clone()), other).await);
        // Mounted is not given: it opens nothing to the others of that host.
        assert!(!records.is_given("ghcr.io", digest).await.unwrap());
        let unknown = records
            .link_blob(Right::Vouched, a, &world.blobs[3].0)
            .await;
        assert!(!unknown.unwrap(), "it is not stored");
    })
    .await;
}

#[tokio::test]
async fn what_upstreams_gave_counts_once_for_a_host_and_not_where_a_name_is_local() {
    each(async |subject: Subject, _| {
        let (records, world) = (&*subject.records, World::new());
        let size = world.blobs[2].1.size;
        let total = async || {
            let bytes = records.cached_bytes().await.unwrap();
            assert_eq!(bytes, records.recounted_bytes().await.unwrap());
            bytes.get("quay.io").copied().unwrap_or(0)
        };
        blob(records, &world, 0, 2, false).await;
        assert_eq!(total().await, 0, "nothing of it came from there");
        put(records, &world, 0, 0, upstream()).await.unwrap();
        let manifest = world.documents[0].bytes().len() as u64;
        assert_eq!(total().await, size + manifest);
        blob(records, &world, 1, 2, true).await;
        assert_eq!(total().await, size + manifest, "once for the host");
        put(records, &world, 0, 0, pushed()).await.unwrap();
        assert_eq!(total().await, size, "the other repository's");
        let (name, digest) = (&world.repositories[0], world.digest(0));
        assert!(records.delete_manifest(name, digest).await.unwrap());
        records.release_name(name).await.unwrap();
        assert!(
            records
                .delete_blob(&world.repositories[1], &world.blobs[2].0)
                .await
                .unwrap()
        );
        assert_eq!(total().await, 0);
    })
    .await;
}

#[tokio::test]
async fn the_least_recently_used_image_goes_first_and_its_index_with_the_last() {
    each(async |subject: Subject, watch: Watch| {
        let (records, world) = (&*subject.records, World::new());
        for at in [1, 0, 3] {
            watch.pass(10);
            put(records, &world, 0, at, upstream()).await.unwrap();
        }
        let which = Which::default();
        let candidates = async || {
            let after = CandidatesAfter::default();
            let found = records
                .eviction_candidates(which, after, 10)
                .await
                .unwrap()
                .0;
            found.into_iter().map(|one| one.digest).collect::<Vec<_>>()
        };
        // A use of the index is one of both, which then go in the order in which they came.
        let both = [world.digest(0).clone(), world.digest(1).clone()];
        assert_eq!(candidates().await, [both[1].clone(), both[0].clone()]);
        let name = &world.repositories[0];
        let early = watch.now() - Duration::from_millis(1);
        let kept = records.evict_manifest(name, &both[0], early).await.unwrap();
        assert_eq!(kept, None, "its index was used since");
        let first = records
            .evict_manifest(name, &both[0], watch.now())
            .await
            .unwrap();
        assert_eq!(
            first.unwrap().bytes,
            world.documents[0].bytes().len() as u64
        );
        assert!(
            records
                .manifest(name, world.digest(3))
                .await
                .unwrap()
                .is_some()
        );
        let last = records
            .evict_manifest(name, &both[1], watch.now())
            .await
            .unwrap();
        let sizes = [1, 3].map(|at| world.documents[at].bytes().len() as u64);
        assert_eq!(last.unwrap().bytes, sizes.iter().sum::<u64>());
        assert_eq!(candidates().await, []);
    })
    .await;
}

#[tokio::test]
async fn garbage_is_what_no_manifest_names_and_what_is_old_enough() {
    each(async |subject: Subject, watch: Watch| {
        let (records, world) = (&*subject.records, World::new());
        blob(records, &world, 4, 0, false).await;
        blob(records, &world, 4, 2, false).await;
        blob(records, &world, 4, 3, false).await;
        put(records, &world, 4, 0, PutManifest::pushed(Vec::new()))
            .await
            .unwrap();
        let links = async |cutoff| {
            let batch = records.unneeded_links(cutoff, Cursor::default(), 10).await;
            batch.unwrap().items
        };
        let early = watch.now() - Duration::from_millis(1);
        assert_eq!(links(early).await, [], "it may be part of a push");
        let found = links(watch.now()).await;
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest, world.blobs[3].0);
        // Named meanwhile, it stays.
        put(records, &world, 4, 1, pushed()).await.unwrap();
        let removed = records
            .remove_links(found.clone(), watch.now())
            .await
            .unwrap();
        assert_eq!(removed, []);
        let name = &world.repositories[4];
        records
            .delete_manifest(name, world.digest(1))
            .await
            .unwrap();
        let removed = records.remove_links(found, watch.now()).await.unwrap();
        assert_eq!(removed[0].digest, world.blobs[3].0);
        assert!(
            !records
                .remove_blob(&world.blobs[2].0, watch.now())
                .await
                .unwrap()
        );
        assert!(
            records
                .remove_blob(&world.blobs[3].0, watch.now())
                .await
                .unwrap()
        );
    })
    .await;
}

#[tokio::test]
async fn a_derived_manifest_is_stale_once_its_source_is_gone_or_its_record() {
    each(async |subject: Subject, watch: Watch| {
        let (records, world) = (&*subject.records, World::new());
        let stale = async || records.count_stale(watch.now()).await.unwrap();
        // Those of which that is true already, before any of them is removed.
        let first = async || {
            let batch = records.stale_derived(watch.now(), Cursor::default(), 10);
            let items = batch.await.unwrap().items;
            items.into_iter().map(|one| one.digest).collect::<Vec<_>>()
        };
        put(records, &world, 0, 0, upstream()).await.unwrap();
        let from = PutManifest::derived(world.sources(1));
        put(records, &world, 4, 2, from.clone()).await.unwrap();
        assert_eq!(stale().await, 1, "no record leads to it");
        let (name, digest) = (&world.repositories[4], world.digest(2));
        let key = &world.keys[0];
        let outcome = outcome(key, name, digest, 10);
        records.publish_outcome(outcome).await.unwrap();
        assert_eq!(stale().await, 0);
        // A copy of the source that was derived in the same repository keeps nothing alive.
        put(records, &world, 4, 0, derived()).await.unwrap();
        let source = &world.repositories[0];
        records
            .delete_manifest(source, world.digest(0))
            .await
            .unwrap();
        let (image, copy) = (world.digest(2).clone(), world.digest(0).clone());
        assert_eq!(first().await, [copy.clone(), image], "the copy, and it");
        put(records, &world, 1, 0, derived()).await.unwrap();
        assert_eq!(first().await, [copy.clone(), copy], "held elsewhere");
        assert_eq!(stale().await, 3, "in the end");
    })
    .await;
}

#[tokio::test]
async fn a_document_is_changed_only_by_who_saw_its_last_version_and_old_ones_are_forgotten() {
    each(async |subject: Subject, _| {
        let records = &*subject.records;
        let bounds = DocumentBounds {
            documents: 2,
            bytes: 10,
            versions: 2,
            deleted: 1,
        };
        let change = async |name: &str, text: Option<&str>, precondition| {
            let change = DocumentChange {
                kind: "profile",
                name: name.to_owned(),
                text: text.map(str::to_owned),
                account: "alice".to_owned(),
                precondition,
            };
            match records.change_document(change, bounds).await.unwrap() {
                DocumentOutcome::Changed(version) => format!("v{}", version.version),
                DocumentOutcome::Otherwise(Some(there)) => format!("is v{}", there.version),
                DocumentOutcome::Otherwise(None) => "is not there".to_owned(),
                DocumentOutcome::Full => "full".to_owned(),
            }
        };
        let version = Precondition::Version;
        assert_eq!(change("a", Some("1"), version(1)).await, "is not there");
        assert_eq!(
            change("a", Some("1"), Precondition::Present).await,
            "is not there"
        );
        assert_eq!(change("a", Some("1"), Precondition::Absent).await, "v1");
        assert_eq!(change("a", Some("2"), Precondition::Absent).await, "is v1");
        assert_eq!(change("a", Some("2"), version(1)).await, "v2");
        assert_eq!(change("a", Some("3"), version(1)).await, "is v2");
        assert_eq!(change("a", Some("3"), Precondition::Present).await, "v3");
        let numbers = async |name: &str| {
            let history = records.document_history("profile", name).await.unwrap();
            history.iter().map(|one| one.version).collect::<Vec<_>>()
        };
        assert_eq!(numbers("a").await, [3, 2], "two versions are kept");
        // Bytes are counted, and what a document replaces is not.
        assert_eq!(
            change("b", Some("äää1234"), Precondition::Absent).await,
            "full"
        );
        assert_eq!(
            change("b", Some("äää123"), Precondition::Absent).await,
            "v1"
        );
        assert_eq!(change("b", Some("äää124"), version(1)).await, "v2");
        assert_eq!(change("c", Some(""), Precondition::Absent).await, "full");
        // A deleted one goes on counting its versions, until it is forgotten for another.
        assert_eq!(change("a", None, version(3)).await, "v4");
        assert_eq!(change("a", None, Precondition::Present).await, "is v4");
        assert_eq!(change("a", Some("5"), Precondition::Absent).await, "v5");
        assert_eq!(change("a", None, version(5)).await, "v6");
        assert_eq!(change("b", None, version(2)).await, "v3");
        let kept = [numbers("a").await, numbers("b").await];
        assert_eq!(kept.iter().filter(|kept| !kept.is_empty()).count(), 1);
        assert!(records.documents().await.unwrap().is_empty());
    })
    .await;
}
