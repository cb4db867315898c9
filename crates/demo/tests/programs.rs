//! The demo programs, run for real: on this machine's own CPU and, for the other architecture,
//! under qemu's user-mode emulation.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stderr
)]

use std::io::{ErrorKind, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Output};

use metahub_demo::{Machine, executable};
use rstest::rstest;

fn native() -> &'static str {
    std::env::consts::ARCH
}

/// The user-mode emulator for `machine`, if the machine that tests run on has one.
fn emulator(machine: Machine) -> Option<PathBuf> {
    let names = [
        format!("qemu-{}", machine.uname()),
        format!("qemu-{}-static", machine.uname()),
    ];
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .flat_map(|folder| names.iter().map(move |name| folder.join(name)))
        .find(|file| file.is_file())
}

/// Says loudly that this machine lacks something, or fails where nothing may be skipped.
fn skip(lacks: &str) {
    let current = std::thread::current();
    let test = current.name().unwrap_or("a test");
    let line = format!("SKIPPED {test}: this machine lacks {lacks}");
    assert!(
        std::env::var("METAHUB_REQUIRE_ALL").as_deref() != Ok("1"),
        "{line}, and METAHUB_REQUIRE_ALL=1 allows no skip"
    );
    // Written past the test runner's capture, which would hide it.
    let _ = writeln!(std::io::stderr(), "\n{line}");
    if let Some(file) = std::env::var_os("METAHUB_SKIPS_FILE")
        && let Ok(mut file) = std::fs::File::options()
            .append(true)
            .create(true)
            .open(file)
    {
        let _ = writeln!(file, "{line}");
    }
}

/// Runs the program for `machine`; `None` if that is not possible here.
fn run(machine: Machine, text: &str, args: &[&str]) -> Option<Output> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&executable(machine, text).unwrap()).unwrap();
    // Closed for writing, or the kernel refuses to run it.
    let program = file.into_temp_path();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut command = if machine.uname() == native() {
        Command::new(&program)
    } else if let Some(emulator) = emulator(machine) {
        let mut command = Command::new(emulator);
        command.arg(&program);
        command
    } else {
        skip(&format!("qemu-{} (Debian: qemu-user)", machine.uname()));
        return None;
    };
    command.args(args);
    // A process that another test has just forked may still hold the file open for writing, until
    // it runs its own program.
    loop {
        match command.output() {
            Err(error) if error.kind() == ErrorKind::ExecutableFileBusy => std::thread::yield_now(),
            outcome => return Some(outcome.unwrap()),
        }
    }
}

#[rstest]
fn a_program_prints_its_text_and_exits_0_whatever_its_arguments(
    #[values(Machine::X86_64, Machine::Aarch64)] machine: Machine,
    #[values("", "x", ">> This container is optimized for: arch:zen3\n")] text: &str,
    #[values(&[], &["--version"])] args: &[&str],
) {
    if let Some(output) = run(machine, text, args) {
        assert_eq!(String::from_utf8_lossy(&output.stdout), text);
        assert_eq!(String::from_utf8_lossy(&output.stderr), "");
        assert_eq!(output.status.code(), Some(0), "{}", output.status);
    }
}

#[rstest]
fn the_longest_text_is_written_whole(
    #[values(Machine::X86_64, Machine::Aarch64)] machine: Machine,
) {
    let text = "0123456789abcde\n".repeat(4096)[1..].to_owned();
    assert_eq!(text.len(), 65_535);
    if let Some(output) = run(machine, &text, &[]) {
        assert_eq!(output.stdout, text.as_bytes());
        assert_eq!(output.status.code(), Some(0));
    }
}

#[test]
fn a_program_that_cannot_write_exits_1() {
    let machine = if native() == "aarch64" {
        Machine::Aarch64
    } else {
        Machine::X86_64
    };
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(&executable(machine, "text").unwrap())
        .unwrap();
    let program = file.into_temp_path();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let full = std::fs::OpenOptions::new()
        .write(true)
        .open("/dev/full")
        .unwrap();
    let status = Command::new(&program).stdout(full).status().unwrap();
    assert_eq!(status.code(), Some(1));
}

#[test]
fn a_text_that_the_code_cannot_hold_is_refused() {
    let error = executable(Machine::X86_64, &"x".repeat(65_536)).unwrap_err();
    assert_eq!(
        error.to_string(),
        "a demo program prints at most 65535 bytes, not 65536"
    );
}

#[rstest]
#[case(Machine::X86_64, 62)]
#[case(Machine::Aarch64, 183)]
fn the_header_says_a_static_executable_that_every_page_size_can_map(
    #[case] machine: Machine,
    #[case] number: u16,
) {
    let file = executable(machine, "hello\n").unwrap();
    let half = |at: usize| u16::from_le_bytes(file[at..at + 2].try_into().unwrap());
    let word = |at: usize| u32::from_le_bytes(file[at..at + 4].try_into().unwrap());
    let long = |at: usize| u64::from_le_bytes(file[at..at + 8].try_into().unwrap());
    // ELF, 64 bits, little-endian, version 1.
    assert_eq!(file[..7], *b"\x7fELF\x02\x01\x01");
    assert_eq!((half(16), half(18), word(20)), (2, number, 1));
    let entry = long(24);
    let (phoff, phentsize, phnum) = (long(32) as usize, half(54), half(56));
    assert_eq!((phoff, half(52), phentsize, phnum), (64, 64, 56, 2));
    // PT_LOAD, readable and executable, never writable.
    assert_eq!((word(phoff), word(phoff + 4)), (1, 5));
    let (offset, address) = (long(phoff + 8), long(phoff + 16));
    let (in_file, in_memory, align) = (long(phoff + 32), long(phoff + 40), long(phoff + 48));
    assert_eq!(
        (offset, in_file, in_memory),
        (0, file.len() as u64, in_file)
    );
    assert_eq!((align, (address - offset) % align), (65_536, 0));
    assert!((address + 176..address + in_file).contains(&entry));
    // PT_GNU_STACK, not executable.
    assert_eq!((word(phoff + 56), word(phoff + 60)), (0x6474_e551, 6));
    // Instructions of arm64 are aligned.
    assert_eq!(entry % 4, 0);
    assert!(file.ends_with(b"hello\n"));
}
