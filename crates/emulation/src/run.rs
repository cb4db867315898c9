//! One run, from outside: it makes ready what the namespaces need, and ends what goes beyond its
//! bounds.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io::{self, Read as _};
use std::os::fd::AsFd as _;
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use crate::emulator::{Emulator, LOG, find, machine};
use crate::end::{End, Told};
use crate::error::EmulationError;
use crate::inside::{INSIDE, Inside};
use crate::log::Log;
use crate::measure;
use crate::opened::Watched;
use crate::processor::Processor;

/// How often a run is looked at.
const LOOK: Duration = Duration::from_millis(50);
/// The first of the users that own runs of root: no other process has them.
const USERS: u32 = 1_900_000_000;

/// What is run, and within which bounds.
#[derive(Clone, Debug)]
pub struct Run {
    /// A folder of this run alone, which holds the image's tree in `root`. It is given away: to be
    /// removed after the run.
    pub folder: PathBuf,
    /// The program and its arguments, as the image names them.
    pub command: Vec<String>,
    /// `NAME=VALUE`.
    pub env: Vec<String>,
    /// Where it starts.
    pub working_dir: String,
    /// Files of which is to be known whether they were opened: paths below the tree.
    pub watched: BTreeSet<String>,
    /// Bounds.
    pub bounds: Bounds,
}

/// How much a run may use.
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    /// How long it may last.
    pub time: Duration,
    /// Bytes of memory of all its programs.
    pub memory: u64,
    /// Bytes that it may write to the disk.
    pub disk: u64,
}

/// What a run showed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ran {
    /// How the program ended.
    pub end: End,
    /// Whether it, or another that it started, was stopped by an illegal instruction.
    pub illegal: bool,
    /// Which of the watched files were opened.
    pub opened: BTreeSet<String>,
}

impl Run {
    /// Runs it. Blocks.
    ///
    /// # Errors
    /// When nothing was run.
    pub fn run(&self, emulator: &Emulator, processor: &Processor) -> Result<Ran, EmulationError> {
        let unshare = find("unshare").ok_or(EmulationError::NoTool("unshare"))?;
        if emulator.is_linked()
            && self
                .env
                .iter()
                .any(|entry| entry.starts_with("LD_PRELOAD="))
        {
            return Err(EmulationError::Emulator {
                path: emulator.path.clone(),
                why: "the image sets LD_PRELOAD, which would be loaded into it: install the \
                      package qemu-user-static"
                    .to_owned(),
            });
        }
        let place = self.folder.join("emulator");
        make(&place)?;
        emulator.install(&place, processor)?;
        make(&place.join("binfmt"))?;
        let log = Log::open(&place.join(LOG))?;
        let told = self.folder.join("told");
        File::create(&told).map_err(|error| EmulationError::io("make", &told, error))?;
        let inside = Inside {
            root: self.folder.join("root"),
            emulator: place,
            told: told.clone(),
            machine: machine(processor),
            command: self.command.clone(),
            env: self.env.clone(),
            working_dir: self.working_dir.clone(),
            file: self.bounds.disk,
        };
        let plan = self.folder.join("plan");
        let text = serde_json::to_vec(&inside).unwrap_or_default();
        fs::write(&plan, text).map_err(|error| EmulationError::io("write", &plan, error))?;
        let mut command = self.outside(&unshare)?;
        command.args([
            "--user",
            "--map-root-user",
            "--mount",
            "--pid",
            "--net",
            "--ipc",
            "--uts",
        ]);
        command.args(["--fork", "--kill-child=KILL", "--"]);
        command.arg(self.helper()?).arg(INSIDE).arg(&plan);
        if is_root() {
            give_away(&self.folder, user())?;
        }
        // Not before: copying opens files.
        let watched = Watched::new(&inside.root, &self.watched)?;
        let output = io::stderr().as_fd().try_clone_to_owned();
        let output =
            output.map_err(|error| EmulationError::io("use", Path::new("stderr"), error))?;
        command.stdin(Stdio::null()).stdout(output).current_dir("/");
        let child = command.spawn();
        let child = child.map_err(|error| EmulationError::NotConfined(error.to_string()))?;
        let (status, cut) = self.watch(child)?;
        let illegal = log.illegal();
        let end = match cut {
            Some(end) => end,
            None => ended(&told, status)?,
        };
        Ok(Ran {
            end,
            illegal: illegal || end == End::Signal(SIGILL),
            opened: watched.opened(),
        })
    }

