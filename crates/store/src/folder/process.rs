//! Identifies processes, and tells whether one still runs.

use std::fs;
use std::io;

use serde::{Deserialize, Serialize};

/// The identity of a process, across processes and machines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Process {
    /// The machine's name.
    pub host: String,
    /// The machine's own identifier, if it has one.
    pub machine: String,
    /// Changes with every start of the machine.
    pub boot: String,
    /// The namespace that `pid` counts in.
    pub namespace: String,
    /// Its number.
    pub pid: u32,
    /// When it was started, in the kernel's ticks since the machine was: numbers are used again.
    pub started: u64,
}

impl Process {
    /// This process.
    #[must_use]
    pub fn this() -> Self {
        let pid = std::process::id();
        let text = |path: &str| {
            let text = fs::read_to_string(path).unwrap_or_default();
            text.trim().to_owned()
        };
        let namespace = fs::read_link("/proc/self/ns/pid").unwrap_or_default();
        Self {
            host: text("/proc/sys/kernel/hostname"),
            machine: text("/etc/machine-id"),
            boot: text("/proc/sys/kernel/random/boot_id"),
            namespace: namespace.to_string_lossy().into_owned(),
            pid,
            started: stat(pid).ok().flatten().map_or(0, |stat| stat.started),
        }
    }

    /// Whether process numbers mean the same to both.
    pub(crate) fn shares_processes_with(&self, other: &Self) -> bool {
        let known = !self.boot.is_empty() && !self.namespace.is_empty();
        known && self.boot == other.boot && self.namespace == other.namespace
    }

    /// Whether both run, or ran, on the same machine.
    pub(crate) fn is_of_machine(&self, other: &Self) -> bool {
        let same_boot = !self.boot.is_empty() && self.boot == other.boot;
        same_boot || (self.host == other.host && self.machine == other.machine)
    }

    /// Whether it runs. Only for one whose numbers mean the same here. What cannot be found out
    /// counts as running.
    pub(crate) fn is_alive(&self) -> bool {
        match stat(self.pid) {
            Ok(None) => false,
            Ok(Some(stat)) => {
                let same = self.started == 0 || stat.started == self.started;
                same && !stat.dead
            }
            Err(_) => true,
        }
    }
}

/// The state of a process.
struct Stat {
    started: u64,
    /// It has ended, and its parent has not waited for it yet.
    dead: bool,
}

/// proc(5): the state is field 3 and the start time field 22; field 2, the name, is in
/// parentheses and may hold anything.
fn stat(pid: u32) -> io::Result<Option<Stat>> {
    if !fs::exists("/proc/self/stat")? {
        return Err(io::ErrorKind::Unsupported.into());
    }
    let text = match fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        // The process ended while it was read (ESRCH).
        Err(error) if error.raw_os_error() == Some(3) => return Ok(None),
        Err(error) => return Err(error),
    };
    let unknown = || io::Error::from(io::ErrorKind::InvalidData);
    let (_, rest) = text.rsplit_once(')').ok_or_else(unknown)?;
    let mut fields = rest.split_whitespace();
    let state = fields.next().ok_or_else(unknown)?;
    let started = fields.nth(18).and_then(|field| field.parse().ok());
    Ok(Some(Stat {
        started: started.ok_or_else(unknown)?,
        dead: matches!(state, "Z" | "X"),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_process_runs_and_one_of_another_start_time_does_not() {
        let this = Process::this();
        assert!(this.is_alive());
        assert!(this.shares_processes_with(&Process::this()));
        let recycled = Process {
            started: this.started + 1,
            ..this.clone()
        };
        assert!(!recycled.is_alive());
        // Larger than any process number.
        let never = Process {
            pid: 1 << 30,
            ..this
        };
        assert!(!never.is_alive());
    }

    #[test]
    fn a_process_that_ended_and_was_not_waited_for_does_not_run() {
        let mut child = std::process::Command::new("true").spawn().unwrap();
        let pid = child.id();
        while stat(pid).unwrap().is_some_and(|stat| !stat.dead) {
            std::thread::yield_now();
        }
        let process = Process {
            pid,
            started: 0,
            ..Process::this()
        };
        assert!(!process.is_alive());
        child.wait().unwrap();
    }
}
