//! Random intents.

use proptest::prelude::*;

use super::nodes::{NodeIntent, node_intent};
use crate::records::Origin;

const REPOSITORIES: usize = 5;
const BLOBS: usize = 4;
const DOCUMENTS: usize = 6;
const TAGS: usize = 2;

#[derive(Clone, Debug)]
pub(super) enum Intent {
    PublishBlob {
        repository: Option<usize>,
        blob: usize,
        given: bool,
        upload: Option<usize>,
    },
    Link(Option<usize>, usize, usize),
    LinkGiven(usize, usize),
    DeleteBlob(usize, usize),
    DeleteBlobUnless(usize, usize, usize),
    ForgetBlob(usize),
    PutLayerNeeds(usize, u32),
    PublishManifest {
        repository: usize,
        document: usize,
        origin: Origin,
        tag: Option<usize>,
        fixed: bool,
        require: bool,
        by: i64,
        sources: usize,
        mount_from: Option<usize>,
    },
    DeleteManifest(usize, usize),
    DeleteManifestUnless(usize, usize, usize),
    SetTag(usize, usize, usize),
    RecheckTag(usize, usize, usize),
    DeleteTag(usize, usize),
    BeginUpload(usize, usize),
    EndUpload(usize),
    Release(usize),
    SetCompatibility(usize, usize, bool),
    RecordOutcome(usize, usize, usize, u64),
    PublishOutcome {
        key: usize,
        repository: usize,
        blob: usize,
        documents: [usize; 2],
        require: bool,
    },
    EvictDerived(u64, u64, u64, u32),
    Pin(usize, usize, u64),
    Unpin(usize, usize),
    RemoveStale(u64),
    Use(usize, usize, i64),
    Evict(usize, usize, u64),
    EvictUnreferenced(u64, u64),
    RemoveLinks(u64),
    RemoveBlobs(u64),
    RemoveRepositories(u64),
    AddAccount(usize),
    SetRole(usize),
    SetPassword(usize),
    RemoveAccount(usize),
    Secret(usize, u8),
    ChangeDocument(usize, Option<u8>, u8),
    Node(NodeIntent),
    BeginEpoch(i64, bool),
    FinishEpoch(i64),
    SetSuspect(bool),
    AddDemand {
        tag: usize,
        target: usize,
        known: bool,
        pulls: u64,
        nodes: Vec<i64>,
        day: i64,
    },
}

