//! How names reach upstreams: `ns` as containerd sends it to a mirror, groups, prefixes, what was
//! pushed here first or last, and one collection over several upstreams.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test")]

use metahub_e2e::faulty::{MANIFEST_TYPE, dead_host};
use metahub_e2e::http::{Answer, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::require;
use metahub_e2e::scripted::{INDEX_TYPE, Scripted};
use serde_json::json;

const LAB: &str = "anonymous: write\nallow_any_host: false\ntag_lifetime: 0s\n";

fn start(config: &str, upstreams: &[String], catalog: &[(&str, &str)]) -> Option<MetaHub> {
    let upstreams = upstreams.join(", ");
    let config = format!("{LAB}{config}upstreams: [{upstreams}]\n");
    require::tools(&["setpriv"]).then(|| MetaHub::start(&config, catalog))
}

/// A login that names no profile, and so changes nothing.
fn get(metahub: &MetaHub, path: &str) -> Answer {
    metahub
        .get(path)
        .header("Accept", format!("{INDEX_TYPE}, {MANIFEST_TYPE}"))
        .send_as_anybody()
}

/// Pushes a manifest that needs nothing, as `sparse` allows.
fn push(metahub: &MetaHub, path: &str, manifest: &[u8]) -> Answer {
    metahub
        .call("PUT", path)
        .header("Content-Type", MANIFEST_TYPE)
        .body(manifest)
        .send_as_anybody()
}

#[test]
fn a_mirrors_client_says_which_registry_it_means() {
    let (hub, quay) = (Scripted::start(), Scripted::start());
    let of_hub = hub.put("library/debian", "1", "of the hub");
    let of_quay = quay.put("debian", "1", "of quay");
    let subject =
        json!({"mediaType": MANIFEST_TYPE, "digest": digest_of(&of_quay), "size": of_quay.len()});
    let signature = quay.put_for("debian", "sig", "signature", "amd64", &subject);
    quay.put_at(
        &format!(
            "/v2/debian/manifests/{}",
            digest_of(&of_quay).replace(':', "-")
        ),
        INDEX_TYPE,
        json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": [{
            "mediaType": MANIFEST_TYPE, "digest": digest_of(&signature), "size": signature.len(),
            "artifactType": "application/vnd.example.signature",
        }]})
        .to_string()
        .as_bytes(),
    );
    let upstreams = [
        hub.entry("docker.io", "default: true"),
        quay.entry("quay.io", ""),
    ];
    let Some(metahub) = start("", &upstreams, &[]) else {
        return;
    };
    let asked = |path: &str, ns: &str| {
        let answer = get(&metahub, &format!("{path}?ns={ns}")).expect(200);
        assert_eq!(answer.header("oci-namespace"), ns, "{answer}");
        answer
    };
    assert_eq!(asked("/v2/debian/manifests/1", "docker.io").body, of_hub);
    assert_eq!(asked("/v2/debian/manifests/1", "quay.io").body, of_quay);
    let blob = format!("/v2/debian/blobs/{}", digest_of(b"of quay"));
    assert_eq!(asked(&blob, "quay.io").body, b"of quay");
    get(&metahub, &format!("{blob}?ns=docker.io")).expect_error(404, "BLOB_UNKNOWN");
    let tags = asked("/v2/debian/tags/list", "quay.io").json();
    assert_eq!(tags["name"], "debian");
    assert!(tags["tags"].as_array().unwrap().contains(&json!("1")));
    let page = get(&metahub, "/v2/debian/tags/list?n=1&ns=quay.io").expect(200);
    assert!(
        page.header("link").contains("/v2/debian/tags/list?n=1")
            && page.header("link").contains("ns=quay.io"),
        "{page}"
    );
    // A signature comes by the referrers API, though the upstream has the tag schema only.
    let referrers = format!("/v2/debian/referrers/{}", digest_of(&of_quay));
    let list = asked(&referrers, "quay.io").json();
    assert_eq!(list["manifests"][0]["digest"], digest_of(&signature));
    // Read, and so kept, it is still listed once.
    let path = format!("/v2/debian/manifests/{}", digest_of(&signature));
    asked(&path, "quay.io");
    let list = asked(&referrers, "quay.io").json();
    assert_eq!(list["manifests"].as_array().unwrap().len(), 1, "{list}");
    let cosign = format!(
        "/v2/debian/manifests/{}",
        digest_of(&of_quay).replace(':', "-")
    );
    asked(&cosign, "quay.io");
}

