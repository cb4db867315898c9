//! `metahub resolve` without a server: documents and images of files, or of upstreams, give what a
//! server that has them answers.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[allow(dead_code, reason = "shared with the tests of the API")]
#[path = "curation/site.rs"]
mod site;

use std::path::{Path, PathBuf};
use std::process::Command;

use metahub_testkit::http::{call, digest_of};
use serde_json::{Value, json};

use site::{PASSWORD, Site, metahub};

const DOCUMENTS: &str = "\
profile:
  name: site/node
  features: [arch:zen3]
  actions:
    - {name: manifest-select, event: post-manifest-list-get}
    - {name: manifest-add, event: post-manifest-get, args: {layerRepository: site/tools, repository: 'lab/.*'}}
---
manifests:
  - name: site/app
    tag: 1
    manifests:
      - {image: 'lab/app:v1'}
";
/// Of whom and for which platform is asked, of the image and of the collection.
const ASKED: &[&str] = &[
    "lab/app:v1 --as site/node",
    "lab/app:v1 --as site/node --explain",
    "lab/app:v1 --as site/node --platform linux/amd64",
    "lab/app:v1 --as zen2 --explain",
    "lab/app:v1 --as zen4+driver=550",
    "lab/app:v1",
    "lab/app:v1 --as haswell --explain",
    "lab/app:v1 --as neoverse_v1 --platform linux/arm64",
    "site/app:1 --as site/node",
    "site/tools:latest --as zen2",
    "lab/missing:v1 --as zen2",
    "lab/app:v2 --as zen2",
];

fn site() -> Site {
    let site = Site::new();
    std::fs::write(site.file(), DOCUMENTS).unwrap();
    site.until("site/node:latest", |one| !one.is_null());
    site.push_builds("lab/app", "v1", &["zen2", "zen3"]);
    site.push_builds("site/tools", "latest", &["x86_64"]);
    site
}

/// What a command prints, with how it ends.
fn output(folder: &Path, args: &str) -> (String, String, Option<i32>) {
    let args: Vec<&str> = args.split_whitespace().collect();
    let output = metahub(&args).current_dir(folder).output().unwrap();
    (
        String::from_utf8(output.stdout).unwrap(),
        String::from_utf8(output.stderr).unwrap(),
        output.status.code(),
    )
}

/// A tag's manifests and configurations, without any layer.
struct Pulled {
    root: Vec<u8>,
    others: Vec<Vec<u8>>,
}

fn pulled(site: &Site, name: &str, tag: &str) -> Pulled {
    let get = |path: &str| {
        let asked = call(&site.host, "GET", path).login(Some(("root", PASSWORD)));
        asked.header("Accept", "*/*").send().expect(200).body
    };
    let root = get(&format!("/v2/{name}/manifests/{tag}"));
    let index: Value = serde_json::from_slice(&root).unwrap();
    let mut others = Vec::new();
    for entry in index["manifests"].as_array().unwrap() {
        let digest = entry["digest"].as_str().unwrap();
        let manifest = get(&format!("/v2/{name}/manifests/{digest}"));
        let parsed: Value = serde_json::from_slice(&manifest).unwrap();
        let config = parsed["config"]["digest"].as_str().unwrap();
        others.push(get(&format!("/v2/{name}/blobs/{config}")));
        others.push(manifest);
    }
    Pulled { root, others }
}

fn hex(bytes: &[u8]) -> String {
    digest_of(bytes).trim_start_matches("sha256:").to_owned()
}

/// An OCI image layout, whose entry has this name.
fn layout(at: PathBuf, pulled: &Pulled, name: Option<&str>) -> PathBuf {
    let blobs = at.join("blobs/sha256");
    std::fs::create_dir_all(&blobs).unwrap();
    for bytes in pulled.others.iter().chain([&pulled.root]) {
        std::fs::write(blobs.join(hex(bytes)), bytes).unwrap();
    }
    let mut entry = json!({
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "digest": digest_of(&pulled.root), "size": pulled.root.len(),
    });
    if let Some(name) = name {
        entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
    }
    let index = json!({"schemaVersion": 2, "manifests": [entry]});
    std::fs::write(at.join("index.json"), index.to_string()).unwrap();
    std::fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
    at
}

/// What `skopeo copy --all` writes to `dir:`, without layers.
fn plain(at: PathBuf, pulled: &Pulled) -> PathBuf {
    std::fs::create_dir_all(&at).unwrap();
    std::fs::write(at.join("manifest.json"), &pulled.root).unwrap();
    for bytes in &pulled.others {
        let document: Value = serde_json::from_slice(bytes).unwrap();
        let end = if document["layers"].is_array() {
            ".manifest.json"
        } else {
            ""
        };
        std::fs::write(at.join(hex(bytes) + end), bytes).unwrap();
    }
    at
}

fn archive(of: &Path, at: PathBuf) -> PathBuf {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(of).arg("-cf").arg(&at).arg(".");
    assert!(tar.status().unwrap().success());
    at
}

