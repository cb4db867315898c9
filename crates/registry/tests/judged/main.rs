//! What hardware is served, held against an oracle that knows nothing of the code: a table of
//! which machine runs which CPU target, and a rule of a few lines. Sources are generated: single
//! images, indexes, indexes within indexes, collections of all of these.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests assert by panicking"
)]

mod single;

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

/// A machine: its login, its architecture, the CPU targets that it runs, whether it has CUDA 12.
const MACHINES: &[(&str, &str, &[&str], bool)] = &[
    ("x86_64_v2", "amd64", &["x86_64", "x86_64_v2"], false),
    ("haswell", "amd64", HASWELL, false),
    ("zen2", "amd64", ZEN2, false),
    ("zen3", "amd64", ZEN3, false),
    ("zen4", "amd64", ZEN4, false),
    ("icelake", "amd64", ICELAKE, false),
    ("zen3+cuda=12.8", "amd64", ZEN3, true),
    ("icelake+cuda=12.8", "amd64", ICELAKE, true),
    ("cuda=12.8+zen3", "amd64", ZEN3, true),
    ("cpu=zen4+cpu=haswell", "amd64", HASWELL, false),
    ("cpu=haswell+cuda=13.0", "amd64", HASWELL, true),
    ("zen2+site=x1", "amd64", ZEN2, false),
    ("neoverse_v1", "arm64", &["aarch64", "neoverse_v1"], false),
];
const HASWELL: &[&str] = &["x86_64", "x86_64_v2", "x86_64_v3", "haswell"];
const ZEN2: &[&str] = &["x86_64", "x86_64_v2", "x86_64_v3", "zen2"];
const ZEN3: &[&str] = &["x86_64", "x86_64_v2", "x86_64_v3", "zen2", "zen3"];
const ZEN4: &[&str] = &[
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "zen2",
    "zen3",
    "zen4",
];
const ICELAKE: &[&str] = &[
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "haswell",
    "icelake",
];
const TARGETS: &[&str] = &[
    "x86_64",
    "x86_64_v2",
    "x86_64_v3",
    "x86_64_v4",
    "haswell",
    "zen2",
    "zen3",
    "zen4",
    "icelake",
    "zenn3",
];

const REPOSITORY: &str = "lab/pool";

/// Numbers that look random, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % end as u64).unwrap()
    }

    fn one_in(&mut self, n: usize) -> bool {
        self.below(n) == 0
    }

    fn of<T: Copy>(&mut self, all: &[T]) -> T {
        all[self.below(all.len())]
    }
}

/// What is true of one image: what it needs.
#[derive(Clone, Default)]
struct Needs {
    architecture: String,
    targets: Vec<String>,
    cuda: bool,
    /// Something of it cannot be read.
    unreadable: bool,
    /// An index or a collection demands `zenn3` of it: a target that nobody has, whatever is done
    /// with labels that cannot be read.
    by_index: bool,
    /// It can be run by nobody: it is not there, or no image.
    nothing: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Runs {
    Yes,
    /// Nothing speaks against it but what the login does not state.
    Perhaps,
    No,
}

impl Needs {
    /// What a registry with this policy knows of it on a machine.
    fn on(&self, machine: usize, policy: &Policy) -> Runs {
        let (_, architecture, targets, cuda) = MACHINES[machine];
        let refused = policy.unknown == Unsure::Refuse;
        let all = self
            .targets
            .iter()
            .filter(|one| refused || *one != "zenn3" || self.by_index)
            .all(|one| targets.contains(&one.as_str()));
        let unreadable = self.unreadable && refused;
        let unstated = self.cuda && !cuda;
        let refused = unstated && policy.unstated == Unsure::Refuse;
        let other = self.architecture != architecture;
        if self.nothing || unreadable || other || !all || refused {
            Runs::No
        } else if unstated {
            Runs::Perhaps
        } else {
            Runs::Yes
        }
    }
}

/// What a tag leads to: images by digest, and what each needs there.
type Leaders = Vec<(Digest, Needs)>;

struct World {
    registry: Registry,
    sender: watch::Sender<Arc<Catalog>>,
    /// What there is to point to, with its descriptor.
    pool: Vec<(Value, Needs)>,
    tags: Vec<(String, Leaders)>,
    /// The own words of single images by tag, where an entry of a collection replaces them.
    singles: HashMap<String, Needs>,
}

impl World {
    async fn new(policy: Policy) -> Self {
        let catalog = Arc::new(Catalog::builtin());
        let sender = watch::Sender::new(catalog);
        let upstreams = Upstreams::new(&UpstreamsConfig {
            offline: true,
            ..UpstreamsConfig::default()
        });
        let settings = Settings {
            sparse: true,
            policy,
            ..Settings::default()
        };
        let store = Store::temporary().await.unwrap();
        Self {
            registry: Registry::new(store, upstreams.unwrap(), sender.subscribe(), settings),
            sender,
            pool: Vec::new(),
            tags: Vec::new(),
            singles: HashMap::new(),
        }
    }