    /// What makes the namespaces: as root, under a user that nobody else has, since root outside is
    /// root for files that belong to it.
    fn outside(&self, unshare: &Path) -> Result<Command, EmulationError> {
        if !is_root() {
            return Ok(Command::new(unshare));
        }
        let setpriv = find("setpriv").ok_or(EmulationError::NoTool("setpriv"))?;
        let mut command = Command::new(setpriv);
        let user = user();
        command.args([format!("--reuid={user}"), format!("--regid={user}")]);
        command.arg("--clear-groups").arg("--").arg(unshare);
        Ok(command)
    }

    /// This program, where the user of the run can start it.
    fn helper(&self) -> Result<PathBuf, EmulationError> {
        let io = |error| EmulationError::io("find", Path::new("/proc/self/exe"), error);
        let own = std::env::current_exe().map_err(io)?;
        if !is_root() {
            return Ok(own);
        }
        let copy = self.folder.join("helper");
        fs::copy(&own, &copy).map_err(|error| EmulationError::io("copy", &own, error))?;
        Ok(copy)
    }

    /// Waits for the end, and brings it about when a bound is passed.
    fn watch(&self, mut child: Child) -> Result<(Option<ExitStatus>, Option<End>), EmulationError> {
        let start = Instant::now();
        let free = measure::free(&self.folder);
        let mut cut = None;
        loop {
            match child.try_wait() {
                Ok(Some(status)) => return Ok((Some(status), cut)),
                Ok(None) => {}
                Err(_) => return Ok((None, cut)),
            }
            if start.elapsed() > self.bounds.time {
                cut = Some(End::Time);
            } else if measure::memory(child.id()) > self.bounds.memory {
                cut = Some(End::Memory);
            } else if free.saturating_sub(measure::free(&self.folder)) > self.bounds.disk {
                cut = Some(End::Disk);
            }
            if cut.is_some() {
                // With it goes the first process of the namespace, and with that one all others.
                let _ = child.kill();
                return Ok((child.wait().ok(), cut));
            }
            std::thread::park_timeout(LOOK);
        }
    }
}

/// `SIGILL` of Linux.
const SIGILL: i32 = 4;

/// What was told from inside of the end.
fn ended(told: &Path, status: Option<ExitStatus>) -> Result<End, EmulationError> {
    let mut text = String::new();
    let read = File::open(told).and_then(|file| file.take(1 << 16).read_to_string(&mut text));
    let told = read.ok().and_then(|_| serde_json::from_str(&text).ok());
    match told {
        Some(Told::Ended(end)) => Ok(end),
        Some(Told::NotConfined(why)) => Err(EmulationError::NotConfined(why)),
        Some(Told::NotStarted { program, why }) => Err(EmulationError::NotStarted { program, why }),
        None => {
            let how = match status.map(|status| (status.code(), status.signal())) {
                Some((Some(code), _)) => format!("unshare ended with {code}"),
                Some((_, Some(signal))) => format!("unshare was ended by signal {signal}"),
                _ => "unshare did not run".to_owned(),
            };
            Err(EmulationError::NotConfined(how))
        }
    }
}

fn make(folder: &Path) -> Result<(), EmulationError> {
    let made = fs::DirBuilder::new().mode(0o755).create(folder);
    made.map_err(|error| EmulationError::io("make", folder, error))
}

fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

/// The user of the run, if root starts it.
fn user() -> u32 {
    USERS + std::process::id() % 10_000_000
}

/// Gives `folder` and all that is in it to `user`; links are not followed.
fn give_away(folder: &Path, user: u32) -> Result<(), EmulationError> {
    let mut next = vec![folder.to_owned()];
    while let Some(path) = next.pop() {
        let give = || -> io::Result<bool> {
            std::os::unix::fs::lchown(&path, Some(user), Some(user))?;
            Ok(fs::symlink_metadata(&path)?.is_dir())
        };
        let io = |error| EmulationError::io("give away", &path, error);
        if give().map_err(io)? {
            for entry in fs::read_dir(&path).map_err(io)? {
                next.push(entry.map_err(io)?.path());
            }
        }
    }
    let open = fs::Permissions::from_mode(0o700);
    fs::set_permissions(folder, open).map_err(|error| EmulationError::io("open", folder, error))
}
