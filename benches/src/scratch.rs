//! The folder in which servers keep their content while they are measured. It goes with the
//! comparison, or with the next one if this one is killed; never one that is in use.

use std::fs::File;
use std::path::{Path, PathBuf};

use miette::{IntoDiagnostic as _, Result, WrapErr as _};
use tempfile::TempDir;

const PREFIX: &str = "run-";
const LOCK: &str = "in-use";

/// A folder of this comparison's own.
#[derive(Debug)]
pub(crate) struct Scratch {
    folder: TempDir,
    /// Held as long as the folder is in use; the kernel lets go of it, however this ends.
    _lock: File,
}

impl Scratch {
    /// Makes one in `parent`, and removes those that nobody uses any more.
    pub(crate) fn make(parent: &Path) -> Result<Self> {
        let make = || {
            sweep(parent)?;
            let folder = tempfile::Builder::new().prefix(PREFIX).tempdir_in(parent)?;
            let lock = File::create(folder.path().join(LOCK))?;
            lock.lock()?;
            Ok::<_, std::io::Error>(Self {
                folder,
                _lock: lock,
            })
        };
        make()
            .into_diagnostic()
            .wrap_err_with(|| parent.display().to_string())
    }

    pub(crate) fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }
}

fn sweep(parent: &Path) -> std::io::Result<()> {
    for entry in std::fs::read_dir(parent)? {
        let entry = entry?;
        if !entry.file_name().to_string_lossy().starts_with(PREFIX) {
            continue;
        }
        // One without a lock has been made this very moment, or comes from somewhere else.
        if File::open(entry.path().join(LOCK)).is_ok_and(|lock| lock.try_lock().is_ok()) {
            std::fs::remove_dir_all(entry.path())?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_killed_comparison_left_is_removed_and_what_is_in_use_is_not() {
        let parent = tempfile::tempdir().unwrap();
        let left = parent.path().join("run-left");
        std::fs::create_dir(&left).unwrap();
        File::create(left.join(LOCK)).unwrap();
        let kept = parent.path().join("large-1000");
        std::fs::create_dir(&kept).unwrap();
        let first = Scratch::make(parent.path()).unwrap();
        let second = Scratch::make(parent.path()).unwrap();
        assert!(!left.exists() && kept.exists());
        assert!(first.path().exists() && second.path().exists());
        drop(first);
        assert_eq!(std::fs::read_dir(parent.path()).unwrap().count(), 2);
    }
}
