//! Charliecloud knows no helper and speaks nothing but HTTPS: `metahub-node exec` gives it the
//! node's image, and the login for that one command alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::fixture;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::node::NodeUser;
use metahub_e2e::process::{Cmd, Outcome};
use metahub_e2e::registry::Registry;
use metahub_e2e::require;
use metahub_e2e::site::Site;
use metahub_e2e::world::{CATALOG, config};

const IMAGE: &str = "qnib/featuretest:latest";

/// `ch-image` with a storage folder of this user, as `metahub-node exec` runs it or alone.
fn ch_image(user: &NodeUser, site: &Site, before: &[&str], args: &[&str]) -> Outcome {
    let storage = user.path("storage").display().to_string();
    let program = [
        before,
        &["ch-image", "--no-cache", "--storage", &storage],
        args,
    ]
    .concat();
    charliecloud(user, site, &program)
}

/// A program of Charliecloud as this user runs it.
fn charliecloud(user: &NodeUser, site: &Site, program: &[&str]) -> Outcome {
    let (first, rest) = program.split_first().unwrap();
    let python = "/usr/bin:/bin";
    let path = std::env::var("PATH").unwrap_or_default();
    user.with(Cmd::new(first).args(rest).env_clear_of_proxies())
        .env("USER", "node")
        .env("REQUESTS_CA_BUNDLE", site.path("trusted/ca.crt"))
        // It is written for Debian's Python.
        .env("PATH", format!("{python}:{path}"))
        .run()
}

#[test]
fn charliecloud_pulls_the_nodes_image_by_exec_and_keeps_no_login() {
    if !require::root_and(&[fixture::NEEDS, &["ch-image", "ch-run"]].concat()) {
        return;
    }
    let upstream = Registry::read_only(&fixture::content());
    let site = Site::new();
    let config = format!("{}\n{}", config(upstream.host(), "read"), site.tls_key());
    let metahub = MetaHub::start(&config, CATALOG);
    let user = NodeUser::new(&["arch:zen3"]);
    let policy = user.read("node.yaml");
    let authority = site.path("trusted/ca.crt");
    user.write(
        "node.yaml",
        &format!(
            "{policy}registries: [\"{}\"]\nca_file: {}\n",
            metahub.host(),
            authority.display()
        ),
    );
    let image = metahub.image(IMAGE);
    let resolved = user.command(&["resolve", &image]).ok().stdout;
    let program = metahub_e2e::node::program().display().to_string();
    let node = [program.as_str(), "exec", "--"];
    let pulled = ch_image(&user, &site, &node, &["pull", &image]);
    assert_eq!(pulled.code, Some(0), "{pulled}");
    pulled.says(resolved.trim());
    let listed = ch_image(&user, &site, &[], &["list"]);
    let digest = resolved.trim().rsplit(':').next().unwrap();
    listed.says(digest);
    assert!(metahub.says("zen3"), "it logged in as the node");
    let images = std::fs::read_dir(user.path("storage/img")).unwrap();
    let unpacked = images
        .map(|image| image.unwrap().path())
        .find(|image| image.is_dir());
    let unpacked = unpacked.unwrap();
    // What ch-run mounts over, which this tiny image has not.
    for folder in ["dev", "etc", "home", "proc", "sys", "tmp"] {
        std::fs::create_dir_all(unpacked.join(folder)).unwrap();
    }
    for file in ["group", "hosts", "passwd", "resolv.conf"] {
        let file = unpacked.join("etc").join(file);
        std::fs::OpenOptions::new()
            .create(true)
            .append(true)
            .open(file)
            .unwrap();
    }
    let unpacked = unpacked.display().to_string();
    let ran = charliecloud(
        &user,
        &site,
        &["ch-run", &unpacked, "--", "/usr/bin/featuretest"],
    );
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("zen3"), "{ran}");

    // Without it, the same client is nobody, and takes no index of several images for one
    // architecture.
    let alone = ch_image(&user, &site, &[], &["pull", &image]);
    assert_ne!(alone.code, Some(0), "{alone}");
    alone.says("duplicate architecture").does_not_say(digest);
}
