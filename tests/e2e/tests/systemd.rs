//! The packages' units under systemd itself, with all that they take from the services.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use metahub_e2e::booted::{self, Booted};
use metahub_e2e::debian::Packages;
use metahub_e2e::machine::{self, Machine};
use metahub_e2e::require;

/// What people read; the drop-ins are taken from there.
const PAGE: &str = include_str!("../../../docs/install.md");
const OVERRIDE: &str = "/etc/systemd/system/metahub.service.d/override.conf";

fn drop_in(part: &str) -> &'static str {
    let mut blocks = PAGE.split("```ini\n").skip(1);
    let found = blocks.find(|block| block.contains(part)).unwrap();
    found.split("```").next().unwrap()
}

#[test]
fn both_services_run_under_systemd_with_what_their_units_leave_them() {
    let tools = [machine::NEEDS, booted::NEEDS, &["strip", "gzip"]].concat();
    if !require::root_and(&tools) {
        return;
    }
    let packages = Packages::build("1.0");
    let machine = Machine::start();
    packages.install(&machine, "metahub");
    packages.install(&machine, "metahub-node");
    let system = Booted::start(&machine);
    let systemctl = |args: &[&str]| system.command(&[&["systemctl"], args].concat());

    systemctl(&["start", "metahub-node-refresh"]).ok();
    assert!(system.is("metahub-node-refresh", "active"));
    let mode = ["stat", "--format=%U %a", "/run/metahub/node.json"];
    assert_eq!(system.command(&mode).ok().stdout.trim(), "root 644");
    system.command(&["metahub-node", "login"]).ok();
    // Again, as after a driver was loaded.
    systemctl(&["reload", "metahub-node-refresh"]).ok();

    systemctl(&["start", "metahub"]).ok();
    assert_eq!(system.status_of("http://127.0.0.1:5000/v2/"), "401");
    let main = systemctl(&["show", "--property=MainPID", "--value", "metahub"]).ok();
    let status = format!("/proc/{}/status", main.stdout.trim());
    let status = system.command(&["cat", &status]).ok().stdout;
    for line in ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"] {
        assert!(status.contains(line), "{line}: {status}");
    }
    systemctl(&["reload", "metahub"]).ok();
    let add = [
        "account",
        "add",
        "alice",
        "--config",
        "/etc/metahub/metahub.yaml",
    ];
    let add = [&["runuser", "-u", "metahub", "--", "metahub"], &add[..]].concat();
    system.command(&add).ok().says("added account alice");
    // What stays of a restart, and of a kill.
    systemctl(&["restart", "metahub"]).ok();
    assert_eq!(system.status_of("http://127.0.0.1:5000/v2/"), "401");
    systemctl(&["kill", "--signal=KILL", "metahub"]).ok();
    assert_eq!(system.status_of("http://127.0.0.1:5000/v2/"), "401");
    let list = ["account", "list", "--config", "/etc/metahub/metahub.yaml"];
    let list = [&["runuser", "-u", "metahub", "--", "metahub"], &list[..]].concat();
    system.command(&list).ok().says("alice");

    // A port below 1024, and data elsewhere, as the page on installing has it.
    let config = "listen: 127.0.0.1:443\ndata: /var/lib/metahub\n";
    system.write("/etc/metahub/metahub.yaml", config);
    system.write(OVERRIDE, drop_in("CAP_NET_BIND_SERVICE"));
    systemctl(&["daemon-reload"]).ok();
    systemctl(&["restart", "metahub"]).ok();
    assert_eq!(system.status_of("http://127.0.0.1:443/v2/"), "401");
    let config = "listen: 127.0.0.1:5000\ndata: /srv/metahub\n";
    system.write("/etc/metahub/metahub.yaml", config);
    system.write(OVERRIDE, drop_in("ReadWritePaths"));
    let folder = [
        "install",
        "--directory",
        "--owner=metahub",
        "--group=metahub",
        "/srv/metahub",
    ];
    system.command(&folder).ok();
    systemctl(&["daemon-reload"]).ok();
    systemctl(&["restart", "metahub"]).ok();
    assert_eq!(system.status_of("http://127.0.0.1:5000/v2/"), "401");
    system
        .command(&["test", "-e", "/srv/metahub/metahub.db"])
        .ok();
    systemctl(&["stop", "metahub"]).ok();
    let result = systemctl(&["show", "--property=Result", "--value", "metahub"]).ok();
    assert_eq!(result.stdout.trim(), "success");
}
