//! A name that was pushed to stays local, whatever is deleted: nothing of an upstream ever appears
//! under it until an admin releases it.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::{BTreeMap, BTreeSet};

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::scripted::Scripted;
use serde_json::Value;

const ADMIN: Option<(&str, &str)> = Some(("root", "a long password"));

fn start(upstream: &Scripted, more: &str) -> MetaHub {
    let config = format!(
        "anonymous: read\nallow_any_host: false\ntag_lifetime: 0s\nupstreams: [{}]\n{more}",
        upstream.entry("docker.io", "default: true, retry: {attempts: 1}")
    );
    let metahub = MetaHub::start(&config, &[]);
    metahub.add_account("root", "admin", "a long password");
    metahub
}

fn pusher<'a>(metahub: &'a MetaHub, repository: &'a str) -> Pusher<'a> {
    Pusher {
        host: metahub.host(),
        repository,
        login: ADMIN,
    }
}

fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub.get(path).login(ADMIN).send()
}

/// What an image of `Scripted` consists of: the digests of its manifest and of its blobs.
fn parts(manifest: &[u8]) -> Vec<String> {
    let parsed: Value = serde_json::from_slice(manifest).unwrap();
    let layers = parsed["layers"].as_array().unwrap().iter();
    let blobs = layers.chain([&parsed["config"]]);
    blobs
        .map(|blob| blob["digest"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn a_name_that_was_emptied_is_not_found_at_the_upstream_until_it_is_released() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Scripted::start();
    let strange = upstream.put("team/app", "1", "a stranger's");
    let metahub = start(&upstream, "");
    let ours = pusher(&metahub, "team/app").image("1", "amd64", b"ours");
    let digest = ours["digest"].as_str().unwrap();
    let manifest = format!("/v2/team/app/manifests/{digest}");
    let delete = metahub.call("DELETE", &manifest).login(ADMIN);
    delete.send().expect(202);
    metahub.command(&["gc", "--grace", "0s"]).ok();
    let _ = upstream.asked();
    let metahub = metahub.restart();

    let nothing_there = |metahub: &MetaHub| {
        get(metahub, "/v2/team/app/manifests/1").expect_error(404, "MANIFEST_UNKNOWN");
        let digest = digest_of(&strange);
        get(metahub, &format!("/v2/team/app/manifests/{digest}"))
            .expect_error(404, "MANIFEST_UNKNOWN");
        for blob in parts(&strange) {
            let path = format!("/v2/team/app/blobs/{blob}");
            get(metahub, &path).expect_error(404, "BLOB_UNKNOWN");
            metahub.call("HEAD", &path).login(ADMIN).send().expect(404);
        }
        get(metahub, "/api/v1/resolve?image=team/app:1").expect(404);
        let failed = metahub.command(&["warm", "team/app:1"]).fails();
        assert_eq!(failed.code, Some(1), "{failed}");
    };
    nothing_there(&metahub);
    upstream.fail(503, None);
    nothing_there(&metahub);
    assert_eq!(upstream.asked(), Vec::<String>::new());
    upstream.mend();

    metahub
        .command(&["release"])
        .ok()
        .says("team/app")
        .says("root");
    metahub
        .command(&["release", "team/app"])
        .ok()
        .says("team/app");
    let found = get(&metahub, "/v2/team/app/manifests/1").expect(200);
    assert_eq!(digest_of(&found.body), digest_of(&strange));
    metahub
        .command(&["release", "team/app"])
        .fails()
        .says("nobody pushed");
}

#[test]
fn a_name_that_holds_something_is_not_released() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Scripted::start();
    upstream.put("team/app", "2", "a stranger's");
    let metahub = start(&upstream, "");
    let _ = pusher(&metahub, "team/app").image("1", "amd64", b"ours");
    let _ = pusher(&metahub, "team/gone").image("1", "amd64", b"ours too");
    let path = "/v2/team/gone/manifests/1";
    let digest = get(&metahub, path)
        .header("docker-content-digest")
        .to_owned();
    let path = format!("/v2/team/gone/manifests/{digest}");
    metahub
        .call("DELETE", &path)
        .login(ADMIN)
        .send()
        .expect(202);
    let outcome = metahub
        .command(&["release", "team/app", "team/gone"])
        .fails();
    assert_eq!(outcome.code, Some(4), "{outcome}");
    outcome.says("1 pushed manifests are there");
    get(&metahub, "/v2/team/app/manifests/2").expect_error(404, "MANIFEST_UNKNOWN");
    get(&metahub, "/v2/team/app/manifests/1").expect(200);
}

/// A small generator of numbers that looks random: the same each time.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % limit as u64).unwrap()
    }
}

