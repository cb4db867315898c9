//! Every query of the records.

use std::fmt::Debug;
use std::time::{Duration, SystemTime};

use metahub_oci::Algorithm;

use super::intents::DOCUMENT_NAMES;
use super::nodes::secret_hash;
use super::world::World;
use crate::records::{Answer, Batch, CandidatesAfter, Cursor, Records, Which};

/// Reads all batches of a list.
async fn batches<'r, T: Debug>(mut next: impl FnMut(Cursor) -> Answer<'r, Batch<T>>) -> Vec<T> {
    let (mut items, mut after) = (Vec::new(), Some(Cursor::default()));
    while let Some(from) = after {
        let batch = next(from).await.unwrap();
        assert!(batch.next.is_none_or(|next| next > from), "it goes on");
        after = batch.next;
        items.extend(batch.items);
    }
    items
}

/// Everything, as texts that say what was asked.
pub(super) async fn all(records: &dyn Records, world: &World, now: SystemTime) -> Vec<String> {
    let mut answers = whole(records, world, now).await;
    for day in [0, 3] {
        answers.push(format!(
            "demand since {day}: {:?}",
            records.demand(day).await
        ));
    }
    for name in &world.repositories {
        answers.extend(of_repository(records, world, name).await);
    }
    for (digest, _) in &world.blobs {
        answers.push(format!(
            "stored {digest}: {:?}",
            records.stored_blob(digest).await
        ));
        answers.push(format!(
            "is stored {digest}: {:?}",
            records.is_stored(digest).await
        ));
        let holders = records.repositories_with_blob(digest, 3).await;
        answers.push(format!("holders of {digest}: {holders:?}"));
        for host in ["quay.io", "ghcr.io", "lab"] {
            let given = records.is_given(host, digest).await;
            answers.push(format!("{digest} given by {host}: {given:?}"));
        }
        let affected = records.affected_by_blob(digest).await;
        answers.push(format!("affected by {digest}: {affected:?}"));
        for rule in 1..3 {
            let needs = records.layer_needs(digest, rule).await;
            answers.push(format!("needs of {digest} by {rule}: {needs:?}"));
        }
        let named = records.is_file_named(digest).await;
        answers.push(format!("is file {digest} named: {named:?}"));
        let first = u8::from_str_radix(&digest.hex()[..2], 16).unwrap();
        let named = records.files_named(Algorithm::Sha256, first).await;
        let mut named: Vec<_> = named.unwrap().into_iter().collect();
        named.sort();
        answers.push(format!("files named {first}: {named:?}"));
    }
    for document in &world.documents {
        let affected = records.affected_by_manifest(document.digest()).await;
        answers.push(format!("affected by {}: {affected:?}", document.digest()));
    }
    for key in &world.keys {
        answers.push(format!("derived {key}: {:?}", records.derived(key).await));
    }
    for upload in &world.uploads {
        answers.push(format!(
            "upload {upload}: {:?}",
            records.upload(upload).await
        ));
    }
    answers
}

