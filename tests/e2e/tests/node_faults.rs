//! A node on which things go wrong: certificates and clocks, registries, helpers and pipes that
//! never answer. The helper always answers, and the words say what to do.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt as _;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use metahub_e2e::faulty::dead_host;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::node::{NodeUser, program};
use metahub_e2e::process::{Cmd, Outcome, wait_until};
use metahub_e2e::require;
use metahub_e2e::site::Site;
use rcgen::{SanType, date_time_ymd};
use rstest::rstest;

const SOON: Duration = Duration::from_secs(30);
const NOT_FOUND: &str = "credentials not found in native keychain\n";
const ALONE: &str = "offline: true\nupstreams: []\n";

/// A user of a node with this policy beside the usual one of tests.
fn node(policy: &str) -> NodeUser {
    let user = NodeUser::new(&["arch:zen3"]);
    let usual = user.read("node.yaml");
    user.write("node.yaml", &format!("{policy}\n{usual}"));
    user
}

fn at(host: &str) -> NodeUser {
    node(&format!("registries: [\"{host}\"]"))
}

#[test]
fn doctor_says_what_is_wrong_with_a_certificate_and_what_to_do() {
    if !require::tools(&["setpriv"]) {
        return;
    }
    let site = Site::new();
    let config = format!("{ALONE}{}", site.tls_key());
    let trusting = |metahub: &MetaHub, site: &Site| {
        let authority = site.path("trusted/ca.crt");
        let registry = metahub.host();
        let policy = format!(
            "registries: [\"{registry}\"]\nca_file: {}",
            authority.display()
        );
        node(&policy)
    };
    let doctor =
        |metahub: &MetaHub, site: &Site| trusting(metahub, site).command(&["doctor"]).run();
    let metahub = MetaHub::start(&config, &[]);
    let user = trusting(&metahub, &site);
    user.command(&["refresh"])
        .ok()
        .says("zen3")
        .does_not_say("not asked");
    let told = user.command(&["doctor"]).run();
    told.says(&format!("{}: clients log in as zen3", metahub.host()));

    let told = doctor(&metahub, &Site::new());
    assert_eq!(told.code, Some(1), "{told}");
    told.says("is not accepted").says("ca_file");
    drop(metahub);
    // The node's clock is behind, as far as certificates tell.
    site.issue_with(|params| {
        params.not_before = date_time_ymd(2094, 1, 1);
        params.not_after = date_time_ymd(2095, 1, 1);
    });
    let metahub = MetaHub::start(&config, &[]);
    let told = doctor(&metahub, &site);
    told.says("clock, which is behind").does_not_say("ca_file");
    drop(metahub);
    // Or ahead.
    site.issue_with(|params| params.not_after = date_time_ymd(2024, 1, 1));
    let metahub = MetaHub::start(&config, &[]);
    let told = doctor(&metahub, &site);
    told.says("renewed").says("clock, which is ahead");
    drop(metahub);
    site.issue_with(|params| {
        params.subject_alt_names = vec![SanType::DnsName("hub.example".try_into().unwrap())];
    });
    let metahub = MetaHub::start(&config, &[]);
    doctor(&metahub, &site).says("name the registry as its certificate does");
    // A refresh says it, too, and keeps the node's own login.
    let user = trusting(&metahub, &site);
    let refreshed = user.command(&["refresh"]).ok();
    refreshed.says("is not accepted").says("zen3 (not asked)");
    let none = node(&format!(
        "registries: [\"{}\"]\nca_file: /nowhere.pem",
        metahub.host()
    ));
    none.command(&["doctor"])
        .fails()
        .says("/nowhere.pem")
        .says("correct ca_file");
}

/// A registry that takes connections and says `word` again and again, or nothing at all. Counts
/// the connections.
fn stalling(word: &'static str) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let count = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&count);
    std::thread::spawn(move || {
        let mut held = Vec::new();
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            counted.fetch_add(1, Ordering::Relaxed);
            if word.is_empty() {
                held.push(stream);
                continue;
            }
            std::thread::spawn(move || {
                let _ = stream.write_all(b"HTTP/1.1 200 OK\r\n");
                while stream.write_all(word.as_bytes()).is_ok() {}
            });
        }
    });
    (host, count)
}

/// What comes of a call of the helper. It ends its calls after two seconds, which a busy machine
/// may take by itself: then it says so, and is called again.
fn answered(call: impl Fn() -> Outcome) -> Outcome {
    let mut answers = (0..10).map(|_| call());
    let late = |answer: &Outcome| answer.stderr.contains("no answer in time");
    answers.find(|answer| !late(answer)).unwrap()
}

