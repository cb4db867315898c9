//! `metahub resolve`: what it prints is what a pull gets.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::fixture::manifest_of;
use metahub_e2e::http::digest_of;
use metahub_e2e::metahub::command;
use metahub_e2e::process::Outcome;
use metahub_e2e::skopeo::{self, Skopeo};
use metahub_e2e::world::World;

fn resolve(world: &World, image: &str, login: &str, more: &[&str]) -> Outcome {
    let server = format!("http://{}", world.metahub.host());
    command(
        &[
            &["resolve", image, "--as", login, "--server", &server],
            more,
        ]
        .concat(),
    )
    .run()
}

#[test]
fn it_prints_the_digest_that_a_pull_under_that_login_gets() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    for (login, tag) in [("cascadeLake", "cascadelake"), ("zen3", "zen3")] {
        let said = resolve(&world, "qnib/featuretest:latest", login, &[]);
        assert_eq!(said.code, Some(0), "{said}");
        let served = world
            .metahub
            .call("HEAD", "/v2/qnib/featuretest/manifests/latest")
            .login(Some((login, "any")))
            .send()
            .expect(200);
        let (_, build) = manifest_of(world.upstream.host(), "qnib/featuretest", tag);
        let served = served.header("docker-content-digest").to_owned();
        let printed = said.all();
        assert!(
            printed.contains(&served) || printed.contains(&digest_of(&build)),
            "{said}"
        );
        let json = resolve(
            &world,
            "qnib/featuretest:latest",
            login,
            &["--format", "json"],
        )
        .ok_json();
        assert!(json.to_string().contains(&digest_of(&build)), "{json}");
    }
}

#[test]
fn it_says_entry_by_entry_why() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let said = resolve(&world, "gromacs:2021.5", "zen3", &["--explain"]);
    assert_eq!(said.code, Some(0), "{said}");
    said.says("qnib/gromacs-2021.5_gcc-7.3.1")
        .says("qnib/gromacs-2021.5_gcc-11.3.0");
    said.says("arch:cascadeLake").says("arch:zen3");
}

#[test]
fn it_ends_with_3_when_nothing_fits() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let said = resolve(&world, "gromacs:2021.5", "neoverse_v1", &[]);
    assert_eq!(said.code, Some(3), "{said}");
    said.says("arch:cascadeLake").says("arch:zen3");
}

#[test]
fn an_unknown_login_or_image_is_a_failure_that_names_it() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let said = resolve(&world, "gromacs:2021.5", "zem3", &[]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says("zem3").says("zen3");
    let said = resolve(&world, "qnib/absent:1", "zen3", &[]);
    assert_eq!(said.code, Some(1), "{said}");
    said.says("qnib/absent");
}

#[test]
fn a_copy_that_skopeo_makes_gives_the_same_without_a_server() {
    let Some(world) = World::start(skopeo::NEEDS) else {
        return;
    };
    let skopeo = Skopeo::new();
    let image = "qnib/featuretest:latest";
    let path = skopeo.path("copy");
    let from = format!("docker://{}", world.metahub.image(image));
    // The form that keeps every byte: others rewrite what is not of their types.
    let copied = skopeo.copy(&from, &format!("dir:{}", path.display()), true);
    assert_eq!(copied.code, Some(0), "{copied}");
    for login in ["zen3", "cascadeLake"] {
        let mut told = resolve(&world, image, login, &["--format", "json"]).ok_json();
        let local = command(&["resolve", image, "--as", login, "--format", "json"])
            .arg("--catalog")
            .arg(world.metahub.catalog())
            .arg("--from")
            .arg(&path)
            .run();
        let mut local = local.ok_json();
        // All but where it is from, an upstream there and a file here, and what only a server
        // knows that derived it for somebody.
        for answer in [&mut local, &mut told] {
            answer["explanation"]["source"].take();
            let answer = answer.as_object_mut().unwrap();
            answer.remove("derivation");
            answer.remove("manifest_derivation");
        }
        assert_eq!(local, told, "{login}");
    }
}
