//! The folder of a backup: laid out like a data folder, plus a file that describes the backup.
//!
//! Blobs come first and the database last, so that the folder is a complete backup at every moment:
//! the former one until the new database is in place.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use futures_util::TryStreamExt as _;
use metahub_oci::{Digest, Hasher};
use serde::{Deserialize, Serialize};

use crate::content::Content;
use crate::folder::layout::{Layout, make, remove_file, sync_folder};
use crate::folder::lock::{FolderLock, Locking};
use crate::task::blocking;
use crate::{Damage, StoreError};

/// The file that marks a folder as a backup of a store.
pub(crate) const NAME: &str = "backup.json";

/// The version of the layout.
const VERSION: u32 = 1;

/// The content of that file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Label {
    pub(crate) metahub_backup: u32,
    /// The store's identifier.
    pub(crate) store: String,
}

/// Folders and files of a data folder that are temporary.
const LEFT_OUT: [&str; 10] = [
    "blobs",
    "staging",
    "quarantine",
    "lease",
    "lock",
    "lock.migration",
    "reserve",
    "restoring",
    "last-gc",
    "last-scrub",
];

/// Whether a file or folder of a data folder is copied as it is: accounts' logins at upstreams and
/// imported documents are. The database has a copy of its own.
pub(crate) fn is_copied(name: &str) -> bool {
    let database = name.starts_with("metahub.db");
    let left_out = LEFT_OUT.contains(&name) || name.starts_with("lease.");
    !database && !left_out && name != NAME && !name.ends_with(".sock")
}

pub(crate) fn failed(folder: &Path, problem: impl Into<String>) -> StoreError {
    StoreError::Backup {
        folder: folder.to_owned(),
        problem: problem.into(),
    }
}

/// The label of `folder`, if it has one. Blocks.
pub(crate) fn label(folder: &Path) -> Result<Option<Label>, StoreError> {
    let path = folder.join(NAME);
    let bytes = match fs::read(&path) {
        Ok(bytes) => bytes,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(StoreError::io("read", &path, error)),
    };
    match serde_json::from_slice::<Label>(&bytes) {
        Ok(label) if label.metahub_backup == VERSION => Ok(Some(label)),
        Ok(label) => Err(failed(
            folder,
            format!(
                "it is a backup of version {}, and this metahub knows {VERSION}: use a later one",
                label.metahub_backup
            ),
        )),
        Err(_) => Err(failed(
            folder,
            format!("its {NAME} cannot be read: choose another folder"),
        )),
    }
}

/// Makes `folder` one for backups of `store`, or checks that it is. Locks it against other backups.
/// Blocks.
pub(crate) fn begin(folder: &Path, store: &str) -> Result<FolderLock, StoreError> {
    make(folder)?;
    match label(folder)? {
        Some(label) if label.store == store => {}
        Some(label) => {
            return Err(failed(
                folder,
                format!(
                    "it holds the backup of another data folder ({}): choose another folder",
                    label.store
                ),
            ));
        }
        None => {
            let mut entries =
                fs::read_dir(folder).map_err(|error| StoreError::io("list", folder, error))?;
            if entries.next().is_some() {
                return Err(failed(
                    folder,
                    "it is not empty and holds no backup: choose an empty folder, or a new one",
                ));
            }
            let label = Label {
                metahub_backup: VERSION,
                store: store.to_owned(),
            };
            write(
                &folder.join(NAME),
                &serde_json::to_vec(&label).unwrap_or_default(),
            )?;
        }
    }
    let lock = FolderLock::try_take(&folder.join("lock"), Locking::System)?;
    lock.ok_or_else(|| {
        failed(
            folder,
            "another backup is being made there: wait for its end",
        )
    })
}

/// Writes a small file, durably and as a whole. Blocks.
pub(crate) fn write(path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
    let new = draft(path);
    let mut out = create(&new)?;
    out.write_all(bytes)
        .and_then(|()| out.sync_all())
        .and_then(|()| fs::rename(&new, path))
        .map_err(|error| StoreError::io("write", path, error))?;
    path.parent().map_or(Ok(()), sync_folder)
}

/// The name of a file until it is complete.
fn draft(path: &Path) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_owned();
    name.push(".new");
    path.with_file_name(name)
}

/// Creates a file that only its owner may read, or empties it.
pub(crate) fn create(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .map_err(|error| StoreError::io("create", path, error))
}

/// Copies a file durably; its folder's entry is not. Blocks.
pub(crate) fn copy(from: &Path, to: &Path) -> Result<u64, StoreError> {
    let mut source = File::open(from).map_err(|error| StoreError::io("open", from, error))?;
    let new = draft(to);
    let mut out = create(&new)?;
    let copied = io::copy(&mut source, &mut out)
        .and_then(|bytes| out.sync_all().map(|()| bytes))
        .and_then(|bytes| fs::rename(&new, to).map(|()| bytes));
    copied.map_err(|error| StoreError::io("write", to, error))
}

