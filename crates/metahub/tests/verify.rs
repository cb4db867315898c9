//! `metahub check --verify`: collections held against the code of the images that they name, in
//! files and in a running registry.

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
use metahub_testkit::program::{AVX2, AVX512, PLAIN, layer, program};
use serde_json::{Value, json};

use site::{PASSWORD, Site, metahub};

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
const LAYER: &str = "application/vnd.oci.image.layer.v1.tar";

/// An image: its manifest, and the blobs that belong to it.
struct Image {
    manifest: Vec<u8>,
    blobs: Vec<Vec<u8>>,
}

impl Image {
    /// Of these layers, the lowest first.
    fn new(labels: &Value, layers: &[&[u8]]) -> Self {
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": {"Labels": labels},
            "rootfs": {"type": "layers", "diff_ids": layers.iter().map(|l| digest_of(l)).collect::<Vec<_>>()},
        })
        .to_string()
        .into_bytes();
        let descriptor = |kind: &str, bytes: &[u8]| json!({"mediaType": kind, "digest": digest_of(bytes), "size": bytes.len()});
        let manifest = json!({
            "schemaVersion": 2, "mediaType": MANIFEST, "config": descriptor(CONFIG, &config),
            "layers": layers.iter().map(|layer| descriptor(LAYER, layer)).collect::<Vec<_>>(),
        });
        let mut blobs: Vec<Vec<u8>> = layers.iter().map(|layer| layer.to_vec()).collect();
        blobs.push(config);
        Self {
            manifest: manifest.to_string().into_bytes(),
            blobs,
        }
    }

    /// As an OCI image layout, whose entry has this name.
    fn layout(&self, at: PathBuf, name: Option<&str>) -> PathBuf {
        let blobs = at.join("blobs/sha256");
        std::fs::create_dir_all(&blobs).unwrap();
        for bytes in self.blobs.iter().chain([&self.manifest]) {
            std::fs::write(blobs.join(hex(bytes)), bytes).unwrap();
        }
        let mut entry = json!({
            "mediaType": MANIFEST, "digest": digest_of(&self.manifest), "size": self.manifest.len(),
        });
        if let Some(name) = name {
            entry["annotations"] = json!({"org.opencontainers.image.ref.name": name});
        }
        let index = json!({"schemaVersion": 2, "manifests": [entry]});
        std::fs::write(at.join("index.json"), index.to_string()).unwrap();
        std::fs::write(at.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#).unwrap();
        at
    }

    /// As `skopeo copy` writes it to `dir:`.
    fn plain(&self, at: PathBuf) -> PathBuf {
        std::fs::create_dir_all(&at).unwrap();
        std::fs::write(at.join("manifest.json"), &self.manifest).unwrap();
        for bytes in &self.blobs {
            std::fs::write(at.join(hex(bytes)), bytes).unwrap();
        }
        at
    }

    fn push(&self, site: &Site, name: &str, tag: &str) {
        let root = |method: &str, path: &str| {
            call(&site.host, method, path).login(Some(("root", PASSWORD)))
        };
        for bytes in &self.blobs {
            let digest = digest_of(bytes);
            let path = format!("/v2/{name}/blobs/uploads/?digest={digest}");
            let _ = root("POST", &path).body(bytes.clone()).send().expect(201);
        }
        root("PUT", &format!("/v2/{name}/manifests/{tag}"))
            .header("Content-Type", MANIFEST)
            .body(self.manifest.clone())
            .send()
            .expect(201);
    }
}

fn hex(bytes: &[u8]) -> String {
    digest_of(bytes).trim_start_matches("sha256:").to_owned()
}

fn archive(of: &Path, at: PathBuf) -> PathBuf {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(of).arg("-cf").arg(&at).arg(".");
    assert!(tar.status().unwrap().success());
    at
}

/// An image whose one program runs these instructions.
fn image(instructions: &[u8]) -> Image {
    Image::new(
        &json!({}),
        &[&layer(&[("usr/bin/app", &program(instructions))])],
    )
}

