//! What the pages say of commands, options and configurations, held against the program.

use super::*;

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
                // What the catalog's page says of its documents holds for them.
                let of_catalog = page.ends_with("catalog/README.md");
                let root = root();
                let place = if of_catalog {
                    root.as_path()
                } else {
                    folder.path()
                };
                let (code, _, error) = metahub(place, &args);
                // What it works on is not here, so only wrong arguments (2) are told apart.
                let right = match args.first() {
                    Some(&"account") => code == 0,
                    // Pushes to and pulls from real registries are in tests/e2e/tests/catalogs.rs.
                    Some(&("catalog" | "node")) => code != 2,
                    Some(&("check" | "profile")) if of_catalog => code == 0,
                    // `catalog_documents.rs` goes through the guide.
                    Some(&"check") if page.ends_with("catalog/CONTRIBUTING.md") => code != 2,
                    // `crates/metahub/tests/layers.rs` builds layers.
                    Some(&"layer") => code != 2,
                    // `tests/e2e/tests/inspect.rs` runs them on images.
                    // Those of `check` with images are run by `crates/metahub/tests/verify.rs`.
                    Some(&("inspect" | "check")) => code != 2,
                    // `tests/e2e/tests/demand.rs` runs it.
                    Some(&"demand") => code != 2,
                    // `curating.rs` runs them with what they work on.
                    Some(
                        &("profile" | "collection" | "resolve" | "export" | "import" | "backup"
                        | "restore" | "scrub"),
                    ) => code != 2,
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
    // The program on a node has a page of that name: both packages may be installed.
    assert!(!folder.path().join("metahub-node.1").exists());
    for name in commands {
        let called = if name == "node" { "nodes" } else { &name };
        let page = folder.path().join(format!("metahub-{called}.1"));
        assert!(page.exists(), "{}", page.display());
        for below in below(&[&name]) {
            let page = folder.path().join(format!("metahub-{called}-{below}.1"));
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
    const OTHERS: &[&str] = &[
        "serve",
        "demo",
        "account",
        "node",
        "catalog",
        "layer",
        "profile",
        "collection",
        "config",
        "schema",
        "completions",
        "man",
    ];
    for name in below(&[]) {
        let takes = help(&[&name]).contains("--format <FORMAT>");
        assert_eq!(takes, !OTHERS.contains(&name.as_str()), "{name}");
    }
    for below in [
        ["account", "list"],
        ["node", "list"],
        ["node", "tokens"],
        ["config", "show"],
        ["profile", "test"],
        ["profile", "list"],
        ["collection", "list"],
        ["catalog", "list"],
        ["catalog", "push"],
        ["catalog", "pull"],
        ["catalog", "test"],
        ["catalog", "verify"],
        ["catalog", "update"],
        ["layer", "build"],
    ] {
        assert!(help(&below).contains("--format <FORMAT>"), "{below:?}");
    }
}
