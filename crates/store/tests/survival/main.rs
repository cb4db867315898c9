//! Random work under random failures: whatever happened, what was acknowledged is there.
//!
//! The oracle is a list of what was acknowledged, kept apart from the store. Failures are kills
//! and errors at any step, files and folders that go and come back, and half a restore that is
//! put right afterwards. `PROPTEST_CASES` sets how many sequences are tried.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod steps;
#[path = "../support/mod.rs"]
mod support;
mod world;

use proptest::prelude::*;
use steps::{Failure, Step, Work, step};
use world::World;

fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 60, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn what_was_acknowledged_survives_whatever_happens(
        steps in prop::collection::vec(step(), 1..16),
    ) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            for step in &steps {
                world.step(*step).await;
                world.audit().await;
            }
            world.step(Step::Restart).await;
            world.audit().await;
            world.store.close().await;
        });
    }
}

#[tokio::test]
async fn half_a_restore_may_collect_what_no_manifest_names_and_nothing_else() {
    let mut world = World::new().await;
    for step in [
        Step::Do(Work::Push(1), Failure::None),
        Step::Do(Work::Begin(0), Failure::None),
        Step::Do(Work::Finish, Failure::None),
        Step::Do(Work::Backup, Failure::None),
        Step::Half(true),
    ] {
        world.step(step).await;
        world.audit().await;
    }
    world.store.close().await;
}
