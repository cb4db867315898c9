//! Why nothing was run.

use std::io;
use std::path::{Path, PathBuf};

/// Why nothing was run.
#[derive(Debug, thiserror::Error)]
pub enum EmulationError {
    /// QEMU has no such processor.
    #[error("no processor of the target {target} can be emulated: {why}")]
    NoProcessor {
        /// The target by its name in archspec.
        target: String,
        /// What QEMU lacks.
        why: String,
    },
    /// QEMU is not installed.
    #[error(
        "{0} is not installed: it is part of Debian's package qemu-user, and of \
         qemu-user-static elsewhere"
    )]
    NoEmulator(&'static str),
    /// The emulator cannot be used.
    #[error("{} cannot be used: {why}", .path.display())]
    Emulator {
        /// The emulator.
        path: PathBuf,
        /// What is wrong with it.
        why: String,
    },
    /// A program of the system is missing.
    #[error("{0} is not installed: it is part of util-linux")]
    NoTool(&'static str),
    /// Only a part of machines can do it.
    #[error("programs are run under emulation on x86-64 machines with Linux only")]
    Machine,
    /// The namespaces could not be made.
    #[error(
        "the confined run could not begin: {0}. It needs Linux 6.7 or later, user namespaces \
         (sysctl kernel.apparmor_restrict_unprivileged_userns=0 on Ubuntu), and is not possible \
         in most containers"
    )]
    NotConfined(String),
    /// The program is not there, or nothing that this processor runs.
    #[error("{program} could not be started: {why}")]
    NotStarted {
        /// What was to be started.
        program: String,
        /// Why it was not.
        why: String,
    },
    /// A file of the run cannot be written or read.
    #[error("cannot {what} {}: {source}", .path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl EmulationError {
    pub(crate) fn io(what: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io {
            what,
            path: path.to_owned(),
            source,
        }
    }
}
