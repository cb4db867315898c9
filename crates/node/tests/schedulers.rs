//! What schedulers call: pyxis's importer, as a recorded conversation with an Enroot that notes
//! what it is asked for, and Nomad's credential helper.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::Write as _;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde_json::{Value, json};

const DIGEST: &str = "sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a";

/// A zen3 node of hub.example, with an Enroot that notes what it is asked for.
struct Node {
    folder: tempfile::TempDir,
}

impl Node {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("bin")).unwrap();
        std::fs::write(
            at("node.yaml"),
            "registries: [hub.example]\nfeatures: [\"arch:zen3\"]\nkeys: [arch]\ntools: false\n",
        )
        .unwrap();
        let enroot = "#!/bin/sh\necho talk\necho \"$@\" >> $ASKED\n\
                      [ -z \"$ENROOT_CONFIG_PATH\" ] || cat \"$ENROOT_CONFIG_PATH/.credentials\" >> $ASKED\n\
                      [ -z \"$BROKEN\" ] || exit 1\nprintf hsqs > \"$3\"\n";
        let file = at("bin/enroot");
        std::fs::write(&file, enroot).unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn run(&self, program: &Path, args: &[&str], input: &str, more: &[(&str, &str)]) -> Output {
        let path = std::env::var("PATH").unwrap();
        let mut child = Command::new(program)
            .args(args)
            .env_clear()
            .env("PATH", format!("{}:{path}", self.path("bin").display()))
            .env("METAHUB_NODE_CONFIG", self.path("node.yaml"))
            .env("METAHUB_NODE_CACHE", self.path("cache"))
            .env("ASKED", self.path("asked"))
            .env("PYXIS_RUNTIME_PATH", self.path("runtime"))
            .env("SLURM_JOB_ID", "7")
            .env("SLURM_STEP_ID", "0")
            .envs(more.iter().copied())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        // Who reads no input is gone before it is written.
        let _ = stdin.write_all(input.as_bytes());
        drop(stdin);
        child.wait_with_output().unwrap()
    }

    fn importer(&self, args: &[&str], more: &[(&str, &str)]) -> Output {
        let program = Path::new(env!("CARGO_BIN_EXE_metahub-node"));
        self.run(program, &[&["importer"], args].concat(), "", more)
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.path("asked")).unwrap_or_default()
    }

    fn left(&self) -> usize {
        std::fs::read_dir(self.path("runtime")).map_or(0, Iterator::count)
    }
}

#[test]
fn an_importer_gets_a_squashfs_and_releases_it() {
    let node = Node::new();
    let uri = format!("docker://hub.example#lab/app@{DIGEST}");
    let got = node.importer(&["get", &uri], &[]);
    assert!(got.status.success(), "{got:?}");
    // The path alone: what Enroot says is not on standard output.
    let printed = String::from_utf8(got.stdout).unwrap();
    let made = PathBuf::from(printed.trim_end());
    assert_eq!(printed.lines().count(), 1);
    assert_eq!(std::fs::read(&made).unwrap(), b"hsqs");
    let asked = node.asked();
    assert!(asked.contains(&format!(" {uri}\n")), "{asked}");
    assert!(
        asked.contains("machine hub.example login zen3 password node\n"),
        "{asked}"
    );
    // Again, as for a job that is started again.
    let again = node.importer(&["get", &uri], &[]);
    assert_eq!(again.stdout, printed.as_bytes());
    for _ in 0..2 {
        let released = node.importer(&["release"], &[]);
        assert!(
            released.status.success() && released.stdout.is_empty(),
            "{released:?}"
        );
        assert_eq!(node.left(), 0);
    }
}

#[test]
fn an_import_of_another_registry_goes_without_this_nodes_login() {
    let node = Node::new();
    for (uri, asked) in [
        ("docker://ubuntu:24.04", "docker://ubuntu:24.04"),
        (
            "docker://nvcr.io#nvidia/cuda:12.4",
            "docker://nvcr.io#nvidia/cuda:12.4",
        ),
    ] {
        assert!(node.importer(&["get", uri], &[]).status.success());
        assert!(
            node.asked().contains(&format!(" {asked}\n")),
            "{}",
            node.asked()
        );
    }
    assert!(!node.asked().contains("machine"), "{}", node.asked());
}

#[test]
fn a_failed_import_leaves_nothing_behind() {
    let node = Node::new();
    let uri = format!("docker://hub.example#lab/app@{DIGEST}");
    let got = node.importer(&["get", &uri], &[("BROKEN", "yes")]);
    assert_eq!(got.status.code(), Some(1));
    assert!(got.stdout.is_empty(), "{got:?}");
    assert_eq!(node.left(), 0);
    // Steps of other jobs are not this one's to remove.
    assert!(
        node.importer(&["get", &uri], &[("SLURM_JOB_ID", "8")])
            .status
            .success()
    );
    assert!(node.importer(&["release"], &[]).status.success());
    assert_eq!(node.left(), 1);
    for wrong in [&["get"][..], &["put", "x"]] {
        assert_eq!(node.importer(wrong, &[]).status.code(), Some(2));
    }
    // Pyxis names the folder: none that anybody could have made beforehand is taken.
    let nowhere = node.importer(&["get", &uri], &[("PYXIS_RUNTIME_PATH", "")]);
    assert_eq!(nowhere.status.code(), Some(2));
}

#[test]
fn nomad_gets_an_answer_for_every_registry() {
    let node = Node::new();
    let client = include_str!("../../../examples/nomad/client.hcl");
    let (_, after) = client.split_once("helper = \"").unwrap();
    let (name, _) = after.split_once('"').unwrap();
    let helper = node.path("bin").join(format!("docker-credential-{name}"));
    symlink(env!("CARGO_BIN_EXE_metahub-node"), &helper).unwrap();
    // As Nomad writes it, which reads strings by their names, and takes an empty login for none.
    let ask = |repository: &str| {
        let output = node.run(&helper, &["get"], repository, &[]);
        assert!(output.status.success(), "{output:?}");
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let answer = ask("https://hub.example/lab/app");
    assert_eq!(answer["Username"], "zen3");
    assert_eq!(answer["Secret"], "node");
    assert!(answer.as_object().unwrap().values().all(Value::is_string));
    assert_eq!(ask("https://registry-1.example/library/busybox"), json!({}));
    assert_eq!(ask("https://"), json!({}));
}
