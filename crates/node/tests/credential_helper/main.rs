//! The credential helper before registries that behave well and badly: whatever happens, clients
//! get an answer that they understand, and nobody's login ends where it does not belong.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

mod fake;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::PathBuf;

use fake::FakeRegistry;
use metahub_client::blocking::Registry;
use metahub_hardware::Microarchitectures;
use metahub_hardware::detect::Root;
use metahub_node::answer::Answer;
use metahub_node::cache::{Cache, Fingerprint, Known};
use metahub_node::helper::{Helper, NOT_FOUND};
use metahub_node::known_targets::{self, NodeFacts};
use metahub_node::logins::LoginsFile;
use metahub_node::policy::Policy;
use serde_json::{Value, json};

const HUB: &str = "hub.example";

/// A node with a home that other nodes may share.
struct Node {
    run: tempfile::TempDir,
    home: PathBuf,
    policy: Policy,
}

impl Node {
    /// One whose cache says `login` for `host`.
    fn new(home: &std::path::Path, host: &str, login: &str) -> Self {
        let node = Self::without_cache(home, host);
        let known = Known {
            login: Some(login.to_owned()),
            alone: true,
            proven: false,
            target: None,
            checked: true,
        };
        node.cache(host, known);
        node
    }

    fn without_cache(home: &std::path::Path, host: &str) -> Self {
        let run = tempfile::tempdir().unwrap();
        let policy = Policy {
            registries: vec![host.to_owned()],
            cache: run.path().join("metahub"),
            ..Policy::default()
        };
        Self {
            run,
            home: home.to_owned(),
            policy,
        }
    }

    fn cache(&self, host: &str, known: Known) {
        let registries = BTreeMap::from([(host.to_owned(), known)]);
        let fingerprint = Fingerprint::of(&Root::new(self.run.path()));
        Cache::new(fingerprint, &self.policy, None, Vec::new(), registries)
            .write(&self.policy.cache)
            .unwrap();
    }

    fn environment(&self, name: &str) -> Option<OsString> {
        (name == "HOME").then(|| self.home.clone().into_os_string())
    }

    fn run(&self, action: &str, input: &str) -> Answer {
        let environment = |name: &str| self.environment(name);
        let helper = Helper {
            policy: &self.policy,
            environment: &environment,
            root: &Root::new(self.run.path()),
        };
        helper.run(action, input)
    }

    /// User name and password that a client gets.
    fn get(&self, server: &str) -> (String, String) {
        let answer = self.run("get", server);
        assert_eq!(answer.code, 0, "{answer:?}");
        let answer: Value = serde_json::from_str(&answer.stdout).unwrap();
        assert_eq!(answer["ServerURL"], server.trim());
        let text = |key: &str| answer[key].as_str().unwrap().to_owned();
        (text("Username"), text("Secret"))
    }

    fn store(&self, server: &str, user: &str, secret: &str) -> Answer {
        let stored = json!({"ServerURL": server, "Username": user, "Secret": secret});
        self.run("store", &stored.to_string())
    }

    fn logins(&self) -> String {
        let file = LoginsFile::of_user(&|name| self.environment(name)).unwrap();
        std::fs::read_to_string(file.path()).unwrap_or_default()
    }
}

#[test]
fn a_host_that_is_no_metahub_gets_the_words_that_clients_know() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), HUB, "zen4");
    for server in [
        "docker.io",
        "https://index.docker.io/v1/",
        "hub.example:5000",
        "hub.example.evil",
        "",
        "\n",
        "not a host",
        "http://",
    ] {
        let answer = node.run("get", server);
        assert_eq!((answer.code, &*answer.stdout), (1, NOT_FOUND), "{server:?}");
        assert!(answer.notes.is_empty(), "{answer:?}");
    }
    assert_eq!(NOT_FOUND, "credentials not found in native keychain");
    assert_eq!(node.run("erase", "docker.io").stdout, NOT_FOUND);
    assert_eq!(node.store("docker.io", "a", "b").code, 1);
    assert_eq!(node.run("nonsense", "").code, 1);
    assert_eq!(node.run("store", "no json").code, 1);
    assert!(node.run("version", "").stdout.starts_with("metahub-node "));
}

#[test]
fn a_metahub_gets_this_nodes_login_however_it_is_written() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), HUB, "zen4+cuda=12.4");
    for server in [
        "hub.example",
        "https://hub.example",
        "hub.example/qnib/app\n",
        "HUB.example",
    ] {
        assert_eq!(node.get(server).0, "zen4+cuda=12.4", "{server}");
    }
    let list: Value = serde_json::from_str(&node.run("list", "").stdout).unwrap();
    assert_eq!(list, json!({"hub.example": "zen4+cuda=12.4"}));
    assert_eq!(node.logins(), "", "nothing of the node is kept in the home");
}

#[test]
fn a_shared_home_has_the_person_and_each_node_itself() {
    let home = tempfile::tempdir().unwrap();
    let one = Node::new(home.path(), HUB, "zen4");
    let two = Node::new(home.path(), HUB, "skylake+cuda=12.4");
    assert_eq!(one.store(HUB, "alice", "secret").code, 0);
    assert_eq!(one.get(HUB), ("alice/zen4".to_owned(), "secret".to_owned()));
    assert_eq!(two.get(HUB).0, "alice/skylake+cuda=12.4");
    assert!(!one.logins().contains("zen4"), "{}", one.logins());
    // `docker login` without a name stores again what it got: that is alice as before.
    assert_eq!(one.store(HUB, "alice/zen4", "newer").code, 0);
    assert_eq!(
        two.get(HUB),
        ("alice/skylake+cuda=12.4".to_owned(), "newer".to_owned())
    );
    assert_eq!(two.run("erase", "https://hub.example").code, 0);
    assert_eq!(one.get(HUB).0, "zen4");
    // And who has no account would store the node's own login, which must not stay.
    let (user, secret) = one.get(HUB);
    assert_eq!(one.store(HUB, &user, &secret).code, 0);
    assert_eq!(two.get(HUB).0, "skylake+cuda=12.4");
    assert!(!one.logins().contains("zen4"), "{}", one.logins());
}

