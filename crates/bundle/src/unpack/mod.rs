//! The tree of an image in a folder, layer upon layer: whiteouts and links count as they do for
//! container engines. Nothing is written outside of that folder, whatever the layers hold; devices,
//! pipes, owners and rights beyond those of files are left out.

mod error;
mod place;
mod stream;

use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use tar::{Archive, Entry, EntryType};

pub use error::UnpackError;
use place::{Place, components, place};
use stream::{Meter, Metered, plain};

/// Begins names of whiteouts (image specification, "Whiteouts").
const WHITEOUT: &[u8] = b".wh.";
const OPAQUE: &[u8] = b".wh..wh..opq";

/// How much of an image is unpacked.
#[derive(Clone, Copy, Debug)]
pub struct UnpackLimits {
    /// Bytes of all layers together, uncompressed.
    pub bytes: u64,
    /// Files, folders and links of all layers together.
    pub entries: u64,
}

impl Default for UnpackLimits {
    fn default() -> Self {
        Self {
            bytes: 64 << 30,
            entries: 4_000_000,
        }
    }
}

/// A folder into which layers are unpacked, the lowest first.
#[derive(Debug)]
pub struct Unpacked {
    root: PathBuf,
    limits: UnpackLimits,
    meter: std::rc::Rc<Meter>,
    entries: u64,
}

impl Unpacked {
    /// Unpacks into `root`, an empty folder that nobody else writes to.
    #[must_use]
    pub fn new(root: PathBuf, limits: UnpackLimits) -> Self {
        Self {
            root,
            limits,
            meter: Meter::new(limits.bytes),
            entries: 0,
        }
    }

    /// Unpacks the next layer: a tar archive, plain or compressed with gzip or zstd. Blocks.
    ///
    /// # Errors
    /// When the layer cannot be read, a limit is passed, or the folder cannot be written.
    pub fn add_layer(&mut self, source: impl Read) -> Result<(), UnpackError> {
        let source = plain(source)?;
        let mut archive = Archive::new(Metered {
            source,
            meter: std::rc::Rc::clone(&self.meter),
        });
        // What the layer itself made: whiteouts concern lower layers.
        let mut own = HashSet::new();
        for entry in archive.entries()? {
            let mut entry = entry?;
            self.entries += 1;
            if self.entries > self.limits.entries {
                return Err(UnpackError::TooMany(self.limits.entries));
            }
            self.meter.content();
            self.take(&mut entry, &mut own)?;
            io::copy(&mut entry, &mut io::sink())?;
            self.meter.header();
        }
        Ok(())
    }

    fn take<R: Read>(
        &self,
        entry: &mut Entry<'_, R>,
        own: &mut HashSet<PathBuf>,
    ) -> Result<(), UnpackError> {
        let name = entry.path_bytes().into_owned();
        let Some(parts) = components(&name) else {
            return Err(UnpackError::leads_out(&name));
        };
        let Some((last, parents)) = parts.split_last() else {
            return Ok(());
        };
        let folder = match place(&self.root, parents)? {
            Place::Folder(folder) => folder,
            Place::Missing(folder) => {
                make_folders(&self.root, &folder, own)?;
                folder
            }
            Place::Nowhere => return Err(UnpackError::leads_out(&name)),
        };
        if *last == OPAQUE {
            return empty(&folder, own);
        }
        if let Some(removed) = last.strip_prefix(WHITEOUT) {
            let path = folder.join(std::ffi::OsStr::from_bytes(removed));
            let is_name = !removed.is_empty() && !matches!(removed, b"." | b"..");
            if is_name && !own.contains(&path) {
                remove(&path)?;
            }
            return Ok(());
        }
        let path = folder.join(std::ffi::OsStr::from_bytes(last));
        self.write(entry, &path)?;
        own.insert(path);
        Ok(())
    }

    fn write<R: Read>(&self, entry: &mut Entry<'_, R>, path: &Path) -> Result<(), UnpackError> {
        let io = |error| UnpackError::io(path, error);
        let mode = entry.header().mode().unwrap_or(0o644) & 0o777;
        let is_folder = || fs::symlink_metadata(path).is_ok_and(|there| there.is_dir());
        match entry.header().entry_type() {
            kind @ (EntryType::Regular | EntryType::Continuous | EntryType::GNUSparse) => {
                remove(path)?;
                if kind == EntryType::GNUSparse {
                    // Its holes are not in the archive.
                    self.meter.spend(entry.size())?;
                }
                let mut file = File::create_new(path).map_err(io)?;
                io::copy(entry, &mut file)?;
                // The user that runs this owns the file.
                let mode = fs::Permissions::from_mode(mode | 0o600);
                file.set_permissions(mode).map_err(io)?;
            }
            EntryType::Directory => {
                if !is_folder() {
                    remove(path)?;
                    fs::create_dir(path).map_err(io)?;
                }
                let mode = fs::Permissions::from_mode(mode | 0o700);
                fs::set_permissions(path, mode).map_err(io)?;
            }
            EntryType::Symlink => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                remove(path)?;
                std::os::unix::fs::symlink(std::ffi::OsStr::from_bytes(&target), path)
                    .map_err(io)?;
            }
            EntryType::Link => {
                let target = entry.link_name_bytes().unwrap_or_default().into_owned();
                let parts = components(&target).ok_or_else(|| UnpackError::leads_out(&target))?;
                let found = parts
                    .split_last()
                    .map(|(last, parents)| (last, place(&self.root, parents)));
                let Some((last, Ok(Place::Folder(folder)))) = found else {
                    return Err(UnpackError::leads_out(&target));
                };
                let target = folder.join(std::ffi::OsStr::from_bytes(last));
                if target != path {
                    remove(path)?;
                    fs::hard_link(&target, path).map_err(io)?;
                }
            }
            // Devices and pipes: a run has its own.
            _ => remove(path)?,
        }
        Ok(())
    }
}

/// Makes `folder` and what is missing above it; it has no link in it.
fn make_folders(root: &Path, folder: &Path, own: &mut HashSet<PathBuf>) -> Result<(), UnpackError> {
    let mut path = root.to_owned();
    for part in folder.strip_prefix(root).into_iter().flatten() {
        path.push(part);
        let there = fs::symlink_metadata(&path);
        if there.is_ok_and(|there| there.is_dir()) {
            continue;
        }
        remove(&path)?;
        fs::create_dir(&path).map_err(|error| UnpackError::io(&path, error))?;
        own.insert(path.clone());
    }
    Ok(())
}

/// Removes what lower layers have in `folder`.
fn empty(folder: &Path, own: &HashSet<PathBuf>) -> Result<(), UnpackError> {
    let io = |error| UnpackError::io(folder, error);
    for entry in fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if !own.contains(&path) {
            remove(&path)?;
        }
    }
    Ok(())
}

/// Removes a file, a link, or a folder with all that is in it.
fn remove(path: &Path) -> Result<(), UnpackError> {
    let removed = match fs::symlink_metadata(path) {
        Ok(there) if there.is_dir() => fs::remove_dir_all(path),
        Ok(_) => fs::remove_file(path),
        Err(_) => return Ok(()),
    };
    removed.map_err(|error| UnpackError::io(path, error))
}
