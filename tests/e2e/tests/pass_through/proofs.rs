//! How long somebody's right to read is believed, and who they are at the upstream.

use std::time::Duration;

use metahub_e2e::faulty::MANIFEST_TYPE;
use metahub_e2e::http::digest_of;
use metahub_e2e::process::wait_until;
use metahub_e2e::scripted::INDEX_TYPE;
use serde_json::{Value, json};

use crate::world::{EXTRA, HERE, LAYER, World, alice_pulls, world};

#[test]
fn a_proof_is_remembered_for_its_time_and_no_longer() {
    let tag = "/v2/mine/team/app/manifests/1";
    for (remember, remembered) in [("1h", true), ("0s", false)] {
        let ours = format!("tag_lifetime: 1h, pass_through: {{ remember: {remember} }}");
        let Some(world) = world(403, &ours, "", &[("extra.yaml", EXTRA)]) else {
            return;
        };
        // By digest as well what there is not at the upstream: it was made from what is there.
        alice_pulls(&world);
        let digest = format!("/v2/mine/team/app/manifests/{}", world.digest());
        let blob = format!("/v2/mine/team/app/blobs/{}", digest_of(LAYER.as_bytes()));
        for path in [tag, &digest, &blob] {
            world.get("alice", path).expect(200);
        }
        let _ = world.upstream.asked();
        for path in [tag, &digest, &blob] {
            world.get("alice", path).expect(200);
        }
        let asked = world.upstream.asked();
        assert_eq!(asked.is_empty(), remembered, "{asked:?}");
        assert!(
            asked.iter().all(|asked| asked.starts_with("HEAD")),
            "{asked:?}"
        );
        // Whom the upstream shuts out is shut out here when the time is over.
        world.upstream.close("team/app", &["carol-there"], 403);
        for path in [tag, &digest, &blob] {
            let status = world.get("alice", path).status;
            assert_eq!(status == 200, remembered, "{path}: {status}");
        }
        world.get("carol", tag).expect(200);
    }
}

#[test]
fn who_is_shut_out_while_a_proof_is_remembered_loses_it_at_the_next_question() {
    let ours = "tag_lifetime: 0s, pass_through: { remember: 1h }";
    let Some(world) = world(403, ours, "", &[]) else {
        return;
    };
    let tag = "/v2/mine/team/app/manifests/1";
    let digest = format!("/v2/mine/team/app/manifests/{}", world.digest());
    world.get("alice", tag).expect(200);
    world.upstream.close("team/app", &["carol-there"], 403);
    world.get("alice", &digest).expect(200);
    // The tag is due: no kept copy stands in for a refusal.
    let refused = world.get("alice", tag).expect_error(403, "DENIED");
    assert!(refused.text().contains("account alice"), "{refused}");
    world.get("alice", &digest).expect_error(403, "DENIED");
    world.get("carol", &digest).expect(200);
}

#[test]
fn while_the_upstream_is_down_the_copy_is_for_those_who_have_shown_that_they_may_read_it() {
    let ours = "tag_lifetime: 0s, pass_through: { remember: 1h }";
    let Some(world) = world(403, ours, "", &[]) else {
        return;
    };
    let tag = "/v2/mine/team/app/manifests/1";
    world.get("alice", tag).expect(200);
    world.upstream.fail(503, None);
    let kept = world.get("alice", tag).expect(200);
    assert_eq!(kept.body, world.manifest);
    assert!(kept.header("warning").contains("up.test"), "{kept}");
    for login in ["carol", "bob"] {
        let failed = world.get(login, tag).expect_error(503, "UNAVAILABLE");
        assert!(failed.text().contains("up.test"), "{failed}");
    }
    world.upstream.mend();
    let World {
        metahub,
        manifest,
        upstream,
        ..
    } = world;
    // Who nobody is asked about, nobody is shown it.
    let metahub = metahub.restart_with("offline: true");
    let digest = format!("/v2/mine/team/app/manifests/{}", digest_of(&manifest));
    let _ = upstream.asked();
    for path in [tag, &digest, "/v2/mine/team/app/tags/list"] {
        let call = metahub.get(path).login(Some(("alice", HERE)));
        let refused = call.send().expect_error(503, "UNAVAILABLE");
        assert!(refused.text().contains("offline"), "{refused}");
    }
    assert!(upstream.asked().is_empty());
}

