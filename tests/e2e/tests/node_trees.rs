//! `metahub-node detect` below trees that cannot be read or that mean harm: it states what is there,
//! nothing from outside, and always ends.
#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test"
)]

use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

use metahub_e2e::node::{NodeUser, program};
use metahub_e2e::process::Cmd;
use metahub_e2e::require;

/// A folder that stands for `/`, of a node with every kind of GPU and fabric.
fn tree(user: &NodeUser) -> PathBuf {
    let cpuinfo = "processor\t: 0\nvendor_id\t: AuthenticAMD\ncpu family\t: 25\nmodel\t\t: 1\n\
                   flags\t\t: fpu lm\n";
    for (path, text) in [
        ("proc/cpuinfo", cpuinfo),
        ("proc/sys/kernel/osrelease", "6.1.0\n"),
        ("proc/sys/kernel/arch", "x86_64\n"),
        (
            "proc/driver/nvidia/version",
            "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.15\n",
        ),
        (
            "proc/driver/nvidia/gpus/0000:01:00.0/information",
            "Model: \t NVIDIA H100 PCIe\n",
        ),
        (
            "sys/class/kfd/kfd/topology/nodes/1/properties",
            "gfx_target_version 90010\n",
        ),
        (
            "sys/class/infiniband/mlx5_0/ports/1/link_layer",
            "InfiniBand\n",
        ),
    ] {
        user.write(&format!("root/{path}"), text);
    }
    user.path("root")
}

fn facts_below(command: Cmd) -> Vec<String> {
    let found = command.ok().ok_json();
    let facts = found["facts"].as_array().unwrap();
    facts
        .iter()
        .map(|fact| fact["feature"].as_str().unwrap().to_owned())
        .collect()
}

#[test]
fn what_cannot_be_read_is_absent_and_the_rest_is_found() {
    if !require::root_and(&["setpriv"]) {
        return;
    }
    // As a user who may not read all: root reads whatever its mode.
    let user = NodeUser::new(&[]);
    let root = tree(&user);
    let program_here = user.path("program");
    std::fs::copy(program(), &program_here).unwrap();
    let open = |path: &Path| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
    };
    open(&user.path(""));
    let detect = || {
        let command = Cmd::new("setpriv")
            .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
            .arg(&program_here)
            .args(["detect", "--format", "json", "--root"])
            .arg(&root);
        facts_below(user.with(command))
    };
    let whole = detect();
    for fact in ["kernel:6.1.0", "gpu:nvidia", "gpu:amd", "fabric:infiniband"] {
        assert!(whole.iter().any(|found| found == fact), "{fact}: {whole:?}");
    }
    let close = |path: &str| {
        let mode = std::fs::Permissions::from_mode(0o000);
        std::fs::set_permissions(root.join(path), mode).unwrap();
    };
    close("sys/class/kfd");
    close("proc/driver/nvidia/version");
    close("proc/cpuinfo");
    let left = detect();
    assert!(
        left.iter().any(|fact| fact == "fabric:infiniband"),
        "{left:?}"
    );
    assert!(left.iter().any(|fact| fact == "kernel:6.1.0"), "{left:?}");
    let gone = |fact: &String| fact.starts_with("gpu:") || fact.starts_with("gfx:");
    assert!(!left.iter().any(gone), "{left:?}");
    close("sys");
    close("proc");
    assert_eq!(detect(), [""; 0]);
    open(&root.join("sys"));
    open(&root.join("proc"));
}

#[test]
fn a_tree_that_means_harm_states_nothing_and_holds_nothing_up() {
    if !require::tools(&["mkfifo"]) {
        return;
    }
    let user = NodeUser::new(&[]);
    user.write(
        "node.yaml",
        "tools: false\nkeys: [arch, kernel, fabric, gpu, gfx, libfabric, mpi]\n",
    );
    let root = tree(&user);
    let inside = |path: &str| root.join(path);
    // Values that would break a line, a login, or a shell.
    user.write(
        "root/proc/sys/kernel/osrelease",
        "6.1 Feature=x\nNodeName=all\u{1b}[2J",
    );
    user.write(
        "root/proc/sys/kernel/hostname",
        "node$(reboot)\nNodeName=all",
    );
    user.write(
        "root/usr/lib/pkgconfig/mpich.pc",
        "Version: 4.0+root/admin;rm -rf ~\n",
    );
    user.write(
        "root/sys/class/kfd/kfd/topology/nodes/2/properties",
        "gfx_target_version 4294967295\n",
    );
    // Pipes, devices, circles, ways out, and far too much.
    for pipe in [
        "proc/driver/nvidia/version",
        "sys/class/kfd/kfd/topology/nodes/1/properties",
    ] {
        std::fs::remove_file(inside(pipe)).unwrap();
        Cmd::new("mkfifo").arg(inside(pipe)).ok();
    }
    std::fs::remove_dir_all(inside("sys/class/infiniband")).unwrap();
    user.write("outside/mlx5_0/ports/1/link_layer", "InfiniBand\n");
    symlink(user.path("outside"), inside("sys/class/infiniband")).unwrap();
    symlink(
        "../../../../../../../../proc/self/maps",
        inside("usr/lib/pkgconfig/pmix.pc"),
    )
    .unwrap();
    symlink("cxi", inside("sys/class/cxi")).unwrap();
    symlink("/dev/zero", inside("usr/lib/libc.so.6")).unwrap();
    let huge = std::fs::File::create(inside("usr/lib/pkgconfig/libfabric.pc")).unwrap();
    huge.set_len(1 << 40).unwrap();
    std::fs::create_dir_all(inside("sys/class/drm")).unwrap();
    for card in 0..20_000 {
        std::fs::File::create(inside("sys/class/drm").join(format!("card{card}"))).unwrap();
    }
    let root = root.display().to_string();
    let facts = facts_below(user.command(&["detect", "--format", "json", "--root", &root]));
    for fact in &facts {
        assert!(!fact.contains(char::is_control), "{fact:?}");
        assert!(!fact.contains("fabric:infiniband"), "{facts:?}");
    }
    let found = user
        .command(&["detect", "--format", "json", "--root", &root])
        .ok()
        .ok_json();
    let login = found["login"].as_str().unwrap_or_default();
    let allowed = |c: char| c.is_ascii_alphanumeric() || "._/+=#-".contains(c);
    assert!(
        login.chars().all(allowed) && !login.contains("admin"),
        "{login}"
    );
    let slurm = user
        .command(&["detect", "--format", "slurm", "--root", &root])
        .ok();
    assert_eq!(slurm.stdout.lines().count(), 1, "{slurm}");
    assert_eq!(slurm.stdout.matches("NodeName=").count(), 1, "{slurm}");
    assert!(!slurm.stdout.contains(['$', '\u{1b}', ';']), "{slurm}");
    let nfd = user
        .command(&["detect", "--format", "nfd", "--root", &root])
        .ok();
    for line in nfd.stdout.lines() {
        assert!(
            line.starts_with('#') || line.starts_with("metahub-"),
            "{line}"
        );
    }
}
