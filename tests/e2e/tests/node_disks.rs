//! A node's files when the disk is full, several write at once, or a home folder has no locks: each
//! file is whole or as it was, and nothing is half done.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::collections::BTreeMap;
use std::path::PathBuf;

use metahub_e2e::faulty::dead_host;
use metahub_e2e::node::{NodeUser, program};
use metahub_e2e::process::Cmd;
use metahub_e2e::require;

/// Every file and link of a home but the program itself, with what it holds.
fn files(user: &NodeUser) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![user.path("")];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let name = path.file_name().unwrap();
            if let Ok(target) = std::fs::read_link(&path) {
                found.insert(path, target.into_os_string().into_encoded_bytes());
            } else if path.is_dir() {
                // Of the session, and of no account.
                if name != "run" {
                    folders.push(path);
                }
            } else if name != "metahub-node" && name != "logins.lock" {
                let bytes = std::fs::read(&path).unwrap();
                found.insert(path, bytes);
            }
        }
    }
    found
}

/// `command` in which the system call `call` fails as on a full disk when it is made for the
/// `time`-th time.
fn full_at(user: &NodeUser, call: &str, time: usize, args: &[&str]) -> Cmd {
    let inject = format!("inject={call}:error=ENOSPC:when={time}");
    let command = Cmd::new("strace")
        .args([
            "-f",
            "-o",
            "/dev/null",
            "-e",
            &format!("trace={call}"),
            "-e",
            &inject,
        ])
        .arg(program())
        .args(args)
        .shown(format!(
            "metahub-node {} ({call} {time} fails)",
            args.join(" ")
        ));
    user.with(command)
}

/// The calls by which a file comes to be.
const CALLS: [&str; 3] = ["write", "fsync", "/^rename"];

#[test]
fn a_disk_that_is_full_leaves_a_cache_whole_or_as_it_was() {
    if !require::tools(&["strace"]) {
        return;
    }
    let user = NodeUser::new(&["arch:zen3"]);
    let policy = user.read("node.yaml");
    user.write(
        "node.yaml",
        &format!("registries: [\"{}\"]\n{policy}", dead_host()),
    );
    user.command(&["refresh"]).ok();
    let before = files(&user);
    let cache = user.path("cache/node.json");
    let mut failed = 0;
    for call in CALLS {
        for time in 1..=3 {
            let told = full_at(&user, call, time, &["refresh"])
                .env("METAHUB_NODE_LOGIN", "zen2")
                .run();
            let mut after = files(&user);
            if told.code == Some(0) {
                let text = String::from_utf8(after.remove(&cache).unwrap()).unwrap();
                assert!(text.contains("zen2") && text.ends_with("}\n"), "{text}");
                after.insert(cache.clone(), before[&cache].clone());
                user.write(
                    "cache/node.json",
                    std::str::from_utf8(&before[&cache]).unwrap(),
                );
            } else {
                failed += 1;
                told.says("No space left").says("cannot write");
            }
            assert_eq!(after, before, "{told}");
        }
    }
    assert!(failed >= 3, "only {failed} failed");
}

#[test]
fn a_disk_that_is_full_leaves_a_setup_done_or_undone() {
    if !require::tools(&["strace"]) {
        return;
    }
    let host = dead_host();
    let user = NodeUser::new(&["arch:zen3"]);
    let config = "{\n\t\"auths\": {\n\t\t\"other.example\": {\n\t\t\t\"auth\": \"YTpi\"\n\t\t}\n\t},\n\t\"detachKeys\": \"ctrl-q\"\n}\n";
    user.write(".docker/config.json", config);
    let setup = ["setup", "docker", "--registry", &host];
    let undo = ["setup", "docker", "--registry", &host, "--undo"];
    let before = files(&user);
    // No room for the program itself.
    let told = full_at(&user, "write", 1, &setup).fails();
    told.says("No space left");
    assert!(!user.path(".local/bin/metahub-node").exists());
    assert_eq!(files(&user), before);
    user.command(&setup).ok();
    let done = files(&user);
    user.command(&undo).ok();
    assert_eq!(files(&user), before);
    let ways = [
        (&setup[..], &undo[..], &before, &done),
        (&undo[..], &setup[..], &done, &before),
    ];
    for (there, back, from, to) in ways {
        let (mut failures, mut successes) = (0, 0);
        for call in CALLS {
            for time in 1..=6 {
                let told = full_at(&user, call, time, there).run();
                if told.code == Some(0) {
                    successes += 1;
                    assert_eq!(&files(&user), to, "{told}");
                    user.command(back).ok();
                } else {
                    failures += 1;
                    told.says("No space left");
                }
                assert_eq!(&files(&user), from, "{told}");
            }
        }
        assert!(failures >= 4 && successes >= 4, "{failures}, {successes}");
        user.command(there).ok();
    }
}

#[test]
fn setups_at_once_all_count() {
    let user = NodeUser::new(&["arch:zen3"]);
    let hosts: Vec<String> = (1..=8)
        .map(|number| format!("hub{number}.example"))
        .collect();
    let all = |more: &[&str]| {
        std::thread::scope(|scope| {
            for host in &hosts {
                let args = [&["setup", "docker", "--registry", host], more].concat();
                let command = user.command(&args);
                scope.spawn(move || command.ok());
            }
        });
    };
    let before = files(&user);
    all(&[]);
    let config: serde_json::Value =
        serde_json::from_str(&user.read(".docker/config.json")).unwrap();
    for host in &hosts {
        assert_eq!(config["credHelpers"][host], "metahub", "{config}");
    }
    let listed = user.command(&["credential", "list"]).ok().ok_json();
    assert_eq!(listed.as_object().unwrap().len(), hosts.len(), "{listed}");
    all(&["--undo"]);
    assert_eq!(files(&user), before);
}

#[test]
fn a_home_without_locks_keeps_logins_and_configurations() {
    if !require::tools(&["strace"]) {
        return;
    }
    let host = dead_host();
    let user = NodeUser::new(&["arch:zen3"]);
    let without_locks = |args: &[&str]| {
        let strace = ["-f", "-o", "/dev/null", "-e", "trace=flock"];
        let command = Cmd::new("strace")
            .args(strace)
            .args(["-e", "inject=flock:error=ENOLCK"])
            .arg(program())
            .args(args)
            .shown(format!("metahub-node {} (without locks)", args.join(" ")));
        user.with(command)
    };
    without_locks(&["setup", "docker", "--registry", &host]).ok();
    for name in ["alice", "bob"] {
        let stored = format!(r#"{{"ServerURL":"{host}","Username":"{name}","Secret":"secret"}}"#);
        without_locks(&["credential", "store"]).stdin(stored).ok();
        let answer = without_locks(&["credential", "get"]).stdin(&*host).ok();
        assert_eq!(answer.ok_json()["Username"], format!("{name}/zen3"));
    }
    without_locks(&["credential", "erase"]).stdin(&*host).ok();
    without_locks(&["setup", "docker", "--registry", &host, "--undo"]).ok();
    assert_eq!(user.read(".docker/config.json"), "");
}