/// What a naive registry would know: which names are local, and what they hold.
#[derive(Default)]
struct Model {
    local: BTreeSet<usize>,
    /// The digests of manifests by name and tag.
    tags: BTreeMap<(usize, usize), String>,
}

const NAMES: [&str; 5] = [
    "team/app",
    "team/tool",
    "alone",
    "library/base",
    "deep/er/name",
];
const TAGS: [&str; 3] = ["1", "2", "latest"];

/// Random pushes, deletions and releases against the naive model: what an upstream has never
/// appears under a local name, and always under another one.
#[test]
#[expect(clippy::too_many_lines, reason = "one walk, each kind of step once")]
fn nothing_of_an_upstream_is_ever_found_under_a_local_name() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let upstream = Scripted::start();
    let mut theirs = BTreeMap::new();
    for (n, name) in NAMES.iter().enumerate() {
        // Docker Hub's official images are in `library`.
        let there = if name.contains('/') {
            (*name).to_owned()
        } else {
            format!("library/{name}")
        };
        for (t, tag) in TAGS.iter().enumerate() {
            theirs.insert(
                (n, t),
                upstream.put(&there, tag, &format!("theirs {name} {tag}")),
            );
        }
    }
    let mut metahub = start(&upstream, "");
    let (mut dice, mut model, mut cases) = (Dice(0x9e37_79b9_7f4a_7c15), Model::default(), 0);
    for step in 0..160 {
        let (n, t) = (dice.below(NAMES.len()), dice.below(TAGS.len()));
        let (name, tag) = (NAMES[n], TAGS[t]);
        match dice.below(10) {
            0..=2 => {
                let layer = format!("ours {name} {}", dice.below(4));
                let image = pusher(&metahub, name).image(tag, "amd64", layer.as_bytes());
                model.local.insert(n);
                let digest = image["digest"].as_str().unwrap().to_owned();
                model.tags.insert((n, t), digest);
            }
            3..=6 => {
                let Some(digest) = model.tags.get(&(n, t)).cloned() else {
                    continue;
                };
                let path = format!("/v2/{name}/manifests/{digest}");
                metahub
                    .call("DELETE", &path)
                    .login(ADMIN)
                    .send()
                    .expect(202);
                model
                    .tags
                    .retain(|(of, _), held| *of != n || *held != digest);
            }
            7 => {
                let path = format!("/v2/{name}/manifests/{tag}");
                let held = model.tags.contains_key(&(n, t));
                if held {
                    metahub
                        .call("DELETE", &path)
                        .login(ADMIN)
                        .send()
                        .expect(202);
                    model.tags.remove(&(n, t));
                }
            }
            8 if step % 8 == 0 => {
                metahub.command(&["gc", "--grace", "0s"]).ok();
            }
            8 if step % 8 == 4 => metahub = metahub.restart(),
            _ => {
                // What a tag no longer names is still held: the command says so, and the model
                // follows it.
                let released = metahub.command(&["release", name]).run();
                if released.code == Some(0) {
                    assert!(model.local.remove(&n), "{name} was not local");
                    assert!(
                        model.tags.keys().all(|(of, _)| *of != n),
                        "{name} held something"
                    );
                }
            }
        }
        let _ = upstream.asked();
        for (t, tag) in TAGS.iter().enumerate() {
            let answer = get(&metahub, &format!("/v2/{name}/manifests/{tag}"));
            let wanted = match (model.local.contains(&n), model.tags.get(&(n, t))) {
                (true, ours) => ours.cloned(),
                (false, _) => Some(digest_of(&theirs[&(n, t)])),
            };
            let found = (answer.status == 200).then(|| digest_of(&answer.body));
            assert_eq!(found, wanted, "step {step}: {name}:{tag}: {answer:?}");
            cases += 1;
            if !model.local.contains(&n) {
                continue;
            }
            let strange = digest_of(&theirs[&(n, t)]);
            let path = format!("/v2/{name}/manifests/{strange}");
            // What was read before the push was read under the upstream's own name.
            get(&metahub, &path).expect(404);
            for blob in parts(&theirs[&(n, t)]) {
                let blob = format!("/v2/{name}/blobs/{blob}");
                get(&metahub, &blob).expect_error(404, "BLOB_UNKNOWN");
                cases += 1;
            }
            let list = get(&metahub, &format!("/v2/{name}/tags/list"))
                .expect(200)
                .json();
            let ours = model.tags.keys().filter(|(of, _)| *of == n).count();
            assert_eq!(list["tags"].as_array().unwrap().len(), ours, "{list}");
            cases += 2;
        }
        if model.local.contains(&n) {
            assert_eq!(
                upstream.asked(),
                Vec::<String>::new(),
                "step {step}: {name}"
            );
        }
    }
    assert!(cases > 1000, "only {cases} requests were compared");
    eprintln!("{cases} requests were compared with the model");
}
