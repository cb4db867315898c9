//! `metahub catalog new`, `test`, `verify` and `update`: from a new folder to collections that are
//! held against registries.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::fs;
use std::path::{Path, PathBuf};

use assert_cmd::Command;
use metahub_testkit::http::digest_of;
use metahub_testkit::scripted::Scripted;
use serde_json::Value;
use tempfile::TempDir;

fn metahub(folder: &Path, args: &[&str]) -> (i32, String, String) {
    let mut command = Command::cargo_bin("metahub").unwrap();
    command.args(args).current_dir(folder).env("NO_COLOR", "1");
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("METAHUB_")) {
        command.env_remove(name);
    }
    let output = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    let code = output.status.code().unwrap();
    (code, text(output.stdout), text(output.stderr))
}

#[test]
fn a_new_folder_is_right_but_for_what_it_says_to_fill_in() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let (code, out, error) = metahub(
        at,
        &["catalog", "new", "lab/gromacs", "--to", "collections"],
    );
    assert_eq!(code, 0, "{error}");
    assert!(
        out.starts_with("collections/gromacs/gromacs.yaml\n"),
        "{out}"
    );
    let file = at.join("collections/gromacs/gromacs.yaml");
    let text = fs::read_to_string(&file).unwrap();
    assert!(fs::read_to_string(at.join("collections/gromacs/README.md")).is_ok());
    assert_eq!(metahub(at, &["check", "collections"]).0, 0);
    assert_eq!(metahub(at, &["catalog", "test", "collections"]).0, 0);
    let strict = ["check", "--strict", "--format", "json", "collections"];
    let problems = || -> Vec<(String, String)> {
        let (_, out, error) = metahub(at, &strict);
        let report: Value = serde_json::from_str(&out).unwrap_or_else(|_| panic!("{out}{error}"));
        let problems = report["problems"].as_array().unwrap().iter();
        let text = |problem: &Value, key: &str| problem[key].as_str().unwrap().to_owned();
        problems
            .map(|one| (text(one, "code"), text(one, "message")))
            .collect()
    };
    assert_eq!(metahub(at, &strict).0, 1);
    let found = problems();
    assert!(found.iter().all(|(code, _)| code == "todo"), "{found:?}");
    for key in [
        "tag",
        "description",
        "homepage",
        "license",
        "keywords",
        "image",
        "documented",
    ] {
        let said = format!("`{key}` still says TODO");
        assert!(
            found.iter().any(|(_, message)| *message == said),
            "{key}: {found:?}"
        );
    }
    // Each is gone when it is filled in, and the last one leaves a catalog that is right.
    let mut left = found.len();
    let mut now = text;
    for (todo, filled) in [
        ("TODO: what it is, in one sentence", "Molecular dynamics"),
        (
            "homepage: https://TODO.example/",
            "homepage: https://www.gromacs.org/",
        ),
        ("LicenseRef-TODO", "LGPL-2.1-or-later"),
        ("[TODO]", "[chemistry]"),
        ("https://TODO.example/", "https://a.example/"),
        ("TODO", "2026.1"),
    ] {
        now = now.replace(todo, filled);
        fs::write(&file, &now).unwrap();
        let found = problems();
        assert!(found.len() < left, "{todo}: {found:?}");
        left = found.len();
    }
    assert_eq!(left, 0);
    assert_eq!(metahub(at, &strict).0, 0);
    assert_eq!(metahub(at, &["catalog", "test", "collections"]).0, 0);

    // What is there already stays as it is.
    let (code, _, error) = metahub(at, &["catalog", "new", "gromacs", "--to", "collections"]);
    assert_eq!(code, 1);
    assert!(error.contains("nothing was written"), "{error}");
    assert_eq!(fs::read_to_string(&file).unwrap(), now);
    assert_eq!(metahub(at, &["catalog", "new", "Gromacs"]).0, 2);
    assert_eq!(metahub(at, &["catalog", "new", "../x"]).0, 2);
}

#[test]
fn an_application_without_a_test_and_a_test_that_fails_are_told() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path();
    let write = |name: &str, tests: &str| {
        let text = format!(
            "manifests:\n  - name: {name}\n    tag: 1\n    manifests: [{{image: 'lab/{name}:1'}}]\n{tests}"
        );
        fs::write(at.join(format!("{name}.yaml")), text).unwrap();
    };
    let passes = |image: &str| {
        format!("tests: [{{login: zen3, pull: 'one:1', expect: {{image: '{image}'}}}}]\n")
    };
    write("one", &passes("lab/one:1"));
    let (code, out, error) = metahub(at, &["catalog", "test", "."]);
    assert_eq!(code, 0, "{error}");
    assert!(out.ends_with("1 passed, 0 failed\n"), "{out}");
    write("two", "");
    let (code, _, error) = metahub(at, &["catalog", "test", "."]);
    assert_eq!(code, 1);
    assert!(error.contains("two.yaml:2:"), "{error}");
    assert!(error.contains("no test pulls an image of two"), "{error}");
    fs::remove_file(at.join("two.yaml")).unwrap();
    write("one", &passes("lab/other:1"));
    let (code, out, _) = metahub(at, &["catalog", "test", "."]);
    assert_eq!(code, 1);
    assert!(out.ends_with("0 passed, 1 failed\n"), "{out}");
}

