//! `detect --root` below trees of `/proc` and `/sys` as drivers and kernels document them: what
//! is found of GPUs and fabrics, and the login that follows.
//!
//! `trees/NAME.tree` is one node: `@ file PATH` and its text, `@ link PATH TARGET`, `@ folder PATH`,
//! `@ cpu TARGET FAMILY MODEL STEPPING` for a processor with all flags of that target, and what is
//! expected: each `@ fact`, the `@ login`, and `@ login-of KEYS LOGIN` under a policy of these keys.
//! The forms are those of proc(5), the kernel's Documentation/ABI/stable/sysfs-class-infiniband,
//! its KFD topology, the README of NVIDIA's driver, and the classes `drm` and `cxi`.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test")]

use std::collections::BTreeSet;
use std::path::Path;

use metahub_hardware::Microarchitectures;
use metahub_node::detect::{Detected, Look, detect};
use metahub_node::known_targets::NodeFacts;
use metahub_node::policy::Policy;

/// One node.
#[derive(Default)]
struct Tree {
    facts: BTreeSet<String>,
    /// By the keys of a policy; the default's where there are none.
    logins: Vec<(Option<Vec<String>>, String)>,
}

fn cpuinfo(words: &[&str]) -> String {
    let [target, family, model, stepping] = words else {
        panic!("{words:?}");
    };
    let graph = Microarchitectures::builtin();
    let known = graph.get(&graph.find(target).unwrap()).unwrap();
    let flags: Vec<&str> = known.features().iter().map(String::as_str).collect();
    format!(
        "processor\t: 0\nvendor_id\t: {}\ncpu family\t: {family}\nmodel\t\t: {model}\n\
         stepping\t: {stepping}\nflags\t\t: lm {}\n\n",
        known.vendor(),
        flags.join(" ")
    )
}

/// Makes the tree below `root`, and gives what is expected of it.
fn make(text: &str, root: &Path) -> Tree {
    let mut tree = Tree::default();
    let write = |path: &str, text: &str| {
        let place = root.join(path);
        std::fs::create_dir_all(place.parent().unwrap()).unwrap();
        std::fs::write(place, text).unwrap();
    };
    for part in format!("\n{text}").split("\n@ ").skip(1) {
        let (head, body) = part.split_once('\n').unwrap_or((part, ""));
        let words: Vec<&str> = head.split(' ').collect();
        match words.as_slice() {
            ["file", path] => write(path, &format!("{body}\n")),
            ["link", path, target] => {
                let place = root.join(path);
                std::fs::create_dir_all(place.parent().unwrap()).unwrap();
                std::os::unix::fs::symlink(target, place).unwrap();
            }
            ["folder", path] => std::fs::create_dir_all(root.join(path)).unwrap(),
            ["cpu", cpu @ ..] => {
                write("proc/cpuinfo", &cpuinfo(cpu));
                write("proc/sys/kernel/arch", "x86_64\n");
            }
            ["fact", fact] => assert!(tree.facts.insert((*fact).to_owned())),
            ["login", login] => tree.logins.push((None, (*login).to_owned())),
            ["login-of", keys, login] => {
                let keys = keys.split(',').map(str::to_owned).collect();
                tree.logins.push((Some(keys), (*login).to_owned()));
            }
            _ => panic!("what is '@ {head}'?"),
        }
    }
    tree
}

fn login(found: &Detected, keys: Option<Vec<String>>) -> Option<String> {
    let mut policy = Policy::default();
    policy.keys = keys.unwrap_or(policy.keys);
    let features = found.features();
    let node = NodeFacts {
        target: found.target.as_ref(),
        features: &features,
        policy: &policy,
    };
    node.own_login()
}

#[test]
fn gpus_and_fabrics_are_found_below_each_tree_and_nothing_else() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/trees");
    let mut seen = 0;
    for entry in std::fs::read_dir(folder).unwrap() {
        let file = entry.unwrap().path();
        let text = std::fs::read_to_string(&file).unwrap();
        let root = tempfile::tempdir().unwrap();
        let tree = make(&text, root.path());
        assert!(!tree.logins.is_empty(), "{}", file.display());
        let look = Look {
            root: root.path().to_owned(),
            ..Look::default()
        };
        let found = detect(&Policy::default(), &look);
        let facts = found.features().into_iter().map(|fact| fact.to_string());
        let facts: BTreeSet<String> = facts.collect();
        assert_eq!(facts, tree.facts, "{}", file.display());
        for (keys, expected) in tree.logins {
            let login = login(&found, keys);
            assert_eq!(login.as_deref(), Some(&*expected), "{}", file.display());
        }
        seen += 1;
    }
    assert!(seen >= 12, "only {seen} trees");
}
