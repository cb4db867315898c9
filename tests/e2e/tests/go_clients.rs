//! crane, oras and regctl: repositories are listed, what was attached to an image is found under
//! every login, and copies are whole.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::process::Cmd;
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::skopeo::{self, Skopeo};
use metahub_e2e::world::World;
use serde_json::Value;
use tempfile::TempDir;

/// A person with a configuration folder as Docker's, which crane and oras read.
struct Person(TempDir);

impl Person {
    fn new(host: &str, login: Option<&str>) -> Self {
        let person = Self(tempfile::tempdir().unwrap());
        if let Some(login) = login {
            let auth = crane_login(&person, host, login);
            assert_eq!(auth.code, Some(0), "{auth}");
        }
        person
    }

    fn client(&self, program: &str) -> Cmd {
        Cmd::new(program)
            .env("HOME", self.0.path())
            .env("DOCKER_CONFIG", self.0.path())
            .env_clear_of_proxies()
            .dir(self.0.path())
    }
}

fn crane_login(person: &Person, host: &str, login: &str) -> metahub_e2e::process::Outcome {
    let args = ["auth", "login", host, "-u", login, "-p", "any"];
    person.client("crane").args(args).run()
}

#[test]
fn repositories_are_listed_and_what_is_attached_is_found_under_every_login() {
    if !require::tools(&["crane", "oras", "regctl"]) {
        return;
    }
    let metahub = MetaHub::start("anonymous: write\noffline: true\nupstreams: []\n", &[]);
    let host = metahub.host();
    let pusher = Pusher {
        host,
        repository: "team/app",
        login: None,
    };
    let zen3 = pusher.image("zen3", "amd64", b"zen3");
    let plain = pusher.image("plain", "amd64", b"plain");
    pusher.index(
        "1",
        &[(&zen3, "amd64", &["arch:zen3"]), (&plain, "amd64", &[])],
    );
    let builder = Person::new(host, None);
    for image in [&zen3, &plain] {
        std::fs::write(builder.0.path().join("note.txt"), "signed\n").unwrap();
        let image = format!("{host}/team/app@{}", image["digest"].as_str().unwrap());
        let kind = "application/vnd.example.signature";
        let attach = ["attach", "--plain-http", "--artifact-type", kind, &image];
        builder.client("oras").args(attach).arg("note.txt").ok();
    }

    let listed = builder
        .client("oras")
        .args(["repo", "ls", "--plain-http", host]);
    assert_eq!(listed.ok().stdout.trim(), "team/app");
    assert_eq!(
        builder
            .client("crane")
            .args(["catalog", host])
            .ok()
            .stdout
            .trim(),
        "team/app"
    );

    let image = format!("{host}/team/app:1");
    for login in ["zen3", "haswell"] {
        let person = Person::new(host, Some(login));
        let discover = ["discover", "--plain-http", "--format", "json", &image];
        let found = person.client("oras").args(discover).ok().ok_json();
        let found = found["referrers"]
            .as_array()
            .unwrap_or_else(|| panic!("{found}"));
        assert_eq!(found.len(), 1, "{login}: {found:?}");
        let seen = person.client("crane").args(["digest", &image]).ok();
        let expected = if login == "zen3" { &zen3 } else { &plain };
        assert_eq!(seen.stdout.trim(), expected["digest"], "{login}");
    }

    // Copies by one who sees everything have the digest of the source, and what refers to it.
    let person = Person::new(host, Some("any"));
    let digest = |image: &str| {
        let shown = person.client("crane").args(["digest", image]).ok();
        shown.stdout.trim().to_owned()
    };
    let source = digest(&image);
    let copied = format!("{host}/team/crane:1");
    person.client("crane").args(["copy", &image, &copied]).ok();
    assert_eq!(digest(&copied), source);
    let copied = format!("{host}/team/oras:1");
    let plain_http = [
        "copy",
        "--recursive",
        "--from-plain-http",
        "--to-plain-http",
    ];
    person
        .client("oras")
        .args(plain_http)
        .args([&image, &copied])
        .ok();
    assert_eq!(digest(&copied), source);
    let plain_http = ["registry", "set", "--tls", "disabled", "--skip-check", host];
    person.client("regctl").args(plain_http).ok();
    let copied = format!("{host}/team/regctl:1");
    let copy = ["image", "copy", "--referrers", &image, &copied];
    person.client("regctl").args(copy).ok();
    assert_eq!(digest(&copied), source);
    for repository in ["team/oras", "team/regctl"] {
        let digest = zen3["digest"].as_str().unwrap();
        let found = metahub.get(&format!("/v2/{repository}/referrers/{digest}"));
        let found = found.login(Some(("any", "any"))).send().expect(200).json();
        let found = found["manifests"].as_array().map(Vec::len);
        assert_eq!(found, Some(1), "{repository}");
    }
}

#[test]
fn one_who_sees_everything_copies_a_collection_with_all_its_images() {
    let Some(world) = World::start(&[skopeo::NEEDS, &["crane"]].concat()) else {
        return;
    };
    let host = world.metahub.host();
    let image = world.metahub.image("gromacs:2021.5");
    let entries = |index: &Value| -> Vec<(String, Value)> {
        let entries = index["manifests"].as_array().unwrap();
        let parts = |entry: &Value| {
            let digest = entry["digest"].as_str().unwrap().to_owned();
            (digest, entry["platform"]["features"].clone())
        };
        entries.iter().map(parts).collect()
    };
    let person = Person::new(host, Some("any"));
    let index = person
        .client("crane")
        .args(["manifest", &image])
        .ok()
        .ok_json();
    let all = entries(&index);
    let expected = ["arch:cascadeLake", "arch:zen3"];
    let required: Vec<&Value> = all.iter().map(|(_, features)| &features[0]).collect();
    assert_eq!(required, expected, "{index}");

    let skopeo = Skopeo::new();
    let logged_in = skopeo.login(host, "any", "any");
    assert_eq!(logged_in.code, Some(0), "{logged_in}");
    let layout = format!("dir:{}", skopeo.path("copy").display());
    let copied = skopeo.copy(&format!("docker://{image}"), &layout, true);
    assert_eq!(copied.code, Some(0), "{copied}");
    let bytes = std::fs::read(skopeo.path("copy/manifest.json")).unwrap();
    assert_eq!(entries(&serde_json::from_slice(&bytes).unwrap()), all);
    for (digest, _) in &all {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let manifest = std::fs::read(skopeo.path(&format!("copy/{hex}.manifest.json"))).unwrap();
        assert_eq!(digest_of(&manifest), *digest);
    }
}
