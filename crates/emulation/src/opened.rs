//! Which files of a tree are opened while a program runs: what a run says of code that it never
//! came near is nothing.

use std::collections::{BTreeSet, HashMap};
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::path::Path;

use rustix::fs::inotify::{self, CreateFlags, Reader, WatchFlags};

use crate::error::EmulationError;

/// Files that are watched.
#[derive(Debug)]
pub(crate) struct Watched {
    events: OwnedFd,
    files: HashMap<i32, Vec<String>>,
}

impl Watched {
    /// Watches `files`, paths below `root` without a link in them; those that are not there are left
    /// out.
    pub(crate) fn new(root: &Path, files: &BTreeSet<String>) -> Result<Self, EmulationError> {
        let io = |error: rustix::io::Errno| EmulationError::io("watch", root, error.into());
        let events = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK).map_err(io)?;
        let mut watched: HashMap<i32, Vec<String>> = HashMap::new();
        for file in files {
            // Each tells once, so that their number bounds the events.
            let flags = WatchFlags::OPEN | WatchFlags::ONESHOT | WatchFlags::DONT_FOLLOW;
            if let Ok(number) = inotify::add_watch(&events, root.join(file), flags) {
                watched.entry(number).or_default().push(file.clone());
            }
        }
        Ok(Self {
            events,
            files: watched,
        })
    }

    /// Those that were opened so far.
    pub(crate) fn opened(self) -> BTreeSet<String> {
        let mut buffer = vec![MaybeUninit::uninit(); 64 * 1024];
        let mut reader = Reader::new(&self.events, &mut buffer);
        let mut opened = BTreeSet::new();
        while let Ok(event) = reader.next() {
            if event.events().contains(inotify::ReadFlags::OPEN) {
                opened.extend(self.files.get(&event.wd()).into_iter().flatten().cloned());
            }
        }
        opened
    }
}
