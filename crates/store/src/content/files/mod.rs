//! Content in the files of a data folder: `blobs/ALGORITHM/XX/HEX`, `staging/`, `quarantine/`.

mod folder;
mod hash;
mod interrupted;
mod marks;
pub(crate) mod open_file;
mod place;
mod pool;
mod publishing;
mod staged;
mod staging;
mod stamp;
pub(crate) mod stream;
pub(crate) mod verified;
pub(crate) mod windows;

use std::collections::{HashMap, HashSet};
use std::fs;
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use bytes::Bytes;
use futures_util::future::FutureExt as _;
use metahub_oci::Digest;

use crate::content::files::folder::Folder;
use crate::content::files::interrupted::Mark;
use crate::content::files::staged::Staged;
use crate::content::marker::Marker;
use crate::content::source::Opened;
use crate::content::traits::ALGORITHMS;
use crate::content::traits::{
    Answer, Blobs, Content, Disk, Listed, Partition, Placing, Stage, StagedEntry, Staging,
    StagingArea, StoreMarks,
};
use crate::folder::layout::{Layout, remove_file, sync_folder};
use crate::steps::Steps;
use crate::task::blocking;
use crate::{Damage, StoreError};

pub(crate) use open_file::OpenFile;
pub(crate) use stream::Streams;
pub use windows::{WINDOW, Window};

/// Content in the files of one data folder.
#[derive(Debug)]
pub(crate) struct Files {
    folder: Arc<Folder>,
}

impl Files {
    /// The content of a data folder. Creates nothing.
    pub(crate) fn new(layout: Layout, steps: Steps) -> Self {
        Self {
            folder: Arc::new(Folder::new(layout, steps)),
        }
    }

    /// Creates the folders of blobs that are missing.
    pub(crate) fn create(&self) -> Answer<'static, ()> {
        self.run(|folder| marks::create_folders(&folder.layout))
    }

    /// Runs file work on the folder off the asynchronous workers.
    fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Arc<Folder>) -> Result<T, StoreError> + Send + 'static,
    ) -> Answer<'static, T> {
        let folder = Arc::clone(&self.folder);
        blocking(move || work(&folder)).boxed()
    }
}

impl Content for Files {
    fn space(&self) -> Answer<'_, Disk> {
        self.run(|folder| {
            let root = folder.layout.root();
            let stat = rustix::fs::statvfs(root)
                .map_err(|error| StoreError::io("look at the disk of", root, error.into()))?;
            Ok(Disk {
                size: stat.f_blocks.saturating_mul(stat.f_frsize),
                free: stat.f_bavail.saturating_mul(stat.f_frsize),
            })
        })
    }
}

