//! Where a path of an image lies in the folder that holds its tree. Links are followed as if that
//! folder were the root of everything, so that none leads out of it.

use std::collections::VecDeque;
use std::fs;
use std::io;
use std::os::unix::ffi::{OsStrExt as _, OsStringExt as _};
use std::path::{Path, PathBuf};

/// Links that are followed on the way to one file, as Linux does.
const MAX_LINKS: usize = 40;
/// Longest path, in bytes.
const LONGEST: usize = 4096;

/// Where a folder is.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// Here, and there is no link in this path.
    Folder(PathBuf),
    /// It would be here; something of the path is missing, or is no folder.
    Missing(PathBuf),
    /// Links go in a circle.
    Nowhere,
}

/// The parts of a path as layers name it; `None` if it leads up, or is too long.
pub(super) fn components(name: &[u8]) -> Option<Vec<&[u8]>> {
    let parts = name.split(|byte| *byte == b'/');
    let parts: Vec<&[u8]> = parts.filter(|part| !matches!(*part, b"" | b".")).collect();
    let fine = name.len() <= LONGEST && !name.contains(&0) && !parts.contains(&&b".."[..]);
    fine.then_some(parts)
}

/// Follows `parts` from `root` on.
pub(super) fn place(root: &Path, parts: &[&[u8]]) -> io::Result<Place> {
    let mut path = root.to_owned();
    let mut next: VecDeque<Vec<u8>> = parts.iter().map(|part| part.to_vec()).collect();
    let (mut links, mut missing) = (0, false);
    while let Some(part) = next.pop_front() {
        match part.as_slice() {
            b"" | b"." => continue,
            b".." => {
                if path != root {
                    path.pop();
                }
                continue;
            }
            name => path.push(std::ffi::OsStr::from_bytes(name)),
        }
        let there = match fs::symlink_metadata(&path) {
            Ok(there) => there,
            Err(error) if error.kind() == io::ErrorKind::NotFound || missing => {
                missing = true;
                continue;
            }
            Err(error) => return Err(error),
        };
        if there.is_symlink() {
            links += 1;
            let target = fs::read_link(&path)?.into_os_string().into_vec();
            if links > MAX_LINKS {
                return Ok(Place::Nowhere);
            }
            if target.starts_with(b"/") {
                root.clone_into(&mut path);
            } else {
                path.pop();
            }
            for part in target.split(|byte| *byte == b'/').rev() {
                next.push_front(part.to_vec());
            }
        } else if !there.is_dir() {
            missing = true;
        }
    }
    Ok(if missing {
        Place::Missing(path)
    } else {
        Place::Folder(path)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_never_lead_out_of_the_tree() {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().join("root");
        fs::create_dir_all(root.join("usr/lib")).unwrap();
        fs::create_dir(folder.path().join("outside")).unwrap();
        for (link, target) in [
            ("lib", "usr/lib"),
            ("up", "../../outside"),
            ("absolute", "/usr/lib"),
            ("machine", "/etc"),
            ("circle", "circle"),
            ("usr/back", "../../../../usr"),
        ] {
            std::os::unix::fs::symlink(target, root.join(link)).unwrap();
        }
        let at = |path: &str| place(&root, &components(path.as_bytes()).unwrap()).unwrap();
        let folder = |path: &str| Place::Folder(root.join(path));
        assert_eq!(at("lib"), folder("usr/lib"));
        assert_eq!(at("absolute"), folder("usr/lib"));
        assert_eq!(at("usr/back/lib"), folder("usr/lib"));
        assert_eq!(at("up"), Place::Missing(root.join("outside")));
        assert_eq!(at("machine"), Place::Missing(root.join("etc")));
        assert_eq!(at("circle/a"), Place::Nowhere);
        assert_eq!(components(b"a/../../b"), None);
    }
}