#[test]
fn files_give_what_a_server_answers() {
    let site = site();
    let folder = site.folder.path();
    let (app, tools) = (
        pulled(&site, "lab/app", "v1"),
        pulled(&site, "site/tools", "latest"),
    );
    let named = layout(folder.join("app"), &app, Some("lab/app:v1"));
    layout(folder.join("tagged"), &app, Some("v1"));
    plain(folder.join("plain"), &app);
    archive(&named, folder.join("app.tar"));
    layout(folder.join("tools"), &tools, None);
    let asked = |args: &str, format: &str| {
        output(
            folder,
            &format!(
                "resolve {args} --server http://{} --format {format}",
                site.host
            ),
        )
    };
    let mut codes = Vec::new();
    for args in ASKED {
        for format in ["json", "text"] {
            let (told, error, code) = asked(args, format);
            for source in ["app", "lab/app:v1=plain", "app.tar"] {
                let with = format!(
                    "resolve {args} --catalog catalog --from {source} \
                     --from site/tools:latest=tools --format {format}"
                );
                let local = output(folder, &with);
                assert_eq!(local, (told.clone(), error.clone(), code), "{with}");
            }
            codes.push(code.unwrap());
        }
    }
    assert_eq!(
        codes[..4],
        [0, 0, 0, 0],
        "what the profile's actions make of it"
    );
    for code in [0, 1, 3] {
        assert!(
            codes.contains(&code),
            "nothing ended with {code}: {codes:?}"
        );
    }

    // A tag alone is one of the repository that is asked about, and no name is what is asked about.
    let with = "--catalog catalog --from site/tools:latest=tools --as site/node --from";
    let told = asked("lab/app:v1 --as site/node", "text");
    for source in ["tagged", "plain"] {
        assert_eq!(
            output(folder, &format!("resolve lab/app:v1 {with} {source}")),
            told
        );
    }
}

#[test]
fn upstreams_give_what_a_server_answers() {
    let site = site();
    let folder = site.folder.path();
    let config = json!({
        "catalog": [folder.join("catalog")],
        "upstreams": [{
            "host": site.host, "default": true, "plain_http": true, "allow_private": true,
        }],
    });
    std::fs::write(folder.join("metahub.yaml"), config.to_string()).unwrap();
    for args in ["--as site/node", "--as zen2", "", "--as haswell"] {
        let asked = format!("resolve lab/app:v1 {args} --explain --format json");
        let (told, _, code) = output(folder, &format!("{asked} --server http://{}", site.host));
        let (local, error, local_code) = output(folder, &format!("{asked} --config metahub.yaml"));
        assert_eq!(local_code, code, "{args}: {local}{error}");
        // All but the digests of what is derived: those say of which registry the source is.
        let same = |text: &str| {
            let told: Value = serde_json::from_str(text)
                .unwrap_or_else(|_| panic!("{args}: {told:?} {local:?} {error}"));
            let mut same: Vec<Value> = ["why", "message", "wanted", "existing", "requires"]
                .map(|key| told[key].clone())
                .into();
            let children = told["explanation"]["children"].as_array();
            same.extend(children.into_iter().flatten().map(|child| {
                let source = &child["derived_from"];
                if source.is_null() {
                    &child["digest"]
                } else {
                    source
                }
                .clone()
            }));
            same
        };
        assert_eq!(same(&local), same(&told), "{args}");
    }
    // With files, no upstream is asked.
    let app = pulled(&site, "lab/app", "v1");
    layout(folder.join("app"), &app, None);
    let (_, told, code) = output(
        folder,
        "resolve lab/app:v1 --as site/node --config metahub.yaml --from app",
    );
    assert_eq!(code, Some(1));
    assert!(told.contains("site/tools"), "{told}");
}

#[test]
fn an_image_of_another_registry_may_lie_in_a_file() {
    let site = site();
    let folder = site.folder.path();
    layout(folder.join("app"), &pulled(&site, "lab/app", "v1"), None);
    let asked = "resolve quay.io/lab/app:v1 --catalog catalog --from app --as";
    let (told, error, code) = output(folder, &format!("{asked} zen2"));
    assert_eq!(code, Some(0), "{error}");
    assert!(told.starts_with("quay.io/lab/app@sha256:"), "{told}");
    let (_, error, code) = output(folder, &format!("{asked} haswell"));
    assert_eq!(code, Some(3), "{error}");
}

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path();
    std::fs::write(folder.join("bad.yaml"), "profile:\n  nme: x\n").unwrap();
    std::fs::write(
        folder.join("good.yaml"),
        "profile: {name: site/a, features: [arch:zen3]}\n",
    )
    .unwrap();
    std::fs::create_dir(folder.join("empty")).unwrap();
    let app = Pulled {
        root: br#"{"schemaVersion":2,"mediaType":"application/vnd.oci.image.index.v1+json","manifests":[]}"#.to_vec(),
        others: Vec::new(),
    };
    layout(folder.join("app"), &app, Some("lab/app:v1"));
    for (args, told) in [
        ("--catalog bad.yaml", "bad.yaml:2:3: "),
        ("--catalog good.yaml --as site/b --from app", "site/b"),
        ("--catalog good.yaml --from nowhere", "nowhere"),
        ("--catalog good.yaml --from empty", "oci-layout"),
        ("--catalog good.yaml --from good.yaml", "good.yaml"),
        ("--catalog good.yaml --from lab/other:v1=app", "lab/app"),
    ] {
        let (out, error, code) = output(folder, &format!("resolve lab/app:v1 {args}"));
        assert_eq!((code, out.as_str()), (Some(1), ""), "{args}: {error}");
        assert!(error.contains(told), "{args}: {error}");
    }
    std::fs::write(folder.join("app/blobs/sha256").join(hex(&app.root)), "{}").unwrap();
    let (_, error, code) = output(folder, "resolve lab/app:v1 --from app");
    assert_eq!(code, Some(1));
    assert!(error.contains("damaged"), "{error}");
}
