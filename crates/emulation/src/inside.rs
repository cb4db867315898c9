//! One run, from inside: the first process of the new namespaces, which are still empty. It makes
//! the image's tree the only one there is, tells the kernel of the emulator, gives up every right,
//! and starts the program.

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::path::{Path, PathBuf};
use std::process::Command;

use rustix::mount::{MountFlags, UnmountFlags, mount, mount_bind, mount_remount, unmount};
use rustix::process::{Resource, Rlimit, pivot_root, setrlimit};
use rustix::thread::{CapabilitySet, CapabilitySets};
use serde::{Deserialize, Serialize};

use crate::elf;
use crate::emulator::{PLACE, REFUSED, STARTER};
use crate::end::{End, Told};

/// The first argument of this program where it is to be the first process of a run.
pub(crate) const INSIDE: &str = "emulated-run-inside";
/// Where the machine's tree is until it is let go.
const OLD: &str = "/.metahub-old";
/// Devices that hold nothing of the machine.
const DEVICES: [&str; 5] = ["null", "zero", "full", "random", "urandom"];
/// Where programs are looked for if the image does not say.
const USUAL_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
/// Bytes of `/dev/shm`.
const SHARED: &str = "mode=1777,size=1g";

/// What is to be done inside.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Inside {
    pub(crate) root: PathBuf,
    pub(crate) emulator: PathBuf,
    pub(crate) told: PathBuf,
    pub(crate) machine: u16,
    pub(crate) command: Vec<String>,
    pub(crate) env: Vec<String>,
    pub(crate) working_dir: String,
    /// Most bytes of one file.
    pub(crate) file: u64,
}

/// Where this program was started as the first process of a run, does that work; the exit code.
/// To be asked before anything else of the command line is looked at.
#[must_use]
pub fn run_if_inside() -> Option<u8> {
    let mut arguments = std::env::args_os().skip(1);
    let (first, plan) = (arguments.next()?, arguments.next()?);
    if first != INSIDE {
        return None;
    }
    let inside = fs::read(plan).ok();
    let Some(inside) = inside.and_then(|text| serde_json::from_slice::<Inside>(&text).ok()) else {
        return Some(1);
    };
    let Ok(mut into) = File::create(&inside.told) else {
        return Some(1);
    };
    let told = match inside.confine() {
        Ok(()) => inside.start(),
        Err((what, error)) => Told::NotConfined(format!("{what}: {error}")),
    };
    let written = into.write_all(&serde_json::to_vec(&told).unwrap_or_default());
    Some(u8::from(written.is_err()))
}

