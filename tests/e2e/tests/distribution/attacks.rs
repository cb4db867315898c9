//! What has opened other registries, tried here; `docs/security.md` has the table.

use metahub_e2e::http::{Call, digest_of};
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::pusher::{CONFIG, LAYER, MANIFEST, descriptor};
use serde_json::json;

use crate::{EMPTY, PASSWORD, pusher, server};

fn token(metahub: &MetaHub, account: &str, scope: &str) -> String {
    let path = format!("/token?service=metahub&scope={scope}");
    let answer = metahub.get(&path).login(Some((account, PASSWORD))).send();
    answer.expect(200).json()["token"]
        .as_str()
        .unwrap()
        .to_owned()
}

fn bearer(call: Call, token: &str) -> Call {
    call.header("Authorization", format!("Bearer {token}"))
}

#[test]
fn a_blob_that_was_deleted_does_not_come_back_from_any_memory() {
    let Some(metahub) = server() else { return };
    let (here, there) = (
        pusher(metahub, "alice/forgets"),
        pusher(metahub, "alice/keeps"),
    );
    // One that is small enough to be kept in memory, and one that is a file.
    for layer in [b"small".to_vec(), vec![7; 300_000]] {
        let path = format!("blobs/{}", digest_of(&layer));
        let image = here.image("1", "amd64", &layer);
        there.blob(&layer);
        // Whatever remembers reads remembers these.
        for _ in 0..3 {
            here.call("GET", &path).send().expect(200);
            here.call("HEAD", &path).send().expect(200);
        }
        here.call("DELETE", &path).send().expect(202);
        let ranged = here.call("GET", &path).header("Range", "bytes=0-1");
        let had = format!("\"{}\"", digest_of(&layer));
        let conditional = here.call("GET", &path).header("If-None-Match", had);
        for call in [
            here.call("GET", &path),
            here.call("HEAD", &path),
            ranged,
            conditional,
        ] {
            call.send().expect_error(404, "BLOB_UNKNOWN");
        }
        let stranger = pusher(metahub, "bob/wants");
        let mount = format!(
            "blobs/uploads/?mount={}&from=alice/forgets",
            digest_of(&layer)
        );
        stranger.call("POST", &mount).send().expect(202);
        assert_eq!(there.call("GET", &path).send().expect(200).body, layer);

        // The same for the manifest, which is in memory, too.
        let path = format!("manifests/{}", image["digest"].as_str().unwrap());
        here.call("GET", &path).send().expect(200);
        here.call("GET", "manifests/1").send().expect(200);
        here.call("DELETE", &path).send().expect(202);
        for path in [&*path, "manifests/1"] {
            here.call("GET", path)
                .send()
                .expect_error(404, "MANIFEST_UNKNOWN");
        }
    }
}

#[test]
fn a_digest_opens_nothing_in_a_repository_that_does_not_have_the_blob() {
    let Some(metahub) = server() else { return };
    let secret = b"a layer that leaked its digest";
    let digest = digest_of(secret);
    pusher(metahub, "alice/private").blob(secret);
    let bob = pusher(metahub, "bob/curious");
    let refused = |what: &str| {
        for method in ["GET", "HEAD"] {
            let answer = bob.call(method, &format!("blobs/{digest}")).send();
            assert_eq!(answer.status, 404, "{what}: {answer}");
        }
    };
    refused("before anything");
    bob.blob(EMPTY);
    let thief = json!({
        "schemaVersion": 2, "mediaType": MANIFEST,
        "config": descriptor(CONFIG, EMPTY), "layers": [descriptor(LAYER, secret)],
    });
    // Manifests may lead to what is not here; that opens it no more.
    let thief = serde_json::to_vec(&thief).unwrap();
    bob.manifest("1", MANIFEST, &thief).expect(201);
    refused("with a manifest that names it");
    // A token for one's own repository does not reach into another's, by mounting neither.
    let own = token(metahub, "bob", "repository:bob/curious:pull,push");
    let path = format!("blobs/uploads/?mount={digest}&from=alice/private");
    let call = metahub.call("POST", &format!("/v2/bob/curious/{path}"));
    bearer(call, &own).send().expect_error(401, "UNAUTHORIZED");
    refused("with a mount that the token does not cover");
}

#[test]
fn a_token_for_pushing_deletes_nothing_whatever_the_tag_is_called() {
    let Some(metahub) = server() else { return };
    let alice = pusher(metahub, "alice/scopes");
    let image = alice.image("latest", "amd64", b"layer");
    let document = alice.call("GET", "manifests/latest").send().body;
    alice.manifest("other", MANIFEST, &document).expect(201);
    let digest = image["digest"].as_str().unwrap();
    let push = token(metahub, "alice", "repository:alice/scopes:pull,push");
    let paths = [
        "manifests/latest".to_owned(),
        "manifests/other".to_owned(),
        "tags/latest".to_owned(),
        format!("manifests/{digest}"),
        format!("blobs/{}", digest_of(b"layer")),
    ];
    for path in &paths {
        let call = metahub.call("DELETE", &format!("/v2/alice/scopes/{path}"));
        let refused = bearer(call, &push).send().expect_error(401, "UNAUTHORIZED");
        let asks = refused.header("www-authenticate");
        assert!(asks.contains("repository:alice/scopes:delete"), "{refused}");
        let stranger = metahub.call("DELETE", &format!("/v2/alice/scopes/{path}"));
        let stranger = stranger.login(Some(("bob", PASSWORD))).send();
        stranger.expect_error(403, "DENIED");
    }
    // Nor does a token to delete push, or one to pull do either.
    let delete = token(metahub, "alice", "repository:alice/scopes:delete");
    let pull = token(metahub, "alice", "repository:alice/scopes:pull");
    for other in [&delete, &pull] {
        let call = metahub.call("PUT", "/v2/alice/scopes/manifests/latest");
        let call = bearer(call, other).header("Content-Type", MANIFEST);
        call.body(&*document)
            .send()
            .expect_error(401, "UNAUTHORIZED");
    }
    alice.call("GET", "manifests/latest").send().expect(200);
    for path in &paths {
        let call = metahub.call("DELETE", &format!("/v2/alice/scopes/{path}"));
        let answer = bearer(call, &delete).send();
        assert!(matches!(answer.status, 202 | 404), "{answer}");
    }
    alice.call("GET", "manifests/other").send().expect(404);
}
