//! What the documentation says, held against the program: commands, options, configurations,
//! links and the demo's table. Documents in `docs/documents.md` and `docs/actions.md` are tested in
//! the crate `catalog`.
//! A command that these tests do not know fails them, so that none is written and never tried.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod commands;
mod curating;

use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// Commands that are not run here, by how they begin, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("scripts/test", "runs this very test"),
    ("cargo build", "built what runs here"),
    ("cargo install ", "`scripts/test --full` runs it"),
    (
        "metahub-node ",
        "`tests/e2e/tests/node_*.rs` run its commands",
    ),
    (
        "srun --nodes=2 metahub-node ",
        "`tests/e2e/tests/slurm.rs` runs such jobs",
    ),
    (
        "docker pull hub.example/",
        "`tests/e2e/tests/node_docker.rs` pulls so",
    ),
    (
        "cargo run --release -- demo",
        "`metahub demo --check` runs below",
    ),
    (
        "cargo run --profile dist -p metahub-benches",
        "takes half an hour",
    ),
    ("setsid --wait sh -c", "a benchmark, too"),
    (
        "cargo test -p metahub-e2e",
        "needs root and real clients; `scripts/test` runs it",
    ),
    (
        "cosign generate-key-pair",
        "`tests/e2e/tests/signing.rs` makes keys so",
    ),
    ("cosign verify", "`tests/e2e/tests/signing.rs` verifies so"),
    ("oras push", "`tests/e2e/tests/catalogs.rs` pushes so"),
    ("oras pull", "`tests/e2e/tests/catalogs.rs` pulls so"),
    (
        "catalog/layers/site-mpi/stage",
        "`crates/metahub/tests/layers.rs` runs it",
    ),
    ("./aws/install", "is Amazon's, and not here"),
    ("skopeo copy", "end-to-end tests copy with skopeo"),
    (
        "apt-get install ./metahub",
        "`tests/e2e/tests/packages.rs` installs both",
    ),
    (
        "scripts/build-deb",
        "`tests/e2e/tests/packages.rs` builds with it",
    ),
    (
        "runuser -u metahub -- metahub account add",
        "`tests/e2e/tests/packages.rs` adds one",
    ),
    (
        "systemctl restart metahub",
        "`tests/e2e/tests/systemd.rs` restarts both services",
    ),
    (
        "scripts/build-image",
        "`tests/e2e/tests/image.rs` builds with it",
    ),
    ("podman load --input", "`tests/e2e/tests/image.rs` loads it"),
    ("podman run --detach", "`tests/e2e/tests/image.rs` runs it"),
    (
        "scripts/build-static",
        "`scripts/test` builds the node's program with it",
    ),
];

/// Configurations of other programs, and documents that are tested elsewhere, by how they begin.
const FOREIGN: &[&str] = &["scrape_configs:", "profile:", "about:"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .ancestors()
        .nth(2)
        .unwrap()
        .to_owned()
}

fn pages() -> Vec<PathBuf> {
    let root = root();
    let mut pages: Vec<PathBuf> = ["README.md", "CONTRIBUTING.md", "ARCHITECTURE.md"]
        .iter()
        .chain(&["catalog/README.md", "catalog/CONTRIBUTING.md"])
        .chain(&["catalog/layers/aws-cli/README.md"])
        .chain(&["catalog/layers/glow-help/README.md"])
        .chain(&["catalog/layers/perf-stat/README.md"])
        .chain(&["catalog/layers/site-mpi/README.md"])
        .map(|name| root.join(name))
        .collect();
    for folder in ["docs", "docs/decisions"] {
        for entry in std::fs::read_dir(root.join(folder)).unwrap() {
            let path = entry.unwrap().path();
            if path.extension().is_some_and(|extension| extension == "md") {
                pages.push(path);
            }
        }
    }
    pages
}

fn read(page: &Path) -> String {
    std::fs::read_to_string(page).unwrap_or_else(|error| panic!("{}: {error}", page.display()))
}

/// The fenced blocks of a page: what each is written in, and its text.
fn blocks(text: &str) -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut open: Option<(String, String)> = None;
    for line in text.lines() {
        match (line.strip_prefix("```"), open.take()) {
            (Some(language), None) => open = Some((language.trim().to_owned(), String::new())),
            (Some(_), Some(block)) => blocks.push(block),
            (None, Some((language, text))) => open = Some((language, format!("{text}{line}\n"))),
            (None, None) => {}
        }
    }
    assert!(open.is_none(), "a fence is left open");
    blocks
}

/// A page without its fenced blocks.
fn prose(text: &str) -> String {
    let mut fenced = false;
    let lines = text.lines().filter(|line| {
        let fence = line.starts_with("```");
        fenced ^= fence;
        !fenced && !fence
    });
    lines.collect::<Vec<_>>().join("\n")
}

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

fn help(command: &[&str]) -> String {
    let (code, help, error) = metahub(&root(), &[command, &["--help"]].concat());
    assert_eq!(code, 0, "{command:?}: {error}");
    help
}