#[test]
fn an_explicit_login_stays_as_it_was_typed() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), HUB, "zen4");
    for (user, whole) in [
        ("zen3", "zen3"),
        ("alice/zen2", "alice/zen2"),
        ("aws/cli", "aws/cli+zen4"),
        ("<token>", "<token>"),
    ] {
        assert_eq!(node.store(HUB, user, "p").code, 0);
        assert_eq!(node.get(HUB).0, whole);
    }
}

#[test]
fn the_registry_says_whether_a_bare_name_is_a_profile() {
    let registry = FakeRegistry::start(|asked| {
        let good = asked.user.as_deref() == Some("site+zen4");
        (if good { 200 } else { 401 }, "{\"token\":\"t\"}".to_owned())
    });
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), registry.host(), "zen4");
    assert_eq!(node.store(registry.host(), "site", "p").code, 0);
    assert_eq!(node.get(registry.host()).0, "site+zen4");
}

#[test]
fn a_registry_that_takes_no_node_leaves_who_has_no_account_anonymous() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), HUB, "zen4");
    let known = Known {
        login: Some("zen4".to_owned()),
        alone: false,
        proven: false,
        target: None,
        checked: true,
    };
    node.cache(HUB, known);
    assert_eq!(node.run("get", HUB).stdout, NOT_FOUND);
    assert_eq!(node.run("list", "").stdout, "{}");
    assert_eq!(node.store(HUB, "alice", "secret").code, 0);
    assert_eq!(node.get(HUB).0, "alice/zen4");
}

#[test]
fn broken_homes_and_full_disks_do_not_stop_a_pull() {
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), HUB, "zen4");
    let logins = home.path().join(".config/metahub/logins.json");
    std::fs::create_dir_all(logins.parent().unwrap()).unwrap();
    for broken in ["", "{", "[3]", "{\"logins\": 3}"] {
        std::fs::write(&logins, broken).unwrap();
        assert_eq!(node.get(HUB).0, "zen4", "{broken}");
        assert_eq!(node.run("get", "docker.io").stdout, NOT_FOUND);
        // What cannot be read is not replaced either.
        assert_eq!(node.store(HUB, "alice", "secret").code, 1);
        assert_eq!(std::fs::read_to_string(&logins).unwrap(), broken);
    }
    let nowhere = Node::new(std::path::Path::new("/dev/null"), HUB, "zen4");
    assert_eq!(nowhere.get(HUB).0, "zen4");
    let stored = nowhere.store(HUB, "alice", "secret");
    assert_eq!(stored.code, 1, "{stored:?}");
    assert!(!stored.stdout.contains("secret"));
}

#[test]
fn without_a_cache_it_looks_and_says_so() {
    for registry in [
        FakeRegistry::silent(),
        FakeRegistry::start(|_| (500, String::new())),
    ] {
        let home = tempfile::tempdir().unwrap();
        let node = Node::without_cache(home.path(), registry.host());
        let answer = node.run("get", registry.host());
        // A machine without a known CPU has no login, and pulls anonymously.
        assert!(answer.code == 0 || answer.stdout == NOT_FOUND, "{answer:?}");
        assert!(answer.notes[0].contains("there is no"), "{answer:?}");
    }
    // A cache that others can write is no cache.
    let home = tempfile::tempdir().unwrap();
    let node = Node::new(home.path(), "127.0.0.1:1", "zen4+mpi=evil");
    let file = Cache::path(&node.policy.cache);
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o666);
    std::fs::set_permissions(file, mode).unwrap();
    let answer = node.run("get", "127.0.0.1:1");
    assert!(!answer.stdout.contains("evil"), "{answer:?}");
    assert!(answer.notes[0].contains("not trusted"), "{answer:?}");
}

fn ask(registry: &FakeRegistry, target: &str) -> Known {
    let graph = Microarchitectures::builtin();
    let target = graph.find(target).unwrap();
    let features = ["mpi:mpich".parse().unwrap()];
    let policy = Policy::default();
    let node = NodeFacts {
        target: Some(&target),
        features: &features,
        policy: &policy,
    };
    let connect = policy.connect(registry.host(), policy.timeout);
    let asked = Registry::new(registry.host(), &connect).unwrap();
    known_targets::ask(&asked, &node, None).unwrap()
}

#[test]
fn a_node_asks_an_older_registry_for_the_nearest_target_that_it_knows() {
    for lists_them in [true, false] {
        let registry = FakeRegistry::knowing(&["zen3", "zen2", "x86_64_v3", "x86_64"], lists_them);
        let known = ask(&registry, "zen5");
        assert_eq!(
            known.login.as_deref(),
            Some("zen3+mpi=mpich"),
            "{lists_them}"
        );
        assert!(known.alone && known.checked);
        let tokens = registry
            .asked()
            .iter()
            .filter(|a| a.path.starts_with("/token"))
            .count();
        assert!(tokens <= 6, "{:?}", registry.asked());
    }
}

#[test]
fn a_registry_that_knows_none_is_not_asked_without_end() {
    let registry = FakeRegistry::knowing(&[], false);
    let known = ask(&registry, "zen5");
    assert!(!known.alone && known.checked);
    let tokens = registry
        .asked()
        .iter()
        .filter(|a| a.path.starts_with("/token"))
        .count();
    assert_eq!(tokens, 6);
}
