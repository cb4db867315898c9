//! What the documentation says, held against the program: commands, options, configurations,
//! links and the demo's table. Documents in `docs/documents.md` are tested in the catalog's crate.
//! A command that these tests do not know fails them, so that none is written and never tried.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::path::{Path, PathBuf};

use assert_cmd::Command;

/// Commands that are not run here, by how they begin, and why.
const ELSEWHERE: &[(&str, &str)] = &[
    ("scripts/test", "runs this very test"),
    ("cargo build", "built what runs here"),
    (
        "metahub-node ",
        "`tests/e2e/tests/node_*.rs` run its commands",
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
        "cargo run --release -p metahub-benches",
        "takes half an hour",
    ),
    ("setsid --wait sh -c", "a benchmark, too"),
    (
        "cargo test -p metahub-e2e",
        "needs root and real clients; `scripts/test` runs it",
    ),
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

/// Configurations of other programs, by how they begin.
const FOREIGN: &[&str] = &["scrape_configs:"];

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
        .chain(&["catalog/README.md"])
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

#[test]
fn every_command_in_a_block_is_known_and_takes_the_arguments_it_is_given() {
    let mut tried = 0;
    for page in pages() {
        let text = read(&page);
        let shell = |language: &str| matches!(language, "" | "sh" | "console");
        for (_, block) in blocks(&text).iter().filter(|(language, _)| shell(language)) {
            for line in block.lines() {
                let command = line.split(" #").next().unwrap().trim();
                let command = command.strip_prefix("$ ").unwrap_or(command);
                if command.is_empty() || command.starts_with('#') {
                    continue;
                }
                let Some(args) = command.strip_prefix("metahub ") else {
                    let known = ELSEWHERE
                        .iter()
                        .any(|(start, _)| command.starts_with(start));
                    assert!(known, "{}: who runs {command:?}?", page.display());
                    continue;
                };
                tried += 1;
                let args: Vec<_> = args.split_whitespace().collect();
                let folder = tempfile::tempdir().unwrap();
                let (code, _, error) = metahub(folder.path(), &args);
                // What it works on is not here, so only wrong arguments (2) are told apart.
                let right = match args.first() {
                    Some(&"account") => code == 0,
                    Some(&("export" | "import" | "backup" | "restore" | "scrub")) => code != 2,
                    _ => panic!("{}: what is {command:?} to end with?", page.display()),
                };
                assert!(right, "{}: {command}: {code}: {error}", page.display());
            }
        }
    }
    assert!(tried > 0, "no command was found");
}

#[test]
fn the_page_of_commands_names_every_command_and_only_options_that_exist() {
    let text = read(&root().join("docs/command-line.md"));
    for name in below(&[]) {
        assert!(
            text.contains(&format!("`metahub {name}")),
            "{name} is missing"
        );
    }
    let mut options = 0;
    for row in text.lines().filter(|line| line.starts_with("| `metahub ")) {
        let name = row.split([' ', '`']).nth(3).unwrap();
        let help = help(&[name]);
        // `account` stands for the commands below it.
        let helps: String = below(&[name])
            .iter()
            .map(|command| self::help(&[name, command]))
            .chain([help])
            .collect();
        for option in row
            .split(['`', ' ', '[', ']'])
            .filter(|word| word.starts_with("--"))
        {
            options += 1;
            assert!(helps.contains(option), "metahub {name} has no {option}");
        }
    }
    assert!(options > 10, "only {options} options were found");
}

#[test]
fn every_configuration_in_the_docs_loads() {
    let folder = tempfile::tempdir().unwrap();
    let profile = "profile:\n  name: x\n  features: [arch:zen3]\n";
    std::fs::write(folder.path().join("profile.yaml"), profile).unwrap();
    let file = folder.path().join("metahub.yaml");
    let check = ["check", "profile.yaml", "--config", "metahub.yaml"];
    let mut loaded = 0;
    let documents = root().join("docs/documents.md");
    for page in pages().into_iter().filter(|page| *page != documents) {
        for (language, block) in blocks(&read(&page)) {
            if language != "yaml" || FOREIGN.iter().any(|start| block.starts_with(start)) {
                continue;
            }
            loaded += 1;
            std::fs::write(&file, &block).unwrap();
            let (code, out, error) = metahub(folder.path(), &check);
            assert_eq!(code, 0, "{}:\n{block}{out}{error}", page.display());
        }
    }
    assert!(loaded > 0, "no configuration was found");
    // The check would see a mistake.
    std::fs::write(&file, "ofline: true\n").unwrap();
    assert_eq!(metahub(folder.path(), &check).0, 1);
}

#[test]
fn the_first_page_shows_what_the_demo_prints() {
    let cells = |line: &str| -> Vec<String> {
        line.split("  ")
            .map(|cell| cell.trim().to_owned())
            .filter(|cell| !cell.is_empty())
            .collect()
    };
    let folder = tempfile::tempdir().unwrap();
    let (code, printed, error) = metahub(folder.path(), &["demo", "--check"]);
    assert_eq!(code, 0, "{printed}{error}");
    let printed: Vec<_> = printed.lines().map(cells).collect();
    let readme = blocks(&read(&root().join("README.md")));
    let (_, table) = readme
        .iter()
        .find(|(language, _)| language == "text")
        .unwrap();
    assert!(table.lines().count() > 2, "{table}");
    for row in table.lines().map(cells) {
        // All but the digest, which is another with every change to an image.
        let same = |line: &Vec<String>| {
            line.len() == row.len()
                && line
                    .iter()
                    .zip(&row)
                    .enumerate()
                    .all(|(column, (is, shown))| {
                        column == 2
                            || is == shown
                            || shown.strip_prefix('…').is_some_and(|end| is.ends_with(end))
                    })
        };
        assert!(printed.iter().any(same), "{row:?} is not in {printed:#?}");
    }
}

#[test]
fn completions_and_manual_pages_know_every_command() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(metahub(folder.path(), &["man", "--out", "."]).0, 0);
    let scripts = ["bash", "zsh", "fish"].map(|shell| {
        let (code, script, _) = metahub(folder.path(), &["completions", shell]);
        assert_eq!(code, 0, "{shell}");
        script
    });
    let commands = below(&[]);
    assert!(commands.len() > 5, "{commands:?}");
    for name in commands {
        let page = folder.path().join(format!("metahub-{name}.1"));
        assert!(page.exists(), "{}", page.display());
        for below in below(&[&name]) {
            let page = folder.path().join(format!("metahub-{name}-{below}.1"));
            assert!(page.exists(), "{}", page.display());
        }
        assert!(
            scripts.iter().all(|script| script.contains(&name)),
            "{name}"
        );
    }
}

#[test]
fn whatever_lists_something_also_prints_it_as_json() {
    /// Those that list nothing, or print what is for programs anyway.
    const OTHERS: &[&str] = &["serve", "demo", "account", "schema", "completions", "man"];
    for name in below(&[]) {
        let takes = help(&[&name]).contains("--format <FORMAT>");
        assert_eq!(takes, !OTHERS.contains(&name.as_str()), "{name}");
    }
    assert!(help(&["account", "list"]).contains("--format <FORMAT>"));
}
