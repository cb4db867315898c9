//! The Debian packages as people install them, on a copy of this machine's system: users, folders
//! and units, an upgrade, a removal and a purge; and the services as their units run them.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use metahub_e2e::daemon::Daemon;
use metahub_e2e::debian::Packages;
use metahub_e2e::machine::{self, Machine, Service};
use metahub_e2e::metahub::listening;
use metahub_e2e::process::{Outcome, wait_until};
use metahub_e2e::pusher::Pusher;
use metahub_e2e::require;
use metahub_e2e::unit::Unit;

const SERVER: &str = "/usr/lib/systemd/system/metahub.service";
const REFRESH: &str = "/usr/lib/systemd/system/metahub-node-refresh.service";
/// What people read; commands and drop-ins are taken from there.
const PAGE: &str = include_str!("../../../docs/install.md");
const SOON: Duration = Duration::from_secs(30);

/// The packages, in two versions.
fn packages(version: &str) -> &'static Packages {
    static BUILT: OnceLock<[Packages; 2]> = OnceLock::new();
    let [former, latter] = BUILT.get_or_init(|| ["1.0", "1.1"].map(Packages::build));
    if version == "1.0" { former } else { latter }
}

/// A copy of this machine, without what a person may have installed on it before.
fn fresh_machine() -> Option<Machine> {
    let tools = [
        machine::NEEDS,
        &["strip", "gzip", "strace", "docker", "podman"],
    ]
    .concat();
    require::root_and(&tools).then(Machine::start)
}

fn install(machine: &Machine, package: &str, version: &str) -> Outcome {
    packages(version).install(machine, package)
}

/// The drop-ins that the page on installing shows for the server's unit.
fn drop_ins() -> Vec<String> {
    let blocks = PAGE.split("```ini\n").skip(1);
    let blocks = blocks.map(|rest| rest.split("```").next().unwrap().to_owned());
    blocks.collect()
}

/// What each of a package's commands has: a page, and a name in each shell's completions.
fn has_its_pages_and_completions(machine: &Machine, program: &str, command: &str) {
    for path in [
        format!("/usr/share/man/man1/{program}.1.gz"),
        format!("/usr/share/man/man1/{program}-{command}.1.gz"),
    ] {
        assert!(machine.has(&path), "{path}");
    }
    for path in [
        format!("/usr/share/bash-completion/completions/{program}"),
        format!("/usr/share/zsh/vendor-completions/_{program}"),
        format!("/usr/share/fish/vendor_completions.d/{program}.fish"),
    ] {
        assert!(machine.read(&path).contains(command), "{path}");
    }
}

/// The unit as systemd itself judges it: nothing that it does not know, no program that is
/// missing, and no more exposed than `most`, of 10.
fn is_right(machine: &Machine, unit: &str, most: f64) {
    let verified = machine
        .command(&["systemd-analyze", "verify", "--man=no", unit])
        .ok();
    let name = unit.rsplit('/').next().unwrap();
    let of_this_unit: Vec<&str> = verified
        .stderr
        .lines()
        .filter(|line| line.contains(name))
        .collect();
    assert_eq!(of_this_unit, [""; 0], "{verified}");
    let judged = machine
        .command(&["systemd-analyze", "security", "--offline=true", unit])
        .ok();
    let level = judged.stdout.lines().last().unwrap();
    let level = level.split_whitespace().find_map(|word| word.parse().ok());
    let level: f64 = level.unwrap_or_else(|| panic!("{judged}"));
    assert!(level <= most, "{level} of {most}: {judged}");
}

fn unit(machine: &Machine, path: &str) -> Unit {
    Unit::parse(&machine.read(path))
}

