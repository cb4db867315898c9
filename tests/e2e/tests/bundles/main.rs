//! `metahub export` and `metahub import`: what a site without a network gets is what the other
//! site gave, digest by digest; and other tools open the same files.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod archives;
mod refused;
mod resolved;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::{Cmd, wait_until};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::skopeo::{self, Skopeo};
use serde_json::Value;
use tempfile::TempDir;

const OPEN: &str = "anonymous: write\noffline: true\nupstreams: []";
/// A site that asks nobody, and knows one upstream by name.
const ISLAND: &str =
    "anonymous: write\noffline: true\nreload_interval: 100ms\nupstreams: [{host: upstream.test}]";

const DOCUMENTS: &str = "
manifests:
  - name: app
    tag: 1
    manifests:
      - image: upstream.test/team/app:zen3
        platform: {features: [arch:zen3]}
      - image: lab/app:lake
        platform: {features: [arch:cascadelake]}
      - image: upstream.test/team/app:any
---
profile:
  name: site/tools
  actions:
    - name: manifest-add
      event: post-manifest-get
      args: {layerRepository: upstream.test/team/tools, repository: app}
";

/// Logins that get something different each.
const LOGINS: &[Option<&str>] = &[
    None,
    Some("zen3"),
    Some("cascadelake"),
    Some("zen3+site/tools"),
];

/// An upstream, and a site that reads from it and has documents of its own.
struct Sites {
    _upstream: MetaHub,
    site: MetaHub,
    files: TempDir,
}

fn push(host: &str, repository: &str, tag: &str, layer: &[u8]) {
    let pusher = Pusher {
        host,
        repository,
        login: None,
    };
    let _descriptor = pusher.image(tag, "amd64", layer);
}

impl Sites {
    fn start() -> Option<Self> {
        if !require::tools(&["setpriv", "tar"]) {
            return None;
        }
        let upstream = MetaHub::start(OPEN, &[]);
        for (tag, byte) in [("zen3", 3), ("any", 0)] {
            push(upstream.host(), "team/app", tag, &vec![byte; 200_000]);
        }
        push(upstream.host(), "team/tools", "latest", &[9; 90_000]);
        let config = format!(
            "anonymous: write\nupstreams: [{{host: upstream.test, url: \"http://{}\", plain_http: true}}]",
            upstream.host()
        );
        let site = MetaHub::start(&config, &[("app.yaml", DOCUMENTS)]);
        push(site.host(), "lab/app", "lake", &[1; 150_000]);
        Some(Self {
            _upstream: upstream,
            site,
            files: tempfile::tempdir().unwrap(),
        })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.files.path().join(name)
    }

    fn export(&self, args: &[&str], name: &str) -> (PathBuf, Value) {
        let file = self.file(name);
        let output = format!("--output={}", file.display());
        let common = ["--platform", "linux/amd64", "--format", "json", &output];
        let export = [&["export"], args, &common].concat();
        let report = self.site.command(&export).ok().ok_json();
        (file, report)
    }
}

fn get(metahub: &MetaHub, login: Option<&str>, path: &str) -> Answer {
    let call = metahub.get(path).header(
        "Accept",
        "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json",
    );
    match login {
        Some(login) => call.login(Some((login, "any"))).send(),
        None => {
            let name = path.split('/').skip(2).collect::<Vec<_>>().join("/");
            let name = name.split("/manifests/").next().unwrap();
            let name = name.split("/blobs/").next().unwrap();
            let scope = format!("/token?scope=repository:{name}:pull");
            let token = metahub.get(&scope).send().json();
            let token = format!("Bearer {}", token["token"].as_str().unwrap());
            call.header("Authorization", token).send()
        }
    }
}

/// Pulls everything that a tag leads a login to; the digests of it.
fn pull(metahub: &MetaHub, login: Option<&str>, name: &str, tag: &str) -> BTreeSet<String> {
    let mut digests = BTreeSet::new();
    let mut manifests = vec![tag.to_owned()];
    while let Some(reference) = manifests.pop() {
        let path = format!("/v2/{name}/manifests/{reference}");
        let answer = get(metahub, login, &path).expect(200);
        digests.insert(digest_of(&answer.body));
        let json = answer.json();
        for child in json["manifests"].as_array().into_iter().flatten() {
            manifests.push(child["digest"].as_str().unwrap().to_owned());
        }
        let blobs = json["layers"].as_array().into_iter().flatten();
        for blob in blobs.chain(json.get("config")) {
            let digest = blob["digest"].as_str().unwrap();
            let bytes = get(metahub, login, &format!("/v2/{name}/blobs/{digest}"));
            assert_eq!(digest_of(&bytes.expect(200).body), digest);
            digests.insert(digest.to_owned());
        }
    }
    digests
}

/// Whether anybody can see anything there.
fn shows_nothing(metahub: &MetaHub) {
    let catalog = get(metahub, Some("zen3"), "/v2/_catalog")
        .expect(200)
        .json();
    assert_eq!(catalog["repositories"], serde_json::json!([]), "{catalog}");
}

