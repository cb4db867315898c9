//! `metahub-node` before a real MetaHub: what it detects, what it asks, what it answers.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::fixture;
use metahub_e2e::metahub::MetaHub;
use metahub_e2e::node::NodeUser;
use metahub_e2e::process::Cmd;
use metahub_e2e::require;
use metahub_e2e::world::World;

const IMAGE: &str = "qnib/featuretest:latest";

/// A collection that one kind of machine alone can run.
const NARROW: &str = "manifests:\n  - name: site/narrow\n    tag: v1\n    manifests:\n      \
     - image: qnib/featuretest:zen3\n        platform:\n          features: [arch:zen3]\n";

fn node(metahub: &MetaHub, features: &[&str]) -> NodeUser {
    let user = NodeUser::new(features);
    let policy = user.read("node.yaml");
    user.write(
        "node.yaml",
        &format!("registries: [\"{}\"]\n{policy}", metahub.host()),
    );
    user
}

#[test]
fn detect_tells_what_it_found_and_login_what_follows() {
    let user = NodeUser::new(&[]);
    let text = user.command(&["detect", "--why"]).ok().stdout;
    assert!(text.contains("login: ") && text.contains("cpu: "), "{text}");
    let found = user.command(&["detect", "--format", "json"]).ok().ok_json();
    let login = user.command(&["login"]).ok().stdout;
    assert_eq!(found["login"], login.trim());
    assert!(
        login.starts_with(found["target"].as_str().unwrap()),
        "{login}"
    );
    user.command(&["detect", "--format", "nfd"])
        .ok()
        .says("metahub-arch=");
    user.command(&["detect", "--format", "slurm"])
        .ok()
        .says("Feature=");
    // A tree that means harm: links out and in circles, a pipe, a huge file.
    let root = user.path("root");
    std::fs::create_dir_all(root.join("proc/driver/nvidia")).unwrap();
    std::fs::create_dir_all(root.join("sys/class")).unwrap();
    std::os::unix::fs::symlink("/proc/cpuinfo", root.join("proc/loop")).unwrap();
    std::os::unix::fs::symlink("../../../../../proc/cpuinfo", root.join("proc/cpuinfo")).unwrap();
    std::os::unix::fs::symlink("infiniband", root.join("sys/class/infiniband")).unwrap();
    std::os::unix::fs::symlink("/dev/zero", root.join("proc/driver/nvidia/version")).unwrap();
    let huge = std::fs::File::create(root.join("proc/version")).unwrap();
    huge.set_len(1 << 40).unwrap();
    let root = root.display().to_string();
    let seen = user
        .command(&["detect", "--root", &root, "--format", "json"])
        .ok()
        .ok_json();
    assert_eq!(seen["target"], serde_json::Value::Null);
    assert_eq!(seen["facts"], serde_json::json!([]));
}

#[test]
fn refresh_writes_what_helpers_answer_from_without_starting_anything() {
    let Some(world) = World::start(&["strace"]) else {
        return;
    };
    let host = world.metahub.host();
    let user = node(&world.metahub, &["arch:zen3"]);
    user.command(&["refresh"]).ok().says("zen3");
    let cache = user.read("cache/node.json");
    let parsed: serde_json::Value = serde_json::from_str(&cache).unwrap();
    assert_eq!(parsed["registries"][host]["checked"], true, "{cache}");
    // Two at once leave one that is whole.
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| user.command(&["refresh"]).ok());
        }
    });
    assert_eq!(user.read("cache/node.json"), cache);
    let names = std::fs::read_dir(user.path("cache")).unwrap().count();
    assert_eq!(names, 1);

    let trace = user.path("trace");
    let program = metahub_e2e::node::program();
    let traced = Cmd::new("strace")
        .args(["-f", "-e", "trace=?open,openat,execve,connect,socket", "-o"])
        .arg(&trace)
        .arg(program)
        .args(["credential", "get"])
        .stdin(host);
    let answer = user.with(traced).ok();
    assert_eq!(answer.ok_json()["Username"], "zen3");
    assert_eq!(answer.stderr, "");
    let trace = user.read("trace");
    let count = |call: &str| trace.lines().filter(|line| line.contains(call)).count();
    assert_eq!(count("execve("), 1, "{trace}");
    assert_eq!(count("connect(") + count("socket("), 0, "{trace}");
    // Beside libraries, and what Rust's runtime and the C library look at.
    let others = [".so", "/proc/self/", "/sys/fs/cgroup"];
    let opened: Vec<&str> = trace
        .lines()
        .filter(|line| line.contains("open(") || line.contains("openat("))
        .filter(|line| !line.contains(" = -1 "))
        .filter_map(|line| line.split('"').nth(1))
        .filter(|path| !others.iter().any(|other| path.contains(other)))
        .collect();
    let policy = user.path("node.yaml").display().to_string();
    let cached = user.path("cache/node.json").display().to_string();
    let mut expected = vec![policy.as_str(), &cached];
    let system = [
        "/proc/sys/kernel/random/boot_id",
        "/proc/sys/kernel/osrelease",
        "/proc/driver/nvidia/version",
        "/sys/module/amdgpu/version",
        "/sys/devices/system/cpu/online",
    ];
    let here = |path: &&str| std::path::Path::new(path).exists();
    expected.extend(system.into_iter().filter(here));
    assert_eq!(opened, expected, "{trace}");

    // Of a file that others can write nothing is believed.
    let evil = cache.replace("zen3", "zen4");
    user.write("cache/node.json", &evil);
    let mode = |bits| std::os::unix::fs::PermissionsExt::from_mode(bits);
    std::fs::set_permissions(user.path("cache/node.json"), mode(0o666)).unwrap();
    let answer = user.command(&["credential", "get"]).stdin(host).ok();
    assert_eq!(answer.ok_json()["Username"], "zen3");
    answer.says("not trusted");
    // And it is said once.
    let again = user.command(&["credential", "get"]).stdin(host).ok();
    assert_eq!(again.stderr, "");
}