/// Starts the server as its unit does.
fn serve(machine: &Machine, trace: Option<&Path>) -> (Daemon, String) {
    let unit = unit(machine, SERVER);
    let folder = format!("/var/lib/{}", unit.one("StateDirectory"));
    assert_eq!(unit.one("WorkingDirectory"), folder);
    assert_eq!(unit.one("CapabilityBoundingSet"), "");
    let service = Service {
        user: unit.one("User"),
        writes: &folder,
        capabilities: "-all",
        trace,
    };
    // A port that nothing else on this machine has.
    let environment = ["METAHUB_LISTEN=127.0.0.1:0", "METAHUB_ANONYMOUS=write"];
    let start = format!(
        "umask {}; exec {}",
        unit.one("UMask"),
        unit.one("ExecStart")
    );
    let command = machine.service(service, &environment, &["sh", "-c", &start]);
    let mut daemon = Daemon::start("metahub.service", &command);
    let host = listening(&mut daemon);
    (daemon, host)
}

fn lab(host: &str) -> Pusher<'_> {
    Pusher {
        host,
        repository: "lab/app",
        login: Some(("zen3", "any")),
    }
}

#[test]
fn the_server_is_installed_upgraded_removed_and_purged_and_content_stays() {
    let Some(machine) = fresh_machine() else {
        return;
    };
    install(&machine, "metahub", "1.0");
    let version = machine.command(&["metahub", "--version"]).ok();
    version.says(env!("CARGO_PKG_VERSION"));
    machine
        .command(&["getent", "passwd", "metahub"])
        .ok()
        .says("/usr/sbin/nologin");
    assert_eq!(machine.mode("/var/lib/metahub"), "metahub metahub 700");
    assert_eq!(machine.mode("/etc/metahub"), "root root 755");
    assert_eq!(machine.mode("/etc/metahub/metahub.yaml"), "root root 644");
    assert_eq!(machine.mode("/usr/bin/metahub"), "root root 755");
    has_its_pages_and_completions(&machine, "metahub", "serve");
    is_right(&machine, SERVER, 1.5);
    let enabled = "/etc/systemd/system/multi-user.target.wants/metahub.service";
    let resolved = |path| machine.command(&["realpath", path]).ok().stdout;
    assert_eq!(resolved(enabled), resolved(SERVER));
    let drop_ins = drop_ins();
    assert_eq!(drop_ins.len(), 2, "{drop_ins:?}");
    for drop_in in drop_ins {
        let file = "/etc/systemd/system/metahub.service.d/override.conf";
        machine.write(file, &drop_in);
        is_right(&machine, SERVER, 2.0);
        machine
            .command(&["rm", "-r", "/etc/systemd/system/metahub.service.d"])
            .ok();
    }
    let example = "/usr/share/doc/metahub/examples/metahub.example.yaml";
    let checked = [
        "metahub",
        "check",
        "--config",
        example,
        "/usr/share/metahub/catalog",
    ];
    machine.command(&checked).ok();

    // An upgrade keeps what its owner changed, and what the server wrote.
    let config = machine.read("/etc/metahub/metahub.yaml") + "\nread_only: true\n";
    machine.write("/etc/metahub/metahub.yaml", &config);
    machine.write("/etc/metahub/catalog/own.yaml", "profile:\n  name: site\n");
    machine.write("/var/lib/metahub/content", "precious");
    machine.command(&["rm", enabled]).ok();
    install(&machine, "metahub", "1.1");
    let installed = ["dpkg-query", "--show", "--showformat=${Version}", "metahub"];
    assert_eq!(machine.command(&installed).ok().stdout, "1.1");
    assert_eq!(machine.read("/etc/metahub/metahub.yaml"), config);
    assert_eq!(machine.read("/var/lib/metahub/content"), "precious");
    assert!(!machine.has(enabled), "it was disabled, and stays so");

    machine.command(&["dpkg", "--remove", "metahub"]).ok();
    assert!(!machine.has("/usr/bin/metahub") && !machine.has(SERVER));
    assert_eq!(machine.read("/etc/metahub/metahub.yaml"), config);
    assert_eq!(machine.read("/var/lib/metahub/content"), "precious");

    let purged = machine.command(&["dpkg", "--purge", "metahub"]).ok();
    purged.says("/var/lib/metahub holds content");
    assert!(!machine.has("/etc/metahub/metahub.yaml"));
    // What the site wrote itself is no part of the package.
    assert!(machine.has("/etc/metahub/catalog/own.yaml"));
    assert_eq!(machine.read("/var/lib/metahub/content"), "precious");
    assert_eq!(machine.mode("/var/lib/metahub"), "metahub metahub 700");

    // Nothing to keep: nothing is left.
    machine
        .command(&["rm", "-r", "/etc/metahub", "/var/lib/metahub/content"])
        .ok();
    install(&machine, "metahub", "1.1");
    machine.command(&["dpkg", "--purge", "metahub"]).ok();
    assert!(!machine.has("/etc/metahub") && !machine.has("/var/lib/metahub"));
}

