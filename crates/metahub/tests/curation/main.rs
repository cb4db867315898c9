//! Documents through the API of a running server: what is kept, refused, shadowed and remembered.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod site;
mod story;

use std::path::Path;

use metahub_testkit::http::call;
use serde_json::Value;

use site::{NODE, PASSWORD, Site, ZEN3, ZEN4, metahub, with_input};

#[test]
fn a_document_is_created_replaced_and_deleted_by_who_saw_the_last_one() {
    let mut site = Site::new();
    site.get(NODE).expect_error(404, "NAME_UNKNOWN");
    let put = |text: &str| site.call("PUT", NODE).body(text).send();
    put(ZEN3).expect_error(428, "PRECONDITION_FAILED");
    site.replace(NODE, "\"1-x\"", ZEN3)
        .expect_error(412, "PRECONDITION_FAILED");

    let created = site.create(NODE, ZEN3).expect(201);
    let first = created.header("etag").to_owned();
    assert_eq!(created.json()["version"], 1);
    assert_eq!(created.json()["account"], "curator");
    let refused = site
        .create(NODE, ZEN4)
        .expect_error(412, "PRECONDITION_FAILED");
    assert_eq!(refused.header("etag"), first);
    let shown = site.get(NODE).expect(200);
    assert_eq!(
        (shown.text().as_str(), shown.header("etag")),
        (ZEN3, first.as_str())
    );
    site.call("GET", NODE)
        .header("If-None-Match", first.clone())
        .send()
        .expect(304);
    site.until("site/node:latest", |one| {
        one["left_out"].is_null() && one["version"] == 1
    });
    while !site.knows("site/node") {
        std::thread::yield_now();
    }

    let second = site.replace(NODE, &first, ZEN4).expect(200);
    let second = second.header("etag").to_owned();
    site.replace(NODE, &first, ZEN3)
        .expect_error(412, "PRECONDITION_FAILED");
    let delete = |etag: &str| site.call("DELETE", NODE).header("If-Match", etag).send();
    delete(&first).expect_error(412, "PRECONDITION_FAILED");
    site.call("DELETE", NODE)
        .send()
        .expect_error(428, "PRECONDITION_FAILED");
    assert_eq!(
        site.get(&format!("{NODE}?version=1")).expect(200).text(),
        ZEN3
    );
    site.get(&format!("{NODE}?version=7"))
        .expect_error(404, "NAME_UNKNOWN");

    // JSON is YAML, too, and what was acknowledged outlives the server.
    let json = r#"{"profile": {"name": "site/node", "features": ["arch:zen2"]}}"#;
    let third = site
        .replace(NODE, &second, json)
        .expect(200)
        .header("etag")
        .to_owned();
    site.stop();
    site.start();
    assert_eq!(site.get(NODE).expect(200).text(), json);
    assert!(
        site.knows("site/node"),
        "it is in force from the first request on"
    );

    let delete = |etag: &str| site.call("DELETE", NODE).header("If-Match", etag).send();
    delete(&third).expect(204);
    site.get(NODE).expect_error(404, "NAME_UNKNOWN");
    while site.knows("site/node") {
        std::thread::yield_now();
    }
    let history = site
        .get("/api/v1/history/profiles/site/node:latest")
        .expect(200)
        .json();
    let versions: Vec<(u64, bool)> = history["versions"]
        .as_array()
        .unwrap()
        .iter()
        .map(|one| (one["version"].as_u64().unwrap(), one["deleted"] == true))
        .collect();
    assert_eq!(versions, [(4, true), (3, false), (2, false), (1, false)]);
    assert_eq!(history["versions"][0]["account"], "curator");
    // A name counts on, so that no entity tag comes twice.
    assert_eq!(site.create(NODE, ZEN3).expect(201).json()["version"], 5);
}

