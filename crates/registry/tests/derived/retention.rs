//! How long derived content stays: one test for each row of the table in
//! `docs/decisions/derived-content-is-kept-for-a-time.md`.

use std::net::{IpAddr, Ipv4Addr};
use std::time::{Duration, Instant};

use metahub_oci::ImageReference;
use metahub_store::GcOptions;

use super::*;

/// Long enough for no test, and too short for every one.
const LONG: Duration = Duration::from_secs(90 * 24 * 60 * 60);
const SHORT: Duration = Duration::from_millis(1);

/// What a cluster pulled, and a digest of it that it may ask for again.
struct Pulled {
    index: Digest,
    children: Vec<Digest>,
}

async fn world(keep: Duration, bound: u64) -> World {
    let mut settings = Settings::default();
    settings.cache.keep_derived = keep;
    settings.cache.derived = bound;
    let store = Store::temporary().await.unwrap();
    World::with(store, settings).await.filled().await
}

impl World {
    async fn pulled(&self, login: &str) -> Pulled {
        let served = self.pull_as(login, "lab/app:latest", Accepts::IndexOnly);
        Pulled::of(&served.await.unwrap())
    }

    /// The same for a client without an account at an address.
    async fn pulled_by(&self, client: u8, login: &str) -> Pulled {
        let profile = self.catalog.interpret(login, &|_| false).unwrap().profile;
        let (app, tag): (RepositoryName, Tag) = (name("lab/app"), "latest".parse().unwrap());
        let client = IpAddr::from(Ipv4Addr::new(192, 0, 2, client));
        let operator = self.registry.operator().as_client(client);
        let repository = operator.read(&app);
        let served = repository.tagged(&tag, &profile, Accepts::IndexOnly);
        Pulled::of(&served.await.unwrap())
    }

    async fn is_there(&self, digest: &Digest) -> bool {
        let app = name("lab/app");
        let stored = self.registry.store().manifest(&app, digest).await.unwrap();
        stored.is_some()
    }

    /// Whether a pull by digest gets everything: index, manifests, configurations and layers.
    async fn is_whole(&self, pulled: &Pulled) -> bool {
        let (app, operator) = (name("lab/app"), self.registry.operator());
        let repository = operator.read(&app);
        if !self.is_there(&pulled.index).await {
            return false;
        }
        for child in &pulled.children {
            let Ok(served) = repository.manifest(child).await else {
                return false;
            };
            let Document::Manifest(manifest) = Document::parse(served.bytes, None).unwrap() else {
                panic!("a manifest")
            };
            for blob in manifest.config().into_iter().chain(manifest.layers()) {
                if repository.blob(blob.digest()).await.is_err() {
                    return false;
                }
            }
        }
        true
    }

    /// The regular upkeep, some milliseconds later, with nothing too young.
    async fn upkeep(&self) {
        self.registry.write_usage().await.unwrap();
        let begun = Instant::now();
        while begun.elapsed() < 3 * SHORT {}
        let now = GcOptions {
            grace: Duration::ZERO,
            dry_run: false,
        };
        self.registry.collect_garbage(&now).await.unwrap();
    }

    async fn pin(&self, digest: &Digest) {
        let pinned = self.registry.pin(&image(digest)).await.unwrap();
        assert_eq!(pinned.image, format!("lab/app@{digest}"));
    }

    /// Tags a derived index, as a client does that pushes it again.
    async fn tag(&self, digest: &Digest, tag: &str) {
        let (app, operator) = (name("lab/app"), self.registry.operator());
        let served = operator.read(&app).manifest(digest).await.unwrap();
        let tag: Tag = tag.parse().unwrap();
        let push = operator.push(&app).unwrap();
        let media_type = Some(&served.media_type);
        let reference = tag.into();
        let pushed = push.push_manifest(&reference, media_type, served.bytes, vec![]);
        pushed.await.unwrap();
    }