#[test]
fn resolve_and_exec_put_digests_in_the_place_of_tags() {
    if !require::root_and(fixture::NEEDS) {
        return;
    }
    let upstream = metahub_e2e::registry::Registry::read_only(&fixture::content());
    let config = metahub_e2e::world::config(upstream.host(), "read");
    let mut catalog = metahub_e2e::world::CATALOG.to_vec();
    catalog.push(("narrow.yaml", NARROW));
    let metahub = MetaHub::start(&config, &catalog);
    let user = node(&metahub, &["arch:zen3"]);
    let narrow = metahub.image("site/narrow:v1");
    let resolved = user.command(&["resolve", &narrow]).ok().stdout;
    let (name, digest) = resolved.trim().split_once('@').unwrap();
    assert_eq!(name, metahub.image("site/narrow"));
    let echoed = user
        .command(&["exec", "--", "echo", "-v", &narrow, "other/app:v1"])
        .ok();
    assert_eq!(
        echoed.stdout.trim(),
        format!("-v {name}@{digest} other/app:v1")
    );
    let option = format!("--image={narrow}");
    let echoed = user.command(&["exec", "--", "echo", &option]).ok();
    assert_eq!(echoed.stdout.trim(), format!("--image={name}@{digest}"));
    // Nothing fits: 3, and the command is not run.
    let older = user
        .command(&["resolve", &narrow])
        .env("METAHUB_NODE_LOGIN", "zen2")
        .run();
    assert_eq!(older.code, Some(3), "{older}");
    let not_run = user
        .command(&["exec", "--", "echo", &narrow])
        .env("METAHUB_NODE_LOGIN", "zen2")
        .run();
    assert_eq!((not_run.code, &*not_run.stdout), (Some(3), ""), "{not_run}");
    let missing = user
        .command(&["resolve", &metahub.image("no/such:image")])
        .run();
    assert_eq!(missing.code, Some(1), "{missing}");

    let report = user.command(&["doctor", &narrow]).run();
    assert_eq!(report.code, Some(1), "{report}");
    report
        .says("metahub-node refresh")
        .says("is not on PATH")
        .says(digest);
    user.command(&["setup", "docker", "--registry", metahub.host()])
        .ok();
    user.command(&["refresh"]).ok();
    user.command(&["doctor", &narrow, &metahub.image(IMAGE)])
        .ok()
        .says("log in as zen3");
    user.write("node.yaml", "registries: [\"127.0.0.1:1\"]\n");
    user.command(&["doctor"]).fails().says("cannot be reached");
    user.write("node.yaml", "registrys: []\n");
    user.command(&["doctor"]).fails().says("node.yaml:1:1");
    // A broken policy breaks no pull from other registries.
    let answer = user
        .command(&["credential", "get"])
        .stdin("docker.io")
        .run();
    assert_eq!(answer.code, Some(1));
    assert_eq!(answer.stdout, "credentials not found in native keychain\n");
}

#[test]
fn a_node_that_is_newer_than_its_registry_is_served() {
    let Some(world) = World::start(&[]) else {
        return;
    };
    let listed = world.metahub.get("/api/v1/hardware").send();
    let listed = listed.expect(200).json();
    let targets: Vec<&str> = listed["targets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|target| target.as_str().unwrap())
        .collect();
    assert!(
        targets.contains(&"zen3") && targets.contains(&"x86_64"),
        "{targets:?}"
    );
}
