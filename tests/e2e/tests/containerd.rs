//! containerd with MetaHub as its mirror: it says which registry it means, gets the image that is
//! called so there, and an unchanged name gives each kind of node what fits it.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use metahub_e2e::containerd::{self, Containerd};
use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::{basic, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::{INDEX_TYPE, Scripted};
use serde_json::{Value, json};

/// Layers that are tar streams of nothing, and differ.
fn layer(blocks: usize) -> String {
    "\0".repeat(512 * blocks)
}

/// The image for amd64 `repository:tag` of so many blocks.
fn put(upstream: &Scripted, repository: &str, tag: &str, blocks: usize) -> Vec<u8> {
    upstream.put(repository, tag, &layer(blocks))
}

/// An entry of an index.
fn entry(manifest: &[u8], features: &[&str]) -> Value {
    json!({
        "mediaType": MANIFEST_TYPE, "digest": digest_of(manifest), "size": manifest.len(),
        "platform": {"os": "linux", "architecture": "amd64", "features": features},
    })
}

/// A MetaHub before two registries.
fn start(hub: &Scripted, quay: &Scripted, catalog: &[(&str, &str)]) -> MetaHub {
    let upstreams = [
        hub.entry("docker.io", "default: true"),
        quay.entry("quay.io", ""),
    ];
    let config = format!(
        "anonymous: read\nallow_any_host: false\nupstreams: [{}]\n",
        upstreams.join(", ")
    );
    MetaHub::start(&config, catalog)
}

#[test]
fn a_mirrored_name_gives_the_image_of_the_registry_that_the_node_means() {
    if !require::root_and(containerd::NEEDS) {
        return;
    }
    let (hub, quay) = (Scripted::start(), Scripted::start());
    let of_hub = put(&hub, "library/app", "1", 2);
    let of_quay = put(&quay, "library/app", "1", 4);
    let metahub = start(&hub, &quay, &[]);
    let containerd = Containerd::start();
    for (host, manifest) in [("docker.io", &of_hub), ("quay.io", &of_quay)] {
        containerd.mirror(host, metahub.host(), "");
        let image = format!("{host}/library/app:1");
        let pulled = containerd.pull(&image).ok();
        pulled.says(&format!("?ns={host}"));
        pulled.says(&format!("Oci-Namespace: {host}"));
        assert_eq!(containerd.digest(&image), digest_of(manifest), "{pulled}");
    }
    for (upstream, blocks) in [(&hub, 2), (&quay, 4)] {
        let layer = digest_of(layer(blocks).as_bytes());
        let asked = upstream.asked();
        let layers = asked.iter().filter(|line| line.contains(&layer));
        assert_eq!(layers.count(), 1, "{asked:?}");
    }
}

#[test]
fn a_host_that_the_mirror_reads_nothing_from_is_left_to_the_next() {
    if !require::root_and(containerd::NEEDS) {
        return;
    }
    let (hub, quay) = (Scripted::start(), Scripted::start());
    put(&hub, "library/app", "1", 2);
    let metahub = start(&hub, &quay, &[]);
    let containerd = Containerd::start();
    containerd.mirror("ghcr.io", metahub.host(), "");
    let pulled = containerd.pull("ghcr.io/library/app:1").fails();
    pulled.says("404 Not Found");
    // Its last resort is the host itself, which is nowhere.
    pulled.says("connection refused");
    assert_eq!(hub.asked(), Vec::<String>::new());
}

#[test]
fn an_unchanged_name_gives_each_kind_of_node_what_its_header_says_it_is() {
    if !require::root_and(containerd::NEEDS) {
        return;
    }
    let (hub, quay) = (Scripted::start(), Scripted::start());
    let zen3 = put(&hub, "site/build", "zen3", 2);
    let lake = put(&hub, "site/build", "lake", 4);
    let catalog = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: docker.io/site/build:zen3
        platform: {features: [arch:zen3]}
      - image: docker.io/site/build:lake
        platform: {features: [arch:cascadelake]}
";
    let metahub = start(&hub, &quay, &[("site.yaml", catalog)]);
    for (login, image, other) in [("zen3", &zen3, &lake), ("cascadelake", &lake, &zen3)] {
        let node = Containerd::start();
        let header = format!("Authorization = ['{}']", basic(login, "any"));
        node.mirror("docker.io", metahub.host(), &header);
        let pulled = node.pull("docker.io/site/app:1").ok();
        let content = node.ctr().args(["content", "ls", "-q"]).ok().stdout;
        assert!(content.contains(&digest_of(image)), "{login}: {pulled}");
        assert!(!content.contains(&digest_of(other)), "{login}: {content}");
    }
}

#[test]
fn a_login_given_to_ctr_reaches_the_registry_by_its_token() {
    if !require::root_and(containerd::NEEDS) {
        return;
    }
    let (hub, quay) = (Scripted::start(), Scripted::start());
    let zen3 = put(&hub, "team/app", "zen3", 2);
    let lake = put(&hub, "team/app", "lake", 4);
    let index = json!({
        "schemaVersion": 2, "mediaType": INDEX_TYPE,
        "manifests": [entry(&lake, &["arch:cascadelake"]), entry(&zen3, &["arch:zen3"])],
    });
    let path = "/v2/team/app/manifests/1";
    hub.put_at(path, INDEX_TYPE, index.to_string().as_bytes());
    let metahub = start(&hub, &quay, &[]);
    let containerd = Containerd::start();
    let image = metahub.image("team/app:1");
    let pull = ["images", "pull", "--plain-http", "--snapshotter=native"];
    let pulled = containerd
        .ctr()
        .args(pull)
        .args(["--user", "zen3:any", &image])
        .ok();
    let content = containerd.ctr().args(["content", "ls", "-q"]).ok().stdout;
    assert!(content.contains(&digest_of(&zen3)), "{pulled}");
    assert!(!content.contains(&digest_of(&lake)), "{content}");
}

/// A collection for zen3 and cascadelake, and a MetaHub that reads `X-Meta-Profile`.
fn with_profiles(hub: &Scripted) -> MetaHub {
    put(hub, "site/build", "zen3", 2);
    put(hub, "site/build", "lake", 4);
    let catalog = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: docker.io/site/build:zen3
        platform: {features: [arch:zen3]}
      - image: docker.io/site/build:lake
        platform: {features: [arch:cascadelake]}
";
    let config = format!(
        "anonymous: read\nprofile_header: true\nallow_any_host: false\nupstreams: [{}]\n",
        hub.entry("docker.io", "default: true")
    );
    MetaHub::start(&config, &[("site.yaml", catalog)])
}

#[test]
fn a_node_that_names_metahub_alone_runs_nothing_where_nothing_fits() {
    if !require::root_and(containerd::NEEDS) {
        return;
    }
    let (hub, origin) = (Scripted::start(), Scripted::start());
    let generic = put(&origin, "site/app", "1", 8);
    let metahub = with_profiles(&hub);
    let haswell = "X-Meta-Profile = ['haswell']";
    let image = "docker.io/site/app:1";

    // With the registry as the last resort, the node goes on to it.
    let lenient = Containerd::start();
    lenient.mirror_before("docker.io", metahub.host(), origin.host(), haswell);
    lenient.pull(image).ok();
    let content = lenient.ctr().args(["content", "ls", "-q"]).ok().stdout;
    assert!(content.contains(&digest_of(&generic)), "{content}");

    let _ = origin.asked();
    let strict = Containerd::start();
    strict.only("docker.io", metahub.host(), haswell);
    let pulled = strict.pull(image).fails();
    pulled.says("?ns=docker.io");
    assert_eq!(strict.digest(image), "", "{pulled}");
    assert_eq!(origin.asked(), Vec::<String>::new());
}

#[test]
fn a_header_says_what_the_node_is_and_the_login_stays_the_pods_own() {
    if !require::root_and(containerd::NEEDS) {
        return;
    }
    let hub = Scripted::start();
    let metahub = with_profiles(&hub);
    metahub.add_account("alice", "reader", "a long password");
    let digests = |content: &str| -> Vec<bool> {
        [2, 4]
            .map(|blocks| content.contains(&digest_of(layer(blocks).as_bytes())))
            .to_vec()
    };
    for (node, login, expected) in [
        ("zen3", None, [true, false]),
        ("cascadelake", None, [false, true]),
        ("cascadelake", Some("alice:a long password"), [false, true]),
        // A login that names hardware itself keeps to that.
        ("cascadelake", Some("zen3:any"), [true, false]),
        (
            "cascadelake",
            Some("alice/zen3:a long password"),
            [true, false],
        ),
    ] {
        let containerd = Containerd::start();
        containerd.only(
            "docker.io",
            metahub.host(),
            &format!("X-Meta-Profile = ['{node}']"),
        );
        let mut pull = containerd.pull("docker.io/site/app:1");
        if let Some(login) = login {
            pull = pull.args(["--user", login]);
        }
        let pulled = pull.ok();
        let content = containerd.ctr().args(["content", "ls", "-q"]).ok().stdout;
        assert_eq!(digests(&content), expected, "{node} {login:?}: {pulled}");
    }
}