/// A collection of entries, each an image and the features that it asks for.
fn collection(entries: &[(&str, &str)]) -> String {
    let mut text = "manifests:\n  - name: site/app\n    tag: 1\n    manifests:\n".to_owned();
    for (image, features) in entries {
        text += &format!("      - {{image: '{image}', platform: {{features: [{features}]}}}}\n");
    }
    text
}

/// The exit code, and what is told.
fn check(folder: &Path, args: &[&str]) -> (Option<i32>, String) {
    let mut command = metahub(&["check", "site.yaml", "--verify"]);
    let output = command.args(args).current_dir(folder).output().unwrap();
    let text =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), text)
}

/// The same as JSON, with the code of each problem.
fn codes(folder: &Path, args: &[&str]) -> (Option<i32>, Vec<(String, String)>, Value) {
    let mut all = args.to_vec();
    all.extend(["--format", "json"]);
    let (exit, text) = check(folder, &all);
    let report: Value = serde_json::from_str(&text).unwrap_or_else(|_| panic!("{text}"));
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let problems = report["problems"].as_array().unwrap().iter();
    let told = problems.map(|one| (text(&one["severity"]), text(&one["code"])));
    (exit, told.collect(), report)
}

fn pair(severity: &str, code: &str) -> (String, String) {
    (severity.to_owned(), code.to_owned())
}

#[test]
fn images_of_files_are_held_against_their_entries() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let layout = image(AVX512).layout(at("v4"), Some("lab/app:v4"));
    image(PLAIN).plain(at("plain"));
    archive(&layout, at("v4.tar"));
    let write = |entries: &[(&str, &str)]| {
        std::fs::write(at("site.yaml"), collection(entries)).unwrap();
    };

    for source in ["v4", "v4.tar", "lab/app:v4=v4"] {
        let args = ["--from", source, "--from", "lab/app:plain=plain"];
        write(&[("lab/app:v4", "arch:zen2"), ("lab/app:plain", "")]);
        let (exit, told, report) = codes(folder.path(), &args);
        assert_eq!(exit, Some(1), "{report}");
        assert_eq!(told, [pair("error", "less-than-code")], "{report}");
        let message = report["problems"][0]["message"].as_str().unwrap();
        assert!(
            message.contains("usr/bin/app requires x86_64_v4") && message.contains("zen2"),
            "{message}"
        );
        assert_eq!(report["problems"][0]["line"], 5, "where the entry stands");
        let verified = &report["verified"];
        assert_eq!(verified[0]["verdict"], "claims-less", "{report}");
        assert_eq!(verified[0]["required"], "x86_64_v4", "{report}");
        assert_eq!(verified[1]["verdict"], "agrees", "{report}");

        write(&[
            ("lab/app:v4", "arch:x86_64_v4"),
            ("lab/app:plain", "arch:zen3"),
        ]);
        let (exit, told, report) = codes(folder.path(), &args);
        assert_eq!(exit, Some(0), "{report}");
        assert_eq!(told, [pair("warning", "more-than-code")], "{report}");
        // A warning fails where warnings do.
        let strict = [&args[..], &["--strict"]].concat();
        assert_eq!(codes(folder.path(), &strict).0, Some(1));
    }
    let (_, text) = check(
        folder.path(),
        &["--from", "v4", "--from", "lab/app:plain=plain"],
    );
    assert!(
        text.contains("built for zen3") && text.contains("2 images: 1 as claimed, 1 need less"),
        "{text}"
    );
}

#[test]
fn an_image_that_cannot_be_read_is_unknown() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let whole = layer(&[("usr/bin/app", &program(PLAIN))]);
    Image::new(&json!({}), &[&whole[..600]]).layout(at("cut"), Some("lab/app:cut"));
    image(PLAIN).layout(at("other"), Some("lab/app:other"));
    let wrong = image(AVX2).layout(at("wrong"), Some("lab/app:wrong"));
    let blob = layer(&[("usr/bin/app", &program(AVX2))]);
    let file = wrong.join("blobs/sha256").join(hex(&blob));
    let mut bytes = std::fs::read(&file).unwrap();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    std::fs::write(&file, bytes).unwrap();
    for (name, told) in [
        ("lab/app:cut", "layer sha256:"),
        ("lab/app:wrong", "hashes to"),
        ("lab/app:absent", "none of the files has it"),
    ] {
        std::fs::write(at("site.yaml"), collection(&[(name, "arch:zen2")])).unwrap();
        let args = ["--from", "cut", "--from", "other", "--from", "wrong"];
        let (exit, codes, report) = codes(folder.path(), &args);
        assert_eq!(exit, Some(0), "{name}: {report}");
        assert_eq!(codes, [pair("warning", "code-unknown")], "{name}: {report}");
        let message = report["problems"][0]["message"].as_str().unwrap();
        assert!(message.contains(told), "{message}");
        assert_eq!(report["verified"][0]["verdict"], "unknown");
    }
}

