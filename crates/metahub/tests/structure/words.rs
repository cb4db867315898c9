//! Words that are gone.

use super::*;

/// Words of a private language, and what is said instead.
const GONE: [(&str, &str); 19] = [
    ("whoever asks", "the client, the caller"),
    ("what is kept of", "what is cached from"),
    ("kept of upstreams", "cached from upstreams"),
    ("the door", "pass-through, authorise"),
    ("heed", "note, take into account"),
    ("strays", "orphaned files"),
    ("stretch", "range prefetch"),
    ("stretches", "ranges"),
    ("portion", "chunk"),
    ("portions", "chunks"),
    ("scout", "range prefetch"),
    ("stays in force", "stays in use"),
    ("told to end", "asked to shut down"),
    ("told again", "the second signal, reloaded"),
    ("outlet", "sendfile queue"),
    ("kept content", "cached content"),
    ("kept tag", "cached tag"),
    ("kept manifest", "cached manifest"),
    ("is kept here", "is cached here, is held here"),
];

/// Words that are gone from sources, and what is said instead; pages may use them.
const GONE_FROM_SOURCES: [(&str, &str); 15] = [
    ("whoever", "the client, the caller, the reader"),
    ("what came of", "the result of"),
    ("what comes of", "the result of"),
    ("what became of", "the result of, the verdict on"),
    ("given out", "served, returned"),
    ("reads along", "follows"),
    ("reading along", "following"),
    ("the story", "the explanation"),
    ("nobody in particular", "anonymous, without an account"),
    ("holds no more", "is no longer valid"),
    ("in force", "current, used"),
    ("nobody knows", "unknown"),
    ("says of itself", "its own statements"),
    ("stands in the way", "prevents"),
    ("behind the back", "unnoticed"),
];

#[test]
fn words_that_are_gone_stay_away() {
    let mut files = Vec::new();
    for folder in crates().values() {
        sources(&folder.join("src"), &mut files);
    }
    let mut found = uses_of(&GONE_FROM_SOURCES, &files);
    for folder in ["benches", "fuzz", "tests"] {
        sources(&root().join(folder), &mut files);
    }
    for folder in ["docs", "docs/decisions"] {
        let pages = std::fs::read_dir(root().join(folder)).unwrap();
        let pages = pages.map(|page| page.unwrap().path());
        files.extend(pages.filter(|page| page.extension().is_some_and(|end| end == "md")));
    }
    let names = [
        "ARCHITECTURE.md",
        "CONTRIBUTING.md",
        "README.md",
        "metahub.example.yaml",
    ];
    files.extend(names.map(|name| root().join(name)));
    found.extend(uses_of(&GONE, &files));
    assert!(found.is_empty(), "{found:#?}");
}

/// Where files use any of these words.
fn uses_of(gone: &[(&str, &str)], files: &[PathBuf]) -> Vec<String> {
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).unwrap();
        // Comments break lines anywhere.
        let words: String = text
            .lines()
            .map(|line| line.trim_start_matches([' ', '/', '!', '#']).to_lowercase() + " ")
            .collect();
        for (word, instead) in gone {
            let mut places = words.match_indices(word);
            let whole = places.any(|(at, _)| {
                let before = words[..at].chars().next_back().unwrap_or(' ');
                let after = words[at + word.len()..].chars().next().unwrap_or(' ');
                !before.is_alphanumeric() && !after.is_alphanumeric()
            });
            if whole {
                found.push(format!("{}: {word:?}; say {instead}", file.display()));
            }
        }
    }
    found
}
