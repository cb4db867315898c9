//! Charliecloud knows no helper and speaks nothing but HTTPS: `metahub-node exec` gives it the
//! node's image, and the login for that one command alone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::charliecloud;
use metahub_e2e::fixture;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::node::NodeUser;
use metahub_e2e::registry::Registry;
use metahub_e2e::require;
use metahub_e2e::site::Site;
use metahub_e2e::world::{CATALOG, config};

const IMAGE: &str = "qnib/featuretest:latest";

#[test]
fn charliecloud_pulls_the_nodes_image_by_exec_and_keeps_no_login() {
    if !require::root_and(&[fixture::NEEDS, charliecloud::NEEDS].concat()) {
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
    let pulled = charliecloud::image(&user, &site, &node, &["pull", &image]);
    assert_eq!(pulled.code, Some(0), "{pulled}");
    pulled.says(resolved.trim());
    let listed = charliecloud::image(&user, &site, &[], &["list"]);
    let digest = resolved.trim().rsplit(':').next().unwrap();
    listed.says(digest);
    assert!(metahub.says("zen3"), "it logged in as the node");
    let unpacked = charliecloud::unpacked(&user);
    let ran = charliecloud::run(&user, &site, &[&unpacked, "--", "/usr/bin/featuretest"]);
    assert_eq!(ran.code, Some(0), "{ran}");
    assert!(ran.stdout.contains("zen3"), "{ran}");

    // Without it, the same client is nobody, and takes no index of several images for one
    // architecture.
    let alone = charliecloud::image(&user, &site, &[], &["pull", &image]);
    assert_ne!(alone.code, Some(0), "{alone}");
    alone.says("duplicate architecture").does_not_say(digest);
}
