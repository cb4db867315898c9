//! A small disk in memory, which a test fills, and what lies in a data folder.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Unmounted when dropped.
pub(crate) struct Disk(tempfile::TempDir);

impl Disk {
    /// A disk of 24 MiB; nothing, with a word about it, where nothing may be mounted.
    pub(crate) fn mount() -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=24m", "tmpfs"]);
        let output = mount.arg(folder.path()).output();
        if output.is_ok_and(|output| output.status.success()) {
            return Some(Self(folder));
        }
        let required = std::env::var("METAHUB_REQUIRE_ALL").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "cannot mount a file system: run as root with the right to mount"
        );
        eprintln!("SKIPPED: cannot mount a file system; run as root with the right to mount");
        None
    }

    pub(crate) fn path(&self) -> &Path {
        self.0.path()
    }

    fn ballast(&self) -> PathBuf {
        self.path().join("ballast")
    }

    /// Fetches it up to so many bytes.
    pub(crate) fn leave(&self, room: u64) {
        let mut file = fs::File::create(self.ballast()).unwrap();
        while file.write_all(&[0; 4096]).is_ok() {}
        let full = file.metadata().unwrap().len();
        file.set_len(full.saturating_sub(room)).unwrap();
    }

    pub(crate) fn make_room(&self) {
        fs::remove_file(self.ballast()).unwrap();
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.path()).output();
    }
}

/// The files of a folder, by name, as they are now.
pub(crate) fn files_of(folder: &Path) -> Vec<(String, Vec<u8>)> {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| {
            let path = entry.ok()?.path();
            let name = path.file_name()?.to_str()?.to_owned();
            // It may go at any time.
            Some((name, fs::read(path).ok()?))
        })
        .collect()
}

/// Bytes in the files of blobs and of staging; in this order, so that what is moved from there
/// meanwhile does not count twice.
pub(crate) fn bytes_of(data: &Path) -> u64 {
    ["blobs", "staging"]
        .map(|part| walk(&data.join(part)))
        .iter()
        .sum()
}

fn walk(folder: &Path) -> u64 {
    let entries = fs::read_dir(folder).into_iter().flatten();
    entries
        .filter_map(|entry| {
            let entry = entry.ok()?;
            let found = entry.metadata().ok()?;
            // Marks of the folder, and notes of what came of fetches that were interrupted.
            let name = entry.file_name();
            let marks = name
                .to_str()
                .is_some_and(|name| name.len() < 32 || name.contains('.'));
            Some(if found.is_dir() {
                walk(&entry.path())
            } else if marks {
                0
            } else {
                found.len()
            })
        })
        .sum()
}
