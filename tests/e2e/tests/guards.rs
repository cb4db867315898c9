//! What a configuration forbids is forbidden by every path: changes in read-only mode, deletions
//! where they are switched off, and whatever would change an immutable tag.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{MANIFEST, Pusher};
use metahub_e2e::require;
use serde_json::Value;

const ADMIN: Option<(&str, &str)> = Some(("root", "correct horse battery staple"));

fn start(config: &str) -> Option<MetaHub> {
    let config = format!("anonymous: write\noffline: true\nupstreams: []\n{config}");
    let metahub = require::tools(&["setpriv"]).then(|| MetaHub::start(&config, &[]))?;
    metahub.add_account("root", "admin", ADMIN.unwrap().1);
    Some(metahub)
}

fn pusher(metahub: &MetaHub) -> Pusher<'_> {
    Pusher {
        host: metahub.host(),
        repository: "site/app",
        login: ADMIN,
    }
}

fn digest(descriptor: &Value) -> &str {
    descriptor["digest"].as_str().unwrap()
}

#[test]
fn a_read_only_registry_refuses_every_change_and_serves_as_before() {
    let Some(metahub) = start("read_only: true") else {
        return;
    };
    let pusher = pusher(&metahub);
    let blob = digest_of(b"x");
    for (method, path) in [
        ("POST", "blobs/uploads/".to_owned()),
        ("POST", format!("blobs/uploads/?digest={blob}")),
        ("POST", format!("blobs/uploads/?mount={blob}&from=a/b")),
        ("PATCH", "blobs/uploads/x".to_owned()),
        ("PUT", format!("blobs/uploads/x?digest={blob}")),
        ("DELETE", "blobs/uploads/x".to_owned()),
        ("PUT", "manifests/latest".to_owned()),
        ("PUT", format!("manifests/{blob}?tag=a")),
        ("DELETE", "manifests/latest".to_owned()),
        ("DELETE", format!("manifests/{blob}")),
        ("DELETE", format!("blobs/{blob}")),
        ("DELETE", "tags/latest".to_owned()),
    ] {
        let answer = pusher.call(method, &path).body("x").send();
        let answer = answer.expect_error(405, "UNSUPPORTED");
        assert!(answer.text().contains("read-only"), "{answer}");
    }
    metahub.get("/v2/").login(ADMIN).send().expect(200);
    let absent = pusher.call("GET", "manifests/latest").send();
    absent.expect_error(404, "MANIFEST_UNKNOWN");
}

#[test]
fn where_deletion_is_off_no_path_deletes() {
    let Some(metahub) = start("delete: false") else {
        return;
    };
    let pusher = pusher(&metahub);
    let image = pusher.image("1", "amd64", b"layer");
    for path in [
        "manifests/1".to_owned(),
        "tags/1".to_owned(),
        format!("manifests/{}", digest(&image)),
        format!("blobs/{}", digest_of(b"layer")),
    ] {
        let answer = pusher.call("DELETE", &path).send();
        answer.expect_error(405, "UNSUPPORTED");
    }
    pusher.call("GET", "manifests/1").send().expect(200);
    // An upload of one's own is not content yet.
    let upload = pusher.start_upload();
    let given_up = metahub.call("DELETE", &upload).login(ADMIN).send();
    given_up.expect(204);
}

#[test]
fn an_immutable_tag_is_pushed_once_and_keeps_all_it_needs() {
    let Some(metahub) = start("immutable_tags: ['site/app:v[0-9]+']") else {
        return;
    };
    let pusher = pusher(&metahub);
    let first = pusher.image("v1", "amd64", b"first");
    let again = pusher.image("v1", "amd64", b"first");
    assert_eq!(first, again, "the same again is no change");
    let other = pusher.image("latest", "amd64", b"other");
    let other_bytes = pusher
        .call("GET", "manifests/latest")
        .send()
        .expect(200)
        .body;
    let refuse = |answer: Answer| {
        let answer = answer.expect_error(403, "DENIED");
        assert!(answer.text().contains("immutable"), "{answer}");
    };
    refuse(pusher.manifest("v1", MANIFEST, &other_bytes));
    let beside = format!("{}?tag=v2&tag=v1", digest(&other));
    refuse(pusher.manifest(&beside, MANIFEST, &other_bytes));
    let none_of_it = pusher.call("GET", "manifests/v2").send();
    none_of_it.expect(404);

    let layer = format!("blobs/{}", digest_of(b"first"));
    for path in [
        "manifests/v1",
        "tags/v1",
        &format!("manifests/{}", digest(&first)),
        &layer,
    ] {
        refuse(pusher.call("DELETE", path).send());
    }
    pusher.call("GET", &layer).send().expect(200);
    let served = pusher.call("GET", "manifests/v1").send().expect(200);
    assert_eq!(served.header("docker-content-digest"), digest(&first));

    // Everything else is as free as ever.
    pusher
        .manifest("latest", MANIFEST, &served.body)
        .expect(201);
    pusher.call("DELETE", "tags/latest").send().expect(202);
    let path = format!("manifests/{}", digest(&other));
    pusher.call("DELETE", &path).send().expect(202);
}
