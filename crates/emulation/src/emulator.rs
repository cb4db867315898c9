//! QEMU on this machine, and what of it a run needs: one file, or also the libraries that it is
//! linked to.

use std::fs::{self, OpenOptions};
use std::io::{Read as _, Write as _};
use std::os::unix::fs::{FileExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use crate::elf;
use crate::error::EmulationError;
use crate::processor::Processor;
use crate::starter::starter;

/// Where the emulator lies in the image's tree while a program runs.
pub(crate) const PLACE: &str = "/.metahub";
/// The pipe into which it writes what it emulates, in its folder.
pub(crate) const LOG: &str = "log";
/// What starts it, in its folder.
pub(crate) const STARTER: &str = "starter";
/// What is started in place of a program of another architecture: nothing.
pub(crate) const REFUSED: &str = "refused";
/// Longest emulator that is looked into, in bytes.
const LONGEST: u64 = 256 << 20;

/// QEMU's emulator of one architecture.
#[derive(Clone, Debug)]
pub struct Emulator {
    /// The program.
    pub path: PathBuf,
    /// The program that loads it, and its libraries; none of one without any.
    linked: Option<(PathBuf, Vec<PathBuf>)>,
}

impl Emulator {
    /// Finds the emulator of `processor`, and tries whether it has that processor.
    ///
    /// # Errors
    /// Where there is none, or it cannot be used.
    pub fn find(processor: &Processor) -> Result<Self, EmulationError> {
        if !cfg!(all(target_os = "linux", target_arch = "x86_64")) {
            return Err(EmulationError::Machine);
        }
        let names = [
            format!("{}-static", processor.emulator),
            processor.emulator.to_owned(),
        ];
        let path = names.iter().find_map(|name| find(name));
        let path = path.ok_or(EmulationError::NoEmulator(processor.emulator))?;
        let emulator = Self {
            linked: linked(&path)?,
            path,
        };
        emulator.try_out(processor)?;
        Ok(emulator)
    }

    fn wrong(&self, why: impl Into<String>) -> EmulationError {
        wrong(&self.path, why)
    }

    /// Runs the smallest program: an unknown processor, or one of which a part is not emulated,
    /// shows here.
    fn try_out(&self, processor: &Processor) -> Result<(), EmulationError> {
        let machine = machine(processor);
        let io =
            |error| EmulationError::io("use a temporary folder at", &std::env::temp_dir(), error);
        let folder = tempfile::tempdir().map_err(io)?;
        let program = folder.path().join("ends");
        write_program(&program, &elf::ends(machine))?;
        let mut command = Command::new(&self.path);
        command.args(["-cpu", &processor.model]).arg(&program);
        let done = command.stdin(Stdio::null()).output();
        let done = done.map_err(|error| self.wrong(error.to_string()))?;
        let told = String::from_utf8_lossy(&done.stderr);
        let told = told.lines().next().unwrap_or_default();
        if done.status.success() && told.is_empty() {
            return Ok(());
        }
        Err(self.wrong(format!(
            "it cannot emulate {} ({told}): QEMU 7.2 or later can emulate more",
            processor.model
        )))
    }

    /// Whether libraries of this machine are loaded with it.
    pub(crate) fn is_linked(&self) -> bool {
        self.linked.is_some()
    }

    /// Writes what a run needs into `folder`, which is to be [`PLACE`] then.
    pub(crate) fn install(
        &self,
        folder: &Path,
        processor: &Processor,
    ) -> Result<(), EmulationError> {
        let place = |name: &str| format!("{PLACE}/{name}");
        let (qemu, log) = (place("qemu"), place(LOG));
        let (loader, libraries) = (place("loader"), place("lib"));
        // Only what the kernel starts is marked: the loader refuses to load what is.
        copy(&self.path, &folder.join("qemu"), self.linked.is_none())?;
        let mut start: Vec<&str> = Vec::new();
        if let Some((interpreter, found)) = &self.linked {
            copy(interpreter, &folder.join("loader"), true)?;
            let into = folder.join("lib");
            fs::create_dir(&into).map_err(|error| EmulationError::io("make", &into, error))?;
            for library in found {
                copy(
                    library,
                    &into.join(library.file_name().unwrap_or_default()),
                    false,
                )?;
            }
            start.extend([loader.as_str(), "--library-path", &libraries]);
        }
        start.extend([qemu.as_str(), "-cpu", &processor.model]);
        start.extend(["-strace", "-D", &log, "-0"]);
        write_program(&folder.join(STARTER), &starter(&start))?;
        write_program(&folder.join(REFUSED), b"")
    }
}

/// `e_machine` of what the processor runs.
pub(crate) fn machine(processor: &Processor) -> u16 {
    match processor.architecture {
        "arm64" => elf::AARCH64,
        _ => elf::AMD64,
    }
}

fn wrong(path: &Path, why: impl Into<String>) -> EmulationError {
    EmulationError::Emulator {
        path: path.to_owned(),
        why: why.into(),
    }
}

/// Where a program is in `PATH`.
pub(crate) fn find(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .chain(["/usr/bin".into(), "/usr/sbin".into()])
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

/// What loads a program, and its libraries, as that tells.
fn linked(path: &Path) -> Result<Option<(PathBuf, Vec<PathBuf>)>, EmulationError> {
    let mut bytes = Vec::new();
    let read = fs::File::open(path).and_then(|file| file.take(LONGEST).read_to_end(&mut bytes));
    read.map_err(|error| EmulationError::io("read", path, error))?;
    if !bytes.starts_with(b"\x7fELF") {
        return Err(wrong(path, "it is no program"));
    }
    let Some(interpreter) = elf::interpreter(&bytes) else {
        return Ok(None);
    };
    let told = Command::new(&interpreter).arg("--list").arg(path).output();
    let told = told.map_err(|error| EmulationError::io("run", Path::new(&interpreter), error))?;
    let told = String::from_utf8_lossy(&told.stdout);
    // `libc.so.6 => /lib/libc.so.6 (0x7f…)`
    let found = told.lines().filter_map(|line| line.split_once(" => "));
    let paths = found.filter_map(|(_, rest)| rest.split_whitespace().next());
    let libraries: Vec<PathBuf> = paths
        .map(PathBuf::from)
        .filter(|path| path.is_absolute())
        .collect();
    if libraries.is_empty() {
        let why = "its libraries are not known: install the package qemu-user-static";
        return Err(wrong(path, why));
    }
    Ok(Some((PathBuf::from(interpreter), libraries)))
}

fn write_program(path: &Path, bytes: &[u8]) -> Result<(), EmulationError> {
    let io = |error| EmulationError::io("write", path, error);
    let mut file = fs::File::create(path).map_err(io)?;
    file.write_all(bytes).map_err(io)?;
    file.set_permissions(fs::Permissions::from_mode(0o755))
        .map_err(io)
}

/// Copies a program, and if `marked` marks it as one that is not emulated itself.
fn copy(from: &Path, to: &Path, marked: bool) -> Result<(), EmulationError> {
    fs::copy(from, to).map_err(|error| EmulationError::io("copy", from, error))?;
    let mark = |to: &Path| {
        fs::set_permissions(to, fs::Permissions::from_mode(0o755))?;
        if !marked {
            return Ok(());
        }
        let file = OpenOptions::new().write(true).open(to)?;
        file.write_all_at(&[elf::MARK], elf::MARK_AT)
    };
    mark(to).map_err(|error| EmulationError::io("write", to, error))
}