#[test]
fn only_accounts_see_documents_and_only_curators_and_admins_change_them() {
    let site = Site::new();
    let as_who = |who: Option<(&str, &str)>, method: &str, path: &str| {
        let call = call(&site.host, method, path)
            .login(who)
            .header("If-None-Match", "*");
        call.body(if method == "PUT" { ZEN3 } else { "" }).send()
    };
    for path in [
        "/api/v1/profiles",
        "/api/v1/collections",
        NODE,
        "/api/v1/history/profiles/a",
    ] {
        as_who(None, "GET", path).expect_error(401, "UNAUTHORIZED");
        as_who(Some(("zen3", "any")), "GET", path).expect_error(403, "DENIED");
    }
    as_who(None, "PUT", NODE).expect_error(401, "UNAUTHORIZED");
    as_who(Some(("curator", "wrong")), "PUT", NODE).expect_error(401, "UNAUTHORIZED");
    as_who(Some(("zen3", "any")), "PUT", NODE).expect_error(403, "DENIED");
    as_who(Some(("pusher", PASSWORD)), "PUT", NODE).expect_error(403, "DENIED");
    as_who(Some(("pusher", PASSWORD)), "DELETE", NODE).expect_error(403, "DENIED");
    as_who(Some(("pusher", PASSWORD)), "GET", "/api/v1/profiles").expect(200);
    // A token is for content, whoever's it is.
    let token = as_who(Some(("root", PASSWORD)), "GET", "/token?service=metahub").expect(200);
    let token = token.json()["token"].as_str().unwrap().to_owned();
    let with_token =
        call(&site.host, "PUT", NODE).header("Authorization", format!("Bearer {token}"));
    with_token
        .header("If-None-Match", "*")
        .body(ZEN3)
        .send()
        .expect_error(403, "DENIED");
    as_who(Some(("root", PASSWORD)), "PUT", NODE).expect(201);
    // A curator pushes no images.
    let upload = site.call("POST", "/v2/curator/app/blobs/uploads/").send();
    upload.expect_error(403, "DENIED");
}

#[test]
fn a_document_with_mistakes_is_refused_with_their_places() {
    let site = Site::new();
    let wrong = "profile:\n  name: site/node\n  featurs: [arch:zen3]\n";
    let refused = site
        .create(NODE, wrong)
        .expect_error(422, "DOCUMENT_INVALID");
    let problem = &refused.json()["errors"][0]["detail"]["problems"][0];
    assert_eq!(
        (&problem["line"], &problem["column"]),
        (&3.into(), &3.into())
    );
    assert_eq!(problem["file"], "api:profiles/site/node:latest");
    assert_eq!(problem["help"], "did you mean `features`?");
    for other in [
        "profile: {name: site/other, features: [arch:zen3]}\n",
        "manifests: [{name: site/node, manifests: [{image: a}]}]\n",
        "profiles: [{name: site/node, features: [arch:zen3]}, {name: b, features: [arch:zen2]}]\n",
        "",
    ] {
        let refused = site
            .create(NODE, other)
            .expect_error(422, "DOCUMENT_INVALID");
        assert!(
            refused.text().contains("defines"),
            "{other}: {}",
            refused.text()
        );
    }
    let missing = "profile: {name: site/node, extends: [site/base]}\n";
    site.create(NODE, missing)
        .expect_error(422, "DOCUMENT_INVALID");
    site.create("/api/v1/profiles/a:b:c", ZEN3)
        .expect_error(400, "NAME_INVALID");
    site.create("/api/v1/collections/UPPER:1", ZEN3)
        .expect_error(400, "NAME_INVALID");
    site.create(NODE, &"#".repeat(300 * 1024))
        .expect_error(413, "SIZE_INVALID");
    assert!(
        site.listed("site/node:latest").is_null(),
        "nothing was stored"
    );

    // What others stand on stays.
    let base = "profile: {name: site/base, features: [arch:zen3]}\n";
    site.create("/api/v1/profiles/site/base:latest", base)
        .expect(201);
    site.create(NODE, missing).expect(201);
    let gone = site
        .call("DELETE", "/api/v1/profiles/site/base")
        .header("If-Match", "*");
    let refused = gone.send().expect_error(409, "CONFLICT");
    assert!(
        refused.text().contains("api:profiles/site/node:latest:1:"),
        "{}",
        refused.text()
    );

    let app = "manifests:\n  - name: lab/app\n    tag: 1\n    manifests: [{image: lab/a}]\n";
    site.create("/api/v1/collections/lab/app:1", app)
        .expect(201);
    let listed = site.get("/api/v1/collections").expect(200).json();
    assert_eq!(listed["collections"][0]["name"], "lab/app:1");
}

