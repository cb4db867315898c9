//! What hardware is served, held against an oracle that knows nothing of the code: a table of
//! which machine runs which CPU target, and a rule of a few lines. Sources are generated: single
//! images, indexes, indexes within indexes, collections of all of these.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod oracle;
mod single;
mod world;

use std::collections::HashMap;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use metahub_catalog::Catalog;
use metahub_oci::{Digest, Document, ImageReference, MediaType, Reference, RepositoryName};
use metahub_registry::{Accepts, Policy, Registry, RegistryError, Settings, Unsure};
use metahub_store::Store;
use metahub_upstream::{Upstreams, UpstreamsConfig};
use serde_json::{Value, json};
use tokio::sync::watch;

use oracle::*;
use world::*;

#[tokio::test]
async fn no_machine_is_served_what_it_cannot_run_and_every_one_what_fits() {
    assert!(run(0x5eed_0001, Policy::default()).await > 2_500);
}

#[tokio::test]
async fn with_unstated_refused_nothing_is_served_that_is_not_known_to_run() {
    let policy = Policy {
        unstated: Unsure::Refuse,
        ..Policy::default()
    };
    assert!(run(0x5eed_0002, policy).await > 2_500);
}

#[tokio::test]
async fn with_unknown_served_what_cannot_be_read_requires_nothing_and_all_else_holds() {
    let policy = Policy {
        unknown: Unsure::Serve,
        ..Policy::default()
    };
    assert!(run(0x5eed_0003, policy).await > 2_500);
}

/// Holds every machine against every source of a generated world; returns how many cases.
async fn run(seed: u64, policy: Policy) -> usize {
    let mut random = Random(seed);
    let mut world = World::new(policy).await;
    for at in 0..120 {
        world.image(at, &mut random).await;
    }
    world.others().await;
    for at in 0..120 {
        let most = if at % 10 == 0 { 60 } else { 6 };
        world.index(at, most, &mut random).await;
    }
    let collections = world.collections(60, &mut random);
    let tags = world
        .tags
        .iter()
        .map(|(tag, leaders)| (format!("{REPOSITORY}:{tag}"), leaders.clone()));
    let sources: Vec<(String, Leaders)> = tags.chain(collections).collect();
    let cases = sources.iter().flat_map(|(image, leaders)| {
        (0..MACHINES.len()).map(move |machine| (image, leaders, machine))
    });
    let count = sources.len() * MACHINES.len();
    let (of_world, policy) = (&world, &policy);
    // Many at once, so that the store writes what they derive together.
    let seen: Vec<Runs> = stream::iter(cases)
        .map(|(image, leaders, machine)| of_world.holds(image, leaders, machine, policy))
        .buffer_unordered(64)
        .collect()
        .await;
    assert_eq!(seen.len(), count);
    for runs in [Runs::Yes, Runs::No] {
        let some = seen.iter().filter(|one| **one == runs).count();
        assert!(some > 100, "{runs:?} {some} times of {count}");
    }
    let perhaps = seen.iter().filter(|one| **one == Runs::Perhaps).count();
    let refused = policy.unstated == Unsure::Refuse;
    assert!(refused == (perhaps == 0), "{perhaps} of {count}");
    count
}
