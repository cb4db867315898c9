//! Reads and writes small files that decide what a node claims to be: read only if no other user
//! than root and the caller can have written them, written whole or not at all.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Component, Path, PathBuf};

use rustix::fs::OFlags;

/// Most that is read of one file, in bytes.
const MOST_BYTES: u64 = 4 << 20;
/// Write permission of group and others.
const OTHERS_WRITE: u32 = 0o022;
/// Only the owner of an entry may move or remove it.
const STICKY: u32 = 0o1000;

/// Why a file is not read.
#[derive(Debug, thiserror::Error)]
pub enum TrustError {
    /// It is not there, or cannot be opened or read.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// Another user could have written it.
    #[error("{path} is not trusted: {why}", path = .path.display())]
    Untrusted {
        /// The file, or the folder above it that is the reason.
        path: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// The bytes of `path`, if the file and all folders above it belong to root or the caller and no
/// other user may write there.
///
/// # Errors
/// When it cannot be read, is a link or no file, has more than 4 MiB, or is not trusted.
pub fn read(path: &Path) -> Result<Vec<u8>, TrustError> {
    let mut folder = PathBuf::new();
    let parent = path.parent().unwrap_or(Path::new("/"));
    for part in std::path::absolute(parent)?.components() {
        if part == Component::ParentDir {
            return Err(untrusted(parent, "its path has '..'"));
        }
        folder.push(part);
        let is_parent = folder == parent;
        let found = std::fs::symlink_metadata(&folder)?;
        if found.file_type().is_symlink() {
            // /var/run leads to /run; what it leads to is a link that root made.
            if found.uid() != 0 {
                return Err(untrusted(&folder, "it is a link"));
            }
            folder = std::fs::canonicalize(&folder)?;
        }
        let found = std::fs::metadata(&folder)?;
        check(&folder, found.uid(), found.mode(), !is_parent)?;
    }
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(path)?;
    let found = file.metadata()?;
    if !found.is_file() {
        return Err(untrusted(path, "it is no file"));
    }
    check(path, found.uid(), found.mode(), false)?;
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(untrusted(path, "it has more than 4 MiB"));
    }
    Ok(bytes)
}

/// The bytes of a file that any user may have written, such as a client's configuration. A pipe in
/// its place, which would wait for a writer, is refused.
///
/// # Errors
/// When it cannot be read, is no file, or has more than 4 MiB.
pub fn read_any(path: &Path) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::CLOEXEC).bits() as i32)
        .open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no file"));
    }
    let mut bytes = Vec::new();
    file.take(MOST_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MOST_BYTES {
        return Err(io::Error::other("it has more than 4 MiB"));
    }
    Ok(bytes)
}

fn check(path: &Path, owner: u32, mode: u32, sticky_is_enough: bool) -> Result<(), TrustError> {
    let me = rustix::process::geteuid().as_raw();
    if owner != 0 && owner != me {
        return Err(untrusted(path, "it belongs to another user"));
    }
    let protected = sticky_is_enough && mode & STICKY != 0;
    if mode & OTHERS_WRITE != 0 && !protected {
        return Err(untrusted(path, "its group or others may write there"));
    }
    Ok(())
}

fn untrusted(path: &Path, why: &'static str) -> TrustError {
    TrustError::Untrusted {
        path: path.to_owned(),
        why,
    }
}

/// Replaces `path` by a file of these bytes and this mode, at once and durably: readers see the
/// former file or this one. Folders that are missing are made with `folder_mode`. A link is
/// followed, so that a file that is kept elsewhere stays there.
///
/// # Errors
/// When it cannot be written; the former file is then as it was.
pub fn write(path: &Path, bytes: &[u8], mode: u32, folder_mode: u32) -> io::Result<()> {
    let path = match std::fs::canonicalize(path) {
        Ok(real) => real,
        Err(_) => path.to_owned(),
    };
    let folder = path.parent().unwrap_or(Path::new("/"));
    make_folders(folder, folder_mode)?;
    let mut file = tempfile::Builder::new()
        .prefix(".metahub-")
        .tempfile_in(folder)?;
    file.write_all(bytes)?;
    let file_permissions = std::fs::Permissions::from_mode(mode);
    file.as_file().set_permissions(file_permissions)?;
    if let Ok(before) = std::fs::metadata(&path)
        && before.uid() != rustix::process::geteuid().as_raw()
    {
        // Root edits a user's file: it stays that user's.
        std::os::unix::fs::fchown(file.as_file(), Some(before.uid()), Some(before.gid()))?;
    }
    file.as_file().sync_all()?;
    file.persist(&path).map_err(|error| error.error)?;
    // The name lasts too; a file system that cannot do it has nothing better.
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn make_folders(folder: &Path, mode: u32) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt as _;
    if folder.is_dir() {
        return Ok(());
    }
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(mode)
        .create(folder)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    fn set_mode(path: &Path, mode: u32) {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn only_what_others_cannot_write_is_read() {
        let folder = tempfile::tempdir().unwrap();
        let inner = folder.path().join("metahub");
        let file = inner.join("node.json");
        write(&file, b"{}", 0o644, 0o755).unwrap();
        assert_eq!(read(&file).unwrap(), b"{}");
        for (path, mode) in [
            (&file, 0o664),
            (&file, 0o646),
            (&inner, 0o775),
            (&inner, 0o757),
            // Sticky protects what is below from being replaced, not from being made first.
            (&inner, 0o1777),
        ] {
            let before = std::fs::metadata(path).unwrap().mode() & 0o7777;
            set_mode(path, mode);
            let refused = read(&file).unwrap_err();
            assert!(
                matches!(refused, TrustError::Untrusted { .. }),
                "{path:?} {mode:o}: {refused}"
            );
            set_mode(path, before);
        }
        assert!(read(&file).is_ok());
        let link = inner.join("link.json");
        symlink(&file, &link).unwrap();
        assert!(read(&link).is_err());
        assert!(read(&inner).is_err());
    }

    #[test]
    fn a_file_of_another_user_is_not_read() {
        if !rustix::process::geteuid().is_root() {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("node.json");
        write(&file, b"{}", 0o644, 0o755).unwrap();
        std::os::unix::fs::chown(&file, Some(12345), None).unwrap();
        assert!(matches!(read(&file), Err(TrustError::Untrusted { .. })));
    }

    #[test]
    fn a_link_to_a_file_stays_and_its_file_is_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let (real, link) = (folder.path().join("real"), folder.path().join("link"));
        std::fs::write(&real, "before").unwrap();
        symlink(&real, &link).unwrap();
        write(&link, b"after", 0o600, 0o700).unwrap();
        assert_eq!(std::fs::read(&real).unwrap(), b"after");
        assert!(std::fs::symlink_metadata(&link).unwrap().is_symlink());
        let names = std::fs::read_dir(folder.path()).unwrap().count();
        assert_eq!(names, 2, "no staging file is left");
    }
}