#[test]
fn a_mirror_is_no_way_to_other_hosts_nor_to_push() {
    let hub = Scripted::start();
    hub.put("library/debian", "1", "of the hub");
    let Some(metahub) = start(
        "sparse: true\n",
        &[hub.entry("docker.io", "default: true")],
        &[],
    ) else {
        return;
    };
    let error =
        get(&metahub, "/v2/debian/manifests/1?ns=quay.io").expect_error(404, "NAME_UNKNOWN");
    assert!(error.text().contains("allow_any_host"), "{error}");
    get(&metahub, "/v2/debian/manifests/1?ns=a%20b").expect_error(400, "NAME_INVALID");
    // What somebody pushes here as library/debian is not docker.io's.
    let other = Scripted::start().put("x", "1", "somebody's own");
    push(
        &metahub,
        "/v2/library/debian/manifests/1?ns=docker.io",
        &other,
    )
    .expect_error(405, "UNSUPPORTED");
    push(&metahub, "/v2/library/debian/manifests/1", &other).expect(201);
    let answer = get(&metahub, "/v2/library/debian/manifests/1?ns=docker.io").expect(200);
    assert_ne!(answer.body, other);
    // Rights are those of HOST/NAME: a token for the bare name opens nothing else.
    let token = metahub
        .get("/token?service=metahub&scope=repository:debian:pull")
        .send();
    let token = format!(
        "Bearer {}",
        token.expect(200).json()["token"].as_str().unwrap()
    );
    let refused = metahub
        .get("/v2/debian/manifests/1?ns=docker.io")
        .header("Authorization", token)
        .send()
        .expect(401);
    let challenge = refused.header("www-authenticate");
    assert!(
        challenge.contains("repository:docker.io/library/debian:pull"),
        "{refused}"
    );
}

#[test]
fn in_a_group_the_first_that_has_it_wins_and_one_that_fails_is_named() {
    let (second, third) = (Scripted::start(), Scripted::start());
    let expected = second.put("team/app", "1", "of the second");
    third.put("team/app", "1", "of the third");
    let of_third = third.put("team/app", "2", "only of the third");
    let dead = format!(
        "{{ host: first.test, url: 'http://{}', plain_http: true, default: true, retry: {{ attempts: 1 }} }}",
        dead_host()
    );
    let upstreams = [
        dead,
        second.entry("second.test", "default: true"),
        third.entry(
            "third.test",
            "default: true, prefixes: [{prefix: mirror/x, to: team}]",
        ),
    ];
    let Some(metahub) = start("", &upstreams, &[]) else {
        return;
    };
    let answer = get(&metahub, "/v2/team/app/manifests/1").expect(200);
    assert_eq!(answer.body, expected);
    let warning = answer.header("warning");
    assert!(
        warning.starts_with("299 - \"") && warning.contains("first.test"),
        "{answer}"
    );
    assert_eq!(
        get(&metahub, "/v2/team/app/manifests/2").expect(200).body,
        of_third
    );
    assert_eq!(
        get(&metahub, "/v2/mirror/x/app/manifests/2")
            .expect(200)
            .body,
        of_third
    );
    let list = get(&metahub, "/v2/team/app/tags/list").expect(200);
    assert_eq!(list.json()["tags"], json!(["1", "2"]));
    assert!(list.header("warning").contains("first.test"), "{list}");
    // A tag that was pulled does not hide those that were not.
    get(&metahub, "/v2/third.test/team/app/manifests/1").expect(200);
    let list = get(&metahub, "/v2/third.test/team/app/tags/list").expect(200);
    assert_eq!(list.json()["tags"], json!(["1", "2"]));
}

