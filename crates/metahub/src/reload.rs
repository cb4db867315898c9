//! Reloads files without a restart: they are polled every few seconds, and read again when they
//! changed or on SIGHUP.
//!
//! Polling (rather than notifications of the operating system) also sees changes on network file
//! systems and behind swapped links, where notifications are missing. `documents` and `certificate`
//! know what the files mean.

use std::fs;
use std::future::Future;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use tokio::time::{Interval, MissedTickBehavior, interval};

use crate::guarded::caught;
use crate::signals::Hangup;

/// Folders within folders, at most.
const MAX_FOLDERS: usize = 32;
/// A file written this recently may be written again without a change of its metadata.
const SETTLED: Duration = Duration::from_secs(2);

/// Something that is loaded from files.
pub(crate) trait Reload: Send + 'static {
    /// Its files and folders.
    fn paths(&self) -> Vec<PathBuf>;
    /// Reads them again and puts them in use, or logs why not and keeps the former. Blocks.
    fn reload(&mut self, why: Why);
    /// Completes when something other than files changed.
    fn changed(&mut self) -> impl Future<Output = ()> + Send {
        std::future::pending()
    }
}

/// Why files are read again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Why {
    /// On request, which needs an answer in any case.
    Asked,
    /// The files changed.
    Changed,
    /// The files may have changed.
    Unsure,
}

/// Keeps `what` up to date for as long as the process lives. Polls its files at the interval
/// `every`; not if that is zero.
pub(crate) fn keep<R: Reload>(mut what: R, every: Duration, mut hangup: Hangup) {
    let mut seen = Look::at(&what.paths());
    let mut clock = (!every.is_zero()).then(|| {
        let mut clock = interval(every);
        clock.set_missed_tick_behavior(MissedTickBehavior::Delay);
        clock
    });
    tokio::spawn(async move {
        loop {
            let (asked, changed) = tokio::select! {
                () = hangup.received() => (true, false),
                () = what.changed() => (false, true),
                () = tick(clock.as_mut()) => (false, false),
            };
            let work = tokio::task::spawn_blocking(move || {
                // A panic keeps the former state, and the next change is tried again.
                let now = caught("reload", || {
                    let now = Look::at(&what.paths());
                    if asked {
                        what.reload(Why::Asked);
                    } else if changed || now != seen {
                        what.reload(Why::Changed);
                    } else if !seen.settled {
                        what.reload(Why::Unsure);
                    }
                    now
                });
                let now = now.or_else(|| caught("reload", || Look::at(&what.paths())));
                (what, now.unwrap_or(seen))
            });
            match work.await {
                Ok(done) => (what, seen) = done,
                Err(error) => {
                    tracing::error!(%error, "reloading ended: restart to take up changes");
                    return;
                }
            }
        }
    });
}

async fn tick(clock: Option<&mut Interval>) {
    match clock {
        Some(clock) => drop(clock.tick().await),
        None => std::future::pending().await,
    }
}

/// The metadata of files. Equal and settled metadata means equal content.
#[derive(Debug)]
struct Look {
    files: Vec<(PathBuf, Option<Stamp>)>,
    /// Whether all were written so long ago that a later change is sure to show.
    settled: bool,
}

impl PartialEq for Look {
    fn eq(&self, other: &Self) -> bool {
        self.files == other.files
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Stamp {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Look {
    fn at(paths: &[PathBuf]) -> Self {
        let mut look = Self {
            files: Vec::new(),
            settled: true,
        };
        let now = SystemTime::now()
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        let recent = i64::try_from(now.saturating_sub(SETTLED).as_secs()).unwrap_or(i64::MAX);
        for path in paths {
            look.add(path, 0, recent);
        }
        look
    }

    fn add(&mut self, path: &Path, depth: usize, recent: i64) {
        // Links are followed: what they lead to is what is read.
        let Ok(found) = fs::metadata(path) else {
            self.files.push((path.to_owned(), None));
            return;
        };
        let stamp = Stamp {
            device: found.dev(),
            inode: found.ino(),
            size: found.size(),
            modified: (found.mtime(), found.mtime_nsec()),
            changed: (found.ctime(), found.ctime_nsec()),
        };
        self.settled &= stamp.changed.0 < recent;
        self.files.push((path.to_owned(), Some(stamp)));
        if !found.is_dir() || depth >= MAX_FOLDERS {
            return;
        }
        let mut children: Vec<PathBuf> = fs::read_dir(path)
            .into_iter()
            .flatten()
            .filter_map(|entry| Some(entry.ok()?.path()))
            .collect();
        children.sort();
        for child in children {
            self.add(&child, depth + 1, recent);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_look_changes_with_what_is_written_added_taken_away_and_linked() {
        let folder = tempfile::tempdir().unwrap();
        let paths = [folder.path().to_owned(), folder.path().join("absent")];
        let mut looks = vec![Look::at(&paths)];
        assert_eq!(looks[0], Look::at(&paths));
        let file = folder.path().join("a.yaml");
        let steps: [&dyn Fn(); 5] = [
            &|| fs::write(&file, "one").unwrap(),
            &|| fs::write(&file, "longer").unwrap(),
            &|| fs::rename(&file, folder.path().join("b.yaml")).unwrap(),
            &|| std::os::unix::fs::symlink("b.yaml", folder.path().join("c.yaml")).unwrap(),
            &|| fs::write(folder.path().join("absent"), "there").unwrap(),
        ];
        for step in steps {
            step();
            let look = Look::at(&paths);
            assert!(looks.iter().all(|former| *former != look));
            assert!(!look.settled, "just written");
            looks.push(look);
        }
    }

    /// Panics the first time, and tells how it is asked to reload.
    struct Panics(tokio::sync::mpsc::UnboundedSender<Why>, usize);

    impl Reload for Panics {
        fn paths(&self) -> Vec<PathBuf> {
            Vec::new()
        }

        fn reload(&mut self, why: Why) {
            self.1 += 1;
            self.0.send(why).unwrap();
            assert!(self.1 > 1, "on purpose");
        }
    }

    #[tokio::test]
    async fn what_is_made_of_no_files_reloads_when_it_says_so() {
        struct Told(
            tokio::sync::mpsc::UnboundedSender<Why>,
            tokio::sync::mpsc::UnboundedReceiver<()>,
        );
        impl Reload for Told {
            fn paths(&self) -> Vec<PathBuf> {
                Vec::new()
            }

            fn reload(&mut self, why: Why) {
                self.0.send(why).unwrap();
            }

            async fn changed(&mut self) {
                if self.1.recv().await.is_none() {
                    std::future::pending::<()>().await;
                }
            }
        }
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (changes, changed) = tokio::sync::mpsc::unbounded_channel();
        let (_signals, hangup) = Hangup::by_hand();
        keep(Told(sender, changed), Duration::ZERO, hangup);
        changes.send(()).unwrap();
        assert_eq!(told.recv().await, Some(Why::Changed));
    }

    #[tokio::test]
    async fn after_a_panic_the_next_signal_reloads() {
        let (sender, mut told) = tokio::sync::mpsc::unbounded_channel();
        let (signals, hangup) = Hangup::by_hand();
        keep(Panics(sender, 0), Duration::ZERO, hangup);
        for _ in 0..3 {
            signals.send_modify(|count| *count += 1);
            assert_eq!(told.recv().await, Some(Why::Asked));
        }
    }

    #[test]
    fn old_files_are_settled() {
        assert!(Look::at(&[PathBuf::from("/nowhere")]).settled);
        assert!(
            Look::at(&[PathBuf::from("/proc/self/limits")]).files[0]
                .1
                .is_some()
        );
    }
}
