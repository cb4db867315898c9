//! containerd on a node: set up by one command, it is served the node's image; set up again it
//! takes up what the node is now, and undone, the file is gone.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::containerd::{self, Containerd};
use metahub_e2e::fixture;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::node::NodeUser;
use metahub_e2e::registry::Registry;
use metahub_e2e::require;
use metahub_e2e::world::{CATALOG, config};

const IMAGE: &str = "qnib/featuretest:latest";

#[test]
fn containerd_is_served_the_nodes_image_until_that_is_undone() {
    if !require::root_and(&[fixture::NEEDS, containerd::NEEDS].concat()) {
        return;
    }
    let upstream = Registry::read_only(&fixture::content());
    let config = format!(
        "{}\nprofile_header: true\n",
        config(upstream.host(), "read")
    );
    let metahub = MetaHub::start(&config, CATALOG);
    metahub.add_account("alice", "reader", "wonderland");
    let host = metahub.host();
    let image = metahub.image(IMAGE);
    let user = NodeUser::new(&["arch:zen3"]);
    let policy = user.read("node.yaml");
    let registries = format!("registries: [\"{host}\"]\nplain_http: [\"{host}\"]\n");
    user.write("node.yaml", &format!("{policy}{registries}"));
    let root = user.path("root").display().to_string();
    let hosts = user.path("root/etc/containerd/certs.d");
    let setup = [
        "setup",
        "containerd",
        "--system",
        "--root",
        &root,
        "--registry",
        host,
    ];
    let seen = |login: Option<&str>| {
        // A node of its own, so that nothing is there before.
        let node = Containerd::start();
        let mut pull = node
            .ctr()
            .args(["images", "pull", "--snapshotter=native", "--hosts-dir"])
            .arg(&hosts);
        if let Some(login) = login {
            pull = pull.args(["--user", login]);
        }
        pull.arg(&image).ok();
        node.digest(&image)
    };
    let digest = |login: &str, password: &str| NodeUser::digest(&metahub, IMAGE, login, password);

    user.command(&setup).ok();
    let file = user.read(&format!("root/etc/containerd/certs.d/{host}/hosts.toml"));
    assert!(!file.contains("Authorization"), "{file}");
    assert_eq!(seen(None), digest("zen3", "any"));
    // A pod's own login keeps its account.
    assert_eq!(
        seen(Some("alice:wonderland")),
        digest("alice/zen3", "wonderland")
    );
    assert!(metahub.says("login=\"alice\" by=\"header X-Meta-Profile\""));

    // The node is another now.
    user.command(&setup)
        .env("METAHUB_NODE_LOGIN", "cascadeLake")
        .ok();
    assert_eq!(seen(None), digest("cascadeLake", "any"));

    user.command(&[&setup[..], &["--undo"]].concat()).ok();
    let file = user.path(&format!("root/etc/containerd/certs.d/{host}/hosts.toml"));
    assert!(!file.exists());
}
