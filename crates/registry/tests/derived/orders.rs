//! Two registries that get the same content and the same logins, each in an order of its own, serve
//! the same bytes; every digest is that of its bytes; and a derived image is its source beside
//! what was added.

use std::collections::BTreeMap;

use super::*;

/// How many logins are made up, where the environment does not say: `METAHUB_TEST_ORDERS`.
const LOGINS: usize = 100;

/// The same login may come several times.
fn logins(random: &mut Random, count: usize) -> Vec<String> {
    let login = |random: &mut Random| {
        let cpu = ["zen3", "zen2", "cascadelake", "cpu=x86_64_v3"];
        let mut parts = vec![cpu[random.below(cpu.len())].to_owned()];
        let mut layers = vec!["one", "two", "three", "four", "below", "labels"];
        for _ in 0..random.below(4) {
            parts.push(layers.swap_remove(random.below(layers.len())).to_owned());
        }
        if random.below(2) == 0 {
            parts.push(format!("note{}=1", random.below(1_000)));
        }
        parts.join("+")
    };
    (0..count).map(|_| login(random)).collect()
}

fn shuffled<T: Clone>(random: &mut Random, all: &[T]) -> Vec<T> {
    let mut all = all.to_vec();
    for last in (1..all.len()).rev() {
        all.swap(last, random.below(last + 1));
    }
    all
}

/// A registry to which images are pushed in an order that `random` decides.
async fn filled(random: &mut Random, settings: Settings) -> World {
    let documents = format!(
        "{PROFILES}
  - {{name: below, actions: [{{name: manifest-add, event: post-manifest-get, args: {{layers: [lab/two, lab/one], position: before}}}}]}}
  - {{name: labels, actions: [{{name: config-set, event: post-manifest-get, args: {{labels: {{site: here}}, env: {{set: {{A: b}}}}}}}}]}}
"
    );
    let world = World::of(Store::temporary().await.unwrap(), settings, &documents);
    for layer in shuffled(random, &["one", "two", "three", "four"]) {
        let name = format!("lab/{layer}");
        world.image(&name, "latest", "amd64", layer).await;
        if random.below(2) == 0 {
            // Content of another, which is there before or after.
            world.image("lab/other", "latest", "arm64", layer).await;
        }
    }
    world.filled().await
}

/// All of an image as a login gets it: what each digest stands for, read as a client does.
async fn whole(world: &World, login: &str) -> (Digest, BTreeMap<String, Bytes>) {
    let app = name("lab/app");
    let served = world.pull_as(login, "lab/app:latest", Accepts::IndexOnly);
    let served = served.await.unwrap();
    let root = served.digest.clone();
    let mut all = BTreeMap::new();
    let mut waiting = vec![served];
    while let Some(served) = waiting.pop() {
        assert_eq!(Digest::sha256(&served.bytes), served.digest, "{login}");
        all.insert(served.digest.to_string(), served.bytes.clone());
        let operator = world.registry.operator();
        let repository = operator.read(&app);
        match Document::parse(served.bytes, Some(&served.media_type)).unwrap() {
            Document::Index(index) => {
                for child in index.manifests() {
                    let found = repository.manifest(child.digest()).await.unwrap();
                    assert_eq!(found.bytes.len() as u64, child.size(), "{login}");
                    waiting.push(found);
                }
            }
            Document::Manifest(manifest) => {
                let config = manifest.config().unwrap();
                let bytes = {
                    let blob = repository.blob(config.digest()).await.unwrap();
                    blob.read(1 << 20).await.unwrap()
                };
                assert_eq!(&Digest::sha256(&bytes), config.digest(), "{login}");
                assert_eq!(bytes.len() as u64, config.size(), "{login}");
                all.insert(config.digest().to_string(), bytes);
                for layer in manifest.layers() {
                    let size = repository.blob_size(layer.digest()).await.unwrap();
                    assert_eq!(size, layer.size(), "{login}");
                }
                is_its_source_with_additions(&all, &manifest);
            }
        }
    }
    (root, all)
}

/// Layers of the builds are called by what they hold.
fn is_its_source_with_additions(all: &BTreeMap<String, Bytes>, manifest: &metahub_oci::Manifest) {
    let digest = |text: &str| Digest::sha256(text.as_bytes());
    let added = ["one", "two", "three", "four"].map(digest);
    let of_source = ["clx", "zen3", "zen2", "base", "arm"].map(digest);
    let rest = |digests: Vec<Digest>| -> Vec<Digest> {
        let rest = digests.into_iter().filter(|digest| !added.contains(digest));
        rest.collect()
    };
    let layers = manifest.layers().iter().map(|layer| layer.digest().clone());
    let layers = rest(layers.collect());
    assert!(
        layers.len() == 1 && of_source.contains(&layers[0]),
        "{layers:?}"
    );
    let config: Value =
        serde_json::from_slice(&all[manifest.config().unwrap().digest().as_str()]).unwrap();
    let ids: Vec<Digest> = serde_json::from_value(config["rootfs"]["diff_ids"].clone()).unwrap();
    assert_eq!(rest(ids), layers);
}

#[tokio::test]
async fn the_same_login_gets_the_same_bytes_from_every_store_whatever_came_before() {
    let count = std::env::var("METAHUB_TEST_ORDERS");
    let count = count.map_or(LOGINS, |number| number.parse().unwrap());
    let mut random = Random(0x2545_f491_4f6c_dd1d);
    let first = filled(&mut random, Settings::default()).await;
    // The other forgets and makes again.
    let mut small = Settings::default();
    small.cache.derived = 40_000;
    let other = filled(&mut random, small).await;
    let logins = logins(&mut random, count);
    let mut seen = BTreeMap::new();
    for login in shuffled(&mut random, &logins) {
        seen.insert(login.clone(), whole(&first, &login).await);
    }
    for login in shuffled(&mut random, &logins) {
        assert_eq!(whole(&other, &login).await, seen[&login], "{login}");
    }
    let outcomes: std::collections::BTreeSet<_> = seen.values().map(|(root, _)| root).collect();
    assert!(outcomes.len() > 20, "{}", outcomes.len());
    assert!(other.registry.counts().derived_evicted > 10);
}