    async fn blob(&self, bytes: Vec<u8>, media_type: &str) -> Value {
        let digest = Digest::sha256(&bytes);
        let size = bytes.len();
        let name: RepositoryName = REPOSITORY.parse().unwrap();
        let store = self.registry.store();
        store
            .put_blob(&name, &digest, Bytes::from(bytes))
            .await
            .unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    async fn push(&self, document: &Value, tag: Option<&str>) -> Value {
        let bytes = serde_json::to_vec(document).unwrap();
        let (digest, size) = (Digest::sha256(&bytes), bytes.len());
        let media_type = document["mediaType"].as_str().unwrap();
        let reference = match tag {
            Some(tag) => Reference::Tag(tag.parse().unwrap()),
            None => Reference::Digest(digest.clone()),
        };
        let name = REPOSITORY.parse().unwrap();
        let content: MediaType = media_type.parse().unwrap();
        self.registry
            .operator()
            .push(&name)
            .unwrap()
            .push_manifest(&reference, Some(&content), bytes.into(), Vec::new())
            .await
            .unwrap();
        json!({"mediaType": media_type, "digest": digest, "size": size})
    }

    /// Pushes an image, of which anything may be said anywhere.
    async fn image(&mut self, at: usize, random: &mut Random) {
        let arm = random.one_in(5);
        let mut needs = Needs {
            architecture: if arm { "arm64" } else { "amd64" }.to_owned(),
            ..Needs::default()
        };
        let (mut labels, mut annotations) = (json!({}), json!({"name": at.to_string()}));
        for said in [&mut labels, &mut annotations] {
            if random.one_in(3) {
                let target = match arm {
                    true => random.of(&["aarch64", "neoverse_v1"]),
                    false => random.of(TARGETS),
                };
                said["io.archspec.cpu.target"] = target.into();
                needs.targets.push(target.to_owned());
            }
        }
        let mut variant = None;
        if !arm && random.one_in(5) {
            let one = random.of(&["v2", "v3", "v4"]);
            needs.targets.push(format!("x86_64_{one}"));
            variant = Some(one);
        }
        let mut env = vec!["PATH=/bin"];
        if random.one_in(5) {
            env.push("NVIDIA_REQUIRE_CUDA=cuda>=12.4");
            needs.cuda = true;
        }
        let config = json!({
            "os": "linux", "architecture": needs.architecture, "variant": variant,
            "config": {"Labels": labels, "Env": env, "n": at},
            "rootfs": {"type": "layers", "diff_ids": []},
        });
        let config = self
            .blob(config.to_string().into_bytes(), MediaType::OCI_CONFIG)
            .await;
        let tag = format!("p{at}");
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config,
            "layers": [], "annotations": annotations,
        });
        let descriptor = self.push(&manifest, Some(&tag)).await;
        if random.one_in(12) {
            needs.unreadable = true;
            self.unreadable_artifact(&descriptor).await;
        }
        needs.unreadable |= needs.targets.iter().any(|target| target == "zenn3");
        let digest: Digest = descriptor["digest"].as_str().unwrap().parse().unwrap();
        self.tags.push((tag.clone(), vec![(digest, needs.clone())]));
        self.singles.insert(tag, needs.clone());
        self.pool.push((descriptor, needs));
    }

