//! The marks in the folders of blobs: one small file for each algorithm, see
//! [`crate::content::marker`].

use std::fs::{self, File};
use std::io::{self, Write as _};
use std::path::PathBuf;

use metahub_oci::Algorithm;

use crate::StoreError;
use crate::content::marker::Marker;
use crate::content::traits::ALGORITHMS;
use crate::folder::layout::{Layout, make, sync_folder};

/// The mark's name in the folder of an algorithm.
const NAME: &str = "store.json";

fn path(layout: &Layout, algorithm: Algorithm) -> PathBuf {
    layout.blobs(algorithm).join(NAME)
}

/// The mark of an algorithm's folder, if it has one that can be read. Blocks.
pub(crate) fn read(layout: &Layout, algorithm: Algorithm) -> Result<Option<Marker>, StoreError> {
    let path = path(layout, algorithm);
    match fs::read(&path) {
        Ok(bytes) => Ok(serde_json::from_slice(&bytes).ok()),
        Err(error)
            if matches!(
                error.kind(),
                io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(StoreError::io("read", &path, error)),
    }
}

/// Creates the folders of blobs that are missing. Blocks.
pub(crate) fn create_folders(layout: &Layout) -> Result<(), StoreError> {
    for algorithm in ALGORITHMS {
        let folder = layout.blobs(algorithm);
        // All 256 at once, so that publishing a blob never has to make one durable.
        for first in 0..=u8::MAX {
            make(&layout.fan_out(algorithm, first))?;
        }
        sync_folder(&folder)?;
    }
    sync_folder(&layout.root().join("blobs"))?;
    sync_folder(layout.root())
}

/// Marks both folders, durably. Blocks.
pub(crate) fn write(layout: &Layout, marker: &Marker) -> Result<(), StoreError> {
    for algorithm in ALGORITHMS {
        let path = path(layout, algorithm);
        let new = path.with_extension("new");
        let written = serde_json::to_vec(marker)
            .map_err(io::Error::from)
            .and_then(|bytes| {
                let mut file = File::create(&new)?;
                file.write_all(&bytes)?;
                file.sync_all()
            })
            .and_then(|()| fs::rename(&new, &path));
        written.map_err(|error| StoreError::io("write", &path, error))?;
        sync_folder(&layout.blobs(algorithm))?;
    }
    Ok(())
}

/// Whether there is any file in a blob's place. Blocks.
pub(crate) fn holds_files(layout: &Layout) -> Result<bool, StoreError> {
    for algorithm in ALGORITHMS {
        for first in 0..=u8::MAX {
            let folder = layout.fan_out(algorithm, first);
            match fs::read_dir(&folder) {
                Ok(mut entries) => {
                    if entries.next().is_some() {
                        return Ok(true);
                    }
                }
                Err(error)
                    if matches!(
                        error.kind(),
                        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory
                    ) => {}
                Err(error) => return Err(StoreError::io("list", &folder, error)),
            }
        }
    }
    Ok(false)
}

/// Fails unless the folders of blobs are marked as those of `store`. Blocks.
pub(crate) fn check(layout: &Layout, store: &str) -> Result<(), StoreError> {
    for algorithm in ALGORITHMS {
        let mark = read(layout, algorithm)?;
        if mark.is_none_or(|mark| mark.store != store) {
            return Err(StoreError::ContentAbsent {
                folder: layout.root().join("blobs"),
                problem: format!(
                    "{} is not marked as this store's",
                    path(layout, algorithm).display()
                ),
            });
        }
    }
    Ok(())
}
