//! `metahub layer build`: what it writes, pushes and refuses, and the recipes of `catalog/layers`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

#[allow(dead_code, reason = "shared with the tests of the API")]
#[path = "curation/site.rs"]
mod site;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use metahub_testkit::http::{call, digest_of};
use serde_json::Value;
use tempfile::TempDir;

use site::{PASSWORD, Site, metahub, with_input};

fn tools() -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join("opt/bin")).unwrap();
    fs::write(folder.path().join("opt/bin/note"), "from the layer\n").unwrap();
    folder
}

fn ran(command: &mut Command) -> Result<String, String> {
    let output = command.env_remove("SOURCE_DATE_EPOCH").output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    if output.status.success() {
        Ok(text(output.stdout))
    } else {
        Err(text(output.stderr))
    }
}

/// Builds into a layout of its own; the JSON that is printed.
fn built(source: &Path, more: &[&str]) -> Value {
    let out = tempfile::tempdir().unwrap();
    let to = format!("oci:{}", out.path().join("layout").display());
    let mut command = metahub(&["layer", "build"]);
    command.arg(source).args(["-t", "site/tools", "--to", &to]);
    command.args(["--format", "json"]).args(more);
    serde_json::from_str(&ran(&mut command).unwrap()).unwrap()
}

#[test]
fn a_built_layer_is_pushed_once_and_has_the_digest_of_its_layout() {
    let site = Site::new();
    let tools = tools();
    let image = format!("{}/site/tools", site.host);
    let push = || {
        let mut command = metahub(&["layer", "build"]);
        command.arg(tools.path()).args(["-t", &image]);
        command.args(["--plain-http", "--as", "root", "--password-stdin"]);
        command.args(["--format", "json", "--platform", "linux/arm64"]);
        let pushed = with_input(&mut command, PASSWORD);
        assert!(pushed.status.success(), "{pushed:?}");
        serde_json::from_slice::<Value>(&pushed.stdout).unwrap()
    };
    let first = push();
    assert_eq!(first, push());
    assert_eq!(first["image"], format!("{image}:latest"));
    assert_eq!(first["layer"]["entries"], 3);
    let layout = built(tools.path(), &["--platform", "linux/arm64"]);
    assert_eq!(layout["digest"], first["digest"]);
    let get = |path: &str| call(&site.host, "GET", path).login(Some(("root", PASSWORD)));
    let manifest = get("/v2/site/tools/manifests/latest").send().expect(200);
    assert_eq!(digest_of(&manifest.body), first["digest"].as_str().unwrap());
    let layer = manifest.json()["layers"][0].clone();
    assert_eq!(layer["digest"], first["layer"]["digest"]);
    let blob = format!("/v2/site/tools/blobs/{}", layer["digest"].as_str().unwrap());
    let blob = get(&blob).send().expect(200);
    assert_eq!(digest_of(&blob.body), layer["digest"].as_str().unwrap());
}

#[test]
fn time_and_owner_come_from_flags_and_the_environment() {
    let tools = tools();
    let plain = built(tools.path(), &[]);
    for more in [
        &["--mtime", "86400"][..],
        &["--owner", "1:1"],
        &["--compression", "zstd"],
        &["--platform", "linux/arm64"],
    ] {
        assert_ne!(
            built(tools.path(), more)["digest"],
            plain["digest"],
            "{more:?}"
        );
    }
    let out = tools.path().join("out.oci.tar");
    let source = tools.path().join("opt");
    let mut command = metahub(&["layer", "build"]);
    command.arg(&source).args(["-t", "site/tools", "--to"]);
    command.arg(format!("oci-archive:{}", out.display()));
    let text = command.env("SOURCE_DATE_EPOCH", "86400").output().unwrap();
    let text = String::from_utf8(text.stdout).unwrap();
    let said = built(&source, &["--mtime", "86400"]);
    let first = format!("site/tools:latest@{}\n", said["digest"].as_str().unwrap());
    assert!(text.starts_with(&first), "{text}");
    // The archive is one that `metahub import` takes.
    let data = tools.path().join("data");
    let mut import = metahub(&["import", "--data"]);
    let imported = ran(import.arg(data).arg(out)).unwrap();
    assert!(imported.contains("site/tools:latest"), "{imported}");
}

#[test]
fn what_cannot_be_built_is_told_with_what_to_do() {
    let tools = tools();
    let refused = |args: &[&str]| {
        let mut command = metahub(&["layer", "build"]);
        ran(command.arg(tools.path()).args(args)).unwrap_err()
    };
    for (args, said) in [
        (&["-t", "site/tools"][..], "--to oci:FOLDER"),
        (&["-t", "site/tools", "--to", "layout"], "oci-archive:FILE"),
        (
            &["-t", "site/tools", "--to", "oci:x", "--owner", "root"],
            "1000:1000",
        ),
        (
            &[
                "-t",
                "a",
                "--to",
                "oci:x",
                "--platform",
                "linux/amd64",
                "--platform",
                "linux/amd64",
            ],
            "given twice",
        ),
        (
            &["-t", &format!("a@{}", digest_of(b"x")), "--to", "oci:x"],
            "names a digest",
        ),
    ] {
        let error = refused(args);
        assert!(error.contains(said), "{args:?}: {error}");
    }
    std::os::unix::fs::symlink("../../x", tools.path().join("out")).unwrap();
    let error = refused(&["-t", "a", "--to", "oci:x"]);
    assert!(
        error.contains("'out' is a symbolic link to '../../x'"),
        "{error}"
    );
}

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../catalog/layers")
}

