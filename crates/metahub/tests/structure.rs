//! How the source is built: no module imports what imports it, and no dependency stands there
//! unused. Which crate uses which is held in `docs.rs`.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use syn::visit::Visit;

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

#[test]
fn every_dependency_is_used() {
    let mut folders: Vec<PathBuf> = crates().into_values().collect();
    folders.extend([root().join("benches"), root().join("tests/e2e")]);
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

/// What one file imports from its own crate, and what it re-exports.
struct Imports {
    module: Vec<String>,
    found: Vec<Vec<String>>,
    /// What may begin with a module below this one, or with another crate.
    perhaps: Vec<Vec<String>>,
}

impl Imports {
    fn add(&mut self, path: Vec<String>) {
        let mut whole = match path.first().map(String::as_str) {
            Some("crate") => Vec::new(),
            Some("self") => self.module.clone(),
            Some("super") => self.module[..self.module.len().saturating_sub(1)].to_vec(),
            // A crate, or a module below this one.
            Some(_) => {
                let below = [self.module.clone(), path].concat();
                self.perhaps.push(below);
                return;
            }
            None => return,
        };
        let mut rest = &path[1..];
        while rest.first().is_some_and(|part| part == "super") {
            whole.pop();
            rest = &rest[1..];
        }
        whole.extend(rest.iter().cloned());
        self.found.push(whole);
    }

    fn tree(&mut self, tree: &syn::UseTree, before: &[String]) {
        let with = |name: &syn::Ident| [before, &[name.to_string()]].concat();
        match tree {
            syn::UseTree::Path(path) => self.tree(&path.tree, &with(&path.ident)),
            syn::UseTree::Name(name) => self.add(with(&name.ident)),
            syn::UseTree::Rename(name) => self.add(with(&name.ident)),
            syn::UseTree::Glob(_) => self.add(before.to_vec()),
            syn::UseTree::Group(group) => {
                for tree in &group.items {
                    self.tree(tree, before);
                }
            }
        }
    }
}

impl<'ast> Visit<'ast> for Imports {
    fn visit_item_mod(&mut self, module: &'ast syn::ItemMod) {
        let for_tests = module.attrs.iter().any(|attribute| {
            let list = attribute.meta.require_list();
            attribute.path().is_ident("cfg") && list.is_ok_and(|l| l.tokens.to_string() == "test")
        });
        if !for_tests {
            syn::visit::visit_item_mod(self, module);
        }
    }

    fn visit_item_use(&mut self, item: &'ast syn::ItemUse) {
        self.tree(&item.tree, &[]);
    }

    // `pub(super)` imports nothing.
    fn visit_visibility(&mut self, _: &'ast syn::Visibility) {}

    fn visit_path(&mut self, path: &'ast syn::Path) {
        self.add(
            path.segments
                .iter()
                .map(|part| part.ident.to_string())
                .collect(),
        );
        syn::visit::visit_path(self, path);
    }
}

/// Which module of a crate imports which, by their paths.
fn imports(folder: &Path) -> BTreeMap<String, BTreeSet<String>> {
    let src = folder.join("src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    let mut modules: BTreeMap<String, Imports> = BTreeMap::new();
    for file in &files {
        let relative = file.strip_prefix(&src).unwrap().with_extension("");
        let parts = relative
            .iter()
            .map(|part| part.to_str().unwrap().to_owned());
        let mut module: Vec<String> = parts.collect();
        if module.last().is_some_and(|last| last == "mod") {
            module.pop();
        }
        if module.len() == 1 && ["lib", "main"].contains(&module[0].as_str()) {
            module.clear();
        }
        // Modules of tests import what they test.
        let text = std::fs::read_to_string(file).unwrap();
        let name = module.join("::");
        if name.ends_with("tests") || name.ends_with("setup") && name.contains("authenticator") {
            continue;
        }
        let mut imports = Imports {
            module,
            found: Vec::new(),
            perhaps: Vec::new(),
        };
        imports.visit_file(&syn::parse_file(&text).unwrap_or_else(|e| panic!("{file:?}: {e}")));
        modules.insert(name, imports);
    }
    let names: BTreeSet<String> = modules.keys().cloned().collect();
    for (name, imports) in &mut modules {
        let depth = if name.is_empty() {
            1
        } else {
            name.split("::").count() + 1
        };
        let below = std::mem::take(&mut imports.perhaps).into_iter();
        imports.found.extend(
            below.filter(|path| path.len() > depth && names.contains(&path[..depth].join("::"))),
        );
    }
    let exported: BTreeMap<String, Vec<String>> = modules
        .get("")
        .into_iter()
        .flat_map(|root| &root.found)
        .filter_map(|path| Some((path.last()?.clone(), path.clone())))
        .collect();
    let module_of = |path: &[String]| -> Option<String> {
        let longest = |path: &[String]| {
            let lengths = (1..=path.len()).rev();
            let mut names = lengths.map(|length| path[..length].join("::"));
            names.find(|name| modules.contains_key(name))
        };
        longest(path).or_else(|| longest(exported.get(path.first()?)?))
    };
    let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for (name, imports) in &modules {
        if name.is_empty() {
            continue;
        }
        let used = imports.found.iter().filter_map(|path| module_of(path));
        let used = used.filter(|other| other != name).collect();
        edges.insert(name.clone(), used);
    }
    edges
}

/// A way from a module back to itself, if there is one.
fn circle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn walk(
        at: &str,
        edges: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(before) = way.iter().position(|name| name == at) {
            return Some(way[before..].to_vec());
        }
        if done.contains(at) {
            return None;
        }
        way.push(at.to_owned());
        for next in edges.get(at).into_iter().flatten() {
            if let Some(circle) = walk(next, edges, way, done) {
                return Some(circle);
            }
        }
        way.pop();
        done.insert(at.to_owned());
        None
    }
    let mut done = BTreeSet::new();
    edges
        .keys()
        .find_map(|name| walk(name, edges, &mut Vec::new(), &mut done))
}

#[test]
fn no_module_imports_what_imports_it() {
    let found: BTreeMap<String, String> = crates()
        .iter()
        .filter_map(|(name, folder)| {
            let circle = circle(&imports(folder))?;
            Some((
                name.clone(),
                format!("{} and back", circle.join(" imports ")),
            ))
        })
        .collect();
    let names: Vec<&str> = found.keys().map(String::as_str).collect();
    assert_eq!(
        names, [""; 0],
        "move what both need into a module of its own: {found:#?}"
    );
}

#[test]
fn a_circle_is_found() {
    let edges = |pairs: &[(&str, &str)]| -> BTreeMap<String, BTreeSet<String>> {
        let mut edges: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
        for (from, to) in pairs {
            let to = (*to).to_owned();
            edges.entry((*from).to_owned()).or_default().insert(to);
        }
        edges
    };
    assert_eq!(circle(&edges(&[("a", "b"), ("b", "c"), ("a", "c")])), None);
    let found = circle(&edges(&[("a", "b"), ("b", "c"), ("c", "b")])).unwrap();
    assert_eq!(found, ["b", "c"]);
}

/// Files of `registry` outside `access` that may use the whole store: upkeep, which no client asks
/// for, and content before any repository has it.
const WHOLE_STORE: [&str; 7] = [
    "cache/derived.rs",
    "cache/eviction.rs",
    "cache/room.rs",
    "lib.rs",
    "maintenance.rs",
    "pull/repositories.rs",
    "transfer/import.rs",
];

/// Every read and every change of a repository goes through a handle that `registry::access` makes
/// after its checks; that those cannot be made elsewhere is the compiler's to hold (`Repository`'s
/// documentation). What the compiler cannot see: nobody takes the whole store or looks for an
/// upstream's repository without such a handle, and no client's request acts as the operator.
#[test]
fn repositories_are_reached_through_authorised_handles_only() {
    let text = |path: &Path| std::fs::read_to_string(path).unwrap();
    let mut found = Vec::new();
    let src = root().join("crates/registry/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    assert!(files.len() > 40, "{src:?}");
    for file in &files {
        let name = file.strip_prefix(&src).unwrap().to_str().unwrap();
        if name.starts_with("access/") {
            continue;
        }
        let text: String = text(file).split_whitespace().collect();
        let whole = text.contains(".store()") || text.contains("inner.store");
        if whole && !WHOLE_STORE.contains(&name) {
            found.push(format!("{name} uses the whole store"));
        }
        for call in [".routes(", "pass_through_route", "UpstreamsConfig"] {
            if text.contains(call) {
                found.push(format!(
                    "{name} looks for an upstream's repository by {call}"
                ));
            }
        }
    }
    let mut files = Vec::new();
    sources(&root().join("crates/server/src"), &mut files);
    for file in files {
        if text(&file).contains(".operator()") {
            found.push(format!("{} acts as the operator", file.display()));
        }
    }
    assert_eq!(found, [""; 0]);
}

#[test]
fn sql_stands_in_one_place() {
    let mut files = Vec::new();
    for folder in crates().values() {
        sources(&folder.join("src"), &mut files);
    }
    let place = Path::new("store/src/records/sqlite");
    let (inside, outside): (Vec<PathBuf>, Vec<PathBuf>) = files
        .into_iter()
        .partition(|file| file.parent().is_some_and(|folder| folder.ends_with(place)));
    let speaks = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let words = ["sqlx", "SELECT ", "INSERT INTO ", "DELETE FROM ", "PRAGMA "];
        words.iter().any(|word| text.contains(word))
    };
    assert!(inside.iter().filter(|file| speaks(file)).count() > 10);
    let found: Vec<PathBuf> = outside.into_iter().filter(speaks).collect();
    assert!(
        found.is_empty(),
        "{found:#?}: give `Records` a method for it, and put the statement into {}",
        place.display()
    );
}

#[test]
fn files_of_content_are_touched_in_one_place() {
    let src = root().join("crates/store/src");
    let mut files = Vec::new();
    sources(&src, &mut files);
    // Beside the content there are the lock, the lease and the reserve, and folders of backups.
    let places = ["content/files", "folder", "backup"];
    let (inside, outside): (Vec<PathBuf>, Vec<PathBuf>) = files.into_iter().partition(|file| {
        let folder = file.strip_prefix(&src).unwrap().parent().unwrap();
        places.iter().any(|place| folder == Path::new(place))
    });
    let touches = |file: &PathBuf| {
        let text = std::fs::read_to_string(file).unwrap();
        let text = text.split("#[cfg(test)]").next().unwrap();
        // To name the type of an open file touches none.
        let text = text.replace("use std::fs::File;", "");
        let words = [
            "std::fs",
            "tokio::fs",
            "rustix::fs",
            "unix::fs",
            "File::open",
            "File::create",
        ];
        words.iter().any(|word| text.contains(word))
    };
    assert!(inside.iter().filter(|file| touches(file)).count() > 10);
    let found: Vec<PathBuf> = outside
        .into_iter()
        .filter(touches)
        .filter(|file| !file.to_str().unwrap().contains("tests"))
        .collect();
    assert_eq!(
        found,
        Vec::<PathBuf>::new(),
        "give `Content` a method for it, and touch the files in crates/store/src/content/files"
    );
}

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

#[test]
fn words_that_are_gone_stay_away() {
    let mut files = Vec::new();
    for folder in crates().values() {
        sources(&folder.join("src"), &mut files);
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
    let mut found = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        // Comments break lines anywhere.
        let words: String = text
            .lines()
            .map(|line| line.trim_start_matches([' ', '/', '!', '#']).to_lowercase() + " ")
            .collect();
        for (word, instead) in GONE {
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
    assert!(found.is_empty(), "{found:#?}");
}