    async fn unreadable_artifact(&self, subject: &Value) {
        let spec = self.blob(b"compatibilities: 3".to_vec(), "text/yaml").await;
        let empty = self.blob(b"{}".to_vec(), MediaType::OCI_EMPTY).await;
        let artifact = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST,
            "artifactType": "application/vnd.nfd.image-compatibility.v1alpha1",
            "config": empty, "layers": [spec], "subject": subject,
        });
        self.push(&artifact, None).await;
    }

    /// What is in an index and runs nowhere.
    async fn others(&mut self) {
        let nothing = || Needs {
            nothing: true,
            ..Needs::default()
        };
        let absent = json!({
            "mediaType": MediaType::OCI_MANIFEST, "digest": Digest::sha256(b"absent"), "size": 7,
        });
        self.pool.push((absent, nothing()));
        let config = self
            .blob(b"{}".to_vec(), "application/vnd.example.model.v1+json")
            .await;
        let model = json!({
            "schemaVersion": 2, "mediaType": MediaType::OCI_MANIFEST, "config": config, "layers": [],
        });
        let model = self.push(&model, None).await;
        self.pool.push((model.clone(), nothing()));
        let mut typed = model;
        typed["artifactType"] = "application/vnd.example.model".into();
        self.pool.push((typed, nothing()));
    }

    /// An entry of an index, and what its image needs there.
    fn entry(&self, random: &mut Random) -> (Value, Digest, Needs) {
        let (mut entry, mut needs) = self.pool[random.below(self.pool.len())].clone();
        let digest = entry["digest"].as_str().unwrap().parse().unwrap();
        match random.below(8) {
            0 => {}
            1 => entry["platform"] = json!({}),
            2 => entry["platform"] = json!({"os": "", "architecture": ""}),
            3 if random.one_in(3) => {
                // The index and the image cannot both be right.
                let other = if needs.architecture == "amd64" {
                    "arm64"
                } else {
                    "amd64"
                };
                entry["platform"] = json!({"os": "linux", "architecture": other});
                needs.nothing = true;
            }
            _ => {
                let architecture = match needs.architecture.as_str() {
                    "" => "amd64",
                    own => own,
                };
                entry["platform"] = json!({"os": "linux", "architecture": architecture});
                if architecture == "amd64" && random.one_in(3) {
                    let target = random.of(TARGETS);
                    entry["platform"]["features"] = json!([format!("arch:{target}")]);
                    needs.by_index |= target == "zenn3";
                    needs.targets.push(target.to_owned());
                }
                if architecture == "amd64" && random.one_in(4) {
                    let variant = random.of(&["v2", "v3", "v4"]);
                    entry["platform"]["variant"] = variant.into();
                    needs.targets.push(format!("x86_64_{variant}"));
                }
            }
        }
        (entry, digest, needs)
    }

    /// Pushes an index of up to `most` entries, some of which are indexes.
    async fn index(&mut self, at: usize, most: usize, random: &mut Random) {
        let (mut entries, mut leaders) = (Vec::new(), Vec::new());
        for number in 0..=random.below(most) {
            if random.one_in(8) {
                let (mut inner, mut led) = (Vec::new(), Vec::new());
                for _ in 0..=random.below(3) {
                    let (entry, digest, needs) = self.entry(random);
                    inner.push(entry);
                    led.push((digest, needs));
                }
                let mut outer = self
                    .push(&index(&inner, &format!("{at}-{number}")), None)
                    .await;
                if random.one_in(2) {
                    let target = random.of(TARGETS);
                    outer["platform"] = json!({
                        "os": "linux", "architecture": "amd64", "features": [format!("arch:{target}")],
                    });
                    for (_, needs) in &mut led {
                        needs.nothing |= needs.architecture == "arm64";
                        needs.by_index |= target == "zenn3";
                        needs.targets.push(target.to_owned());
                    }
                }
                entries.push(outer);
                leaders.extend(led);
            } else {
                let (entry, digest, needs) = self.entry(random);
                entries.push(entry);
                leaders.push((digest, needs));
            }
        }
        let tag = format!("i{at}");
        self.push(&index(&entries, &tag), Some(&tag)).await;
        self.tags.push((tag, leaders));
    }

    /// Collections of what was pushed, as documents.
    fn collections(&self, count: usize, random: &mut Random) -> Vec<(String, Leaders)> {
        let (mut all, mut text) = (Vec::new(), "manifests:\n".to_owned());
        for at in 0..count {
            let mut leaders = Leaders::new();
            text.push_str(&format!("  - name: c{at}\n    manifests:\n"));
            for _ in 0..=random.below(4) {
                let (tag, led) = &self.tags[random.below(self.tags.len())];
                let written = random.of(&[None, None, Some("x86_64"), Some("zen3"), Some("")]);
                let features = match written {
                    None => String::new(),
                    Some("") => ", platform: {features: []}".to_owned(),
                    Some(target) => format!(", platform: {{features: ['arch:{target}']}}"),
                };
                text.push_str(&format!(
                    "      - {{image: '{REPOSITORY}:{tag}'{features}}}\n"
                ));
                leaders.extend(self.by_entry(tag, led, written));
            }
            all.push((format!("c{at}:latest"), leaders));
        }
        let loaded = Catalog::from_documents(&[("generated.yaml", text)]);
        assert!(loaded.problems.iter().all(|problem| !problem.is_error()));
        self.sender.send_replace(Arc::new(loaded.catalog));
        all
    }

    /// What images need, of which an entry of a collection says something.
    fn by_entry(&self, tag: &str, led: &Leaders, written: Option<&str>) -> Leaders {
        let single = self.singles.contains_key(tag);
        let mut led = led.clone();
        for (_, needs) in &mut led {
            match written {
                None => {}
                // The entry has the last word on a single image.
                Some("") if single => {
                    *needs = Needs {
                        architecture: needs.architecture.clone(),
                        ..Needs::default()
                    };
                }
                Some(target) if single => {
                    // What refers to it counts all the same.
                    let label = needs.targets.iter().any(|target| target == "zenn3");
                    needs.unreadable &= !label;
                    needs.targets = vec![target.to_owned()];
                }
                // It cannot replace what tells the images of an index apart.
                Some("") => {}
                Some(target) => needs.targets.push(target.to_owned()),
            }
        }
        led
    }

    /// Holds what a login is served against what its machine runs.
    async fn holds(&self, image: &str, leaders: &Leaders, machine: usize, policy: &Policy) -> Runs {
        let login = MACHINES[machine].0;
        let profile = self
            .registry
            .catalog()
            .interpret(login, &|_| false)
            .unwrap()
            .profile;
        let reference: ImageReference = image.parse().unwrap();
        let tag = match reference.reference() {
            Reference::Tag(tag) => tag,
            Reference::Digest(_) => panic!("a tag"),
        };
        let answer = self
            .registry
            .operator()
            .read(reference.name())
            .tagged(&tag, &profile, Accepts::Index)
            .await;
        let best = |wanted: Runs| {
            leaders
                .iter()
                .any(|(_, needs)| needs.on(machine, policy) == wanted)
        };
        let images = leaders.iter().any(|(_, needs)| !needs.nothing);
        let served = match answer {
            Ok(served) => served,
            Err(error) => {
                let nothing = matches!(
                    error.root(),
                    RegistryError::NothingFits { .. } | RegistryError::ManifestUnknown { .. }
                );
                assert!(nothing, "{image} as {login}: {error}");
                assert!(!best(Runs::Yes), "{image} as {login}: {error}");
                assert!(!best(Runs::Perhaps), "{image} as {login}: {error}");
                return Runs::No;
            }
        };
        let digests: Vec<Digest> = match Document::parse(served.bytes, Some(&served.media_type)) {
            Ok(Document::Index(index)) => index
                .manifests()
                .iter()
                .map(|entry| entry.digest().clone())
                .collect(),
            _ => vec![served.digest],
        };
        let mut worst = Runs::Yes;
        for digest in digests {
            // The same image may be led to in several ways; one that runs is enough.
            let ways = leaders.iter().filter(|(own, _)| *own == digest);
            let ways: Vec<Runs> = ways.map(|(_, needs)| needs.on(machine, policy)).collect();
            let authorised_route = [Runs::Yes, Runs::Perhaps]
                .into_iter()
                .find(|authorised_route| ways.contains(authorised_route));
            match authorised_route {
                Some(Runs::Perhaps) => {
                    assert!(
                        !best(Runs::Yes),
                        "{image} as {login}: another is known to run"
                    );
                    let warning = served.warning.as_deref().unwrap_or_default();
                    assert!(warning.contains("states nothing"), "{image}: {warning}");
                    worst = Runs::Perhaps;
                }
                Some(_) => {}
                None => assert!(!images, "{image} as {login} was served {digest}: {ways:?}"),
            }
        }
        worst
    }
}

fn index(entries: &[Value], name: &str) -> Value {
    json!({
        "schemaVersion": 2, "mediaType": MediaType::OCI_INDEX, "manifests": entries,
        "annotations": {"name": name},
    })
}

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