#[test]
fn a_collection_gives_every_login_the_same_digests_where_it_was_imported() {
    let Some(sites) = Sites::start() else { return };
    let (file, exported) = sites.export(&["app:1", "--profiles"], "app.tar");
    assert_eq!(exported["documents"], 2, "{exported}");
    let island = MetaHub::start(ISLAND, &[]);
    let imported = island
        .command(&["import", "--format", "json"])
        .arg(&file)
        .ok()
        .ok_json();
    assert!(imported["blobs"].as_u64().unwrap() >= 6, "{imported}");
    assert_eq!(
        imported["documents"].as_array().unwrap().len(),
        2,
        "{imported}"
    );
    let in_force = || get(&island, Some("zen3"), "/v2/app/manifests/1").status == 200;
    assert!(
        wait_until(Duration::from_secs(20), in_force),
        "{}",
        island.log()
    );
    for login in LOGINS {
        let there = pull(&sites.site, *login, "app", "1");
        assert_eq!(pull(&island, *login, "app", "1"), there, "{login:?}");
    }
    // What was an upstream's is still called so, and what was pushed too.
    for name in ["upstream.test/team/app", "lab/app"] {
        let tag = if name == "lab/app" { "lake" } else { "any" };
        assert_eq!(
            pull(&island, None, name, tag),
            pull(&sites.site, None, name, tag)
        );
    }
    let again = island
        .command(&["import", "--format", "json"])
        .arg(&file)
        .ok()
        .ok_json();
    assert_eq!(again["blobs"], 0, "what is here is passed over: {again}");
    assert_eq!(again["held"], imported["blobs"], "{again}");
    assert_eq!(again["documents"], serde_json::json!([]), "{again}");
}

#[test]
fn a_bundle_for_one_login_gives_that_login_what_it_got_and_holds_no_other_layers() {
    let Some(sites) = Sites::start() else { return };
    let (all, _) = sites.export(&["app:1", "--profiles"], "all.tar");
    let (one, _) = sites.export(&["app:1", "--as", "zen3+site/tools"], "one.tar");
    assert!(
        size(&one) + 300_000 < size(&all),
        "{} {}",
        size(&one),
        size(&all)
    );
    let mut island = MetaHub::start(ISLAND, &[]);
    // Without a server on the folder, the command does it itself.
    island.terminate();
    island
        .command(&["import"])
        .arg(&one)
        .ok()
        .says("collection app:1");
    let island = island.restart();
    let login = Some("zen3+site/tools");
    assert_eq!(
        pull(&island, login, "app", "1"),
        pull(&sites.site, login, "app", "1")
    );
    // The others are known, and not there.
    let other = get(&island, Some("cascadelake"), "/v2/app/manifests/1").expect(200);
    let mut manifest = other.json();
    // The one image that is left of an index is served itself.
    if let Some(child) = manifest["manifests"][0]["digest"].as_str() {
        manifest = get(&island, None, &format!("/v2/app/manifests/{child}"))
            .expect(200)
            .json();
    }
    let layer = manifest["layers"][0]["digest"].as_str().unwrap().to_owned();
    get(&island, None, &format!("/v2/app/blobs/{layer}")).expect(404);
}

fn size(file: &Path) -> u64 {
    std::fs::metadata(file).unwrap().len()
}

#[test]
fn the_commands_of_the_manual_do_what_it_says() {
    const MANUAL: &str = include_str!("../../../../docs/air-gapped.md");
    let Some(sites) = Sites::start() else { return };
    // As the manual has them, with this test's image in place of the manual's.
    let commands: Vec<Vec<String>> = MANUAL
        .split("```\n")
        .flat_map(str::lines)
        .filter_map(|line| line.strip_prefix("metahub "))
        .map(|line| line.replace("gromacs:2021.5", "app:1"))
        .map(|line| line.split(' ').map(str::to_owned).collect())
        .collect();
    let words: Vec<&str> = commands.iter().map(|words| words[0].as_str()).collect();
    assert_eq!(words, ["export", "import", "import"]);
    let island = MetaHub::start(ISLAND, &[]);
    let copy = ["copy", "--src-tls-verify=false", "--preserve-digests"];
    let from = format!("docker://{}", sites.site.image("lab/app:lake"));
    if require::tools(skopeo::NEEDS) {
        let to = format!("oci-archive:{}", sites.file("app.tar").display());
        Skopeo::new().cli().args(copy).args([&from, &to]).ok();
    }
    for (command, site) in commands.iter().zip([&sites.site, &island, &island]) {
        if command.contains(&"app.tar".to_owned()) && !sites.file("app.tar").exists() {
            continue;
        }
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        site.command(&words).dir(sites.files.path()).ok();
    }
    assert_eq!(
        pull(&island, None, "upstream.test/team/app", "zen3"),
        pull(&sites.site, None, "upstream.test/team/app", "zen3")
    );
}
