//! Podman under each profile: log in, pull by tag, run, compare what ran.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::metahub::MetaHub;
use metahub_e2e::podman::{self, Podman};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::world::World;

#[track_caller]
fn login(podman: &Podman, world: &World, user: &str) {
    let done = podman.login(user, world.metahub.host(), user, "any");
    assert_eq!(done.code, Some(0), "{done}");
    done.says("Login Succeeded!");
}

#[track_caller]
fn pull_and_run(podman: &Podman, user: &str, image: &str, args: &[&str]) -> String {
    let pulled = podman.pull(user, image);
    assert_eq!(pulled.code, Some(0), "{pulled}");
    let ran = podman.run(user, image, args);
    assert_eq!(ran.code, Some(0), "{ran}");
    ran.stdout
}

#[test]
fn podman_runs_the_build_that_its_login_asks_for() {
    let Some(world) = World::start(podman::NEEDS) else {
        return;
    };
    let podman = Podman::new();
    let image = world.metahub.image("qnib/featuretest:latest");
    let mut digests = Vec::new();
    for (user, target, march) in [
        ("cascadeLake", "cascadeLake", "cascadelake"),
        ("zen3", "zen3", "znver3"),
    ] {
        login(&podman, &world, user);
        let printed = pull_and_run(&podman, user, &image, &[]);
        let wanted = format!(
            ">> This container is optimized for: arch:{target}\ncompiled with -march={march}\n"
        );
        assert_eq!(printed, wanted);
        digests.push(podman.digest(&image));
    }
    assert_ne!(
        digests[0], digests[1],
        "the same tag, another digest for each login"
    );
}

#[test]
fn podman_gets_the_aws_command_under_the_aws_profile() {
    let Some(world) = World::start(podman::NEEDS) else {
        return;
    };
    let podman = Podman::new();
    let image = world.metahub.image("qnib/featuretest:latest");
    assert_eq!(podman.pull("nobody", &image).code, Some(0));
    let before = podman.run("nobody", &image, &["aws", "--version"]);
    assert_ne!(before.code, Some(0), "{before}");
    before.says("executable file");
    login(&podman, &world, "aws/cli");
    let printed = pull_and_run(&podman, "aws/cli", &image, &["aws", "--version"]);
    assert!(printed.starts_with("aws-cli/"), "{printed}");
}

#[test]
fn podman_gets_the_collection_entry_that_fits_its_login() {
    let Some(world) = World::start(podman::NEEDS) else {
        return;
    };
    let podman = Podman::new();
    let image = world.metahub.image("gromacs:2021.5");
    for (user, march) in [("cascadeLake", "x86-64-v4"), ("zen3", "znver3")] {
        login(&podman, &world, user);
        let printed = pull_and_run(&podman, user, &image, &[]);
        assert!(
            printed.ends_with(&format!("compiled with -march={march}\n")),
            "{printed}"
        );
    }
}

#[test]
fn podman_is_told_when_a_profile_does_not_exist() {
    let Some(world) = World::start(podman::NEEDS) else {
        return;
    };
    let refused = Podman::new().login("zen33", world.metahub.host(), "zen33", "any");
    assert_ne!(refused.code, Some(0), "{refused}");
}

/// Podman asks for a token without a scope first, and then for the one that it is told to.
#[test]
fn podman_finds_the_repositories_that_are_here_with_a_login_and_without() {
    if !require::tools(&["podman", "setpriv"]) {
        return;
    }
    let config = "anonymous: write\noffline: true\nupstreams: []";
    let metahub = MetaHub::start(config, &[]);
    for repository in ["site/app", "site/tool"] {
        let pusher = Pusher {
            host: metahub.host(),
            repository,
            login: None,
        };
        let _ = pusher.image("1", "amd64", repository.as_bytes());
    }
    let podman = Podman::new();
    let search = |who: &str, text: &str| {
        let found = podman
            .cli(who)
            .args(["search", "--tls-verify=false", "--format={{.Name}}"])
            .arg(metahub.image(text))
            .shown(format!("podman search {text} as {who}"))
            .ok();
        let mut names: Vec<String> = found.stdout.lines().map(str::to_owned).collect();
        names.sort();
        names
    };
    let done = podman.login("zen3", metahub.host(), "zen3", "any");
    assert_eq!(done.code, Some(0), "{done}");
    for who in ["nobody", "zen3"] {
        assert_eq!(
            search(who, ""),
            [metahub.image("site/app"), metahub.image("site/tool")],
            "{who}"
        );
        assert_eq!(search(who, "tool"), [metahub.image("site/tool")], "{who}");
    }
}
