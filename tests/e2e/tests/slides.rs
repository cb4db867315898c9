//! The mission's slides, line by line, with a real Docker: what is typed there works here, and
//! prints what it prints there. Run with `--nocapture` to read the transcript.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::docker::{self, Docker};
use metahub_e2e::fixture::manifest_of;
use metahub_e2e::world::World;
use serde_json::Value;

/// The short names of layers, as `docker pull` prints them.
fn layers_of(world: &World, repository: &str, reference: &str) -> Vec<String> {
    let (_, bytes) = manifest_of(world.upstream.host(), repository, reference);
    let manifest: Value = serde_json::from_slice(&bytes).unwrap();
    manifest["layers"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer["digest"].as_str().unwrap()[7..19].to_owned())
        .collect()
}

#[track_caller]
fn login(docker: &Docker, world: &World, user: &str) {
    let done = docker.login(user, world.metahub.host(), user, "any");
    assert_eq!(done.code, Some(0), "{done}");
    done.says("Login Succeeded");
}

#[test]
fn a_login_decides_which_build_of_featuretest_runs() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    let image = world.metahub.image("qnib/featuretest:latest");
    for (user, target, march, tag) in [
        ("cascadeLake", "cascadeLake", "cascadelake", "cascadelake"),
        ("zen3", "zen3", "znver3", "zen3"),
        // A second time, after the other: nothing of the first login sticks to the tag.
        ("cascadeLake", "cascadeLake", "cascadelake", "cascadelake"),
    ] {
        login(&docker, &world, user);
        let ran = docker.run(user, &image, &[]);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran.says(&format!(
            ">> This container is optimized for: arch:{target}\n"
        ));
        ran.says(&format!("compiled with -march={march}\n"));
        // It is the very image that was pushed upstream under that target's tag.
        let direct = format!("{}/qnib/featuretest:{tag}", world.upstream.host());
        assert_eq!(docker.pull("anyone", &direct).code, Some(0));
        assert_eq!(image_id(&docker, &image), image_id(&docker, &direct));
    }
}

#[test]
fn the_aws_profile_adds_the_command_that_was_missing() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    let image = world.metahub.image("qnib/featuretest:latest");

    let before = docker.run("nobody", &image, &["aws", "--version"]);
    before.says("exec: \"aws\": executable file not found in $PATH: unknown");
    let plain = layers_of(&world, "qnib/featuretest", "x86_64_v2");
    for layer in &plain {
        before.says(&format!("{layer}: Pull complete"));
    }

    login(&docker, &world, "aws/cli");
    let after = docker.run("aws/cli", &image, &["aws", "--version"]);
    assert_eq!(after.code, Some(0), "{after}");
    // Version 2 of the real command no longer names botocore, as the slides' version 1 did.
    after.says("aws-cli/").says("Python/").says("Linux/");
    for layer in &plain {
        after.says(&format!("{layer}: Already exists"));
    }
    let added = layers_of(&world, "qnib/layer-awscli", "latest");
    assert_eq!(added.len(), 3);
    for layer in &added {
        after.says(&format!("{layer}: Pull complete"));
    }
    // What the image did before, it still does.
    docker
        .run("aws/cli", &image, &[])
        .says(">> This container is optimized for: arch:x86_64_v2");
    // Another repository is not the profile's business.
    let other = world.metahub.image("library/plain:1.0");
    docker
        .run("aws/cli", &other, &["aws", "--version"])
        .says("exec: \"aws\": executable file not found in $PATH: unknown");
}

#[test]
fn two_profiles_in_one_login_do_what_both_do() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    let image = world.metahub.image("qnib/featuretest:latest");
    login(&docker, &world, "zen3+aws/cli");
    docker
        .run("zen3+aws/cli", &image, &[])
        .says(">> This container is optimized for: arch:zen3\n");
    docker
        .run("zen3+aws/cli", &image, &["aws", "--version"])
        .says("aws-cli/");
}

#[test]
fn a_login_decides_which_image_the_collection_gives() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    let image = world.metahub.image("gromacs:2021.5");
    for (user, march) in [("cascadeLake", "x86-64-v4"), ("zen3", "znver3")] {
        login(&docker, &world, user);
        let ran = docker.run(user, &image, &[]);
        assert_eq!(ran.code, Some(0), "{ran}");
        ran.says(&format!("compiled with -march={march}\n"));
    }
}

#[test]
fn an_unknown_profile_is_refused_with_what_is_near() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    let refused = docker.login("casadeLake", world.metahub.host(), "casadeLake", "any");
    assert_ne!(refused.code, Some(0), "{refused}");
    refused.says("unauthorized").says("cascadeLake");
    let api = world
        .metahub
        .get("/v2/")
        .login(Some(("casadeLake", "any")))
        .send();
    let message = api.expect_error(401, "UNAUTHORIZED").text();
    assert!(message.contains("cascadeLake"), "{message}");
}

#[test]
fn a_pull_by_digest_gives_those_bytes_to_every_login() {
    let Some(world) = World::start(docker::NEEDS) else {
        return;
    };
    let docker = world.docker();
    login(&docker, &world, "zen3");
    let (_, bytes) = manifest_of(world.upstream.host(), "qnib/featuretest", "cascadelake");
    let digest = metahub_e2e::http::digest_of(&bytes);
    let image = world.metahub.image(&format!("qnib/featuretest@{digest}"));
    docker
        .run("zen3", &image, &[])
        .says(">> This container is optimized for: arch:cascadeLake\n");
}

fn image_id(docker: &Docker, image: &str) -> String {
    docker
        .cli("engine")
        .args(["image", "inspect", "--format", "{{.Id}}", image])
        .ok()
        .stdout
}