async fn whole(records: &dyn Records, world: &World, now: SystemTime) -> Vec<String> {
    let mut answers = Vec::new();
    let repositories = records.repositories(None, 3).await;
    answers.push(format!("repositories: {repositories:?}"));
    let after = records.repositories(Some("lab"), 10).await;
    answers.push(format!("repositories behind lab: {after:?}"));
    answers.push(format!(
        "local names: {:?}",
        records.local_names(None, 2).await
    ));
    let after = records.local_names(Some(&world.repositories[2]), 9).await;
    answers.push(format!("local names behind: {after:?}"));
    answers.push(format!("uploads: {:?}", records.uploads().await));
    answers.push(format!("derived: {:?}", records.derived_total().await));
    let theirs = records.derived_of_one_client().await;
    answers.push(format!("derived of one client: {theirs:?}"));
    answers.push(format!("pins: {:?}", records.pins().await));
    answers.push(format!("cached: {:?}", records.cached_bytes().await));
    let one = records.bytes_of_one_client().await;
    answers.push(format!("of one client: {one:?}"));
    answers.push(format!("content: {:?}", records.count_content().await));
    answers.push(format!("integrity: {:?}", records.check_integrity().await));
    answers.push(format!(
        "missing: {:?}",
        records.missing_references(7).await
    ));
    answers.push(format!("anything: {:?}", records.holds_anything().await));
    answers.push(format!("sample: {:?}", records.sample_of_files().await));
    answers.push(format!("identity: {:?}", records.identity().await));
    answers.push(format!("suspect: {:?}", records.suspect().await));
    answers.push(format!("accounts: {:?}", records.accounts().await));
    answers.push(format!("documents: {:?}", records.documents().await));
    for (kind, name) in DOCUMENT_NAMES {
        let history = records.document_history(kind, name).await;
        answers.push(format!("history of {kind} {name}: {history:?}"));
        for version in [None, Some(1), Some(2)] {
            let found = records.document(kind, name, version).await;
            answers.push(format!("{kind} {name} {version:?}: {found:?}"));
        }
    }
    answers.push(format!("nodes: {:?}", records.nodes().await));
    answers.push(format!("join tokens: {:?}", records.join_tokens().await));
    for name in ["alice", "bob"] {
        answers.push(format!("node {name}: {:?}", records.node(name).await));
        let found = records.node_by_token(secret_hash(name)).await;
        let token = records.join_token(secret_hash(name)).await;
        answers.push(format!("join token {name}: {token:?}"));
        answers.push(format!("node with the token of {name}: {found:?}"));
    }
    answers.push(format!("alice: {:?}", records.account("alice").await));
    for (host, of_one_client) in [(None, false), (Some("quay.io"), false), (None, true)] {
        let which = Which {
            host,
            of_one_client,
        };
        // All of them, page by page, in order.
        let (mut after, mut candidates) = (CandidatesAfter::default(), Vec::new());
        loop {
            let (found, next) = records.eviction_candidates(which, after, 2).await.unwrap();
            if found.is_empty() {
                break;
            }
            after = next;
            candidates.extend(found);
        }
        answers.push(format!("candidates of {which:?}: {candidates:?}"));
    }
    let blobs = batches(|after| records.all_blobs(after, 2)).await;
    answers.push(format!("all blobs: {blobs:?}"));
    let manifests = batches(|after| records.all_manifests(after, 2)).await;
    answers.push(format!("all manifests: {manifests:?}"));
    for age in [0, 50] {
        let cutoff = now - Duration::from_millis(age);
        let garbage = records.count_garbage(cutoff).await;
        answers.push(format!("garbage at {age}: {garbage:?}"));
        let links = batches(|after| records.unneeded_links(cutoff, after, 2)).await;
        answers.push(format!("links at {age}: {links:?}"));
        let blobs = batches(|after| records.unlinked_blobs(cutoff, after, 2)).await;
        answers.push(format!("blobs at {age}: {blobs:?}"));
        let stale = batches(|after| records.stale_derived(cutoff, after, 2)).await;
        answers.push(format!("stale at {age}: {stale:?}"));
        let counted = records.count_stale(cutoff).await;
        answers.push(format!("stale in the end at {age}: {counted:?}"));
    }
    answers
}

async fn of_repository(
    records: &dyn Records,
    world: &World,
    name: &metahub_oci::RepositoryName,
) -> Vec<String> {
    let mut answers = Vec::new();
    answers.push(format!("{name}: {:?}", records.has_repository(name).await));
    answers.push(format!(
        "{name} is local: {:?}",
        records.is_local(name).await
    ));
    answers.push(format!(
        "{name} tags: {:?}",
        records.tags(name, None, 1).await
    ));
    let after = records.tags(name, Some("1"), 5).await;
    answers.push(format!("{name} tags behind 1: {after:?}"));
    for tag in &world.tags {
        answers.push(format!("{name}:{tag}: {:?}", records.tag(name, tag).await));
    }
    for (digest, _) in &world.blobs {
        answers.push(format!(
            "{name} blob {digest}: {:?}",
            records.blob(name, digest).await
        ));
        let sources = records.sources_of_blob(name, digest).await;
        answers.push(format!("{name} sources of {digest}: {sources:?}"));
        let naming = records.manifests_naming(name, digest, 2).await;
        answers.push(format!("{name} naming {digest}: {naming:?}"));
    }
    for document in &world.documents {
        let digest = document.digest();
        answers.push(format!(
            "{name}@{digest}: {:?}",
            records.manifest(name, digest).await
        ));
        let told = records.compatibility(name, digest).await;
        answers.push(format!("{name}@{digest} compatibility: {told:?}"));
        let tags = records.tags_leading_to(name, digest).await;
        answers.push(format!("{name}@{digest} tags: {tags:?}"));
        for artifact_type in [None, Some("application/x-signature"), Some("other")] {
            let referrers = records.referrers(name, digest, artifact_type, None, 2, 1000);
            answers.push(format!("{name}@{digest} referrers: {:?}", referrers.await));
        }
    }
    answers
}