pub(super) fn intent() -> impl Strategy<Value = Intent> {
    let r = || 0..REPOSITORIES;
    let (b, d, t) = (|| 0..BLOBS, || 0..DOCUMENTS, || 0..TAGS);
    let age = || 0..200u64;
    let origin = prop_oneof![
        2 => Just(Origin::Pushed),
        4 => Just(Origin::Upstream),
        3 => Just(Origin::Derived),
    ];
    let publish_manifest = (
        (r(), d(), origin, prop::option::of(t()), any::<bool>()),
        (
            prop::bool::weighted(0.2),
            0..3i64,
            0..3usize,
            prop::option::of(r()),
        ),
    );
    prop_oneof![
        6 => (prop::option::of(r()), b(), any::<bool>(), prop::option::of(0..2usize)).prop_map(
            |(repository, blob, given, upload)| Intent::PublishBlob { repository, blob, given, upload }
        ),
        2 => (prop::option::of(r()), r(), b()).prop_map(|(f, t, b)| Intent::Link(f, t, b)),
        2 => (r(), b()).prop_map(|(r, b)| Intent::LinkGiven(r, b)),
        1 => (r(), b()).prop_map(|(r, b)| Intent::DeleteBlob(r, b)),
        1 => (r(), b(), t()).prop_map(|(r, b, t)| Intent::DeleteBlobUnless(r, b, t)),
        1 => b().prop_map(Intent::ForgetBlob),
        2 => (b(), 1..3u32).prop_map(|(b, rule)| Intent::PutLayerNeeds(b, rule)),
        12 => publish_manifest.prop_map(
            |((repository, document, origin, tag, fixed), (require, by, sources, mount_from))| {
                Intent::PublishManifest {
                    repository, document, origin, tag, fixed, require, by, sources, mount_from,
                }
            }
        ),
        2 => (r(), d()).prop_map(|(r, d)| Intent::DeleteManifest(r, d)),
        1 => (r(), d(), t()).prop_map(|(r, d, t)| Intent::DeleteManifestUnless(r, d, t)),
        2 => (r(), t(), d()).prop_map(|(r, t, d)| Intent::SetTag(r, t, d)),
        1 => (r(), t(), d()).prop_map(|(r, t, d)| Intent::RecheckTag(r, t, d)),
        1 => (r(), t()).prop_map(|(r, t)| Intent::DeleteTag(r, t)),
        1 => (0..2usize, r()).prop_map(|(u, r)| Intent::BeginUpload(u, r)),
        1 => (0..2usize).prop_map(Intent::EndUpload),
        2 => r().prop_map(Intent::Release),
        1 => (r(), d(), any::<bool>()).prop_map(|(r, d, some)| Intent::SetCompatibility(r, d, some)),
        3 => (0..3usize, r(), d(), 1..100u64).prop_map(|(k, r, d, b)| Intent::RecordOutcome(k, r, d, b)),
        3 => (0..3usize, r(), b(), [d(), d()], any::<bool>()).prop_map(
            |(key, repository, blob, documents, require)| {
                Intent::PublishOutcome { key, repository, blob, documents, require }
            }
        ),
        2 => (0..150u64, 0..100u64, 0..400u64, 1..3u32)
            .prop_map(|(bytes, share, age, most)| Intent::EvictDerived(bytes, share, age, most)),
        2 => (r(), d(), 0..4u64).prop_map(|(r, d, most)| Intent::Pin(r, d, most)),
        1 => (r(), d()).prop_map(|(r, d)| Intent::Unpin(r, d)),
        2 => age().prop_map(Intent::RemoveStale),
        2 => (r(), d(), 0..3i64).prop_map(|(r, d, by)| Intent::Use(r, d, by)),
        3 => (r(), d(), age()).prop_map(|(r, d, age)| Intent::Evict(r, d, age)),
        1 => (age(), age()).prop_map(|(linked, given)| Intent::EvictUnreferenced(linked, given)),
        1 => age().prop_map(Intent::RemoveLinks),
        1 => age().prop_map(Intent::RemoveBlobs),
        1 => age().prop_map(Intent::RemoveRepositories),
        1 => (0..2usize).prop_map(Intent::AddAccount),
        1 => (0..2usize).prop_map(Intent::SetRole),
        1 => (0..2usize).prop_map(Intent::SetPassword),
        1 => (0..2usize).prop_map(Intent::RemoveAccount),
        1 => (0..2usize, any::<u8>()).prop_map(|(name, byte)| Intent::Secret(name, byte)),
        3 => (0..3usize, prop::option::weighted(0.7, any::<u8>()), 0..6u8)
            .prop_map(|(name, text, when)| Intent::ChangeDocument(name, text, when)),
        11 => node_intent().prop_map(Intent::Node),
        1 => (0..9i64, any::<bool>()).prop_map(|(epoch, bad)| Intent::BeginEpoch(epoch, bad)),
        1 => (0..9i64).prop_map(Intent::FinishEpoch),
        1 => any::<bool>().prop_map(Intent::SetSuspect),
        8 => (
            (t(), 0..5usize, any::<bool>(), 0..4u64),
            (prop::collection::vec(0..6i64, 0..4), 0..6i64),
        )
            .prop_map(|((tag, target, known, pulls), (nodes, day))| Intent::AddDemand {
                tag, target, known, pulls, nodes, day,
            }),
    ]
}

/// What documents are called, by kind.
pub(super) const DOCUMENT_NAMES: [(&str, &str); 3] = [
    ("profile", "library/a:latest"),
    ("profile", "library/b:latest"),
    ("collection", "library/a:latest"),
];
