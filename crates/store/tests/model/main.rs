//! The store against a model that a child could check: whatever the order of operations, restarts
//! and garbage collections, the two say the same.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod run;
mod step;
#[path = "../support/mod.rs"]
mod support;

use metahub_store::ScrubOptions;
use proptest::prelude::*;
use run::{Model, Run, World};
use step::{Step, step};
use support::{Kind, fast_folder};

/// How many sequences are tried; `PROPTEST_CASES` sets another number.
fn cases() -> u32 {
    let set = std::env::var("PROPTEST_CASES").ok();
    set.and_then(|cases| cases.parse().ok()).unwrap_or(24)
}

async fn check(kind: Kind, steps: &[Step]) {
    let world = World::new();
    let folder = fast_folder();
    let store = kind.open(folder.path()).await;
    let mut run = Run {
        kind,
        world: &world,
        model: Model::default(),
        store,
        folder,
    };
    for step in steps {
        run.step(step).await;
        run.audit().await;
    }
    run.step(&Step::Reopen).await;
    run.audit().await;
    let report = run
        .store
        .scrub(ScrubOptions::default(), |_| {})
        .await
        .unwrap();
    assert_eq!(
        (report.blobs, report.manifests, report.database),
        (vec![], vec![], vec![])
    );
    let staged = std::fs::read_dir(run.folder.path().join("staging"));
    assert_eq!(staged.map_or(0, Iterator::count), 0);
}

proptest! {
    #![proptest_config(ProptestConfig { max_shrink_iters: 200, ..ProptestConfig::with_cases(cases()) })]

    #[test]
    fn the_store_says_what_the_model_says(steps in prop::collection::vec(step(), 1..40)) {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(async {
            for kind in [Kind::Files, Kind::Memory] {
                check(kind, &steps).await;
            }
        });
    }
}