#[test]
fn the_server_runs_as_its_unit_lets_it() {
    let Some(machine) = fresh_machine() else {
        return;
    };
    install(&machine, "metahub", "1.0");
    let folder = tempfile::tempdir().unwrap();
    let trace = folder.path().join("trace");
    let (mut daemon, host) = serve(&machine, Some(&trace));
    let layer = vec![7; 2_000_000];
    let pushed = lab(&host).image("1.0", "amd64", &layer);
    let digest = pushed["digest"].as_str().unwrap().to_owned();
    let path = format!("manifests/{digest}");
    lab(&host).call("GET", &path).send().expect(200);
    assert!(daemon.terminate().unwrap().success());
    let traced = || std::fs::read_to_string(&trace).unwrap_or_default();
    let id = daemon.id();
    // Ids of less than five digits are followed by more than one blank.
    let ended = |line: &str| {
        let words = line.split_once(' ');
        words.is_some_and(|(thread, what)| {
            thread == id.to_string() && what.trim().starts_with("+++ exited with 0")
        })
    };
    let whole = wait_until(SOON, || traced().lines().any(ended));
    assert!(whole, "no end in the trace of {id}");
    let unit = unit(&machine, SERVER);
    let refused = unit.refused(&traced(), "/usr/bin/metahub");
    assert!(refused.is_empty(), "the unit refuses {refused:?}");

    // What it wrote is there again, and nobody else reads it. An account is added beside it.
    let (mut daemon, host) = serve(&machine, None);
    let add = PAGE.lines().find(|line| line.starts_with("runuser "));
    let add: Vec<&str> = add.unwrap().split(' ').collect();
    machine.command(&add).ok().says("added account alice");
    lab(&host).call("GET", &path).send().expect(200);
    let readable = ["find", "/var/lib/metahub", "-perm", "/077"];
    assert_eq!(machine.command(&readable).ok().stdout, "");
    let foreign = ["find", "/var/lib/metahub", "!", "-user", "metahub"];
    assert_eq!(machine.command(&foreign).ok().stdout, "");
    assert!(daemon.terminate().unwrap().success());
}

/// The refresh as its unit runs it.
fn refresh_writes_what_helpers_believe(machine: &Machine, unit: &Unit) {
    machine.command(&["rmdir", "/run/metahub"]).ok();
    let folder = format!("/run/{}", unit.one("RuntimeDirectory"));
    let mode = format!("--mode={}", unit.one("RuntimeDirectoryMode"));
    machine.command(&["mkdir", &mode, &folder]).ok();
    assert_eq!(unit.one("CapabilityBoundingSet"), "CAP_MKNOD");
    let traces = tempfile::tempdir().unwrap();
    let trace = traces.path().join("trace");
    let service = Service {
        user: unit.one("User"),
        writes: &folder,
        capabilities: "-all,+mknod",
        trace: Some(&trace),
    };
    let start = format!(
        "umask {}; exec {}",
        unit.one("UMask"),
        unit.one("ExecStart")
    );
    machine
        .service(service, &[], &["sh", "-c", &start])
        .ok()
        .says("login: ");
    assert_eq!(machine.mode("/run/metahub/node.json"), "root root 644");
    let traced = || std::fs::read_to_string(&trace).unwrap_or_default();
    assert!(wait_until(SOON, || traced()
        .trim_end()
        .ends_with("+++ exited with 0 +++")));
    let refused = unit.refused(&traced(), "/usr/bin/metahub-node");
    assert!(refused.is_empty(), "the unit refuses {refused:?}");
    machine.write("/tmp/policy.yaml", "registries: [hub.example]\n");
    let asked = machine
        .command(&[
            "env",
            "METAHUB_NODE_CONFIG=/tmp/policy.yaml",
            "metahub-node",
            "login",
        ])
        .ok();
    let cached: serde_json::Value =
        serde_json::from_str(&machine.read("/run/metahub/node.json")).unwrap();
    assert_eq!(cached["login"], asked.stdout.trim());
}