#[test]
fn the_shipped_catalog_passes_its_tests() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let (code, out, error) = metahub(&root, &["catalog", "test", "catalog"]);
    assert_eq!(code, 0, "{out}{error}");
    // One folder needs the profiles of the others.
    let one = [
        "catalog",
        "test",
        "catalog/collections/gromacs",
        "--catalog",
        "catalog/profiles",
    ];
    let (code, out, error) = metahub(&root, &one);
    assert_eq!(code, 0, "{out}{error}");
}

/// A folder with a configuration for a registry, and a document.
struct Site {
    registry: Scripted,
    folder: TempDir,
}

impl Site {
    fn new(document: &str) -> Self {
        let registry = Scripted::start();
        let folder = tempfile::tempdir().unwrap();
        let entry = registry.entry("docker.io", "default: true, allow_private: true");
        let config = format!("upstreams: [{entry}]\n");
        fs::write(folder.path().join("metahub.yaml"), config).unwrap();
        fs::create_dir(folder.path().join("catalog")).unwrap();
        let site = Self { registry, folder };
        fs::write(site.document(), document).unwrap();
        site
    }

    fn document(&self) -> PathBuf {
        self.folder.path().join("catalog/app.yaml")
    }

    fn text(&self) -> String {
        fs::read_to_string(self.document()).unwrap()
    }

    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let all = [&["catalog"], args, &["catalog", "--config", "metahub.yaml"]].concat();
        metahub(self.folder.path(), &all)
    }
}

const VERIFIED: &str = "\
manifests:
  - name: app
    tag: 1
    manifests:
      - image: docker.io/lab/app:1-generic
      - image: docker.io/lab/app:1-arm
        platform: {architecture: arm64}
";

#[test]
fn images_are_held_against_their_registry_and_locked() {
    let site = Site::new(VERIFIED);
    let generic = site.registry.put("lab/app", "1-generic", "one");
    let (code, out, error) = site.run(&["verify", "--lock", "lock.json"]);
    assert_eq!(code, 1, "{out}");
    assert!(error.contains("app.yaml:6:"), "{error}");
    assert!(
        error.contains("docker.io/lab/app:1-arm could not be read"),
        "{error}"
    );
    let lock = site.folder.path().join("lock.json");
    assert!(!lock.exists(), "a lock of what is not there");

    // An image for another machine than its entry says is found, too.
    site.registry.put("lab/app", "1-arm", "for another machine");
    let (code, _, error) = site.run(&["verify"]);
    assert_eq!(code, 1);
    assert!(error.contains("was built for linux/amd64"), "{error}");

    let none = serde_json::json!(null);
    let arm = site
        .registry
        .put_for("lab/app", "1-arm", "two", "arm64", &none);
    let (code, out, error) = site.run(&["verify", "--lock", "lock.json"]);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("2 images are there, 0 problems"), "{out}");
    let written: Value = serde_json::from_str(&fs::read_to_string(&lock).unwrap()).unwrap();
    let expected = serde_json::json!({"version": 1, "images": {
        "docker.io/lab/app:1-arm": digest_of(&arm),
        "docker.io/lab/app:1-generic": digest_of(&generic),
    }});
    assert_eq!(written, expected);
    let locked = ["verify", "--lock", "lock.json", "--locked"];
    assert_eq!(site.run(&locked).0, 0);

    // A tag that moves is told; --locked fails and leaves the lock as it is.
    let moved = site.registry.put("lab/app", "1-generic", "three");
    let before = fs::read_to_string(&lock).unwrap();
    let (code, _, error) = site.run(&locked);
    assert_eq!(code, 1);
    let told = format!("was {} and is {}", digest_of(&generic), digest_of(&moved));
    assert!(error.contains(&told), "{error}");
    assert_eq!(fs::read_to_string(&lock).unwrap(), before);
    let (code, out, _) = site.run(&["verify", "--lock", "lock.json", "--format", "json"]);
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["moved"][0]["found"], digest_of(&moved));
    assert!(
        fs::read_to_string(&lock)
            .unwrap()
            .contains(&digest_of(&moved))
    );
    assert_eq!(site.run(&locked).0, 0);

    fs::write(&lock, "{}").unwrap();
    let (code, _, error) = site.run(&locked);
    assert_eq!(code, 1);
    assert!(
        error.contains("no lock of metahub catalog verify"),
        "{error}"
    );
    fs::remove_file(&lock).unwrap();
    assert!(site.run(&locked).2.contains("there is no lock"));
}

const UPDATED: &str = "\
about:
  # Twice a year.
  update: ['[0-9]{4}']
manifests:
  - name: app
    tag: 2506
    manifests:
      - image: docker.io/lab/app:2506 # the only one
        about: {certainty: high}
";

