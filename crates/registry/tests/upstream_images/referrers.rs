//! What a failing look-up of referrers means (distribution specification, "Listing Referrers"):
//! 404 goes on to the referrers tag, a refusal means none for us, and what may pass is no answer.

use metahub_oci::ErrorCode;
use metahub_registry::{Policy, RegistryError, Unsure};
use metahub_store::Store;
use serde_json::{Value, json};

use crate::fake::{Fake, Referrers, World, index};

const COLLECTION: &str = "
manifests:
  - name: site/all
    tag: latest
    manifests:
      - image: up.test/lab/app:one
      - image: up.test/lab/app:two
";

/// A single image, an index of two, a collection of two.
const SOURCES: &[&str] = &["lab/app:one", "lab/app:both", "site/all:latest"];

fn policies() -> [Policy; 2] {
    let serve = Policy {
        unknown: Unsure::Serve,
        ..Policy::default()
    };
    [Policy::default(), serve]
}

/// An upstream with both images and their index.
async fn upstream(referrers: Referrers) -> (Fake, [Value; 2]) {
    let fake = Fake::start(referrers).await;
    let one = fake.image("one", &json!({}), &["one"]);
    let two = fake.image("two", &json!({}), &["two"]);
    let entry = |image: &Value| {
        let mut entry = image.clone();
        entry["platform"] = json!({"os": "linux", "architecture": "amd64"});
        entry
    };
    fake.document(&index(&[entry(&one), entry(&two)]), &["both"]);
    (fake, [one, two])
}

async fn is_unavailable(world: &World, image: &str, case: &str) {
    let error = world.pull(image, "haswell").await.unwrap_err();
    assert!(
        !matches!(error.root(), RegistryError::NothingFits { .. }),
        "{case}: {error}"
    );
    assert_eq!(error.code(), ErrorCode::Unavailable, "{case}: {error}");
    assert!(error.retry_after().is_some(), "{case}: {error}");
}

#[tokio::test]
async fn where_there_is_no_api_the_referrers_tag_counts() {
    for policy in policies() {
        for image in SOURCES {
            let (fake, images) = upstream(Referrers::Status(404)).await;
            for one in &images {
                fake.requires_avx512(one);
            }
            let world = fake.registry(policy, COLLECTION).await;
            let refused = world.pull(image, "haswell").await.unwrap_err();
            assert!(
                matches!(refused.root(), RegistryError::NothingFits { .. }),
                "{image}: {refused}"
            );
            world.pull(image, "zen4").await.unwrap();
            assert_eq!(world.registry.counts().referrers_refused, 0);
        }
    }
}

#[tokio::test]
async fn an_upstream_that_refuses_to_tell_has_none_for_us_and_is_counted() {
    for status in [400, 401, 403, 405, 406, 410, 501] {
        for policy in policies() {
            for image in SOURCES {
                let case = format!("{status} {image}");
                let (fake, _) = upstream(Referrers::Status(status)).await;
                let world = fake.registry(policy, COLLECTION).await;
                let served = world.pull(image, "haswell").await;
                let served = served.unwrap_or_else(|error| panic!("{case}: {error}"));
                assert_eq!(served.warning, None, "{case}");
                let counted = world.registry.counts().referrers_refused;
                let images = if *image == "lab/app:one" { 1 } else { 2 };
                assert_eq!(counted, images, "{case}");
                fake.asked_for("");
                world.pull(image, "zen3").await.unwrap();
                assert_eq!(
                    fake.asked_for("/referrers/"),
                    0,
                    "{case}: it was asked again"
                );
            }
        }
    }
}

#[tokio::test]
async fn where_an_upstream_fails_it_is_not_known_what_fits_and_nothing_is_kept() {
    let passing = [429, 500, 502, 503, 504].map(Referrers::Status);
    for mode in passing
        .into_iter()
        .chain([Referrers::Close, Referrers::Never])
    {
        for policy in policies() {
            for image in SOURCES {
                let case = format!("{mode:?} {image}");
                let (fake, _) = upstream(mode).await;
                let world = fake.registry(policy, COLLECTION).await;
                is_unavailable(&world, image, &case).await;
                fake.answer_referrers_with(Referrers::Status(404));
                let served = world.pull(image, "haswell").await;
                served.unwrap_or_else(|error| panic!("{case}, mended: {error}"));
                if matches!(mode, Referrers::Never) {
                    // Waiting for nothing takes long: one policy will do.
                    break;
                }
            }
        }
    }
}

#[tokio::test]
async fn one_entry_that_cannot_be_told_about_does_not_take_away_what_others_have() {
    let (fake, _) = upstream(Referrers::Status(503)).await;
    let catalog = "
manifests:
  - name: site/all
    tag: latest
    manifests:
      - image: up.test/lab/app:one
      - image: up.test/lab/app:two
        platform: {os: linux, architecture: amd64, features: []}
";
    let world = fake.registry(Policy::default(), catalog).await;
    world.pull("site/all:latest", "haswell").await.unwrap();
}

#[tokio::test]
async fn what_an_image_requires_does_not_depend_on_who_asked_first() {
    let (fake, images) = upstream(Referrers::Status(404)).await;
    fake.requires_avx512(&images[0]);
    let store = Store::temporary().await.unwrap();
    let world = fake.registry_on(store, Policy::default(), COLLECTION);
    for login in ["zen4", "haswell", "icelake", "haswell"] {
        let served = world.pull("lab/app:one", login).await.is_ok();
        assert_eq!(served, login != "haswell", "{login}");
    }
}
