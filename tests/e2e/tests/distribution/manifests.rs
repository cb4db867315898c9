//! Manifests and indexes: every kind that may be pushed, under every name, and what a client gets
//! that takes only some kinds.

use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::pusher::{CONFIG, INDEX, LAYER, MANIFEST, Pusher, descriptor};
use serde_json::{Value, json};

use crate::{EMPTY, named, pusher, server, sha512_of};

const DOCKER_MANIFEST: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

fn bytes(document: &Value) -> Vec<u8> {
    serde_json::to_vec(document).unwrap()
}

fn manifest(layers: &Value) -> Vec<u8> {
    bytes(&json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(CONFIG, EMPTY), "layers": layers,
    }))
}

fn index(entries: &Value) -> Vec<u8> {
    bytes(&json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": entries }))
}

fn get(pusher: Pusher<'_>, reference: &str, accept: &str) -> Answer {
    let call = pusher.call("GET", &format!("manifests/{reference}"));
    call.header("Accept", accept).send()
}

/// Pushes a document and reads it back, byte for byte and under its type.
#[track_caller]
fn kept(pusher: Pusher<'_>, tag: &str, media_type: &str, document: &[u8]) {
    let digest = digest_of(document);
    named(pusher.manifest(tag, media_type, document), 201, &digest);
    for reference in [tag, &digest] {
        let answer = named(get(pusher, reference, media_type), 200, &digest);
        assert_eq!(answer.body, document);
        assert_eq!(answer.header("content-type"), media_type);
        let head = pusher.call("HEAD", &format!("manifests/{reference}"));
        let head = named(head.header("Accept", media_type).send(), 200, &digest);
        assert_eq!(head.header("content-length"), document.len().to_string());
        assert_eq!(head.header("content-type"), media_type);
    }
}

#[test]
fn a_push_by_digest_sets_as_many_tags_as_it_names_or_none_of_them() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/tagged");
    alice.blob(EMPTY);
    let document = manifest(&json!([]));
    let digest = digest_of(&document);
    let bad = alice.manifest(&format!("{digest}?tag=x&tag=-"), MANIFEST, &document);
    bad.expect_error(400, "TAG_INVALID");
    get(alice, "x", MANIFEST).expect_error(404, "MANIFEST_UNKNOWN");
    let tags: Vec<String> = (0..12).map(|n| format!("t{n}")).collect();
    let query: Vec<String> = tags.iter().map(|tag| format!("tag={tag}")).collect();
    let reference = format!("{digest}?{}", query.join("&"));
    let answer = named(
        alice.manifest(&reference, MANIFEST, &document),
        201,
        &digest,
    );
    let said: Vec<_> = answer.headers.get_all("oci-tag").iter().collect();
    assert_eq!(said, tags.iter().map(|tag| &**tag).collect::<Vec<_>>());
    for tag in &tags {
        assert_eq!(
            named(get(alice, tag, MANIFEST), 200, &digest).body,
            document
        );
    }
}

#[test]
fn dockers_types_are_kept_and_layers_from_elsewhere_need_not_be_here() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/docker");
    alice.blob(EMPTY);
    alice.blob(b"layer");
    let foreign = |media_type: &str| {
        let mut layer = descriptor(media_type, b"never pushed");
        layer["urls"] = json!(["https://layers.example/one"]);
        layer
    };
    let document = bytes(&json!({
        "schemaVersion": 2,
        "mediaType": DOCKER_MANIFEST,
        "config": descriptor("application/vnd.docker.container.image.v1+json", EMPTY),
        "layers": [
            descriptor("application/vnd.docker.image.rootfs.diff.tar.gzip", b"layer"),
            foreign("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip"),
        ],
    }));
    kept(alice, "image", DOCKER_MANIFEST, &document);
    let mut entry = descriptor(DOCKER_MANIFEST, &document);
    entry["platform"] = json!({ "os": "linux", "architecture": "amd64" });
    let list = json!({ "schemaVersion": 2, "mediaType": DOCKER_LIST, "manifests": [entry] });
    kept(alice, "list", DOCKER_LIST, &bytes(&list));
    let of_oci = "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip";
    kept(alice, "oci", MANIFEST, &manifest(&json!([foreign(of_oci)])));
}