impl Blobs for Files {
    fn put(&self, digest: &Digest, bytes: Bytes, replaces: bool) -> Answer<'_, ()> {
        let digest = digest.clone();
        self.run(move |folder| {
            folder.check_in_place()?;
            let from = folder.fresh("put");
            let placing = Placing {
                replaces,
                reversible: false,
            };
            let size = bytes.len() as u64;
            let taken = place::write(&from, &bytes).and_then(|file| {
                place::put_in_place(folder, (&file, size), &from, &digest, placing)
            });
            if taken.is_err() {
                let _ = remove_file(&from);
            }
            taken
        })
    }

    fn open_now(&self, digest: &Digest, size: u64) -> Option<Opened> {
        OpenFile::at_hand(&self.folder.verified, digest, size).map(Opened::File)
    }

    fn open(&self, digest: &Digest, size: u64) -> Answer<'_, Opened> {
        let digest = digest.clone();
        self.run(move |folder| {
            let opened = OpenFile::open(&folder.layout, &folder.verified, &digest, size);
            if let Err(StoreError::Damaged {
                problem: Damage::Missing,
                ..
            }) = &opened
            {
                // Unless all of them are.
                folder.check_in_place()?;
            }
            opened.map(Opened::File)
        })
    }

    fn size(&self, digest: &Digest) -> Answer<'_, Option<u64>> {
        let digest = digest.clone();
        self.run(move |folder| {
            let path = folder.layout.blob(&digest);
            Ok(metadata(&path)?.map(|file| file.len()))
        })
    }

    fn delete(&self, digest: &Digest) -> Answer<'_, bool> {
        let digest = digest.clone();
        self.run(move |folder| {
            let removed = remove_file(&folder.layout.blob(&digest));
            folder.verified.forget(&digest);
            removed
        })
    }

    fn quarantine(&self, digest: &Digest) -> Answer<'_, ()> {
        let digest = digest.clone();
        self.run(move |folder| {
            let (from, aside) = (folder.layout.blob(&digest), folder.layout.quarantine());
            fs::create_dir_all(&aside)
                .map_err(|error| StoreError::io("create the folder", &aside, error))?;
            match fs::rename(&from, aside.join(digest.hex())) {
                Ok(()) => sync_folder(&aside)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(StoreError::io("move", &from, error)),
            }
            folder.verified.forget(&digest);
            Ok(())
        })
    }

    fn list(&self, partition: Partition) -> Answer<'_, Vec<Listed>> {
        self.run(move |folder| {
            let Partition { algorithm, first } = partition;
            let entries = entries(&folder.layout.fan_out(algorithm, first))?;
            let listed = entries.into_iter().map(|(name, metadata)| Listed {
                digest: format!("{algorithm}:{name}").parse().ok(),
                name,
                size: metadata.len(),
                modified: modified(&metadata),
            });
            Ok(listed.collect())
        })
    }

    fn delete_other(&self, partition: Partition, name: &str) -> Answer<'_, bool> {
        let Partition { algorithm, first } = partition;
        let path = self.folder.layout.fan_out(algorithm, first).join(name);
        self.run(move |_| remove_file(&path))
    }
}

impl StagingArea for Files {
    fn stage(&self, stage: Stage<'_>) -> Box<dyn Staging> {
        let folder = &self.folder;
        Box::new(match stage {
            Stage::Temporary => Staged::temporary(folder, folder.fresh("fill")),
            Stage::Resumable { source, digest } => {
                let path = folder.fresh("fill");
                let mark = Mark::new(&folder.interrupted, source, digest, &path);
                Staged::marked(folder, Arc::new(mark))
            }
            Stage::Kept { name, len } => Staged::existing(folder, folder.layout.staged(name), len),
        })
    }