    /// Deletes everything that was pushed to `lab/app`.
    async fn delete_source(&self) {
        let (app, operator) = (name("lab/app"), self.registry.operator());
        let tags = self.registry.store().tags(&app, None, 100).await.unwrap();
        for tag in tags.items {
            let found = self.registry.store().tag(&app, &tag).await.unwrap();
            let digest = found.unwrap().digest.clone();
            let repository = operator.delete(&app).unwrap();
            repository.delete_manifest(&digest).await.unwrap();
        }
    }

    /// Derives many other outcomes.
    async fn many_others(&self) {
        for cpu in ["zen2", "cascadelake", "cpu=x86_64_v3"] {
            for layers in [
                "two",
                "three",
                "four",
                "two+three",
                "three+four",
                "two+four",
            ] {
                self.pulled(&format!("{cpu}+{layers}")).await;
            }
        }
    }
}

impl Pulled {
    fn of(served: &Served) -> Self {
        let document = Document::parse(served.bytes.clone(), None).unwrap();
        let Document::Index(index) = document else {
            panic!("an index")
        };
        let children = index.manifests().iter().map(|child| child.digest().clone());
        Self {
            index: served.digest.clone(),
            children: children.collect(),
        }
    }
}

fn image(digest: &Digest) -> ImageReference {
    format!("lab/app@{digest}").parse().unwrap()
}

const ROOM: u64 = 1024 * 1024 * 1024;
/// Room for a few outcomes.
const FEW: u64 = 20_000;

#[tokio::test]
async fn what_was_not_used_for_its_time_goes_in_the_regular_upkeep() {
    for (keep, stays) in [(SHORT, false), (LONG, true), (Duration::ZERO, true)] {
        let world = world(keep, ROOM).await;
        let pulled = world.pulled("zen3+one").await;
        world.upkeep().await;
        assert_eq!(world.is_whole(&pulled).await, stays, "{keep:?}");
        // Its tag leads to the same again.
        assert_eq!(world.pulled("zen3+one").await.index, pulled.index);
    }
}

#[tokio::test]
async fn a_use_by_the_digest_of_a_child_is_one_of_its_index() {
    let world = world(LONG, ROOM).await;
    let pulled = world.pulled("zen3+one").await;
    let other = world.pulled("zen3+two").await;
    world.registry.write_usage().await.unwrap();
    let begun = Instant::now();
    while begun.elapsed() < 3 * SHORT {}
    let (app, operator) = (name("lab/app"), world.registry.operator());
    let child = operator.read(&app).manifest(&pulled.children[0]).await;
    child.unwrap();
    world.registry.write_usage().await.unwrap();
    let store = world.registry.store();
    let total = store.derived_total().await.unwrap();
    store.evict_derived(total.bytes * 3 / 4).await.unwrap();
    assert!(world.is_whole(&pulled).await);
    assert!(!world.is_there(&other.index).await);
}

#[tokio::test]
async fn what_is_pinned_outlasts_its_time_the_bound_collections_and_its_source() {
    let world = world(SHORT, FEW).await;
    let pulled = world.pulled("zen3+one").await;
    world.pin(&pulled.index).await;
    world.many_others().await;
    world.upkeep().await;
    world.delete_source().await;
    world.upkeep().await;
    assert!(world.is_whole(&pulled).await);
    let total = world.registry.store().derived_total().await.unwrap();
    assert_eq!(total.records, 0, "what is pinned does not count");
    // The pin of one goes with it, and once it is gone nothing holds the content.
    assert!(world.registry.unpin(&image(&pulled.index)).await.unwrap());
    assert!(!world.registry.unpin(&image(&pulled.index)).await.unwrap());
    world.upkeep().await;
    assert!(!world.is_there(&pulled.index).await);
    assert!(!world.is_there(&pulled.children[0]).await);
}

#[tokio::test]
async fn a_pinned_child_outlasts_its_index() {
    let world = world(SHORT, ROOM).await;
    let pulled = world.pulled("zen3+one").await;
    let child = &pulled.children[0];
    world.pin(child).await;
    world.upkeep().await;
    assert!(!world.is_there(&pulled.index).await);
    let (index, children) = (child.clone(), vec![child.clone()]);
    assert!(world.is_whole(&Pulled { index, children }).await);
}

