//! Runs the node's own tools: each once, without input, in a process group of its own that is
//! killed at its timeout. Their output is not parsed here.

use std::env;
use std::ffi::OsStr;
use std::io::Read as _;
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

use metahub_hardware::detect::ToolOutputs;
use rustix::process::{Pid, Signal, kill_process_group};

use crate::{PROBING, ancestors};

/// No tool has more to say.
const MOST_BYTES: u64 = 1 << 20;

/// Runs all tools at once.
pub(crate) fn ask(path: &OsStr, patience: Duration) -> ToolOutputs {
    let in_slurm = ancestors::of_this(Path::new("/proc"))
        .iter()
        .any(|name| is_slurm(name));
    let run = |name: &str, args: &[&str]| run(path, name, args, patience);
    thread::scope(|scope| {
        let start = |name: &'static str, args: &'static [&'static str]| {
            scope.spawn(move || run(name, args))
        };
        let nvidia_smi = start(
            "nvidia-smi",
            &[
                "--query-gpu=driver_version,compute_cap",
                "--format=csv,noheader",
            ],
        );
        let fi_info = start("fi_info", &["--version"]);
        let mpichversion = start("mpichversion", &[]);
        let ompi_info = start("ompi_info", &["--version"]);
        // Within Slurm's own programs (a plug-in, a `cli_filter`) srun would start what
        // started this. Its plug-ins' files tell the same.
        let srun_mpi_list = (!in_slurm).then(|| start("srun", &["--mpi=list"]));
        let ldd = start("ldd", &["--version"]);
        ToolOutputs {
            nvml: None,
            nvidia_smi: nvidia_smi.join().ok().flatten(),
            fi_info: fi_info.join().ok().flatten(),
            mpichversion: mpichversion.join().ok().flatten(),
            ompi_info: ompi_info.join().ok().flatten(),
            srun_mpi_list: srun_mpi_list.and_then(|tool| tool.join().ok().flatten()),
            ldd: ldd.join().ok().flatten(),
        }
    })
}

/// Whether a process is one of Slurm's programs that run plug-ins.
fn is_slurm(name: &str) -> bool {
    let clients = ["srun", "sbatch", "salloc", "sattach", "scrontab"];
    clients.contains(&name) || name.starts_with("slurm")
}

/// What a tool prints, on both its streams, for some say it on standard error; `None` when there
/// is no such tool, or when it takes too long.
fn run(path: &OsStr, name: &str, args: &[&str], patience: Duration) -> Option<String> {
    let program = find(path, name)?;
    let mut child = Command::new(program)
        .args(args)
        .env("LC_ALL", "C")
        .env(PROBING, "1")
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .ok()?;
    let printed = printed(&mut child, patience);
    // It has closed its streams, or has had its time; so have those that it started.
    if let Some(group) = Pid::from_raw(child.id().cast_signed()) {
        let _ = kill_process_group(group, Signal::KILL);
    }
    let _ = child.wait();
    printed
}

fn printed(child: &mut Child, patience: Duration) -> Option<String> {
    let streams: (_, _) = (child.stdout.take()?, child.stderr.take()?);
    let (sender, receiver) = mpsc::channel();
    // A thread that still reads after the timeout ends with the stream.
    let errors = sender.clone();
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = streams.0.take(MOST_BYTES).read_to_end(&mut text);
        let _ = sender.send((false, read.map(|_| text)));
    });
    thread::spawn(move || {
        let mut text = Vec::new();
        let read = streams.1.take(MOST_BYTES).read_to_end(&mut text);
        let _ = errors.send((true, read.map(|_| text)));
    });
    let mut both: Vec<(bool, Vec<u8>)> = Vec::new();
    let end = Instant::now() + patience;
    for _ in 0..2 {
        let left = end.saturating_duration_since(Instant::now());
        let (is_error, text) = receiver.recv_timeout(left).ok()?;
        both.push((is_error, text.ok()?));
    }
    both.sort_by_key(|(is_error, _)| *is_error);
    let all: Vec<u8> = both.into_iter().flat_map(|(_, text)| text).collect();
    Some(String::from_utf8_lossy(&all).into_owned())
}

/// The program of that name in the first folder of `path` that has it.
fn find(path: &OsStr, name: &str) -> Option<PathBuf> {
    env::split_paths(path)
        // An empty or relative folder would mean wherever this was started.
        .filter(|folder| folder.is_absolute())
        .map(|folder| folder.join(name))
        .find(|program| program.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_that_run_slurms_plug_ins_are_known() {
        for name in [
            "srun",
            "sbatch",
            "salloc",
            "slurmstepd",
            "slurmd",
            "slurmctld",
        ] {
            assert!(is_slurm(name), "{name}");
        }
        for name in ["bash", "sshd", "systemd", "srun-wrapper"] {
            assert!(!is_slurm(name), "{name}");
        }
    }
}
