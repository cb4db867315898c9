//! What the actions of a profile make of images, run by real clients: a gzip image in Docker's
//! format that Docker built, and a zstd image in the OCI format that Buildah built.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod built_layers;
mod lab;
mod other_clients;

use metahub_e2e::docker::Docker;
use metahub_e2e::metahub::command;
use metahub_e2e::podman::Podman;
use metahub_e2e::process::Outcome;
use metahub_e2e::skopeo::Skopeo;

use crate::lab::lab;

#[track_caller]
fn ran(outcome: &Outcome) -> &str {
    assert_eq!(outcome.code, Some(0), "{outcome}");
    &outcome.stdout
}

#[test]
fn docker_and_podman_run_what_a_profile_makes_of_both_formats() {
    let Some(metahub) = lab(&[]) else { return };
    let (docker, podman) = (Docker::start(), Podman::new());
    let host = metahub.host();
    for user in ["site/wrapped", "site/tools", "site/wrapped+site/tools"] {
        assert_eq!(docker.login(user, host, user, "any").code, Some(0));
        assert_eq!(podman.login(user, host, user, "any").code, Some(0));
    }
    for image in ["lab/gzip:v1", "lab/zstd:v1"].map(|image| metahub.image(image)) {
        // The launcher stands before the entrypoint, and gets its arguments.
        let user = "site/wrapped";
        let wrapped = "launched /bin/echo app x\n";
        assert_eq!(podman.pull(user, &image).code, Some(0));
        assert_eq!(ran(&podman.run(user, &image, &["x"])), wrapped);
        // Engines before Docker 23 read no zstd layers, whoever serves them.
        if image.contains("zstd") && docker.pull("nobody", &image).code != Some(0) {
            println!("SKIPPED for {image}: this Docker engine reads no zstd layers");
            continue;
        }
        assert_eq!(ran(&docker.run(user, &image, &["x"])), wrapped);
        // The environment and the working directory are those that the profile says.
        let shell = ["run", "--rm", "--network=host", "--entrypoint=/bin/sh"];
        let told = docker
            .cli(user)
            .args(shell)
            .arg(&image)
            .args(["-c", "pwd; env"])
            .ok();
        assert!(told.stdout.starts_with("/bin\n"), "{told}");
        told.says("SIMD=AVX2\n");
        told.says("PATH=/opt/bin:/usr/local/sbin");
        // And with layers on top, in one login.
        let user = "site/wrapped+site/tools";
        assert_eq!(docker.pull(user, &image).code, Some(0));
        let note = ["-c", "cat /opt/bin/note; env"];
        let told = docker.cli(user).args(shell).arg(&image).args(note).ok();
        told.says("from the layer\n");
        told.says("SIMD=AVX2\n");
    }
    // What docker and podman ran can be told. Docker's format has no annotations.
    let actions = |image: &str| {
        let server = format!("http://{host}");
        let asked = ["why", image, "--as", "site/wrapped", "--server", &server];
        let told = command(&[&asked[..], &["--format", "json"]].concat()).ok();
        let told: serde_json::Value = serde_json::from_str(&told.stdout).unwrap();
        let actions = told["actions"].as_array().unwrap().iter();
        let names = actions.map(|action| action["name"].as_str().unwrap().to_owned());
        names.collect::<Vec<_>>()
    };
    assert_eq!(actions("lab/gzip:v1"), ["config-set"]);
    assert_eq!(actions("lab/zstd:v1"), ["config-set", "annotate"]);
}

#[test]
fn clients_are_redirected_refused_and_shown_tags_as_a_profile_says() {
    let Some(metahub) = lab(&[]) else { return };
    let podman = Podman::new();
    let host = metahub.host();
    for user in ["site/moved", "site/closed"] {
        assert_eq!(podman.login(user, host, user, "any").code, Some(0));
    }
    let old = metahub.image("lab/old:v1");
    assert_eq!(podman.pull("site/moved", &old).code, Some(0));
    assert_eq!(ran(&podman.run("site/moved", &old, &["x"])), "app x\n");
    let refused = podman.pull("site/closed", &metahub.image("lab/gzip:v1"));
    assert_ne!(refused.code, Some(0), "{refused}");
    refused.says("not on this cluster");
    let skopeo = Skopeo::new();
    let copy = |tag: &str| {
        let from = metahub.image("lab/gzip:v1");
        let to = metahub.image(&format!("lab/gzip:{tag}"));
        let copied = skopeo.copy(&format!("docker://{from}"), &format!("docker://{to}"), true);
        assert_eq!(copied.code, Some(0), "{copied}");
    };
    copy("v1-debug");
    let tags = || {
        let list = ["list-tags", "--tls-verify=false"];
        let list = skopeo
            .cli()
            .args(list)
            .arg(format!("docker://{host}/lab/gzip"));
        let listed: serde_json::Value = serde_json::from_str(&list.ok().stdout).unwrap();
        listed["Tags"].clone()
    };
    assert_eq!(tags(), serde_json::json!(["v1", "v1-debug"]));
    assert_eq!(skopeo.login(host, "site/tags", "any").code, Some(0));
    assert_eq!(tags(), serde_json::json!(["stable", "v1"]));
}
