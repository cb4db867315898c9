//! Reads the tree of a folder. Nothing outside it is read: symbolic links are entries, not
//! followed.

use std::collections::HashMap;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;

use super::error::LayerError;
use super::tree::{Content, Kind, Tree};

/// Reads what is below `root`. Blocks.
pub(super) fn read(root: &Path, tree: &mut Tree) -> Result<(), LayerError> {
    let real = fs::canonicalize(root).map_err(|error| LayerError::io("read", root, error))?;
    let mut files: HashMap<(u64, u64), Vec<u8>> = HashMap::new();
    let mut next = vec![root.to_owned()];
    while let Some(folder) = next.pop() {
        let failed = |error| LayerError::io("read", &folder, error);
        for found in fs::read_dir(&folder).map_err(failed)? {
            let path = found.map_err(failed)?.path();
            let failed = |error| LayerError::io("read", &path, error);
            let metadata = fs::symlink_metadata(&path).map_err(failed)?;
            let name = path.strip_prefix(root).unwrap_or(&path);
            let name = name.as_os_str().as_bytes().to_owned();
            let kind = metadata.file_type();
            let kind = if kind.is_dir() {
                next.push(path.clone());
                Kind::Folder
            } else if kind.is_symlink() {
                let target = fs::read_link(&path).map_err(failed)?;
                if target.starts_with(&real) {
                    let problem = format!(
                        "is a symbolic link to {}, which names this folder on this machine: \
                         write the link relative to where it is",
                        target.display()
                    );
                    return Err(tree.refuse(&name, problem));
                }
                Kind::Symlink(target.as_os_str().as_bytes().to_owned())
            } else if kind.is_file() {
                let inode = (metadata.dev(), metadata.ino());
                let first = (metadata.nlink() > 1).then(|| files.get(&inode).cloned());
                match first.flatten() {
                    Some(first) => Kind::Hardlink(first),
                    None => {
                        files.insert(inode, name.clone());
                        Kind::File {
                            size: metadata.len(),
                            content: Content::File(path.clone()),
                        }
                    }
                }
            } else {
                let what = if kind.is_fifo() {
                    "a named pipe"
                } else if kind.is_socket() {
                    "a socket"
                } else {
                    "a device"
                };
                let problem = format!("is {what}: a layer holds files, folders and links only");
                return Err(tree.refuse(&name, problem));
            };
            tree.add(&name, kind, metadata.mode() & 0o7777)?;
        }
    }
    Ok(())
}