#[test]
fn new_versions_are_shown_and_added() {
    let site = Site::new(UPDATED);
    site.registry.put("lab/app", "2506", "one");
    let (code, out, error) = site.run(&["update"]);
    assert_eq!(
        (code, out.as_str()),
        (0, "nothing new: 1 collections are followed\n"),
        "{error}"
    );
    site.registry.put("lab/app", "2512", "two");
    site.registry.put("lab/app", "2412", "older");
    site.registry.put("lab/app", "latest", "two");
    let (code, diff, error) = site.run(&["update", "--dry-run"]);
    assert_eq!(code, 0, "{error}");
    assert_eq!(site.text(), UPDATED);
    let added: Vec<&str> = diff
        .lines()
        .filter(|line| line.starts_with('+'))
        .skip(1)
        .collect();
    assert_eq!(
        added,
        [
            "+  - name: app",
            "+    tag: 2512",
            "+    manifests:",
            "+      - image: docker.io/lab/app:2512 # the only one",
            "+        about: {certainty: medium}",
        ],
    );
    assert!(
        !diff.lines().skip(2).any(|line| line.starts_with('-')),
        "{diff}"
    );
    assert_eq!(site.run(&["update"]).1, diff);
    assert!(site.text().starts_with(UPDATED));
    assert_eq!(
        site.run(&["update"]).1,
        "nothing new: 1 collections are followed\n"
    );
    let (code, out, _) = site.run(&["update", "--format", "json"]);
    assert_eq!(code, 0);
    let report: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["changed"], serde_json::json!([]));
}

#[test]
fn a_registry_that_lists_too_much_or_fails_changes_nothing() {
    let site = Site::new(UPDATED);
    let list = |bytes: &[u8]| {
        let path = "/v2/lab/app/tags/list";
        site.registry.put_at(path, "application/json", bytes);
    };
    // The registry lists by itself what it holds; a body of its own is under another name.
    list(b"{}");
    site.registry.fail(500, None);
    let (code, _, error) = site.run(&["update"]);
    assert_eq!(code, 4, "{error}");
    assert!(error.contains("app:2506"), "{error}");
    assert_eq!(site.text(), UPDATED);
    site.registry.mend();
    let (code, _, error) = site.run(&["update"]);
    assert_eq!(code, 4, "{error}");
    assert!(
        error.contains("there is no repository docker.io/lab/app"),
        "{error}"
    );
    // Of very many versions the newest are added.
    for number in 0..3000 {
        let path = format!("/v2/lab/app/manifests/{number:04}");
        site.registry.put_at(&path, "application/json", b"{}");
    }
    let (code, out, error) = site.run(&["update"]);
    assert_eq!(code, 0, "{error}");
    let added = out
        .lines()
        .filter(|line| line.starts_with("+    tag: "))
        .count();
    assert_eq!(added, 20);
    assert!(out.contains("+    tag: 2999\n"), "{out}");
}

/// The fenced blocks of a page in one language.
fn blocks(page: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let starts = page.split(fence.as_str()).skip(1);
    starts
        .map(|rest| rest.split("```").next().unwrap().to_owned())
        .collect()
}

fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let new = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &new);
        } else {
            fs::copy(&path, &new).unwrap();
        }
    }
}

#[test]
fn the_guide_for_contributors_leads_to_a_collection_that_is_right() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let guide = fs::read_to_string(root.join("catalog/CONTRIBUTING.md")).unwrap();
    let commands = blocks(&guide, "sh");
    let [new, check, all, one, verify, update, pages] = &commands[..] else {
        panic!("{commands:?}");
    };
    let site = Site::new("");
    fs::remove_file(site.document()).unwrap();
    let folder = site.folder.path();
    copy(&root.join("catalog"), &folder.join("catalog"));
    let run = |command: &str, more: &[&str]| {
        let args: Vec<&str> = command
            .split_whitespace()
            .skip(1)
            .chain(more.iter().copied())
            .collect();
        metahub(folder, &args)
    };
    assert_eq!(run(new, &[]).0, 0);
    let (code, out, error) = run(check, &[]);
    assert_eq!(code, 1);
    assert!(
        format!("{out}{error}").contains("still says TODO"),
        "{out}{error}"
    );
    let document = folder.join("catalog/collections/busybox/busybox.yaml");
    fs::write(&document, &blocks(&guide, "yaml")[0]).unwrap();
    for command in [check, all, one] {
        let (code, out, error) = run(command, &[]);
        assert_eq!(code, 0, "{command}: {out}{error}");
    }
    // What is on the net is a registry of this test here.
    let config = ["--config", "metahub.yaml"];
    let (code, _, error) = run(verify, &config);
    assert_eq!(code, 1, "{error}");
    site.registry.put("library/busybox", "1.36.1", "one");
    let (code, out, error) = run(verify, &config);
    assert_eq!(code, 0, "{out}{error}");
    assert!(folder.join("busybox.lock.json").exists());
    site.registry.put("library/busybox", "1.37.0", "two");
    let (code, out, error) = run(update, &config);
    assert_eq!(code, 0, "{error}");
    assert!(out.contains("+    tag: 1.37.0\n"), "{out}");
    assert_eq!(run(pages, &[]).0, 0);
    assert!(folder.join("public/busybox.html").exists());
}