/// The commands below `command`, as its help lists them.
fn below(command: &[&str]) -> Vec<String> {
    help(command)
        .lines()
        .skip_while(|line| *line != "Commands:")
        .skip(1)
        .take_while(|line| !line.is_empty())
        .filter_map(|line| {
            line.strip_prefix("  ")?
                .split(' ')
                .next()
                .map(str::to_owned)
        })
        .filter(|name| !name.is_empty() && name != "help")
        .collect()
}

/// An anchor as the forges make it of a heading.
fn anchor(heading: &str) -> String {
    let kept = |c: &char| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_');
    heading
        .trim()
        .chars()
        .filter(kept)
        .map(|c| {
            if c == ' ' {
                '-'
            } else {
                c.to_ascii_lowercase()
            }
        })
        .collect()
}

#[test]
fn the_list_of_decisions_has_every_page_by_its_title() {
    let folder = root().join("docs/decisions");
    let list = read(&folder.join("README.md"));
    for page in pages() {
        let name = page.file_name().unwrap().to_string_lossy().into_owned();
        if page.parent() != Some(&*folder) || name == "README.md" {
            continue;
        }
        let text = read(&page);
        let title = text.lines().next().unwrap().trim_start_matches("# ");
        let line = format!("- [{title}]({name})");
        assert!(
            list.contains(&line),
            "docs/decisions/README.md lacks {line}"
        );
    }
}

#[test]
fn every_link_between_pages_leads_somewhere() {
    let mut seen = 0;
    for page in pages() {
        let text = prose(&read(&page));
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            if link.contains("://") {
                continue;
            }
            seen += 1;
            let (file, heading) = link.split_once('#').unwrap_or((link, ""));
            let target = match file {
                "" => page.clone(),
                file => page.parent().unwrap().join(file),
            };
            assert!(target.exists(), "{}: {link} is not there", page.display());
            let found = heading.is_empty()
                || prose(&read(&target))
                    .lines()
                    .filter(|line| line.starts_with('#'))
                    .any(|line| anchor(line.trim_start_matches('#')) == heading);
            assert!(found, "{}: no heading for {link}", page.display());
        }
    }
    assert!(seen > 20, "only {seen} links were found");
}

#[test]
fn every_attack_is_held_by_tests_that_exist() {
    let page = root().join("docs/security.md");
    let text = read(&page);
    let rows: Vec<_> = text
        .lines()
        .filter(|line| line.starts_with("| ") && !line.ends_with("held by |"))
        .collect();
    assert!(rows.len() > 20, "only {} attacks", rows.len());
    for row in rows {
        assert!(row.contains("[`"), "no test holds against: {row}");
        for link in row.split("[`").skip(1) {
            let (name, rest) = link.split_once("`](").unwrap();
            let (file, _) = rest.split_once(')').unwrap();
            let source = read(&page.parent().unwrap().join(file));
            let (before, _) = source
                .split_once(&format!("fn {name}("))
                .unwrap_or_else(|| panic!("{file} has no test {name}"));
            let is_test = before
                .trim_end()
                .lines()
                .rev()
                .take_while(|line| !line.trim().is_empty())
                .any(|line| {
                    ["#[test]", "#[rstest]", "#[tokio::test"]
                        .iter()
                        .any(|mark| line.trim().starts_with(mark))
                });
            assert!(is_test, "{file}: {name} is no test");
        }
    }
}

#[test]
fn the_table_of_crates_says_what_each_uses_and_only_those_above_it() {
    let text = read(&root().join("ARCHITECTURE.md"));
    let mut above: Vec<String> = Vec::new();
    for row in text.lines().filter(|line| line.contains("](crates/")) {
        let cells: Vec<_> = row.split('|').map(str::trim).collect();
        let [_, link, _, uses, _] = cells[..] else {
            panic!("{row} has other than three columns");
        };
        let name = link.split('`').nth(1).unwrap();
        let mut said: Vec<String> = match uses.split_once("all above but ") {
            Some((_, rest)) => {
                let but: Vec<_> = rest.split(" and ").collect();
                let kept = above.iter().filter(|name| !but.contains(&name.as_str()));
                kept.cloned().collect()
            }
            None if uses == "–" => Vec::new(),
            None => uses.split(", ").map(str::to_owned).collect(),
        };
        let manifest = read(&root().join(format!("crates/{name}/Cargo.toml")));
        let mut used: Vec<String> = manifest
            .lines()
            .skip_while(|line| *line != "[dependencies]")
            .skip(1)
            .take_while(|line| !line.starts_with('['))
            .filter_map(|line| line.strip_prefix("metahub-")?.split(['.', ' ']).next())
            .map(str::to_owned)
            .collect();
        said.sort();
        used.sort();
        assert_eq!(said, used, "what {name} uses");
        assert!(
            used.iter().all(|used| above.contains(used)),
            "{name}: {used:?}"
        );
        above.push(name.to_owned());
    }
    let crates = std::fs::read_dir(root().join("crates")).unwrap().count();
    assert_eq!(above.len(), crates, "crates in the table: {above:?}");
}