#[test]
fn files_and_the_api_never_fight_silently() {
    let site = Site::new();
    std::fs::write(site.file(), ZEN3).unwrap();
    site.until("site/node:latest", |one| !one.is_null());
    let refused = site.create(NODE, ZEN4).expect_error(409, "CONFLICT");
    assert!(
        refused.text().contains("site.yaml:2:3"),
        "{}",
        refused.text()
    );

    // A name that the API has, and a file defines later: the file counts, and the list says so.
    let other = "/api/v1/profiles/site/other";
    let text = |arch: &str| format!("profile: {{name: site/other, features: [arch:{arch}]}}\n");
    site.create(other, &text("zen4")).expect(201);
    site.until("site/other:latest", |one| {
        one["source"] == "api" && one["left_out"].is_null()
    });
    std::fs::write(site.file(), format!("{ZEN3}---\n{}", text("zen2"))).unwrap();
    let shadowed = site.until("site/other:latest", |one| !one["shadowed"].is_null());
    assert!(
        shadowed["shadowed"]
            .as_str()
            .unwrap()
            .contains("site.yaml:5:"),
        "{shadowed}"
    );
    let etag = format!("\"{}\"", shadowed["etag"].as_str().unwrap());
    site.replace(other, &etag, &text("zen3"))
        .expect_error(409, "CONFLICT");
    std::fs::remove_file(site.file()).unwrap();
    site.until("site/other:latest", |one| {
        one["shadowed"].is_null() && one["left_out"].is_null()
    });
    site.replace(other, &etag, &text("zen3")).expect(200);

    // One that stands on a file's goes alone when that is gone.
    std::fs::write(site.file(), ZEN3).unwrap();
    let above = "profile: {name: site/above, extends: [site/node]}\n";
    site.until("site/node:latest", |one| !one.is_null());
    site.create("/api/v1/profiles/site/above", above)
        .expect(201);
    site.until("site/above:latest", |one| one["left_out"].is_null());
    std::fs::remove_file(site.file()).unwrap();
    site.until("site/above:latest", |one| one["left_out"] == true);
    assert!(site.knows("site/other") && !site.knows("site/above"));
}

