//! A Slurm cluster of this test's own: munged, slurmctld and several slurmd on this machine, each
//! node with a MetaHub policy of its own. It runs in a mount namespace, so that `/etc/slurm` and
//! `/etc/metahub` are the test's and not the machine's.

use std::fmt::Write as _;
use std::net::TcpListener;
use std::path::PathBuf;

use tempfile::TempDir;

use crate::daemon::Daemon;
use crate::node;
use crate::process::Cmd;

/// What a machine needs for a cluster.
pub const NEEDS: &[&str] = &[
    "munged",
    "slurmctld",
    "slurmd",
    "srun",
    "sbatch",
    "salloc",
    "sinfo",
    "unshare",
    "nsenter",
    "mount",
    "mksquashfs",
];

/// A cluster that runs until it is dropped.
#[derive(Debug)]
pub struct Cluster {
    daemon: Daemon,
    folder: TempDir,
}

impl Cluster {
    /// Starts a cluster whose nodes have these names, each with the features that its policy
    /// states and `policy` for the rest. Slurm itself knows nothing of MetaHub.
    ///
    /// # Panics
    /// When it does not start.
    #[must_use]
    pub fn start(nodes: &[(&str, &[&str])], policy: &str) -> Self {
        let folder = tempfile::Builder::new()
            .prefix("mh-slurm-")
            .tempdir()
            .unwrap();
        // To mount over. They stay: to remove a folder ends what other clusters have mounted there.
        for etc in ["/etc/metahub", "/etc/slurm"] {
            std::fs::create_dir_all(etc).unwrap();
        }
        let at = folder.path();
        let write = |name: &str, text: &str| {
            let path = at.join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        };
        write("state/none", "");
        write("spool/none", "");
        write("submit/node.yaml", &format!("{policy}tools: false\n"));
        write("munge/munge.key", &"a key for tests. ".repeat(64));
        for (name, features) in nodes {
            let features: Vec<String> = features.iter().map(|f| format!("\"{f}\"")).collect();
            write(
                &format!("nodes/{name}/node.yaml"),
                &format!(
                    "{policy}tools: false\nkeys: [arch]\nfeatures: [{}]\ncache: {}\n",
                    features.join(", "),
                    at.join("cache").join(name).display()
                ),
            );
        }
        let lines: Vec<String> = nodes.iter().map(|(name, _)| node_line(name)).collect();
        write("slurm/slurm.conf", &slurm_conf(at, &lines.join("\n")));
        write("run", &script(at, nodes));
        let command = Cmd::new("unshare")
            .args(["--mount", "bash"])
            .arg(at.join("run"));
        let mut daemon = Daemon::start("slurm", &command);
        let pid = daemon.id();
        daemon.wait_ready("idle nodes", || {
            let listed = within(pid, &["sinfo", "--noheader", "--Node", "--format=%t"]).run();
            let idle = listed.stdout.lines().filter(|line| line.trim() == "idle");
            listed.code == Some(0) && idle.count() == nodes.len()
        });
        Self { daemon, folder }
    }

    /// A command on the cluster's machine, where users submit jobs.
    #[must_use]
    pub fn command(&self, words: &[&str]) -> Cmd {
        within(self.daemon.id(), words).shown(words.join(" "))
    }

    /// A file below the cluster's folder: `slurm/` is `/etc/slurm`.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The text of such a file.
    ///
    /// # Panics
    /// When it cannot be read.
    #[must_use]
    pub fn read(&self, name: &str) -> String {
        std::fs::read_to_string(self.path(name)).unwrap()
    }

    /// Replaces such a file.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    /// What the node calls its own features, as `metahub-node detect --format slurm` prints them.
    #[must_use]
    pub fn features_of(&self, node: &str) -> String {
        let policy = self.path(&format!("nodes/{node}/node.yaml"));
        let detected = self
            .command(&["metahub-node", "detect", "--format", "slurm"])
            .env("METAHUB_NODE_CONFIG", policy)
            .ok();
        let (_, features) = detected.stdout.trim().split_once(' ').unwrap();
        features.to_owned()
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        let _ = self.daemon.terminate();
    }
}

fn within(pid: u32, words: &[&str]) -> Cmd {
    let program = node::program().parent().unwrap().display().to_string();
    let path = std::env::var("PATH").unwrap_or_default();
    Cmd::new("nsenter")
        .args(["--mount", "--target", &pid.to_string(), "--"])
        .args(words)
        .env_clear_of_proxies()
        .env("PATH", format!("{program}:/usr/bin:/bin:{path}"))
        .env("HOME", "/nonexistent")
        .env("XDG_RUNTIME_DIR", "")
        .env("XDG_CONFIG_HOME", "")
        .env("USER", "root")
}

/// The line of a node in `slurm.conf`.
#[must_use]
pub fn node_line(name: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let port = free_port();
    format!(
        "NodeName={name} NodeHostname={} NodeAddr=127.0.0.1 Port={port} CPUs=2",
        host.trim()
    )
}

fn free_port() -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    listener.local_addr().unwrap().port()
}

fn slurm_conf(at: &std::path::Path, nodes: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap();
    let (at, host, port) = (at.display(), host.trim(), free_port());
    format!(
        "ClusterName=tests\nSlurmctldHost={host}(127.0.0.1)\nSlurmctldPort={port}\n\
         SlurmUser=root\nSlurmdUser=root\nAuthType=auth/munge\nAuthInfo=socket={at}/munge.sock\n\
         CredType=cred/munge\nMailProg=/bin/true\nStateSaveLocation={at}/state\n\
         SlurmdSpoolDir={at}/spool/%n\nSlurmctldPidFile={at}/slurmctld.pid\n\
         SlurmdPidFile={at}/slurmd-%n.pid\nProctrackType=proctrack/linuxproc\n\
         TaskPlugin=task/none\nSelectType=select/linear\nSwitchType=switch/none\n\
         MpiDefault=none\nReturnToService=2\nSlurmdParameters=config_overrides\n{nodes}\n\
         PartitionName=all Nodes=ALL Default=YES State=UP\n"
    )
}

/// Starts the daemons and ends them.
fn script(at: &std::path::Path, nodes: &[(&str, &[&str])]) -> String {
    let folder = at.display();
    let mut script = format!(
        "set -e\n\
         trap 'kill $(jobs -p) 2>/dev/null; wait' EXIT\n\
         trap 'exit 0' TERM\n\
         export PATH=/usr/sbin:/sbin:$PATH\n\
         mount --bind {folder}/slurm /etc/slurm\n\
         mount --bind {folder}/submit /etc/metahub\n\
         chmod 700 {folder}/munge\n\
         chmod 400 {folder}/munge/munge.key\n\
         munged --force --foreground --key-file={folder}/munge/munge.key \
         --socket={folder}/munge.sock --pid-file={folder}/munged.pid \
         --seed-file={folder}/munge/seed --log-file={folder}/munge/log &\n\
         until [ -S {folder}/munge.sock ]; do sleep 0.1; done\n\
         slurmctld -D &\n"
    );
    for (name, _) in nodes {
        let _ = writeln!(
            script,
            "unshare --mount sh -c 'mount --bind {folder}/nodes/{name} /etc/metahub && \
             exec slurmd -D -N {name}' &"
        );
    }
    // A shell looks at signals between commands, and while it waits.
    script.push_str("wait\n");
    script
}