type Failed = (&'static str, io::Error);

fn to<T>(what: &'static str, done: Result<T, impl Into<io::Error>>) -> Result<T, Failed> {
    done.map_err(|error| (what, error.into()))
}

impl Inside {
    fn confine(&self) -> Result<(), Failed> {
        let safe = MountFlags::NOSUID | MountFlags::NODEV;
        let sealed = safe | MountFlags::NOEXEC;
        let at = |name: &str| self.root.join(name.trim_start_matches('/'));
        for (folder, mode) in [
            (PLACE, 0o755),
            (OLD, 0o755),
            ("proc", 0o755),
            ("dev", 0o755),
            ("tmp", 0o1777),
        ] {
            to(
                "making a folder in the image's tree",
                folder_at(&at(folder), mode),
            )?;
        }
        to(
            "mounting the image's tree",
            mount_bind(&self.root, &self.root),
        )?;
        let place = at(PLACE);
        to("mounting the emulator", mount_bind(&self.emulator, &place))?;
        to(
            "mounting the emulator",
            mount_remount(&place, MountFlags::BIND | safe | MountFlags::RDONLY, c""),
        )?;
        to(
            "leaving the machine's tree",
            pivot_root(&self.root, at(OLD)),
        )?;
        to("leaving the machine's tree", std::env::set_current_dir("/"))?;
        to(
            "mounting the image's tree",
            mount_remount("/", MountFlags::BIND | safe, c""),
        )?;
        to(
            "mounting /proc",
            mount("proc", "/proc", "proc", sealed, c""),
        )?;
        to(
            "mounting /dev",
            mount(
                "none",
                "/dev",
                "tmpfs",
                safe | MountFlags::NOEXEC,
                c"mode=755,size=64k",
            ),
        )?;
        for device in DEVICES {
            let (here, there) = (format!("/dev/{device}"), format!("{OLD}/dev/{device}"));
            to("making a device", File::create(&here).map(drop))?;
            to("mounting a device", mount_bind(&there, &here))?;
        }
        to("making /dev/shm", fs::create_dir("/dev/shm"))?;
        let shared = std::ffi::CString::new(SHARED).unwrap_or_default();
        to(
            "mounting /dev/shm",
            mount("none", "/dev/shm", "tmpfs", sealed, shared.as_c_str()),
        )?;
        for (link, target) in [
            ("fd", "fd"),
            ("stdin", "fd/0"),
            ("stdout", "fd/1"),
            ("stderr", "fd/2"),
        ] {
            let target = format!("/proc/self/{target}");
            to(
                "making /dev",
                std::os::unix::fs::symlink(target, format!("/dev/{link}")),
            )?;
        }
        to(
            "leaving the machine's tree",
            unmount(OLD, UnmountFlags::DETACH),
        )?;
        to("leaving the machine's tree", fs::remove_dir(OLD))?;
        self.emulate()?;
        self.bound()
    }

    /// Leads every program to the emulator; those of other processors to nothing.
    fn emulate(&self) -> Result<(), Failed> {
        const WHAT: &str = "telling the kernel of the emulator (binfmt_misc)";
        let binfmt = format!("{PLACE}/binfmt");
        let hidden = MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
        to(
            WHAT,
            mount("none", binfmt.as_str(), "binfmt_misc", hidden, c""),
        )?;
        // The one that was told last is asked first.
        for line in [
            elf::registration("others", None, &format!("{PLACE}/{REFUSED}")),
            elf::registration(
                "emulated",
                Some(self.machine),
                &format!("{PLACE}/{STARTER}"),
            ),
        ] {
            to(WHAT, fs::write(format!("{binfmt}/register"), line))?;
        }
        // No program can change it.
        to(
            WHAT,
            mount(
                "none",
                binfmt.as_str(),
                "tmpfs",
                hidden | MountFlags::RDONLY,
                c"size=4k",
            ),
        )
    }

    /// Gives up all rights in the namespaces, and bounds each process.
    fn bound(&self) -> Result<(), Failed> {
        for (resource, most) in [
            (Resource::Core, 0),
            (Resource::Fsize, self.file),
            (Resource::Nproc, 4096),
            (Resource::Nofile, 4096),
        ] {
            let limit = Rlimit {
                current: Some(most),
                maximum: Some(most),
            };
            to("setting a limit", setrlimit(resource, limit))?;
        }
        let _ = fs::write("/proc/self/oom_score_adj", "1000");
        for right in CapabilitySet::all().iter() {
            // One that this kernel does not know cannot be given up.
            let _ = rustix::thread::remove_capability_from_bounding_set(right);
        }
        let none = CapabilitySets {
            effective: CapabilitySet::empty(),
            permitted: CapabilitySet::empty(),
            inheritable: CapabilitySet::empty(),
        };
        to(
            "giving up rights",
            rustix::thread::set_capabilities(None, none),
        )?;
        to("giving up rights", rustix::thread::set_no_new_privs(true))
    }

    fn start(&self) -> Told {
        let name = self.command.first().cloned().unwrap_or_default();
        let not_started = |why: String| Told::NotStarted {
            program: name.clone(),
            why,
        };
        if fs::create_dir_all(&self.working_dir).is_err()
            || std::env::set_current_dir(&self.working_dir).is_err()
        {
            return not_started(format!(
                "the working directory {} cannot be had",
                self.working_dir
            ));
        }
        let variable = |wanted: &str| {
            let entries = self.env.iter().filter_map(|entry| entry.split_once('='));
            entries
                .filter(|(name, _)| *name == wanted)
                .map(|(_, value)| value)
                .next_back()
        };
        let path = variable("PATH").unwrap_or(USUAL_PATH);
        let Some(program) = find(&name, path) else {
            return not_started(format!("it is not in the image, in {path}"));
        };
        let mut command = Command::new(&program);
        command
            .arg0(&name)
            .args(self.command.iter().skip(1))
            .env_clear();
        command
            .env("PATH", path)
            .env("HOME", variable("HOME").unwrap_or("/root"));
        let entries = self.env.iter().filter_map(|entry| entry.split_once('='));
        // These are for the emulator.
        command.envs(entries.filter(|(name, _)| !name.starts_with("QEMU_")));
        match command.status() {
            Ok(status) => Told::Ended(match (status.code(), status.signal()) {
                (Some(code), _) => End::Exited(code),
                (None, signal) => End::Signal(signal.unwrap_or_default()),
            }),
            Err(error) if error.raw_os_error() == Some(ENOEXEC) => {
                not_started("it is no program of the image's architecture".to_owned())
            }
            Err(error) => not_started(error.to_string()),
        }
    }
}

/// "Exec format error".
const ENOEXEC: i32 = 8;

/// A folder in the image's tree, in place of a link or file.
fn folder_at(path: &Path, mode: u32) -> io::Result<()> {
    match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => return Ok(()),
        Ok(_) => fs::remove_file(path)?,
        Err(_) => {}
    }
    fs::create_dir(path)?;
    fs::set_permissions(path, fs::Permissions::from_mode(mode))
}

fn find(name: &str, path: &str) -> Option<PathBuf> {
    let executable = |file: &PathBuf| {
        fs::metadata(file)
            .is_ok_and(|there| there.is_file() && there.permissions().mode() & 0o111 != 0)
    };
    if name.contains('/') {
        return Some(PathBuf::from(name)).filter(executable);
    }
    let folders = path
        .split(':')
        .map(|folder| if folder.is_empty() { "." } else { folder });
    folders
        .map(|folder| Path::new(folder).join(name))
        .find(executable)
}