#[test]
fn what_upper_layers_replace_does_not_count_and_labels_do() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    let lower = layer(&[("usr/bin/app", &program(AVX512))]);
    let upper = layer(&[("usr/bin/app", &program(PLAIN))]);
    let label = json!({"org.supercontainers.hardware.cpu.target.microarch": "x86_64_v3"});
    for (name, image) in [
        ("replaced", Image::new(&json!({}), &[&lower, &upper])),
        (
            "removed",
            Image::new(&json!({}), &[&lower, &layer(&[("usr/.wh.bin", b"")])]),
        ),
        ("above", Image::new(&json!({}), &[&upper, &lower])),
        (
            "labelled",
            Image::new(&label, &[&layer(&[("app", &program(AVX2))])]),
        ),
    ] {
        image.layout(at(name), Some(&format!("lab/{name}:1")));
    }
    let document = "manifests: [{name: a, manifests: [{image: 'lab/NAME:1'}]}]";
    for (name, expected) in [
        ("replaced", vec![]),
        ("removed", vec![]),
        ("above", vec![pair("error", "less-than-code")]),
        ("labelled", vec![]),
    ] {
        std::fs::write(at("site.yaml"), document.replace("NAME", name)).unwrap();
        let (_, told, report) = codes(folder.path(), &["--from", name]);
        assert_eq!(told, expected, "{name}: {report}");
    }
    // The entry has the last word over the label.
    let text = collection(&[("lab/labelled:1", "arch:x86_64_v2")]);
    std::fs::write(at("site.yaml"), text).unwrap();
    let (_, told, report) = codes(folder.path(), &["--from", "labelled"]);
    assert_eq!(told, [pair("error", "less-than-code")], "{report}");
}

#[test]
fn images_of_a_registry_are_held_against_their_entries() {
    let site = Site::new();
    image(AVX512).push(&site, "lab/app", "v4");
    image(PLAIN).push(&site, "lab/app", "plain");
    let folder = tempfile::tempdir().unwrap();
    let text = collection(&[
        ("lab/app:v4", "arch:zen2"),
        ("lab/app:plain", "arch:x86_64_v2"),
        ("lab/app:absent", ""),
    ]);
    std::fs::write(folder.path().join("site.yaml"), text).unwrap();
    let server = format!("http://{}", site.host);
    let (exit, told, report) = codes(folder.path(), &["--server", &server]);
    assert_eq!(exit, Some(1), "{report}");
    assert_eq!(
        told,
        [
            pair("error", "less-than-code"),
            pair("warning", "more-than-code"),
            pair("warning", "code-unknown")
        ],
        "{report}"
    );
}

#[test]
fn what_only_verification_takes_is_refused_without_it() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("site.yaml"), collection(&[("a:1", "")])).unwrap();
    for args in [&["--from", "x"][..], &["--server", "http://127.0.0.1:1"]] {
        let mut command = metahub(&["check", "site.yaml"]);
        let output = command
            .args(args)
            .current_dir(folder.path())
            .output()
            .unwrap();
        assert_eq!(output.status.code(), Some(2), "{args:?}: {output:?}");
    }
    // It stands beside --images.
    let (exit, text) = check(
        folder.path(),
        &["--images", "--server", "http://127.0.0.1:1"],
    );
    assert_eq!(exit, Some(0), "{text}");
    assert!(text.contains("unknown"), "{text}");
}