    fn resume(&self, source: &str, digest: &Digest) -> Answer<'_, Option<Box<dyn Staging>>> {
        let (source, digest) = (source.to_owned(), digest.clone());
        self.run(move |folder| {
            let taken = folder.interrupted.take(&source, &digest);
            let resumed = taken.map(|beginning| Staged::resumed(folder, beginning));
            Ok(resumed.map(|staged| Box::new(staged) as Box<dyn Staging>))
        })
    }

    fn can_resume(&self, source: &str, digest: &Digest) -> bool {
        self.folder.interrupted.has(source, digest)
    }

    fn resumable_bytes(&self) -> HashMap<String, u64> {
        self.folder.interrupted.bytes()
    }

    fn sweep_resumable(&self, idle: Duration) -> Answer<'_, u64> {
        self.run(move |folder| Ok(folder.interrupted.sweep(idle)))
    }

    fn staged(&self, name: &str) -> Answer<'_, Option<StagedEntry>> {
        let name = name.to_owned();
        self.run(move |folder| {
            let found = metadata(&folder.layout.staged(&name))?;
            Ok(found.map(|metadata| StagedEntry {
                name,
                size: metadata.len(),
                modified: modified(&metadata),
            }))
        })
    }

    fn list_staged(&self) -> Answer<'_, Vec<StagedEntry>> {
        self.run(|folder| {
            let resumable = folder.interrupted.names();
            let entries = entries(&folder.layout.staging())?.into_iter();
            // Notes and drafts are in the same folder as the objects.
            let objects =
                entries.filter(|(name, _)| !name.contains('.') && !resumable.contains(name));
            Ok(objects
                .map(|(name, metadata)| StagedEntry {
                    name,
                    size: metadata.len(),
                    modified: modified(&metadata),
                })
                .collect())
        })
    }

    fn discard(&self, name: &str) -> Answer<'_, bool> {
        let path = self.folder.layout.staged(name);
        self.run(move |_| remove_file(&path))
    }

    fn sweep(&self, mut keep: HashSet<String>, idle: Duration) -> Answer<'_, usize> {
        self.run(move |folder| {
            let staging = folder.layout.staging();
            let list = |error| StoreError::io("list", &staging, error);
            keep.extend(folder.interrupted.find(&staging, idle).map_err(list)?);
            let mut swept = 0;
            for entry in fs::read_dir(&staging).map_err(list)? {
                let entry = entry.map_err(list)?;
                let name = entry.file_name();
                let is_kept = name.to_str().is_some_and(|name| keep.contains(name));
                if !is_kept && remove_file(&entry.path())? {
                    swept += 1;
                }
            }
            Ok(swept)
        })
    }

    fn interrupted_publishes(&self, names: HashSet<String>) -> Answer<'_, Vec<(String, Digest)>> {
        self.run(move |folder| publishing::interrupted(&folder.layout.staging(), &names))
    }

    fn take_back(&self, name: &str, digest: &Digest, named: bool) -> Answer<'_, ()> {
        let (staging, digest) = (self.folder.layout.staged(name), digest.clone());
        self.run(move |folder| {
            publishing::take_back(&staging, &folder.layout.blob(&digest), named)?;
            publishing::end(&staging);
            Ok(())
        })
    }

    fn keep_published(&self, name: &str) -> Answer<'_, ()> {
        let staging = self.folder.layout.staged(name);
        self.run(move |folder| {
            folder.steps.before("remove the note", &staging)?;
            publishing::end(&staging);
            Ok(())
        })
    }
}

impl StoreMarks for Files {
    fn location(&self) -> &Path {
        &self.folder.blobs
    }

    fn marks(&self) -> Answer<'_, Vec<Option<Marker>>> {
        self.run(|folder| {
            let marks = ALGORITHMS.into_iter();
            marks
                .map(|algorithm| marks::read(&folder.layout, algorithm))
                .collect()
        })
    }

    fn mark(&self, marker: Marker) -> Answer<'_, ()> {
        self.run(move |folder| {
            marks::create_folders(&folder.layout)?;
            marks::write(&folder.layout, &marker)
        })
    }

    fn holds_any(&self) -> Answer<'_, bool> {
        self.run(|folder| marks::holds_files(&folder.layout))
    }

    fn belongs_to(&self, store: &str) {
        let _ = self.folder.store.set(store.to_owned());
    }

    fn check_in_place(&self) -> Answer<'_, ()> {
        self.run(|folder| folder.check_in_place())
    }
}

/// The metadata of a file, if it exists. Blocks.
fn metadata(path: &Path) -> Result<Option<fs::Metadata>, StoreError> {
    match fs::metadata(path) {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(StoreError::io("look at", path, error)),
    }
}

/// The entries of a folder whose names are text, without those removed meanwhile. Blocks.
fn entries(folder: &Path) -> Result<Vec<(String, fs::Metadata)>, StoreError> {
    let list = |error| StoreError::io("list", folder, error);
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).map_err(list)? {
        let entry = entry.map_err(list)?;
        if let (Ok(name), Ok(metadata)) = (entry.file_name().into_string(), entry.metadata()) {
            found.push((name, metadata));
        }
    }
    Ok(found)
}

/// When a file was written. One that does not say was written just now: it is no garbage yet.
fn modified(metadata: &fs::Metadata) -> SystemTime {
    metadata.modified().unwrap_or_else(|_| SystemTime::now())
}