#[test]
fn a_node_is_installed_refreshed_at_boot_upgraded_removed_and_purged() {
    let Some(machine) = fresh_machine() else {
        return;
    };
    install(&machine, "metahub-node", "1.0");
    machine
        .command(&["metahub-node", "--version"])
        .ok()
        .says("metahub-node ");
    let helper = ["docker-credential-metahub", "version"];
    machine.command(&helper).ok().says("metahub-node ");
    assert_eq!(machine.mode("/run/metahub"), "root root 755");
    has_its_pages_and_completions(&machine, "metahub-node", "refresh");
    assert!(machine.has("/usr/share/man/man1/docker-credential-metahub.1.gz"));
    is_right(&machine, REFRESH, 2.5);
    let unit = unit(&machine, REFRESH);
    for after in ["docker", "containerd", "kubelet", "slurmd"] {
        let after = format!("{after}.service");
        assert!(unit.words("Before").contains(&&*after), "{after}");
    }
    let example = "METAHUB_NODE_CONFIG=/usr/share/doc/metahub-node/examples/node.yaml";
    machine
        .command(&["env", example, "metahub-node", "login"])
        .ok();

    refresh_writes_what_helpers_believe(&machine, &unit);

    // The one command that is left, and its way back.
    let all = ["env", "HOME=/root", "metahub-node", "setup", "--all"];
    let all = [&all[..], &["--registry", "hub.example"]].concat();
    machine.command(&all).ok().does_not_say("installed");
    let configured = machine.read("/root/.docker/config.json");
    assert!(
        configured.contains("\"hub.example\": \"metahub\""),
        "{configured}"
    );
    assert!(
        machine
            .read("/etc/metahub/node.yaml")
            .contains("hub.example")
    );
    machine.command(&[&all[..], &["--undo"]].concat()).ok();
    assert!(!machine.has("/etc/metahub/node.yaml"));

    // A person sets podman up for all; an upgrade leaves it, a removal takes it back.
    let hub = [
        "metahub-node",
        "setup",
        "podman",
        "--system",
        "--registry",
        "127.0.0.1:1",
    ];
    machine.command(&hub).ok();
    let drop_in = "/etc/containers/registries.conf.d/zz-metahub.conf";
    let policy = machine.read("/etc/metahub/node.yaml");
    assert!(machine.read(drop_in).contains("metahub") && policy.contains("127.0.0.1:1"));
    install(&machine, "metahub-node", "1.1");
    assert_eq!(machine.read("/etc/metahub/node.yaml"), policy);
    assert!(machine.has(drop_in));
    machine.command(&["dpkg", "--remove", "metahub-node"]).ok();
    assert!(!machine.has("/usr/bin/docker-credential-metahub"));
    assert!(
        !machine.has(drop_in),
        "pulls from every registry would fail"
    );
    assert!(!machine.has("/run/metahub"));
    assert_eq!(machine.read("/etc/metahub/node.yaml"), policy);
    machine.command(&["dpkg", "--purge", "metahub-node"]).ok();
    assert!(!machine.has("/etc/metahub"));
}