/// The result of copying a blob.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Copied {
    /// Copied and verified.
    Right,
    /// It was there already.
    There,
    /// There is no file to copy.
    Missing,
    /// The file does not match its digest, or cannot be read.
    Damaged,
}

/// Copies a blob into the folder `to`, hashing it; its folder's entry is not durable yet. A file
/// that exists already, of the right size, is not copied again. A damaged file replaces nothing.
/// `told` is called as bytes are copied.
pub(crate) async fn copy_blob(
    from: &dyn Content,
    to: &Layout,
    digest: &Digest,
    size: u64,
    told: &mut (dyn FnMut(u64) + Send),
) -> Result<Copied, StoreError> {
    let target = to.blob(digest);
    let new = draft(&target);
    let (there, opening) = (target.clone(), new.clone());
    let is_there =
        move || Ok::<_, StoreError>(fs::metadata(&there).is_ok_and(|file| file.len() == size));
    if blocking(is_there).await? {
        return Ok(Copied::There);
    }
    let opened = match from.open(digest, size).await {
        Ok(opened) => opened,
        Err(StoreError::Damaged {
            problem: Damage::Missing,
            ..
        }) => return Ok(Copied::Missing),
        Err(StoreError::Damaged { .. }) => return Ok(Copied::Damaged),
        Err(error) => return Err(error),
    };
    let mut out = blocking(move || {
        if let Some(folder) = opening.parent() {
            make(folder)?;
        }
        create(&opening)
    })
    .await?;
    let mut hasher = Hasher::new(digest.algorithm());
    let mut stream = opened.unverified(size, &Arc::default());
    loop {
        let bytes = match stream.try_next().await {
            Ok(Some(bytes)) => bytes,
            Ok(None) => break,
            Err(error) => {
                tracing::error!(%digest, %error, "a blob cannot be read");
                blocking(move || remove_file(&new)).await?;
                return Ok(Copied::Damaged);
            }
        };
        let count = bytes.len() as u64;
        let path = new.clone();
        (out, hasher) = blocking(move || {
            hasher.update(&bytes);
            out.write_all(&bytes)
                .map_err(|error| StoreError::io("write", &path, error))?;
            Ok::<_, StoreError>((out, hasher))
        })
        .await?;
        told(count);
    }
    let digest = digest.clone();
    blocking(move || {
        if hasher.finish() != digest {
            remove_file(&new)?;
            return Ok(Copied::Damaged);
        }
        out.sync_all()
            .and_then(|()| fs::rename(&new, &target))
            .map_err(|error| StoreError::io("write", &target, error))?;
        Ok(Copied::Right)
    })
    .await
}

/// The folder of a backup for other files of a data folder.
const FILES: &str = "files";

/// Copies the other files of the data folder `from` into the backup `to`. Blocks.
pub(crate) fn copy_rest(from: &Path, to: &Path) -> Result<(), StoreError> {
    let files = to.join(FILES);
    make(&files)?;
    let here = names(from)?;
    for gone in names(&files)?.iter().filter(|name| !here.contains(name)) {
        remove_tree(&files.join(gone))?;
    }
    for name in here {
        copy_tree(&from.join(&name), &files.join(&name))?;
    }
    sync_folder(&files)
}

/// The reverse of [`copy_rest`]. Blocks.
pub(crate) fn copy_rest_back(from: &Path, to: &Path) -> Result<(), StoreError> {
    let files = from.join(FILES);
    if !files.is_dir() {
        return Ok(());
    }
    for name in names(&files)? {
        copy_tree(&files.join(&name), &to.join(&name))?;
    }
    sync_folder(to)
}

/// The names of the files in a folder that are copied.
fn names(folder: &Path) -> Result<Vec<String>, StoreError> {
    let list = |error| StoreError::io("list", folder, error);
    let mut names = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let name = entry.map_err(list)?.file_name();
        names.extend(name.into_string().ok().filter(|name| is_copied(name)));
    }
    Ok(names)
}

fn remove_tree(path: &Path) -> Result<(), StoreError> {
    let removed = if path.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    removed.map_err(|error| StoreError::io("remove", path, error))
}

/// Copies a file, or a folder with its content. Follows no links; a file that is removed meanwhile
/// is left out.
fn copy_tree(from: &Path, to: &Path) -> Result<(), StoreError> {
    let kind = match fs::symlink_metadata(from) {
        Ok(kind) => kind,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(StoreError::io("look at", from, error)),
    };
    if kind.is_file() {
        return match copy(from, to) {
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(())
            }
            outcome => outcome.map(drop),
        };
    }
    if !kind.is_dir() {
        return Ok(());
    }
    // As a whole, so that removed files do not stay.
    if to.is_dir() {
        remove_tree(to)?;
    }
    make(to)?;
    for entry in fs::read_dir(from).map_err(|error| StoreError::io("list", from, error))? {
        let entry = entry.map_err(|error| StoreError::io("list", from, error))?;
        copy_tree(&entry.path(), &to.join(entry.file_name()))?;
    }
    sync_folder(to)
}