#[test]
fn a_login_is_listed_without_its_password_and_ends_within_seconds() {
    let Some(world) = world(403, "pass_through: { remember: 1h }", "", &[]) else {
        return;
    };
    let path = "/v2/mine/team/app/manifests/1";
    world.get("alice", path).expect(200);
    let list = |args: &[&str]| -> (String, Value) {
        let args = [&["account", "upstream-logins", "--format", "json"], args].concat();
        let text = world.metahub.command(&args).ok().stdout;
        (text.clone(), serde_json::from_str(&text).unwrap())
    };
    let (text, listed) = list(&[]);
    assert_eq!(listed.as_array().unwrap().len(), 4);
    assert!(!text.contains("password"), "{text}");
    let alice = json!([{"account": "alice", "host": "up.test", "username": "alice-there"}]);
    assert_eq!(list(&["alice"]).1, alice);

    world
        .metahub
        .command(&["account", "upstream-logout", "alice", "up.test"])
        .ok();
    let refused = || world.get("alice", path).status == 403;
    assert!(wait_until(Duration::from_secs(60), refused));
    world.get("alice", path).expect_error(403, "DENIED");
    let again = world
        .metahub
        .command(&["account", "upstream-logout", "alice", "up.test"]);
    assert_eq!(again.run().code, Some(1));
    // What an account is elsewhere goes with it, and is not another's of the same name.
    world.metahub.command(&["account", "remove", "carol"]).ok();
    world.metahub.add_account("carol", "pusher", HERE);
    assert_eq!(list(&["carol"]).1, json!([]));
    world.get("carol", path).expect_error(403, "DENIED");
    // Nobody who is not here has a login there.
    let stranger = [
        "account",
        "upstream-login",
        "zoe",
        "up.test",
        "--username",
        "z",
        "--password-stdin",
    ];
    assert_eq!(
        world.metahub.command(&stranger).stdin("p").run().code,
        Some(1)
    );
}

#[test]
fn what_was_made_of_an_index_is_shown_by_the_index() {
    let ours = "pass_through: { remember: 0s }";
    let Some(world) = world(403, ours, "", &[("extra.yaml", EXTRA)]) else {
        return;
    };
    let index = json!({
        "schemaVersion": 2,
        "mediaType": INDEX_TYPE,
        "manifests": [{
            "mediaType": MANIFEST_TYPE,
            "digest": world.digest(),
            "size": world.manifest.len(),
            "platform": { "os": "linux", "architecture": "amd64" },
        }],
    });
    let index = index.to_string().into_bytes();
    for reference in ["several", &digest_of(&index)] {
        let path = format!("/v2/team/app/manifests/{reference}");
        world.upstream.put_at(&path, INDEX_TYPE, &index);
    }
    let get = |login: &str, path: &str| {
        let call = world.call(login, "GET", path).header("Accept", INDEX_TYPE);
        call.send()
    };
    let made = get("alice/extra", "/v2/mine/team/app/manifests/several").expect(200);
    assert_ne!(made.body, index);
    let child = made.json()["manifests"][0]["digest"].clone();
    assert_ne!(child, world.digest());
    for digest in [&digest_of(&made.body), child.as_str().unwrap()] {
        let path = format!("/v2/mine/team/app/manifests/{digest}");
        get("carol", &path).expect(200);
        get("bob", &path).expect_error(403, "DENIED");
    }
}

#[test]
fn a_list_of_tags_and_a_blob_without_a_manifest_open_nothing_but_themselves() {
    let Some(world) = world(403, "pass_through: { remember: 1h }", "", &[]) else {
        return;
    };
    let path = |rest: &str| format!("/v2/mine/team/app/{rest}");
    let blob = path(&format!("blobs/{}", digest_of(LAYER.as_bytes())));
    let list = path("tags/list");
    for path in [&list, &blob] {
        world.get("alice", path).expect(200);
    }
    world.upstream.close("team/app", &["carol-there"], 403);
    let manifest = path(&format!("manifests/{}", world.digest()));
    for path in [&list, &blob, &path("manifests/1"), &manifest] {
        world.get("alice", path).expect_error(403, "DENIED");
    }
}
