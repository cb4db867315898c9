//! Pushes and pulls back with every client, through an account; without one, pushes are refused.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::buildah::{self, Buildah};
use metahub_e2e::docker;
use metahub_e2e::fixture::manifest_of;
use metahub_e2e::http::digest_of;
use metahub_e2e::podman::{self, Podman};
use metahub_e2e::pusher::{MANIFEST, Pusher};
use metahub_e2e::skopeo::{self, Skopeo};
use metahub_e2e::world::World;

const PASSWORD: &str = "correct horse battery staple";
const LINE: &str = ">> This container is optimized for: arch:zen3\n";

fn with_account(tools: &[&str]) -> Option<World> {
    let world = World::start(tools)?;
    world.metahub.add_account("alice", "pusher", PASSWORD);
    Some(world)
}

#[test]
fn docker_pushes_with_an_account_and_anybody_pulls_it_back() {
    let Some(world) = with_account(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    let source = format!("{}/qnib/featuretest:zen3", world.upstream.host());
    let mine = world.metahub.image("alice/featuretest:1");
    assert_eq!(docker.pull("alice", &source).code, Some(0));
    docker.cli("alice").args(["tag", &source, &mine]).ok();

    let refused = docker.push("nobody", &mine);
    assert_ne!(refused.code, Some(0), "{refused}");
    let wrong = docker.login("alice", world.metahub.host(), "alice", "wrong");
    assert_ne!(wrong.code, Some(0), "{wrong}");
    wrong.says("unauthorized");
    docker
        .login("alice", world.metahub.host(), "alice", PASSWORD)
        .says("Login Succeeded");
    let pushed = docker.push("alice", &mine);
    assert_eq!(pushed.code, Some(0), "{pushed}");
    let elsewhere = world.metahub.image("bob/featuretest:1");
    docker.cli("alice").args(["tag", &source, &elsewhere]).ok();
    let foreign = docker.push("alice", &elsewhere);
    assert_ne!(
        foreign.code,
        Some(0),
        "a pusher pushes in its own namespace:\n{foreign}"
    );

    // A second engine has nothing of it yet.
    let other = world.docker();
    other.run("nobody", &mine, &[]).says(LINE);
    // A profile beside the account changes nothing for an image that it has no action for.
    other
        .login("both", world.metahub.host(), "alice/zen3", PASSWORD)
        .says("Login Succeeded");
    other.run("both", &mine, &[]).says(LINE);
}

#[test]
fn podman_pushes_with_an_account_and_pulls_it_back() {
    let Some(world) = with_account(podman::NEEDS) else {
        return;
    };
    let podman = Podman::new();
    let source = format!("{}/qnib/featuretest:zen3", world.upstream.host());
    let mine = world.metahub.image("alice/featuretest:1");
    assert_eq!(podman.pull("alice", &source).code, Some(0));
    podman.cli("alice").args(["tag", &source, &mine]).ok();
    let refused = podman.push("nobody", &mine);
    assert_ne!(refused.code, Some(0), "{refused}");
    assert_eq!(
        podman
            .login("alice", world.metahub.host(), "alice", PASSWORD)
            .code,
        Some(0)
    );
    let pushed = podman.push("alice", &mine);
    assert_eq!(pushed.code, Some(0), "{pushed}");
    podman.cli("alice").args(["rmi", "--all", "--force"]).ok();
    assert_eq!(podman.pull("nobody", &mine).code, Some(0));
    podman.run("nobody", &mine, &[]).says(LINE);
}

#[test]
fn buildah_builds_pushes_and_pulls_an_image() {
    let Some(world) = with_account(buildah::NEEDS) else {
        return;
    };
    let buildah = Buildah::new();
    let folder = tempfile_with("greeting", "hello from buildah\n");
    buildah.build("made", &[folder.path()], "cat /greeting");
    let mine = world.metahub.image("alice/made:1");
    let refused = buildah.push("made", &mine);
    assert_ne!(refused.code, Some(0), "{refused}");
    assert_eq!(
        buildah.login(world.metahub.host(), "alice", PASSWORD).code,
        Some(0)
    );
    let pushed = buildah.push("made", &mine);
    assert_eq!(pushed.code, Some(0), "{pushed}");
    let fresh = Buildah::new();
    let pulled = fresh.pull(&mine);
    assert_eq!(pulled.code, Some(0), "{pulled}");
    let container = fresh
        .cli()
        .args(["from", "--pull-never", &mine])
        .ok()
        .stdout
        .trim()
        .to_owned();
    let mounted = fresh
        .cli()
        .args(["mount", &container])
        .ok()
        .stdout
        .trim()
        .to_owned();
    let greeting = std::fs::read_to_string(std::path::Path::new(&mounted).join("greeting"));
    assert_eq!(greeting.unwrap(), "hello from buildah\n");
    fresh.cli().args(["umount", &container]).ok();
}

#[test]
fn skopeo_copies_an_index_in_and_it_keeps_its_bytes() {
    let Some(world) = with_account(skopeo::NEEDS) else {
        return;
    };
    let skopeo = Skopeo::new();
    let from = format!("docker://{}/qnib/featuretest:latest", world.upstream.host());
    let mine = world.metahub.image("alice/featuretest:all");
    let to = format!("docker://{mine}");
    let refused = skopeo.copy(&from, &to, true);
    assert_ne!(refused.code, Some(0), "{refused}");
    assert_eq!(
        skopeo.login(world.metahub.host(), "alice", PASSWORD).code,
        Some(0)
    );
    let copied = skopeo.cli().args(["copy", "--all", "--preserve-digests"]);
    copied
        .args([
            "--src-tls-verify=false",
            "--dest-tls-verify=false",
            &from,
            &to,
        ])
        .ok();
    let (_, there) = manifest_of(world.upstream.host(), "qnib/featuretest", "latest");
    let shown = Skopeo::new().inspect_raw(&mine);
    assert_eq!(shown.code, Some(0), "{shown}");
    assert_eq!(digest_of(shown.stdout.as_bytes()), digest_of(&there));
}

#[test]
fn a_pushed_index_is_filtered_by_a_login_like_any_other() {
    let Some(world) = with_account(skopeo::NEEDS) else {
        return;
    };
    let skopeo = Skopeo::new();
    let from = format!("docker://{}/qnib/featuretest:latest", world.upstream.host());
    let mine = world.metahub.image("alice/featuretest:all");
    assert_eq!(
        skopeo.login(world.metahub.host(), "alice", PASSWORD).code,
        Some(0)
    );
    assert_eq!(
        skopeo.copy(&from, &format!("docker://{mine}"), true).code,
        Some(0)
    );
    for (user, tag) in [("cascadeLake", "cascadelake"), ("zen3", "zen3")] {
        let reader = Skopeo::new();
        assert_eq!(
            reader.login(world.metahub.host(), user, "any").code,
            Some(0)
        );
        let shown = reader.inspect_raw(&mine);
        let index: serde_json::Value = serde_json::from_str(&shown.stdout).unwrap();
        let (_, wanted) = manifest_of(world.upstream.host(), "qnib/featuretest", tag);
        assert_eq!(
            index["manifests"][0]["digest"],
            digest_of(&wanted),
            "{shown}"
        );
    }
}

#[test]
fn an_artifact_that_is_no_image_keeps_its_type() {
    let Some(world) = with_account(&[]) else {
        return;
    };
    let metahub = &world.metahub;
    let login = Some(("alice", PASSWORD));
    let alice = Pusher {
        host: metahub.host(),
        repository: "alice/bench",
        login,
    };
    let config = b"{}".to_vec();
    let payload = b"benchMEM input, as it is".to_vec();
    alice.blob(&config);
    alice.blob(&payload);
    let media_type = MANIFEST;
    let manifest = serde_json::to_vec(&serde_json::json!({
        "schemaVersion": 2,
        "mediaType": media_type,
        "artifactType": "application/vnd.example.benchmark",
        "config": { "mediaType": "application/vnd.oci.empty.v1+json", "digest": digest_of(&config), "size": 2 },
        "layers": [{ "mediaType": "application/octet-stream", "digest": digest_of(&payload), "size": payload.len() }],
        "org.example.unknown": [1, 2.50, "kept"],
    }))
    .unwrap();
    alice.manifest("mem", media_type, &manifest).expect(201);
    let got = metahub
        .get("/v2/alice/bench/manifests/mem")
        .header("Accept", media_type)
        .login(login)
        .send();
    let got = got.expect(200);
    assert_eq!(got.body, manifest);
    assert_eq!(got.header("content-type"), media_type);
    let blob = metahub
        .get(&format!("/v2/alice/bench/blobs/{}", digest_of(&payload)))
        .login(login)
        .send();
    assert_eq!(blob.expect(200).body, payload);
}

fn tempfile_with(name: &str, text: &str) -> tempfile::TempDir {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join(name), text).unwrap();
    folder
}