#[test]
fn indexes_may_be_nested_empty_or_lead_to_what_is_not_here() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/indexes");
    alice.blob(EMPTY);
    let image = manifest(&json!([]));
    kept(alice, "image", MANIFEST, &image);
    let empty = index(&json!([]));
    kept(alice, "empty", INDEX, &empty);
    let nested = index(&json!([
        descriptor(INDEX, &empty),
        descriptor(MANIFEST, &image)
    ]));
    kept(alice, "nested", INDEX, &nested);
    kept(
        alice,
        "deeper",
        INDEX,
        &index(&json!([descriptor(INDEX, &nested)])),
    );
    // This server has `sparse: true`; that others refuse this is tested with bad input.
    let absent = json!([descriptor(MANIFEST, b"absent")]);
    kept(alice, "sparse", INDEX, &index(&absent));
    kept(
        alice,
        "hollow",
        MANIFEST,
        &manifest(&json!([descriptor(LAYER, b"absent")])),
    );
}

#[test]
fn whoever_takes_no_index_gets_a_manifest_and_everybody_else_what_was_pushed() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/accepts");
    let image = alice.image("image", "amd64", b"layer");
    alice.index("all", &[(&image, "amd64", &[])]);
    let digest = image["digest"].as_str().unwrap();
    let only = get(alice, "all", MANIFEST);
    assert_eq!(named(only, 200, digest).header("content-type"), MANIFEST);
    let both = format!("{MANIFEST}, {INDEX};q=0.1");
    for accept in ["*/*", INDEX, &both, "application/*"] {
        let answer = get(alice, "all", accept).expect(200);
        assert_eq!(answer.header("content-type"), INDEX, "{accept}");
        assert!(answer.header("vary").contains("Accept"), "{answer}");
        assert_eq!(
            digest_of(&answer.body),
            answer.header("docker-content-digest")
        );
    }
    // A digest names bytes, whatever a client takes.
    let all = get(alice, "all", INDEX);
    let by_digest = get(alice, all.header("docker-content-digest"), MANIFEST);
    assert_eq!(by_digest.expect(200).body, all.body);
}

#[test]
fn a_manifest_named_by_sha512_is_found_by_that_name_and_its_tag() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/sha512");
    alice.blob(EMPTY);
    let layer = b"a layer of sha512";
    let digest = sha512_of(layer);
    let start = alice.call("POST", &format!("blobs/uploads/?digest={digest}"));
    start.body(&layer[..]).send().expect(201);
    let layer = json!([{ "mediaType": LAYER, "digest": digest, "size": layer.len() }]);
    let document = manifest(&layer);
    let digest = sha512_of(&document);
    let pushed = alice.manifest(&format!("{digest}?tag=long"), MANIFEST, &document);
    named(pushed, 201, &digest);
    for reference in ["long", &digest] {
        let answer = named(get(alice, reference, MANIFEST), 200, &digest);
        assert_eq!(answer.body, document);
    }
}

#[test]
fn a_manifest_that_the_client_has_is_not_sent_again_and_one_that_moved_is() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/etag");
    let first = alice.image("moves", "amd64", b"first");
    let etag = get(alice, "moves", MANIFEST).header("etag").to_owned();
    let again = |method| {
        let call = alice.call(method, "manifests/moves");
        call.header("If-None-Match", &*etag).send()
    };
    for method in ["GET", "HEAD"] {
        let same = named(again(method), 304, first["digest"].as_str().unwrap());
        assert!(same.body.is_empty());
    }
    let second = alice.image("moves", "amd64", b"second");
    named(again("GET"), 200, second["digest"].as_str().unwrap());
}

#[test]
fn a_tag_is_deleted_alone_and_a_manifest_with_all_its_tags() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/deleted");
    let image = alice.image("1", "amd64", b"layer");
    let digest = image["digest"].as_str().unwrap();
    let document = get(alice, "1", MANIFEST).body;
    for tag in ["2", "3", "4"] {
        alice.manifest(tag, MANIFEST, &document).expect(201);
    }
    let delete = |path: &str| alice.call("DELETE", path).send();
    delete("manifests/1").expect(202);
    delete("tags/2").expect(202);
    for gone in ["1", "2"] {
        get(alice, gone, MANIFEST).expect_error(404, "MANIFEST_UNKNOWN");
        delete(&format!("manifests/{gone}")).expect_error(404, "MANIFEST_UNKNOWN");
    }
    named(get(alice, "3", MANIFEST), 200, digest);
    delete(&format!("manifests/{digest}")).expect(202);
    for gone in ["3", "4", digest] {
        get(alice, gone, MANIFEST).expect_error(404, "MANIFEST_UNKNOWN");
    }
}