/// Copies a folder as a checkout under another umask makes it.
fn checkout(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let new = to.join(path.file_name().unwrap());
        if path.is_dir() {
            checkout(&path, &new);
        } else {
            fs::copy(&path, &new).unwrap();
            let mode = path.metadata().unwrap().permissions().mode() | 0o060;
            let mode = fs::Permissions::from_mode(mode & !0o007);
            fs::set_permissions(&new, mode).unwrap();
        }
    }
    fs::set_permissions(to, fs::Permissions::from_mode(0o770)).unwrap();
}

#[test]
fn every_recipe_builds_to_the_digest_that_its_page_names() {
    let mut named = 0;
    for recipe in fs::read_dir(recipes()).unwrap() {
        let recipe = recipe.unwrap().path();
        let page = fs::read_to_string(recipe.join("README.md")).unwrap();
        let block = page.split("```sh\n").nth(1).unwrap();
        let command = block
            .lines()
            .find(|line| line.starts_with("metahub layer build "));
        let args: Vec<&str> = command.unwrap().split(' ').skip(3).collect();
        let Some((_, rest)) = page.split_once("Its digest is `") else {
            continue;
        };
        named += 1;
        let source = recipe.join("layer");
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
        let shown = root.join(args[0]).canonicalize().unwrap();
        assert_eq!(shown, source.canonicalize().unwrap(), "the page's command");
        let other = tempfile::tempdir().unwrap();
        let other = other.path().join("layer");
        checkout(&source, &other);
        for folder in [&source, &other] {
            let said = built(folder, &args[3..]);
            assert_eq!(
                said["digest"],
                rest.split('`').next().unwrap(),
                "{}",
                folder.display()
            );
        }
    }
    assert!(named >= 2, "{named}");
}

#[test]
fn the_recipe_for_the_mpi_of_a_site_takes_its_folder() {
    let site = tempfile::tempdir().unwrap();
    let mpi = site.path().join("mpich");
    fs::create_dir_all(mpi.join("lib")).unwrap();
    fs::write(mpi.join("lib/libmpi.so.12.1"), "the library").unwrap();
    std::os::unix::fs::symlink("libmpi.so.12.1", mpi.join("lib/libmpi.so.12")).unwrap();
    let stage = |from: &Path, to: &Path| {
        ran(Command::new(recipes().join("site-mpi/stage"))
            .arg(from)
            .arg(to))
    };
    let digests = ["one", "two"].map(|name| {
        let staged = site.path().join(name);
        stage(&mpi, &staged).unwrap();
        let said = built(&staged, &[]);
        let layer = said["layer"].clone();
        assert_eq!(layer["entries"], 12, "{said}");
        said["digest"].clone()
    });
    assert_eq!(digests[0], digests[1]);
    assert!(
        stage(&mpi, &site.path().join("one"))
            .unwrap_err()
            .contains("new folder")
    );
    let none = site.path().join("none");
    assert!(
        stage(&none, &site.path().join("x"))
            .unwrap_err()
            .contains("no folder lib")
    );
}

#[test]
fn the_launcher_of_perf_runs_the_program_once_with_and_without_perf() {
    let launcher = recipes().join("perf-stat/layer/usr/local/bin/perf-stat-launcher");
    let tools = tempfile::tempdir().unwrap();
    let at = |name: &str| tools.path().join(name);
    for name in ["sh", "true"] {
        let real = ["/bin", "/usr/bin"].map(|folder| Path::new(folder).join(name));
        let real = real.iter().find(|path| path.exists()).unwrap();
        std::os::unix::fs::symlink(real, at(name)).unwrap();
    }
    let run = |variables: &[(&str, &str)], args: &[&str]| {
        let output = Command::new("/bin/sh")
            .arg(&launcher)
            .args(args)
            .env_clear()
            .env("PATH", tools.path())
            .envs(variables.iter().copied())
            .output()
            .unwrap();
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (
            output.status.code().unwrap(),
            text(output.stdout),
            text(output.stderr),
        )
    };
    let program = ["sh", "-c", "echo \"ran $1 $2\"; exit 7", "x", "a b", "--"];
    let (code, out, error) = run(&[], &program);
    assert_eq!((code, out.as_str()), (7, "ran a b --\n"));
    assert!(error.contains("running without it"), "{error}");
    assert_eq!(run(&[], &[]).0, 2);
    // A perf that says how it was called, and one that may not count.
    let perf = |rights: &str| {
        let text = format!(
            "#!/bin/sh\n[ \"$3\" = /dev/null ] && exit {rights}\necho \"perf $*\" >&2\nwhile [ \"$1\" != -- ]; do shift; done\nshift\nexec \"$@\"\n"
        );
        fs::write(at("perf"), text).unwrap();
        fs::set_permissions(at("perf"), fs::Permissions::from_mode(0o755)).unwrap();
    };
    perf("0");
    let variables = [
        ("PERF_STAT_EVENTS", "cycles"),
        ("PERF_STAT_OUTPUT", "/tmp/x"),
    ];
    let (code, out, error) = run(&variables, &program);
    assert_eq!((code, out.as_str()), (7, "ran a b --\n"), "{error}");
    assert!(
        error.starts_with("perf stat --output /tmp/x --append --event cycles -- sh"),
        "{error}"
    );
    perf("1");
    let (code, out, error) = run(&variables, &program);
    assert_eq!((code, out.as_str()), (7, "ran a b --\n"));
    assert!(error.contains("running without it"), "{error}");
}
