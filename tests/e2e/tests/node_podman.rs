//! Podman, Skopeo and Buildah on a node: set up for one user and for all, they get the node's
//! image, other registries go on, and what goes wrong without the helper is known.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::buildah::{self, Buildah};
use metahub_e2e::http::digest_of;
use metahub_e2e::node::NodeUser;
use metahub_e2e::podman::{self, Podman};
use metahub_e2e::process::Cmd;
use metahub_e2e::skopeo;
use metahub_e2e::world::World;

const NAME: &str = "qnib/featuretest";
const IMAGE: &str = "qnib/featuretest:latest";

fn skopeo(user: &NodeUser) -> Cmd {
    let command = Cmd::new("skopeo")
        .arg("--insecure-policy")
        .env_clear_of_proxies();
    user.with(command)
}

/// The digest of what Skopeo is served.
fn seen(user: &NodeUser, image: &str) -> String {
    let image = format!("docker://{image}");
    let shown = skopeo(user)
        .args(["inspect", "--raw", "--tls-verify=false", &image])
        .ok();
    digest_of(shown.stdout.as_bytes())
}

fn digest(world: &World, login: &str, password: &str) -> String {
    NodeUser::digest(&world.metahub, IMAGE, login, password)
}

#[test]
fn a_user_is_set_up_logs_in_and_out_and_is_as_before() {
    let Some(world) = World::start(&[skopeo::NEEDS, podman::NEEDS, buildah::NEEDS].concat()) else {
        return;
    };
    let host = world.metahub.host();
    world.metahub.add_account("alice", "reader", "wonderland");
    let user = NodeUser::new(&["arch:zen3"]);
    let image = world.metahub.image(IMAGE);
    let anonymous = seen(&user, &image);
    user.command(&["setup", "podman", "--user", "--registry", host])
        .ok();
    assert_eq!(seen(&user, &image), digest(&world, "zen3", "any"));

    let podman = Podman::new();
    user.with(podman.cli("any"))
        .args(["pull", "--tls-verify=false", &image])
        .ok();
    assert_eq!(podman.digest(&image), digest(&world, "zen3", "any"));
    let ran = podman.run("any", &image, &[]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("zen3"), "{ran}");
    let buildah = Buildah::new();
    let from = format!("docker://{image}");
    let built = user
        .with(buildah.cli())
        .args(["from", "--tls-verify=false", &from])
        .ok();
    let container = built.stdout.trim().to_owned();
    let shown = buildah
        .cli()
        .args(["inspect", "--format", "{{.FromImageDigest}}", &container])
        .ok();
    // Buildah names the manifest in the index.
    let index = world
        .metahub
        .get(&format!(
            "/v2/{NAME}/manifests/{}",
            digest(&world, "zen3", "any")
        ))
        .login(Some(("zen3", "any")))
        .send()
        .expect(200)
        .json();
    assert_eq!(shown.stdout.trim(), index["manifests"][0]["digest"]);

    // The person's own login goes to the helper, and comes with the node's.
    let login = [
        "login",
        "--tls-verify=false",
        "-u",
        "alice",
        "--password-stdin",
        host,
    ];
    skopeo(&user).args(login).stdin("wonderland").ok();
    assert_eq!(
        seen(&user, &image),
        digest(&world, "alice/zen3", "wonderland")
    );
    assert!(!user.read(".config/metahub/logins.json").contains("zen3"));
    skopeo(&user).args(["logout", host]).ok();
    assert_eq!(seen(&user, &image), digest(&world, "zen3", "any"));

    user.command(&["setup", "podman", "--user", "--registry", host, "--undo"])
        .ok();
    assert_eq!(user.read(".config/containers/auth.json"), "");
    assert_eq!(seen(&user, &image), anonymous);
}

#[test]
fn all_users_are_set_up_by_one_file_and_other_registries_go_on() {
    let Some(world) = World::start(skopeo::NEEDS) else {
        return;
    };
    let host = world.metahub.host();
    world.metahub.add_account("bob", "reader", "builder-1");
    let user = NodeUser::new(&["arch:zen3"]);
    let image = world.metahub.image(IMAGE);
    let root = user.path("root").display().to_string();
    user.command(&[
        "setup",
        "podman",
        "--system",
        "--root",
        &root,
        "--registry",
        host,
    ])
    .ok();
    // As a drop-in of this user, since a test changes nothing of its machine.
    let drop_in = user.read("root/etc/containers/registries.conf.d/zz-metahub.conf");
    assert!(drop_in.contains("containers-auth.json"), "{drop_in}");
    user.write(
        ".config/containers/registries.conf.d/zz-metahub.conf",
        &drop_in,
    );
    let installed = user.path("root/usr/local/bin/docker-credential-metahub");
    let helper = user.path(".local/bin/docker-credential-metahub");
    std::os::unix::fs::symlink(installed, &helper).unwrap();
    assert_eq!(seen(&user, &image), digest(&world, "zen3", "any"));

    // The helper is asked for every registry, and says of others what clients take for nothing.
    let upstream = format!("{}/{IMAGE}", world.upstream.host());
    let there = seen(&user, &upstream);
    // A login for a namespace counts there, and the helper for the rest.
    let pair = "Ym9iOmJ1aWxkZXItMQ=="; // bob:builder-1
    let auth = format!("{{\"auths\": {{\"{host}/qnib\": {{\"auth\": \"{pair}\"}}}}}}");
    user.write("run/containers/auth.json", &auth);
    assert_eq!(seen(&user, &image), digest(&world, "bob", "builder-1"));
    std::fs::remove_file(user.path("run/containers/auth.json")).unwrap();

    // Why the program comes first and goes last: without it, or with another text, pulls from
    // every registry fail.
    std::fs::remove_file(&helper).unwrap();
    let raw = |image: &str| {
        let image = format!("docker://{image}");
        skopeo(&user)
            .args(["inspect", "--raw", "--tls-verify=false", &image])
            .run()
    };
    assert_ne!(raw(&upstream).code, Some(0));
    user.write("broken", "#!/bin/sh\necho nothing here\nexit 1\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(user.path("broken"), mode).unwrap();
    std::os::unix::fs::symlink(user.path("broken"), &helper).unwrap();
    assert_ne!(raw(&upstream).code, Some(0));
    std::fs::remove_file(&helper).unwrap();

    let undo = [
        "setup",
        "podman",
        "--system",
        "--root",
        &root,
        "--registry",
        host,
        "--undo",
    ];
    user.command(&undo).ok();
    assert!(
        !user
            .path("root/etc/containers/registries.conf.d/zz-metahub.conf")
            .exists()
    );
    std::fs::remove_file(user.path(".config/containers/registries.conf.d/zz-metahub.conf"))
        .unwrap();
    assert_eq!(seen(&user, &upstream), there);
    assert_eq!(
        seen(&user, &format!("{}/{NAME}:zen3", world.upstream.host())).len(),
        71
    );
}