#[test]
fn what_was_pushed_here_comes_first_or_last_and_is_never_shadowed_silently() {
    for local in ["first", "last"] {
        let upstream = Scripted::start();
        let theirs = upstream.put("team/app", "1", "theirs");
        let ours = Scripted::start().put("team/app", "1", "ours");
        let config = format!("sparse: true\nlocal: {local}\n");
        let Some(metahub) = start(&config, &[upstream.entry("up.test", "default: true")], &[])
        else {
            return;
        };
        push(&metahub, "/v2/team/app/manifests/1", &ours).expect(201);
        push(&metahub, "/v2/team/app/manifests/2", &ours).expect(201);
        let answer = get(&metahub, "/v2/team/app/manifests/1").expect(200);
        assert_eq!(
            get(&metahub, "/v2/team/app/manifests/2").expect(200).body,
            ours
        );
        if local == "first" {
            assert_eq!(answer.body, ours);
            assert_eq!(answer.header("warning"), "");
            assert_eq!(upstream.asked(), Vec::<String>::new());
        } else {
            assert_eq!(answer.body, theirs);
            let warning = answer.header("warning");
            assert!(
                warning.contains("not what was pushed here as team/app"),
                "{answer}"
            );
        }
        let list = get(&metahub, "/v2/team/app/tags/list").expect(200);
        assert_eq!(list.json()["tags"], json!(["1", "2"]), "{local}");
    }
}

#[test]
fn a_collection_mixes_images_of_several_upstreams_and_of_this_registry() {
    let (one, two) = (Scripted::start(), Scripted::start());
    one.put_for("a/app", "1", "amd64 of one", "amd64", &json!(null));
    two.put_for("b/app", "1", "arm64 of two", "arm64", &json!(null));
    let catalog = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: one.test/a/app:1
        platform: {os: linux, architecture: amd64}
      - image: mirror/b/app:1
        platform: {os: linux, architecture: arm64}
      - image: here/app:1
        platform: {os: linux, architecture: riscv64}
";
    let upstreams = [
        one.entry("one.test", "default: true"),
        two.entry("two.test", "prefixes: [{prefix: mirror}]"),
    ];
    let Some(metahub) = start("", &upstreams, &[("site.yaml", catalog)]) else {
        return;
    };
    // Pushed here, out of a third registry's content.
    let third = Scripted::start();
    let manifest = third.put_for("here/app", "1", "riscv64 of here", "riscv64", &json!(null));
    let parsed: serde_json::Value = serde_json::from_slice(&manifest).unwrap();
    for blob in [&parsed["config"], &parsed["layers"][0]] {
        let digest = blob["digest"].as_str().unwrap();
        let bytes = metahub_e2e::http::get(third.host(), &format!("/v2/here/app/blobs/{digest}"));
        metahub
            .call(
                "POST",
                &format!("/v2/here/app/blobs/uploads/?digest={digest}"),
            )
            .header("Content-Type", "application/octet-stream")
            .body(bytes.send().body)
            .send_as_anybody()
            .expect(201);
    }
    push(&metahub, "/v2/here/app/manifests/1", &manifest).expect(201);
    // By its name, and as a node asks for it that takes this registry for a mirror.
    for path in [
        "/v2/site/app/manifests/1",
        "/v2/site/app/manifests/1?ns=one.test",
    ] {
        let index = get(&metahub, path).expect(200).json();
        let children = index["manifests"].as_array().unwrap();
        assert_eq!(children.len(), 3, "{path}: {index}");
        for (child, layer) in
            children
                .iter()
                .zip(["amd64 of one", "arm64 of two", "riscv64 of here"])
        {
            let ns = path.split_once('?').map_or("", |(_, query)| query);
            let digest = child["digest"].as_str().unwrap();
            get(&metahub, &format!("/v2/site/app/manifests/{digest}?{ns}")).expect(200);
            let blob = format!("/v2/site/app/blobs/{}?{ns}", digest_of(layer.as_bytes()));
            assert_eq!(get(&metahub, &blob).expect(200).text(), layer);
        }
    }
}
