//! The table of clients in `docs/node.md` says what the tests of this folder do: each row names
//! tests that are there and use its clients, and the versions that run here.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;

use metahub_e2e::process::Cmd;
use metahub_e2e::require;

/// How each client is asked for its version, and what stands for it in tests. `None` where no
/// machine of ours has it.
const PROGRAMS: [(&str, Option<&[&str]>, &str); 12] = [
    ("docker", Some(&["docker", "--version"]), "docker"),
    ("dockerd", Some(&["dockerd", "--version"]), "docker"),
    ("podman", Some(&["podman", "--version"]), "podman"),
    ("skopeo", Some(&["skopeo", "--version"]), "skopeo"),
    ("buildah", Some(&["buildah", "--version"]), "buildah"),
    ("CRI-O", None, "skopeo"),
    (
        "containerd",
        Some(&["containerd", "--version"]),
        "containerd",
    ),
    ("crane", Some(&["crane", "version"]), "crane"),
    ("oras", Some(&["oras", "version"]), "oras"),
    ("regctl", Some(&["regctl", "version"]), "regctl"),
    (
        "Charliecloud",
        Some(&["ch-image", "--version"]),
        "charliecloud::",
    ),
    ("apptainer", None, "apptainer"),
];

struct Row<'a> {
    clients: Vec<&'a str>,
    versions: Vec<&'a str>,
    result: &'a str,
}

fn rows(page: &str) -> Vec<Row<'_>> {
    let table = page.split("## Tried").nth(1).unwrap();
    let table = table.split("\n## ").next().unwrap();
    let lines = table.lines().filter(|line| line.starts_with('|')).skip(2);
    lines
        .map(|line| {
            let cells: Vec<&str> = line.trim_matches('|').split('|').map(str::trim).collect();
            assert_eq!(cells.len(), 4, "{line}");
            Row {
                clients: cells[0].split(", ").collect(),
                versions: cells[2].split(", ").collect(),
                result: cells[3],
            }
        })
        .collect()
}

/// Files of tests that a result names.
fn tests_of(result: &str) -> Vec<&str> {
    let quoted = result.split('`').skip(1).step_by(2);
    quoted.filter(|text| text.ends_with(".rs")).collect()
}

#[test]
fn every_row_names_tests_that_use_its_clients_and_the_versions_that_run_here() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let page = std::fs::read_to_string(root.join("docs/node.md")).unwrap();
    let release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let versions = require::that(
        release.contains("VERSION_CODENAME=bookworm"),
        "Debian 12, whose versions of the clients the table in docs/node.md names",
    );
    let rows = rows(&page);
    for (name, ..) in PROGRAMS {
        let named = rows.iter().any(|row| row.clients.contains(&name));
        assert!(named, "{name} has a row");
    }
    for row in rows {
        let tests = tests_of(row.result);
        assert!(!tests.is_empty(), "{:?}: {}", row.clients, row.result);
        for client in row.clients {
            let (_, ask, word) = *PROGRAMS.iter().find(|(name, ..)| *name == client).unwrap();
            let uses = tests.iter().any(|test| {
                let path = match test.contains('/') {
                    true => root.join(test),
                    false => root.join("tests/e2e/tests").join(test),
                };
                let text = std::fs::read_to_string(&path);
                text.unwrap_or_else(|error| panic!("{test}: {error}"))
                    .contains(word)
            });
            assert!(uses, "{client} is used by one of {tests:?}");
            let Some([program, args @ ..]) = ask.filter(|_| versions) else {
                continue;
            };
            if !require::tools(&[program]) {
                continue;
            }
            let path = std::env::var("PATH").unwrap_or_default();
            let command = Cmd::new(program).args(args).env("USER", "node");
            // Debian's own programs in Python need Debian's Python.
            let said = command.env("PATH", format!("/usr/bin:{path}")).ok().all();
            let known = row.versions.iter().any(|version| said.contains(*version));
            assert!(known, "{client}: {:?}, and here is {said}", row.versions);
        }
    }
}