#[rstest]
#[case::says_nothing("")]
#[case::headers_without_end("X-More: and more\r\n")]
#[case::a_body_without_end("Content-Type: application/json\r\n\r\n[[[[[[[[")]
fn the_helper_answers_while_the_registry_still_does_not(#[case] word: &'static str) {
    let (host, asked) = stalling(word);
    let user = at(&host);
    let helper = |action, input: &str| {
        let call = || user.command(&["credential", action]).stdin(input).run();
        answered(call)
    };
    let answer = helper("get", &host);
    assert_eq!(answer.ok_json()["Username"], "zen3");
    let stored = format!(r#"{{"ServerURL":"{host}","Username":"alice","Secret":"wonderland"}}"#);
    assert_eq!(helper("store", &stored).code, Some(0));
    let answer = helper("get", &host);
    assert_eq!(answer.ok_json()["Username"], "alice/zen3");
    helper("list", "").says("alice/zen3");
    assert!(asked.load(Ordering::Relaxed) >= 4, "it was asked each time");
    // Nothing of it reaches other registries.
    let other = user
        .command(&["credential", "get"])
        .stdin("docker.io")
        .run();
    assert_eq!((other.code, &*other.stdout), (Some(1), NOT_FOUND));
}

#[test]
fn the_helper_answers_when_its_input_never_ends() {
    let user = at("hub.example");
    let mut command = Command::new(program());
    command
        .args(["credential", "get"])
        .env("METAHUB_NODE_CONFIG", user.path("node.yaml"))
        .env("HOME", user.path(""))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    let mut child = command.spawn().unwrap();
    // Held open until the answer is there.
    let input = child.stdin.take().unwrap();
    let ended = wait_until(SOON, || child.try_wait().unwrap().is_some());
    if !ended {
        child.kill().unwrap();
    }
    let answer = child.wait_with_output().unwrap();
    drop(input);
    assert!(ended, "it waits for more");
    assert_eq!(answer.status.code(), Some(1));
    assert_eq!(String::from_utf8_lossy(&answer.stdout), NOT_FOUND);
}

#[test]
fn pipes_in_the_place_of_files_hold_nothing_up() {
    if !require::tools(&["mkfifo"]) {
        return;
    }
    let pipe = |user: &NodeUser, name: &str| {
        let path = user.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let _ = std::fs::remove_file(&path);
        Cmd::new("mkfifo").arg(&path).ok();
    };
    let host = dead_host();
    let user = at(&host);
    pipe(&user, "cache/node.json");
    let get = |user: &NodeUser| user.command(&["credential", "get"]).stdin(&*host).run();
    assert_eq!(get(&user).ok_json()["Username"], "zen3");
    pipe(&user, ".config/metahub/logins.json");
    let told = get(&user);
    assert_eq!(told.ok_json()["Username"], "zen3");
    told.says("logins.json");
    pipe(&user, ".docker/config.json");
    let setup = ["setup", "docker", "--registry", &host];
    user.command(&setup).fails().says("logins.json");
    std::fs::remove_file(user.path(".config/metahub/logins.json")).unwrap();
    user.command(&setup).fails().says("config.json");
    pipe(&user, "node.yaml");
    let told = get(&user);
    assert_eq!((told.code, &*told.stdout), (Some(1), NOT_FOUND), "{told}");
    user.command(&["login"])
        .fails()
        .says("node.yaml")
        .says("it is no file");
}

#[test]
fn a_helper_that_hangs_is_ended_and_the_answer_comes_without_it() {
    let user = at("hub.example");
    let helper = "#!/bin/sh\necho $$ >>\"$HOME/pids\"\nexec sleep infinity\n";
    user.write(".local/bin/docker-credential-slow", helper);
    let path = user.path(".local/bin/docker-credential-slow");
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
    let logins = r#"{"helpers": {"hub.example": "slow", "other.example": "slow"}}"#;
    user.write(".config/metahub/logins.json", logins);
    let logins = user.path(".config/metahub/logins.json");
    std::fs::set_permissions(&logins, std::fs::Permissions::from_mode(0o600)).unwrap();
    let other = user
        .command(&["credential", "get"])
        .stdin("other.example")
        .run();
    assert_eq!(
        (other.code, &*other.stdout),
        (Some(1), NOT_FOUND),
        "{other}"
    );
    let pids = user.read("pids");
    assert!(!pids.is_empty());
    for pid in pids.lines() {
        let gone = wait_until(SOON, || {
            let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"));
            // Ended, and perhaps not yet waited for by whoever inherited it.
            !stat.is_ok_and(|stat| !stat.contains(") Z "))
        });
        assert!(gone, "{pid} still runs");
    }
}
