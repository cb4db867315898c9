//! The ground itself, without MetaHub: the upstream holds what the tests believe it holds, and
//! the clients run it straight from there. When this fails, no other failure means anything.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::docker::Docker;
use metahub_e2e::fixture::{self, BUILDS, manifest_of};
use metahub_e2e::podman::Podman;
use metahub_e2e::registry::Registry;
use metahub_e2e::require;

#[test]
fn docker_runs_every_build_straight_from_the_upstream() {
    if !require::root_and(fixture::NEEDS) {
        return;
    }
    let upstream = Registry::read_only(&fixture::content());
    let docker = Docker::start();
    for build in BUILDS {
        let image = format!("{}/qnib/featuretest:{}", upstream.host(), build.tag);
        let ran = docker.run("anyone", &image, &[]);
        ran.says(&format!(
            ">> This container is optimized for: arch:{}\n",
            build.target
        ));
        ran.says(&format!("compiled with -march={}\n", build.march));
    }
    let image = format!("{}/qnib/featuretest:latest", upstream.host());
    docker
        .run("anyone", &image, &["aws", "--version"])
        .says("exec: \"aws\": executable file not found in $PATH: unknown");
    let layer = format!("{}/qnib/layer-awscli:latest", upstream.host());
    docker
        .run("anyone", &layer, &["aws", "--version"])
        .says("aws-cli/");
}

#[test]
fn podman_runs_a_build_straight_from_the_upstream() {
    if !require::root_and(&[fixture::NEEDS, metahub_e2e::podman::NEEDS].concat()) {
        return;
    }
    let upstream = Registry::read_only(&fixture::content());
    let podman = Podman::new();
    let image = format!("{}/qnib/gromacs-2021.5_gcc-11.3.0:zen3", upstream.host());
    assert_eq!(podman.pull("anyone", &image).code, Some(0));
    podman
        .run("anyone", &image, &[])
        .says("compiled with -march=znver3\n");
}

#[test]
fn the_index_names_each_build_with_its_feature() {
    if !require::root_and(fixture::NEEDS) {
        return;
    }
    let upstream = Registry::read_only(&fixture::content());
    let (_, bytes) = manifest_of(upstream.host(), "qnib/featuretest", "latest");
    let index: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let features: Vec<&str> = index["manifests"]
        .as_array()
        .unwrap()
        .iter()
        .map(|entry| entry["platform"]["features"][0].as_str().unwrap())
        .collect();
    assert_eq!(
        features,
        [
            "arch:x86_64_v2",
            "arch:skylake",
            "arch:cascadeLake",
            "arch:zen3"
        ]
    );
}