#[test]
fn the_commands_of_the_page_work_on_a_server() {
    let site = Site::new();
    let folder = site.folder.path().to_owned();
    let run = |args: &str, code: i32| -> String {
        let args: Vec<&str> = args.split_whitespace().collect();
        let url = format!("http://{}", site.host);
        let mut command = metahub(&args);
        command
            .args(["--server", &url, "--as", "curator", "--password-stdin"])
            .current_dir(&folder);
        let output = with_input(&mut command, PASSWORD);
        let out = String::from_utf8(output.stdout).unwrap();
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(code), "{args:?}: {out}{error}");
        if code == 0 { out } else { out + &error }
    };
    let write = |text: &str| std::fs::write(folder.join("zen3.yaml"), text).unwrap();
    write(ZEN3);
    assert!(run("profile diff zen3.yaml", 1).contains("+  features: [arch:zen3]"));
    assert_eq!(
        run("profile push zen3.yaml", 0),
        "site/node:latest is at version 1\n"
    );
    assert_eq!(
        run("profile push zen3.yaml", 0),
        "site/node:latest is the same already\n"
    );
    assert_eq!(run("profile diff zen3.yaml", 0), "");
    let etag = site.get(NODE).header("etag").trim_matches('"').to_owned();
    write(ZEN4);
    let unified = run("profile diff zen3.yaml", 1);
    assert!(
        unified.starts_with("--- site/node:latest\n+++ zen3.yaml\n@@ "),
        "{unified}"
    );
    assert!(
        unified.contains("\n-  features: [arch:zen3]\n+  features: [arch:zen4]\n"),
        "{unified}"
    );
    run(&format!("profile push zen3.yaml --etag {etag}"), 0);
    write(&ZEN4.replace("zen4", "zen2"));
    assert!(run(&format!("profile push zen3.yaml --etag {etag}"), 1).contains("by now"));
    assert_eq!(run("profile show site/node", 0), ZEN4);
    assert_eq!(run("profile show site/node=latest --at 1", 0), ZEN3);
    let history = run("profile show site/node --history --format json", 0);
    let history: Value = serde_json::from_str(&history).unwrap();
    assert_eq!(
        (&history[0]["version"], history.as_array().unwrap().len()),
        (&2.into(), 2)
    );
    assert_eq!(
        run("profile rollback site/node --to 1", 0),
        "site/node:latest is at version 3\n"
    );
    assert_eq!(run("profile show site/node", 0), ZEN3);
    let pulled = run("profile pull --out saved", 0);
    assert!(pulled.contains("profile-site+node@latest.yaml"), "{pulled}");
    let saved = folder.join("saved/profile-site+node@latest.yaml");
    assert_eq!(std::fs::read_to_string(saved).unwrap(), ZEN3);
    write("profile:\n  name: site/node\n  featurs: [arch:zen3]\n");
    assert!(run("profile push zen3.yaml", 1).contains("zen3.yaml:3:3: error: "));
    write(&format!(
        "{ZEN3}---\nprofile: {{name: b, features: [arch:zen2]}}\n"
    ));
    assert!(run("profile push zen3.yaml", 1).contains("one profile at a time"));
    run("profile delete site/node", 0);
    assert!(run("profile show site/node", 1).contains("keeps no profile"));
    run("profile rollback site/node --to 1", 0);

    std::fs::write(site.file(), ZEN3).unwrap();
    site.until("site/node:latest", |one| !one["shadowed"].is_null());
    assert!(run("profile list", 0).contains("shadowed by "));
    let app = "manifests:\n  - name: lab/app\n    tag: 1\n    manifests: [{image: lab/a}]\n";
    std::fs::write(folder.join("app.yaml"), app).unwrap();
    assert_eq!(
        run("collection push app.yaml", 0),
        "lab/app:1 is at version 1\n"
    );
    let listed: Value = serde_json::from_str(&run("collection list --format json", 0)).unwrap();
    assert_eq!(listed[0]["name"], "lab/app:1");
}

#[test]
fn the_description_of_the_api_is_served_as_it_is_kept_and_says_what_there_is() {
    let site = Site::new();
    let served = call(&site.host, "GET", "/api/v1/openapi.json")
        .send()
        .expect(200);
    let kept = Path::new(env!("CARGO_MANIFEST_DIR")).join("../server/openapi.json");
    assert_eq!(served.text(), std::fs::read_to_string(kept).unwrap());
    let described = served.json();
    let mut operations = 0;
    for (path, methods) in described["paths"].as_object().unwrap() {
        let path = path.replace("{name}", "site/absent");
        for method in ["GET", "PUT", "POST", "DELETE", "PATCH"] {
            let operation = &methods[method.to_lowercase()];
            let call = site.call(method, &path).header("If-Match", "*");
            let status = call.body("profile:").send().status;
            assert_eq!(
                operation.is_null(),
                status == 405,
                "{method} {path}: {status}"
            );
            if !operation.is_null() {
                operations += 1;
                let told = &operation["responses"][status.to_string()];
                assert!(
                    !told.is_null(),
                    "{method} {path}: {status} is not described"
                );
            }
        }
    }
    assert_eq!(operations, 14);
}
