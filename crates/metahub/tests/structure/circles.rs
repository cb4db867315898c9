//! No module imports what imports it.

use syn::visit::Visit;

use super::*;

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
