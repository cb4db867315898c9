//! Skopeo under each profile: what it is shown by tag hashes to what it is told, and what it
//! copies is whole.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::fixture::manifest_of;
use metahub_e2e::http::digest_of;
use metahub_e2e::skopeo::{self, Skopeo};
use metahub_e2e::world::World;
use serde_json::Value;

const LOGINS: &[(&str, &str)] = &[("cascadeLake", "cascadelake"), ("zen3", "zen3")];

fn logged_in(world: &World, user: &str) -> Skopeo {
    let skopeo = Skopeo::new();
    let done = skopeo.login(world.metahub.host(), user, "any");
    assert_eq!(done.code, Some(0), "{done}");
    skopeo
}

#[test]
fn what_a_tag_shows_hashes_to_the_digest_it_is_served_under() {
    let Some(world) = World::start(skopeo::NEEDS) else {
        return;
    };
    let image = world.metahub.image("qnib/featuretest:latest");
    for (user, _) in LOGINS {
        let skopeo = logged_in(&world, user);
        let shown = skopeo.inspect_raw(&image);
        assert_eq!(shown.code, Some(0), "{shown}");
        let digest = digest_of(shown.stdout.as_bytes());
        let head = world
            .metahub
            .call("HEAD", "/v2/qnib/featuretest/manifests/latest")
            .login(Some((user, "any")))
            .send()
            .expect(200);
        assert_eq!(head.header("docker-content-digest"), digest);
        assert!(
            head.header("vary").to_lowercase().contains("authorization"),
            "{head}"
        );
        // The same bytes again by that digest, for anybody.
        let again =
            Skopeo::new().inspect_raw(&world.metahub.image(&format!("qnib/featuretest@{digest}")));
        assert_eq!(again.stdout, shown.stdout);
    }
}

#[test]
fn a_filtered_index_has_one_plain_entry_for_the_platform() {
    let Some(world) = World::start(skopeo::NEEDS) else {
        return;
    };
    let image = world.metahub.image("qnib/featuretest:latest");
    for (user, tag) in LOGINS {
        let shown = logged_in(&world, user).inspect_raw(&image).stdout;
        let index: Value = serde_json::from_str(&shown).unwrap();
        let entries = index["manifests"].as_array().unwrap();
        assert_eq!(entries.len(), 1, "{shown}");
        let platform = entries[0]["platform"].as_object().unwrap();
        for unwanted in ["variant", "features", "os.features"] {
            assert!(!platform.contains_key(unwanted), "{shown}");
        }
        let (_, wanted) = manifest_of(world.upstream.host(), "qnib/featuretest", tag);
        assert_eq!(entries[0]["digest"], digest_of(&wanted));
    }
}

#[test]
fn without_a_login_the_upstream_index_is_served_byte_for_byte() {
    let Some(world) = World::start(skopeo::NEEDS) else {
        return;
    };
    let shown = Skopeo::new().inspect_raw(&world.metahub.image("qnib/featuretest:latest"));
    let (_, there) = manifest_of(world.upstream.host(), "qnib/featuretest", "latest");
    assert_eq!(shown.stdout.as_bytes(), there);
}

#[test]
fn a_copy_under_each_login_is_whole() {
    let Some(world) = World::start(skopeo::NEEDS) else {
        return;
    };
    for user in ["cascadeLake", "zen3", "aws/cli", "zen3+aws/cli"] {
        let skopeo = logged_in(&world, user);
        let image = format!(
            "docker://{}",
            world.metahub.image("qnib/featuretest:latest")
        );
        let layout = format!("oci:{}:copied", skopeo.path("layout").display());
        let copied = skopeo.copy(&image, &layout, true);
        assert_eq!(copied.code, Some(0), "{user}: {copied}");
        // Skopeo checks each blob's digest; that the config names as many layers is ours.
        let config = skopeo.cli().args(["inspect", "--config", &layout]).ok();
        let config: Value = serde_json::from_str(&config.stdout).unwrap();
        let layers = if user.contains("aws/cli") { 5 } else { 2 };
        assert_eq!(
            config["rootfs"]["diff_ids"].as_array().unwrap().len(),
            layers,
            "{user}"
        );
    }
}
