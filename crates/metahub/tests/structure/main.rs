//! How the source is built: no module imports what imports it, and no dependency stands there
//! unused. Which crate uses which is held in `docs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod circles;
mod seams;
mod words;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The folders of the workspace's crates, by name without `metahub-`.
fn crates() -> BTreeMap<String, PathBuf> {
    let folders = std::fs::read_dir(root().join("crates")).unwrap();
    folders
        .map(|folder| folder.unwrap().path())
        .filter(|folder| folder.join("Cargo.toml").exists())
        .map(|folder| {
            (
                folder.file_name().unwrap().to_str().unwrap().to_owned(),
                folder,
            )
        })
        .collect()
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|end| end == "rs") {
            found.push(path);
        }
    }
}

/// The keys of a table of a manifest.
fn table(manifest: &str, name: &str) -> BTreeSet<String> {
    let head = format!("[{name}]");
    let lines = manifest.lines().skip_while(|line| *line != head).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('['));
    let keys = lines.filter_map(|line| line.split(['=', '.']).next());
    let keys = keys.map(|key| key.trim().to_owned());
    keys.filter(|key| !key.is_empty() && !key.starts_with('#'))
        .collect()
}

/// Most lines of a file of source or tests: longer ones are split by subject.
const MOST_LINES: usize = 450;

#[test]
fn no_file_is_too_long_to_be_read() {
    let mut files = Vec::new();
    for folder in ["crates", "benches", "tests", "fuzz"] {
        sources(&root().join(folder), &mut files);
    }
    let lines = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count();
    let long: Vec<String> = files
        .iter()
        .filter(|file| lines(file) > MOST_LINES)
        .map(|file| format!("{}: {}", file.display(), lines(file)))
        .collect();
    assert_eq!(
        long, [""; 0],
        "more than {MOST_LINES} lines: split it by subject"
    );
}

#[test]
fn every_dependency_is_used() {
    let mut folders: Vec<PathBuf> = crates().into_values().collect();
    folders.extend(["benches", "tests/e2e", "fuzz"].map(|folder| root().join(folder)));
    let mut unused = Vec::new();
    for folder in folders {
        let manifest = std::fs::read_to_string(folder.join("Cargo.toml")).unwrap();
        let mut files = Vec::new();
        sources(&folder, &mut files);
        let text: String = files
            .iter()
            .map(|f| std::fs::read_to_string(f).unwrap())
            .collect();
        for kind in ["dependencies", "dev-dependencies", "build-dependencies"] {
            for name in table(&manifest, kind) {
                // The one whose library is called otherwise.
                let library = match name.as_str() {
                    "rustls-webpki" => "webpki".to_owned(),
                    other => other.replace('-', "_"),
                };
                let named = text
                    .match_indices(&library)
                    .any(|(at, _)| is_path_or_use(&text, at, library.len()));
                if !named {
                    unused.push(format!("{}: {kind}: {name}", folder.display()));
                }
            }
        }
    }
    assert_eq!(unused, [""; 0], "declared, and used nowhere");
}

/// Whether what stands there is a whole word that begins a path, or is imported or renamed.
fn is_path_or_use(text: &str, at: usize, length: usize) -> bool {
    let before = text[..at].chars().next_back().unwrap_or(' ');
    let after = &text[at + length..];
    let whole = !before.is_alphanumeric() && before != '_';
    whole
        && (after.starts_with("::")
            || after.starts_with(" as ")
            || after.starts_with(';')
            || after.starts_with('!'))
}
