//! Runs random intents against records.

use std::sync::Arc;
use std::time::{Duration, SystemTime};

use metahub_oci::Tag;

use super::intents::{DOCUMENT_NAMES, Intent};
use super::world::{World, outcome};
use crate::content::Known;
use crate::records::{
    Cursor, DemandBounds, DemandCount, DemandGot, DemandKey, DerivedEviction, DocumentBounds,
    DocumentChange, NewBlob, NewManifest, NewOutcome, Origin, Precondition, PutManifest, Records,
    Redacted, Right, TagRecord, Use,
};

/// So little that all bounds are met.
const BOUNDS: DocumentBounds = DocumentBounds {
    documents: 2,
    bytes: 700,
    versions: 3,
    deleted: 1,
};

fn names(at: usize) -> &'static str {
    if at == 0 { "alice" } else { "bob" }
}

impl Intent {
    /// Runs it; the answer, as text.
    #[allow(clippy::too_many_lines, reason = "one arm for each intent")]
    pub(super) async fn run(
        &self,
        records: &dyn Records,
        world: &World,
        now: SystemTime,
    ) -> String {
        let before = |millis: &u64| now - Duration::from_millis(*millis);
        let name = |at: &usize| &world.repositories[*at];
        let blob = |at: &usize| &world.blobs[*at].0;
        let stays = |at: &usize| {
            let stays = world.tags[*at].clone();
            Arc::new(move |tag: &Tag| *tag == stays)
        };
        match self {
            Self::PublishBlob {
                repository,
                blob,
                given,
                upload,
            } => {
                let (digest, access) = world.blobs[*blob].clone();
                let new = NewBlob {
                    digest,
                    access,
                    repository: repository.as_ref().map(|at| name(at).clone()),
                    given: *given,
                    upload: upload.map(|at| world.uploads[at].clone()),
                };
                format!("{:?}", records.publish_blob(new).await)
            }
            Self::Link(from, to, at) => {
                let right = from.map_or(Right::Vouched, |from| Right::Of(name(&from).clone()));
                let linked = records.link_blob(right, name(to), blob(at)).await;
                format!("{linked:?}")
            }
            Self::LinkGiven(to, at) => {
                let host = name(to).as_str().split('/').next().unwrap_or("").to_owned();
                let given = records.is_given(&host, blob(at)).await;
                let right = Right::Given(host);
                let linked = records.link_blob(right, name(to), blob(at)).await;
                format!("{given:?} {linked:?}")
            }
            Self::DeleteBlob(r, at) => {
                format!("{:?}", records.delete_blob(name(r), blob(at)).await)
            }
            Self::DeleteBlobUnless(r, at, tag) => {
                let deleted = records.delete_blob_unless(name(r), blob(at), stays(tag));
                format!("{:?}", deleted.await)
            }
            Self::ForgetBlob(at) => format!("{:?}", records.forget_blob(blob(at)).await),
            Self::PutLayerNeeds(at, rule) => {
                let needs = format!("by {rule}");
                format!(
                    "{:?}",
                    records.put_layer_needs(blob(at), *rule, needs).await
                )
            }
            Self::PublishManifest {
                repository,
                document,
                origin,
                tag,
                fixed,
                require,
                by,
                sources,
                mount_from,
            } => {
                let tags: Vec<Tag> = tag.iter().map(|at| world.tags[*at].clone()).collect();
                let options = PutManifest {
                    fixed: if *fixed { tags.clone() } else { Vec::new() },
                    tags,
                    origin: *origin,
                    account: Some(names(*sources).to_owned()),
                    sources: match origin {
                        Origin::Pushed => Vec::new(),
                        Origin::Upstream | Origin::Derived => world.sources(*sources),
                    },
                    etag: Some(format!("\"{by}\"")),
                    require_references: *require,
                    brought_by: *by,
                    mount_from: mount_from.iter().map(|at| name(at).clone()).collect(),
                };
                let document = &world.documents[*document];
                let new = NewManifest::new(name(repository), document, options);
                format!("{:?}", records.publish_manifest(new).await)
            }
            Self::DeleteManifest(r, d) => {
                let deleted = records.delete_manifest(name(r), world.digest(*d)).await;
                format!("{deleted:?}")
            }
            Self::DeleteManifestUnless(r, d, tag) => {
                let deleted = records.delete_manifest_unless(name(r), world.digest(*d), stays(tag));
                format!("{:?}", deleted.await)
            }
            Self::SetTag(r, t, d) => {
                let record = TagRecord {
                    digest: world.digest(*d).clone(),
                    origin: Origin::Upstream,
                    checked_at: now,
                    etag: None,
                };
                let set = records.set_tag(name(r), &world.tags[*t], record).await;
                format!("{set:?}")
            }
            Self::RecheckTag(r, t, d) => {
                let (tag, etag) = (&world.tags[*t], Some("again".to_owned()));
                let done = records.recheck_tag(name(r), tag, world.digest(*d), now, etag);
                format!("{:?}", done.await)
            }
            Self::DeleteTag(r, t) => {
                format!("{:?}", records.delete_tag(name(r), &world.tags[*t]).await)
            }
            Self::BeginUpload(u, r) => {
                // Their names are never used twice.
                let known = records.upload(&world.uploads[*u]).await.unwrap();
                if known.is_some() {
                    return format!("{known:?}");
                }
                format!(
                    "{:?}",
                    records.begin_upload(&world.uploads[*u], name(r)).await
                )
            }
            Self::EndUpload(u) => format!("{:?}", records.end_upload(&world.uploads[*u]).await),
            Self::Release(r) => format!("{:?}", records.release_name(name(r)).await),
            Self::SetCompatibility(r, d, some) => {
                let artifact = some.then(|| world.documents[5].descriptor());
                let set = records.set_compatibility(name(r), world.digest(*d), artifact.as_ref());
                format!("{:?}", set.await)
            }
            Self::RecordOutcome(key, r, d, bytes) => {
                let (key, digest) = (&world.keys[*key], world.digest(*d));
                let outcome = outcome(key, name(r), digest, *bytes);
                let published = records.publish_outcome(outcome).await;
                format!("{published:?} {:?}", records.derived(key).await)
            }
            Self::PublishOutcome {
                key,
                repository,
                blob,
                documents,
                require,
            } => {
                let (digest, access) = world.blobs[*blob].clone();
                let blob = NewBlob {
                    digest,
                    access,
                    repository: Some(name(repository).clone()),
                    given: false,
                    upload: None,
                };
                // The second may be refused: then nothing of the first stays.
                let last = PutManifest {
                    require_references: *require,
                    ..PutManifest::pushed(Vec::new())
                };
                let options = [PutManifest::derived(world.sources(0)), last];
                let manifests = documents.iter().zip(options).map(|(at, options)| {
                    NewManifest::new(name(repository), &world.documents[*at], options)
                });
                let new = NewOutcome {
                    key: world.keys[*key].clone(),
                    repository: name(repository).clone(),
                    blobs: vec![blob],
                    manifests: manifests.collect(),
                    served: world.digest(documents[1]).clone(),
                    bytes: 10,
                };
                format!("{:?}", records.publish_outcome(new).await)
            }
            Self::Pin(r, d, most) => {
                let pinned = records.pin(name(r), world.digest(*d), *most).await;
                format!("{pinned:?}")
            }
            Self::Unpin(r, d) => {
                format!("{:?}", records.unpin(name(r), world.digest(*d)).await)
            }
            Self::EvictDerived(bytes, of_one_client, age, most) => {
                let eviction = DerivedEviction {
                    bytes: *bytes,
                    of_one_client: *of_one_client,
                    unused_since: before(age),
                };
                let evicted = records.evict_derived(eviction, *most).await;
                format!(
                    "{:?}",
                    evicted.map(|mut evicted| {
                        evicted.blobs.sort();
                        evicted
                    })
                )
            }
            Self::RemoveStale(age) => {
                let cutoff = before(age);
                let counted = records.count_stale(cutoff).await.unwrap();
                let mut removed = 0;
                loop {
                    let batch = records.stale_derived(cutoff, Cursor::default(), 100);
                    let items = batch.await.unwrap().items;
                    let gone = records.remove_stale(items, cutoff).await.unwrap();
                    removed += gone;
                    if gone == 0 {
                        break;
                    }
                }
                assert_eq!(counted, removed, "said, and done");
                format!("{removed}")
            }
            Self::Use(r, d, by) => {
                let used = Use {
                    repository: name(r).clone(),
                    digest: world.digest(*d).clone(),
                    at: now,
                    by: *by,
                };
                format!("{:?}", records.record_use(vec![used]).await)
            }
            Self::Evict(r, d, age) => {
                let digest = world.digest(*d);
                format!(
                    "{:?}",
                    records.evict_manifest(name(r), digest, before(age)).await
                )
            }
            Self::EvictUnreferenced(linked, given) => {
                let evicted = records.evict_unreferenced(before(linked), before(given), 2);
                format!("{:?}", evicted.await)
            }
            Self::RemoveLinks(age) => {
                let cutoff = before(age);
                let links = records.unneeded_links(cutoff, Cursor::default(), 3);
                let links = links.await.unwrap().items;
                format!("{:?}", records.remove_links(links, cutoff).await)
            }
            Self::RemoveBlobs(age) => {
                let mut removed = Vec::new();
                for (digest, _) in &world.blobs {
                    removed.push(records.remove_blob(digest, before(age)).await.unwrap());
                }
                format!("{removed:?}")
            }
            Self::RemoveRepositories(age) => {
                format!("{:?}", records.remove_empty_repositories(before(age)).await)
            }
            Self::AddAccount(at) => {
                let hash = Redacted::new("hash".to_owned());
                format!(
                    "{:?}",
                    records.add_account(names(*at), "puller", hash).await
                )
            }
            Self::SetRole(at) => format!("{:?}", records.set_role(names(*at), "admin").await),
            Self::SetPassword(at) => {
                let hash = Redacted::new("other".to_owned());
                format!("{:?}", records.set_password(names(*at), hash).await)
            }
            Self::RemoveAccount(at) => {
                format!("{:?}", records.remove_account(names(*at)).await)
            }
            Self::Secret(at, byte) => {
                let secret = records.secret(names(*at), Redacted::new([*byte; 32])).await;
                format!("{:?}", secret.map(|secret| *secret.expose()))
            }
            Self::ChangeDocument(at, text, when) => {
                let (kind, name) = DOCUMENT_NAMES[*at];
                let change = DocumentChange {
                    kind,
                    name: name.to_owned(),
                    text: text.map(|size| "ä".repeat(usize::from(size))),
                    account: names(*at % 2).to_owned(),
                    precondition: match when {
                        0 => Precondition::Absent,
                        1 => Precondition::Present,
                        version => Precondition::Version(u64::from(*version) - 1),
                    },
                };
                format!("{:?}", records.change_document(change, BOUNDS).await)
            }
            Self::Node(intent) => intent.run(records, now).await,
            Self::AddDemand {
                tag,
                target,
                known,
                pulls,
                nodes,
                day,
            } => {
                let key = DemandKey {
                    repository: world.repositories[0].clone(),
                    tag: world.tags[*tag].clone(),
                    target: format!("zen{target}"),
                    gpu: String::new(),
                    got: match target {
                        0 => DemandGot::Nothing,
                        1 => DemandGot::Generic,
                        _ => DemandGot::Build("zen".to_owned()),
                    },
                };
                let count = DemandCount {
                    key,
                    known: *known,
                    pulls: *pulls,
                    bytes: pulls << 52,
                    nodes: nodes.clone(),
                };
                let bounds = DemandBounds {
                    keys: 4,
                    nodes: 2,
                    since: day - 3,
                };
                format!("{:?}", records.add_demand(vec![count], *day, bounds).await)
            }
            Self::BeginEpoch(epoch, bad) => {
                let suspect = bad.then(|| "one of them is older".to_owned());
                let known: Option<Known> = records.identity().await.unwrap();
                let store = known.map_or_else(|| "store".to_owned(), |known| known.store);
                format!("{:?}", records.begin_epoch(store, *epoch, suspect).await)
            }
            Self::FinishEpoch(epoch) => {
                // Never before one began.
                if records.identity().await.unwrap().is_none() {
                    return String::new();
                }
                format!("{:?}", records.finish_epoch(*epoch).await)
            }
            Self::SetSuspect(bad) => {
                let suspect = bad.then(|| "something".to_owned());
                format!("{:?}", records.set_suspect(suspect).await)
            }
        }
    }
}
