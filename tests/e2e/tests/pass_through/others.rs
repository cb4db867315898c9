//! Documents, the registry itself, and many at once.

use metahub_e2e::http::digest_of;

use crate::world::{LAYER, world};

/// Documents are the same for everybody, so they lead to nothing that only some may read.
const DOCUMENTS: &str = "
manifests:
  - name: site/app
    tag: 1
    manifests:
      - image: up.test/team/app:1
  - name: site/mixed
    tag: 1
    manifests:
      - image: mine/team/app:1
        platform: {os: linux, architecture: arm64}
      - image: open.test/team/public:1
        platform: {os: linux, architecture: amd64}
---
profile:
  name: closed
  actions:
    - name: manifest-add
      event: post-manifest-get
      args:
        layerRepository: up.test/team/app:1
        repository: team/public
";

#[test]
fn no_collection_or_profile_leads_to_what_only_some_may_read() {
    let documents = [("documents.yaml", DOCUMENTS)];
    let Some(world) = world(403, "pass_through: {}", "", &documents) else {
        return;
    };
    world
        .get("alice", "/v2/mine/team/app/manifests/1")
        .expect(200);
    for login in ["alice", "bob"] {
        let closed = world
            .get(login, "/v2/site/app/manifests/1")
            .expect_error(403, "DENIED");
        assert!(closed.text().contains("same for everybody"), "{closed}");
        let mixed = world
            .call(login, "GET", "/v2/site/mixed/manifests/1")
            .header("Accept", "application/vnd.oci.image.index.v1+json")
            .send()
            .expect(200);
        assert_eq!(
            mixed.json()["manifests"].as_array().unwrap().len(),
            1,
            "{mixed}"
        );
        assert!(
            mixed.header("warning").contains("same for everybody"),
            "{mixed}"
        );
        let profile = format!("{login}/closed");
        world
            .get(&profile, "/v2/team/public/manifests/1")
            .expect_error(403, "DENIED");
        world.get(login, "/v2/team/public/manifests/1").expect(200);
    }
}

#[test]
fn the_registrys_own_login_fetches_ahead_and_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("password");
    std::fs::write(&file, "registry-password-there").unwrap();
    let own = format!(
        "pass_through: {{}}, credentials: {{ username: carol-there, password_file: '{}' }}",
        file.display()
    );
    let Some(world) = world(403, &own, "", &[]) else {
        return;
    };
    world
        .upstream
        .add_user("carol-there", "registry-password-there");
    let image = "up.test/team/app:1";
    world.metahub.command(&["warm", image]).ok();
    let fetched = world.upstream.asked();
    let blob = format!("/v2/team/app/blobs/{}", digest_of(LAYER.as_bytes()));
    assert!(fetched.contains(&format!("GET {blob}")), "{fetched:?}");
    let kept = format!("/v2/up.test/team/app/blobs/{}", digest_of(LAYER.as_bytes()));
    for login in ["bob", "dave", "erin", "", "zen3"] {
        for path in ["/v2/up.test/team/app/manifests/1", &kept] {
            assert_eq!(world.told(login, "GET", path).0, 403, "{login}: {path}");
        }
    }
    let _ = world.upstream.asked();
    for path in ["/v2/up.test/team/app/manifests/1", &kept] {
        world.get("alice", path).expect(200);
    }
    let asked = world.upstream.asked();
    assert!(
        asked.iter().all(|asked| asked.starts_with("HEAD")),
        "{asked:?}"
    );
}

#[test]
fn many_accounts_share_one_fetch() {
    let Some(world) = world(403, "pass_through: {}", "", &[]) else {
        return;
    };
    let path = format!("/v2/mine/team/app/blobs/{}", digest_of(LAYER.as_bytes()));
    std::thread::scope(|scope| {
        for turn in 0..20 {
            let (world, path) = (&world, &path);
            scope.spawn(move || {
                let login = if turn % 2 == 0 { "alice" } else { "carol" };
                assert_eq!(world.get(login, path).expect(200).body, LAYER.as_bytes());
                world.get("bob", path).expect_error(403, "DENIED");
            });
        }
    });
    let asked = world.upstream.asked();
    let fetch = format!("GET /v2/team/app/blobs/{}", digest_of(LAYER.as_bytes()));
    let seen = world.upstream.authorizations();
    let let_in = |(by, asked): &&(String, String)| *asked == fetch && !by.is_empty();
    assert_eq!(seen.iter().filter(let_in).count(), 1, "{asked:?}");
}

#[test]
fn a_layer_of_two_repositories_is_fetched_once_and_opens_no_other_repository() {
    let Some(world) = world(403, "pass_through: {}", "", &[]) else {
        return;
    };
    world.upstream.put("bobs/shared", "1", LAYER);
    world.upstream.close("bobs/shared", &["bob-there"], 403);
    let blob = format!("blobs/{}", digest_of(LAYER.as_bytes()));
    for rest in ["manifests/1", &blob] {
        let path = format!("/v2/mine/team/app/{rest}");
        world.get("alice", &path).expect(200);
    }
    let _ = world.upstream.asked();
    for rest in ["manifests/1", &blob] {
        let path = format!("/v2/mine/bobs/shared/{rest}");
        world.get("bob", &path).expect(200);
        world.get("alice", &path).expect_error(403, "DENIED");
    }
    let asked = world.upstream.asked();
    let fetch = format!("GET /v2/bobs/shared/{blob}");
    assert!(!asked.contains(&fetch), "{asked:?}");
    // Who may read it there may not read it where else it is.
    let path = format!("/v2/mine/team/app/{blob}");
    world.get("bob", &path).expect_error(403, "DENIED");
    let path = format!("/v2/mine/bobs/app/{blob}");
    world.get("bob", &path).expect_error(404, "BLOB_UNKNOWN");
}