#[tokio::test]
async fn what_is_tagged_outlasts_its_time_the_bound_collections_and_its_source() {
    let world = world(SHORT, FEW).await;
    let pulled = world.pulled("zen3+one").await;
    world.tag(&pulled.index, "kept").await;
    world.many_others().await;
    world.upkeep().await;
    assert!(world.is_whole(&pulled).await);
    let total = world.registry.store().derived_total().await.unwrap();
    assert_eq!(total.records, 0, "its record went");
    let store = world.registry.store();
    let (app, kept): (RepositoryName, Tag) = (name("lab/app"), "kept".parse().unwrap());
    for tag in store.tags(&app, None, 100).await.unwrap().items {
        if tag != kept {
            store.delete_tag(&app, &tag).await.unwrap();
        }
    }
    world.upkeep().await;
    assert!(world.is_whole(&pulled).await);
    // A pin and a tag each let it stay; without both it is deleted like anything that was pushed.
    let (app, operator) = (name("lab/app"), world.registry.operator());
    world.pin(&pulled.index).await;
    let repository = operator.delete(&app).unwrap();
    repository.delete_manifest(&pulled.index).await.unwrap();
    assert!(!world.is_there(&pulled.index).await, "deleted by its name");
    assert!(world.registry.pinned_images().await.unwrap().is_empty());
}

#[tokio::test]
async fn the_bound_wins_over_the_time() {
    let world = world(LONG, 40_000).await;
    let pulled = world.pulled("zen3+one").await;
    world.many_others().await;
    assert!(!world.is_there(&pulled.index).await);
    let total = world.registry.store().derived_total().await.unwrap();
    assert!(total.bytes <= 40_000, "{total:?}");
}

#[tokio::test]
async fn above_the_share_of_clients_without_an_account_theirs_goes_first() {
    const BOUND: u64 = 30_000;
    let world = world(LONG, BOUND).await;
    // Used least recently, by somebody with an account; and what two clients asked for.
    let ours = world.pulled("zen3+one").await;
    let shared = world.pulled_by(1, "zen3+two").await;
    world.pulled_by(2, "zen3+two").await;
    world.registry.write_usage().await.unwrap();
    let mut first = None;
    for cpu in ["zen2", "cascadelake", "cpu=x86_64_v3", "zen3"] {
        for layers in [
            "three",
            "four",
            "three+four",
            "four+three",
            "three+one",
            "four+one",
        ] {
            let theirs = world.pulled_by(1, &format!("{cpu}+{layers}")).await;
            first.get_or_insert(theirs);
            let total = world.registry.store().derived_total().await.unwrap();
            assert!(total.bytes <= BOUND);
        }
    }
    assert!(!world.is_there(&first.unwrap().index).await);
    assert!(world.is_whole(&ours).await);
    assert!(world.is_whole(&shared).await);
}

#[tokio::test]
async fn a_source_that_is_gone_wins_over_the_time() {
    let world = world(LONG, ROOM).await;
    let pulled = world.pulled("zen3+one").await;
    world.upkeep().await;
    assert!(world.is_whole(&pulled).await);
    world.delete_source().await;
    world.upkeep().await;
    assert!(!world.is_there(&pulled.index).await);
    assert!(!world.is_there(&pulled.children[0]).await);
}

#[tokio::test]
async fn only_what_is_here_is_pinned_and_by_its_digest() {
    let world = world(LONG, ROOM).await;
    let absent = world.registry.pin(&image(&Digest::sha256(b"absent"))).await;
    let problem = absent.unwrap_err().to_string();
    assert!(problem.contains("pull it first"), "{problem}");
    let by_tag = world.registry.pin(&"lab/app:latest".parse().unwrap()).await;
    let problem = by_tag.unwrap_err().to_string();
    assert!(problem.contains("NAME@DIGEST"), "{problem}");
    let pulled = world.pulled("zen3+one").await;
    world.pin(&pulled.index).await;
    world.pin(&pulled.index).await;
    let pins = world.registry.pinned_images().await.unwrap();
    assert_eq!(pins.len(), 1);
    assert_eq!(pins[0].image, format!("lab/app@{}", pulled.index));
}
